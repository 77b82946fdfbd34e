/* components.h: principal components of the features, for the unsupervised methods. */
#ifndef EDDH_HASH_COMPONENTS_H
#define EDDH_HASH_COMPONENTS_H

#include "hash/hash.h"

typedef struct hash_components
{
	double *mean;       /* dim */
	double *covariance; /* dim x dim */
	double *values;     /* count: variances, descending */
	double *vectors;    /* count x dim */
} hash_components;

/* mean (dim) of rows x. EDDH_NUMERIC: a row is not finite. */
extern eddh_code hash_mean(size_t rows, int dim, const float *x, double *mean, eddh_error *err);

/*
 * covariance (dim x dim) of rows x about their mean (dim): products of centred rows in float, a block at a time, sums of blocks in double. Rows are taken at equal
 * steps where all are too many. stop may be NULL.
 */
extern eddh_code hash_covariance(size_t rows, int dim, const float *x, const double *mean, const eddh_stop *stop,
								 double *covariance, eddh_error *err);

/* The first `count` of the problem's features; clear it also after an error. EDDH_NUMERIC: all features are equal, or not finite. */
extern eddh_code hash_components_find(const hash_problem *problem, int count, hash_components *c, eddh_error *err);

/* What it takes, for hash_method.seconds. */
extern double hash_components_seconds(double rows, int dim, int count);

extern void hash_components_clear(hash_components *c);

#endif /* EDDH_HASH_COMPONENTS_H */
