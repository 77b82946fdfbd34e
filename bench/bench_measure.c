/* bench_measure.c: processor seconds (one thread) to measure 10,000 queries against 60,000 codes of 64 bits, with one label a row and with several. */
#include "bench.h"
#include "bits/kernels.h"
#include "hash/measure.h"

#include <stdio.h>
#include <stdlib.h>

enum
{
	QUERIES = 10000,
	ROWS = 60000,
	BITS = 64,
	CLASSES = 10
};

static hash_labels *
labels_of(size_t rows, bool several, eddh_rng *rng)
{
	hash_labels *labels;

	if (hash_labels_create(NULL, rows, CLASSES, &labels, NULL) != EDDH_OK)
		exit(1);
	for (size_t i = 0; i < rows; i++)
	{
		hash_labels_add(labels, i, (int) eddh_rng_below(rng, CLASSES));
		if (several)
			hash_labels_add(labels, i, (int) eddh_rng_below(rng, CLASSES));
	}
	if (hash_labels_finish(labels, NULL) != EDDH_OK)
		exit(1);
	return labels;
}

/* A code of the first class of its row with a tenth of the bits flipped. */
static void
fill_codes(const hash_labels *labels, const uint64_t *centres, uint64_t *codes, eddh_rng *rng)
{
	for (size_t i = 0; i < labels->rows; i++)
	{
		codes[i] = centres[__builtin_ctzll(labels->bitmap[i])];
		for (int bit = 0; bit < BITS; bit++)
			codes[i] ^= (uint64_t) (eddh_rng_below(rng, 10) == 0) << bit;
	}
}

int
main(void)
{
	uint64_t *queries = malloc(QUERIES * sizeof *queries), *codes = malloc(ROWS * sizeof *codes);
	uint64_t centres[CLASSES];
	eddh_rng rng;

	eddh_rng_seed(&rng, 1);
	for (int c = 0; c < CLASSES; c++)
		centres[c] = eddh_rng_next(&rng);
	printf("kernel %s, %d queries x %d codes of %d bits\n", bits_kernel_name(), QUERIES, ROWS, BITS);
	for (int several = 0; several <= 1; several++)
	{
		hash_labels *query_labels = labels_of(QUERIES, several, &rng), *labels = labels_of(ROWS, several, &rng);
		double start, whole, cut;
		hash_quality quality;
		hash_ranking ranking = { .bits = BITS,
								 .queries = QUERIES,
								 .database = ROWS,
								 .query_codes = (const uint8_t *) queries,
								 .database_codes = (const uint8_t *) codes,
								 .query_labels = query_labels,
								 .database_labels = labels };

		fill_codes(query_labels, centres, queries, &rng);
		fill_codes(labels, centres, codes, &rng);
		start = bench_seconds(CLOCK_PROCESS_CPUTIME_ID);
		if (hash_measure(&ranking, &quality, NULL) != EDDH_OK)
			return 1;
		whole = bench_seconds(CLOCK_PROCESS_CPUTIME_ID) - start;
		ranking.top = 1000;
		start = bench_seconds(CLOCK_PROCESS_CPUTIME_ID);
		if (hash_measure(&ranking, &quality, NULL) != EDDH_OK)
			return 1;
		cut = bench_seconds(CLOCK_PROCESS_CPUTIME_ID) - start;
		printf("%-14s whole ranking %.2f s, cut at 1000 %.2f s (mAP@1000 %.4f)\n",
			   several ? "several labels" : "one label", whole, cut, quality.map);
		hash_labels_free(query_labels);
		hash_labels_free(labels);
	}
	free(queries);
	free(codes);
	return 0;
}
