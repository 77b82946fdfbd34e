/*
 * bench_train.c: training pictures per second of cnn-s with a hash layer, batch 128, for 1 and 2 threads (or those given), in alternating rounds.
 *
 *   bench_train [threads...]
 *
 * Prints the median over rounds of one step over a batch: fetch, forward, a stand-in for the method's gradient, backward, SGD with momentum.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "common/random.h"
#include "nn/nn.h"

#define BATCH    128
#define ROUNDS   9
#define STEPS    12
#define PICTURES 1024
#define BITS     48
#define MOST     8

typedef struct data
{
	float *pixels;
	size_t inputs;
} data;

static eddh_code
fetch(void *arg, size_t row, float *input, const eddh_stop *stop, eddh_error *err)
{
	data *d = arg;

	memcpy(input, d->pixels + row * d->inputs, d->inputs * sizeof *input);
	return EDDH_OK;
}

static eddh_code
gradient(void *arg, int n, const uint32_t *rows, const float *u, float *du, eddh_error *err)
{
	for (int i = 0; i < n * BITS; i++)
		du[i] = (u[i] - (((rows[i / BITS] + (uint32_t) i) & 1) ? 1.0f : -1.0f)) / (float) (n * BITS);
	return EDDH_OK;
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *) a, y = *(const double *) b;

	return (x > y) - (x < y);
}

int
main(int argc, char **argv)
{
	int threads[MOST] = { 1, 2 };
	int n = 2;
	nn_sgd sgd = { .rate_first = 1e-2,
				   .rate_last = 1e-4,
				   .total_steps = 100000,
				   .momentum = 0.9,
				   .weight_decay = 5e-4,
				   .pretrained_factor = 1.0 };
	nn_trainer *trainers[MOST];
	double seconds[MOST][ROUNDS];
	nn_graph *trunk, *head, *graph;
	eddh_error err;
	eddh_rng rng;
	data d;

	if (argc > 1)
		for (n = 0; n < argc - 1 && n < MOST; n++)
			threads[n] = atoi(argv[n + 1]);
	bench_check(nn_graph_cnn_s(1, &trunk, &err), &err);
	bench_check(nn_graph_dense(nn_graph_output_shape(trunk).count, BITS, 1, NULL, NULL, &head, &err), &err);
	bench_check(nn_graph_join(trunk, head, &graph, &err), &err);
	d.inputs = nn_graph_input_shape(graph).count;
	d.pixels = malloc(PICTURES * d.inputs * sizeof(float));
	eddh_rng_seed(&rng, 1);
	for (size_t i = 0; i < PICTURES * d.inputs; i++)
		d.pixels[i] = (float) (eddh_rng_uniform(&rng) * 4.0 - 2.0);
	for (int i = 0; i < n; i++)
		bench_check(nn_trainer_create(graph, threads[i], BATCH, &sgd, &trainers[i], &err), &err);
	for (int r = -1; r < ROUNDS; r++)
		for (int i = 0; i < n; i++)
		{
			double begin = bench_seconds(CLOCK_MONOTONIC);

			for (int s = 0; s < STEPS; s++)
			{
				uint32_t rows[BATCH];

				for (int j = 0; j < BATCH; j++)
					rows[j] = (uint32_t) eddh_rng_below(&rng, PICTURES);
				bench_check(nn_trainer_step(trainers[i], BATCH, rows, fetch, &d, gradient, NULL, NULL, &err), &err);
			}
			if (r >= 0)
				seconds[i][r] = (bench_seconds(CLOCK_MONOTONIC) - begin) / STEPS;
		}
	printf("cnn-s, %d bits, %.1f million multiply-adds forward, batch %d\n", BITS, (double) nn_graph_macs(graph) * 1e-6,
		   BATCH);
	for (int i = 0; i < n; i++)
	{
		qsort(seconds[i], ROUNDS, sizeof(double), by_value);
		printf("%d thread%s %8.0f pictures/s (best round %.0f)\n", threads[i], threads[i] == 1 ? " " : "s",
			   BATCH / seconds[i][ROUNDS / 2], BATCH / seconds[i][0]);
		nn_trainer_free(trainers[i]);
	}
	nn_graph_free(trunk);
	nn_graph_free(head);
	nn_graph_free(graph);
	free(d.pixels);
	return 0;
}
