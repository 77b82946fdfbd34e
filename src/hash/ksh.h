/* ksh.h: parts of kernel-based supervised hashing, for ksh.c and its test. */
#ifndef EDDH_HASH_KSH_H
#define EDDH_HASH_KSH_H

#include "hash/hash.h"

/*
 * y^T R y with y = tanh(K a / 2), K rows x dim, R rows x rows symmetric; gradient with respect to a (dim; may be NULL). work: 3 x rows floats.
 */
extern double hash_ksh_smooth(size_t rows, int dim, const float *k, const float *r, const float *a, float *gradient,
							  float *work);

#endif /* EDDH_HASH_KSH_H */
