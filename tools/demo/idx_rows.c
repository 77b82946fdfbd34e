/*
 * idx_rows: packs a pair of IDX files (LeCun's format of MNIST and Fashion-MNIST, gzipped) as JPEG rows for COPY.
 *
 *	idx_rows IMAGES.gz LABELS.gz FIRST_ID NAME0,NAME1,... > rows
 *
 * Prints id, label name and picture (bytea in hex), tab-separated. Grey JPEG of quality 90.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <jpeglib.h>

#define MAX_CLASSES 256

static void
die(const char *what, const char *file)
{
	fprintf(stderr, "idx_rows: %s: %s\n", file, what);
	exit(1);
}

static void
read_exactly(gzFile f, void *to, unsigned len, const char *name)
{
	if (gzread(f, to, len) != (int) len)
		die("file ends too early", name);
}

static uint32_t
read_be32(gzFile f, const char *name)
{
	uint8_t b[4];

	read_exactly(f, b, sizeof(b), name);
	return (uint32_t) b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3];
}

static gzFile
open_idx(const char *name, uint32_t magic, uint32_t *count)
{
	gzFile f = gzopen(name, "rb");

	if (f == NULL)
		die("cannot open", name);
	if (read_be32(f, name) != magic)
		die("not an IDX file of the expected kind", name);
	*count = read_be32(f, name);
	return f;
}

/* *jpeg grows as libjpeg likes and is reused from call to call. */
static unsigned long
compress_grey(const uint8_t *pixels, int width, int height, uint8_t **jpeg)
{
	struct jpeg_compress_struct cinfo;
	struct jpeg_error_mgr errors;
	unsigned long len = 0;

	free(*jpeg);
	*jpeg = NULL;
	cinfo.err = jpeg_std_error(&errors);
	jpeg_create_compress(&cinfo);
	jpeg_mem_dest(&cinfo, jpeg, &len);
	cinfo.image_width = width;
	cinfo.image_height = height;
	cinfo.input_components = 1;
	cinfo.in_color_space = JCS_GRAYSCALE;
	jpeg_set_defaults(&cinfo);
	jpeg_set_quality(&cinfo, 90, TRUE);
	jpeg_start_compress(&cinfo, TRUE);
	for (int y = 0; y < height; y++)
	{
		JSAMPROW row = (JSAMPROW) pixels + (size_t) y * width;

		jpeg_write_scanlines(&cinfo, &row, 1);
	}
	jpeg_finish_compress(&cinfo);
	jpeg_destroy_compress(&cinfo);
	return len;
}

int
main(int argc, char **argv)
{
	static const char hex[] = "0123456789abcdef";
	char *names[MAX_CLASSES];
	int classes = 0;
	uint32_t images, labels, height, width;
	gzFile image_file, label_file;
	uint8_t *pixels, *jpeg = NULL;
	long first;

	if (argc != 5)
	{
		fprintf(stderr, "usage: idx_rows IMAGES.gz LABELS.gz FIRST_ID NAME0,NAME1,...\n");
		return 1;
	}
	image_file = open_idx(argv[1], 0x803, &images);
	height = read_be32(image_file, argv[1]);
	width = read_be32(image_file, argv[1]);
	label_file = open_idx(argv[2], 0x801, &labels);
	if (images != labels)
		die("as many labels as pictures expected", argv[2]);
	if (height == 0 || width == 0 || height > 4096 || width > 4096)
		die("absurd picture size", argv[1]);
	first = atol(argv[3]);
	for (char *name = strtok(argv[4], ","); name != NULL && classes < MAX_CLASSES; name = strtok(NULL, ","))
		names[classes++] = name;

	pixels = malloc((size_t) height * width);
	if (pixels == NULL)
		die("out of memory", argv[1]);
	for (uint32_t i = 0; i < images; i++)
	{
		uint8_t label;
		unsigned long len;

		read_exactly(image_file, pixels, height * width, argv[1]);
		read_exactly(label_file, &label, 1, argv[2]);
		if (label >= classes)
			die("a label without a name", argv[2]);
		len = compress_grey(pixels, width, height, &jpeg);
		printf("%ld\t%s\t\\\\x", first + i, names[label]);
		for (unsigned long b = 0; b < len; b++)
		{
			putchar_unlocked(hex[jpeg[b] >> 4]);
			putchar_unlocked(hex[jpeg[b] & 15]);
		}
		putchar_unlocked('\n');
	}
	return ferror(stdout) || fflush(stdout) != 0;
}
