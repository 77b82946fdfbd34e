/* cost.c: what a training will take: memory, temporary disk space, time. */
#include "postgres.h"

#include <math.h>

#include "train/cost.h"
#include "utils/memutils.h"

/* To decode a byte of a photograph's JPEG; measured on the same machine. */
#define SECONDS_A_BYTE 6e-8

/* Arrays that are shorter have no file of their own (bulk.c), as far as this estimate goes. */
#define SMALL_ARRAYS 4e6

/* Backward to forward: convolutions take more than twice as long, fully connected layers twice. */
#define STEP_COST       5.8
#define STEP_COST_DENSE 3

/* To change a weight; to have one ready before a picture is read; to have one ready for the last stage; to store one. */
#define SECONDS_A_WEIGHT 1e-9
#define SECONDS_A_LOADED 1e-7
#define SECONDS_A_COPIED 1e-8
#define SECONDS_A_STORED 4e-8

/* Quality, and what else a training's end takes. */
#define END_SECONDS 0.1

/* What a method computes, between mini-batches or without a network, comes in rounds: the first tell little, and what was expected counts like this share of all. */
#define EXPECTED_WEIGHT 0.2

int64
CostPictureBytes(const ModelBackbone *backbone)
{
	return (int64) backbone->prep.size * backbone->prep.size * 3;
}

/* Distances; where they are whitened, too, their covariance, its factor and that one's inverse, and conditioning. */
static double
KernelSeconds(const hash_method *method, double n, double features, double anchors)
{
	double whitening = hash_anchors_whitened(method, (int) anchors) ? 2 * anchors * anchors * (n + anchors) : 0;

	return 2.1e-11 * (n * anchors * features + whitening);
}

/* A mini-batch of the hash layer: forward and backward, the inputs' way, what each output costs. */
static double
HeadSeconds(double batch, int bits, double inputs)
{
	return 1e-4 + batch * (inputs * (3e-11 * bits + 4e-10) + 3e-8 * bits);
}

static ForecastPart
Part(double total, double guess)
{
	return (ForecastPart){ .total = total, .guess = guess };
}

/* What the method computes by itself, in so many epochs and mini-batches. */
static double
OwnSeconds(const hash_method *method, const TrainOptions *options, hash_size size)
{
	size.epochs = (int) options->value[OPTION_EPOCHS];
	size.batch = (int) options->value[OPTION_BATCH];
	return method->seconds != NULL ? method->seconds(options->method, &size) : 0;
}

static double
Steps(const TrainOptions *options, double n)
{
	return options->value[OPTION_EPOCHS] * ceil(n / options->value[OPTION_BATCH]);
}

/* Mini-batches of a hash layer that learns alone, each with its share of what the method computes. */
static ForecastPart
HeadPart(const hash_method *method, const TrainOptions *options, hash_size size, double products)
{
	double steps = Steps(options, size.rows);
	double step = HeadSeconds(options->value[OPTION_BATCH], size.bits, size.input_dim);

	return (ForecastPart){ .total = steps,
						   .guess = products * (step + OwnSeconds(method, options, size) / Max(steps, 1)),
						   .weight = steps * EXPECTED_WEIGHT };
}

/* Parts of a network that learns, above frozen layers or whole. */
static void
ForeseeNetwork(Forecast *f, bool trained, const hash_method *method, const TrainOptions *options,
			   const LayersCost *learned, hash_size size, CostRates rates)
{
	bool whole = learned->prefix == 0;
	double n = size.rows, threads = options->value[OPTION_THREADS], steps = Steps(options, n);
	/* Of the layers that learn, fc's are nothing but matrix products. */
	double forward =
		(whole ? rates.network / COST_NETWORK_MACS : rates.products / COST_PRODUCTS_MACS) * learned->macs / threads;
	double shown = whole ? rates.shown : 0;
	double step = rates.step > 0 ? rates.step
								 : options->value[OPTION_BATCH] * (whole ? STEP_COST : STEP_COST_DENSE) * forward +
									   SECONDS_A_WEIGHT * learned->weights;
	bool alone = TrainOptionsHeadEpochs(options, trained) == 0;
	/* Where the head's epochs are most of all, most passes are over features. */
	int passes = alone ? hash_passes(method, options->method, (int) options->value[OPTION_EPOCHS], !trained) : 0;

	step += options->value[OPTION_BATCH] * shown;
	if (alone)
		step += rates.products * OwnSeconds(method, options, size) / steps;
	f->part[FORECAST_STEPS] = Part(steps, step);
	f->part[FORECAST_PASSES] = Part(n * (passes + 1), forward + shown);
	if (trained)
		f->part[FORECAST_FEATURES] = Part(n, forward + shown);
}

void
CostForecast(Forecast *f, const TrainCounts *counts, int bits, const ModelBackbone *backbone, const hash_method *method,
			 const TrainOptions *options, const LayersCost *learned, CostRates rates)
{
	bool network = learned->macs > 0, whole = network && learned->prefix == 0;
	bool again = network && TrainOptionsLearnsAgain(options, method, backbone->trained);
	double n = (double) (counts->classes > 0 ? counts->labelled : counts->pictures);
	double threads = options->value[OPTION_THREADS];
	double mac = rates.network / (COST_NETWORK_MACS * threads);
	double features = backbone->features;
	double anchors = again || !network ? Min(n, TrainOptionsAnchors(options, method)) : 0;
	hash_size size = { .rows = n,
					   .dim = (int) features,
					   .input_dim = (int) features,
					   .bits = bits,
					   .classes = (int) counts->classes,
					   .untrained = !backbone->trained };
	hash_size inputs = size;

	*f = (Forecast){ 0 };
	if (anchors > 0)
	{
		inputs.input_dim = (int) anchors;
		f->part[FORECAST_KERNEL] =
			Part(1, rates.products * KernelSeconds(method, n, features, anchors) + SECONDS_A_COPIED * learned->weights);
	}
	f->part[FORECAST_READING] =
		Part((double) counts->pictures,
			 n / Max(counts->pictures, 1) * counts->bytes / Max(counts->pictures, 1) * SECONDS_A_BYTE / threads);
	if (!whole)
		f->part[FORECAST_FROZEN] = Part(n, mac * ((double) backbone->macs - learned->macs) + rates.shown);
	if (network)
		ForeseeNetwork(f, backbone->trained, method, options, learned, size, rates);
	if (network && TrainOptionsHeadEpochs(options, backbone->trained) > 0)
	{
		TrainOptions *head = TrainOptionsHead(options, method);

		f->part[FORECAST_HEAD] = HeadPart(method, head, size, rates.products);
		if (again)
			f->part[FORECAST_AGAIN] = HeadPart(method, head, inputs, rates.products);
		pfree(head);
	}
	else if (!network && method->needs_net)
		f->part[FORECAST_HEAD] = HeadPart(method, options, inputs, rates.products);
	else if (!network)
		f->part[FORECAST_METHOD] = (ForecastPart){ .total = 1,
												   .guess = rates.products * OwnSeconds(method, options, inputs),
												   .weight = EXPECTED_WEIGHT };
	f->part[FORECAST_END] =
		Part(1, END_SECONDS + SECONDS_A_STORED * (learned->weights + anchors * features + inputs.input_dim * bits));
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
	MemoryContext context, caller;
	LayersCost cost;

	/* The network itself goes as soon as it has told. */
	context = AllocSetContextCreate(CurrentMemoryContext, "eddh cost", ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(context);
	cost = LayersEstimate(ModelReadBackbone(backbone, ModelBuiltinSeed), TrainOptionsLayers(options, method),
						  (int) options->value[OPTION_THREADS], (int) options->value[OPTION_BATCH]);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return cost;
}

void
CostTell(const TrainCounts *counts, int bits, const ModelBackbone *backbone, const hash_method *method,
		 const TrainOptions *options)
{
	TrainLayers layers = TrainOptionsLayers(options, method);
	bool untrained = layers == TRAIN_ALL && !backbone->trained;
	bool again = method->needs_net && TrainOptionsLearnsAgain(options, method, backbone->trained);
	bool alone = layers == TRAIN_HASH || again;
	LayersCost learned = Learned(backbone, method, options);
	CostRates rates = { 1, 1 };
	Forecast forecast;
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
					12 * anchors * features +
					(hash_anchors_whitened(method, (int) anchors) ? 20 * anchors * anchors : 0);
	rates.shown = (2e-9 * pixels + SECONDS_A_BYTE * (double) counts->file_bytes / (double) counts->pictures) /
				  options->value[OPTION_THREADS];
	CostForecast(&forecast, counts, bits, backbone, method, options, &learned, rates);
	ereport(NOTICE,
			(errmsg("training on " INT64_FORMAT " pictures begins when this transaction commits", rows),
			 errdetail("It takes about %s of memory, %s of temporary disk space and, roughly, %s.", Bytes(memory),
					   Bytes(disk), Duration(ForecastLeft(&forecast) + SECONDS_A_LOADED * backbone->parameters))));
}
