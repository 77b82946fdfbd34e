/* compare.c: the worker of eddh_compare: features once, then every method, length and seed on them, measured by one function. */
#include "postgres.h"

#include <math.h>

#include "bits/kernels.h"
#include "hash/measure.h"
#include "miscadmin.h"
#include "model/model.h"
#include "report.h"
#include "train/bulk.h"
#include "train/compare.h"
#include "train/dataset.h"
#include "train/estimate.h"
#include "train/layers.h"
#include "train/worker.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define SPLIT_STREAM UINT64_C(0x636f6d70)
#define PIECE        512

/* What pairs are expected to take counts like this share of them that was measured: one method says little of another. */
#define PAIRS_WEIGHT 0.5

typedef struct Comparison
{
	ComparePlan *plan;
	ModelBackbone *backbone;
	DataSet *data;
	size_t dim;
	size_t n;      /* labelled pictures */
	uint32 *order; /* of the data set: to learn from, the rest of the database, queries */
	size_t n_train, n_database,
		n_queries;   /* the database includes what was learned from, except where classes are unseen */
	float *features; /* n x dim, in that order */
	hash_labels *database_labels, *query_labels;
	size_t database_first; /* where the database begins in that order */
	ComparePair pair;      /* that is learned */
	uint64 first_seed;     /* option seed: what seed 1 stands for */
	Estimate estimate;     /* FORECAST_METHOD: in seconds that pairs were expected to take */
	int done, total;
	char phase[96];
} Comparison;

/* ---- The estimate of the end ---- */

/* Of a training from so many pictures. */
static TrainOptions *
PairOptions(const CompareTask *task, size_t pictures, bool several_labels)
{
	TrainOptions *options = TrainOptionsRead(task->options, task->method, true);

	TrainOptionsFit(options, task->method, true, (double) pictures, several_labels);
	return options;
}

/* All that a training from so many pictures is expected to take. */
static Forecast
ForeseeOne(const Comparison *c, const DataSet *data, const CompareTask *task, int bits, size_t pictures)
{
	const LayersCost nothing = { 0 };
	bool several_labels = data->labels != NULL && data->labels->single == NULL;
	TrainCounts counts = { .pictures = (int64) pictures,
						   .labelled = (int64) pictures,
						   .classes = LabelDictionaryCount(data->dictionary) };
	Forecast f;

	CostForecast(&f, &counts, bits, c->backbone, task->method, PairOptions(task, pictures, several_labels), &nothing,
				 c->estimate.rates);
	return f;
}

/* Of one pair, which has features, the training. */
static double
PairSeconds(const Comparison *c, const DataSet *data, const CompareTask *task, int bits, size_t n_train)
{
	Forecast f = ForeseeOne(c, data, task, bits, task->train > 0 ? Min((size_t) task->train, n_train) : n_train);

	f.part[FORECAST_READING].total = f.part[FORECAST_FROZEN].total = f.part[FORECAST_END].total = 0;
	return ForecastLeft(&f);
}

static ForecastPart
AllPairs(const Comparison *c, const DataSet *data, size_t n_train)
{
	const ComparePlan *plan = c->plan;
	double seconds = 0;

	for (int t = 0; t < plan->n_tasks; t++)
		for (int b = 0; b < plan->n_bits; b++)
			seconds += plan->seeds * PairSeconds(c, data, &plan->tasks[t], plan->bits[b], n_train);
	return (ForecastPart){ .total = seconds, .guess = 1, .weight = seconds * PAIRS_WEIGHT };
}

/* Features of so many pictures, and all pairs. Options and what else that takes go away. */
static void
Foresee(Comparison *c, const DataSet *data, size_t pictures)
{
	const ComparePlan *plan = c->plan;
	size_t others = pictures - Min((size_t) plan->queries, pictures / 5);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "eddh estimate", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	Forecast one;

	c->estimate.rates.shown = DataSetShowSeconds(data);
	one = ForeseeOne(c, data, &plan->tasks[0], plan->bits[0], pictures);
	c->estimate.forecast =
		(Forecast){ .part = { [FORECAST_FROZEN] = one.part[FORECAST_FROZEN],
							  [FORECAST_METHOD] =
								  AllPairs(c, data, plan->train > 0 ? Min((size_t) plan->train, others) : others) } };
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}

static void
TellReading(void *arg, const DataSet *data, int64 seen, int64 total)
{
	Comparison *c = arg;

	if (seen == 0)
		return;
	Foresee(c, data, (size_t) ((double) total * data->rows / seen));
	EstimateTellReading(&c->estimate, seen, total);
}

/* Outputs of a network for n inputs; the options give its threads. teller: these are its features; NULL: tells nobody. */
static float *
Apply(const nn_graph *graph, const NetSource *source, size_t n, const TrainOptions *options, Estimate *teller)
{
	size_t out = nn_graph_output_shape(graph).count;
	float *u = TrainBulkAlloc(n, out, sizeof(float));
	Net *net = NetCreate(graph, source, Min(n, PIECE), INT_MAX, 0, NULL, options);

	for (size_t done = 0; done < n; done += PIECE)
	{
		size_t now = Min(PIECE, n - done);

		NetOutputs(net, done, now, u + done * out);
		if (teller != NULL)
			EstimateTell(teller, FORECAST_FROZEN, (double) now);
		WorkerTick();
	}
	NetFree(net);
	return u;
}

/* ---- The split ---- */

static bool
Unseen(const hash_labels *labels, size_t row, const bool *unseen, bool *any)
{
	bool all = true;

	*any = false;
	for (int c = 0; c < labels->classes; c++)
		if (labels->bitmap[row * labels->words + c / 64] >> (c % 64) & 1)
		{
			*any = *any || unseen[c];
			all = all && unseen[c];
		}
	return *any && all;
}

/*
 * By seed: queries, then rows to learn from, the rest is database. With unseen classes, pictures that have only such are split into queries and database, and the
 * others are learned from: what Sablayrolles et al. (2017) ask for.
 */
static void
Split(Comparison *c, uint64 seed, const float *all_features, const uint32 *labelled)
{
	const ComparePlan *plan = c->plan;
	const hash_labels *labels = c->data->labels;
	bool *unseen = palloc0(sizeof(bool) * labels->classes);
	uint32 *shuffled = TrainBulkAlloc(c->n, 1, sizeof(uint32));
	size_t held = c->n, at = 0;
	eddh_rng rng;

	eddh_rng_seed_stream(&rng, seed, SPLIT_STREAM);
	for (size_t i = 0; i < c->n; i++)
		shuffled[i] = (uint32) i;
	if (plan->unseen > 0)
	{
		uint32 *classes = palloc(sizeof(uint32) * labels->classes);

		for (int i = 0; i < labels->classes; i++)
			classes[i] = i;
		eddh_rng_shuffle(&rng, labels->classes, classes);
		for (int i = 0; i < Max(2, (int) (plan->unseen * labels->classes)) && i < labels->classes; i++)
			unseen[classes[i]] = true;
	}
	eddh_rng_shuffle(&rng, c->n, shuffled);
	if (plan->unseen > 0)
	{
		uint32 *kept = TrainBulkAlloc(c->n, 1, sizeof(uint32));
		size_t n_kept = 0;
		bool any;

		held = 0;
		for (size_t i = 0; i < c->n; i++)
		{
			if (Unseen(labels, labelled[shuffled[i]], unseen, &any))
				kept[n_kept++] = shuffled[i];
			else if (!any)
				shuffled[held++] = shuffled[i];
		}
		/* Learned from first, then pictures of unseen classes. */
		memcpy(shuffled + held, kept, n_kept * sizeof(uint32));
		c->n_queries = Min((size_t) plan->queries, n_kept / 2);
		c->n_train = plan->train > 0 ? Min((size_t) plan->train, held) : held;
		memmove(shuffled + c->n_train, shuffled + held, n_kept * sizeof(uint32));
		c->database_first = c->n_train;
		c->n_database = n_kept - c->n_queries;
		eddh_bulk_free(&TrainBulk, kept);
	}
	else
	{
		c->n_queries = Min((size_t) plan->queries, c->n / 5);
		c->n_database = c->n - c->n_queries;
		c->n_train = plan->train > 0 ? Min((size_t) plan->train, c->n_database) : c->n_database;
		c->database_first = 0;
	}
	if (c->n_queries < 1 || c->n_train < 16 || c->n_database < 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%zu pictures with a label are not enough to compare methods", c->n)));
	at = c->database_first + c->n_database + c->n_queries;
	for (size_t i = 0; i < at; i++)
	{
		c->order[i] = labelled[shuffled[i]];
		memcpy(c->features + i * c->dim, all_features + (size_t) shuffled[i] * c->dim, sizeof(float) * c->dim);
	}
	eddh_bulk_free(&TrainBulk, shuffled);
	c->database_labels = DataSetLabels(c->data, c->n_database, c->order + c->database_first);
	c->query_labels = DataSetLabels(c->data, c->n_queries, c->order + c->database_first + c->n_database);
}

/* ---- One pair ---- */

static void
Progress(void *arg, const char *phase, int done, int total)
{
	WorkerPhaseName(((Comparison *) arg)->phase);
}

static void
Log(void *arg, const char *measure, int step, double value)
{
	CompareSayStep(&((Comparison *) arg)->pair, measure, step, value);
}

typedef struct KernelValues
{
	const TrainOptions *options;
	size_t n;
	float *values; /* of the layer that was applied last */
} KernelValues;

static const float *
ApplyKernel(void *arg, const nn_graph *graph, const NetSource *source)
{
	KernelValues *kernel = arg;
	float *values = Apply(graph, source, kernel->n, kernel->options, NULL);

	eddh_bulk_free(&TrainBulk, kernel->values);
	return kernel->values = values;
}

/* The network from features to bits that a method learned; its time in *seconds. */
static nn_graph *
Learn(Comparison *c, TrainOptions **options, double *seconds)
{
	const hash_method *method = c->pair.task->method;
	int bits = c->pair.bits, wanted = c->pair.task->train;
	size_t n = wanted > 0 ? Min((size_t) wanted, c->n_train) : c->n_train;
	hash_labels *labels = DataSetLabels(c->data, n, c->order);
	uint64 seed = c->first_seed + (uint64) c->pair.seed - 1;
	hash_problem problem = { .bits = bits,
							 .rows = n,
							 .dim = (int) c->dim,
							 .features = c->features,
							 .labels = labels,
							 .bulk = &TrainBulk,
							 .seed = seed,
							 .stop = &WorkerStop,
							 .log = Log,
							 .progress = Progress,
							 .arg = c };
	NetSource source = { .features = c->features, .dim = c->dim };
	TimestampTz begin = GetCurrentTimestamp();
	KernelValues values = { .n = n };
	nn_graph *kernel, *learned, *stored;
	hash_head head = { 0 };
	eddh_error err;

	*options = PairOptions(c->pair.task, n, labels->single == NULL);
	(*options)->value[OPTION_SEED] = (double) seed;
	values.options = *options;
	kernel = LayersKernel(method, *options, n, &source, ApplyKernel, &values);
	problem.inputs = source.features;
	problem.input_dim = (int) source.dim;
	problem.epochs = (int) (*options)->value[OPTION_EPOCHS];
	problem.values = (*options)->method;
	if (method->needs_net)
	{
		nn_graph *start;
		Net *net;

		EDDH_CHECK(nn_graph_dense(source.dim, bits, seed ^ SPLIT_STREAM, NULL, NULL, &start, &err), &err, NULL);
		net = NetCreate(start, &source, n, 0, 1, NULL, *options);
		nn_graph_free(start);
		problem.net = NetHash(net);
		WORKER_CHECK(method->train(&problem, &head, &err), &err, method->name);
		EDDH_CHECK(nn_graph_copy(NetGraph(net), &learned, &err), &err, NULL);
		NetFree(net);
	}
	else
	{
		WORKER_CHECK(method->train(&problem, &head, &err), &err, method->name);
		EDDH_CHECK(hash_head_graph(&head, &learned, &err), &err, NULL);
		hash_head_clear(&head);
	}
	stored = LayersStored(kernel, learned);
	nn_graph_free(learned);
	if (kernel != NULL)
	{
		nn_graph_free(kernel);
		eddh_bulk_free(&TrainBulk, values.values);
	}
	hash_labels_free(labels);
	*seconds = WorkerSecondsSince(begin);
	return stored;
}

static void
RunPair(Comparison *c, const CompareTask *task, int bits, int seed)
{
	const ComparePair *pair = &c->pair;
	size_t n = c->n_database + c->n_queries, bytes = (bits + 7) / 8;
	NetSource source = { .features = c->features + c->database_first * c->dim, .dim = c->dim };
	TrainOptions *options;
	TimestampTz begin;
	double seconds;
	nn_graph *graph;
	float *u;
	uint8 *codes = TrainBulkAlloc(n, bytes, 1);
	hash_ranking ranking = { .bits = bits,
							 .queries = c->n_queries,
							 .database = c->n_database,
							 .query_labels = c->query_labels,
							 .database_labels = c->database_labels,
							 .stop = &WorkerStop };
	hash_quality quality;
	eddh_error err;

	c->pair = (ComparePair){ .task = task, .bits = bits, .seed = seed };
	snprintf(c->phase, sizeof(c->phase), "%s, %d bits, seed %d (%d of %d)", task->name, bits, seed, c->done + 1,
			 c->total);
	WorkerPhase(c->phase, c->total);
	WorkerProgress(c->done);
	graph = Learn(c, &options, &seconds);
	begin = GetCurrentTimestamp();
	u = Apply(graph, &source, n, options, NULL);
	nn_graph_free(graph);
	CompareSay(pair, "train_seconds", seconds);
	CompareSay(pair, "encode_microseconds", (double) (GetCurrentTimestamp() - begin) / (double) n);
	for (size_t i = 0; i < n; i++)
		EDDH_CHECK(hash_pack(bits, u + i * bits, codes + i * bytes, &err), &err, task->method->name);
	eddh_bulk_free(&TrainBulk, u);
	ranking.database_codes = codes;
	ranking.query_codes = codes + c->n_database * bytes;
	WORKER_CHECK(hash_measure(&ranking, &quality, &err), &err, NULL);
	CompareSay(pair, "map", quality.map);
	CompareSay(pair, "ndcg", quality.ndcg);
	CompareSay(pair, "precision_radius_2", quality.precision_radius2);
	CompareSay(pair, "empty_radius_2", quality.empty_radius2);
	CompareSayRadii(pair, &ranking);
	if (c->plan->top > 0)
	{
		ranking.top = c->plan->top;
		WORKER_CHECK(hash_measure(&ranking, &quality, &err), &err, NULL);
		CompareSay(pair, psprintf("map@%d", c->plan->top), quality.map);
		CompareSay(pair, psprintf("precision@%d", c->plan->top), quality.precision_top);
	}
	CompareSayShape(pair, c->n_database, codes);
	eddh_bulk_free(&TrainBulk, codes);
	EstimateTell(&c->estimate, FORECAST_METHOD, PairSeconds(c, c->data, task, bits, c->n_train));
	c->done++;
	WorkerProgress(c->done);
	WorkerTick();
}

/* ---- The whole ---- */

static float *
AllFeatures(Comparison *c, const nn_graph *graph, const uint32 *labelled, const TrainOptions *options)
{
	NetSource pictures = { .data = c->data, .rows = labelled };
	float *features;

	WorkerPhase("compute features", (int64) c->n);
	EstimateBegin(&c->estimate);
	features = Apply(graph, &pictures, c->n, options, &c->estimate);
	for (size_t i = 0; i < c->n * c->dim; i++)
		if (!isfinite(features[i]))
			ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
							errmsg("backbone \"%s\" gives values that are not finite", c->backbone->name)));
	return features;
}

void
CompareRun(void)
{
	const JobRow *job = WorkerJob();
	Comparison c = { 0 };
	TrainOptions *options;
	nn_graph *graph;
	uint32 *labelled;
	float *features;
	MemoryContext pair_context;

	WorkerBegin();
	MemoryContextSwitchTo(WorkerContext());
	c.plan = ComparePlanRead(job->options);
	c.backbone = ModelFindBackbone(job->backbone);
	graph = ModelReadBackbone(c.backbone, 1);
	WorkerEnd();
	MemoryContextSwitchTo(WorkerContext());
	c.dim = nn_graph_output_shape(graph).count;
	options = TrainOptionsRead(c.plan->tasks[0].options, c.plan->tasks[0].method, true);
	EstimateTryOut(&c.estimate, graph, false, options);
	EstimateBegin(&c.estimate);
	c.data = DataSetRead(&c.backbone->prep, DECODE_AUTO, (int) options->value[OPTION_THREADS], TellReading, &c);
	labelled = TrainBulkAlloc(c.data->rows, 1, sizeof(uint32));
	for (size_t row = 0; row < c.data->rows; row++)
		for (int w = 0; w < c.data->labels->words; w++)
			if (c.data->labels->bitmap[row * c.data->labels->words + w] != 0)
			{
				labelled[c.n++] = (uint32) row;
				break;
			}
	if (!c.backbone->trained)
		WorkerRemark("backbone \"%s\" is untrained: its features are those of random weights", c.backbone->name);
	c.first_seed = (uint64) options->value[OPTION_SEED];
	Foresee(&c, c.data, c.n);
	features = AllFeatures(&c, graph, labelled, options);
	nn_graph_free(graph);
	c.order = TrainBulkAlloc(c.n, 1, sizeof(uint32));
	c.features = TrainBulkAlloc(c.n, c.dim, sizeof(float));
	c.total = c.plan->seeds * c.plan->n_tasks * c.plan->n_bits;

	pair_context = AllocSetContextCreate(WorkerContext(), "eddh comparison", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(pair_context);
	for (int seed = 1; seed <= c.plan->seeds; seed++)
	{
		Split(&c, c.first_seed + (uint64) seed - 1, features, labelled);
		if (seed == 1)
		{
			c.estimate.forecast.part[FORECAST_METHOD] = AllPairs(&c, c.data, c.n_train);
			WorkerRemark("%zu pictures to learn from, %zu to search in, %zu asked for", c.n_train, c.n_database,
						 c.n_queries);
		}
		for (int t = 0; t < c.plan->n_tasks; t++)
			for (int b = 0; b < c.plan->n_bits; b++)
			{
				RunPair(&c, &c.plan->tasks[t], c.plan->bits[b], seed);
				MemoryContextReset(pair_context);
			}
		hash_labels_free(c.database_labels);
		hash_labels_free(c.query_labels);
	}
	MemoryContextSwitchTo(WorkerContext());
	WorkerBegin();
	WorkerPhase("done", c.total);
	WorkerProgress(c.total);
	WorkerEndDone();
}
