/*
 * phases.h: planes rearranged so that a strided window walks over neighbours. Private to this room.
 *
 * A plane is copied, padded, into one sub-plane per phase of the stride, all of one pitch: sub-plane (py, px) holds input
 * (r sh + py - ph0, q sw + px - pw0) at row r, column q. Then the pixel under tap (ky, kx) of output (oy, ox) lies at a distance that depends on the
 * tap alone from oy * pitch + ox: the outputs of a plane are runs over contiguous floats, whatever stride and dilation.
 */
#ifndef EDDH_NN_PHASES_H
#define EDDH_NN_PHASES_H

#include <string.h>

#include "nn/kernels.h"

/* Floats behind each sub-plane that a vector may read past its end. */
#define NN_PHASE_SLACK ((size_t) 64)

typedef struct nn_phases
{
	int rows;    /* of a sub-plane */
	int pitch;   /* of its rows */
	size_t size; /* of a sub-plane with slack */
	size_t all;  /* of all sub-planes of a plane */
} nn_phases;

static inline nn_phases
nn_phases_of(const nn_window *g)
{
	nn_phases p;

	p.rows = g->oh + (g->kh - 1) * g->dh / g->sh;
	p.pitch = g->ow + (g->kw - 1) * g->dw / g->sw;
	p.size = ((size_t) p.rows * p.pitch + NN_PHASE_SLACK + 15) / 16 * 16;
	p.all = p.size * g->sh * g->sw;
	return p;
}

/* A stranger's strides, pads and dilations may ask for anything: is a plane of reasonable size? */
static inline bool
nn_phases_fit(const nn_window *g)
{
	double rows = g->oh + (double) (g->kh - 1) * g->dh / g->sh;
	double pitch = g->ow + (double) (g->kw - 1) * g->dw / g->sw;

	return (double) g->sh * g->sw * (rows * pitch + 80) <= 1 << 22;
}

/* From where an output stands to what tap (ky, kx) sees. */
static inline size_t
nn_phases_tap(const nn_window *g, const nn_phases *p, int ky, int kx)
{
	int dy = ky * g->dh;
	int dx = kx * g->dw;

	return ((size_t) (dy % g->sh) * g->sw + dx % g->sw) * p->size + (size_t) (dy / g->sh) * p->pitch + dx / g->sw;
}

/* Fills the sub-planes of `planes` planes, x_plane floats apart, with p->all floats each. The padding is not written: it must have been zeroed once. */
extern void nn_phases_split(const nn_window *g, const nn_phases *p, size_t planes, const float *x, size_t x_plane,
							float *to);

#endif /* EDDH_NN_PHASES_H */
