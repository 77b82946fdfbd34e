/* kernels.c: the portable kernel, the naive twins, and the choice of the best kernel at run time (see kernels.h). */
#include "bits/kernels.h"

#include "bits/kernels_private.h"

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

void
bits_distances_naive(size_t len, size_t n, const uint8_t *query, const uint8_t *codes, uint32_t *out)
{
	for (size_t i = 0; i < n; i++)
		out[i] = (uint32_t) bits_distance_naive(len, query, codes + i * len);
}

/* Bits set in a word, by adding neighbours in parallel (Warren, Hacker's Delight, 5-1). */
static inline uint64_t
popcount64(uint64_t x)
{
#if defined(__aarch64__)
	return (uint64_t) __builtin_popcountll(x);
#else
	x -= (x >> 1) & UINT64_C(0x5555555555555555);
	x = (x & UINT64_C(0x3333333333333333)) + ((x >> 2) & UINT64_C(0x3333333333333333));
	x = (x + (x >> 4)) & UINT64_C(0x0F0F0F0F0F0F0F0F);
	return (x * UINT64_C(0x0101010101010101)) >> 56;
#endif
}

static inline uint64_t
distance_words(size_t len, const uint8_t *a, const uint8_t *b)
{
	uint64_t distance = 0;
	size_t i = 0;

	for (; i + 8 <= len; i += 8)
		distance += popcount64(bits_load64(a + i) ^ bits_load64(b + i));
	if (i < len)
		distance += popcount64(bits_load_tail(len - i, a + i) ^ bits_load_tail(len - i, b + i));
	return distance;
}

static uint64_t
portable_distance(size_t len, const uint8_t *a, const uint8_t *b)
{
	return distance_words(len, a, b);
}

static void
portable_distances(size_t len, size_t n, const uint8_t *query, const uint8_t *codes, uint32_t *out)
{
	if (len == 8)
	{
		/* A constant length lets the compiler vectorise across codes. */
		for (size_t i = 0; i < n; i++)
			out[i] = (uint32_t) distance_words(8, query, codes + i * 8);
		return;
	}
	for (size_t i = 0; i < n; i++)
		out[i] = (uint32_t) distance_words(len, query, codes + i * len);
}

static bool
always(void)
{
	return true;
}

static const bits_kernel portable_kernel = { "portable", always, portable_distance, portable_distances };

const bits_kernel *
bits_kernel_at(size_t i)
{
#ifdef EDDH_BITS_X86
	for (size_t k = 0; k < BITS_X86_KERNELS; k++)
	{
		if (bits_x86_kernels[k].supported() && i-- == 0)
			return &bits_x86_kernels[k];
	}
#endif
	return i == 0 ? &portable_kernel : NULL;
}

/* Every thread that comes here first finds the same kernel, so a race is harmless; atomic only so that it is defined. */
static const bits_kernel *
kernel(void)
{
	static const bits_kernel *chosen;
	const bits_kernel *k = __atomic_load_n(&chosen, __ATOMIC_RELAXED);

	if (__builtin_expect(k == NULL, 0))
	{
		k = bits_kernel_at(0);
		__atomic_store_n(&chosen, k, __ATOMIC_RELAXED);
	}
	return k;
}

uint64_t
bits_distance(size_t len, const uint8_t *a, const uint8_t *b)
{
	return kernel()->distance(len, a, b);
}

void
bits_distances(size_t len, size_t n, const uint8_t *query, const uint8_t *codes, uint32_t *out)
{
	kernel()->distances(len, n, query, codes, out);
}

const char *
bits_kernel_name(void)
{
	return kernel()->name;
}
