/* test_hash_split_normal.c: the closed-form fit recovers what a sample was drawn from, is the best there is, and guards its edges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hash_toy.h"

#include "hash/split_normal.h"

#define M 10000

/* Inverse of the normal distribution by bisection: quantiles make a sample without noise. */
static double
normal_quantile(double p)
{
	double low = -9, high = 9;

	for (int i = 0; i < 60; i++)
	{
		double middle = (low + high) / 2;

		*(0.5 * erfc(-middle / sqrt(2)) < p ? &low : &high) = middle;
	}
	return (low + high) / 2;
}

static void
split_normal_quantiles(double mode, double left, double right, double *x)
{
	double share = left / (left + right);

	for (int i = 0; i < M; i++)
	{
		double p = (i + 0.5) / M;

		if (p < share)
			x[i] = mode + left * normal_quantile(p / share / 2);
		else
			x[i] = mode + right * normal_quantile(0.5 + (p - share) / (1 - share) / 2);
	}
}

static double
negative_log_likelihood(const double *x, double mode, double left, double right)
{
	double sum = M * log((left + right) * sqrt(acos(-1) / 2));

	for (int i = 0; i < M; i++)
	{
		double s = x[i] < mode ? left : right;

		sum += (x[i] - mode) * (x[i] - mode) / (2 * s * s);
	}
	return sum;
}

static void
parameters_come_back(void **state)
{
	const double shapes[][3] = { { 0.884, 0.279, 0.047 }, { 0.5, 0.1, 0.1 }, { 0.3, 0.02, 0.2 } };
	double *x = malloc(M * sizeof *x);
	eddh_error err;

	for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
	{
		const double *shape = shapes[s];
		hash_split_normal fit;
		double best, outside = 0;

		split_normal_quantiles(shape[0], shape[1], shape[2], x);
		assert_ok(hash_split_normal_fit(M, x, &fit, &err));
		assert_near(fit.mode, shape[0], 0.01 * (shape[1] + shape[2]));
		assert_near(fit.sigma_left, shape[1], 0.02 * shape[1]);
		assert_near(fit.sigma_right, shape[2], 0.02 * shape[2]);

		/* Nothing near is likelier. */
		best = negative_log_likelihood(x, fit.mode, fit.sigma_left, fit.sigma_right);
		for (int p = 0; p < 27; p++)
		{
			double step = 1e-3;
			double mode = fit.mode + step * (p % 3 - 1), left = fit.sigma_left * (1 + step * (p / 3 % 3 - 1)),
				   right = fit.sigma_right * (1 + step * (p / 9 - 1));

			assert_true(negative_log_likelihood(x, mode, left, right) >= best - 1e-7);
		}

		/* 31.73 % lie outside one spread either way, whatever the asymmetry. */
		for (int i = 0; i < M; i++)
			outside += x[i] < fit.low || x[i] > fit.high;
		assert_near(outside / M, 0.31731, 0.004);
		assert_false(fit.guarded_high);
	}
	free(x);
}

/* Two humps: the criterion has two minima, and the deeper one must be found wherever it is. */
static void
the_better_of_two_modes_is_found(void **state)
{
	double *x = malloc(M * sizeof *x);
	hash_split_normal fit;
	eddh_error err;
	double best;

	for (int i = 0; i < M; i++)
		x[i] = i % 2 == 0 ? 0.55 + 0.13 * normal_quantile((i + 0.5) / M) : 0.85 + 0.06 * normal_quantile((i + 0.5) / M);
	assert_ok(hash_split_normal_fit(M, x, &fit, &err));
	best = negative_log_likelihood(x, fit.mode, fit.sigma_left, fit.sigma_right);
	for (double mode = 0.2; mode < 1.1; mode += 0.001)
	{
		double left = 0, right = 0, l;

		for (int i = 0; i < M; i++)
			*(x[i] < mode ? &left : &right) += (x[i] - mode) * (x[i] - mode);
		l = cbrt(left) + cbrt(right);
		left = sqrt(cbrt(left * left) * l / M);
		right = sqrt(cbrt(right * right) * l / M);
		assert_true(negative_log_likelihood(x, mode, left, right) >= best - 1e-6);
	}
	/* METHODS' figures for this mixture. */
	assert_near(fit.mode, 0.884, 0.01);
	assert_near(fit.sigma_left, 0.279, 0.01);
	assert_near(fit.sigma_right, 0.047, 0.005);
	free(x);
}

static void
edges_are_guarded(void **state)
{
	double x[M], bad[3] = { 0.1, NAN, 0.2 };
	hash_split_normal fit;
	eddh_error err;

	/* Nearly everything at the right end: no spread above the mode. */
	for (int i = 0; i < M; i++)
		x[i] = i < M / 2 ? 0.2 + 0.6 * i / M : 1;
	assert_ok(hash_split_normal_fit(M, x, &fit, &err));
	assert_true(fit.guarded_high);
	assert_near(fit.high, 1, 1e-12);
	assert_true(fit.low > 0 && fit.low < 1);

	/* So wide on the left that mode - sigma is no distance any more: the quantile steps in. */
	for (int i = 0; i < M; i++)
		x[i] = 0.02 * (i + 0.5) / M;
	x[M - 1] = 0.03;
	split_normal_quantiles(0.1, 0.2, 0.05, x);
	for (int i = 0; i < M; i++)
		x[i] = fmax(0, x[i]);
	assert_ok(hash_split_normal_fit(M, x, &fit, &err));
	assert_true(fit.low > 0 && fit.alpha > 0 && fit.beta > 0);

	/* All equal. */
	for (int i = 0; i < M; i++)
		x[i] = 0.4;
	assert_ok(hash_split_normal_fit(M, x, &fit, &err));
	assert_near(fit.low, 0.4, 1e-12);
	assert_near(fit.high, 0.4, 1e-12);
	for (int i = 0; i < M; i++)
		x[i] = 0;
	assert_ok(hash_split_normal_fit(M, x, &fit, &err));
	assert_true(fit.guarded_low && fit.low > 0);

	assert_int_equal(hash_split_normal_fit(1, x, &fit, &err), EDDH_BAD_ARGUMENT);
	assert_int_equal(hash_split_normal_fit(3, bad, &fit, &err), EDDH_NUMERIC);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parameters_come_back),
		cmocka_unit_test(the_better_of_two_modes_is_found),
		cmocka_unit_test(edges_are_guarded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
