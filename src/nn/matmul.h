/* matmul.h: matrix products of our own. Private to this room; everybody else calls nn_gemm. */
#ifndef EDDH_NN_MATMUL_H
#define EDDH_NN_MATMUL_H

#include <stdbool.h>
#include <stddef.h>

/*
 * nn_gemm's contract, for m, n, k > 0. False, and nothing done, where there is no kernel: on other processors, and with both factors transposed.
 * Any number of threads at once.
 */
extern bool nn_matmul(bool trans_a, bool trans_b, size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda,
					  const float *b, size_t ldb, float beta, float *c, size_t ldc);

#endif /* EDDH_NN_MATMUL_H */
