/* test_image_webp.c: still WebP pictures, lossless ones exactly. */
#include "image_check.h"

#define SIDE 40

static void
lossless_is_exact(void **state)
{
	uint8_t *rgb = make_noise(SIDE, SIDE, 1);
	encoded e = make_webp(rgb, SIDE, SIDE, 3, 0, NULL);
	uint8_t *loaded = load_good(&e, squash(SIDE));
	image_info info;

	assert_near(loaded, rgb, SIDE, 0, "lossless");
	assert_int_equal(image_probe(e.bytes, e.len, NULL, &info, NULL), EDDH_OK);
	assert_int_equal(info.format, IMAGE_WEBP);
	assert_int_equal(info.width, SIDE);
	assert_int_equal(info.height, SIDE);
	assert_int_equal(info.orientation, 1);
	free(loaded);
	free(e.bytes);
	free(rgb);
}

static void
lossy_is_near(void **state)
{
	uint8_t *rgb = make_gradient(SIDE, SIDE);
	encoded e = make_webp(rgb, SIDE, SIDE, 3, 100, NULL);
	uint8_t *loaded = load_good(&e, squash(SIDE));

	assert_near(loaded, rgb, SIDE, 12, "lossy");
	free(loaded);
	free(e.bytes);
	free(rgb);
}

/* Transparent pixels show white, half transparent ones half of it. */
static void
alpha_over_white(void **state)
{
	uint8_t rgba[SIDE * SIDE * 4];
	static const uint8_t want[3][3] = { { 255, 255, 255 }, { 0, 60, 0 }, { 128, 158, 128 } };

	for (int i = 0; i < SIDE * SIDE; i++)
	{
		const uint8_t pixel[4] = { 0, 60, 0, i / SIDE < 8 ? 0 : i / SIDE < 24 ? 255 : 127 };

		memcpy(rgba + 4 * i, pixel, 4);
	}
	for (int lossy = 0; lossy < 2; lossy++)
	{
		encoded e = make_webp(rgba, SIDE, SIDE, 4, lossy ? 100 : 0, NULL);
		uint8_t *loaded = load_good(&e, squash(SIDE));

		assert_pixel(loaded, SIDE, 20, 2, want[0], 0, "transparent");
		assert_pixel(loaded, SIDE, 20, 16, want[1], lossy ? 6 : 0, "opaque");
		assert_pixel(loaded, SIDE, 20, 36, want[2], lossy ? 6 : 0, "half");
		free(loaded);
		free(e.bytes);
	}
}

static void
orientations(void **state)
{
	int width = 30, height = 20;
	uint8_t *rgb = make_corners(width, height);

	for (int orientation = 1; orientation <= 8; orientation++)
	{
		int w, h;
		uint8_t *stored = make_stored(orientation, rgb, width, height, &w, &h);
		encoded exif = make_exif(orientation, true);
		encoded e = make_webp(stored, w, h, 3, 0, &exif);
		uint8_t *loaded = load_good(&e, squash(10));
		char what[32];

		snprintf(what, sizeof(what), "orientation %d", orientation);
		assert_corners(loaded, 10, 8, what);
		free(loaded);
		free(e.bytes);
		free(exif.bytes);
		free(stored);
	}
	free(rgb);
}

static void
animation_is_refused(void **state)
{
	uint8_t *rgb = make_gradient(SIDE, SIDE);
	encoded none = { NULL, 0 };
	encoded e;
	eddh_error err;

	make_append(&none, "", 0);
	e = make_webp(rgb, SIDE, SIDE, 3, 0, &none);
	e.bytes[20] |= 2; /* the animation flag of the extended header */
	assert_int_equal(load_bytes(e.bytes, e.len, squash(8), NULL, NULL, &err), EDDH_UNSUPPORTED);
	assert_message_has(&err, "animated");
	assert_true(strlen(err.hint) > 0);
	free(none.bytes);
	free(e.bytes);
	free(rgb);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lossless_is_exact), cmocka_unit_test(lossy_is_near),        cmocka_unit_test(alpha_over_white),
		cmocka_unit_test(orientations),      cmocka_unit_test(animation_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
