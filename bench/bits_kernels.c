/*
 * bits_kernels.c: nanoseconds a code for one query against many packed codes, for every kernel this machine has.
 *
 *     build/bench/bits_kernels [CODES]     default 1000000
 *
 * Codes are random from a seed; the best of several rounds is printed, since other work on the machine only ever adds time.
 */
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"
#include "bits/kernels.h"
#include "common/random.h"

#define ROUNDS 9

int
main(int argc, char **argv)
{
	static const size_t lengths[] = { 6, 8, 12, 16, 32, 64, 128 };
	size_t n = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
	uint8_t *codes = malloc(n * 128);
	uint32_t *out = malloc(n * sizeof(uint32_t));
	uint8_t query[128];
	eddh_rng rng;

	if (n == 0 || codes == NULL || out == NULL)
		return 1;
	eddh_rng_seed(&rng, 1);
	for (size_t i = 0; i < n * 128; i++)
		codes[i] = (uint8_t) eddh_rng_next(&rng);
	for (size_t i = 0; i < sizeof(query); i++)
		query[i] = (uint8_t) eddh_rng_next(&rng);

	printf("%zu codes, ns a code\n%-18s", n, "bytes");
	for (size_t l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++)
		printf("%8zu", lengths[l]);
	printf("\n");
	for (size_t k = 0; bits_kernel_at(k) != NULL; k++)
	{
		printf("%-18s", bits_kernel_at(k)->name);
		for (size_t l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++)
		{
			double best = 1e9;

			for (int round = 0; round < ROUNDS; round++)
			{
				double start = bench_seconds(CLOCK_MONOTONIC);

				bits_kernel_at(k)->distances(lengths[l], n, query, codes, out);
				start = bench_seconds(CLOCK_MONOTONIC) - start;
				best = start < best ? start : best;
			}
			printf("%8.2f", best * 1e9 / n);
		}
		printf("\n");
	}
	free(codes);
	free(out);
	return 0;
}
