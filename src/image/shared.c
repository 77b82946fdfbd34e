/* shared.c: see decode.h: what every decoder asks, refuses and does alike. */
#include "image/decode.h"

#include <string.h>

eddh_code
image_check_size(const image_job *job, uint64_t width, uint64_t height, eddh_error *err)
{
	if (width == 0 || height == 0)
		return eddh_fail(err, EDDH_BAD_DATA, "picture of %llu x %llu pixels is empty", (unsigned long long) width,
						 (unsigned long long) height);
	if (width > IMAGE_MAX_PICTURE_SIDE || height > IMAGE_MAX_PICTURE_SIDE)
		return eddh_fail(err, EDDH_OVER_LIMIT, "picture of %llu x %llu pixels has a side of more than %d",
						 (unsigned long long) width, (unsigned long long) height, IMAGE_MAX_PICTURE_SIDE);
	if (width * height > job->limits.max_pixels)
	{
		eddh_fail(err, EDDH_OVER_LIMIT, "picture of %llu x %llu pixels exceeds the limit of %llu pixels",
				  (unsigned long long) width, (unsigned long long) height, (unsigned long long) job->limits.max_pixels);
		eddh_hint(err, "Store a smaller picture, or raise eddh.max_pixels.");
		return EDDH_OVER_LIMIT;
	}
	return EDDH_OK;
}

eddh_code
image_check_memory(const image_job *job, uint64_t bytes, eddh_error *err)
{
	if (bytes <= job->limits.max_memory && bytes <= SIZE_MAX)
		return EDDH_OK;
	eddh_fail(err, EDDH_OVER_LIMIT, "decoding the picture takes %llu bytes of memory, more than the limit of %llu",
			  (unsigned long long) bytes, (unsigned long long) job->limits.max_memory);
	eddh_hint(err, "Store a smaller picture, or one that is neither progressive nor interlaced.");
	return EDDH_OVER_LIMIT;
}

/* Centre of an odd margin: the extra line goes right or bottom as the viewer sees it, so mirrored storage puts it left or top. */
static uint32_t
margin(uint32_t whole, int size, bool mirrored)
{
	uint32_t both = whole - (uint32_t) size;

	return mirrored ? both - both / 2 : both / 2;
}

void
image_plan_make(const image_prep *prep, const image_info *info, image_plan *plan)
{
	/* Orientations whose viewer sees the stored columns (rows) in reverse. */
	bool mirrored_x =
		info->orientation == 2 || info->orientation == 3 || info->orientation == 7 || info->orientation == 8;
	bool mirrored_y =
		info->orientation == 3 || info->orientation == 4 || info->orientation == 6 || info->orientation == 7;
	uint64_t shorter = info->width < info->height ? info->width : info->height;

	memset(plan, 0, sizeof(*plan));
	plan->size = prep->size;
	plan->orientation = info->orientation;
	plan->width = plan->height = (uint32_t) prep->size;
	if (prep->resize == IMAGE_SQUASH)
		return;
	/* At most 4 * IMAGE_MAX_SIDE * IMAGE_MAX_PICTURE_SIDE, which fits 32 bits. */
	plan->width = (uint32_t) (((uint64_t) info->width * prep->resize_short + shorter / 2) / shorter);
	plan->height = (uint32_t) (((uint64_t) info->height * prep->resize_short + shorter / 2) / shorter);
	plan->left = margin(plan->width, prep->size, mirrored_x);
	plan->top = margin(plan->height, prep->size, mirrored_y);
}

void
image_over_white(const uint8_t *rgba, uint8_t *rgb, size_t n)
{
	for (size_t i = 0; i < n; i++, rgba += 4, rgb += 3)
	{
		unsigned alpha = rgba[3];

		for (int c = 0; c < 3; c++)
			rgb[c] = (uint8_t) ((rgba[c] * alpha + 255 * (255 - alpha) + 127) / 255);
	}
}
