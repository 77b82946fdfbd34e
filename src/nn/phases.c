/* phases.c: see phases.h. */
#include "nn/phases.h"

#include "nn/simd.h"
#include "nn/window.h"

NN_INLINE void
nn_phases_split_body(const nn_window *g, const nn_phases *p, size_t planes, const float *x, size_t x_plane, float *to)
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
NN_SIMD_KERNEL(extern, nn_phases_split,
			   (const nn_window *g, const nn_phases *p, size_t planes, const float *x, size_t x_plane, float *to),
			   (g, p, planes, x, x_plane, to))
