/* Architectures, the flat form, cutting, joining, copying, metadata. */
#include "nn_graphs.h"

#include "nn/flat.h"
#include "nn/half.h"

static void
cnn_f_is_the_published_network(void **state)
{
	/* METHODS 4.1: output of each layer. */
	static const struct
	{
		const char *tensor;
		int c, h, w;
	} layers[] = {
		{ "conv1", 64, 54, 54 },  { "norm1", 64, 54, 54 },  { "pool1", 64, 27, 27 },  { "conv2", 256, 27, 27 },
		{ "pool2", 256, 13, 13 }, { "conv3", 256, 13, 13 }, { "conv4", 256, 13, 13 }, { "conv5", 256, 13, 13 },
		{ "pool5", 256, 6, 6 },   { "fc6", 4096, 0, 0 },    { "relu7", 4096, 0, 0 },
	};
	nn_graph *graph;
	eddh_error err;
	uint32_t norm;

	expect_ok(nn_graph_cnn_f(1, &graph, &err), &err);
	assert_int_equal(nn_graph_parameters(graph), 56737536);
	assert_int_equal(nn_graph_output_shape(graph).count, 4096);
	assert_int_equal(nn_graph_input_shape(graph).count, 3 * 224 * 224);

	/* 719.9 million, to the last digit of the table. */
	assert_int_equal((nn_graph_macs(graph) + 50000) / 100000, 7199);
	for (size_t i = 0; i < sizeof(layers) / sizeof(layers[0]); i++)
	{
		uint32_t t = nn_graph_find_tensor(graph, layers[i].tensor);

		assert_int_not_equal(t, NN_NO_TENSOR);
		assert_int_equal(graph->tensors[t].dim[0], layers[i].c);
		assert_int_equal(graph->tensors[t].dim[1], layers[i].h);
		assert_int_equal(graph->tensors[t].dim[2], layers[i].w);
	}
	norm = graph->tensors[nn_graph_find_tensor(graph, "norm1")].producer;
	assert_int_equal(graph->nodes[norm].k, 5);
	assert_true(graph->nodes[norm].p[0] == 5e-4f && graph->nodes[norm].p[1] == 0.75f && graph->nodes[norm].p[2] == 2);
	assert_string_equal(nn_graph_default_cut(graph), "relu6");
	nn_graph_free(graph);
}

static void
cnn_s_is_small(void **state)
{
	nn_graph *graph;
	eddh_error err;

	expect_ok(nn_graph_cnn_s(1, &graph, &err), &err);
	assert_int_equal(nn_graph_input_shape(graph).count, 3 * 32 * 32);
	assert_int_equal(nn_graph_output_shape(graph).count, 256);
	assert_true(nn_graph_macs(graph) > 5000000 && nn_graph_macs(graph) < 8000000);
	assert_string_equal(nn_graph_metadata(graph, "eddh.input_size"), "32");
	nn_graph_free(graph);
}

static void
seeds_decide_weights(void **state)
{
	nn_graph *a;
	nn_graph *b;
	nn_graph *c;
	eddh_error err;
	size_t bytes;

	expect_ok(nn_graph_cnn_s(7, &a, &err), &err);
	expect_ok(nn_graph_cnn_s(7, &b, &err), &err);
	expect_ok(nn_graph_cnn_s(8, &c, &err), &err);
	bytes = nn_graph_parameters(a) * sizeof(float);
	assert_memory_equal(nn_graph_weights(a), nn_graph_weights(b), bytes);
	assert_memory_not_equal(nn_graph_weights(a), nn_graph_weights(c), bytes);
	nn_graph_free(a);
	nn_graph_free(b);
	nn_graph_free(c);
}

static void
dense_keeps_given_weights(void **state)
{
	const float w[6] = { 1, 2, 3, 4, 5, 6 };
	const float b[2] = { 10, 20 };
	const float x[3] = { 1, 0, -1 };
	nn_graph *graph;
	eddh_error err;
	float *y;

	expect_ok(nn_graph_dense(3, 2, 0, w, b, &graph, &err), &err);
	y = run(graph, 1, false, 1, x);
	assert_true(y[0] == 8 && y[1] == 18);
	free(y);
	nn_graph_free(graph);
	assert_int_equal(nn_graph_dense(0, 2, 0, NULL, NULL, &graph, &err), EDDH_BAD_ARGUMENT);
	assert_null(graph);
}

/* ---- Flat ---- */

static uint8_t *
flat(const nn_graph *graph, size_t *len)
{
	uint8_t *block;

	*len = nn_flat_size(graph);
	block = aligned_alloc(64, (*len + 63) / 64 * 64);
	assert_non_null(block);
	nn_flat_write(graph, block);
	return block;
}

static void
flat_form_is_the_network(void **state)
{
	for (uint64_t seed = 1; seed <= 40; seed++)
	{
		nn_graph *graph = seed == 1 ? NULL : random_graph(seed, 12);
		nn_graph *attached;
		nn_graph *copy;
		eddh_error err;
		size_t len;
		uint8_t *block;

		if (graph == NULL)
			expect_ok(nn_graph_cnn_s(1, &graph, &err), &err);
		expect_ok(nn_graph_set_metadata(graph, "eddh.test", "some text", &err), &err);
		block = flat(graph, &len);
		expect_ok(nn_flat_attach(block, len, &attached, &err), &err);
		assert_true((const uint8_t *) nn_graph_weights(attached) > block &&
					(const uint8_t *) nn_graph_weights(attached) < block + len);
		assert_int_equal(((uintptr_t) nn_graph_weights(attached) - (uintptr_t) block) % 64, 0);
		assert_string_equal(nn_graph_metadata(attached, "eddh.test"), "some text");
		assert_same_function(graph, attached, "flat");

		/* A copy owns its weights. */
		expect_ok(nn_graph_copy(attached, &copy, &err), &err);
		nn_graph_free(attached);
		memset(block, 0, len);
		free(block);
		assert_same_function(graph, copy, "copy of flat");
		nn_graph_free(copy);
		nn_graph_free(graph);
	}
}

/* Some dense layers of a random network lose their last bits; false: it has none. */
static bool
make_halves(nn_graph *graph, eddh_rng *rng, uint64_t *count)
{
	*count = 0;
	for (size_t i = 0; i < graph->n_nodes; i++)
	{
		const nn_node *node = &graph->nodes[i];

		if (node->op != NN_OP_DENSE || eddh_rng_below(rng, 4) == 0)
			continue;
		for (uint64_t j = 0; j < node->w_count; j++)
			graph->weights[node->w + j] = nn_half_widen((uint16_t) eddh_rng_below(rng, 0x4400));
		*count += node->w_count;
	}
	return *count > 0;
}

/* Five samples at once, which are matrix products. */
static void
assert_close_batches(const nn_graph *a, const nn_graph *b)
{
	size_t in = nn_graph_input_shape(a).count, out = nn_graph_output_shape(a).count;
	eddh_rng rng;
	float *x, *ya, *yb;
	double largest = 0;

	eddh_rng_seed(&rng, 6);
	x = normals(&rng, 5 * in);
	ya = run(a, 5, false, 5, x);
	yb = run(b, 5, false, 5, x);
	for (size_t i = 0; i < 5 * out; i++)
		largest = fmax(largest, fabs((double) ya[i]));
	for (size_t i = 0; i < 5 * out; i++)
		assert_true(fabs((double) ya[i] - (double) yb[i]) <= 1e-4 * largest);
	free(x);
	free(ya);
	free(yb);
}

static void
halves_in_flat_forms(void **state)
{
	int seen = 0;

	nn_flat_least_halves = 1;
	for (uint64_t seed = 1; seed <= 60; seed++)
	{
		nn_graph *graph = random_graph(seed, 12), *attached, *copy;
		nn_plan *plan;
		nn_buffer written;
		uint64_t count;
		eddh_rng rng;
		eddh_error err;
		size_t len;
		uint8_t *block, *again;

		eddh_rng_seed(&rng, seed);
		if (make_halves(graph, &rng, &count))
		{
			seen++;
			len = nn_flat_size(graph);
			block = aligned_alloc(64, (len + 63) / 64 * 64);
			nn_flat_write(graph, block);
			expect_ok(nn_flat_attach(block, len, &attached, &err), &err);
			assert_int_equal(attached->n_halves, count);
			assert_int_equal(nn_graph_parameters(attached), nn_graph_parameters(graph));
			assert_same_function(graph, attached, "flat with halves");
			assert_close_batches(graph, attached);

			/* What has none of its own to learn from, or to write. */
			assert_int_equal(nn_plan_create(attached, 1, true, &plan, &err), EDDH_BAD_ARGUMENT);
			assert_int_equal(nn_graph_write_onnx(attached, &written, &err), EDDH_BAD_ARGUMENT);
			expect_ok(nn_graph_copy(attached, &copy, &err), &err);
			assert_int_equal(copy->n_halves, 0);
			assert_int_equal(copy->n_weights, graph->n_weights);
			assert_memory_equal(copy->weights, graph->weights, graph->n_weights * sizeof(float));

			/* The flat form of a flat form is the same. */
			assert_int_equal(nn_flat_size(attached), len);
			again = aligned_alloc(64, (len + 63) / 64 * 64);
			nn_flat_write(attached, again);
			assert_memory_equal(again, block, len);
			nn_graph_free(copy);
			nn_graph_free(attached);
			free(block);
			free(again);
		}
		nn_graph_free(graph);
	}
	nn_flat_least_halves = UINT64_C(1) << 18;
	assert_true(seen >= 10);
}

/* Flipped bytes in header and tables, and every truncation: either refused, or a network that runs inside its block (under valgrind or ASan: no stray access). */
static void
damaged_flat_forms_do_not_crash(void **state)
{
	eddh_rng rng;
	int refused = 0;
	int accepted = 0;

	eddh_rng_seed(&rng, 99);
	nn_flat_least_halves = 1;
	for (uint64_t seed = 500; seed < 540; seed++)
	{
		nn_graph *graph = random_graph(seed, 10);
		nn_graph *attached;
		eddh_error err;
		uint64_t halves = 0;
		size_t len, tables;
		uint8_t *block, *damaged;

		if (seed % 2 == 0)
			make_halves(graph, &rng, &halves);
		block = flat(graph, &len);
		damaged = aligned_alloc(64, (len + 63) / 64 * 64);
		tables = len - (nn_graph_parameters(graph) - halves) * sizeof(float) - halves * sizeof(uint16_t);

		for (size_t cut = 0; cut < len; cut += 1 + len / 200)
		{
			uint8_t *shorter = malloc(cut + 64);

			memcpy(shorter, block, cut);
			assert_int_equal(nn_flat_attach(shorter, cut, &attached, &err), EDDH_BAD_DATA);
			assert_null(attached);
			free(shorter);
		}
		for (int trial = 0; trial < 300; trial++)
		{
			memcpy(damaged, block, len);
			for (int flips = between(&rng, 1, 3); flips > 0; flips--)
				damaged[eddh_rng_below(&rng, tables)] = (uint8_t) eddh_rng_next(&rng);
			if (nn_flat_attach(damaged, len, &attached, &err) != EDDH_OK)
			{
				refused++;
				continue;
			}
			accepted++;
			if (nn_graph_input_shape(attached).count < 1000 && nn_graph_macs(attached) < 1000000)
			{
				size_t in = nn_graph_input_shape(attached).count;
				float *x = normals(&rng, in);

				free(run(attached, 1, false, 1, x));
				free(x);
			}
			nn_graph_free(attached);
		}
		free(block);
		free(damaged);
		nn_graph_free(graph);
	}
	nn_flat_least_halves = UINT64_C(1) << 18;
	if (refused < 1000 || accepted < 10)
		fail_msg("%d refused and %d accepted: the damage does not reach both sides of the checks", refused, accepted);
}

/* ---- Cut and join ---- */

static void
cut_and_join_equal_the_whole(void **state)
{
	int cuts = 0;
	int refused = 0;

	for (uint64_t seed = 1; seed <= 60; seed++)
	{
		nn_graph *graph = random_graph(seed, 10);
		const char *name;
		const char *op;
		const char *tensor;

		for (int i = 0; nn_graph_node_at(graph, i, &name, &op, &tensor); i++)
		{
			nn_graph *prefix;
			nn_graph *suffix;
			nn_graph *joined;
			eddh_error err;

			if (nn_graph_cut(graph, tensor, &prefix, &suffix, &err) != EDDH_OK)
			{
				assert_int_equal(err.code, EDDH_BAD_ARGUMENT);
				assert_null(prefix);
				assert_null(suffix);
				refused++;
				continue;
			}
			cuts++;
			assert_int_equal(nn_graph_parameters(prefix) + nn_graph_parameters(suffix), nn_graph_parameters(graph));
			expect_ok(nn_graph_join(prefix, suffix, &joined, &err), &err);
			assert_same_function(graph, joined, "cut and joined");
			nn_graph_free(prefix);
			nn_graph_free(suffix);
			nn_graph_free(joined);
		}
		nn_graph_free(graph);
	}
	assert_true(cuts > 60 && refused > 60);
}

/* A prefix alone may end anywhere, even where the network does not fall apart. */
static void
prefix_gives_the_inner_tensor(void **state)
{
	nn_graph *graph;
	nn_graph *prefix;
	nn_graph *again;
	eddh_error err;

	expect_ok(nn_graph_cnn_s(3, &graph, &err), &err);
	expect_ok(nn_graph_cut(graph, "pool2", &prefix, NULL, &err), &err);
	assert_int_equal(nn_graph_output_shape(prefix).ndim, 3);
	assert_int_equal(nn_graph_output_shape(prefix).count, 48 * 8 * 8);
	assert_string_equal(nn_graph_metadata(prefix, "eddh.input_size"), "32");
	assert_int_equal(nn_graph_cut(graph, "no such tensor", &again, NULL, &err), EDDH_BAD_ARGUMENT);
	assert_null(again);
	nn_graph_free(prefix);
	nn_graph_free(graph);
}

static void
join_renames_flattens_and_refuses(void **state)
{
	nn_graph *body;
	nn_graph *prefix;
	nn_graph *head;
	nn_graph *once;
	nn_graph *twice;
	eddh_error err;

	expect_ok(nn_graph_cnn_s(3, &body, &err), &err);
	expect_ok(nn_graph_cut(body, "pool3", &prefix, NULL, &err), &err);
	expect_ok(nn_graph_dense(1536, 16, 1, NULL, NULL, &head, &err), &err);
	expect_ok(nn_graph_join(prefix, head, &once, &err), &err);
	assert_int_equal(nn_graph_output_shape(once).count, 16);
	nn_graph_free(head);
	expect_ok(nn_graph_dense(16, 8, 1, NULL, NULL, &head, &err), &err);
	expect_ok(nn_graph_join(once, head, &twice, &err), &err);
	assert_int_not_equal(nn_graph_find_tensor(twice, "hash"), NN_NO_TENSOR);
	assert_int_not_equal(nn_graph_find_tensor(twice, "hash_2"), NN_NO_TENSOR);
	nn_graph_free(once);
	assert_int_equal(nn_graph_join(body, head, &once, &err), EDDH_BAD_ARGUMENT);
	assert_null(once);
	nn_graph_free(body);
	nn_graph_free(prefix);
	nn_graph_free(head);
	nn_graph_free(twice);
}

/* In place: the same function as joined, and a refusal changes nothing. */
static void
append_is_join_in_place(void **state)
{
	nn_graph *body, *head, *other, *joined, *appended;
	eddh_error err;

	expect_ok(nn_graph_cnn_s(3, &body, &err), &err);
	expect_ok(nn_graph_dense(nn_graph_output_shape(body).count, 16, 1, NULL, NULL, &head, &err), &err);
	expect_ok(nn_graph_dense(7, 16, 1, NULL, NULL, &other, &err), &err);
	expect_ok(nn_graph_join(body, head, &joined, &err), &err);
	expect_ok(nn_graph_copy(body, &appended, &err), &err);
	assert_int_equal(nn_graph_append(appended, other, &err), EDDH_BAD_ARGUMENT);
	assert_int_equal(nn_graph_append(appended, appended, &err), EDDH_BAD_ARGUMENT);
	appended->weights_borrowed = true;
	assert_int_equal(nn_graph_append(appended, head, &err), EDDH_BAD_ARGUMENT);
	appended->weights_borrowed = false;
	assert_same_function(body, appended, "refused");
	expect_ok(nn_graph_append(appended, head, &err), &err);
	assert_same_function(joined, appended, "appended");
	assert_int_equal(nn_graph_parameters(joined), nn_graph_parameters(appended));
	nn_graph_free(body);
	nn_graph_free(head);
	nn_graph_free(other);
	nn_graph_free(joined);
	nn_graph_free(appended);
}

/* Two dense layers over the last dimension of 2 x 6. */
static void
rows_of_dense(nn_graph **out)
{
	const nn_node first = { .op = NN_OP_DENSE, .k = 5, .w_count = 30 };
	const nn_node last = { .op = NN_OP_DENSE, .k = 4, .w_count = 20 };
	const int dim[2] = { 2, 6 };
	uint32_t at = 0;
	eddh_error err;

	expect_ok(nn_graph_new(out, &err), &err);
	expect_ok(nn_graph_set_input(*out, "x", 2, dim, &err), &err);
	expect_ok(nn_graph_add_node(*out, &first, "first", 1, &at, "first", &at, &err), &err);
	expect_ok(nn_graph_add_node(*out, &last, "last", 1, &at, "last", &at, &err), &err);
	memset((*out)->weights, 0, 50 * sizeof(float));
	expect_ok(nn_graph_finish(*out, at, &err), &err);
}

/* Dense layers 6 to 5 to 4: the second takes in the first, also behind another layer, but not where it would grow, or where the first is applied many times. */
static void
end_takes_in_the_layer_before(void **state)
{
	float x[6 * 3];
	nn_graph *wide, *narrow, *both, *kernel, *behind, *folded;
	eddh_error err;

	for (int i = 0; i < 18; i++)
		x[i] = (float) (i % 7) - 3;
	expect_ok(nn_graph_dense(6, 5, 1, NULL, NULL, &wide, &err), &err);
	expect_ok(nn_graph_dense(5, 4, 2, NULL, NULL, &narrow, &err), &err);
	expect_ok(nn_graph_join(wide, narrow, &both, &err), &err);
	expect_ok(nn_graph_set_metadata(both, "k", "v", &err), &err);
	expect_ok(nn_graph_rbf(6, 3, x, 0.1, &kernel, &err), &err);
	for (int behind_kernel = 0; behind_kernel < 2; behind_kernel++)
	{
		float *want, *got;

		if (behind_kernel)
		{
			nn_graph_free(wide);
			nn_graph_free(both);
			expect_ok(nn_graph_dense(3, 5, 1, NULL, NULL, &wide, &err), &err);
			expect_ok(nn_graph_join(kernel, wide, &behind, &err), &err);
			expect_ok(nn_graph_join(behind, narrow, &both, &err), &err);
			nn_graph_free(behind);
		}
		expect_ok(nn_graph_fold_end(both, &folded, &err), &err);
		assert_int_equal(nn_graph_parameters(folded),
						 behind_kernel ? nn_graph_parameters(kernel) + 3 * 4 + 4 : 6 * 4 + 4);
		assert_true(behind_kernel || strcmp(nn_graph_metadata(folded, "k"), "v") == 0);
		want = run(both, 3, false, 3, x);
		got = run(folded, 3, false, 3, x);
		for (int i = 0; i < 12; i++)
			assert_true(fabsf(want[i] - got[i]) <= 1e-6f);
		free(want);
		free(got);
		nn_graph_free(folded);
	}
	nn_graph_free(both);
	/* 4 to 1 to 4 would be 16 weights of 8. */
	nn_graph_free(wide);
	nn_graph_free(narrow);
	expect_ok(nn_graph_dense(4, 1, 1, NULL, NULL, &wide, &err), &err);
	expect_ok(nn_graph_dense(1, 4, 2, NULL, NULL, &narrow, &err), &err);
	expect_ok(nn_graph_join(wide, narrow, &both, &err), &err);
	expect_ok(nn_graph_fold_end(both, &folded, &err), &err);
	assert_int_equal(nn_graph_parameters(folded), nn_graph_parameters(both));
	nn_graph_free(folded);
	nn_graph_free(both);
	/* A single layer, and a network that ends in something else, stay as they are. */
	expect_ok(nn_graph_fold_end(wide, &folded, &err), &err);
	assert_int_equal(nn_graph_parameters(folded), nn_graph_parameters(wide));
	nn_graph_free(folded);
	expect_ok(nn_graph_fold_end(kernel, &folded, &err), &err);
	assert_int_equal(nn_graph_parameters(folded), nn_graph_parameters(kernel));
	nn_graph_free(folded);
	nn_graph_free(wide);
	nn_graph_free(narrow);
	nn_graph_free(kernel);
	rows_of_dense(&both);
	expect_ok(nn_graph_fold_end(both, &folded, &err), &err);
	assert_int_equal(nn_graph_parameters(folded), nn_graph_parameters(both));
	nn_graph_free(folded);
	nn_graph_free(both);
}

/* Cutting at the input or the output leaves an empty side, which copies. */
static void
empty_network_copies(void **state)
{
	const float x[3] = { 1, -2, 3 };
	nn_graph *graph;
	nn_graph *prefix;
	nn_graph *suffix;
	nn_graph *read;
	nn_buffer file;
	eddh_error err;
	float *y;

	expect_ok(nn_graph_dense(2, 3, 1, NULL, NULL, &graph, &err), &err);
	expect_ok(nn_graph_cut(graph, "hash", &prefix, &suffix, &err), &err);
	y = run(suffix, 1, false, 1, x);
	assert_memory_equal(x, y, sizeof(x));
	free(y);
	expect_ok(nn_graph_write_onnx(suffix, &file, &err), &err);
	expect_ok(nn_graph_read_onnx(file.bytes, file.len, &nn_limits_default, &read, &err), &err);
	y = run(read, 1, true, 1, x);
	assert_memory_equal(x, y, sizeof(x));
	free(y);
	nn_buffer_free(&file);
	nn_graph_free(read);
	expect_ok(nn_graph_fold_end(suffix, &read, &err), &err);
	assert_int_equal(nn_graph_parameters(read), 0);
	nn_graph_free(read);
	nn_graph_free(graph);
	nn_graph_free(prefix);
	nn_graph_free(suffix);
}

static void
metadata_is_replaced_and_listed(void **state)
{
	nn_graph *graph;
	eddh_error err;
	const char *key;
	const char *value;
	int n = 0;

	expect_ok(nn_graph_dense(2, 3, 1, NULL, NULL, &graph, &err), &err);
	assert_null(nn_graph_metadata(graph, "a"));
	for (int i = 0; i < 40; i++)
	{
		char text[16];

		snprintf(text, sizeof(text), "%d", i);
		expect_ok(nn_graph_set_metadata(graph, "a", text, &err), &err);
		expect_ok(nn_graph_set_metadata(graph, text, "b", &err), &err);
	}
	assert_string_equal(nn_graph_metadata(graph, "a"), "39");
	while (nn_graph_metadata_at(graph, n, &key, &value))
		n++;
	assert_int_equal(n, 41);
	nn_graph_free(graph);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cnn_f_is_the_published_network),
		cmocka_unit_test(cnn_s_is_small),
		cmocka_unit_test(seeds_decide_weights),
		cmocka_unit_test(dense_keeps_given_weights),
		cmocka_unit_test(flat_form_is_the_network),
		cmocka_unit_test(halves_in_flat_forms),
		cmocka_unit_test(damaged_flat_forms_do_not_crash),
		cmocka_unit_test(cut_and_join_equal_the_whole),
		cmocka_unit_test(prefix_gives_the_inner_tensor),
		cmocka_unit_test(join_renames_flattens_and_refuses),
		cmocka_unit_test(append_is_join_in_place),
		cmocka_unit_test(end_takes_in_the_layer_before),
		cmocka_unit_test(empty_network_copies),
		cmocka_unit_test(metadata_is_replaced_and_listed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
