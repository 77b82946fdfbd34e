/* net.c: mini-batches for hashing methods. */
#include "postgres.h"

#include <math.h>

#include "report.h"
#include "train/bulk.h"
#include "train/net.h"
#include "train/replay.h"
#include "train/worker.h"
#include "utils/timestamp.h"

/* Streams of random numbers: 0..epochs-1 shuffle epochs. */
#define FLIP_STREAM UINT64_C(0x666c6970)
#define CROP_STREAM UINT64_C(0x63726f70)

/* Fewer mini-batches than this are rehearsed by parts of one: some that teach nothing would cost too much. */
#define REHEARSE_WHOLE 50

/* A mini-batch takes so much of each weight, however small it is: weights are read twice, their gradients written. */
#define SECONDS_TO_MOVE 1.5e-9

/* One alone may be slow by chance. */
#define REHEARSALS 3

/* A pass over all pictures tells how far it is each time so many rounds of the trainer's are over. */
#define PASS_ROUNDS 8

/* A rehearsal counts like so many mini-batches: the first ones alone may be slow by chance. */
#define REHEARSED_WEIGHT 2

/* What learns, and from what. */
typedef struct Stage
{
	nn_trainer *trainer;
	NetSource source;
	int batch;
} Stage;

struct Net
{
	hash_net hash;
	Stage all;
	Stage head; /* goes before, for head_epochs */
	Stage *now;
	int head_epochs, epochs; /* epochs: of the whole network */
	float *mean, scale;      /* the head's stage sees features less their mean, times scale */
	int asked;               /* epochs the method has begun, recorded ones too */
	image_prep prep;
	size_t n;
	size_t outputs;
	uint64 seed;
	bool flip;
	double crop;
	const char *features;
	uint32 *order;
	int epoch;                      /* that runs, or comes next */
	uint64 steps_done, steps_total; /* of the whole network */
	int passes_done, passes_total;  /* of forward over all pictures, that the method asks for */
	int passes_cheap;               /* of those done, over features */
	TimestampTz begin;              /* of the stage's first step or pass */
	Replay *replay;                 /* NULL: without checkpoints */
	ReplayState resumed;            /* what the next epoch begins with */
	size_t feature_dim;
	Forecast *forecast;  /* of the job; NULL: it tells nothing */
	ForecastName part;   /* what its mini-batches are in it */
	double again_cost;   /* of a mini-batch of FORECAST_AGAIN to one of FORECAST_HEAD */
	double head_seconds; /* the hash layer has learned alone; 0: not measured */
	double pass_seconds; /* of the last pass over all pictures, or that for the features; 0: unknown */
	double pass_left;    /* of the pass that runs, as a part of it */
	double first;        /* of the first mini-batch, if it met new memory */
	bool meets_new_memory;
};

static void
Flip(float *chw, int size)
{
	for (int row = 0; row < 3 * size; row++)
	{
		float *line = chw + (size_t) row * size;

		for (int i = 0, j = size - 1; i < j; i++, j--)
		{
			float t = line[i];

			line[i] = line[j];
			line[j] = t;
		}
	}
}

/* A fair coin for each row and epoch, the same whichever thread tosses it. */
static bool
Coin(uint64 seed, int epoch, size_t sample)
{
	eddh_rng rng;

	eddh_rng_seed_stream(&rng, seed ^ FLIP_STREAM, ((uint64) epoch << 32) ^ sample);
	return (eddh_rng_next(&rng) >> 63) != 0;
}

/* A random part of the picture, the same whichever thread shows it. */
static void
ShowPart(const Net *net, size_t sample, const uint8 *rgb, float *input)
{
	double size = net->prep.size, side;
	float left, top;
	eddh_rng rng;

	eddh_rng_seed_stream(&rng, net->seed ^ CROP_STREAM, ((uint64) net->epoch << 32) ^ sample);
	side = size * (1 - net->crop * eddh_rng_uniform(&rng));
	left = (float) ((size - side) * eddh_rng_uniform(&rng));
	top = (float) ((size - side) * eddh_rng_uniform(&rng));
	image_normalise_window(&net->prep, rgb, left, top, (float) side, input);
}

/* to_learn: with what varies from epoch to epoch. */
static eddh_code
ShowPicture(const Net *net, size_t sample, bool to_learn, float *input, const eddh_stop *stop, eddh_error *err)
{
	const NetSource *source = &net->now->source;
	const uint8 *rgb;
	uint8 *room;
	eddh_code code = DataSetPicture(source->data, source->rows[sample], &rgb, &room, stop, err);

	if (code != EDDH_OK)
		return code;
	if (to_learn && net->crop > 0)
		ShowPart(net, sample, rgb, input);
	else
		image_normalise(&net->prep, rgb, input);
	free(room);
	if (to_learn && net->flip && Coin(net->seed, net->epoch, sample))
		Flip(input, net->prep.size);
	return EDDH_OK;
}

static void
CopyFeatures(const Net *net, size_t sample, float *input)
{
	const NetSource *source = &net->now->source;
	const float *features = source->features + sample * source->dim;

	if (net->now == &net->head)
		for (size_t j = 0; j < source->dim; j++)
			input[j] = (features[j] - net->mean[j]) * net->scale;
	else
		memcpy(input, features, source->dim * sizeof(float));
}

static eddh_code
FetchSample(const Net *net, size_t sample, bool to_learn, float *input, const eddh_stop *stop, eddh_error *err)
{
	const NetSource *source = &net->now->source;

	if (source->data != NULL)
		return ShowPicture(net, sample, to_learn, input, stop, err);
	/* Features have no parts and no mirror image. */
	if (source->features != NULL)
		CopyFeatures(net, sample, input);
	else
		memset(input, 0, source->dim * sizeof(float));
	return EDDH_OK;
}

static eddh_code
Fetch(void *arg, size_t sample, float *input, const eddh_stop *stop, eddh_error *err)
{
	return FetchSample(arg, sample, false, input, stop, err);
}

static eddh_code
FetchToLearn(void *arg, size_t sample, float *input, const eddh_stop *stop, eddh_error *err)
{
	return FetchSample(arg, sample, true, input, stop, err);
}

/* ---- hash_net ---- */

typedef struct GradientCall
{
	hash_gradient gradient;
	void *arg;
	double loss_sum;
} GradientCall;

static eddh_code
Gradient(void *arg, int n, const uint32_t *rows, const float *u, float *du, eddh_error *err)
{
	GradientCall *call = arg;
	double loss = 0;
	eddh_code code = call->gradient(call->arg, n, rows, u, du, &loss, err);

	call->loss_sum += loss * n;
	return code;
}

static size_t
Batches(const Net *net, const Stage *stage)
{
	return (net->n + stage->batch - 1) / stage->batch;
}

static void
CountHead(const Net *net, size_t done, double seconds)
{
	ForecastPart *head = &net->forecast->part[FORECAST_HEAD];

	head->total = head->done = (double) (net->head_epochs * Batches(net, &net->head));
	head->seconds = net->head_seconds;
	if (net->now == &net->head)
	{
		head->done = (double) (net->epoch * Batches(net, &net->head) + done);
		head->seconds = seconds;
	}
	if (head->done > 0 && head->seconds > 0)
		net->forecast->part[FORECAST_AGAIN].guess = ForecastUnit(head) * net->again_cost;
}

/*
 * Those that the method asks for, and one for the job's end. Those of the hash layer alone cost next to nothing; until it has learned, the rest is taken to go with
 * epochs.
 */
static void
CountPasses(const Net *net)
{
	ForecastPart *passes = &net->forecast->part[FORECAST_PASSES];
	int epochs = net->head_epochs + net->epochs;
	double n = (double) net->n, left;

	/* A method may ask for a pass before its first epoch. */
	if (net->asked > net->head_epochs || (net->head_epochs == 0 && net->passes_done > 0))
		left = Max(net->passes_total - net->passes_done, 0);
	else
		left = (double) net->passes_total * Min(net->epochs, epochs - net->epoch) / epochs;
	if (net->pass_seconds > 0)
		passes->guess = net->pass_seconds / n;
	passes->done = n * (net->passes_done - net->passes_cheap - net->pass_left);
	passes->total = passes->done + n * (net->pass_left + left + 1);
	passes->seconds = passes->done * passes->guess;
}

/* Where it is; done: mini-batches of the epoch that runs. */
static void
Count(const Net *net, size_t done)
{
	double seconds = net->begin != 0 ? WorkerSecondsSince(net->begin) : (double) net->resumed.elapsed / USECS_PER_SEC;
	ForecastPart *own = &net->forecast->part[net->part];

	if (net->head_epochs > 0)
		CountHead(net, done, seconds);
	own->total = (double) net->steps_total;
	own->done = (double) net->steps_done;
	own->seconds = net->now == &net->all ? seconds : 0;
	if (net->part == FORECAST_STEPS)
	{
		CountPasses(net);
		ForecastClock(net->forecast, own->seconds, net->first);
	}
}

static void
TellProgress(const Net *net, size_t done)
{
	if (net->forecast == NULL)
		return;
	Count(net, done);
	WorkerProgress((int64) (net->steps_done * net->all.batch));
	WorkerEta(ForecastLeft(net->forecast));
}

/* If it is time. */
static eddh_code
Checkpoint(Net *net, size_t start, double loss_sum, eddh_error *err)
{
	ReplayState state = { .trainer_step = nn_trainer_get_state(net->now->trainer).step,
						  .steps_done = net->steps_done,
						  .start = start,
						  .loss_sum = loss_sum,
						  .elapsed = GetCurrentTimestamp() - net->begin,
						  .head_seconds = net->head_seconds,
						  .epoch = net->epoch };

	return ReplayTick(net->replay, &state, err);
}

/*
 * The hash layer has learned alone: from here on the whole network does, and begins with it. W s (z - mean) + b is what it has learned; the network's layer
 * sees z.
 */
static void
JoinHead(Net *net)
{
	nn_trainer_state from = nn_trainer_get_state(net->head.trainer), to = nn_trainer_get_state(net->all.trainer);
	size_t dim = net->head.source.dim;
	const float *w = from.weights, *b = from.weights + dim * net->outputs;
	float *w_to = to.weights + to.count - from.count, *b_to = w_to + dim * net->outputs;

	Assert(from.count == (dim + 1) * net->outputs);
	for (size_t k = 0; k < net->outputs; k++)
	{
		double shift = 0;

		for (size_t j = 0; j < dim; j++)
		{
			w_to[k * dim + j] = w[k * dim + j] * net->scale;
			shift += (double) w_to[k * dim + j] * net->mean[j];
		}
		b_to[k] = (float) (b[k] - shift);
	}
	net->now = &net->all;
	if (net->begin != 0)
		net->head_seconds = WorkerSecondsSince(net->begin);
	net->begin = 0;
}

/* The clock runs from the first step or pass, a resumed one's with what went before. */
static void
Begin(Net *net)
{
	if (net->begin == 0)
		net->begin = GetCurrentTimestamp() - net->resumed.elapsed;
}

static eddh_code
Epoch(void *ctx, hash_gradient gradient, void *arg, double *mean_loss, eddh_error *err)
{
	Net *net = ctx;
	GradientCall call = { .gradient = gradient, .arg = arg };
	eddh_rng rng;
	double loss;
	bool given;
	eddh_code code = ReplayNext(net->replay, REPLAY_EPOCH, &loss, sizeof(loss), &given, err);

	if (net->asked++ == net->head_epochs && net->now == &net->head && !given)
		JoinHead(net);
	Begin(net);
	if (code != EDDH_OK || given)
	{
		if (code == EDDH_OK && mean_loss != NULL)
			*mean_loss = loss;
		return code;
	}
	call.loss_sum = net->resumed.loss_sum;
	eddh_rng_seed_stream(&rng, net->seed, (uint64) net->epoch);
	for (size_t i = 0; i < net->n; i++)
		net->order[i] = (uint32) i;
	eddh_rng_shuffle(&rng, net->n, net->order);
	for (size_t start = net->resumed.start; start < net->n; start += net->now->batch)
	{
		int n = (int) Min((size_t) net->now->batch, net->n - start);
		TimestampTz step_begin = GetCurrentTimestamp();

		if (eddh_stopped(&WorkerStop))
			return eddh_fail(err, EDDH_STOPPED, "stopped");
		code = nn_trainer_step(net->now->trainer, n, net->order + start, FetchToLearn, net, Gradient, &call,
							   &WorkerStop, err);
		if (code != EDDH_OK)
			return code;
		net->steps_done += net->now == &net->all;
		if (net->now == &net->all && net->first == 0 && net->meets_new_memory)
			net->first = WorkerSecondsSince(step_begin);
		TellProgress(net, start / net->now->batch + 1);
		code = Checkpoint(net, start + n, call.loss_sum, err);
		if (code != EDDH_OK)
			return code;
	}
	net->resumed = (ReplayState){ 0 };
	net->epoch++;
	loss = call.loss_sum / (double) net->n;
	if (mean_loss != NULL)
		*mean_loss = loss;
	return ReplayRecord(net->replay, REPLAY_EPOCH, &loss, sizeof(loss), err);
}

static eddh_code
Outputs(Net *net, size_t first, size_t n, const char *tensor, float *out, eddh_error *err)
{
	for (size_t i = 0; i < n; i++)
		net->order[i] = (uint32) (first + i);
	return nn_trainer_outputs(net->now->trainer, n, net->order, Fetch, net, tensor, out, &WorkerStop, err);
}

/* So much of a pass is to come, all of which was expected to take so long. */
static void
TellPass(Net *net, double left, double expected, TimestampTz begin)
{
	double seconds = WorkerSecondsSince(begin);

	net->pass_left = left;
	net->pass_seconds = expected > 0 ? seconds + left * expected : seconds / (1 - left);
	TellProgress(net, 0);
}

/* A pass over all pictures; tensor as nn_trainer_outputs has it, out: so many numbers of each. */
static eddh_code
Pass(Net *net, ReplayKind kind, const char *tensor, size_t width, float *out, eddh_error *err)
{
	size_t len = sizeof(float) * net->n * width, piece = PASS_ROUNDS * nn_trainer_round(net->now->trainer);
	bool given, cheap = net->head_epochs > 0 && net->asked <= net->head_epochs;
	eddh_code code = ReplayNext(net->replay, kind, out, len, &given, err);
	double expected = net->pass_seconds;
	TimestampTz begin;

	Begin(net);
	net->passes_done++;
	net->passes_cheap += cheap;
	if (code != EDDH_OK || given)
		return code;
	begin = GetCurrentTimestamp();
	for (size_t done = 0; code == EDDH_OK && done < net->n; done += piece)
	{
		size_t now = Min(piece, net->n - done);

		code = Outputs(net, done, now, tensor, out + done * width, err);
		if (code == EDDH_OK && !cheap)
			TellPass(net, (double) (net->n - done - now) / (double) net->n, expected, begin);
	}
	return code == EDDH_OK ? ReplayRecord(net->replay, kind, out, len, err) : code;
}

static eddh_code
AllOutputs(void *ctx, float *u, eddh_error *err)
{
	Net *net = ctx;

	return Pass(net, REPLAY_OUTPUTS, NULL, net->outputs, u, err);
}

static eddh_code
AllFeatures(void *ctx, float *z, eddh_error *err)
{
	Net *net = ctx;

	if (net->features != NULL)
		return Pass(net, REPLAY_FEATURES, net->features, net->feature_dim, z, err);
	for (size_t i = 0; i < net->n; i++)
	{
		eddh_code code = Fetch(net, i, z + i * net->all.source.dim, &WorkerStop, err);

		if (code != EDDH_OK)
			return code;
	}
	return EDDH_OK;
}

/* ---- Life ---- */

/* sgd: rates, and what is pretrained. Returns the number of mini-batches. */
static uint64
StartStage(Stage *stage, const nn_graph *graph, const NetSource *source, size_t n, int batch, int epochs, nn_sgd sgd,
		   const TrainOptions *options)
{
	eddh_error err;

	stage->source = *source;
	stage->batch = batch;
	sgd.total_steps = (uint64) epochs * ((n + batch - 1) / batch);
	sgd.momentum = options->value[OPTION_MOMENTUM];
	sgd.weight_decay = options->value[OPTION_WEIGHT_DECAY];
	sgd.clip_norm = options->value[OPTION_CLIP_NORM];
	EDDH_CHECK(nn_trainer_create(graph, (int) options->value[OPTION_THREADS], batch, &sgd, &stage->trainer, &err), &err,
			   NULL);
	return sgd.total_steps;
}

Net *
NetCreate(const nn_graph *graph, const NetSource *source, size_t n, int pretrained_nodes, double pretrained_factor,
		  const char *features, const TrainOptions *options)
{
	Net *net = MemoryContextAllocZero(WorkerContext(), sizeof(Net));
	nn_sgd sgd = { .rate_first = options->value[OPTION_RATE],
				   .rate_last = options->value[OPTION_RATE_LAST],
				   .pretrained_nodes = pretrained_nodes,
				   .pretrained_factor = pretrained_factor };

	net->hash = (hash_net){ .ctx = net, .epoch = Epoch, .outputs = AllOutputs, .features = AllFeatures };
	net->now = &net->all;
	if (source->data != NULL)
		net->prep = source->data->prep;
	net->n = n;
	net->outputs = nn_graph_output_shape(graph).count;
	net->seed = (uint64) options->value[OPTION_SEED];
	net->flip = options->value[OPTION_FLIP] != 0;
	net->crop = options->value[OPTION_CROP];
	net->features = features;
	net->order = TrainBulkAlloc(n, 1, sizeof(uint32));
	net->steps_total = StartStage(&net->all, graph, source, n, (int) options->value[OPTION_BATCH],
								  (int) options->value[OPTION_EPOCHS], sgd, options);
	net->epochs = (int) options->value[OPTION_EPOCHS];
	net->meets_new_memory = true;
	return net;
}

/* One rate has to serve features of any size: those of one backbone are a tenth of another's. */
static void
Condition(Net *net)
{
	const NetSource *source = &net->head.source;
	double *mean = MemoryContextAlloc(WorkerContext(), sizeof(double) * source->dim), square;
	eddh_error err;

	EDDH_CHECK(hash_centre(net->n, (int) source->dim, source->features, mean, &square, &err), &err, NULL);
	net->mean = MemoryContextAlloc(WorkerContext(), sizeof(float) * source->dim);
	for (size_t j = 0; j < source->dim; j++)
		net->mean[j] = (float) mean[j];
	net->scale = square > 0 ? (float) (1 / sqrt(square)) : 1;
	pfree(mean);
}

void
NetHeadFirst(Net *net, const nn_graph *head, const TrainOptions *options)
{
	NetSource source = { .dim = nn_graph_input_shape(head).count };
	nn_sgd sgd = { .rate_first = options->value[OPTION_RATE], .rate_last = options->value[OPTION_RATE_LAST] };

	net->head_epochs = (int) options->value[OPTION_EPOCHS];
	(void) StartStage(&net->head, head, &source, net->n, (int) options->value[OPTION_BATCH], net->head_epochs, sgd,
					  options);
	net->now = &net->head;
}

void
NetBegin(Net *net, const NetSource *source, const float *features, double pass_seconds)
{
	net->all.source = *source;
	net->pass_seconds = pass_seconds;
	if (net->head_epochs == 0)
		return;
	net->head.source.features = features;
	Condition(net);
}

/* Weights and velocities of a stage; returns how many pieces that are. */
static int
AddPieces(CheckpointPiece *pieces, const Stage *stage)
{
	nn_trainer_state state = nn_trainer_get_state(stage->trainer);
	size_t len = state.count * sizeof(float);

	pieces[0] = (CheckpointPiece){ state.weights, len };
	pieces[1] = (CheckpointPiece){ state.velocity, state.velocity != NULL ? len : 0 };
	return 2;
}

void
NetResume(Net *net, uint64 fingerprint, size_t feature_dim)
{
	CheckpointPiece learned[4];
	int n = AddPieces(learned, &net->all);

	if (net->head_epochs > 0)
		n += AddPieces(learned + n, &net->head);
	net->feature_dim = feature_dim;
	net->replay = ReplayCreate(fingerprint, n, learned);
	if (!ReplayLoad(net->replay, &net->resumed))
		return;
	if (net->resumed.epoch >= net->head_epochs)
		net->now = &net->all;
	nn_trainer_set_step(net->now->trainer, net->resumed.trainer_step);
	net->epoch = net->resumed.epoch;
	net->steps_done = net->resumed.steps_done;
	net->head_seconds = net->resumed.head_seconds;
	WorkerRemark("goes on from a checkpoint, after " UINT64_FORMAT " of " UINT64_FORMAT " mini-batches",
				 net->steps_done, net->steps_total);
}

void
NetFree(Net *net)
{
	if (net == NULL)
		return;
	nn_trainer_free(net->all.trainer);
	nn_trainer_free(net->head.trainer);
	eddh_bulk_free(&TrainBulk, net->order);
	pfree(net);
}

double
NetRehearse(Net *net, int n, int whole)
{
	Stage *now = net->now;
	double weights = SECONDS_TO_MOVE * (double) nn_graph_parameters(NetGraph(net)), seconds;
	TimestampTz begin;
	eddh_error err;

	for (int i = 0; i < n; i++)
		net->order[i] = (uint32) i;
	net->now = &net->all;
	begin = GetCurrentTimestamp();
	WORKER_CHECK(nn_trainer_rehearse(net->all.trainer, n, net->order, FetchToLearn, net, &WorkerStop, &err), &err,
				 NULL);
	seconds = weights + Max(WorkerSecondsSince(begin) - weights, 0) * whole / n;
	begin = GetCurrentTimestamp();
	nn_trainer_rehearse_update(net->all.trainer);
	net->now = now;
	return seconds + WorkerSecondsSince(begin);
}

/* What a mini-batch of the whole network takes, and a picture forward, both of which come only after the hash layer's. */
static void
Rehearse(Net *net)
{
	int whole = (int) Min((size_t) net->all.batch, net->n);
	int n = net->steps_total < REHEARSE_WHOLE ? (whole + 3) / 4 : whole;
	ForecastPart *steps = &net->forecast->part[FORECAST_STEPS], *passes = &net->forecast->part[FORECAST_PASSES];
	float *out = MemoryContextAlloc(WorkerContext(), sizeof(float) * n * net->outputs);
	TimestampTz begin;

	for (int i = 0; i < REHEARSALS; i++)
	{
		double batch = NetRehearse(net, n, whole);

		/* The first meets new memory. */
		if (i > 0)
			steps->guess = (i == 1 ? 0 : steps->guess) + batch / (REHEARSALS - 1);
	}
	steps->weight = REHEARSED_WEIGHT;
	net->now = &net->all;
	begin = GetCurrentTimestamp();
	NetOutputs(net, 0, n, out);
	passes->guess = WorkerSecondsSince(begin) / n;
	pfree(out);
	net->meets_new_memory = n < whole;
	net->now = &net->head;
}

void
NetTell(Net *net, Forecast *forecast, ForecastName part, int passes)
{
	const ForecastPart *head = &forecast->part[FORECAST_HEAD], *again = &forecast->part[FORECAST_AGAIN];

	net->forecast = forecast;
	net->part = part;
	net->passes_total = passes;
	net->again_cost = again->total > 0 ? again->guess / head->guess : 0;
	if (net->now == &net->head)
		Rehearse(net);
	Count(net, 0);
}

const hash_net *
NetHash(Net *net)
{
	ReplayStart(net->replay);
	if (net->forecast != NULL)
		WorkerPhase("learn", (int64) (net->steps_total * net->all.batch));
	TellProgress(net, 0);
	return &net->hash;
}

const nn_graph *
NetGraph(const Net *net)
{
	return nn_trainer_graph(net->all.trainer);
}

void
NetOutputs(Net *net, size_t first, size_t n, float *out)
{
	eddh_error err;

	for (size_t done = 0; done < n;)
	{
		/* By pieces, for the order array has room for the training samples only. */
		size_t piece = Min(n - done, Max(net->n, 1));

		WORKER_CHECK(Outputs(net, first + done, piece, NULL, out + done * net->outputs, &err), &err, NULL);
		done += piece;
	}
}
