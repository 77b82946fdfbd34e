/* exchange.c: networks in and out as ONNX. */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "model/catalog.h"
#include "model/exchange.h"
#include "model/metadata.h"
#include "report.h"

#define MAX_FEATURES 65536 /* numbers a picture; more is a feature map that nobody meant to use as it is */

nn_graph *
ModelReadNetwork(int64 object, const uint8 *sha, const char *what)
{
	ModelGraphHolder *holder = ModelHoldGraph();
	Snapshot snapshot = ModelReadSnapshot();
	size_t len;
	uint8 *bytes = ModelReadChunks(object, sha, what, &len, snapshot);
	eddh_error err;

	ModelReleaseSnapshot(snapshot);
	EDDH_CHECK(nn_graph_read_onnx(bytes, len, &nn_limits_default, &holder->graph, &err), &err, what);
	pfree(bytes);
	return holder->graph;
}

static void
FreeBuffer(void *arg)
{
	nn_buffer_free(arg);
}

/* An empty buffer that is freed with the current memory context. */
static nn_buffer *
HoldBuffer(void)
{
	nn_buffer *buffer = palloc0(sizeof(nn_buffer));
	MemoryContextCallback *callback = palloc0(sizeof(MemoryContextCallback));

	callback->func = FreeBuffer;
	callback->arg = buffer;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	return buffer;
}

void
ModelSerialise(const nn_graph *graph, ModelImported *out)
{
	nn_buffer *buffer = HoldBuffer();
	eddh_error err;

	EDDH_CHECK(nn_graph_write_onnx(graph, buffer, &err), &err, "cannot store the network");
	out->onnx = *buffer;
	ModelSha(buffer->bytes, buffer->len, out->sha);
}

void
ModelCheckName(const char *what, const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > MODEL_NAME_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME), errmsg("invalid %s name \"%.*s\"", what, (int) Min(len, 200), name),
				 errdetail("A name has 1 to %d bytes; this one has %zu.", MODEL_NAME_MAX, len)));
	for (size_t i = 0; i < len; i++)
		if ((unsigned char) name[i] < ' ' || name[i] == '\177')
			ereport(ERROR, (errcode(ERRCODE_INVALID_NAME),
							errmsg("invalid %s name: byte %zu is a control character", what, i + 1)));
}

Datum
ModelShaDatum(const uint8 *sha)
{
	bytea *datum = palloc(VARHDRSZ + MODEL_SHA_BYTES);

	SET_VARSIZE(datum, VARHDRSZ + MODEL_SHA_BYTES);
	memcpy(VARDATA(datum), sha, MODEL_SHA_BYTES);
	return PointerGetDatum(datum);
}

/* Where a user may cut: the last tensors of the network, for a HINT. */
static char *
LastTensors(const nn_graph *graph)
{
	const int shown = 12;
	const char *name;
	const char *op;
	const char *output;
	StringInfoData list;
	int n = 0;

	while (nn_graph_node_at(graph, n, &name, &op, &output))
		n++;
	initStringInfo(&list);
	for (int i = Max(n - shown, 0); i < n && nn_graph_node_at(graph, i, &name, &op, &output); i++)
		appendStringInfo(&list, "%s%s (%s)", list.len > 0 ? ", " : "", output, op);
	return list.data;
}

const char *
ModelOutputName(const nn_graph *graph)
{
	const char *name;
	const char *op;
	const char *output = "";

	/* Every node leads to the output, and what a node needs is before it: so the last one makes the output. */
	for (int i = 0; nn_graph_node_at(graph, i, &name, &op, &output); i++)
		;
	return output;
}

static nn_graph *
CutFeatures(nn_graph *graph, const char *cut)
{
	ModelGraphHolder *holder = ModelHoldGraph();
	const char *output = ModelOutputName(graph);
	size_t features;
	eddh_error err;

	if (cut == NULL && strcmp(output, "features") == 0)
		cut = output;
	else if (cut == NULL)
	{
		cut = nn_graph_default_cut(graph);
		/* A guess, which may be wrong, and would not show. */
		ereport(
			NOTICE,
			(strcmp(cut, output) != 0
				 ? errmsg("the network ends in features at \"%s\", the input of its last dense layer", cut)
				 : errmsg("the network has no dense layer: its own output \"%s\" becomes the features", cut),
			 errhint("Option cut names another tensor. The last ones of this network are: %s.", LastTensors(graph))));
	}
	if (strcmp(cut, output) != 0) /* else whole: cutting would copy all weights */
	{
		if (nn_graph_cut(graph, cut, &holder->graph, NULL, &err) != EDDH_OK)
		{
			eddh_hint(&err, "Option cut names a tensor. The last ones of this network are: %s.", LastTensors(graph));
			EddhReport(&err, "cannot cut the network");
		}
		graph = holder->graph;
	}
	features = nn_graph_output_shape(graph).count;
	if (features > MAX_FEATURES)
	{
		eddh_fail(&err, EDDH_OVER_LIMIT, "the network ends with %zu numbers for a picture, more than %d", features,
				  MAX_FEATURES);
		eddh_hint(&err, "Option cut names another tensor. The last ones of this network are: %s.", LastTensors(graph));
		EddhReport(&err, NULL);
	}
	return graph;
}

typedef struct PrepSource
{
	Jsonb *options;
	const nn_graph *graph;
	char size[16];
	bool missing; /* mean or std are nowhere */
} PrepSource;

static const char *
PrepFromAnywhere(void *arg, const char *key)
{
	PrepSource *source = arg;
	const char *value = ModelJsonbText(source->options, key + strlen("eddh."));

	if (value == NULL)
		value = nn_graph_metadata(source->graph, key);
	if (value == NULL && strcmp(key, "eddh.input_size") == 0)
		value = source->size;
	if (value == NULL && (strcmp(key, "eddh.mean") == 0 || strcmp(key, "eddh.std") == 0))
		source->missing = true;
	return value;
}

/* Finds out how a picture is prepared for the graph and writes that into its metadata. */
static void
SettlePrep(nn_graph *graph, Jsonb *options, image_prep *prep)
{
	nn_shape input = nn_graph_input_shape(graph);
	PrepSource source = { .options = options, .graph = graph };
	eddh_error err;

	if (input.ndim != 3 || input.dim[0] != 3 || input.dim[1] != input.dim[2] || input.dim[1] > IMAGE_MAX_SIDE)
		ereport(
			ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("the network does not take pictures of three channels and equal sides"),
			 input.ndim == 3
				 ? errdetail("Its input has the shape N x %d x %d x %d; N x 3 x S x S with S up to %d is wanted.",
							 input.dim[0], input.dim[1], input.dim[2], IMAGE_MAX_SIDE)
				 : errdetail("Its input has %d dimensions besides the batch; N x 3 x S x S is wanted.", input.ndim)));
	snprintf(source.size, sizeof(source.size), "%d", input.dim[1]);
	EDDH_CHECK(image_prep_parse(PrepFromAnywhere, &source, prep, &err), &err, "cannot tell how to prepare a picture");
	EDDH_CHECK(image_prep_check(prep, &err), &err, "cannot prepare a picture");
	if (source.missing)
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("the file does not say with which mean and std a picture is normalised"),
			 errhint(
				 "Give them as its training had them, on the scale 0 to 255, in the network's channel order: options '{\"mean\": [123.675, 116.28, 103.53], \"std\": [58.395, 57.12, 57.375]}' for most networks trained with PyTorch.")));
	if (prep->size != input.dim[1])
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("input_size is %d, but the network takes pictures of %d x %d", prep->size, input.dim[1],
							   input.dim[2])));
	ModelPrepToGraph(prep, graph);
}

nn_graph *
ModelReadImport(const uint8 *onnx, size_t len, Jsonb *options, bool features, ModelImported *imported)
{
	const char *cut = features ? ModelJsonbText(options, "cut") : NULL;
	ModelGraphHolder *holder = ModelHoldGraph();
	nn_graph *graph;
	eddh_error err;

	EDDH_CHECK(nn_graph_read_onnx_to(onnx, len, &nn_limits_default, cut, &holder->graph, &err), &err,
			   "cannot import the network");
	graph = holder->graph;
	if (features)
		graph = CutFeatures(graph, cut);
	SettlePrep(graph, options, &imported->prep);
	ModelSerialise(graph, imported);
	return graph;
}
