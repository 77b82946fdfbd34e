/* load.c: which decoder, under which limits. */
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
	{ 0, 4, "/9j/", "a JPEG in base64", "Store decode(text, 'base64')." },
	{ 0, 6, "iVBORw", "a PNG in base64", "Store decode(text, 'base64')." },
	{ 0, 5, "UklGR", "a WebP in base64", "Store decode(text, 'base64')." },
	{ 0, 5, "data:", "a data URL", "Store what follows its comma, through decode(text, 'base64')." },
	{ 0, 4, "http", "an address", "Store the picture that it leads to." },
	{ 0, 2, "\\x", "a bytea in its text form", "Store decode(substr(text, 3), 'hex')." },
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
		eddh_hint(err, "%s", others[i].hint != NULL ? others[i].hint : "Convert it to JPEG, PNG or WebP.");
		return EDDH_UNSUPPORTED;
	}
	for (size_t i = 0; i < job->len && i < 12; i++)
		snprintf(hex + 2 * i, 3, "%02x", job->bytes[i]);
	eddh_fail(err, EDDH_BAD_DATA, "not a picture: %zu bytes that begin with 0x%s", job->len, hex);
	eddh_hint(err, "JPEG begins with 0xffd8ff, PNG with 0x89504e47, WebP with RIFF....WEBP.");
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
