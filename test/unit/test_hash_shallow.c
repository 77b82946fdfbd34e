/*
 * test_hash_shallow.c: methods that learn on fixed inputs. Each learns; its head, joined with its anchors, gives the same outputs for a row alone, in a
 * batch, and read back from ONNX; discrete steps never raise their objective; gradients equal finite differences.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hash_toy.h"

#include "hash/ksh.h"
#include "hash/linalg.h"
#include "hash/measure.h"
#include "hash/private.h"
#include "hash/sdh.h"
#include "nn/nn.h"

#define ROWS    600
#define DIM     24
#define BITS    16
#define CLASSES 6
#define ANCHORS 60

/* Outputs of n rows, `batch` at a time. */
static float *
run_graph(const nn_graph *graph, size_t n, int batch, const float *z)
{
	size_t in = nn_graph_input_shape(graph).count, out = nn_graph_output_shape(graph).count;
	float *u = malloc(n * out * sizeof *u), *arena;
	nn_plan *plan;
	eddh_error err;

	assert_ok(nn_plan_create(graph, batch, false, &plan, &err));
	arena = aligned_alloc(64, (nn_plan_arena_size(plan) + 127) / 64 * 64);
	for (size_t first = 0; first < n; first += batch)
	{
		int now = n - first < (size_t) batch ? (int) (n - first) : batch;

		assert_ok(nn_forward(plan, now, z + first * in, arena, u + first * out, NULL, &err));
	}
	free(arena);
	nn_plan_free(plan);
	return u;
}

static void
assert_same_bits(const float *a, const float *b, const char *what)
{
	size_t near = 0;

	for (size_t i = 0; i < ROWS * BITS; i++)
	{
		assert_near(a[i], b[i], 1e-4 * (1 + fabs(a[i])));
		near += fabsf(a[i]) <= 1e-4f;
		if (fabsf(a[i]) > 1e-4f && (a[i] >= 0) != (b[i] >= 0))
			fail_msg("%s: output %zu is %g and %g", what, i, a[i], b[i]);
	}
	assert_true(near < ROWS * BITS / 20);
}

/* Whitened kernel values: centred, a mean square of 1, and no direction of much more than that; centred ones have one that holds most. */
static void
check_whitening(int count, const float *phi)
{
	double *covariance = calloc((size_t) count * count, sizeof *covariance), *values = calloc(count, sizeof *values);
	double *vectors = calloc((size_t) count * count, sizeof *vectors), square = 0;
	nn_graph *whiten;
	float *white;
	eddh_error err;

	assert_ok(hash_anchors_whiten(ROWS, count, phi, &whiten, &err));
	white = run_graph(whiten, ROWS, 128, phi);
	for (int a = 0; a < count; a++)
	{
		double mean = 0;

		for (size_t i = 0; i < ROWS; i++)
			mean += white[i * count + a] / ROWS;
		assert_near(mean, 0, 1e-3);
		for (int b = 0; b < count; b++)
		{
			for (size_t i = 0; i < ROWS; i++)
				covariance[a * count + b] += white[i * count + a] * white[i * count + b] / ROWS;
		}
		square += covariance[a * count + a] / count;
	}
	assert_near(square, 1, 1e-3);
	assert_ok(hash_eigen(count, covariance, values, vectors, &err));
	/* An eigenvalue v becomes v / (v + ridge), at most 1, before all are scaled to the mean of 1. */
	for (int a = 1; a < count; a++)
		assert_true(values[a] <= values[0]);
	assert_true(values[0] < 0.2 * count);
	nn_graph_free(whiten);
	free(white);
	free(covariance);
	free(values);
	free(vectors);
}

static double last_logged;

static void
keep_last(void *arg, const char *measure, int step, double value)
{
	last_logged = value;
}

/* Trains and returns the outputs of the whole graph from features to bits, after comparing three ways of computing them. */
static float *
learn(const char *name, const hash_labels *labels, const float *z, int anchor_count, uint64_t seed)
{
	const hash_method *method = hash_method_find(name);
	double values[8];
	hash_problem problem = { .rows = ROWS,
							 .dim = DIM,
							 .bits = BITS,
							 .features = z,
							 .labels = labels,
							 .seed = seed,
							 .values = values,
							 .log = keep_last };
	hash_anchors anchors = { 0 };
	hash_head head, again;
	nn_graph *kernel = NULL, *centre, *graph, *joined, *read;
	double square = 0;
	nn_buffer onnx;
	float *phi = NULL, *u, *one, *exported;
	eddh_error err;

	assert_non_null(method);
	for (int i = 0; i < hash_param_count(method); i++)
		values[i] = method->params[i].standard;
	if (anchor_count > 0)
	{
		assert_ok(hash_anchors_draw(NULL, ROWS, DIM, z, anchor_count, 1, seed, &anchors, &err));
		assert_int_equal(anchors.count, anchor_count);
		assert_ok(nn_graph_rbf(DIM, anchors.count, anchors.rows, anchors.gamma, &kernel, &err));
		problem.inputs = phi = run_graph(kernel, ROWS, 128, z);
		problem.input_dim = anchors.count;
		for (size_t i = 0; i < ROWS; i += 37)
		{
			for (int a = 0; a < anchors.count; a++)
			{
				double apart = 0;

				for (int j = 0; j < DIM; j++)
					apart += pow((double) z[i * DIM + j] - anchors.rows[a * DIM + j], 2);
				assert_near(phi[i * anchors.count + a], exp(-anchors.gamma * apart), 2e-6);
			}
		}
		check_whitening(anchors.count, phi);
		assert_ok(hash_anchors_centre(ROWS, anchors.count, phi, &centre, &err));
		assert_ok(nn_graph_join(kernel, centre, &joined, &err));
		nn_graph_free(centre);
		nn_graph_free(kernel);
		kernel = joined;
		free(phi);
		problem.inputs = phi = run_graph(kernel, ROWS, 128, z);
		for (int a = 0; a < anchors.count; a++)
		{
			double mean = 0;

			for (size_t i = 0; i < ROWS; i++)
			{
				mean += phi[i * anchors.count + a] / ROWS;
				square += pow(phi[i * anchors.count + a], 2) / (ROWS * anchors.count);
			}
			assert_near(mean, 0, 1e-4);
		}
		assert_near(square, 1, 1e-3);
	}
	assert_ok(method->train(&problem, &head, &err));
	assert_ok(method->train(&problem, &again, &err));
	assert_int_equal(head.bits, BITS);
	assert_memory_equal(head.w, again.w, (size_t) head.units * head.dim * sizeof *head.w);
	assert_memory_equal(head.b, again.b, head.units * sizeof *head.b);
	assert_ok(hash_head_graph(&head, &graph, &err));
	if (kernel != NULL)
	{
		assert_ok(nn_graph_join(kernel, graph, &joined, &err));
		nn_graph_free(graph);
		graph = joined;
	}
	u = run_graph(graph, ROWS, 64, z);
	one = run_graph(graph, ROWS, 1, z);
	assert_same_bits(u, one, name);
	assert_ok(nn_graph_write_onnx(graph, &onnx, &err));
	assert_ok(nn_graph_read_onnx(onnx.bytes, onnx.len, &nn_limits_default, &read, &err));
	exported = run_graph(read, ROWS, 64, z);
	assert_same_bits(u, exported, name);
	nn_buffer_free(&onnx);
	nn_graph_free(read);
	nn_graph_free(graph);
	nn_graph_free(kernel);
	hash_head_clear(&head);
	hash_head_clear(&again);
	hash_anchors_clear(&anchors);
	free(phi);
	free(one);
	free(exported);
	return u;
}

static void
every_shallow_method_learns(void **state)
{
	static const struct
	{
		const char *name;
		int anchors;
		bool several;
		double least; /* mAP; chance is about 1/6, with several labels a half */
	} cases[] = {
		{ "itq", 0, false, 0.6 },        { "sh", 0, false, 0.35 },
		{ "sdh", 0, false, 0.95 },       { "sdh", ANCHORS, false, 0.95 },
		{ "sdh", ANCHORS, true, 0.8 },   { "ksh", 0, false, 0.9 },
		{ "ksh", ANCHORS, false, 0.9 },  { "ksh", ANCHORS, true, 0.75 },
		{ "classifier", 0, false, 0.9 }, { "classifier", ANCHORS, false, 0.9 },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
	{
		hash_labels *labels = toy_labels(ROWS, CLASSES, cases[i].several, 0, 3);
		float *z = toy_features(ROWS, DIM, labels, 0.8, 5);
		float *u = learn(cases[i].name, labels, z, cases[i].anchors, 9);
		double map = toy_quality(ROWS, BITS, u, labels).map;

		if (getenv("EDDH_TEST_VERBOSE") != NULL)
			printf("%s anchors %d several %d: mAP %.3f\n", cases[i].name, cases[i].anchors, cases[i].several, map);
		if (!(map > cases[i].least))
			fail_msg("%s with %d anchors: mAP %.3f, expected more than %.3f", cases[i].name, cases[i].anchors, map,
					 cases[i].least);
		free(u);
		free(z);
		hash_labels_free(labels);
	}
}

/* All rows of one predicted class have one code, in bits of the class number. */
static void
classifier_codes_are_classes(void **state)
{
	hash_labels *labels = toy_labels(ROWS, CLASSES, false, 0, 3);
	float *z = toy_features(ROWS, DIM, labels, 0.3, 5);
	float *u = learn("classifier", labels, z, 0, 9);
	size_t right = 0;

	for (size_t i = 0; i < ROWS; i++)
	{
		int class = 0;

		for (int j = 0; j < BITS; j++)
		{
			assert_near(fabsf(u[i * BITS + j]), 1, 1e-3);
			assert_true((u[i * BITS + j] >= 0) == (u[i * BITS + j % 3] >= 0));
		}
		for (int j = 0; j < 3; j++)
			class |= (u[i * BITS + j] >= 0) << j;
		right += class == labels->single[i];
	}
	assert_true(right > ROWS * 95 / 100);
	free(u);
	free(z);
	hash_labels_free(labels);
}

static double
sdh_objective(const hash_labels *labels, const double *w, double lambda, double nu, const float *phi, const int8_t *b)
{
	double total = 0;

	for (int l = 0; l < BITS * CLASSES; l++)
		total += lambda * w[l] * w[l];
	for (size_t i = 0; i < ROWS; i++)
	{
		if (hash_labels_empty(labels, i))
			continue;
		for (int c = 0; c < CLASSES; c++)
		{
			double y = labels->bitmap[i] >> c & 1;

			for (int l = 0; l < BITS; l++)
				y -= b[i * BITS + l] * w[l * CLASSES + c];
			total += y * y;
		}
		for (int l = 0; l < BITS; l++)
			total += nu * pow(b[i * BITS + l] - phi[i * BITS + l], 2);
	}
	return total;
}

static void
sdh_steps_never_raise_the_objective(void **state)
{
	for (int several = 0; several < 2; several++)
	{
		hash_labels *labels = toy_labels(ROWS, CLASSES, several, 11, 3);
		float *phi = malloc(ROWS * BITS * sizeof *phi);
		int8_t *b = malloc(ROWS * BITS);
		double w[BITS * CLASSES] = { 0 }, last = INFINITY, first = 0;
		eddh_error err;
		eddh_rng rng;

		eddh_rng_seed(&rng, 7);
		for (size_t i = 0; i < ROWS * BITS; i++)
		{
			phi[i] = (float) eddh_rng_normal(&rng);
			b[i] = eddh_rng_below(&rng, 2) ? 1 : -1;
		}
		for (int round = 0; round < 8; round++)
		{
			double now;

			assert_ok(hash_sdh_classifier(labels, BITS, b, 0.5, w, &err));
			now = sdh_objective(labels, w, 0.5, 1e-3, phi, b);
			assert_true(now <= last * (1 + 1e-12));
			last = now;
			first = round == 0 ? now : first;
			(void) hash_sdh_sweep(labels, BITS, w, 1e-3, phi, b);
			now = sdh_objective(labels, w, 0.5, 1e-3, phi, b);
			assert_true(now <= last * (1 + 1e-12));
			last = now;
		}
		assert_true(last < 0.9 * first);
		free(phi);
		free(b);
		hash_labels_free(labels);
	}
}

/* By the number of classes, where no row has two of them; what is given stays, but for 0. */
static void
sdh_lambda_goes_with_the_labels(void **state)
{
	eddh_error err;

	for (int several = 0; several < 2; several++)
		for (int classes = 22; classes <= 23; classes++)
		{
			hash_labels *labels;

			assert_ok(hash_labels_create(NULL, 3, classes, &labels, &err));
			hash_labels_add(labels, 0, 0);
			hash_labels_add(labels, 2, 1);
			if (several)
				hash_labels_add(labels, 2, 0);
			assert_ok(hash_labels_finish(labels, &err));
			assert_true(hash_sdh_lambda(labels, -1) == (several || classes == 23 ? 100 : 1));
			assert_true(hash_sdh_lambda(labels, 0.5) == 0.5);
			assert_true(hash_sdh_lambda(labels, 0) > 0);
			hash_labels_free(labels);
		}
}

/* R = k S - sum of y y^T, written out: products with it, and the slope of y^T R y against differences. */
static void
ksh_residual_equals_the_matrix(void **state)
{
	enum
	{
		N = 40,
		TAKEN = 3
	};
	float r[N * N], u[N], y[N], slope[N];
	uint32_t order[N];
	eddh_rng rng;
	eddh_error err;

	eddh_rng_seed(&rng, 3);
	for (int several = 0; several <= 1; several++)
	{
		hash_labels *labels = toy_labels(2 * N, CLASSES, several != 0, 0, 3);
		hash_ksh_residual residual;

		for (uint32_t i = 0; i < N; i++)
			order[i] = 2 * N - 1 - 2 * i;
		assert_ok(hash_ksh_residual_create(labels, N, order, 8, &residual, &err));
		assert_true(several ? residual.sets > CLASSES : residual.sets == CLASSES);
		for (int i = 0; i < N; i++)
		{
			for (int j = 0; j < N; j++)
				r[i * N + j] = hash_labels_share(labels, order[i], labels, order[j]) ? 8 : -8;
		}
		for (int bit = 0; bit < TAKEN; bit++)
		{
			for (int i = 0; i < N; i++)
				y[i] = eddh_rng_below(&rng, 2) ? 1 : -1;
			hash_ksh_subtract(&residual, y);
			for (int i = 0; i < N * N; i++)
				r[i] -= y[i / N] * y[i % N];
		}
		for (int i = 0; i < N; i++)
			u[i] = (float) (1.5 * eddh_rng_normal(&rng));
		(void) hash_ksh_smooth(&residual, u, y, slope);
		for (int i = 0; i < N; i++)
		{
			double product = 0, up, down;
			float was = u[i];

			assert_near(y[i], tanh(u[i] / 2), 1e-6);
			for (int j = 0; j < N; j++)
				product += (double) r[i * N + j] * tanh(u[j] / 2);
			assert_near(residual.product[i], product, 1e-3);
			u[i] = was + 1e-2f;
			up = hash_ksh_smooth(&residual, u, y, NULL);
			u[i] = was - 1e-2f;
			down = hash_ksh_smooth(&residual, u, y, NULL);
			u[i] = was;
			assert_near((up - down) / 2e-2, slope[i], 1e-3 * fabs(slope[i]) + 0.05);
			(void) hash_ksh_smooth(&residual, u, y, slope);
		}
		hash_ksh_residual_clear(&residual);
		hash_labels_free(labels);
	}
}

/* What the log says of the residual is |R|^2 of the codes that were learned, whether classes are fewer than inputs or not. */
static void
ksh_logs_the_residual_of_its_codes(void **state)
{
	for (int several = 0; several <= 1; several++)
	{
		hash_labels *labels = toy_labels(ROWS, CLASSES, several != 0, 0, 3);
		float *z = toy_features(ROWS, DIM, labels, 0.8, 5), *u;
		double residual = 0;

		u = learn("ksh", labels, z, 0, 9);
		for (size_t i = 0; i < ROWS; i++)
		{
			for (size_t j = 0; j < ROWS; j++)
			{
				double r = hash_labels_share(labels, i, labels, j) ? BITS : -BITS;

				for (int b = 0; b < BITS; b++)
					r -= (u[i * BITS + b] >= 0) == (u[j * BITS + b] >= 0) ? 1 : -1;
				residual += r * r;
			}
		}
		residual /= (double) BITS * BITS * ROWS * ROWS;
		assert_near(last_logged, residual, 1e-4);
		free(u);
		free(z);
		hash_labels_free(labels);
	}
}

static void
bad_problems_end_cleanly(void **state)
{
	static const char *const names[] = { "sh", "sdh", "ksh", "classifier" };
	hash_labels *labels = toy_labels(ROWS, CLASSES, false, 0, 3), *one = toy_labels(ROWS, 1, false, 0, 3);
	float *z = toy_features(ROWS, DIM, labels, 0.8, 5);
	eddh_error err;

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
	{
		const hash_method *method = hash_method_find(names[i]);
		double values[8];
		hash_problem problem = { .rows = ROWS, .dim = DIM, .bits = BITS, .labels = labels, .values = values };
		hash_head head;

		for (int p = 0; p < hash_param_count(method); p++)
			values[p] = method->params[p].standard;
		assert_int_equal(method->train(&problem, &head, &err), EDDH_BAD_ARGUMENT); /* no features */
		assert_null(head.w);
		problem.features = z;
		z[70] = INFINITY;
		assert_int_equal(method->train(&problem, &head, &err), EDDH_NUMERIC);
		assert_null(head.w);
		z[70] = 0;
		if (!method->needs_labels)
			continue;
		problem.labels = one;
		assert_int_equal(method->train(&problem, &head, &err), EDDH_BAD_ARGUMENT);
		problem.labels = NULL;
		assert_int_equal(method->train(&problem, &head, &err), EDDH_BAD_ARGUMENT);
		assert_null(head.w);
	}
	free(z);
	hash_labels_free(labels);
	hash_labels_free(one);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_shallow_method_learns),
		cmocka_unit_test(classifier_codes_are_classes),
		cmocka_unit_test(sdh_steps_never_raise_the_objective),
		cmocka_unit_test(sdh_lambda_goes_with_the_labels),
		cmocka_unit_test(ksh_residual_equals_the_matrix),
		cmocka_unit_test(ksh_logs_the_residual_of_its_codes),
		cmocka_unit_test(bad_problems_end_cleanly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
