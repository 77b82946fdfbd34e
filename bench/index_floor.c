/*
 * index_floor.c: the least time in which one core can look at all codes: the index's own kernel over pages of codes in memory, without
 * directory, buffer manager or SQL. An index that cannot prune (uniform codes) takes this and what it adds.
 *
 *     build/bench/index_floor BITS CODES
 *
 * Prints the median of many rounds in ms. The kernel fetches the next page ahead, as the index does.
 */
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"
#include "bits/kernels_page.h"
#include "common/random.h"

#define PAGE   8192
#define DATA   (PAGE - 128) /* what header and special area leave */
#define ROUNDS 41

static int
compare(const void *a, const void *b)
{
	double left = *(const double *) a, right = *(const double *) b;

	return (left > right) - (left < right);
}

int
main(int argc, char **argv)
{
	uint32_t words = argc > 2 ? ((uint32_t) atoi(argv[1]) + 63) / 64 : 0;
	size_t codes = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	uint32_t in_page = words > 0 ? DATA / (words * 64) * 8 : 0;
	size_t pages;
	char *memory;
	uint64_t query[64];
	double times[ROUNDS];
	uint64_t found = 0;
	eddh_rng rng;

	if (in_page == 0 || codes == 0 || words > 64)
	{
		fprintf(stderr, "usage: index_floor BITS CODES\n");
		return 2;
	}
	pages = (codes + in_page - 1) / in_page;
	memory = aligned_alloc(PAGE, pages * PAGE);
	if (memory == NULL)
		return 1;
	eddh_rng_seed(&rng, 1);
	for (size_t i = 0; i < pages * PAGE / 8; i++)
		((uint64_t *) memory)[i] = eddh_rng_next(&rng);
	for (int round = 0; round < ROUNDS; round++)
	{
		for (uint32_t w = 0; w < words; w++)
			query[w] = eddh_rng_next(&rng);
		times[round] = bench_seconds(CLOCK_MONOTONIC);
		for (size_t p = 0; p < pages; p++)
		{
			const char *page = memory + p * PAGE + 64;
			uint16_t slots[PAGE / 8];
			uint32_t next;

			found += bits_page_at(words, in_page, query, (const uint64_t *) page, 0, slots, &next,
								  p + 1 < pages ? page + PAGE : NULL);
			found += next;
		}
		times[round] = 1e3 * (bench_seconds(CLOCK_MONOTONIC) - times[round]);
	}
	qsort(times, ROUNDS, sizeof(double), compare);
	/* The sum keeps the compiler from leaving the work out. */
	printf("%.3f\n", found > 0 ? times[ROUNDS / 2] : 0);
	free(memory);
	return 0;
}
