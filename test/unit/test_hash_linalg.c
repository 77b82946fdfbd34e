/* test_hash_linalg.c: factorisations against their definitions, on well and badly conditioned matrices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hash_toy.h"

#include "hash/linalg.h"
#include "nn/gemm.h"

static double *
random_matrix(size_t rows, size_t columns, uint64_t seed)
{
	double *a = malloc(rows * columns * sizeof *a);
	eddh_rng rng;

	eddh_rng_seed(&rng, seed);
	for (size_t i = 0; i < rows * columns; i++)
		a[i] = eddh_rng_normal(&rng);
	return a;
}

/* V^T diag(values) V for the rows of v. */
static double *
compose(size_t n, size_t k, const double *values, const double *v)
{
	double *a = calloc(n * n, sizeof *a);

	for (size_t r = 0; r < k; r++)
	{
		for (size_t i = 0; i < n; i++)
		{
			for (size_t j = 0; j < n; j++)
				a[i * n + j] += values[r] * v[r * n + i] * v[r * n + j];
		}
	}
	return a;
}

static void
assert_orthonormal(size_t n, size_t k, const double *v, double tolerance)
{
	for (size_t a = 0; a < k; a++)
	{
		for (size_t b = 0; b <= a; b++)
		{
			double product = 0;

			for (size_t j = 0; j < n; j++)
				product += v[a * n + j] * v[b * n + j];
			assert_near(product, a == b, tolerance);
		}
	}
}

/* Of n rows: it solves, and leaves the upper triangle alone. */
static void
check_cholesky(size_t n)
{
	const size_t rows = 5;
	double *x = random_matrix(n, n, 1), *a = calloc(n * n, sizeof *a), *l = malloc(n * n * sizeof *l);
	double *right = random_matrix(rows, n, 2), *y = malloc(rows * n * sizeof *y);
	eddh_error err;

	for (size_t i = 0; i < n; i++)
	{
		for (size_t j = 0; j < n; j++)
		{
			for (size_t r = 0; r < n; r++)
				a[i * n + j] += x[r * n + i] * x[r * n + j];
			a[i * n + j] += i == j;
		}
	}
	memcpy(l, a, n * n * sizeof *l);
	memcpy(y, right, rows * n * sizeof *y);
	assert_ok(hash_cholesky(n, l, &err));
	for (size_t i = 0; i < n; i++)
		assert_memory_equal(l + i * n + i + 1, a + i * n + i + 1, (n - i - 1) * sizeof *l);
	hash_cholesky_solve(n, l, rows, y);
	for (size_t r = 0; r < rows; r++)
	{
		for (size_t i = 0; i < n; i++)
		{
			double sum = 0;

			for (size_t j = 0; j < n; j++)
				sum += a[i * n + j] * y[r * n + j];
			assert_near(sum, right[r * n + i], 1e-9);
		}
	}
	/* A pivot that is not positive is named, in whichever block. */
	memcpy(l, a, n * n * sizeof *l);
	l[n * n - 1] = -1;
	assert_int_equal(hash_cholesky(n, l, &err), EDDH_NUMERIC);
	free(x);
	free(a);
	free(l);
	free(right);
	free(y);
}

static void
cholesky_solves(void **state)
{
	const size_t sizes[] = { 1, 2, 37, 64, 65, 128, 150 };

	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
		check_cholesky(sizes[i]);
}

static void
eigenvectors_compose_the_matrix(void **state)
{
	const size_t sizes[] = { 1, 2, 3, 10, 61 };
	eddh_error err;

	for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
	{
		for (int kind = 0; kind < 4; kind++)
		{
			size_t n = sizes[s];
			double *a = random_matrix(n, n, 3), *copy = malloc(n * n * sizeof *copy), *back;
			double *values = malloc(n * sizeof *values), *v = malloc(n * n * sizeof *v);

			for (size_t i = 0; i < n; i++)
			{
				for (size_t j = 0; j < i; j++)
					a[i * n + j] = a[j * n + i];
			}
			/* Diagonal already; one value n times; rank one. */
			for (size_t i = 0; i < n * n && kind > 0; i++)
				a[i] = kind == 1 ? (i % (n + 1) == 0 ? (double) (i % 7) : 0) : kind == 2 ? i % (n + 1) == 0 : 1;
			memcpy(copy, a, n * n * sizeof *copy);
			assert_ok(hash_eigen(n, copy, values, v, &err));
			assert_orthonormal(n, n, v, 1e-12);
			for (size_t i = 1; i < n; i++)
				assert_true(values[i] <= values[i - 1]);
			back = compose(n, n, values, v);
			for (size_t i = 0; i < n * n; i++)
				assert_near(back[i], a[i], 1e-11);
			free(a);
			free(copy);
			free(back);
			free(values);
			free(v);
		}
	}
}

/* A covariance of fewer rows than columns: most eigenvalues are zero, of which rounding leaves noise of all sizes. */
static void
eigenvalues_of_a_low_rank_are_found(void **state)
{
	const size_t n = 256, rank = 95;
	eddh_error err;

	for (int scale = 0; scale < 3; scale++)
	{
		double *x = random_matrix(rank, n, 11 + scale), *a = calloc(n * n, sizeof *a),
			   *copy = malloc(n * n * sizeof *copy);
		double *values = malloc(n * sizeof *values), *v = malloc(n * n * sizeof *v), *back;

		/* Some directions ten orders smaller than others, too. */
		for (size_t i = 0; i < rank * n; i++)
			x[i] *= scale == 0 ? 1 : pow(10, -(double) (i / n % (5 * scale + 1)));
		nn_dgemm(true, false, n, n, rank, 1, x, n, x, n, 0, a, n);
		memcpy(copy, a, n * n * sizeof *copy);
		assert_ok(hash_eigen(n, copy, values, v, &err));
		assert_orthonormal(n, n, v, 1e-12);
		back = compose(n, n, values, v);
		for (size_t i = 0; i < n * n; i++)
			assert_near(back[i], a[i], 1e-12 * values[0]);
		for (size_t i = rank; i < n; i++)
			assert_near(values[i], 0, 1e-12 * values[0]);
		free(x);
		free(a);
		free(copy);
		free(back);
		free(values);
		free(v);
	}
}

/* A spectrum like that of features: a few large values, a long tail; and fewer dimensions than are asked for. */
static void
the_largest_eigenvalues_are_found(void **state)
{
	const size_t n = 400, k = 24;
	double *basis = random_matrix(n, n, 4), *all = malloc(n * sizeof *all), *a;
	double *values = malloc(k * sizeof *values), *v = malloc(k * n * sizeof *v);
	eddh_error err;
	eddh_rng rng;

	eddh_rng_seed(&rng, 1);
	hash_orthonormalise(n, n, basis, &rng);
	assert_orthonormal(n, n, basis, 1e-12);
	for (int kind = 0; kind < 2; kind++)
	{
		for (size_t i = 0; i < n; i++)
			all[i] = kind == 0 ? 100.0 / (double) ((i + 1) * (i + 1)) : i < 10 ? 10.0 - (double) i : 0;
		a = compose(n, n, all, basis);
		assert_ok(hash_eigen_top(n, a, k, 7, values, v, NULL, &err));
		assert_orthonormal(n, k, v, 1e-9);
		for (size_t i = 0; i < k; i++)
		{
			double residual = 0;

			assert_near(values[i], all[i], 1e-6 * all[0]);
			for (size_t r = 0; r < n; r++)
			{
				double sum = 0;

				for (size_t j = 0; j < n; j++)
					sum += a[r * n + j] * v[i * n + j];
				residual += pow(sum - values[i] * v[i * n + r], 2);
			}
			assert_true(sqrt(residual) < 1e-3 * all[0]);
		}
		free(a);
	}
	free(basis);
	free(all);
	free(values);
	free(v);
}

static double
trace_of_product(size_t n, const double *r, const double *m)
{
	double sum = 0;

	for (size_t i = 0; i < n * n; i++)
		sum += r[i] * m[i];
	return sum;
}

/* The best rotation's trace is the sum of singular values, which the eigenvalues of m^T m give. Also where m has no full rank. */
static void
the_nearest_rotation_is_nearest(void **state)
{
	const size_t n = 33;

	for (size_t rank = 0; rank <= n; rank += 11)
	{
		double *left = random_matrix(n, n, 5), *right = random_matrix(n, n, 6);
		double *m = calloc(n * n, sizeof *m), *square = calloc(n * n, sizeof *square), *r = malloc(n * n * sizeof *r);
		double *values = malloc(n * sizeof *values), *v = malloc(n * n * sizeof *v), sum = 0;
		eddh_error err;
		eddh_rng rng;

		eddh_rng_seed(&rng, 2);
		for (size_t i = 0; i < n * n; i++)
		{
			for (size_t j = 0; j < rank; j++)
				m[i] += left[i / n * n + j] * right[j * n + i % n];
		}
		for (size_t i = 0; i < n * n; i++)
		{
			for (size_t j = 0; j < n; j++)
				square[i] += m[j * n + i / n] * m[j * n + i % n];
		}
		assert_ok(hash_eigen(n, square, values, v, &err));
		for (size_t i = 0; i < n; i++)
			sum += sqrt(fmax(0, values[i]));
		assert_ok(hash_nearest_rotation(n, m, r, &rng, &err));
		assert_orthonormal(n, n, r, 1e-11);
		assert_near(trace_of_product(n, r, m), sum, 1e-6 * (sum + 1));
		free(left);
		free(right);
		free(m);
		free(square);
		free(r);
		free(values);
		free(v);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cholesky_solves),
		cmocka_unit_test(eigenvectors_compose_the_matrix),
		cmocka_unit_test(eigenvalues_of_a_low_rank_are_found),
		cmocka_unit_test(the_largest_eigenvalues_are_found),
		cmocka_unit_test(the_nearest_rotation_is_nearest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
