/*
 * Whole networks: the gradient of backward equals finite differences, on random graphs that use every operator, with fan-out, residual additions and
 * concatenations; and plans agree whatever they reuse.
 */
#include "nn_graphs.h"

#include "nn/plan.h"

#define GRAPHS 60
#define BATCH  3

static int checked[NN_OP_COUNT]; /* networks with this operator whose input's gradient was confirmed */
static int confirmed, kinked;

/* Loss: a fixed random weighting of the outputs, in double. */
static double
loss(const nn_plan *plan, float *arena, const float *x, const float *r)
{
	size_t count = BATCH * nn_graph_output_shape(plan->graph).count;
	float *y = floats(count);
	eddh_error err;
	double sum = 0;

	expect_ok(nn_forward(plan, BATCH, x, arena, y, NULL, &err), &err);
	for (size_t i = 0; i < count; i++)
		sum += (double) r[i] * (double) y[i];
	free(y);
	return sum;
}

/*
 * Derivative along d by central differences at two steps; where they disagree, a ReLU or a maximum has changed its mind in between and nothing can be said.
 */
static bool
differences(const nn_plan *plan, float *arena, const float *x, const float *r, float *block, size_t n, const float *d,
			double *slope)
{
	float *saved = malloc(n * sizeof(float));
	double at[2];

	memcpy(saved, block, n * sizeof(float));
	for (int i = 0; i < 2; i++)
	{
		double h = i == 0 ? 2e-2 : 1e-2;
		double up;
		double down;

		for (size_t j = 0; j < n; j++)
			block[j] = (float) (saved[j] + h * d[j]);
		up = loss(plan, arena, x, r);
		for (size_t j = 0; j < n; j++)
			block[j] = (float) (saved[j] - h * d[j]);
		down = loss(plan, arena, x, r);
		at[i] = (up - down) / (2 * h);
	}
	memcpy(block, saved, n * sizeof(float));
	free(saved);
	*slope = at[1] + (at[1] - at[0]) / 3; /* Richardson */
	return fabs(at[0] - at[1]) <= 0.01 * fabs(at[1]) + 1e-3;
}

/* Half along the gradient, for a strong signal, half random, so that a missing component shows. */
static bool
check_block(const nn_plan *plan, float *arena, const float *x, const float *r, float *block, size_t n, const float *g,
			eddh_rng *rng, const char *what, const char *text)
{
	float *d = malloc(n * sizeof(float));
	double norm_g = 0;
	double norm_r = 0;
	double norm = 0;
	double want = 0;
	double got;
	bool smooth;

	for (size_t i = 0; i < n; i++)
	{
		d[i] = (float) eddh_rng_normal(rng);
		norm_g += (double) g[i] * (double) g[i];
		norm_r += (double) d[i] * (double) d[i];
	}
	for (size_t i = 0; i < n; i++)
	{
		d[i] = (float) (d[i] / sqrt(norm_r) + (norm_g > 0 ? g[i] / sqrt(norm_g) : 0));
		norm += (double) d[i] * (double) d[i];
	}
	for (size_t i = 0; i < n; i++)
	{
		d[i] = (float) (d[i] / sqrt(norm));
		want += (double) d[i] * (double) g[i];
	}
	smooth = differences(plan, arena, x, r, block, n, d, &got);
	if (smooth && fabs(got - want) > 0.01 * (fabs(got) + fabs(want)) + 4e-3)
	{
		fputs(text, stderr);
		fail_msg("gradient of %s along a direction: backward says %g, differences say %g", what, want, got);
	}
	confirmed += smooth;
	kinked += !smooth;
	free(d);
	return smooth;
}

static void
check_graph(uint64_t seed)
{
	nn_graph *graph = random_graph(seed, 3 + (int) (seed % 12));
	size_t in = nn_graph_input_shape(graph).count * BATCH;
	size_t out = nn_graph_output_shape(graph).count * BATCH;
	nn_plan *training;
	nn_plan *inference;
	eddh_error err;
	eddh_rng rng;
	static char text[16384];

	eddh_rng_seed(&rng, seed + 1000);
	snprintf(text, sizeof(text), "seed %llu\n", (unsigned long long) seed);
	describe(graph, text + strlen(text), sizeof(text) - strlen(text));

	float *x = normals(&rng, in);
	float *r = normals(&rng, out);
	float *y = floats(out);
	float *dx = floats(in);
	float *dw = calloc(graph->n_weights + 1, sizeof(float));

	expect_ok(nn_plan_create(graph, BATCH, true, &training, &err), &err);
	expect_ok(nn_plan_create(graph, BATCH, false, &inference, &err), &err);

	float *arena = floats(nn_plan_arena_size(training) / sizeof(float));
	float *arena_inference = floats(nn_plan_arena_size(inference) / sizeof(float));

	memset(arena, 0xff, nn_plan_arena_size(training));
	memset(arena_inference, 0xff, nn_plan_arena_size(inference));
	expect_ok(nn_forward(training, BATCH, x, arena, y, NULL, &err), &err);
	expect_ok(nn_backward(training, BATCH, x, arena, r, dw, dx, NULL, &err), &err);

	if (check_block(inference, arena_inference, x, r, x, in, dx, &rng, "the input", text))
		for (size_t i = 0; i < graph->n_nodes; i++)
			checked[graph->nodes[i].op]++;
	for (size_t i = 0; i < graph->n_nodes; i++)
	{
		const nn_node *node = &graph->nodes[i];
		const char *name = nn_graph_string(graph, node->name);

		if (node->w_count > 0)
			check_block(inference, arena_inference, x, r, graph->weights + node->w, (size_t) node->w_count,
						dw + node->w, &rng, name, text);
		if (node->b_count > 0)
			check_block(inference, arena_inference, x, r, graph->weights + node->b, (size_t) node->b_count,
						dw + node->b, &rng, name, text);
	}
	free(x);
	free(r);
	free(y);
	free(dx);
	free(dw);
	free(arena);
	free(arena_inference);
	nn_plan_free(training);
	nn_plan_free(inference);
	nn_graph_free(graph);
}

static void
backward_equals_finite_differences(void **state)
{
	for (uint64_t seed = 1; seed <= GRAPHS; seed++)
		check_graph(seed);
	if (kinked > confirmed / 3)
		fail_msg("only %d of %d directions were smooth", confirmed, confirmed + kinked);
	for (int op = 0; op < NN_OP_COUNT; op++)
		if (checked[op] == 0)
			fail_msg("no network with %s was checked", nn_op_name((uint32_t) op));
}

/* d_weights is added to, the input's gradient may be left out, and a later first node gives the same numbers for its part. */
static void
partial_backward_is_part_of_the_whole(void **state)
{
	for (uint64_t seed = 200; seed < 230; seed++)
	{
		nn_graph *graph = random_graph(seed, 10);
		size_t in = nn_graph_input_shape(graph).count * BATCH;
		size_t out = nn_graph_output_shape(graph).count * BATCH;
		uint32_t first = (uint32_t) (seed % graph->n_nodes);
		size_t skipped = (size_t) graph->nodes[first].w;
		nn_plan *plan;
		eddh_error err;
		eddh_rng rng;

		eddh_rng_seed(&rng, seed);

		float *x = normals(&rng, in);
		float *r = normals(&rng, out);
		float *y = floats(out);
		float *dx = floats(in);
		float *whole = calloc(graph->n_weights + 1, sizeof(float));
		float *part = calloc(graph->n_weights + 1, sizeof(float));

		expect_ok(nn_plan_create(graph, BATCH, true, &plan, &err), &err);

		float *arena = floats(nn_plan_arena_size(plan) / sizeof(float));

		for (size_t i = 0; i < graph->n_weights; i++)
			whole[i] = part[i] = 1;
		expect_ok(nn_forward(plan, BATCH, x, arena, y, NULL, &err), &err);
		expect_ok(nn_backward(plan, BATCH, x, arena, r, whole, dx, NULL, &err), &err);
		expect_ok(nn_forward(plan, BATCH, x, arena, y, NULL, &err), &err);
		expect_ok(nn_backward_from(plan, first, BATCH, x, arena, r, part, NULL, &err), &err);
		for (size_t i = skipped; i < graph->n_weights; i++)
			if (memcmp(&whole[i], &part[i - skipped], sizeof(float)) != 0)
				fail_msg("seed %d, from node %u: weight %zu has gradient %g, from there %g", (int) seed, first, i,
						 (double) whole[i], (double) part[i - skipped]);
		for (size_t i = graph->n_weights - skipped; i < graph->n_weights; i++)
			assert_true(part[i] == 1);
		free(x);
		free(r);
		free(y);
		free(dx);
		free(whole);
		free(part);
		free(arena);
		nn_plan_free(plan);
		nn_graph_free(graph);
	}
}

/* Reuse of memory, places in the caller's output and the size of the plan's batch change nothing. */
static void
plans_agree(void **state)
{
	for (uint64_t seed = 300; seed < 400; seed++)
	{
		nn_graph *graph = random_graph(seed, 14);
		size_t in = nn_graph_input_shape(graph).count;
		size_t out = nn_graph_output_shape(graph).count;
		static char text[16384];
		eddh_rng rng;

		eddh_rng_seed(&rng, seed);
		describe(graph, text, sizeof(text));

		float *x = normals(&rng, 3 * in);
		float *a = run(graph, 3, false, 3, x);
		float *b = run(graph, 3, true, 3, x);
		float *c = run(graph, 17, false, 3, x);

		for (size_t i = 0; i < 3 * out; i++)
			if (memcmp(&a[i], &b[i], sizeof(float)) != 0 || memcmp(&a[i], &c[i], sizeof(float)) != 0 || isnan(a[i]))
			{
				fputs(text, stderr);
				fail_msg("seed %d output %zu: %g, training %g, larger plan %g", (int) seed, i, (double) a[i],
						 (double) b[i], (double) c[i]);
			}
		free(x);
		free(a);
		free(b);
		free(c);
		nn_graph_free(graph);
	}
}

static bool
stop_at_third(void *arg)
{
	return ++*(int *) arg == 3;
}

/*
 * A batch gives what its samples give one by one, also where a layer is so heavy that the batch is cut for stop's sake (298 million multiply-adds a
 * sample here); up to rounding, for BLAS adds in another order.
 */
static void
samples_are_independent(void **state)
{
	nn_graph *graph;
	nn_plan *plan;
	eddh_error err;
	eddh_rng rng;
	nn_node conv = { .op = NN_OP_CONV,
					 .k = 64,
					 .groups = 1,
					 .window = { .kh = 3, .kw = 3, .sh = 1, .sw = 1, .dh = 1, .dw = 1 },
					 .w_count = 64 * 64 * 9,
					 .b_count = 64 };
	nn_node pool = { .op = NN_OP_GLOBAL_AVGPOOL };
	uint32_t at = 0;
	int polls = 0;
	eddh_stop stop = { stop_at_third, &polls };

	eddh_rng_seed(&rng, 8);
	expect_ok(nn_graph_new(&graph, &err), &err);
	expect_ok(nn_graph_set_input(graph, "x", 3, (int[]){ 64, 92, 92 }, &err), &err);
	expect_ok(nn_graph_add_node(graph, &conv, "conv", 1, &at, "conv", &at, &err), &err);
	expect_ok(nn_graph_add_node(graph, &pool, "pool", 1, &at, "pool", &at, &err), &err);
	expect_ok(nn_graph_finish(graph, at, &err), &err);
	expect_ok(nn_plan_create(graph, BATCH, true, &plan, &err), &err);

	size_t in = nn_graph_input_shape(graph).count;
	float *w = normals(&rng, graph->n_weights);
	float *x = normals(&rng, BATCH * in);
	float *r = normals(&rng, BATCH * 64);
	float *dx[2] = { floats(BATCH * in), floats(BATCH * in) };
	float *dw[2] = { calloc(graph->n_weights, sizeof(float)), calloc(graph->n_weights, sizeof(float)) };
	float *y[2] = { floats(BATCH * 64), floats(BATCH * 64) };
	float *arena = floats(nn_plan_arena_size(plan) / sizeof(float));

	memcpy(graph->weights, w, graph->n_weights * sizeof(float));
	expect_ok(nn_forward(plan, BATCH, x, arena, y[0], NULL, &err), &err);
	expect_ok(nn_backward(plan, BATCH, x, arena, r, dw[0], dx[0], NULL, &err), &err);
	for (int i = 0; i < BATCH; i++)
	{
		expect_ok(nn_forward(plan, 1, x + (size_t) i * in, arena, y[1] + 64 * i, NULL, &err), &err);
		expect_ok(
			nn_backward(plan, 1, x + (size_t) i * in, arena, r + 64 * i, dw[1], dx[1] + (size_t) i * in, NULL, &err),
			&err);
	}
	for (size_t i = 0; i < BATCH * 64; i++)
		assert_true(fabsf(y[0][i] - y[1][i]) <= 1e-4f);
	for (size_t i = 0; i < BATCH * in; i++)
		assert_true(fabsf(dx[0][i] - dx[1][i]) <= 1e-4f);
	for (size_t i = 0; i < graph->n_weights; i++)
		assert_true(fabsf(dw[0][i] - dw[1][i]) <= 1e-4f);

	/* Polled within the layer. */
	assert_int_equal(nn_forward(plan, BATCH, x, arena, y[0], &stop, &err), EDDH_STOPPED);
	for (int i = 0; i < 2; i++)
	{
		free(dx[i]);
		free(dw[i]);
		free(y[i]);
	}
	free(w);
	free(x);
	free(r);
	free(arena);
	nn_plan_free(plan);
	nn_graph_free(graph);
}

static void
stop_is_polled_between_layers(void **state)
{
	nn_graph *graph;
	nn_plan *plan;
	eddh_error err;
	int polls = 0;
	eddh_stop stop = { stop_at_third, &polls };

	expect_ok(nn_graph_cnn_s(1, &graph, &err), &err);
	expect_ok(nn_plan_create(graph, 1, true, &plan, &err), &err);

	float *x = calloc(nn_graph_input_shape(graph).count, sizeof(float));
	float *y = floats(256);
	float *arena = floats(nn_plan_arena_size(plan) / sizeof(float));
	float *dw = calloc(graph->n_weights, sizeof(float));

	assert_int_equal(nn_forward(plan, 1, x, arena, y, &stop, &err), EDDH_STOPPED);
	assert_int_equal(polls, 3);
	polls = 0;
	expect_ok(nn_forward(plan, 1, x, arena, y, NULL, &err), &err);
	assert_int_equal(nn_backward(plan, 1, x, arena, y, dw, NULL, &stop, &err), EDDH_STOPPED);
	assert_int_equal(nn_forward(plan, 2, x, arena, y, NULL, &err), EDDH_BAD_ARGUMENT);
	free(x);
	free(y);
	free(dw);
	free(arena);
	nn_plan_free(plan);
	nn_graph_free(graph);
}

/* The same with segments of one and a few samples. */
static void
in_parts(void **state)
{
	uint64_t usual = nn_part_floats;

	for (nn_part_floats = 200; nn_part_floats <= 3200; nn_part_floats *= 4)
	{
		backward_equals_finite_differences(state);
		partial_backward_is_part_of_the_whole(state);
		plans_agree(state);
		samples_are_independent(state);
	}
	nn_part_floats = usual;
}

/* The same with every chain of layers that there is taken in bands of one row or a few. */
static void
in_bands(void **state)
{
	nn_chain_sizes usual = nn_chain_limits;

	for (uint64_t floats = 1; floats <= 400; floats *= 20)
	{
		nn_chain_limits = (nn_chain_sizes){ .least_floats = 1, .band_floats = 100 * floats, .least_positions = 1 };
		plans_agree(state);
		samples_are_independent(state);
	}
	nn_chain_limits = usual;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(backward_equals_finite_differences),
		cmocka_unit_test(partial_backward_is_part_of_the_whole),
		cmocka_unit_test(plans_agree),
		cmocka_unit_test(samples_are_independent),
		cmocka_unit_test(in_parts),
		cmocka_unit_test(in_bands),
		cmocka_unit_test(stop_is_polled_between_layers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
