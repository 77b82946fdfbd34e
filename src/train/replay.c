/* replay.c: recorded answers of a network, and checkpoints of it. Part 0 of a checkpoint is the state, part i the i-th record. */
#include "postgres.h"

#include "train/bulk.h"
#include "train/options.h"
#include "train/replay.h"
#include "train/worker.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define MOST_PIECES 5

/* Records that wait for the next checkpoint: more bytes than this, and it comes early. */
#define MOST_WAITING ((size_t) 64 << 20)

typedef struct Record
{
	int32 kind;
	int32 unused;
	uint64 len;
	void *answer;
	struct Record *next;
} Record;

#define RECORD_HEAD offsetof(Record, answer)

struct Replay
{
	uint64 fingerprint;
	int n_weights;
	CheckpointPiece weights[MOST_PIECES];
	int stored;    /* records in the table */
	int next;      /* to be asked for */
	Record *first; /* that wait */
	Record **last;
	size_t waiting; /* bytes */
	TimestampTz saved;
	bool anew; /* rows of another training have to go first */
};

Replay *
ReplayCreate(uint64 fingerprint, int n, const CheckpointPiece *weights)
{
	Replay *replay = MemoryContextAllocZero(WorkerContext(), sizeof(Replay));

	Assert(n < MOST_PIECES);
	replay->fingerprint = fingerprint;
	for (int i = 0; i < n; i++)
		if (weights[i].len > 0)
			replay->weights[replay->n_weights++] = weights[i];
	replay->last = &replay->first;
	return replay;
}

void
ReplayStart(Replay *replay)
{
	if (replay != NULL)
		replay->saved = GetCurrentTimestamp();
}

/* ---- Reading ---- */

typedef struct Work
{
	Replay *replay;
	ReplayState *state;
	Record *record;
	void *answer;
	bool found;
} Work;

static void
Load(void *arg)
{
	Work *work = arg;
	Replay *replay = work->replay;
	ReplayState state;
	CheckpointPiece pieces[MOST_PIECES + 1] = { { &state, sizeof(state) } };

	/* To memory of their own first: the weights of another training, or half of them, must not spoil ours. */
	for (int i = 0; i < replay->n_weights; i++)
		pieces[i + 1] = (CheckpointPiece){ MemoryContextAllocHuge(CurrentMemoryContext, replay->weights[i].len),
										   replay->weights[i].len };
	work->found =
		CheckpointRead(WorkerJob()->id, 0, replay->n_weights + 1, pieces) && state.fingerprint == replay->fingerprint;
	if (!work->found)
		return;
	*work->state = state;
	for (int i = 0; i < replay->n_weights; i++)
		memcpy(replay->weights[i].bytes, pieces[i + 1].bytes, pieces[i + 1].len);
}

bool
ReplayLoad(Replay *replay, ReplayState *state)
{
	Work work = { .replay = replay, .state = state };

	if (!WorkerTransaction(Load, &work))
		WorkerRaise(NULL, NULL);
	replay->anew = !work.found;
	replay->stored = work.found ? state->n_records : 0;
	return work.found;
}

static void
ReadRecord(void *arg)
{
	Work *work = arg;
	Record head;
	CheckpointPiece pieces[] = { { &head, RECORD_HEAD }, { work->answer, work->record->len } };

	work->found = CheckpointRead(WorkerJob()->id, work->replay->next + 1, 2, pieces) &&
				  head.kind == work->record->kind && head.len == work->record->len;
}

eddh_code
ReplayNext(Replay *replay, ReplayKind kind, void *answer, size_t len, bool *given, eddh_error *err)
{
	Record record = { .kind = kind, .len = len };
	Work work = { .replay = replay, .record = &record, .answer = answer };

	*given = replay != NULL && replay->next < replay->stored;
	if (!*given)
		return EDDH_OK;
	if (!WorkerTransaction(ReadRecord, &work))
		return eddh_fail(err, EDDH_STOPPED, "stopped");
	if (!work.found)
		return eddh_fail(err, EDDH_BAD_DATA, "record %d of the checkpoint is not what the method asks for",
						 replay->next + 1);
	replay->next++;
	return EDDH_OK;
}

/* ---- Writing ---- */

eddh_code
ReplayRecord(Replay *replay, ReplayKind kind, const void *answer, size_t len, eddh_error *err)
{
	Record *record;

	if (replay == NULL || TrainCheckpointInterval < 0)
		return EDDH_OK;
	record = MemoryContextAllocZero(WorkerContext(), sizeof(Record));
	record->kind = kind;
	record->len = len;
	record->answer = eddh_bulk_alloc(&TrainBulk, len, 1, 1);
	if (record->answer == NULL)
		return eddh_fail(err, EDDH_NO_MEMORY, "not enough memory for what the network has answered");
	memcpy(record->answer, answer, len);
	*replay->last = record;
	replay->last = &record->next;
	replay->waiting += len;
	return EDDH_OK;
}

static void
Save(void *arg)
{
	Work *work = arg;
	Replay *replay = work->replay;
	int64 job = WorkerJob()->id;
	int part = replay->stored;
	CheckpointPiece pieces[MOST_PIECES + 1] = { { work->state, sizeof(ReplayState) } };

	/* Who drops the extension has it locked: do not wait for him. */
	if (!CheckpointLock())
		return;
	if (replay->anew)
		CheckpointDelete(job);
	for (Record *record = replay->first; record != NULL; record = record->next)
	{
		CheckpointPiece of_record[] = { { record, RECORD_HEAD }, { record->answer, record->len } };

		CheckpointWrite(job, ++part, 2, of_record);
	}
	work->state->n_records = part;
	memcpy(pieces + 1, replay->weights, sizeof(CheckpointPiece) * replay->n_weights);
	CheckpointWrite(job, 0, replay->n_weights + 1, pieces);
	work->found = true;
}

eddh_code
ReplayTick(Replay *replay, const ReplayState *state, eddh_error *err)
{
	ReplayState now = *state;
	Work work = { .replay = replay, .state = &now };

	if (replay == NULL || TrainCheckpointInterval < 0 ||
		(replay->waiting < MOST_WAITING &&
		 !TimestampDifferenceExceeds(replay->saved, GetCurrentTimestamp(), TrainCheckpointInterval * 1000)))
		return EDDH_OK;
	now.fingerprint = replay->fingerprint;
	if (!WorkerTransaction(Save, &work))
		return eddh_fail(err, EDDH_STOPPED, "stopped");
	replay->saved = GetCurrentTimestamp();
	if (!work.found)
		return EDDH_OK;
	replay->anew = false;
	replay->stored = replay->next = now.n_records;
	while (replay->first != NULL)
	{
		Record *record = replay->first;

		replay->first = record->next;
		eddh_bulk_free(&TrainBulk, record->answer);
		pfree(record);
	}
	replay->last = &replay->first;
	replay->waiting = 0;
	return EDDH_OK;
}
