/* onnx.h: shared by the files that read and write ONNX. */
#ifndef EDDH_NN_ONNX_H
#define EDDH_NN_ONNX_H

#include "nn/graph.h"
#include "onnx.pb-c.h"

/*
 * Walks the wire format by the schema's own descriptors, without allocating and without recursion, before anything is unpacked. What passes is not
 * nested deeper than NN_ONNX_DEPTH, has no length beyond the end of what contains it, repeats no single submessage (protobuf-c would merge them, in
 * quadratic time), has text in UTF-8, and stays under the counts below, which bound what unpacking allocates.
 */
extern eddh_code nn_onnx_walk(const uint8_t *bytes, size_t len, eddh_error *err);

#define NN_ONNX_DEPTH 16
#define NN_ONNX_MESSAGES \
	100000 /* nodes, attributes, tensors, dimensions... together; a large real network has a tenth */
#define NN_ONNX_FIELDS   500000
#define NN_ONNX_INTEGERS 1000000 /* elements of packed integer lists: up to eight bytes in memory for one in the file */

/* ---- Constants (onnx_tensor.c): initialisers and Constant nodes ---- */

#define NN_ONNX_MAX_DIMS 8

typedef struct onnx_constant
{
	int type; /* TensorProto.DataType */
	int ndim;
	int64_t dim[NN_ONNX_MAX_DIMS];
	size_t count;
	const uint8_t *raw; /* little-endian elements, or NULL: then one of the following */
	const float *floats;
	const double *doubles;
	const int32_t *halves; /* float16 bits in the low half */
	const int64_t *ints;
} onnx_constant;

/* Checks type, sizes and storage; refuses external data. No copy is made. Messages begin with what is wrong, the caller knows the name. */
extern eddh_code nn_onnx_constant(const Onnx__TensorProto *tensor, onnx_constant *out, eddh_error *err);
extern bool nn_onnx_is_real(const onnx_constant *constant); /* float, float16 or double */

/* All elements, or n from the first-th on, widened or narrowed to float. Only for real types. */
extern void nn_onnx_floats_at(const onnx_constant *constant, size_t first, size_t n, float *out);
extern void nn_onnx_floats(const onnx_constant *constant, float *out);
extern int64_t nn_onnx_int(const onnx_constant *constant, size_t i); /* int32 or int64; else 0 */

/* ---- Reader (onnx_read.c) and operators (onnx_ops.c) ---- */

typedef enum onnx_kind
{
	ONNX_PENDING, /* made by a node that has not been read */
	ONNX_ABSENT,  /* an output we do not make: a mask, indices */
	ONNX_INPUT,
	ONNX_TENSOR,
	ONNX_CONSTANT
} onnx_kind;

/* Whatever a node's input may name. */
typedef struct onnx_name
{
	const char *name;
	onnx_kind kind;
	uint32_t tensor;
	const Onnx__TensorProto *proto; /* a constant's; NULL: the value below, of a Constant node's other attributes */
	onnx_constant constant;
	const Onnx__NodeProto *reader; /* the last to read it */
	uint32_t readers;
} onnx_name;

typedef struct onnx_reader
{
	const Onnx__GraphProto *proto;
	const nn_limits *limits;
	size_t len; /* of the file: there are no more weights than a quarter of it, but for those in half precision */
	const char *wanted; /* tensor to end at where there are several outputs, or NULL */
	int64_t opset;
	nn_graph *graph;
	onnx_name *names; /* sorted by name */
	size_t n_names;
	uint64_t activation; /* floats of all tensors so far */
	eddh_error *err;     /* never NULL */
} onnx_reader;

extern onnx_name *nn_onnx_find(const onnx_reader *reader, const char *name);

/* Error naming node and operator. */
extern eddh_code nn_onnx_fail(const onnx_reader *reader, const Onnx__NodeProto *proto, eddh_code code, const char *fmt,
							  ...) __attribute__((format(printf, 4, 5)));

/* Appends what the node means to reader->graph and enters its output's name. */
extern eddh_code nn_onnx_read_node(onnx_reader *reader, const Onnx__NodeProto *proto);

#endif /* EDDH_NN_ONNX_H */
