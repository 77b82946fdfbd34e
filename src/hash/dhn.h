/* dhn.h: the gradients of DHN and DPH, for dhn.c, dph.c and their test. */
#ifndef EDDH_HASH_DHN_H
#define EDDH_HASH_DHN_H

#include "hash/hash.h"

typedef struct hash_dhn
{
	int bits;
	const hash_labels *labels;
	double lambda; /* a mean over rows and bits, beside a mean over pairs */
	bool balanced;
	double product;  /* DHN: theta over <z_i, z_j> */
	double priority; /* DPH: the exponent */
} hash_dhn;

/* hash_gradient; arg: hash_dhn */
extern eddh_code hash_dhn_gradient(void *arg, int n, const uint32_t *rows, const float *u, float *du, double *loss,
								   eddh_error *err);

/*
 * Weights of a batch's pairs, n x n: positives as rare as they are times more, hard pairs (cosine of h on the wrong side) more by the exponent;
 * their mean is 1. No gradient goes through them. h n x bits.
 */
extern void hash_dph_weights(const hash_dhn *dph, int n, const uint32_t *rows, const double *h, double *weights);

/* The loss and d(loss)/du for given weights; h = tanh(u). */
extern double hash_dph_weighted(const hash_dhn *dph, int n, const uint32_t *rows, const float *u, const double *h,
								const double *weights, float *du);

#endif /* EDDH_HASH_DHN_H */
