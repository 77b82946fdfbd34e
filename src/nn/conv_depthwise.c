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

	return (run + CHUNK - 1) / CHUNK * CHUNK + 16;
}

size_t
nn_depthwise_scratch(const nn_window *g, bool training)
{
	nn_phases p = nn_phases_of(g);

	return p.all + run_floats(g, &p) + ((size_t) g->kh * g->kw * sizeof(size_t) / sizeof(float) + 15) / 16 * 16;
}

/* One output plane: where its taps read, what they weigh. */
typedef struct plane
{
	size_t run; /* outputs with the gaps between rows */
	int taps;
	const size_t *offsets; /* of the taps, in the phases */
	const float *phases;
	const float *w;
	float add;
	nn_act act;
} plane;

/*
 * sum: out (the run, rounded up to CHUNK) = act(add + taps). Four vectors of sums at a time, for 3x3 with the taps' loop unrolled. A NaN survives
 * the masks, since it compares with nothing.
 */
#define DEFINE_SUM(suffix, TARGET, VEC, MASK, WIDTH)                                                      \
	static TARGET inline                                                                                  \
		__attribute__((always_inline)) void sum_taps_##suffix(const plane *p, const int taps, float *out) \
	{                                                                                                     \
		for (size_t i = 0; i < p->run; i += 4 * WIDTH)                                                    \
		{                                                                                                 \
			VEC sum[4];                                                                                   \
                                                                                                          \
			for (int j = 0; j < 4; j++)                                                                   \
				sum[j] = (VEC){ 0 } + p->add;                                                             \
			for (int t = 0; t < taps; t++)                                                                \
			{                                                                                             \
				const float *from = p->phases + p->offsets[t] + i;                                        \
				float w = p->w[t];                                                                        \
                                                                                                          \
				for (int j = 0; j < 4; j++)                                                               \
					sum[j] += *(const VEC *) (from + j * WIDTH) * w;                                      \
			}                                                                                             \
			if (p->act.kind != NN_ACT_NONE)                                                               \
				for (int j = 0; j < 4; j++)                                                               \
				{                                                                                         \
					VEC lo = (VEC){ 0 } + (p->act.kind == NN_ACT_RELU ? 0.0f : p->act.lo);                \
					MASK below = (MASK) (sum[j] < lo);                                                    \
                                                                                                          \
					sum[j] = (VEC) (((MASK) sum[j] & ~below) | ((MASK) lo & below));                      \
					if (p->act.kind == NN_ACT_CLIP)                                                       \
					{                                                                                     \
						VEC hi = (VEC){ 0 } + p->act.hi;                                                  \
						MASK above = (MASK) (sum[j] > hi);                                                \
                                                                                                          \
						sum[j] = (VEC) (((MASK) sum[j] & ~above) | ((MASK) hi & above));                  \
					}                                                                                     \
				}                                                                                         \
			for (int j = 0; j < 4; j++)                                                                   \
				*(VEC *) (out + i + j * WIDTH) = sum[j];                                                  \
		}                                                                                                 \
	}                                                                                                     \
                                                                                                          \
	static TARGET void sum_##suffix(const plane *p, float *out)                                           \
	{                                                                                                     \
		if (p->taps == 9)                                                                                 \
			sum_taps_##suffix(p, 9, out);                                                                 \
		else                                                                                              \
			sum_taps_##suffix(p, p->taps, out);                                                           \
	}

typedef int mask4 __attribute__((vector_size(16)));
typedef float vec4 __attribute__((vector_size(16), aligned(4), may_alias));

DEFINE_SUM(base, , vec4, mask4, 4)
#if defined(__x86_64__)
typedef int mask8 __attribute__((vector_size(32)));
typedef int mask16 __attribute__((vector_size(64)));

DEFINE_SUM(avx2, NN_TARGET_AVX2, nn_vec8, mask8, 8)
DEFINE_SUM(avx512, NN_TARGET_AVX512, nn_vec16, mask16, 16)
#endif

typedef void (*sum_function)(const plane *p, float *out);

static sum_function
sum_here(void)
{
#if defined(__x86_64__)
	switch (nn_simd_level())
	{
		case NN_SIMD_AVX512:
			return sum_avx512;
		case NN_SIMD_AVX2:
			return sum_avx2;
		case NN_SIMD_BASE:
			break;
	}
#endif
	return sum_base;
}

/* Rows of `width` floats at every `pitch`-th, close together in y; rows are written in whole vectors, each making good what the last wrote too much. */
static void
take_rows(int rows, int width, int pitch, const float *run, float *y, const float *y_end)
{
	for (int r = 0; r < rows; r++, run += pitch, y += width)
		if (y + (width + 15) / 16 * 16 <= y_end)
			for (int i = 0; i < width; i += 16)
				memcpy(y + i, run + i, 16 * sizeof *y);
		else
			memcpy(y, run, (size_t) width * sizeof *y);
}

void
nn_depthwise_forward(const nn_window *g, int k, int n, const float *x, const float *w, const float *b, nn_act act,
					 float *y, float *scratch)
{
	nn_phases p = nn_phases_of(g);
	int taps = g->kh * g->kw;
	int each = k / g->c;
	float *run = scratch + p.all;
	size_t *offsets = (size_t *) (run + run_floats(g, &p));
	const float *y_end = y + (size_t) n * k * g->oh * g->ow;
	sum_function sum = sum_here();
	plane q = { (size_t) (g->oh - 1) * p.pitch + g->ow, taps, offsets, scratch, w, 0.0f, act };

	if (nn_depthwise_rows_fits(g))
	{
		nn_strides dense = nn_strides_dense(g, k);

		nn_depthwise_rows(g, &dense, k, n, x, w, b, act, y);
		return;
	}
	memset(scratch, 0, p.all * sizeof *scratch);
	for (int t = 0; t < taps; t++)
		offsets[t] = nn_phases_tap(g, &p, t / g->kw, t % g->kw);
	for (int i = 0; i < n; i++)
		for (int c = 0; c < g->c; c++, x += (size_t) g->h * g->w)
		{
			nn_phases_split(g, &p, 1, x, 0, scratch);
			for (int o = c * each; o < (c + 1) * each; o++, y += (size_t) g->oh * g->ow)
			{
				q.w = w + (size_t) o * taps;
				q.add = b != NULL ? b[o] : 0.0f;
				sum(&q, run);
				take_rows(g->oh, g->ow, p.pitch, run, y, y_end);
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

/* With stride 1 the gradient of the input is a convolution of dy with the kernel turned round. */
static bool
turned_window(const nn_window *g, int k, nn_window *t)
{
	*t = *g;
	t->h = g->oh;
	t->w = g->ow;
	t->ph0 = g->kh - 1 - g->ph0;
	t->ph1 = g->kh - 1 - g->ph1;
	t->pw0 = g->kw - 1 - g->pw0;
	t->pw1 = g->kw - 1 - g->pw1;
	return k == g->c && g->sh == 1 && g->sw == 1 && t->ph0 >= 0 && t->ph1 >= 0 && t->pw0 >= 0 && t->pw1 >= 0 &&
		   nn_window_output(t, false) && t->oh == g->h && t->ow == g->w && nn_depthwise_rows_fits(t);
}

/* By one channel after the other: there is room for one turned kernel. */
static void
input_gradient(const nn_window *t, int k, int n, const float *w, const float *dy, float *dx, float *scratch)
{
	const nn_act none = { NN_ACT_NONE, 0.0f, 0.0f };
	size_t taps = (size_t) t->kh * t->kw;
	nn_strides at = nn_strides_dense(t, k);
	nn_window one = *t;

	one.c = 1;
	for (int o = 0; o < k; o++)
	{
		for (size_t tap = 0; tap < taps; tap++)
			scratch[tap] = w[o * taps + taps - 1 - tap];
		nn_depthwise_rows(&one, &at, 1, n, dy + (size_t) o * at.x_plane, scratch, NULL, none,
						  dx + (size_t) o * at.y_plane);
	}
}

void
nn_depthwise_backward(const nn_window *g, int k, int n, const float *x, const float *w, const float *dy, float *dx,
					  float *dw, float *scratch)
{
	int each = k / g->c;
	size_t taps = (size_t) g->kh * g->kw;
	size_t in = (size_t) g->h * g->w;
	size_t out = (size_t) g->oh * g->ow;
	nn_window t;

	if (dw != NULL && nn_depthwise_rows_fits(g))
	{
		nn_depthwise_rows_weights(g, k, n, x, dy, dw);
		dw = NULL;
	}
	if (dx != NULL && turned_window(g, k, &t))
	{
		input_gradient(&t, k, n, w, dy, dx, scratch);
		dx = NULL;
	}
	if (dx == NULL && dw == NULL)
		return;
	for (int i = 0; i < n; i++)
		for (int o = 0; o < k; o++)
		{
			size_t at = ((size_t) i * g->c + o / each) * in;

			plane_backward(g, x + at, w + o * taps, dy + ((size_t) i * k + o) * out, dx != NULL ? dx + at : NULL,
						   dw != NULL ? dw + o * taps : NULL);
		}
}
