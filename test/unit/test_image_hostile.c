/* test_image_hostile.c: whatever the bytes, the answer is pixels or an error that says what is wrong: never a crash, a leak or a long wait. */
#include "image_check.h"

#define SIDE 16

/* One small file of every kind. */
#define N_KINDS 10

static encoded
make_kind(int kind)
{
	uint8_t *rgb = make_gradient(SIDE, SIDE);
	encoded exif = make_exif(6, kind % 2);
	jpeg_options jpeg = { .exif = &exif, .quality = 80 };
	png_options png = { .colour_type = PNG_COLOR_TYPE_RGB, .exif = &exif };
	encoded e;

	switch (kind)
	{
		case 0:
			e = make_jpeg(rgb, SIDE, SIDE, jpeg);
			break;
		case 1:
			jpeg.h_sampling = jpeg.v_sampling = 2;
			jpeg.restart_rows = 1;
			e = make_jpeg(rgb, SIDE, SIDE, jpeg);
			break;
		case 2:
			jpeg.progressive = true;
			e = make_jpeg(rgb, SIDE, SIDE, jpeg);
			break;
		case 3: /* 768 bytes of gradient taken for 192 pixels of ink */
			jpeg.space = JCS_YCCK;
			e = make_jpeg(rgb, SIDE, 12, jpeg);
			break;
		case 4:
			e = make_png(rgb, SIDE, SIDE, SIDE * 3, png);
			break;
		case 5:
			png.interlaced = true;
			e = make_png(rgb, SIDE, SIDE, SIDE * 3, png);
			break;
		case 6:
			e = make_webp(rgb, SIDE, SIDE, 3, 80, &exif);
			break;
		case 7:
			e = make_webp(rgb, SIDE, SIDE, 3, 0, NULL);
			break;
		case 8:
			e = make_webp(rgb, SIDE, 12, 4, 80, NULL);
			break;
		default:
			jpeg.arithmetic = true;
			jpeg.progressive = true;
			e = make_jpeg(rgb, SIDE, SIDE, jpeg);
			break;
	}
	free(exif.bytes);
	free(rgb);
	return e;
}

static void
no_bytes(void **state)
{
	image_prep prep = squash(8);
	uint8_t rgb[8 * 8 * 3];
	image_info info;
	eddh_error err;

	assert_int_equal(image_load(NULL, 0, &prep, NULL, rgb, &err), EDDH_BAD_DATA);
	assert_message_has(&err, "empty");
	assert_int_equal(image_probe(NULL, 0, NULL, &info, &err), EDDH_BAD_DATA);
}

static void
zero_bytes(void **state)
{
	uint8_t zeros[4096] = { 0 };
	eddh_error err;

	for (size_t len = 1; len <= sizeof(zeros); len *= 2)
	{
		assert_int_equal(load_bytes(zeros, len, squash(8), NULL, NULL, &err), EDDH_BAD_DATA);
		assert_message_has(&err, "begin with 0x00");
	}
}

static void
other_formats_are_named(void **state)
{
	static const struct
	{
		size_t len;
		const char *bytes;
		const char *name;
	} other[] = {
		{ 6, "GIF89a", "GIF" },
		{ 12,
		  "\0\0\0\x18"
		  "ftypheic",
		  "HEIC" },
		{ 12,
		  "\0\0\0\x18"
		  "ftypmif1",
		  "HEIC" },
		{ 12,
		  "\0\0\0\x20"
		  "ftypavif",
		  "AVIF" },
		{ 12,
		  "\0\0\0\x20"
		  "ftypisom",
		  "video" },
		{ 8, "II*\0\x08\0\0\0", "TIFF" },
		{ 8, "MM\0*\0\0\0\x08", "TIFF" },
		{ 6, "BM\x36\0\0\0", "BMP" },
		{ 12, "\0\0\0\x0CJXL \r\n\x87\n", "JPEG XL" },
		{ 4, "\xFF\x0A\0\0", "JPEG XL" },
		{ 12, "\0\0\0\x0CjP  \r\n\x87\n", "JPEG 2000" },
		{ 8, "%PDF-1.7", "PDF" },
		{ 5, "<svg>", "SVG" },
		{ 8, "/9j/4AAQ", "base64" },
		{ 10, "iVBORw0KGg", "base64" },
		{ 6, "UklGRg", "base64" },
		{ 22, "data:image/png;base64,", "data URL" },
		{ 8, "https://", "address" },
		{ 6, "\\xffd8", "text form" },
	};

	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++)
	{
		eddh_error err;

		assert_int_equal(load_bytes((const uint8_t *) other[i].bytes, other[i].len, squash(8), NULL, NULL, &err),
						 EDDH_UNSUPPORTED);
		assert_message_has(&err, other[i].name);
		assert_true(strlen(err.hint) > 0);
	}
}

/* Every beginning of every kind is refused, and the error says how long it is or what is wrong with it. */
static void
truncation_at_every_length(void **state)
{
	for (int kind = 0; kind < N_KINDS; kind++)
	{
		encoded e = make_kind(kind);
		eddh_error err;

		if (load_bytes(e.bytes, e.len, squash(8), NULL, NULL, &err) != EDDH_OK)
			fail_msg("kind %d: %s", kind, err.message);
		for (size_t len = 0; len < e.len; len++)
		{
			eddh_code code = load_bytes(e.bytes, len, squash(8), NULL, NULL, &err);
			char position[32];

			/* The byte that pads the last chunk of a WebP is often forgotten, and holds nothing. */
			if (code == EDDH_OK && len == e.len - 1 && e.bytes[0] == 'R' && e.bytes[len] == 0)
				continue;
			if (code != EDDH_BAD_DATA)
				fail_msg("kind %d cut to %zu of %zu bytes: code %d, %s", kind, len, e.len, code, err.message);
			snprintf(position, sizeof(position), "%zu bytes", len);
			if (len > 12)
				assert_message_has(&err, position);
		}
		free(e.bytes);
	}
}

/* Damage of single bytes: any result, but no crash; an error is a complete one (load_bytes checks). */
static void
damage_at_every_byte(void **state)
{
	for (int kind = 0; kind < N_KINDS; kind++)
	{
		encoded e = make_kind(kind);
		eddh_error err;
		int refused = 0;

		for (size_t at = 0; at < e.len; at++)
			for (int bit = 0; bit < 8; bit += 3)
			{
				image_limits limits = { .max_pixels = 100000 };

				e.bytes[at] ^= (uint8_t) (1 << bit);
				refused += load_bytes(e.bytes, e.len, squash(8), &limits, NULL, &err) != EDDH_OK;
				e.bytes[at] ^= (uint8_t) (1 << bit);
			}
		assert_true(refused > 20);
		free(e.bytes);
	}
}

/* Bytes of the compressed data replaced: the position in the error lies where the damage is, not at the end. */
static void
damage_is_located(void **state)
{
	int side = 200;
	uint8_t *rgb = make_noise(side, side, 3);
	jpeg_options o = { .quality = 90 };
	encoded e = make_jpeg(rgb, side, side, o);
	size_t at = e.len / 2, said = 0;
	eddh_error err;

	memset(e.bytes + at, 0xFF, 1);
	memset(e.bytes + at + 1, 0xD9, 1); /* an end in the middle */
	assert_int_equal(load_bytes(e.bytes, e.len, squash(64), NULL, NULL, &err), EDDH_BAD_DATA);
	assert_int_equal(sscanf(err.message, "JPEG is damaged at byte %zu:", &said), 1);
	assert_in_range(said, at - 600, at + 600);
	free(e.bytes);
	e = make_png_rgb(rgb, side, side);
	e.bytes[at] ^= 1;
	assert_int_equal(load_bytes(e.bytes, e.len, squash(64), NULL, NULL, &err), EDDH_BAD_DATA);
	assert_int_equal(sscanf(err.message, "PNG is damaged before byte %zu:", &said), 1);
	assert_in_range(said, at, e.len);
	free(e.bytes);
	free(rgb);
}

/* Finds the frame header of a JPEG (SOF0..SOF2) and writes another size into it. */
static void
patch_jpeg_size(encoded *e, int width, int height)
{
	for (size_t at = 2; at + 9 < e->len; at++)
		if (e->bytes[at] == 0xFF && e->bytes[at + 1] >= 0xC0 && e->bytes[at + 1] <= 0xC2)
		{
			e->bytes[at + 5] = (uint8_t) (height >> 8);
			e->bytes[at + 6] = (uint8_t) height;
			e->bytes[at + 7] = (uint8_t) (width >> 8);
			e->bytes[at + 8] = (uint8_t) width;
			return;
		}
	fail_msg("no frame header");
}

static void
patch_png_size(encoded *e, uint32_t width, uint32_t height)
{
	uint32_t crc = 0xFFFFFFFFu;

	for (int i = 0; i < 4; i++)
	{
		e->bytes[16 + i] = (uint8_t) (width >> (24 - 8 * i));
		e->bytes[20 + i] = (uint8_t) (height >> (24 - 8 * i));
	}
	for (int i = 12; i < 29; i++)
	{
		crc ^= e->bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
	}
	crc = ~crc;
	for (int i = 0; i < 4; i++)
		e->bytes[29 + i] = (uint8_t) (crc >> (24 - 8 * i));
}

static void
huge_headers(void **state)
{
	static const uint32_t jpeg_size[][2] = { { 65535, 65535 }, { 65500, 65500 }, { 65500, 1600 } };
	static const uint32_t png_size[][2] = {
		{ 0x7FFFFFFF, 0x7FFFFFFF }, { 65535, 65535 }, { 1, 0x7FFFFFFF }, { 10001, 10000 }
	};
	eddh_error err;
	char size[32];

	for (int kind = 0; kind < 3; kind++)
		for (size_t i = 0; i < sizeof(jpeg_size) / sizeof(jpeg_size[0]); i++)
		{
			encoded e = make_kind(kind);

			patch_jpeg_size(&e, (int) jpeg_size[i][0], (int) jpeg_size[i][1]);
			assert_int_equal(load_bytes(e.bytes, e.len, squash(8), NULL, NULL, &err), EDDH_OVER_LIMIT);
			snprintf(size, sizeof(size), "%u x %u", jpeg_size[i][0], jpeg_size[i][1]);
			assert_message_has(&err, size);
			free(e.bytes);
		}
	for (int kind = 4; kind < 6; kind++)
		for (size_t i = 0; i < sizeof(png_size) / sizeof(png_size[0]); i++)
		{
			encoded e = make_kind(kind);

			patch_png_size(&e, png_size[i][0], png_size[i][1]);
			assert_int_equal(load_bytes(e.bytes, e.len, squash(8), NULL, NULL, &err), EDDH_OVER_LIMIT);
			snprintf(size, sizeof(size), "%u x %u", png_size[i][0], png_size[i][1]);
			assert_message_has(&err, size);
			free(e.bytes);
		}
	{
		encoded e = make_kind(7);

		/* Lossless: after the signature byte 14 bits each of width - 1 and height - 1. */
		memset(e.bytes + 21, 0xFF, 3);
		e.bytes[24] |= 0x0F;
		assert_int_equal(load_bytes(e.bytes, e.len, squash(8), NULL, NULL, &err), EDDH_OVER_LIMIT);
		assert_message_has(&err, "16384 x 16384");
		free(e.bytes);
	}
}

/* A size that the limits allow, over data for 16 x 16 pixels: refused for what is missing, within the memory it says. */
static void
larger_than_its_data(void **state)
{
	eddh_error err;
	encoded e = make_kind(0);

	patch_jpeg_size(&e, 9000, 9000);
	assert_int_equal(load_bytes(e.bytes, e.len, squash(8), NULL, NULL, &err), EDDH_BAD_DATA);
	free(e.bytes);
	e = make_kind(4);
	patch_png_size(&e, 9000, 9000);
	assert_int_equal(load_bytes(e.bytes, e.len, squash(8), NULL, NULL, &err), EDDH_BAD_DATA);
	free(e.bytes);
}

static void
empty_pictures(void **state)
{
	eddh_error err;
	encoded e = make_kind(0);

	patch_jpeg_size(&e, 16, 0);
	assert_int_equal(load_bytes(e.bytes, e.len, squash(8), NULL, NULL, &err), EDDH_BAD_DATA);
	free(e.bytes);
	e = make_kind(4);
	patch_png_size(&e, 0, 16);
	assert_int_equal(load_bytes(e.bytes, e.len, squash(8), NULL, NULL, &err), EDDH_BAD_DATA);
	free(e.bytes);
}

static void
pixel_limit_is_exact(void **state)
{
	for (int kind = 0; kind < 8; kind++)
	{
		encoded e = make_kind(kind);
		image_limits limits = { .max_pixels = kind == 3 ? SIDE * 12 : SIDE * SIDE };
		eddh_error err;

		assert_int_equal(load_bytes(e.bytes, e.len, squash(8), &limits, NULL, &err), EDDH_OK);
		limits.max_pixels--;
		assert_int_equal(load_bytes(e.bytes, e.len, squash(8), &limits, NULL, &err), EDDH_OVER_LIMIT);
		assert_message_has(&err, "16 x 1");
		assert_true(strlen(err.hint) > 0);
		free(e.bytes);
	}
}

/* 2,090 scans, each valid: only their number is absurd. */
static void
thousands_of_scans(void **state)
{
	uint8_t *rgb = make_gradient(SIDE, SIDE);
	int n;
	jpeg_scan_info *scans = make_scan_script(10, &n);
	jpeg_options o = { .scans = scans, .n_scans = n };
	encoded e = make_jpeg(rgb, SIDE, SIDE, o);
	image_limits limits = { .max_scans = n };
	eddh_error err;

	assert_true(n > 2000);
	assert_int_equal(load_bytes(e.bytes, e.len, squash(8), NULL, NULL, &err), EDDH_OVER_LIMIT);
	assert_message_has(&err, "500 scans");
	assert_int_equal(load_bytes(e.bytes, e.len, squash(8), &limits, NULL, &err), EDDH_OK);
	limits.max_scans--;
	assert_int_equal(load_bytes(e.bytes, e.len, squash(8), &limits, NULL, &err), EDDH_OVER_LIMIT);
	free(e.bytes);
	free(scans);
	free(rgb);
}

/* Kinds that are held whole are refused where that takes too much; rows alone are not. */
static void
memory_limit(void **state)
{
	int side = 400;
	uint8_t *rgb = make_gradient(side, side);
	jpeg_options progressive = { .progressive = true }, baseline = { 0 };
	png_options interlaced = { .colour_type = PNG_COLOR_TYPE_RGB, .interlaced = true };
	encoded held[] = { make_jpeg(rgb, side, side, progressive),
					   make_png(rgb, side, side, (size_t) side * 3, interlaced), make_webp(rgb, side, side, 3, 0, NULL),
					   make_webp(rgb, side, side, 3, 80, NULL) };
	encoded streamed[] = { make_jpeg(rgb, side, side, baseline), make_png_rgb(rgb, side, side) };
	image_limits limits = { .max_memory = 200000 };
	eddh_error err;

	for (size_t i = 0; i < sizeof(held) / sizeof(held[0]); i++)
	{
		assert_int_equal(load_bytes(held[i].bytes, held[i].len, squash(8), NULL, NULL, &err), EDDH_OK);
		assert_int_equal(load_bytes(held[i].bytes, held[i].len, squash(8), &limits, NULL, &err), EDDH_OVER_LIMIT);
		assert_message_has(&err, "200000");
		assert_message_has(&err, "memory");
		free(held[i].bytes);
	}
	for (size_t i = 0; i < sizeof(streamed) / sizeof(streamed[0]); i++)
	{
		assert_int_equal(load_bytes(streamed[i].bytes, streamed[i].len, squash(8), &limits, NULL, &err), EDDH_OK);
		free(streamed[i].bytes);
	}
	free(rgb);
}

/* A long row is counted, too: the resampler holds 35 bytes and more for each of its pixels, whatever the format. */
static void
memory_of_long_rows(void **state)
{
	int width = 40000, height = 2;
	uint8_t *rgb = make_gradient(width, height);
	jpeg_options baseline = { 0 };
	encoded rows[] = { make_jpeg(rgb, width, height, baseline), make_png_rgb(rgb, width, height) };
	image_limits limits = { .max_memory = 35 * (uint64_t) width };
	eddh_error err;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
	{
		assert_int_equal(load_bytes(rows[i].bytes, rows[i].len, squash(8), NULL, NULL, &err), EDDH_OK);
		assert_int_equal(load_bytes(rows[i].bytes, rows[i].len, squash(8), &limits, NULL, &err), EDDH_OVER_LIMIT);
		assert_message_has(&err, "memory");
		free(rows[i].bytes);
	}
	free(rgb);
}

static bool
stop_at_third(void *arg)
{
	return ++*(int *) arg >= 3;
}

static bool
stop_at_once(void *arg)
{
	return true;
}

static void
stop_is_obeyed(void **state)
{
	for (int kind = 0; kind < N_KINDS; kind++)
	{
		encoded e = make_kind(kind);
		int calls = 0;
		eddh_stop later = { stop_at_third, &calls }, now = { stop_at_once, NULL };
		image_limits limits = { .stop = &now };
		eddh_error err;

		assert_int_equal(load_bytes(e.bytes, e.len, squash(8), &limits, NULL, &err), EDDH_STOPPED);
		/* WebP looks once in 64 kB. */
		limits.stop = &later;
		if (e.bytes[0] != 'R')
			assert_int_equal(load_bytes(e.bytes, e.len, squash(8), &limits, NULL, &err), EDDH_STOPPED);
		free(e.bytes);
	}
}

/* EXIF that lies in every way there is: the picture is good and counts as upright. */
static void
absurd_exif(void **state)
{
	static const struct
	{
		const char *what;
		size_t len;
		const char *tiff;
	} block[] = {
		{ "nothing", 0, "" },
		{ "half a header", 5, "II*\0\x08" },
		{ "no such byte order", 26, "XX*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0" },
		{ "directory far beyond", 26, "II*\0\xF0\xFF\xFF\xFF\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0" },
		{ "directory just beyond", 8, "II*\0\x08\0\0\0" },
		{ "directory in the header", 26, "II*\0\0\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0" },
		{ "half a count", 9, "II*\0\x08\0\0\0\1" },
		{ "65535 entries announced, one other there", 22, "II*\0\x08\0\0\0\xFF\xFF\x0F\1\2\0\1\0\0\0\6\0\0\0" },
		{ "half an entry", 20, "II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0" },
		{ "huge count of values", 26, "II*\0\x08\0\0\0\1\0\x12\1\3\0\xFF\xFF\xFF\xFF\6\0\0\0\0\0\0\0" },
		{ "text", 26, "II*\0\x08\0\0\0\1\0\x12\1\2\0\1\0\0\0\6\0\0\0\0\0\0\0" },
		{ "orientation 0", 26, "II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\0\0\0\0\0\0\0\0" },
		{ "orientation 9", 26, "II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\x09\0\0\0\0\0\0\0" },
		{ "orientation 65535", 26, "II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\xFF\xFF\0\0\0\0\0\0" },
		{ "orientation four billion", 26, "II*\0\x08\0\0\0\1\0\x12\1\4\0\1\0\0\0\xFF\xFF\xFF\xFF\0\0\0\0" },
		{ "a next directory that is itself", 26, "II*\0\x08\0\0\0\1\0\x0F\1\3\0\1\0\0\0\6\0\0\0\x08\0\0\0" },
	};
	uint8_t *rgb = make_corners(SIDE, SIDE);

	for (size_t i = 0; i < sizeof(block) / sizeof(block[0]); i++)
	{
		encoded exif = { NULL, 0 };
		jpeg_options o = { .exif = &exif };
		encoded file[3];

		make_append(&exif, block[i].tiff, block[i].len);
		file[0] = make_jpeg(rgb, SIDE, SIDE, o);
		file[1] = make_webp(rgb, SIDE, SIDE, 3, 0, &exif);
		file[2] = make_png_rgb(rgb, SIDE, SIDE);
		for (int k = 0; k < 3; k++)
		{
			uint8_t *loaded = load_good(&file[k], squash(SIDE));
			image_info info;

			assert_corners(loaded, SIDE, 12, block[i].what);
			assert_int_equal(image_probe(file[k].bytes, file[k].len, NULL, &info, NULL), EDDH_OK);
			assert_int_equal(info.orientation, 1);
			free(loaded);
			free(file[k].bytes);
		}
		free(exif.bytes);
	}
	free(rgb);
}

/* All 65,533 bytes of a segment, entries of other tags only. */
static void
exif_full_of_entries(void **state)
{
	static const uint8_t entry[12] = { 0x0F, 1, 2, 0, 1 };
	uint8_t *rgb = make_corners(SIDE, SIDE);
	encoded exif = { NULL, 0 };
	jpeg_options o = { .exif = &exif };
	encoded e;
	uint8_t *loaded;

	make_append(&exif, "II*\0\x08\0\0\0\xFF\xFF", 10);
	while (exif.len + 12 <= 65527)
		make_append(&exif, entry, 12);
	e = make_jpeg(rgb, SIDE, SIDE, o);
	loaded = load_good(&e, squash(SIDE));
	assert_corners(loaded, SIDE, 12, "full");
	free(loaded);
	free(e.bytes);
	free(exif.bytes);
	free(rgb);
}

static void
kinds_of_jpeg_we_do_not_read(void **state)
{
	encoded e = make_kind(0);
	eddh_error err;

	for (size_t at = 2; at + 9 < e.len; at++)
		if (e.bytes[at] == 0xFF && e.bytes[at + 1] == 0xC0)
		{
			e.bytes[at + 1] = 0xC3; /* lossless */
			assert_int_equal(load_bytes(e.bytes, e.len, squash(8), NULL, NULL, &err), EDDH_UNSUPPORTED);
			assert_message_has(&err, "0xc3");
			e.bytes[at + 1] = 0xC1;
			e.bytes[at + 4] = 12; /* bits */
			assert_int_equal(load_bytes(e.bytes, e.len, squash(8), NULL, NULL, &err), EDDH_UNSUPPORTED);
			assert_message_has(&err, "12");
			break;
		}
	free(e.bytes);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_bytes),
		cmocka_unit_test(zero_bytes),
		cmocka_unit_test(other_formats_are_named),
		cmocka_unit_test(truncation_at_every_length),
		cmocka_unit_test(damage_at_every_byte),
		cmocka_unit_test(damage_is_located),
		cmocka_unit_test(huge_headers),
		cmocka_unit_test(larger_than_its_data),
		cmocka_unit_test(empty_pictures),
		cmocka_unit_test(pixel_limit_is_exact),
		cmocka_unit_test(thousands_of_scans),
		cmocka_unit_test(memory_limit),
		cmocka_unit_test(memory_of_long_rows),
		cmocka_unit_test(stop_is_obeyed),
		cmocka_unit_test(absurd_exif),
		cmocka_unit_test(exif_full_of_entries),
		cmocka_unit_test(kinds_of_jpeg_we_do_not_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
