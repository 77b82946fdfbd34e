/*
 * dense_halves.c: fully connected layers with weights in half precision.
 *
 * One sample takes as long as reading the weights from memory: half the bytes, half the time. They become floats in registers, and are summed in the same lanes and
 * order as dense.c does, so that equal weights give equal bits. A batch widens some rows at a time for a matrix product.
 */
#include "nn/kernels.h"

#include <string.h>

#include "nn/dense.h"
#include "nn/gemm.h"
#include "nn/half.h"
#include "nn/vector.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define LANES NN_DENSE_LANES
#define AHEAD 256 /* as far in bytes as dense.c */

#define WIDE_ROWS 64 /* of the weights that are floats at a time */

/* The rest of a row that fills no lanes, and the sum of them all. */
NN_INLINE float
finish(int i, int c, const uint16_t *w, const float *x, float *sum)
{
	for (int j = 0; i < c; i++, j++)
		sum[j] += nn_half_widen(w[i]) * x[i];
	for (int half = LANES / 2; half > 0; half /= 2)
		for (int j = 0; j < half; j++)
			sum[j] += sum[j + half];
	return sum[0];
}

static void
one_base(int c, int k, const float *x, const uint16_t *w, float *y)
{
	for (int row = 0; row < k; row++, w += c)
	{
		float sum[LANES] = { 0 };
		int i = 0;

		for (; i + LANES <= c; i += LANES)
			for (int j = 0; j < LANES; j++)
				sum[j] += nn_half_widen(w[i + j]) * x[i + j];
		y[row] = finish(i, c, w, x, sum);
	}
}

#if defined(__x86_64__)

/* ROWS rows of w times x, as independent streams, in registers of type `vector`. */
#define DEFINE_ROWS(name, target, vector, widen, ROWS)                                                              \
	static inline target void name(int c, const float *x, const uint16_t *w, float *y)                              \
	{                                                                                                               \
		enum                                                                                                        \
		{                                                                                                           \
			WIDTH = sizeof(vector) / sizeof(float),                                                                 \
			VECTORS = LANES / WIDTH                                                                                 \
		};                                                                                                          \
		vector sum[ROWS][VECTORS] = { { { 0 } } };                                                                  \
		float lanes[LANES];                                                                                         \
		int i = 0;                                                                                                  \
                                                                                                                    \
		for (; i + LANES <= c; i += LANES)                                                                          \
		{                                                                                                           \
			for (int r = 0; r < ROWS; r++)                                                                          \
				__builtin_prefetch(w + (size_t) r * c + i + AHEAD);                                                 \
			for (int r = 0; r < ROWS; r++)                                                                          \
				for (int j = 0; j < VECTORS; j++)                                                                   \
					sum[r][j] += widen(w + (size_t) r * c + i + WIDTH * j) * *(const vector *) (x + i + WIDTH * j); \
		}                                                                                                           \
		for (int r = 0; r < ROWS; r++)                                                                              \
		{                                                                                                           \
			memcpy(lanes, sum[r], sizeof lanes);                                                                    \
			y[r] = finish(i, c, w + (size_t) r * c, x, lanes);                                                      \
		}                                                                                                           \
	}

#define DEFINE_ONE(name, target, vector, widen, ROWS)                                  \
	DEFINE_ROWS(name##_rows, target, vector, widen, ROWS)                              \
	DEFINE_ROWS(name##_row, target, vector, widen, 1)                                  \
	static target void name(int c, int k, const float *x, const uint16_t *w, float *y) \
	{                                                                                  \
		int row = 0;                                                                   \
                                                                                       \
		for (; row + ROWS <= k; row += ROWS)                                           \
			name##_rows(c, x, w + (size_t) row * c, y + row);                          \
		for (; row < k; row++)                                                         \
			name##_row(c, x, w + (size_t) row * c, y + row);                           \
	}

#define WIDEN_8(w)  ((nn_vec8) _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) (w))))
#define WIDEN_16(w) ((nn_vec16) _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *) (w))))

DEFINE_ONE(one_avx2, NN_HALF_AVX2, nn_vec8, WIDEN_8, 2)
DEFINE_ONE(one_avx512, NN_HALF_AVX512, nn_vec16, WIDEN_16, 8)

#endif

static void
one(int c, int k, const float *x, const uint16_t *w, float *y)
{
#if defined(__x86_64__)
	switch (nn_half_level())
	{
		case NN_SIMD_AVX512:
			one_avx512(c, k, x, w, y);
			return;
		case NN_SIMD_AVX2:
			one_avx2(c, k, x, w, y);
			return;
		case NN_SIMD_BASE:
			break;
	}
#endif
	one_base(c, k, x, w, y);
}

size_t
nn_dense_halves_scratch(size_t n, int c)
{
	return n < NN_DENSE_GEMM_FROM ? 0 : (size_t) WIDE_ROWS * c;
}

void
nn_dense_forward_halves(int n, int c, int k, const float *x, const uint16_t *w, const float *b, nn_act act, float *y,
						float *scratch)
{
	if (n < NN_DENSE_GEMM_FROM)
		for (int i = 0; i < n; i++)
			one(c, k, x + (size_t) i * c, w, y + (size_t) i * k);
	else
		for (int row = 0; row < k; row += WIDE_ROWS)
		{
			int rows = k - row < WIDE_ROWS ? k - row : WIDE_ROWS;

			nn_halves_widen((size_t) rows * c, w + (size_t) row * c, scratch);
			nn_gemm(false, true, n, rows, c, 1.0f, x, c, scratch, c, 0.0f, y + row, k);
		}
	nn_column_bias_act(n, k, b, act, y);
}
