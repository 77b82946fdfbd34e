/*
 * pairs.h: the similarity of labels, S in {+1, -ratio}, between all rows and some of them, the columns; ratio = similar pairs / dissimilar pairs, as
 * the published codes of ADSH and DDSH balance it. S itself is never held.
 */
#ifndef EDDH_HASH_PAIRS_H
#define EDDH_HASH_PAIRS_H

#include "hash/hash.h"

typedef struct hash_pairs
{
	const hash_labels *labels;
	int bits;
	size_t active;  /* rows with a label */
	size_t columns; /* of them, chosen */
	uint32_t *column;
	double ratio;
	const float *x;    /* rows x bits: what was last seen */
	double *class_sum; /* classes x bits, of the columns; single labels only, else NULL */
	double *total;     /* bits: sum of x over the columns */
	double *gram;      /* bits x bits: sum of x x^T over the columns */
} hash_pairs;

/* `most` columns at random, or all labelled rows where there are fewer. */
extern eddh_code hash_pairs_create(const hash_labels *labels, int bits, size_t most, uint64_t seed, hash_pairs *out,
								   eddh_error *err);
extern void hash_pairs_clear(hash_pairs *p);

/* Sums over the columns of x (rows x bits, kept by the caller). */
extern void hash_pairs_see(hash_pairs *p, const float *x);

/* out (bits) = sum over columns of S(row, column) x(column). */
extern void hash_pairs_sum(const hash_pairs *p, size_t row, double *out);

/* The sum over columns of (x(column) f - bits S(row, column))^2 without what does not depend on f: f G f - 2 bits f out; gradient (bits) is added to. */
extern double hash_pairs_row(const hash_pairs *p, const double *sum, const double *f, double *gradient);

#endif /* EDDH_HASH_PAIRS_H */
