/*
 * conv_depthwise.c: one input channel a group, directly.
 *
 * A plane in phases (phases.h) is one run of multiply-adds over contiguous floats. The few columns between ow and the pitch are computed in vain.
 */
#include "nn/conv.h"

#include <string.h>

#include "nn/phases.h"
#include "nn/simd.h"
#include "nn/vector.h"
#include "nn/window.h"

/* Outputs computed at a time; a run is rounded up to it, which the phases' slack allows. */
#define CHUNK 64

static size_t
run_floats(const nn_window *g, const nn_phases *p)
{
	size_t run = (size_t) (g->oh - 1) * p->pitch + g->ow;

	return (run + CHUNK - 1) / CHUNK * CHUNK;
}

size_t
nn_depthwise_scratch(const nn_window *g, bool training)
{
	nn_phases p = nn_phases_of(g);

	return p.all + run_floats(g, &p);
}

NN_INLINE void
run_taps(size_t run, int taps, const float *const *from, const float *w, float add, float *out)
{
	for (size_t i = 0; i < run; i += CHUNK)
	{
		float sum[CHUNK];

		for (int j = 0; j < CHUNK; j++)
			sum[j] = add;
		for (int t = 0; t < taps; t++)
		{
			const float *row = from[t] + i;
			float v = w[t];

			for (int j = 0; j < CHUNK; j++)
				sum[j] += v * row[j];
		}
		for (int j = 0; j < CHUNK; j++)
			out[i + j] = sum[j];
	}
}

/* out (run floats and slack) = sum over taps; more taps than fit in one go are added row by row. */
NN_INLINE void
plane_run_body(const nn_window *g, const nn_phases *p, size_t run, const float *split_plane, const float *w, float add,
			   float *out)
{
	const float *from[9];

	if (g->kh == 3 && g->kw == 3)
	{
		for (int t = 0; t < 9; t++)
			from[t] = split_plane + nn_phases_tap(g, p, t / 3, t % 3);
		run_taps(run, 9, from, w, add, out);
		return;
	}
	for (size_t i = 0; i < run; i += CHUNK)
	{
		float sum[CHUNK];

		for (int j = 0; j < CHUNK; j++)
			sum[j] = add;
		for (int ky = 0; ky < g->kh; ky++)
			for (int kx = 0; kx < g->kw; kx++)
			{
				const float *row = split_plane + nn_phases_tap(g, p, ky, kx) + i;
				float v = w[ky * g->kw + kx];

				for (int j = 0; j < CHUNK; j++)
					sum[j] += v * row[j];
			}
		for (int j = 0; j < CHUNK; j++)
			out[i + j] = sum[j];
	}
}
NN_SIMD_KERNEL(static, plane_run,
			   (const nn_window *g, const nn_phases *p, size_t run, const float *split_plane, const float *w, float add,
				float *out),
			   (g, p, run, split_plane, w, add, out))

void
nn_depthwise_forward(const nn_window *g, int k, int n, const float *x, const float *w, const float *b, nn_act act,
					 float *y, float *scratch)
{
	nn_phases p = nn_phases_of(g);
	size_t run_len = run_floats(g, &p);
	int each = k / g->c;
	float *run = scratch + p.all;

	memset(scratch, 0, p.all * sizeof *scratch);
	for (int i = 0; i < n; i++)
		for (int c = 0; c < g->c; c++, x += (size_t) g->h * g->w)
		{
			nn_phases_split(g, &p, 1, x, scratch);
			for (int e = 0; e < each; e++, y += (size_t) g->oh * g->ow)
			{
				int o = c * each + e;

				plane_run(g, &p, run_len, scratch, w + (size_t) o * g->kh * g->kw, b != NULL ? b[o] : 0.0f, run);
				nn_bias_act(g->oh, g->ow, run, p.pitch, NULL, act, y, g->ow);
			}
		}
}

/* One plane: rows of outputs against rows of inputs, clipped to what exists. dx is added to. */
NN_INLINE void
plane_backward_body(const nn_window *g, const float *x, const float *w, const float *dy, float *dx, float *dw)
{
	for (int ky = 0; ky < g->kh; ky++)
		for (int kx = 0; kx < g->kw; kx++)
		{
			int t = ky * g->kw + kx;
			int shift = kx * g->dw - g->pw0;
			float lane[16] = { 0 };
			int y0, y1, x0, x1;

			nn_window_range(g->h, g->sh, g->ph0, ky * g->dh, g->oh, &y0, &y1);
			nn_window_range(g->w, g->sw, g->pw0, kx * g->dw, g->ow, &x0, &x1);
			for (int oy = y0; oy < y1; oy++)
			{
				size_t row = (size_t) (oy * g->sh - g->ph0 + ky * g->dh) * g->w;
				const float *d = dy + (size_t) oy * g->ow;

				if (dw != NULL)
				{
					const float *from = x + row;
					int ox = x0;

					for (; ox + 16 <= x1; ox += 16)
						for (int j = 0; j < 16; j++)
							lane[j] += d[ox + j] * from[(ox + j) * g->sw + shift];
					for (int j = 0; ox < x1; ox++, j++)
						lane[j] += d[ox] * from[ox * g->sw + shift];
				}
				if (dx != NULL)
				{
					float *to = dx + row;
					float v = w[t];

					if (g->sw == 1)
						for (int ox = x0; ox < x1; ox++)
							to[ox + shift] += v * d[ox];
					else
						for (int ox = x0; ox < x1; ox++)
							to[ox * g->sw + shift] += v * d[ox];
				}
			}
			if (dw != NULL)
			{
				for (int half = 8; half > 0; half /= 2)
					for (int j = 0; j < half; j++)
						lane[j] += lane[j + half];
				dw[t] += lane[0];
			}
		}
}
NN_SIMD_KERNEL(static, plane_backward,
			   (const nn_window *g, const float *x, const float *w, const float *dy, float *dx, float *dw),
			   (g, x, w, dy, dx, dw))

void
nn_depthwise_backward(const nn_window *g, int k, int n, const float *x, const float *w, const float *dy, float *dx,
					  float *dw, float *scratch)
{
	int each = k / g->c;
	size_t taps = (size_t) g->kh * g->kw;
	size_t in = (size_t) g->h * g->w;
	size_t out = (size_t) g->oh * g->ow;

	for (int i = 0; i < n; i++)
		for (int o = 0; o < k; o++)
		{
			size_t plane = ((size_t) i * g->c + o / each) * in;

			plane_backward(g, x + plane, w + o * taps, dy + ((size_t) i * k + o) * out, dx != NULL ? dx + plane : NULL,
						   dw != NULL ? dw + o * taps : NULL);
		}
}
