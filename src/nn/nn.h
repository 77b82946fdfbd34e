/*
 * nn.h: the network. A graph of layers with weights, read from and written to ONNX, run forward and backward.
 *
 * Shape letters, everywhere in this room: N batch, C channels, H height, W width, K outputs, B bits. Tensors are float, NCHW, dense;
 * the batch is always the first dimension and the only one that varies.
 *
 * Three objects:
 *   nn_graph    topology, weights, metadata; read-only while plans of it run, so that threads and backends share one.
 *   nn_plan     a graph prepared for batches up to a size: every shape known, every activation placed in one arena.
 *   nn_trainer  a graph being learned: threads, gradients, SGD.
 */
#ifndef EDDH_NN_H
#define EDDH_NN_H

#include "common/result.h"

typedef struct nn_graph nn_graph;
typedef struct nn_plan nn_plan;
typedef struct nn_trainer nn_trainer;

/* Bytes owned by the caller after a call that fills one; release with nn_buffer_free. */
typedef struct nn_buffer
{
	uint8_t *bytes;
	size_t len;
} nn_buffer;

extern void nn_buffer_free(nn_buffer *buffer);

/* ---- Graphs (graph.c, shape.c) ---- */

/* Of the tensors outside: elements of one sample. */
typedef struct nn_shape
{
	int ndim; /* without the batch: 1 (features) or 3 (C, H, W) */
	int dim[3];
	size_t count; /* product */
} nn_shape;

extern void nn_graph_free(nn_graph *graph);
extern nn_shape nn_graph_input_shape(const nn_graph *graph);
extern nn_shape nn_graph_output_shape(const nn_graph *graph);
extern size_t nn_graph_parameters(const nn_graph *graph);    /* number of weights */
extern const float *nn_graph_weights(const nn_graph *graph); /* all of them, unless it is attached to a flat block */
extern uint64_t nn_graph_macs(const nn_graph *graph);        /* multiply-adds of one sample forward */
extern uint64_t nn_graph_node_macs(const nn_graph *graph, int i); /* of the i-th node alone */

/* ONNX metadata_props; NULL where absent. Setting replaces. */
extern const char *nn_graph_metadata(const nn_graph *graph, const char *key);
extern eddh_code nn_graph_set_metadata(nn_graph *graph, const char *key, const char *value, eddh_error *err);
/* The i-th pair in file order, or false when there are no more. */
extern bool nn_graph_metadata_at(const nn_graph *graph, int i, const char **key, const char **value);

/* Layers and tensors by name, for messages and for choosing where to cut. i-th node's name, operator and output tensor; false at the end. */
extern bool nn_graph_node_at(const nn_graph *graph, int i, const char **name, const char **op, const char **output);

/*
 * Cuts at a tensor: *prefix ends with it as output, *suffix begins with it as input. Either pointer may be NULL. The tensor must separate the graph
 * (no other activation crosses). Both are copies. tensor NULL in nn_graph_default_cut: the input of the last Gemm, else the output.
 */
extern eddh_code nn_graph_cut(const nn_graph *graph, const char *tensor, nn_graph **prefix, nn_graph **suffix,
							  eddh_error *err);
extern const char *nn_graph_default_cut(const nn_graph *graph);

/* One graph of two in sequence (prefix's metadata win); names of suffix are made unique. */
extern eddh_code nn_graph_join(const nn_graph *prefix, const nn_graph *suffix, nn_graph **out, eddh_error *err);
/* The same without a copy of the first. EDDH_BAD_ARGUMENT, and nothing is changed, if that is mapped, or does not fit; after another failure it is good for nn_graph_free alone. */
extern eddh_code nn_graph_append(nn_graph *graph, const nn_graph *suffix, eddh_error *err);
extern eddh_code nn_graph_copy(const nn_graph *graph, nn_graph **out, eddh_error *err);

/* Renames the output tensor, so that users of an exported file find it. EDDH_BAD_ARGUMENT if another tensor is called so. */
extern eddh_code nn_graph_name_output(nn_graph *graph, const char *name, eddh_error *err);

/* ---- Architectures written by code (arch.c) ---- */

/* CNN-F to fc7 (Chatfield et al. 2014; METHODS 4.1), output 4096, input 3x224x224; seeded initialisers. 56,737,536 parameters. */
extern eddh_code nn_graph_cnn_f(uint64_t seed, nn_graph **out, eddh_error *err);

/* Our small network for 32x32 input, to be trained from nothing. */
extern eddh_code nn_graph_cnn_s(uint64_t seed, nn_graph **out, eddh_error *err);

/* A head of one Gemm: inputs -> outputs, weights and bias 0.01 N(0,1) (METHODS 1.8), or the given ones (w: outputs x inputs, b: outputs). */
extern eddh_code nn_graph_dense(size_t inputs, size_t outputs, uint64_t seed, const float *w, const float *b,
								nn_graph **out, eddh_error *err);

/*
 * Inputs to kernel values: exp(-gamma |x - a|^2) for each row a of anchors (count x inputs), as Add, Mul, Gemm, Concat, Gemm, Exp. Distances are taken
 * from the anchors' mean, so that float does not cancel.
 */
extern eddh_code nn_graph_rbf(size_t inputs, size_t count, const float *anchors, double gamma, nn_graph **out,
							  eddh_error *err);

/* (x + shift) times scale; shift: inputs numbers. */
extern eddh_code nn_graph_affine(size_t inputs, const float *shift, float scale, nn_graph **out, eddh_error *err);

/* One layer without weights; op is "Sin" or "Softmax" (over all inputs). */
extern eddh_code nn_graph_function(size_t inputs, const char *op, nn_graph **out, eddh_error *err);

/*
 * A copy in which a dense layer at the end that follows directly on another has taken that one in, W2 (W1 x + b1) + b2 = (W2 W1) x + (W2 b1 + b2), if the one has
 * fewer weights than the two; else a copy. Outputs agree but for rounding.
 */
extern eddh_code nn_graph_fold_end(const nn_graph *graph, nn_graph **out, eddh_error *err);

/* ---- ONNX (onnx_walk.c, onnx_read.c, onnx_write.c) ---- */

typedef struct nn_limits
{
	size_t max_bytes;      /* of the file; also caps the unpacker's memory */
	size_t max_parameters; /* floats */
	size_t max_activation; /* floats of all activations of one sample */
} nn_limits;

extern const nn_limits nn_limits_default;

/* Hostile bytes to a graph. Errors name the node and operator. float16 weights are widened. BatchNormalization is folded or kept as scale and shift. */
extern eddh_code nn_graph_read_onnx(const uint8_t *bytes, size_t len, const nn_limits *limits, nn_graph **out,
									eddh_error *err);
/* The same; of a network with several outputs the part that leads to a tensor. NULL: there must be one output. */
extern eddh_code nn_graph_read_onnx_to(const uint8_t *bytes, size_t len, const nn_limits *limits, const char *tensor,
									   nn_graph **out, eddh_error *err);
extern eddh_code nn_graph_write_onnx(const nn_graph *graph, nn_buffer *out, eddh_error *err);

/* ---- Flat form (flat.c): a graph as one block, to be mapped read-only by many processes ---- */

/*
 * Native byte order and struct layout; versioned by a magic that changes with either. The block begins on an 8-byte boundary at least, weights lie on 64-byte ones in it. Those of large dense layers are
 * kept in half precision where that loses nothing (what was read from a file of half precision): one picture takes as long as reading them.
 */
extern size_t nn_flat_size(const nn_graph *graph);
extern void nn_flat_write(const nn_graph *graph, uint8_t *block);

/*
 * Checks everything that could make a later access leave the block, then returns a graph whose weights stay in it: the block must outlive the graph. It is
 * for plans of inference, and to copy, cut or join, which make floats again; the writer and plans for training refuse halves (EDDH_BAD_ARGUMENT), nn_graph_fold_end
 * folds none.
 */
extern eddh_code nn_flat_attach(const uint8_t *block, size_t len, nn_graph **out, eddh_error *err);

/* ---- Plans (plan.c, run.c) ---- */

extern eddh_code nn_plan_create(const nn_graph *graph, int max_batch, bool training, nn_plan **out, eddh_error *err);
extern void nn_plan_free(nn_plan *plan);
extern size_t nn_plan_arena_size(const nn_plan *plan); /* bytes; the arena must be 64-byte aligned */

/* input: n x input count, output: n x output count; n <= max_batch. Only the arena is written besides output: one arena a thread. */
extern eddh_code nn_forward(const nn_plan *plan, int n, const float *input, float *arena, float *output,
							const eddh_stop *stop, eddh_error *err);

/*
 * The same, telling after each step which node it was (as nn_graph_node_at counts): for measuring where the time goes. Nodes that melt into the one
 * before, and views, are not told.
 */
typedef void (*nn_watch)(void *arg, int node);
extern eddh_code nn_forward_watched(const nn_plan *plan, int n, const float *input, float *arena, float *output,
									nn_watch watch, void *watch_arg, eddh_error *err);

/*
 * After nn_forward of a training plan on the same arena: d_output (n x output count) to d_weights (added to; laid out as nn_graph_weights)
 * and, where not NULL, d_input.
 */
extern eddh_code nn_backward(const nn_plan *plan, int n, const float *input, float *arena, const float *d_output,
							 float *d_weights, float *d_input, const eddh_stop *stop, eddh_error *err);

/* ---- Training (trainer.c, sgd.c, pool.c) ---- */

typedef struct nn_sgd
{
	double rate_first; /* log-spaced from first to last over total_steps */
	double rate_last;
	uint64_t total_steps;
	double momentum;
	double weight_decay; /* on weights, not on biases */
	double clip_norm;    /* of the whole gradient; 0 = none */
	/* Rate of the first pretrained_nodes nodes is multiplied by this (0 freezes them; all of them: a trainer for outputs alone). */
	int pretrained_nodes;
	double pretrained_factor;
} nn_sgd;

/*
 * Owns a copy of the graph. threads >= 1: the calling thread and threads - 1 of its own, all signals blocked in those. The batch is split into
 * fixed shards and gradients are added in shard order: the same (seed, threads, data) give the same weights, bit for bit.
 */
extern eddh_code nn_trainer_create(const nn_graph *graph, int threads, int max_batch, const nn_sgd *sgd,
								   nn_trainer **out, eddh_error *err);
extern void nn_trainer_free(nn_trainer *trainer);
extern size_t nn_trainer_memory(const nn_trainer *trainer); /* bytes it has allocated */

/*
 * Fills input (count floats) with sample `row`; called from several threads, on different rows. stop: to look at where that takes long, on this thread. What it returns
 * ends the call that asked for it.
 */
typedef eddh_code (*nn_fetch)(void *arg, size_t row, float *input, const eddh_stop *stop, eddh_error *err);

/* Given outputs u (n x outputs) of the batch's rows, writes dLoss/du, already averaged over the batch as the method wants. Main thread only. */
typedef eddh_code (*nn_gradient)(void *arg, int n, const uint32_t *rows, const float *u, float *du, eddh_error *err);

/* One mini-batch: fetch, forward, gradient, backward, step. */
extern eddh_code nn_trainer_step(nn_trainer *trainer, int n, const uint32_t *rows, nn_fetch fetch, void *fetch_arg,
								 nn_gradient gradient, void *gradient_arg, const eddh_stop *stop, eddh_error *err);

/*
 * For who wants to see what a step takes: forward and backward of a mini-batch as nn_trainer_step computes them, and, after that, what it does to the weights, by
 * nothing. Weights and velocities stay as they are, and so do the steps to come.
 */
extern eddh_code nn_trainer_rehearse(nn_trainer *trainer, int n, const uint32_t *rows, nn_fetch fetch, void *fetch_arg,
									 const eddh_stop *stop, eddh_error *err);
extern void nn_trainer_rehearse_update(nn_trainer *trainer);

/*
 * Forward over many rows in evaluation mode, on all threads: out is n x output count. tensor: NULL for the output, else a tensor's name. It goes by rounds of
 * nn_trainer_round rows: pieces that are multiples of it give what all at once give.
 */
extern eddh_code nn_trainer_outputs(nn_trainer *trainer, size_t n, const uint32_t *rows, nn_fetch fetch,
									void *fetch_arg, const char *tensor, float *out, const eddh_stop *stop,
									eddh_error *err);
extern size_t nn_trainer_round(const nn_trainer *trainer);

/*
 * All that a trainer learns: `count` weights from the first that is not frozen, and velocities (NULL without momentum). Between two steps they may be copied
 * away, or filled from such a copy (then nn_trainer_set_step): the trainer goes on bit for bit as the copied one did.
 */
typedef struct nn_trainer_state
{
	float *weights, *velocity;
	size_t count;
	uint64_t step;
} nn_trainer_state;

extern nn_trainer_state nn_trainer_get_state(nn_trainer *trainer);
extern void nn_trainer_set_step(nn_trainer *trainer, uint64_t step);
extern const nn_graph *nn_trainer_graph(const nn_trainer *trainer); /* current weights */
extern const char *nn_blas_name(void);                              /* "OpenBLAS 0.3.21 Haswell" */

#endif /* EDDH_NN_H */
