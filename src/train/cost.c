/* cost.c: what a training will take: memory, temporary disk space, time. */
#include "postgres.h"

#include <math.h>

#include "nn/gemm.h"
#include "train/cost.h"
#include "train/net.h"
#include "train/worker.h"
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

/* Multiply-adds of matrix products on one core of the machine whose seconds methods tell (hash_method.seconds). */
#define PRODUCTS_A_SECOND 1e11

/* Backward to forward: convolutions take more than twice as long, fully connected layers twice. */
#define STEP_COST       5.5
#define STEP_COST_DENSE 3

/* To change a weight, and to store one. */
#define SECONDS_A_WEIGHT 1e-9
#define SECONDS_A_STORED 8e-8

/* Quality, and what else a training's end takes. */
#define END_SECONDS 0.1

/* A network is tried on one picture of so many, at least one, at most so many. */
#define TRIED_SHARE 16
#define TRIED_MOST  32

/* Height and width of the product that is tried. */
#define TRIED_PRODUCT 512

/* The second time tells: the first meets new memory. */
static double
TryNetwork(const nn_graph *graph, const TrainOptions *options, int64 pictures)
{
	size_t n = pictures > 0 ? (size_t) Min(TRIED_MOST, pictures / TRIED_SHARE + 1) : TRIED_MOST;
	NetSource nothing = { .dim = nn_graph_input_shape(graph).count };
	Net *net = NetCreate(graph, &nothing, n, INT_MAX, 0, NULL, options);
	float *out = palloc(sizeof(float) * n * nn_graph_output_shape(graph).count);
	double seconds;
	TimestampTz begin;

	NetOutputs(net, 0, n, out);
	begin = GetCurrentTimestamp();
	NetOutputs(net, 0, n, out);
	seconds = WorkerSecondsSince(begin);
	pfree(out);
	NetFree(net);
	return seconds * options->value[OPTION_THREADS] * MACS_A_SECOND / ((double) nn_graph_macs(graph) * n);
}

static double
TryProduct(void)
{
	const size_t n = TRIED_PRODUCT;
	float *a = palloc0(sizeof(float) * n * n), *c = palloc(sizeof(float) * n * n);
	double seconds = 0;

	for (int i = 0; i < 2; i++)
	{
		TimestampTz begin = GetCurrentTimestamp();

		nn_gemm(false, false, n, n, n, 1, a, n, a, n, 0, c, n);
		seconds = WorkerSecondsSince(begin);
	}
	pfree(a);
	pfree(c);
	return seconds * PRODUCTS_A_SECOND / ((double) n * n * n);
}

CostRates
CostTryOut(const nn_graph *graph, const TrainOptions *options, int64 pictures)
{
	return (CostRates){ .network = TryNetwork(graph, options, pictures), .products = TryProduct() };
}

/* Distances, their covariance, its factor and that one's inverse, and conditioning. */
static double
KernelSeconds(double n, double features, double anchors)
{
	return 2.1e-11 * (n * anchors * (features + 2 * anchors) + 2 * anchors * anchors * anchors);
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

void
CostForecast(Forecast *f, const TrainCounts *counts, int bits, const ModelBackbone *backbone, const hash_method *method,
			 const TrainOptions *options, const LayersCost *learned, CostRates rates)
{
	bool network = learned->macs > 0, whole = network && learned->prefix == 0;
	bool again = network && TrainOptionsLearnsAgain(options, method, backbone->trained);
	double n = (double) (counts->classes > 0 ? counts->labelled : counts->pictures);
	double threads = options->value[OPTION_THREADS];
	double mac = rates.network / (MACS_A_SECOND * threads);
	/* Of the layers that learn, fc's are nothing but matrix products. */
	double forward = whole ? mac * learned->macs : rates.products * learned->macs / (PRODUCTS_A_SECOND * threads);
	double step = (whole ? STEP_COST : STEP_COST_DENSE) * forward;
	double shown = whole ? rates.shown : 0;
	double features = backbone->features;
	double anchors = again || !network ? Min(n, TrainOptionsAnchors(options, method)) : 0;
	double inputs = anchors > 0 ? anchors : features;
	double batch = options->value[OPTION_BATCH], epochs = options->value[OPTION_EPOCHS];
	double steps = epochs * ceil(n / batch);
	const hash_size size = { .rows = n,
							 .dim = (int) inputs,
							 .bits = bits,
							 .classes = (int) counts->classes,
							 .epochs = (int) epochs,
							 .batch = (int) batch,
							 .untrained = !backbone->trained };
	double own = method->seconds != NULL ? method->seconds(options->method, &size) : 0;

	*f = (Forecast){ 0 };
	f->part[FORECAST_READING] =
		Part((double) counts->pictures, n / Max(counts->pictures, 1) * counts->bytes / Max(counts->pictures, 1) *
											SECONDS_A_BYTE / threads);
	if (!whole)
		f->part[FORECAST_FROZEN] = Part(n, mac * ((double) backbone->macs - learned->macs) + rates.shown);
	if (anchors > 0)
		f->part[FORECAST_KERNEL] = Part(1, rates.products * KernelSeconds(n, features, anchors));
	if (!method->needs_net)
		f->part[FORECAST_METHOD] = Part(1, rates.products * own);
	if (network)
	{
		f->part[FORECAST_STEPS] = Part(steps, batch * (step + shown) + SECONDS_A_WEIGHT * learned->weights);
		f->part[FORECAST_PASSES] =
			Part(n * (1 + hash_passes(method, options->method, (int) epochs, !backbone->trained)), forward + shown);
	}
	/* The head's epochs are most of all, and so are their passes, over features. */
	if (network && backbone->trained)
	{
		const TrainOptions *head = TrainOptionsHead(options, method);

		batch = head->value[OPTION_BATCH];
		steps = head->value[OPTION_EPOCHS] * ceil(n / batch);
		f->part[FORECAST_FEATURES] = Part(n, forward + shown);
		f->part[FORECAST_HEAD] = Part(steps, rates.products * (HeadSeconds(batch, bits, features) + own / steps));
		f->part[FORECAST_AGAIN] =
			Part(again ? steps : 0, rates.products * (HeadSeconds(batch, bits, anchors) + own / steps));
	}
	else if (!network && method->needs_net)
		f->part[FORECAST_HEAD] = Part(steps, rates.products * (HeadSeconds(batch, bits, inputs) + own / steps));
	f->part[FORECAST_END] =
		Part(1, END_SECONDS + SECONDS_A_STORED * (learned->weights + anchors * features + inputs * bits));
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
	bool untrained =
		method->needs_net && options->value[OPTION_TRAIN_LAYERS] == TRAIN_ALL && !backbone->trained;
	bool again = method->needs_net && TrainOptionsLearnsAgain(options, method, backbone->trained);
	bool alone = !method->needs_net || options->value[OPTION_TRAIN_LAYERS] == TRAIN_HASH || again;
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
					20 * anchors * anchors;
	rates.shown = (2e-9 * pixels + SECONDS_A_BYTE * (double) counts->file_bytes / (double) counts->pictures) /
				  options->value[OPTION_THREADS];
	CostForecast(&forecast, counts, bits, backbone, method, options, &learned, rates);
	ereport(NOTICE, (errmsg("training on " INT64_FORMAT " pictures begins when this transaction commits", rows),
					 errdetail("It takes about %s of memory, %s of temporary disk space and, roughly, %s.",
							   Bytes(memory), Bytes(disk), Duration(ForecastLeft(&forecast)))));
}
