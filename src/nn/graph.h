/*
 * graph.h: what a graph is made of. Private to this room.
 *
 * Everything is a table of plain structs that refer to each other by index or offset, never by pointer, so that the flat form (flat.c) is a dump of
 * the tables and a validated flat block needs no translation.
 *
 * Invariants, established by nn_graph_add_node and checked again by nn_graph_check:
 * - nodes are in topological order, each has one output tensor and at least one input; tensors have one producer (the graph's input has none);
 * - every node lies on a path from the graph's input to its output (nn_graph_prune);
 * - constants are not tensors: they are in the weights array, in node order, w of a node before its b, without gaps or sharing. So the weights of the
 *   first m nodes are a prefix of the array. In a flat block the w of some dense layers are in an array of halves instead, by the same rules;
 * - shapes are those of one sample.
 */
#ifndef EDDH_NN_GRAPH_H
#define EDDH_NN_GRAPH_H

#include "nn/kernels.h"
#include "nn/nn.h"

typedef enum nn_op
{
	NN_OP_CONV,
	NN_OP_DENSE, /* Gemm, MatMul: over the last dimension */
	NN_OP_RELU,
	NN_OP_CLIP, /* p[0] lo, p[1] hi */
	NN_OP_LRN,  /* k size, p[0] alpha, p[1] beta, p[2] bias */
	NN_OP_MAXPOOL,
	NN_OP_AVGPOOL,
	NN_OP_GLOBAL_AVGPOOL,
	NN_OP_ADD,
	NN_OP_MUL,
	NN_OP_CONCAT, /* along the first dimension */
	NN_OP_SCALE,  /* w scale, b shift, per channel: BatchNormalization that could not be folded */
	NN_OP_SIGMOID,
	NN_OP_HARDSIGMOID, /* p[0] a, p[1] b */
	NN_OP_HARDSWISH,
	NN_OP_TANH,
	NN_OP_SOFTMAX,  /* rows of k */
	NN_OP_FLATTEN,  /* the rest are views: same floats, other shape */
	NN_OP_RESHAPE,  /* dim */
	NN_OP_IDENTITY, /* Identity, Dropout */
	NN_OP_EXP,
	NN_OP_SIN,
	NN_OP_COUNT
} nn_op;

/* Limits that keep every product of the kernels' int arguments in range. */
#define NN_MAX_DIM   (1 << 20)
#define NN_MAX_COUNT (UINT64_C(1) << 30) /* floats of one tensor, one sample */
#define NN_MAX_WORK \
	(UINT64_C(1)    \
	 << 36) /* multiply-adds or comparisons of one node, one sample: some seconds, between two polls of stop */
#define NN_MAX_NODES 5000
#define NN_NO_TENSOR UINT32_MAX

typedef struct nn_tensor
{
	uint32_t name; /* offset in strings */
	int32_t ndim;  /* 1..3 without the batch */
	int32_t dim[3];
	uint32_t producer; /* node, or NN_NO_TENSOR for the graph's input */
	uint64_t count;
} nn_tensor;

typedef struct nn_node
{
	uint32_t op;
	uint32_t name; /* offset in strings */
	uint32_t first_edge;
	uint32_t n_edges; /* inputs that are tensors */
	uint32_t output;
	nn_window window;  /* CONV, pools: kernel, strides, pads, dilation given; the rest filled by shape inference */
	int32_t k;         /* CONV, DENSE outputs; LRN size; SOFTMAX row */
	int32_t groups;    /* CONV */
	int32_t ceil_mode; /* pools */
	int32_t count_pad; /* AVGPOOL */
	int32_t broadcast; /* ADD, MUL: nn_broadcast */
	int32_t ndim;      /* RESHAPE: shape of the output */
	int32_t dim[3];
	int32_t halved; /* 1: w is in halves, of an attached graph (flat.c); else 0 */
	float p[4];
	uint64_t w, w_count; /* in weights, or halves; count 0 = absent. ADD and MUL with a constant keep it in w */
	uint64_t b, b_count;
} nn_node;

typedef struct nn_meta
{
	uint32_t key, value; /* offsets in strings */
} nn_meta;

struct nn_graph
{
	nn_tensor *tensors;
	nn_node *nodes;
	uint32_t *edges; /* tensor indices */
	nn_meta *metas;
	char *strings; /* zero-terminated, one after the other */
	float *weights;
	const uint16_t *halves; /* only of graphs attached to a flat block; a copy has floats in their place */
	size_t n_tensors, n_nodes, n_edges, n_metas, strings_len, n_weights, n_halves;
	size_t cap_tensors, cap_nodes, cap_edges, cap_metas, cap_strings, cap_weights;
	uint32_t input, output; /* tensors */
	bool weights_borrowed;  /* they belong to a flat block */
};

/* ---- Building (graph.c) ---- */

extern eddh_code nn_graph_new(nn_graph **out, eddh_error *err);

/* Appends a zero-terminated copy; *offset into strings. */
extern eddh_code nn_graph_add_string(nn_graph *graph, const char *text, uint32_t *offset, eddh_error *err);

/* Takes room for so many weights more, so that they come without a move; it is memory only when it is written. */
extern eddh_code nn_graph_reserve(nn_graph *graph, size_t weights, eddh_error *err);

/* The input tensor; once, before any node. */
extern eddh_code nn_graph_set_input(nn_graph *graph, const char *name, int ndim, const int *dim, eddh_error *err);

/*
 * Appends *node (op and attributes filled; name, edges, output and weights' offsets are set here) reading `inputs`, makes its output tensor, infers its shape
 * and takes room for w_count + b_count weights, uninitialised. *output is the new tensor; the node is the last of nodes. After an error the graph is as before.
 */
extern eddh_code nn_graph_add_node(nn_graph *graph, const nn_node *node, const char *name, int n_inputs,
								   const uint32_t *inputs, const char *output_name, uint32_t *output, eddh_error *err);

/* Sets the output and removes whatever does not lead to it. */
extern eddh_code nn_graph_finish(nn_graph *graph, uint32_t output, eddh_error *err);

/* The tensor called so, or NN_NO_TENSOR. */
extern uint32_t nn_graph_find_tensor(const nn_graph *graph, const char *name);

/* Every invariant above, on tables of unknown origin; recomputes shapes. */
extern eddh_code nn_graph_check(nn_graph *graph, eddh_error *err);

static inline const char *
nn_graph_string(const nn_graph *graph, uint32_t offset)
{
	return graph->strings + offset;
}

static inline const nn_tensor *
nn_node_input(const nn_graph *graph, const nn_node *node, int i)
{
	return &graph->tensors[graph->edges[node->first_edge + i]];
}

/* Same floats in another shape: no work, no memory. */
static inline bool
nn_op_is_view(uint32_t op)
{
	return op == NN_OP_FLATTEN || op == NN_OP_RESHAPE || op == NN_OP_IDENTITY;
}

/* Weight decay is for the w of these alone (not for biases, scales and constants). */
static inline bool
nn_op_decays(uint32_t op)
{
	return op == NN_OP_CONV || op == NN_OP_DENSE;
}

/*
 * nn_backward for the nodes from first_node on (run.c): nothing below them is computed. d_weights begins with the weights of first_node (the
 * earlier ones have no gradient and no place), so that a trainer with a frozen prefix pays neither time nor memory for it.
 */
extern eddh_code nn_backward_from(const nn_plan *plan, uint32_t first_node, int n, const float *input, float *arena,
								  const float *d_output, float *d_weights, const eddh_stop *stop, eddh_error *err);

/* ---- Shapes (shape.c) ---- */

/* Fills the output tensor's shape and the node's window from its inputs; checks attributes and weight counts. */
extern eddh_code nn_shape_infer(nn_graph *graph, nn_node *node, eddh_error *err);
extern const char *nn_op_name(uint32_t op); /* ONNX's */
/* A name for a message: whatever is not printable ASCII becomes '?', and it ends in size. */
extern void nn_printable(const char *text, char *out, size_t size);
extern uint64_t nn_node_macs(const nn_graph *graph, const nn_node *node);

/* c and hw of a tensor as the channel-wise kernels see it: (C), (C, L), (C, H, W). */
static inline int
nn_tensor_hw(const nn_tensor *tensor)
{
	return (int) (tensor->count / (uint64_t) tensor->dim[0]);
}

#endif /* EDDH_NN_GRAPH_H */
