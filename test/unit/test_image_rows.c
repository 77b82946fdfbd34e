/* test_image_rows.c: the resampler's vector kernels give the integers of the plain ones, for every length and weight. */
#include "image_check.h"

#include "common/random.h"
#include "image/image.h"
#include "image/rows.h"

static int
pick(eddh_rng *rng, int lo, int hi)
{
	return lo + (int) eddh_rng_below(rng, (uint64_t) (hi - lo + 1));
}

/* Bytes to the very end of what is allocated, so that memcheck sees who reads too far. */
static uint8_t *
random_row(eddh_rng *rng, size_t n)
{
	uint8_t *row = make_alloc(n);

	for (size_t i = 0; i < n; i++)
		row[i] = (uint8_t) (pick(rng, 0, 3) == 0 ? 255 * pick(rng, 0, 1) : pick(rng, 0, 255));
	return row;
}

/* An axis over `width` inputs with any counts up to `most`; weights as a kernel has them, some negative, their sum 1, or the largest there can be. */
static image_axis
random_axis(eddh_rng *rng, uint32_t width, uint32_t most)
{
	image_axis a = { .n = (uint32_t) pick(rng, 1, 40), .taps = (most + 1) / 2 * 2 };

	a.start = make_alloc(a.n * sizeof(*a.start));
	a.count = make_alloc(a.n * sizeof(*a.count));
	a.weight = make_alloc((size_t) a.n * a.taps * sizeof(*a.weight));
	memset(a.weight, 0, (size_t) a.n * a.taps * sizeof(*a.weight));
	for (uint32_t i = 0; i < a.n; i++)
	{
		int left = 1 << IMAGE_WEIGHT_BITS;

		a.count[i] = (uint32_t) pick(rng, 1, (int) most);
		a.start[i] = (uint32_t) pick(rng, 0, (int) (width - a.count[i]));
		for (uint32_t k = 0; k < a.count[i]; k++)
		{
			int w = k == a.count[i] - 1 ? left : pick(rng, -1500, 6000) / (int) (1 + a.count[i] / 4);

			a.weight[(size_t) i * a.taps + k] = (int16_t) w;
			left -= w;
		}
	}
	return a;
}

static void
across(void **state)
{
	eddh_rng rng;

	eddh_rng_seed(&rng, 71);
	for (int i = 0; i < 2000; i++)
	{
		uint32_t width = (uint32_t) pick(&rng, 1, i % 10 == 0 ? 300 : 20);
		uint8_t *rgb[2] = { random_row(&rng, (size_t) width * 3), random_row(&rng, (size_t) width * 3) };
		const uint8_t *const rows[2] = { rgb[0], rgb[i % 3 != 0] };
		image_axis a = random_axis(&rng, width, (uint32_t) pick(&rng, 1, (int) width));
		void *room = make_alloc(image_row_room(width, a.taps));
		int16_t *got[2], *want[2];

		for (int row = 0; row < 2; row++)
		{
			got[row] = make_alloc(3 * a.n * sizeof(**got));
			want[row] = make_alloc(3 * a.n * sizeof(**want));
		}
		image_kernels_at(0)->across(&a, rows, width, room, want);
		for (int set = 1; image_kernels_at(set) != NULL; set++)
		{
			for (int row = 0; row < 2; row++)
				memset(got[row], 0, 3 * a.n * sizeof(**got));
			image_kernels_at(set)->across(&a, rows, width, room, got);
			for (int row = 0; row < 2; row++)
				if (memcmp(got[row], want[row], 3 * a.n * sizeof(**got)) != 0)
					fail_msg("%s differs from plain: %u pixels, %u taps", image_kernels_at(set)->name, a.n, a.taps);
		}
		for (int row = 0; row < 2; row++)
		{
			free(rgb[row]);
			free(got[row]);
			free(want[row]);
		}
		free(room);
		free(a.start);
		free(a.count);
		free(a.weight);
	}
}

static void
down(void **state)
{
	eddh_rng rng;

	eddh_rng_seed(&rng, 72);
	for (int i = 0; i < 2000; i++)
	{
		size_t n = (size_t) pick(&rng, 1, 70);
		uint32_t taps = 2 * (uint32_t) pick(&rng, 1, i % 10 == 0 ? 60 : 5);
		int16_t **rows = make_alloc(taps * sizeof(*rows)), *weight = make_alloc(taps * sizeof(*weight));
		uint8_t *got = make_alloc(n), *want = make_alloc(n);
		int left = 1 << IMAGE_WEIGHT_BITS;
		bool wild = i % 4 == 0; /* far below black and above white */

		for (uint32_t k = 0; k < taps; k++)
		{
			int w = k == taps - 1 ? left : pick(&rng, -1500, 6000) / (int) (1 + taps / 4);

			weight[k] = (int16_t) w;
			left -= w;
			rows[k] = make_alloc(n * sizeof(**rows));
			for (size_t j = 0; j < n; j++)
				rows[k][j] = (int16_t) (wild ? pick(&rng, INT16_MIN, INT16_MAX)
											 : pick(&rng, -40, 300) * (1 << IMAGE_MIDDLE_BITS));
		}
		image_kernels_at(0)->down((const int16_t *const *) rows, weight, taps, want, n);
		for (int set = 1; image_kernels_at(set) != NULL; set++)
		{
			memset(got, 0, n);
			image_kernels_at(set)->down((const int16_t *const *) rows, weight, taps, got, n);
			if (memcmp(got, want, n) != 0)
				fail_msg("%s differs from plain: %zu numbers, %u taps", image_kernels_at(set)->name, n, taps);
		}
		for (uint32_t k = 0; k < taps; k++)
			free(rows[k]);
		free(rows);
		free(weight);
		free(got);
		free(want);
	}
}

/* Every byte value in every channel, sizes around a vector's. */
static void
normalise(void **state)
{
	eddh_rng rng;

	eddh_rng_seed(&rng, 74);
	for (int size = 1; size < 24; size++)
		for (int bgr = 0; bgr < 2; bgr++)
		{
			size_t n = (size_t) size * (size_t) size;
			image_prep prep = {
				.size = size, .bgr = bgr, .mean = { 103.94f, 116.78f, 0.1f }, .std = { 57.1f, 1.0f, 0.3f }
			};
			uint8_t *rgb = random_row(&rng, 3 * n);
			float *chw = make_alloc(3 * n * sizeof(*chw));

			image_normalise(&prep, rgb, chw);
			for (int c = 0; c < 3; c++)
				for (size_t i = 0; i < n; i++)
				{
					float want = ((float) rgb[3 * i + (bgr ? 2 - c : c)] - prep.mean[c]) / prep.std[c];

					assert_memory_equal(&chw[c * n + i], &want, sizeof(want));
				}
			free(rgb);
			free(chw);
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(across), cmocka_unit_test(down), cmocka_unit_test(normalise) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
