/* deep.h: what methods that train a network by batches share. */
#ifndef EDDH_HASH_DEEP_H
#define EDDH_HASH_DEEP_H

#include "hash/hash.h"

/*
 * Epochs of one objective. raw writes du = d(mean loss of the batch)/du in whatever scale its formula has; it is multiplied by one constant, found before
 * the first epoch on some rows: with outputs scaled to a mean square of 1, the mean gradient of a row then has HASH_GRADIENT_LENGTH. So one learning rate serves
 * all methods, n, k and c.
 */
typedef struct hash_course
{
	const hash_problem *problem;
	hash_gradient raw;
	void *arg;
	double factor; /* 0: not known yet */
	int epoch;     /* done */
} hash_course;

extern eddh_code hash_course_run(hash_course *course, int epochs, eddh_error *err);

/* f (rows x k) = tanh of the network's outputs; zero for rows without a label. */
extern eddh_code hash_course_tanh(hash_course *course, float *f, eddh_error *err);

/* For hash_method.passes of methods that are one course: the first epoch tells how long gradients are (calibrate in deep.c). */
extern int hash_course_passes(const double *values, int epochs, bool untrained);

/* Rounds of a method whose parameter `outer` says 0 for three epochs a round; never more than epochs. */
static inline int
hash_round_count(int epochs, double outer)
{
	int rounds = outer == 0 ? (epochs + 2) / 3 : (int) outer;

	return rounds > epochs ? epochs : rounds;
}

/* How epochs are spread over rounds: epochs of round 1 .. rounds of `total`. */
static inline int
hash_round_epochs(int total, int rounds, int round)
{
	return (int) ((int64_t) total * round / rounds - (int64_t) total * (round - 1) / rounds);
}

#endif /* EDDH_HASH_DEEP_H */
