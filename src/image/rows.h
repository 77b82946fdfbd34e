/*
 * rows.h: what the resampler does to a row: across, down, and to bytes. Private to the image room.
 *
 * Every function has a plain twin, which is what other processors than x86-64 run; both compute the same integers.
 */
#ifndef EDDH_IMAGE_ROWS_H
#define EDDH_IMAGE_ROWS_H

#include <stddef.h>
#include <stdint.h>

/* Fixed point: weights have 14 bits of fraction, what lies between the two passes 6; both fit 16 bits with their overshoot. */
#define IMAGE_WEIGHT_BITS 14
#define IMAGE_MIDDLE_BITS 6

/* For each output position: which inputs it takes, and how much of each. Weights of a position add up to 1 exactly. */
typedef struct image_axis
{
	uint32_t n;
	uint32_t *start; /* first input */
	uint32_t *count; /* of inputs; > 0 */
	uint32_t taps;   /* even, no less than any count: one length for all, which processors predict */
	int16_t *weight; /* n x taps; zero from count on */
} image_axis;

/* Bytes that image_row_across needs for a row of `width` pixels and as many taps, aligned as malloc does. */
extern size_t image_row_room(uint32_t width, uint32_t taps);

/* A row of `width` pixels to a->n of them, with IMAGE_MIDDLE_BITS of fraction. */
extern void image_row_across(const image_axis *a, const uint8_t *rgb, uint32_t width, void *room, int16_t *out);
extern void image_row_across_plain(const image_axis *a, const uint8_t *rgb, int16_t *out);

/* sums += weight row; n numbers. */
extern void image_row_add(int32_t *sums, const int16_t *row, int16_t weight, size_t n);
extern void image_row_add_plain(int32_t *sums, const int16_t *row, int16_t weight, size_t n);

/* The finished sums, rounded and clamped to bytes. */
extern void image_row_finish(const int32_t *sums, uint8_t *out, size_t n);
extern void image_row_finish_plain(const int32_t *sums, uint8_t *out, size_t n);

#endif /* EDDH_IMAGE_ROWS_H */
