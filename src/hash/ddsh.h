/* ddsh.h: the discrete step of DDSH, for ddsh.c and its test. */
#ifndef EDDH_HASH_DDSH_H
#define EDDH_HASH_DDSH_H

#include "hash/pairs.h"

/*
 * Minimises |k S - B b^T|^2 over entries of b (m x k of +-1), the codes of the columns of `pairs`, one by one, as long as a flip lowers the sum and ten
 * sweeps at most. rest: sums over the rows B that are not columns: gram (k x k) and pull (m x k) = sum of S(row, column) B(row). Returns flips.
 */
extern size_t hash_ddsh_codes(const hash_pairs *pairs, const double *gram, const double *pull, int8_t *b,
							  double *residual);

#endif /* EDDH_HASH_DDSH_H */
