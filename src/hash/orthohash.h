/* orthohash.h: the gradient of OrthoHash, for orthohash.c and its test. */
#ifndef EDDH_HASH_ORTHOHASH_H
#define EDDH_HASH_ORTHOHASH_H

#include "hash/hash.h"

typedef struct hash_orthohash
{
	int bits;
	const hash_labels *labels;
	const double *codes; /* classes x bits of +-1 */
	double scale, margin;
	double *logits; /* classes: scratch */
} hash_orthohash;

/* hash_gradient; arg: hash_orthohash */
extern eddh_code hash_orthohash_gradient(void *arg, int n, const uint32_t *rows, const float *u, float *du,
										 double *loss, eddh_error *err);

#endif /* EDDH_HASH_ORTHOHASH_H */
