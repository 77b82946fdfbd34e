/* webp.c: still WebP pictures, lossy and lossless, through libwebp. */
#include "image/decode.h"

#include <stdlib.h>
#include <string.h>
#include <webp/decode.h>

#define RIFF_HEADER_LEN 12
#define STEP            65536 /* bytes between two looks at the stop callback */

static uint32_t
little_endian(const uint8_t *bytes)
{
	return bytes[0] | (uint32_t) bytes[1] << 8 | (uint32_t) bytes[2] << 16 | (uint32_t) bytes[3] << 24;
}

static int
find_orientation(const uint8_t *bytes, size_t len)
{
	size_t at = RIFF_HEADER_LEN;

	while (len - at >= 8)
	{
		size_t n = little_endian(bytes + at + 4);

		if (n > len - at - 8)
			break;
		if (memcmp(bytes + at, "EXIF", 4) == 0)
			return image_exif_orientation(bytes + at + 8, n);
		at += 8 + n;
		if (n % 2 == 1 && at < len)
			at++;
	}
	return 1;
}

static eddh_code
truncated(const image_job *job, eddh_error *err)
{
	return eddh_fail(err, EDDH_BAD_DATA, "WebP ends after %zu bytes, before its picture is complete", job->len);
}

static eddh_code
status_error(const image_job *job, VP8StatusCode status, size_t at, eddh_error *err)
{
	switch (status)
	{
		case VP8_STATUS_OUT_OF_MEMORY:
			return eddh_fail(err, EDDH_NO_MEMORY, "out of memory while decoding a WebP");
		case VP8_STATUS_UNSUPPORTED_FEATURE:
			return eddh_fail(err, EDDH_UNSUPPORTED, "WebP of a kind that is not supported");
		case VP8_STATUS_SUSPENDED:
		case VP8_STATUS_NOT_ENOUGH_DATA:
			return truncated(job, err);
		default:
			return eddh_fail(err, EDDH_BAD_DATA, "WebP is damaged before byte %zu: its bitstream is invalid", at);
	}
}

static eddh_code
read_header(const image_job *job, WebPBitstreamFeatures *features, image_info *info, eddh_error *err)
{
	uint64_t riff_len = (uint64_t) little_endian(job->bytes + 4) + 8;
	VP8StatusCode status;

	if (riff_len < RIFF_HEADER_LEN + 8)
		return eddh_fail(err, EDDH_BAD_DATA, "WebP is damaged at byte 4: its container holds nothing");
	/* Some writers forget to pad the last chunk. */
	if (riff_len > (uint64_t) job->len + 1)
		return truncated(job, err);
	status = WebPGetFeatures(job->bytes, job->len, features);
	if (status != VP8_STATUS_OK)
		return status_error(job, status, job->len, err);
	info->format = IMAGE_WEBP;
	info->width = (uint32_t) features->width;
	info->height = (uint32_t) features->height;
	info->orientation = find_orientation(job->bytes, job->len);
	if (features->has_animation)
	{
		eddh_fail(err, EDDH_UNSUPPORTED, "WebP is animated, which is not supported");
		eddh_hint(err, "Store one of its frames as a still picture.");
		return EDDH_UNSUPPORTED;
	}
	return image_check_size(job, info->width, info->height, err);
}

/*
 * Fills pixels (height rows of stride bytes). Bytes are shown to the decoder piece by piece, so that it can be stopped and can say
 * where it failed; pieces grow with what was seen, since a lossless decoder starts over while it is still reading its tables.
 */
static eddh_code
decode_whole(const image_job *job, bool alpha, uint8_t *pixels, size_t size, size_t stride, eddh_error *err)
{
	WebPIDecoder *decoder = WebPINewRGB(alpha ? MODE_RGBA : MODE_RGB, pixels, size, (int) stride);
	VP8StatusCode status = VP8_STATUS_SUSPENDED;
	size_t seen = 0;
	eddh_code code = EDDH_OK;

	if (decoder == NULL)
		return eddh_fail(err, EDDH_NO_MEMORY, "out of memory for a WebP decoder");
	while (status == VP8_STATUS_SUSPENDED && seen < job->len && code == EDDH_OK)
	{
		size_t step = seen / 8 > STEP ? seen / 8 : STEP;

		seen = job->len - seen > step ? seen + step : job->len;
		status = WebPIUpdate(decoder, job->bytes, seen);
		if (eddh_stopped(job->limits.stop))
			code = eddh_fail(err, EDDH_STOPPED, "stopped while decoding a WebP");
	}
	WebPIDelete(decoder);
	if (code == EDDH_OK && status != VP8_STATUS_OK)
		code = status_error(job, status, seen, err);
	return code;
}

eddh_code
image_webp_decode(const image_job *job, image_info *info, eddh_error *err)
{
	WebPBitstreamFeatures features;
	image_resampler *resampler = NULL;
	uint8_t *pixels;
	size_t width, height, stride;
	image_plan plan;
	eddh_code code = read_header(job, &features, info, err);

	if (code != EDDH_OK || job->prep == NULL)
		return code;
	width = info->width; /* at most 16383, as is height */
	height = info->height;
	stride = width * (features.has_alpha ? 4 : 3);
	/* The lossless decoder holds the picture once more, the lossy one its transparency. */
	image_plan_make(job->prep, info, &plan);
	code = image_check_memory(job,
							  (uint64_t) height * (stride + width * (features.format == 2 ? 4 : features.has_alpha)) +
								  image_resampler_memory(&plan, info->width, info->height),
							  err);
	if (code != EDDH_OK)
		return code;
	code = image_resampler_create(&plan, info->width, info->height, job->rgb, &resampler, err);
	if (code != EDDH_OK)
		return code;
	pixels = malloc(height * stride);
	if (pixels == NULL)
		code = eddh_fail(err, EDDH_NO_MEMORY, "out of memory for a WebP of %zu x %zu pixels", width, height);
	else
		code = decode_whole(job, features.has_alpha, pixels, height * stride, stride, err);
	for (size_t y = 0; y < height && code == EDDH_OK; y++)
	{
		uint8_t *row = pixels + y * stride;

		if (features.has_alpha)
			image_over_white(row, row, width);
		image_resampler_add_row(resampler, row);
	}
	free(pixels);
	image_resampler_free(resampler);
	return code;
}
