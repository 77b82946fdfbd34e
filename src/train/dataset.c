/* dataset.c: a table of pictures, read once in short transactions, unpacked to a spool. */
#include "postgres.h"

#include "miscadmin.h"
#include "model/model.h"
#include "report.h"
#include "train/dataset.h"
#include "train/reader.h"
#include "train/submit.h"
#include "train/worker.h"
#include "utils/memutils.h"

typedef struct ReadState
{
	DataSet *data;
	Reader reader;
	LabelRows *labels;
	image_limits limits;
	uint8 *rgb;
	size_t rgb_bytes;
	int64 seen;
} ReadState;

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
	SpoolWrite(data->spool, state->rgb, state->rgb_bytes);
	if (++data->rows > UINT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("too many pictures: more than %u", UINT32_MAX)));
}

DataSet *
DataSetRead(const image_prep *prep, int64 expected_rows)
{
	const JobRow *job = WorkerJob();
	MemoryContext old = MemoryContextSwitchTo(WorkerContext());
	DataSet *data = palloc0(sizeof(DataSet));
	ReadState state = { .data = data };

	data->prep = *prep;
	data->spool = SpoolCreate();
	state.rgb_bytes = (size_t) prep->size * prep->size * 3;
	state.rgb = palloc(state.rgb_bytes);
	state.limits = ModelImageLimits();
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
		data->labels = LabelRowsFinish(state.labels);
	data->pixels = SpoolMap(data->spool);
	MemoryContextSwitchTo(old);
	return data;
}

hash_labels *
DataSetLabels(const DataSet *data, size_t n, const uint32 *rows)
{
	hash_labels *labels;
	eddh_error err;

	EDDH_CHECK(hash_labels_create(n, data->labels->classes, &labels, &err), &err, NULL);
	for (size_t i = 0; i < n; i++)
		memcpy(labels->bitmap + i * labels->words, data->labels->bitmap + (size_t) rows[i] * labels->words,
			   sizeof(uint64_t) * labels->words);
	EDDH_CHECK(hash_labels_finish(labels, &err), &err, NULL);
	return labels;
}
