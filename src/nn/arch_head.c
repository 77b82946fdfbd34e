/* arch_head.c: layers that stand between features and a hash layer, and how one of them joins it. */
#include "nn/gemm.h"
#include "nn/graph.h"

#include <stdlib.h>
#include <string.h>

static eddh_code
check_sizes(size_t inputs, size_t count, eddh_error *err)
{
	if (inputs < 1 || inputs >= NN_MAX_DIM || count < 1 || count > NN_MAX_DIM)
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "a layer from %zu to %zu numbers", inputs, count);
	return EDDH_OK;
}

/* Weights of the last node of the graph. */
static float *
last_weights(nn_graph *graph)
{
	return graph->weights + graph->nodes[graph->n_nodes - 1].w;
}

/* Anchors from their mean: shift (d) = -mean; the layer on (x + shift, |x + shift|^2): w (count x (d + 1)), b (count). */
static void
fill_distances(size_t d, size_t count, const float *anchors, double gamma, const float *shift, float *w)
{
	float *b = w + count * (d + 1);

	for (size_t i = 0; i < count; i++)
	{
		double square = 0;

		for (size_t j = 0; j < d; j++)
		{
			double a = (double) anchors[i * d + j] + shift[j];

			w[i * (d + 1) + j] = (float) (2 * gamma * a);
			square += a * a;
		}
		w[i * (d + 1) + d] = (float) -gamma;
		b[i] = (float) (-gamma * square);
	}
}

static eddh_code
add_rbf(nn_graph *graph, size_t d, size_t count, const float *anchors, double gamma, eddh_error *err)
{
	const int dim = (int) d;
	const nn_node centre = { .op = NN_OP_ADD, .broadcast = NN_CONST_SAME, .w_count = d };
	const nn_node square = { .op = NN_OP_MUL, .broadcast = NN_SAME };
	const nn_node length = { .op = NN_OP_DENSE, .k = 1, .w_count = d };
	const nn_node concat = { .op = NN_OP_CONCAT };
	const nn_node distance = { .op = NN_OP_DENSE, .k = (int32_t) count, .w_count = count * (d + 1), .b_count = count };
	const nn_node kernel = { .op = NN_OP_EXP };
	uint32_t in[2] = { 0, 0 }, centred, at;
	size_t shift;
	eddh_code code = nn_graph_set_input(graph, "features", 1, &dim, err);

	if (code != EDDH_OK ||
		(code = nn_graph_add_node(graph, &centre, "centred", 1, in, "centred", &centred, err)) != EDDH_OK)
		return code;
	shift = graph->nodes[0].w;
	for (size_t j = 0; j < d; j++)
	{
		double sum = 0;

		for (size_t i = 0; i < count; i++)
			sum += anchors[i * d + j];
		graph->weights[shift + j] = (float) (-sum / (double) count);
	}
	in[0] = in[1] = centred;
	if ((code = nn_graph_add_node(graph, &square, "squares", 2, in, "squares", &at, err)) != EDDH_OK ||
		(code = nn_graph_add_node(graph, &length, "length", 1, &at, "length", &at, err)) != EDDH_OK)
		return code;
	for (size_t j = 0; j < d; j++)
		last_weights(graph)[j] = 1;
	in[1] = at;
	if ((code = nn_graph_add_node(graph, &concat, "lifted", 2, in, "lifted", &at, err)) != EDDH_OK ||
		(code = nn_graph_add_node(graph, &distance, "distances", 1, &at, "distances", &at, err)) != EDDH_OK)
		return code;
	fill_distances(d, count, anchors, gamma, graph->weights + shift, last_weights(graph));
	if ((code = nn_graph_add_node(graph, &kernel, "kernel", 1, &at, "kernel", &at, err)) != EDDH_OK)
		return code;
	return nn_graph_finish(graph, at, err);
}

eddh_code
nn_graph_rbf(size_t inputs, size_t count, const float *anchors, double gamma, nn_graph **out, eddh_error *err)
{
	nn_graph *graph;
	eddh_code code = check_sizes(inputs, count, err);

	*out = NULL;
	if (code != EDDH_OK || (code = nn_graph_new(&graph, err)) != EDDH_OK)
		return code;
	code = add_rbf(graph, inputs, count, anchors, gamma, err);
	if (code == EDDH_OK)
		*out = graph;
	else
		nn_graph_free(graph);
	return code;
}

eddh_code
nn_graph_affine(size_t inputs, const float *shift, float scale, nn_graph **out, eddh_error *err)
{
	const nn_node add = { .op = NN_OP_ADD, .broadcast = NN_CONST_SAME, .w_count = inputs };
	const nn_node mul = { .op = NN_OP_MUL, .broadcast = NN_CONST_SCALAR, .w_count = 1 };
	int dim = (int) inputs;
	uint32_t at = 0;
	nn_graph *graph;
	eddh_code code = check_sizes(inputs, 1, err);

	*out = NULL;
	if (code != EDDH_OK || (code = nn_graph_new(&graph, err)) != EDDH_OK)
		return code;
	if ((code = nn_graph_set_input(graph, "features", 1, &dim, err)) != EDDH_OK ||
		(code = nn_graph_add_node(graph, &add, "shifted", 1, &at, "shifted", &at, err)) != EDDH_OK ||
		(code = nn_graph_add_node(graph, &mul, "scaled", 1, &at, "scaled", &at, err)) != EDDH_OK ||
		(code = nn_graph_finish(graph, at, err)) != EDDH_OK)
	{
		nn_graph_free(graph);
		return code;
	}
	memcpy(graph->weights, shift, inputs * sizeof *shift);
	*last_weights(graph) = scale;
	*out = graph;
	return EDDH_OK;
}

eddh_code
nn_graph_function(size_t inputs, const char *op, nn_graph **out, eddh_error *err)
{
	bool softmax = strcmp(op, "Softmax") == 0;
	const nn_node node = { .op = softmax ? NN_OP_SOFTMAX : NN_OP_SIN, .k = softmax ? (int32_t) inputs : 0 };
	int dim = (int) inputs;
	uint32_t at = 0;
	nn_graph *graph;
	eddh_code code = check_sizes(inputs, 1, err);

	*out = NULL;
	if (code == EDDH_OK && !softmax && strcmp(op, "Sin") != 0)
		code = eddh_fail(err, EDDH_BAD_ARGUMENT, "no layer \"%s\"", op);
	if (code != EDDH_OK || (code = nn_graph_new(&graph, err)) != EDDH_OK)
		return code;
	if ((code = nn_graph_set_input(graph, "features", 1, &dim, err)) != EDDH_OK ||
		(code = nn_graph_add_node(graph, &node, "function", 1, &at, "function", &at, err)) != EDDH_OK ||
		(code = nn_graph_finish(graph, at, err)) != EDDH_OK)
	{
		nn_graph_free(graph);
		return code;
	}
	*out = graph;
	return EDDH_OK;
}

/* The two dense layers at the end, one directly behind the other; false: there are none, or as halves. What the last reads nobody else does, or it would not lead to the output. */
static bool
dense_end(const nn_graph *graph, const nn_node **first, const nn_node **last)
{
	uint32_t producer;

	if (graph->n_nodes < 2 || graph->n_halves > 0)
		return false;
	*last = &graph->nodes[graph->n_nodes - 1];
	if ((*last)->op != NN_OP_DENSE)
		return false;
	producer = nn_node_input(graph, *last, 0)->producer;
	if (producer == NN_NO_TENSOR)
		return false;
	*first = &graph->nodes[producer];
	/* Over the last of several dimensions a layer is applied many times. */
	return (*first)->op == NN_OP_DENSE && nn_node_input(graph, *first, 0)->ndim == 1;
}

/* last after first as one layer. */
static eddh_code
multiply_dense(const nn_graph *graph, const nn_node *first, const nn_node *last, nn_graph **out, eddh_error *err)
{
	size_t k = (size_t) last->k, m = (size_t) first->k, d = (size_t) nn_node_input(graph, first, 0)->count;
	const float *w1 = graph->weights + first->w, *w2 = graph->weights + last->w;
	float *w = calloc(k * d + k, sizeof(*w)), *b;
	eddh_code code;

	if (w == NULL)
		return eddh_fail(err, EDDH_NO_MEMORY, "out of memory for a layer from %zu to %zu numbers", d, k);
	b = w + k * d;
	nn_gemm(false, false, k, d, m, 1, w2, m, w1, d, 0, w, d);
	if (last->b_count > 0)
		memcpy(b, graph->weights + last->b, k * sizeof(*b));
	if (first->b_count > 0)
		nn_gemv(false, k, m, w2, m, graph->weights + first->b, 1, b);
	code = nn_graph_dense(d, k, 0, w, b, out, err);
	free(w);
	return code;
}

eddh_code
nn_graph_fold_end(const nn_graph *graph, nn_graph **out, eddh_error *err)
{
	const nn_node *first, *last;
	const nn_tensor *from;
	nn_graph *prefix, *layer;
	eddh_code code;

	*out = NULL;
	if (!dense_end(graph, &first, &last))
		return nn_graph_copy(graph, out, err);
	from = nn_node_input(graph, first, 0);
	if (from->count * (uint64_t) last->k >= first->w_count + last->w_count)
		return nn_graph_copy(graph, out, err);
	if ((code = multiply_dense(graph, first, last, &layer, err)) != EDDH_OK)
		return code;
	if ((code = nn_graph_cut(graph, nn_graph_string(graph, from->name), &prefix, NULL, err)) == EDDH_OK)
	{
		code = nn_graph_join(prefix, layer, out, err);
		nn_graph_free(prefix);
	}
	nn_graph_free(layer);
	return code;
}
