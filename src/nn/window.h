/* window.h: the pixels under a window as columns of a matrix. Private to this room. */
#ifndef EDDH_NN_WINDOW_H
#define EDDH_NN_WINDOW_H

#include "nn/kernels.h"

/*
 * Columns of `channels` channels at x (h x w each) for the output positions first .. first + count - 1 (row-major in oh x ow): row (c, ky, kx) of
 * col, ld floats long, holds the pixel under (ky, kx) of each position, 0 in the padding.
 */
extern void nn_im2col(const nn_window *g, int channels, const float *x, size_t first, size_t count, float *col,
					  size_t ld);

/* The transpose of that: adds each column entry to the pixel it came from. */
extern void nn_col2im(const nn_window *g, int channels, const float *col, size_t first, size_t count, size_t ld,
					  float *x);

/* Output positions o whose pixel o * stride - pad + offset lies in 0 .. size - 1, clipped to 0 .. out: *lo <= o < *hi. */
static inline void
nn_window_range(int size, int stride, int pad, int offset, int out, int *lo, int *hi)
{
	int shift = pad - offset; /* o * stride >= shift */
	int first = shift <= 0 ? 0 : (shift + stride - 1) / stride;
	int room = size - 1 + shift; /* o * stride <= room */
	int end = room < 0 ? 0 : room / stride + 1;

	if (first > out)
		first = out;
	if (end > out)
		end = out;
	*lo = first;
	*hi = end < first ? first : end;
}

#endif /* EDDH_NN_WINDOW_H */
