/* rows_sse2.c: kernels of sixteen bytes a register, which every x86-64 runs. See rows.h. */
#include "image/rows.h"

#ifdef EDDH_IMAGE_X86

#include <emmintrin.h>
#include <string.h>

/*
 * Pixel k of a row beside its right neighbour, channel by channel, as 16-bit numbers: r r' g g' b b' - -. Multiplied with a pair of weights at once. Beyond the row
 * stand zeros, for taps that weigh nothing.
 */
static void
pair_row(const uint8_t *rgb, uint32_t width, uint32_t taps, __m128i *pairs)
{
	const __m128i zero = _mm_setzero_si128();
	uint32_t k = 0;

	for (; k + 2 < width; k++) /* eight bytes; the last two fall into the unused lane */
	{
		__m128i here = _mm_loadl_epi64((const __m128i *) (rgb + (size_t) k * 3));

		pairs[k] = _mm_unpacklo_epi8(_mm_unpacklo_epi8(here, _mm_srli_epi64(here, 24)), zero);
	}
	for (; k < width; k++)
	{
		const uint8_t *p = rgb + (size_t) k * 3;
		const uint8_t *q = k + 1 < width ? p + 3 : p; /* beyond the end: its weight is 0 */
		__m128i here = _mm_cvtsi32_si128(p[0] | p[1] << 8 | p[2] << 16);
		__m128i next = _mm_cvtsi32_si128(q[0] | q[1] << 8 | q[2] << 16);

		pairs[k] = _mm_unpacklo_epi8(_mm_unpacklo_epi8(here, next), zero);
	}
	for (; k < width + taps; k++)
		pairs[k] = zero;
}

static inline __attribute__((always_inline)) void
sums(const image_axis *a, const __m128i *pairs, uint32_t taps, int16_t *out)
{
	const __m128i half = _mm_set1_epi32(1 << (IMAGE_ACROSS_SHIFT - 1));
	const int16_t *weight = a->weight;

	for (uint32_t i = 0; i < a->n; i++, out += 3, weight += taps)
	{
		const __m128i *in = pairs + a->start[i];
		__m128i sum = half;
		int32_t two;

		for (uint32_t k = 0; k < taps; k += 2)
			sum = _mm_add_epi32(sum, _mm_madd_epi16(in[k], _mm_set1_epi32(image_weight_pair(weight + k))));
		sum = _mm_srai_epi32(sum, IMAGE_ACROSS_SHIFT);
		sum = _mm_packs_epi32(sum, sum);
		two = _mm_cvtsi128_si32(sum);
		memcpy(out, &two, sizeof(two));
		out[2] = (int16_t) _mm_extract_epi16(sum, 2);
	}
}

static void
across(const image_axis *a, const uint8_t *const rgb[2], uint32_t width, void *room, int16_t *const out[2])
{
	for (int row = 0; row < 2; row++)
	{
		pair_row(rgb[row], width, a->taps, room);
		IMAGE_SUMS(sums, a, room, out[row]);
	}
}

static void
down(const int16_t *const *rows, const int16_t *weight, uint32_t taps, uint8_t *out, size_t n)
{
	const __m128i half = _mm_set1_epi32(1 << (IMAGE_DOWN_SHIFT - 1));
	size_t i = 0;

	for (; i + 16 <= n; i += 16)
	{
		__m128i sum[4] = { half, half, half, half };

		for (uint32_t k = 0; k < taps; k += 2)
		{
			const __m128i *a = (const __m128i *) (rows[k] + i), *b = (const __m128i *) (rows[k + 1] + i);
			__m128i w = _mm_set1_epi32(image_weight_pair(weight + k));

			for (int j = 0; j < 2; j++)
			{
				__m128i above = _mm_loadu_si128(a + j), below = _mm_loadu_si128(b + j);

				sum[2 * j] = _mm_add_epi32(sum[2 * j], _mm_madd_epi16(_mm_unpacklo_epi16(above, below), w));
				sum[2 * j + 1] = _mm_add_epi32(sum[2 * j + 1], _mm_madd_epi16(_mm_unpackhi_epi16(above, below), w));
			}
		}
		for (int j = 0; j < 4; j++)
			sum[j] = _mm_srai_epi32(sum[j], IMAGE_DOWN_SHIFT);
		/* Both packings clamp. */
		_mm_storeu_si128((__m128i *) (out + i),
						 _mm_packus_epi16(_mm_packs_epi32(sum[0], sum[1]), _mm_packs_epi32(sum[2], sum[3])));
	}
	image_row_down_from(rows, weight, taps, out, i, n);
}

const image_kernels image_kernels_sse2 = { .name = "sse2", .across = across, .down = down };

#endif /* EDDH_IMAGE_X86 */
