/* onnx_binary.c: ONNX Add and Mul: of two activations, or of one and a constant. */
#include "nn/onnx_ops.h"

#include <stdlib.h>
#include <string.h>

/*
 * A constant beside an activation: how it broadcasts over a sample (numpy's rule, aligned at the last dimension, the batch's dimension being 1 or left out).
 * Patterns without a kernel of their own are spelled out in full.
 */
static eddh_code
classify_constant(const onnx_reader *reader, const Onnx__NodeProto *proto, const nn_tensor *a, const onnx_constant *b,
				  nn_broadcast *how, size_t stride[3])
{
	int64_t dim[3] = { 1, 1, 1 };
	size_t step = 1;

	for (int i = b->ndim - 1, to = a->ndim - 1; i >= 0; i--, to--)
	{
		if (to < 0 ? b->dim[i] != 1 : b->dim[i] != 1 && b->dim[i] != a->dim[to])
			return nn_onnx_fail(reader, proto, EDDH_UNSUPPORTED, "constant does not broadcast over the other input");
		if (to >= 0)
			dim[to] = b->dim[i];
	}
	for (int i = a->ndim - 1; i >= 0; i--)
	{
		stride[i] = dim[i] == 1 ? 0 : step;
		step *= (size_t) dim[i];
	}
	if (b->count == 1)
		*how = NN_CONST_SCALAR;
	else if (a->ndim > 1 && b->count == (size_t) dim[0] && dim[0] == a->dim[0])
		*how = NN_CONST_CHANNEL;
	else
		*how = NN_CONST_SAME;
	return EDDH_OK;
}

static void
fill_broadcast(float *out, const nn_tensor *a, const float *from, const size_t stride[3])
{
	size_t dim[3] = { 1, 1, 1 };
	size_t s[3] = { 0, 0, 0 };
	size_t at = 0;

	for (int i = 0; i < a->ndim; i++)
	{
		dim[i] = (size_t) a->dim[i];
		s[i] = stride[i];
	}
	for (size_t i = 0; i < dim[0]; i++)
		for (size_t j = 0; j < dim[1]; j++)
			for (size_t k = 0; k < dim[2]; k++)
				out[at++] = from[i * s[0] + j * s[1] + k * s[2]];
}

static eddh_code
read_binary_constant(onnx_reader *reader, const Onnx__NodeProto *proto, nn_node *node, size_t tensor_at_input)
{
	size_t stride[3] = { 0, 0, 0 };
	nn_broadcast how = NN_CONST_SAME;
	onnx_constant b;
	uint32_t in;
	float *values;
	eddh_code code;

	if ((code = nn_onnx_tensor_input(reader, proto, tensor_at_input, &in)) != EDDH_OK ||
		(code = nn_onnx_constant_input(reader, proto, 1 - tensor_at_input, true, &b)) != EDDH_OK ||
		(code = classify_constant(reader, proto, nn_onnx_tensor_at(reader, in), &b, &how, stride)) != EDDH_OK)
		return code;
	node->broadcast = (int32_t) how;
	node->w_count = how == NN_CONST_SAME ? nn_onnx_tensor_at(reader, in)->count : b.count;
	if ((code = nn_onnx_add(reader, proto, node, 1, &in)) != EDDH_OK)
		return code;
	if (how != NN_CONST_SAME || b.count == node->w_count)
	{
		nn_onnx_floats(&b, nn_onnx_last_w(reader));
		return EDDH_OK;
	}
	values = malloc(sizeof(float) * (b.count + 1));
	if (values == NULL)
		return eddh_fail(reader->err, EDDH_NO_MEMORY, "out of memory");
	nn_onnx_floats(&b, values);
	fill_broadcast(nn_onnx_last_w(reader), nn_onnx_tensor_at(reader, in), values, stride);
	free(values);
	return EDDH_OK;
}

static bool
same_dims(const nn_tensor *a, const nn_tensor *b)
{
	return a->ndim == b->ndim && memcmp(a->dim, b->dim, sizeof(a->dim)) == 0;
}

static bool
per_channel(const nn_tensor *a, const nn_tensor *b)
{
	return a->ndim == 3 && b->ndim == 3 && a->dim[0] == b->dim[0] && b->dim[1] == 1 && b->dim[2] == 1;
}

static eddh_code
read_binary(onnx_reader *reader, const Onnx__NodeProto *proto, nn_op op)
{
	nn_node node = { .op = op };
	bool constant[2];
	uint32_t in[2];
	const nn_tensor *a;
	const nn_tensor *b;
	eddh_code code;

	if ((code = nn_onnx_input_is_constant(reader, proto, 0, &constant[0])) != EDDH_OK ||
		(code = nn_onnx_input_is_constant(reader, proto, 1, &constant[1])) != EDDH_OK)
		return code;
	if (constant[0] || constant[1])
		return read_binary_constant(reader, proto, &node, constant[0] ? 1 : 0);
	if ((code = nn_onnx_tensor_input(reader, proto, 0, &in[0])) != EDDH_OK ||
		(code = nn_onnx_tensor_input(reader, proto, 1, &in[1])) != EDDH_OK)
		return code;
	a = nn_onnx_tensor_at(reader, in[0]);
	b = nn_onnx_tensor_at(reader, in[1]);
	if (same_dims(a, b))
		node.broadcast = NN_SAME;
	else if (per_channel(a, b))
		node.broadcast = NN_CHANNEL;
	else if (per_channel(b, a))
	{
		uint32_t swap = in[0];

		in[0] = in[1];
		in[1] = swap;
		node.broadcast = NN_CHANNEL;
	}
	else
		return nn_onnx_fail(reader, proto, EDDH_UNSUPPORTED, "inputs of these two shapes");
	return nn_onnx_add(reader, proto, &node, 2, in);
}

eddh_code
nn_onnx_read_add(onnx_reader *reader, const Onnx__NodeProto *proto)
{
	return read_binary(reader, proto, NN_OP_ADD);
}

eddh_code
nn_onnx_read_mul(onnx_reader *reader, const Onnx__NodeProto *proto)
{
	return read_binary(reader, proto, NN_OP_MUL);
}
