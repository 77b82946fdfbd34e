/*
 * dense.c: fully connected layers.
 *
 * One sample is bound by reading the weights once from memory: rows are multiplied eight at a time without packing. From a few samples on it is a
 * matrix product.
 */
#include "nn/kernels.h"

#include "nn/dense.h"
#include "nn/gemm.h"
#include "nn/simd.h"
#include "nn/vector.h"

#define ROWS  8
#define LANES NN_DENSE_LANES

/* Floats ahead in a row that are asked for: the processor alone keeps too few lines of memory under way (a third of the time, measured). */
#define AHEAD 128

/* y (k) = w (k,c) x (c): ROWS independent streams, LANES partial sums each. */
NN_INLINE void
dense_one_body(int c, int k, const float *x, const float *w, float *y)
{
	int row = 0;

	for (; row + ROWS <= k; row += ROWS)
	{
		float sum[ROWS][LANES] = { { 0 } };
		const float *from = w + (size_t) row * c;
		int i = 0;

		for (; i + LANES <= c; i += LANES)
		{
			for (int r = 0; r < ROWS; r++)
				for (int j = 0; j < LANES; j += 16)
					__builtin_prefetch(from + (size_t) r * c + i + j + AHEAD);
			for (int r = 0; r < ROWS; r++)
				for (int j = 0; j < LANES; j++)
					sum[r][j] += from[(size_t) r * c + i + j] * x[i + j];
		}
		for (int j = 0; i < c; i++, j++)
			for (int r = 0; r < ROWS; r++)
				sum[r][j] += from[(size_t) r * c + i] * x[i];
		for (int half = LANES / 2; half > 0; half /= 2)
			for (int r = 0; r < ROWS; r++)
				for (int j = 0; j < half; j++)
					sum[r][j] += sum[r][j + half];
		for (int r = 0; r < ROWS; r++)
			y[row + r] = sum[r][0];
	}
	for (; row < k; row++)
	{
		float sum[LANES] = { 0 };
		const float *from = w + (size_t) row * c;
		int i = 0;

		for (; i + LANES <= c; i += LANES)
			for (int j = 0; j < LANES; j++)
				sum[j] += from[i + j] * x[i + j];
		for (int j = 0; i < c; i++, j++)
			sum[j] += from[i] * x[i];
		for (int half = LANES / 2; half > 0; half /= 2)
			for (int j = 0; j < half; j++)
				sum[j] += sum[j + half];
		y[row] = sum[0];
	}
}
NN_SIMD_KERNEL(static, dense_one, (int c, int k, const float *x, const float *w, float *y), (c, k, x, w, y))

void
nn_dense_forward(int n, int c, int k, const float *x, const float *w, const float *b, nn_act act, float *y)
{
	if (n < NN_DENSE_GEMM_FROM)
		for (int i = 0; i < n; i++)
			dense_one(c, k, x + (size_t) i * c, w, y + (size_t) i * k);
	else
		nn_gemm(false, true, n, k, c, 1.0f, x, c, w, c, 0.0f, y, k);
	nn_column_bias_act(n, k, b, act, y);
}

void
nn_dense_backward(int n, int c, int k, const float *x, const float *w, const float *dy, float *dx, float *dw, float *db)
{
	if (dw != NULL)
		nn_gemm(true, false, k, c, n, 1.0f, dy, k, x, c, 1.0f, dw, c);
	if (db != NULL)
		for (int i = 0; i < n; i++)
			for (int j = 0; j < k; j++)
				db[j] += dy[(size_t) i * k + j];
	if (dx != NULL)
		nn_gemm(false, false, n, c, k, 1.0f, dy, k, w, c, 0.0f, dx, c);
}
