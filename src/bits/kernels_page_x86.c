/*
 * kernels_page_x86.c: Hamming distances on index pages for x86-64 CPUs, see kernels_page.h. `at` and `within`, which decide the speed of a search,
 * are written by hand for AVX2 and AVX-512.
 */
#include "bits/kernels_page_private.h"

#ifdef BITS_PAGE_X86
#include <immintrin.h>

#define POPCNT __attribute__((target("popcnt")))

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
		  uint32_t *next, const char *ahead)
{
	uint32_t found;

#define CALL(w) found = page_at(w, n, query, blocks, at, slots, next, ahead)
	FOR_LENGTHS(CALL)
#undef CALL
	return found;
}

POPCNT static uint32_t
popcnt_within(uint32_t words, uint32_t n, const uint64_t *query, const uint64_t *blocks, uint32_t radius,
			  uint16_t *slots, const char *ahead)
{
	uint32_t found;

#define CALL(w) found = page_within(w, n, query, blocks, radius, slots, ahead)
	FOR_LENGTHS(CALL)
#undef CALL
	return found;
}

POPCNT static void
popcnt_bounds(uint32_t words, uint32_t n, const uint64_t *query, const uint64_t *blocks, const uint16_t *rmin,
			  const uint16_t *rmax, uint32_t *out)
{
#define CALL(w) page_bounds(w, n, query, blocks, rmin, rmax, out)
	FOR_LENGTHS(CALL)
#undef CALL
}

static bool
popcnt_supported(void)
{
	return __builtin_cpu_supports("popcnt");
}

/* ---- AVX2: half a block in a register, bits of a nibble from a table in another (Mula, Kurz, Lemire 2018, section 3.1) ---- */

#define AVX2       __attribute__((target("avx2,popcnt")))
#define HALF_LANES 4

/* Distances of four codes as 64-bit lanes; `half` is 0 or 4. */
AVX2 INLINE __m256i
avx2_half(uint32_t words, const uint64_t *query, const uint64_t *block, int half)
{
	const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2,
										   2, 3, 2, 3, 3, 4);
	const __m256i nibble = _mm256_set1_epi8(15);
	__m256i sum = _mm256_setzero_si256();

	for (uint32_t w = 0; w < words; w++)
	{
		__m256i x =
			_mm256_xor_si256(_mm256_loadu_si256((const __m256i *) (block + (size_t) w * BITS_PAGE_LANES + half)),
							 _mm256_set1_epi64x((long long) query[w]));
		__m256i bytes = _mm256_add_epi8(_mm256_shuffle_epi8(table, _mm256_and_si256(x, nibble)),
										_mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(x, 4), nibble)));

		sum = _mm256_add_epi64(sum, _mm256_sad_epu8(bytes, _mm256_setzero_si256()));
	}
	return sum;
}

AVX2 INLINE uint32_t
avx2_at_words(uint32_t words, uint32_t n, const uint64_t *query, const uint64_t *blocks, uint32_t at, uint16_t *slots,
			  uint32_t *next, const char *ahead)
{
	const __m256i wanted = _mm256_set1_epi64x(at);
	const __m256i far = _mm256_set1_epi64x(BITS_PAGE_NONE);
	__m256i nearest = far;
	uint64_t lanes[HALF_LANES];
	uint32_t found = 0;
	uint32_t whole = n - n % BITS_PAGE_LANES;
	uint32_t smallest;

	for (uint32_t first = 0; first < whole; first += BITS_PAGE_LANES)
	{
		const uint64_t *block = blocks + (size_t) first * words;

		for (uint32_t w = 0; w < words; w++)
			PREFETCH(ahead + ((size_t) first * words + (size_t) w * BITS_PAGE_LANES) * sizeof(uint64_t));
		for (int half = 0; half < BITS_PAGE_LANES; half += HALF_LANES)
		{
			__m256i distance = avx2_half(words, query, block, half);
			__m256i above = _mm256_cmpgt_epi64(distance, wanted);
			/* Distances fit 32 bits, and the upper halves are zero, so the smaller 32-bit number is the smaller one. */
			__m256i candidate = _mm256_blendv_epi8(far, distance, above);
			unsigned hits = (unsigned) _mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpeq_epi64(distance, wanted)));

			nearest = _mm256_min_epu32(nearest, candidate);
			while (__builtin_expect(hits != 0, 0))
			{
				slots[found++] = (uint16_t) (first + (uint32_t) half + (uint32_t) __builtin_ctz(hits));
				hits &= hits - 1;
			}
		}
	}
	/* What is left of the last block. */
	{
		uint16_t last[BITS_PAGE_LANES];
		uint32_t more = page_at(words, n - whole, query, blocks + (size_t) whole * words, at, last, &smallest,
								(const char *) blocks);

		for (uint32_t i = 0; i < more; i++)
			slots[found++] = (uint16_t) (whole + last[i]);
	}
	_mm256_storeu_si256((__m256i *) lanes, nearest);
	for (int lane = 0; lane < HALF_LANES; lane++)
		if (lanes[lane] < smallest)
			smallest = (uint32_t) lanes[lane];
	*next = smallest;
	return found;
}

AVX2 static uint32_t
avx2_at(uint32_t words, uint32_t n, const uint64_t *query, const uint64_t *blocks, uint32_t at, uint16_t *slots,
		uint32_t *next, const char *ahead)
{
	uint32_t found;

#define CALL(w) found = avx2_at_words(w, n, query, blocks, at, slots, next, ahead)
	FOR_LENGTHS(CALL)
#undef CALL
	return found;
}

AVX2 INLINE uint32_t
avx2_within_words(uint32_t words, uint32_t n, const uint64_t *query, const uint64_t *blocks, uint32_t radius,
				  uint16_t *slots, const char *ahead)
{
	const __m256i limit = _mm256_set1_epi64x(radius);
	uint32_t found = 0;

	for (uint32_t first = 0; first < n; first += BITS_PAGE_LANES)
	{
		const uint64_t *block = blocks + (size_t) first * words;
		unsigned hits = 0;

		for (uint32_t w = 0; w < words; w++)
			PREFETCH(ahead + ((size_t) first * words + (size_t) w * BITS_PAGE_LANES) * sizeof(uint64_t));
		for (int half = 0; half < BITS_PAGE_LANES; half += HALF_LANES)
			hits |= (~(unsigned) _mm256_movemask_pd(
						 _mm256_castsi256_pd(_mm256_cmpgt_epi64(avx2_half(words, query, block, half), limit))) &
					 0xF)
					<< half;
		if (n - first < BITS_PAGE_LANES)
			hits &= (1u << (n - first)) - 1;
		while (__builtin_expect(hits != 0, 0))
		{
			slots[found++] = (uint16_t) (first + (uint32_t) __builtin_ctz(hits));
			hits &= hits - 1;
		}
	}
	return found;
}

AVX2 static uint32_t
avx2_within(uint32_t words, uint32_t n, const uint64_t *query, const uint64_t *blocks, uint32_t radius, uint16_t *slots,
			const char *ahead)
{
	uint32_t found;

#define CALL(w) found = avx2_within_words(w, n, query, blocks, radius, slots, ahead)
	FOR_LENGTHS(CALL)
#undef CALL
	return found;
}

static bool
avx2_supported(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt");
}

/* ---- AVX-512 with VPOPCNTDQ: a block in a register ---- */

#define AVX512 __attribute__((target("avx512f,avx512vl,avx512vpopcntdq,popcnt")))

/* Distances of one block as eight 64-bit lanes. */
AVX512 INLINE __m512i
avx512_block(uint32_t words, const uint64_t *query, const uint64_t *block)
{
	__m512i sum = _mm512_setzero_si512();

	for (uint32_t w = 0; w < words; w++)
		sum = _mm512_add_epi64(
			sum, _mm512_popcnt_epi64(_mm512_xor_si512(_mm512_loadu_si512(block + (size_t) w * BITS_PAGE_LANES),
													  _mm512_set1_epi64((long long) query[w]))));
	return sum;
}

/* Blocks that are looked at together: long enough to hide latencies, short enough to look again when there is a hit. */
#define GROUP 8

/*
 * With x = distance - (at + 1) in 64-bit arithmetic that wraps, a hit is the largest number there is, and nearer codes come right below
 * it: so the smallest x is the next distance, and the largest tells whether there are hits. These are rare, and are looked for again.
 */
AVX512 INLINE uint32_t
avx512_at_words(uint32_t words, uint32_t n, const uint64_t *query, const uint64_t *blocks, uint32_t at, uint16_t *slots,
				uint32_t *next, const char *ahead)
{
	const __m512i offset = _mm512_set1_epi64((long long) at + 1);
	const __m512i hit = _mm512_set1_epi64(-1);
	__m512i nearest = hit;
	uint32_t found = 0;
	uint32_t first = 0;

	while (first < n)
	{
		uint32_t count = bits_page_blocks(n - first);
		__m512i x[GROUP];
		__m512i largest = _mm512_setzero_si512();

		if (n - first >= GROUP * BITS_PAGE_LANES)
		{
			count = GROUP;
			for (uint32_t i = 0; i < GROUP; i++)
			{
				const uint64_t *block = blocks + ((size_t) first + i * BITS_PAGE_LANES) * words;

				for (uint32_t w = 0; w < words; w++)
					PREFETCH(ahead + ((const char *) (block + w * BITS_PAGE_LANES) - (const char *) blocks));
				x[i] = _mm512_sub_epi64(avx512_block(words, query, block), offset);
				nearest = _mm512_min_epu64(nearest, x[i]);
				largest = _mm512_max_epu64(largest, x[i]);
			}
		}
		else
			for (uint32_t i = 0; i < count; i++)
			{
				uint32_t left = n - first - i * BITS_PAGE_LANES;
				__mmask8 valid = (__mmask8) (left < BITS_PAGE_LANES ? (1u << left) - 1 : 0xFF);

				/* Lanes beyond n are neither near nor hits. */
				x[i] = _mm512_sub_epi64(
					avx512_block(words, query, blocks + ((size_t) first + i * BITS_PAGE_LANES) * words), offset);
				nearest = _mm512_mask_min_epu64(nearest, valid, nearest, x[i]);
				x[i] = _mm512_maskz_mov_epi64(valid, x[i]);
				largest = _mm512_max_epu64(largest, x[i]);
			}
		if (__builtin_expect(_mm512_cmpeq_epu64_mask(largest, hit) != 0, 0))
			for (uint32_t i = 0; i < count; i++)
			{
				unsigned hits = _mm512_cmpeq_epu64_mask(x[i], hit);

				while (hits != 0)
				{
					slots[found++] = (uint16_t) (first + i * BITS_PAGE_LANES + (uint32_t) __builtin_ctz(hits));
					hits &= hits - 1;
				}
			}
		first += count * BITS_PAGE_LANES;
	}
	{
		/* Nothing farther: only hits and nearer codes, which wrapped to the top. */
		uint64_t smallest = _mm512_reduce_min_epu64(nearest);

		*next = smallest > BITS_PAGE_NONE ? BITS_PAGE_NONE : (uint32_t) smallest + at + 1;
	}
	return found;
}

AVX512 static uint32_t
avx512_at(uint32_t words, uint32_t n, const uint64_t *query, const uint64_t *blocks, uint32_t at, uint16_t *slots,
		  uint32_t *next, const char *ahead)
{
	uint32_t found;

#define CALL(w) found = avx512_at_words(w, n, query, blocks, at, slots, next, ahead)
	FOR_LENGTHS(CALL)
#undef CALL
	return found;
}

AVX512 INLINE uint32_t
avx512_within_words(uint32_t words, uint32_t n, const uint64_t *query, const uint64_t *blocks, uint32_t radius,
					uint16_t *slots, const char *ahead)
{
	const __m512i limit = _mm512_set1_epi64((long long) radius);
	uint32_t found = 0;

	for (uint32_t first = 0; first < n; first += GROUP * BITS_PAGE_LANES)
	{
		uint64_t hits = 0;
		uint32_t left = n - first;
		uint32_t count = left < GROUP * BITS_PAGE_LANES ? bits_page_blocks(left) : GROUP;

		/* A bit a code: eight blocks make a word. */
		for (uint32_t i = 0; i < count; i++)
		{
			const uint64_t *block = blocks + ((size_t) first + i * BITS_PAGE_LANES) * words;

			for (uint32_t w = 0; w < words; w++)
				PREFETCH(ahead + ((const char *) (block + w * BITS_PAGE_LANES) - (const char *) blocks));
			hits |= (uint64_t) _mm512_cmple_epu64_mask(avx512_block(words, query, block), limit)
					<< (i * BITS_PAGE_LANES);
		}
		if (left < GROUP * BITS_PAGE_LANES)
			hits &= (UINT64_C(1) << left) - 1;
		while (hits != 0)
		{
			slots[found++] = (uint16_t) (first + (uint32_t) __builtin_ctzll(hits));
			hits &= hits - 1;
		}
	}
	return found;
}

AVX512 static uint32_t
avx512_within(uint32_t words, uint32_t n, const uint64_t *query, const uint64_t *blocks, uint32_t radius,
			  uint16_t *slots, const char *ahead)
{
	uint32_t found;

#define CALL(w) found = avx512_within_words(w, n, query, blocks, radius, slots, ahead)
	FOR_LENGTHS(CALL)
#undef CALL
	return found;
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
			  const uint16_t *rmax, uint32_t *out)
{
#define CALL(w) avx512_bounds_words(w, n, query, blocks, rmin, rmax, out)
	FOR_LENGTHS(CALL)
#undef CALL
}

static bool
avx512_supported(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
		   __builtin_cpu_supports("avx512vpopcntdq") && __builtin_cpu_supports("popcnt");
}

const bits_page_kernel bits_page_x86_kernels[BITS_PAGE_X86_KERNELS] = {
	{ "avx512-vpopcntdq", avx512_supported, avx512_at, avx512_within, avx512_bounds },
	{ "avx2", avx2_supported, avx2_at, avx2_within, popcnt_bounds },
	{ "popcnt", popcnt_supported, popcnt_at, popcnt_within, popcnt_bounds },
};

#endif /* BITS_PAGE_X86 */
