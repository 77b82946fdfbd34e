/* conv.h: the ways to convolve. Private to this room; conv.c chooses. */
#ifndef EDDH_NN_CONV_H
#define EDDH_NN_CONV_H

#include "nn/kernels.h"
#include "nn/phases.h"

/* One input channel a group (conv_depthwise.c). */
extern size_t nn_depthwise_scratch(const nn_window *g, bool training);
extern void nn_depthwise_forward(const nn_window *g, int k, int n, const float *x, const float *w, const float *b,
								 nn_act act, float *y, float *scratch);
extern void nn_depthwise_backward(const nn_window *g, int k, int n, const float *x, const float *w, const float *dy,
								  float *dx, float *dw, float *scratch);

extern bool
nn_depthwise_fits(const nn_window *g); /* false for geometries whose padded planes would be absurdly large */

/* 3x3 and 5x5 straight from the rows of the planes (depthwise_rows.c); nn_depthwise_forward chooses. */
extern bool nn_depthwise_rows_fits(const nn_window *g);
extern void nn_depthwise_rows(const nn_window *g, const nn_strides *at, int k, int n, const float *x, const float *w,
							  const float *b, nn_act act, float *y);
/* dw is added to. */
extern void nn_depthwise_rows_weights(const nn_window *g, int k, int n, const float *x, const float *dy, float *dw);

/*
 * Without BLAS and without a matrix of columns (conv_direct.c); on processors and for geometries that nn_conv_direct_fits says. One thread or many.
 */
extern bool nn_conv_direct_fits(const nn_window *g, int k, int groups);
extern size_t nn_conv_direct_scratch(const nn_window *g, int k, int groups);
extern void nn_conv_direct(const nn_window *g, const nn_strides *at, int k, int groups, int n, const float *x,
						   const float *w, const float *b, nn_act act, float *y, float *scratch);

/* 3x3, stride 1, with fewer multiplications (conv_winograd.c); needs no BLAS. */
extern bool nn_conv_winograd_fits(const nn_window *g, int k, int groups);
extern size_t nn_conv_winograd_scratch(const nn_window *g, int k, int groups);
extern void nn_conv_winograd(const nn_window *g, const nn_strides *at, int k, int groups, int n, const float *x,
							 const float *w, const float *b, nn_act act, float *y, float *scratch);

static inline bool
nn_conv_is_depthwise(const nn_window *g, int groups)
{
	return groups > 1 && groups == g->c && nn_phases_fit(g);
}

/* 1x1, stride 1, no padding: the image is its own matrix of columns. */
static inline bool
nn_conv_is_pointwise(const nn_window *g)
{
	return g->kh == 1 && g->kw == 1 && g->sh == 1 && g->sw == 1 && g->ph0 == 0 && g->ph1 == 0 && g->pw0 == 0 &&
		   g->pw1 == 0;
}

#endif /* EDDH_NN_CONV_H */
