/*
 * rows.h: what the resampler does to rows: across, then down to bytes. Private to the image room.
 *
 * Kernels for several instruction sets, all of which compute the same integers.
 */
#ifndef EDDH_IMAGE_ROWS_H
#define EDDH_IMAGE_ROWS_H

#include <stddef.h>
#include <stdint.h>

/* Fixed point: weights have 14 bits of fraction, what lies between the two passes 6; both fit 16 bits with their overshoot. */
#define IMAGE_WEIGHT_BITS  14
#define IMAGE_MIDDLE_BITS  6
#define IMAGE_ACROSS_SHIFT (IMAGE_WEIGHT_BITS - IMAGE_MIDDLE_BITS)
#define IMAGE_DOWN_SHIFT   (IMAGE_WEIGHT_BITS + IMAGE_MIDDLE_BITS)

/* For each output position: which inputs it takes, and how much of each. Weights of a position add up to 1 exactly. */
typedef struct image_axis
{
	uint32_t n;
	uint32_t *start; /* first input */
	uint32_t *count; /* of inputs; > 0 */
	uint32_t taps;   /* even, no less than any count: one length for all, which processors predict */
	int16_t *weight; /* n x taps; zero from count on */
} image_axis;

/* Bytes that `across` needs for rows of `width` pixels and as many taps, aligned as malloc does. */
static inline size_t
image_row_room(uint32_t width, uint32_t taps)
{
	return ((size_t) width + taps) * 32;
}

typedef struct image_kernels
{
	const char *name;
	/* Two rows of `width` pixels to a->n of them each, with IMAGE_MIDDLE_BITS of fraction. Both may be the same, as may both outputs. */
	void (*across)(const image_axis *a, const uint8_t *const rgb[2], uint32_t width, void *room, int16_t *const out[2]);
	/* n bytes out of as many numbers of each of `taps` rows (even): their weighted sum, rounded and clamped. Rows that weigh nothing are read too. */
	void (*down)(const int16_t *const *rows, const int16_t *weight, uint32_t taps, uint8_t *out, size_t n);
} image_kernels;

/* The i-th set that this processor runs, the plain one first, the fastest last; NULL beyond. */
extern const image_kernels *image_kernels_at(int i);

/* `down` from number `first` on, plainly: what others leave. */
extern void image_row_down_from(const int16_t *const *rows, const int16_t *weight, uint32_t taps, uint8_t *out,
								size_t first, size_t n);

#ifdef __SSE2__
#define EDDH_IMAGE_X86
extern const image_kernels image_kernels_sse2;
extern const image_kernels image_kernels_avx2;

/* Two weights that are neighbours in memory. */
static inline int32_t
image_weight_pair(const int16_t *weight)
{
	int32_t both;

	__builtin_memcpy(&both, weight, sizeof(both));
	return both;
}

/* sums(a, pairs, taps, out) with a number that the compiler knows for pictures near the wanted size: an inlined sums then unrolls its loop over them. */
#define IMAGE_SUMS(sums, a, pairs, out)        \
	((a)->taps == 4   ? sums(a, pairs, 4, out) \
	 : (a)->taps == 6 ? sums(a, pairs, 6, out) \
	 : (a)->taps == 8 ? sums(a, pairs, 8, out) \
					  : sums(a, pairs, (a)->taps, out))
#endif

#endif /* EDDH_IMAGE_ROWS_H */
