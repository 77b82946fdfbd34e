/* random.c: see random.h. */
#include "common/random.h"

#include <math.h>

static uint64_t
splitmix64(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

void
eddh_rng_seed(eddh_rng *rng, uint64_t seed)
{
	for (int i = 0; i < 4; i++)
		rng->s[i] = splitmix64(&seed);
}

void
eddh_rng_seed_stream(eddh_rng *rng, uint64_t seed, uint64_t stream)
{
	uint64_t mixed = splitmix64(&seed);

	eddh_rng_seed(rng, mixed ^ splitmix64(&stream));
}

static inline uint64_t
rotl(uint64_t x, int k)
{
	return (x << k) | (x >> (64 - k));
}

uint64_t
eddh_rng_next(eddh_rng *rng)
{
	uint64_t *s = rng->s;
	uint64_t result = rotl(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return result;
}

uint64_t
eddh_rng_below(eddh_rng *rng, uint64_t bound)
{
	uint64_t threshold = -bound % bound; /* 2^64 mod bound */
	uint64_t x;

	do
		x = eddh_rng_next(rng);
	while (x < threshold);
	return x % bound;
}

double
eddh_rng_uniform(eddh_rng *rng)
{
	return (double) (eddh_rng_next(rng) >> 11) * 0x1.0p-53;
}

double
eddh_rng_normal(eddh_rng *rng)
{
	double u, v, s;

	do
	{
		u = 2 * eddh_rng_uniform(rng) - 1;
		v = 2 * eddh_rng_uniform(rng) - 1;
		s = u * u + v * v;
	} while (s >= 1 || s == 0);
	return u * sqrt(-2 * log(s) / s);
}

void
eddh_rng_shuffle(eddh_rng *rng, size_t n, uint32_t *items)
{
	for (size_t i = n; i > 1; i--)
	{
		size_t j = eddh_rng_below(rng, i);
		uint32_t held = items[i - 1];

		items[i - 1] = items[j];
		items[j] = held;
	}
}
