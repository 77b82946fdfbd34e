/*
 * lrn.c: local response normalisation across channels (Krizhevsky et al. 2012, section 3.3; METHODS 4.2).
 *
 * s_c = bias + alpha/size sum of x^2 over the window of channels around c, clipped at the ends; y = x s^-beta. ONNX's window for channel c is
 * c - floor((size-1)/2) .. c + ceil((size-1)/2). The planes are walked in strips short enough that the window's rows stay in the first-level cache;
 * every sum is taken afresh, since a running one would drift by cancellation.
 */
#include "nn/kernels.h"

#include <math.h>

#include "nn/simd.h"

#define STRIP 256

NN_INLINE void
power(float beta, int count, const float *s, float *out)
{
	if (beta == 0.75f)
		/* s^-3/4 = 1 / sqrt(s sqrt(s)): two square roots instead of a logarithm and an exponential. */
		for (int p = 0; p < count; p++)
			out[p] = 1.0f / sqrtf(s[p] * sqrtf(s[p]));
	else if (beta == 0.5f)
		for (int p = 0; p < count; p++)
			out[p] = 1.0f / sqrtf(s[p]);
	else
		for (int p = 0; p < count; p++)
			out[p] = powf(s[p], -beta);
}

NN_INLINE void
nn_lrn_forward_body(nn_lrn p, int n, int c, int hw, const float *x, float *y, float *scale)
{
	float a = p.alpha / (float) p.size;
	int before = (p.size - 1) / 2;
	int after = p.size - 1 - before;
	float sum[STRIP];
	float factor[STRIP];

	for (int i = 0; i < n; i++)
	{
		size_t sample = (size_t) i * c * hw;

		for (int at = 0; at < hw; at += STRIP)
		{
			int count = hw - at < STRIP ? hw - at : STRIP;

			for (int j = 0; j < c; j++)
			{
				int lo = j - before < 0 ? 0 : j - before;
				int hi = j + after >= c ? c - 1 : j + after;
				size_t here = sample + (size_t) j * hw + at;
				const float *row = x + sample + (size_t) lo * hw + at;

				if (hi - lo == 4)
				{
					/* The common window in one pass. */
					size_t step = hw;

					for (int q = 0; q < count; q++)
					{
						float x0 = row[q], x1 = row[step + q], x2 = row[2 * step + q], x3 = row[3 * step + q],
							  x4 = row[4 * step + q];

						sum[q] = p.bias + a * (x0 * x0 + x1 * x1 + x2 * x2 + x3 * x3 + x4 * x4);
					}
				}
				else
				{
					for (int q = 0; q < count; q++)
						sum[q] = row[q] * row[q];
					for (int k = lo + 1; k <= hi; k++)
					{
						row += hw;
						for (int q = 0; q < count; q++)
							sum[q] += row[q] * row[q];
					}
					for (int q = 0; q < count; q++)
						sum[q] = p.bias + a * sum[q];
				}
				power(p.beta, count, sum, factor);
				for (int q = 0; q < count; q++)
					y[here + q] = x[here + q] * factor[q];
				if (scale != NULL)
					for (int q = 0; q < count; q++)
						scale[here + q] = sum[q];
			}
		}
	}
}
NN_SIMD_KERNEL(extern, nn_lrn_forward, (nn_lrn p, int n, int c, int hw, const float *x, float *y, float *scale),
			   (p, n, c, hw, x, y, scale))

/* dx_i = dy_i s_i^-beta - 2 (alpha/size) beta x_i sum over j whose window holds i of dy_j y_j / s_j. */
NN_INLINE void
nn_lrn_backward_body(nn_lrn p, int n, int c, int hw, const float *x, const float *y, const float *scale,
					 const float *dy, float *dx)
{
	float a = 2.0f * p.alpha / (float) p.size * p.beta;
	int before = (p.size - 1) / 2;
	int after = p.size - 1 - before;
	float sum[STRIP];
	float factor[STRIP];

	for (int i = 0; i < n; i++)
	{
		size_t sample = (size_t) i * c * hw;

		for (int at = 0; at < hw; at += STRIP)
		{
			int count = hw - at < STRIP ? hw - at : STRIP;

			for (int j = 0; j < c; j++)
			{
				int lo = j - after < 0 ? 0 : j - after;
				int hi = j + before >= c ? c - 1 : j + before;
				size_t here = sample + (size_t) j * hw + at;

				for (int q = 0; q < count; q++)
					sum[q] = 0.0f;
				for (int k = lo; k <= hi; k++)
				{
					size_t row = sample + (size_t) k * hw + at;

					for (int q = 0; q < count; q++)
						sum[q] += dy[row + q] * y[row + q] / scale[row + q];
				}
				power(p.beta, count, scale + here, factor);
				for (int q = 0; q < count; q++)
					dx[here + q] = dy[here + q] * factor[q] - a * x[here + q] * sum[q];
			}
		}
	}
}
NN_SIMD_KERNEL(extern, nn_lrn_backward,
			   (nn_lrn p, int n, int c, int hw, const float *x, const float *y, const float *scale, const float *dy,
				float *dx),
			   (p, n, c, hw, x, y, scale, dy, dx))
