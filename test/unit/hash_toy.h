/* hash_toy.h: small generated problems for the tests of hash/. Include after cmocka.h. */
#ifndef HASH_TOY_H
#define HASH_TOY_H

#include "hash/hash.h"
#include "hash/measure.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define assert_ok(call)                                        \
	do                                                         \
	{                                                          \
		eddh_code code_ = (call);                              \
		if (code_ != EDDH_OK)                                  \
			fail_msg("code %d: %s", (int) code_, err.message); \
	} while (0)

/* cmocka's own compares in float. */
#define assert_near(a, b, tolerance)                                                                 \
	do                                                                                               \
	{                                                                                                \
		double a_ = (a), b_ = (b), t_ = (tolerance);                                                 \
		if (!(fabs(a_ - b_) <= t_))                                                                  \
			fail_msg("%s = %.17g, %s = %.17g, apart by %g > %g", #a, a_, #b, b_, fabs(a_ - b_), t_); \
	} while (0)

/* Non-negative features, like those behind a ReLU: a class centre and noise. labels may be NULL. */
static inline float *
toy_features(size_t rows, int dim, const hash_labels *labels, double noise, uint64_t seed)
{
	int classes = labels != NULL ? labels->classes : 1;
	float *z = malloc(rows * dim * sizeof *z);
	double *centre = malloc((size_t) classes * dim * sizeof *centre);
	eddh_rng rng;

	eddh_rng_seed(&rng, seed);
	for (int i = 0; i < classes * dim; i++)
		centre[i] = eddh_rng_normal(&rng);
	for (size_t i = 0; i < rows; i++)
	{
		for (int j = 0; j < dim; j++)
		{
			double x = noise * eddh_rng_normal(&rng);

			for (int c = 0; labels != NULL && c < classes; c++)
			{
				if (labels->bitmap[i * labels->words + c / 64] >> (c % 64) & 1)
					x += centre[c * dim + j];
			}
			z[i * dim + j] = x > 0 ? (float) x : 0;
		}
	}
	free(centre);
	return z;
}

/* One label a row, or one to three; every `gap`-th row has none (gap 0: all have). */
static inline hash_labels *
toy_labels(size_t rows, int classes, bool several, size_t gap, uint64_t seed)
{
	hash_labels *labels;
	eddh_error err;
	eddh_rng rng;

	eddh_rng_seed(&rng, seed);
	assert_ok(hash_labels_create(NULL, rows, classes, &labels, &err));
	for (size_t i = 0; i < rows; i++)
	{
		int count = several ? 1 + (int) eddh_rng_below(&rng, 3) : 1;

		if (gap > 0 && i % gap == gap - 1)
			continue;
		while (count-- > 0)
			hash_labels_add(labels, i, (int) eddh_rng_below(&rng, classes));
	}
	assert_ok(hash_labels_finish(labels, &err));
	return labels;
}

/* Leave-one-out mAP of the codes of outputs u (rows x bits), over the rows that have somebody to find. */
static inline hash_quality
toy_quality(size_t rows, int bits, const float *u, const hash_labels *labels)
{
	size_t bytes = ((size_t) bits + 7) / 8;
	uint8_t *codes = malloc(rows * bytes);
	hash_ranking ranking = { .bits = bits,
							 .queries = rows,
							 .database = rows,
							 .query_codes = codes,
							 .database_codes = codes,
							 .query_labels = labels,
							 .database_labels = labels,
							 .same = true };
	hash_quality quality;
	eddh_error err;

	for (size_t i = 0; i < rows; i++)
		assert_ok(hash_pack(bits, u + i * bits, codes + i * bytes, &err));
	assert_ok(hash_measure(&ranking, &quality, &err));
	free(codes);
	return quality;
}

#endif
