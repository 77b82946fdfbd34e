/*
 * decode.h: what load.c asks of a decoder, and what decoders share. Private to the image room.
 *
 * A decoder is one function. It fills *info from the headers; if the job wants pixels it then feeds rows, in stored order, to a resampler
 * that writes job->rgb. It refuses before it allocates: image_check_size comes before any buffer.
 */
#ifndef EDDH_IMAGE_DECODE_H
#define EDDH_IMAGE_DECODE_H

#include "image/image.h"
#include "image/resample.h"

typedef struct image_job
{
	const uint8_t *bytes;
	size_t len;
	image_limits limits;    /* no zeros */
	const image_prep *prep; /* NULL: headers only */
	uint8_t *rgb;
} image_job;

extern eddh_code image_jpeg_decode(const image_job *job, image_info *info, eddh_error *err);
extern eddh_code image_png_decode(const image_job *job, image_info *info, eddh_error *err);
extern eddh_code image_webp_decode(const image_job *job, image_info *info, eddh_error *err);

/* EDDH_BAD_DATA for an empty picture, EDDH_OVER_LIMIT for one beyond max_pixels or IMAGE_MAX_PICTURE_SIDE. */
extern eddh_code image_check_size(const image_job *job, uint64_t width, uint64_t height, eddh_error *err);

/* EDDH_OVER_LIMIT if holding so many bytes is not allowed. */
extern eddh_code image_check_memory(const image_job *job, uint64_t bytes, eddh_error *err);

/* Where the policy puts a picture of info's size; only for jobs that want pixels. */
extern void image_plan_make(const image_prep *prep, const image_info *info, image_plan *plan);

/* Orientation 1..8 out of an EXIF block, with or without the leading "Exif\0\0"; 1 for anything absent, damaged or absurd. */
extern int image_exif_orientation(const uint8_t *bytes, size_t len);

/* n RGBA pixels over white, to RGB; in place is allowed. */
extern void image_over_white(const uint8_t *rgba, uint8_t *rgb, size_t n);

#endif /* EDDH_IMAGE_DECODE_H */
