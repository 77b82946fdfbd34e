/* ridge.h: least squares with a ridge and a free constant, for many targets on the same inputs. */
#ifndef EDDH_HASH_RIDGE_H
#define EDDH_HASH_RIDGE_H

#include "hash/hash.h"

typedef struct hash_ridge
{
	size_t rows;
	int dim;
	const float *z;            /* rows x dim, the caller's */
	const hash_labels *labels; /* rows without a label are left out; NULL: none is */
	double *mean;              /* dim, of the rows that count */
	double *factor;            /* dim x dim: Cholesky factor of the centred Gram matrix and the ridge */
	size_t active;             /* rows that count */
	double ridge;              /* what was added to the diagonal */
} hash_ridge;

/*
 * A ridge as a share of the inputs' variance. HASH_RIDGE_AUTOMATIC stands for 0.001 on kernel values and on_features on features: those are often about as
 * many as the rows, and with a small ridge the rows are learned by heart.
 */
#define HASH_RIDGE_AUTOMATIC -1
extern double hash_ridge_share(const hash_problem *problem, double ridge, double on_features);

/* ridge: as a share of the mean of the Gram matrix's diagonal. dim x dim doubles; everything else in blocks. */
extern eddh_code hash_ridge_create(size_t rows, int dim, const float *z, const hash_labels *labels, double ridge,
								   const eddh_stop *stop, hash_ridge *out, eddh_error *err);
extern void hash_ridge_clear(hash_ridge *r);

/* w (k x dim), b (k) of the k columns of target (rows x k): min |target - z w^T - b|^2 + ridge |w|^2. */
extern eddh_code hash_ridge_solve(const hash_ridge *r, int k, const float *target, float *w, float *b, eddh_error *err);

/* out (rows x k) = z w^T + b, all rows. */
extern void hash_ridge_apply(const hash_ridge *r, int k, const float *w, const float *b, float *out);

#endif /* EDDH_HASH_RIDGE_H */
