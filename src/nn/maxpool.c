/*
 * maxpool.c: maximum over a window. A NaN under the window is its maximum; ties go to the first pixel in row order.
 *
 * Without an index: first the maximum down the columns (contiguous rows), then along the row, both vectorised. With an index the window is walked
 * pixel by pixel over rows of outputs.
 */
#include "nn/kernels.h"

#include <float.h>
#include <string.h>

#include "nn/simd.h"
#include "nn/window.h"

/* Columns of the input that are folded at a time. */
#define STRIP 512

NN_INLINE float
larger(float a, float b)
{
	/* b unless a is at least as large or already NaN. */
	return (a >= b) | (a != a) ? a : b;
}

/* The maximum of rows iy0, iy0 + dh, ... (count of them, all inside) of a plane, columns x0 .. x0 + len - 1. */
NN_INLINE void
fold_rows(const float *row, int count, size_t step, int len, float *out)
{
	for (int i = 0; i < len; i++)
		out[i] = row[i];
	for (int k = 1; k < count; k++)
	{
		row += step;
		for (int i = 0; i < len; i++)
			out[i] = larger(out[i], row[i]);
	}
}

NN_INLINE void
plane_forward_body(const nn_window *g, const float *x, float *y)
{
	for (int oy = 0; oy < g->oh; oy++, y += g->ow)
	{
		int iy0 = oy * g->sh - g->ph0;
		int ky0 = iy0 < 0 ? (-iy0 + g->dh - 1) / g->dh : 0;
		int ky1 = g->h - iy0 <= 0 ? 0 : (g->h - iy0 + g->dh - 1) / g->dh;
		int ox = 0;

		if (ky1 > g->kh)
			ky1 = g->kh;
		if (ky1 <= ky0)
		{
			for (; ox < g->ow; ox++)
				y[ox] = -FLT_MAX;
			continue;
		}
		while (ox < g->ow)
		{
			float fold[STRIP];
			int reach = (g->kw - 1) * g->dw + 1;
			int many = reach >= STRIP ? 1 : (STRIP - reach) / g->sw + 1;
			int end = ox + many < g->ow ? ox + many : g->ow;
			int x0 = ox * g->sw - g->pw0;
			int x1 = (end - 1) * g->sw - g->pw0 + reach;

			x0 = x0 < 0 ? 0 : x0;
			x1 = x1 > g->w ? g->w : x1;
			if (reach < STRIP && x1 > x0)
				fold_rows(x + (size_t) (iy0 + ky0 * g->dh) * g->w + x0, ky1 - ky0, (size_t) g->dh * g->w, x1 - x0,
						  fold);
			for (int o = ox; o < end; o++)
				y[o] = -FLT_MAX;
			for (int kx = 0; kx < g->kw; kx++)
			{
				int lo, hi;

				nn_window_range(g->w, g->sw, g->pw0, kx * g->dw, g->ow, &lo, &hi);
				lo = lo < ox ? ox : lo;
				hi = hi > end ? end : hi;
				if (hi <= lo)
					continue;
				if (reach >= STRIP)
				{
					/* A window wider than the strip: one output at a time, straight from the plane. */
					for (int ky = ky0; ky < ky1; ky++)
						y[lo] = larger(y[lo], x[(size_t) (iy0 + ky * g->dh) * g->w + lo * g->sw - g->pw0 + kx * g->dw]);
				}
				else
				{
					const float *from = fold + (lo * g->sw - g->pw0 + kx * g->dw - x0);

					if (g->sw == 1)
						for (int o = lo; o < hi; o++)
							y[o] = larger(y[o], from[o - lo]);
					else if (g->sw == 2)
						for (int o = lo; o < hi; o++)
							y[o] = larger(y[o], from[2 * (o - lo)]);
					else
						for (int o = lo; o < hi; o++)
							y[o] = larger(y[o], from[(o - lo) * g->sw]);
				}
			}
			ox = end;
		}
	}
}
NN_SIMD_KERNEL(static, plane_forward, (const nn_window *g, const float *x, float *y), (g, x, y))

/* index: position in the plane, -1 for a window that sees no pixel. */
NN_INLINE void
plane_index_body(const nn_window *g, const float *x, float *y, int *index)
{
	for (int oy = 0; oy < g->oh; oy++, y += g->ow, index += g->ow)
	{
		for (int ox = 0; ox < g->ow; ox++)
		{
			y[ox] = -FLT_MAX;
			index[ox] = -1;
		}
		for (int ky = 0; ky < g->kh; ky++)
		{
			int iy = oy * g->sh - g->ph0 + ky * g->dh;

			if (iy < 0 || iy >= g->h)
				continue;
			for (int kx = 0; kx < g->kw; kx++)
			{
				int base = iy * g->w - g->pw0 + kx * g->dw;
				int lo, hi;

				nn_window_range(g->w, g->sw, g->pw0, kx * g->dw, g->ow, &lo, &hi);
				for (int ox = lo; ox < hi; ox++)
				{
					int at = base + ox * g->sw;
					float v = x[at];
					bool keep = (y[ox] >= v) | (y[ox] != y[ox]);

					y[ox] = keep ? y[ox] : v;
					index[ox] = keep ? index[ox] : at;
				}
			}
		}
	}
}
NN_SIMD_KERNEL(static, plane_index, (const nn_window *g, const float *x, float *y, int *index), (g, x, y, index))

void
nn_maxpool_forward(const nn_window *g, int n, const float *x, float *y, int *index)
{
	size_t in = (size_t) g->h * g->w;
	size_t out = (size_t) g->oh * g->ow;

	for (size_t plane = 0; plane < (size_t) n * g->c; plane++)
		if (index == NULL)
			plane_forward(g, x + plane * in, y + plane * out);
		else
			plane_index(g, x + plane * in, y + plane * out, index + plane * out);
}

void
nn_maxpool_backward(const nn_window *g, int n, const float *dy, const int *index, float *dx)
{
	size_t in = (size_t) g->h * g->w;
	size_t out = (size_t) g->oh * g->ow;

	memset(dx, 0, (size_t) n * g->c * in * sizeof *dx);
	for (size_t plane = 0; plane < (size_t) n * g->c; plane++, dx += in, dy += out, index += out)
		for (size_t o = 0; o < out; o++)
			if (index[o] >= 0)
				dx[index[o]] += dy[o];
}
