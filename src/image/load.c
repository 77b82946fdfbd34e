/* load.c: which decoder, under which limits, and where the policy puts the picture. */
#include "image/decode.h"

#include <stdio.h>
#include <string.h>

/* Beginnings of other things that end up in a column of pictures. */
static const struct
{
	size_t at, len;
	const char *magic;
	const char *what;
	const char *hint;
} others[] = {
	{ 0, 4, "GIF8", "a GIF", NULL },
	{ 4, 8, "ftypavif", "an AVIF", NULL },
	{ 4, 8, "ftypavis", "an AVIF", NULL },
	{ 4, 7, "ftyphei", "a HEIC", NULL },
	{ 4, 7, "ftyphev", "a HEIC", NULL },
	{ 4, 8, "ftypmif1", "a HEIC", NULL },
	{ 4, 8, "ftypmsf1", "a HEIC", NULL },
	{ 4, 4, "ftyp", "a video or another ISO media file", NULL },
	{ 0, 4, "II*\0", "a TIFF (or a camera's raw file)", NULL },
	{ 0, 4, "MM\0*", "a TIFF (or a camera's raw file)", NULL },
	{ 0, 2, "\xFF\x0A", "a JPEG XL", NULL },
	{ 0, 8, "\0\0\0\x0CJXL ", "a JPEG XL", NULL },
	{ 0, 8, "\0\0\0\x0CjP  ", "a JPEG 2000", NULL },
	{ 0, 4, "\xFF\x4F\xFF\x51", "a JPEG 2000", NULL },
	{ 0, 4, "8BPS", "a Photoshop file", NULL },
	{ 0, 4, "%PDF", "a PDF", NULL },
	{ 0, 4, "<svg", "an SVG", NULL },
	{ 0, 5, "<?xml", "an SVG or other XML", NULL },
	{ 0, 4, "/9j/", "a JPEG in base64", "store decode(text, 'base64')" },
	{ 0, 6, "iVBORw", "a PNG in base64", "store decode(text, 'base64')" },
	{ 0, 5, "UklGR", "a WebP in base64", "store decode(text, 'base64')" },
	{ 0, 5, "data:", "a data URL", "store what follows its comma, through decode(text, 'base64')" },
	{ 0, 4, "http", "an address", "store the picture that it leads to" },
	{ 0, 2, "\\x", "a bytea in its text form", "store decode(substr(text, 3), 'hex')" },
	{ 0, 2, "BM", "a BMP", NULL },
};

static bool
begins(const image_job *job, size_t at, const char *magic, size_t len)
{
	return job->len >= at + len && memcmp(job->bytes + at, magic, len) == 0;
}

static eddh_code
not_ours(const image_job *job, eddh_error *err)
{
	char hex[2 * 12 + 1] = "";

	if (job->len == 0)
		return eddh_fail(err, EDDH_BAD_DATA, "picture is empty: it has no bytes");
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
	{
		if (!begins(job, others[i].at, others[i].magic, others[i].len))
			continue;
		eddh_fail(err, EDDH_UNSUPPORTED, "picture is %s, which is not supported", others[i].what);
		eddh_hint(err, "%s", others[i].hint != NULL ? others[i].hint : "convert it to JPEG, PNG or WebP");
		return EDDH_UNSUPPORTED;
	}
	for (size_t i = 0; i < job->len && i < 12; i++)
		snprintf(hex + 2 * i, 3, "%02x", job->bytes[i]);
	eddh_fail(err, EDDH_BAD_DATA, "not a picture: %zu bytes that begin with 0x%s", job->len, hex);
	eddh_hint(err, "JPEG begins with 0xffd8ff, PNG with 0x89504e47, WebP with RIFF....WEBP");
	return EDDH_BAD_DATA;
}

static eddh_code
decode(const image_job *job, image_info *info, eddh_error *err)
{
	memset(info, 0, sizeof(*info));
	info->orientation = 1;
	if (begins(job, 0, "\xFF\xD8\xFF", 3))
		return image_jpeg_decode(job, info, err);
	if (begins(job, 0, "\x89PNG\r\n\x1A\n", 8))
		return image_png_decode(job, info, err);
	if (begins(job, 0, "RIFF", 4) && begins(job, 8, "WEBP", 4))
		return image_webp_decode(job, info, err);
	return not_ours(job, err);
}

static void
job_limits(image_job *job, const image_limits *limits)
{
	if (limits != NULL)
		job->limits = *limits;
	if (job->limits.max_pixels == 0)
		job->limits.max_pixels = IMAGE_MAX_PIXELS_DEFAULT;
	if (job->limits.max_scans == 0)
		job->limits.max_scans = IMAGE_MAX_SCANS_DEFAULT;
	if (job->limits.max_memory == 0)
		job->limits.max_memory = IMAGE_MAX_MEMORY_DEFAULT;
}

eddh_code
image_probe(const uint8_t *bytes, size_t len, const image_limits *limits, image_info *info, eddh_error *err)
{
	image_job job = { bytes, len };

	job_limits(&job, limits);
	return decode(&job, info, err);
}

eddh_code
image_load(const uint8_t *bytes, size_t len, const image_prep *prep, const image_limits *limits, uint8_t *rgb,
		   eddh_error *err)
{
	image_job job = { bytes, len, .prep = prep, .rgb = rgb };
	image_info info;
	eddh_code code = image_prep_check(prep, err);

	if (code != EDDH_OK)
		return code;
	job_limits(&job, limits);
	return decode(&job, &info, err);
}

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
		eddh_hint(err, "store a smaller picture, or raise eddh.max_pixels");
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
	eddh_hint(err, "store a smaller picture, or one that is neither progressive nor interlaced");
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
