/* image_check.h: what the tests of the image room have in common. */
#ifndef EDDH_IMAGE_CHECK_H
#define EDDH_IMAGE_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "image/image.h"
#include "make_image.h"

static inline image_prep
squash(int size)
{
	image_prep prep = { .size = size, .resize = IMAGE_SQUASH, .std = { 1, 1, 1 } };

	return prep;
}

static inline image_prep
crop(int size, int resize_short)
{
	image_prep prep = { .size = size, .resize = IMAGE_CROP, .resize_short = resize_short, .std = { 1, 1, 1 } };

	return prep;
}

/*
 * Loads from a copy of exactly len bytes, so that valgrind and sanitizers see a read beyond, into exactly size x size x 3 bytes. Checks what
 * holds for every error: the code is in the record too, there is a message, it is one line that begins in lower case or with the name of a
 * format.
 */
static inline eddh_code
load_bytes(const uint8_t *bytes, size_t len, image_prep prep, const image_limits *limits, uint8_t *rgb, eddh_error *err)
{
	uint8_t *copy = make_alloc(len);
	uint8_t *out = make_alloc((size_t) prep.size * prep.size * 3);
	eddh_code code;

	if (len > 0)
		memcpy(copy, bytes, len);
	memset(err, 0, sizeof(*err));
	code = image_load(copy, len, &prep, limits, out, err);
	if (code == EDDH_OK && rgb != NULL)
		memcpy(rgb, out, (size_t) prep.size * prep.size * 3);
	if (code != EDDH_OK)
	{
		assert_int_equal(err->code, code);
		assert_true(strlen(err->message) > 10);
		assert_null(strchr(err->message, '\n'));
		assert_int_not_equal(err->message[strlen(err->message) - 1], '.');
	}
	free(copy);
	free(out);
	return code;
}

/* Loads what must load; the result belongs to the caller. */
static inline uint8_t *
load_good(const encoded *e, image_prep prep)
{
	uint8_t *rgb = make_alloc((size_t) prep.size * prep.size * 3);
	eddh_error err;

	if (load_bytes(e->bytes, e->len, prep, NULL, rgb, &err) != EDDH_OK)
		fail_msg("%s", err.message);
	return rgb;
}

static inline void
assert_message_has(const eddh_error *err, const char *part)
{
	if (strstr(err->message, part) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", part, err->message);
}

/* Largest and mean absolute difference of two square pictures. */
static inline void
compare(const uint8_t *a, const uint8_t *b, int size, int *largest, double *mean)
{
	size_t n = (size_t) size * size * 3;
	double sum = 0;

	*largest = 0;
	for (size_t i = 0; i < n; i++)
	{
		int d = abs(a[i] - b[i]);

		sum += d;
		if (d > *largest)
			*largest = d;
	}
	*mean = sum / (double) n;
}

static inline void
assert_near(const uint8_t *a, const uint8_t *b, int size, int tolerance, const char *what)
{
	int largest;
	double mean;

	compare(a, b, size, &largest, &mean);
	if (largest > tolerance)
		fail_msg("%s: differs by %d (mean %.3f), allowed is %d", what, largest, mean, tolerance);
}

static inline void
assert_pixel(const uint8_t *rgb, int size, int x, int y, const uint8_t *want, int tolerance, const char *what)
{
	const uint8_t *p = rgb + 3 * ((size_t) y * size + x);

	for (int c = 0; c < 3; c++)
		if (abs(p[c] - want[c]) > tolerance)
			fail_msg("%s: pixel (%d, %d) is %d,%d,%d and not %d,%d,%d", what, x, y, p[0], p[1], p[2], want[0], want[1],
					 want[2]);
}

/* The colours that make_corners gives a viewer. */
static inline void
assert_corners(const uint8_t *rgb, int size, int tolerance, const char *what)
{
	static const uint8_t want[4][3] = { { 255, 0, 0 }, { 0, 255, 0 }, { 0, 0, 255 }, { 255, 255, 255 } };
	int far = size - 2;

	assert_pixel(rgb, size, 1, 1, want[0], tolerance, what);
	assert_pixel(rgb, size, far, 1, want[1], tolerance, what);
	assert_pixel(rgb, size, 1, far, want[2], tolerance, what);
	assert_pixel(rgb, size, far, far, want[3], tolerance, what);
}

#endif /* EDDH_IMAGE_CHECK_H */
