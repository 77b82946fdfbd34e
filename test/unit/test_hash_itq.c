/* test_hash_itq.c: the error never rises, the rotation stays one, the layer does what the method found, and its codes keep neighbours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hash_toy.h"

#include "hash/itq.h"
#include "hash/linalg.h"
#include "hash/measure.h"

#define ROWS 600
#define DIM  40
#define BITS 16

static void
rounds_never_raise_the_error(void **state)
{
	double rotation[BITS * BITS], error, last = INFINITY, first;
	float *v = malloc(ROWS * BITS * sizeof *v);
	eddh_error err;
	eddh_rng rng;

	eddh_rng_seed(&rng, 1);
	for (size_t i = 0; i < ROWS * BITS; i++)
		v[i] = (float) (eddh_rng_normal(&rng) / (1 + (double) (i % BITS)));
	for (size_t i = 0; i < BITS * BITS; i++)
		rotation[i] = eddh_rng_normal(&rng);
	hash_orthonormalise(BITS, BITS, rotation, &rng);
	for (int round = 0; round < 50; round++)
	{
		assert_ok(hash_itq_round(ROWS, BITS, v, rotation, &error, &rng, &err));
		first = round == 0 ? error : first;
		assert_true(error <= last * (1 + 1e-12));
		last = error;
		for (int a = 0; a < BITS; a++)
		{
			for (int b = 0; b <= a; b++)
			{
				double product = 0;

				for (int j = 0; j < BITS; j++)
					product += rotation[j * BITS + a] * rotation[j * BITS + b];
				assert_near(product, a == b, 1e-11);
			}
		}
	}
	assert_true(last < 0.98 * first);
	free(v);
}

typedef struct curve
{
	double first, last;
	int steps;
} curve;

static void
log_error(void *arg, const char *measure, int step, double value)
{
	curve *c = arg;

	assert_string_equal(measure, "quantisation");
	c->first = c->steps++ == 0 ? value : c->first;
	c->last = value;
}

static double
map_of(const hash_labels *labels, const float *z, const hash_head *linear)
{
	static float u[ROWS * BITS];

	for (size_t i = 0; i < ROWS; i++)
	{
		for (int j = 0; j < BITS; j++)
		{
			u[i * BITS + j] = linear->b[j];
			for (int l = 0; l < DIM; l++)
				u[i * BITS + j] += linear->w[j * DIM + l] * z[i * DIM + l];
		}
	}
	return toy_quality(ROWS, BITS, u, labels).map;
}

static void
codes_keep_neighbours(void **state)
{
	const hash_method *itq = hash_method_find("itq");
	hash_labels *labels = toy_labels(ROWS, 6, false, 0, 3);
	float *z = toy_features(ROWS, DIM, labels, 0.6, 5);
	double values[] = { 50 };
	curve c = { 0 };
	hash_problem problem = {
		.rows = ROWS, .dim = DIM, .bits = BITS, .features = z, .seed = 9, .values = values, .log = log_error, .arg = &c
	};
	hash_head linear, again;
	eddh_error err;

	assert_int_equal(hash_param_count(itq), 1);
	assert_ok(itq->train(&problem, &linear, &err));
	assert_int_equal(c.steps, 50);
	assert_true(c.last < c.first);
	assert_ok(itq->train(&problem, &again, &err));
	assert_memory_equal(linear.w, again.w, BITS * DIM * sizeof *linear.w);
	assert_memory_equal(linear.b, again.b, BITS * sizeof *linear.b);
	/* Six classes well apart: chance is 1/6. */
	assert_true(map_of(labels, z, &linear) > 0.8);
	hash_head_clear(&linear);
	hash_head_clear(&again);
	assert_null(linear.w);

	problem.bits = DIM + 1;
	assert_int_equal(itq->train(&problem, &linear, &err), EDDH_BAD_ARGUMENT);
	assert_null(linear.w);
	problem.bits = BITS;
	z[7] = INFINITY;
	assert_int_equal(itq->train(&problem, &linear, &err), EDDH_NUMERIC);
	for (size_t i = 0; i < ROWS * DIM; i++)
		z[i] = 2;
	assert_int_equal(itq->train(&problem, &linear, &err), EDDH_NUMERIC);
	free(z);
	hash_labels_free(labels);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rounds_never_raise_the_error),
		cmocka_unit_test(codes_keep_neighbours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
