/*
 * kernels.h: layers as forward/backward pairs of plain functions on dense NCHW floats.
 *
 * Conventions: x input, y output, w weights, b bias (NULL where absent); d* gradients with respect to *. dx is overwritten and may be NULL (not
 * wanted); dw and db are added to. n is the batch. scratch is the caller's, 64-byte aligned, of the size the *_scratch function gives for one
 * sample. Every fast kernel has a naive twin that is a transcription of the formula: nn_*_naive here, or naive_* of the tests.
 */
#ifndef EDDH_NN_KERNELS_H
#define EDDH_NN_KERNELS_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Geometry of a window over C x H x W, shared by convolution and pooling. oh and ow are filled by nn_window_output. */
typedef struct nn_window
{
	int c, h, w;
	int kh, kw;
	int sh, sw;
	int ph0, pw0, ph1, pw1; /* padding at top, left, bottom, right */
	int dh, dw;             /* dilation (1 = none) */
	int oh, ow;
} nn_window;

/* out = floor (or ceil) ((in + pads - (dilation (kernel - 1) + 1)) / stride) + 1; a ceil window never starts outside input + leading pad. False if < 1. */
extern bool nn_window_output(nn_window *g, bool ceil_mode);

/*
 * How far apart the planes of an input (x) and of an output (y) stand, and their images, in floats. Not dense: some rows of every plane (bands.h), some
 * channels of every image (a part of a Concat).
 */
typedef struct nn_strides
{
	size_t x_plane, x_image, y_plane, y_image;
} nn_strides;

static inline nn_strides
nn_strides_dense(const nn_window *g, int k)
{
	size_t in = (size_t) g->h * g->w;
	size_t out = (size_t) g->oh * g->ow;

	return (nn_strides){ in, (size_t) g->c * in, out, (size_t) k * out };
}

/* What is applied to y in the same pass. */
typedef enum nn_act_kind
{
	NN_ACT_NONE,
	NN_ACT_RELU,
	NN_ACT_CLIP
} nn_act_kind;

typedef struct nn_act
{
	nn_act_kind kind;
	float lo, hi; /* NN_ACT_CLIP */
} nn_act;

/* An activation as a range: what is below or above becomes the bound. With the bound as the first argument of rows_max and rows_min NaN stays. */
static inline float
nn_act_least(nn_act act)
{
	return act.kind == NN_ACT_NONE ? -INFINITY : act.kind == NN_ACT_RELU ? 0.0f : act.lo;
}

static inline float
nn_act_most(nn_act act)
{
	return act.kind == NN_ACT_CLIP ? act.hi : INFINITY;
}

/* y (n,k,oh,ow) = act(conv(x (n,c,h,w), w (k, c/groups, kh, kw)) + b (k)). */
extern size_t nn_conv_scratch(const nn_window *g, int k, int groups, bool training); /* floats */
extern void nn_conv_forward(const nn_window *g, int k, int groups, int n, const float *x, const float *w,
							const float *b, nn_act act, float *y, float *scratch);
/* The same on planes that are not dense; for what nn_conv_strided_fits says. */
extern bool nn_conv_strided_fits(const nn_window *g, int k, int groups);
/* Is it slower on few rows at a time? */
extern bool nn_conv_wants_whole_planes(const nn_window *g, int k, int groups);
extern void nn_conv_forward_strided(const nn_window *g, const nn_strides *at, int k, int groups, int n, const float *x,
									const float *w, const float *b, nn_act act, float *y, float *scratch);
extern void nn_conv_backward(const nn_window *g, int k, int groups, int n, const float *x, const float *w,
							 const float *dy, float *dx, float *dw, float *db, float *scratch);
extern void nn_conv_forward_naive(const nn_window *g, int k, int groups, int n, const float *x, const float *w,
								  const float *b, nn_act act, float *y);

/* y (n,k) = act(x (n,c) w^T (k,c) + b (k)). */
extern void nn_dense_forward(int n, int c, int k, const float *x, const float *w, const float *b, nn_act act, float *y);
/* The same of weights in half precision (nn/half.h). */
extern size_t nn_dense_halves_scratch(size_t n, int c); /* floats; of fewer samples never more */
extern void nn_dense_forward_halves(int n, int c, int k, const float *x, const uint16_t *w, const float *b, nn_act act,
									float *y, float *scratch);
extern void nn_dense_backward(int n, int c, int k, const float *x, const float *w, const float *dy, float *dx,
							  float *dw, float *db);

/* dx = dy where the activation let x through, judged by its output y (which is what training keeps). In place allowed. */
extern void nn_act_forward(nn_act act, size_t count, const float *x, float *y);
extern void nn_act_backward(nn_act act, size_t count, const float *y, const float *dy, float *dx);

/* max over the pixels that exist; index (count of y) keeps the winner for the backward pass, NULL when not training. */
extern void nn_maxpool_forward(const nn_window *g, int n, const float *x, float *y, int *index);
extern bool nn_maxpool_strided_fits(const nn_window *g);
extern void nn_maxpool_forward_strided(const nn_window *g, const nn_strides *at, int n, const float *x, float *y);
extern void nn_maxpool_backward(const nn_window *g, int n, const float *dy, const int *index, float *dx);

/* mean; count_pad: padding counts in the divisor. */
extern void nn_avgpool_forward(const nn_window *g, bool count_pad, int n, const float *x, float *y);
extern void nn_avgpool_backward(const nn_window *g, bool count_pad, int n, const float *dy, float *dx);
extern void nn_global_avgpool_forward(int n, int c, int hw, const float *x, float *y);
extern void nn_global_avgpool_backward(int n, int c, int hw, const float *dy, float *dx);

/* Across channels, ONNX's parameters: y = x (bias + alpha/size sum x^2)^-beta (METHODS 4.2). scale (as x) is kept for the backward pass, NULL when not training. */
typedef struct nn_lrn
{
	int size;
	float alpha, beta, bias;
} nn_lrn;

extern void nn_lrn_forward(nn_lrn p, int n, int c, int hw, const float *x, float *y, float *scale);
extern void nn_lrn_backward(nn_lrn p, int n, int c, int hw, const float *x, const float *y, const float *scale,
							const float *dy, float *dx);

/* y = x s + t per channel (folded batch normalisation). */
extern void nn_scale_forward(int n, int c, int hw, const float *x, const float *s, const float *t, float *y);
extern void nn_scale_backward(int n, int c, int hw, const float *x, const float *s, const float *dy, float *dx,
							  float *ds, float *dt);

/* Elementwise functions of one input; backward by output y or input x as the formula needs. */
typedef enum nn_unary
{
	NN_SIGMOID,
	NN_HARDSIGMOID, /* max(0, min(1, a x + b)) */
	NN_HARDSWISH,
	NN_TANH,
	NN_EXP,
	NN_SIN
} nn_unary;

extern void nn_unary_forward(nn_unary f, float a, float b, size_t count, const float *x, float *y);
extern void nn_unary_backward(nn_unary f, float a, float b, size_t count, const float *x, const float *y,
							  const float *dy, float *dx);

/*
 * Add and Mul of two tensors of one sample shape (c, hw). The second may be broadcast: NN_SAME (n,c,hw), NN_CHANNEL (n,c,1; squeeze-and-excitation),
 * or a constant without batch: NN_CONST_SAME (c,hw), NN_CONST_CHANNEL (c), NN_CONST_SCALAR. Backward adds to dc for constants.
 */
typedef enum nn_broadcast
{
	NN_SAME,
	NN_CHANNEL,
	NN_CONST_SAME,
	NN_CONST_CHANNEL,
	NN_CONST_SCALAR
} nn_broadcast;

extern void nn_binary_forward(bool mul, nn_broadcast how, int n, int c, int hw, const float *a, const float *b,
							  float *y);
extern void nn_binary_backward(bool mul, nn_broadcast how, int n, int c, int hw, const float *a, const float *b,
							   const float *dy, float *da, float *db);

/* Over the last dimension. */
extern void nn_softmax_forward(int n, int k, const float *x, float *y);
extern void nn_softmax_backward(int n, int k, const float *y, const float *dy, float *dx);

#endif /* EDDH_NN_KERNELS_H */
