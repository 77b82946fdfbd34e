/*
 * image.h: hostile bytes to pixels.
 *
 * JPEG, PNG and WebP by one interface and under one set of limits. Nothing here knows PostgreSQL; nothing survives a call but
 * what the caller owns. Pixels are 8-bit RGB, rows top to bottom, three bytes a pixel, no padding.
 */
#ifndef EDDH_IMAGE_H
#define EDDH_IMAGE_H

#include "common/result.h"

#define IMAGE_MAX_SIDE 1024 /* of a network's input */

typedef enum image_format
{
	IMAGE_JPEG,
	IMAGE_PNG,
	IMAGE_WEBP
} image_format;

typedef struct image_limits
{
	uint64_t max_pixels; /* width x height of the picture as stored */
	int max_scans;       /* of a progressive JPEG */
} image_limits;

#define IMAGE_MAX_PIXELS_DEFAULT UINT64_C(100000000)
#define IMAGE_MAX_SCANS_DEFAULT  500

typedef struct image_info
{
	image_format format;
	uint32_t width; /* as stored, before orientation */
	uint32_t height;
	int orientation; /* EXIF, 1..8; 1 where absent or absurd */
} image_info;

typedef enum image_resize
{
	IMAGE_SQUASH, /* whole picture to size x size, ignoring aspect */
	IMAGE_CROP    /* short side to resize_short, then the centre size x size */
} image_resize;

/*
 * What a network wants to see. Travels as ONNX metadata: eddh.input_size, eddh.resize (squash, crop), eddh.resize_short,
 * eddh.channels (RGB, BGR), eddh.mean and eddh.std (three numbers in the network's channel order, on the 0..255 scale).
 */
typedef struct image_prep
{
	int size;
	image_resize resize;
	int resize_short; /* IMAGE_CROP only; >= size */
	bool bgr;
	float mean[3];
	float std[3];
} image_prep;

/* Reads headers only. Errors: EDDH_BAD_DATA (what, and at which byte), EDDH_OVER_LIMIT, EDDH_UNSUPPORTED. */
extern eddh_code image_probe(const uint8_t *bytes, size_t len, const image_limits *limits, image_info *info,
							 eddh_error *err);

/*
 * Decodes (scaled DCT where it helps), applies EXIF orientation, resamples with antialiasing, crops.
 * rgb: size x size x 3 bytes, the caller's. Deterministic: the same bytes give the same pixels everywhere the same decoder runs.
 */
extern eddh_code image_load(const uint8_t *bytes, size_t len, const image_prep *prep, const image_limits *limits,
							uint8_t *rgb, eddh_error *err);

/* rgb (size x size x 3, interleaved) to chw (3 x size x size floats): channel order, (x - mean) / std. */
extern void image_normalise(const image_prep *prep, const uint8_t *rgb, float *chw);

#endif /* EDDH_IMAGE_H */
