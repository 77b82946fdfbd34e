/*
 * elementwise.c: activations, per-channel scale and shift, sums and products of tensors.
 *
 * Comparisons are written so that a NaN goes through: a network with a broken weight must show it.
 */
#include "nn/kernels.h"

#include <math.h>
#include <string.h>

#include "nn/simd.h"
#include "nn/vector.h"

NN_INLINE float
clip(float x, float lo, float hi)
{
	x = lo > x ? lo : x;
	return hi < x ? hi : x;
}

NN_INLINE void
nn_act_forward_body(nn_act act, size_t count, const float *x, float *y)
{
	switch (act.kind)
	{
		case NN_ACT_NONE:
			if (x != y)
				memcpy(y, x, count * sizeof *y);
			break;
		case NN_ACT_RELU:
			for (size_t i = 0; i < count; i++)
				y[i] = 0.0f > x[i] ? 0.0f : x[i];
			break;
		case NN_ACT_CLIP:
			for (size_t i = 0; i < count; i++)
				y[i] = clip(x[i], act.lo, act.hi);
			break;
	}
}
NN_SIMD_KERNEL(extern, nn_act_forward, (nn_act act, size_t count, const float *x, float *y), (act, count, x, y))

/* The derivative at a corner is taken as 0, as every framework does for ReLU. */
NN_INLINE void
nn_act_backward_body(nn_act act, size_t count, const float *y, const float *dy, float *dx)
{
	switch (act.kind)
	{
		case NN_ACT_NONE:
			if (dx != dy)
				memcpy(dx, dy, count * sizeof *dx);
			break;
		case NN_ACT_RELU:
			for (size_t i = 0; i < count; i++)
				dx[i] = y[i] <= 0.0f ? 0.0f : dy[i];
			break;
		case NN_ACT_CLIP:
			for (size_t i = 0; i < count; i++)
				dx[i] = ((y[i] <= act.lo) | (y[i] >= act.hi)) ? 0.0f : dy[i];
			break;
	}
}
NN_SIMD_KERNEL(extern, nn_act_backward, (nn_act act, size_t count, const float *y, const float *dy, float *dx),
			   (act, count, y, dy, dx))

/* dst row r (of `rows`) = act(src row r + bias[r]); strides in floats; in place allowed. bias may be NULL. */
NN_INLINE void
nn_bias_act_body(size_t rows, size_t count, const float *src, size_t src_stride, const float *bias, nn_act act,
				 float *dst, size_t dst_stride)
{
	for (size_t r = 0; r < rows; r++)
	{
		const float *from = src + r * src_stride;
		float *to = dst + r * dst_stride;
		float add = bias != NULL ? bias[r] : 0.0f;

		switch (act.kind)
		{
			case NN_ACT_NONE:
				for (size_t i = 0; i < count; i++)
					to[i] = from[i] + add;
				break;
			case NN_ACT_RELU:
				for (size_t i = 0; i < count; i++)
				{
					float v = from[i] + add;

					to[i] = 0.0f > v ? 0.0f : v;
				}
				break;
			case NN_ACT_CLIP:
				for (size_t i = 0; i < count; i++)
					to[i] = clip(from[i] + add, act.lo, act.hi);
				break;
		}
	}
}
NN_SIMD_KERNEL(extern, nn_bias_act,
			   (size_t rows, size_t count, const float *src, size_t src_stride, const float *bias, nn_act act,
				float *dst, size_t dst_stride),
			   (rows, count, src, src_stride, bias, act, dst, dst_stride))

/* The same with the bias along the columns: dense layers. */
NN_INLINE void
nn_column_bias_act_body(size_t rows, size_t count, const float *bias, nn_act act, float *y)
{
	for (size_t r = 0; r < rows; r++, y += count)
		for (size_t i = 0; i < count; i++)
		{
			float v = y[i] + (bias != NULL ? bias[i] : 0.0f);

			if (act.kind == NN_ACT_RELU)
				v = 0.0f > v ? 0.0f : v;
			else if (act.kind == NN_ACT_CLIP)
				v = clip(v, act.lo, act.hi);
			y[i] = v;
		}
}
NN_SIMD_KERNEL(extern, nn_column_bias_act, (size_t rows, size_t count, const float *bias, nn_act act, float *y),
			   (rows, count, bias, act, y))

NN_INLINE void
nn_scale_forward_body(int n, int c, int hw, const float *x, const float *s, const float *t, float *y)
{
	for (int i = 0; i < n; i++)
		for (int j = 0; j < c; j++, x += hw, y += hw)
		{
			float mul = s[j];
			float add = t != NULL ? t[j] : 0.0f;

			for (int p = 0; p < hw; p++)
				y[p] = x[p] * mul + add;
		}
}
NN_SIMD_KERNEL(extern, nn_scale_forward,
			   (int n, int c, int hw, const float *x, const float *s, const float *t, float *y), (n, c, hw, x, s, t, y))

void
nn_scale_backward(int n, int c, int hw, const float *x, const float *s, const float *dy, float *dx, float *ds,
				  float *dt)
{
	for (int i = 0; i < n; i++)
		for (int j = 0; j < c; j++, x += hw, dy += hw)
		{
			if (ds != NULL)
				ds[j] += nn_dot((size_t) hw, x, dy);
			if (dt != NULL)
				dt[j] += nn_sum((size_t) hw, dy);
			if (dx != NULL)
				for (int p = 0; p < hw; p++)
					*dx++ = dy[p] * s[j];
		}
}

static float
unary(nn_unary f, float a, float b, float x)
{
	switch (f)
	{
		case NN_SIGMOID:
			return 1.0f / (1.0f + expf(-x));
		case NN_HARDSIGMOID:
			return clip(a * x + b, 0.0f, 1.0f);
		case NN_HARDSWISH:
			return x * clip(x * (1.0f / 6.0f) + 0.5f, 0.0f, 1.0f);
		case NN_TANH:
			return tanhf(x);
		case NN_EXP:
			return expf(x);
		case NN_SIN:
			return sinf(x);
	}
	return x;
}

NN_INLINE void
hard_forward_body(nn_unary f, float a, float b, size_t count, const float *x, float *y)
{
	if (f == NN_HARDSIGMOID)
		for (size_t i = 0; i < count; i++)
			y[i] = clip(a * x[i] + b, 0.0f, 1.0f);
	else
		for (size_t i = 0; i < count; i++)
			y[i] = x[i] * clip(x[i] * (1.0f / 6.0f) + 0.5f, 0.0f, 1.0f);
}
NN_SIMD_KERNEL(static, hard_forward, (nn_unary f, float a, float b, size_t count, const float *x, float *y),
			   (f, a, b, count, x, y))

void
nn_unary_forward(nn_unary f, float a, float b, size_t count, const float *x, float *y)
{
	if (f == NN_HARDSIGMOID || f == NN_HARDSWISH)
		hard_forward(f, a, b, count, x, y);
	else
		for (size_t i = 0; i < count; i++)
			y[i] = unary(f, a, b, x[i]);
}

void
nn_unary_backward(nn_unary f, float a, float b, size_t count, const float *x, const float *y, const float *dy,
				  float *dx)
{
	switch (f)
	{
		case NN_SIGMOID:
			for (size_t i = 0; i < count; i++)
				dx[i] = dy[i] * y[i] * (1.0f - y[i]);
			break;
		case NN_HARDSIGMOID:
			for (size_t i = 0; i < count; i++)
				dx[i] = y[i] <= 0.0f || y[i] >= 1.0f ? 0.0f : dy[i] * a;
			break;
		case NN_HARDSWISH:
			for (size_t i = 0; i < count; i++)
				dx[i] = x[i] <= -3.0f ? 0.0f : x[i] >= 3.0f ? dy[i] : dy[i] * (x[i] * (1.0f / 3.0f) + 0.5f);
			break;
		case NN_TANH:
			for (size_t i = 0; i < count; i++)
				dx[i] = dy[i] * (1.0f - y[i] * y[i]);
			break;
		case NN_EXP:
			for (size_t i = 0; i < count; i++)
				dx[i] = dy[i] * y[i];
			break;
		case NN_SIN:
			for (size_t i = 0; i < count; i++)
				dx[i] = dy[i] * cosf(x[i]);
			break;
	}
}
