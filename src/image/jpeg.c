/*
 * jpeg.c: JPEG through libjpeg(-turbo).
 *
 * libjpeg reports errors by a callback that must not return. The only setjmp is in run(), which has no local variables; all state lives in
 * a jpeg_reader of the caller's frame, so nothing depends on what longjmp does to locals.
 */
#include "image/decode.h"

#include <limits.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jpeglib.h>
#include <jerror.h>

typedef struct jpeg_reader
{
	struct jpeg_decompress_struct cinfo;
	struct jpeg_error_mgr errors;
	struct jpeg_source_mgr source;
	struct jpeg_progress_mgr progress;
	jmp_buf escape;
	const image_job *job;
	image_info *info;
	image_resampler *resampler;
	uint8_t *row; /* as libjpeg delivers it, and turned into RGB in place */
	eddh_error *err;
	eddh_code code;
} jpeg_reader;

static jpeg_reader *
reader_of(j_common_ptr cinfo)
{
	return (jpeg_reader *) cinfo->client_data;
}

/* Where the decoder stands. It takes back what it has read ahead only at the end of an MCU, so this may be a little early. */
static size_t
position(const jpeg_reader *r)
{
	return r->job->len - r->source.bytes_in_buffer;
}

static void __attribute__((noreturn)) give_up(jpeg_reader *r, eddh_code code)
{
	r->code = code;
	longjmp(r->escape, 1);
}

static void __attribute__((noreturn)) truncated(jpeg_reader *r)
{
	give_up(r,
			eddh_fail(r->err, EDDH_BAD_DATA, "JPEG ends after %zu bytes, before its picture is complete", r->job->len));
}

/* The library's own words, without the part that we say ourselves. */
static const char *
message_of(j_common_ptr cinfo, char buffer[JMSG_LENGTH_MAX])
{
	static const char *const prefixes[] = { "Corrupt JPEG data: ", "Invalid JPEG file structure: ", "Warning: ",
											"Sorry, " };
	char *message = buffer;

	cinfo->err->format_message(cinfo, buffer);
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (strncmp(message, prefixes[i], strlen(prefixes[i])) == 0)
			message += strlen(prefixes[i]);
	if (message[0] >= 'A' && message[0] <= 'Z' && message[1] >= 'a' && message[1] <= 'z')
		message[0] += 'a' - 'A';
	return message;
}

static void
on_error(j_common_ptr cinfo)
{
	jpeg_reader *r = reader_of(cinfo);
	char buffer[JMSG_LENGTH_MAX];
	const char *message = message_of(cinfo, buffer);

	switch (cinfo->err->msg_code)
	{
		case JERR_OUT_OF_MEMORY:
			give_up(r, eddh_fail(r->err, EDDH_NO_MEMORY, "out of memory while decoding a JPEG"));
		case JERR_NO_BACKING_STORE:
			/* All coefficients of a progressive picture are held: the only arrays for which libjpeg asks whether it may. */
			eddh_fail(r->err, EDDH_OVER_LIMIT,
					  "decoding this JPEG of %u x %u pixels takes more than %llu bytes of memory", r->cinfo.image_width,
					  r->cinfo.image_height, (unsigned long long) r->job->limits.max_memory);
			eddh_hint(r->err, "Store a smaller picture, or one that is not progressive.");
			give_up(r, EDDH_OVER_LIMIT);
		case JERR_IMAGE_TOO_BIG:
		case JERR_WIDTH_OVERFLOW:
			give_up(r, eddh_fail(r->err, EDDH_OVER_LIMIT, "JPEG of %u x %u pixels is too big: %s", r->cinfo.image_width,
								 r->cinfo.image_height, message));
		case JERR_SOF_UNSUPPORTED:
		case JERR_BAD_PRECISION:
		case JERR_ARITH_NOTIMPL:
		case JERR_CCIR601_NOTIMPL:
		case JERR_CONVERSION_NOTIMPL:
		case JERR_FRACT_SAMPLE_NOTIMPL:
			eddh_fail(r->err, EDDH_UNSUPPORTED, "JPEG of a kind that is not supported: %s", message);
			eddh_hint(r->err, "Convert it to a baseline or progressive JPEG of 8 bits.");
			give_up(r, EDDH_UNSUPPORTED);
		default:
			give_up(r, eddh_fail(r->err, EDDH_BAD_DATA, "JPEG is damaged at byte %zu: %s", position(r), message));
	}
}

/*
 * libjpeg warns where it goes on with made-up pixels. That would give a stranger's garbage a code that looks like any other, so it is an
 * error. Three warnings do not touch pixels, and the first is common in cameras' files: padding between segments.
 */
static void
on_message(j_common_ptr cinfo, int level)
{
	if (level >= 0)
		return; /* a trace */
	switch (cinfo->err->msg_code)
	{
		case JWRN_EXTRANEOUS_DATA:
		case JWRN_JFIF_MAJOR:
		case JWRN_ADOBE_XFORM:
			return;
		default:
			on_error(cinfo);
	}
}

static void
on_output(j_common_ptr cinfo)
{
}

static void
source_nothing(j_decompress_ptr cinfo)
{
}

static boolean
source_fill(j_decompress_ptr cinfo)
{
	truncated(reader_of((j_common_ptr) cinfo));
}

static void
source_skip(j_decompress_ptr cinfo, long n)
{
	if (n <= 0)
		return;
	if ((size_t) n > cinfo->src->bytes_in_buffer)
		truncated(reader_of((j_common_ptr) cinfo));
	cinfo->src->next_input_byte += n;
	cinfo->src->bytes_in_buffer -= (size_t) n;
}

static void
check_stop(jpeg_reader *r)
{
	if (eddh_stopped(r->job->limits.stop))
		give_up(r, eddh_fail(r->err, EDDH_STOPPED, "stopped while decoding a JPEG"));
}

/* Called for each row of MCUs, also while a progressive picture is read in whole. */
static void
on_progress(j_common_ptr cinfo)
{
	jpeg_reader *r = reader_of(cinfo);

	if (r->cinfo.input_scan_number > r->job->limits.max_scans)
		give_up(r, eddh_fail(r->err, EDDH_OVER_LIMIT, "JPEG has more than %d scans (at byte %zu of %zu)",
							 r->job->limits.max_scans, position(r), r->job->len));
	check_stop(r);
}

static void
read_header(jpeg_reader *r)
{
	struct jpeg_decompress_struct *cinfo = &r->cinfo;
	eddh_code code;

	jpeg_create_decompress(cinfo);
	cinfo->src = &r->source;
	cinfo->progress = &r->progress;
	jpeg_save_markers(cinfo, JPEG_APP0 + 1, 0xFFFF);
	jpeg_read_header(cinfo, TRUE);

	r->info->format = IMAGE_JPEG;
	r->info->width = cinfo->image_width;
	r->info->height = cinfo->image_height;
	for (jpeg_saved_marker_ptr marker = cinfo->marker_list; marker != NULL; marker = marker->next)
		if (marker->data_length >= 6 && memcmp(marker->data, "Exif\0", 5) == 0)
		{
			r->info->orientation = image_exif_orientation(marker->data, marker->data_length);
			break;
		}
	code = image_check_size(r->job, cinfo->image_width, cinfo->image_height, r->err);
	if (code != EDDH_OK)
		give_up(r, code);
	if (cinfo->num_components != 1 && cinfo->num_components != 3 && cinfo->num_components != 4)
		give_up(r, eddh_fail(r->err, EDDH_UNSUPPORTED, "JPEG has %d colour components; 1, 3 and 4 are supported",
							 cinfo->num_components));
}

/*
 * The largest power of two by which the inverse DCT can shrink the picture for (nearly) nothing and still leave twice the wanted size.
 * Its own low-pass filter is a box; from twice the size on, the bicubic that follows decides what the result looks like.
 */
static void
choose_scale(struct jpeg_decompress_struct *cinfo, const image_plan *plan)
{
	cinfo->scale_num = 1;
	for (cinfo->scale_denom = 8; cinfo->scale_denom > 1; cinfo->scale_denom /= 2)
		if (cinfo->image_width / cinfo->scale_denom >= 2 * (uint64_t) plan->width &&
			cinfo->image_height / cinfo->scale_denom >= 2 * (uint64_t) plan->height)
			break;
}

/* CMYK as stored, or, after Adobe's marker, inverted as Adobe stores it: then a byte is how much light remains, not how much ink. */
static void
cmyk_to_rgb(uint8_t *row, size_t n, bool inverted)
{
	const uint8_t flip = inverted ? 0 : 255;

	for (size_t i = 0; i < n; i++)
	{
		const uint8_t *in = row + 4 * i;
		unsigned light = in[3] ^ flip;

		for (int c = 0; c < 3; c++)
			row[3 * i + c] = (uint8_t) (((in[c] ^ flip) * light + 127) / 255);
	}
}

static void
read_pixels(jpeg_reader *r)
{
	struct jpeg_decompress_struct *cinfo = &r->cinfo;
	image_plan plan;
	uint64_t own, left;
	eddh_code code;

	image_plan_make(r->job->prep, r->info, &plan);
	choose_scale(cinfo, &plan);
	cinfo->dct_method = JDCT_ISLOW; /* the same result with and without SIMD */
	cinfo->out_color_space = cinfo->num_components == 4 ? JCS_CMYK : JCS_RGB;
	jpeg_calc_output_dimensions(cinfo);
	own = image_resampler_memory(&plan, cinfo->output_width, cinfo->output_height) + (uint64_t) cinfo->output_width * 4;
	code = image_check_memory(r->job, own, r->err);
	if (code != EDDH_OK)
		give_up(r, code);
	/* What is left is for libjpeg, which asks when it wants to hold a progressive picture's coefficients. 0 would be no limit. */
	left = r->job->limits.max_memory - own;
	cinfo->mem->max_memory_to_use = left > LONG_MAX ? LONG_MAX : left > 0 ? (long) left : 1;
	jpeg_start_decompress(cinfo);

	code = image_resampler_create(&plan, cinfo->output_width, cinfo->output_height, r->job->rgb, &r->resampler, r->err);
	if (code != EDDH_OK)
		give_up(r, code);
	r->row = malloc((size_t) cinfo->output_width * cinfo->output_components);
	if (r->row == NULL)
		give_up(r, eddh_fail(r->err, EDDH_NO_MEMORY, "out of memory for a row of %u pixels", cinfo->output_width));
	while (cinfo->output_scanline < cinfo->output_height)
	{
		jpeg_read_scanlines(cinfo, &r->row, 1);
		if (cinfo->output_components == 4)
			cmyk_to_rgb(r->row, cinfo->output_width, cinfo->saw_Adobe_marker);
		image_resampler_add_row(r->resampler, r->row);
		check_stop(r);
	}
	/* Reads to the end of the picture, so that a missing end is noticed. */
	jpeg_finish_decompress(cinfo);
}

static void
run(jpeg_reader *r)
{
	if (setjmp(r->escape) != 0)
		return;
	read_header(r);
	if (r->job->prep != NULL)
		read_pixels(r);
}

eddh_code
image_jpeg_decode(const image_job *job, image_info *info, eddh_error *err)
{
	jpeg_reader r;

	memset(&r, 0, sizeof(r));
	r.job = job;
	r.info = info;
	r.err = err;
	r.cinfo.err = jpeg_std_error(&r.errors);
	r.errors.error_exit = on_error;
	r.errors.emit_message = on_message;
	r.errors.output_message = on_output;
	r.cinfo.client_data = &r;
	r.progress.progress_monitor = on_progress;
	r.source.next_input_byte = job->bytes;
	r.source.bytes_in_buffer = job->len;
	r.source.init_source = source_nothing;
	r.source.term_source = source_nothing;
	r.source.fill_input_buffer = source_fill;
	r.source.skip_input_data = source_skip;
	r.source.resync_to_restart = jpeg_resync_to_restart;
	run(&r);
	jpeg_destroy_decompress(&r.cinfo);
	image_resampler_free(r.resampler);
	free(r.row);
	return r.code;
}
