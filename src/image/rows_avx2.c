/* rows_avx2.c: as rows_sse2.c, with one row in each half of a register. See rows.h. */
#include "image/rows.h"

#ifdef EDDH_IMAGE_X86

#include <immintrin.h>
#include <string.h>

#define AVX2 __attribute__((target("avx2")))

/* As pair_row of rows_sse2.c, the first row in the lower half, the second in the upper. */
AVX2 static void
pair_rows(const uint8_t *const rgb[2], uint32_t width, uint32_t taps, __m256i *pairs)
{
	const __m256i order = _mm256_broadcastsi128_si256(
		_mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1)); /* -1: zero */
	uint32_t k = 0;

	for (; k + 2 < width; k++) /* eight bytes, of which six are used */
	{
		__m128i first = _mm_loadl_epi64((const __m128i *) (rgb[0] + (size_t) k * 3));
		__m128i second = _mm_loadl_epi64((const __m128i *) (rgb[1] + (size_t) k * 3));

		_mm256_storeu_si256(pairs + k, _mm256_shuffle_epi8(_mm256_set_m128i(second, first), order));
	}
	for (; k < width; k++)
	{
		uint8_t bytes[2][8] = { { 0 } };

		for (int row = 0; row < 2; row++) /* beyond the end the weight is 0 */
			memcpy(bytes[row], rgb[row] + (size_t) k * 3, k + 1 < width ? 6 : 3);
		_mm256_storeu_si256(pairs + k,
							_mm256_shuffle_epi8(_mm256_set_m128i(_mm_loadl_epi64((const __m128i *) bytes[1]),
																 _mm_loadl_epi64((const __m128i *) bytes[0])),
												order));
	}
	for (; k < width + taps; k++)
		_mm256_storeu_si256(pairs + k, _mm256_setzero_si256());
}

/* Each half: r g b - in 16 bits, twice. */
AVX2 static inline __attribute__((always_inline)) __m256i
pixel(const __m256i *in, const int16_t *weight, uint32_t taps)
{
	__m256i sum = _mm256_set1_epi32(1 << (IMAGE_ACROSS_SHIFT - 1));

	for (uint32_t k = 0; k < taps; k += 2)
		sum = _mm256_add_epi32(
			sum, _mm256_madd_epi16(_mm256_loadu_si256(in + k), _mm256_set1_epi32(image_weight_pair(weight + k))));
	sum = _mm256_srai_epi32(sum, IMAGE_ACROSS_SHIFT);
	return _mm256_packs_epi32(sum, sum);
}

AVX2 static inline __attribute__((always_inline)) void
sums(const image_axis *a, const __m256i *pairs, uint32_t taps, int16_t *const out[2])
{
	uint32_t last = a->n - 1;
	__m256i sum;

	/* Eight bytes are written: two too many, which the next pixel overwrites. */
	for (uint32_t i = 0; i < last; i++)
	{
		sum = pixel(pairs + a->start[i], a->weight + (size_t) i * taps, taps);
		_mm_storel_epi64((__m128i *) (out[0] + (size_t) i * 3), _mm256_castsi256_si128(sum));
		_mm_storel_epi64((__m128i *) (out[1] + (size_t) i * 3), _mm256_extracti128_si256(sum, 1));
	}
	sum = pixel(pairs + a->start[last], a->weight + (size_t) last * taps, taps);
	for (int row = 0; row < 2; row++)
	{
		int16_t numbers[8];

		_mm_storeu_si128((__m128i *) numbers,
						 row == 0 ? _mm256_castsi256_si128(sum) : _mm256_extracti128_si256(sum, 1));
		memcpy(out[row] + (size_t) last * 3, numbers, 3 * sizeof(*numbers));
	}
}

AVX2 static void
across(const image_axis *a, const uint8_t *const rgb[2], uint32_t width, void *room, int16_t *const out[2])
{
	pair_rows(rgb, width, a->taps, room);
	IMAGE_SUMS(sums, a, room, out);
}

AVX2 static void
down(const int16_t *const *rows, const int16_t *weight, uint32_t taps, uint8_t *out, size_t n)
{
	const __m256i half = _mm256_set1_epi32(1 << (IMAGE_DOWN_SHIFT - 1));
	size_t i = 0;

	for (; i + 32 <= n; i += 32)
	{
		__m256i sum[4] = { half, half, half, half };

		for (uint32_t k = 0; k < taps; k += 2)
		{
			const int16_t *a = rows[k] + i, *b = rows[k + 1] + i;
			__m256i w = _mm256_set1_epi32(image_weight_pair(weight + k));

			for (int j = 0; j < 2; j++)
			{
				__m256i above = _mm256_loadu_si256((const __m256i *) (a + 16 * j));
				__m256i below = _mm256_loadu_si256((const __m256i *) (b + 16 * j));

				sum[2 * j] = _mm256_add_epi32(sum[2 * j], _mm256_madd_epi16(_mm256_unpacklo_epi16(above, below), w));
				sum[2 * j + 1] =
					_mm256_add_epi32(sum[2 * j + 1], _mm256_madd_epi16(_mm256_unpackhi_epi16(above, below), w));
			}
		}
		for (int j = 0; j < 4; j++)
			sum[j] = _mm256_srai_epi32(sum[j], IMAGE_DOWN_SHIFT);
		/* Both packings clamp, and go half by half, as the unpacking did: the first leaves 16 numbers in order, the second needs them put in order. */
		_mm256_storeu_si256(
			(__m256i *) (out + i),
			_mm256_permute4x64_epi64(
				_mm256_packus_epi16(_mm256_packs_epi32(sum[0], sum[1]), _mm256_packs_epi32(sum[2], sum[3])), 0xd8));
	}
	image_row_down_from(rows, weight, taps, out, i, n);
}

const image_kernels image_kernels_avx2 = { .name = "avx2", .across = across, .down = down };

#endif /* EDDH_IMAGE_X86 */
