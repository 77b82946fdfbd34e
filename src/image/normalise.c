/* normalise.c: pixels to the numbers a network wants. */
#include "image/image.h"

void
image_normalise(const image_prep *prep, const uint8_t *rgb, float *chw)
{
	size_t n = (size_t) prep->size * prep->size;

	for (int c = 0; c < 3; c++)
	{
		const uint8_t *in = rgb + (prep->bgr ? 2 - c : c);
		float *out = chw + c * n;
		float value[256]; /* one division a level, not one a pixel */

		for (int level = 0; level < 256; level++)
			value[level] = ((float) level - prep->mean[c]) / prep->std[c];
		for (size_t i = 0; i < n; i++)
			out[i] = value[in[3 * i]];
	}
}
