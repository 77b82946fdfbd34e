/* onnx_attr.c: what all operators need: attributes, inputs, and appending to the graph. */
#include "nn/onnx_ops.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

eddh_code
nn_onnx_fail(const onnx_reader *reader, const Onnx__NodeProto *proto, eddh_code code, const char *fmt, ...)
{
	const char *name = proto->name;
	char text[160];
	char shown[64];
	char op[32];
	va_list args;

	/* A node may be nameless; its output is not. */
	if ((name == NULL || name[0] == '\0') && proto->n_output > 0)
		name = proto->output[0];
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	nn_printable(name != NULL ? name : "", shown, sizeof(shown));
	nn_printable(proto->op_type != NULL ? proto->op_type : "", op, sizeof(op));
	return eddh_fail(reader->err, code, "node \"%s\" (%s): %s", shown, op, text);
}

const Onnx__AttributeProto *
nn_onnx_attribute(const Onnx__NodeProto *proto, const char *name)
{
	for (size_t i = 0; i < proto->n_attribute; i++)
		if (proto->attribute[i]->name != NULL && strcmp(proto->attribute[i]->name, name) == 0)
			return proto->attribute[i];
	return NULL;
}

/* known: names between blanks. Anything else might change what the node computes. */
eddh_code
nn_onnx_check_attributes(const onnx_reader *reader, const Onnx__NodeProto *proto, const char *known)
{
	for (size_t i = 0; i < proto->n_attribute; i++)
	{
		const Onnx__AttributeProto *attribute = proto->attribute[i];
		const char *name = attribute->name != NULL ? attribute->name : "";
		size_t len = strlen(name);
		const char *at = known;
		char shown[48];

		nn_printable(name, shown, sizeof(shown));
		if (attribute->ref_attr_name != NULL && attribute->ref_attr_name[0] != '\0')
			return nn_onnx_fail(reader, proto, EDDH_UNSUPPORTED, "attribute \"%s\" refers to a function", shown);
		while (len > 0 && (at = strstr(at, name)) != NULL)
		{
			if ((at == known || at[-1] == ' ') && (at[len] == '\0' || at[len] == ' '))
				break;
			at += len;
		}
		if (len == 0 || at == NULL)
			return nn_onnx_fail(reader, proto, EDDH_UNSUPPORTED, "attribute \"%s\" is not supported", shown);
	}
	return EDDH_OK;
}

int64_t
nn_onnx_attr_int(const Onnx__NodeProto *proto, const char *name, int64_t otherwise)
{
	const Onnx__AttributeProto *attribute = nn_onnx_attribute(proto, name);

	return attribute != NULL && attribute->has_i ? attribute->i : otherwise;
}

float
nn_onnx_attr_float(const Onnx__NodeProto *proto, const char *name, float otherwise)
{
	const Onnx__AttributeProto *attribute = nn_onnx_attribute(proto, name);

	return attribute != NULL && attribute->has_f ? attribute->f : otherwise;
}

bool
nn_onnx_attr_is(const Onnx__NodeProto *proto, const char *name, const char *text)
{
	const Onnx__AttributeProto *attribute = nn_onnx_attribute(proto, name);

	return attribute != NULL && attribute->has_s && attribute->s.len == strlen(text) &&
		   memcmp(attribute->s.data, text, attribute->s.len) == 0;
}

eddh_code
nn_onnx_attr_ints(const onnx_reader *reader, const Onnx__NodeProto *proto, const char *name, int n, int *out)
{
	const Onnx__AttributeProto *attribute = nn_onnx_attribute(proto, name);

	if (attribute == NULL)
		return EDDH_OK;
	if (attribute->n_ints != (size_t) n)
		return nn_onnx_fail(reader, proto, EDDH_UNSUPPORTED, "attribute \"%s\" has %zu numbers, needs %d", name,
							attribute->n_ints, n);
	for (int i = 0; i < n; i++)
	{
		if (attribute->ints[i] < 0 || attribute->ints[i] > NN_MAX_DIM)
			return nn_onnx_fail(reader, proto, EDDH_BAD_DATA, "attribute \"%s\" is %lld", name,
								(long long) attribute->ints[i]);
		out[i] = (int) attribute->ints[i];
	}
	return EDDH_OK;
}

bool
nn_onnx_has_input(const Onnx__NodeProto *proto, size_t i)
{
	return i < proto->n_input && proto->input[i][0] != '\0';
}

/* What input i names; NULL after an error. */
static const onnx_name *
input_name(const onnx_reader *reader, const Onnx__NodeProto *proto, size_t i)
{
	const onnx_name *name;
	char shown[64];

	if (!nn_onnx_has_input(proto, i))
	{
		nn_onnx_fail(reader, proto, EDDH_BAD_DATA, "input %zu is missing", i + 1);
		return NULL;
	}
	nn_printable(proto->input[i], shown, sizeof(shown));
	name = nn_onnx_find(reader, proto->input[i]);
	if (name == NULL || name->kind == ONNX_PENDING)
	{
		nn_onnx_fail(reader, proto, EDDH_BAD_DATA, "input \"%s\" is made by no node before", shown);
		return NULL;
	}
	if (name->kind == ONNX_ABSENT)
	{
		nn_onnx_fail(reader, proto, EDDH_UNSUPPORTED, "input \"%s\" is a second output of another node", shown);
		return NULL;
	}
	return name;
}

eddh_code
nn_onnx_tensor_input(const onnx_reader *reader, const Onnx__NodeProto *proto, size_t i, uint32_t *tensor)
{
	const onnx_name *name = input_name(reader, proto, i);

	if (name == NULL)
		return reader->err->code;
	if (name->kind == ONNX_CONSTANT)
		return nn_onnx_fail(reader, proto, EDDH_UNSUPPORTED, "input %zu is a constant", i + 1);
	*tensor = name->tensor;
	return EDDH_OK;
}

eddh_code
nn_onnx_input_is_constant(const onnx_reader *reader, const Onnx__NodeProto *proto, size_t i, bool *constant)
{
	const onnx_name *name = input_name(reader, proto, i);

	if (name == NULL)
		return reader->err->code;
	*constant = name->kind == ONNX_CONSTANT;
	return EDDH_OK;
}

eddh_code
nn_onnx_constant_input(const onnx_reader *reader, const Onnx__NodeProto *proto, size_t i, bool real, onnx_constant *out)
{
	const onnx_name *name = input_name(reader, proto, i);
	eddh_error why;

	if (name == NULL)
		return reader->err->code;
	if (name->kind != ONNX_CONSTANT)
		return nn_onnx_fail(reader, proto, EDDH_UNSUPPORTED,
							"input %zu is computed; only a constant is supported there", i + 1);
	if (name->proto == NULL)
		*out = name->constant;
	else if (nn_onnx_constant(name->proto, out, &why) != EDDH_OK)
		return nn_onnx_fail(reader, proto, why.code, "input %zu: %s", i + 1, why.message);
	if (nn_onnx_is_real(out) != real)
		return nn_onnx_fail(reader, proto, EDDH_UNSUPPORTED, "input %zu has data type %d", i + 1, out->type);
	return EDDH_OK;
}

/* One float: a bound of Clip. */
eddh_code
nn_onnx_scalar_input(const onnx_reader *reader, const Onnx__NodeProto *proto, size_t i, float *out)
{
	onnx_constant constant;
	eddh_code code = nn_onnx_constant_input(reader, proto, i, true, &constant);

	if (code != EDDH_OK)
		return code;
	if (constant.count != 1)
		return nn_onnx_fail(reader, proto, EDDH_BAD_DATA, "input %zu has %zu numbers, needs 1", i + 1, constant.count);
	nn_onnx_floats(&constant, out);
	return EDDH_OK;
}

const nn_tensor *
nn_onnx_tensor_at(const onnx_reader *reader, uint32_t index)
{
	return &reader->graph->tensors[index];
}

void
nn_onnx_enter(onnx_reader *reader, const Onnx__NodeProto *proto, uint32_t tensor)
{
	onnx_name *name = nn_onnx_find(reader, proto->output[0]);

	name->kind = ONNX_TENSOR;
	name->tensor = tensor;
}

/* Limits first, then room, shape and name. The node's weights are uninitialised afterwards: the caller fills weights_of(). */
eddh_code
nn_onnx_add(onnx_reader *reader, const Onnx__NodeProto *proto, const nn_node *node, int n_inputs,
			const uint32_t *inputs)
{
	const char *name = proto->name != NULL && proto->name[0] != '\0' ? proto->name : proto->output[0];
	uint64_t count;
	uint32_t output;
	eddh_code code;

	if (__builtin_add_overflow(node->w_count, node->b_count, &count) ||
		count > reader->limits->max_parameters - reader->graph->n_weights)
		return nn_onnx_fail(reader, proto, EDDH_OVER_LIMIT, "the network has more than %zu weights",
							reader->limits->max_parameters);
	code = nn_graph_add_node(reader->graph, node, name, n_inputs, inputs, proto->output[0], &output, reader->err);
	if (code != EDDH_OK)
		return code;
	reader->activation += nn_onnx_tensor_at(reader, output)->count;
	if (reader->activation > reader->limits->max_activation)
		return nn_onnx_fail(reader, proto, EDDH_OVER_LIMIT, "the network computes more than %zu numbers an image",
							reader->limits->max_activation);
	nn_onnx_enter(reader, proto, output);
	return EDDH_OK;
}

float *
nn_onnx_last_w(onnx_reader *reader)
{
	return reader->graph->weights + reader->graph->nodes[reader->graph->n_nodes - 1].w;
}

float *
nn_onnx_last_b(onnx_reader *reader)
{
	return reader->graph->weights + reader->graph->nodes[reader->graph->n_nodes - 1].b;
}
