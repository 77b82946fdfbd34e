/* normalise.c: pixels to the numbers a network wants. */
#include "image/image.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#ifdef __SSE2__

/* Four pixels, whose bytes and one more are there to be read, to four numbers of each channel. The same operations as below, so the same numbers. */
static void
normalise_four(const image_prep *prep, const uint8_t *rgb, float *const *plane, size_t at)
{
	const __m128i zero = _mm_setzero_si128();
	__m128i pixel[4], channel[4];

	for (int i = 0; i < 4; i++)
	{
		int32_t bytes;

		memcpy(&bytes, rgb + 3 * i, sizeof(bytes));
		pixel[i] = _mm_cvtsi32_si128(bytes);
	}
	/* A transposition: r0 r2 g0 g2 .. and r1 r3 g1 g3 .. to r0 r1 r2 r3 g0 .. */
	pixel[0] = _mm_unpacklo_epi8(_mm_unpacklo_epi8(pixel[0], pixel[2]), _mm_unpacklo_epi8(pixel[1], pixel[3]));
	channel[0] = _mm_unpacklo_epi8(pixel[0], zero);
	channel[2] = _mm_unpackhi_epi8(pixel[0], zero);
	channel[1] = _mm_unpackhi_epi16(channel[0], zero);
	channel[0] = _mm_unpacklo_epi16(channel[0], zero);
	channel[2] = _mm_unpacklo_epi16(channel[2], zero);
	for (int c = 0; c < 3; c++)
	{
		__m128 level = _mm_cvtepi32_ps(channel[prep->bgr ? 2 - c : c]);

		_mm_storeu_ps(plane[c] + at,
					  _mm_div_ps(_mm_sub_ps(level, _mm_set1_ps(prep->mean[c])), _mm_set1_ps(prep->std[c])));
	}
}

#endif

void
image_normalise(const image_prep *prep, const uint8_t *rgb, float *chw)
{
	size_t n = (size_t) prep->size * prep->size;
	float *plane[3] = { chw, chw + n, chw + 2 * n };
	size_t i = 0;

#ifdef __SSE2__
	for (; i + 4 < n; i += 4)
		normalise_four(prep, rgb + 3 * i, plane, i);
#endif
	for (; i < n; i++)
		for (int c = 0; c < 3; c++)
			plane[c][i] = ((float) rgb[3 * i + (prep->bgr ? 2 - c : c)] - prep->mean[c]) / prep->std[c];
}
