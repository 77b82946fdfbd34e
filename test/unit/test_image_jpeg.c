/* test_image_jpeg.c: every kind of JPEG gives the pixels that went in. */
#include "image_check.h"

#define SIDE 48

static void
samplings(void **state)
{
	static const int sampling[][2] = { { 1, 1 }, { 2, 1 }, { 1, 2 }, { 2, 2 }, { 4, 1 }, { 4, 2 } };
	uint8_t *rgb = make_gradient(SIDE, SIDE);

	for (size_t i = 0; i < sizeof(sampling) / sizeof(sampling[0]); i++)
		for (int progressive = 0; progressive < 2; progressive++)
			for (int restart = 0; restart < 2; restart++)
			{
				jpeg_options o = { .h_sampling = sampling[i][0],
								   .v_sampling = sampling[i][1],
								   .progressive = progressive,
								   .restart_rows = restart };
				encoded e = make_jpeg(rgb, SIDE, SIDE, o);
				uint8_t *loaded = load_good(&e, squash(SIDE));
				char what[64];

				snprintf(what, sizeof(what), "%dx%d progressive %d restart %d", o.h_sampling, o.v_sampling, progressive,
						 restart);
				/* Subsampled chroma is made up at the edges: a gradient moves 4 levels a pixel here. */
				assert_near(loaded, rgb, SIDE, o.h_sampling * o.v_sampling > 1 ? 10 : 4, what);
				free(loaded);
				free(e.bytes);
			}
	free(rgb);
}

static void
grey(void **state)
{
	uint8_t *rgb = make_gradient(SIDE, SIDE);
	uint8_t *one = make_alloc(SIDE * SIDE);
	jpeg_options o = { .space = JCS_GRAYSCALE };
	encoded e;
	uint8_t *loaded;

	for (int i = 0; i < SIDE * SIDE; i++)
	{
		one[i] = rgb[3 * i];
		memset(rgb + 3 * i, one[i], 3);
	}
	e = make_jpeg(one, SIDE, SIDE, o);
	loaded = load_good(&e, squash(SIDE));
	assert_near(loaded, rgb, SIDE, 2, "grey");
	free(loaded);
	free(e.bytes);
	free(one);
	free(rgb);
}

static void
stored_as_rgb(void **state)
{
	uint8_t *rgb = make_gradient(SIDE, SIDE);
	jpeg_options o = { .space = JCS_RGB };
	encoded e = make_jpeg(rgb, SIDE, SIDE, o);
	uint8_t *loaded = load_good(&e, squash(SIDE));

	assert_near(loaded, rgb, SIDE, 2, "RGB");
	free(loaded);
	free(e.bytes);
	free(rgb);
}

/* CMYK and YCCK, as Adobe stores them (inverted) and, without its marker, as they are. K is half, so it matters. */
static void
four_components(void **state)
{
	uint8_t *rgb = make_gradient(SIDE, SIDE);
	uint8_t *ink = make_alloc(SIDE * SIDE * 4);
	uint8_t *want = make_alloc(SIDE * SIDE * 3);

	for (int i = 0; i < SIDE * SIDE; i++)
		for (int c = 0; c < 3; c++)
			want[3 * i + c] = (uint8_t) ((rgb[3 * i + c] * 127 + 127) / 255);
	for (int kind = 0; kind < 3; kind++)
	{
		bool inverted = kind != 2;
		jpeg_options o = { .space = kind == 1 ? JCS_YCCK : JCS_CMYK, .no_adobe = !inverted };
		encoded e;
		uint8_t *loaded;

		for (int i = 0; i < SIDE * SIDE; i++)
		{
			for (int c = 0; c < 3; c++)
				ink[4 * i + c] = inverted ? rgb[3 * i + c] : 255 - rgb[3 * i + c];
			ink[4 * i + 3] = inverted ? 127 : 128;
		}
		e = make_jpeg(ink, SIDE, SIDE, o);
		loaded = load_good(&e, squash(SIDE));
		assert_near(loaded, want, SIDE, 3, kind == 0 ? "Adobe's CMYK" : kind == 1 ? "YCCK" : "CMYK");
		free(loaded);
		free(e.bytes);
	}
	free(want);
	free(ink);
	free(rgb);
}

static void
orientations(void **state)
{
	int width = 96, height = 64;
	uint8_t *rgb = make_corners(width, height);

	for (int orientation = 1; orientation <= 8; orientation++)
		for (int big = 0; big < 2; big++)
			for (int policy = 0; policy < 2; policy++)
			{
				int w, h;
				uint8_t *stored = make_stored(orientation, rgb, width, height, &w, &h);
				encoded exif = make_exif(orientation, big);
				jpeg_options o = { .exif = &exif };
				encoded e = make_jpeg(stored, w, h, o);
				uint8_t *loaded = load_good(&e, policy == 0 ? squash(16) : crop(16, 20));
				image_info info;
				char what[64];

				snprintf(what, sizeof(what), "orientation %d, byte order %d, policy %d", orientation, big, policy);
				assert_corners(loaded, 16, 24, what);
				assert_int_equal(image_probe(e.bytes, e.len, NULL, &info, NULL), EDDH_OK);
				assert_int_equal(info.format, IMAGE_JPEG);
				assert_int_equal(info.orientation, orientation);
				assert_int_equal(info.width, w);
				assert_int_equal(info.height, h);
				free(loaded);
				free(e.bytes);
				free(exif.bytes);
				free(stored);
			}
	free(rgb);
}

/* Where the inverse DCT shrinks first, the result is what shrinking all pixels gives, at every choice of scale and for odd sizes. */
static void
scaled_decoding(void **state)
{
	static const int size[][2] = { { 1024, 1024 }, { 1023, 777 }, { 513, 1200 } };
	static const int target[] = { 31, 64, 100, 130, 255 };

	for (size_t i = 0; i < sizeof(size) / sizeof(size[0]); i++)
	{
		int w = size[i][0], h = size[i][1];
		uint8_t *rgb = make_gradient(w, h);
		uint8_t *noise = make_noise(w, h, i);
		jpeg_options o = { .h_sampling = 2, .v_sampling = 2 };
		encoded jpeg, png;

		/* Something of every frequency, soft enough for the encoder to keep. */
		for (int k = 0; k < w * h * 3; k++)
			rgb[k] = (uint8_t) ((3 * rgb[k] + noise[k] / 4 + (k / 3 % w / 7 + k / 3 / w / 5) % 2 * 60) / 4);
		jpeg = make_jpeg(rgb, w, h, o);
		png = make_png_rgb(rgb, w, h);
		for (size_t t = 0; t < sizeof(target) / sizeof(target[0]); t++)
		{
			uint8_t *a = load_good(&jpeg, squash(target[t]));
			uint8_t *b = load_good(&png, squash(target[t]));
			int largest;
			double mean;

			compare(a, b, target[t], &largest, &mean);
			if (largest > 16 || mean > 1.5)
				fail_msg("%dx%d to %d: differs by %d, mean %.3f", w, h, target[t], largest, mean);
			free(a);
			free(b);
		}
		free(jpeg.bytes);
		free(png.bytes);
		free(noise);
		free(rgb);
	}
}

/* Cameras pad between segments, and phones append things after the picture: that is no damage. */
static void
padding_is_harmless(void **state)
{
	uint8_t *rgb = make_gradient(SIDE, SIDE);
	jpeg_options o = { 0 };
	encoded e = make_jpeg(rgb, SIDE, SIDE, o);
	uint8_t *loaded;

	make_insert(&e, e.len - 2, "\0\0\0\0", 4); /* before the end marker */
	make_append(&e, "trailer of a phone", 18);
	loaded = load_good(&e, squash(SIDE));
	assert_near(loaded, rgb, SIDE, 4, "padded");
	free(loaded);
	free(e.bytes);
	free(rgb);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(samplings),           cmocka_unit_test(grey),         cmocka_unit_test(stored_as_rgb),
		cmocka_unit_test(four_components),     cmocka_unit_test(orientations), cmocka_unit_test(scaled_decoding),
		cmocka_unit_test(padding_is_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
