/* rows.c: the plain kernels, and which others there are. */
#include "image/rows.h"

static void
across_one(const image_axis *a, const uint8_t *rgb, int16_t *out)
{
	const int32_t half = 1 << (IMAGE_ACROSS_SHIFT - 1);

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
		out[i * 3] = (int16_t) (red >> IMAGE_ACROSS_SHIFT);
		out[i * 3 + 1] = (int16_t) (green >> IMAGE_ACROSS_SHIFT);
		out[i * 3 + 2] = (int16_t) (blue >> IMAGE_ACROSS_SHIFT);
	}
}

static void
across(const image_axis *a, const uint8_t *const rgb[2], uint32_t width, void *room, int16_t *const out[2])
{
	for (int row = 0; row < 2; row++)
		across_one(a, rgb[row], out[row]);
}

void
image_row_down_from(const int16_t *const *rows, const int16_t *weight, uint32_t taps, uint8_t *out, size_t first,
					size_t n)
{
	for (size_t i = first; i < n; i++)
	{
		int32_t sum = 1 << (IMAGE_DOWN_SHIFT - 1);

		for (uint32_t k = 0; k < taps; k++)
			sum += (int32_t) weight[k] * rows[k][i];
		sum >>= IMAGE_DOWN_SHIFT;
		out[i] = (uint8_t) (sum < 0 ? 0 : sum > 255 ? 255 : sum);
	}
}

static void
down(const int16_t *const *rows, const int16_t *weight, uint32_t taps, uint8_t *out, size_t n)
{
	image_row_down_from(rows, weight, taps, out, 0, n);
}

static const image_kernels plain = { .name = "plain", .across = across, .down = down };

const image_kernels *
image_kernels_at(int i)
{
	if (i == 0)
		return &plain;
#ifdef EDDH_IMAGE_X86
	if (i == 1)
		return &image_kernels_sse2;
	if (i == 2 && __builtin_cpu_supports("avx2"))
		return &image_kernels_avx2;
#endif
	return NULL;
}
