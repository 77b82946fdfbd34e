/* sgd.h: one step of stochastic gradient descent over a run of weights. Private to this room. */
#ifndef EDDH_NN_SGD_H
#define EDDH_NN_SGD_H

#include "nn/nn.h"

/* Of step 0 .. total_steps - 1: from rate_first to rate_last, evenly spaced in the logarithm; rate_last from then on. */
extern double nn_sgd_rate(const nn_sgd *sgd, uint64_t step);

/* Complaint about parameters that make no sense. */
extern eddh_code nn_sgd_check(const nn_sgd *sgd, eddh_error *err);

/* g += add. */
extern void nn_sgd_add(size_t count, const float *add, float *g);

/* v = momentum v + (scale g + decay w); w -= rate v. velocity NULL: v is not kept, as if momentum were 0. */
extern void nn_sgd_update(size_t count, float rate, float momentum, float decay, float scale, const float *g,
						  float *velocity, float *w);

#endif /* EDDH_NN_SGD_H */
