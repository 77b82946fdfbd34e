/* test_image_png.c: every kind of PNG gives exactly the pixels that went in. */
#include "image_check.h"

#define SIDE 19

static void
check_exact(const encoded *e, const uint8_t *want, const char *what)
{
	uint8_t *loaded = load_good(e, squash(SIDE));

	assert_near(loaded, want, SIDE, 0, what);
	free(loaded);
}

static void
rgb_and_alpha(void **state)
{
	uint8_t *rgb = make_noise(SIDE, SIDE, 1);
	uint8_t *alpha = make_noise(SIDE, SIDE, 2);
	uint8_t rgba[SIDE * SIDE * 4], want[SIDE * SIDE * 3];

	for (int i = 0; i < SIDE * SIDE; i++)
	{
		memcpy(rgba + 4 * i, rgb + 3 * i, 3);
		rgba[4 * i + 3] = i % 3 == 0 ? 0 : i % 3 == 1 ? 255 : alpha[i];
		for (int c = 0; c < 3; c++)
		{
			double a = rgba[4 * i + 3] / 255.0;

			want[3 * i + c] = (uint8_t) (rgb[3 * i + c] * a + 255 * (1 - a) + 0.5 - 1e-9);
		}
	}
	for (int interlaced = 0; interlaced < 2; interlaced++)
	{
		png_options plain = { .colour_type = PNG_COLOR_TYPE_RGB, .interlaced = interlaced };
		png_options with_alpha = { .colour_type = PNG_COLOR_TYPE_RGB_ALPHA, .interlaced = interlaced };
		encoded e = make_png(rgb, SIDE, SIDE, SIDE * 3, plain);

		check_exact(&e, rgb, interlaced ? "interlaced RGB" : "RGB");
		free(e.bytes);
		e = make_png(rgba, SIDE, SIDE, SIDE * 4, with_alpha);
		check_exact(&e, want, interlaced ? "interlaced RGBA" : "RGBA");
		free(e.bytes);
	}
	free(alpha);
	free(rgb);
}

static void
sixteen_bits(void **state)
{
	uint8_t *rgb = make_noise(SIDE, SIDE, 3);
	uint8_t wide[SIDE * SIDE * 6];

	for (int i = 0; i < SIDE * SIDE * 3; i++)
		wide[2 * i] = wide[2 * i + 1] = rgb[i]; /* v * 257 */
	for (int interlaced = 0; interlaced < 2; interlaced++)
	{
		png_options o = { .colour_type = PNG_COLOR_TYPE_RGB, .depth = 16, .interlaced = interlaced };
		encoded e = make_png(wide, SIDE, SIDE, SIDE * 6, o);

		check_exact(&e, rgb, "16 bits");
		free(e.bytes);
	}
	free(rgb);
}

static void
grey_of_all_depths(void **state)
{
	for (int depth = 1; depth <= 16; depth *= 2)
		for (int interlaced = 0; interlaced < 2; interlaced++)
		{
			size_t row_len = ((size_t) SIDE * depth + 7) / 8;
			uint8_t *rows = make_noise(SIDE, SIDE, (uint64_t) depth);
			uint8_t want[SIDE * SIDE * 3];
			png_options o = { .colour_type = PNG_COLOR_TYPE_GRAY, .depth = depth, .interlaced = interlaced };
			encoded e;
			char what[32];

			for (int y = 0; y < SIDE; y++)
				for (int x = 0; x < SIDE; x++)
				{
					const uint8_t *row = rows + y * row_len;
					int top = (1 << depth) - 1;
					int value = depth == 16 ? row[2 * x] << 8 | row[2 * x + 1]
											: row[x * depth / 8] >> (8 - depth - x * depth % 8) & top;

					memset(want + 3 * (y * SIDE + x), (int) (value * 255.0 / top + 0.5), 3);
				}
			e = make_png(rows, SIDE, SIDE, row_len, o);
			snprintf(what, sizeof(what), "grey of %d bits", depth);
			check_exact(&e, want, what);
			free(e.bytes);
			free(rows);
		}
}

static void
grey_with_alpha(void **state)
{
	uint8_t pixels[SIDE * SIDE * 2], want[SIDE * SIDE * 3];
	png_options o = { .colour_type = PNG_COLOR_TYPE_GRAY_ALPHA };
	encoded e;

	for (int i = 0; i < SIDE * SIDE; i++)
	{
		pixels[2 * i] = 51;
		pixels[2 * i + 1] = i % 2 == 0 ? 255 : 85; /* a third */
		memset(want + 3 * i, i % 2 == 0 ? 51 : 187, 3);
	}
	e = make_png(pixels, SIDE, SIDE, SIDE * 2, o);
	check_exact(&e, want, "grey with alpha");
	free(e.bytes);
}

static void
palettes(void **state)
{
	static const png_color colours[3] = { { 10, 20, 30 }, { 200, 100, 0 }, { 0, 0, 0 } };
	static const png_byte alpha[3] = { 255, 255, 0 }; /* the third is not to be seen: white */

	for (int depth = 2; depth <= 8; depth *= 2)
	{
		size_t row_len = ((size_t) SIDE * depth + 7) / 8;
		uint8_t rows[SIDE * SIDE] = { 0 };
		uint8_t want[SIDE * SIDE * 3];
		png_options o = { .colour_type = PNG_COLOR_TYPE_PALETTE,
						  .depth = depth,
						  .palette = colours,
						  .n_palette = 3,
						  .palette_alpha = alpha,
						  .n_palette_alpha = 3 };
		encoded e;

		for (int y = 0; y < SIDE; y++)
			for (int x = 0; x < SIDE; x++)
			{
				int index = (x + y) % 3;
				const uint8_t shown[3][3] = { { 10, 20, 30 }, { 200, 100, 0 }, { 255, 255, 255 } };

				rows[y * row_len + x * depth / 8] |= (uint8_t) (index << (8 - depth - x * depth % 8));
				memcpy(want + 3 * (y * SIDE + x), shown[index], 3);
			}
		e = make_png(rows, SIDE, SIDE, row_len, o);
		check_exact(&e, want, "palette");
		free(e.bytes);
	}
}

static void
transparent_colour(void **state)
{
	uint8_t *rgb = make_corners(SIDE, SIDE);
	png_color_16 red = { 0, 255, 0, 0, 0 };
	png_options o = { .colour_type = PNG_COLOR_TYPE_RGB, .transparent = &red };
	encoded e = make_png(rgb, SIDE, SIDE, SIDE * 3, o);
	static const uint8_t white[3] = { 255, 255, 255 }, green[3] = { 0, 255, 0 };
	uint8_t *loaded = load_good(&e, squash(SIDE));

	assert_pixel(loaded, SIDE, 0, 0, white, 0, "transparent red");
	assert_pixel(loaded, SIDE, SIDE - 1, 0, green, 0, "opaque green");
	free(loaded);
	free(e.bytes);
	free(rgb);
}

/*
 * However a picture is stored, its viewer sees the same: cropping and copying exact pixels, the eight orientations give equal results, also
 * where the margin is odd.
 */
static void
orientations_are_exact(void **state)
{
	for (int width = 30; width <= 31; width++)
	{
		int height = SIDE;
		uint8_t *rgb = make_noise(width, height, 7);
		uint8_t want[SIDE * SIDE * 3];

		for (int y = 0; y < SIDE; y++)
			memcpy(want + y * SIDE * 3, rgb + 3 * (y * width + (width - SIDE) / 2), SIDE * 3);
		for (int orientation = 1; orientation <= 8; orientation++)
		{
			int w, h;
			uint8_t *stored = make_stored(orientation, rgb, width, height, &w, &h);
			encoded exif = make_exif(orientation, orientation % 2);
			png_options o = { .colour_type = PNG_COLOR_TYPE_RGB, .exif = &exif };
			encoded e = make_png(stored, w, h, (size_t) w * 3, o);
			uint8_t *loaded = load_good(&e, crop(SIDE, SIDE));
			image_info info;
			char what[32];

			snprintf(what, sizeof(what), "orientation %d", orientation);
			assert_near(loaded, want, SIDE, 0, what);
			assert_int_equal(image_probe(e.bytes, e.len, NULL, &info, NULL), EDDH_OK);
			assert_int_equal(info.format, IMAGE_PNG);
			assert_int_equal(info.orientation, orientation);
			free(loaded);
			free(e.bytes);
			free(exif.bytes);
			free(stored);
		}
		free(rgb);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rgb_and_alpha),          cmocka_unit_test(sixteen_bits), cmocka_unit_test(grey_of_all_depths),
		cmocka_unit_test(grey_with_alpha),        cmocka_unit_test(palettes),     cmocka_unit_test(transparent_colour),
		cmocka_unit_test(orientations_are_exact),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
