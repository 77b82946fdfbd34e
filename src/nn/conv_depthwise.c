/*
 * conv_depthwise.c: one input channel a group, directly.
 *
 * A plane is copied, padded, into one sub-plane per phase of the stride, all of one pitch. Then the pixel under tap (ky, kx) of output (oy, ox) lies
 * in phase (ky dh mod sh, kx dw mod sw) at a constant distance from oy * pitch + ox, and the whole plane is one run of multiply-adds over
 * contiguous floats, whatever stride and dilation. The few columns between ow and the pitch are computed in vain.
 */
#include "nn/conv.h"

#include <string.h>

#include "nn/simd.h"
#include "nn/vector.h"
#include "nn/window.h"

/* Floats that a run may read and write past its end. */
#define SLACK ((size_t) 64)
#define CHUNK 64

typedef struct phases
{
	int rows;      /* of a sub-plane */
	int pitch;     /* of its rows */
	size_t size;   /* of a sub-plane with slack */
	size_t run;    /* outputs computed: (oh - 1) * pitch + ow */
	size_t planes; /* sh * sw */
} phases;

static phases
phases_of(const nn_window *g)
{
	phases p;

	p.rows = g->oh + (g->kh - 1) * g->dh / g->sh;
	p.pitch = g->ow + (g->kw - 1) * g->dw / g->sw;
	p.run = (size_t) (g->oh - 1) * p.pitch + g->ow;
	p.size = ((size_t) p.rows * p.pitch + SLACK + 15) / 16 * 16;
	p.planes = (size_t) g->sh * g->sw;
	return p;
}

/* A stranger's strides, pads and dilations may ask for anything; what does not fit here goes by columns, whose tiles are bounded. */
bool
nn_depthwise_fits(const nn_window *g)
{
	double rows = g->oh + (double) (g->kh - 1) * g->dh / g->sh;
	double pitch = g->ow + (double) (g->kw - 1) * g->dw / g->sw;

	return (double) g->sh * g->sw * rows * pitch <= 1 << 22;
}

static size_t
run_floats(const phases *p)
{
	return (p->run + SLACK + 15) / 16 * 16;
}

size_t
nn_depthwise_scratch(const nn_window *g, bool training)
{
	phases p = phases_of(g);

	return p.planes * p.size + run_floats(&p);
}

/* Sub-plane (py, px) holds input (r sh + py - ph0, q sw + px - pw0) at row r, column q. The padding was zeroed before and stays so. */
NN_INLINE void
split_body(const nn_window *g, const phases *p, const float *x, float *to)
{
	for (int py = 0; py < g->sh; py++)
		for (int px = 0; px < g->sw; px++, to += p->size)
		{
			int y0, y1, x0, x1;

			nn_window_range(g->h, g->sh, g->ph0, py, p->rows, &y0, &y1);
			nn_window_range(g->w, g->sw, g->pw0, px, p->pitch, &x0, &x1);
			for (int r = y0; r < y1; r++)
			{
				const float *from = x + (size_t) (r * g->sh + py - g->ph0) * g->w + px - g->pw0;
				float *row = to + (size_t) r * p->pitch;

				if (g->sw == 1)
					for (int q = x0; q < x1; q++)
						row[q] = from[q];
				else if (g->sw == 2)
					for (int q = x0; q < x1; q++)
						row[q] = from[2 * q];
				else
					for (int q = x0; q < x1; q++)
						row[q] = from[q * g->sw];
			}
		}
}
NN_SIMD_KERNEL(static, split, (const nn_window *g, const phases *p, const float *x, float *to), (g, p, x, to))

/* Where the run of tap (ky, kx) begins. */
NN_INLINE size_t
tap_offset(const nn_window *g, const phases *p, int ky, int kx)
{
	int dy = ky * g->dh;
	int dx = kx * g->dw;

	return ((size_t) (dy % g->sh) * g->sw + dx % g->sw) * p->size + (size_t) (dy / g->sh) * p->pitch + dx / g->sw;
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
plane_run_body(const nn_window *g, const phases *p, const float *split_plane, const float *w, float add, float *out)
{
	const float *from[9];

	if (g->kh == 3 && g->kw == 3)
	{
		for (int t = 0; t < 9; t++)
			from[t] = split_plane + tap_offset(g, p, t / 3, t % 3);
		run_taps(p->run, 9, from, w, add, out);
		return;
	}
	for (size_t i = 0; i < p->run; i += CHUNK)
	{
		float sum[CHUNK];

		for (int j = 0; j < CHUNK; j++)
			sum[j] = add;
		for (int ky = 0; ky < g->kh; ky++)
			for (int kx = 0; kx < g->kw; kx++)
			{
				const float *row = split_plane + tap_offset(g, p, ky, kx) + i;
				float v = w[ky * g->kw + kx];

				for (int j = 0; j < CHUNK; j++)
					sum[j] += v * row[j];
			}
		for (int j = 0; j < CHUNK; j++)
			out[i + j] = sum[j];
	}
}
NN_SIMD_KERNEL(static, plane_run,
			   (const nn_window *g, const phases *p, const float *split_plane, const float *w, float add, float *out),
			   (g, p, split_plane, w, add, out))

void
nn_depthwise_forward(const nn_window *g, int k, int n, const float *x, const float *w, const float *b, nn_act act,
					 float *y, float *scratch)
{
	phases p = phases_of(g);
	int each = k / g->c;
	float *run = scratch + p.planes * p.size;

	memset(scratch, 0, (p.planes * p.size + run_floats(&p)) * sizeof *scratch);
	for (int i = 0; i < n; i++)
		for (int c = 0; c < g->c; c++, x += (size_t) g->h * g->w)
		{
			split(g, &p, x, scratch);
			for (int e = 0; e < each; e++, y += (size_t) g->oh * g->ow)
			{
				int o = c * each + e;

				plane_run(g, &p, scratch, w + (size_t) o * g->kh * g->kw, b != NULL ? b[o] : 0.0f, run);
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
