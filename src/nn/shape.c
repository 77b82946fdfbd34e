/*
 * shape.c: what each operator makes of its inputs' shapes, and every check on attributes. The only such place: the reader, the architectures
 * and the flat form all pass through here, so the kernels may trust what they are given.
 */
#include "nn/graph.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const op_names[NN_OP_COUNT] = {
	[NN_OP_CONV] = "Conv",
	[NN_OP_DENSE] = "Gemm",
	[NN_OP_RELU] = "Relu",
	[NN_OP_CLIP] = "Clip",
	[NN_OP_LRN] = "LRN",
	[NN_OP_MAXPOOL] = "MaxPool",
	[NN_OP_AVGPOOL] = "AveragePool",
	[NN_OP_GLOBAL_AVGPOOL] = "GlobalAveragePool",
	[NN_OP_ADD] = "Add",
	[NN_OP_MUL] = "Mul",
	[NN_OP_CONCAT] = "Concat",
	[NN_OP_SCALE] = "BatchNormalization",
	[NN_OP_SIGMOID] = "Sigmoid",
	[NN_OP_HARDSIGMOID] = "HardSigmoid",
	[NN_OP_HARDSWISH] = "HardSwish",
	[NN_OP_TANH] = "Tanh",
	[NN_OP_SOFTMAX] = "Softmax",
	[NN_OP_FLATTEN] = "Flatten",
	[NN_OP_RESHAPE] = "Reshape",
	[NN_OP_IDENTITY] = "Identity",
	[NN_OP_EXP] = "Exp",
	[NN_OP_SIN] = "Sin",
};

const char *
nn_op_name(uint32_t op)
{
	return op < NN_OP_COUNT ? op_names[op] : "?";
}

/* Fails with "node "x" (Op): " before the message. */
static eddh_code __attribute__((format(printf, 5, 6)))
node_fail(const nn_graph *graph, const nn_node *node, eddh_code code, eddh_error *err, const char *fmt, ...)
{
	char text[160];
	char name[64];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	nn_printable(nn_graph_string(graph, node->name), name, sizeof(name));
	return eddh_fail(err, code, "node \"%s\" (%s): %s", name, nn_op_name(node->op), text);
}

void
nn_printable(const char *text, char *out, size_t size)
{
	size_t i;

	for (i = 0; i + 1 < size && text[i] != '\0'; i++)
		out[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
	out[i] = '\0';
}

static eddh_code
set_shape(nn_graph *graph, const nn_node *node, int ndim, int d0, int d1, int d2, eddh_error *err)
{
	nn_tensor *tensor = &graph->tensors[node->output];
	const int dim[3] = { d0, d1, d2 };
	uint64_t count = 1;

	memset(tensor->dim, 0, sizeof(tensor->dim));
	for (int i = 0; i < ndim; i++)
	{
		if (dim[i] < 1 || dim[i] > NN_MAX_DIM)
			return node_fail(graph, node, EDDH_OVER_LIMIT, err, "dimension %d of the output would be %d", i + 1,
							 dim[i]);
		tensor->dim[i] = dim[i];
		count *= (uint64_t) dim[i];
	}
	if (count > NN_MAX_COUNT)
		return node_fail(graph, node, EDDH_OVER_LIMIT, err, "output of %llu numbers", (unsigned long long) count);
	tensor->ndim = ndim;
	tensor->count = count;
	return EDDH_OK;
}

static eddh_code
same_shape(nn_graph *graph, const nn_node *node, eddh_error *err)
{
	const nn_tensor *in = nn_node_input(graph, node, 0);

	return set_shape(graph, node, in->ndim, in->dim[0], in->dim[1], in->dim[2], err);
}

static eddh_code
expect_weights(const nn_graph *graph, const nn_node *node, uint64_t w, uint64_t b, eddh_error *err)
{
	if (node->w_count != w || node->b_count != b)
		return node_fail(graph, node, EDDH_BAD_DATA, err, "has %llu weights and %llu biases, needs %llu and %llu",
						 (unsigned long long) node->w_count, (unsigned long long) node->b_count, (unsigned long long) w,
						 (unsigned long long) b);
	return EDDH_OK;
}

/* Kernel, stride, padding and dilation within what cannot overflow, then the output's size. */
static eddh_code
infer_window(const nn_graph *graph, nn_node *node, const nn_tensor *in, eddh_error *err)
{
	nn_window *g = &node->window;
	const int positive[6] = { g->kh, g->kw, g->sh, g->sw, g->dh, g->dw };
	const int pads[4] = { g->ph0, g->pw0, g->ph1, g->pw1 };

	if (in->ndim != 3)
		return node_fail(graph, node, EDDH_UNSUPPORTED, err, "input has %d dimensions with the batch, needs 4",
						 in->ndim + 1);
	for (int i = 0; i < 6; i++)
		if (positive[i] < 1 || positive[i] > 4096)
			return node_fail(graph, node, EDDH_BAD_DATA, err, "kernel, stride or dilation of %d", positive[i]);
	for (int i = 0; i < 4; i++)
		if (pads[i] < 0 || pads[i] > 4096)
			return node_fail(graph, node, EDDH_BAD_DATA, err, "padding of %d", pads[i]);
	g->c = in->dim[0];
	g->h = in->dim[1];
	g->w = in->dim[2];
	if (!nn_window_output(g, node->ceil_mode != 0))
		return node_fail(graph, node, EDDH_BAD_DATA, err, "a %dx%d window does not fit into %dx%d", g->kh, g->kw, g->h,
						 g->w);
	return EDDH_OK;
}

static eddh_code
infer_conv(nn_graph *graph, nn_node *node, eddh_error *err)
{
	const nn_tensor *in = nn_node_input(graph, node, 0);
	nn_window *g = &node->window;
	uint64_t column;
	eddh_code code = infer_window(graph, node, in, err);

	if (code != EDDH_OK)
		return code;
	if (node->groups < 1 || node->k < 1 || node->k > NN_MAX_DIM || g->c % node->groups != 0 ||
		node->k % node->groups != 0)
		return node_fail(graph, node, EDDH_BAD_DATA, err, "%d groups do not divide %d inputs and %d outputs",
						 node->groups, g->c, node->k);
	/* At most 2^20 channels x 2^24 taps: the first product cannot overflow, and the division guards the second. */
	column = (uint64_t) (g->c / node->groups) * (uint64_t) (g->kh * g->kw);
	if ((uint64_t) g->oh * (uint64_t) g->ow > NN_MAX_COUNT / column)
		return node_fail(graph, node, EDDH_OVER_LIMIT, err, "unfolded input of %llu numbers",
						 (unsigned long long) (column * (uint64_t) g->oh * (uint64_t) g->ow));
	if (column * (uint64_t) g->oh * (uint64_t) g->ow * (uint64_t) node->k > NN_MAX_WORK)
		return node_fail(graph, node, EDDH_OVER_LIMIT, err, "%llu multiply-adds a sample",
						 (unsigned long long) (column * (uint64_t) g->oh * (uint64_t) g->ow * (uint64_t) node->k));
	code = expect_weights(graph, node, column * (uint64_t) node->k, node->b_count ? (uint64_t) node->k : 0, err);
	return code == EDDH_OK ? set_shape(graph, node, 3, node->k, g->oh, g->ow, err) : code;
}

/* A window of padding alone would have no maximum. */
static eddh_code
infer_pool(nn_graph *graph, nn_node *node, eddh_error *err)
{
	const nn_window *g = &node->window;
	nn_window floored;
	eddh_code code = infer_window(graph, node, nn_node_input(graph, node, 0), err);

	if (code != EDDH_OK)
		return code;
	if (g->ph0 >= g->kh || g->ph1 >= g->kh || g->pw0 >= g->kw || g->pw1 >= g->kw)
		return node_fail(graph, node, EDDH_UNSUPPORTED, err, "padding as large as the kernel");
	if (g->dh != 1 || g->dw != 1)
		return node_fail(graph, node, EDDH_UNSUPPORTED, err, "dilated pooling");
	if ((uint64_t) g->c * (uint64_t) g->oh > NN_MAX_COUNT / (uint64_t) g->ow ||
		(uint64_t) g->c * (uint64_t) g->oh * (uint64_t) g->ow * (uint64_t) (g->kh * g->kw) > NN_MAX_WORK)
		return node_fail(graph, node, EDDH_OVER_LIMIT, err, "%dx%d windows over %dx%dx%d", g->kh, g->kw, g->c, g->h,
						 g->w);

	/* Rounding up that changes nothing is dropped: ONNX's versions disagree about windows that would begin in the padding. */
	floored = *g;
	if (node->ceil_mode != 0 && nn_window_output(&floored, false) && floored.oh == g->oh && floored.ow == g->ow)
		node->ceil_mode = 0;
	return set_shape(graph, node, 3, g->c, g->oh, g->ow, err);
}

static eddh_code
infer_dense(nn_graph *graph, nn_node *node, eddh_error *err)
{
	const nn_tensor *in = nn_node_input(graph, node, 0);
	int c = in->dim[in->ndim - 1];
	int dim[3] = { in->dim[0], in->dim[1], in->dim[2] };
	eddh_code code;

	if (node->k < 1 || node->k > NN_MAX_DIM)
		return node_fail(graph, node, EDDH_BAD_DATA, err, "%d outputs", node->k);
	code = expect_weights(graph, node, (uint64_t) c * (uint64_t) node->k, node->b_count ? (uint64_t) node->k : 0, err);
	dim[in->ndim - 1] = node->k;
	return code == EDDH_OK ? set_shape(graph, node, in->ndim, dim[0], dim[1], dim[2], err) : code;
}

static eddh_code
infer_binary(nn_graph *graph, nn_node *node, eddh_error *err)
{
	const nn_tensor *a = nn_node_input(graph, node, 0);
	uint64_t want = 0;
	eddh_code code;

	switch ((nn_broadcast) node->broadcast)
	{
		case NN_SAME:
		case NN_CHANNEL:
		{
			const nn_tensor *b;

			if (node->n_edges != 2)
				return node_fail(graph, node, EDDH_BAD_DATA, err, "%u inputs, needs 2", node->n_edges);
			b = nn_node_input(graph, node, 1);
			if (node->broadcast == NN_SAME
					? a->ndim != b->ndim || memcmp(a->dim, b->dim, sizeof(a->dim)) != 0
					: a->ndim != 3 || b->ndim != 3 || b->dim[0] != a->dim[0] || b->count != (uint64_t) b->dim[0])
				return node_fail(graph, node, EDDH_BAD_DATA, err, "shapes of the inputs differ");
			break;
		}
		case NN_CONST_SAME:
			want = a->count;
			break;
		case NN_CONST_CHANNEL:
			want = (uint64_t) a->dim[0];
			break;
		case NN_CONST_SCALAR:
			want = 1;
			break;
		default:
			return node_fail(graph, node, EDDH_BAD_DATA, err, "broadcast %d", node->broadcast);
	}
	if (want > 0 && node->n_edges != 1)
		return node_fail(graph, node, EDDH_BAD_DATA, err, "%u inputs, needs 1", node->n_edges);
	code = expect_weights(graph, node, want, 0, err);
	return code == EDDH_OK ? same_shape(graph, node, err) : code;
}

static eddh_code
infer_concat(nn_graph *graph, nn_node *node, eddh_error *err)
{
	const nn_tensor *first = nn_node_input(graph, node, 0);
	int64_t total = 0;

	for (uint32_t e = 0; e < node->n_edges; e++)
	{
		const nn_tensor *in = nn_node_input(graph, node, (int) e);

		if (in->ndim != first->ndim || in->dim[1] != first->dim[1] || in->dim[2] != first->dim[2])
			return node_fail(graph, node, EDDH_BAD_DATA, err, "input %u differs in more than its channels", e + 1);
		total += in->dim[0];
	}
	if (total > NN_MAX_DIM)
		return node_fail(graph, node, EDDH_OVER_LIMIT, err, "%lld channels", (long long) total);
	return set_shape(graph, node, first->ndim, (int) total, first->dim[1], first->dim[2], err);
}

static eddh_code
infer_reshape(nn_graph *graph, nn_node *node, eddh_error *err)
{
	const nn_tensor *in = nn_node_input(graph, node, 0);
	uint64_t count;
	eddh_code code;

	if (node->ndim < 1 || node->ndim > 3)
		return node_fail(graph, node, EDDH_UNSUPPORTED, err, "output of %d dimensions with the batch", node->ndim + 1);
	count = in->count;
	code = set_shape(graph, node, node->ndim, node->dim[0], node->dim[1], node->dim[2], err);
	if (code == EDDH_OK && graph->tensors[node->output].count != count)
		return node_fail(graph, node, EDDH_BAD_DATA, err, "%llu numbers cannot become %llu", (unsigned long long) count,
						 (unsigned long long) graph->tensors[node->output].count);
	return code;
}

static eddh_code
infer_lrn(nn_graph *graph, nn_node *node, eddh_error *err)
{
	/* bias > 0 and alpha >= 0 keep the base of the power positive. */
	if (node->k < 1 || node->k > 4096 || node->k % 2 == 0)
		return node_fail(graph, node, EDDH_UNSUPPORTED, err, "size %d, must be odd", node->k);
	if (!(node->p[0] >= 0) || !isfinite(node->p[0]) || !isfinite(node->p[1]) || !(node->p[2] > 0) ||
		!isfinite(node->p[2]))
		return node_fail(graph, node, EDDH_BAD_DATA, err, "alpha %g, beta %g, bias %g", node->p[0], node->p[1],
						 node->p[2]);
	return same_shape(graph, node, err);
}

static eddh_code
infer_softmax(nn_graph *graph, nn_node *node, eddh_error *err)
{
	const nn_tensor *in = nn_node_input(graph, node, 0);

	if (node->k < 1 || (uint64_t) node->k > in->count || in->count % (uint64_t) node->k != 0)
		return node_fail(graph, node, EDDH_BAD_DATA, err, "rows of %d do not divide %llu numbers", node->k,
						 (unsigned long long) in->count);
	return same_shape(graph, node, err);
}

eddh_code
nn_shape_infer(nn_graph *graph, nn_node *node, eddh_error *err)
{
	const nn_tensor *in = nn_node_input(graph, node, 0);
	bool binary = node->op == NN_OP_ADD || node->op == NN_OP_MUL;
	bool weighted = binary || node->op == NN_OP_CONV || node->op == NN_OP_DENSE || node->op == NN_OP_SCALE;
	eddh_code code;

	if (node->n_edges < 1 || (node->n_edges > 1 && !binary && node->op != NN_OP_CONCAT))
		return node_fail(graph, node, EDDH_BAD_DATA, err, "%u inputs", node->n_edges);
	if (!weighted && (code = expect_weights(graph, node, 0, 0, err)) != EDDH_OK)
		return code;
	switch ((nn_op) node->op)
	{
		case NN_OP_CONV:
			if (node->ceil_mode != 0)
				return node_fail(graph, node, EDDH_BAD_DATA, err, "ceil_mode");
			return infer_conv(graph, node, err);
		case NN_OP_DENSE:
			return infer_dense(graph, node, err);
		case NN_OP_MAXPOOL:
		case NN_OP_AVGPOOL:
			return infer_pool(graph, node, err);
		case NN_OP_GLOBAL_AVGPOOL:
			if (in->ndim != 3)
				return node_fail(graph, node, EDDH_UNSUPPORTED, err, "input has %d dimensions with the batch, needs 4",
								 in->ndim + 1);
			return set_shape(graph, node, 3, in->dim[0], 1, 1, err);
		case NN_OP_ADD:
		case NN_OP_MUL:
			return infer_binary(graph, node, err);
		case NN_OP_CONCAT:
			return infer_concat(graph, node, err);
		case NN_OP_SCALE:
			code = expect_weights(graph, node, (uint64_t) in->dim[0], (uint64_t) in->dim[0], err);
			return code == EDDH_OK ? same_shape(graph, node, err) : code;
		case NN_OP_LRN:
			return infer_lrn(graph, node, err);
		case NN_OP_SOFTMAX:
			return infer_softmax(graph, node, err);
		case NN_OP_FLATTEN:
			return set_shape(graph, node, 1, (int) (in->count > NN_MAX_DIM ? NN_MAX_DIM + 1 : in->count), 0, 0, err);
		case NN_OP_RESHAPE:
			return infer_reshape(graph, node, err);
		case NN_OP_CLIP:
			if (!(node->p[0] <= node->p[1]))
				return node_fail(graph, node, EDDH_BAD_DATA, err, "bounds %g and %g", node->p[0], node->p[1]);
			return same_shape(graph, node, err);
		case NN_OP_RELU:
		case NN_OP_SIGMOID:
		case NN_OP_HARDSIGMOID:
		case NN_OP_HARDSWISH:
		case NN_OP_TANH:
		case NN_OP_IDENTITY:
		case NN_OP_EXP:
		case NN_OP_SIN:
			return same_shape(graph, node, err);
		case NN_OP_COUNT:
			break;
	}
	return eddh_fail(err, EDDH_BAD_DATA, "unknown operator %u", node->op);
}

uint64_t
nn_node_macs(const nn_graph *graph, const nn_node *node)
{
	const nn_tensor *out = &graph->tensors[node->output];

	if (node->op == NN_OP_CONV)
		return node->w_count * (uint64_t) node->window.oh * (uint64_t) node->window.ow;
	if (node->op == NN_OP_DENSE)
		return node->w_count * (out->count / (uint64_t) node->k);
	return 0;
}
