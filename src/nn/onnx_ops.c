/* onnx_ops.c: the table of ONNX operators, and those that are short. Shapes and weight counts are checked by nn_graph_add_node. */
#include "nn/onnx_ops.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

typedef struct operator
{
	const char *name;
	eddh_code (*read)(onnx_reader * reader, const Onnx__NodeProto *proto);
	const char *attributes;
}
operator;

static eddh_code
read_simple(onnx_reader *reader, const Onnx__NodeProto *proto, const nn_node *node)
{
	uint32_t in;
	eddh_code code = nn_onnx_tensor_input(reader, proto, 0, &in);

	return code == EDDH_OK ? nn_onnx_add(reader, proto, node, 1, &in) : code;
}

static eddh_code
read_relu(onnx_reader *reader, const Onnx__NodeProto *proto)
{
	return read_simple(reader, proto, &(nn_node){ .op = NN_OP_RELU });
}

static eddh_code
read_clip(onnx_reader *reader, const Onnx__NodeProto *proto)
{
	nn_node node = { .op = NN_OP_CLIP };
	eddh_code code;

	node.p[0] = nn_onnx_attr_float(proto, "min", -FLT_MAX);
	node.p[1] = nn_onnx_attr_float(proto, "max", FLT_MAX);
	if (nn_onnx_has_input(proto, 1) && (code = nn_onnx_scalar_input(reader, proto, 1, &node.p[0])) != EDDH_OK)
		return code;
	if (nn_onnx_has_input(proto, 2) && (code = nn_onnx_scalar_input(reader, proto, 2, &node.p[1])) != EDDH_OK)
		return code;
	return read_simple(reader, proto, &node);
}

static eddh_code
read_lrn(onnx_reader *reader, const Onnx__NodeProto *proto)
{
	nn_node node = { .op = NN_OP_LRN };
	int64_t size = nn_onnx_attr_int(proto, "size", 0);

	node.k = size < 0 || size > NN_MAX_DIM ? 0 : (int32_t) size;
	node.p[0] = nn_onnx_attr_float(proto, "alpha", 1e-4f);
	node.p[1] = nn_onnx_attr_float(proto, "beta", 0.75f);
	node.p[2] = nn_onnx_attr_float(proto, "bias", 1);
	return read_simple(reader, proto, &node);
}

static eddh_code
read_global_avgpool(onnx_reader *reader, const Onnx__NodeProto *proto)
{
	return read_simple(reader, proto, &(nn_node){ .op = NN_OP_GLOBAL_AVGPOOL });
}

static eddh_code
read_sigmoid(onnx_reader *reader, const Onnx__NodeProto *proto)
{
	return read_simple(reader, proto, &(nn_node){ .op = NN_OP_SIGMOID });
}

static eddh_code
read_hardsigmoid(onnx_reader *reader, const Onnx__NodeProto *proto)
{
	nn_node node = { .op = NN_OP_HARDSIGMOID };

	node.p[0] = nn_onnx_attr_float(proto, "alpha", 0.2f);
	node.p[1] = nn_onnx_attr_float(proto, "beta", 0.5f);
	return read_simple(reader, proto, &node);
}

static eddh_code
read_hardswish(onnx_reader *reader, const Onnx__NodeProto *proto)
{
	return read_simple(reader, proto, &(nn_node){ .op = NN_OP_HARDSWISH });
}

static eddh_code
read_tanh(onnx_reader *reader, const Onnx__NodeProto *proto)
{
	return read_simple(reader, proto, &(nn_node){ .op = NN_OP_TANH });
}

static eddh_code
read_exp(onnx_reader *reader, const Onnx__NodeProto *proto)
{
	return read_simple(reader, proto, &(nn_node){ .op = NN_OP_EXP });
}

static eddh_code
read_sin(onnx_reader *reader, const Onnx__NodeProto *proto)
{
	return read_simple(reader, proto, &(nn_node){ .op = NN_OP_SIN });
}

/* An axis of the batched tensor as one of the sample's: 1 -> 0. */
static bool
sample_axis(int64_t axis, int ndim, int *out)
{
	if (axis < 0)
		axis += ndim + 1;
	*out = (int) (axis - 1);
	return axis >= 1 && axis <= ndim;
}

/* Before opset 13, Softmax ran over everything from its axis on. Either way what is supported is one run of adjacent numbers. */
static eddh_code
read_softmax(onnx_reader *reader, const Onnx__NodeProto *proto)
{
	nn_node node = { .op = NN_OP_SOFTMAX };
	const nn_tensor *a;
	int64_t after = 1;
	uint32_t in;
	int axis;
	eddh_code code = nn_onnx_tensor_input(reader, proto, 0, &in);

	if (code != EDDH_OK)
		return code;
	a = nn_onnx_tensor_at(reader, in);
	if (!sample_axis(nn_onnx_attr_int(proto, "axis", reader->opset < 13 ? 1 : -1), a->ndim, &axis))
		return nn_onnx_fail(reader, proto, EDDH_UNSUPPORTED, "axis");
	for (int i = axis + 1; i < a->ndim; i++)
		after *= a->dim[i];
	if (after != 1)
		return nn_onnx_fail(reader, proto, EDDH_UNSUPPORTED, "axis %d with other dimensions after it", axis + 1);
	node.k = a->dim[axis];
	return nn_onnx_add(reader, proto, &node, 1, &in);
}

static eddh_code
read_concat(onnx_reader *reader, const Onnx__NodeProto *proto)
{
	nn_node node = { .op = NN_OP_CONCAT };
	uint32_t *in;
	int axis;
	eddh_code code = EDDH_OK;

	if (proto->n_input < 1)
		return nn_onnx_fail(reader, proto, EDDH_BAD_DATA, "no inputs");
	in = malloc(sizeof(*in) * proto->n_input);
	if (in == NULL)
		return eddh_fail(reader->err, EDDH_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < proto->n_input && code == EDDH_OK; i++)
		code = nn_onnx_tensor_input(reader, proto, i, &in[i]);
	if (code == EDDH_OK &&
		(!sample_axis(nn_onnx_attr_int(proto, "axis", 1), nn_onnx_tensor_at(reader, in[0])->ndim, &axis) || axis != 0))
		code = nn_onnx_fail(reader, proto, EDDH_UNSUPPORTED, "axis other than 1");
	if (code == EDDH_OK)
		code = nn_onnx_add(reader, proto, &node, (int) proto->n_input, in);
	free(in);
	return code;
}

static eddh_code
read_flatten(onnx_reader *reader, const Onnx__NodeProto *proto)
{
	uint32_t in;
	int axis;
	eddh_code code = nn_onnx_tensor_input(reader, proto, 0, &in);

	if (code != EDDH_OK)
		return code;
	if (!sample_axis(nn_onnx_attr_int(proto, "axis", 1), nn_onnx_tensor_at(reader, in)->ndim, &axis) || axis != 0)
		return nn_onnx_fail(reader, proto, EDDH_UNSUPPORTED, "axis other than 1");
	return nn_onnx_add(reader, proto, &(nn_node){ .op = NN_OP_FLATTEN }, 1, &in);
}

/* The batch must stay the first dimension: written as 0, as -1, or as 1 by exporters that fixed it. */
static eddh_code
read_reshape(onnx_reader *reader, const Onnx__NodeProto *proto)
{
	nn_node node = { .op = NN_OP_RESHAPE };
	const nn_tensor *a;
	onnx_constant shape;
	int64_t known = 1;
	int64_t first;
	int open = -1;
	uint32_t in;
	eddh_code code;

	if ((code = nn_onnx_tensor_input(reader, proto, 0, &in)) != EDDH_OK ||
		(code = nn_onnx_constant_input(reader, proto, 1, false, &shape)) != EDDH_OK)
		return code;
	a = nn_onnx_tensor_at(reader, in);
	if (shape.count < 2 || shape.count > 4)
		return nn_onnx_fail(reader, proto, EDDH_UNSUPPORTED, "to %zu dimensions", shape.count);
	first = nn_onnx_int(&shape, 0);
	node.ndim = (int32_t) shape.count - 1;
	for (int i = 0; i < node.ndim; i++)
	{
		int64_t d = nn_onnx_int(&shape, (size_t) i + 1);

		if (d == 0 && i < a->ndim && nn_onnx_attr_int(proto, "allowzero", 0) == 0)
			d = a->dim[i];
		if (d == -1 && open < 0)
			open = i;
		else if (d < 1 || d > NN_MAX_DIM || (known *= d) > (int64_t) NN_MAX_COUNT)
			return nn_onnx_fail(reader, proto, EDDH_BAD_DATA, "dimension %d is %lld", i + 2, (long long) d);
		else
			node.dim[i] = (int32_t) d;
	}
	if (open >= 0)
	{
		int64_t rest = (int64_t) a->count / known;

		node.dim[open] = rest > NN_MAX_DIM ? 0 : (int32_t) rest;
	}
	if (!(first == 0 || first == 1 || first == -1) || (first == -1 && open >= 0))
		return nn_onnx_fail(reader, proto, EDDH_UNSUPPORTED, "the first dimension must remain the batch");
	return nn_onnx_add(reader, proto, &node, 1, &in);
}

/* Identity, and Dropout, which does nothing when the network is used. */
static eddh_code
read_identity(onnx_reader *reader, const Onnx__NodeProto *proto)
{
	bool constant;
	eddh_code code = nn_onnx_input_is_constant(reader, proto, 0, &constant);

	if (code != EDDH_OK)
		return code;
	if (constant)
	{
		onnx_name *from = nn_onnx_find(reader, proto->input[0]);
		onnx_name *to = nn_onnx_find(reader, proto->output[0]);

		to->kind = ONNX_CONSTANT;
		to->proto = from->proto;
		to->constant = from->constant;
		return EDDH_OK;
	}
	return read_simple(reader, proto, &(nn_node){ .op = NN_OP_IDENTITY });
}

static eddh_code
read_constant(onnx_reader *reader, const Onnx__NodeProto *proto)
{
	const Onnx__AttributeProto *value = proto->n_attribute == 1 ? proto->attribute[0] : NULL;
	onnx_name *name = nn_onnx_find(reader, proto->output[0]);
	onnx_constant *c = &name->constant;

	if (value == NULL)
		return nn_onnx_fail(reader, proto, EDDH_BAD_DATA, "%zu attributes, needs 1", proto->n_attribute);
	name->kind = ONNX_CONSTANT;
	memset(c, 0, sizeof(*c));
	c->count = 1;
	if (strcmp(value->name, "value") == 0 && value->t != NULL)
		name->proto = value->t;
	else if (strcmp(value->name, "value_float") == 0)
	{
		c->type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
		c->floats = &value->f;
	}
	else if (strcmp(value->name, "value_int") == 0)
	{
		c->type = ONNX__TENSOR_PROTO__DATA_TYPE__INT64;
		c->ints = &value->i;
	}
	else if (strcmp(value->name, "value_floats") == 0)
	{
		c->type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
		c->floats = value->floats;
		c->ndim = 1;
		c->dim[0] = (int64_t) (c->count = value->n_floats);
	}
	else if (strcmp(value->name, "value_ints") == 0)
	{
		c->type = ONNX__TENSOR_PROTO__DATA_TYPE__INT64;
		c->ints = value->ints;
		c->ndim = 1;
		c->dim[0] = (int64_t) (c->count = value->n_ints);
	}
	else
		return nn_onnx_fail(reader, proto, EDDH_UNSUPPORTED, "value that is not a tensor of numbers");
	return EDDH_OK;
}

static const operator operators[] = {
	{ "Add", nn_onnx_read_add, "" },
	{ "AveragePool", nn_onnx_read_avgpool, "auto_pad ceil_mode count_include_pad dilations kernel_shape pads strides" },
	{ "BatchNormalization", nn_onnx_read_batchnorm, "epsilon momentum spatial training_mode" },
	{ "Clip", read_clip, "max min" },
	{ "Concat", read_concat, "axis" },
	{ "Constant", read_constant, "value value_float value_floats value_int value_ints" },
	{ "Conv", nn_onnx_read_conv, "auto_pad dilations group kernel_shape pads strides" },
	{ "Dropout", read_identity, "ratio seed" },
	{ "Exp", read_exp, "" },
	{ "Flatten", read_flatten, "axis" },
	{ "Gemm", nn_onnx_read_gemm, "alpha beta transA transB" },
	{ "GlobalAveragePool", read_global_avgpool, "" },
	{ "HardSigmoid", read_hardsigmoid, "alpha beta" },
	{ "HardSwish", read_hardswish, "" },
	{ "Identity", read_identity, "" },
	{ "LRN", read_lrn, "alpha beta bias size" },
	{ "MatMul", nn_onnx_read_matmul, "" },
	{ "MaxPool", nn_onnx_read_maxpool, "auto_pad ceil_mode dilations kernel_shape pads storage_order strides" },
	{ "Mul", nn_onnx_read_mul, "" },
	{ "Relu", read_relu, "" },
	{ "Reshape", read_reshape, "allowzero" },
	{ "Sigmoid", read_sigmoid, "" },
	{ "Sin", read_sin, "" },
	{ "Softmax", read_softmax, "axis" },
	{ "Tanh", read_tanh, "" },
};

eddh_code
nn_onnx_read_node(onnx_reader *reader, const Onnx__NodeProto *proto)
{
	bool foreign = proto->domain != NULL && proto->domain[0] != '\0' && strcmp(proto->domain, "ai.onnx") != 0;

	for (size_t i = 0; !foreign && proto->op_type != NULL && i < sizeof(operators) / sizeof(operators[0]); i++)
		if (strcmp(operators[i].name, proto->op_type) == 0)
		{
			eddh_code code = nn_onnx_check_attributes(reader, proto, operators[i].attributes);

			if (code == EDDH_OK && (proto->n_output < 1 || proto->output[0][0] == '\0'))
				code = nn_onnx_fail(reader, proto, EDDH_BAD_DATA, "no output");
			return code == EDDH_OK ? operators[i].read(reader, proto) : code;
		}
	return nn_onnx_fail(reader, proto, EDDH_UNSUPPORTED, "this operator is not supported");
}
