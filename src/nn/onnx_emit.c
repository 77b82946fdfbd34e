/* onnx_emit.c: the messages of an ONNX file, made in memory that is released at once. */
#include "nn/onnx_emit.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 65536

typedef struct chunk
{
	struct chunk *next;
	size_t used, size;
} chunk;

void *
nn_emit_take(onnx_writer *w, size_t size)
{
	static const size_t align = 16;
	size_t rounded = (size + align - 1) / align * align;
	chunk *c = w->chunks;

	if (c == NULL || c->size - c->used < rounded)
	{
		size_t room = rounded > CHUNK ? rounded : CHUNK;

		c = calloc(1, sizeof(chunk) + align + room);
		if (c == NULL)
		{
			w->failed = true;
			return NULL;
		}
		c->size = room;
		c->next = w->chunks;
		w->chunks = c;
	}
	c->used += rounded;
	return (uint8_t *) c + (sizeof(chunk) + align - 1) / align * align + (c->used - rounded);
}

char *
nn_emit_text(onnx_writer *w, const char *fmt, ...)
{
	va_list args;
	char *out;
	int len;

	va_start(args, fmt);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	out = nn_emit_take(w, (size_t) len + 1);
	if (out == NULL)
		return NULL;
	va_start(args, fmt);
	vsnprintf(out, (size_t) len + 1, fmt, args);
	va_end(args);
	return out;
}

/* ---- Nodes and their attributes ---- */

#define MAX_INPUTS     5
#define MAX_ATTRIBUTES 8

Onnx__NodeProto *
nn_emit_node(onnx_writer *w, const char *op, const char *output, size_t most_inputs)
{
	Onnx__NodeProto *node = nn_emit_take(w, sizeof(*node));

	if (node == NULL)
		return NULL;
	onnx__node_proto__init(node);
	node->op_type = nn_emit_text(w, "%s", op);
	node->name = nn_emit_text(w, "%s", output);
	node->input = nn_emit_take(w, sizeof(char *) * (most_inputs + MAX_INPUTS));
	node->output = nn_emit_take(w, sizeof(char *));
	node->attribute = nn_emit_take(w, sizeof(Onnx__AttributeProto *) * MAX_ATTRIBUTES);
	if (w->failed)
		return NULL;
	node->output[node->n_output++] = nn_emit_text(w, "%s", output);
	w->nodes[w->n_nodes++] = node;
	return node;
}

void
nn_emit_input(onnx_writer *w, Onnx__NodeProto *node, const char *name)
{
	if (node != NULL)
		node->input[node->n_input++] = nn_emit_text(w, "%s", name);
}

static Onnx__AttributeProto *
add_attribute(onnx_writer *w, Onnx__NodeProto *node, const char *name, Onnx__AttributeProto__AttributeType type)
{
	Onnx__AttributeProto *attribute = node == NULL ? NULL : nn_emit_take(w, sizeof(*attribute));

	if (attribute == NULL)
		return NULL;
	onnx__attribute_proto__init(attribute);
	attribute->name = nn_emit_text(w, "%s", name);
	attribute->has_type = 1;
	attribute->type = type;
	node->attribute[node->n_attribute++] = attribute;
	return attribute;
}

void
nn_emit_int(onnx_writer *w, Onnx__NodeProto *node, const char *name, int64_t value)
{
	Onnx__AttributeProto *attribute = add_attribute(w, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);

	if (attribute != NULL)
	{
		attribute->has_i = 1;
		attribute->i = value;
	}
}

void
nn_emit_float(onnx_writer *w, Onnx__NodeProto *node, const char *name, float value)
{
	Onnx__AttributeProto *attribute = add_attribute(w, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);

	if (attribute != NULL)
	{
		attribute->has_f = 1;
		attribute->f = value;
	}
}

void
nn_emit_ints(onnx_writer *w, Onnx__NodeProto *node, const char *name, int n, const int *values)
{
	Onnx__AttributeProto *attribute = add_attribute(w, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
	int64_t *ints = nn_emit_take(w, sizeof(*ints) * (size_t) n);

	if (attribute == NULL || ints == NULL)
		return;
	for (int i = 0; i < n; i++)
		ints[i] = values[i];
	attribute->ints = ints;
	attribute->n_ints = (size_t) n;
}

/* ---- Constants ---- */

void
nn_emit_constant(onnx_writer *w, Onnx__NodeProto *node, const char *suffix, int type, int ndim, const int *dim,
				 const void *bytes, size_t len)
{
	Onnx__TensorProto *tensor = node == NULL ? NULL : nn_emit_take(w, sizeof(*tensor));
	char *name;

	if (tensor == NULL)
		return;
	onnx__tensor_proto__init(tensor);
	name = nn_emit_text(w, "%s.%s", node->output[0], suffix);
	while (name != NULL && nn_graph_find_tensor(w->graph, name) != NN_NO_TENSOR)
		name = nn_emit_text(w, "%s_", name);
	tensor->name = name;
	tensor->dims = nn_emit_take(w, sizeof(int64_t) * (size_t) (ndim + 1));
	if (w->failed)
		return;
	for (int i = 0; i < ndim; i++)
		tensor->dims[i] = dim[i];
	tensor->n_dims = (size_t) ndim;
	tensor->has_data_type = 1;
	tensor->data_type = type;
	tensor->has_raw_data = 1;
	tensor->raw_data.data = (uint8_t *) (uintptr_t) bytes;
	tensor->raw_data.len = len;
	w->tensors[w->n_tensors++] = tensor;
	nn_emit_input(w, node, name);
}

void
nn_emit_floats(onnx_writer *w, Onnx__NodeProto *node, const char *suffix, int ndim, const int *dim, const float *values,
			   size_t count)
{
	nn_emit_constant(w, node, suffix, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, ndim, dim, values, count * sizeof(float));
}

void
nn_emit_filled(onnx_writer *w, Onnx__NodeProto *node, const char *suffix, int ndim, int count, float value)
{
	float *values = nn_emit_take(w, sizeof(float) * (size_t) count);

	for (int i = 0; values != NULL && i < count; i++)
		values[i] = value;
	nn_emit_floats(w, node, suffix, ndim, &count, values, (size_t) count);
}

void
nn_emit_free(onnx_writer *w)
{
	while (w->chunks != NULL)
	{
		chunk *next = w->chunks->next;

		free(w->chunks);
		w->chunks = next;
	}
}
