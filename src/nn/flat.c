/*
 * flat.c: a graph as one block: header, tables, strings, weights, and those weights of large dense layers that half precision holds exactly. The weights of an
 * attached graph stay in the block, so that many processes map one file; the tables, some kilobytes, are copied, checked and only then used.
 */
#include "nn/flat.h"

#include <stdlib.h>
#include <string.h>

#include "nn/graph.h"
#include "nn/half.h"

#define FLAT_ALIGN 64

/* Names the layout: a build whose structs differ in size, or a machine of other byte order, does not recognise the block. Raise VERSION when meanings change. */
#define FLAT_MAGIC   UINT64_C(0x6564646867726170)
#define FLAT_VERSION 2

typedef struct flat_header
{
	uint64_t magic;
	uint32_t version;
	uint32_t node_size;
	uint32_t tensor_size;
	uint32_t op_count;
	uint64_t n_tensors, n_nodes, n_edges, n_metas, strings_len, n_weights, n_halves;
	uint64_t total; /* bytes */
} flat_header;

/* Offsets of the parts; total 0 when they do not fit a size_t. */
typedef struct flat_layout
{
	size_t tensors, nodes, edges, metas, strings, weights, halves, total;
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
		place(&at, &layout.weights, header->n_weights, sizeof(float), FLAT_ALIGN) &&
		place(&at, &layout.halves, header->n_halves, sizeof(uint16_t), FLAT_ALIGN))
		layout.total = at;
	return layout;
}

uint64_t nn_flat_least_halves = (uint64_t) 1 << 18;

/* Are its weights to be halves? They are where they fit no cache: others are not waited for. */
static bool
is_to_be_halved(const nn_graph *graph, const nn_node *node)
{
	uint16_t halves[1024];

	if (node->halved)
		return true;
	if (node->op != NN_OP_DENSE || node->w_count < nn_flat_least_halves)
		return false;
	for (uint64_t i = 0; i < node->w_count; i += 1024)
	{
		uint64_t n = node->w_count - i < 1024 ? node->w_count - i : 1024;

		if (!nn_halves_narrow((size_t) n, graph->weights + node->w + i, halves))
			return false;
	}
	return true;
}

/* Counts weights and halves; nodes: as the block has them, or NULL. */
static void
place_weights(const nn_graph *graph, flat_header *header, nn_node *nodes)
{
	header->n_weights = header->n_halves = 0;
	for (size_t i = 0; i < graph->n_nodes; i++)
	{
		nn_node node = graph->nodes[i];
		uint64_t *end;

		node.halved = is_to_be_halved(graph, &node);
		end = node.halved ? &header->n_halves : &header->n_weights;
		node.w = *end;
		*end += node.w_count;
		node.b = header->n_weights;
		header->n_weights += node.b_count;
		if (nodes != NULL)
			nodes[i] = node;
	}
}

/* But for weights. */
static flat_header
header_of(const nn_graph *graph)
{
	return (flat_header){ .magic = FLAT_MAGIC,
						  .version = FLAT_VERSION,
						  .node_size = sizeof(nn_node),
						  .tensor_size = sizeof(nn_tensor),
						  .op_count = NN_OP_COUNT,
						  .n_tensors = graph->n_tensors,
						  .n_nodes = graph->n_nodes,
						  .n_edges = graph->n_edges,
						  .n_metas = graph->n_metas,
						  .strings_len = graph->strings_len };
}

size_t
nn_flat_size(const nn_graph *graph)
{
	flat_header header = header_of(graph);

	place_weights(graph, &header, NULL);
	return layout_of(&header).total;
}

static void
put(uint8_t *block, size_t at, const void *from, size_t bytes)
{
	if (bytes > 0)
		memcpy(block + at, from, bytes);
}

static void
put_weights(const nn_graph *graph, const nn_node *placed, float *weights, uint16_t *halves)
{
	for (size_t i = 0; i < graph->n_nodes; i++)
	{
		const nn_node *node = &graph->nodes[i], *to = &placed[i];

		if (!to->halved)
			put((uint8_t *) weights, to->w * sizeof(float), graph->weights + node->w, node->w_count * sizeof(float));
		else if (node->halved)
			put((uint8_t *) halves, to->w * sizeof(uint16_t), graph->halves + node->w,
				node->w_count * sizeof(uint16_t));
		else
			nn_halves_narrow((size_t) node->w_count, graph->weights + node->w, halves + to->w);
		put((uint8_t *) weights, to->b * sizeof(float), graph->weights + node->b, node->b_count * sizeof(float));
	}
}

void
nn_flat_write(const nn_graph *graph, uint8_t *block)
{
	flat_header header = header_of(graph);
	flat_layout layout = layout_of(&header);
	nn_node *nodes = (nn_node *) (block + layout.nodes); /* no matter what comes behind them */

	memset(block, 0, layout.weights);
	place_weights(graph, &header, nodes);
	layout = layout_of(&header);
	header.total = layout.total;
	memset(block + layout.weights + header.n_weights * sizeof(float), 0,
		   layout.halves - layout.weights - header.n_weights * sizeof(float));
	memcpy(block, &header, sizeof(header));
	put(block, layout.tensors, graph->tensors, graph->n_tensors * sizeof(nn_tensor));
	put(block, layout.edges, graph->edges, graph->n_edges * sizeof(uint32_t));
	put(block, layout.metas, graph->metas, graph->n_metas * sizeof(nn_meta));
	put(block, layout.strings, graph->strings, graph->strings_len);
	put_weights(graph, nodes, (float *) (block + layout.weights), (uint16_t *) (block + layout.halves));
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
	graph->n_halves = (size_t) header.n_halves;
	graph->tensors = take(block, layout.tensors, graph->n_tensors * sizeof(nn_tensor));
	graph->nodes = take(block, layout.nodes, graph->n_nodes * sizeof(nn_node));
	graph->edges = take(block, layout.edges, graph->n_edges * sizeof(uint32_t));
	graph->metas = take(block, layout.metas, graph->n_metas * sizeof(nn_meta));
	graph->strings = take(block, layout.strings, graph->strings_len);
	graph->weights_borrowed = true;

	/* Never written: whoever changes weights (the trainer) works on a copy. */
	graph->weights = (float *) (uintptr_t) (block + layout.weights);
	graph->halves = (const uint16_t *) (block + layout.halves);
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
