/*
 * kernels_page.c: Hamming distances on index pages, see kernels_page.h.
 *
 * The loops are written once, as inline functions without intrinsics over the eight lanes of a block, and compiled for several
 * instruction sets; the 64-bit AVX-512 case, which decides the speed of a search, is written by hand.
 */
#include "bits/kernels_page.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define BITS_PAGE_X86 1
#include <immintrin.h>
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
		uint32_t *next)
{
	uint32_t found = 0;
	uint32_t nearest = BITS_PAGE_NONE;

	for (uint32_t first = 0; first < n; first += BITS_PAGE_LANES)
	{
		uint32_t distance[BITS_PAGE_LANES];
		uint32_t lanes = n - first < BITS_PAGE_LANES ? n - first : BITS_PAGE_LANES;

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

INLINE void
page_distances(uint32_t words, uint32_t n, const uint64_t *query, const uint64_t *blocks, uint32_t *out)
{
	for (uint32_t first = 0; first < n; first += BITS_PAGE_LANES)
		block_distances(words, query, blocks + (size_t) first * words, out + first);
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

uint32_t
bits_page_at_naive(uint32_t words, uint32_t n, const uint64_t *query, const uint64_t *blocks, uint32_t at,
				   uint16_t *slots, uint32_t *next)
{
	return page_at(words, n, query, blocks, at, slots, next);
}

void
bits_page_distances_naive(uint32_t words, uint32_t n, const uint64_t *query, const uint64_t *blocks, uint32_t *out)
{
	page_distances(words, n, query, blocks, out);
}

void
bits_page_bounds_naive(uint32_t words, uint32_t n, const uint64_t *query, const uint64_t *blocks, const uint16_t *rmin,
					   const uint16_t *rmax, uint32_t *out)
{
	page_bounds(words, n, query, blocks, rmin, rmax, out);
}

#ifdef BITS_PAGE_X86

#define POPCNT __attribute__((target("popcnt")))
#define AVX512 __attribute__((target("avx512f,avx512vl,avx512vpopcntdq,popcnt")))

/* Constants for `words` let the compiler unroll the common lengths. */
#define FOR_LENGTHS(call) \
	switch (words)        \
	{                     \
		case 1:           \
			call(1);      \
			break;        \
		case 2:           \
			call(2);      \
			break;        \
		case 4:           \
			call(4);      \
			break;        \
		default:          \
			call(words);  \
			break;        \
	}

POPCNT static uint32_t
popcnt_at(uint32_t words, uint32_t n, const uint64_t *query, const uint64_t *blocks, uint32_t at, uint16_t *slots,
		  uint32_t *next)
{
	uint32_t found;

#define CALL(w) found = page_at(w, n, query, blocks, at, slots, next)
	FOR_LENGTHS(CALL)
#undef CALL
	return found;
}

POPCNT static void
popcnt_distances(uint32_t words, uint32_t n, const uint64_t *query, const uint64_t *blocks, uint32_t *out){
#define CALL(w) page_distances(w, n, query, blocks, out)
	FOR_LENGTHS(CALL)
#undef CALL
}

POPCNT static void popcnt_bounds(uint32_t words, uint32_t n, const uint64_t *query, const uint64_t *blocks,
								 const uint16_t *rmin, const uint16_t *rmax, uint32_t *out){
#define CALL(w) page_bounds(w, n, query, blocks, rmin, rmax, out)
	FOR_LENGTHS(CALL)
#undef CALL
}

/* Distances of one block as eight 64-bit lanes. */
AVX512 INLINE __m512i avx512_block(uint32_t words, const uint64_t *query, const uint64_t *block)
{
	__m512i sum = _mm512_setzero_si512();

	for (uint32_t w = 0; w < words; w++)
		sum = _mm512_add_epi64(
			sum, _mm512_popcnt_epi64(_mm512_xor_si512(_mm512_loadu_si512(block + (size_t) w * BITS_PAGE_LANES),
													  _mm512_set1_epi64((long long) query[w]))));
	return sum;
}

AVX512 INLINE uint32_t
avx512_at_words(uint32_t words, uint32_t n, const uint64_t *query, const uint64_t *blocks, uint32_t at, uint16_t *slots,
				uint32_t *next)
{
	const __m512i wanted = _mm512_set1_epi64(at);
	const __m512i none = _mm512_set1_epi64(BITS_PAGE_NONE);
	__m512i nearest = none;
	uint32_t found = 0;
	uint32_t first = 0;

	for (; first < n; first += BITS_PAGE_LANES)
	{
		__m512i distance = avx512_block(words, query, blocks + (size_t) first * words);
		__mmask8 valid = (__mmask8) (n - first < BITS_PAGE_LANES ? (1u << (n - first)) - 1 : 0xFF);
		__mmask8 above = _mm512_mask_cmpgt_epu64_mask(valid, distance, wanted);
		unsigned hits = _mm512_mask_cmpeq_epu64_mask(valid, distance, wanted);

		nearest = _mm512_mask_min_epu64(nearest, above, nearest, distance);
		while (__builtin_expect(hits != 0, 0))
		{
			slots[found++] = (uint16_t) (first + (uint32_t) __builtin_ctz(hits));
			hits &= hits - 1;
		}
	}
	*next = (uint32_t) _mm512_reduce_min_epu64(nearest);
	return found;
}

AVX512 static uint32_t
avx512_at(uint32_t words, uint32_t n, const uint64_t *query, const uint64_t *blocks, uint32_t at, uint16_t *slots,
		  uint32_t *next)
{
	uint32_t found;

#define CALL(w) found = avx512_at_words(w, n, query, blocks, at, slots, next)
	FOR_LENGTHS(CALL)
#undef CALL
	return found;
}

AVX512 static void
avx512_distances(uint32_t words, uint32_t n, const uint64_t *query, const uint64_t *blocks, uint32_t *out)
{
	for (uint32_t first = 0; first < n; first += BITS_PAGE_LANES)
		_mm256_storeu_si256((__m256i *) (out + first),
							_mm512_cvtepi64_epi32(avx512_block(words, query, blocks + (size_t) first * words)));
}

AVX512 INLINE void
avx512_bounds_words(uint32_t words, uint32_t n, const uint64_t *query, const uint64_t *blocks, const uint16_t *rmin,
					const uint16_t *rmax, uint32_t *out)
{
	for (uint32_t first = 0; first < n; first += BITS_PAGE_LANES)
	{
		const uint64_t *centre = blocks + (size_t) first * words * 3;
		const uint64_t *all = centre + (size_t) words * BITS_PAGE_LANES;
		const uint64_t *any = all + (size_t) words * BITS_PAGE_LANES;
		__m512i fixed = _mm512_setzero_si512();
		__m256i distance = _mm512_cvtepi64_epi32(avx512_block(words, query, centre));
		__m256i lowest = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *) (rmin + first)));
		__m256i highest = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *) (rmax + first)));
		__m256i below = _mm256_sub_epi32(lowest, distance);
		__m256i above = _mm256_sub_epi32(distance, highest);

		for (uint32_t w = 0; w < words; w++)
		{
			__m512i q = _mm512_set1_epi64((long long) query[w]);
			__m512i a = _mm512_loadu_si512(all + (size_t) w * BITS_PAGE_LANES);
			__m512i o = _mm512_loadu_si512(any + (size_t) w * BITS_PAGE_LANES);

			fixed = _mm512_add_epi64(
				fixed, _mm512_popcnt_epi64(_mm512_or_si512(_mm512_andnot_si512(q, a), _mm512_andnot_si512(o, q))));
		}
		_mm256_storeu_si256((__m256i *) (out + first),
							_mm256_max_epi32(_mm256_max_epi32(below, above), _mm512_cvtepi64_epi32(fixed)));
	}
}

AVX512 static void
avx512_bounds(uint32_t words, uint32_t n, const uint64_t *query, const uint64_t *blocks, const uint16_t *rmin,
			  const uint16_t *rmax, uint32_t *out){
#define CALL(w) avx512_bounds_words(w, n, query, blocks, rmin, rmax, out)
	FOR_LENGTHS(CALL)
#undef CALL
}

/* __builtin_cpu_supports reads a table that is filled at start-up: a few nanoseconds a page. */
INLINE bool has_avx512(void)
{
	return __builtin_cpu_supports("avx512vpopcntdq") && __builtin_cpu_supports("avx512vl");
}

INLINE bool
has_popcnt(void)
{
	return __builtin_cpu_supports("popcnt");
}

#define DISPATCH(name, ...)                      \
	(has_avx512()   ? avx512_##name(__VA_ARGS__) \
	 : has_popcnt() ? popcnt_##name(__VA_ARGS__) \
					: bits_page_##name##_naive(__VA_ARGS__))
#else
#define DISPATCH(name, ...) bits_page_##name##_naive(__VA_ARGS__)
#endif

uint32_t
bits_page_at(uint32_t words, uint32_t n, const uint64_t *query, const uint64_t *blocks, uint32_t at, uint16_t *slots,
			 uint32_t *next)
{
	return DISPATCH(at, words, n, query, blocks, at, slots, next);
}

void
bits_page_distances(uint32_t words, uint32_t n, const uint64_t *query, const uint64_t *blocks, uint32_t *out)
{
	DISPATCH(distances, words, n, query, blocks, out);
}

void
bits_page_bounds(uint32_t words, uint32_t n, const uint64_t *query, const uint64_t *blocks, const uint16_t *rmin,
				 const uint16_t *rmax, uint32_t *out)
{
	DISPATCH(bounds, words, n, query, blocks, rmin, rmax, out);
}
