/* onnx_read.c: an ONNX file to a graph: unpacking under a cap, names, input, output, metadata. Operators are in onnx_ops.c. */
#include "nn/onnx.h"

#include <stdlib.h>
#include <string.h>

const nn_limits nn_limits_default = { .max_bytes = (size_t) 1 << 30,
									  .max_parameters = (size_t) 250000000,
									  .max_activation = (size_t) 64000000 };

/* ---- Capped allocator: each block remembers its size ---- */

#define BLOCK_HEADER 16

typedef struct cap
{
	size_t left;
} cap;

static void *
capped_alloc(void *data, size_t size)
{
	cap *budget = data;
	size_t whole;
	uint8_t *block;

	if (!eddh_size_add(size, BLOCK_HEADER, &whole) || whole > budget->left || (block = malloc(whole)) == NULL)
		return NULL;
	budget->left -= whole;
	memcpy(block, &whole, sizeof(whole));
	return block + BLOCK_HEADER;
}

static void
capped_free(void *data, void *pointer)
{
	cap *budget = data;
	size_t whole;
	uint8_t *block = pointer;

	if (block == NULL)
		return;
	block -= BLOCK_HEADER;
	memcpy(&whole, block, sizeof(whole));
	budget->left += whole;
	free(block);
}

/* ---- Names ---- */

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const onnx_name *) a)->name, ((const onnx_name *) b)->name);
}

onnx_name *
nn_onnx_find(const onnx_reader *reader, const char *name)
{
	onnx_name key = { .name = name };

	return reader->n_names == 0 ? NULL : bsearch(&key, reader->names, reader->n_names, sizeof(*reader->names), by_name);
}

static void
enter(onnx_reader *reader, const char *name, onnx_kind kind, const Onnx__TensorProto *proto)
{
	if (name != NULL && name[0] != '\0')
		reader->names[reader->n_names++] = (onnx_name){ .name = name, .kind = kind, .proto = proto };
}

/* Before IR version 4, initialisers were listed among the inputs, too: then the input is dropped. */
static eddh_code
drop_shadowed_inputs(onnx_reader *reader)
{
	size_t kept = 0;

	for (size_t i = 0; i < reader->n_names; i++)
	{
		onnx_name *name = &reader->names[i];
		onnx_name *before = kept > 0 ? &reader->names[kept - 1] : NULL;

		if (before == NULL || strcmp(before->name, name->name) != 0)
			reader->names[kept++] = *name;
		else if (before->kind == ONNX_INPUT && name->kind == ONNX_CONSTANT)
			*before = *name;
		else if (!(before->kind == ONNX_CONSTANT && name->kind == ONNX_INPUT))
		{
			char shown[64];

			nn_printable(name->name, shown, sizeof(shown));
			return eddh_fail(reader->err, EDDH_BAD_DATA, "ONNX file defines \"%s\" twice", shown);
		}
	}
	reader->n_names = kept;
	return EDDH_OK;
}

static eddh_code
collect_names(onnx_reader *reader)
{
	const Onnx__GraphProto *proto = reader->proto;
	size_t most = proto->n_initializer + proto->n_input;
	eddh_code code;

	for (size_t i = 0; i < proto->n_node; i++)
		most += proto->node[i]->n_output;
	reader->names = malloc(sizeof(*reader->names) * (most + 1));
	if (reader->names == NULL)
		return eddh_fail(reader->err, EDDH_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < proto->n_initializer; i++)
		enter(reader, proto->initializer[i]->name, ONNX_CONSTANT, proto->initializer[i]);
	for (size_t i = 0; i < proto->n_input; i++)
		enter(reader, proto->input[i]->name, ONNX_INPUT, NULL);
	for (size_t i = 0; i < proto->n_node; i++)
		for (size_t o = 0; o < proto->node[i]->n_output; o++)
			enter(reader, proto->node[i]->output[o], o == 0 ? ONNX_PENDING : ONNX_ABSENT, NULL);
	qsort(reader->names, reader->n_names, sizeof(*reader->names), by_name);
	if ((code = drop_shadowed_inputs(reader)) != EDDH_OK)
		return code;
	for (size_t i = 0; i < proto->n_node; i++)
		for (size_t e = 0; e < proto->node[i]->n_input; e++)
		{
			onnx_name *name = nn_onnx_find(reader, proto->node[i]->input[e]);

			if (name != NULL)
			{
				name->readers++;
				name->reader = proto->node[i];
			}
		}
	for (size_t i = 0; i < proto->n_output; i++)
	{
		onnx_name *name = proto->output[i]->name == NULL ? NULL : nn_onnx_find(reader, proto->output[i]->name);

		if (name != NULL)
			name->readers++;
	}
	return EDDH_OK;
}

/* ---- Input and output ---- */

static eddh_code
read_input(onnx_reader *reader, const Onnx__ValueInfoProto *info)
{
	const Onnx__TypeProto__Tensor *type =
		info->type != NULL && info->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE ? info->type->tensor_type
																							: NULL;
	const Onnx__TensorShapeProto *shape = type != NULL ? type->shape : NULL;
	onnx_constant element = { .type = type != NULL ? type->elem_type : 0 };
	onnx_name *name = nn_onnx_find(reader, info->name);
	char shown[64];
	int dim[3];
	eddh_code code;

	nn_printable(info->name, shown, sizeof(shown));
	if (shape == NULL || !nn_onnx_is_real(&element))
		return eddh_fail(reader->err, EDDH_UNSUPPORTED, "input \"%s\" is not a tensor of floats of known shape", shown);
	if (shape->n_dim < 2 || shape->n_dim > 4)
		return eddh_fail(reader->err, EDDH_UNSUPPORTED, "input \"%s\" has %zu dimensions, needs 2 to 4 with the batch",
						 shown, shape->n_dim);
	for (size_t i = 1; i < shape->n_dim; i++)
	{
		const Onnx__TensorShapeProto__Dimension *d = shape->dim[i];

		if (d->value_case != ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE || d->dim_value < 1 ||
			d->dim_value > NN_MAX_DIM)
		{
			code = eddh_fail(reader->err, EDDH_UNSUPPORTED, "dimension %zu of input \"%s\" is not a fixed size", i + 1,
							 shown);
			eddh_hint(reader->err, "Export the network with a fixed input size; only the batch may vary.");
			return code;
		}
		dim[i - 1] = (int) d->dim_value;
	}
	code = nn_graph_set_input(reader->graph, info->name, (int) shape->n_dim - 1, dim, reader->err);
	if (code != EDDH_OK)
		return code;
	name->kind = ONNX_TENSOR;
	name->tensor = reader->graph->input;
	reader->activation = reader->graph->tensors[reader->graph->input].count;
	if (reader->activation > reader->limits->max_activation)
		return eddh_fail(reader->err, EDDH_OVER_LIMIT, "input \"%s\" has more than %zu numbers", shown,
						 reader->limits->max_activation);
	return EDDH_OK;
}

static eddh_code
read_inputs(onnx_reader *reader)
{
	const Onnx__GraphProto *proto = reader->proto;
	const Onnx__ValueInfoProto *only = NULL;
	int n = 0;

	for (size_t i = 0; i < proto->n_input; i++)
	{
		const char *name = proto->input[i]->name;
		const onnx_name *entry = name != NULL && name[0] != '\0' ? nn_onnx_find(reader, name) : NULL;

		if (entry != NULL && entry->kind == ONNX_INPUT)
		{
			only = proto->input[i];
			n++;
		}
	}
	if (n != 1)
		return eddh_fail(reader->err, EDDH_UNSUPPORTED, "network has %d inputs, needs 1", n);
	return read_input(reader, only);
}

static eddh_code
read_output(onnx_reader *reader)
{
	const char *output = reader->proto->n_output == 1 ? reader->proto->output[0]->name : reader->wanted;
	const onnx_name *name;

	if (output == NULL)
	{
		eddh_fail(reader->err, EDDH_UNSUPPORTED, "network has %zu outputs, needs 1", reader->proto->n_output);
		eddh_hint(reader->err, "Export the network with one output, or, as a backbone, name the tensor to cut at.");
		return EDDH_UNSUPPORTED;
	}
	name = nn_onnx_find(reader, output);
	if (name == NULL && output == reader->wanted)
		return eddh_fail(reader->err, EDDH_BAD_ARGUMENT, "the network has no tensor \"%.100s\"", output);
	if (name == NULL || name->kind != ONNX_TENSOR)
		return eddh_fail(reader->err, EDDH_BAD_DATA, "output of the network is not computed from its input");
	return nn_graph_finish(reader->graph, name->tensor, reader->err);
}

static eddh_code
read_metadata(onnx_reader *reader, const Onnx__ModelProto *model)
{
	eddh_code code = EDDH_OK;

	if (model->n_metadata_props > 1000)
		return eddh_fail(reader->err, EDDH_OVER_LIMIT, "%zu metadata entries", model->n_metadata_props);
	for (size_t i = 0; i < model->n_metadata_props && code == EDDH_OK; i++)
	{
		const Onnx__StringStringEntryProto *entry = model->metadata_props[i];

		code = nn_graph_set_metadata(reader->graph, entry->key != NULL ? entry->key : "",
									 entry->value != NULL ? entry->value : "", reader->err);
	}
	return code;
}

/* ---- The whole ---- */

static eddh_code
read_opset(onnx_reader *reader, const Onnx__ModelProto *model)
{
	for (size_t i = 0; i < model->n_opset_import; i++)
	{
		const Onnx__OperatorSetIdProto *opset = model->opset_import[i];

		if (opset->domain == NULL || opset->domain[0] == '\0' || strcmp(opset->domain, "ai.onnx") == 0)
			reader->opset = opset->version;
	}
	if (reader->opset < 7)
		return eddh_fail(reader->err, EDDH_UNSUPPORTED, "ONNX file uses operator set %lld, needs 7 or later",
						 (long long) reader->opset);
	return EDDH_OK;
}

static eddh_code
read_model(onnx_reader *reader, const Onnx__ModelProto *model)
{
	eddh_code code;

	if (model->graph == NULL)
		return eddh_fail(reader->err, EDDH_BAD_DATA, "ONNX file holds no network");
	reader->proto = model->graph;
	if (model->graph->n_sparse_initializer > 0)
		return eddh_fail(reader->err, EDDH_UNSUPPORTED, "sparse weights");
	if ((code = read_opset(reader, model)) != EDDH_OK ||
		(code = nn_graph_new(&reader->graph, reader->err)) != EDDH_OK ||
		(code = nn_graph_reserve(reader->graph, reader->len / sizeof(float), reader->err)) != EDDH_OK ||
		(code = collect_names(reader)) != EDDH_OK || (code = read_inputs(reader)) != EDDH_OK)
		return code;
	for (size_t i = 0; i < model->graph->n_node && code == EDDH_OK; i++)
		code = nn_onnx_read_node(reader, model->graph->node[i]);
	if (code == EDDH_OK)
		code = read_metadata(reader, model);
	return code == EDDH_OK ? read_output(reader) : code;
}

eddh_code
nn_graph_read_onnx(const uint8_t *bytes, size_t len, const nn_limits *limits, nn_graph **out, eddh_error *err)
{
	return nn_graph_read_onnx_to(bytes, len, limits, NULL, out, err);
}

eddh_code
nn_graph_read_onnx_to(const uint8_t *bytes, size_t len, const nn_limits *limits, const char *tensor, nn_graph **out,
					  eddh_error *err)
{
	eddh_error local;
	onnx_reader reader = { .limits = limits, .len = len, .wanted = tensor, .err = err != NULL ? err : &local };

	/* Integer lists grow eightfold, structs are larger than two bytes: the walk has bounded both, this is the second line. */
	cap budget = { .left = limits->max_bytes > SIZE_MAX / 4 ? SIZE_MAX : 4 * len + ((size_t) 64 << 20) };
	ProtobufCAllocator allocator = { capped_alloc, capped_free, &budget };
	Onnx__ModelProto *model;
	eddh_code code;

	*out = NULL;
	if (len > limits->max_bytes)
		return eddh_fail(err, EDDH_OVER_LIMIT, "ONNX file of %zu bytes, more than %zu", len, limits->max_bytes);
	if ((code = nn_onnx_walk(bytes, len, reader.err)) != EDDH_OK)
		return code;
	model = onnx__model_proto__unpack(&allocator, len, bytes);
	if (model == NULL)
		return eddh_fail(err, EDDH_BAD_DATA, "not a valid ONNX file, or more memory needed to read it than %zu bytes",
						 4 * len + ((size_t) 64 << 20));
	code = read_model(&reader, model);
	free(reader.names);
	onnx__model_proto__free_unpacked(model, &allocator);
	if (code != EDDH_OK)
	{
		nn_graph_free(reader.graph);
		return code;
	}
	*out = reader.graph;
	return EDDH_OK;
}
