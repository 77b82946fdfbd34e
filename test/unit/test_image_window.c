/* test_image_window.c: the part of a picture that a training shows. */
#include "image_check.h"

#include <math.h>

#include "common/random.h"

/* The whole picture is what image_normalise makes of it. */
static void
whole(void **state)
{
	eddh_rng rng;

	eddh_rng_seed(&rng, 75);
	for (int size = 1; size < 20; size++)
		for (int bgr = 0; bgr < 2; bgr++)
		{
			size_t n = 3 * (size_t) size * (size_t) size;
			image_prep prep = {
				.size = size, .bgr = bgr, .mean = { 103.94f, 116.78f, 0.1f }, .std = { 57.1f, 1.0f, 3.0f }
			};
			uint8_t *rgb = make_alloc(n);
			float *want = make_alloc(n * sizeof(*want)), *got = make_alloc(n * sizeof(*got));

			for (size_t i = 0; i < n; i++)
				rgb[i] = (uint8_t) eddh_rng_below(&rng, 256);
			image_normalise(&prep, rgb, want);
			image_normalise_window(&prep, rgb, 0, 0, (float) size, got);
			for (size_t i = 0; i < n; i++)
				assert_true(fabsf(got[i] - want[i]) < 1e-3f);
			free(rgb);
			free(want);
			free(got);
		}
}

/* Red rises to the right and green downwards: what is seen tells where the window lies, and how much it is stretched. */
static void
where(void **state)
{
	enum
	{
		SIZE = 64
	};
	static uint8_t rgb[3 * SIZE * SIZE];
	static float chw[3 * SIZE * SIZE];
	image_prep prep = { .size = SIZE, .std = { 1, 1, 1 } };
	float left = 10.25f, top = 3.5f, side = 40;

	for (int y = 0; y < SIZE; y++)
		for (int x = 0; x < SIZE; x++)
		{
			rgb[3 * (y * SIZE + x)] = (uint8_t) (3 * x);
			rgb[3 * (y * SIZE + x) + 1] = (uint8_t) (3 * y);
			rgb[3 * (y * SIZE + x) + 2] = 7;
		}
	image_normalise_window(&prep, rgb, left, top, side, chw);
	for (int y = 0; y < SIZE; y++)
		for (int x = 0; x < SIZE; x++)
		{
			float across = left + (x + 0.5f) * side / SIZE - 0.5f, down = top + (y + 0.5f) * side / SIZE - 0.5f;

			assert_true(fabsf(chw[y * SIZE + x] - 3 * across) < 1e-3f);
			assert_true(fabsf(chw[SIZE * SIZE + y * SIZE + x] - 3 * down) < 1e-3f);
			assert_true(fabsf(chw[2 * SIZE * SIZE + y * SIZE + x] - 7) < 1e-3f);
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(whole), cmocka_unit_test(where) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
