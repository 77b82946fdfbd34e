/*
 * onnx_build.h: small ONNX files made in a test: by fields of the wire format, so that also what no writer would produce can be made. Everything is
 * appended to growing byte strings; text with lengths is `field`.
 */
#ifndef EDDH_TEST_ONNX_BUILD_H
#define EDDH_TEST_ONNX_BUILD_H

#include "nn_graphs.h"

typedef struct bytes
{
	uint8_t *at;
	size_t len, cap;
} bytes;

static inline void
put(bytes *b, const void *data, size_t len)
{
	if (b->len + len > b->cap)
	{
		b->cap = 2 * (b->len + len) + 64;
		b->at = realloc(b->at, b->cap);
		assert_non_null(b->at);
	}
	if (len > 0)
		memcpy(b->at + b->len, data, len);
	b->len += len;
}

static inline void
put_varint(bytes *b, uint64_t v)
{
	do
	{
		uint8_t byte = (uint8_t) ((v & 0x7f) | (v > 0x7f ? 0x80 : 0));

		put(b, &byte, 1);
		v >>= 7;
	} while (v > 0);
}

static inline void
put_int(bytes *b, int field, int64_t v)
{
	put_varint(b, (uint64_t) field << 3);
	put_varint(b, (uint64_t) v);
}

static inline void
put_float(bytes *b, int field, float v)
{
	put_varint(b, (uint64_t) field << 3 | 5);
	put(b, &v, 4);
}

static inline void
put_field(bytes *b, int field, const void *data, size_t len)
{
	put_varint(b, (uint64_t) field << 3 | 2);
	put_varint(b, len);
	put(b, data, len);
}

static inline void
put_text(bytes *b, int field, const char *text)
{
	put_field(b, field, text, strlen(text));
}

/* Takes the inner bytes. */
static inline void
put_message(bytes *b, int field, bytes inner)
{
	put_field(b, field, inner.at, inner.len);
	free(inner.at);
}

/* ---- ONNX's messages; numbers are those of onnx.proto ---- */

static inline bytes
attribute_int(const char *name, int64_t v)
{
	bytes b = { 0 };

	put_text(&b, 1, name);
	put_int(&b, 3, v);
	put_int(&b, 20, 2);
	return b;
}

static inline bytes
attribute_float(const char *name, float v)
{
	bytes b = { 0 };

	put_text(&b, 1, name);
	put_float(&b, 2, v);
	put_int(&b, 20, 1);
	return b;
}

static inline bytes
attribute_text(const char *name, const char *text)
{
	bytes b = { 0 };

	put_text(&b, 1, name);
	put_text(&b, 4, text);
	put_int(&b, 20, 3);
	return b;
}

static inline bytes
attribute_ints(const char *name, int n, const int *v)
{
	bytes b = { 0 };

	put_text(&b, 1, name);
	for (int i = 0; i < n; i++)
		put_int(&b, 8, v[i]);
	put_int(&b, 20, 7);
	return b;
}

/* inputs and outputs: names between blanks; "-" is an input left out. */
static inline void
put_names(bytes *b, int field, const char *names)
{
	while (*names != '\0')
	{
		size_t len = strcspn(names, " ");

		put_field(b, field, names, names[0] == '-' ? 0 : len);
		names += len;
		names += *names == ' ';
	}
}

static inline bytes
node(const char *op, const char *inputs, const char *outputs)
{
	bytes b = { 0 };

	put_names(&b, 1, inputs);
	put_names(&b, 2, outputs);
	put_text(&b, 3, outputs);
	put_text(&b, 4, op);
	return b;
}

static inline bytes
with(bytes n, bytes attribute)
{
	put_message(&n, 5, attribute);
	return n;
}

enum
{
	FLOAT = 1,
	INT64 = 7,
	FLOAT16 = 10,
	DOUBLE = 11
};

/* raw_data. */
static inline bytes
tensor(const char *name, int type, int ndim, const int *dim, const void *data, size_t len)
{
	bytes b = { 0 };

	for (int i = 0; i < ndim; i++)
		put_int(&b, 1, dim[i]);
	put_int(&b, 2, type);
	put_text(&b, 8, name);
	put_field(&b, 9, data, len);
	return b;
}

static inline bytes
float_tensor(const char *name, int ndim, const int *dim, const float *data)
{
	size_t count = 1;

	for (int i = 0; i < ndim; i++)
		count *= (size_t) dim[i];
	return tensor(name, FLOAT, ndim, dim, data, count * 4);
}

/* dim 0: a symbolic dimension. */
static inline bytes
value_info(const char *name, int ndim, const int *dim)
{
	bytes shape = { 0 };
	bytes type = { 0 };
	bytes outer = { 0 };
	bytes info = { 0 };

	for (int i = 0; i < ndim; i++)
	{
		bytes d = { 0 };

		if (dim[i] == 0)
			put_text(&d, 2, "N");
		else
			put_int(&d, 1, dim[i]);
		put_message(&shape, 1, d);
	}
	put_int(&type, 1, FLOAT);
	put_message(&type, 2, shape);
	put_message(&outer, 1, type);
	put_text(&info, 1, name);
	put_message(&info, 2, outer);
	return info;
}

/* A graph with input "x" of a sample's shape (0, dim...) and output "y". */
typedef struct model
{
	bytes graph;
	int opset;
} model;

static inline model
begin_model(int opset, int ndim, const int *dim)
{
	model m = { .opset = opset };
	int with_batch[4] = { 0, 0, 0, 0 };

	for (int i = 0; i < ndim; i++)
		with_batch[i + 1] = dim[i];
	put_text(&m.graph, 2, "g");
	put_message(&m.graph, 11, value_info("x", ndim + 1, with_batch));
	put_message(&m.graph, 12, value_info("y", 0, NULL));
	return m;
}

static inline void
add_node(model *m, bytes n)
{
	put_message(&m->graph, 1, n);
}

static inline void
add_tensor(model *m, bytes t)
{
	put_message(&m->graph, 5, t);
}

static inline bytes
finish_model(model *m)
{
	bytes file = { 0 };
	bytes opset = { 0 };

	put_int(&file, 1, 7);
	put_message(&file, 7, m->graph);
	put_text(&opset, 1, "");
	put_int(&opset, 2, m->opset);
	put_message(&file, 8, opset);
	return file;
}

static inline eddh_code
read_bytes(bytes file, nn_graph **graph, eddh_error *err)
{
	/* An exact allocation, so that a checker sees a read beyond it. */
	uint8_t *exact = malloc(file.len + 1);
	uint8_t *start = exact + 1;
	eddh_code code;

	memset(err, 0, sizeof(*err));
	if (file.len > 0)
		memcpy(start, file.at, file.len);
	code = nn_graph_read_onnx(start, file.len, &nn_limits_default, graph, err);
	free(exact);
	return code;
}

/* Reads, frees the bytes, and must succeed. */
static inline nn_graph *
read_model(model *m)
{
	bytes file = finish_model(m);
	nn_graph *graph;
	eddh_error err;

	expect_ok(read_bytes(file, &graph, &err), &err);
	free(file.at);
	return graph;
}

/* Reads, frees, and must fail with this code and a message that contains both texts. */
static inline void
refuse_bytes(bytes file, eddh_code code, const char *part, const char *other)
{
	nn_graph *graph;
	eddh_error err;
	eddh_code got = read_bytes(file, &graph, &err);

	if (got != code || strstr(err.message, part) == NULL || strstr(err.message, other) == NULL)
		fail_msg("code %d (want %d), message \"%s\" (want \"%s\" and \"%s\")", got, code, err.message, part, other);
	assert_null(graph);
	free(file.at);
}

static inline void
refuse_model(model *m, eddh_code code, const char *part, const char *other)
{
	refuse_bytes(finish_model(m), code, part, other);
}

#endif /* EDDH_TEST_ONNX_BUILD_H */
