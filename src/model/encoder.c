/*
 * encoder.c: pictures to outputs of a network.
 *
 * An encoder is one or two stages (trunk and head), each a mapped graph with a plan, one arena that both use in turn, and buffers for a batch. All of
 * it lives in one memory context; plans and mappings go with its reset callback. A job's encoder may have threads: then each has an arena and input of its
 * own, and takes chunks of a batch. Where chunks begin depends on batch and threads alone: who computes one makes no difference to it.
 */
#include "postgres.h"

#include <math.h>
#include <stdatomic.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "model/cache.h"
#include "model/catalog.h"
#include "model/exchange.h"
#include "model/metadata.h"
#include "model/model.h"
#include "nn/pool.h"
#include "report.h"

#define MAX_STAGES  2
#define SHARED_KEPT 4 /* encoders of single pictures a backend keeps */
#define ALIGNMENT   64
#define CHUNK       8  /* pictures a thread takes at a time */
#define LAST_CHUNK  4  /* and when few are left: passes over fewer cost more a picture */
#define CHUNKS      16 /* a thread's share of a batch: the end, where some wait for others, comes seldom */

typedef struct Stage
{
	ModelMapping *mapping;
	nn_plan *plan;
	size_t inputs, outputs; /* floats a picture */
} Stage;

struct ModelEncoder
{
	MemoryContext context;
	int max_batch;
	int chunk; /* pictures in one forward pass */
	int threads;
	nn_pool *pool; /* NULL: one thread */
	int n_stages;
	Stage stages[MAX_STAGES];
	image_prep prep;
	uint8 *rgb;    /* one picture a thread */
	float *pixels; /* chunk x inputs of the first stage, a thread */
	float *middle; /* chunk x outputs of the first of two stages, a thread */
	float *output; /* max_batch x outputs of the last stage */
	float *arena;  /* arena_floats a thread */
	size_t rgb_bytes, arena_floats;
};

static int64 network_runs = 0;

int64
ModelNetworkRuns(void)
{
	return network_runs;
}

static void
FreeStages(void *arg)
{
	ModelEncoder *encoder = arg;

	nn_pool_free(encoder->pool);
	for (int i = 0; i < encoder->n_stages; i++)
	{
		nn_plan_free(encoder->stages[i].plan);
		if (encoder->stages[i].mapping != NULL)
			ModelCacheRelease(encoder->stages[i].mapping);
	}
}

static ModelEncoder *
NewEncoder(int max_batch, int chunk, int threads)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "eddh encoder", ALLOCSET_DEFAULT_SIZES);
	ModelEncoder *encoder = MemoryContextAllocZero(context, sizeof(ModelEncoder));
	MemoryContextCallback *callback = MemoryContextAllocZero(context, sizeof(MemoryContextCallback));

	encoder->context = context;
	encoder->max_batch = max_batch;
	encoder->chunk = chunk;
	encoder->threads = threads;
	callback->func = FreeStages;
	callback->arg = encoder;
	MemoryContextRegisterResetCallback(context, callback);
	return encoder;
}

static void *
AlignedAlloc(MemoryContext context, size_t count, size_t size)
{
	size_t bytes;

	if (!eddh_size_mul(count, size, &bytes) || !eddh_size_add(bytes, ALIGNMENT, &bytes))
		elog(ERROR, "size of an encoder's buffer overflows");
	return (void *) TYPEALIGN(ALIGNMENT, MemoryContextAllocHuge(context, bytes));
}

static void
AddStage(ModelEncoder *encoder, const uint8 *sha, const char *cut, ModelCacheFill fill, void *arg)
{
	Stage *stage = &encoder->stages[encoder->n_stages];
	const nn_graph *graph;
	eddh_error err;

	stage->mapping = ModelCacheOpen(sha, cut, fill, arg);
	encoder->n_stages++;
	graph = ModelMappingGraph(stage->mapping);
	stage->inputs = nn_graph_input_shape(graph).count;
	stage->outputs = nn_graph_output_shape(graph).count;
	EDDH_CHECK(nn_plan_create(graph, encoder->chunk, false, &stage->plan, &err), &err, "cannot run the network");
}

/* Everything that depends on the stages. */
static void
Finish(ModelEncoder *encoder, const char *what)
{
	const Stage *first = &encoder->stages[0];
	const Stage *last = &encoder->stages[encoder->n_stages - 1];
	size_t arena = 0, in_work;
	eddh_error err;

	if (ModelPrepFromGraph(ModelMappingGraph(first->mapping), &encoder->prep, &err) != EDDH_OK ||
		image_prep_check(&encoder->prep, &err) != EDDH_OK ||
		first->inputs != (size_t) 3 * encoder->prep.size * encoder->prep.size ||
		(encoder->n_stages == 2 && first->outputs != last->inputs))
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("the parts of %s do not fit each other", what),
						errhint("Drop it, and train or import it again.")));
	for (int i = 0; i < encoder->n_stages; i++)
		arena = Max(arena, nn_plan_arena_size(encoder->stages[i].plan));
	arena = TYPEALIGN(ALIGNMENT, arena);
	encoder->arena_floats = arena / sizeof(float);
	encoder->arena = AlignedAlloc(encoder->context, arena, encoder->threads);
	encoder->rgb_bytes = (size_t) 3 * encoder->prep.size * encoder->prep.size;
	encoder->rgb = MemoryContextAllocHuge(encoder->context, encoder->rgb_bytes * encoder->threads);
	in_work = (size_t) encoder->chunk * encoder->threads;
	encoder->pixels = AlignedAlloc(encoder->context, in_work * first->inputs, sizeof(float));
	if (encoder->n_stages == 2)
		encoder->middle = AlignedAlloc(encoder->context, in_work * first->outputs, sizeof(float));
	encoder->output = AlignedAlloc(encoder->context, encoder->max_batch * last->outputs, sizeof(float));
}

static nn_graph *
FillHead(void *arg)
{
	const ModelInfo *model = arg;

	return ModelReadNetwork(model->id, model->sha, psprintf("model \"%s\"", model->name));
}

typedef struct Trunk
{
	const ModelBackbone *backbone;
	const char *cut; /* NULL: the whole */
} Trunk;

static nn_graph *
FillTrunk(void *arg)
{
	const Trunk *trunk = arg;
	nn_graph *graph = ModelReadBackbone(trunk->backbone, ModelBuiltinSeed);
	ModelGraphHolder *holder = ModelHoldGraph();
	eddh_error err;

	ModelPrepToGraph(&trunk->backbone->prep, graph);
	if (trunk->cut == NULL)
		return graph;
	EDDH_CHECK(nn_graph_cut(graph, trunk->cut, &holder->graph, NULL, &err), &err, "cannot cut the backbone");
	return holder->graph;
}

static ModelEncoder *
CreateForModel(const ModelInfo *model, int max_batch, int chunk, int threads)
{
	ModelEncoder *encoder = NewEncoder(max_batch, chunk, threads);
	char *what = psprintf("model \"%s\"", model->name);

	if (model->cut != NULL)
	{
		Trunk trunk = { ModelGetBackbone(model->backbone), model->cut[0] == '\0' ? NULL : model->cut };

		if (trunk.backbone == NULL)
			ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
							errmsg("the backbone of %s is missing from eddh_catalog.backbone", what)));
		AddStage(encoder, trunk.backbone->sha, trunk.cut, FillTrunk, &trunk);
	}
	AddStage(encoder, model->sha, NULL, FillHead, (void *) model);
	Finish(encoder, what);
	if (ModelEncoderOutputs(encoder) != model->bits)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("%s has %d outputs where %d bits are wanted", what,
																ModelEncoderOutputs(encoder), model->bits)));
	return encoder;
}

ModelEncoder *
ModelEncoderCreate(const ModelInfo *model, int max_batch)
{
	return CreateForModel(model, max_batch, max_batch, 1);
}

ModelEncoder *
ModelEncoderCreateThreaded(const ModelInfo *model, int threads)
{
	ModelEncoder *encoder = CreateForModel(model, CHUNK * CHUNKS * threads, CHUNK, threads);
	eddh_error err;

	if (encoder->threads > 1)
		EDDH_CHECK(nn_pool_create(encoder->threads, &encoder->pool, &err), &err, NULL);
	return encoder;
}

ModelEncoder *
ModelEncoderCreateForBackbone(const ModelBackbone *backbone, int max_batch)
{
	ModelEncoder *encoder = NewEncoder(max_batch, max_batch, 1);
	Trunk trunk = { backbone, NULL };

	AddStage(encoder, backbone->sha, NULL, FillTrunk, &trunk);
	Finish(encoder, psprintf("backbone \"%s\"", backbone->name));
	return encoder;
}

/* ---- Encoders that outlive a query ---- */

typedef struct SharedEncoder
{
	uint8 key[2 * MODEL_SHA_BYTES]; /* of the head, and of the trunk's backbone and cut */
	ModelEncoder *encoder;
	uint64 used; /* larger = later */
} SharedEncoder;

static SharedEncoder shared[SHARED_KEPT];
static uint64 shared_clock = 0;

static void
DropShared(SharedEncoder *slot)
{
	if (slot->encoder != NULL)
		MemoryContextDelete(slot->encoder->context);
	slot->encoder = NULL;
}

static SharedEncoder *
FindShared(const uint8 *key)
{
	for (int i = 0; i < SHARED_KEPT; i++)
		if (shared[i].encoder != NULL && memcmp(shared[i].key, key, sizeof(shared[i].key)) == 0)
		{
			shared[i].used = ++shared_clock;
			return &shared[i];
		}
	return NULL;
}

/* Takes over an encoder made in the current context. */
static ModelEncoder *
KeepShared(const uint8 *key, ModelEncoder *encoder)
{
	SharedEncoder *slot = &shared[0];

	for (int i = 1; i < SHARED_KEPT; i++)
		if (shared[i].encoder == NULL || (slot->encoder != NULL && shared[i].used < slot->used))
			slot = &shared[i];
	DropShared(slot);
	MemoryContextSetParent(encoder->context, CacheMemoryContext);
	memcpy(slot->key, key, sizeof(slot->key));
	slot->encoder = encoder;
	slot->used = ++shared_clock;
	return encoder;
}

/* Before a new encoder: lets go of networks that were dropped, so that their memory can be unmapped. */
static void
DropStale(void)
{
	for (int i = 0; i < SHARED_KEPT; i++)
		if (shared[i].encoder != NULL)
			for (int j = 0; j < shared[i].encoder->n_stages; j++)
				if (ModelCacheIsStale(shared[i].encoder->stages[j].mapping))
				{
					DropShared(&shared[i]);
					break;
				}
}

ModelEncoder *
ModelEncoderShared(const ModelInfo *model)
{
	uint8 key[2 * MODEL_SHA_BYTES] = { 0 };
	SharedEncoder *found;
	char *trunk = psprintf(INT64_FORMAT "/%s", model->backbone, model->cut != NULL ? model->cut : "");

	memcpy(key, model->sha, MODEL_SHA_BYTES);
	if (model->cut != NULL)
		ModelSha((const uint8 *) trunk, strlen(trunk), key + MODEL_SHA_BYTES);
	found = FindShared(key);
	if (found != NULL)
		return found->encoder;
	DropStale();
	return KeepShared(key, ModelEncoderCreate(model, 1));
}

ModelEncoder *
ModelEncoderSharedForBackbone(const ModelBackbone *backbone)
{
	uint8 key[2 * MODEL_SHA_BYTES] = { 0 };
	SharedEncoder *found;

	memcpy(key + MODEL_SHA_BYTES, backbone->sha, MODEL_SHA_BYTES);
	found = FindShared(key);
	if (found != NULL)
		return found->encoder;
	DropStale();
	return KeepShared(key, ModelEncoderCreateForBackbone(backbone, 1));
}

/* ---- Use ---- */

int
ModelEncoderOutputs(const ModelEncoder *encoder)
{
	return (int) encoder->stages[encoder->n_stages - 1].outputs;
}

int
ModelEncoderMaxBatch(const ModelEncoder *encoder)
{
	return encoder->max_batch;
}

/* A picture into a slot of a thread's input. Plain C. */
static eddh_code
Decode(const ModelEncoder *encoder, const image_limits *limits, const uint8 *bytes, size_t len, int thread, size_t slot,
	   eddh_error *err)
{
	uint8 *rgb = encoder->rgb + thread * encoder->rgb_bytes;
	eddh_code code = image_load(bytes, len, &encoder->prep, limits, rgb, err);

	slot += (size_t) thread * encoder->chunk;
	if (code == EDDH_OK)
		image_normalise(&encoder->prep, rgb, encoder->pixels + slot * encoder->stages[0].inputs);
	return code;
}

eddh_code
ModelEncoderLoad(ModelEncoder *encoder, int slot, const uint8 *bytes, size_t len, eddh_error *err)
{
	image_limits limits = ModelImageLimits();
	eddh_code code;

	Assert(slot >= 0 && slot < encoder->chunk);
	do
	{
		CHECK_FOR_INTERRUPTS();
		code = Decode(encoder, &limits, bytes, len, 0, slot, err);
	} while (code == EDDH_STOPPED);
	return code;
}

/* The first n slots of a thread's input through all stages; out: n x outputs of the last. Plain C. */
static eddh_code
Forward(ModelEncoder *encoder, int thread, size_t n, float *out, eddh_error *err)
{
	size_t slot = (size_t) thread * encoder->chunk;
	float *arena = encoder->arena + thread * encoder->arena_floats;
	eddh_code code = EDDH_OK;

	for (int i = 0; i < encoder->n_stages && code == EDDH_OK; i++)
	{
		const Stage *stage = &encoder->stages[i];
		const float *from = i == 0 ? encoder->pixels : encoder->middle;
		bool last = i == encoder->n_stages - 1;

		code = nn_forward(stage->plan, (int) n, from + slot * stage->inputs, arena,
						  last ? out : encoder->middle + slot * stage->outputs, &EddhInterruptStop, err);
	}
	return code;
}

const float *
ModelEncoderRun(ModelEncoder *encoder, int n)
{
	eddh_code code;
	eddh_error err;

	Assert(n >= 1 && n <= encoder->max_batch && n <= encoder->chunk);
	do
	{
		CHECK_FOR_INTERRUPTS();
		code = Forward(encoder, 0, n, encoder->output, &err);
	} while (code == EDDH_STOPPED);
	EDDH_CHECK(code, &err, "cannot run the network");
	network_runs += n;
	return encoder->output;
}

/* What a thread has taken of a batch, and how that ended: n = 0 when it is done. */
typedef struct Chunk
{
	int first, n;
	eddh_code code;
	eddh_error err;
} Chunk;

typedef struct Pictures
{
	ModelEncoder *encoder;
	int n;
	ModelPicture *pictures;
	image_limits limits;
	atomic_int next; /* picture that nobody has taken */
	Chunk *chunks;   /* one a thread */
} Pictures;

/* Smaller ones towards the end, so that the threads finish together, also where one is held up by other work on the machine. False: nothing is left. */
static bool
TakeChunk(Pictures *call, Chunk *chunk)
{
	int threads = call->encoder->threads;

	chunk->first = atomic_load(&call->next);
	do
	{
		int left = call->n - chunk->first;

		chunk->n = threads == 1 ? left : Min(left, Max(LAST_CHUNK, left / (2 * threads)));
		chunk->n = Min(chunk->n, call->encoder->chunk);
		if (chunk->n <= 0)
			return false;
	} while (!atomic_compare_exchange_weak(&call->next, &chunk->first, chunk->first + chunk->n));
	return true;
}

/* From bytes to outputs. Plain C. */
static eddh_code
EncodeChunk(Pictures *call, int thread, Chunk *chunk)
{
	ModelEncoder *encoder = call->encoder;
	size_t inputs = encoder->stages[0].inputs, outputs = encoder->stages[encoder->n_stages - 1].outputs;
	float *pixels = encoder->pixels + (size_t) thread * encoder->chunk * inputs;

	for (int i = 0; i < chunk->n; i++)
	{
		ModelPicture *picture = &call->pictures[chunk->first + i];

		picture->code = Decode(encoder, &call->limits, picture->bytes, picture->len, thread, i, &picture->err);
		if (picture->code == EDDH_STOPPED)
			return EDDH_STOPPED;
		if (picture->code != EDDH_OK) /* bad ones are too rare to be worth a smaller batch */
			memset(pixels + i * inputs, 0, inputs * sizeof(float));
	}
	return Forward(encoder, thread, chunk->n, encoder->output + chunk->first * outputs, &chunk->err);
}

/* A thread that was stopped begins with what it had taken. */
static void
EncodeChunks(void *arg, int thread)
{
	Pictures *call = arg;
	Chunk *chunk = &call->chunks[thread];

	while (chunk->n > 0 || TakeChunk(call, chunk))
	{
		chunk->code = EncodeChunk(call, thread, chunk);
		if (chunk->code != EDDH_OK)
			return;
		chunk->n = 0;
	}
	chunk->code = EDDH_OK;
}

const float *
ModelEncoderRunPictures(ModelEncoder *encoder, int n, ModelPicture *pictures)
{
	Pictures call = { .encoder = encoder, .n = n, .pictures = pictures, .limits = ModelImageLimits() };
	bool stopped;

	Assert(n >= 1 && n <= encoder->max_batch);
	call.chunks = palloc0(sizeof(Chunk) * encoder->threads);
	do
	{
		CHECK_FOR_INTERRUPTS();
		if (encoder->pool != NULL)
			nn_pool_run(encoder->pool, EncodeChunks, &call);
		else
			EncodeChunks(&call, 0);
		stopped = false;
		for (int i = 0; i < encoder->threads; i++)
			stopped |= call.chunks[i].code == EDDH_STOPPED;
	} while (stopped);
	for (int i = 0; i < encoder->threads; i++)
		EDDH_CHECK(call.chunks[i].code, &call.chunks[i].err, "cannot run the network");
	pfree(call.chunks);
	network_runs += n;
	return encoder->output;
}

VarBit *
ModelCode(int bits, const float *u)
{
	VarBit *code = palloc0(VARBITTOTALLEN(bits));

	SET_VARSIZE(code, VARBITTOTALLEN(bits));
	VARBITLEN(code) = bits;
	for (int j = 0; j < bits; j++)
	{
		if (isnan(u[j]))
			ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
							errmsg("the network's output %d is not a number", j)));
		if (u[j] >= 0)
			VARBITS(code)[j / BITS_PER_BYTE] |= HIGHBIT >> (j % BITS_PER_BYTE);
	}
	return code;
}
