/* avgpool.c: mean over a window, and over the whole plane. */
#include "nn/kernels.h"

#include <string.h>

#include "nn/simd.h"
#include "nn/vector.h"
#include "nn/window.h"

/*
 * Pixels that count under the window at (oy, ox): those that exist, or with count_pad those of the padded input (a ceil window may reach beyond even
 * the padding, and what is there never counts). In one dimension: kernel elements k with begin <= o * stride - pad + k * dilation < end.
 */
static int
elements(int o, int stride, int pad, int kernel, int dilation, int begin, int end)
{
	int count = 0;

	for (int k = 0; k < kernel; k++)
	{
		int at = o * stride - pad + k * dilation;

		count += at >= begin && at < end;
	}
	return count;
}

static float
divisor(const nn_window *g, bool count_pad, int oy, int ox)
{
	int down, along;

	if (count_pad)
	{
		down = elements(oy, g->sh, g->ph0, g->kh, g->dh, -g->ph0, g->h + g->ph1);
		along = elements(ox, g->sw, g->pw0, g->kw, g->dw, -g->pw0, g->w + g->pw1);
	}
	else
	{
		down = elements(oy, g->sh, g->ph0, g->kh, g->dh, 0, g->h);
		along = elements(ox, g->sw, g->pw0, g->kw, g->dw, 0, g->w);
	}
	return (float) down * (float) along;
}

NN_INLINE void
plane_sum_body(const nn_window *g, const float *x, float *y)
{
	memset(y, 0, (size_t) g->oh * g->ow * sizeof *y);
	for (int oy = 0; oy < g->oh; oy++, y += g->ow)
		for (int ky = 0; ky < g->kh; ky++)
		{
			int iy = oy * g->sh - g->ph0 + ky * g->dh;

			if (iy < 0 || iy >= g->h)
				continue;
			for (int kx = 0; kx < g->kw; kx++)
			{
				const float *row = x + (size_t) iy * g->w;
				int shift = kx * g->dw - g->pw0;
				int lo, hi;

				nn_window_range(g->w, g->sw, g->pw0, kx * g->dw, g->ow, &lo, &hi);
				for (int ox = lo; ox < hi; ox++)
					y[ox] += row[ox * g->sw + shift];
			}
		}
}
NN_SIMD_KERNEL(static, plane_sum, (const nn_window *g, const float *x, float *y), (g, x, y))

void
nn_avgpool_forward(const nn_window *g, bool count_pad, int n, const float *x, float *y)
{
	size_t in = (size_t) g->h * g->w;
	size_t out = (size_t) g->oh * g->ow;
	size_t planes = (size_t) n * g->c;

	for (size_t plane = 0; plane < planes; plane++)
		plane_sum(g, x + plane * in, y + plane * out);
	for (int oy = 0; oy < g->oh; oy++)
		for (int ox = 0; ox < g->ow; ox++)
		{
			float by = divisor(g, count_pad, oy, ox);
			float *at = y + (size_t) oy * g->ow + ox;

			/* A window that sees nothing is 0. */
			by = by > 0.0f ? 1.0f / by : 0.0f;
			for (size_t plane = 0; plane < planes; plane++)
				at[plane * out] *= by;
		}
}

void
nn_avgpool_backward(const nn_window *g, bool count_pad, int n, const float *dy, float *dx)
{
	size_t in = (size_t) g->h * g->w;
	size_t out = (size_t) g->oh * g->ow;
	size_t planes = (size_t) n * g->c;

	memset(dx, 0, planes * in * sizeof *dx);
	for (int oy = 0; oy < g->oh; oy++)
		for (int ox = 0; ox < g->ow; ox++)
		{
			float by = divisor(g, count_pad, oy, ox);

			if (by <= 0.0f)
				continue;
			by = 1.0f / by;
			for (int ky = 0; ky < g->kh; ky++)
			{
				int iy = oy * g->sh - g->ph0 + ky * g->dh;

				if (iy < 0 || iy >= g->h)
					continue;
				for (int kx = 0; kx < g->kw; kx++)
				{
					int ix = ox * g->sw - g->pw0 + kx * g->dw;

					if (ix < 0 || ix >= g->w)
						continue;
					for (size_t plane = 0; plane < planes; plane++)
						dx[plane * in + (size_t) iy * g->w + ix] += by * dy[plane * out + (size_t) oy * g->ow + ox];
				}
			}
		}
}

/* Sixteen sums a plane: planes are short, a call of nn_sum would be dear. */
NN_INLINE void
global_means_body(size_t planes, int hw, const float *x, float *y)
{
	for (size_t plane = 0; plane < planes; plane++, x += hw)
	{
		float lane[16] = { 0 };
		float rest = 0.0f;
		int i = 0;

		for (; i + 16 <= hw; i += 16)
			for (int j = 0; j < 16; j++)
				lane[j] += x[i + j];
		for (; i < hw; i++)
			rest += x[i];
		for (int half = 8; half > 0; half /= 2)
			for (int j = 0; j < half; j++)
				lane[j] += lane[j + half];
		y[plane] = (lane[0] + rest) / (float) hw;
	}
}
NN_SIMD_KERNEL(static, global_means, (size_t planes, int hw, const float *x, float *y), (planes, hw, x, y))

void
nn_global_avgpool_forward(int n, int c, int hw, const float *x, float *y)
{
	global_means((size_t) n * c, hw, x, y);
}

void
nn_global_avgpool_backward(int n, int c, int hw, const float *dy, float *dx)
{
	for (size_t plane = 0; plane < (size_t) n * c; plane++)
	{
		float d = dy[plane] / (float) hw;

		for (int p = 0; p < hw; p++)
			*dx++ = d;
	}
}
