/* launch.c: from a session to a living worker. */
#include "postgres.h"

#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "train/launch.h"
#include "train/worker.h"
#include "utils/timestamp.h"

StaticAssertDecl(sizeof(WorkerStart) <= BGW_EXTRALEN, "a worker's start information must fit into bgw_extra");

int
WorkerLaunch(int64 job, const char *label)
{
	BackgroundWorker worker;
	BackgroundWorkerHandle *handle;
	WorkerStart start = { .job = job, .database = MyDatabaseId, .xid = GetTopTransactionId() };
	TimestampTz begin = GetCurrentTimestamp();
	pid_t pid;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "$libdir/eddh", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "TrainWorkerMain", sizeof(worker.bgw_function_name));
	snprintf(worker.bgw_name, sizeof(worker.bgw_name), "eddh job " INT64_FORMAT " (%.*s)", job,
			 pg_mbcliplen(label, strlen(label), 60), label);
	strlcpy(worker.bgw_type, "eddh job", sizeof(worker.bgw_type));
	worker.bgw_notify_pid = MyProcPid;
	memcpy(worker.bgw_extra, &start, sizeof(start));

	/* Here and not at commit: an error in a commit callback would bring the server down. */
	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
		ereport(
			ERROR,
			(errcode(ERRCODE_INSUFFICIENT_RESOURCES), errmsg("no background worker is free for the job"),
			 errdetail("All %d slots of \"max_worker_processes\" are taken.", max_worker_processes),
			 errhint(
				 "Wait for other jobs to end (view eddh_jobs), or raise \"max_worker_processes\" and restart the server.")));

	/* Until it holds the job's lock, or a job that is only starting would look like one whose worker was lost. */
	if (WaitForBackgroundWorkerStartup(handle, &pid) != BGWH_STARTED)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES), errmsg("the background worker for the job did not start"),
				 errhint("The server's log may say why.")));
	while (!JobLockHeld(job))
	{
		pid_t current;

		if (GetBackgroundWorkerPid(handle, &current) != BGWH_STARTED ||
			TimestampDifferenceExceeds(begin, GetCurrentTimestamp(), 30000))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_RESOURCES), errmsg("the background worker for the job ended early"),
					 errhint("The server's log may say why.")));
		CHECK_FOR_INTERRUPTS();
		pg_usleep(2000L);
	}
	pfree(handle);
	return (int) pid;
}
