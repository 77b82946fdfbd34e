/*
 * similarity.h: S_hat, the semantic-visual similarity of EDDH (METHODS 1.3): at least 1 in size, positive where two images share a label,
 * larger the nearer (or, for the dissimilar, the farther) their features are.
 *
 * S_hat has rows x rows entries and is never held as such: it is computed in tiles of all columns for a few rows. For many rows its columns
 * are a sample, weighted so that every sum over columns is unbiased: sampled within strata (a row's rarest label), weight = rows of the
 * stratum / rows sampled of it. Rows without a label take no part: their entries are zero.
 */
#ifndef EDDH_HASH_SIMILARITY_H
#define EDDH_HASH_SIMILARITY_H

#include "hash/hash.h"
#include "hash/split_normal.h"

/* What is done about dissimilar pairs being so many more than similar ones (METHODS 1.6). */
typedef enum hash_balance
{
	HASH_BALANCE_NONE,
	HASH_BALANCE_RATIO, /* negative entries times sum of positive / |sum of negative| */
	HASH_BALANCE_CENTER /* double centring */
} hash_balance;

/* alpha and beta out of all distances' reach: both logarithms are clamped at 0 and S_hat is S in +-1. */
#define HASH_SIMILARITY_LABELS_ALPHA 0
#define HASH_SIMILARITY_LABELS_BETA  1e3

typedef struct hash_similarity_options
{
	hash_balance balance;
	double alpha, beta; /* from hash_similarity_thresholds */
	size_t sample;      /* columns; 0 or >= labelled rows = all */
	uint64_t seed;
	bool
		keep; /* holds the entries at 8 bits, rows x columns bytes, so that tiles after the first pass cost no distances */
} hash_similarity_options;

typedef struct hash_similarity
{
	size_t rows, active;   /* rows with a label */
	const eddh_bulk *bulk; /* the labels': of what is as long as rows, or as columns, which may be all rows */
	size_t columns;
	uint32_t *column; /* columns: which row it is */
	double *weight;   /* columns */
	double *
		class_sums; /* M: rows x classes, sum over columns of weight * S(row, column) of the columns with the class; balanced */
	double square;             /* estimate of the sum of all squared entries; balanced */
	double ratio;              /* what negative entries were multiplied by */
	double positive, negative; /* sums of the entries before balancing */
	struct hash_similarity_private *private;
} hash_similarity;

/* How many columns to take by default: all up to 13,000 rows, beyond that as many as 3.2e10 multiply-adds buy, between 512 and 4,096. */
extern size_t hash_similarity_default_sample(size_t rows, int dim);

/*
 * Draws 5,000 pairs that share a label and 5,000 that share none, and fits their cosine distances (1 - cos, in [0, 2]; a feature of
 * length zero is 1 from all others). With fewer kinds of pairs than that, what there is.
 */
extern eddh_code hash_similarity_thresholds(size_t rows, int dim, const float *features, const hash_labels *labels,
											uint64_t seed, hash_split_normal *out, eddh_error *err);

/* One pass over all tiles. features and labels must outlive the result. */
extern eddh_code hash_similarity_create(size_t rows, int dim, const float *features, const hash_labels *labels,
										const hash_similarity_options *options, const eddh_stop *stop,
										hash_similarity **out, eddh_error *err);
extern void hash_similarity_free(hash_similarity *similarity);

/* tile (count x columns): balanced entries of rows first .. first + count - 1, without weights. */
extern eddh_code hash_similarity_tile(hash_similarity *similarity, size_t first, size_t count, float *tile,
									  eddh_error *err);

/* out (columns x k) = S^T f, f rows x k. */
extern eddh_code hash_similarity_gather(hash_similarity *similarity, int k, const float *f, double *out,
										const eddh_stop *stop, eddh_error *err);

/* out (rows x k) = S diag(weight) p, p columns x k. */
extern eddh_code hash_similarity_spread(hash_similarity *similarity, int k, const double *p, float *out,
										const eddh_stop *stop, eddh_error *err);

#endif /* EDDH_HASH_SIMILARITY_H */
