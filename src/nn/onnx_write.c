/*
 * onnx_write.c: a graph to ONNX, IR version 7, operator set 13 (14 where HardSwish needs it). Weights are not copied on the way: the messages point at
 * them until they are packed.
 */
#include "nn/onnx_emit.h"

#include <stdlib.h>
#include <string.h>

#include "common/pages.h"

/* ---- Operators ---- */

static const char *
tensor_name(const onnx_writer *w, uint32_t tensor)
{
	return nn_graph_string(w->graph, w->graph->tensors[tensor].name);
}

static void
add_window(onnx_writer *w, Onnx__NodeProto *node, const nn_window *g, bool dilated)
{
	nn_emit_ints(w, node, "kernel_shape", 2, (int[]){ g->kh, g->kw });
	nn_emit_ints(w, node, "strides", 2, (int[]){ g->sh, g->sw });
	nn_emit_ints(w, node, "pads", 4, (int[]){ g->ph0, g->pw0, g->ph1, g->pw1 });
	if (dilated)
		nn_emit_ints(w, node, "dilations", 2, (int[]){ g->dh, g->dw });
}

static void
write_conv(onnx_writer *w, const nn_node *node, Onnx__NodeProto *proto)
{
	const nn_window *g = &node->window;

	nn_emit_floats(w, proto, "weight", 4, (int[]){ node->k, g->c / node->groups, g->kh, g->kw },
				   w->graph->weights + node->w, (size_t) node->w_count);
	if (node->b_count > 0)
		nn_emit_floats(w, proto, "bias", 1, (int[]){ node->k }, w->graph->weights + node->b, (size_t) node->b_count);
	add_window(w, proto, g, true);
	nn_emit_int(w, proto, "group", node->groups);
}

/* Gemm is for (N, C); with more dimensions it is MatMul, which wants the other order and has no bias, and Add. */
static void
write_dense(onnx_writer *w, const nn_node *node, const char *output)
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
		proto = nn_emit_node(w, "Gemm", output, 1);
		nn_emit_input(w, proto, nn_graph_string(w->graph, in->name));
		nn_emit_floats(w, proto, "weight", 2, (int[]){ node->k, c }, weights, (size_t) node->w_count);
		if (node->b_count > 0)
			nn_emit_floats(w, proto, "bias", 1, (int[]){ node->k }, bias, (size_t) node->b_count);
		nn_emit_int(w, proto, "transB", 1);
		return;
	}
	between = nn_emit_text(w, "%s", output);
	while (node->b_count > 0 && between != NULL && nn_graph_find_tensor(w->graph, between) != NN_NO_TENSOR)
		between = nn_emit_text(w, "%s.product", between);
	turned = nn_emit_take(w, sizeof(float) * (size_t) node->w_count);
	if (w->failed)
		return;
	for (int k = 0; k < node->k; k++)
		for (int i = 0; i < c; i++)
			turned[(size_t) i * (size_t) node->k + (size_t) k] = weights[(size_t) k * (size_t) c + (size_t) i];
	proto = nn_emit_node(w, "MatMul", between, 1);
	nn_emit_input(w, proto, nn_graph_string(w->graph, in->name));
	nn_emit_floats(w, proto, "weight", 2, (int[]){ c, node->k }, turned, (size_t) node->w_count);
	if (node->b_count > 0)
	{
		proto = nn_emit_node(w, "Add", output, 1);
		nn_emit_input(w, proto, between);
		nn_emit_floats(w, proto, "bias", 1, (int[]){ node->k }, bias, (size_t) node->b_count);
	}
}

static void
write_binary_constant(onnx_writer *w, const nn_node *node, Onnx__NodeProto *proto)
{
	const nn_tensor *a = nn_node_input(w->graph, node, 0);
	int dim[3] = { a->dim[0], a->dim[1], a->dim[2] };
	int ndim = a->ndim;

	if (node->broadcast == NN_CONST_CHANNEL)
		dim[1] = dim[2] = 1;
	if (node->broadcast == NN_CONST_SCALAR)
		ndim = 0;
	if (node->w_count > 0)
		nn_emit_floats(w, proto, "constant", ndim, dim, w->graph->weights + node->w, (size_t) node->w_count);
}

/* As a normalisation by mean 0 and variance 1. */
static void
write_scale(onnx_writer *w, const nn_node *node, Onnx__NodeProto *proto)
{
	int channels = (int) node->w_count;

	nn_emit_floats(w, proto, "scale", 1, &channels, w->graph->weights + node->w, (size_t) node->w_count);
	nn_emit_floats(w, proto, "shift", 1, &channels, w->graph->weights + node->b, (size_t) node->b_count);
	nn_emit_filled(w, proto, "mean", 1, channels, 0);
	nn_emit_filled(w, proto, "variance", 1, channels, 1);
	nn_emit_float(w, proto, "epsilon", 0);
}

static void
write_reshape(onnx_writer *w, const nn_node *node, Onnx__NodeProto *proto)
{
	int64_t *shape = nn_emit_take(w, sizeof(*shape) * 4);
	int ndim = node->ndim + 1;

	for (int i = 0; shape != NULL && i < node->ndim; i++)
		shape[i + 1] = node->dim[i];
	nn_emit_constant(w, proto, "shape", ONNX__TENSOR_PROTO__DATA_TYPE__INT64, 1, &ndim, shape,
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
write_pool(onnx_writer *w, const nn_node *node, Onnx__NodeProto *proto)
{
	nn_window g = node->window;
	bool as_padding = node->ceil_mode && !node->count_pad;

	if (as_padding)
	{
		g.ph1 = reach(g.h, g.kh, g.sh, g.ph0, g.oh);
		g.pw1 = reach(g.w, g.kw, g.sw, g.pw0, g.ow);
	}
	add_window(w, proto, &g, false);
	nn_emit_int(w, proto, "ceil_mode", node->ceil_mode && !as_padding);
	if (node->op == NN_OP_AVGPOOL)
		nn_emit_int(w, proto, "count_include_pad", node->count_pad);
}

static void
write_node(onnx_writer *w, const nn_node *node)
{
	const char *output = tensor_name(w, node->output);
	Onnx__NodeProto *proto;

	if (node->op == NN_OP_DENSE)
	{
		write_dense(w, node, output);
		return;
	}
	proto = nn_emit_node(w, nn_op_name(node->op), output, node->n_edges);
	for (uint32_t e = 0; e < node->n_edges; e++)
		nn_emit_input(w, proto, tensor_name(w, w->graph->edges[node->first_edge + e]));
	switch ((nn_op) node->op)
	{
		case NN_OP_CONV:
			write_conv(w, node, proto);
			break;
		case NN_OP_CLIP:
			nn_emit_filled(w, proto, "min", 0, 1, node->p[0]);
			nn_emit_filled(w, proto, "max", 0, 1, node->p[1]);
			break;
		case NN_OP_LRN:
			nn_emit_int(w, proto, "size", node->k);
			nn_emit_float(w, proto, "alpha", node->p[0]);
			nn_emit_float(w, proto, "beta", node->p[1]);
			nn_emit_float(w, proto, "bias", node->p[2]);
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
			nn_emit_float(w, proto, "alpha", node->p[0]);
			nn_emit_float(w, proto, "beta", node->p[1]);
			break;
		case NN_OP_SOFTMAX:
			nn_emit_int(w, proto, "axis", softmax_axis(nn_node_input(w->graph, node, 0), node->k));
			break;
		case NN_OP_CONCAT:
		case NN_OP_FLATTEN:
			nn_emit_int(w, proto, "axis", 1);
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
value_info(onnx_writer *w, const char *name, const nn_tensor *tensor)
{
	Onnx__ValueInfoProto *info = nn_emit_take(w, sizeof(*info));
	Onnx__TypeProto *type = nn_emit_take(w, sizeof(*type));
	Onnx__TypeProto__Tensor *element = nn_emit_take(w, sizeof(*element));
	Onnx__TensorShapeProto *shape = nn_emit_take(w, sizeof(*shape));
	Onnx__TensorShapeProto__Dimension **dims = nn_emit_take(w, sizeof(*dims) * 4);
	Onnx__TensorShapeProto__Dimension *dim = nn_emit_take(w, sizeof(*dim) * 4);

	if (w->failed)
		return NULL;
	onnx__value_info_proto__init(info);
	onnx__type_proto__init(type);
	onnx__type_proto__tensor__init(element);
	onnx__tensor_shape_proto__init(shape);
	info->name = nn_emit_text(w, "%s", name);
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
			dim[i].dim_param = nn_emit_text(w, "N");
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
write_metadata(onnx_writer *w, Onnx__ModelProto *model)
{
	const nn_graph *graph = w->graph;

	model->metadata_props = nn_emit_take(w, sizeof(*model->metadata_props) * (graph->n_metas + 1));
	for (size_t i = 0; !w->failed && i < graph->n_metas; i++)
	{
		Onnx__StringStringEntryProto *entry = nn_emit_take(w, sizeof(*entry));

		if (entry == NULL)
			return;
		onnx__string_string_entry_proto__init(entry);
		entry->key = nn_emit_text(w, "%s", nn_graph_string(graph, graph->metas[i].key));
		entry->value = nn_emit_text(w, "%s", nn_graph_string(graph, graph->metas[i].value));
		model->metadata_props[model->n_metadata_props++] = entry;
	}
}

static void
write_graph(onnx_writer *w, Onnx__GraphProto *proto)
{
	const nn_graph *graph = w->graph;
	const char *output = tensor_name(w, graph->output);

	/* At most two nodes and four constants come of one. */
	w->nodes = nn_emit_take(w, sizeof(*w->nodes) * 2 * (graph->n_nodes + 1));
	w->tensors = nn_emit_take(w, sizeof(*w->tensors) * 4 * (graph->n_nodes + 1));
	proto->input = nn_emit_take(w, sizeof(*proto->input));
	proto->output = nn_emit_take(w, sizeof(*proto->output));
	for (size_t i = 0; !w->failed && i < graph->n_nodes; i++)
		write_node(w, &graph->nodes[i]);
	if (!w->failed && graph->n_nodes == 0)
	{
		/* ONNX has no way to say that the input is the output. */
		Onnx__NodeProto *node = nn_emit_node(w, "Identity", nn_emit_text(w, "%s.output", output), 1);

		nn_emit_input(w, node, output);
		output = nn_emit_text(w, "%s.output", output);
	}
	if (w->failed)
		return;
	proto->name = nn_emit_text(w, "network");
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
	eddh_large_pages(out->bytes, len);
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
	onnx_writer w = { .graph = graph };
	Onnx__ModelProto model = ONNX__MODEL_PROTO__INIT;
	Onnx__GraphProto proto = ONNX__GRAPH_PROTO__INIT;
	Onnx__OperatorSetIdProto opset = ONNX__OPERATOR_SET_ID_PROTO__INIT;
	Onnx__OperatorSetIdProto *opsets = &opset;
	eddh_code code;

	out->bytes = NULL;
	out->len = 0;
	if (graph->n_halves > 0)
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "a network with halves cannot be written: copy it first");
	opset.domain = nn_emit_text(&w, "%s", "");
	opset.has_version = 1;
	opset.version = uses(graph, NN_OP_HARDSWISH) ? 14 : 13;
	model.has_ir_version = 1;
	model.ir_version = 7;
	model.producer_name = nn_emit_text(&w, "eddh");
	model.opset_import = &opsets;
	model.n_opset_import = 1;
	model.graph = &proto;
	write_graph(&w, &proto);
	write_metadata(&w, &model);
	code = w.failed ? eddh_fail(err, EDDH_NO_MEMORY, "out of memory") : pack(&model, out, err);
	nn_emit_free(&w);
	return code;
}
