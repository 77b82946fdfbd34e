/* test_bits_kernels.c: every kernel this CPU has equals the naive twin, for any length, alignment and count. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "bits/kernels.h"
#include "common/random.h"

#define MAX_LEN   300
#define MAX_CODES 37

static void
fill(eddh_rng *rng, size_t n, uint8_t *bytes)
{
	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t) eddh_rng_next(rng);
}

/*
 * A page of memory that ends where no byte may be read: codes are put right before that end, so that a kernel that reads too far
 * crashes.
 */
typedef struct guarded
{
	uint8_t *base;
	size_t size; /* usable bytes */
} guarded;

static guarded
guarded_create(size_t size)
{
	size_t page = (size_t) sysconf(_SC_PAGESIZE);
	size_t usable = (size + page - 1) / page * page;
	guarded g = { NULL, usable };

	g.base = mmap(NULL, usable + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(g.base != MAP_FAILED);
	assert_int_equal(mprotect(g.base + usable, page, PROT_NONE), 0);
	return g;
}

static void
guarded_free(guarded g)
{
	munmap(g.base, g.size + (size_t) sysconf(_SC_PAGESIZE));
}

static void
test_every_kernel_equals_naive(void **state)
{
	eddh_rng rng;
	guarded query_area = guarded_create(MAX_LEN + 8);
	guarded codes_area = guarded_create(MAX_LEN * MAX_CODES + 8);
	uint32_t out[MAX_CODES + 1];
	uint32_t expected[MAX_CODES];
	size_t kernels = 0;

	eddh_rng_seed(&rng, 1);
	for (const bits_kernel *k; (k = bits_kernel_at(kernels)) != NULL; kernels++)
	{
		/* Each length twice: first both ranges end at the guard, then they lie anywhere, on any alignment. */
		for (size_t turn = 0; turn < 2 * (MAX_LEN + 1); turn++)
		{
			size_t len = turn / 2;
			size_t n = 1 + (size_t) eddh_rng_below(&rng, MAX_CODES);
			size_t query_shift = turn % 2 == 0 ? 0 : (size_t) eddh_rng_below(&rng, 8);
			size_t shift = turn % 2 == 0 ? 0 : (size_t) eddh_rng_below(&rng, 8);
			uint8_t *query = query_area.base + query_area.size - len - query_shift;
			uint8_t *codes = codes_area.base + codes_area.size - len * n - shift;

			fill(&rng, len, query);
			fill(&rng, len * n, codes);
			bits_distances_naive(len, n, query, codes, expected);
			out[n] = 0xDEADBEEF;
			k->distances(len, n, query, codes, out);
			for (size_t i = 0; i < n; i++)
			{
				if (out[i] != expected[i] || k->distance(len, query, codes + i * len) != expected[i])
					fail_msg("%s: len %zu, code %zu of %zu: %u and %u, not %u", k->name, len, i, n, out[i],
							 (unsigned) k->distance(len, query, codes + i * len), expected[i]);
			}
			assert_int_equal(out[n], 0xDEADBEEF);
		}
	}
	print_message("kernels tested: %zu, this machine runs %s\n", kernels, bits_kernel_name());
	assert_true(kernels >= 1);
	guarded_free(query_area);
	guarded_free(codes_area);
}

/* Every count for the lengths with code of their own, where the vector part and the rest meet. */
static void
test_every_count_of_common_lengths(void **state)
{
	static const size_t lengths[] = { 1, 6, 8, 12, 16, 24, 32, 64, 128 };
	static uint8_t codes[128 * 33];
	uint8_t query[128];
	uint32_t out[33];
	uint32_t expected[33];
	eddh_rng rng;

	eddh_rng_seed(&rng, 2);
	fill(&rng, sizeof(codes), codes);
	fill(&rng, sizeof(query), query);
	for (size_t l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++)
	{
		for (size_t n = 0; n <= 33; n++)
		{
			bits_distances_naive(lengths[l], n, query, codes, expected);
			for (size_t i = 0; bits_kernel_at(i) != NULL; i++)
			{
				bits_kernel_at(i)->distances(lengths[l], n, query, codes, out);
				assert_memory_equal(out, expected, n * sizeof(uint32_t));
			}
		}
	}
}

/* Full bytes everywhere: sums inside a kernel that overflow a byte would show here. */
static void
test_largest_distances(void **state)
{
	size_t len = 100003;
	uint8_t *zeros = calloc(1, len);
	uint8_t *ones = malloc(len);

	assert_non_null(zeros);
	assert_non_null(ones);
	memset(ones, 0xFF, len);
	for (size_t i = 0; bits_kernel_at(i) != NULL; i++)
	{
		assert_int_equal(bits_kernel_at(i)->distance(len, zeros, ones), 8 * len);
		assert_int_equal(bits_kernel_at(i)->distance(len, ones, ones), 0);
	}
	assert_int_equal(bits_distance(len, zeros, ones), 8 * len);
	free(zeros);
	free(ones);
}

/* A distance is a metric whichever kernel computes it, and the naive twin agrees with the definition bit by bit. */
static void
test_naive_is_the_definition(void **state)
{
	eddh_rng rng;
	uint8_t a[40], b[40], c[40];

	eddh_rng_seed(&rng, 3);
	for (int round = 0; round < 200; round++)
	{
		uint64_t count = 0;

		fill(&rng, sizeof(a), a);
		fill(&rng, sizeof(b), b);
		fill(&rng, sizeof(c), c);
		for (size_t bit = 0; bit < 8 * sizeof(a); bit++)
			count += ((a[bit / 8] >> (bit % 8)) & 1) != ((b[bit / 8] >> (bit % 8)) & 1);
		assert_int_equal(bits_distance_naive(sizeof(a), a, b), count);
		assert_int_equal(bits_distance(sizeof(a), b, a), count);
		assert_true(bits_distance(sizeof(a), a, c) <= count + bits_distance(sizeof(a), b, c));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_kernel_equals_naive),
		cmocka_unit_test(test_every_count_of_common_lengths),
		cmocka_unit_test(test_largest_distances),
		cmocka_unit_test(test_naive_is_the_definition),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
