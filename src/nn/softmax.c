/* softmax.c: over rows, shifted by the maximum. */
#include "nn/kernels.h"

#include <math.h>

#include "nn/vector.h"

void
nn_softmax_forward(int n, int k, const float *x, float *y)
{
	for (int i = 0; i < n; i++, x += k, y += k)
	{
		float max = x[0];
		double sum = 0.0;
		float scale;

		/* A NaN is not caught here, but its exponential below is. */
		for (int j = 1; j < k; j++)
			max = x[j] > max ? x[j] : max;
		for (int j = 0; j < k; j++)
			sum += y[j] = expf(x[j] - max);
		scale = (float) (1.0 / sum);
		for (int j = 0; j < k; j++)
			y[j] *= scale;
	}
}

void
nn_softmax_backward(int n, int k, const float *y, const float *dy, float *dx)
{
	for (int i = 0; i < n; i++, y += k, dy += k, dx += k)
	{
		float dot = nn_dot((size_t) k, y, dy);

		for (int j = 0; j < k; j++)
			dx[j] = y[j] * (dy[j] - dot);
	}
}
