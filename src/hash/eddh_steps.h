/*
 * eddh_steps.h: the objective of EDDH and its closed-form steps (METHODS 1.4-1.5, 1.9). One image a row: F, B are rows x k, P too, A is
 * classes x k, T = Y A is what the papers write (A^T Y)^T.
 *
 *   h0: |F T^T - k S|^2                   + lambda |F - B|^2 + gamma |B - T|^2 + rho |T|^2
 *   h1: |F P^T - k S|^2 + mu |P - T|^2    + the same three
 *   h2: |P T^T - k S|^2 + mu |P - F|^2    + the same three
 *
 * S is hash_similarity: its sampled columns carry weights, which appear in every sum over columns (the pair term, and in h1 mu |P - T|^2, for
 * there P has a row a column). F is float, as the network gives it; all sums are double.
 */
#ifndef EDDH_HASH_EDDH_STEPS_H
#define EDDH_HASH_EDDH_STEPS_H

#include "hash/similarity.h"

typedef enum hash_eddh_variant
{
	HASH_EDDH_AUTO,
	HASH_EDDH_H0,
	HASH_EDDH_H1,
	HASH_EDDH_H2
} hash_eddh_variant;

typedef struct hash_eddh
{
	hash_eddh_variant variant; /* not AUTO */
	int k, classes;
	const hash_labels *labels;
	hash_similarity *similarity;
	double lambda, mu, gamma, rho; /* times the number of labelled rows already (1.9) */

	float *f;  /* rows x k; zero for rows without a label */
	int8_t *b; /* rows x k of +-1; zero for rows without a label */
	double *a; /* classes x k */
	double *p; /* h1: columns x k; h2: rows x k; h0: NULL */

	/* Derived. */
	double *g;        /* classes x classes: Y^T Y */
	double *g_factor; /* Cholesky factor of g with its ridge; h1: of mu g_weighted + (gamma + rho) g */
	double *g_weight; /* h1: Y^T diag(weight) Y over columns */
	double *s_f;      /* h1: columns x k: S^T F, of the F last seen by hash_eddh_see_f */
	double *q;        /* k x k */
	float *r;         /* h1: rows x k */
	double *work;     /* scratch of the steps */
} hash_eddh;

/* Everything allocated, F zero, A as given (copied), P = T, B = sgn(gamma T). The similarity stays the caller's. */
extern eddh_code hash_eddh_create(hash_eddh_variant variant, int k, const hash_labels *labels,
								  hash_similarity *similarity,
								  const double *weights /* lambda, mu, gamma, rho, each a share of n */,
								  const double *a, hash_eddh **out, eddh_error *err);
extern void hash_eddh_free(hash_eddh *e);

/* Another sample of columns (h1): P starts again from T; call hash_eddh_see_f afterwards. */
extern eddh_code hash_eddh_new_similarity(hash_eddh *e, hash_similarity *similarity, eddh_error *err);

/* After f changed: zeroes rows without a label and, in h1, recomputes S^T F. */
extern eddh_code hash_eddh_see_f(hash_eddh *e, const eddh_stop *stop, eddh_error *err);

/* Each minimises J exactly over its own variable. The p-step does nothing in h0. */
extern eddh_code hash_eddh_p_step(hash_eddh *e, eddh_error *err);
extern eddh_code hash_eddh_a_step(hash_eddh *e, eddh_error *err);
extern void hash_eddh_b_step(hash_eddh *e);

/* Q and, in h1, R: all that the theta-step needs of the other images. */
extern eddh_code hash_eddh_prepare_theta(hash_eddh *e, const eddh_stop *stop, eddh_error *err);

/*
 * The theta-step's view of one row: gradient (k) = dJ/df = 2 Q f - 2 k r + 2 lambda (f - b), and its share of J without the parts that do not
 * depend on f: f Q f - 2 k f r + lambda |f - b|^2; in h2 mu |p - f|^2 + lambda |f - b|^2. gradient may be NULL.
 */
extern double hash_eddh_row(const hash_eddh *e, size_t row, const double *f, double *gradient);

/* r of a row (k): what f is pulled to, times k. */
extern void hash_eddh_pull(const hash_eddh *e, size_t row, double *r);

/* J, exactly, from F (as last seen), B, A, P. */
extern eddh_code hash_eddh_objective(hash_eddh *e, double *objective, eddh_error *err);

#endif /* EDDH_HASH_EDDH_STEPS_H */
