/*
 * bench_train_net.c: a training step of a whole network, for bench/train_torch.
 *
 *   bench_train_net FILE.onnx BATCH THREADS    answers each line "run N" with the milliseconds of N steps: fetch, forward, backward, SGD with momentum
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "common/random.h"
#include "nn/nn.h"

#define PICTURES 64

typedef struct data
{
	float *pixels;
	size_t inputs, outputs;
} data;

static eddh_code
fetch(void *arg, size_t row, float *input, const eddh_stop *stop, eddh_error *err)
{
	data *d = arg;

	memcpy(input, d->pixels + row * d->inputs, d->inputs * sizeof *input);
	return EDDH_OK;
}

/* Small and never the same, so that weights stay where they are and nothing can be left out. */
static eddh_code
gradient(void *arg, int n, const uint32_t *rows, const float *u, float *du, eddh_error *err)
{
	data *d = arg;

	for (size_t i = 0; i < (size_t) n * d->outputs; i++)
		du[i] = (i % 2 == 0 ? 1e-6f : -1e-6f) / (float) n;
	return EDDH_OK;
}

static uint8_t *
slurp(const char *path, size_t *len)
{
	FILE *file = fopen(path, "rb");
	uint8_t *bytes;
	long size;

	if (file == NULL || fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 0)
	{
		perror(path);
		exit(1);
	}
	rewind(file);
	bytes = malloc((size_t) size);
	if (bytes == NULL || fread(bytes, 1, (size_t) size, file) != (size_t) size)
	{
		perror(path);
		exit(1);
	}
	fclose(file);
	*len = (size_t) size;
	return bytes;
}

int
main(int argc, char **argv)
{
	nn_sgd sgd = { .rate_first = 1e-4,
				   .rate_last = 1e-4,
				   .total_steps = 100000,
				   .momentum = 0.9,
				   .weight_decay = 5e-4,
				   .pretrained_factor = 1.0 };
	nn_trainer *trainer;
	nn_graph *graph;
	eddh_error err;
	eddh_rng rng;
	uint8_t *bytes;
	size_t len;
	char line[64];
	int batch;
	data d;

	if (argc != 4)
	{
		fprintf(stderr, "usage: bench_train_net FILE.onnx BATCH THREADS\n");
		return 2;
	}
	bytes = slurp(argv[1], &len);
	batch = atoi(argv[2]);
	bench_check(nn_graph_read_onnx(bytes, len, &nn_limits_default, &graph, &err), &err);
	free(bytes);
	d.inputs = nn_graph_input_shape(graph).count;
	d.outputs = nn_graph_output_shape(graph).count;
	d.pixels = malloc(PICTURES * d.inputs * sizeof(float));
	eddh_rng_seed(&rng, 1);
	for (size_t i = 0; i < PICTURES * d.inputs; i++)
		d.pixels[i] = (float) (eddh_rng_uniform(&rng) * 2.0 - 1.0);
	bench_check(nn_trainer_create(graph, atoi(argv[3]), batch, &sgd, &trainer, &err), &err);
	printf("ready %zu\n", nn_trainer_memory(trainer) >> 20);
	fflush(stdout);
	while (fgets(line, sizeof line, stdin) != NULL)
	{
		double begin = bench_seconds(CLOCK_MONOTONIC);
		int times;

		if (sscanf(line, "run %d", &times) != 1)
			break;
		for (int s = 0; s < times; s++)
		{
			uint32_t rows[4096];

			for (int j = 0; j < batch && j < 4096; j++)
				rows[j] = (uint32_t) eddh_rng_below(&rng, PICTURES);
			bench_check(nn_trainer_step(trainer, batch, rows, fetch, &d, gradient, &d, NULL, &err), &err);
		}
		printf("%.6f\n", 1e3 * (bench_seconds(CLOCK_MONOTONIC) - begin));
		fflush(stdout);
	}
	nn_trainer_free(trainer);
	nn_graph_free(graph);
	free(d.pixels);
	return 0;
}
