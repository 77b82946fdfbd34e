/*
 * vector.h: sums and rows shared by the kernels. Private to this room.
 *
 * Sums are taken in a fixed number of lanes, so that they vectorise without leave to reorder and give the same bits on every instruction set that
 * fuses multiply and add.
 */
#ifndef EDDH_NN_VECTOR_H
#define EDDH_NN_VECTOR_H

#include <stddef.h>

#include "nn/kernels.h"

extern float nn_sum(size_t count, const float *x);
extern float nn_dot(size_t count, const float *x, const float *y);

/* dst row r = act(src row r + bias[r]), count columns; strides in floats; in place allowed; bias may be NULL. */
extern void nn_bias_act(size_t rows, size_t count, const float *src, size_t src_stride, const float *bias, nn_act act,
						float *dst, size_t dst_stride);

/* y (rows x count) = act(y + bias by column). */
extern void nn_column_bias_act(size_t rows, size_t count, const float *bias, nn_act act, float *y);

#endif /* EDDH_NN_VECTOR_H */
