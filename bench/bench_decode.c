/*
 * bench_decode.c: processor milliseconds (one thread) from a picture's bytes to what a network of 224 x 224 takes: decoded and resized, then normalised. The least
 * of several passes over all pictures, and a checksum of the pixels, to tell that two builds decode alike.
 *
 *   bench_decode FILE...
 */
#include "bench.h"
#include "image/image.h"

enum
{
	PASSES = 9,
	SIDE = 224
};

typedef struct bench_file
{
	uint8_t *bytes;
	size_t len;
} bench_file;

static bench_file
read_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	bench_file file = { 0 };
	long len;

	if (f == NULL || fseek(f, 0, SEEK_END) != 0 || (len = ftell(f)) < 0 || fseek(f, 0, SEEK_SET) != 0)
	{
		perror(path);
		exit(1);
	}
	file.len = (size_t) len;
	file.bytes = malloc(file.len);
	if (fread(file.bytes, 1, file.len, f) != file.len)
	{
		fprintf(stderr, "%s: cannot be read\n", path);
		exit(1);
	}
	fclose(f);
	return file;
}

int
main(int argc, char **argv)
{
	const image_prep prep = { .size = SIDE, .mean = { 127.5f, 127.5f, 127.5f }, .std = { 127.5f, 127.5f, 127.5f } };
	uint8_t *rgb = malloc(3 * SIDE * SIDE);
	float *input = malloc(3 * SIDE * SIDE * sizeof *input);
	bench_file *files = malloc((size_t) argc * sizeof *files);
	double decode = 1e9, normalise = 1e9;
	uint64_t sum = 0;
	eddh_error err;

	if (argc < 2)
	{
		fprintf(stderr, "usage: bench_decode FILE...\n");
		return 2;
	}
	for (int i = 1; i < argc; i++)
		files[i] = read_file(argv[i]);
	for (int pass = 0; pass < PASSES; pass++)
	{
		double in_decode = 0, in_normalise = 0;

		for (int i = 1; i < argc; i++)
		{
			double start = bench_seconds(CLOCK_PROCESS_CPUTIME_ID), middle;

			bench_check(image_load(files[i].bytes, files[i].len, &prep, NULL, rgb, &err), &err);
			middle = bench_seconds(CLOCK_PROCESS_CPUTIME_ID);
			image_normalise(&prep, rgb, input);
			in_decode += middle - start;
			in_normalise += bench_seconds(CLOCK_PROCESS_CPUTIME_ID) - middle;
			for (int j = 0; pass == 0 && j < 3 * SIDE * SIDE; j++)
				sum = sum * 31 + rgb[j];
		}
		decode = in_decode < decode ? in_decode : decode;
		normalise = in_normalise < normalise ? in_normalise : normalise;
	}
	printf("%d pictures: decoded %.3f ms, normalised %.3f ms each; pixels %016llx\n", argc - 1,
		   1e3 * decode / (argc - 1), 1e3 * normalise / (argc - 1), (unsigned long long) sum);
	for (int i = 1; i < argc; i++)
		free(files[i].bytes);
	free(files);
	free(rgb);
	free(input);
	return 0;
}
