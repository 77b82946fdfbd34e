/*
 * bands.h: layers that are taken some rows at a time, each band through all of them, so that what they hand to each other never leaves the cache.
 * Private to this room.
 *
 * A window moves down its input; rows it will see again in the next band are kept, so nothing is computed twice. This is the geometry alone: which
 * rows a band computes, and which a layer's buffer holds meanwhile.
 */
#ifndef EDDH_NN_BANDS_H
#define EDDH_NN_BANDS_H

#include "nn/kernels.h"

#define NN_BANDS_MOST 8 /* layers */

typedef struct nn_bands
{
	int n;
	nn_window window[NN_BANDS_MOST]; /* of the layers; each one's input is the output of the one before */
	int rows;                        /* of the last layer's output, in a band */

	/* Of each layer's output: the rows that this band computes, and the first row that its buffer holds now and held in the band before. */
	int first[NN_BANDS_MOST], end[NN_BANDS_MOST];
	int base[NN_BANDS_MOST], base_before[NN_BANDS_MOST];
} nn_bands;

/* May a layer be taken in bands? Every window must see a row that exists. */
static inline bool
nn_bands_fit(const nn_window *g)
{
	return g->ph0 <= (g->kh - 1) * g->dh && g->ph1 <= (g->kh - 1) * g->dh;
}

/* Before the first band; n, window and rows are given. */
extern void nn_bands_start(nn_bands *b);

/* On to the next band; false when there is none. A layer may have nothing to compute in a band (first == end). */
extern bool nn_bands_next(nn_bands *b);

/* The window of a layer's rows of this band, over the rows of its input from *in_row on. */
extern nn_window nn_bands_window(const nn_bands *b, int layer, int *in_row);

#endif /* EDDH_NN_BANDS_H */
