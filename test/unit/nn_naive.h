/* nn_naive.h: the layers' formulas, one output at a time, summed in double: the twins of the fast kernels. */
#ifndef EDDH_TEST_NN_NAIVE_H
#define EDDH_TEST_NN_NAIVE_H

#include <float.h>
#include <math.h>

#include "nn/kernels.h"

static inline float
naive_act(nn_act act, float x)
{
	if (isnan(x) || act.kind == NN_ACT_NONE)
		return x;
	if (act.kind == NN_ACT_RELU)
		return x < 0 ? 0 : x;
	return x < act.lo ? act.lo : x > act.hi ? act.hi : x;
}

static inline void
naive_dense(int n, int c, int k, const float *x, const float *w, const float *b, nn_act act, float *y)
{
	for (int i = 0; i < n; i++)
		for (int j = 0; j < k; j++)
		{
			double sum = b != NULL ? b[j] : 0.0;

			for (int p = 0; p < c; p++)
				sum += (double) x[i * c + p] * (double) w[j * c + p];
			y[i * k + j] = naive_act(act, (float) sum);
		}
}

/* Calls visit for every pixel that exists under the window of output (oy, ox); returns how many elements lie in the padded input. */
typedef void (*pixel_visit)(void *arg, int at);

static inline int
naive_window(const nn_window *g, int oy, int ox, pixel_visit visit, void *arg)
{
	int padded = 0;

	for (int ky = 0; ky < g->kh; ky++)
		for (int kx = 0; kx < g->kw; kx++)
		{
			int iy = oy * g->sh - g->ph0 + ky * g->dh;
			int ix = ox * g->sw - g->pw0 + kx * g->dw;

			padded += iy < g->h + g->ph1 && ix < g->w + g->pw1;
			if (iy >= 0 && iy < g->h && ix >= 0 && ix < g->w)
				visit(arg, iy * g->w + ix);
		}
	return padded;
}

typedef struct naive_fold
{
	const float *plane;
	float max;
	int argmax;
	double sum;
	int count;
} naive_fold;

static inline void
naive_visit(void *arg, int at)
{
	naive_fold *f = arg;
	float v = f->plane[at];

	if (!isnan(f->max) && (isnan(v) || v > f->max))
	{
		f->max = v;
		f->argmax = at;
	}
	f->sum += v;
	f->count++;
}

static inline void
naive_pools(const nn_window *g, bool count_pad, int planes, const float *x, float *max, int *argmax, float *mean)
{
	for (int p = 0; p < planes; p++)
		for (int oy = 0; oy < g->oh; oy++)
			for (int ox = 0; ox < g->ow; ox++)
			{
				naive_fold f = { x + (size_t) p * g->h * g->w, -FLT_MAX, -1, 0.0, 0 };
				int padded = naive_window(g, oy, ox, naive_visit, &f);
				int divisor = count_pad ? padded : f.count;

				*max++ = f.max;
				*argmax++ = f.argmax;
				*mean++ = divisor > 0 ? (float) (f.sum / divisor) : 0.0f;
			}
}

static inline void
naive_lrn(nn_lrn p, int n, int c, int hw, const float *x, float *y, float *scale)
{
	for (int i = 0; i < n; i++)
		for (int j = 0; j < c; j++)
			for (int q = 0; q < hw; q++)
			{
				double sum = 0.0;
				size_t at = ((size_t) i * c + j) * hw + q;

				for (int k = j - (p.size - 1) / 2; k <= j + p.size / 2; k++)
					if (k >= 0 && k < c)
						sum += (double) x[((size_t) i * c + k) * hw + q] * (double) x[((size_t) i * c + k) * hw + q];
				sum = p.bias + (double) p.alpha / p.size * sum;
				y[at] = (float) (x[at] * pow(sum, -(double) p.beta));
				if (scale != NULL)
					scale[at] = (float) sum;
			}
}

static inline float
naive_unary(nn_unary f, float a, float b, float x)
{
	switch (f)
	{
		case NN_SIGMOID:
			return (float) (1.0 / (1.0 + exp(-(double) x)));
		case NN_HARDSIGMOID:
			return isnan(x) ? x : (float) fmax(0.0, fmin(1.0, (double) a * x + b));
		case NN_HARDSWISH:
			return isnan(x) ? x : (float) (x * fmax(0.0, fmin(1.0, (double) x / 6.0 + 0.5)));
		case NN_TANH:
			return (float) tanh(x);
		case NN_EXP:
			return (float) exp(x);
		case NN_SIN:
			return (float) sin(x);
	}
	return 0.0f;
}

static inline float
naive_second(nn_broadcast how, int i, int j, int q, int c, int hw, const float *b)
{
	switch (how)
	{
		case NN_SAME:
			return b[((size_t) i * c + j) * hw + q];
		case NN_CHANNEL:
			return b[(size_t) i * c + j];
		case NN_CONST_SAME:
			return b[(size_t) j * hw + q];
		case NN_CONST_CHANNEL:
			return b[j];
		case NN_CONST_SCALAR:
			return b[0];
	}
	return 0.0f;
}

static inline void
naive_binary(bool mul, nn_broadcast how, int n, int c, int hw, const float *a, const float *b, float *y)
{
	for (int i = 0; i < n; i++)
		for (int j = 0; j < c; j++)
			for (int q = 0; q < hw; q++, a++, y++)
			{
				float v = naive_second(how, i, j, q, c, hw, b);

				*y = mul ? *a * v : *a + v;
			}
}

#endif /* EDDH_TEST_NN_NAIVE_H */
