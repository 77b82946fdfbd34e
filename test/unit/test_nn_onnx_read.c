/* What each operator's ONNX spellings mean, against numbers worked out here. */
#include "onnx_build.h"

/* Output of one sample x equals want. */
static void
expect_output(nn_graph *graph, const float *x, size_t n, const float *want)
{
	float *y = run(graph, 1, false, 1, x);

	assert_int_equal(nn_graph_output_shape(graph).count, n);
	for (size_t i = 0; i < n; i++)
		if (!(fabsf(y[i] - want[i]) <= 1e-5f * (1 + fabsf(want[i]))))
			fail_msg("output %zu is %g, want %g", i, (double) y[i], (double) want[i]);
	free(y);
	nn_graph_free(graph);
}

static const float W[6] = { 1, 2, 3, 4, 5, 6 };

static void
gemm_transposes_and_scales(void **state)
{
	const float x[3] = { 1, -1, 2 };
	const float c[2] = { 10, 20 };

	for (int trans = 0; trans < 2; trans++)
	{
		model m = begin_model(13, 1, (int[]){ 3 });
		/* transB: rows (1,2,3), (4,5,6); otherwise columns (1,3,5), (2,4,6). */
		const float plain[2] = { 0.5f * (1 - 3 + 10) + 3 * 10, 0.5f * (2 - 4 + 12) + 3 * 20 };
		const float transposed[2] = { 0.5f * (1 - 2 + 6) + 3 * 10, 0.5f * (4 - 5 + 12) + 3 * 20 };
		bytes n = node("Gemm", "x w c", "y");

		n = with(n, attribute_int("transB", trans));
		n = with(n, attribute_float("alpha", 0.5f));
		n = with(n, attribute_float("beta", 3));
		add_node(&m, n);
		add_tensor(&m, float_tensor("w", 2, trans ? (int[]){ 2, 3 } : (int[]){ 3, 2 }, W));
		add_tensor(&m, float_tensor("c", 1, (int[]){ 2 }, c));
		expect_output(read_model(&m), x, 2, trans ? transposed : plain);
	}
}

static void
matmul_and_add_broadcast(void **state)
{
	const float x[3] = { 1, -1, 2 };
	const float c[2] = { 10, 20 };
	const float want[2] = { 18, 30 };
	model m = begin_model(13, 1, (int[]){ 3 });

	add_node(&m, node("MatMul", "x w", "p"));
	add_node(&m, node("Add", "c p", "y"));
	add_tensor(&m, float_tensor("w", 2, (int[]){ 3, 2 }, W));
	add_tensor(&m, float_tensor("c", 2, (int[]){ 1, 2 }, c));
	expect_output(read_model(&m), x, 2, want);
}

/* Of two outputs one can be named, or a tensor before them; without a name neither is guessed. */
static void
one_of_two_outputs(void **state)
{
	const float x[3] = { 1, -1, 2 };
	const float rectified[3] = { 1, 0, 2 }, squashed[3] = { 0.731059f, 0.268941f, 0.880797f };
	model m = begin_model(13, 1, (int[]){ 3 });
	nn_graph *graph;
	eddh_error err;
	bytes file;

	add_node(&m, node("Relu", "x", "r"));
	add_node(&m, node("Sigmoid", "x", "z"));
	add_node(&m, node("Relu", "r", "y"));
	put_message(&m.graph, 12, value_info("z", 0, NULL));
	file = finish_model(&m);
	assert_int_equal(nn_graph_read_onnx(file.at, file.len, &nn_limits_default, &graph, &err), EDDH_UNSUPPORTED);
	assert_int_equal(nn_graph_read_onnx_to(file.at, file.len, &nn_limits_default, "q", &graph, &err),
					 EDDH_BAD_ARGUMENT);
	expect_ok(nn_graph_read_onnx_to(file.at, file.len, &nn_limits_default, "z", &graph, &err), &err);
	expect_output(graph, x, 3, squashed);
	expect_ok(nn_graph_read_onnx_to(file.at, file.len, &nn_limits_default, "r", &graph, &err), &err);
	expect_output(graph, x, 3, rectified);
	free(file.at);
}

/* The three ways to keep float16 and double. */
static void
initialisers_of_other_types_are_converted(void **state)
{
	const uint16_t halves[3] = { 0x3c00, 0xc100, 0x0001 }; /* 1, -2.5, the smallest subnormal */
	const double doubles[3] = { 1, -2.5, 0x1p-24 };
	const float x[3] = { 3, 2, 0x1p24f };
	const float want[1] = { 3 - 5 + 1 };

	for (int kind = 0; kind < 4; kind++)
	{
		model m = begin_model(13, 1, (int[]){ 3 });
		bytes t = { 0 };
		bytes packed = { 0 };

		put_int(&t, 1, 3);
		put_int(&t, 1, 1);
		put_int(&t, 2, kind < 2 ? FLOAT16 : DOUBLE);
		put_text(&t, 8, "w");
		for (int i = 0; i < 3 && kind == 1; i++)
			put_varint(&packed, halves[i]);
		if (kind == 0)
			put_field(&t, 9, halves, sizeof(halves));
		else if (kind == 1)
			put_message(&t, 5, packed);
		else if (kind == 2)
			put_field(&t, 9, doubles, sizeof(doubles));
		else
			put_field(&t, 10, doubles, sizeof(doubles));
		add_node(&m, node("MatMul", "x w", "y"));
		add_tensor(&m, t);
		expect_output(read_model(&m), x, 1, want);
	}
}

static void
constants_may_be_nodes(void **state)
{
	const float x[4] = { -5, -1, 1, 5 };
	const float want[4] = { -2, -1, 1, 3 };
	model m = begin_model(13, 1, (int[]){ 4 });
	bytes value = { 0 };

	put_text(&value, 1, "value");
	put_message(&value, 5, float_tensor("", 0, NULL, &(float){ -2 }));
	put_int(&value, 20, 4);
	add_node(&m, with(node("Constant", "", "lo"), value));
	add_node(&m, with(node("Constant", "", "high"), attribute_float("value_float", 3)));
	add_node(&m, node("Identity", "high", "hi"));
	add_node(&m, node("Clip", "x lo hi", "y"));
	expect_output(read_model(&m), x, 4, want);
}

static void
clip_by_attributes_or_half_open(void **state)
{
	const float x[4] = { -5, -1, 7, 5 };
	const float six[4] = { 0, 0, 6, 5 };
	const float up[4] = { -1, -1, 7, 5 };
	model m = begin_model(10, 1, (int[]){ 4 });

	add_node(&m, with(with(node("Clip", "x", "y"), attribute_float("min", 0)), attribute_float("max", 6)));
	expect_output(read_model(&m), x, 4, six);
	m = begin_model(13, 1, (int[]){ 4 });
	add_node(&m, node("Clip", "x lo", "y"));
	add_tensor(&m, float_tensor("lo", 0, NULL, &(float){ -1 }));
	expect_output(read_model(&m), x, 4, up);
	m = begin_model(13, 1, (int[]){ 4 });
	add_node(&m, node("Clip", "x - hi", "y"));
	add_tensor(&m, float_tensor("hi", 0, NULL, &(float){ 6 }));
	expect_output(read_model(&m), x, 4, (float[]){ -5, -1, 6, 5 });
}

/* A sum over 2x2 at stride 2 on 3x3: SAME pads one pixel, below and right (upper) or above and left (lower); VALID drops the rest. */
static void
auto_pad_of_convolution(void **state)
{
	const float x[9] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };
	const float ones[4] = { 1, 1, 1, 1 };
	const float upper[4] = { 12, 9, 15, 9 };
	const float lower[4] = { 1, 5, 11, 28 };
	const float valid[1] = { 12 };
	static const char *const kinds[3] = { "SAME_UPPER", "SAME_LOWER", "VALID" };
	const float *want[3] = { upper, lower, valid };

	for (int i = 0; i < 3; i++)
	{
		model m = begin_model(13, 3, (int[]){ 1, 3, 3 });
		bytes n = node("Conv", "x w", "y");

		n = with(n, attribute_text("auto_pad", kinds[i]));
		n = with(n, attribute_ints("strides", 2, (int[]){ 2, 2 }));
		add_node(&m, n);
		add_tensor(&m, float_tensor("w", 4, (int[]){ 1, 1, 2, 2 }, ones));
		expect_output(read_model(&m), x, i == 2 ? 1 : 4, want[i]);
	}
}

/* Folded into a Conv or Gemm before it, kept where there is none, or where another node reads what it reads; always the same numbers. */
static void
batch_normalisation_folds(void **state)
{
	const float w[2] = { 2, -3 };
	const float s[2] = { 0.5f, 2 };
	const float t[2] = { 1, -1 };
	const float mean[2] = { 3, 4 };
	const float variance[2] = { 4 - 0.25f, 0.25f - 0.25f + 0.75f };
	const float x[2] = { 1, 5 };
	float want[4];

	for (int c = 0; c < 2; c++)
		for (int i = 0; i < 2; i++)
			want[2 * c + i] = (w[c] * x[i] - mean[c]) / sqrtf(variance[c] + 0.25f) * s[c] + t[c];
	for (int kind = 0; kind < 3; kind++)
	{
		model m = begin_model(13, 3, (int[]){ 1, 1, 2 });
		nn_graph *graph;
		eddh_error err;
		nn_graph *part;
		int kept = 0;

		add_node(&m, node("Conv", "x w", "z"));
		if (kind == 1)
			add_node(&m, node("Identity", "z", "r"));
		add_node(&m, with(node("BatchNormalization", kind == 1 ? "r s t m v" : "z s t m v", "n"),
						  attribute_float("epsilon", 0.25f)));
		add_node(&m,
				 kind == 2 ? with(node("Concat", "n z", "y"), attribute_int("axis", 1)) : node("Identity", "n", "y"));
		add_tensor(&m, float_tensor("w", 4, (int[]){ 2, 1, 1, 1 }, w));
		add_tensor(&m, float_tensor("s", 1, (int[]){ 2 }, s));
		add_tensor(&m, float_tensor("t", 1, (int[]){ 2 }, t));
		add_tensor(&m, float_tensor("m", 1, (int[]){ 2 }, mean));
		add_tensor(&m, float_tensor("v", 1, (int[]){ 2 }, variance));
		graph = read_model(&m);
		for (size_t i = 0; i < graph->n_nodes; i++)
			kept += graph->nodes[i].op == NN_OP_SCALE;
		assert_int_equal(kept, kind == 0 ? 0 : 1);

		/* The name stays a place to cut at. */
		expect_ok(nn_graph_cut(graph, "n", &part, NULL, &err), &err);
		expect_output(part, x, 4, want);
		nn_graph_free(graph);
	}
}

static void
reshape_keeps_the_batch(void **state)
{
	static const int64_t shapes[5][3] = { { 0, -1 }, { -1, 6 }, { 1, 6 }, { 0, 0, -1 }, { -1, 3, 2 } };
	static const int lengths[5] = { 2, 2, 2, 3, 3 };
	const float x[6] = { 1, 2, 3, 4, 5, 6 };

	for (int i = 0; i < 5; i++)
	{
		model m = begin_model(13, 3, (int[]){ 2, 1, 3 });

		add_node(&m, node("Reshape", "x shape", "y"));
		add_tensor(&m, tensor("shape", INT64, 1, &lengths[i], shapes[i], (size_t) lengths[i] * 8));
		expect_output(read_model(&m), x, 6, x);
	}
	for (int i = 0; i < 3; i++)
	{
		static const int64_t bad[3][2] = { { 6, -1 }, { -1, -1 }, { 0, 5 } };
		model m = begin_model(13, 3, (int[]){ 2, 1, 3 });

		add_node(&m, node("Reshape", "x shape", "y"));
		add_tensor(&m, tensor("shape", INT64, 1, (int[]){ 2 }, bad[i], 16));
		refuse_model(&m, i == 2 ? EDDH_BAD_DATA : EDDH_UNSUPPORTED, "\"y\"", "Reshape");
	}
}

static void
constants_broadcast_as_numpy_does(void **state)
{
	const float x[8] = { 0, 0, 0, 0, 0, 0, 0, 0 };
	const float c[2] = { 1, 2 };
	static const struct
	{
		int ndim;
		int dim[4];
		float want[8];
	} cases[] = {
		{ 1, { 2 }, { 1, 2, 1, 2, 1, 2, 1, 2 } },          { 2, { 2, 1 }, { 1, 1, 2, 2, 1, 1, 2, 2 } },
		{ 3, { 2, 1, 1 }, { 1, 1, 1, 1, 2, 2, 2, 2 } },    { 4, { 1, 2, 1, 1 }, { 1, 1, 1, 1, 2, 2, 2, 2 } },
		{ 4, { 1, 1, 1, 2 }, { 1, 2, 1, 2, 1, 2, 1, 2 } },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		model m = begin_model(13, 3, (int[]){ 2, 2, 2 });

		add_node(&m, node("Add", i % 2 ? "x c" : "c x", "y"));
		add_tensor(&m, float_tensor("c", cases[i].ndim, cases[i].dim, c));
		expect_output(read_model(&m), x, 8, cases[i].want);
	}
}

/* Old files list initialisers among the inputs; dropout and nodes that lead nowhere vanish. */
static void
old_files_and_dead_nodes(void **state)
{
	const float x[3] = { 1, -1, 2 };
	const float want[2] = { 8, 10 };
	model m = begin_model(9, 1, (int[]){ 3 });
	nn_graph *graph;

	put_message(&m.graph, 11, value_info("w", 2, (int[]){ 3, 2 }));
	add_node(&m, node("Tanh", "x", "dead"));
	add_node(&m, with(node("Dropout", "x", "d mask"), attribute_float("ratio", 0.5f)));
	add_node(&m, node("MatMul", "d w", "y"));
	add_node(&m, node("Relu", "y", "dead2"));
	add_tensor(&m, float_tensor("w", 2, (int[]){ 3, 2 }, W));
	graph = read_model(&m);
	assert_int_equal(graph->n_nodes, 2);
	expect_output(graph, x, 2, want);
}

static void
squeeze_and_excitation_swaps(void **state)
{
	const float x[4] = { 1, 3, 5, 7 };
	const float want[4] = { 2, 6, 30, 42 };
	model m = begin_model(13, 3, (int[]){ 2, 1, 2 });

	add_node(&m, node("GlobalAveragePool", "x", "p"));
	add_node(&m, node("Mul", "p x", "y"));
	expect_output(read_model(&m), x, 4, want);
}

static void
softmax_of_both_generations(void **state)
{
	const float x[4] = { 0, 0, 0, 0 };
	model m = begin_model(11, 1, (int[]){ 4 });

	add_node(&m, node("Softmax", "x", "y"));
	expect_output(read_model(&m), x, 4, (float[]){ 0.25f, 0.25f, 0.25f, 0.25f });
	m = begin_model(13, 3, (int[]){ 2, 1, 2 });
	add_node(&m, node("Softmax", "x", "y"));
	expect_output(read_model(&m), x, 4, (float[]){ 0.5f, 0.5f, 0.5f, 0.5f });
	m = begin_model(13, 3, (int[]){ 2, 1, 2 });
	add_node(&m, with(node("Softmax", "x", "y"), attribute_int("axis", 1)));
	refuse_model(&m, EDDH_UNSUPPORTED, "\"y\"", "Softmax");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gemm_transposes_and_scales),  cmocka_unit_test(matmul_and_add_broadcast),
		cmocka_unit_test(one_of_two_outputs),          cmocka_unit_test(initialisers_of_other_types_are_converted),
		cmocka_unit_test(constants_may_be_nodes),      cmocka_unit_test(clip_by_attributes_or_half_open),
		cmocka_unit_test(auto_pad_of_convolution),     cmocka_unit_test(batch_normalisation_folds),
		cmocka_unit_test(reshape_keeps_the_batch),     cmocka_unit_test(constants_broadcast_as_numpy_does),
		cmocka_unit_test(old_files_and_dead_nodes),    cmocka_unit_test(squeeze_and_excitation_swaps),
		cmocka_unit_test(softmax_of_both_generations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
