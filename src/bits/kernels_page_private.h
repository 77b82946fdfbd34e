/* kernels_page_private.h: the page loops as inline functions, which kernels_page.c and kernels_page_x86.c compile for several CPUs. */
#ifndef EDDH_BITS_KERNELS_PAGE_PRIVATE_H
#define EDDH_BITS_KERNELS_PAGE_PRIVATE_H

#include "bits/kernels_page.h"

#if defined(__GNUC__) || defined(__clang__)
#define PREFETCH(at) __builtin_prefetch(at)
#else
#define PREFETCH(at) ((void) (at))
#endif

#define INLINE static inline __attribute__((always_inline))

/* Distances of the eight lanes of one block of codes. */
INLINE void
block_distances(uint32_t words, const uint64_t *query, const uint64_t *block, uint32_t *out)
{
	uint64_t sum[BITS_PAGE_LANES] = { 0 };

	for (uint32_t w = 0; w < words; w++)
		for (int lane = 0; lane < BITS_PAGE_LANES; lane++)
			sum[lane] += (uint64_t) __builtin_popcountll(block[w * BITS_PAGE_LANES + lane] ^ query[w]);
	for (int lane = 0; lane < BITS_PAGE_LANES; lane++)
		out[lane] = (uint32_t) sum[lane];
}

INLINE uint32_t
page_at(uint32_t words, uint32_t n, const uint64_t *query, const uint64_t *blocks, uint32_t at, uint16_t *slots,
		uint32_t *next, const char *ahead)
{
	uint32_t found = 0;
	uint32_t nearest = BITS_PAGE_NONE;

	for (uint32_t first = 0; first < n; first += BITS_PAGE_LANES)
	{
		uint32_t distance[BITS_PAGE_LANES];
		uint32_t lanes = n - first < BITS_PAGE_LANES ? n - first : BITS_PAGE_LANES;

		PREFETCH(ahead + (size_t) first * words * sizeof(uint64_t));
		block_distances(words, query, blocks + (size_t) first * words, distance);
		for (uint32_t lane = 0; lane < lanes; lane++)
		{
			if (distance[lane] == at)
				slots[found++] = (uint16_t) (first + lane);
			else if (distance[lane] > at && distance[lane] < nearest)
				nearest = distance[lane];
		}
	}
	*next = nearest;
	return found;
}

INLINE uint32_t
page_within(uint32_t words, uint32_t n, const uint64_t *query, const uint64_t *blocks, uint32_t radius, uint16_t *slots,
			const char *ahead)
{
	uint32_t found = 0;

	for (uint32_t first = 0; first < n; first += BITS_PAGE_LANES)
	{
		uint32_t distance[BITS_PAGE_LANES];
		uint32_t lanes = n - first < BITS_PAGE_LANES ? n - first : BITS_PAGE_LANES;

		PREFETCH(ahead + (size_t) first * words * sizeof(uint64_t));
		block_distances(words, query, blocks + (size_t) first * words, distance);
		for (uint32_t lane = 0; lane < lanes; lane++)
			if (distance[lane] <= radius)
				slots[found++] = (uint16_t) (first + lane);
	}
	return found;
}

INLINE void
page_bounds(uint32_t words, uint32_t n, const uint64_t *query, const uint64_t *blocks, const uint16_t *rmin,
			const uint16_t *rmax, uint32_t *out)
{
	for (uint32_t first = 0; first < n; first += BITS_PAGE_LANES)
	{
		const uint64_t *centre = blocks + (size_t) first * words * 3;
		const uint64_t *all = centre + (size_t) words * BITS_PAGE_LANES;
		const uint64_t *any = all + (size_t) words * BITS_PAGE_LANES;
		uint32_t lanes = n - first < BITS_PAGE_LANES ? n - first : BITS_PAGE_LANES;
		uint32_t distance[BITS_PAGE_LANES];

		block_distances(words, query, centre, distance);
		for (uint32_t lane = 0; lane < lanes; lane++)
		{
			uint32_t outside = 0;
			uint32_t fixed = 0;

			if (distance[lane] < rmin[first + lane])
				outside = rmin[first + lane] - distance[lane];
			else if (distance[lane] > rmax[first + lane])
				outside = distance[lane] - rmax[first + lane];
			/* A bit is fixed to 1 where it is in the AND, to 0 where it is not in the OR. */
			for (uint32_t w = 0; w < words; w++)
				fixed += (uint32_t) __builtin_popcountll((all[w * BITS_PAGE_LANES + lane] & ~query[w]) |
														 (~any[w * BITS_PAGE_LANES + lane] & query[w]));
			out[first + lane] = outside > fixed ? outside : fixed;
		}
	}
}

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define BITS_PAGE_X86         1
#define BITS_PAGE_X86_KERNELS 3

/* Fastest first. */
extern const bits_page_kernel bits_page_x86_kernels[BITS_PAGE_X86_KERNELS];
#endif

#endif /* EDDH_BITS_KERNELS_PAGE_PRIVATE_H */
