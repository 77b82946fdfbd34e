/* window.c: geometry of convolution and pooling windows; im2col and its transpose. */
#include "nn/window.h"

#include <stdint.h>
#include <string.h>

#include "nn/simd.h"

static int
output_size(int in, int pad0, int pad1, int kernel, int dilation, int stride, bool ceil_mode)
{
	int64_t room = (int64_t) in + pad0 + pad1 - ((int64_t) dilation * (kernel - 1) + 1);
	int64_t out;

	if (room < 0)
		return 0;
	out = (ceil_mode ? (room + stride - 1) / stride : room / stride) + 1;
	/* A last window that would begin in the trailing padding sees nothing. */
	if (ceil_mode && (out - 1) * stride >= (int64_t) in + pad0)
		out--;
	return (int) out;
}

bool
nn_window_output(nn_window *g, bool ceil_mode)
{
	g->oh = output_size(g->h, g->ph0, g->ph1, g->kh, g->dh, g->sh, ceil_mode);
	g->ow = output_size(g->w, g->pw0, g->pw1, g->kw, g->dw, g->sw, ceil_mode);
	return g->oh >= 1 && g->ow >= 1;
}

/* One output row's part ox0 .. ox1 - 1 for one kernel element; row NULL = in the padding. */
NN_INLINE void
gather_row(const float *restrict row, int ox0, int ox1, int lo, int hi, int stride, int shift, float *restrict to)
{
	int ox = ox0;

	if (row == NULL)
	{
		memset(to, 0, (size_t) (ox1 - ox0) * sizeof *to);
		return;
	}
	if (lo > ox1)
		lo = ox1;
	if (hi > ox1)
		hi = ox1;
	for (; ox < lo; ox++)
		*to++ = 0.0f;
	if (ox < hi)
	{
		int count = hi - ox;

		/* Rows are short: a loop is faster than a call of memcpy. */
		row += ox * stride + shift;
		if (stride == 1)
			for (int i = 0; i < count; i++)
				to[i] = row[i];
		else
			for (int i = 0; i < count; i++)
				to[i] = row[i * stride];
		to += count;
		ox = hi;
	}
	for (; ox < ox1; ox++)
		*to++ = 0.0f;
}

NN_INLINE void
nn_im2col_body(const nn_window *g, int channels, const float *x, size_t first, size_t count, float *col, size_t ld)
{
	size_t last = first + count;
	int oy_begin = (int) (first / (size_t) g->ow);
	int oy_end = (int) ((last + (size_t) g->ow - 1) / (size_t) g->ow);

	for (int c = 0; c < channels; c++)
		for (int ky = 0; ky < g->kh; ky++)
			for (int kx = 0; kx < g->kw; kx++, col += ld)
			{
				const float *plane = x + (size_t) c * g->h * g->w;
				int shift = kx * g->dw - g->pw0;
				float *to = col;
				int lo, hi;

				nn_window_range(g->w, g->sw, g->pw0, kx * g->dw, g->ow, &lo, &hi);
				for (int oy = oy_begin; oy < oy_end; oy++)
				{
					size_t row_first = (size_t) oy * g->ow;
					int ox0 = first > row_first ? (int) (first - row_first) : 0;
					int ox1 = last < row_first + g->ow ? (int) (last - row_first) : g->ow;
					int iy = oy * g->sh - g->ph0 + ky * g->dh;

					gather_row(iy < 0 || iy >= g->h ? NULL : plane + (size_t) iy * g->w, ox0, ox1, lo, hi, g->sw, shift,
							   to);
					to += ox1 - ox0;
				}
			}
}
NN_SIMD_KERNEL(extern, nn_im2col,
			   (const nn_window *g, int channels, const float *x, size_t first, size_t count, float *col, size_t ld),
			   (g, channels, x, first, count, col, ld))

void
nn_col2im(const nn_window *g, int channels, const float *col, size_t first, size_t count, size_t ld, float *x)
{
	size_t last = first + count;
	int oy_begin = (int) (first / (size_t) g->ow);
	int oy_end = (int) ((last + (size_t) g->ow - 1) / (size_t) g->ow);

	for (int c = 0; c < channels; c++)
		for (int ky = 0; ky < g->kh; ky++)
			for (int kx = 0; kx < g->kw; kx++, col += ld)
			{
				float *plane = x + (size_t) c * g->h * g->w;
				int shift = kx * g->dw - g->pw0;
				int lo, hi;

				nn_window_range(g->w, g->sw, g->pw0, kx * g->dw, g->ow, &lo, &hi);
				for (int oy = oy_begin; oy < oy_end; oy++)
				{
					size_t row_first = (size_t) oy * g->ow;
					int ox0 = first > row_first ? (int) (first - row_first) : 0;
					int ox1 = last < row_first + g->ow ? (int) (last - row_first) : g->ow;
					int iy = oy * g->sh - g->ph0 + ky * g->dh;
					const float *from = col + (row_first + (size_t) ox0 - first);
					int begin = ox0 > lo ? ox0 : lo;
					int end = ox1 < hi ? ox1 : hi;
					float *row;

					if (iy < 0 || iy >= g->h)
						continue;
					row = plane + (size_t) iy * g->w;
					from += begin - ox0;
					if (g->sw == 1)
						for (int ox = begin; ox < end; ox++)
							row[ox + shift] += *from++;
					else
						for (int ox = begin; ox < end; ox++)
							row[ox * g->sw + shift] += *from++;
				}
			}
}
