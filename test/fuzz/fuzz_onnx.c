/*
 * fuzz_onnx.c: any bytes, as an ONNX file or, where they begin like one, as a flat block. What is accepted must run, forward and backward, and be written
 * and read again.
 */
#include "nn/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

#define MOST_FLOATS 100000
#define MOST_MACS   1000000

static void
check(bool holds, const char *what, const eddh_error *err)
{
	if (holds)
		return;
	fprintf(stderr, "does not hold: %s (%s)\n", what, err->message);
	abort();
}

/* Sizes that ask for much memory or time are a caller's business, not this program's. */
static bool
is_small(const nn_graph *graph)
{
	uint64_t floats = 0;
	uint64_t work = nn_graph_macs(graph);

	for (size_t i = 0; i < graph->n_tensors; i++)
		floats += graph->tensors[i].count;
	for (size_t i = 0; i < graph->n_nodes; i++)
		if (graph->nodes[i].op == NN_OP_MAXPOOL || graph->nodes[i].op == NN_OP_AVGPOOL)
			work += graph->tensors[graph->nodes[i].output].count *
					(uint64_t) (graph->nodes[i].window.kh * graph->nodes[i].window.kw);
	return floats < MOST_FLOATS && work < MOST_MACS;
}

static void *
zeroes(size_t bytes)
{
	void *p = aligned_alloc(64, (bytes + 64) / 64 * 64);

	if (p == NULL)
		abort();
	memset(p, 0, bytes);
	return p;
}

static void
run(const nn_graph *graph, bool training)
{
	size_t in = nn_graph_input_shape(graph).count;
	size_t out = nn_graph_output_shape(graph).count;
	eddh_error err = { 0 };
	nn_plan *plan;
	float *x = zeroes(2 * in * sizeof(float));
	float *y = zeroes(2 * out * sizeof(float));
	float *dw = zeroes((nn_graph_parameters(graph) + 1) * sizeof(float));
	float *arena;

	check(nn_plan_create(graph, 2, training, &plan, &err) == EDDH_OK, "what is read can be planned", &err);
	if (nn_plan_arena_size(plan) < (size_t) 256 << 20)
	{
		arena = zeroes(nn_plan_arena_size(plan));
		check(nn_forward(plan, 2, x, arena, y, NULL, &err) == EDDH_OK, "forward runs", &err);
		if (training)
			check(nn_backward(plan, 2, x, arena, y, dw, x, NULL, &err) == EDDH_OK, "backward runs", &err);
		free(arena);
	}
	nn_plan_free(plan);
	free(x);
	free(y);
	free(dw);
}

static void
write_and_read(const nn_graph *graph, const nn_limits *limits)
{
	eddh_error err = { 0 };
	nn_buffer file;
	nn_graph *read;
	eddh_code code;

	check(nn_graph_write_onnx(graph, &file, &err) == EDDH_OK, "what is read can be written", &err);
	code = nn_graph_read_onnx(file.bytes, file.len, limits, &read, &err);
	check(code == EDDH_OK || code == EDDH_OVER_LIMIT, "what is written can be read", &err);
	nn_buffer_free(&file);
	nn_graph_free(read);
}

static void
through_flat(const nn_graph *graph)
{
	size_t len = nn_flat_size(graph);
	uint8_t *block = zeroes(len);
	eddh_error err = { 0 };
	nn_graph *attached;

	nn_flat_write(graph, block);
	check(nn_flat_attach(block, len, &attached, &err) == EDDH_OK, "what is read can be mapped", &err);
	nn_graph_free(attached);
	free(block);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const nn_limits limits = { .max_bytes = 1 << 20,
									  .max_parameters = MOST_FLOATS,
									  .max_activation = MOST_FLOATS };
	eddh_error err = { 0 };
	nn_graph *graph = NULL;
	uint8_t *block = NULL;
	eddh_code code;

	if (len >= 8 && memcmp(bytes, "parghdde", 8) == 0)
	{
		block = zeroes(len);
		memcpy(block, bytes, len);
		code = nn_flat_attach(block, len, &graph, &err);
	}
	else
		code = nn_graph_read_onnx(bytes, len, &limits, &graph, &err);
	check(code == EDDH_OK ? graph != NULL : graph == NULL && err.code == code && err.message[0] != '\0',
		  "an error is complete", &err);
	if (code == EDDH_OK && is_small(graph))
	{
		run(graph, false);
		if (graph->n_halves == 0)
			run(graph, true);
		if (block == NULL)
			write_and_read(graph, &limits);
		through_flat(graph);
	}
	nn_graph_free(graph);
	free(block);
	return 0;
}
