/* itq.h: one alternation of ITQ, for itq.c and its test. */
#ifndef EDDH_HASH_ITQ_H
#define EDDH_HASH_ITQ_H

#include "hash/hash.h"

/* v (rows x bits) projections; rotation (bits x bits) in and out; *error: mean (b - (v r))^2 with the rotation as it came in. */
extern eddh_code hash_itq_round(size_t rows, int bits, const float *v, double *rotation, double *error, eddh_rng *rng,
								eddh_error *err);

#endif /* EDDH_HASH_ITQ_H */
