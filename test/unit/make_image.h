/*
 * make_image.h: pictures for tests and fuzz seeds, written by the libraries' own encoders.
 *
 * All functions end the program when an encoder fails: that is a broken test, not a result. Encoded pictures belong to the caller (free).
 */
#ifndef EDDH_MAKE_IMAGE_H
#define EDDH_MAKE_IMAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jpeglib.h>
#include <png.h>
#include <webp/encode.h>

typedef struct encoded
{
	uint8_t *bytes;
	size_t len;
} encoded;

static inline void *
make_alloc(size_t n)
{
	void *p = malloc(n > 0 ? n : 1);

	if (p == NULL)
		abort();
	return p;
}

static inline void
make_append(encoded *e, const void *bytes, size_t n)
{
	e->bytes = realloc(e->bytes, e->len + n + 1);
	if (e->bytes == NULL)
		abort();
	memcpy(e->bytes + e->len, bytes, n);
	e->len += n;
}

/* Puts bytes in front of position `at`. */
static inline void
make_insert(encoded *e, size_t at, const void *bytes, size_t n)
{
	make_append(e, bytes, n);
	memmove(e->bytes + at + n, e->bytes + at, e->len - n - at);
	memcpy(e->bytes + at, bytes, n);
}

/* Red grows to the right, green downwards, blue is constant: linear, so resampling and subsampling leave it alone. */
static inline uint8_t *
make_gradient(int width, int height)
{
	uint8_t *rgb = make_alloc((size_t) width * height * 3);

	for (int y = 0; y < height; y++)
		for (int x = 0; x < width; x++)
		{
			uint8_t *p = rgb + 3 * ((size_t) y * width + x);

			p[0] = (uint8_t) (20 + (2 * x + 1) * 215 / (2 * width));
			p[1] = (uint8_t) (20 + (2 * y + 1) * 215 / (2 * height));
			p[2] = 90;
		}
	return rgb;
}

/* Quarters: red, green above blue, white. */
static inline uint8_t *
make_corners(int width, int height)
{
	static const uint8_t colour[4][3] = { { 255, 0, 0 }, { 0, 255, 0 }, { 0, 0, 255 }, { 255, 255, 255 } };
	uint8_t *rgb = make_alloc((size_t) width * height * 3);

	for (int y = 0; y < height; y++)
		for (int x = 0; x < width; x++)
			memcpy(rgb + 3 * ((size_t) y * width + x), colour[2 * (2 * y >= height) + (2 * x >= width)], 3);
	return rgb;
}

static inline uint8_t *
make_noise(int width, int height, uint64_t seed)
{
	size_t n = (size_t) width * height * 3;
	uint8_t *rgb = make_alloc(n);

	for (size_t i = 0; i < n; i++)
	{
		seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		rgb[i] = (uint8_t) (seed >> 56);
	}
	return rgb;
}

/* The pixels a camera would store with this EXIF orientation so that a viewer sees rgb; by the wording of EXIF 2.32, 4.6.4 A. */
static inline uint8_t *
make_stored(int orientation, const uint8_t *rgb, int width, int height, int *stored_width, int *stored_height)
{
	bool transposed = orientation >= 5;
	uint8_t *stored = make_alloc((size_t) width * height * 3);

	*stored_width = transposed ? height : width;
	*stored_height = transposed ? width : height;
	for (int y = 0; y < *stored_height; y++)
		for (int x = 0; x < *stored_width; x++)
		{
			/* Where the viewer sees stored row y, column x: e.g. 6 says row 0 is the right-hand side, column 0 the top. */
			int right = width - 1, bottom = height - 1;
			const int seen[8][2] = { { x, y }, { right - x, y }, { right - x, bottom - y }, { x, bottom - y },
									 { y, x }, { right - y, x }, { right - y, bottom - x }, { y, bottom - x } };

			memcpy(stored + 3 * ((size_t) y * *stored_width + x),
				   rgb + 3 * ((size_t) seen[orientation - 1][1] * width + seen[orientation - 1][0]), 3);
		}
	return stored;
}

/* A TIFF block with the orientation as its only entry. */
static inline encoded
make_exif(int orientation, bool big_endian)
{
	const uint8_t little[26] = { 'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, (uint8_t) orientation };
	const uint8_t big[26] = { 'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, (uint8_t) orientation };
	encoded e = { NULL, 0 };

	make_append(&e, big_endian ? big : little, 26);
	return e;
}

typedef struct jpeg_options
{
	J_COLOR_SPACE space;        /* stored; JCS_UNKNOWN (0): YCbCr */
	int h_sampling, v_sampling; /* of the first component; 0: 1 */
	bool progressive;
	bool no_adobe; /* leave out Adobe's marker */
	bool arithmetic;
	int restart_rows;
	int quality;                 /* 0: 100 */
	const jpeg_scan_info *scans; /* a script of one's own */
	int n_scans;
	const encoded *exif; /* TIFF block for APP1 */
} jpeg_options;

/* Pixels: 3 bytes (RGB), 1 (space is grey) or 4 (space is CMYK or YCCK), as the encoder takes them. */
static inline encoded
make_jpeg(const uint8_t *pixels, int width, int height, jpeg_options o)
{
	struct jpeg_compress_struct cinfo;
	struct jpeg_error_mgr errors;
	unsigned char *out = NULL;
	unsigned long len = 0;
	encoded e;

	cinfo.err = jpeg_std_error(&errors);
	jpeg_create_compress(&cinfo);
	jpeg_mem_dest(&cinfo, &out, &len);
	cinfo.image_width = (JDIMENSION) width;
	cinfo.image_height = (JDIMENSION) height;
	if (o.space == JCS_UNKNOWN)
		o.space = JCS_YCbCr;
	cinfo.input_components = o.space == JCS_GRAYSCALE ? 1 : o.space == JCS_CMYK || o.space == JCS_YCCK ? 4 : 3;
	cinfo.in_color_space = cinfo.input_components == 1   ? JCS_GRAYSCALE
						   : cinfo.input_components == 4 ? JCS_CMYK
														 : JCS_RGB;
	jpeg_set_defaults(&cinfo);
	jpeg_set_colorspace(&cinfo, o.space);
	jpeg_set_quality(&cinfo, o.quality > 0 ? o.quality : 100, TRUE);
	for (int c = 0; c < cinfo.num_components; c++)
		cinfo.comp_info[c].h_samp_factor = cinfo.comp_info[c].v_samp_factor = 1;
	cinfo.comp_info[0].h_samp_factor = o.h_sampling > 0 ? o.h_sampling : 1;
	cinfo.comp_info[0].v_samp_factor = o.v_sampling > 0 ? o.v_sampling : 1;
	if (cinfo.num_components == 4)
	{
		cinfo.comp_info[3].h_samp_factor = cinfo.comp_info[0].h_samp_factor;
		cinfo.comp_info[3].v_samp_factor = cinfo.comp_info[0].v_samp_factor;
	}
	if (o.no_adobe)
		cinfo.write_Adobe_marker = FALSE;
	cinfo.arith_code = o.arithmetic;
	cinfo.restart_in_rows = o.restart_rows;
	if (o.progressive)
		jpeg_simple_progression(&cinfo);
	if (o.scans != NULL)
	{
		cinfo.scan_info = o.scans;
		cinfo.num_scans = o.n_scans;
	}
	jpeg_start_compress(&cinfo, TRUE);
	if (o.exif != NULL)
	{
		encoded marker = { NULL, 0 };

		make_append(&marker, "Exif\0", 6);
		make_append(&marker, o.exif->bytes, o.exif->len);
		jpeg_write_marker(&cinfo, JPEG_APP0 + 1, marker.bytes, (unsigned) marker.len);
		free(marker.bytes);
	}
	while (cinfo.next_scanline < cinfo.image_height)
	{
		JSAMPROW row = (JSAMPROW) (pixels + (size_t) cinfo.next_scanline * width * cinfo.input_components);

		jpeg_write_scanlines(&cinfo, &row, 1);
	}
	jpeg_finish_compress(&cinfo);
	jpeg_destroy_compress(&cinfo);
	e.bytes = out;
	e.len = len;
	return e;
}

/* A valid progressive script of three components with many scans: every coefficient alone, refined bit by bit from bit `depth`. */
static inline jpeg_scan_info *
make_scan_script(int depth, int *n_scans)
{
	jpeg_scan_info *scans = make_alloc(sizeof(*scans) * (size_t) (1 + depth + 3 * 63 * (1 + depth)));
	int n = 0;

	for (int bit = depth; bit >= 0; bit--)
	{
		jpeg_scan_info dc = { 3, { 0, 1, 2 }, 0, 0, bit == depth ? 0 : bit + 1, bit };

		scans[n++] = dc;
	}
	for (int c = 0; c < 3; c++)
		for (int k = 1; k < 64; k++)
			for (int bit = depth; bit >= 0; bit--)
			{
				jpeg_scan_info ac = { 1, { c }, k, k, bit == depth ? 0 : bit + 1, bit };

				scans[n++] = ac;
			}
	*n_scans = n;
	return scans;
}

typedef struct png_options
{
	int colour_type; /* PNG_COLOR_TYPE_*; grey is 0 */
	int depth;       /* 0: 8 */
	bool interlaced;
	int n_palette;
	const png_color *palette;
	int n_palette_alpha;
	const png_byte *palette_alpha;
	const png_color_16 *transparent;
	const encoded *exif;
} png_options;

static inline void
make_png_write(png_structp png, png_bytep bytes, size_t n)
{
	make_append(png_get_io_ptr(png), bytes, n);
}

static inline void
make_png_flush(png_structp png)
{
}

/* Rows as the encoder takes them (16 bits: big-endian; less than 8: packed), each of row_len bytes. */
static inline encoded
make_png(const uint8_t *pixels, int width, int height, size_t row_len, png_options o)
{
	png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
	png_infop meta = png_create_info_struct(png);
	encoded e = { NULL, 0 };
	int passes;

	if (setjmp(png_jmpbuf(png)))
		abort();
	png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
	png_set_write_fn(png, &e, make_png_write, make_png_flush);
	png_set_IHDR(png, meta, (png_uint_32) width, (png_uint_32) height, o.depth > 0 ? o.depth : 8, o.colour_type,
				 o.interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
				 PNG_FILTER_TYPE_DEFAULT);
	if (o.palette != NULL)
		png_set_PLTE(png, meta, o.palette, o.n_palette);
	if (o.palette_alpha != NULL || o.transparent != NULL)
		png_set_tRNS(png, meta, o.palette_alpha, o.n_palette_alpha, o.transparent);
	if (o.exif != NULL)
		png_set_eXIf_1(png, meta, (png_uint_32) o.exif->len, o.exif->bytes);
	png_write_info(png, meta);
	passes = png_set_interlace_handling(png);
	for (int pass = 0; pass < passes; pass++)
		for (int y = 0; y < height; y++)
			png_write_row(png, pixels + (size_t) y * row_len);
	png_write_end(png, meta);
	png_destroy_write_struct(&png, &meta);
	return e;
}

static inline encoded
make_png_rgb(const uint8_t *rgb, int width, int height)
{
	png_options o = { .colour_type = PNG_COLOR_TYPE_RGB };

	return make_png(rgb, width, height, (size_t) width * 3, o);
}

/* quality 0: lossless. channels 3 or 4. exif (NULL: none) only with 3 channels: the file gets an extended header. */
static inline encoded
make_webp(const uint8_t *pixels, int width, int height, int channels, float quality, const encoded *exif)
{
	uint8_t *out = NULL;
	size_t len;
	encoded e = { NULL, 0 };

	if (channels == 4)
		len = quality > 0 ? WebPEncodeRGBA(pixels, width, height, width * 4, quality, &out)
						  : WebPEncodeLosslessRGBA(pixels, width, height, width * 4, &out);
	else
		len = quality > 0 ? WebPEncodeRGB(pixels, width, height, width * 3, quality, &out)
						  : WebPEncodeLosslessRGB(pixels, width, height, width * 3, &out);
	if (len == 0)
		abort();
	make_append(&e, out, len);
	WebPFree(out);
	if (exif != NULL)
	{
		uint32_t w = (uint32_t) width - 1, h = (uint32_t) height - 1, n = (uint32_t) exif->len, riff;
		const uint8_t extended[18] = { 'V',
									   'P',
									   '8',
									   'X',
									   10,
									   0,
									   0,
									   0,
									   8 | (channels == 4 ? 16 : 0),
									   0,
									   0,
									   0,
									   (uint8_t) w,
									   (uint8_t) (w >> 8),
									   (uint8_t) (w >> 16),
									   (uint8_t) h,
									   (uint8_t) (h >> 8),
									   (uint8_t) (h >> 16) };
		const uint8_t head[8] = { 'E', 'X', 'I', 'F', (uint8_t) n, (uint8_t) (n >> 8), (uint8_t) (n >> 16), 0 };

		make_insert(&e, 12, extended, sizeof(extended));
		make_append(&e, head, sizeof(head));
		make_append(&e, exif->bytes, exif->len);
		if (n % 2 == 1)
			make_append(&e, "", 1);
		riff = (uint32_t) e.len - 8;
		for (int i = 0; i < 4; i++)
			e.bytes[4 + i] = (uint8_t) (riff >> 8 * i);
	}
	return e;
}

#endif /* EDDH_MAKE_IMAGE_H */
