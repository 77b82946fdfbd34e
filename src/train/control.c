/* control.c: what a session does with jobs that exist: look, wait, cancel, resume, purge. */
#include "postgres.h"

#include <math.h>
#include <signal.h>

#include "access/xlog.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "train/checkpoint.h"
#include "train/job.h"
#include "train/submit.h"
#include "train/worker.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(eddh_job_state);
PG_FUNCTION_INFO_V1(eddh_wait);
PG_FUNCTION_INFO_V1(eddh_cancel);
PG_FUNCTION_INFO_V1(eddh_resume);
PG_FUNCTION_INFO_V1(eddh_purge_jobs);

static bool
IsOpen(const char *state)
{
	return strcmp(state, JOB_QUEUED) == 0 || strcmp(state, JOB_RUNNING) == 0;
}

/*
 * Whether a job that a moment ago was open has lost its worker. The order matters: its lock is free only after its last word is committed, so
 * the row is read after the lock was seen free, and once more in case somebody resumed it in between. *row is the latest.
 */
static bool
IsLost(int64 id, JobRow **row)
{
	for (int look = 0; look < 2; look++)
	{
		if (JobLockHeld(id))
			return false;
		*row = JobRead(id);
		if (*row == NULL || !IsOpen((*row)->state))
			return false;
	}
	return true;
}

Datum
eddh_job_state(PG_FUNCTION_ARGS)
{
	int64 id = PG_GETARG_INT64(0);
	text *stored = PG_GETARG_TEXT_PP(1);
	JobRow *row;

	/* A standby cannot know: the worker and its lock are on the primary. */
	if (!IsOpen(text_to_cstring(stored)) || RecoveryInProgress())
		PG_RETURN_TEXT_P(stored);
	row = JobRead(id);
	if (row == NULL || !has_privs_of_role(GetUserId(), row->owner))
		PG_RETURN_TEXT_P(stored);
	if (IsLost(id, &row))
		PG_RETURN_TEXT_P(cstring_to_text(JOB_FAILED));
	/* The view's snapshot may be older than the job's end. */
	if (row != NULL && !IsOpen(row->state))
		PG_RETURN_TEXT_P(cstring_to_text(row->state));
	PG_RETURN_TEXT_P(stored);
}

static void
RaiseFailure(const JobRow *row, bool lost)
{
	if (lost)
		ereport(ERROR,
				(errcode(ERRCODE_CRASH_SHUTDOWN),
				 errmsg("job " INT64_FORMAT " failed: the server was restarted or the worker was killed", row->id),
				 errhint("eddh_resume(" INT64_FORMAT ") starts it again.", row->id)));
	ereport(ERROR, (errcode(row->error_code != NULL && strlen(row->error_code) == 5
								? MAKE_SQLSTATE(row->error_code[0], row->error_code[1], row->error_code[2],
												row->error_code[3], row->error_code[4])
								: ERRCODE_INTERNAL_ERROR),
					errmsg_internal("%s", row->error != NULL ? row->error : "unknown error"),
					row->error_detail != NULL ? errdetail_internal("%s", row->error_detail) : 0,
					row->error_hint != NULL ? errhint("%s", row->error_hint) : 0,
					errcontext("eddh job " INT64_FORMAT, row->id)));
}

static int64
Milliseconds(const Interval *interval)
{
	double ms = interval->time / 1000.0 + 86400000.0 * (interval->day + 30.0 * interval->month);

	return ms <= 0 ? 0 : (int64) Min(ceil(ms), (double) PG_INT32_MAX);
}

Datum
eddh_wait(PG_FUNCTION_ARGS)
{
	int64 id, timeout;
	JobRow *row;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	id = PG_GETARG_INT64(0);
	timeout = PG_ARGISNULL(1) ? -1 : Milliseconds(PG_GETARG_INTERVAL_P(1));
	for (;;)
	{
		row = JobReadOwn(id);
		if (!IsOpen(row->state))
			break;
		if (row->uncommitted)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("cannot wait for job " INT64_FORMAT " in the transaction that started it", id),
					 errdetail("The job begins when this transaction commits."), errhint("Commit first, then wait.")));
		SubmitRequirePrimary("eddh_wait()");
		/* A timeout counts from each look, and there is more than one only if somebody resumes the job meanwhile. */
		if (!JobLockWait(id, timeout))
			PG_RETURN_TEXT_P(cstring_to_text(JobReadOwn(id)->state));
		if (IsLost(id, &row))
			RaiseFailure(row, true);
	}
	if (strcmp(row->state, JOB_FAILED) == 0)
		RaiseFailure(row, false);
	PG_RETURN_TEXT_P(cstring_to_text(row->state));
}

Datum
eddh_cancel(PG_FUNCTION_ARGS)
{
	int64 id = PG_GETARG_INT64(0);
	JobRow *row = JobReadOwn(id);

	SubmitRequirePrimary("eddh_cancel()");
	if (!IsOpen(row->state) || !JobLockHeld(id))
	{
		ereport(NOTICE, (errmsg("job " INT64_FORMAT " is not running", id)));
		PG_RETURN_BOOL(false);
	}
	/* The lock was held a moment ago, so the pid is the worker's, as nearly as pg_cancel_backend ever knows. */
	if (kill(row->pid, SIGINT) != 0)
	{
		ereport(WARNING, (errmsg("could not send a signal to the worker of job " INT64_FORMAT ": %m", id)));
		PG_RETURN_BOOL(false);
	}
	PG_RETURN_BOOL(true);
}

/* What the job reads may have been dropped or renamed since. A courtesy: the worker looks again. */
static void
CheckStillThere(const JobRow *row)
{
	const char *const columns[] = { row->image_column, row->label_column, row->code_column };

	if (get_rel_name(row->images) == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("the table of job " INT64_FORMAT " no longer exists", row->id),
						errhint("eddh_purge_jobs removes jobs that have ended.")));
	for (int i = 0; i < lengthof(columns); i++)
		if (columns[i] != NULL)
			(void) SubmitFindColumn(row->images, columns[i]);
}

Datum
eddh_resume(PG_FUNCTION_ARGS)
{
	int64 id = PG_GETARG_INT64(0);
	JobRow *row = JobReadOwn(id);
	JobChange change = { 0 };
	static const JobColumn cleared[] = { JOB_STARTED,    JOB_FINISHED,     JOB_PHASE,           JOB_DONE,   JOB_EPOCH,
										 JOB_LOSS,       JOB_QUALITY,      JOB_SKIPPED_EXAMPLE, JOB_ETA,    JOB_ERROR,
										 JOB_ERROR_CODE, JOB_ERROR_DETAIL, JOB_ERROR_HINT,      JOB_REMARKS };

	SubmitRequirePrimary("eddh_resume()");
	JobControlLock(id);
	row = JobReadOwn(id);
	if (strcmp(row->state, JOB_ENDED) == 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("job " INT64_FORMAT " is done", id)));
	if (IsOpen(row->state) && JobLockHeld(id))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE), errmsg("job " INT64_FORMAT " is still %s", id, row->state),
						errhint("eddh_cancel(" INT64_FORMAT ") stops it.", id)));
	CheckStillThere(row);
	for (int i = 0; i < lengthof(cleared); i++)
		JobSetNull(&change, cleared[i]);
	JobSet(&change, JOB_SKIPPED, Int64GetDatum(0));
	JobSetText(&change, JOB_STATE, JOB_QUEUED);
	JobSet(&change, JOB_PID, Int32GetDatum(WorkerLaunch(id, row->model)));
	if (strcmp(row->kind, JOB_KIND_ENCODE) != 0)
		JobLogDelete(id);
	if (!JobUpdate(id, &change))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("job " INT64_FORMAT " no longer exists", id)));
	PG_RETURN_INT64(id);
}

Datum
eddh_purge_jobs(PG_FUNCTION_ARGS)
{
	TimestampTz limit = DatumGetTimestampTz(
		DirectFunctionCall2(timestamptz_mi_interval, TimestampTzGetDatum(GetCurrentTimestamp()), PG_GETARG_DATUM(0)));
	int64 purged = 0;
	ListCell *cell;

	SubmitRequirePrimary("eddh_purge_jobs()");
	foreach (cell, JobReadAll())
	{
		int64 id = ((JobRow *) lfirst(cell))->id;
		JobRow *row = lfirst(cell);

		if (row->ended > limit || !has_privs_of_role(GetUserId(), row->owner))
			continue;
		JobControlLock(id);
		row = JobRead(id);
		if (row == NULL || row->ended > limit || (IsOpen(row->state) && JobLockHeld(id)))
			continue;
		JobLogDelete(id);
		CheckpointDelete(id);
		JobDelete(id);
		purged++;
	}
	PG_RETURN_INT64(purged);
}
