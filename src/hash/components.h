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

/* The first `count` of the problem's features; clear it also after an error. EDDH_NUMERIC: all features are equal, or not finite. */
extern eddh_code hash_components_find(const hash_problem *problem, int count, hash_components *c, eddh_error *err);
extern void hash_components_clear(hash_components *c);

#endif /* EDDH_HASH_COMPONENTS_H */
