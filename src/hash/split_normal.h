/* split_normal.h: the distribution of distances (METHODS 1.2). */
#ifndef EDDH_HASH_SPLIT_NORMAL_H
#define EDDH_HASH_SPLIT_NORMAL_H

#include "common/result.h"

typedef struct hash_split_normal
{
	double mode;       /* iota */
	double sigma_left; /* spread below and above the mode */
	double sigma_right;
	double low, high;   /* iota - sigma_l, iota + sigma_r, or the sample's quantiles where a guard took over */
	double alpha, beta; /* low * e, high / e: the thresholds of S_hat */
	bool guarded_low;   /* low would have been no positive distance */
	bool guarded_high;  /* no spread above the mode */
} hash_split_normal;

/* Maximum likelihood in closed form over the mode; sorts x (m >= 2 finite values). */
extern eddh_code hash_split_normal_fit(size_t m, double *x, hash_split_normal *out, eddh_error *err);

#endif /* EDDH_HASH_SPLIT_NORMAL_H */
