/*
 * kernels_page.c: Hamming distances on index pages, see kernels_page.h: the loops without SIMD, and the choice of a kernel.
 */
#include "bits/kernels_page_private.h"

#include <stddef.h>

static uint32_t
portable_at(uint32_t words, uint32_t n, const uint64_t *query, const uint64_t *blocks, uint32_t at, uint16_t *slots,
			uint32_t *next, const char *ahead)
{
	return page_at(words, n, query, blocks, at, slots, next, ahead);
}

static uint32_t
portable_within(uint32_t words, uint32_t n, const uint64_t *query, const uint64_t *blocks, uint32_t radius,
				uint16_t *slots, const char *ahead)
{
	return page_within(words, n, query, blocks, radius, slots, ahead);
}

static void
portable_bounds(uint32_t words, uint32_t n, const uint64_t *query, const uint64_t *blocks, const uint16_t *rmin,
				const uint16_t *rmax, uint32_t *out)
{
	page_bounds(words, n, query, blocks, rmin, rmax, out);
}

static bool
always(void)
{
	return true;
}

static const bits_page_kernel portable_kernel = { "portable", always, portable_at, portable_within, portable_bounds };

const bits_page_kernel *
bits_page_kernel_at(size_t i)
{
#ifdef BITS_PAGE_X86
	for (size_t k = 0; k < BITS_PAGE_X86_KERNELS; k++)
	{
		if (bits_page_x86_kernels[k].supported() && i-- == 0)
			return &bits_page_x86_kernels[k];
	}
#endif
	return i == 0 ? &portable_kernel : NULL;
}

/* Every thread that comes here first finds the same kernel, so a race is harmless; atomic only so that it is defined. */
static const bits_page_kernel *
kernel(void)
{
	static const bits_page_kernel *chosen;
	const bits_page_kernel *k = __atomic_load_n(&chosen, __ATOMIC_RELAXED);

	if (__builtin_expect(k == NULL, 0))
	{
		k = bits_page_kernel_at(0);
		__atomic_store_n(&chosen, k, __ATOMIC_RELAXED);
	}
	return k;
}

uint32_t
bits_page_at(uint32_t words, uint32_t n, const uint64_t *query, const uint64_t *blocks, uint32_t at, uint16_t *slots,
			 uint32_t *next, const void *ahead)
{
	return kernel()->at(words, n, query, blocks, at, slots, next, ahead != NULL ? ahead : (const char *) blocks);
}

uint32_t
bits_page_within(uint32_t words, uint32_t n, const uint64_t *query, const uint64_t *blocks, uint32_t radius,
				 uint16_t *slots, const void *ahead)
{
	return kernel()->within(words, n, query, blocks, radius, slots, ahead != NULL ? ahead : (const char *) blocks);
}

void
bits_page_bounds(uint32_t words, uint32_t n, const uint64_t *query, const uint64_t *blocks, const uint16_t *rmin,
				 const uint16_t *rmax, uint32_t *out)
{
	kernel()->bounds(words, n, query, blocks, rmin, rmax, out);
}
