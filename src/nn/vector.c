/* vector.c: sums in lanes. */
#include "nn/vector.h"

#include "nn/simd.h"

#define LANES 64

NN_INLINE float
fold(float *lane)
{
	for (int half = LANES / 2; half > 0; half /= 2)
		for (int j = 0; j < half; j++)
			lane[j] += lane[j + half];
	return lane[0];
}

NN_INLINE void
sum_into_body(size_t count, const float *x, float *out)
{
	float lane[LANES] = { 0 };
	size_t i = 0;

	for (; i + LANES <= count; i += LANES)
		for (int j = 0; j < LANES; j++)
			lane[j] += x[i + j];
	for (int j = 0; i < count; i++, j++)
		lane[j] += x[i];
	*out = fold(lane);
}
NN_SIMD_KERNEL(static, sum_into, (size_t count, const float *x, float *out), (count, x, out))

NN_INLINE void
dot_into_body(size_t count, const float *x, const float *y, float *out)
{
	float lane[LANES] = { 0 };
	size_t i = 0;

	for (; i + LANES <= count; i += LANES)
		for (int j = 0; j < LANES; j++)
			lane[j] += x[i + j] * y[i + j];
	for (int j = 0; i < count; i++, j++)
		lane[j] += x[i] * y[i];
	*out = fold(lane);
}
NN_SIMD_KERNEL(static, dot_into, (size_t count, const float *x, const float *y, float *out), (count, x, y, out))

float
nn_sum(size_t count, const float *x)
{
	float out;

	sum_into(count, x, &out);
	return out;
}

float
nn_dot(size_t count, const float *x, const float *y)
{
	float out;

	dot_into(count, x, y, &out);
	return out;
}
