/*
 * index_data.c: seeded codes for bench/index, as text for COPY.
 *
 *   index_data KIND BITS ROWS SEED [queries]
 *
 * KIND u: uniform. KIND c: 100 random class centres; each code is its centre with independent bit flips, the probability drawn for each
 * code from {0, 0.02, 0.05, 0.1}. KIND latN: z = the mean of one of 200 Gaussian classes + 0.5 noise in N dimensions; bit b = [w_b . z > 0], w_b
 * Gaussian. "queries" draws from the same distribution with the same centres, but other codes, and writes codes only; otherwise a line
 * is id, code, and bucket (id mod 100, for a filter of 1 %).
 */
#include "common/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLASSES 100
#define MEANS   200
#define BITS    4096
#define DIMS    64

static double weights[BITS][DIMS];
static double means[MEANS][DIMS];
static char centres[CLASSES][BITS];

int
main(int argc, char **argv)
{
	static const double flips[] = { 0, 0.02, 0.05, 0.1 };
	eddh_rng world, draw;
	char code[BITS + 1];
	int bits, dims;
	long rows;
	int queries = argc == 6 && strcmp(argv[5], "queries") == 0;

	if (argc < 5 || (argc == 6 && !queries) || argc > 6)
	{
		fprintf(stderr, "usage: index_data u|c|latN BITS ROWS SEED [queries]\n");
		return 2;
	}
	bits = atoi(argv[2]);
	rows = atol(argv[3]);
	dims = strncmp(argv[1], "lat", 3) == 0 ? atoi(argv[1] + 3) : 0;
	if (bits < 1 || bits > BITS || dims < 0 || dims > DIMS)
		return 2;
	/* The world is the same for rows and queries. */
	eddh_rng_seed_stream(&world, strtoull(argv[4], NULL, 10), 0);
	eddh_rng_seed_stream(&draw, strtoull(argv[4], NULL, 10), queries ? 2 : 1);
	for (int c = 0; c < CLASSES; c++)
		for (int b = 0; b < bits; b++)
			centres[c][b] = (char) (eddh_rng_next(&world) >> 63);
	for (int b = 0; b < bits; b++)
		for (int d = 0; d < dims; d++)
			weights[b][d] = eddh_rng_normal(&world);
	for (int m = 0; m < MEANS; m++)
		for (int d = 0; d < dims; d++)
			means[m][d] = eddh_rng_normal(&world);

	code[bits] = '\0';
	for (long row = 1; row <= rows; row++)
	{
		if (dims > 0)
		{
			double z[DIMS];
			const double *mean = means[eddh_rng_below(&draw, MEANS)];

			for (int d = 0; d < dims; d++)
				z[d] = mean[d] + 0.5 * eddh_rng_normal(&draw);
			for (int b = 0; b < bits; b++)
			{
				double sum = 0;

				for (int d = 0; d < dims; d++)
					sum += weights[b][d] * z[d];
				code[b] = sum > 0 ? '1' : '0';
			}
		}
		else if (argv[1][0] == 'c')
		{
			const char *centre = centres[eddh_rng_below(&draw, CLASSES)];
			double p = flips[eddh_rng_below(&draw, 4)];

			for (int b = 0; b < bits; b++)
				code[b] = (char) ('0' + (centre[b] ^ (eddh_rng_uniform(&draw) < p)));
		}
		else
			for (int b = 0; b < bits; b += 64)
			{
				uint64_t word = eddh_rng_next(&draw);

				for (int i = b; i < bits && i < b + 64; i++, word >>= 1)
					code[i] = (char) ('0' + (word & 1));
			}
		if (queries)
			puts(code);
		else
			printf("%ld\t%s\t%ld\n", row, code, row % 100);
	}
	return 0;
}
