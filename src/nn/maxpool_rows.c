/*
 * maxpool_rows.c: maxima over 2x2 and 3x3 windows, stride 1 and 2, without their positions: what inference needs.
 *
 * As depthwise_rows.c: vectors along a row, first folded down the window's rows, then over its columns.
 */
#include "nn/pools.h"

#include <float.h>

#include "nn/rows.h"

bool
nn_maxpool_rows_fits(const nn_window *g)
{
	return nn_simd_level() != NN_SIMD_BASE && g->kh == g->kw && (g->kw == 2 || g->kw == 3) && g->dh == 1 &&
		   g->dw == 1 && g->sh == g->sw && (g->sw == 1 || g->sw == 2) && g->ow <= ROWS_MOST * 8;
}

#if defined(__x86_64__)

#define DEFINE_PLANES(suffix, TARGET, WIDTH)                                                                           \
	/* The maxima down the K rows of a window, of columns -pw0 on, to fold; beside the plane -FLT_MAX. */              \
	ROWS_FUNCTION(TARGET)                                                                                              \
	void fold_rows_of_##suffix(const int K, const nn_window *g, const rows_mask_##suffix *masks, int vectors,          \
							   const float *plane, int first, float *fold)                                             \
	{                                                                                                                  \
		rows_vec_##suffix none = rows_all_##suffix(-FLT_MAX);                                                          \
                                                                                                                       \
		for (int v = 0; v < vectors; v++)                                                                              \
		{                                                                                                              \
			const float *from = plane + (ptrdiff_t) first * g->w + v * WIDTH - g->pw0;                                 \
			rows_vec_##suffix max = none;                                                                              \
                                                                                                                       \
			for (int ky = 0; ky < K; ky++)                                                                             \
				if (first + ky >= 0 && first + ky < g->h)                                                              \
					max = rows_larger_##suffix(max,                                                                    \
											   rows_load_or_##suffix(masks[v], from + (ptrdiff_t) ky * g->w, none));   \
			rows_store_all_##suffix(fold + v * WIDTH, max);                                                            \
		}                                                                                                              \
	}                                                                                                                  \
                                                                                                                       \
	ROWS_FUNCTION(TARGET)                                                                                              \
	void planes_of_##suffix(const int K, const int S, const nn_window *g, const nn_strides *at, int n, const float *x, \
							float *y)                                                                                  \
	{                                                                                                                  \
		int chunks = (g->ow + WIDTH - 1) / WIDTH;                                                                      \
		int vectors = chunks * S + 1; /* the last window of a chunk looks into the next */                             \
		rows_mask_##suffix in[2 * ROWS_MOST + 1], out[ROWS_MOST];                                                      \
		float fold[(2 * ROWS_MOST + 1) * WIDTH];                                                                       \
                                                                                                                       \
		for (int v = 0; v < vectors; v++)                                                                              \
			in[v] = rows_mask_of_##suffix(v * WIDTH - g->pw0, g->w);                                                   \
		for (int i = 0; i < chunks; i++)                                                                               \
			out[i] = rows_mask_of_##suffix(i * WIDTH, g->ow);                                                          \
		for (size_t p = 0; p < (size_t) n * g->c; p++)                                                                 \
		{                                                                                                              \
			const float *plane = x + p / g->c * at->x_image + p % g->c * at->x_plane;                                  \
			float *row = y + p / g->c * at->y_image + p % g->c * at->y_plane;                                          \
                                                                                                                       \
			for (int oy = 0; oy < g->oh; oy++, row += g->ow)                                                           \
			{                                                                                                          \
				fold_rows_of_##suffix(K, g, in, vectors, plane, oy *S - g->ph0, fold);                                 \
				for (int i = 0; i < chunks; i++)                                                                       \
				{                                                                                                      \
					const float *from = fold + i * S * WIDTH;                                                          \
					rows_vec_##suffix a = rows_loadu_##suffix(from);                                                   \
					rows_vec_##suffix b = rows_loadu_##suffix(from + (S == 1 ? 1 : WIDTH));                            \
					rows_vec_##suffix max =                                                                            \
						S == 1 ? rows_larger_##suffix(a, b)                                                            \
							   : rows_larger_##suffix(rows_even_##suffix(a, b), rows_odd_##suffix(a, b));              \
                                                                                                                       \
					if (K == 3)                                                                                        \
					{                                                                                                  \
						a = rows_loadu_##suffix(from + 2);                                                             \
						if (S == 2)                                                                                    \
							a = rows_even_##suffix(a, rows_loadu_##suffix(from + WIDTH + 2));                          \
						max = rows_larger_##suffix(max, a);                                                            \
					}                                                                                                  \
					rows_store_##suffix(out[i], row + i * WIDTH, max);                                                 \
				}                                                                                                      \
			}                                                                                                          \
		}                                                                                                              \
	}                                                                                                                  \
                                                                                                                       \
	static TARGET void planes_##suffix(const nn_window *g, const nn_strides *at, int n, const float *x, float *y)      \
	{                                                                                                                  \
		if (g->kw == 2 && g->sw == 2)                                                                                  \
			planes_of_##suffix(2, 2, g, at, n, x, y);                                                                  \
		else if (g->kw == 2)                                                                                           \
			planes_of_##suffix(2, 1, g, at, n, x, y);                                                                  \
		else if (g->sw == 2)                                                                                           \
			planes_of_##suffix(3, 2, g, at, n, x, y);                                                                  \
		else                                                                                                           \
			planes_of_##suffix(3, 1, g, at, n, x, y);                                                                  \
	}

DEFINE_PLANES(avx2, NN_TARGET_AVX2, 8)
DEFINE_PLANES(avx512, NN_TARGET_AVX512, 16)
#endif

void
nn_maxpool_rows(const nn_window *g, const nn_strides *at, int n, const float *x, float *y)
{
#if defined(__x86_64__)
	(nn_simd_level() == NN_SIMD_AVX512 ? planes_avx512 : planes_avx2)(g, at, n, x, y);
#endif
}
