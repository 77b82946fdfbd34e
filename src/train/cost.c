/* cost.c: what a training will take: memory, temporary disk space, time. */
#include "postgres.h"

#include <math.h>

#include "train/cost.h"
#include "train/layers.h"
#include "utils/memutils.h"

/* Multiply-adds a second and thread, for the estimate in the NOTICE; measured with cnn-s on one core of a small cloud machine. */
#define MACS_A_SECOND 4e10

/* To decode a byte of a photograph's JPEG; measured on the same machine. */
#define SECONDS_A_BYTE 6e-8

/* Arrays that are shorter have no file of their own (bulk.c), as far as this estimate goes. */
#define SMALL_ARRAYS 4e6

int64
CostPictureBytes(const ModelBackbone *backbone)
{
	return (int64) backbone->prep.size * backbone->prep.size * 3;
}

double
CostHashLayer(double n, double features, int bits, double anchors, double epochs)
{
	/* An epoch: forward, and backward twice that. */
	double layer = n * epochs * bits * 3 * (anchors > 0 ? anchors : features);
	/* Distances, their covariance, its factor and that one's inverse, and conditioning. */
	double kernel = n * anchors * (features + 2 * anchors) + 2 * anchors * anchors * anchors;

	return (layer + kernel) / MACS_A_SECOND;
}

double
CostSlowness(double macs, double seconds)
{
	return seconds * MACS_A_SECOND / macs;
}

static char *
Bytes(double bytes)
{
	if (bytes < 10e6)
		return psprintf("%.0f kB", ceil(bytes / 1e3));
	if (bytes < 10e9)
		return psprintf("%.0f MB", bytes / 1e6);
	return psprintf("%.0f GB", bytes / 1e9);
}

static char *
Duration(double seconds)
{
	if (seconds < 90)
		return psprintf("%.0f s", ceil(seconds));
	if (seconds < 5400)
		return psprintf("%.0f min", ceil(seconds / 60));
	return psprintf("%.0f h", ceil(seconds / 3600));
}

static LayersCost
Learned(const ModelBackbone *backbone, const hash_method *method, const TrainOptions *options)
{
	TrainLayers layers = (TrainLayers) options->value[OPTION_TRAIN_LAYERS];
	MemoryContext context, caller;
	LayersCost cost = { 0 };

	if (!method->needs_net || layers == TRAIN_HASH)
		return cost;
	/* The network itself goes as soon as it has told. */
	context = AllocSetContextCreate(CurrentMemoryContext, "eddh cost", ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(context);
	cost = LayersEstimate(ModelReadBackbone(backbone, ModelBuiltinSeed), layers, (int) options->value[OPTION_THREADS],
						  (int) options->value[OPTION_BATCH]);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return cost;
}

void
CostTell(const TrainCounts *counts, int bits, const ModelBackbone *backbone, const hash_method *method,
		 const TrainOptions *options)
{
	bool all = method->needs_net && options->value[OPTION_TRAIN_LAYERS] == TRAIN_ALL;
	bool untrained = all && !backbone->trained;
	bool again = method->needs_net && TrainOptionsLearnsAgain(options, method, backbone->trained);
	bool alone = !method->needs_net || options->value[OPTION_TRAIN_LAYERS] == TRAIN_HASH || again;
	LayersCost learned = Learned(backbone, method, options);
	double threads = options->value[OPTION_THREADS];
	int64 rows = counts->classes > 0 ? counts->labelled : counts->pictures;
	double n = (double) rows;
	double share = n / counts->pictures; /* that has a label, where that is asked for */
	double pixels = CostPictureBytes(backbone);
	double features = backbone->features;
	/* Kernel values lie on disk twice, as they come and conditioned. */
	double anchors = alone ? Min(n, TrainOptionsAnchors(options, method)) : 0;
	double spooled = (untrained ? 0 : features) + learned.prefix + 2 * anchors;
	/* The method's; and what a network has answered last, which waits for a checkpoint. */
	double arrays =
		hash_bulk_bytes(method, options->method, rows, backbone->features, bits, (int) counts->classes, untrained) +
		(method->needs_net ? n * sizeof(float) * (bits + (untrained ? features : 0)) : 0);
	/* Where each picture ends is one number. */
	double disk = share * (counts->file_bytes + counts->unpacked * pixels) + n * (8 + spooled * sizeof(float)) +
				  (arrays < SMALL_ARRAYS ? 0 : arrays);
	/* Conditioning takes three matrices of anchors x anchors, two of them double. */
	double memory = 30e6 + 4.0 * (double) backbone->parameters + learned.memory + (arrays < SMALL_ARRAYS ? arrays : 0) +
					20 * anchors * anchors;
	/* Pictures are seen once, or, where the whole network learns, in each epoch, for the features, and twice at the end; a mini-batch takes 4.5 times what forward does. */
	double shown = all ? options->value[OPTION_EPOCHS] + 3 : 1;
	double macs = (double) backbone->macs * (all ? 3 : 1) + learned.macs * 4.5 * options->value[OPTION_EPOCHS];
	double epochs = again ? TrainOptionsHeadEpochs(options, backbone->trained) : options->value[OPTION_EPOCHS];
	/* Where it learns before and after the network, it sees features first. */
	double layer = CostHashLayer(n, features, bits, anchors, epochs) +
				   (again && anchors > 0 ? CostHashLayer(n, features, bits, 0, epochs) : 0);
	double seconds = 1 + share * (counts->bytes + counts->file_bytes * shown) / threads * SECONDS_A_BYTE +
					 n * (2e-9 * pixels + macs / (MACS_A_SECOND * threads)) + layer;

	ereport(NOTICE, (errmsg("training on " INT64_FORMAT " pictures begins when this transaction commits", rows),
					 errdetail("It takes about %s of memory, %s of temporary disk space and, roughly, %s.",
							   Bytes(memory), Bytes(disk), Duration(seconds))));
}
