/* kernels_private.h: what kernels.c and kernels_x86.c share: loading bytes, and the x86 kernels' table. */
#ifndef EDDH_BITS_KERNELS_PRIVATE_H
#define EDDH_BITS_KERNELS_PRIVATE_H

#include "bits/kernels.h"

#include <string.h>

static inline uint64_t
bits_load64(const uint8_t *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return word;
}

static inline uint32_t
bits_load32(const uint8_t *p)
{
	uint32_t word;

	memcpy(&word, p, sizeof(word));
	return word;
}

/* The last len < 8 bytes of a code as one word. Their order in it does not matter: both codes are loaded alike. */
static inline uint64_t
bits_load_tail(size_t len, const uint8_t *p)
{
	uint64_t word = 0;

	if (len & 4)
	{
		word = bits_load32(p);
		p += 4;
	}
	if (len & 2)
	{
		uint16_t half;

		memcpy(&half, p, sizeof(half));
		word = word << 16 | half;
		p += 2;
	}
	if (len & 1)
		word = word << 8 | *p;
	return word;
}

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define EDDH_BITS_X86    1
#define BITS_X86_KERNELS 3

/* Fastest first. */
extern const bits_kernel bits_x86_kernels[BITS_X86_KERNELS];
#endif

#endif /* EDDH_BITS_KERNELS_PRIVATE_H */
