/* phases.c: see phases.h. */
#include "nn/phases.h"

#include "nn/rows.h"
#include "nn/window.h"

#if defined(__x86_64__)

/*
 * With two phases along a row, as first layers have: both from the same loads. What lies beside the plane becomes 0, so a row is written whole.
 */
#define DEFINE_PAIRS(suffix, TARGET, WIDTH)                                                                       \
	static TARGET void pairs_##suffix(const nn_window *g, const nn_phases *p, size_t planes, const float *x,      \
									  size_t x_plane, float *to)                                                  \
	{                                                                                                             \
		for (int py = 0; py < g->sh && py < (g->kh - 1) * g->dh + 1; py++)                                        \
		{                                                                                                         \
			float *sub = to + (size_t) py * 2 * p->size;                                                          \
			int y0, y1;                                                                                           \
                                                                                                                  \
			nn_window_range(g->h, g->sh, g->ph0, py, p->rows, &y0, &y1);                                          \
			for (size_t plane = 0; plane < planes; plane++)                                                       \
				for (int r = y0; r < y1; r++)                                                                     \
				{                                                                                                 \
					const float *from = x + plane * x_plane + (size_t) (r * g->sh + py - g->ph0) * g->w - g->pw0; \
					float *even = sub + plane * p->all + (size_t) r * p->pitch;                                   \
                                                                                                                  \
					for (int q = 0; q < p->pitch; q += WIDTH)                                                     \
					{                                                                                             \
						int at = 2 * q - g->pw0;                                                                  \
						rows_vec_##suffix a = rows_load_##suffix(rows_mask_of_##suffix(at, g->w), from + 2 * q);  \
						rows_vec_##suffix b =                                                                     \
							rows_load_##suffix(rows_mask_of_##suffix(at + WIDTH, g->w), from + 2 * q + WIDTH);    \
						rows_mask_##suffix mask = rows_mask_of_##suffix(q, p->pitch);                             \
                                                                                                                  \
						rows_store_##suffix(mask, even + q, rows_even_##suffix(a, b));                            \
						rows_store_##suffix(mask, even + p->size + q, rows_odd_##suffix(a, b));                   \
					}                                                                                             \
				}                                                                                                 \
		}                                                                                                         \
	}

DEFINE_PAIRS(avx2, NN_TARGET_AVX2, 8)
DEFINE_PAIRS(avx512, NN_TARGET_AVX512, 16)
#endif

NN_INLINE void
split_body(const nn_window *g, const nn_phases *p, size_t planes, const float *x, size_t x_plane, float *to)
{
	for (int py = 0; py < g->sh; py++)
		for (int px = 0; px < g->sw; px++)
		{
			float *sub = to + ((size_t) py * g->sw + px) * p->size;
			int y0, y1, x0, x1;

			/* Phases that no tap looks at. */
			if ((g->dh == 1 && py >= g->kh) || (g->dw == 1 && px >= g->kw))
				continue;
			nn_window_range(g->h, g->sh, g->ph0, py, p->rows, &y0, &y1);
			nn_window_range(g->w, g->sw, g->pw0, px, p->pitch, &x0, &x1);
			for (size_t plane = 0; plane < planes; plane++)
				for (int r = y0; r < y1; r++)
				{
					const float *from = x + plane * x_plane + (size_t) (r * g->sh + py - g->ph0) * g->w + px - g->pw0;
					float *row = sub + plane * p->all + (size_t) r * p->pitch;

					if (g->sw == 1)
						for (int q = x0; q < x1; q++)
							row[q] = from[q];
					else if (g->sw == 2)
						for (int q = x0; q < x1; q++)
							row[q] = from[2 * q];
					else if (g->sw == 4)
						for (int q = x0; q < x1; q++)
							row[q] = from[4 * q];
					else
						for (int q = x0; q < x1; q++)
							row[q] = from[q * g->sw];
				}
		}
}
NN_SIMD_KERNEL(static, split,
			   (const nn_window *g, const nn_phases *p, size_t planes, const float *x, size_t x_plane, float *to),
			   (g, p, planes, x, x_plane, to))

void
nn_phases_split(const nn_window *g, const nn_phases *p, size_t planes, const float *x, size_t x_plane, float *to)
{
#if defined(__x86_64__)
	if (g->sw == 2 && nn_simd_level() == NN_SIMD_AVX512)
		pairs_avx512(g, p, planes, x, x_plane, to);
	else if (g->sw == 2 && nn_simd_level() == NN_SIMD_AVX2)
		pairs_avx2(g, p, planes, x, x_plane, to);
	else
#endif
		split(g, p, planes, x, x_plane, to);
}
