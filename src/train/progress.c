/* progress.c: a worker's progress, collected here and written to the job's row every few seconds. */
#include "postgres.h"

#include <math.h>

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "train/progress.h"
#include "train/worker.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define WRITE_MS 2000

static struct
{
	const char *phase;
	int64 done, total;
	bool has_epoch;
	int epoch;
	double loss;
	double quality; /* NaN: unknown */
	int64 skipped;
	char *skipped_example;
	TimestampTz eta; /* 0: unknown */
	int64 position;
	StringInfoData remarks;
	JobLogEntry *log;
	int n_log, cap_log;
	TimestampTz written;
	bool phase_changed;
} now_done = { .quality = NAN, .loss = NAN };

void
WorkerPhaseName(const char *phase)
{
	if (now_done.phase != NULL && strcmp(now_done.phase, phase) == 0)
		return;
	now_done.phase = MemoryContextStrdup(WorkerContext(), phase);
	now_done.phase_changed = true;
}

void
WorkerPhase(const char *phase, int64 total)
{
	WorkerPhaseName(phase);
	now_done.done = 0;
	now_done.total = total;
}

void
WorkerProgress(int64 done)
{
	now_done.done = done;
}

void
WorkerEta(double seconds)
{
	now_done.eta = !isfinite(seconds) ? 0 : GetCurrentTimestamp() + (int64) (seconds * USECS_PER_SEC);
}

void
WorkerEpoch(int epoch, double loss)
{
	now_done.has_epoch = true;
	now_done.epoch = epoch;
	now_done.loss = loss;
}

void
WorkerLog(const char *measure, int epoch, double value)
{
	JobLogEntry *entry;

	if (now_done.n_log == now_done.cap_log)
	{
		int cap = Max(64, now_done.cap_log * 2);

		now_done.log = now_done.log == NULL ? MemoryContextAlloc(WorkerContext(), cap * sizeof(JobLogEntry))
											: repalloc(now_done.log, cap * sizeof(JobLogEntry));
		now_done.cap_log = cap;
	}
	entry = &now_done.log[now_done.n_log++];
	entry->measure = MemoryContextStrdup(WorkerContext(), measure);
	entry->epoch = epoch;
	entry->value = value;
	entry->when = GetCurrentTimestamp();
}

void
WorkerQuality(double quality)
{
	now_done.quality = quality;
}

void
WorkerSkipped(const char *example)
{
	if (now_done.skipped++ == 0)
		now_done.skipped_example = MemoryContextStrdup(WorkerContext(), example);
}

char *
WorkerSkippedText(void)
{
	if (now_done.skipped == 0)
		return pstrdup("Every picture could be decoded.");
	return psprintf("Pictures that cannot be decoded: " INT64_FORMAT ", such as %s.", now_done.skipped,
					now_done.skipped_example);
}

void
WorkerRemark(const char *fmt, ...)
{
	MemoryContext context = MemoryContextSwitchTo(WorkerContext());
	int start;

	if (now_done.remarks.data == NULL)
		initStringInfo(&now_done.remarks);
	else
		appendStringInfoChar(&now_done.remarks, '\n');
	start = now_done.remarks.len;
	for (;;)
	{
		va_list args;
		int needed;

		va_start(args, fmt);
		needed = appendStringInfoVA(&now_done.remarks, fmt, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&now_done.remarks, needed);
	}
	/* To log is to look for interrupts, and this may be said in the midst of plain C. */
	HOLD_INTERRUPTS();
	ereport(LOG, (errmsg("eddh job " INT64_FORMAT ": %s", WorkerJob()->id, now_done.remarks.data + start)));
	RESUME_INTERRUPTS();
	MemoryContextSwitchTo(context);
}

void
WorkerPosition(int64 position)
{
	now_done.position = position;
}

bool
ProgressDue(TimestampTz now)
{
	return now_done.phase_changed || TimestampDifferenceExceeds(now_done.written, now, WRITE_MS);
}

void
ProgressFill(JobChange *change)
{
	JobSetText(change, JOB_PHASE, now_done.phase);
	if (now_done.phase != NULL)
		JobSet(change, JOB_DONE, Int64GetDatum(now_done.done));
	if (now_done.total > 0)
		JobSet(change, JOB_TOTAL, Int64GetDatum(now_done.total));
	else
		JobSetNull(change, JOB_TOTAL);
	if (now_done.has_epoch)
		JobSet(change, JOB_EPOCH, Int32GetDatum(now_done.epoch));
	if (!isnan(now_done.loss))
		JobSet(change, JOB_LOSS, Float8GetDatum(now_done.loss));
	if (!isnan(now_done.quality))
		JobSet(change, JOB_QUALITY, Float8GetDatum(now_done.quality));
	JobSet(change, JOB_SKIPPED, Int64GetDatum(now_done.skipped));
	JobSetText(change, JOB_SKIPPED_EXAMPLE, now_done.skipped_example);
	JobSetText(change, JOB_REMARKS, now_done.remarks.data);
	if (now_done.position > 0)
		JobSet(change, JOB_POSITION, Int64GetDatum(now_done.position));
	/* After an end the caller has already set it to NULL. */
	if (!change->set[JOB_ETA] && now_done.eta != 0)
		JobSet(change, JOB_ETA, TimestampTzGetDatum(now_done.eta));
}

void
ProgressFlushLog(int64 job)
{
	JobLogInsert(job, now_done.log, now_done.n_log);
}

void
ProgressWritten(void)
{
	now_done.n_log = 0;
	now_done.written = GetCurrentTimestamp();
	now_done.phase_changed = false;
}
