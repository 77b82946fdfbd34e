/* private.h: what the files of hash/ share and nobody else sees. */
#ifndef EDDH_HASH_PRIVATE_H
#define EDDH_HASH_PRIVATE_H

#include "hash/hash.h"

#include <math.h>
#include <stdlib.h>

/* ---- Memory ---- */

/*
 * Zeroed a x b elements; NULL if there is no memory or the size overflows. At least one byte, so that NULL always means failure. What is as long as the table comes
 * from eddh_bulk_alloc instead.
 */
static inline void *
hash_alloc(size_t a, size_t b, size_t size)
{
	return eddh_bulk_alloc(NULL, a, b, size);
}

static inline eddh_code
hash_no_memory(eddh_error *err, const char *what)
{
	return eddh_fail(err, EDDH_NO_MEMORY, "not enough memory for %s", what);
}

/* ---- Labels ---- */

/* The smallest label >= from of a row, or -1: for (c = next(l, i, 0); c >= 0; c = next(l, i, c + 1)). */
extern int hash_labels_next(const hash_labels *labels, size_t row, int from);

static inline bool
hash_labels_empty(const hash_labels *labels, size_t row)
{
	if (labels->single != NULL)
		return labels->single[row] < 0;
	return hash_labels_next(labels, row, 0) < 0;
}

/* ---- tanh (METHODS 1.11.2) ---- */

/* 1 - tanh(u)^2 without cancellation: 1 - f * f is exactly 0 in float from |u| = 9 on. */
static inline double
hash_tanh_slope(double u)
{
	double e = exp(-2 * fabs(u));

	return 4 * e / ((1 + e) * (1 + e));
}

/* ---- Class codes (class_codes.c): the regression that EDDH's warm-up and the method class_codes share ---- */

/* codes (classes x bits) of +-1: Hadamard rows as far as they go, else random (METHODS 1.8). */
typedef enum hash_code_start
{
	HASH_START_HADAMARD,
	HASH_START_RANDOM
} hash_code_start;

extern eddh_code hash_class_codes_draw(hash_code_start start, int classes, int bits, uint64_t seed, double *codes,
									   eddh_error *err);

/* tanh(u) towards the mean code of the row's classes; rows without a label do not pull. arg of hash_class_codes_gradient. */
typedef struct hash_regression
{
	int bits;
	const hash_labels *labels;
	const double *codes; /* classes x bits */
} hash_regression;

extern eddh_code hash_class_codes_gradient(void *arg, int n, const uint32_t *rows, const float *u, float *du,
										   double *loss, eddh_error *err);

/*
 * Length of a row's gradient with respect to tanh(u) at u = 0, for every supervised method: what makes one learning rate do for
 * all n, k and c. A bit's share is then 2 at 64 bits, the gradient of (f - b)^2 at f = 0.
 */
#define HASH_GRADIENT_LENGTH 16.0

/* Refuses lengths that no code has. A method's check (hash.h), where it asks for nothing else. */
extern eddh_code hash_check_bits(int bits, int dim, int epochs, bool untrained, eddh_error *err);

/* Refuses what no supervised method can learn from: no labels, one class only; the first also: no net, the second: no inputs. */
extern eddh_code hash_check_supervised(const hash_problem *problem, eddh_error *err);
extern eddh_code hash_check_labelled(const hash_problem *problem, eddh_error *err);

/* What the hash layer of a method without a net sees. */
typedef struct hash_inputs
{
	const float *z;
	int dim;
} hash_inputs;

static inline hash_inputs
hash_inputs_of(const hash_problem *problem)
{
	if (problem->inputs != NULL)
		return (hash_inputs){ problem->inputs, problem->input_dim };
	return (hash_inputs){ problem->features, problem->dim };
}

/* ---- The methods ---- */

extern const hash_method hash_eddh_method;
extern const hash_method hash_itq_method;
extern const hash_method hash_adsh_method;
extern const hash_method hash_cnnh_method;
extern const hash_method hash_ddsh_method;
extern const hash_method hash_dhn_method;
extern const hash_method hash_dph_method;
extern const hash_method hash_orthohash_method;
extern const hash_method hash_class_codes_method;
extern const hash_method hash_classifier_method;
extern const hash_method hash_ksh_method;
extern const hash_method hash_sdh_method;
extern const hash_method hash_sh_method;

/* A remark for the user, printf-like; does nothing without problem->say. */
extern void hash_say(const hash_problem *problem, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static inline void
hash_log(const hash_problem *problem, const char *measure, int step, double value)
{
	if (problem->log != NULL)
		problem->log(problem->arg, measure, step, value);
}

static inline void
hash_progress(const hash_problem *problem, const char *phase, int done, int total)
{
	if (problem->progress != NULL)
		problem->progress(problem->arg, phase, done, total);
}

#endif /* EDDH_HASH_PRIVATE_H */
