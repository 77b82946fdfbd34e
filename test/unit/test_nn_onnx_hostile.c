/* ONNX files that mean harm, or are broken, or ask for what we do not do: each a clear error, none a crash or a flood of memory. */
#include <sys/resource.h>

#include "onnx_build.h"

static size_t
peak_memory(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (size_t) usage.ru_maxrss * 1024;
}

/* ---- Attacks on the unpacker ---- */

/* A graph in an attribute of a node of a graph, and so on: recursion in the unpacker. */
static void
deep_nesting_is_refused(void **state)
{
	bytes inner = { 0 };

	put_text(&inner, 2, "g");
	for (int i = 0; i < 3000; i++)
	{
		bytes attribute = { 0 };
		bytes n = { 0 };
		bytes graph = { 0 };

		put_message(&attribute, 6, inner);
		put_message(&n, 5, attribute);
		put_message(&graph, 1, n);
		inner = graph;
	}

	bytes file = { 0 };

	put_message(&file, 7, inner);
	assert_true(file.len < 60000);
	refuse_bytes(file, EDDH_OVER_LIMIT, "nested more than 16 deep", "");
}

/* 10 MB of empty nodes, each two bytes in the file and far more in memory. */
static void
floods_of_small_messages_are_refused(void **state)
{
	static const struct
	{
		int field; /* of the graph */
		const char *message;
	} floods[] = { { 1, "more than" }, { 5, "more than" }, { 11, "more than" } };

	for (size_t f = 0; f < sizeof(floods) / sizeof(floods[0]); f++)
	{
		bytes graph = { 0 };
		bytes file = { 0 };
		size_t before;

		for (int i = 0; i < 5000000; i++)
			put_field(&graph, floods[f].field, "", 0);
		put_message(&file, 7, graph);
		before = peak_memory();
		refuse_bytes(file, EDDH_OVER_LIMIT, floods[f].message, "");

		/* The copy that read_bytes makes, and nothing near the 750 MB the unpacker would take. */
		assert_true(peak_memory() - before < (size_t) 30 << 20);
	}
}

static void
floods_of_numbers_and_names_are_refused(void **state)
{
	for (int kind = 0; kind < 3; kind++)
	{
		bytes packed = { 0 };
		bytes t = { 0 };
		bytes graph = { 0 };
		bytes file = { 0 };

		if (kind == 0)
		{
			/* One byte each in the file, eight in memory. */
			uint8_t *zeroes = calloc(1, 8000000);

			put(&packed, zeroes, 8000000);
			put_message(&t, 7, packed);
			free(zeroes);
		}
		for (int i = 0; i < 2000000 && kind == 1; i++)
			put_int(&t, 1, 0);
		for (int i = 0; i < 2000000 && kind == 2; i++)
			put_text(&t, 6, "");
		put_message(&graph, 5, t);
		put_message(&file, 7, graph);
		refuse_bytes(file, EDDH_OVER_LIMIT, "more than", kind == 0 ? "integers" : "fields");
	}
}

/* protobuf merges repeated single messages by copying: quadratic. */
static void
repeated_single_messages_are_refused(void **state)
{
	bytes file = { 0 };

	put_field(&file, 7, "", 0);
	put_field(&file, 7, "", 0);
	refuse_bytes(file, EDDH_BAD_DATA, "repeated field", "byte 4");
}

static void
lengths_beyond_their_container_are_refused(void **state)
{
	bytes file = { 0 };

	put(&file, "\x3a\x7f", 2);
	refuse_bytes(file, EDDH_BAD_DATA, "length beyond the end", "byte 2");

	/* Inside the file, but beyond the message around it. */
	file = (bytes){ 0 };
	put(&file, "\x3a\x02\x0a\x05zzzzzzzzzz", 14);
	refuse_bytes(file, EDDH_BAD_DATA, "length beyond the end", "");
	file = (bytes){ 0 };
	put(&file, "\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11);
	refuse_bytes(file, EDDH_BAD_DATA, "length beyond the end", "");
	file = (bytes){ 0 };
	put(&file, "\x0b\x0c", 2);
	refuse_bytes(file, EDDH_BAD_DATA, "wire type", "");
	file = (bytes){ 0 };
	put(&file, "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12);
	refuse_bytes(file, EDDH_BAD_DATA, "broken number", "");
}

static void
text_must_be_utf8(void **state)
{
	static const char *const bad[] = { "\xff", "a\xc3", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\x80" };
	static const char *const good[] = { "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		bytes file = { 0 };

		put_text(&file, 2, bad[i]);
		refuse_bytes(file, EDDH_BAD_DATA, "UTF-8", "");
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
	{
		bytes file = { 0 };

		put_text(&file, 2, good[i]);
		refuse_bytes(file, EDDH_BAD_DATA, "holds no network", "");
	}
}

static bytes
good_file(void)
{
	nn_graph *graph = random_graph(17, 12);
	nn_buffer buffer;
	eddh_error err;
	bytes file = { 0 };

	expect_ok(nn_graph_set_metadata(graph, "eddh.test", "text", &err), &err);
	expect_ok(nn_graph_write_onnx(graph, &buffer, &err), &err);
	put(&file, buffer.bytes, buffer.len);
	nn_buffer_free(&buffer);
	nn_graph_free(graph);
	return file;
}

static void
truncations_do_not_crash(void **state)
{
	bytes file = good_file();
	int refused = 0;

	for (size_t len = 0; len < file.len; len++)
	{
		nn_graph *graph;
		eddh_error err;

		refused += read_bytes((bytes){ .at = file.at, .len = len }, &graph, &err) != EDDH_OK;
		nn_graph_free(graph);
	}
	/* What is cut at the end of a field of the outermost message may still be a network. */
	assert_true(refused > (int) file.len - 10);
	free(file.at);
}

static void
damage_does_not_crash(void **state)
{
	bytes file = good_file();
	uint8_t *original = malloc(file.len);
	eddh_rng rng;
	int read = 0;

	memcpy(original, file.at, file.len);
	eddh_rng_seed(&rng, 3);
	for (int trial = 0; trial < 20000; trial++)
	{
		nn_graph *graph;
		eddh_error err;

		memcpy(file.at, original, file.len);
		for (int flips = between(&rng, 1, 4); flips > 0; flips--)
			file.at[eddh_rng_below(&rng, file.len)] = (uint8_t) eddh_rng_next(&rng);
		if (read_bytes(file, &graph, &err) == EDDH_OK)
		{
			nn_plan *plan;

			read++;
			if (nn_plan_create(graph, 1, true, &plan, &err) == EDDH_OK)
				nn_plan_free(plan);
		}
		nn_graph_free(graph);
	}
	assert_true(read > 100 && read < 19000);
	free(original);
	free(file.at);
}

/* ---- Networks we refuse, with a reason the user can act on ---- */

static model
image_model(void)
{
	return begin_model(13, 3, (int[]){ 2, 4, 4 });
}

static void
unknown_operators_and_attributes_are_named(void **state)
{
	model m = image_model();
	bytes n;

	add_node(&m, node("Einsum", "x", "y"));
	refuse_model(&m, EDDH_UNSUPPORTED, "\"y\" (Einsum)", "not supported");
	m = image_model();
	n = node("Relu", "x", "y");
	put_text(&n, 7, "com.example");
	add_node(&m, n);
	refuse_model(&m, EDDH_UNSUPPORTED, "\"y\" (Relu)", "not supported");
	m = image_model();
	add_node(&m, with(node("Relu", "x", "y"), attribute_int("alpha", 1)));
	refuse_model(&m, EDDH_UNSUPPORTED, "\"y\" (Relu)", "\"alpha\"");
	m = image_model();
	add_node(&m, with(node("MaxPool", "x", "y"), attribute_ints("kernel_shape", 3, (int[]){ 2, 2, 2 })));
	refuse_model(&m, EDDH_UNSUPPORTED, "\"y\" (MaxPool)", "kernel_shape");
	m = image_model();
	add_node(&m, with(node("Concat", "x x", "y"), attribute_int("axis", 2)));
	refuse_model(&m, EDDH_UNSUPPORTED, "\"y\" (Concat)", "axis");
	m = image_model();
	add_node(&m, node("Relu", "x", "y"));
	m.opset = 6;
	refuse_model(&m, EDDH_UNSUPPORTED, "operator set 6", "");

	/* Names from the file do not reach messages as they are. */
	m = image_model();
	add_node(&m, node("A\x1b[31m\xc3\xa9", "x", "y"));
	refuse_model(&m, EDDH_UNSUPPORTED, "A?[31m??", "");
}

static void
broken_topology_is_refused(void **state)
{
	model m = image_model();

	add_node(&m, node("Relu", "later", "y"));
	add_node(&m, node("Relu", "x", "later"));
	refuse_model(&m, EDDH_BAD_DATA, "\"later\"", "\"y\" (Relu)");
	m = image_model();
	add_node(&m, node("Relu", "y", "y"));
	refuse_model(&m, EDDH_BAD_DATA, "\"y\"", "made by no node before");
	m = image_model();
	add_node(&m, node("Relu", "x", "y"));
	add_node(&m, node("Tanh", "x", "y"));
	refuse_model(&m, EDDH_BAD_DATA, "defines \"y\" twice", "");
	m = image_model();
	add_node(&m, node("Relu", "x", "z"));
	refuse_model(&m, EDDH_BAD_DATA, "output of the network", "");
	m = image_model();
	add_node(&m, node("Relu", "", "y"));
	refuse_model(&m, EDDH_BAD_DATA, "input 1 is missing", "");
	m = image_model();
	add_node(&m, node("Relu", "x", ""));
	refuse_model(&m, EDDH_BAD_DATA, "no output", "");
	m = image_model();
	add_node(&m, node("Dropout", "x", "d mask"));
	add_node(&m, node("Relu", "mask", "y"));
	refuse_model(&m, EDDH_UNSUPPORTED, "second output", "");
	m = image_model();
	put_message(&m.graph, 11, value_info("x2", 2, (int[]){ 0, 3 }));
	add_node(&m, node("Relu", "x", "y"));
	refuse_model(&m, EDDH_UNSUPPORTED, "2 inputs", "");
	m = image_model();
	put_message(&m.graph, 12, value_info("z", 0, NULL));
	add_node(&m, node("Relu", "x", "y"));
	refuse_model(&m, EDDH_UNSUPPORTED, "2 outputs", "");
	m = begin_model(13, 3, (int[]){ 3, 0, 0 });
	add_node(&m, node("Relu", "x", "y"));
	refuse_model(&m, EDDH_UNSUPPORTED, "dimension 3 of input \"x\"", "not a fixed size");
}

static void
sizes_that_lie_or_explode_are_refused(void **state)
{
	const float w[8] = { 0 };
	model m = image_model();

	/* 16 numbers promised, 8 there. */
	add_node(&m, node("Conv", "x w", "y"));
	add_tensor(&m, tensor("w", FLOAT, 4, (int[]){ 2, 2, 2, 2 }, w, sizeof(w)));
	refuse_model(&m, EDDH_BAD_DATA, "16 numbers in 32 bytes", "\"y\" (Conv)");
	m = image_model();
	add_node(&m, node("Conv", "x w", "y"));
	add_tensor(&m, tensor("w", FLOAT, 4, (int[]){ INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX }, w, sizeof(w)));
	refuse_model(&m, EDDH_BAD_DATA, "dimension", "");
	m = image_model();
	add_node(&m, node("Conv", "x w", "y"));
	add_tensor(&m, tensor("w", FLOAT, 4, (int[]){ 1, 1, 2, 4 }, w, sizeof(w)));
	refuse_model(&m, EDDH_BAD_DATA, "do not fit", "");

	/* Outputs far larger than inputs: by padding, by broadcasting, by concatenation with itself. */
	m = begin_model(13, 3, (int[]){ 1, 4, 4 });
	add_node(&m,
			 with(node("Conv", "x w", "y"), attribute_ints("pads", 4, (int[]){ 1000000, 1000000, 1000000, 1000000 })));
	add_tensor(&m, tensor("w", FLOAT, 4, (int[]){ 1, 1, 2, 4 }, w, sizeof(w)));
	refuse_model(&m, EDDH_BAD_DATA, "padding", "");
	m = begin_model(13, 3, (int[]){ 1, 4, 4 });
	add_node(&m, with(node("Conv", "x w", "y"), attribute_ints("pads", 4, (int[]){ 4000, 4000, 4000, 4000 })));
	add_tensor(&m, tensor("w", FLOAT, 4, (int[]){ 1, 1, 2, 4 }, w, sizeof(w)));
	refuse_model(&m, EDDH_OVER_LIMIT, "\"y\" (Conv)", "");
	m = begin_model(13, 3, (int[]){ 1, 1000, 1000 });
	for (int i = 0; i < 30; i++)
	{
		char in[32];
		char out[32];

		snprintf(in, sizeof(in), i == 0 ? "x x" : "c%d c%d", i - 1, i - 1);
		snprintf(out, sizeof(out), i == 29 ? "y" : "c%d", i);
		add_node(&m, with(node("Concat", in, out), attribute_int("axis", 1)));
	}
	refuse_model(&m, EDDH_OVER_LIMIT, "(Concat)", "more than 64000000 numbers");
	m = begin_model(13, 3, (int[]){ 1 << 20, 1 << 20, 1 << 20 });
	add_node(&m, node("Relu", "x", "y"));
	refuse_model(&m, EDDH_OVER_LIMIT, "numbers", "");

	/* One initialiser, read a thousand times. */
	m = begin_model(13, 1, (int[]){ 1000 });
	for (int i = 0; i < 1000; i++)
	{
		char in[32];
		char out[32];

		snprintf(in, sizeof(in), i == 0 ? "x w" : "c%d w", i - 1);
		snprintf(out, sizeof(out), i == 999 ? "y" : "c%d", i);
		add_node(&m, node("MatMul", in, out));
	}

	float *large = calloc(1000000, sizeof(float));

	add_tensor(&m, float_tensor("w", 2, (int[]){ 1000, 1000 }, large));
	free(large);
	refuse_model(&m, EDDH_OVER_LIMIT, "(MatMul)", "more than 250000000 weights");
}

static void
odd_storage_is_refused(void **state)
{
	const float w[8] = { 0 };
	model m = begin_model(13, 1, (int[]){ 8 });
	bytes t = tensor("w", FLOAT, 2, (int[]){ 8, 1 }, w, sizeof(w));

	put_int(&t, 14, 1);
	add_node(&m, node("MatMul", "x w", "y"));
	add_tensor(&m, t);
	refuse_model(&m, EDDH_UNSUPPORTED, "another file", "\"y\" (MatMul)");
	m = begin_model(13, 1, (int[]){ 8 });
	add_node(&m, node("MatMul", "x w", "y"));
	add_tensor(&m, tensor("w", 8, 2, (int[]){ 8, 1 }, w, sizeof(w)));
	refuse_model(&m, EDDH_UNSUPPORTED, "data type 8", "\"y\" (MatMul)");
	m = begin_model(13, 1, (int[]){ 4 });
	add_node(&m, node("MatMul", "x w", "y"));
	add_tensor(&m, tensor("w", INT64, 2, (int[]){ 4, 1 }, w, sizeof(w)));
	refuse_model(&m, EDDH_UNSUPPORTED, "data type 7", "");
	m = begin_model(13, 1, (int[]){ 4 });
	add_node(&m, node("MatMul", "x x", "y"));
	refuse_model(&m, EDDH_UNSUPPORTED, "input 2 is computed", "");
}

static void
the_caller_sets_limits(void **state)
{
	bytes file = good_file();
	nn_limits limits = nn_limits_default;
	nn_graph *graph;
	eddh_error err;

	limits.max_bytes = file.len - 1;
	assert_int_equal(nn_graph_read_onnx(file.at, file.len, &limits, &graph, &err), EDDH_OVER_LIMIT);
	limits = nn_limits_default;
	limits.max_parameters = 10;
	assert_int_equal(nn_graph_read_onnx(file.at, file.len, &limits, &graph, &err), EDDH_OVER_LIMIT);
	limits = nn_limits_default;
	limits.max_activation = 10;
	assert_int_equal(nn_graph_read_onnx(file.at, file.len, &limits, &graph, &err), EDDH_OVER_LIMIT);
	assert_int_equal(nn_graph_read_onnx(file.at, file.len, &nn_limits_default, &graph, NULL), EDDH_OK);
	nn_graph_free(graph);
	free(file.at);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(deep_nesting_is_refused),
		cmocka_unit_test(floods_of_small_messages_are_refused),
		cmocka_unit_test(floods_of_numbers_and_names_are_refused),
		cmocka_unit_test(repeated_single_messages_are_refused),
		cmocka_unit_test(lengths_beyond_their_container_are_refused),
		cmocka_unit_test(text_must_be_utf8),
		cmocka_unit_test(truncations_do_not_crash),
		cmocka_unit_test(damage_does_not_crash),
		cmocka_unit_test(unknown_operators_and_attributes_are_named),
		cmocka_unit_test(broken_topology_is_refused),
		cmocka_unit_test(sizes_that_lie_or_explode_are_refused),
		cmocka_unit_test(odd_storage_is_refused),
		cmocka_unit_test(the_caller_sets_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
