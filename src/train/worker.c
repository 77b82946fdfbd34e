/* worker.c: the life of a job's background worker. */
#include "postgres.h"

#include <pthread.h>
#include <signal.h>

#include "access/xact.h"
#include "executor/spi.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "report.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "storage/pmsignal.h"
#include "storage/procsignal.h"
#include "tcop/tcopprot.h"
#include "train/checkpoint.h"
#include "train/identity.h"
#include "train/launch.h"
#include "train/progress.h"
#include "train/compare.h"
#include "train/worker.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define LOOK_MS 300 /* how often to look whether database and extension are still wanted here */

static JobRow *job;
static MemoryContext job_context;
static pthread_t main_thread;
static Identity identity;
static volatile sig_atomic_t cancelled;    /* somebody asked; tells a cancel from a 57014 of user code */
static TimestampTz looked, looked_outside; /* of transactions */
static bool leaving;                       /* the database or the extension goes away */
static ErrorData *stopped_error;           /* raised inside a stop callback, to be raised again by WorkerRaise */

JobRow *
WorkerJob(void)
{
	return job;
}

MemoryContext
WorkerContext(void)
{
	return job_context;
}

/* SIGINT, from eddh_cancel. */
static void
CancelHandler(SIGNAL_ARGS)
{
	cancelled = true;
	StatementCancelHandler(postgres_signal_arg);
}

/* ---- Transactions ---- */

static void
Start(void)
{
	SetCurrentStatementStartTimestamp(); /* now() of the transaction */
	StartTransactionCommand();
}

void
WorkerBegin(void)
{
	Start();
	JobLockForTransaction(job->id);
	IdentityBegin(&identity, job->owner);
	PushActiveSnapshot(GetTransactionSnapshot());
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

/* Back to ourselves; user code may have released our lock. */
static void
EndIdentity(void)
{
	SPI_finish();
	PopActiveSnapshot();
	IdentityEnd(&identity);
	if (!JobLockForSession(job->id))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("another worker has taken over the job"),
				 errdetail("A function called while reading the table has released all advisory locks.")));
}

static void
Commit(void)
{
	CommitTransactionCommand();
	MemoryContextSwitchTo(job_context);
	pgstat_report_stat(true);
}

void
WorkerEnd(void)
{
	EndIdentity();
	Commit();
}

static void
Leave(void)
{
	if (!PostmasterIsAlive())
		proc_exit(1);
	ereport(LOG, (errmsg("eddh job " INT64_FORMAT " ends: its database or its extension is being dropped or moved",
						 job->id)));
	proc_exit(0);
}

/* Sets state and progress; false if the row is gone. */
static bool
WriteState(const char *state, JobChange *change)
{
	JobSetText(change, JOB_STATE, state);
	if (strcmp(state, JOB_RUNNING) != 0)
	{
		JobSet(change, JOB_FINISHED, TimestampTzGetDatum(GetCurrentTimestamp()));
		JobSetNull(change, JOB_ETA);
	}
	ProgressFill(change);
	if (!JobUpdate(job->id, change))
		return false;
	ProgressFlushLog(job->id);
	return true;
}

void
WorkerEndDone(void)
{
	JobChange change = { 0 };

	EndIdentity();
	if (!WriteState(JOB_ENDED, &change))
		Leave();
	CheckpointDelete(job->id);
	Commit();
}

/* ---- Ticks ---- */

static void
WriteProgress(void)
{
	JobChange change = { 0 };

	/* Somebody who drops the extension holds it locked until he commits: do not wait for him, work on. */
	if (!JobLockCatalog())
		return;
	if (!WriteState(JOB_RUNNING, &change))
		leaving = true;
	ProgressWritten();
}

static void
Look(void)
{
	TimestampTz now = GetCurrentTimestamp();
	bool outside = !IsTransactionState();

	/* Looks inside of transactions must not use up the time of those outside, which alone can write progress: a reader's pauses are short. */
	if (!TimestampDifferenceExceeds(outside ? looked_outside : looked, now, LOOK_MS))
		return;
	looked = now;
	if (outside)
		looked_outside = now;
	/* Who computes for hours never waits on a latch, so nobody else tells; and the server could not start again while we live. */
	if (!PostmasterIsAlive() || JobDatabaseWanted())
		leaving = true;
	else if (outside)
	{
		MemoryContext context = CurrentMemoryContext;

		Start();
		if (!OidIsValid(JobCatalog()))
			leaving = true;
		else if (ProgressDue(now))
			WriteProgress();
		CommitTransactionCommand();
		MemoryContextSwitchTo(context);
	}
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

void
WorkerTick(void)
{
	CHECK_FOR_INTERRUPTS();
	Look();
	if (leaving)
		Leave();
}

/*
 * Called from the depths of plain C, maybe while other threads compute: an error must not jump from here. So it is caught, and raised again when the
 * plain C has returned. SIGTERM must not end the process from here either: exit handlers of libraries would free what the threads still use.
 */
static bool
StopPoll(void *arg)
{
	MemoryContext context = CurrentMemoryContext;

	if (leaving || stopped_error != NULL || ProcDiePending || QueryCancelPending)
		return true;
	if (!pthread_equal(pthread_self(), main_thread))
		return false;
	HOLD_INTERRUPTS();
	PG_TRY();
	{
		if (ProcSignalBarrierPending)
			ProcessProcSignalBarrier();
		Look();
		RESUME_INTERRUPTS(); /* an error does so too */
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(job_context);
		stopped_error = CopyErrorData();
		FlushErrorState();
		MemoryContextSwitchTo(context);
	}
	PG_END_TRY();
	return leaving || stopped_error != NULL;
}

const eddh_stop WorkerStop = { StopPoll, NULL };

bool
WorkerAttempt(void (*work)(void *arg), void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool done = false;

	HOLD_INTERRUPTS();
	PG_TRY();
	{
		work(arg);
		done = true;
		RESUME_INTERRUPTS(); /* an error does so too */
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(job_context);
		stopped_error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	return done;
}

typedef struct Work
{
	void (*work)(void *arg);
	void *arg;
} Work;

static void
RunTransaction(void *arg)
{
	const Work *work = arg;

	Start();
	work->work(work->arg);
	CommitTransactionCommand();
}

bool
WorkerTransaction(void (*work)(void *arg), void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	Work in_transaction = { work, arg };

	if (WorkerAttempt(RunTransaction, &in_transaction))
		return true;
	AbortCurrentTransaction();
	MemoryContextSwitchTo(context);
	return false;
}

void
WorkerRaise(const eddh_error *err, const char *what)
{
	if (leaving)
		Leave();
	if (stopped_error != NULL)
		ReThrowError(stopped_error);
	CHECK_FOR_INTERRUPTS();
	EddhReport(err, what);
}

/* ---- From birth to death ---- */

/* Until the submitting transaction has ended. A cancel that comes meanwhile is remembered: the row may yet appear. */
static void
WaitForSubmitter(TransactionId xid)
{
	volatile bool waiting = true;

	while (waiting)
	{
		PG_TRY();
		{
			Start();
			XactLockTableWait(xid, NULL, NULL, XLTW_None);
			CommitTransactionCommand();
			waiting = false;
		}
		PG_CATCH();
		{
			if (!cancelled)
				PG_RE_THROW();
			FlushErrorState();
			AbortCurrentTransaction();
		}
		PG_END_TRY();
	}
}

/* False if there is nothing to do: the submitting transaction was rolled back, or the extension has been dropped since. */
static bool
TakeJob(int64 id)
{
	bool mine;
	JobChange change = { 0 };

	Start();
	MemoryContextSwitchTo(job_context);
	job = JobRead(id);
	mine = job != NULL && strcmp(job->state, JOB_QUEUED) == 0 && job->pid == MyProcPid;
	if (mine)
	{
		JobSetText(&change, JOB_STATE, JOB_RUNNING);
		JobSet(&change, JOB_STARTED, TimestampTzGetDatum(GetCurrentTimestamp()));
		mine = JobUpdate(id, &change);
		IdentityApplySettings(job->settings, job->owner);
	}
	Commit();
	return mine;
}

/* The job's end, after an error. Nothing but SIGTERM may disturb it now. */
static void
WriteFailure(const ErrorData *edata)
{
	JobChange change = { 0 };
	bool was_cancelled = cancelled && edata->sqlerrcode == ERRCODE_QUERY_CANCELED;

	HOLD_CANCEL_INTERRUPTS();
	Start();
	MemoryContextSwitchTo(job_context);
	if (!was_cancelled)
	{
		JobSetText(&change, JOB_ERROR, edata->message);
		JobSetText(&change, JOB_ERROR_CODE, unpack_sql_state(edata->sqlerrcode));
		JobSetText(&change, JOB_ERROR_DETAIL, edata->detail);
		JobSetText(&change, JOB_ERROR_HINT, edata->hint);
	}
	(void) WriteState(was_cancelled ? JOB_CANCELLED : JOB_FAILED, &change);
	Commit();
}

void
TrainWorkerMain(Datum arg)
{
	WorkerStart start;

	memcpy(&start, MyBgworkerEntry->bgw_extra, sizeof(start));
	main_thread = pthread_self();
	pqsignal(SIGTERM, die);
	pqsignal(SIGINT, CancelHandler);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();

	/*
	 * As the bootstrap superuser: a role without LOGIN cannot connect, and a plain one could not write the catalog. Nothing of the user's is touched
	 * in this role (WorkerBegin).
	 */
	BackgroundWorkerInitializeConnectionByOid(start.database, InvalidOid, 0);
	IdentityPlainSettings();
	if (!JobLockForSession(start.job))
		ereport(FATAL, (errmsg("eddh job " INT64_FORMAT " has another worker", start.job)));
	job_context = AllocSetContextCreate(TopMemoryContext, "eddh job", ALLOCSET_DEFAULT_SIZES);
	WaitForSubmitter(start.xid);
	if (!TakeJob(start.job))
		proc_exit(0);
	pgstat_report_activity(STATE_RUNNING, MyBgworkerEntry->bgw_name);

	PG_TRY();
	{
		if (cancelled)
			ereport(ERROR, (errcode(ERRCODE_QUERY_CANCELED), errmsg("the job was cancelled before it began")));
		if (strcmp(job->kind, JOB_KIND_TRAIN) == 0)
			TrainRun();
		else if (strcmp(job->kind, JOB_KIND_COMPARE) == 0)
			CompareRun();
		else
			EncodeRun();
	}
	PG_CATCH();
	{
		ErrorData *edata;

		MemoryContextSwitchTo(job_context);
		edata = CopyErrorData();
		EmitErrorReport();
		FlushErrorState();
		AbortOutOfAnyTransaction();
		WriteFailure(edata);
	}
	PG_END_TRY();
	proc_exit(0);
}
