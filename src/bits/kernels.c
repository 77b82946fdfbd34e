/* kernels.c: see kernels.h. */
#include "bits/kernels.h"

#include <string.h>

uint64_t
bits_distance_naive(size_t len, const uint8_t *a, const uint8_t *b)
{
	uint64_t distance = 0;

	for (size_t i = 0; i < len; i++)
	{
		for (unsigned difference = a[i] ^ b[i]; difference != 0; difference &= difference - 1)
			distance++;
	}
	return distance;
}

uint64_t
bits_distance(size_t len, const uint8_t *a, const uint8_t *b)
{
	return bits_distance_naive(len, a, b);
}

void
bits_distances(size_t len, size_t n, const uint8_t *query, const uint8_t *codes, uint32_t *out)
{
	for (size_t i = 0; i < n; i++)
		out[i] = (uint32_t) bits_distance_naive(len, query, codes + i * len);
}

const char *
bits_kernel_name(void)
{
	return "portable";
}
