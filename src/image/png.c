/*
 * png.c: PNG through libpng.
 *
 * As in jpeg.c the only setjmp is in run(), and all state lives in the caller's frame. Chunks that do not change pixels are skipped unread:
 * no compressed text or colour profile is ever unpacked.
 */
#include "image/decode.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <png.h>

#define PNG_SIGNATURE_LEN 8
#define CHUNK_MALLOC_MAX  8000000 /* bytes; the chunks we let through are a few hundred */

typedef struct png_reader
{
	png_structp png;
	png_infop meta;
	jmp_buf escape;
	size_t at; /* bytes consumed */
	const image_job *job;
	image_info *info;
	image_resampler *resampler;
	uint8_t *pixels; /* the whole picture if interlaced, else one row */
	eddh_error *err;
	eddh_code code;
} png_reader;

static void __attribute__((noreturn)) give_up(png_reader *r, eddh_code code)
{
	r->code = code;
	longjmp(r->escape, 1);
}

static void __attribute__((noreturn)) on_error(png_structp png, png_const_charp message)
{
	png_reader *r = png_get_error_ptr(png);

	if (strstr(message, "memory") != NULL || strstr(message, "Memory") != NULL)
		give_up(r, eddh_fail(r->err, EDDH_NO_MEMORY, "out of memory while decoding a PNG"));
	give_up(r, eddh_fail(r->err, EDDH_BAD_DATA, "PNG is damaged before byte %zu: %s", r->at, message));
}

static void
on_warning(png_structp png, png_const_charp message)
{
}

static void
on_read(png_structp png, png_bytep out, size_t n)
{
	png_reader *r = png_get_io_ptr(png);

	if (n > r->job->len - r->at)
		give_up(r, eddh_fail(r->err, EDDH_BAD_DATA, "PNG ends after %zu bytes, before its picture is complete",
							 r->job->len));
	memcpy(out, r->job->bytes + r->at, n);
	r->at += n;
}

/* eXIf may stand before or after the pixels, and probing reads only what is before: so it is looked up beforehand. */
static int
find_orientation(const uint8_t *bytes, size_t len)
{
	size_t at = PNG_SIGNATURE_LEN;

	while (len - at >= 12)
	{
		size_t n =
			(size_t) bytes[at] << 24 | (size_t) bytes[at + 1] << 16 | (size_t) bytes[at + 2] << 8 | bytes[at + 3];

		if (n > len - at - 12)
			break;
		if (memcmp(bytes + at + 4, "eXIf", 4) == 0)
			return image_exif_orientation(bytes + at + 8, n);
		at += n + 12;
	}
	return 1;
}

static void
read_header(png_reader *r)
{
	static const png_byte decoration[] = "bKGD\0cHRM\0eXIf\0gAMA\0hIST\0iCCP\0iTXt\0oFFs\0pCAL\0pHYs\0"
										 "sBIT\0sCAL\0sPLT\0sRGB\0sTER\0tEXt\0tIME\0zTXt";
	eddh_code code;

	r->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, r, on_error, on_warning);
	if (r->png != NULL)
		r->meta = png_create_info_struct(r->png);
	if (r->meta == NULL)
		give_up(r, eddh_fail(r->err, EDDH_NO_MEMORY, "out of memory for a PNG reader"));
	png_set_read_fn(r->png, r, on_read);
	png_set_crc_action(r->png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
	png_set_keep_unknown_chunks(r->png, PNG_HANDLE_CHUNK_NEVER, NULL, 0);
	png_set_keep_unknown_chunks(r->png, PNG_HANDLE_CHUNK_NEVER, decoration, sizeof(decoration) / 5);
	png_set_user_limits(r->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX); /* image_check_size says it with numbers */
	png_set_chunk_cache_max(r->png, 64);
	png_set_chunk_malloc_max(r->png, CHUNK_MALLOC_MAX);
	png_read_info(r->png, r->meta);

	r->info->format = IMAGE_PNG;
	r->info->width = png_get_image_width(r->png, r->meta);
	r->info->height = png_get_image_height(r->png, r->meta);
	r->info->orientation = find_orientation(r->job->bytes, r->job->len);
	code = image_check_size(r->job, r->info->width, r->info->height, r->err);
	if (code != EDDH_OK)
		give_up(r, code);
}

static void
check_stop(png_reader *r)
{
	if (eddh_stopped(r->job->limits.stop))
		give_up(r, eddh_fail(r->err, EDDH_STOPPED, "stopped while decoding a PNG"));
}

static void
read_pixels(png_reader *r)
{
	size_t width = r->info->width, height = r->info->height;
	size_t channels, rows;
	int passes;
	image_plan plan;
	eddh_code code;

	png_set_expand(r->png); /* palette and small grey to 8 bits, transparent colours to alpha */
	png_set_scale_16(r->png);
	png_set_gray_to_rgb(r->png);
	passes = png_set_interlace_handling(r->png);
	/* libpng holds two rows of up to 8 bytes a pixel; an interlaced picture is held whole. */
	rows = passes > 1 ? height : 1;
	image_plan_make(r->job->prep, r->info, &plan);
	code = image_check_memory(
		r->job, (uint64_t) width * (rows * 4 + 16) + image_resampler_memory(&plan, r->info->width, r->info->height),
		r->err);
	if (code != EDDH_OK)
		give_up(r, code);
	png_read_update_info(r->png, r->meta);
	channels = png_get_channels(r->png, r->meta);
	if ((channels != 3 && channels != 4) || png_get_rowbytes(r->png, r->meta) != width * channels)
		give_up(r, eddh_fail(r->err, EDDH_UNSUPPORTED, "PNG of a kind that is not supported"));

	code = image_resampler_create(&plan, r->info->width, r->info->height, r->job->rgb, &r->resampler, r->err);
	if (code != EDDH_OK)
		give_up(r, code);
	r->pixels = calloc(rows, width * channels);
	if (r->pixels == NULL)
		give_up(r, eddh_fail(r->err, EDDH_NO_MEMORY, "out of memory for %zu rows of %zu pixels", rows, width));
	for (int pass = 0; pass < passes; pass++)
		for (size_t y = 0; y < height; y++)
		{
			uint8_t *row = r->pixels + (passes > 1 ? y * width * channels : 0);

			png_read_row(r->png, row, NULL);
			check_stop(r);
			if (pass < passes - 1)
				continue;
			if (channels == 4)
				image_over_white(row, row, width);
			image_resampler_add_row(r->resampler, row);
		}
	png_read_end(r->png, NULL);
}

static void
run(png_reader *r)
{
	if (setjmp(r->escape) != 0)
		return;
	read_header(r);
	if (r->job->prep != NULL)
		read_pixels(r);
}

eddh_code
image_png_decode(const image_job *job, image_info *info, eddh_error *err)
{
	png_reader r;

	memset(&r, 0, sizeof(r));
	r.job = job;
	r.info = info;
	r.err = err;
	run(&r);
	png_destroy_read_struct(&r.png, &r.meta, NULL);
	image_resampler_free(r.resampler);
	free(r.pixels);
	return r.code;
}
