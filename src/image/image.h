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

/* A NULL pointer to limits, and a zero field, mean the default. */
typedef struct image_limits
{
	uint64_t max_pixels;   /* width x height of the picture as stored */
	int max_scans;         /* of a progressive JPEG */
	uint64_t max_memory;   /* bytes for one picture and its resampler; baseline JPEG and plain PNG are not held whole */
	const eddh_stop *stop; /* polled about once a row; NULL never stops */
} image_limits;

#define IMAGE_MAX_PIXELS_DEFAULT UINT64_C(100000000)
#define IMAGE_MAX_SCANS_DEFAULT  500
#define IMAGE_MAX_MEMORY_DEFAULT (UINT64_C(1) << 30)

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
	int resize_short; /* IMAGE_CROP only; size..4 * IMAGE_MAX_SIDE */
	bool bgr;
	float mean[3];
	float std[3];
} image_prep;

/* Reads headers only. Errors: EDDH_BAD_DATA (what, and at which byte), EDDH_OVER_LIMIT, EDDH_UNSUPPORTED. */
extern eddh_code image_probe(const uint8_t *bytes, size_t len, const image_limits *limits, image_info *info,
							 eddh_error *err);

/*
 * Decodes (scaled DCT where it helps), applies EXIF orientation, resamples with antialiasing, crops. Transparent pixels are laid over
 * white. rgb: size x size x 3 bytes, the caller's; undefined after an error. Deterministic: the same bytes give the same pixels
 * everywhere the same decoder runs. Errors: as image_probe; EDDH_BAD_ARGUMENT (prep), EDDH_NO_MEMORY, EDDH_STOPPED. A picture that
 * ends early, or whose decoder had to guess, is an error and not half a picture.
 */
extern eddh_code image_load(const uint8_t *bytes, size_t len, const image_prep *prep, const image_limits *limits,
							uint8_t *rgb, eddh_error *err);

/* rgb (size x size x 3, interleaved) to chw (3 x size x size floats): channel order, (x - mean) / std. */
extern void image_normalise(const image_prep *prep, const uint8_t *rgb, float *chw);

/*
 * The same of a square window of the picture, in its pixels, stretched to size x size: bilinear, for windows not much smaller than the picture. The
 * window must lie inside.
 */
extern void image_normalise_window(const image_prep *prep, const uint8_t *rgb, float left, float top, float side,
								   float *chw);

/*
 * Reads a prep from metadata: get returns the value of a key, or NULL where absent. eddh.input_size is required; the rest defaults
 * to squash, short side = size, RGB, mean 0, std 1. A single number for mean or std counts for all channels. Numbers are read in the
 * C locale, which is what a PostgreSQL backend runs in. Errors: EDDH_BAD_DATA, naming the key and its value.
 */
extern eddh_code image_prep_parse(const char *(*get)(void *arg, const char *key), void *arg, image_prep *out,
								  eddh_error *err);

/* The reverse: parse(format(p)) is p, bit for bit (resize_short only for IMAGE_CROP). Stops at put's first failure and returns it. */
extern eddh_code image_prep_format(const image_prep *prep,
								   eddh_code (*put)(void *arg, const char *key, const char *value, eddh_error *err),
								   void *arg, eddh_error *err);

/* EDDH_OK, or EDDH_BAD_ARGUMENT with what is wrong: sizes out of range, std not positive, something not finite. */
extern eddh_code image_prep_check(const image_prep *prep, eddh_error *err);

#endif /* EDDH_IMAGE_H */
