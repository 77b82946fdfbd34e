/* onnx_emit.h: making the messages of an ONNX file (onnx_emit.c). Private to the writer. */
#ifndef EDDH_NN_ONNX_EMIT_H
#define EDDH_NN_ONNX_EMIT_H

#include "nn/onnx.h"

typedef struct onnx_writer
{
	const nn_graph *graph;
	struct chunk *chunks; /* all that the messages are made of */
	bool failed;          /* out of memory; checked once, at the end */
	Onnx__NodeProto **nodes;
	Onnx__TensorProto **tensors;
	size_t n_nodes, n_tensors;
} onnx_writer;

/* Zeroed memory that lives until nn_emit_free; NULL, and w->failed, when there is none. The other functions then do nothing. */
extern void *nn_emit_take(onnx_writer *w, size_t size);
extern char *nn_emit_text(onnx_writer *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
extern void nn_emit_free(onnx_writer *w);

/*
 * Appends to w->nodes. There is room for most_inputs and for five constants, and for eight attributes. The node is called after its output: names of tensors
 * are unique; those of nodes in files of others need not be, but runtimes want it.
 */
extern Onnx__NodeProto *nn_emit_node(onnx_writer *w, const char *op, const char *output, size_t most_inputs);
extern void nn_emit_input(onnx_writer *w, Onnx__NodeProto *node, const char *name);
extern void nn_emit_int(onnx_writer *w, Onnx__NodeProto *node, const char *name, int64_t value);
extern void nn_emit_float(onnx_writer *w, Onnx__NodeProto *node, const char *name, float value);
extern void nn_emit_ints(onnx_writer *w, Onnx__NodeProto *node, const char *name, int n, const int *values);

/* An initialiser named after the node's output, as the node's next input. bytes must live until packing. */
extern void nn_emit_constant(onnx_writer *w, Onnx__NodeProto *node, const char *suffix, int type, int ndim,
							 const int *dim, const void *bytes, size_t len);
extern void nn_emit_floats(onnx_writer *w, Onnx__NodeProto *node, const char *suffix, int ndim, const int *dim,
						   const float *values, size_t count);
extern void nn_emit_filled(onnx_writer *w, Onnx__NodeProto *node, const char *suffix, int ndim, int count, float value);

#endif /* EDDH_NN_ONNX_EMIT_H */
