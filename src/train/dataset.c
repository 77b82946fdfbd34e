/* dataset.c: a table of pictures, read once in short transactions, kept in spools. */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "model/model.h"
#include "report.h"
#include "train/bulk.h"
#include "train/dataset.h"
#include "train/reader.h"
#include "train/spool.h"
#include "train/submit.h"
#include "train/worker.h"
#include "utils/memutils.h"

/* Times what the network sees: a picture of more is not decoded more than once (option decode: auto). */
#define MANY_PIXELS 16

typedef struct ReadState
{
	DataSet *data;
	Reader reader;
	LabelRows *labels;
	TrainDecode decode;
	image_limits limits;
	uint8 *rgb;
	Spool *pictures, *ends;
	int64 seen;
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

	return image_probe(file, len, &state->limits, &info, NULL) != EDDH_OK ||
		   (uint64) info.width * info.height > MANY_PIXELS * (state->data->picture_bytes / 3);
}

/* To the spools; the file has been decoded to state->rgb. */
static void
Keep(ReadState *state, const uint8 *file, size_t len)
{
	DataSet *data = state->data;
	size_t picture_bytes = data->picture_bytes;
	uint64 end;

	data->fingerprint = hash_bytes_extended(state->rgb, (int) picture_bytes, data->fingerprint);
	/* A file exactly as long as what it unpacks to is kept unpacked, too: the length tells which it is. */
	if (len <= DataSetLongestFile(state->decode, picture_bytes) && len != picture_bytes &&
		(state->decode == DECODE_ALWAYS || !HasManyPixels(state, file, len)))
		SpoolWrite(state->pictures, file, len);
	else
		SpoolWrite(state->pictures, state->rgb, picture_bytes);
	end = SpoolSize(state->pictures);
	SpoolWrite(state->ends, &end, sizeof(end));
}

static void
ReadPicture(void *arg, const ReaderRow *row)
{
	ReadState *state = arg;
	DataSet *data = state->data;
	eddh_error err;
	eddh_code code;

	WorkerProgress(++state->seen);
	/* A row without a label teaches nothing, so it is not even decoded. */
	if (state->labels != NULL && row->extra_isnull)
	{
		data->unlabelled++;
		return;
	}
	for (;;)
	{
		code = image_load(row->image, row->image_len, &data->prep, &state->limits, state->rgb, &err);
		if (code != EDDH_STOPPED)
			break;
		CHECK_FOR_INTERRUPTS();
	}
	if (code == EDDH_BAD_DATA || code == EDDH_OVER_LIMIT || code == EDDH_UNSUPPORTED)
	{
		WorkerSkipped(psprintf("%s: %s", ReaderRowName(&state->reader, row), err.message));
		return;
	}
	EDDH_CHECK(code, &err, NULL);
	if (state->labels != NULL && LabelRowsAdd(state->labels, row->extra, row->extra_isnull) == 0)
		data->unlabelled++;
	Keep(state, row->image, row->image_len);
	if (++data->rows > UINT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("too many pictures: more than %u", UINT32_MAX)));
}

DataSet *
DataSetRead(const image_prep *prep, TrainDecode decode, int64 expected_rows)
{
	const JobRow *job = WorkerJob();
	MemoryContext old = MemoryContextSwitchTo(WorkerContext());
	DataSet *data = palloc0(sizeof(DataSet));
	ReadState state = { .data = data, .decode = decode };
	eddh_error err;

	data->prep = *prep;
	data->picture_bytes = (size_t) prep->size * prep->size * 3;
	data->limits = state.limits = ModelImageLimits();
	data->limits.stop = NULL;
	state.pictures = SpoolCreate();
	state.ends = SpoolCreate();
	state.rgb = palloc(data->picture_bytes);
	state.reader = (Reader){ .relation = job->images,
							 .image_column = job->image_column,
							 .extra_column = job->label_column,
							 .row = ReadPicture,
							 .arg = &state };
	if (job->label_column != NULL)
	{
		WorkerBegin();
		MemoryContextSwitchTo(WorkerContext());
		state.reader.extra_type = SubmitFindColumn(job->images, job->label_column).declared_type;
		data->dictionary = LabelDictionaryCreate();
		state.labels = LabelRowsCreate(data->dictionary, state.reader.extra_type);
		WorkerEnd();
	}
	WorkerPhase("read pictures", expected_rows);
	ReaderRun(&state.reader);
	MemoryContextSwitchTo(WorkerContext());
	if (state.labels != NULL)
		WORKER_CHECK(LabelRowsFinish(state.labels, &TrainBulk, &data->labels, &err), &err, NULL);
	data->pictures = SpoolMap(state.pictures);
	data->ends = SpoolMap(state.ends);
	pfree(state.rgb);
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
