/* make_graph.h: random small networks that use every operator. No test framework: the fuzzer's seeds come from here, too. */
#ifndef EDDH_TEST_MAKE_GRAPH_H
#define EDDH_TEST_MAKE_GRAPH_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/random.h"
#include "nn/graph.h"

/* What cannot fail. */
static inline void
made(eddh_code code, const eddh_error *err)
{
	if (code == EDDH_OK)
		return;
	fprintf(stderr, "error %d: %s\n", code, err->message);
	abort();
}

static inline int
between(eddh_rng *rng, int lo, int hi)
{
	return lo + (int) eddh_rng_below(rng, (uint64_t) (hi - lo + 1));
}

static inline void
describe(const nn_graph *graph, char *text, size_t size)
{
	const nn_tensor *in = &graph->tensors[graph->input];
	size_t at = (size_t) snprintf(text, size, "input (%d,%d,%d)\n", in->dim[0], in->dim[1], in->dim[2]);

	for (size_t i = 0; i < graph->n_nodes && at < size; i++)
	{
		const nn_node *node = &graph->nodes[i];
		const nn_tensor *out = &graph->tensors[node->output];
		const nn_window *g = &node->window;

		at += (size_t) snprintf(text + at, size - at, "%s = %s(", nn_graph_string(graph, out->name),
								nn_op_name(node->op));
		for (uint32_t e = 0; e < node->n_edges && at < size; e++)
			at += (size_t) snprintf(text + at, size - at, "%s%s", e > 0 ? ", " : "",
									nn_graph_string(graph, nn_node_input(graph, node, (int) e)->name));
		if (at < size)
			at += (size_t) snprintf(
				text + at, size - at,
				") -> (%d,%d,%d) k=%d groups=%d kernel=%dx%d stride=%dx%d pads=%d,%d,%d,%d dilation=%dx%d ceil=%d "
				"count_pad=%d broadcast=%d p=%g,%g,%g w=%d b=%d\n",
				out->dim[0], out->dim[1], out->dim[2], node->k, node->groups, g->kh, g->kw, g->sh, g->sw, g->ph0,
				g->pw0, g->ph1, g->pw1, g->dh, g->dw, node->ceil_mode, node->count_pad, node->broadcast,
				(double) node->p[0], (double) node->p[1], (double) node->p[2], (int) node->w_count,
				(int) node->b_count);
	}
}

static inline void
random_window(eddh_rng *rng, const nn_tensor *in, nn_window *g)
{
	g->kh = between(rng, 1, in->dim[1] < 3 ? in->dim[1] : 3);
	g->kw = between(rng, 1, in->dim[2] < 3 ? in->dim[2] : 3);
	g->sh = between(rng, 1, 2);
	g->sw = between(rng, 1, 2);
	g->ph0 = between(rng, 0, g->kh - 1);
	g->pw0 = between(rng, 0, g->kw - 1);
	g->ph1 = between(rng, 0, g->kh - 1);
	g->pw1 = between(rng, 0, g->kw - 1);
	g->dh = g->dw = 1;
}

/* Attributes for op on tensor `in`; false where it cannot be. other: a second input, NN_NO_TENSOR for none. */
static inline bool
random_node(eddh_rng *rng, const nn_graph *graph, uint32_t in_index, uint32_t *other, nn_node *node)
{
	const nn_tensor *in = &graph->tensors[in_index];
	bool spatial = in->ndim == 3;

	*other = NN_NO_TENSOR;
	switch ((nn_op) node->op)
	{
		case NN_OP_CONV:
			if (!spatial)
				return false;
			random_window(rng, in, &node->window);
			node->window.dh = between(rng, 1, 2);
			node->window.dw = between(rng, 1, 2);
			node->groups = between(rng, 0, 2) == 0                          ? in->dim[0]
						   : between(rng, 0, 2) == 0 && in->dim[0] % 2 == 0 ? 2
																			: 1;
			node->k = node->groups * between(rng, 1, 3);
			node->w_count = (uint64_t) (node->k * (in->dim[0] / node->groups) * node->window.kh * node->window.kw);
			node->b_count = between(rng, 0, 1) ? (uint64_t) node->k : 0;
			return node->k <= 12;
		case NN_OP_DENSE:
			node->k = between(rng, 1, 6);
			node->w_count = (uint64_t) (node->k * in->dim[in->ndim - 1]);
			node->b_count = between(rng, 0, 1) ? (uint64_t) node->k : 0;
			return true;
		case NN_OP_CLIP:
			node->p[0] = -0.7f;
			node->p[1] = 0.9f;
			return true;
		case NN_OP_LRN:
			node->k = 2 * between(rng, 0, 2) + 1;
			node->p[0] = 0.3f;
			node->p[1] = 0.75f;
			node->p[2] = 1.5f;
			return spatial;
		case NN_OP_MAXPOOL:
		case NN_OP_AVGPOOL:
			if (!spatial)
				return false;
			random_window(rng, in, &node->window);
			node->count_pad = node->op == NN_OP_AVGPOOL && between(rng, 0, 1);
			node->ceil_mode = !node->count_pad && between(rng, 0, 1); /* both: ONNX's versions disagree */
			return true;
		case NN_OP_GLOBAL_AVGPOOL:
			return spatial && in->count > 1;
		case NN_OP_ADD:
		case NN_OP_MUL:
			node->broadcast = between(rng, NN_SAME, NN_CONST_SCALAR);
			if (node->broadcast == NN_CONST_CHANNEL && in->ndim == 1)
				return false; /* ONNX says CONST_SAME */
			if (node->broadcast >= NN_CONST_SAME)
				node->w_count = node->broadcast == NN_CONST_SAME      ? in->count
								: node->broadcast == NN_CONST_CHANNEL ? (uint64_t) in->dim[0]
																	  : 1;
			for (size_t t = 0; node->broadcast < NN_CONST_SAME && t < graph->n_tensors; t++)
			{
				const nn_tensor *b = &graph->tensors[t];

				if (node->broadcast == NN_SAME
						? b->ndim == in->ndim && memcmp(b->dim, in->dim, sizeof(b->dim)) == 0
						: spatial && b->ndim == 3 && b->dim[0] == in->dim[0] && b->count == (uint64_t) b->dim[0])
					if (*other == NN_NO_TENSOR || between(rng, 0, 1))
						*other = (uint32_t) t;
			}
			return node->broadcast >= NN_CONST_SAME || *other != NN_NO_TENSOR;
		case NN_OP_CONCAT:
			for (size_t t = 0; t < graph->n_tensors; t++)
			{
				const nn_tensor *b = &graph->tensors[t];

				if (b->ndim == in->ndim && b->dim[1] == in->dim[1] && b->dim[2] == in->dim[2] && b->dim[0] <= 8)
					if (*other == NN_NO_TENSOR || between(rng, 0, 1))
						*other = (uint32_t) t;
			}
			return *other != NN_NO_TENSOR && in->dim[0] <= 8;
		case NN_OP_SCALE:
			node->w_count = node->b_count = (uint64_t) in->dim[0];
			return true;
		case NN_OP_EXP:
			/* Of what is bounded, or it explodes. */
			return in->producer != NN_NO_TENSOR &&
				   (graph->nodes[in->producer].op == NN_OP_CLIP || graph->nodes[in->producer].op == NN_OP_HARDSIGMOID ||
					graph->nodes[in->producer].op == NN_OP_SIGMOID || graph->nodes[in->producer].op == NN_OP_SIN ||
					graph->nodes[in->producer].op == NN_OP_TANH);
		case NN_OP_HARDSIGMOID:
			node->p[0] = 0.3f;
			node->p[1] = 0.4f;
			return true;
		case NN_OP_SOFTMAX:
			node->k = in->dim[in->ndim - 1];
			return node->k > 1;
		case NN_OP_FLATTEN:
			return spatial && between(rng, 0, 2) == 0;
		case NN_OP_RESHAPE:
			node->ndim = between(rng, 1, 3);
			node->dim[0] = node->ndim == 1 ? (int) in->count : in->dim[in->ndim - 1];
			node->dim[1] = node->ndim > 1 ? (int) in->count / node->dim[0] : 0;
			node->dim[2] = node->ndim > 2 ? 1 : 0;
			return between(rng, 0, 2) == 0;
		default:
			return true;
	}
}

/* A network of about `size` random nodes; whatever ends loose is flattened, joined and goes through one dense layer. The same seed, the same network. */
static inline nn_graph *
random_graph(uint64_t seed, int size)
{
	eddh_rng rng;
	nn_graph *graph;
	eddh_error err;
	int ndim;
	int dim[3];
	char name[32];
	uint32_t loose[64];
	int n_loose = 0;
	uint32_t last;
	nn_node node;

	eddh_rng_seed(&rng, seed);
	ndim = between(&rng, 0, 4) == 0 ? 1 : 3;
	for (int i = 0; i < 3; i++)
		dim[i] = between(&rng, 2, 7);
	made(nn_graph_new(&graph, &err), &err);
	made(nn_graph_set_input(graph, "input", ndim, dim, &err), &err);
	for (int n_made = 0, tries = 0; n_made < size && tries < 1000; tries++)
	{
		uint32_t in[2] = { (uint32_t) between(&rng, (int) graph->n_tensors > 4 ? (int) graph->n_tensors - 4 : 0,
											  (int) graph->n_tensors - 1),
						   0 };

		memset(&node, 0, sizeof(node));
		node.op = (uint32_t) between(&rng, 0, NN_OP_COUNT - 1);
		snprintf(name, sizeof(name), "t%d", n_made);
		if (random_node(&rng, graph, in[0], &in[1], &node) &&
			nn_graph_add_node(graph, &node, name, in[1] == NN_NO_TENSOR ? 1 : 2, in, name, NULL, &err) == EDDH_OK)
			n_made++;
	}
	for (size_t t = 0; t < graph->n_tensors && n_loose < 64; t++)
	{
		bool read = false;

		for (size_t e = 0; e < graph->n_edges; e++)
			read = read || graph->edges[e] == t;
		if (!read)
			loose[n_loose++] = (uint32_t) t;
	}
	for (int i = 0; i < n_loose; i++)
	{
		node = (nn_node){ .op = NN_OP_FLATTEN };
		snprintf(name, sizeof(name), "flat%d", i);
		made(nn_graph_add_node(graph, &node, name, 1, &loose[i], name, &loose[i], &err), &err);
	}
	node = (nn_node){ .op = NN_OP_CONCAT };
	made(nn_graph_add_node(graph, &node, "all", n_loose, loose, "all", &last, &err), &err);
	node = (nn_node){ .op = NN_OP_DENSE, .k = 3, .b_count = 3 };
	node.w_count = 3 * graph->tensors[last].count;
	made(nn_graph_add_node(graph, &node, "end", 1, &last, "end", &last, &err), &err);
	made(nn_graph_finish(graph, last, &err), &err);
	for (size_t i = 0; i < graph->n_nodes; i++)
	{
		const nn_node *n = &graph->nodes[i];
		double scale = nn_op_decays(n->op) ? sqrt((double) n->k / (double) n->w_count) : 1;

		for (uint64_t j = 0; j < n->w_count; j++)
			graph->weights[n->w + j] = (float) (scale * eddh_rng_normal(&rng));
		for (uint64_t j = 0; j < n->b_count; j++)
			graph->weights[n->b + j] = (float) (0.3 * eddh_rng_normal(&rng));
	}
	return graph;
}

#endif /* EDDH_TEST_MAKE_GRAPH_H */
