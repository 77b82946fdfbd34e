/*
 * kernels_page.h: Hamming distances on index pages. Plain C, with run-time CPU dispatch.
 *
 * Layout ("blocks"): codes are `words` 64-bit words, padded with zeros. Eight consecutive codes form a block: word 0 of the eight
 * codes, then word 1 of the eight, and so on; word w of code i is at blocks[((i / 8) * words + w) * 8 + i % 8]. n codes take
 * bits_page_blocks(n) blocks; lanes beyond n may hold anything and are ignored. 8-byte alignment is required, 64 is best.
 */
#ifndef EDDH_BITS_KERNELS_PAGE_H
#define EDDH_BITS_KERNELS_PAGE_H

#include "common/result.h"

#define BITS_PAGE_LANES 8
#define BITS_PAGE_NONE  UINT32_MAX

static inline uint32_t
bits_page_blocks(uint32_t n)
{
	return (n + BITS_PAGE_LANES - 1) / BITS_PAGE_LANES;
}

static inline size_t
bits_page_word(uint32_t words, uint32_t i, uint32_t w)
{
	return ((size_t) (i / BITS_PAGE_LANES) * words + w) * BITS_PAGE_LANES + i % BITS_PAGE_LANES;
}

/*
 * Codes of a page at distance exactly `at` from the query: their numbers go to slots (room for n), ascending, their count is
 * returned. *next = the smallest distance above `at` on the page, BITS_PAGE_NONE if there is none. `ahead`, unless NULL, is as large as
 * the blocks and is brought into the CPU's cache meanwhile.
 */
extern uint32_t bits_page_at(uint32_t words, uint32_t n, const uint64_t *query, const uint64_t *blocks, uint32_t at,
							 uint16_t *slots, uint32_t *next, const void *ahead);

/*
 * Codes of a page at most `radius` from the query: their numbers go to slots (room for n), ascending, their count is returned.
 * `ahead` as above.
 */
extern uint32_t bits_page_within(uint32_t words, uint32_t n, const uint64_t *query, const uint64_t *blocks,
								 uint32_t radius, uint16_t *slots, const void *ahead);

/*
 * Lower bounds on the distance from the query to every code of n sets. Set i is described by a centre, the AND and the OR of its
 * codes (blocks of 3 * words words in this order) and by its smallest and largest distance from the centre. out[i] = the larger of
 * the distance from the query's own distance to [rmin, rmax] and the number of bits equal in all codes and different in the query. out
 * has room for 8 * bits_page_blocks(n).
 */
extern void bits_page_bounds(uint32_t words, uint32_t n, const uint64_t *query, const uint64_t *blocks,
							 const uint16_t *rmin, const uint16_t *rmax, uint32_t *out);

/* One way of computing the three functions above; here `ahead` is not NULL. */
typedef struct bits_page_kernel
{
	const char *name;
	bool (*supported)(void);
	uint32_t (*at)(uint32_t words, uint32_t n, const uint64_t *query, const uint64_t *blocks, uint32_t at,
				   uint16_t *slots, uint32_t *next, const char *ahead);
	uint32_t (*within)(uint32_t words, uint32_t n, const uint64_t *query, const uint64_t *blocks, uint32_t radius,
					   uint16_t *slots, const char *ahead);
	void (*bounds)(uint32_t words, uint32_t n, const uint64_t *query, const uint64_t *blocks, const uint16_t *rmin,
				   const uint16_t *rmax, uint32_t *out);
} bits_page_kernel;

/* The i-th kernel that this CPU can run, fastest first, the one without SIMD last; NULL beyond: for tests and benchmarks. */
extern const bits_page_kernel *bits_page_kernel_at(size_t i);

#endif /* EDDH_BITS_KERNELS_PAGE_H */
