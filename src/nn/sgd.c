/* sgd.c: momentum as Sutskever et al. 2013 write the classical form with the rate outside of the velocity, so that a falling rate acts at once. */
#include "nn/sgd.h"

#include <math.h>

#include "nn/simd.h"

double
nn_sgd_rate(const nn_sgd *sgd, uint64_t step)
{
	double part;

	if (step == 0 || sgd->total_steps <= 1 || sgd->rate_first == sgd->rate_last)
		return sgd->rate_first;
	if (step >= sgd->total_steps - 1)
		return sgd->rate_last;
	part = (double) step / (double) (sgd->total_steps - 1);
	return exp(log(sgd->rate_first) + part * (log(sgd->rate_last) - log(sgd->rate_first)));
}

static bool
at_least(double value, double least)
{
	return isfinite(value) && value >= least;
}

eddh_code
nn_sgd_check(const nn_sgd *sgd, eddh_error *err)
{
	if (!(isfinite(sgd->rate_first) && sgd->rate_first > 0.0 && isfinite(sgd->rate_last) && sgd->rate_last > 0.0))
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "learning rates must be positive, not %g and %g", sgd->rate_first,
						 sgd->rate_last);
	if (!at_least(sgd->momentum, 0.0) || sgd->momentum >= 1.0)
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "momentum must be at least 0 and below 1, not %g", sgd->momentum);
	if (!at_least(sgd->weight_decay, 0.0))
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "weight decay must not be negative, but is %g", sgd->weight_decay);
	if (!at_least(sgd->clip_norm, 0.0))
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "limit of the gradient's norm must not be negative, but is %g",
						 sgd->clip_norm);
	if (!at_least(sgd->pretrained_factor, 0.0))
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "factor of pretrained layers must not be negative, but is %g",
						 sgd->pretrained_factor);
	return EDDH_OK;
}

NN_INLINE void
nn_sgd_add_body(size_t count, const float *add, float *g)
{
	for (size_t i = 0; i < count; i++)
		g[i] += add[i];
}
NN_SIMD_KERNEL(extern, nn_sgd_add, (size_t count, const float *add, float *g), (count, add, g))

NN_INLINE void
nn_sgd_update_body(size_t count, float rate, float momentum, float decay, float scale, const float *g, float *velocity,
				   float *w)
{
	if (velocity == NULL)
		for (size_t i = 0; i < count; i++)
			w[i] -= rate * (scale * g[i] + decay * w[i]);
	else
		for (size_t i = 0; i < count; i++)
		{
			float v = momentum * velocity[i] + (scale * g[i] + decay * w[i]);

			velocity[i] = v;
			w[i] -= rate * v;
		}
}
NN_SIMD_KERNEL(extern, nn_sgd_update,
			   (size_t count, float rate, float momentum, float decay, float scale, const float *g, float *velocity,
				float *w),
			   (count, rate, momentum, decay, scale, g, velocity, w))
