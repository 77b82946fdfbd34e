/* ksh.h: parts of kernel-based supervised hashing, for ksh.c and its test. */
#ifndef EDDH_HASH_KSH_H
#define EDDH_HASH_KSH_H

#include "hash/hash.h"

/* R = k S - sum of y y^T over the bits so far, as what it is made of. */
typedef struct hash_ksh_residual
{
	size_t rows, sets; /* sets of labels that differ */
	int bits, done;
	uint32_t *set;  /* of each row */
	double *alike;  /* sets x sets: k where they share a label, else -k */
	float *codes;   /* bits x rows of +-1; `done` of them */
	float *product; /* rows: of the last hash_ksh_product */
	double *sums;
	float *dots;
} hash_ksh_residual;

/* Of the labelled rows order[0 .. rows - 1], before the first of so many bits. */
extern eddh_code hash_ksh_residual_create(const hash_labels *labels, size_t rows, const uint32_t *order, int bits,
										  hash_ksh_residual *r, eddh_error *err);
extern void hash_ksh_residual_clear(hash_ksh_residual *r);

/* y^T R y; r->product = R y. */
extern double hash_ksh_product(const hash_ksh_residual *r, const float *y);

/* R -= y y^T */
extern void hash_ksh_subtract(hash_ksh_residual *r, const float *y);

/* y^T R y with y (rows, filled) = tanh(u / 2); slope (rows; may be NULL): gradient with respect to u. */
extern double hash_ksh_smooth(const hash_ksh_residual *r, const float *u, float *y, float *slope);

#endif /* EDDH_HASH_KSH_H */
