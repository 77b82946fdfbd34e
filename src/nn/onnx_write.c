/*
 * onnx_write.c: a graph to ONNX, IR version 7, operator set 13 (14 where HardSwish needs it). Weights are not copied on the way: the messages point at
 * them until they are packed.
 */
#include "nn/onnx.h"

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

typedef struct writer
{
	const nn_graph *graph;
	chunk *chunks; /* all that the messages are made of */
	bool failed;   /* out of memory; checked once, at the end */
	Onnx__NodeProto **nodes;
	Onnx__TensorProto **tensors;
	size_t n_nodes, n_tensors;
} writer;

/* Zeroed memory that lives as long as the writer. After a failure, a scratch block nobody reads. */
static void *
take(writer *w, size_t size)
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

static char *__attribute__((format(printf, 2, 3))) text(writer *w, const char *fmt, ...)
{
	va_list args;
	char *out;
	int len;

	va_start(args, fmt);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	out = take(w, (size_t) len + 1);
	if (out == NULL)
		return NULL;
	va_start(args, fmt);
	vsnprintf(out, (size_t) len + 1, fmt, args);
	va_end(args);
	return out;
}

static const char *
tensor_name(const writer *w, uint32_t tensor)
{
	return nn_graph_string(w->graph, w->graph->tensors[tensor].name);
}

/* ---- Nodes and their attributes ---- */

#define MAX_INPUTS     5
#define MAX_ATTRIBUTES 8

static Onnx__NodeProto *
begin_node(writer *w, const char *op, const char *name, const char *output, size_t most_inputs)
{
	Onnx__NodeProto *node = take(w, sizeof(*node));

	if (node == NULL)
		return NULL;
	onnx__node_proto__init(node);
	node->op_type = text(w, "%s", op);
	node->name = text(w, "%s", name);
	node->input = take(w, sizeof(char *) * (most_inputs + MAX_INPUTS));
	node->output = take(w, sizeof(char *));
	node->attribute = take(w, sizeof(Onnx__AttributeProto *) * MAX_ATTRIBUTES);
	if (w->failed)
		return NULL;
	node->output[node->n_output++] = text(w, "%s", output);
	w->nodes[w->n_nodes++] = node;
	return node;
}

static void
add_input(writer *w, Onnx__NodeProto *node, const char *name)
{
	if (node != NULL)
		node->input[node->n_input++] = text(w, "%s", name);
}

static Onnx__AttributeProto *
add_attribute(writer *w, Onnx__NodeProto *node, const char *name, Onnx__AttributeProto__AttributeType type)
{
	Onnx__AttributeProto *attribute = node == NULL ? NULL : take(w, sizeof(*attribute));

	if (attribute == NULL)
		return NULL;
	onnx__attribute_proto__init(attribute);
	attribute->name = text(w, "%s", name);
	attribute->has_type = 1;
	attribute->type = type;
	node->attribute[node->n_attribute++] = attribute;
	return attribute;
}

static void
add_int(writer *w, Onnx__NodeProto *node, const char *name, int64_t value)
{
	Onnx__AttributeProto *attribute = add_attribute(w, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);

	if (attribute != NULL)
	{
		attribute->has_i = 1;
		attribute->i = value;
	}
}

static void
add_float(writer *w, Onnx__NodeProto *node, const char *name, float value)
{
	Onnx__AttributeProto *attribute = add_attribute(w, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);

	if (attribute != NULL)
	{
		attribute->has_f = 1;
		attribute->f = value;
	}
}

static void
add_ints(writer *w, Onnx__NodeProto *node, const char *name, int n, const int *values)
{
	Onnx__AttributeProto *attribute = add_attribute(w, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
	int64_t *ints = take(w, sizeof(*ints) * (size_t) n);

	if (attribute == NULL || ints == NULL)
		return;
	for (int i = 0; i < n; i++)
		ints[i] = values[i];
	attribute->ints = ints;
	attribute->n_ints = (size_t) n;
}

static void
add_window(writer *w, Onnx__NodeProto *node, const nn_window *g, bool dilated)
{
	add_ints(w, node, "kernel_shape", 2, (int[]){ g->kh, g->kw });
	add_ints(w, node, "strides", 2, (int[]){ g->sh, g->sw });
	add_ints(w, node, "pads", 4, (int[]){ g->ph0, g->pw0, g->ph1, g->pw1 });
	if (dilated)
		add_ints(w, node, "dilations", 2, (int[]){ g->dh, g->dw });
}

/* ---- Constants ---- */

/* An initialiser named after the node's output, as the node's next input. bytes must live until packing. */
static void
add_constant(writer *w, Onnx__NodeProto *node, const char *suffix, int type, int ndim, const int *dim,
			 const void *bytes, size_t len)
{
	Onnx__TensorProto *tensor = node == NULL ? NULL : take(w, sizeof(*tensor));
	char *name;

	if (tensor == NULL)
		return;
	onnx__tensor_proto__init(tensor);
	name = text(w, "%s.%s", node->output[0], suffix);
	while (name != NULL && nn_graph_find_tensor(w->graph, name) != NN_NO_TENSOR)
		name = text(w, "%s_", name);
	tensor->name = name;
	tensor->dims = take(w, sizeof(int64_t) * (size_t) (ndim + 1));
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
	add_input(w, node, name);
}

static void
add_floats(writer *w, Onnx__NodeProto *node, const char *suffix, int ndim, const int *dim, const float *values,
		   size_t count)
{
	add_constant(w, node, suffix, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, ndim, dim, values, count * sizeof(float));
}

static void
add_filled(writer *w, Onnx__NodeProto *node, const char *suffix, int ndim, int count, float value)
{
	float *values = take(w, sizeof(float) * (size_t) count);

	for (int i = 0; values != NULL && i < count; i++)
		values[i] = value;
	add_floats(w, node, suffix, ndim, &count, values, (size_t) count);
}

/* ---- Operators ---- */

static void
write_conv(writer *w, const nn_node *node, Onnx__NodeProto *proto)
{
	const nn_window *g = &node->window;

	add_floats(w, proto, "weight", 4, (int[]){ node->k, g->c / node->groups, g->kh, g->kw },
			   w->graph->weights + node->w, (size_t) node->w_count);
	if (node->b_count > 0)
		add_floats(w, proto, "bias", 1, (int[]){ node->k }, w->graph->weights + node->b, (size_t) node->b_count);
	add_window(w, proto, g, true);
	add_int(w, proto, "group", node->groups);
}

/* Gemm is for (N, C); with more dimensions it is MatMul, which wants the other order and has no bias, and Add. */
static void
write_dense(writer *w, const nn_node *node, const char *name, const char *output)
{
	const nn_tensor *in = nn_node_input(w->graph, node, 0);
	int c = in->dim[in->ndim - 1];
	const float *weights = w->graph->weights + node->w;
	const float *bias = w->graph->weights + node->b;
	Onnx__NodeProto *proto;
	char *between;
	float *turned;

	if (in->ndim == 1)
	{
		proto = begin_node(w, "Gemm", name, output, 1);
		add_input(w, proto, nn_graph_string(w->graph, in->name));
		add_floats(w, proto, "weight", 2, (int[]){ node->k, c }, weights, (size_t) node->w_count);
		if (node->b_count > 0)
			add_floats(w, proto, "bias", 1, (int[]){ node->k }, bias, (size_t) node->b_count);
		add_int(w, proto, "transB", 1);
		return;
	}
	between = text(w, "%s", output);
	while (node->b_count > 0 && between != NULL && nn_graph_find_tensor(w->graph, between) != NN_NO_TENSOR)
		between = text(w, "%s.product", between);
	turned = take(w, sizeof(float) * (size_t) node->w_count);
	if (w->failed)
		return;
	for (int k = 0; k < node->k; k++)
		for (int i = 0; i < c; i++)
			turned[(size_t) i * (size_t) node->k + (size_t) k] = weights[(size_t) k * (size_t) c + (size_t) i];
	proto = begin_node(w, "MatMul", name, between, 1);
	add_input(w, proto, nn_graph_string(w->graph, in->name));
	add_floats(w, proto, "weight", 2, (int[]){ c, node->k }, turned, (size_t) node->w_count);
	if (node->b_count > 0)
	{
		proto = begin_node(w, "Add", text(w, "%s.bias", name), output, 1);
		add_input(w, proto, between);
		add_floats(w, proto, "bias", 1, (int[]){ node->k }, bias, (size_t) node->b_count);
	}
}

static void
write_binary_constant(writer *w, const nn_node *node, Onnx__NodeProto *proto)
{
	const nn_tensor *a = nn_node_input(w->graph, node, 0);
	int dim[3] = { a->dim[0], a->dim[1], a->dim[2] };
	int ndim = a->ndim;

	if (node->broadcast == NN_CONST_CHANNEL)
		dim[1] = dim[2] = 1;
	if (node->broadcast == NN_CONST_SCALAR)
		ndim = 0;
	if (node->w_count > 0)
		add_floats(w, proto, "constant", ndim, dim, w->graph->weights + node->w, (size_t) node->w_count);
}

/* As a normalisation by mean 0 and variance 1. */
static void
write_scale(writer *w, const nn_node *node, Onnx__NodeProto *proto)
{
	int channels = (int) node->w_count;

	add_floats(w, proto, "scale", 1, &channels, w->graph->weights + node->w, (size_t) node->w_count);
	add_floats(w, proto, "shift", 1, &channels, w->graph->weights + node->b, (size_t) node->b_count);
	add_filled(w, proto, "mean", 1, channels, 0);
	add_filled(w, proto, "variance", 1, channels, 1);
	add_float(w, proto, "epsilon", 0);
}

static void
write_reshape(writer *w, const nn_node *node, Onnx__NodeProto *proto)
{
	int64_t *shape = take(w, sizeof(*shape) * 4);
	int ndim = node->ndim + 1;

	for (int i = 0; shape != NULL && i < node->ndim; i++)
		shape[i + 1] = node->dim[i];
	add_constant(w, proto, "shape", ONNX__TENSOR_PROTO__DATA_TYPE__INT64, 1, &ndim, shape,
				 sizeof(*shape) * (size_t) ndim);
}

/* The last axis whose length is a row's; all after it are 1. */
static int
softmax_axis(const nn_tensor *a, int k)
{
	int axis = a->ndim - 1;

	while (axis > 0 && a->dim[axis] == 1 && k != 1)
		axis--;
	return axis + 1;
}

/* Pixels beyond the input that the windows reach; padding smaller than that is enough for floor rounding to give the same windows. */
static int
reach(int in, int kernel, int stride, int before, int out)
{
	int pixels = (out - 1) * stride + kernel - in - before;

	return pixels > 0 ? pixels : 0;
}

/* Rounding up is written as padding where that means the same, namely where padding is not averaged: every version of ONNX agrees on it. */
static void
write_pool(writer *w, const nn_node *node, Onnx__NodeProto *proto)
{
	nn_window g = node->window;
	bool as_padding = node->ceil_mode && !node->count_pad;

	if (as_padding)
	{
		g.ph1 = reach(g.h, g.kh, g.sh, g.ph0, g.oh);
		g.pw1 = reach(g.w, g.kw, g.sw, g.pw0, g.ow);
	}
	add_window(w, proto, &g, false);
	add_int(w, proto, "ceil_mode", node->ceil_mode && !as_padding);
	if (node->op == NN_OP_AVGPOOL)
		add_int(w, proto, "count_include_pad", node->count_pad);
}

static void
write_node(writer *w, const nn_node *node)
{
	const char *name = nn_graph_string(w->graph, node->name);
	const char *output = tensor_name(w, node->output);
	Onnx__NodeProto *proto;

	if (node->op == NN_OP_DENSE)
	{
		write_dense(w, node, name, output);
		return;
	}
	proto = begin_node(w, nn_op_name(node->op), name, output, node->n_edges);
	for (uint32_t e = 0; e < node->n_edges; e++)
		add_input(w, proto, tensor_name(w, w->graph->edges[node->first_edge + e]));
	switch ((nn_op) node->op)
	{
		case NN_OP_CONV:
			write_conv(w, node, proto);
			break;
		case NN_OP_CLIP:
			add_filled(w, proto, "min", 0, 1, node->p[0]);
			add_filled(w, proto, "max", 0, 1, node->p[1]);
			break;
		case NN_OP_LRN:
			add_int(w, proto, "size", node->k);
			add_float(w, proto, "alpha", node->p[0]);
			add_float(w, proto, "beta", node->p[1]);
			add_float(w, proto, "bias", node->p[2]);
			break;
		case NN_OP_MAXPOOL:
		case NN_OP_AVGPOOL:
			write_pool(w, node, proto);
			break;
		case NN_OP_ADD:
		case NN_OP_MUL:
			write_binary_constant(w, node, proto);
			break;
		case NN_OP_SCALE:
			write_scale(w, node, proto);
			break;
		case NN_OP_HARDSIGMOID:
			add_float(w, proto, "alpha", node->p[0]);
			add_float(w, proto, "beta", node->p[1]);
			break;
		case NN_OP_SOFTMAX:
			add_int(w, proto, "axis", softmax_axis(nn_node_input(w->graph, node, 0), node->k));
			break;
		case NN_OP_CONCAT:
		case NN_OP_FLATTEN:
			add_int(w, proto, "axis", 1);
			break;
		case NN_OP_RESHAPE:
			write_reshape(w, node, proto);
			break;
		default:
			break;
	}
}

/* ---- The model around them ---- */

static Onnx__ValueInfoProto *
value_info(writer *w, const char *name, const nn_tensor *tensor)
{
	Onnx__ValueInfoProto *info = take(w, sizeof(*info));
	Onnx__TypeProto *type = take(w, sizeof(*type));
	Onnx__TypeProto__Tensor *element = take(w, sizeof(*element));
	Onnx__TensorShapeProto *shape = take(w, sizeof(*shape));
	Onnx__TensorShapeProto__Dimension **dims = take(w, sizeof(*dims) * 4);
	Onnx__TensorShapeProto__Dimension *dim = take(w, sizeof(*dim) * 4);

	if (w->failed)
		return NULL;
	onnx__value_info_proto__init(info);
	onnx__type_proto__init(type);
	onnx__type_proto__tensor__init(element);
	onnx__tensor_shape_proto__init(shape);
	info->name = text(w, "%s", name);
	info->type = type;
	type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
	type->tensor_type = element;
	element->has_elem_type = 1;
	element->elem_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
	element->shape = shape;
	shape->dim = dims;
	shape->n_dim = (size_t) tensor->ndim + 1;
	for (int i = 0; i <= tensor->ndim; i++)
	{
		onnx__tensor_shape_proto__dimension__init(&dim[i]);
		dims[i] = &dim[i];
		if (i == 0)
		{
			dim[i].value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
			dim[i].dim_param = text(w, "N");
		}
		else
		{
			dim[i].value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
			dim[i].dim_value = tensor->dim[i - 1];
		}
	}
	return info;
}

static void
write_metadata(writer *w, Onnx__ModelProto *model)
{
	const nn_graph *graph = w->graph;

	model->metadata_props = take(w, sizeof(*model->metadata_props) * (graph->n_metas + 1));
	for (size_t i = 0; !w->failed && i < graph->n_metas; i++)
	{
		Onnx__StringStringEntryProto *entry = take(w, sizeof(*entry));

		if (entry == NULL)
			return;
		onnx__string_string_entry_proto__init(entry);
		entry->key = text(w, "%s", nn_graph_string(graph, graph->metas[i].key));
		entry->value = text(w, "%s", nn_graph_string(graph, graph->metas[i].value));
		model->metadata_props[model->n_metadata_props++] = entry;
	}
}

static void
write_graph(writer *w, Onnx__GraphProto *proto)
{
	const nn_graph *graph = w->graph;
	const char *output = tensor_name(w, graph->output);

	/* At most two nodes and four constants come of one. */
	w->nodes = take(w, sizeof(*w->nodes) * 2 * (graph->n_nodes + 1));
	w->tensors = take(w, sizeof(*w->tensors) * 4 * (graph->n_nodes + 1));
	proto->input = take(w, sizeof(*proto->input));
	proto->output = take(w, sizeof(*proto->output));
	for (size_t i = 0; !w->failed && i < graph->n_nodes; i++)
		write_node(w, &graph->nodes[i]);
	if (!w->failed && graph->n_nodes == 0)
	{
		/* ONNX has no way to say that the input is the output. */
		Onnx__NodeProto *node = begin_node(w, "Identity", "output", text(w, "%s.output", output), 1);

		add_input(w, node, output);
		output = text(w, "%s.output", output);
	}
	if (w->failed)
		return;
	proto->name = text(w, "network");
	proto->node = w->nodes;
	proto->n_node = w->n_nodes;
	proto->initializer = w->tensors;
	proto->n_initializer = w->n_tensors;
	proto->input[proto->n_input++] = value_info(w, tensor_name(w, graph->input), &graph->tensors[graph->input]);
	proto->output[proto->n_output++] = value_info(w, output, &graph->tensors[graph->output]);
}

static eddh_code
pack(const Onnx__ModelProto *model, nn_buffer *out, eddh_error *err)
{
	size_t len = onnx__model_proto__get_packed_size(model);

	/* protobuf's own limit for a message. */
	if (len > INT32_MAX)
		return eddh_fail(err, EDDH_OVER_LIMIT, "network of %zu bytes is too large for an ONNX file", len);
	out->bytes = malloc(len);
	if (out->bytes == NULL)
		return eddh_fail(err, EDDH_NO_MEMORY, "out of memory for an ONNX file of %zu bytes", len);
	out->len = onnx__model_proto__pack(model, out->bytes);
	return EDDH_OK;
}

static bool
uses(const nn_graph *graph, nn_op op)
{
	for (size_t i = 0; i < graph->n_nodes; i++)
		if (graph->nodes[i].op == op)
			return true;
	return false;
}

eddh_code
nn_graph_write_onnx(const nn_graph *graph, nn_buffer *out, eddh_error *err)
{
	writer w = { .graph = graph };
	Onnx__ModelProto model = ONNX__MODEL_PROTO__INIT;
	Onnx__GraphProto proto = ONNX__GRAPH_PROTO__INIT;
	Onnx__OperatorSetIdProto opset = ONNX__OPERATOR_SET_ID_PROTO__INIT;
	Onnx__OperatorSetIdProto *opsets = &opset;
	eddh_code code;

	out->bytes = NULL;
	out->len = 0;
	opset.domain = text(&w, "%s", "");
	opset.has_version = 1;
	opset.version = uses(graph, NN_OP_HARDSWISH) ? 14 : 13;
	model.has_ir_version = 1;
	model.ir_version = 7;
	model.producer_name = text(&w, "eddh");
	model.opset_import = &opsets;
	model.n_opset_import = 1;
	model.graph = &proto;
	write_graph(&w, &proto);
	write_metadata(&w, &model);
	code = w.failed ? eddh_fail(err, EDDH_NO_MEMORY, "out of memory") : pack(&model, out, err);
	while (w.chunks != NULL)
	{
		chunk *next = w.chunks->next;

		free(w.chunks);
		w.chunks = next;
	}
	return code;
}
