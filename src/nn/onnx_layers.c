/* onnx_layers.c: ONNX operators with windows or weights: Conv, pools, Gemm, MatMul, BatchNormalization. */
#include "nn/onnx_ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The output of this node goes into a BatchNormalization and nowhere else. */
static bool
feeds_batchnorm(const onnx_reader *reader, const Onnx__NodeProto *proto)
{
	const onnx_name *name = nn_onnx_find(reader, proto->output[0]);

	return name->readers == 1 && name->reader != NULL && name->reader->op_type != NULL &&
		   strcmp(name->reader->op_type, "BatchNormalization") == 0;
}

/* ---- Windows ---- */

/* TensorFlow's SAME: as many outputs as strides fit, the odd pixel at the end (upper) or the beginning (lower). */
static void
same_padding(int in, int kernel, int stride, int dilation, bool upper, int *before, int *after)
{
	int64_t out = ((int64_t) in + stride - 1) / stride;
	int64_t total = (out - 1) * stride + (int64_t) dilation * (kernel - 1) + 1 - in;

	if (total < 0)
		total = 0;
	*before = (int) (upper ? total / 2 : total - total / 2);
	*after = (int) (total - *before);
}

/* kernel: from the weights, or zeroes where kernel_shape must say. */
static eddh_code
read_window(const onnx_reader *reader, const Onnx__NodeProto *proto, const nn_tensor *in, const int *kernel_of_weights,
			nn_window *g)
{
	int kernel[2] = { kernel_of_weights[0], kernel_of_weights[1] };
	int stride[2] = { 1, 1 };
	int dilation[2] = { 1, 1 };
	int pads[4] = { 0, 0, 0, 0 };
	bool upper = nn_onnx_attr_is(proto, "auto_pad", "SAME_UPPER");
	bool same = upper || nn_onnx_attr_is(proto, "auto_pad", "SAME_LOWER");
	eddh_code code;

	if (in->ndim != 3)
		return nn_onnx_fail(reader, proto, EDDH_UNSUPPORTED, "input has %d dimensions with the batch, needs 4",
							in->ndim + 1);
	if ((code = nn_onnx_attr_ints(reader, proto, "kernel_shape", 2, kernel)) != EDDH_OK ||
		(code = nn_onnx_attr_ints(reader, proto, "strides", 2, stride)) != EDDH_OK ||
		(code = nn_onnx_attr_ints(reader, proto, "dilations", 2, dilation)) != EDDH_OK ||
		(code = nn_onnx_attr_ints(reader, proto, "pads", 4, pads)) != EDDH_OK)
		return code;
	for (int i = 0; i < 2; i++)
		if (kernel[i] < 1 || stride[i] < 1 || dilation[i] < 1 || kernel[i] > 4096 || dilation[i] > 4096)
			return nn_onnx_fail(reader, proto, EDDH_BAD_DATA, "kernel %d, stride %d, dilation %d", kernel[i], stride[i],
								dilation[i]);
	if (!same && nn_onnx_attribute(proto, "auto_pad") != NULL && !nn_onnx_attr_is(proto, "auto_pad", "NOTSET") &&
		!nn_onnx_attr_is(proto, "auto_pad", "VALID"))
		return nn_onnx_fail(reader, proto, EDDH_UNSUPPORTED,
							"auto_pad must be NOTSET, VALID, SAME_UPPER or SAME_LOWER");
	if (nn_onnx_attr_is(proto, "auto_pad", "VALID"))
		memset(pads, 0, sizeof(pads));
	for (int i = 0; same && i < 2; i++)
		same_padding(in->dim[i + 1], kernel[i], stride[i], dilation[i], upper, &pads[i], &pads[i + 2]);
	*g = (nn_window){ .kh = kernel[0],
					  .kw = kernel[1],
					  .sh = stride[0],
					  .sw = stride[1],
					  .ph0 = pads[0],
					  .pw0 = pads[1],
					  .ph1 = pads[2],
					  .pw1 = pads[3],
					  .dh = dilation[0],
					  .dw = dilation[1] };
	return EDDH_OK;
}

eddh_code
nn_onnx_read_conv(onnx_reader *reader, const Onnx__NodeProto *proto)
{
	nn_node node = { .op = NN_OP_CONV };
	bool has_bias = nn_onnx_has_input(proto, 2);
	int kernel[2];
	int64_t groups = nn_onnx_attr_int(proto, "group", 1);
	onnx_constant w;
	onnx_constant b;
	uint32_t in;
	eddh_code code;

	if ((code = nn_onnx_tensor_input(reader, proto, 0, &in)) != EDDH_OK ||
		(code = nn_onnx_constant_input(reader, proto, 1, true, &w)) != EDDH_OK ||
		(has_bias && (code = nn_onnx_constant_input(reader, proto, 2, true, &b)) != EDDH_OK))
		return code;
	if (w.ndim != 4)
		return nn_onnx_fail(reader, proto, EDDH_UNSUPPORTED, "weights have %d dimensions, need 4", w.ndim);
	if (groups < 1 || groups > NN_MAX_DIM || w.dim[0] > NN_MAX_DIM || w.dim[1] > NN_MAX_DIM || w.dim[2] > 4096 ||
		w.dim[3] > 4096)
		return nn_onnx_fail(reader, proto, EDDH_BAD_DATA, "%lld groups, weights of %lld x %lld x %lld x %lld",
							(long long) groups, (long long) w.dim[0], (long long) w.dim[1], (long long) w.dim[2],
							(long long) w.dim[3]);
	kernel[0] = (int) w.dim[2];
	kernel[1] = (int) w.dim[3];
	if ((code = read_window(reader, proto, nn_onnx_tensor_at(reader, in), kernel, &node.window)) != EDDH_OK)
		return code;
	if (node.window.kh != w.dim[2] || node.window.kw != w.dim[3] ||
		w.dim[1] * groups != nn_onnx_tensor_at(reader, in)->dim[0] || (has_bias && b.count != (size_t) w.dim[0]))
		return nn_onnx_fail(reader, proto, EDDH_BAD_DATA, "weights do not fit the input or the attributes");
	node.k = (int32_t) w.dim[0];
	node.groups = (int32_t) groups;
	node.w_count = w.count;
	node.b_count = has_bias || feeds_batchnorm(reader, proto) ? (uint64_t) node.k : 0;
	if ((code = nn_onnx_add(reader, proto, &node, 1, &in)) != EDDH_OK)
		return code;
	nn_onnx_floats(&w, nn_onnx_last_w(reader));
	if (has_bias)
		nn_onnx_floats(&b, nn_onnx_last_b(reader));
	else
		memset(nn_onnx_last_b(reader), 0, sizeof(float) * (size_t) node.b_count);
	return EDDH_OK;
}

static eddh_code
read_pool(onnx_reader *reader, const Onnx__NodeProto *proto, nn_op op)
{
	static const int unknown[2] = { 0, 0 };
	nn_node node = { .op = op };
	uint32_t in;
	eddh_code code;

	if ((code = nn_onnx_tensor_input(reader, proto, 0, &in)) != EDDH_OK ||
		(code = read_window(reader, proto, nn_onnx_tensor_at(reader, in), unknown, &node.window)) != EDDH_OK)
		return code;
	if (nn_onnx_attr_int(proto, "storage_order", 0) != 0)
		return nn_onnx_fail(reader, proto, EDDH_UNSUPPORTED, "storage_order");
	node.ceil_mode = nn_onnx_attr_int(proto, "ceil_mode", 0) != 0;
	node.count_pad = op == NN_OP_AVGPOOL && nn_onnx_attr_int(proto, "count_include_pad", 0) != 0;
	return nn_onnx_add(reader, proto, &node, 1, &in);
}

eddh_code
nn_onnx_read_maxpool(onnx_reader *reader, const Onnx__NodeProto *proto)
{
	return read_pool(reader, proto, NN_OP_MAXPOOL);
}

eddh_code
nn_onnx_read_avgpool(onnx_reader *reader, const Onnx__NodeProto *proto)
{
	return read_pool(reader, proto, NN_OP_AVGPOOL);
}

/* ---- Dense ---- */

/* Scales and, where the file has them inputs first, transposes, in pieces of a row. */
static void
fill_dense(float *out, const onnx_constant *w, bool outputs_first, float alpha)
{
	size_t rows = (size_t) w->dim[0];
	size_t columns = (size_t) w->dim[1];
	float piece[256];
	size_t n;

	if (outputs_first)
		nn_onnx_floats(w, out);
	for (size_t r = 0; r < rows && !outputs_first; r++)
		for (size_t c = 0; c < columns; c += n)
		{
			n = columns - c < 256 ? columns - c : 256;
			nn_onnx_floats_at(w, r * columns + c, n, piece);
			for (size_t i = 0; i < n; i++)
				out[(c + i) * rows + r] = piece[i];
		}
	if (alpha != 1)
		for (size_t i = 0; i < rows * columns; i++)
			out[i] *= alpha;
}

static eddh_code
read_dense(onnx_reader *reader, const Onnx__NodeProto *proto, bool outputs_first, bool bias, float alpha, float beta)
{
	nn_node node = { .op = NN_OP_DENSE };
	onnx_constant w;
	onnx_constant b;
	uint32_t in;
	int c;
	eddh_code code;

	if ((code = nn_onnx_tensor_input(reader, proto, 0, &in)) != EDDH_OK ||
		(code = nn_onnx_constant_input(reader, proto, 1, true, &w)) != EDDH_OK ||
		(bias && (code = nn_onnx_constant_input(reader, proto, 2, true, &b)) != EDDH_OK))
		return code;
	if (w.ndim != 2 || w.dim[0] < 1 || w.dim[1] < 1 || w.dim[0] > NN_MAX_DIM || w.dim[1] > NN_MAX_DIM)
		return nn_onnx_fail(reader, proto, EDDH_UNSUPPORTED, "weights have %d dimensions, need 2", w.ndim);
	c = (int) w.dim[outputs_first ? 1 : 0];
	node.k = (int32_t) w.dim[outputs_first ? 0 : 1];
	if (nn_onnx_tensor_at(reader, in)->dim[nn_onnx_tensor_at(reader, in)->ndim - 1] != c)
		return nn_onnx_fail(reader, proto, EDDH_BAD_DATA, "input has %d numbers, weights are for %d",
							nn_onnx_tensor_at(reader, in)->dim[nn_onnx_tensor_at(reader, in)->ndim - 1], c);
	if (bias && b.count != (size_t) node.k && b.count != 1)
		return nn_onnx_fail(reader, proto, EDDH_UNSUPPORTED, "bias of %zu numbers for %d outputs", b.count, node.k);
	if (bias && b.count > 1 && b.dim[b.ndim - 1] != node.k)
		return nn_onnx_fail(reader, proto, EDDH_UNSUPPORTED, "bias that differs between images");
	node.w_count = w.count;
	node.b_count =
		bias || (feeds_batchnorm(reader, proto) && nn_onnx_tensor_at(reader, in)->ndim == 1) ? (uint64_t) node.k : 0;
	if ((code = nn_onnx_add(reader, proto, &node, 1, &in)) != EDDH_OK)
		return code;
	fill_dense(nn_onnx_last_w(reader), &w, outputs_first, alpha);
	memset(nn_onnx_last_b(reader), 0, sizeof(float) * (size_t) node.b_count);
	if (bias)
	{
		nn_onnx_floats(&b, nn_onnx_last_b(reader));
		for (size_t i = b.count; i < node.b_count; i++)
			nn_onnx_last_b(reader)[i] = nn_onnx_last_b(reader)[0];
		for (size_t i = 0; beta != 1 && i < node.b_count; i++)
			nn_onnx_last_b(reader)[i] *= beta;
	}
	return EDDH_OK;
}

eddh_code
nn_onnx_read_gemm(onnx_reader *reader, const Onnx__NodeProto *proto)
{
	uint32_t in;
	eddh_code code = nn_onnx_tensor_input(reader, proto, 0, &in);

	if (code != EDDH_OK)
		return code;
	if (nn_onnx_attr_int(proto, "transA", 0) != 0)
		return nn_onnx_fail(reader, proto, EDDH_UNSUPPORTED, "transA");
	if (nn_onnx_tensor_at(reader, in)->ndim != 1)
		return nn_onnx_fail(reader, proto, EDDH_BAD_DATA, "input has %d dimensions with the batch, needs 2",
							nn_onnx_tensor_at(reader, in)->ndim + 1);
	return read_dense(reader, proto, nn_onnx_attr_int(proto, "transB", 0) != 0, nn_onnx_has_input(proto, 2),
					  nn_onnx_attr_float(proto, "alpha", 1), nn_onnx_attr_float(proto, "beta", 1));
}

eddh_code
nn_onnx_read_matmul(onnx_reader *reader, const Onnx__NodeProto *proto)
{
	return read_dense(reader, proto, false, false, 1, 1);
}

/* ---- Batch normalisation ---- */

/* y = (x - mean) / sqrt(var + epsilon) scale + shift, as y = x s + t. */
static eddh_code
scale_and_shift(const onnx_reader *reader, const Onnx__NodeProto *proto, size_t channels, float *s, float *t)
{
	float epsilon = nn_onnx_attr_float(proto, "epsilon", 1e-5f);
	float *mean = malloc(sizeof(float) * channels * 2);
	float *into[4] = { s, t, mean, mean == NULL ? NULL : mean + channels };
	eddh_code code = EDDH_OK;

	if (mean == NULL)
		return eddh_fail(reader->err, EDDH_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < 4 && code == EDDH_OK; i++)
	{
		onnx_constant given;

		code = nn_onnx_constant_input(reader, proto, i + 1, true, &given);
		if (code == EDDH_OK && given.count != channels)
			code = nn_onnx_fail(reader, proto, EDDH_BAD_DATA, "input %zu has %zu numbers for %zu channels", i + 2,
								given.count, channels);
		if (code == EDDH_OK)
			nn_onnx_floats(&given, into[i]);
	}
	for (size_t i = 0; i < channels && code == EDDH_OK; i++)
	{
		double deviation = sqrt((double) into[3][i] + epsilon);

		if (!(deviation > 0))
			code = nn_onnx_fail(reader, proto, EDDH_BAD_DATA, "variance of channel %zu is %g", i, into[3][i]);
		s[i] = (float) (s[i] / deviation);
		t[i] = (float) (t[i] - (double) mean[i] * s[i]);
	}
	free(mean);
	return code;
}

static void
fold(nn_graph *graph, const nn_node *into, const float *s, const float *t)
{
	size_t row = (size_t) into->w_count / (size_t) into->k;

	for (size_t k = 0; k < (size_t) into->k; k++)
	{
		float *w = graph->weights + into->w + k * row;
		float *b = graph->weights + into->b + k;

		for (size_t i = 0; i < row; i++)
			w[i] *= s[k];
		*b = *b * s[k] + t[k];
	}
}

eddh_code
nn_onnx_read_batchnorm(onnx_reader *reader, const Onnx__NodeProto *proto)
{
	nn_node node = { .op = NN_OP_SCALE };
	nn_graph *graph = reader->graph;
	uint32_t in;
	uint32_t producer;
	size_t channels;
	float *s;
	eddh_code code = nn_onnx_tensor_input(reader, proto, 0, &in);

	if (code != EDDH_OK)
		return code;
	if (nn_onnx_attr_int(proto, "training_mode", 0) != 0 || nn_onnx_attr_int(proto, "spatial", 1) != 1)
		return nn_onnx_fail(reader, proto, EDDH_UNSUPPORTED, "training_mode or spatial");
	channels = (size_t) graph->tensors[in].dim[0];
	s = malloc(sizeof(float) * channels * 2);
	if (s == NULL)
		return eddh_fail(reader->err, EDDH_NO_MEMORY, "out of memory");
	code = scale_and_shift(reader, proto, channels, s, s + channels);
	producer = graph->tensors[in].producer;
	if (code == EDDH_OK && producer != NN_NO_TENSOR && nn_op_decays(graph->nodes[producer].op) &&
		graph->nodes[producer].b_count == channels && graph->nodes[producer].k == (int32_t) channels &&
		(graph->nodes[producer].op == NN_OP_CONV || graph->tensors[in].ndim == 1) &&
		nn_onnx_find(reader, proto->input[0])->readers == 1)
	{
		/* The layer takes over this node's output name; its own disappears, as its values do. */
		fold(graph, &graph->nodes[producer], s, s + channels);
		code = nn_graph_add_string(graph, proto->output[0], &graph->tensors[in].name, reader->err);
		nn_onnx_enter(reader, proto, in);
	}
	else if (code == EDDH_OK)
	{
		node.w_count = node.b_count = channels;
		code = nn_onnx_add(reader, proto, &node, 1, &in);
		if (code == EDDH_OK)
			memcpy(nn_onnx_last_w(reader), s, sizeof(float) * channels * 2);
	}
	free(s);
	return code;
}
