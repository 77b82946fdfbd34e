/* learn.c: a training, from the table to the stored model. */
#include "postgres.h"

#include <math.h>

#include "bits/kernels.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "hash/measure.h"
#include "miscadmin.h"
#include "model/model.h"
#include "report.h"
#include "train/bulk.h"
#include "train/dataset.h"
#include "train/estimate.h"
#include "train/layers.h"
#include "train/net.h"
#include "train/options.h"
#include "train/spool.h"
#include "train/worker.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define PIECE 128 /* pictures computed at a time, where nothing is learned from them */

/* Of what a method without a network was expected to take, its last phase takes at least so much. */
#define METHOD_LEAST 0.1

#define SPLIT_STREAM UINT64_C(0x73706c6974)

/* A backbone that has learned before is only tuned (METHODS 1.9: rate x 0.1). */
#define PRETRAINED_FACTOR 0.1

typedef struct Training
{
	const JobRow *job;
	ModelBackbone *backbone;
	const hash_method *method;
	TrainOptions *options;
	nn_graph *graph; /* the backbone's */
	DataSet *data;
	uint32 *rows; /* of the data set: n_train, then n_held */
	size_t n_train, n_held;
	hash_labels *labels, *held_labels; /* NULL without labels */
	nn_graph *kernel;                  /* features to kernel values; NULL: the hash layer sees the features */
	Spool *kernel_values;              /* of the layer of it that was computed last */
	int epochs;                        /* of the stages that are over */
	Estimate estimate;
	LayersCost learned;
	const char *phase; /* of a method without a network */
	double quality;
} Training;

/* ---- Preparation ---- */

static void
Prepare(Training *t)
{
	const JobRow *job = t->job;

	WorkerBegin();
	MemoryContextSwitchTo(WorkerContext());
	t->method = hash_method_find(job->method);
	if (t->method == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("method \"%s\" does not exist", job->method)));
	t->backbone = ModelFindBackbone(job->backbone);
	t->options = TrainOptionsRead(job->options, t->method, t->backbone->trained);
	/* Again, for an hour may lie between eddh_train and eddh_resume. */
	ModelCheckNewName(job->model, t->options->value[OPTION_REPLACE] != 0);
	t->graph = ModelReadBackbone(t->backbone, (uint64) t->options->value[OPTION_SEED]);
	WorkerEnd();
	t->learned = LayersEstimate(t->graph, TrainOptionsLayers(t->options, t->method),
								(int) t->options->value[OPTION_THREADS], (int) t->options->value[OPTION_BATCH]);
}

/* ---- The estimate of the end ---- */

/* All parts, as far as they are known beforehand, of so many pictures that are learned from or held out. */
static void
Foresee(Training *t, const DataSet *data, double pictures)
{
	TrainCounts counts = { .pictures = (int64) pictures, .labelled = (int64) pictures };

	if (data->dictionary != NULL)
		counts.classes = LabelDictionaryCount(data->dictionary);
	t->estimate.rates.shown = DataSetShowSeconds(data);
	CostForecast(&t->estimate.forecast, &counts, t->job->bits, t->backbone, t->method, t->options, &t->learned,
				 t->estimate.rates);
}

/* Those that have a label, and can be decoded, are as many of all as of those seen so far. */
static void
TellReading(void *arg, const DataSet *data, int64 seen, int64 total)
{
	Training *t = arg;

	if (seen == 0)
		return;
	Foresee(t, data, (double) total * data->rows / seen);
	EstimateTellReading(&t->estimate, seen, total);
}

static bool
HasLabel(const hash_labels *labels, size_t row)
{
	for (int w = 0; w < labels->words; w++)
		if (labels->bitmap[row * labels->words + w] != 0)
			return true;
	return false;
}

/* Whether there is a label that all rows have: then all are similar, and nothing can be learned. */
static bool
HaveCommonLabel(const hash_labels *labels)
{
	for (int w = 0; w < labels->words; w++)
	{
		uint64 all = PG_UINT64_MAX;

		for (size_t row = 0; row < labels->rows && all != 0; row++)
			all &= labels->bitmap[row * labels->words + w];
		if (all != 0)
			return true;
	}
	return false;
}

static int
CompareRows(const void *a, const void *b)
{
	uint32 x = *(const uint32 *) a, y = *(const uint32 *) b;

	return x < y ? -1 : x > y;
}

/* Chooses the held-out rows, by seed; both parts stay in table order. */
static void
Split(Training *t)
{
	const DataSet *data = t->data;
	size_t n = 0;
	eddh_rng rng;

	t->rows = TrainBulkAlloc(data->rows, 1, sizeof(uint32));
	for (size_t row = 0; row < data->rows; row++)
		if (data->labels == NULL || HasLabel(data->labels, row))
			t->rows[n++] = (uint32) row;
	if (data->labels != NULL)
		t->n_held = TrainOptionsHeldOut(t->options, n, t->job->bits);
	t->n_train = n - t->n_held;
	if (t->n_train < (size_t) t->job->bits)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%zu pictures are not enough to train %d bits", t->n_train, t->job->bits),
						errdetail("Rows without a label: %zu. %s", data->unlabelled, WorkerSkippedText()),
						errhint("Use at least as many pictures as bits.")));
	eddh_rng_seed_stream(&rng, (uint64) t->options->value[OPTION_SEED], SPLIT_STREAM);
	eddh_rng_shuffle(&rng, n, t->rows);
	qsort(t->rows, t->n_train, sizeof(uint32), CompareRows);
	qsort(t->rows + t->n_train, t->n_held, sizeof(uint32), CompareRows);
	if (data->labels == NULL)
		return;
	t->labels = DataSetLabels(data, t->n_train, t->rows);
	t->held_labels = DataSetLabels(data, t->n_held, t->rows + t->n_train);
	if (t->method->needs_labels && HaveCommonLabel(t->labels))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("all pictures that could be read have the same label"), errdetail("%s", WorkerSkippedText()),
				 errhint("Learning from labels needs at least two classes.")));
	if (data->unlabelled > 0)
		WorkerRemark("rows without a label, left out: %zu", data->unlabelled);
}

/* ---- Frozen layers, computed once ---- */

/* Outputs of `graph` for all samples, to *spool; returns the mapped floats. part: whose units are pictures; FORECAST_KERNEL is one, told when it is done. */
static const float *
ComputeOnce(Training *t, const nn_graph *graph, const NetSource *source, const char *phase, ForecastName part,
			Spool **spool)
{
	size_t n = t->n_train + t->n_held;
	size_t dim = nn_graph_output_shape(graph).count;
	size_t piece = Min(n, PIECE);
	Net *net = NetCreate(graph, source, piece, INT_MAX, 0, NULL, t->options);
	float *out = MemoryContextAlloc(WorkerContext(), sizeof(float) * Max(piece * dim, 1));
	MemoryContext old = MemoryContextSwitchTo(WorkerContext());

	*spool = SpoolCreate();
	MemoryContextSwitchTo(old);
	WorkerPhase(phase, (int64) n);
	if (part != FORECAST_KERNEL)
		EstimateBegin(&t->estimate);
	for (size_t done = 0; done < n; done += piece)
	{
		size_t now = Min(piece, n - done);

		NetOutputs(net, done, now, out);
		for (size_t i = 0; i < now * dim; i++)
			if (!isfinite(out[i]))
				ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
								errmsg("backbone \"%s\" gives values that are not finite", t->backbone->name)));
		SpoolWrite(*spool, out, now * dim * sizeof(float));
		WorkerProgress((int64) (done + now));
		if (part != FORECAST_KERNEL)
			EstimateTell(&t->estimate, part, (double) now);
		WorkerTick();
	}
	pfree(out);
	NetFree(net);
	return SpoolMap(*spool);
}

static const float *
ComputeKernel(void *arg, const nn_graph *graph, const NetSource *source)
{
	Training *t = arg;
	Spool *before = t->kernel_values;
	const float *values = ComputeOnce(t, graph, source, "compute kernel", FORECAST_KERNEL, &t->kernel_values);

	/* Of the layer below, if this is the second: they were the source. */
	SpoolFree(before);
	return values;
}

/* ---- Callbacks of the method ---- */

static void
Log(void *arg, const char *measure, int step, double value)
{
	const Training *t = arg;

	WorkerLog(measure, t->epochs + step, value);
	if (strcmp(measure, "loss") == 0)
		WorkerEpoch(t->epochs + step, value);
}

static void
Say(void *arg, const char *message)
{
	WorkerRemark("%s", message);
}

static void
Progress(void *arg, const char *phase, int done, int total)
{
	Training *t = arg;
	ForecastPart *own = &t->estimate.forecast.part[FORECAST_METHOD];

	/* A network's progress is counted in pictures, by net.c. */
	if (t->method->needs_net)
	{
		WorkerPhaseName(phase);
		return;
	}
	WorkerPhase(phase, total);
	WorkerProgress(done);
	/* What came before was part of what was expected. */
	if (t->phase == NULL || strcmp(t->phase, phase) != 0)
	{
		if (t->phase != NULL)
			own->guess = Max(own->guess - WorkerSecondsSince(t->estimate.begin), own->guess * METHOD_LEAST);
		t->phase = phase;
		EstimateBegin(&t->estimate);
	}
	own->done = (double) done / Max(total, 1);
	own->seconds = WorkerSecondsSince(t->estimate.begin);
	WorkerEta(ForecastLeft(&t->estimate.forecast));
}

/* ---- Quality ---- */

/* Of n samples from the first on, packed. */
static uint8 *
Codes(Net *net, int bits, size_t first, size_t n)
{
	size_t bytes = (bits + 7) / 8;
	uint8 *codes = TrainBulkAlloc(n, bytes, 1);
	float *u = palloc(sizeof(float) * PIECE * bits);
	eddh_error err;

	for (size_t done = 0; done < n; done += PIECE)
	{
		size_t now = Min(PIECE, n - done);

		NetOutputs(net, first + done, now, u);
		for (size_t i = 0; i < now; i++)
			WORKER_CHECK(hash_pack(bits, u + i * bits, codes + (done + i) * bytes, &err), &err, NULL);
	}
	pfree(u);
	return codes;
}

/* Tie-aware mean average precision of held-out pictures against the training pictures. */
static void
Measure(Training *t, Net *net)
{
	int bits = t->job->bits;
	hash_ranking ranking = { .bits = bits,
							 .queries = t->n_held,
							 .database = t->n_train,
							 .query_labels = t->held_labels,
							 .database_labels = t->labels,
							 .stop = &WorkerStop };
	hash_quality quality;
	eddh_error err;

	/* Codes of a network that has learned are a last pass. */
	for (int i = 0; i < FORECAST_END; i++)
		if (i != FORECAST_PASSES || t->n_held == 0)
			t->estimate.forecast.part[i].total = 0;
	WorkerEta(ForecastLeft(&t->estimate.forecast));
	t->quality = NAN;
	if (t->n_held == 0)
		return;
	WorkerPhase("measure quality", 0);
	ranking.database_codes = Codes(net, bits, 0, t->n_train);
	ranking.query_codes = Codes(net, bits, t->n_train, t->n_held);
	WORKER_CHECK(hash_measure(&ranking, &quality, &err), &err, NULL);
	t->quality = quality.map;
	WorkerQuality(quality.map);
	WorkerLog("held-out mAP", t->epochs, quality.map);
}

/* ---- Checkpoints ---- */

static uint64
Mix(uint64 seed, const void *bytes, size_t len)
{
	for (size_t done = 0; done < len; done += Min((size_t) 1 << 20, len - done))
		seed = hash_bytes_extended((const unsigned char *) bytes + done, (int) Min((size_t) 1 << 20, len - done), seed);
	return seed;
}

/* Raise it when the same pictures and options come to be learned otherwise, or a checkpoint's records to mean something else. */
#define LEARNING_VERSION 2

/* Of everything that decides what is learned: only a checkpoint of the same is of use, because the table may have changed since, or this program. */
static uint64
Fingerprint(const Training *t)
{
	const JobRow *job = t->job;
	const DataSet *data = t->data;
	char *options = JsonbToCString(NULL, &DatumGetJsonbP(job->options)->root, -1);
	const int version = LEARNING_VERSION;
	uint64 mix = (uint64) job->bits;

	mix = Mix(mix, &version, sizeof(version));
	mix = Mix(mix, options, strlen(options));
	mix = Mix(mix, job->method, strlen(job->method));
	mix = Mix(mix, nn_blas_name(), strlen(nn_blas_name()));
	mix = Mix(mix, nn_graph_weights(t->graph), nn_graph_parameters(t->graph) * sizeof(float));
	mix = Mix(mix, t->rows, sizeof(uint32) * (t->n_train + t->n_held));
	if (data->labels != NULL)
		mix = Mix(mix, data->labels->bitmap, sizeof(uint64) * data->labels->rows * data->labels->words);
	return Mix(mix, &data->fingerprint, sizeof(data->fingerprint));
}

/* ---- The end ---- */

/* What was learned, behind `below` (NULL: nothing), which is used up; the caller's. */
static nn_graph *
StoredNetwork(const Training *t, nn_graph *below, const Net *net)
{
	nn_graph *learned = LayersStored(t->kernel, NetGraph(net));
	eddh_error err;

	if (below == NULL)
		return learned;
	EDDH_CHECK(nn_graph_append(below, learned, &err), &err, NULL);
	nn_graph_free(learned);
	return below;
}

static void
Store(Training *t, const Layers *layers, nn_graph *head)
{
	ModelNew model = { .name = t->job->model,
					   .backbone = t->backbone,
					   .cut = layers->cut,
					   .trunk = t->backbone->builtin ? layers->trunk : NULL,
					   .head = head,
					   .method = t->method->name,
					   .bits = t->job->bits,
					   .images = (int64) t->n_train,
					   .seed = (int64) t->options->value[OPTION_SEED],
					   .quality = t->quality,
					   .replace = t->options->value[OPTION_REPLACE] != 0 };

	WorkerPhase("store model", 0);
	WorkerBegin();
	model.options = JsonbToCString(NULL, &DatumGetJsonbP(t->job->options)->root, -1);
	if (t->data->dictionary != NULL)
	{
		model.nclasses = LabelDictionaryCount(t->data->dictionary);
		model.classes = palloc(sizeof(char *) * Max(model.nclasses, 1));
		for (int i = 0; i < model.nclasses; i++)
			model.classes[i] = pstrdup(LabelDictionaryName(t->data->dictionary, i));
	}
	ModelStore(&model);
	WorkerPhase("done", (int64) t->n_train);
	WorkerProgress((int64) t->n_train);
	WorkerEndDone();
}

/* ---- Stages ---- */

static hash_problem
Problem(Training *t, const float *features, size_t dim, int epochs)
{
	return (hash_problem){ .bits = t->job->bits,
						   .rows = t->n_train,
						   .dim = (int) dim,
						   .features = features,
						   .inputs = features,
						   .input_dim = (int) dim,
						   .labels = t->labels,
						   .bulk = &TrainBulk,
						   .seed = (uint64) t->options->value[OPTION_SEED],
						   .epochs = epochs,
						   .values = t->options->method,
						   .stop = &WorkerStop,
						   .log = Log,
						   .say = Say,
						   .progress = Progress,
						   .arg = t };
}

/* Passes over the data of all stages up to the network's. */
static int
NetworkEpochs(const Training *t)
{
	return TrainOptionsHeadEpochs(t->options, t->backbone->trained) + (int) t->options->value[OPTION_EPOCHS];
}

static void
RunMethod(Training *t, const hash_problem *problem, hash_head *head)
{
	eddh_error err;

	EstimateBegin(&t->estimate);
	WORKER_CHECK(t->method->train(problem, head, &err), &err, NULL);
	t->epochs += problem->epochs;
}

/*
 * The hash layer on features that do not change, or on kernel values of them; options: of a hash layer that learns alone; part: FORECAST_HEAD, or, after the
 * network, without checkpoints, FORECAST_AGAIN. Returns what computes the codes of the samples; the caller's.
 */
static Net *
LearnHashLayer(Training *t, NetSource source, const TrainOptions *options, ForecastName part)
{
	hash_problem problem = Problem(t, source.features, source.dim, (int) options->value[OPTION_EPOCHS]);
	hash_head head = { 0 };
	nn_graph *layer;
	Net *net = NULL;
	eddh_error err;

	EstimateBegin(&t->estimate);
	t->kernel = LayersKernel(t->method, options, t->n_train, &source, ComputeKernel, t);
	if (t->kernel != NULL)
		EstimateTell(&t->estimate, FORECAST_KERNEL, 1);
	problem.inputs = source.features;
	problem.input_dim = (int) source.dim;
	if (t->method->needs_net)
	{
		layer = LayersHead(source.dim, problem.bits, problem.seed);
		net = NetCreate(layer, &source, t->n_train, 0, 1.0, NULL, options);
		nn_graph_free(layer);
		if (part == FORECAST_HEAD)
			NetResume(net, Fingerprint(t), problem.dim);
		NetTell(net, &t->estimate.forecast, part, 0);
		problem.net = NetHash(net);
	}
	RunMethod(t, &problem, &head);
	if (net == NULL)
	{
		EDDH_CHECK(hash_head_graph(&head, &layer, &err), &err, NULL);
		net = NetCreate(layer, &source, t->n_train, INT_MAX, 0, NULL, options);
		nn_graph_free(layer);
	}
	return net;
}

/*
 * The layers that are not frozen together with a hash layer on top, which learns alone first where the backbone is trained. That comes only after the features, but
 * tells now what it will take. source: may yet be without its numbers.
 */
static Net *
CreateNetwork(Training *t, const Layers *layers, const NetSource *source)
{
	size_t dim = nn_graph_output_shape(t->graph).count;
	nn_graph *learner = LayersLearner(layers, dim, t->job->bits, (uint64) t->options->value[OPTION_SEED]);
	Net *net;

	WorkerPhase("rehearse", 0);
	net = NetCreate(learner, source, t->n_train, layers->pretrained_nodes,
					t->backbone->trained ? PRETRAINED_FACTOR : 1.0, layers->features, t->options);
	nn_graph_free(learner);
	if (TrainOptionsHeadEpochs(t->options, t->backbone->trained) > 0)
	{
		learner = LayersHead(dim, t->job->bits, (uint64) t->options->value[OPTION_SEED]);
		NetHeadFirst(net, learner, TrainOptionsHead(t->options, t->method));
		nn_graph_free(learner);
	}
	NetResume(net, Fingerprint(t), dim);
	NetTell(net, &t->estimate.forecast, FORECAST_STEPS,
			hash_passes(t->method, t->options->method, NetworkEpochs(t), !t->backbone->trained));
	/* The same layers, which may have been rehearsed. */
	t->estimate.forecast.part[FORECAST_FEATURES].guess = t->estimate.forecast.part[FORECAST_PASSES].guess;
	WorkerEta(ForecastLeft(&t->estimate.forecast));
	return net;
}

/* features: of the backbone as it came; NULL: untrained. */
static void
LearnNetwork(Training *t, Net *net, const NetSource *source, const float *features)
{
	hash_problem problem = Problem(t, features, nn_graph_output_shape(t->graph).count, NetworkEpochs(t));
	hash_head head = { 0 };

	NetBegin(net, source, features,
			 features != NULL ? ForecastUnit(&t->estimate.forecast.part[FORECAST_FEATURES]) * t->n_train : 0);
	problem.net = NetHash(net);
	RunMethod(t, &problem, &head);
}

/* The layers below the hash layer of a network that has learned; the caller's. */
static nn_graph *
Tuned(const Layers *layers, const Net *net)
{
	nn_graph *below, *above;
	eddh_error err;

	EDDH_CHECK(nn_graph_cut(NetGraph(net), layers->features, &below, &above, &err), &err, NULL);
	nn_graph_free(above);
	return below;
}

void
TrainRun(void)
{
	Training t = { .job = WorkerJob() };
	size_t dim;
	Layers layers;
	NetSource pictures, source;
	const float *features = NULL;
	Spool *frozen = NULL, *made = NULL; /* outputs of frozen layers; features of those that learn */
	nn_graph *tuned = NULL, *stored;
	Net *net = NULL;

	Prepare(&t);
	EstimateTryOut(&t.estimate, t.graph, TrainOptionsLayers(t.options, t.method) == TRAIN_ALL, t.options);
	EstimateBegin(&t.estimate);
	t.data = DataSetRead(&t.backbone->prep, (TrainDecode) t.options->value[OPTION_DECODE],
						 (int) t.options->value[OPTION_THREADS], TellReading, &t);
	Split(&t);
	dim = nn_graph_output_shape(t.graph).count;
	LayersChoose(&layers, t.graph, TrainOptionsLayers(t.options, t.method));
	if (!t.method->needs_net && t.options->value[OPTION_TRAIN_LAYERS] != TRAIN_HASH)
		WorkerRemark("method %s learns from features: only the hash layer is trained", t.method->name);
	/* fc of a backbone without such layers is hash in all respects. */
	if (layers.suffix == NULL)
		t.options->value[OPTION_TRAIN_LAYERS] = TRAIN_HASH;
	if (layers.prefix != NULL && (t.options->value[OPTION_FLIP] != 0 || t.options->value[OPTION_CROP] != 0))
		WorkerRemark("flip and crop change nothing: frozen layers see each picture once, as it is");
	Foresee(&t, t.data, (double) (t.n_train + t.n_held));
	t.estimate.forecast.part[FORECAST_READING].total = 0;
	source = pictures = (NetSource){ .data = t.data, .rows = t.rows };
	if (layers.prefix != NULL)
		source = (NetSource){ .dim = nn_graph_output_shape(layers.prefix).count };
	if (layers.suffix != NULL)
		net = CreateNetwork(&t, &layers, &source);

	/*
	 * Features of the frozen backbone: what methods learn from, and EDDH's visual distances. An untrained backbone whose weights are learned has none worth
	 * having: the method asks the network after a warm-up.
	 */
	if (layers.prefix != NULL)
		source.features = ComputeOnce(&t, layers.prefix, &pictures, "compute frozen layers", FORECAST_FROZEN, &frozen);
	if (layers.suffix == NULL)
		features = source.features;
	else if (t.backbone->trained)
		features = ComputeOnce(&t, layers.suffix, &source, "compute features", FORECAST_FEATURES, &made);
	if (!t.backbone->trained && features != NULL)
		WorkerRemark("backbone \"%s\" is untrained: its features are those of random weights", t.backbone->name);

	if (layers.suffix == NULL)
		net = LearnHashLayer(&t, source, t.options, FORECAST_HEAD);
	else
		LearnNetwork(&t, net, &source, features);
	/* The network has learned below a linear hash layer; kernel values of what it makes of the pictures now are worth more. */
	if (TrainOptionsLearnsAgain(t.options, t.method, t.backbone->trained))
	{
		tuned = Tuned(&layers, net);
		NetFree(net);
		SpoolFree(made);
		source = (NetSource){ .features = ComputeOnce(&t, tuned, &source, "compute features", FORECAST_PASSES, &made),
							  .dim = dim };
		net = LearnHashLayer(&t, source, TrainOptionsHead(t.options, t.method), FORECAST_AGAIN);
	}
	Measure(&t, net);
	stored = StoredNetwork(&t, tuned, net);
	Store(&t, &layers, stored);
	nn_graph_free(stored);
	NetFree(net);
}
