/* graph_info.c: questions about a graph, its metadata, and the check of tables of unknown origin. */
#include "nn/graph.h"

#include <stdlib.h>
#include <string.h>

static nn_shape
outside_shape(const nn_tensor *tensor)
{
	nn_shape shape = { .ndim = tensor->ndim, .count = (size_t) tensor->count };

	memcpy(shape.dim, tensor->dim, sizeof(shape.dim));
	return shape;
}

nn_shape
nn_graph_input_shape(const nn_graph *graph)
{
	return outside_shape(&graph->tensors[graph->input]);
}

nn_shape
nn_graph_output_shape(const nn_graph *graph)
{
	return outside_shape(&graph->tensors[graph->output]);
}

size_t
nn_graph_parameters(const nn_graph *graph)
{
	return graph->n_weights + graph->n_halves;
}

const float *
nn_graph_weights(const nn_graph *graph)
{
	return graph->weights;
}

uint64_t
nn_graph_macs(const nn_graph *graph)
{
	uint64_t macs = 0;

	for (size_t i = 0; i < graph->n_nodes; i++)
		macs += nn_node_macs(graph, &graph->nodes[i]);
	return macs;
}

uint64_t
nn_graph_node_macs(const nn_graph *graph, int i)
{
	return i >= 0 && (size_t) i < graph->n_nodes ? nn_node_macs(graph, &graph->nodes[i]) : 0;
}

static nn_meta *
find_meta(const nn_graph *graph, const char *key)
{
	for (size_t i = 0; i < graph->n_metas; i++)
		if (strcmp(nn_graph_string(graph, graph->metas[i].key), key) == 0)
			return &graph->metas[i];
	return NULL;
}

const char *
nn_graph_metadata(const nn_graph *graph, const char *key)
{
	const nn_meta *meta = find_meta(graph, key);

	return meta == NULL ? NULL : nn_graph_string(graph, meta->value);
}

/* A replaced value's old text stays in strings until the graph is copied: metadata is small and set rarely. */
eddh_code
nn_graph_set_metadata(nn_graph *graph, const char *key, const char *value, eddh_error *err)
{
	nn_meta *meta = find_meta(graph, key);
	nn_meta fresh;
	eddh_code code;

	if (meta != NULL)
	{
		size_t at = (size_t) (meta - graph->metas);
		uint32_t offset;

		code = nn_graph_add_string(graph, value, &offset, err);
		if (code == EDDH_OK)
			graph->metas[at].value = offset;
		return code;
	}
	if ((code = nn_graph_add_string(graph, key, &fresh.key, err)) != EDDH_OK ||
		(code = nn_graph_add_string(graph, value, &fresh.value, err)) != EDDH_OK)
		return code;
	if (graph->n_metas == graph->cap_metas)
	{
		size_t cap = graph->cap_metas + 16;
		nn_meta *moved = realloc(graph->metas, cap * sizeof(*moved));

		if (moved == NULL)
			return eddh_fail(err, EDDH_NO_MEMORY, "out of memory");
		graph->metas = moved;
		graph->cap_metas = cap;
	}
	graph->metas[graph->n_metas++] = fresh;
	return EDDH_OK;
}

bool
nn_graph_metadata_at(const nn_graph *graph, int i, const char **key, const char **value)
{
	if (i < 0 || (size_t) i >= graph->n_metas)
		return false;
	*key = nn_graph_string(graph, graph->metas[i].key);
	*value = nn_graph_string(graph, graph->metas[i].value);
	return true;
}

bool
nn_graph_node_at(const nn_graph *graph, int i, const char **name, const char **op, const char **output)
{
	const nn_node *node;

	if (i < 0 || (size_t) i >= graph->n_nodes)
		return false;
	node = &graph->nodes[i];
	*name = nn_graph_string(graph, node->name);
	*op = nn_op_name(node->op);
	*output = nn_graph_string(graph, graph->tensors[node->output].name);
	return true;
}

static bool
string_ok(const nn_graph *graph, uint32_t offset)
{
	/* The caller has seen that the table ends with a zero byte, so every offset inside it begins a terminated string. */
	return offset < graph->strings_len;
}

static eddh_code
check_strings(const nn_graph *graph, eddh_error *err)
{
	if (graph->strings_len == 0 || graph->strings[graph->strings_len - 1] != '\0')
		return eddh_fail(err, EDDH_BAD_DATA, "string table does not end");
	for (size_t i = 0; i < graph->n_metas; i++)
		if (!string_ok(graph, graph->metas[i].key) || !string_ok(graph, graph->metas[i].value))
			return eddh_fail(err, EDDH_BAD_DATA, "metadata %zu outside the string table", i);
	for (size_t i = 0; i < graph->n_tensors; i++)
		if (!string_ok(graph, graph->tensors[i].name))
			return eddh_fail(err, EDDH_BAD_DATA, "name of tensor %zu outside the string table", i);
	for (size_t i = 0; i < graph->n_nodes; i++)
		if (!string_ok(graph, graph->nodes[i].name))
			return eddh_fail(err, EDDH_BAD_DATA, "name of node %zu outside the string table", i);
	return EDDH_OK;
}

/* Node i may read only what earlier nodes produce: enforced by requiring that tensor 0 is the input and tensor i + 1 the output of node i. */
static eddh_code
check_node(nn_graph *graph, size_t i, uint64_t *edge, uint64_t *weight, uint64_t *half, bool *used, eddh_error *err)
{
	nn_node *node = &graph->nodes[i];
	uint64_t *w = node->halved ? half : weight;
	uint64_t w_end = node->halved ? graph->n_halves : graph->n_weights;

	if (node->op >= NN_OP_COUNT || node->output != i + 1 || graph->tensors[i + 1].producer != i || node->n_edges < 1 ||
		node->first_edge != *edge || node->n_edges > graph->n_edges - *edge ||
		(node->halved != 0 && (node->halved != 1 || node->op != NN_OP_DENSE)))
		return eddh_fail(err, EDDH_BAD_DATA, "node %zu is malformed", i);
	*edge += node->n_edges;
	for (uint32_t e = 0; e < node->n_edges; e++)
	{
		uint32_t input = graph->edges[node->first_edge + e];

		if (input > i)
			return eddh_fail(err, EDDH_BAD_DATA, "node %zu reads tensor %u, which is not there yet", i, input);
		used[input] = true;
	}
	if (node->w != *w || node->w_count > w_end - *w)
		return eddh_fail(err, EDDH_BAD_DATA, "weights of node %zu are misplaced", i);
	*w += node->w_count;
	if (node->b != *weight || node->b_count > graph->n_weights - *weight)
		return eddh_fail(err, EDDH_BAD_DATA, "bias of node %zu is misplaced", i);
	*weight += node->b_count;
	return nn_shape_infer(graph, node, err);
}

eddh_code
nn_graph_check(nn_graph *graph, eddh_error *err)
{
	uint64_t edge = 0;
	uint64_t weight = 0, half = 0;
	uint64_t count = 1;
	nn_tensor *input;
	bool *used;
	eddh_code code;

	if (graph->n_nodes > NN_MAX_NODES || graph->n_tensors != graph->n_nodes + 1 || graph->input != 0 ||
		graph->output != graph->n_tensors - 1)
		return eddh_fail(err, EDDH_BAD_DATA, "tables of the network contradict each other");
	if ((code = check_strings(graph, err)) != EDDH_OK)
		return code;
	input = &graph->tensors[0];
	if (input->producer != NN_NO_TENSOR || input->ndim < 1 || input->ndim > 3)
		return eddh_fail(err, EDDH_BAD_DATA, "input of the network is malformed");
	for (int d = 0; d < input->ndim; d++)
	{
		if (input->dim[d] < 1 || input->dim[d] > NN_MAX_DIM)
			return eddh_fail(err, EDDH_BAD_DATA, "input of the network is malformed");
		count *= (uint64_t) input->dim[d];
	}
	if (count != input->count || count > NN_MAX_COUNT)
		return eddh_fail(err, EDDH_BAD_DATA, "input of the network is malformed");
	used = calloc(graph->n_tensors, sizeof(*used));
	if (used == NULL)
		return eddh_fail(err, EDDH_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < graph->n_nodes && code == EDDH_OK; i++)
		code = check_node(graph, i, &edge, &weight, &half, used, err);
	for (size_t i = 0; i + 1 < graph->n_tensors && code == EDDH_OK; i++)
		if (!used[i])
			code = eddh_fail(err, EDDH_BAD_DATA, "tensor %zu is used by nothing", i);
	free(used);
	if (code == EDDH_OK && (edge != graph->n_edges || weight != graph->n_weights || half != graph->n_halves))
		code = eddh_fail(err, EDDH_BAD_DATA, "tables of the network contradict each other");
	return code;
}
