/* dataset.c: a table of pictures, read once in short transactions, kept in spools. */
#include "postgres.h"

#include <stdatomic.h>

#include "common/hashfn.h"
#include "miscadmin.h"
#include "model/model.h"
#include "nn/pool.h"
#include "report.h"
#include "train/bulk.h"
#include "train/dataset.h"
#include "train/reader.h"
#include "train/spool.h"
#include "train/submit.h"
#include "train/worker.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

/* Times what the network sees: a picture of more is not decoded more than once (option decode: auto). */
#define MANY_PIXELS 16

/* The fingerprint is of the files, and of the pixels of each so-many-th. */
#define PIXELS_LOOKED_AT 16

/* Pictures that are decoded together, each on a thread: so many, or what takes so much memory as files or decoded. */
#define WAITING_MOST  64
#define WAITING_BYTES ((size_t) 8 << 20)

typedef struct Waiting
{
	ReaderRow row; /* with copies of its values */
	eddh_code code;
	eddh_error err;
} Waiting;

typedef struct ReadState
{
	DataSet *data;
	Reader reader;
	LabelRows *labels;
	int16 label_length;
	bool label_by_value;
	TrainDecode decode;
	nn_pool *pool;
	atomic_bool stopped;
	int most, n; /* that wait */
	Waiting waiting[WAITING_MOST];
	uint8 *rgb;            /* of each */
	size_t bytes;          /* of their files */
	MemoryContext context; /* their values */
	Spool *pictures, *ends;
	int64 seen, total;
	DataSetTold told;
	void *told_arg;
} ReadState;

int64
DataSetLongestFile(TrainDecode decode, int64 picture_bytes)
{
	/* Decoding costs time whenever the picture is shown, and the longer the file the more; half the space is worth it. */
	return decode == DECODE_ONCE ? 0 : decode == DECODE_ALWAYS ? PG_INT64_MAX : picture_bytes / 2;
}

/* Short files may hold many pixels, and to decode them again and again takes time and, on each thread, memory. */
static bool
HasManyPixels(const ReadState *state, const uint8 *file, size_t len)
{
	image_info info;

	return image_probe(file, len, &state->data->limits, &info, NULL) != EDDH_OK ||
		   (uint64) info.width * info.height > MANY_PIXELS * (state->data->picture_bytes / 3);
}

/* To the spools. */
static void
Keep(ReadState *state, const uint8 *file, size_t len, const uint8 *rgb)
{
	DataSet *data = state->data;
	size_t picture_bytes = data->picture_bytes;
	uint64 end;

	/* Pixels tell of another decoder, and it is enough to look at some. */
	if (data->rows % PIXELS_LOOKED_AT == 0)
		data->fingerprint = hash_bytes_extended(rgb, (int) picture_bytes, data->fingerprint);
	data->fingerprint = hash_bytes_extended(file, (int) len, data->fingerprint);
	/* A file exactly as long as what it unpacks to is kept unpacked, too: the length tells which it is. */
	if (len <= DataSetLongestFile(state->decode, picture_bytes) && len != picture_bytes &&
		(state->decode == DECODE_ALWAYS || !HasManyPixels(state, file, len)))
	{
		SpoolWrite(state->pictures, file, len);
		data->files++;
	}
	else
		SpoolWrite(state->pictures, rgb, picture_bytes);
	end = SpoolSize(state->pictures);
	SpoolWrite(state->ends, &end, sizeof(end));
}

/* The main thread looks, for the others. */
static bool
PollMain(void *arg)
{
	ReadState *state = arg;

	if (eddh_stopped(&WorkerStop))
		atomic_store(&state->stopped, true);
	return atomic_load(&state->stopped);
}

static bool
PollOther(void *arg)
{
	return atomic_load(&((ReadState *) arg)->stopped);
}

/* Every threads-th of those that wait. Plain C. */
static void
Decode(void *arg, int thread)
{
	ReadState *state = arg;
	const DataSet *data = state->data;
	const eddh_stop stop = { thread == 0 ? PollMain : PollOther, state };
	image_limits limits = data->limits;

	limits.stop = &stop;
	for (int i = thread; i < state->n && !eddh_stopped(&stop); i += nn_pool_threads(state->pool))
	{
		Waiting *w = &state->waiting[i];

		w->code = image_load(w->row.image, w->row.image_len, &data->prep, &limits, state->rgb + i * data->picture_bytes,
							 &w->err);
	}
}

/* In the order of the table, so that what is read does not depend on threads. */
static void
Take(ReadState *state, const Waiting *w, const uint8 *rgb)
{
	DataSet *data = state->data;

	if (w->code == EDDH_BAD_DATA || w->code == EDDH_OVER_LIMIT || w->code == EDDH_UNSUPPORTED)
	{
		WorkerSkipped(psprintf("%s: %s", ReaderRowName(&state->reader, &w->row), w->err.message));
		return;
	}
	EDDH_CHECK(w->code, &w->err, NULL);
	if (state->labels != NULL && LabelRowsAdd(state->labels, w->row.extra, w->row.extra_isnull) == 0)
		data->unlabelled++;
	Keep(state, w->row.image, w->row.image_len, rgb);
	if (++data->rows > UINT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("too many pictures: more than %u", UINT32_MAX)));
}

static void
TakeAll(void *arg)
{
	ReadState *state = arg;
	TimestampTz begin = GetCurrentTimestamp();
	eddh_error err;

	atomic_store(&state->stopped, false);
	nn_pool_run(state->pool, Decode, state);
	state->data->decode_seconds += WorkerSecondsSince(begin);
	if (atomic_load(&state->stopped))
	{
		(void) eddh_fail(&err, EDDH_STOPPED, "stopped");
		WorkerRaise(&err, NULL);
	}
	for (int i = 0; i < state->n; i++)
		Take(state, &state->waiting[i], state->rgb + i * state->data->picture_bytes);
	state->n = 0;
	state->bytes = 0;
	MemoryContextReset(state->context);
}

static void
ReadPicture(void *arg, const ReaderRow *row)
{
	ReadState *state = arg;
	Waiting *w = &state->waiting[state->n];
	MemoryContext old;
	uint8 *file;

	WorkerProgress(++state->seen);
	/* A row without a label teaches nothing, so it is not even decoded. */
	if (state->labels != NULL && row->extra_isnull)
	{
		state->data->unlabelled++;
		return;
	}
	old = MemoryContextSwitchTo(state->context);
	file = MemoryContextAllocHuge(state->context, Max(row->image_len, 1));
	memcpy(file, row->image, row->image_len);
	*w = (Waiting){ .row = *row };
	w->row.image = file;
	if (!row->extra_isnull)
		w->row.extra = datumCopy(row->extra, state->label_by_value, state->label_length);
	MemoryContextSwitchTo(old);
	state->n++;
	state->bytes += row->image_len;
	if (state->n == state->most || state->bytes > WAITING_BYTES)
		TakeAll(state);
}

static void
Told(void *arg, BlockNumber next, BlockNumber end)
{
	ReadState *state = arg;

	state->told(state->told_arg, state->data, state->seen, state->total);
}

double
DataSetShowSeconds(const DataSet *data)
{
	return data->rows > 0 ? data->decode_seconds / data->rows * data->files / data->rows : 0;
}

DataSet *
DataSetRead(const image_prep *prep, TrainDecode decode, int threads, DataSetTold told, void *arg)
{
	const JobRow *job = WorkerJob();
	MemoryContext old = MemoryContextSwitchTo(WorkerContext());
	DataSet *data = palloc0(sizeof(DataSet));
	ReadState *state = palloc0(sizeof(ReadState));
	eddh_error err;

	data->prep = *prep;
	data->picture_bytes = (size_t) prep->size * prep->size * 3;
	state->data = data;
	state->decode = decode;
	state->told = told;
	state->told_arg = arg;
	data->limits = ModelImageLimits();
	data->limits.stop = NULL;
	state->pictures = SpoolCreate();
	state->ends = SpoolCreate();
	state->most = (int) Max(1, Min(WAITING_MOST, WAITING_BYTES / data->picture_bytes));
	state->rgb = palloc(state->most * data->picture_bytes);
	state->context = AllocSetContextCreate(WorkerContext(), "eddh pictures", ALLOCSET_DEFAULT_SIZES);
	EDDH_CHECK(nn_pool_create(threads, &state->pool, &err), &err, NULL);
	state->reader = (Reader){ .relation = job->images,
							  .image_column = job->image_column,
							  .extra_column = job->label_column,
							  .row = ReadPicture,
							  .step = TakeAll,
							  .committed = Told,
							  .arg = state };
	if (job->label_column != NULL)
	{
		WorkerBegin();
		MemoryContextSwitchTo(WorkerContext());
		state->reader.extra_type = SubmitFindColumn(job->images, job->label_column).declared_type;
		data->dictionary = LabelDictionaryCreate();
		state->labels = LabelRowsCreate(data->dictionary, state->reader.extra_type);
		get_typlenbyval(state->reader.extra_type, &state->label_length, &state->label_by_value);
		WorkerEnd();
	}
	state->total = ReaderCount(&state->reader);
	WorkerPhase("read pictures", state->total);
	ReaderRun(&state->reader);
	MemoryContextSwitchTo(WorkerContext());
	if (state->labels != NULL)
		WORKER_CHECK(LabelRowsFinish(state->labels, &TrainBulk, &data->labels, &err), &err, NULL);
	data->pictures = SpoolMap(state->pictures);
	data->ends = SpoolMap(state->ends);
	nn_pool_free(state->pool);
	MemoryContextDelete(state->context);
	pfree(state->rgb);
	pfree(state);
	MemoryContextSwitchTo(old);
	return data;
}

eddh_code
DataSetPicture(const DataSet *data, size_t row, const uint8 **rgb, uint8 **room, const eddh_stop *stop, eddh_error *err)
{
	image_limits limits = data->limits;
	uint64 begin = row > 0 ? data->ends[row - 1] : 0;
	size_t len = data->ends[row] - begin;
	eddh_code code;

	*room = NULL;
	*rgb = data->pictures + begin;
	if (len == data->picture_bytes)
		return EDDH_OK;
	/* Not palloc, for this may be another thread. */
	*room = malloc(data->picture_bytes);
	if (*room == NULL)
		return eddh_fail(err, EDDH_NO_MEMORY, "not enough memory to decode a picture");
	limits.stop = stop;
	code = image_load(*rgb, len, &data->prep, &limits, *room, err);
	if (code != EDDH_OK)
	{
		free(*room);
		*room = NULL;
	}
	*rgb = *room;
	return code;
}

hash_labels *
DataSetLabels(const DataSet *data, size_t n, const uint32 *rows)
{
	hash_labels *labels;
	eddh_error err;

	WORKER_CHECK(hash_labels_create(data->labels->bulk, n, data->labels->classes, &labels, &err), &err, NULL);
	for (size_t i = 0; i < n; i++)
		memcpy(labels->bitmap + i * labels->words, data->labels->bitmap + (size_t) rows[i] * labels->words,
			   sizeof(uint64_t) * labels->words);
	WORKER_CHECK(hash_labels_finish(labels, &err), &err, NULL);
	return labels;
}
