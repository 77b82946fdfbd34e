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

/* The K rows of a plane from `first` on; beside the plane, one that is there: it counts twice, which a maximum does not mind. False: none is there. */
static inline bool
rows_under(const nn_window *g, const float *plane, int first, int K, const float **rows)
{
	for (int ky = 0; ky < K; ky++)
	{
		int y = first + ky < 0 ? 0 : first + ky >= g->h ? g->h - 1 : first + ky;

		rows[ky] = plane + (ptrdiff_t) y * g->w;
	}
	return first < g->h && first + K > 0;
}

#define DEFINE_PLANES(suffix, TARGET, WIDTH)                                                                           \
	/* The maxima down K rows, `at` floats from their beginnings; beside the plane -FLT_MAX. */                        \
	ROWS_FUNCTION(TARGET)                                                                                              \
	rows_vec_##suffix fold_rows_##suffix(const int K, rows_mask_##suffix mask, const float *const *rows, int at)       \
	{                                                                                                                  \
		rows_vec_##suffix none = rows_all_##suffix(-FLT_MAX);                                                          \
		rows_vec_##suffix a = rows_load_or_##suffix(mask, rows[0] + at, none);                                         \
		rows_vec_##suffix b = rows_load_or_##suffix(mask, rows[1] + at, none);                                         \
                                                                                                                       \
		return K == 2 ? rows_larger_##suffix(a, b)                                                                     \
					  : rows_largest_##suffix(a, b, rows_load_or_##suffix(mask, rows[K - 1] + at, none));              \
	}                                                                                                                  \
                                                                                                                       \
	/* The maxima over K columns, S apart, of a row whose next vectors are a, b and c. */                              \
	ROWS_FUNCTION(TARGET)                                                                                              \
	rows_vec_##suffix fold_columns_##suffix(const int K, const int S, rows_vec_##suffix a, rows_vec_##suffix b,        \
											rows_vec_##suffix c)                                                       \
	{                                                                                                                  \
		rows_vec_##suffix first = S == 1 ? a : rows_even_##suffix(a, b);                                               \
		rows_vec_##suffix second = S == 1 ? rows_next_##suffix(a, b) : rows_odd_##suffix(a, b);                        \
                                                                                                                       \
		if (K == 2)                                                                                                    \
			return rows_larger_##suffix(first, second);                                                                \
		return rows_largest_##suffix(first, second,                                                                    \
									 S == 1 ? rows_next_##suffix(second, rows_next_##suffix(b, b))                     \
											: rows_next_##suffix(first, c));                                           \
	}                                                                                                                  \
                                                                                                                       \
	ROWS_FUNCTION(TARGET)                                                                                              \
	void planes_of_##suffix(const int K, const int S, const nn_window *g, const nn_strides *at, int n, const float *x, \
							float *y)                                                                                  \
	{                                                                                                                  \
		int chunks = (g->ow + WIDTH - 1) / WIDTH;                                                                      \
		rows_mask_##suffix in[2 * ROWS_MOST + 1], out[ROWS_MOST];                                                      \
		rows_vec_##suffix none = rows_all_##suffix(-FLT_MAX);                                                          \
                                                                                                                       \
		for (int v = 0; v <= chunks * S; v++)                                                                          \
			in[v] = rows_mask_of_##suffix(v * WIDTH - g->pw0, g->w);                                                   \
		for (int i = 0; i < chunks; i++)                                                                               \
			out[i] = rows_mask_of_##suffix(i * WIDTH, g->ow);                                                          \
		for (size_t p = 0; p < (size_t) n * g->c; p++)                                                                 \
		{                                                                                                              \
			const float *plane = x + p / g->c * at->x_image + p % g->c * at->x_plane - g->pw0;                         \
			float *row = y + p / g->c * at->y_image + p % g->c * at->y_plane;                                          \
                                                                                                                       \
			for (int oy = 0; oy < g->oh; oy++, row += g->ow)                                                           \
			{                                                                                                          \
				const float *rows[3];                                                                                  \
				rows_vec_##suffix a, b, c;                                                                             \
				bool sees = rows_under(g, plane, oy * S - g->ph0, K, rows);                                            \
                                                                                                                       \
				a = fold_rows_##suffix(K, in[0], rows, 0);                                                             \
				for (int i = 0; i < chunks; i++, a = S == 1 ? b : c)                                                   \
				{                                                                                                      \
					int v = i * S + 1;                                                                                 \
                                                                                                                       \
					b = fold_rows_##suffix(K, in[v], rows, v * WIDTH);                                                 \
					c = S == 1 ? b : fold_rows_##suffix(K, in[v + 1], rows, (v + 1) * WIDTH);                          \
					rows_store_##suffix(out[i], row + i * WIDTH, sees ? fold_columns_##suffix(K, S, a, b, c) : none);  \
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
