/*
 * resample.h: any number of rows in, one small square out. Private to the image room.
 *
 * Separable bicubic (Keys 1981, a = -1/2), its kernel widened by the reduction, so that it is a low-pass filter when it shrinks. Integer
 * arithmetic only: the same pixels on every machine and compiler. Rows are consumed as they are decoded; what is held is the weights of a row and a column, and
 * the last rows, resampled across, that an output row wants.
 */
#ifndef EDDH_IMAGE_RESAMPLE_H
#define EDDH_IMAGE_RESAMPLE_H

#include "common/result.h"

/* Sides of pictures this room takes: bounds the weights of a row, and keeps the weights' arithmetic within 64 bits. */
#define IMAGE_MAX_PICTURE_SIDE 1000000

/* The resized picture in the stored frame (before orientation) and the square cut out of it. */
typedef struct image_plan
{
	uint32_t width; /* of the whole resized picture */
	uint32_t height;
	uint32_t left; /* corner of the window */
	uint32_t top;
	int size;        /* side of the window */
	int orientation; /* EXIF's, 1..8: how the window is turned upright */
} image_plan;

typedef struct image_resampler image_resampler;

/* Bytes that it will hold (but for a few per output row), so that callers can refuse before. */
extern uint64_t image_resampler_memory(const image_plan *plan, uint32_t in_width, uint32_t in_height);

/* in_width x in_height: what will be fed; at most IMAGE_MAX_PICTURE_SIDE each. rgb: size x size x 3 bytes, not owned. Errors: EDDH_NO_MEMORY. */
extern eddh_code image_resampler_create(const image_plan *plan, uint32_t in_width, uint32_t in_height, uint8_t *rgb,
										image_resampler **result, eddh_error *err);
extern void image_resampler_free(image_resampler *r);

/* The next row, in_width x 3 bytes, from top to bottom. After the last one rgb is complete and upright. */
extern void image_resampler_add_row(image_resampler *r, const uint8_t *row);

#endif /* EDDH_IMAGE_RESAMPLE_H */
