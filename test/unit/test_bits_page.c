/* test_bits_page.c: every page kernel that the CPU has agrees with the definition, and so does what is chosen. */
#include "bits/kernels_page.h"
#include "common/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const uint32_t lengths[] = { 1, 2, 3, 4, 5, 16, 64 };
static const uint32_t counts[] = { 0, 1, 7, 8, 9, 63, 64, 1008 };

#define EACH_SHAPE(words, n)                                                           \
	for (size_t wi = 0; wi < sizeof(lengths) / sizeof(*lengths); wi++)                 \
		for (size_t ni = 0, go = 1; go && ni < sizeof(counts) / sizeof(*counts); ni++) \
			for (uint32_t words = lengths[wi], n = counts[ni], once = 1; once; once = 0)

#define EACH_KERNEL(k)                                         \
	for (size_t ki = 0; bits_page_kernel_at(ki) != NULL; ki++) \
		for (const bits_page_kernel *k = bits_page_kernel_at(ki), *go2 = k; go2; go2 = NULL)

static uint64_t *
random_words(eddh_rng *rng, size_t count)
{
	uint64_t *out = aligned_alloc(64, (count * 8 + 64) / 64 * 64 + 64);

	assert_non_null(out);
	/* Sparse words give distances with many ties. */
	for (size_t i = 0; i < count; i++)
		out[i] = eddh_rng_next(rng) & eddh_rng_next(rng) & eddh_rng_next(rng);
	return out;
}

static uint32_t
distance_by_bits(uint32_t words, const uint64_t *blocks, uint32_t i, const uint64_t *query)
{
	uint32_t sum = 0;

	for (uint32_t w = 0; w < words; w++)
		for (int bit = 0; bit < 64; bit++)
			sum += (uint32_t) (((blocks[bits_page_word(words, i, w)] ^ query[w]) >> bit) & 1);
	return sum;
}

static void
test_kernels(void **state)
{
	size_t kernels = 0;

	while (bits_page_kernel_at(kernels) != NULL)
		print_message("%s\n", bits_page_kernel_at(kernels++)->name);
	assert_true(kernels >= 1);
	assert_string_equal(bits_page_kernel_at(kernels - 1)->name, "portable");
}

static void
test_within(void **state)
{
	eddh_rng rng;

	eddh_rng_seed(&rng, 1);
	EACH_KERNEL(kernel)
	EACH_SHAPE(words, n)
	{
		uint64_t *blocks = random_words(&rng, (size_t) bits_page_blocks(n) * 8 * words + 1);
		uint64_t *query = random_words(&rng, words);
		uint32_t radii[] = { 0, 8 * words, 16 * words, 64 * words };

		/* A code at distance 0, and the largest radius holds everything. */
		for (uint32_t w = 0; w < words && n > 0; w++)
			query[w] = blocks[bits_page_word(words, n - 1, w)];
		for (int r = 0; r < 4; r++)
		{
			uint16_t slots[1024], chosen[1024];
			uint32_t at = 0, found = kernel->within(words, n, query, blocks, radii[r], slots, (const char *) blocks);

			assert_int_equal(found, bits_page_within(words, n, query, blocks, radii[r], chosen, NULL));
			assert_memory_equal(slots, chosen, found * sizeof(uint16_t));
			for (uint32_t i = 0; i < n; i++)
				if (distance_by_bits(words, blocks, i, query) <= radii[r])
				{
					assert_true(at < found);
					assert_int_equal(slots[at++], i);
				}
			assert_int_equal(at, found);
		}
		free(blocks);
		free(query);
	}
}

static void
test_at(void **state)
{
	eddh_rng rng;

	eddh_rng_seed(&rng, 2);
	EACH_KERNEL(kernel)
	EACH_SHAPE(words, n)
	{
		uint64_t *blocks = random_words(&rng, (size_t) bits_page_blocks(n) * 8 * words + 1);
		uint64_t *query = random_words(&rng, words);
		uint32_t wanted[1024];
		uint32_t at = 0, total = 0;

		for (uint32_t i = 0; i < n; i++)
			wanted[i] = distance_by_bits(words, blocks, i, query);
		/* Walking from one distance to the next meets every code once, at its own distance, in order of slots. */
		while (at != BITS_PAGE_NONE)
		{
			uint16_t slots[1024], chosen[1024];
			uint32_t next, chosen_next, nearest = BITS_PAGE_NONE;
			uint32_t found = kernel->at(words, n, query, blocks, at, slots, &next, (const char *) blocks);

			assert_int_equal(found, bits_page_at(words, n, query, blocks, at, chosen, &chosen_next, NULL));
			assert_int_equal(next, chosen_next);
			assert_memory_equal(slots, chosen, found * sizeof(uint16_t));
			for (uint32_t i = 0; i < found; i++)
			{
				assert_int_equal(wanted[slots[i]], at);
				assert_true(i == 0 || slots[i - 1] < slots[i]);
			}
			for (uint32_t i = 0; i < n; i++)
				if (wanted[i] > at && wanted[i] < nearest)
					nearest = wanted[i];
			assert_int_equal(next, nearest);
			total += found;
			at = next;
		}
		assert_int_equal(total, n);
		free(blocks);
		free(query);
	}
}

static void
test_bounds(void **state)
{
	eddh_rng rng;
	size_t kernels = 0;

	while (bits_page_kernel_at(kernels) != NULL)
		kernels++;
	eddh_rng_seed(&rng, 3);
	EACH_KERNEL(kernel)
	EACH_SHAPE(words, n)
	{
		uint64_t *blocks = random_words(&rng, (size_t) bits_page_blocks(n) * 8 * words * 3 + 1);
		uint64_t *query = random_words(&rng, words);
		uint16_t rmin[1024], rmax[1024];
		uint32_t out[1024], portable[1024];

		for (uint32_t i = 0; i < 1024; i++)
		{
			rmin[i] = (uint16_t) eddh_rng_below(&rng, 64 * words);
			rmax[i] = (uint16_t) (rmin[i] + eddh_rng_below(&rng, 32));
		}
		kernel->bounds(words, n, query, blocks, rmin, rmax, out);
		bits_page_kernel_at(kernels - 1)->bounds(words, n, query, blocks, rmin, rmax, portable);
		assert_memory_equal(out, portable, n * sizeof(uint32_t));
		free(blocks);
		free(query);
	}
}

/* No code of a set is nearer than the bound of the set. */
static void
test_bounds_hold(void **state)
{
	eddh_rng rng;

	eddh_rng_seed(&rng, 4);
	for (int round = 0; round < 300; round++)
	{
		uint32_t words = lengths[round % 5], n = 1 + (uint32_t) eddh_rng_below(&rng, 20);
		uint64_t *codes = random_words(&rng, (size_t) bits_page_blocks(n) * 8 * words);
		uint64_t *centre = random_words(&rng, words), *query = random_words(&rng, words);
		uint64_t *set = calloc(8 * words * 3, sizeof(uint64_t));
		uint16_t rmin[8] = { 0 }, rmax[8] = { 0 };
		uint32_t bound[8], nearest = UINT32_MAX;

		rmin[0] = UINT16_MAX;
		for (uint32_t w = 0; w < words; w++)
		{
			set[w * 8] = centre[w];
			set[(words + w) * 8] = ~UINT64_C(0);
		}
		for (uint32_t i = 0; i < n; i++)
		{
			uint32_t radius = distance_by_bits(words, codes, i, centre);
			uint32_t distance = distance_by_bits(words, codes, i, query);

			rmin[0] = radius < rmin[0] ? (uint16_t) radius : rmin[0];
			rmax[0] = radius > rmax[0] ? (uint16_t) radius : rmax[0];
			nearest = distance < nearest ? distance : nearest;
			for (uint32_t w = 0; w < words; w++)
			{
				set[(words + w) * 8] &= codes[bits_page_word(words, i, w)];
				set[(2 * words + w) * 8] |= codes[bits_page_word(words, i, w)];
			}
		}
		bits_page_bounds(words, 1, query, set, rmin, rmax, bound);
		assert_true(bound[0] <= nearest);
		free(codes);
		free(centre);
		free(query);
		free(set);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kernels), cmocka_unit_test(test_within),      cmocka_unit_test(test_at),
		cmocka_unit_test(test_bounds),  cmocka_unit_test(test_bounds_hold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
