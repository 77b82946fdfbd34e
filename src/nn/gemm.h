/* gemm.h: the only door to BLAS, with a naive twin for tests. All matrices row-major. */
#ifndef EDDH_NN_GEMM_H
#define EDDH_NN_GEMM_H

#include <stdbool.h>
#include <stddef.h>

/*
 * C (m x n) = alpha op(A) op(B) + beta C; op(A) is m x k, op(B) is k x n; ld* = row strides of the stored matrices.
 * beta = 0 never reads C. Any of m, n, k may be 0.
 */
extern void nn_gemm(bool trans_a, bool trans_b, size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda,
					const float *b, size_t ldb, float beta, float *c, size_t ldc);
extern void nn_gemm_naive(bool trans_a, bool trans_b, size_t m, size_t n, size_t k, float alpha, const float *a,
						  size_t lda, const float *b, size_t ldb, float beta, float *c, size_t ldc);

/* The same in double, for the small matrices of hash/. */
extern void nn_dgemm(bool trans_a, bool trans_b, size_t m, size_t n, size_t k, double alpha, const double *a,
					 size_t lda, const double *b, size_t ldb, double beta, double *c, size_t ldc);

/* y (m) = op(A) x + beta y, A m x n stored. */
extern void nn_gemv(bool trans, size_t m, size_t n, const float *a, size_t lda, const float *x, float beta, float *y);

#endif /* EDDH_NN_GEMM_H */
