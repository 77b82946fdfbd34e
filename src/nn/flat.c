/*
 * flat.c: a graph as one block: header, tables, strings, weights. The weights of an attached graph stay in the block, so that many processes map one
 * file; the tables, some kilobytes, are copied, checked and only then used.
 */
#include "nn/graph.h"

#include <stdlib.h>
#include <string.h>

#define FLAT_ALIGN 64

/* Names the layout: a build whose structs differ in size, or a machine of other byte order, does not recognise the block. Raise VERSION when meanings change. */
#define FLAT_MAGIC   UINT64_C(0x6564646867726170)
#define FLAT_VERSION 1

typedef struct flat_header
{
	uint64_t magic;
	uint32_t version;
	uint32_t node_size;
	uint32_t tensor_size;
	uint32_t op_count;
	uint64_t n_tensors, n_nodes, n_edges, n_metas, strings_len, n_weights;
	uint64_t total; /* bytes */
} flat_header;

/* Offsets of the parts; total 0 when they do not fit a size_t. */
typedef struct flat_layout
{
	size_t tensors, nodes, edges, metas, strings, weights, total;
} flat_layout;

static bool
place(size_t *at, size_t *where, uint64_t n, size_t width, size_t align)
{
	size_t bytes;
	size_t rounded;

	if (n > SIZE_MAX || !eddh_size_mul((size_t) n, width, &bytes) || !eddh_size_add(*at, align - 1, &rounded))
		return false;
	*where = rounded / align * align;
	return eddh_size_add(*where, bytes, at);
}

static flat_layout
layout_of(const flat_header *header)
{
	flat_layout layout = { 0 };
	size_t at = sizeof(*header);

	if (place(&at, &layout.tensors, header->n_tensors, sizeof(nn_tensor), 8) &&
		place(&at, &layout.nodes, header->n_nodes, sizeof(nn_node), 8) &&
		place(&at, &layout.edges, header->n_edges, sizeof(uint32_t), 8) &&
		place(&at, &layout.metas, header->n_metas, sizeof(nn_meta), 8) &&
		place(&at, &layout.strings, header->strings_len, 1, 8) &&
		place(&at, &layout.weights, header->n_weights, sizeof(float), FLAT_ALIGN))
		layout.total = at;
	return layout;
}

static flat_header
header_of(const nn_graph *graph)
{
	flat_header header = { .magic = FLAT_MAGIC,
						   .version = FLAT_VERSION,
						   .node_size = sizeof(nn_node),
						   .tensor_size = sizeof(nn_tensor),
						   .op_count = NN_OP_COUNT,
						   .n_tensors = graph->n_tensors,
						   .n_nodes = graph->n_nodes,
						   .n_edges = graph->n_edges,
						   .n_metas = graph->n_metas,
						   .strings_len = graph->strings_len,
						   .n_weights = graph->n_weights };

	header.total = layout_of(&header).total;
	return header;
}

size_t
nn_flat_size(const nn_graph *graph)
{
	return (size_t) header_of(graph).total;
}

static void
put(uint8_t *block, size_t at, const void *from, size_t bytes)
{
	if (bytes > 0)
		memcpy(block + at, from, bytes);
}

void
nn_flat_write(const nn_graph *graph, uint8_t *block)
{
	flat_header header = header_of(graph);
	flat_layout layout = layout_of(&header);

	memset(block, 0, layout.weights);
	memcpy(block, &header, sizeof(header));
	put(block, layout.tensors, graph->tensors, graph->n_tensors * sizeof(nn_tensor));
	put(block, layout.nodes, graph->nodes, graph->n_nodes * sizeof(nn_node));
	put(block, layout.edges, graph->edges, graph->n_edges * sizeof(uint32_t));
	put(block, layout.metas, graph->metas, graph->n_metas * sizeof(nn_meta));
	put(block, layout.strings, graph->strings, graph->strings_len);
	put(block, layout.weights, graph->weights, graph->n_weights * sizeof(float));
}

static void *
take(const uint8_t *block, size_t at, size_t bytes)
{
	void *copy = malloc(bytes > 0 ? bytes : 1);

	if (copy != NULL)
		memcpy(copy, block + at, bytes);
	return copy;
}

eddh_code
nn_flat_attach(const uint8_t *block, size_t len, nn_graph **out, eddh_error *err)
{
	flat_header header;
	flat_layout layout;
	nn_graph *graph;
	eddh_code code;

	*out = NULL;
	if (len < sizeof(header))
		return eddh_fail(err, EDDH_BAD_DATA, "flat network of %zu bytes has no header", len);
	memcpy(&header, block, sizeof(header));
	if (header.magic != FLAT_MAGIC || header.version != FLAT_VERSION || header.node_size != sizeof(nn_node) ||
		header.tensor_size != sizeof(nn_tensor) || header.op_count != NN_OP_COUNT)
		return eddh_fail(err, EDDH_BAD_DATA, "flat network was written by another build");
	layout = layout_of(&header);
	if (layout.total == 0 || layout.total != header.total || layout.total > len)
		return eddh_fail(err, EDDH_BAD_DATA, "flat network needs %llu bytes, has %zu",
						 (unsigned long long) header.total, len);
	if ((uintptr_t) (block + layout.weights) % sizeof(float) != 0)
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "flat network is not aligned");
	if ((code = nn_graph_new(&graph, err)) != EDDH_OK)
		return code;
	graph->n_tensors = graph->cap_tensors = (size_t) header.n_tensors;
	graph->n_nodes = graph->cap_nodes = (size_t) header.n_nodes;
	graph->n_edges = graph->cap_edges = (size_t) header.n_edges;
	graph->n_metas = graph->cap_metas = (size_t) header.n_metas;
	graph->strings_len = graph->cap_strings = (size_t) header.strings_len;
	graph->n_weights = graph->cap_weights = (size_t) header.n_weights;
	graph->tensors = take(block, layout.tensors, graph->n_tensors * sizeof(nn_tensor));
	graph->nodes = take(block, layout.nodes, graph->n_nodes * sizeof(nn_node));
	graph->edges = take(block, layout.edges, graph->n_edges * sizeof(uint32_t));
	graph->metas = take(block, layout.metas, graph->n_metas * sizeof(nn_meta));
	graph->strings = take(block, layout.strings, graph->strings_len);
	graph->weights_borrowed = true;

	/* Never written: whoever changes weights (the trainer) works on a copy. */
	graph->weights = (float *) (uintptr_t) (block + layout.weights);
	graph->input = 0;
	graph->output = (uint32_t) (graph->n_tensors - 1);
	if (graph->tensors == NULL || graph->nodes == NULL || graph->edges == NULL || graph->metas == NULL ||
		graph->strings == NULL)
		code = eddh_fail(err, EDDH_NO_MEMORY, "out of memory");
	else
		code = nn_graph_check(graph, err);
	if (code != EDDH_OK)
	{
		nn_graph_free(graph);
		return code;
	}
	*out = graph;
	return EDDH_OK;
}
