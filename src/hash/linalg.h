/* linalg.h: small dense double matrices, row-major; sets of vectors are rows. No LAPACK: only nn/gemm.c may call it. */
#ifndef EDDH_HASH_LINALG_H
#define EDDH_HASH_LINALG_H

#include "common/random.h"
#include "common/result.h"

/* The lower triangle of a (n x n, SPD) becomes L with a = L L^T; the upper is left alone. EDDH_NUMERIC: a pivot is not positive. */
extern eddh_code hash_cholesky(size_t n, double *a, eddh_error *err);

/* Solves a y = x in place for each of the `rows` vectors in x (rows x n); l from hash_cholesky. */
extern void hash_cholesky_solve(size_t n, const double *l, size_t rows, double *x);

/* Half of it each: l y = x, and l^T y = x. */
extern void hash_cholesky_forward(size_t n, const double *l, size_t rows, double *x);
extern void hash_cholesky_backward(size_t n, const double *l, size_t rows, double *x);

/* Orthonormalises the k vectors of n in a (k x n, k <= n) in order; a vector that vanishes is replaced by a random direction. */
extern void hash_orthonormalise(size_t n, size_t k, double *a, eddh_rng *rng);

/* All eigenvalues (descending) and eigenvectors (v: n x n, a row each) of the symmetric a (n x n; destroyed): Householder, implicit QL. */
extern eddh_code hash_eigen(size_t n, double *a, double *values, double *v, eddh_error *err);

/*
 * The k largest eigenvalues (descending) and their vectors (v: k x n) of the symmetric positive semidefinite a (n x n, kept). Block
 * subspace iteration with Rayleigh-Ritz from a seeded start, until the sum of the k values stands still to 1e-9; hash_eigen where k is no
 * small part of n.
 */
extern eddh_code hash_eigen_top(size_t n, const double *a, size_t k, uint64_t seed, double *values, double *v,
								const eddh_stop *stop, eddh_error *err);

/* The orthogonal r (n x n) with the largest trace of r^T m: U V^T of m's singular value decomposition (Procrustes). */
extern eddh_code hash_nearest_rotation(size_t n, const double *m, double *r, eddh_rng *rng, eddh_error *err);

#endif /* EDDH_HASH_LINALG_H */
