/* nn_graphs.h: runs of networks and their comparison. A failure prints the whole network, so that it can be rebuilt by hand. */
#ifndef EDDH_TEST_NN_GRAPHS_H
#define EDDH_TEST_NN_GRAPHS_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "make_graph.h"

static inline void
expect_ok(eddh_code code, const eddh_error *err)
{
	if (code != EDDH_OK)
		fail_msg("error %d: %s", code, err->message);
}

/* Rounded up as aligned_alloc wants. */
static inline float *
floats(size_t count)
{
	float *p = aligned_alloc(64, (count * sizeof(float) + 64) / 64 * 64);

	assert_non_null(p);
	return p;
}

static inline float *
normals(eddh_rng *rng, size_t count)
{
	float *p = floats(count);

	for (size_t i = 0; i < count; i++)
		p[i] = (float) eddh_rng_normal(rng);
	return p;
}

/* ---- Runs ---- */

/* Output of n samples by a plan for max_batch; free it. */
static inline float *
run(const nn_graph *graph, int max_batch, bool training, int n, const float *input)
{
	nn_plan *plan;
	eddh_error err;
	float *arena;
	float *output = floats((size_t) n * nn_graph_output_shape(graph).count);

	expect_ok(nn_plan_create(graph, max_batch, training, &plan, &err), &err);
	arena = floats(nn_plan_arena_size(plan) / sizeof(float));
	memset(arena, 0xff, nn_plan_arena_size(plan)); /* NaN: whatever is read unwritten shows */
	expect_ok(nn_forward(plan, n, input, arena, output, NULL, &err), &err);
	free(arena);
	nn_plan_free(plan);
	return output;
}

/* Two networks compute the same, up to tolerance relative to the largest output. */
static inline void
assert_close_function(const nn_graph *a, const nn_graph *b, double tolerance, const char *what)
{
	size_t in = nn_graph_input_shape(a).count;
	size_t out = nn_graph_output_shape(a).count;
	eddh_rng rng;
	float *x;
	float *ya;
	float *yb;
	double largest = 0;
	static char text[8192];

	if (nn_graph_input_shape(b).count != in || nn_graph_output_shape(b).count != out)
		fail_msg("%s: shapes differ", what);
	eddh_rng_seed(&rng, 5);
	x = normals(&rng, 2 * in);
	ya = run(a, 2, false, 2, x);
	yb = run(b, 2, false, 2, x);
	describe(a, text, sizeof(text));
	for (size_t i = 0; i < 2 * out; i++)
		largest = fmax(largest, fabs((double) ya[i]));
	for (size_t i = 0; i < 2 * out; i++)
		if (!(fabs((double) ya[i] - (double) yb[i]) <= tolerance * largest))
		{
			fputs(text, stderr);
			fail_msg("%s: output %zu is %.9g and %.9g", what, i, (double) ya[i], (double) yb[i]);
		}
	free(x);
	free(ya);
	free(yb);
}

/* Bit for bit. */
static inline void
assert_same_function(const nn_graph *a, const nn_graph *b, const char *what)
{
	assert_close_function(a, b, 0, what);
}

#endif /* EDDH_TEST_NN_GRAPHS_H */
