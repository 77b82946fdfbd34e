/*
 * measure.h: how good codes are. All measures are exact expectations over random order inside ties (McSherry and Najork 2008; He et al.
 * 2018; METHODS 3.2-3.4), so nothing depends on the order of rows.
 */
#ifndef EDDH_HASH_MEASURE_H
#define EDDH_HASH_MEASURE_H

#include "hash/hash.h"

/* Codes packed as in bits/kernels.h, (bits + 7) / 8 bytes a row. Both label sets count the same classes. */
typedef struct hash_ranking
{
	int bits;
	size_t queries, database;
	const uint8_t *query_codes, *database_codes;
	const hash_labels *query_labels, *database_labels;
	bool same;  /* query i is database row i: leave it out of its own ranking */
	size_t top; /* cut-off R; 0 = the whole ranking */
	const eddh_stop *stop;
} hash_ranking;

typedef struct hash_quality
{
	double map;           /* tie-aware, divisor: relevant found in the top (primary), queries with none count 0 */
	double map_min;       /* divisor min(R, relevant) */
	double precision_top; /* precision and recall at R (database size if top = 0) */
	double recall_top;
	double precision_radius2; /* empty ball counts 0 */
	double empty_radius2;     /* share of queries with an empty ball */
	/*
	 * Normalised discounted cumulative gain at R: gain 2^g - 1 with g the number of labels that query and row share, discount log2(1 + rank). Queries without a
	 * relevant row count 0.
	 */
	double ndcg;
	size_t queries_used; /* queries with at least one relevant row in the database */
} hash_quality;

extern eddh_code hash_measure(const hash_ranking *ranking, hash_quality *out, eddh_error *err);

/* By radius 0..bits (bits + 1 values each): macro (mean over queries) and micro (pooled) precision and recall, tie-free. */
extern eddh_code hash_pr_curve(const hash_ranking *ranking, double *macro_precision, double *macro_recall,
							   double *micro_precision, double *micro_recall, eddh_error *err);

#endif /* EDDH_HASH_MEASURE_H */
