/*
 * gemm.c: the only file that calls BLAS (a serial OpenBLAS: a backend must never grow threads).
 *
 * BLAS takes int; whatever does not fit goes to the naive twin, which is slow but right.
 *
 * A serial OpenBLAS takes its work buffers from a table without a lock, so that two threads of a trainer can get the same one and both compute
 * nonsense (seen with Debian's 0.3.21). One call at a time, therefore; single precision goes to matmul.c first, which needs no lock.
 */
#include "nn/gemm.h"

#include <cblas.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>

#include "nn/matmul.h"
#include "nn/nn.h"

static pthread_mutex_t blas_lock = PTHREAD_MUTEX_INITIALIZER;

static bool
fits_int(size_t m, size_t n, size_t k, size_t lda, size_t ldb, size_t ldc)
{
	return (m | n | k | lda | ldb | ldc) <= INT_MAX;
}

/* BLAS insists on ld >= 1 and >= row length even where the matrix is empty; with k = 0 it may leave C alone for beta = 1, which is right. */
static void
scale_float(size_t m, size_t n, float beta, float *c, size_t ldc)
{
	for (size_t i = 0; i < m; i++)
		for (size_t j = 0; j < n; j++)
			c[i * ldc + j] = beta == 0.0f ? 0.0f : beta * c[i * ldc + j];
}

static void
scale_double(size_t m, size_t n, double beta, double *c, size_t ldc)
{
	for (size_t i = 0; i < m; i++)
		for (size_t j = 0; j < n; j++)
			c[i * ldc + j] = beta == 0.0 ? 0.0 : beta * c[i * ldc + j];
}

void
nn_gemm(bool trans_a, bool trans_b, size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda,
		const float *b, size_t ldb, float beta, float *c, size_t ldc)
{
	if (m == 0 || n == 0)
		return;
	if (k == 0)
	{
		scale_float(m, n, beta, c, ldc);
		return;
	}
	if (nn_matmul(trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc))
		return;
	if (!fits_int(m, n, k, lda, ldb, ldc))
	{
		nn_gemm_naive(trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
		return;
	}
	pthread_mutex_lock(&blas_lock);
	cblas_sgemm(CblasRowMajor, trans_a ? CblasTrans : CblasNoTrans, trans_b ? CblasTrans : CblasNoTrans, (int) m,
				(int) n, (int) k, alpha, a, (int) lda, b, (int) ldb, beta, c, (int) ldc);
	pthread_mutex_unlock(&blas_lock);
}

void
nn_gemm_naive(bool trans_a, bool trans_b, size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda,
			  const float *b, size_t ldb, float beta, float *c, size_t ldc)
{
	for (size_t i = 0; i < m; i++)
		for (size_t j = 0; j < n; j++)
		{
			double sum = 0.0;

			for (size_t p = 0; p < k; p++)
				sum += (double) (trans_a ? a[p * lda + i] : a[i * lda + p]) *
					   (double) (trans_b ? b[j * ldb + p] : b[p * ldb + j]);
			c[i * ldc + j] = (float) (alpha * sum + (beta == 0.0f ? 0.0 : (double) beta * c[i * ldc + j]));
		}
}

void
nn_dgemm(bool trans_a, bool trans_b, size_t m, size_t n, size_t k, double alpha, const double *a, size_t lda,
		 const double *b, size_t ldb, double beta, double *c, size_t ldc)
{
	if (m == 0 || n == 0)
		return;
	if (k == 0)
	{
		scale_double(m, n, beta, c, ldc);
		return;
	}
	if (!fits_int(m, n, k, lda, ldb, ldc))
	{
		for (size_t i = 0; i < m; i++)
			for (size_t j = 0; j < n; j++)
			{
				double sum = 0.0;

				for (size_t p = 0; p < k; p++)
					sum += (trans_a ? a[p * lda + i] : a[i * lda + p]) * (trans_b ? b[j * ldb + p] : b[p * ldb + j]);
				c[i * ldc + j] = alpha * sum + (beta == 0.0 ? 0.0 : beta * c[i * ldc + j]);
			}
		return;
	}
	pthread_mutex_lock(&blas_lock);
	cblas_dgemm(CblasRowMajor, trans_a ? CblasTrans : CblasNoTrans, trans_b ? CblasTrans : CblasNoTrans, (int) m,
				(int) n, (int) k, alpha, a, (int) lda, b, (int) ldb, beta, c, (int) ldc);
	pthread_mutex_unlock(&blas_lock);
}

void
nn_gemv(bool trans, size_t m, size_t n, const float *a, size_t lda, const float *x, float beta, float *y)
{
	size_t y_len = trans ? n : m;

	if (m == 0 || n == 0)
	{
		scale_float(1, y_len, beta, y, y_len);
		return;
	}
	if (!fits_int(m, n, 1, lda, 1, 1))
	{
		if (trans)
			nn_gemm_naive(true, false, n, 1, m, 1.0f, a, lda, x, 1, beta, y, 1);
		else
			nn_gemm_naive(false, false, m, 1, n, 1.0f, a, lda, x, 1, beta, y, 1);
		return;
	}
	pthread_mutex_lock(&blas_lock);
	cblas_sgemv(CblasRowMajor, trans ? CblasTrans : CblasNoTrans, (int) m, (int) n, 1.0f, a, (int) lda, x, 1, beta, y,
				1);
	pthread_mutex_unlock(&blas_lock);
}

const char *
nn_blas_name(void)
{
	static char name[64];

	pthread_mutex_lock(&blas_lock);
	if (name[0] == '\0')
	{
		char config[256];
		char version[32] = "";

		snprintf(config, sizeof config, "%s", openblas_get_config());
		sscanf(config, "OpenBLAS %31s", version);
		snprintf(name, sizeof name, "OpenBLAS %s %s", version, openblas_get_corename());
	}
	pthread_mutex_unlock(&blas_lock);
	return name;
}
