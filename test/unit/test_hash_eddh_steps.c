/*
 * test_hash_eddh_steps.c: EDDH's objective against the sum over all pairs, its gradients against differences, its closed forms against zero
 * gradient and enumeration, and that no step ever raises the objective. Every variant, one label a row and several, all columns and a sample.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hash_toy.h"

#include "hash/eddh_steps.h"

#define ROWS    90
#define DIM     11
#define CLASSES 4
#define BITS    8

typedef struct toy
{
	hash_labels *labels;
	float *z;
	hash_similarity *similarity;
	hash_eddh *e;
	eddh_rng rng;
} toy;

typedef struct toy_shape
{
	hash_eddh_variant variant;
	bool several;
	size_t sample;
	hash_balance balance;
} toy_shape;

static const double weights[] = { 0.3, 0.7, 0.2, 0.05 };

/* With a class that nobody has, and rows without labels: both make G or M singular somewhere. */
static void
toy_make(toy *t, toy_shape shape)
{
	hash_similarity_options options = {
		.balance = shape.balance, .alpha = 1.3, .beta = 0.35, .sample = shape.sample, .seed = 5
	};
	double a[(CLASSES + 1) * BITS];
	hash_labels *some;
	eddh_error err;

	eddh_rng_seed(&t->rng, 21);
	some = toy_labels(ROWS, CLASSES, shape.several, 13, 3);
	assert_ok(hash_labels_create(NULL, ROWS, CLASSES + 1, &t->labels, &err));
	memcpy(t->labels->bitmap, some->bitmap, ROWS * sizeof *some->bitmap);
	assert_ok(hash_labels_finish(t->labels, &err));
	t->z = toy_features(ROWS, DIM, some, 1, 4);
	hash_labels_free(some);
	assert_ok(hash_similarity_create(ROWS, DIM, t->z, t->labels, &options, NULL, &t->similarity, &err));
	for (size_t i = 0; i < sizeof a / sizeof a[0]; i++)
		a[i] = eddh_rng_next(&t->rng) >> 63 ? 1 : -1;
	assert_ok(hash_eddh_create(shape.variant, BITS, t->labels, t->similarity, weights, a, &t->e, &err));
}

static void
toy_free(toy *t)
{
	hash_eddh_free(t->e);
	hash_similarity_free(t->similarity);
	hash_labels_free(t->labels);
	free(t->z);
}

/* F in (-1, 1), of which differences of 1/64 are exact in float. */
static void
random_f(toy *t)
{
	eddh_error err;

	for (size_t i = 0; i < ROWS * BITS; i++)
		t->e->f[i] = (float) eddh_rng_below(&t->rng, 4096) / 2048 - 1;
	assert_ok(hash_eddh_see_f(t->e, NULL, &err));
}

static size_t
p_rows(const toy *t)
{
	return t->e->variant == HASH_EDDH_H0 ? 0 : t->e->variant == HASH_EDDH_H1 ? t->similarity->columns : ROWS;
}

static void
random_state(toy *t)
{
	random_f(t);
	for (size_t i = 0; i < (CLASSES + 1) * BITS; i++)
		t->e->a[i] = eddh_rng_normal(&t->rng);
	for (size_t i = 0; i < p_rows(t) * BITS; i++)
	{
		/* Like F, P is zero for rows without a label. */
		if (t->e->variant == HASH_EDDH_H1 || t->labels->bitmap[i / BITS] != 0)
			t->e->p[i] = eddh_rng_normal(&t->rng);
	}
	for (size_t i = 0; i < ROWS * BITS; i++)
	{
		if (t->labels->bitmap[i / BITS] != 0)
			t->e->b[i] = eddh_rng_next(&t->rng) >> 63 ? 1 : -1;
	}
}

static double
objective(toy *t)
{
	eddh_error err;
	double j;

	assert_ok(hash_eddh_objective(t->e, &j, &err));
	return j;
}

static void
class_code(const toy *t, size_t row, double *code)
{
	memset(code, 0, BITS * sizeof *code);
	for (int c = 0; c <= CLASSES; c++)
	{
		for (int j = 0; j < BITS && t->labels->bitmap[row] >> c & 1; j++)
			code[j] += t->e->a[c * BITS + j];
	}
}

/* J as it is printed: one square a pair. */
static double
objective_of_pairs(toy *t)
{
	const hash_eddh *e = t->e;
	hash_similarity *s = t->similarity;
	float *tile = malloc(ROWS * s->columns * sizeof *tile);
	double j = 0;
	eddh_error err;

	assert_ok(hash_similarity_tile(s, 0, ROWS, tile, &err));
	for (size_t i = 0; i < ROWS; i++)
	{
		double own[BITS];

		if (t->labels->bitmap[i] == 0)
			continue;
		for (size_t l = 0; l < s->columns; l++)
		{
			double code[BITS], product = 0;

			class_code(t, s->column[l], code);
			for (int b = 0; b < BITS; b++)
			{
				double left = e->variant == HASH_EDDH_H2 ? e->p[i * BITS + b] : e->f[i * BITS + b];

				product += left * (e->variant == HASH_EDDH_H1 ? e->p[l * BITS + b] : code[b]);
			}
			j += s->weight[l] * pow(product - BITS * (double) tile[i * s->columns + l], 2);
		}
		class_code(t, i, own);
		for (int b = 0; b < BITS; b++)
		{
			double f = e->f[i * BITS + b], bit = e->b[i * BITS + b];

			j += e->lambda * pow(f - bit, 2) + e->gamma * pow(bit - own[b], 2) + e->rho * own[b] * own[b];
			if (e->variant == HASH_EDDH_H2)
				j += e->mu * pow(e->p[i * BITS + b] - f, 2);
		}
	}
	for (size_t l = 0; l < s->columns && e->variant == HASH_EDDH_H1; l++)
	{
		double code[BITS];

		class_code(t, s->column[l], code);
		for (int b = 0; b < BITS; b++)
			j += e->mu * s->weight[l] * pow(e->p[l * BITS + b] - code[b], 2);
	}
	free(tile);
	return j;
}

/* ---- The shapes that every test goes through ---- */

static void
for_all_shapes(void (*test)(toy *t, toy_shape shape))
{
	for (int variant = HASH_EDDH_H0; variant <= HASH_EDDH_H2; variant++)
	{
		for (int several = 0; several <= 1; several++)
		{
			const toy_shape shapes[] = { { variant, several, 0, HASH_BALANCE_RATIO },
										 { variant, several, 0, HASH_BALANCE_NONE },
										 { variant, several, 0, HASH_BALANCE_CENTER },
										 { variant, several, 30, HASH_BALANCE_RATIO } };

			for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
			{
				toy t;

				toy_make(&t, shapes[i]);
				test(&t, shapes[i]);
				toy_free(&t);
			}
		}
	}
}

static void
objective_of_one_shape(toy *t, toy_shape shape)
{
	double pairs, cheap;

	/* In h0 and h2 a sample gives M, not the pairs: the cheap form is the objective there, up to the square sum of S. */
	random_state(t);
	pairs = objective_of_pairs(t);
	cheap = objective(t);
	if (shape.sample == 0 || shape.variant == HASH_EDDH_H1)
		assert_near(cheap, pairs, 1e-6 * pairs);
}

static void
objective_equals_the_sum_over_pairs(void **state)
{
	for_all_shapes(objective_of_one_shape);
}

/* J is quadratic in each variable alone, so central differences of any width are exact up to rounding. */
static double
difference_f(toy *t, size_t at)
{
	const float step = 0.25f;
	float held = t->e->f[at];
	double above, below;
	eddh_error err;

	t->e->f[at] = held + step;
	assert_ok(hash_eddh_see_f(t->e, NULL, &err));
	above = objective(t);
	t->e->f[at] = held - step;
	assert_ok(hash_eddh_see_f(t->e, NULL, &err));
	below = objective(t);
	t->e->f[at] = held;
	assert_ok(hash_eddh_see_f(t->e, NULL, &err));
	return (above - below) / (2 * step);
}

static double
difference(toy *t, double *x)
{
	const double step = 0.25;
	double held = *x, above, below;

	*x = held + step;
	above = objective(t);
	*x = held - step;
	below = objective(t);
	*x = held;
	return (above - below) / (2 * step);
}

static void
gradient_of_one_shape(toy *t, toy_shape shape)
{
	const size_t rows[] = { 0, 1, 12, 40, 89 };
	eddh_error err;

	random_state(t);
	assert_ok(hash_eddh_prepare_theta(t->e, NULL, &err));
	for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++)
	{
		double f[BITS], gradient[BITS], scale = 0;

		for (int b = 0; b < BITS; b++)
			f[b] = t->e->f[rows[r] * BITS + b];
		hash_eddh_row(t->e, rows[r], f, gradient);
		for (int b = 0; b < BITS; b++)
			scale = fmax(scale, fabs(gradient[b]));
		/* Row 12 has no label. */
		assert_true((scale == 0) == (t->labels->bitmap[rows[r]] == 0));
		for (int b = 0; b < BITS && scale > 0; b++)
			assert_near(gradient[b], difference_f(t, rows[r] * BITS + b), 2e-6 * scale);
	}
}

static void
gradients_of_f_equal_differences(void **state)
{
	for_all_shapes(gradient_of_one_shape);
}

/* The row's value that the theta-step reports is J's dependence on that row. */
static void
row_value_of_one_shape(toy *t, toy_shape shape)
{
	double f[BITS], before, after, j;
	eddh_error err;

	random_state(t);
	assert_ok(hash_eddh_prepare_theta(t->e, NULL, &err));
	for (int b = 0; b < BITS; b++)
		f[b] = t->e->f[b];
	before = hash_eddh_row(t->e, 0, f, NULL);
	j = objective(t);
	for (int b = 0; b < BITS; b++)
		t->e->f[b] = (float) (f[b] = f[b] > 0 ? f[b] - 0.75 : f[b] + 0.5);
	assert_ok(hash_eddh_see_f(t->e, NULL, &err));
	after = hash_eddh_row(t->e, 0, f, NULL);
	assert_near(after - before, objective(t) - j, 1e-6 * fabs(j));
}

static void
row_values_add_up_to_the_objective(void **state)
{
	for_all_shapes(row_value_of_one_shape);
}

static void
closed_forms_of_one_shape(toy *t, toy_shape shape)
{
	eddh_error err;
	double scale, *p = t->e->p;

	random_state(t);
	if (shape.variant != HASH_EDDH_H0)
	{
		scale = fabs(difference(t, &p[3])) + fabs(difference(t, &p[4]));
		assert_ok(hash_eddh_p_step(t->e, &err));
		for (size_t i = 0; i < p_rows(t) * BITS; i += 7)
			assert_near(difference(t, &p[i]), 0, 1e-6 * scale);
	}
	scale = 0;
	for (int i = 0; i < CLASSES * BITS; i++)
		scale = fmax(scale, fabs(difference(t, &t->e->a[i])));
	assert_ok(hash_eddh_a_step(t->e, &err));
	/* The ridge of G leaves 1e-6 of it. The absent class, last, has no influence. */
	for (int i = 0; i < CLASSES * BITS; i++)
		assert_near(difference(t, &t->e->a[i]), 0, 1e-5 * scale);
}

static void
gradients_vanish_at_the_closed_forms(void **state)
{
	for_all_shapes(closed_forms_of_one_shape);
}

static void
codes_of_one_shape(toy *t, toy_shape shape)
{
	random_state(t);
	hash_eddh_b_step(t->e);
	for (size_t row = 0; row < ROWS; row += 17)
	{
		int8_t *b = t->e->b + row * BITS, held[BITS];
		double best = INFINITY;
		int winner = -1, own = 0;

		if (t->labels->bitmap[row] == 0)
			continue;
		memcpy(held, b, BITS);
		for (int code = 0; code < 1 << BITS; code++)
		{
			double j;

			for (int bit = 0; bit < BITS; bit++)
				b[bit] = code >> bit & 1 ? 1 : -1;
			j = objective(t);
			if (j < best)
			{
				best = j;
				winner = code;
			}
		}
		for (int bit = 0; bit < BITS; bit++)
			own |= (held[bit] > 0) << bit;
		memcpy(b, held, BITS);
		assert_int_equal(own, winner);
	}
}

static void
codes_are_the_best_of_all(void **state)
{
	for_all_shapes(codes_of_one_shape);
}

/* Descent on F along the negative gradient, halving the step until J falls; F stays in [-1, 1]. */
static double
descend(toy *t, double before)
{
	float *held = malloc(ROWS * BITS * sizeof *held);
	double *gradient = malloc(ROWS * BITS * sizeof *gradient);
	double step = 1e-3, after = before;
	eddh_error err;

	assert_ok(hash_eddh_prepare_theta(t->e, NULL, &err));
	memcpy(held, t->e->f, ROWS * BITS * sizeof *held);
	for (size_t i = 0; i < ROWS; i++)
	{
		double f[BITS];

		for (int b = 0; b < BITS; b++)
			f[b] = held[i * BITS + b];
		hash_eddh_row(t->e, i, f, gradient + i * BITS);
	}
	for (int halving = 0; halving < 60; halving++, step /= 2)
	{
		for (size_t i = 0; i < ROWS * BITS; i++)
			t->e->f[i] = (float) fmax(-1, fmin(1, held[i] - step * gradient[i]));
		assert_ok(hash_eddh_see_f(t->e, NULL, &err));
		after = objective(t);
		if (after <= before)
			break;
	}
	assert_true(after <= before);
	free(held);
	free(gradient);
	return after;
}

static void
monotony_of_one_shape(toy *t, toy_shape shape)
{
	const double tolerance = 1e-10;
	double first, j;
	eddh_error err;

	random_f(t);
	first = j = objective(t);
	for (int cycle = 0; cycle < 60; cycle++)
	{
		double next;

		assert_ok(hash_eddh_p_step(t->e, &err));
		next = objective(t);
		assert_true(next <= j + tolerance * fabs(j));
		j = descend(t, next);
		assert_ok(hash_eddh_a_step(t->e, &err));
		next = objective(t);
		assert_true(next <= j + tolerance * fabs(j));
		j = next;
		hash_eddh_b_step(t->e);
		next = objective(t);
		assert_true(next <= j + tolerance * fabs(j));
		j = next;
	}
	/* And it must have moved: a step that does nothing is monotone too. */
	assert_true(j < 0.9 * first);
}

static void
the_objective_never_rises(void **state)
{
	for_all_shapes(monotony_of_one_shape);
}

/* The ridge that lets G be factored changes A'Y by no more than its size, against the pseudo-inverse over the classes that exist. */
static void
ridge_equals_the_pseudo_inverse(void **state)
{
	const toy_shape shape = { HASH_EDDH_H1, false, 0, HASH_BALANCE_RATIO };
	double expected[CLASSES][BITS] = { 0 };
	size_t count[CLASSES] = { 0 };
	eddh_error err;
	toy t;

	toy_make(&t, shape);
	random_state(&t);
	for (size_t j = 0; j < t.similarity->columns; j++)
	{
		uint32_t row = t.similarity->column[j];

		count[t.labels->single[row]]++;
		for (int b = 0; b < BITS; b++)
			expected[t.labels->single[row]][b] +=
				(t.e->mu * t.e->p[j * BITS + b] + t.e->gamma * t.e->b[row * BITS + b]) /
				(t.e->mu + t.e->gamma + t.e->rho);
	}
	assert_ok(hash_eddh_a_step(t.e, &err));
	for (int c = 0; c < CLASSES; c++)
	{
		for (int b = 0; b < BITS; b++)
			assert_near(t.e->a[c * BITS + b], expected[c][b] / (double) count[c], 3e-6);
	}
	for (int b = 0; b < BITS; b++)
		assert_true(t.e->a[CLASSES * BITS + b] == 0);
	toy_free(&t);
}

/* As mu grows, h1 and h2 become h0: P goes to what it relaxes as 1 / mu. */
static void
large_mu_leads_to_h0(void **state)
{
	for (int variant = HASH_EDDH_H1; variant <= HASH_EDDH_H2; variant++)
	{
		const toy_shape shape = { variant, false, 0, HASH_BALANCE_RATIO };
		double last = INFINITY;

		for (double mu = 1e3; mu <= 1e5; mu *= 10)
		{
			double apart = 0;
			eddh_error err;
			toy t;

			toy_make(&t, shape);
			random_f(&t);
			t.e->mu = mu * ROWS;
			assert_ok(hash_eddh_p_step(t.e, &err));
			for (size_t i = 0; i < p_rows(&t); i++)
			{
				double code[BITS];

				class_code(&t, variant == HASH_EDDH_H1 ? t.similarity->column[i] : i, code);
				for (int b = 0; b < BITS; b++)
					apart = fmax(
						apart, fabs(t.e->p[i * BITS + b] - (variant == HASH_EDDH_H1 ? code[b] : t.e->f[i * BITS + b])));
			}
			assert_true(apart < last / 5);
			last = apart;
			toy_free(&t);
		}
		assert_true(last < 1e-2);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(objective_equals_the_sum_over_pairs), cmocka_unit_test(gradients_of_f_equal_differences),
		cmocka_unit_test(row_values_add_up_to_the_objective),  cmocka_unit_test(gradients_vanish_at_the_closed_forms),
		cmocka_unit_test(codes_are_the_best_of_all),           cmocka_unit_test(the_objective_never_rises),
		cmocka_unit_test(ridge_equals_the_pseudo_inverse),     cmocka_unit_test(large_mu_leads_to_h0),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
