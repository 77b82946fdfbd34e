/* arch.c: architectures written by code. */
#include "common/random.h"
#include "nn/graph.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Appends to the graph's end; the first error sticks. */
typedef struct builder
{
	nn_graph *graph;
	uint32_t at; /* the tensor the next layer reads */
	uint64_t seed;
	eddh_code code;
	eddh_error *err;
} builder;

static void
begin(builder *b, uint64_t seed, int c, int h, int w, eddh_error *err)
{
	const int dim[3] = { c, h, w };

	b->seed = seed;
	b->err = err;
	b->code = nn_graph_new(&b->graph, err);
	if (b->code == EDDH_OK)
		b->code = nn_graph_set_input(b->graph, "image", 3, dim, err);
	b->at = 0;
}

static void
add(builder *b, const nn_node *node, const char *name)
{
	uint32_t from = b->at;

	if (b->code == EDDH_OK)
		b->code = nn_graph_add_node(b->graph, node, name, 1, &from, name, &b->at, b->err);
}

/*
 * He et al. 2015 for layers followed by a ReLU: variance 2 / fan-in, here uniform (bound sqrt(6 / fan-in)); biases zero. Every layer has its own
 * stream, so that adding one changes no other.
 */
static void
initialise(builder *b, double input_scale)
{
	const nn_node *node = &b->graph->nodes[b->graph->n_nodes - 1];
	float *w = b->graph->weights + node->w;
	double bound = input_scale * sqrt(6.0 / (double) (node->w_count / (uint64_t) node->k));
	eddh_rng rng;

	eddh_rng_seed_stream(&rng, b->seed, b->graph->n_nodes);
	for (uint64_t i = 0; i < node->w_count; i++)
		w[i] = (float) (bound * (2 * eddh_rng_uniform(&rng) - 1));
	memset(b->graph->weights + node->b, 0, sizeof(float) * (size_t) node->b_count);
}

static void
relu(builder *b, const char *name)
{
	add(b, &(nn_node){ .op = NN_OP_RELU }, name);
}

static void
conv(builder *b, const char *name, int k, int kernel, int stride, int pad, double input_scale)
{
	nn_node node = { .op = NN_OP_CONV,
					 .k = k,
					 .groups = 1,
					 .window = { .kh = kernel, .kw = kernel, .sh = stride, .sw = stride, .dh = 1, .dw = 1 } };

	if (b->code != EDDH_OK)
		return;
	node.window.ph0 = node.window.pw0 = node.window.ph1 = node.window.pw1 = pad;
	node.w_count = (uint64_t) k * (uint64_t) b->graph->tensors[b->at].dim[0] * (uint64_t) (kernel * kernel);
	node.b_count = (uint64_t) k;
	add(b, &node, name);
	if (b->code == EDDH_OK)
		initialise(b, input_scale);
}

static void
dense(builder *b, const char *name, int k)
{
	nn_node node = { .op = NN_OP_DENSE, .k = k, .b_count = (uint64_t) k };

	if (b->code != EDDH_OK)
		return;
	node.w_count = (uint64_t) k * b->graph->tensors[b->at].count;
	add(b, &node, name);
	if (b->code == EDDH_OK)
		initialise(b, 1);
}

static void
maxpool(builder *b, const char *name, int kernel, int stride, bool ceil_mode)
{
	add(b,
		&(nn_node){ .op = NN_OP_MAXPOOL,
					.window = { .kh = kernel, .kw = kernel, .sh = stride, .sw = stride, .dh = 1, .dw = 1 },
					.ceil_mode = ceil_mode },
		name);
}

/* METHODS 4.2 in ONNX's dialect, which divides alpha by size. */
static void
lrn(builder *b, const char *name)
{
	add(b, &(nn_node){ .op = NN_OP_LRN, .k = 5, .p = { 5e-4f, 0.75f, 2.0f } }, name);
}

static void
metadata(builder *b, const char *key, const char *value)
{
	if (b->code == EDDH_OK)
		b->code = nn_graph_set_metadata(b->graph, key, value, b->err);
}

static eddh_code
end(builder *b, nn_graph **out)
{
	*out = NULL;
	if (b->code == EDDH_OK)
		b->code = nn_graph_finish(b->graph, b->at, b->err);
	if (b->code != EDDH_OK)
		nn_graph_free(b->graph);
	else
		*out = b->graph;
	return b->code;
}

eddh_code
nn_graph_cnn_f(uint64_t seed, nn_graph **out, eddh_error *err)
{
	builder b;

	begin(&b, seed, 3, 224, 224, err);

	/* Pixels keep the range 0..255 that the published weights and LRN's constants are made for; 1/64 brings the untrained layer to unit scale. */
	conv(&b, "conv1", 64, 11, 4, 0, 1.0 / 64);
	relu(&b, "relu1");
	lrn(&b, "norm1");
	maxpool(&b, "pool1", 3, 2, true); /* 54 -> 27, the one pool whose rounding matters */
	conv(&b, "conv2", 256, 5, 1, 2, 1);
	relu(&b, "relu2");
	lrn(&b, "norm2");
	maxpool(&b, "pool2", 3, 2, false);
	conv(&b, "conv3", 256, 3, 1, 1, 1);
	relu(&b, "relu3");
	conv(&b, "conv4", 256, 3, 1, 1, 1);
	relu(&b, "relu4");
	conv(&b, "conv5", 256, 3, 1, 1, 1);
	relu(&b, "relu5");
	maxpool(&b, "pool5", 3, 2, false);
	add(&b, &(nn_node){ .op = NN_OP_FLATTEN }, "flat5");
	dense(&b, "fc6", 4096);
	relu(&b, "relu6");
	dense(&b, "fc7", 4096);
	relu(&b, "relu7");
	metadata(&b, "eddh.input_size", "224");
	metadata(&b, "eddh.resize", "squash");
	metadata(&b, "eddh.channels", "RGB");
	metadata(&b, "eddh.mean", "123.68 116.779 103.939");
	metadata(&b, "eddh.std", "1 1 1");
	return end(&b, out);
}

eddh_code
nn_graph_cnn_s(uint64_t seed, nn_graph **out, eddh_error *err)
{
	builder b;

	begin(&b, seed, 3, 32, 32, err);
	conv(&b, "conv1", 24, 3, 1, 1, 1);
	relu(&b, "relu1");
	maxpool(&b, "pool1", 2, 2, false);
	conv(&b, "conv2", 48, 3, 1, 1, 1);
	relu(&b, "relu2");
	maxpool(&b, "pool2", 2, 2, false);
	conv(&b, "conv3", 96, 3, 1, 1, 1);
	relu(&b, "relu3");
	maxpool(&b, "pool3", 2, 2, false);
	add(&b, &(nn_node){ .op = NN_OP_FLATTEN }, "flat3");
	dense(&b, "fc7", 256);
	relu(&b, "relu7");
	metadata(&b, "eddh.input_size", "32");
	metadata(&b, "eddh.resize", "squash");
	metadata(&b, "eddh.channels", "RGB");
	metadata(&b, "eddh.mean", "128 128 128");
	metadata(&b, "eddh.std", "64 64 64");
	return end(&b, out);
}

eddh_code
nn_graph_dense(size_t inputs, size_t outputs, uint64_t seed, const float *w, const float *b, nn_graph **out,
			   eddh_error *err)
{
	nn_node node = { .op = NN_OP_DENSE, .k = (int32_t) outputs, .w_count = inputs * outputs, .b_count = outputs };
	int dim = (int) inputs;
	uint32_t at = 0;
	nn_graph *graph;
	eddh_rng rng;
	eddh_code code;

	*out = NULL;
	if (inputs < 1 || inputs > NN_MAX_DIM || outputs < 1 || outputs > NN_MAX_DIM)
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "a layer from %zu to %zu numbers", inputs, outputs);
	if ((code = nn_graph_new(&graph, err)) != EDDH_OK)
		return code;
	if ((code = nn_graph_set_input(graph, "features", 1, &dim, err)) != EDDH_OK ||
		(code = nn_graph_add_node(graph, &node, "hash", 1, &at, "hash", &at, err)) != EDDH_OK ||
		(code = nn_graph_finish(graph, at, err)) != EDDH_OK)
	{
		nn_graph_free(graph);
		return code;
	}
	eddh_rng_seed(&rng, seed);
	for (size_t i = 0; i < inputs * outputs; i++)
		graph->weights[i] = w != NULL ? w[i] : (float) (0.01 * eddh_rng_normal(&rng));
	for (size_t i = 0; i < outputs; i++)
		graph->weights[inputs * outputs + i] = b != NULL ? b[i] : (float) (0.01 * eddh_rng_normal(&rng));
	*out = graph;
	return EDDH_OK;
}
