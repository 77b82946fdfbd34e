/* adsh.h: the discrete step of ADSH, for adsh.c and its test. */
#ifndef EDDH_HASH_ADSH_H
#define EDDH_HASH_ADSH_H

#include "hash/pairs.h"

/*
 * v (bits of +-1) of one row, bit by bit, each the minimum of |F v - k s|^2 + gamma |v - f|^2 given the others; F, the outputs of the columns, is what
 * `pairs` has seen; sum = hash_pairs_sum of the row; f the row's own output.
 */
extern void hash_adsh_row(const hash_pairs *pairs, const double *sum, double gamma, const float *f, float *v);

#endif /* EDDH_HASH_ADSH_H */
