/* cnnh.h: the first stage of CNNH, for cnnh.c and its test. */
#ifndef EDDH_HASH_CNNH_H
#define EDDH_HASH_CNNH_H

#include "hash/hash.h"

/*
 * One sweep over all entries of h (bits x n, in [-1, 1]) on |h^T h - bits S|^2, whose residual l (n x n) = h^T h - bits S is kept up to date. An entry moves
 * by a Newton step cut to stay in [-1, 1], and only if that lowers the sum. Returns the sum of squares.
 */
extern double hash_cnnh_sweep(size_t n, int bits, float *h, float *l);

#endif /* EDDH_HASH_CNNH_H */
