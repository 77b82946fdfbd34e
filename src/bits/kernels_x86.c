/*
 * kernels_x86.c: kernels for x86-64, each compiled for its own instruction set by target attributes, so that the library itself
 * still runs on any x86-64. See kernels.h.
 *
 * Codes of 8, 16 and 32 bytes (64, 128 and 256 bits) are the common ones: for them a register holds several codes and yields
 * several distances. Other lengths go code by code. Words are little-endian here: shifts that drop bytes rely on it.
 */
#include "bits/kernels_private.h"

#ifdef EDDH_BITS_X86

#include <immintrin.h>

/* ---- popcnt: one word at a time ---- */

#define POPCNT __attribute__((target("popcnt")))

POPCNT static inline uint64_t
popcnt_words(size_t len, const uint8_t *a, const uint8_t *b)
{
	uint64_t distance = 0;
	size_t i = 0;

	for (; i + 8 <= len; i += 8)
		distance += (uint64_t) _mm_popcnt_u64(bits_load64(a + i) ^ bits_load64(b + i));
	if (i < len)
	{
		if (len > 8)
		{
			/* The last eight bytes in one load; those counted before are the low ones, and are shifted out. */
			uint64_t difference = bits_load64(a + len - 8) ^ bits_load64(b + len - 8);

			distance += (uint64_t) _mm_popcnt_u64(difference >> 8 * (8 - (len - i)));
		}
		else
			distance += (uint64_t) _mm_popcnt_u64(bits_load_tail(len, a) ^ bits_load_tail(len, b));
	}
	return distance;
}

/* Codes of less than a word, loaded as words while that stays inside the array; what belongs to the next codes is shifted out. */
POPCNT static void
popcnt_distances_short(size_t len, size_t n, const uint8_t *query, const uint8_t *codes, uint32_t *out)
{
	int foreign = 8 * (8 - (int) len);
	uint64_t q = 0;
	size_t i = 0;

	memcpy(&q, query, len);
	for (; (i * len) + 8 <= n * len; i++)
		out[i] = (uint32_t) _mm_popcnt_u64((bits_load64(codes + i * len) ^ q) << foreign);
	for (; i < n; i++)
		out[i] = (uint32_t) popcnt_words(len, query, codes + i * len);
}

POPCNT static uint64_t
popcnt_distance(size_t len, const uint8_t *a, const uint8_t *b)
{
	return popcnt_words(len, a, b);
}

POPCNT static void
popcnt_distances(size_t len, size_t n, const uint8_t *query, const uint8_t *codes, uint32_t *out)
{
	/* The compiler unrolls the words of a constant length and keeps the query in registers. */
	switch (len)
	{
		case 8:
			for (size_t i = 0; i < n; i++)
				out[i] = (uint32_t) popcnt_words(8, query, codes + i * 8);
			break;
		case 16:
			for (size_t i = 0; i < n; i++)
				out[i] = (uint32_t) popcnt_words(16, query, codes + i * 16);
			break;
		case 32:
			for (size_t i = 0; i < n; i++)
				out[i] = (uint32_t) popcnt_words(32, query, codes + i * 32);
			break;
		default:
			if (len > 0 && len < 8)
				popcnt_distances_short(len, n, query, codes, out);
			else
				for (size_t i = 0; i < n; i++)
					out[i] = (uint32_t) popcnt_words(len, query, codes + i * len);
			break;
	}
}

static bool
popcnt_supported(void)
{
	return __builtin_cpu_supports("popcnt");
}

/* ---- AVX2: bits of a nibble from a table in a register (Mula, Kurz, Lemire 2018, section 3.1) ---- */

#define AVX2 __attribute__((target("avx2,popcnt")))

/* Bits set in each of the four 64-bit lanes of x. */
AVX2 static inline __m256i
avx2_popcount64(__m256i x)
{
	const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2,
										   2, 3, 2, 3, 3, 4);
	const __m256i nibble = _mm256_set1_epi8(0x0F);
	__m256i low = _mm256_shuffle_epi8(table, _mm256_and_si256(x, nibble));
	__m256i high = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(x, 4), nibble));

	return _mm256_sad_epu8(_mm256_add_epi8(low, high), _mm256_setzero_si256());
}

AVX2 static inline __m256i
avx2_load(const uint8_t *p)
{
	return _mm256_loadu_si256((const __m256i *) p);
}

AVX2 static inline uint64_t
avx2_sum(__m256i x)
{
	__m128i half = _mm_add_epi64(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));

	return (uint64_t) _mm_cvtsi128_si64(half) + (uint64_t) _mm_extract_epi64(half, 1);
}

AVX2 static inline uint64_t
avx2_words(size_t len, const uint8_t *a, const uint8_t *b)
{
	__m256i sum = _mm256_setzero_si256();
	size_t i = 0;

	for (; i + 32 <= len; i += 32)
		sum = _mm256_add_epi64(sum, avx2_popcount64(_mm256_xor_si256(avx2_load(a + i), avx2_load(b + i))));
	return avx2_sum(sum) + popcnt_words(len - i, a + i, b + i);
}

AVX2 static uint64_t
avx2_distance(size_t len, const uint8_t *a, const uint8_t *b)
{
	return len < 32 ? popcnt_words(len, a, b) : avx2_words(len, a, b);
}

/* Eight 64-bit counts, in two registers, to eight 32-bit results. */
AVX2 static inline void
avx2_store8(uint32_t *out, __m256i first, __m256i second)
{
	/* Counts are small, so the lower halves of the lanes are all of them; the shuffle works within 128-bit halves. */
	__m256i mixed = _mm256_castps_si256(
		_mm256_shuffle_ps(_mm256_castsi256_ps(first), _mm256_castsi256_ps(second), _MM_SHUFFLE(2, 0, 2, 0)));

	_mm256_storeu_si256((__m256i *) out, _mm256_permute4x64_epi64(mixed, _MM_SHUFFLE(3, 1, 2, 0)));
}

/* Sums of neighbouring lanes: (x0 + x1, y0 + y1, x2 + x3, y2 + y3). */
AVX2 static inline __m256i
avx2_pair_sums(__m256i x, __m256i y)
{
	return _mm256_add_epi64(_mm256_unpacklo_epi64(x, y), _mm256_unpackhi_epi64(x, y));
}

AVX2 static void
avx2_distances8(size_t n, const uint8_t *query, const uint8_t *codes, uint32_t *out)
{
	__m256i q = _mm256_set1_epi64x((long long) bits_load64(query));
	size_t i = 0;

	for (; i + 8 <= n; i += 8)
	{
		const uint8_t *p = codes + i * 8;

		avx2_store8(out + i, avx2_popcount64(_mm256_xor_si256(q, avx2_load(p))),
					avx2_popcount64(_mm256_xor_si256(q, avx2_load(p + 32))));
	}
	for (; i < n; i++)
		out[i] = (uint32_t) popcnt_words(8, query, codes + i * 8);
}

AVX2 static void
avx2_distances16(size_t n, const uint8_t *query, const uint8_t *codes, uint32_t *out)
{
	__m256i q = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *) query));
	size_t i = 0;

	for (; i + 8 <= n; i += 8)
	{
		const uint8_t *p = codes + i * 16;
		__m256i c01 = avx2_popcount64(_mm256_xor_si256(q, avx2_load(p)));
		__m256i c23 = avx2_popcount64(_mm256_xor_si256(q, avx2_load(p + 32)));
		__m256i c45 = avx2_popcount64(_mm256_xor_si256(q, avx2_load(p + 64)));
		__m256i c67 = avx2_popcount64(_mm256_xor_si256(q, avx2_load(p + 96)));

		/* The pair sums come as codes 0 2 1 3. */
		avx2_store8(out + i, _mm256_permute4x64_epi64(avx2_pair_sums(c01, c23), _MM_SHUFFLE(3, 1, 2, 0)),
					_mm256_permute4x64_epi64(avx2_pair_sums(c45, c67), _MM_SHUFFLE(3, 1, 2, 0)));
	}
	for (; i < n; i++)
		out[i] = (uint32_t) popcnt_words(16, query, codes + i * 16);
}

AVX2 static void
avx2_distances32(size_t n, const uint8_t *query, const uint8_t *codes, uint32_t *out)
{
	__m256i q = avx2_load(query);

	for (size_t i = 0; i < n; i++)
		out[i] = (uint32_t) avx2_sum(avx2_popcount64(_mm256_xor_si256(q, avx2_load(codes + i * 32))));
}

AVX2 static void
avx2_distances(size_t len, size_t n, const uint8_t *query, const uint8_t *codes, uint32_t *out)
{
	switch (len)
	{
		case 8:
			avx2_distances8(n, query, codes, out);
			break;
		case 16:
			avx2_distances16(n, query, codes, out);
			break;
		case 32:
			avx2_distances32(n, query, codes, out);
			break;
		default:
			if (len < 32)
				popcnt_distances(len, n, query, codes, out);
			else
				for (size_t i = 0; i < n; i++)
					out[i] = (uint32_t) avx2_words(len, query, codes + i * len);
			break;
	}
}

static bool
avx2_supported(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt");
}

/* ---- AVX-512 with VPOPCNTDQ: a register of words at a time, tails by masked loads ---- */

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vpopcntdq,popcnt")))

AVX512 static inline __m512i
avx512_count(__m512i a, __m512i b)
{
	return _mm512_popcnt_epi64(_mm512_xor_si512(a, b));
}

AVX512 static inline __m512i
avx512_load(const uint8_t *p)
{
	return _mm512_loadu_si512(p);
}

/* A masked load touches only the bytes of its mask, so nothing beyond the code is read. */
AVX512 static inline uint64_t
avx512_words(size_t len, const uint8_t *a, const uint8_t *b)
{
	__m512i sum = _mm512_setzero_si512();
	size_t i = 0;

	for (; i + 64 <= len; i += 64)
		sum = _mm512_add_epi64(sum, avx512_count(avx512_load(a + i), avx512_load(b + i)));
	if (i < len)
	{
		__mmask64 mask = UINT64_MAX >> (64 - (len - i));

		sum = _mm512_add_epi64(
			sum, avx512_count(_mm512_maskz_loadu_epi8(mask, a + i), _mm512_maskz_loadu_epi8(mask, b + i)));
	}
	return (uint64_t) _mm512_reduce_add_epi64(sum);
}

AVX512 static uint64_t
avx512_distance(size_t len, const uint8_t *a, const uint8_t *b)
{
	return len <= 16 ? popcnt_words(len, a, b) : avx512_words(len, a, b);
}

/* Sums of neighbouring lanes of x, then of y: (x0 + x1, x2 + x3, ..., y6 + y7). */
AVX512 static inline __m512i
avx512_pair_sums(__m512i x, __m512i y)
{
	const __m512i even = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
	const __m512i odd = _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15);

	return _mm512_add_epi64(_mm512_permutex2var_epi64(x, even, y), _mm512_permutex2var_epi64(x, odd, y));
}

/* Eight 64-bit counts to eight 32-bit results. */
AVX512 static inline void
avx512_store8(uint32_t *out, __m512i counts)
{
	_mm256_storeu_si256((__m256i *) out, _mm512_cvtepi64_epi32(counts));
}

AVX512 static void
avx512_distances8(size_t n, const uint8_t *query, const uint8_t *codes, uint32_t *out)
{
	__m512i q = _mm512_set1_epi64((long long) bits_load64(query));
	size_t i = 0;

	for (; i + 8 <= n; i += 8)
		avx512_store8(out + i, avx512_count(q, avx512_load(codes + i * 8)));
	for (; i < n; i++)
		out[i] = (uint32_t) popcnt_words(8, query, codes + i * 8);
}

AVX512 static void
avx512_distances16(size_t n, const uint8_t *query, const uint8_t *codes, uint32_t *out)
{
	__m512i q = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *) query));
	size_t i = 0;

	for (; i + 8 <= n; i += 8)
	{
		const uint8_t *p = codes + i * 16;

		avx512_store8(out + i, avx512_pair_sums(avx512_count(q, avx512_load(p)), avx512_count(q, avx512_load(p + 64))));
	}
	for (; i < n; i++)
		out[i] = (uint32_t) popcnt_words(16, query, codes + i * 16);
}

AVX512 static void
avx512_distances32(size_t n, const uint8_t *query, const uint8_t *codes, uint32_t *out)
{
	__m512i q = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *) query));
	size_t i = 0;

	for (; i + 8 <= n; i += 8)
	{
		const uint8_t *p = codes + i * 32;
		__m512i c0123 = avx512_pair_sums(avx512_count(q, avx512_load(p)), avx512_count(q, avx512_load(p + 64)));
		__m512i c4567 = avx512_pair_sums(avx512_count(q, avx512_load(p + 128)), avx512_count(q, avx512_load(p + 192)));

		avx512_store8(out + i, avx512_pair_sums(c0123, c4567));
	}
	for (; i < n; i++)
		out[i] = (uint32_t) popcnt_words(32, query, codes + i * 32);
}

AVX512 static void
avx512_distances(size_t len, size_t n, const uint8_t *query, const uint8_t *codes, uint32_t *out)
{
	switch (len)
	{
		case 8:
			avx512_distances8(n, query, codes, out);
			break;
		case 16:
			avx512_distances16(n, query, codes, out);
			break;
		case 32:
			avx512_distances32(n, query, codes, out);
			break;
		default:
			if (len <= 16)
				popcnt_distances(len, n, query, codes, out);
			else
				for (size_t i = 0; i < n; i++)
					out[i] = (uint32_t) avx512_words(len, query, codes + i * len);
			break;
	}
}

static bool
avx512_supported(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
		   __builtin_cpu_supports("avx512vpopcntdq") && __builtin_cpu_supports("popcnt");
}

const bits_kernel bits_x86_kernels[BITS_X86_KERNELS] = {
	{ "avx512-vpopcntdq", avx512_supported, avx512_distance, avx512_distances },
	{ "avx2", avx2_supported, avx2_distance, avx2_distances },
	{ "popcnt", popcnt_supported, popcnt_distance, popcnt_distances },
};

#endif /* EDDH_BITS_X86 */
