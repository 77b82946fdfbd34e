/* window.c: a part of a picture, as large as the whole: what a training shows. */
#include "image/image.h"

/* Where an output pixel lies: between two pixels of the picture, at its border on one. */
typedef struct place
{
	int from, to;
	float share; /* of `to` */
} place;

static place
place_of(int size, float begin, float side, int i)
{
	float at = begin + ((float) i + 0.5f) * side / (float) size - 0.5f;
	place p = { .from = 0, .to = 0, .share = 0 };

	if (at <= 0.0f)
		return p;
	if (at >= (float) (size - 1))
		return (place){ .from = size - 1, .to = size - 1, .share = 0 };
	p.from = (int) at;
	p.to = p.from + 1;
	p.share = at - (float) p.from;
	return p;
}

void
image_normalise_window(const image_prep *prep, const uint8_t *rgb, float left, float top, float side, float *chw)
{
	int size = prep->size;
	place column[IMAGE_MAX_SIDE];

	for (int x = 0; x < size; x++)
		column[x] = place_of(size, left, side, x);
	for (int c = 0; c < 3; c++)
	{
		const uint8_t *channel = rgb + (prep->bgr ? 2 - c : c);
		float scale = 1.0f / prep->std[c], shift = -prep->mean[c] / prep->std[c];

		for (int y = 0; y < size; y++)
		{
			place row = place_of(size, top, side, y);
			const uint8_t *above = channel + (size_t) row.from * size * 3,
						  *below = channel + (size_t) row.to * size * 3;
			float *out = chw + ((size_t) c * size + y) * size;

			for (int x = 0; x < size; x++)
			{
				int a = 3 * column[x].from, b = 3 * column[x].to;
				float upper = (float) above[a] + column[x].share * (float) (above[b] - above[a]);
				float lower = (float) below[a] + column[x].share * (float) (below[b] - below[a]);

				out[x] = (upper + row.share * (lower - upper)) * scale + shift;
			}
		}
	}
}
