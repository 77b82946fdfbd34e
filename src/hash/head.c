/* head.c: what a method learned of fixed inputs, and as a network. */
#include "hash/private.h"

#include <string.h>

/*
 * A vote is a softmax so steep that the largest unit has all but a vanishing share, unless another comes within about 1/1000 of it: units are
 * of the order of 1. Softmax is an operator that every runtime knows, where ArgMax and a table are not.
 */
#define VOTE_STEEPNESS 2000

eddh_code
hash_head_create(int dim, int bits, int units, bool codes, hash_head *head, eddh_error *err)
{
	memset(head, 0, sizeof *head);
	head->dim = dim;
	head->bits = bits;
	head->units = units;
	head->w = hash_alloc(units, dim, sizeof *head->w);
	head->b = hash_alloc(units, 1, sizeof *head->b);
	if (codes)
		head->codes = hash_alloc(units, bits, sizeof *head->codes);
	if (head->w != NULL && head->b != NULL && (!codes || head->codes != NULL))
		return EDDH_OK;
	hash_head_clear(head);
	return hash_no_memory(err, "the hash layer");
}

void
hash_head_clear(hash_head *head)
{
	free(head->w);
	free(head->b);
	free(head->codes);
	memset(head, 0, sizeof *head);
}

/* next is used up. */
static eddh_code
append(nn_graph *graph, nn_graph *next, eddh_error *err)
{
	eddh_code code = nn_graph_append(graph, next, err);

	nn_graph_free(next);
	return code;
}

static eddh_code
append_function(nn_graph *graph, size_t inputs, const char *op, eddh_error *err)
{
	nn_graph *next;
	eddh_code code = nn_graph_function(inputs, op, &next, err);

	return code == EDDH_OK ? append(graph, next, err) : code;
}

/* The unit's code is a column of the layer after the softmax. */
static eddh_code
append_codes(nn_graph *graph, const hash_head *head, eddh_error *err)
{
	size_t units = head->units, bits = head->bits;
	float *w = hash_alloc(bits, units, sizeof *w), *b = hash_alloc(bits, 1, sizeof *b);
	nn_graph *next;
	eddh_code code = EDDH_OK;

	if (w == NULL || b == NULL)
		code = hash_no_memory(err, "the hash layer");
	for (size_t i = 0; code == EDDH_OK && i < units; i++)
	{
		for (size_t j = 0; j < bits; j++)
			w[j * units + i] = head->codes[i * bits + j];
	}
	if (code == EDDH_OK)
		code = nn_graph_dense(units, bits, 0, w, b, &next, err);
	if (code == EDDH_OK)
		code = append(graph, next, err);
	free(w);
	free(b);
	return code;
}

static eddh_code
first_layer(const hash_head *head, nn_graph **out, eddh_error *err)
{
	size_t units = head->units, dim = head->dim;
	float *w, *b;
	eddh_code code;

	if (head->codes == NULL)
		return nn_graph_dense(dim, units, 0, head->w, head->b, out, err);
	w = hash_alloc(units, dim, sizeof *w);
	b = hash_alloc(units, 1, sizeof *b);
	if (w == NULL || b == NULL)
		code = hash_no_memory(err, "the hash layer");
	else
	{
		for (size_t i = 0; i < units * dim; i++)
			w[i] = VOTE_STEEPNESS * head->w[i];
		for (size_t i = 0; i < units; i++)
			b[i] = VOTE_STEEPNESS * head->b[i];
		code = nn_graph_dense(dim, units, 0, w, b, out, err);
	}
	free(w);
	free(b);
	return code;
}

eddh_code
hash_head_graph(const hash_head *head, nn_graph **out, eddh_error *err)
{
	nn_graph *graph = NULL;
	eddh_code code = first_layer(head, &graph, err);

	if (code == EDDH_OK && head->sine)
		code = append_function(graph, head->units, "Sin", err);
	if (code == EDDH_OK && head->codes != NULL)
		code = append_function(graph, head->units, "Softmax", err);
	if (code == EDDH_OK && head->codes != NULL)
		code = append_codes(graph, head, err);
	if (code != EDDH_OK)
	{
		nn_graph_free(graph);
		graph = NULL;
	}
	*out = graph;
	return code;
}
