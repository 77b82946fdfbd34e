/* pools.h: the ways to pool. Private to this room; maxpool.c chooses. */
#ifndef EDDH_NN_POOLS_H
#define EDDH_NN_POOLS_H

#include "nn/kernels.h"

/* nn_maxpool_forward without index, for processors and windows that nn_maxpool_rows_fits says (maxpool_rows.c). */
extern bool nn_maxpool_rows_fits(const nn_window *g);
extern void nn_maxpool_rows(const nn_window *g, const nn_strides *at, int n, const float *x, float *y);

#endif /* EDDH_NN_POOLS_H */
