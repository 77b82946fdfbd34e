/* sdh.h: steps of supervised discrete hashing, for sdh.c and its test. */
#ifndef EDDH_HASH_SDH_H
#define EDDH_HASH_SDH_H

#include "hash/hash.h"

/*
 * One sweep over the bits of b (rows x bits of +-1), each set to its minimum given the others: of |Y - b w|^2 - 2 nu <b, phi>, w bits x classes,
 * phi rows x bits. Returns how many entries changed.
 */
extern size_t hash_sdh_sweep(const hash_labels *labels, int bits, const double *w, double nu, const float *phi,
							 int8_t *b);

/* The ridge of the classifier: what was given, above 0; negative: by the number of classes and whether rows have several. */
extern double hash_sdh_lambda(const hash_labels *labels, double given);

/* w = (b^T b + lambda I)^-1 b^T Y (bits x classes). */
extern eddh_code hash_sdh_classifier(const hash_labels *labels, int bits, const int8_t *b, double lambda, double *w,
									 eddh_error *err);

#endif /* EDDH_HASH_SDH_H */
