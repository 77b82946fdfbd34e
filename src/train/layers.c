/* layers.c: which part of the network is frozen and which is learned. */
#include "postgres.h"

#include "report.h"
#include "train/bulk.h"
#include "train/layers.h"
#include "train/worker.h"
#include "utils/memutils.h"

#define HEAD_STREAM UINT64_C(0x68656164)

static int
CountNodes(const nn_graph *graph)
{
	const char *name, *op, *output;
	int n = 0;

	while (nn_graph_node_at(graph, n, &name, &op, &output))
		n++;
	return n;
}

/* Nodes are in topological order and all lead to the output, so the last one makes it. */
static const char *
OutputTensor(const nn_graph *graph)
{
	const char *name, *op, *output = NULL;

	(void) nn_graph_node_at(graph, CountNodes(graph) - 1, &name, &op, &output);
	return output;
}

static bool
IsGemm(const char *op)
{
	return strcmp(op, "Gemm") == 0 || strcmp(op, "MatMul") == 0;
}

/* Layers that may stand between and after fully connected ones. */
static bool
IsPointwise(const char *op)
{
	static const char *const ops[] = { "Relu",        "Clip",      "Tanh",     "Sigmoid",
									   "HardSigmoid", "HardSwish", "Identity", "Dropout" };

	for (int i = 0; i < lengthof(ops); i++)
		if (strcmp(op, ops[i]) == 0)
			return true;
	return false;
}

/* Output of the layer before the first of the Gemms at the end; NULL if there are none. */
static const char *
InputOfLastGemms(const nn_graph *graph)
{
	const char *name, *op, *output, *tensor = NULL;

	for (int i = CountNodes(graph) - 1; i > 0; i--)
	{
		(void) nn_graph_node_at(graph, i, &name, &op, &output);
		if (IsGemm(op))
			(void) nn_graph_node_at(graph, i - 1, &name, &op, &tensor);
		else if (!IsPointwise(op))
			break;
	}
	return tensor;
}

/* What is before the fully connected layers at the end (may be NULL), and these; the tensor between, or NULL: there are none. */
static const char *
CutLastGemms(const nn_graph *backbone, nn_graph **prefix, nn_graph **suffix)
{
	const char *tensor = InputOfLastGemms(backbone);
	eddh_error err;

	return tensor != NULL && nn_graph_cut(backbone, tensor, prefix, suffix, &err) == EDDH_OK ? tensor : NULL;
}

void
LayersChoose(Layers *layers, const nn_graph *backbone, TrainLayers which)
{
	const char *tensor;
	nn_graph *prefix, *suffix;

	memset(layers, 0, sizeof(*layers));
	if (which == TRAIN_FC)
	{
		tensor = CutLastGemms(backbone, &prefix, &suffix);
		if (tensor != NULL)
		{
			layers->prefix = layers->trunk = prefix;
			layers->suffix = suffix;
			layers->cut = MemoryContextStrdup(WorkerContext(), tensor);
			layers->features = OutputTensor(suffix);
			layers->pretrained_nodes = CountNodes(suffix);
			return;
		}
		WorkerRemark("the backbone does not end in fully connected layers: only the hash layer is trained");
		which = TRAIN_HASH;
	}
	if (which == TRAIN_HASH)
	{
		layers->prefix = layers->trunk = backbone;
		layers->cut = "";
		return;
	}
	layers->suffix = backbone;
	layers->features = OutputTensor(backbone);
	layers->pretrained_nodes = CountNodes(backbone);
}

/* Bytes of a thread that shows so many pictures to a network. */
static double
Activations(const nn_graph *graph, int pictures, bool training)
{
	nn_plan *plan;
	eddh_error err;
	double bytes = sizeof(float) * (double) pictures * nn_graph_input_shape(graph).count;

	EDDH_CHECK(nn_plan_create(graph, pictures, training, &plan, &err), &err, "cannot plan the training");
	bytes += (double) nn_plan_arena_size(plan);
	nn_plan_free(plan);
	return bytes;
}

LayersCost
LayersEstimate(const nn_graph *backbone, TrainLayers which, int threads, int batch)
{
	int shard = (batch + threads - 1) / threads;
	nn_graph *prefix = NULL, *suffix = NULL;
	const nn_graph *frozen = backbone, *learned = NULL;
	LayersCost cost = { 0 };

	if (which == TRAIN_ALL)
		learned = backbone;
	else if (which == TRAIN_FC && CutLastGemms(backbone, &prefix, &suffix) != NULL)
	{
		frozen = prefix;
		learned = suffix;
		cost.prefix = (double) nn_graph_input_shape(suffix).count;
	}
	/* What computes features has a copy of the weights, too. */
	cost.memory = sizeof(float) * (double) nn_graph_parameters(frozen) + threads * Activations(frozen, shard, false);
	if (learned != NULL)
	{
		cost.weights = (double) nn_graph_parameters(learned);
		cost.macs = (double) nn_graph_macs(learned);
		/*
		 * As they are learned, and their velocities; in the end, beside them, as they are stored, twice: alone, and as a file. Where they were cut off a
		 * backbone: as they were, and in the end, if that is built in, joined to the rest.
		 */
		cost.memory += sizeof(float) * cost.weights * (4 + (suffix != NULL ? 2 : 0) + threads) +
					   threads * Activations(learned, shard, true);
	}
	nn_graph_free(prefix);
	nn_graph_free(suffix);
	return cost;
}

nn_graph *
LayersHead(size_t dim, int bits, uint64 seed)
{
	nn_graph *head;
	eddh_error err;

	EDDH_CHECK(nn_graph_dense(dim, bits, seed ^ HEAD_STREAM, NULL, NULL, &head, &err), &err, NULL);
	return head;
}

nn_graph *
LayersLearner(const Layers *layers, size_t dim, int bits, uint64 seed)
{
	nn_graph *head = LayersHead(dim, bits, seed), *joined;
	eddh_error err;

	if (layers->suffix == NULL)
		return head;
	EDDH_CHECK(nn_graph_join(layers->suffix, head, &joined, &err), &err, NULL);
	nn_graph_free(head);
	return joined;
}

nn_graph *
LayersKernel(const hash_method *method, const TrainOptions *options, size_t n_train, NetSource *source,
			 LayersApply apply, void *arg)
{
	int count = TrainOptionsAnchors(options, method);
	hash_anchors anchors;
	nn_graph *rbf, *conditioned;
	eddh_error err;

	if (count == 0)
		return NULL;
	WORKER_CHECK(hash_anchors_draw(&TrainBulk, n_train, (int) source->dim, source->features, count,
								   options->value[OPTION_KERNEL_WIDTH], (uint64) options->value[OPTION_SEED], &anchors,
								   &err),
				 &err, NULL);
	EDDH_CHECK(nn_graph_rbf(source->dim, anchors.count, anchors.rows, anchors.gamma, &rbf, &err), &err, NULL);
	source->features = apply(arg, rbf, source);
	source->dim = anchors.count;
	hash_anchors_clear(&anchors);
	EDDH_CHECK(hash_anchors_fit(method, n_train, (int) source->dim, source->features, &conditioned, &err), &err, NULL);
	source->features = apply(arg, conditioned, source);
	EDDH_CHECK(nn_graph_append(rbf, conditioned, &err), &err, NULL);
	nn_graph_free(conditioned);
	return rbf;
}

nn_graph *
LayersStored(const nn_graph *kernel, const nn_graph *learned)
{
	nn_graph *joined, *stored;
	eddh_error err;

	if (kernel == NULL)
	{
		EDDH_CHECK(nn_graph_copy(learned, &stored, &err), &err, NULL);
		return stored;
	}
	EDDH_CHECK(nn_graph_join(kernel, learned, &joined, &err), &err, NULL);
	EDDH_CHECK(nn_graph_fold_end(joined, &stored, &err), &err, NULL);
	nn_graph_free(joined);
	return stored;
}
