/*
 * rows.h: vectors taken from rows of a plane, with whatever lies beside the row left out by a mask. Private to this room.
 *
 * Functions of two instruction sets, named alike but for the suffix, for kernels that are written once as a macro. Masked-out floats are never touched,
 * so a vector may begin before its row or end behind it. Only in functions with the matching target.
 */
#ifndef EDDH_NN_ROWS_H
#define EDDH_NN_ROWS_H

#include "nn/simd.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define ROWS_FUNCTION(TARGET) static TARGET inline __attribute__((always_inline))

typedef __m512 rows_vec_avx512;
typedef __mmask16 rows_mask_avx512;
typedef __m256 rows_vec_avx2;
typedef __m256i rows_mask_avx2;

/* Which floats of a vector that begins at column `base` lie in a row of `size`. */
ROWS_FUNCTION(NN_TARGET_AVX512) rows_mask_avx512 rows_mask_of_avx512(int base, int size)
{
	__m512i column = _mm512_add_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
									  _mm512_set1_epi32(base));

	/* Unsigned: what is below 0 is large. */
	return _mm512_cmplt_epu32_mask(column, _mm512_set1_epi32(size));
}

ROWS_FUNCTION(NN_TARGET_AVX2) rows_mask_avx2 rows_mask_of_avx2(int base, int size)
{
	__m256i column = _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(base));

	return _mm256_and_si256(_mm256_cmpgt_epi32(column, _mm256_set1_epi32(-1)),
							_mm256_cmpgt_epi32(_mm256_set1_epi32(size), column));
}

/* Floats left out are 0, or those of `other`. */
ROWS_FUNCTION(NN_TARGET_AVX512) rows_vec_avx512 rows_load_avx512(rows_mask_avx512 mask, const float *from)
{
	return _mm512_maskz_loadu_ps(mask, from);
}

ROWS_FUNCTION(NN_TARGET_AVX2) rows_vec_avx2 rows_load_avx2(rows_mask_avx2 mask, const float *from)
{
	return _mm256_maskload_ps(from, mask);
}

ROWS_FUNCTION(NN_TARGET_AVX512)
rows_vec_avx512
rows_load_or_avx512(rows_mask_avx512 mask, const float *from, rows_vec_avx512 other)
{
	return _mm512_mask_loadu_ps(other, mask, from);
}

ROWS_FUNCTION(NN_TARGET_AVX2)
rows_vec_avx2
rows_load_or_avx2(rows_mask_avx2 mask, const float *from, rows_vec_avx2 other)
{
	return _mm256_blendv_ps(other, _mm256_maskload_ps(from, mask), _mm256_castsi256_ps(mask));
}

ROWS_FUNCTION(NN_TARGET_AVX512)
rows_vec_avx512
rows_loadu_avx512(const float *from)
{
	return _mm512_loadu_ps(from);
}

ROWS_FUNCTION(NN_TARGET_AVX2)
rows_vec_avx2
rows_loadu_avx2(const float *from)
{
	return _mm256_loadu_ps(from);
}

ROWS_FUNCTION(NN_TARGET_AVX512) void rows_store_avx512(rows_mask_avx512 mask, float *to, rows_vec_avx512 v)
{
	_mm512_mask_storeu_ps(to, mask, v);
}

ROWS_FUNCTION(NN_TARGET_AVX2) void rows_store_avx2(rows_mask_avx2 mask, float *to, rows_vec_avx2 v)
{
	_mm256_maskstore_ps(to, mask, v);
}

ROWS_FUNCTION(NN_TARGET_AVX512) rows_vec_avx512 rows_all_avx512(float v)
{
	return _mm512_set1_ps(v);
}

ROWS_FUNCTION(NN_TARGET_AVX2) rows_vec_avx2 rows_all_avx2(float v)
{
	return _mm256_set1_ps(v);
}

/* a > b ? a : b, and so b where either is a NaN. */
ROWS_FUNCTION(NN_TARGET_AVX512) rows_vec_avx512 rows_max_avx512(rows_vec_avx512 a, rows_vec_avx512 b)
{
	return _mm512_max_ps(a, b);
}

ROWS_FUNCTION(NN_TARGET_AVX2) rows_vec_avx2 rows_max_avx2(rows_vec_avx2 a, rows_vec_avx2 b)
{
	return _mm256_max_ps(a, b);
}

ROWS_FUNCTION(NN_TARGET_AVX512) rows_vec_avx512 rows_min_avx512(rows_vec_avx512 a, rows_vec_avx512 b)
{
	return _mm512_min_ps(a, b);
}

ROWS_FUNCTION(NN_TARGET_AVX2) rows_vec_avx2 rows_min_avx2(rows_vec_avx2 a, rows_vec_avx2 b)
{
	return _mm256_min_ps(a, b);
}

/* The larger, and a NaN where either is one. */
ROWS_FUNCTION(NN_TARGET_AVX512) rows_vec_avx512 rows_larger_avx512(rows_vec_avx512 a, rows_vec_avx512 b)
{
	return _mm512_mask_mov_ps(_mm512_max_ps(a, b), _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q), a);
}

ROWS_FUNCTION(NN_TARGET_AVX2) rows_vec_avx2 rows_larger_avx2(rows_vec_avx2 a, rows_vec_avx2 b)
{
	return _mm256_blendv_ps(_mm256_max_ps(a, b), a, _mm256_cmp_ps(a, a, _CMP_UNORD_Q));
}

/* The largest of three, likewise. */
ROWS_FUNCTION(NN_TARGET_AVX512)
rows_vec_avx512
rows_largest_avx512(rows_vec_avx512 a, rows_vec_avx512 b, rows_vec_avx512 c)
{
	/* The maximum is its second argument where there is a NaN: one in c survives, one in a or b is put back. */
	__m512 max = _mm512_max_ps(_mm512_max_ps(a, b), c);

	return _mm512_mask_add_ps(max, _mm512_cmp_ps_mask(a, b, _CMP_UNORD_Q), a, b);
}

ROWS_FUNCTION(NN_TARGET_AVX2)
rows_vec_avx2
rows_largest_avx2(rows_vec_avx2 a, rows_vec_avx2 b, rows_vec_avx2 c)
{
	__m256 max = _mm256_max_ps(_mm256_max_ps(a, b), c);

	return _mm256_blendv_ps(max, _mm256_add_ps(a, b), _mm256_cmp_ps(a, b, _CMP_UNORD_Q));
}

/* The floats from the second of a on, and the first of b behind them. */
ROWS_FUNCTION(NN_TARGET_AVX512) rows_vec_avx512 rows_next_avx512(rows_vec_avx512 a, rows_vec_avx512 b)
{
	return _mm512_castsi512_ps(_mm512_alignr_epi32(_mm512_castps_si512(b), _mm512_castps_si512(a), 1));
}

ROWS_FUNCTION(NN_TARGET_AVX2) rows_vec_avx2 rows_next_avx2(rows_vec_avx2 a, rows_vec_avx2 b)
{
	__m256i middle = _mm256_castps_si256(_mm256_permute2f128_ps(a, b, 0x21));

	return _mm256_castsi256_ps(_mm256_alignr_epi8(middle, _mm256_castps_si256(a), 4));
}

/* Every second float of the two vectors in sequence. */
ROWS_FUNCTION(NN_TARGET_AVX512) rows_vec_avx512 rows_even_avx512(rows_vec_avx512 a, rows_vec_avx512 b)
{
	return _mm512_permutex2var_ps(a, _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30), b);
}

ROWS_FUNCTION(NN_TARGET_AVX2) rows_vec_avx2 rows_even_avx2(rows_vec_avx2 a, rows_vec_avx2 b)
{
	return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(_mm256_shuffle_ps(a, b, 0x88)), 0xd8));
}

ROWS_FUNCTION(NN_TARGET_AVX512) rows_vec_avx512 rows_odd_avx512(rows_vec_avx512 a, rows_vec_avx512 b)
{
	return _mm512_permutex2var_ps(a, _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31), b);
}

ROWS_FUNCTION(NN_TARGET_AVX2) rows_vec_avx2 rows_odd_avx2(rows_vec_avx2 a, rows_vec_avx2 b)
{
	return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(_mm256_shuffle_ps(a, b, 0xdd)), 0xd8));
}

/* The two vectors of a and b in turn: a0 b0 a1 b1 ... */
ROWS_FUNCTION(NN_TARGET_AVX512)
void
rows_interleave_avx512(rows_vec_avx512 a, rows_vec_avx512 b, rows_vec_avx512 *first, rows_vec_avx512 *second)
{
	*first = _mm512_permutex2var_ps(a, _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23), b);
	*second =
		_mm512_permutex2var_ps(a, _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31), b);
}

ROWS_FUNCTION(NN_TARGET_AVX2)
void
rows_interleave_avx2(rows_vec_avx2 a, rows_vec_avx2 b, rows_vec_avx2 *first, rows_vec_avx2 *second)
{
	__m256 lo = _mm256_unpacklo_ps(a, b);
	__m256 hi = _mm256_unpackhi_ps(a, b);

	*first = _mm256_permute2f128_ps(lo, hi, 0x20);
	*second = _mm256_permute2f128_ps(lo, hi, 0x31);
}

/* Every ninth float; beyond the first `count` of them, the last again. */
ROWS_FUNCTION(NN_TARGET_AVX512) rows_vec_avx512 rows_ninths_avx512(const float *from, int count)
{
	__m512i lane = _mm512_min_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
									_mm512_set1_epi32(count - 1));

	return _mm512_i32gather_ps(_mm512_add_epi32(_mm512_slli_epi32(lane, 3), lane), from, 4);
}

ROWS_FUNCTION(NN_TARGET_AVX2) rows_vec_avx2 rows_ninths_avx2(const float *from, int count)
{
	__m256i lane = _mm256_min_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(count - 1));

	return _mm256_i32gather_ps(from, _mm256_add_epi32(_mm256_slli_epi32(lane, 3), lane), 4);
}

/* The sum of all floats. */
ROWS_FUNCTION(NN_TARGET_AVX512)
float
rows_sum_avx512(rows_vec_avx512 v)
{
	return _mm512_reduce_add_ps(v);
}

ROWS_FUNCTION(NN_TARGET_AVX2)
float
rows_sum_avx2(rows_vec_avx2 v)
{
	__m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));

	half = _mm_add_ps(half, _mm_movehl_ps(half, half));
	return _mm_cvtss_f32(_mm_add_ss(half, _mm_shuffle_ps(half, half, 1)));
}

#endif /* x86_64 */

/* Vectors of a row that the kernels of this kind keep masks for. */
#define ROWS_MOST 64

#endif /* EDDH_NN_ROWS_H */
