/* test_image_resample.c: what the resampler promises, through PNG, which brings pixels unchanged; and normalising. */
#include "image_check.h"

#include <math.h>

static uint8_t *
resample(const uint8_t *rgb, int width, int height, image_prep prep)
{
	encoded e = make_png_rgb(rgb, width, height);
	uint8_t *out = load_good(&e, prep);

	free(e.bytes);
	return out;
}

/* The definition in floating point: Keys' kernel with a = -1/2, widened when it shrinks, weights normalised at the edges. */
static double
keys(double t)
{
	t = fabs(t);
	return t < 1 ? 1.5 * t * t * t - 2.5 * t * t + 1 : t < 2 ? -0.5 * t * t * t + 2.5 * t * t - 4 * t + 2 : 0;
}

static double *
weights(int in, int out, int i)
{
	double *w = make_alloc((size_t) in * sizeof(*w));
	double ratio = (double) in / out, scale = ratio > 1 ? ratio : 1, sum = 0;

	for (int j = 0; j < in; j++)
		sum += w[j] = keys((j + 0.5 - (i + 0.5) * ratio) / scale);
	for (int j = 0; j < in; j++)
		w[j] /= sum;
	return w;
}

/* One pixel of `rgb` resized to out_width x out_height. */
static void
reference(const uint8_t *rgb, int width, int height, int out_width, int out_height, int x, int y, double value[3])
{
	double *wx = weights(width, out_width, x), *wy = weights(height, out_height, y);

	value[0] = value[1] = value[2] = 0;
	for (int j = 0; j < height; j++)
		for (int i = 0; i < width; i++)
			for (int c = 0; c < 3; c++)
				value[c] += wy[j] * wx[i] * rgb[3 * ((size_t) j * width + i) + c];
	for (int c = 0; c < 3; c++)
		value[c] = value[c] < 0 ? 0 : value[c] > 255 ? 255 : value[c];
	free(wx);
	free(wy);
}

static void
agrees_with_its_definition(void **state)
{
	static const int shape[][2] = { { 1, 1 },   { 2, 5 },    { 7, 7 },   { 33, 20 },
									{ 64, 17 }, { 100, 90 }, { 3, 200 }, { 400, 2 } };
	static const int target[] = { 1, 2, 9, 32 };

	for (size_t s = 0; s < sizeof(shape) / sizeof(shape[0]); s++)
		for (size_t t = 0; t < sizeof(target) / sizeof(target[0]); t++)
		{
			int w = shape[s][0], h = shape[s][1], size = target[t];
			uint8_t *rgb = make_noise(w, h, s);
			uint8_t *out = resample(rgb, w, h, squash(size));

			for (int y = 0; y < size; y += 1 + size / 8)
				for (int x = 0; x < size; x++)
				{
					double want[3];

					reference(rgb, w, h, size, size, x, y, want);
					for (int c = 0; c < 3; c++)
					{
						int got = out[3 * (y * size + x) + c];

						if (fabs(got - want[c]) > 0.75)
							fail_msg("%dx%d to %d at (%d, %d): %d and not %.2f", w, h, size, x, y, got, want[c]);
					}
				}
			free(out);
			free(rgb);
		}
}

static void
crop_agrees_with_its_definition(void **state)
{
	static const int shape[][2] = { { 50, 30 }, { 30, 51 }, { 17, 17 }, { 500, 9 } };

	for (size_t s = 0; s < sizeof(shape) / sizeof(shape[0]); s++)
	{
		int w = shape[s][0], h = shape[s][1], size = 20, shorter = 25;
		int out_w = w < h ? shorter : (int) floor((double) w * shorter / h + 0.5);
		int out_h = w < h ? (int) floor((double) h * shorter / w + 0.5) : shorter;
		uint8_t *rgb = make_noise(w, h, s);
		uint8_t *out = resample(rgb, w, h, crop(size, shorter));

		for (int y = 0; y < size; y += 3)
			for (int x = 0; x < size; x++)
			{
				double want[3];

				reference(rgb, w, h, out_w, out_h, x + (out_w - size) / 2, y + (out_h - size) / 2, want);
				for (int c = 0; c < 3; c++)
					if (fabs(out[3 * (y * size + x) + c] - want[c]) > 0.75)
						fail_msg("%dx%d at (%d, %d): %d and not %.2f", w, h, x, y, out[3 * (y * size + x) + c],
								 want[c]);
			}
		free(out);
		free(rgb);
	}
}

static void
constant_stays_constant(void **state)
{
	static const int shape[][2] = { { 1, 1 }, { 13, 7 }, { 300, 2 }, { 257, 255 }, { 5000, 3 } };

	for (size_t s = 0; s < sizeof(shape) / sizeof(shape[0]); s++)
		for (int level = 0; level < 256; level += 51)
		{
			size_t n = (size_t) shape[s][0] * shape[s][1] * 3;
			uint8_t *rgb = make_alloc(n);
			uint8_t *out;

			memset(rgb, level, n);
			out = resample(rgb, shape[s][0], shape[s][1], level % 2 ? squash(37) : crop(37, 40));
			for (int i = 0; i < 37 * 37 * 3; i++)
				assert_int_equal(out[i], level);
			free(out);
			free(rgb);
		}
}

static void
same_size_is_identity(void **state)
{
	for (int size = 1; size <= 130; size += 43)
	{
		uint8_t *rgb = make_noise(size, size, (uint64_t) size);
		uint8_t *out = resample(rgb, size, size, squash(size));

		assert_memory_equal(out, rgb, (size_t) size * size * 3);
		free(out);
		out = resample(rgb, size, size, crop(size, size));
		assert_memory_equal(out, rgb, (size_t) size * size * 3);
		free(out);
		free(rgb);
	}
}

static void
mean_is_kept(void **state)
{
	int w = 320, h = 200, size = 40;
	uint8_t *rgb = make_noise(w, h, 5);
	uint8_t *out = resample(rgb, w, h, squash(size));
	double before[3] = { 0 }, after[3] = { 0 };

	for (int i = 0; i < w * h * 3; i++)
		before[i % 3] += (double) rgb[i] / (w * h);
	for (int i = 0; i < size * size * 3; i++)
		after[i % 3] += (double) out[i] / (size * size);
	for (int c = 0; c < 3; c++)
		assert_true(fabs(before[c] - after[c]) < 0.6);
	free(out);
	free(rgb);
}

/* Without the widened kernel a checkerboard of single pixels shrinks to black, white or stripes. */
static void
shrinking_does_not_alias(void **state)
{
	static const int side[] = { 256, 255, 333 };

	for (size_t s = 0; s < sizeof(side) / sizeof(side[0]); s++)
	{
		int n = side[s], size = 32;
		uint8_t *rgb = make_alloc((size_t) n * n * 3);
		uint8_t *out;

		for (int i = 0; i < n * n; i++)
			memset(rgb + 3 * i, (i % n + i / n) % 2 * 255, 3);
		out = resample(rgb, n, n, squash(size));
		for (int y = 1; y < size - 1; y++)
			for (int x = 1; x < size - 1; x++)
				assert_in_range(out[3 * (y * size + x)], 126, 129);
		free(out);
		free(rgb);
	}
}

/* Fixed-point arithmetic only: these pixels are the same on every machine. */
static void
same_pixels_everywhere(void **state)
{
	uint8_t *rgb = make_noise(311, 197, 11);
	uint8_t *out = resample(rgb, 311, 197, crop(64, 80));
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (int i = 0; i < 64 * 64 * 3; i++)
		hash = (hash ^ out[i]) * 16777619u;
	assert_int_equal(hash, 0xF99405D3);
	free(out);
	free(rgb);
}

static void
longest_sides(void **state)
{
	int n = 1000000;
	uint8_t *rgb = make_gradient(n, 1);
	uint8_t *out = resample(rgb, n, 1, squash(5));
	eddh_error err;
	encoded e;

	for (int x = 0; x < 5; x++)
		assert_in_range(out[3 * x], 20 + (2 * x + 1) * 215 / 10 - 8, 20 + (2 * x + 1) * 215 / 10 + 8);
	free(out);
	/* The middle of a strip 4096 million pixels long is one colour. */
	out = resample(rgb, n, 1, crop(64, 4096));
	assert_in_range(out[0], 126, 128);
	assert_int_equal(out[0], out[3 * 63]);
	free(out);
	free(rgb);
	rgb = make_gradient(n + 1, 1);
	e = make_png_rgb(rgb, n + 1, 1);
	assert_int_equal(load_bytes(e.bytes, e.len, squash(5), NULL, NULL, &err), EDDH_OVER_LIMIT);
	assert_message_has(&err, "1000001");
	free(e.bytes);
	free(rgb);
}

static void
normalising(void **state)
{
	const uint8_t rgb[2 * 2 * 3] = { 0, 1, 2, 255, 128, 3, 10, 20, 30, 7, 8, 9 };
	image_prep prep = { .size = 2, .mean = { 1.5f, -3, 103.939f }, .std = { 2, 0.5f, 57.375f } };

	for (int bgr = 0; bgr < 2; bgr++)
	{
		float chw[12];

		prep.bgr = bgr;
		image_normalise(&prep, rgb, chw);
		for (int c = 0; c < 3; c++)
			for (int i = 0; i < 4; i++)
			{
				float want = ((float) rgb[3 * i + (bgr ? 2 - c : c)] - prep.mean[c]) / prep.std[c];

				assert_memory_equal(&chw[4 * c + i], &want, sizeof(want));
			}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_its_definition),
		cmocka_unit_test(crop_agrees_with_its_definition),
		cmocka_unit_test(constant_stays_constant),
		cmocka_unit_test(same_size_is_identity),
		cmocka_unit_test(mean_is_kept),
		cmocka_unit_test(shrinking_does_not_alias),
		cmocka_unit_test(same_pixels_everywhere),
		cmocka_unit_test(longest_sides),
		cmocka_unit_test(normalising),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
