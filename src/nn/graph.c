/* graph.c: building, taking apart and putting together graphs. */
#include "nn/graph.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/pages.h"
#include "nn/half.h"

void
nn_buffer_free(nn_buffer *buffer)
{
	free(buffer->bytes);
	buffer->bytes = NULL;
	buffer->len = 0;
}

/* realloc that has large pages for large arrays, which the kernel does not move in one piece. */
static void *
grow(void *array, size_t used, size_t bytes)
{
	void *moved;

	if (bytes < 2 * EDDH_LARGE_PAGE)
		return realloc(array, bytes);
	moved = malloc(bytes);
	if (moved == NULL)
		return NULL;
	eddh_large_pages(moved, bytes);
	if (used > 0)
		memcpy(moved, array, used);
	free(array);
	return moved;
}

/* Makes room for `more` elements after the first n; grows by half so that appending stays linear. */
static eddh_code
reserve(void **array, size_t *cap, size_t n, size_t more, size_t width, eddh_error *err)
{
	size_t need;
	size_t grown;
	size_t bytes;
	void *moved;

	if (!eddh_size_add(n, more, &need))
		return eddh_fail(err, EDDH_NO_MEMORY, "network too large");
	if (need <= *cap)
		return EDDH_OK;
	grown = *cap + *cap / 2;
	if (grown < need)
		grown = need;
	if (!eddh_size_mul(grown, width, &bytes) || (moved = grow(*array, n * width, bytes)) == NULL)
		return eddh_fail(err, EDDH_NO_MEMORY, "out of memory for a network of %zu x %zu bytes", need, width);
	*array = moved;
	*cap = grown;
	return EDDH_OK;
}

#define RESERVE(graph, field, cap, n, more, err) \
	reserve((void **) &(graph)->field, &(graph)->cap, (graph)->n, more, sizeof(*(graph)->field), err)

eddh_code
nn_graph_new(nn_graph **out, eddh_error *err)
{
	nn_graph *graph = calloc(1, sizeof(*graph));

	*out = NULL;
	if (graph == NULL)
		return eddh_fail(err, EDDH_NO_MEMORY, "out of memory");
	graph->input = NN_NO_TENSOR;
	graph->output = NN_NO_TENSOR;
	*out = graph;
	return EDDH_OK;
}

eddh_code
nn_graph_reserve(nn_graph *graph, size_t weights, eddh_error *err)
{
	return RESERVE(graph, weights, cap_weights, n_weights, weights, err);
}

void
nn_graph_free(nn_graph *graph)
{
	if (graph == NULL)
		return;
	free(graph->tensors);
	free(graph->nodes);
	free(graph->edges);
	free(graph->metas);
	free(graph->strings);
	if (!graph->weights_borrowed)
		free(graph->weights);
	free(graph);
}

eddh_code
nn_graph_add_string(nn_graph *graph, const char *text, uint32_t *offset, eddh_error *err)
{
	size_t len = strlen(text) + 1;
	eddh_code code = RESERVE(graph, strings, cap_strings, strings_len, len, err);

	if (code != EDDH_OK)
		return code;
	if (graph->strings_len + len > INT32_MAX)
		return eddh_fail(err, EDDH_OVER_LIMIT, "names and metadata of the network are too long");
	memcpy(graph->strings + graph->strings_len, text, len);
	*offset = (uint32_t) graph->strings_len;
	graph->strings_len += len;
	return EDDH_OK;
}

static eddh_code
add_tensor(nn_graph *graph, const char *name, uint32_t producer, uint32_t *index, eddh_error *err)
{
	nn_tensor tensor;
	eddh_code code = RESERVE(graph, tensors, cap_tensors, n_tensors, 1, err);

	memset(&tensor, 0, sizeof(tensor));
	tensor.producer = producer;
	if (code == EDDH_OK)
		code = nn_graph_add_string(graph, name, &tensor.name, err);
	if (code != EDDH_OK)
		return code;
	*index = (uint32_t) graph->n_tensors;
	graph->tensors[graph->n_tensors++] = tensor;
	return EDDH_OK;
}

eddh_code
nn_graph_set_input(nn_graph *graph, const char *name, int ndim, const int *dim, eddh_error *err)
{
	uint64_t count = 1;
	nn_tensor *tensor;
	eddh_code code;

	if (ndim < 1 || ndim > 3)
		return eddh_fail(err, EDDH_UNSUPPORTED, "the input has %d dimensions; 2 to 4 with the batch are supported",
						 ndim + 1);
	code = add_tensor(graph, name, NN_NO_TENSOR, &graph->input, err);
	if (code != EDDH_OK)
		return code;
	tensor = &graph->tensors[graph->input];
	tensor->ndim = ndim;
	for (int i = 0; i < ndim; i++)
	{
		if (dim[i] < 1 || dim[i] > NN_MAX_DIM)
			return eddh_fail(err, EDDH_OVER_LIMIT, "dimension %d of the input is %d, must be 1 to %d", i + 1, dim[i],
							 NN_MAX_DIM);
		tensor->dim[i] = dim[i];
		count *= (uint64_t) dim[i];
	}
	if (count > NN_MAX_COUNT)
		return eddh_fail(err, EDDH_OVER_LIMIT, "the input has %llu numbers", (unsigned long long) count);
	tensor->count = count;
	return EDDH_OK;
}

eddh_code
nn_graph_add_node(nn_graph *graph, const nn_node *node, const char *name, int n_inputs, const uint32_t *inputs,
				  const char *output_name, uint32_t *output, eddh_error *err)
{
	nn_node made = *node;
	eddh_code code;
	size_t room;

	if (graph->n_nodes >= NN_MAX_NODES)
		return eddh_fail(err, EDDH_OVER_LIMIT, "the network has more than %d nodes", NN_MAX_NODES);
	if ((code = RESERVE(graph, nodes, cap_nodes, n_nodes, 1, err)) != EDDH_OK ||
		(code = RESERVE(graph, edges, cap_edges, n_edges, (size_t) n_inputs, err)) != EDDH_OK ||
		(code = nn_graph_add_string(graph, name, &made.name, err)) != EDDH_OK ||
		(code = add_tensor(graph, output_name, (uint32_t) graph->n_nodes, &made.output, err)) != EDDH_OK)
		return code;
	made.first_edge = (uint32_t) graph->n_edges;
	made.n_edges = (uint32_t) n_inputs;
	for (int i = 0; i < n_inputs; i++)
		graph->edges[graph->n_edges++] = inputs[i];
	code = nn_shape_infer(graph, &made, err);
	room = (size_t) made.w_count + (size_t) made.b_count;
	if (code == EDDH_OK)
		code = RESERVE(graph, weights, cap_weights, n_weights, room, err);
	if (code != EDDH_OK)
	{
		graph->n_edges = made.first_edge;
		graph->n_tensors--;
		return code;
	}
	made.halved = 0;
	made.w = graph->n_weights;
	made.b = made.w + made.w_count;
	graph->n_weights += room;
	graph->nodes[graph->n_nodes++] = made;
	if (output != NULL)
		*output = made.output;
	return EDDH_OK;
}

uint32_t
nn_graph_find_tensor(const nn_graph *graph, const char *name)
{
	for (size_t i = 0; i < graph->n_tensors; i++)
		if (strcmp(nn_graph_string(graph, graph->tensors[i].name), name) == 0)
			return (uint32_t) i;
	return NN_NO_TENSOR;
}

/*
 * A name not taken in dst. Only join can meet a clash; it tries name_2, name_3 and so on.
 */
static eddh_code
unique_name(const nn_graph *dst, const char *name, char *out, size_t size, eddh_error *err)
{
	snprintf(out, size, "%s", name);
	for (int i = 2; nn_graph_find_tensor(dst, out) != NN_NO_TENSOR; i++)
	{
		if (i > NN_MAX_NODES)
			return eddh_fail(err, EDDH_BAD_ARGUMENT, "no free name for tensor \"%.100s\"", name);
		snprintf(out, size, "%.*s_%d", (int) size - 12, name, i);
	}
	return EDDH_OK;
}

static void
copy_weights(nn_graph *dst, const nn_node *to, const nn_graph *src, const nn_node *from)
{
	if (from->halved)
		nn_halves_widen((size_t) from->w_count, src->halves + from->w, dst->weights + to->w);
	else if (from->w_count > 0)
		memcpy(dst->weights + to->w, src->weights + from->w, sizeof(float) * (size_t) from->w_count);
	if (from->b_count > 0)
		memcpy(dst->weights + to->b, src->weights + from->b, sizeof(float) * (size_t) from->b_count);
}

/* Appends the nodes of src marked in keep, with their weights; map holds dst's tensor for each of src's and is filled on the way. */
static eddh_code
append_nodes(nn_graph *dst, const nn_graph *src, const bool *keep, uint32_t *map, bool rename, eddh_error *err)
{
	for (size_t i = 0; i < src->n_nodes; i++)
	{
		const nn_node *node = &src->nodes[i];
		const char *output = nn_graph_string(src, src->tensors[node->output].name);
		char fresh[1024];
		uint32_t *inputs;
		eddh_code code;

		if (!keep[i])
			continue;
		if (rename)
		{
			code = unique_name(dst, output, fresh, sizeof(fresh), err);
			if (code != EDDH_OK)
				return code;
			output = fresh;
		}
		inputs = malloc(sizeof(*inputs) * node->n_edges);
		if (inputs == NULL)
			return eddh_fail(err, EDDH_NO_MEMORY, "out of memory");
		for (uint32_t e = 0; e < node->n_edges; e++)
			inputs[e] = map[src->edges[node->first_edge + e]];
		code = nn_graph_add_node(dst, node, nn_graph_string(src, node->name), (int) node->n_edges, inputs, output,
								 &map[node->output], err);
		free(inputs);
		if (code != EDDH_OK)
			return code;
		copy_weights(dst, &dst->nodes[dst->n_nodes - 1], src, node);
	}
	return EDDH_OK;
}

static eddh_code
copy_metadata(nn_graph *dst, const nn_graph *src, eddh_error *err)
{
	eddh_code code = EDDH_OK;

	for (size_t i = 0; i < src->n_metas && code == EDDH_OK; i++)
	{
		const char *key = nn_graph_string(src, src->metas[i].key);

		if (nn_graph_metadata(dst, key) == NULL)
			code = nn_graph_set_metadata(dst, key, nn_graph_string(src, src->metas[i].value), err);
	}
	return code;
}

/* The part of src between two tensors made of the nodes marked in keep, as a graph of its own that has room for so many weights more. */
static eddh_code
extract(const nn_graph *src, uint32_t input, uint32_t output, const bool *keep, size_t room, nn_graph **out,
		eddh_error *err)
{
	const nn_tensor *in = &src->tensors[input];
	uint32_t *map = malloc(sizeof(*map) * src->n_tensors);
	size_t kept = 0;
	nn_graph *dst = NULL;
	eddh_code code;

	*out = NULL;
	if (map == NULL)
		return eddh_fail(err, EDDH_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < src->n_tensors; i++)
		map[i] = NN_NO_TENSOR;
	for (size_t i = 0; i < src->n_nodes; i++)
		if (keep[i])
			kept += (size_t) (src->nodes[i].w_count + src->nodes[i].b_count);
	if ((code = nn_graph_new(&dst, err)) == EDDH_OK && (code = nn_graph_reserve(dst, kept + room, err)) == EDDH_OK &&
		(code = nn_graph_set_input(dst, nn_graph_string(src, in->name), in->ndim, in->dim, err)) == EDDH_OK)
	{
		map[input] = dst->input;
		code = append_nodes(dst, src, keep, map, false, err);
		dst->output = map[output];
	}
	free(map);
	if (code == EDDH_OK)
		code = copy_metadata(dst, src, err);
	if (code != EDDH_OK)
	{
		nn_graph_free(dst);
		return code;
	}
	*out = dst;
	return EDDH_OK;
}

/* Marks the nodes that lead to a tensor. */
static bool *
ancestors(const nn_graph *graph, uint32_t tensor)
{
	bool *keep = calloc(graph->n_nodes + 1, sizeof(*keep));

	if (keep == NULL)
		return NULL;
	if (graph->tensors[tensor].producer != NN_NO_TENSOR)
		keep[graph->tensors[tensor].producer] = true;
	for (size_t i = graph->n_nodes; i-- > 0;)
	{
		const nn_node *node = &graph->nodes[i];

		for (uint32_t e = 0; keep[i] && e < node->n_edges; e++)
		{
			uint32_t producer = graph->tensors[graph->edges[node->first_edge + e]].producer;

			if (producer != NN_NO_TENSOR)
				keep[producer] = true;
		}
	}
	return keep;
}

eddh_code
nn_graph_finish(nn_graph *graph, uint32_t output, eddh_error *err)
{
	bool *keep = ancestors(graph, output);
	bool all = true;
	nn_graph *pruned;
	eddh_code code = EDDH_OK;

	if (keep == NULL)
		return eddh_fail(err, EDDH_NO_MEMORY, "out of memory");
	graph->output = output;
	for (size_t i = 0; i < graph->n_nodes; i++)
		all = all && keep[i];
	if (!all && (code = extract(graph, graph->input, output, keep, 0, &pruned, err)) == EDDH_OK)
	{
		nn_graph old = *graph;

		*graph = *pruned;
		*pruned = old;
		nn_graph_free(pruned);
	}
	free(keep);
	return code;
}

static eddh_code
copy_with_room(const nn_graph *graph, size_t room, nn_graph **out, eddh_error *err)
{
	bool *keep = ancestors(graph, graph->output);
	eddh_code code;

	*out = NULL;
	if (keep == NULL)
		return eddh_fail(err, EDDH_NO_MEMORY, "out of memory");
	code = extract(graph, graph->input, graph->output, keep, room, out, err);
	free(keep);
	return code;
}

eddh_code
nn_graph_copy(const nn_graph *graph, nn_graph **out, eddh_error *err)
{
	return copy_with_room(graph, 0, out, err);
}

/* What does not lead to the tensor must hang on it alone. */
static eddh_code
check_separates(const nn_graph *graph, uint32_t tensor, const bool *before, eddh_error *err)
{
	for (size_t i = 0; i < graph->n_nodes; i++)
	{
		const nn_node *node = &graph->nodes[i];

		for (uint32_t e = 0; !before[i] && e < node->n_edges; e++)
		{
			uint32_t input = graph->edges[node->first_edge + e];
			uint32_t producer = graph->tensors[input].producer;

			if (input != tensor && (producer == NN_NO_TENSOR || before[producer]))
				return eddh_fail(err, EDDH_BAD_ARGUMENT,
								 "the network cannot be cut at \"%.60s\": \"%.60s\" also crosses there",
								 nn_graph_string(graph, graph->tensors[tensor].name),
								 nn_graph_string(graph, graph->tensors[input].name));
		}
	}
	return EDDH_OK;
}

eddh_code
nn_graph_cut(const nn_graph *graph, const char *tensor, nn_graph **prefix, nn_graph **suffix, eddh_error *err)
{
	uint32_t at = nn_graph_find_tensor(graph, tensor);
	bool *keep;
	eddh_code code = EDDH_OK;

	if (prefix != NULL)
		*prefix = NULL;
	if (suffix != NULL)
		*suffix = NULL;
	if (at == NN_NO_TENSOR)
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "the network has no tensor \"%.100s\"", tensor);
	keep = ancestors(graph, at);
	if (keep == NULL)
		return eddh_fail(err, EDDH_NO_MEMORY, "out of memory");
	if (prefix != NULL)
		code = extract(graph, graph->input, at, keep, 0, prefix, err);
	if (code == EDDH_OK && suffix != NULL && (code = check_separates(graph, at, keep, err)) == EDDH_OK)
	{
		for (size_t i = 0; i < graph->n_nodes; i++)
			keep[i] = !keep[i];
		code = extract(graph, at, graph->output, keep, 0, suffix, err);
	}
	free(keep);
	if (code != EDDH_OK && prefix != NULL)
	{
		nn_graph_free(*prefix);
		*prefix = NULL;
	}
	return code;
}

const char *
nn_graph_default_cut(const nn_graph *graph)
{
	for (size_t i = graph->n_nodes; i-- > 0;)
		if (graph->nodes[i].op == NN_OP_DENSE)
			return nn_graph_string(graph, nn_node_input(graph, &graph->nodes[i], 0)->name);
	return nn_graph_string(graph, graph->tensors[graph->output].name);
}

eddh_code
nn_graph_append(nn_graph *graph, const nn_graph *suffix, eddh_error *err)
{
	const nn_tensor *from = &graph->tensors[graph->output];
	const nn_tensor *to = &suffix->tensors[suffix->input];
	bool same = from->ndim == to->ndim && memcmp(from->dim, to->dim, sizeof(from->dim)) == 0;
	uint32_t *map;
	bool *keep;
	uint32_t at = graph->output;
	eddh_code code = EDDH_OK;

	if (graph->weights_borrowed || graph == suffix)
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "a network that is mapped, or itself, cannot be appended to");
	if (from->count != to->count || (!same && to->ndim != 1))
		return eddh_fail(err, EDDH_BAD_ARGUMENT,
						 "the first network ends with %llu numbers, the second begins with %llu",
						 (unsigned long long) from->count, (unsigned long long) to->count);
	if (!same)
	{
		nn_node flatten = { .op = NN_OP_FLATTEN };
		char name[1024];

		code = unique_name(graph, "flattened", name, sizeof(name), err);
		if (code == EDDH_OK)
			code = nn_graph_add_node(graph, &flatten, name, 1, &at, name, &at, err);
		if (code != EDDH_OK)
			return code;
	}
	code = nn_graph_reserve(graph, suffix->n_weights, err);
	map = calloc(suffix->n_tensors, sizeof(*map));
	keep = malloc(suffix->n_nodes + 1);
	if (code == EDDH_OK && (map == NULL || keep == NULL))
		code = eddh_fail(err, EDDH_NO_MEMORY, "out of memory");
	if (code == EDDH_OK)
	{
		map[suffix->input] = at;
		memset(keep, true, suffix->n_nodes + 1);
		code = append_nodes(graph, suffix, keep, map, true, err);
	}
	if (code == EDDH_OK)
	{
		graph->output = map[suffix->output];
		code = copy_metadata(graph, suffix, err);
	}
	free(map);
	free(keep);
	return code;
}

eddh_code
nn_graph_join(const nn_graph *prefix, const nn_graph *suffix, nn_graph **out, eddh_error *err)
{
	eddh_code code = copy_with_room(prefix, suffix->n_weights, out, err);

	if (code == EDDH_OK && (code = nn_graph_append(*out, suffix, err)) != EDDH_OK)
	{
		nn_graph_free(*out);
		*out = NULL;
	}
	return code;
}
