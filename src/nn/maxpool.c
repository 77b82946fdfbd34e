/*
 * maxpool.c: maximum over a window. A NaN under the window is its maximum; ties go to the first pixel in row order.
 *
 * First the maximum down the columns (contiguous rows), then along the row, both vectorised, carrying the winner's position where training wants it.
 */
#include "nn/pools.h"

#include <float.h>
#include <string.h>

#include "nn/simd.h"
#include "nn/window.h"

/* Columns of the input that are folded at a time. */
#define STRIP 512

/* Does b replace a? Not if a is at least as large or already NaN. */
NN_INLINE bool
stays(float a, float b)
{
	return (a >= b) | (a != a);
}

/* The larger of two; a NaN in either is the result: as b it wins because nothing is larger than it, as a by the last line. */
NN_INLINE float
larger(float a, float b)
{
	float max = a > b ? a : b;

	return a != a ? a : max;
}

/* The same where b was seen after a but may come before it in row order: among equals, and among NaNs, the earlier pixel wins. */
NN_INLINE bool
stays_in_order(float a, float b, int a_at, int b_at)
{
	bool before = a_at < b_at;

	return (a > b) | ((a == b) & before) | ((a != a) & ((b == b) | before));
}

/* The maximum down `count` rows of a plane, `step` apart, len columns; at: the position of the first pixel, where[i] of the winners. */
NN_INLINE void
fold_rows(const float *row, int count, int step, int len, float *out, bool indexed, int at, int *where)
{
	for (int i = 0; i < len; i++)
	{
		out[i] = row[i];
		if (indexed)
			where[i] = at + i;
	}
	for (int k = 1; k < count; k++)
	{
		row += step;
		at += step;
		for (int i = 0; i < len; i++)
		{
			bool keep = stays(out[i], row[i]);

			out[i] = keep ? out[i] : row[i];
			if (indexed)
				where[i] = keep ? where[i] : at + i;
		}
	}
}

/* Outputs 0 .. count - 1 against every stride-th of the folded columns. */
NN_INLINE void
fold_along(int count, int stride, const float *restrict from, const int *restrict where, float *restrict y,
		   bool indexed, int *restrict index)
{
	for (int o = 0; o < count; o++)
	{
		float v = from[o * stride];

		if (indexed)
		{
			int at = where[o * stride];
			bool keep = stays_in_order(y[o], v, index[o], at);

			y[o] = keep ? y[o] : v;
			index[o] = keep ? index[o] : at;
		}
		else
			y[o] = stays(y[o], v) ? y[o] : v;
	}
}

/* The winner so far against one more pixel. */
NN_INLINE void
challenge(float *max, int *winner, float v, int at)
{
	bool keep = stays_in_order(*max, v, *winner, at);

	*max = keep ? *max : v;
	*winner = keep ? *winner : at;
}

/*
 * The same in one pass, for kernels of two or three columns, two apart, all of which exist. Written out: a loop over the columns inside, or a branch,
 * would keep the one over outputs from being vectorised.
 */
NN_INLINE void
fold_whole(int count, int kw, const float *restrict from, const int *restrict where, float *restrict y, bool indexed,
		   int *restrict index)
{
	if (indexed)
		for (int o = 0; o < count; o++)
		{
			float max = from[2 * o];
			int winner = where[2 * o];

			challenge(&max, &winner, from[2 * o + 1], where[2 * o + 1]);
			if (kw == 3)
				challenge(&max, &winner, from[2 * o + 2], where[2 * o + 2]);
			y[o] = max;
			index[o] = winner;
		}
	else if (kw == 2)
		for (int o = 0; o < count; o++)
			y[o] = larger(from[2 * o], from[2 * o + 1]);
	else
		for (int o = 0; o < count; o++)
			y[o] = larger(larger(from[2 * o], from[2 * o + 1]), from[2 * o + 2]);
}

/* A window wider than a strip, or otherwise not worth a fold: pixel by pixel, in row order. */
NN_INLINE void
wide_window(const nn_window *g, const float *x, int oy, int ox, float *y, int *index)
{
	int winner = -1;
	float max = -FLT_MAX;

	for (int ky = 0; ky < g->kh; ky++)
		for (int kx = 0; kx < g->kw; kx++)
		{
			int iy = oy * g->sh - g->ph0 + ky * g->dh;
			int ix = ox * g->sw - g->pw0 + kx * g->dw;

			if (iy < 0 || iy >= g->h || ix < 0 || ix >= g->w || stays(max, x[iy * g->w + ix]))
				continue;
			winner = iy * g->w + ix;
			max = x[winner];
		}
	*y = max;
	if (index != NULL)
		*index = winner;
}

/* Without an index there is none of a later pixel either; NULL + offset is undefined. */
NN_INLINE int *
from_index(int *index, int offset)
{
	return index == NULL ? NULL : index + offset;
}

NN_INLINE void
plane_body(const nn_window *g, const float *x, float *y, bool indexed, int *index)
{
	int reach = (g->kw - 1) * g->dw + 1;
	int many = reach >= STRIP ? 0 : (STRIP - reach) / g->sw + 1;
	bool whole =
		g->pw0 == 0 && (g->ow - 1) * g->sw + reach <= g->w && g->dw == 1 && g->sw == 2 && (g->kw == 2 || g->kw == 3);

	for (int oy = 0; oy < g->oh; oy++, y += g->ow, index = from_index(index, g->ow))
	{
		int iy0 = oy * g->sh - g->ph0;
		int ky0 = iy0 < 0 ? (-iy0 + g->dh - 1) / g->dh : 0;
		int ky1 = g->h - iy0 <= 0 ? 0 : (g->h - iy0 + g->dh - 1) / g->dh;

		if (ky1 > g->kh)
			ky1 = g->kh;
		if (!whole || ky0 >= ky1)
			for (int ox = 0; ox < g->ow; ox++)
			{
				y[ox] = -FLT_MAX;
				if (indexed)
					index[ox] = -1;
			}
		if (many == 0)
			for (int ox = 0; ox < g->ow; ox++)
				wide_window(g, x, oy, ox, y + ox, from_index(index, ox));
		else if (ky0 < ky1)
			for (int ox = 0; ox < g->ow; ox += many)
			{
				float fold[STRIP];
				int where[STRIP];
				int end = ox + many < g->ow ? ox + many : g->ow;
				int x0 = ox * g->sw - g->pw0;
				int x1 = (end - 1) * g->sw - g->pw0 + reach;
				int at;

				x0 = x0 < 0 ? 0 : x0;
				x1 = x1 > g->w ? g->w : x1;
				if (x1 <= x0)
					continue;
				at = (iy0 + ky0 * g->dh) * g->w + x0;
				fold_rows(x + at, ky1 - ky0, g->dh * g->w, x1 - x0, fold, indexed, at, where);
				if (whole)
				{
					if (g->kw == 2)
						fold_whole(end - ox, 2, fold, where, y + ox, indexed, from_index(index, ox));
					else
						fold_whole(end - ox, 3, fold, where, y + ox, indexed, from_index(index, ox));
					continue;
				}
				for (int kx = 0; kx < g->kw; kx++)
				{
					int lo, hi, from;

					nn_window_range(g->w, g->sw, g->pw0, kx * g->dw, g->ow, &lo, &hi);
					lo = lo < ox ? ox : lo;
					hi = hi > end ? end : hi;
					if (hi <= lo)
						continue;
					from = lo * g->sw - g->pw0 + kx * g->dw - x0;
					if (g->sw == 1)
						fold_along(hi - lo, 1, fold + from, where + from, y + lo, indexed, from_index(index, lo));
					else if (g->sw == 2)
						fold_along(hi - lo, 2, fold + from, where + from, y + lo, indexed, from_index(index, lo));
					else
						fold_along(hi - lo, g->sw, fold + from, where + from, y + lo, indexed, from_index(index, lo));
				}
			}
	}
}

NN_INLINE void
plane_forward_body(const nn_window *g, const float *x, float *y)
{
	plane_body(g, x, y, false, NULL);
}
NN_SIMD_KERNEL(static, plane_forward, (const nn_window *g, const float *x, float *y), (g, x, y))

/* index: position in the plane, -1 for a window that sees no pixel. */
NN_INLINE void
plane_index_body(const nn_window *g, const float *x, float *y, int *index)
{
	plane_body(g, x, y, true, index);
}
NN_SIMD_KERNEL(static, plane_index, (const nn_window *g, const float *x, float *y, int *index), (g, x, y, index))

void
nn_maxpool_forward(const nn_window *g, int n, const float *x, float *y, int *index)
{
	size_t in = (size_t) g->h * g->w;
	size_t out = (size_t) g->oh * g->ow;

	if (index == NULL && nn_maxpool_rows_fits(g))
	{
		nn_strides dense = nn_strides_dense(g, g->c);

		nn_maxpool_rows(g, &dense, n, x, y);
		return;
	}
	for (size_t plane = 0; plane < (size_t) n * g->c; plane++)
		if (index == NULL)
			plane_forward(g, x + plane * in, y + plane * out);
		else
			plane_index(g, x + plane * in, y + plane * out, index + plane * out);
}

bool
nn_maxpool_strided_fits(const nn_window *g)
{
	return nn_maxpool_rows_fits(g);
}

void
nn_maxpool_forward_strided(const nn_window *g, const nn_strides *at, int n, const float *x, float *y)
{
	nn_maxpool_rows(g, at, n, x, y);
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
