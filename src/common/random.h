/*
 * random.h: the only source of randomness in eddh: seeded, portable, the same sequence on every machine.
 *
 * xoshiro256** 1.0 (Blackman and Vigna 2018), seeded through splitmix64.
 */
#ifndef EDDH_RANDOM_H
#define EDDH_RANDOM_H

#include <stddef.h>
#include <stdint.h>

typedef struct eddh_rng
{
	uint64_t s[4];
} eddh_rng;

extern void eddh_rng_seed(eddh_rng *rng, uint64_t seed);

/* An independent stream: the same (seed, stream) gives the same numbers whatever else was drawn. */
extern void eddh_rng_seed_stream(eddh_rng *rng, uint64_t seed, uint64_t stream);
extern uint64_t eddh_rng_next(eddh_rng *rng);

/* Uniform in [0, bound), without modulo bias; bound > 0. */
extern uint64_t eddh_rng_below(eddh_rng *rng, uint64_t bound);

/* Uniform in [0, 1) with 53 bits. */
extern double eddh_rng_uniform(eddh_rng *rng);

/* Standard normal (Marsaglia's polar method, second value dropped so that the state is the four words alone). */
extern double eddh_rng_normal(eddh_rng *rng);

/* Fisher-Yates. */
extern void eddh_rng_shuffle(eddh_rng *rng, size_t n, uint32_t *items);

#endif /* EDDH_RANDOM_H */
