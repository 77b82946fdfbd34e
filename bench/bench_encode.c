/*
 * bench_encode.c: milliseconds a picture of a network's forward pass, one thread, no decoding.
 *
 *   bench_encode NETWORK [batch...]           prints a table
 *   bench_encode --layers NETWORK [batch]     where the time goes, layer by layer
 *   bench_encode --export NETWORK FILE.onnx   writes the graph for another runtime
 *   bench_encode --serve NETWORK BATCH        answers each line "run N" with the milliseconds of N passes, for bench/encode
 *
 * A NETWORK is cnn-f, cnn-f-half (weights that half precision holds), cnn-s or FILE.onnx. It is run from the flat form, as backends do.
 *
 * With EDDH_BENCH_CPU set, processor time instead of wall time: for a machine that others use, too.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "common/random.h"
#include "nn/gemm.h"
#include "nn/graph.h"
#include "nn/nn.h"

#define ROUNDS 9

/* Milliseconds. */
static double
now(void)
{
	return 1e3 * bench_seconds(getenv("EDDH_BENCH_CPU") != NULL ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC);
}

/* Without the bits that a half has no room for. */
static void
halve(nn_graph *graph)
{
	for (size_t i = 0; i < graph->n_weights; i++)
	{
		uint32_t bits;

		memcpy(&bits, &graph->weights[i], sizeof bits);
		bits &= ~(uint32_t) 0x1fff;
		memcpy(&graph->weights[i], &bits, sizeof bits);
		if (graph->weights[i] < 0x1p-14f && graph->weights[i] > -0x1p-14f)
			graph->weights[i] = 0;
	}
}

static nn_graph *
load(const char *name)
{
	bool half = strcmp(name, "cnn-f-half") == 0;
	nn_graph *graph;
	eddh_error err;
	uint8_t *bytes;
	long len;
	FILE *file;

	if (half || strcmp(name, "cnn-f") == 0)
	{
		bench_check(nn_graph_cnn_f(1, &graph, &err), &err);
		if (half)
			halve(graph);
		return graph;
	}
	if (strcmp(name, "cnn-s") == 0)
	{
		bench_check(nn_graph_cnn_s(1, &graph, &err), &err);
		return graph;
	}
	file = fopen(name, "rb");
	if (file == NULL || fseek(file, 0, SEEK_END) != 0 || (len = ftell(file)) < 0)
	{
		perror(name);
		exit(1);
	}
	rewind(file);
	bytes = malloc((size_t) len);
	if (bytes == NULL || fread(bytes, 1, (size_t) len, file) != (size_t) len)
	{
		perror(name);
		exit(1);
	}
	fclose(file);
	bench_check(nn_graph_read_onnx(bytes, (size_t) len, &nn_limits_default, &graph, &err), &err);
	free(bytes);
	return graph;
}

static void *
room(size_t bytes)
{
	void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);

	if (memory == NULL)
	{
		fprintf(stderr, "bench_encode: out of memory\n");
		exit(1);
	}
	return memory;
}

/* The block stays until the program ends. */
static nn_graph *
load_mapped(const char *name)
{
	nn_graph *graph = load(name), *mapped;
	size_t len = nn_flat_size(graph);
	uint8_t *block = room(len);
	eddh_error err;

	nn_flat_write(graph, block);
	nn_graph_free(graph);
	bench_check(nn_flat_attach(block, len, &mapped, &err), &err);
	return mapped;
}

typedef struct bench
{
	nn_plan *plan;
	int batch;
	float *input, *output, *arena;
} bench;

static bench
prepare(const nn_graph *graph, int batch)
{
	bench b = { .batch = batch };
	size_t count = nn_graph_input_shape(graph).count * (size_t) batch;
	eddh_error err;
	eddh_rng rng;

	bench_check(nn_plan_create(graph, batch, false, &b.plan, &err), &err);
	b.input = room(count * sizeof(float));
	b.output = room(nn_graph_output_shape(graph).count * (size_t) batch * sizeof(float));
	b.arena = room(nn_plan_arena_size(b.plan));
	eddh_rng_seed(&rng, 1);
	for (size_t i = 0; i < count; i++)
		b.input[i] = (float) (eddh_rng_uniform(&rng) * 2.0 - 1.0);
	return b;
}

static void
release(bench *b)
{
	nn_plan_free(b->plan);
	free(b->input);
	free(b->output);
	free(b->arena);
}

/* Milliseconds of `times` passes. */
static double
run(const bench *b, int times)
{
	double begin = now();
	eddh_error err;

	for (int i = 0; i < times; i++)
		bench_check(nn_forward(b->plan, b->batch, b->input, b->arena, b->output, NULL, &err), &err);
	return now() - begin;
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *) a, y = *(const double *) b;

	return (x > y) - (x < y);
}

/* Median milliseconds a picture over rounds of about 100 ms. */
static double
median(const bench *b)
{
	double times[ROUNDS];
	int passes = (int) (100.0 / (run(b, 2) / 2.0)) + 1;

	for (int r = 0; r < ROUNDS; r++)
		times[r] = run(b, passes) / passes / b->batch;
	qsort(times, ROUNDS, sizeof(double), by_value);
	return times[ROUNDS / 2];
}

/* Per node: the least time of a pass, and whether a step of its own stands for it. */
typedef struct profile
{
	double last;
	double *this_pass;
	bool *told;
} profile;

static void
note(void *arg, int node)
{
	profile *p = arg;
	double t = now();

	p->this_pass[node] += t - p->last;
	p->told[node] = true;
	p->last = t;
}

/* Where the time goes: for each layer that does something (an activation melts into the layer before), its median over many passes. */
static void
layers(const nn_graph *graph, int batch)
{
	const char *name, *op, *output;
	bench b = prepare(graph, batch);
	int passes = (int) (300.0 / (run(&b, 2) / 2.0)) + 5;
	int nodes = 0;
	double all = 0.0;
	double *times;
	profile p;

	while (nn_graph_node_at(graph, nodes, &name, &op, &output))
		nodes++;
	p.this_pass = room((size_t) nodes * sizeof(double));
	p.told = room((size_t) nodes * sizeof(bool));
	memset(p.told, 0, (size_t) nodes * sizeof(bool));
	times = room((size_t) nodes * (size_t) passes * sizeof(double));
	for (int i = 0; i < passes; i++)
	{
		eddh_error err;

		memset(p.this_pass, 0, (size_t) nodes * sizeof(double));
		p.last = now();
		bench_check(nn_forward_watched(b.plan, batch, b.input, b.arena, b.output, note, &p, &err), &err);
		for (int j = 0; j < nodes; j++)
			times[(size_t) j * passes + i] = p.this_pass[j] / batch;
	}
	printf("%-32s %-20s %10s %8s %10s\n", "layer", "operator", "ms", "MMAC", "GFLOP/s");
	for (int j = 0; j < nodes; j++)
	{
		double macs = (double) nn_graph_node_macs(graph, j) * 1e-6;
		double ms;

		nn_graph_node_at(graph, j, &name, &op, &output);
		if (!p.told[j])
			continue;
		qsort(times + (size_t) j * passes, (size_t) passes, sizeof(double), by_value);
		ms = times[(size_t) j * passes + passes / 2];
		all += ms;
		/* The end of a long name tells more than its beginning. */
		printf("%-32s %-20s %10.4f %8.2f %10.1f\n", output + (strlen(output) > 32 ? strlen(output) - 32 : 0), op, ms,
			   macs, 2.0 * macs / ms);
	}
	printf("%-32s %-20s %10.4f\n", "all", "", all);
	free(times);
	free(p.this_pass);
	free(p.told);
	release(&b);
}

static void
export_graph(const char *name, const char *path)
{
	nn_graph *graph = load(name);
	nn_buffer buffer;
	eddh_error err;
	FILE *file = fopen(path, "wb");

	bench_check(nn_graph_write_onnx(graph, &buffer, &err), &err);
	if (file == NULL || fwrite(buffer.bytes, 1, buffer.len, file) != buffer.len || fclose(file) != 0)
	{
		perror(path);
		exit(1);
	}
	nn_buffer_free(&buffer);
	nn_graph_free(graph);
}

static void
serve(const nn_graph *graph, int batch)
{
	bench b = prepare(graph, batch);
	char line[64];

	run(&b, 2);
	printf("ready %s\n", nn_blas_name());
	fflush(stdout);
	while (fgets(line, sizeof line, stdin) != NULL)
	{
		int times;

		if (sscanf(line, "run %d", &times) != 1)
			break;
		printf("%.6f\n", run(&b, times));
		fflush(stdout);
	}
	release(&b);
}

int
main(int argc, char **argv)
{
	nn_graph *graph;

	if (argc == 4 && strcmp(argv[1], "--export") == 0)
	{
		export_graph(argv[2], argv[3]);
		return 0;
	}
	if (argc == 4 && strcmp(argv[1], "--serve") == 0)
	{
		graph = load_mapped(argv[2]);
		serve(graph, atoi(argv[3]));
	}
	else if ((argc == 3 || argc == 4) && strcmp(argv[1], "--layers") == 0)
	{
		graph = load_mapped(argv[2]);
		layers(graph, argc == 4 ? atoi(argv[3]) : 1);
	}
	else if (argc >= 2 && argv[1][0] != '-')
	{
		static char *usual[] = { "1", "32" };
		char **batches = argc > 2 ? argv + 2 : usual;
		int n = argc > 2 ? argc - 2 : 2;

		graph = load_mapped(argv[1]);
		for (int i = 0; i < n; i++)
		{
			bench b = prepare(graph, atoi(batches[i]));

			printf("%s batch %d: %.4f ms a picture\n", argv[1], b.batch, median(&b));
			release(&b);
		}
	}
	else
	{
		fprintf(stderr, "usage: bench_encode [--layers | --serve] NETWORK [BATCH...]\n"
						"       bench_encode --export NETWORK FILE.onnx\n");
		return 2;
	}
	nn_graph_free(graph);
	return 0;
}
