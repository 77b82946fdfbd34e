/* BLAS against its naive twin. */
#include "nn_cases.h"

#include <pthread.h>

#include "nn/gemm.h"
#include "nn/nn.h"

static void
gemm_body(void)
{
	eddh_rng rng;

	eddh_rng_seed(&rng, 21);
	for (int i = 0; i < 500; i++)
	{
		bool ta = pick(&rng, 0, 1), tb = pick(&rng, 0, 1);
		int most = i % 25 == 0 ? 600 : 40;
		size_t m = (size_t) pick(&rng, 0, i % 50 == 0 ? 8 : 40), n = (size_t) pick(&rng, 0, i % 25 == 0 ? 120 : 60);
		size_t k = i % 50 == 0 ? 5000 : (size_t) pick(&rng, 0, most);
		size_t lda = (ta ? m : k) + (size_t) pick(&rng, 0, 3), ldb = (tb ? k : n) + (size_t) pick(&rng, 0, 3);
		size_t ldc = n + (size_t) pick(&rng, 0, 3);
		float alpha = pick(&rng, 0, 1) ? 1.0f : -0.5f;
		float beta = (float) pick(&rng, -1, 1);
		size_t c_count = m * ldc + 1;
		float *a = random_buffer(&rng, (ta ? k : m) * lda + 1);
		float *b = random_buffer(&rng, (tb ? n : k) * ldb + 1);
		float *got = random_buffer(&rng, c_count);
		float *want = buffer(c_count);
		char text[160];

		snprintf(text, sizeof text, "ta %d tb %d m %zu n %zu k %zu lda %zu ldb %zu ldc %zu alpha %g beta %g level %d",
				 ta, tb, m, n, k, lda, ldb, ldc, (double) alpha, (double) beta, (int) nn_simd_level());
		if (beta == 0.0f)
			got[0] = NAN; /* beta 0 never reads C */
		memcpy(want, got, c_count * sizeof *want);
		nn_gemm(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, got, ldc);
		nn_gemm_naive(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, want, ldc);
		check_close("c", text, c_count, got, want, 1e-6 * (10.0 + sqrt((double) k)));
		free(a);
		free(b);
		free(got);
		free(want);
	}
}

static void
gemm_equals_naive(void **state)
{
	at_every_level(gemm_body);
}

/* B transposed while it is packed, in one block of the depth and in several: every end of a row, every width of the last panel. */
static void
transposed_body(void)
{
	static const size_t depths[] = { 1, 7, 8, 9, 169, 223, 224, 225, 226, 447, 448, 449, 1000, 1024, 1025 };
	eddh_rng rng;

	eddh_rng_seed(&rng, 23);
	for (size_t i = 0; i < 8 * sizeof depths / sizeof depths[0]; i++)
	{
		size_t k = depths[i / 8], m = (size_t) pick(&rng, 30, 80), n = (size_t) pick(&rng, 1, 150);
		size_t lda = k + (size_t) pick(&rng, 0, 3), ldb = k + (size_t) pick(&rng, 0, 3),
			   ldc = n + (size_t) pick(&rng, 0, 3);
		float alpha = i % 2 == 0 ? 1.0f : -0.5f, beta = (float) (i / 2 % 3) - 1.0f;
		/* No float more than is B's: a sanitizer sees who reads one. */
		float *a = random_buffer(&rng, (m - 1) * lda + k), *b = random_buffer(&rng, (n - 1) * ldb + k);
		float *got = random_buffer(&rng, m * ldc), *want = buffer(m * ldc);
		char text[160];

		snprintf(text, sizeof text, "m %zu n %zu k %zu lda %zu ldb %zu ldc %zu alpha %g beta %g level %d", m, n, k, lda,
				 ldb, ldc, (double) alpha, (double) beta, (int) nn_simd_level());
		memcpy(want, got, m * ldc * sizeof *want);
		nn_gemm(false, true, m, n, k, alpha, a, lda, b, ldb, beta, got, ldc);
		nn_gemm_naive(false, true, m, n, k, alpha, a, lda, b, ldb, beta, want, ldc);
		check_close("c", text, m * ldc, got, want, 1e-6 * (10.0 + sqrt((double) k)));
		free(a);
		free(b);
		free(got);
		free(want);
	}
}

static void
gemm_transposes(void **state)
{
	at_every_level(transposed_body);
}

static void
dgemm_and_gemv(void **state)
{
	eddh_rng rng;

	eddh_rng_seed(&rng, 22);
	for (int i = 0; i < 200; i++)
	{
		bool ta = pick(&rng, 0, 1), tb = pick(&rng, 0, 1);
		size_t m = (size_t) pick(&rng, 0, 20), n = (size_t) pick(&rng, 0, 20), k = (size_t) pick(&rng, 0, 20);
		size_t lda = (ta ? m : k) + 1, ldb = (tb ? k : n) + 2;
		double a[21 * 23], b[21 * 23], c[20 * 20], was[20 * 20];
		double beta = pick(&rng, 0, 2) - 1.0;
		float *fa = random_buffer(&rng, 21 * 23), *fx = random_buffer(&rng, 32), *fy = random_buffer(&rng, 32);
		float before[32];

		for (size_t j = 0; j < 21 * 23; j++)
		{
			a[j] = eddh_rng_normal(&rng);
			b[j] = eddh_rng_normal(&rng);
		}
		for (size_t j = 0; j < 400; j++)
			c[j] = was[j] = eddh_rng_normal(&rng);
		nn_dgemm(ta, tb, m, n, k, 2.0, a, lda, b, ldb, beta, c, 20);
		for (size_t r = 0; r < m; r++)
			for (size_t s = 0; s < n; s++)
			{
				double sum = 0.0;

				for (size_t p = 0; p < k; p++)
					sum += (ta ? a[p * lda + r] : a[r * lda + p]) * (tb ? b[s * ldb + p] : b[p * ldb + s]);
				assert_true(fabs(2.0 * sum + beta * was[r * 20 + s] - c[r * 20 + s]) < 1e-12);
			}

		memcpy(before, fy, sizeof before);
		nn_gemv(ta, m, n, fa, n + 1, fx, (float) beta, fy);
		for (size_t r = 0; r < (ta ? n : m); r++)
		{
			double sum = 0.0;

			for (size_t s = 0; s < (ta ? m : n); s++)
				sum += (double) (ta ? fa[s * (n + 1) + r] : fa[r * (n + 1) + s]) * (double) fx[s];
			assert_true(fabs(sum + beta * (double) before[r] - (double) fy[r]) < 1e-4);
		}
		free(fa);
		free(fx);
		free(fy);
	}
}

/* Products computed side by side are those computed alone, bit for bit. */
#define PRODUCTS 3000

typedef struct side
{
	uint64_t seed;
	int wrong;
} side;

static void *
multiply_twice(void *arg)
{
	side *s = arg;
	eddh_rng rng;
	float *a = buffer(24 * 24), *b = buffer(24 * 200), *once = buffer(24 * 200), *again = buffer(24 * 200);

	eddh_rng_seed(&rng, s->seed);
	for (int i = 0; i < PRODUCTS; i++)
	{
		size_t m = (size_t) pick(&rng, 1, 24), n = (size_t) pick(&rng, 1, 200), k = (size_t) pick(&rng, 1, 24);
		bool ta = pick(&rng, 0, 1);

		for (size_t j = 0; j < m * k; j++)
			a[j] = (float) eddh_rng_uniform(&rng);
		for (size_t j = 0; j < k * n; j++)
			b[j] = (float) eddh_rng_uniform(&rng);
		nn_gemm(ta, false, m, n, k, 1.0f, a, ta ? m : k, b, n, 0.0f, once, n);
		nn_gemm(ta, false, m, n, k, 1.0f, a, ta ? m : k, b, n, 0.0f, again, n);
		s->wrong += memcmp(once, again, m * n * sizeof *once) != 0;
	}
	free(a);
	free(b);
	free(once);
	free(again);
	return NULL;
}

static void
threads_do_not_disturb_each_other(void **state)
{
	side sides[3] = { { 31, 0 }, { 32, 0 }, { 33, 0 } };
	pthread_t threads[3];

	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, multiply_twice, &sides[i]), 0);
	for (int i = 0; i < 3; i++)
	{
		pthread_join(threads[i], NULL);
		assert_int_equal(sides[i].wrong, 0);
	}
}

static void
blas_has_a_name(void **state)
{
	assert_true(strncmp(nn_blas_name(), "OpenBLAS 0.", 11) == 0);
	assert_non_null(strrchr(nn_blas_name(), ' '));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gemm_equals_naive), cmocka_unit_test(gemm_transposes),
		cmocka_unit_test(dgemm_and_gemv),    cmocka_unit_test(threads_do_not_disturb_each_other),
		cmocka_unit_test(blas_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
