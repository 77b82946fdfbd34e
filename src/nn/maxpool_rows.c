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
	ROWS_FUNCTION(TARGET)                                                                                              \
	void planes_of_##suffix(const int K, const int S, const nn_window *g, const nn_strides *at, int n, const float *x, \
							float *y)                                                                                  \
	{                                                                                                                  \
		const int loads = S == 1 ? K : K == 3 ? 4 : 2;                                                                 \
		int chunks = (g->ow + WIDTH - 1) / WIDTH;                                                                      \
		rows_mask_##suffix in[ROWS_MOST][4], out[ROWS_MOST];                                                           \
		rows_vec_##suffix none = rows_all_##suffix(-FLT_MAX);                                                          \
		int shift[4]; /* of the loads: with stride 2, two vectors for the first two columns and two for the third */   \
                                                                                                                       \
		for (int l = 0; l < loads; l++)                                                                                \
			shift[l] = S == 1 ? l : l % 2 * WIDTH + l / 2 * 2;                                                         \
		for (int i = 0; i < chunks; i++)                                                                               \
		{                                                                                                              \
			for (int l = 0; l < loads; l++)                                                                            \
				in[i][l] = rows_mask_of_##suffix(i * S * WIDTH - g->pw0 + shift[l], g->w);                             \
			out[i] = rows_mask_of_##suffix(i * WIDTH, g->ow);                                                          \
		}                                                                                                              \
		for (size_t p = 0; p < (size_t) n * g->c; p++)                                                                 \
		{                                                                                                              \
			const float *plane = x + p / g->c * at->x_image + p % g->c * at->x_plane;                                  \
			float *row = y + p / g->c * at->y_image + p % g->c * at->y_plane;                                          \
                                                                                                                       \
			for (int oy = 0; oy < g->oh; oy++, row += g->ow)                                                           \
				for (int i = 0; i < chunks; i++)                                                                       \
				{                                                                                                      \
					int first = oy * S - g->ph0;                                                                       \
					rows_vec_##suffix max[4] = { none, none, none, none };                                             \
                                                                                                                       \
					for (int ky = 0; ky < K; ky++)                                                                     \
					{                                                                                                  \
						const float *from = plane + (ptrdiff_t) (first + ky) * g->w + i * S * WIDTH - g->pw0;          \
                                                                                                                       \
						if (first + ky >= 0 && first + ky < g->h)                                                      \
							for (int l = 0; l < loads; l++)                                                            \
								max[l] = rows_larger_##suffix(max[l],                                                  \
															  rows_load_or_##suffix(in[i][l], from + shift[l], none)); \
					}                                                                                                  \
					if (S == 2)                                                                                        \
					{                                                                                                  \
						rows_vec_##suffix even = rows_even_##suffix(max[0], max[1]);                                   \
                                                                                                                       \
						max[1] = rows_odd_##suffix(max[0], max[1]);                                                    \
						max[0] = even;                                                                                 \
						if (K == 3)                                                                                    \
							max[2] = rows_even_##suffix(max[2], max[3]);                                               \
					}                                                                                                  \
					max[0] = rows_larger_##suffix(max[0], max[1]);                                                     \
					if (K == 3)                                                                                        \
						max[0] = rows_larger_##suffix(max[0], max[2]);                                                 \
					rows_store_##suffix(out[i], row + i * WIDTH, max[0]);                                              \
				}                                                                                                      \
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
