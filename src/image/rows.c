/* rows.c: see rows.h. On x86-64 eight or sixteen numbers at a time: its baseline has the instructions. */
#include "image/rows.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define SHIFT       (IMAGE_WEIGHT_BITS - IMAGE_MIDDLE_BITS)
#define FINAL_SHIFT (IMAGE_WEIGHT_BITS + IMAGE_MIDDLE_BITS)

void
image_row_across_plain(const image_axis *a, const uint8_t *rgb, int16_t *out)
{
	const int32_t half = 1 << (SHIFT - 1);

	for (uint32_t i = 0; i < a->n; i++)
	{
		const int16_t *weight = a->weight + (size_t) i * a->taps;
		const uint8_t *in = rgb + (size_t) a->start[i] * 3;
		uint32_t count = a->count[i];
		int32_t red = half, green = half, blue = half;

		for (uint32_t k = 0; k < count; k++)
		{
			red += weight[k] * in[k * 3];
			green += weight[k] * in[k * 3 + 1];
			blue += weight[k] * in[k * 3 + 2];
		}
		out[i * 3] = (int16_t) (red >> SHIFT);
		out[i * 3 + 1] = (int16_t) (green >> SHIFT);
		out[i * 3 + 2] = (int16_t) (blue >> SHIFT);
	}
}

void
image_row_add_plain(int32_t *sums, const int16_t *row, int16_t weight, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sums[i] += (int32_t) weight * row[i];
}

void
image_row_finish_plain(const int32_t *sums, uint8_t *out, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		int32_t value = (sums[i] + (1 << (FINAL_SHIFT - 1))) >> FINAL_SHIFT;

		out[i] = (uint8_t) (value < 0 ? 0 : value > 255 ? 255 : value);
	}
}

#ifdef __SSE2__

size_t
image_row_room(uint32_t width, uint32_t taps)
{
	return ((size_t) width + taps) * sizeof(__m128i);
}

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

/* Two weights that are neighbours in memory, for every channel. */
static __m128i
weight_pair(const int16_t *weight)
{
	int32_t both;

	memcpy(&both, weight, sizeof(both));
	return _mm_set1_epi32(both);
}

/* Inlined for each number of taps that pictures near the wanted size have: the loop over them unrolls. */
static inline __attribute__((always_inline)) void
across(const image_axis *a, const __m128i *pairs, uint32_t taps, int16_t *out)
{
	const __m128i half = _mm_set1_epi32(1 << (SHIFT - 1));
	const int16_t *weight = a->weight;

	for (uint32_t i = 0; i < a->n; i++, out += 3, weight += taps)
	{
		const __m128i *in = pairs + a->start[i];
		__m128i sum = half;
		int32_t two;

		for (uint32_t k = 0; k < taps; k += 2)
			sum = _mm_add_epi32(sum, _mm_madd_epi16(in[k], weight_pair(weight + k)));
		sum = _mm_srai_epi32(sum, SHIFT);
		sum = _mm_packs_epi32(sum, sum);
		two = _mm_cvtsi128_si32(sum);
		memcpy(out, &two, sizeof(two));
		out[2] = (int16_t) _mm_extract_epi16(sum, 2);
	}
}

void
image_row_across(const image_axis *a, const uint8_t *rgb, uint32_t width, void *room, int16_t *out)
{
	pair_row(rgb, width, a->taps, room);
	if (a->taps == 4)
		across(a, room, 4, out);
	else if (a->taps == 6)
		across(a, room, 6, out);
	else if (a->taps == 8)
		across(a, room, 8, out);
	else
		across(a, room, a->taps, out);
}

void
image_row_add(int32_t *restrict sums, const int16_t *restrict row, int16_t weight, size_t n)
{
	const __m128i w = _mm_set1_epi16(weight);
	size_t i = 0;

	for (; i + 8 <= n; i += 8)
	{
		__m128i x = _mm_loadu_si128((const __m128i *) (row + i));
		__m128i low = _mm_mullo_epi16(x, w), high = _mm_mulhi_epi16(x, w);
		__m128i *to = (__m128i *) (sums + i);

		_mm_storeu_si128(to, _mm_add_epi32(_mm_loadu_si128(to), _mm_unpacklo_epi16(low, high)));
		_mm_storeu_si128(to + 1, _mm_add_epi32(_mm_loadu_si128(to + 1), _mm_unpackhi_epi16(low, high)));
	}
	image_row_add_plain(sums + i, row + i, weight, n - i);
}

void
image_row_finish(const int32_t *sums, uint8_t *out, size_t n)
{
	const __m128i half = _mm_set1_epi32(1 << (FINAL_SHIFT - 1));
	size_t i = 0;

	for (; i + 16 <= n; i += 16)
	{
		__m128i part[4];

		for (int j = 0; j < 4; j++)
		{
			__m128i sum = _mm_loadu_si128((const __m128i *) (sums + i + 4 * j));

			part[j] = _mm_srai_epi32(_mm_add_epi32(sum, half), FINAL_SHIFT);
		}
		/* Both packings clamp. */
		_mm_storeu_si128((__m128i *) (out + i),
						 _mm_packus_epi16(_mm_packs_epi32(part[0], part[1]), _mm_packs_epi32(part[2], part[3])));
	}
	image_row_finish_plain(sums + i, out + i, n - i);
}

#else

size_t
image_row_room(uint32_t width, uint32_t taps)
{
	return 1;
}

void
image_row_across(const image_axis *a, const uint8_t *rgb, uint32_t width, void *room, int16_t *out)
{
	image_row_across_plain(a, rgb, out);
}

void
image_row_add(int32_t *sums, const int16_t *row, int16_t weight, size_t n)
{
	image_row_add_plain(sums, row, weight, n);
}

void
image_row_finish(const int32_t *sums, uint8_t *out, size_t n)
{
	image_row_finish_plain(sums, out, n);
}

#endif
