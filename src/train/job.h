/*
 * job.h: jobs as rows of eddh_catalog.job, and the lock that says that one is alive. Include after postgres.h.
 *
 * Rows are read and written by tuple, never by SQL: no privilege, search_path, row security or user code is involved, so that both a plain
 * role's session and the worker can do it. Reads see the latest committed state (and the own transaction's), whatever the isolation level.
 */
#ifndef EDDH_TRAIN_JOB_H
#define EDDH_TRAIN_JOB_H

#include "access/attnum.h"
#include "datatype/timestamp.h"
#include "utils/relcache.h"

/* Columns of eddh_catalog.job, in the order of sql/train.sql. */
typedef enum JobColumn
{
	JOB_ID = 1,
	JOB_KIND,
	JOB_MODEL,
	JOB_OWNER,
	JOB_IMAGES,
	JOB_IMAGE_COLUMN,
	JOB_LABEL_COLUMN,
	JOB_CODE_COLUMN,
	JOB_BITS,
	JOB_METHOD,
	JOB_BACKBONE,
	JOB_OPTIONS,
	JOB_SETTINGS,
	JOB_STATE,
	JOB_PID,
	JOB_SUBMITTED,
	JOB_STARTED,
	JOB_FINISHED,
	JOB_PHASE,
	JOB_DONE,
	JOB_TOTAL,
	JOB_EPOCH,
	JOB_LOSS,
	JOB_QUALITY,
	JOB_SKIPPED,
	JOB_SKIPPED_EXAMPLE,
	JOB_ETA,
	JOB_ERROR,
	JOB_ERROR_CODE,
	JOB_ERROR_DETAIL,
	JOB_ERROR_HINT,
	JOB_REMARKS,
	JOB_POSITION,
	JOB_COLUMNS = JOB_POSITION
} JobColumn;

#define JOB_QUEUED    "queued"
#define JOB_RUNNING   "running"
#define JOB_ENDED     "done"
#define JOB_FAILED    "failed"
#define JOB_CANCELLED "cancelled"

#define JOB_KIND_TRAIN   "train"
#define JOB_KIND_ENCODE  "encode"
#define JOB_KIND_COMPARE "compare"

/* A row as read. Texts are NULL where the column is. */
typedef struct JobRow
{
	int64 id;
	char *kind;
	char *model;
	Oid owner;
	Oid images;
	char *image_column;
	char *label_column;
	char *code_column;
	int bits;
	char *method;
	char *backbone;
	Datum options;  /* jsonb, never toasted */
	Datum settings; /* text[], never toasted */
	char *state;
	int pid;
	TimestampTz ended; /* finished, else started, else submitted */
	char *error;
	char *error_code;
	char *error_detail;
	char *error_hint;
	int64 total;      /* 0 where NULL; of a queued job: rows counted when it was submitted */
	int64 position;   /* 0 where NULL */
	bool uncommitted; /* written last by the current transaction */
} JobRow;

/* New values of some columns. Start with `JobChange change = {0}`. */
typedef struct JobChange
{
	bool set[JOB_COLUMNS + 1];
	bool null[JOB_COLUMNS + 1];
	Datum value[JOB_COLUMNS + 1];
} JobChange;

static inline void
JobSet(JobChange *change, JobColumn column, Datum value)
{
	change->set[column] = true;
	change->null[column] = false;
	change->value[column] = value;
}

static inline void
JobSetNull(JobChange *change, JobColumn column)
{
	change->set[column] = true;
	change->null[column] = true;
}

extern void JobSetText(JobChange *change, JobColumn column, const char *value); /* NULL sets NULL */

/* Next id. */
extern int64 JobNextId(void);

/* Columns that are not set become NULL. */
extern void JobInsert(const JobChange *row);

/* False if there is no such row (any more), or no catalog (DROP EXTENSION). Waits for whoever locks the table. */
extern bool JobUpdate(int64 id, const JobChange *change);
extern void JobDelete(int64 id);

/* In the current memory context; NULL if there is none. */
extern JobRow *JobRead(int64 id);

/* As JobRead; for a job that is unknown 42704, for one of a role whose privileges the caller has not 42501. */
extern JobRow *JobReadOwn(int64 id);

/* All jobs, in no order. */
extern List *JobReadAll(void);

typedef struct JobLogEntry
{
	const char *measure;
	int epoch;
	double value;
	TimestampTz when;
} JobLogEntry;

extern void JobLogInsert(int64 id, const JobLogEntry *entries, int n);
extern void JobLogDelete(int64 id);

/* Oid of eddh_catalog.job, InvalidOid if the extension is gone. */
extern Oid JobCatalog(void);

/* Locks what JobUpdate and JobLogInsert write, until the end of the transaction; false if somebody is in the way. */
extern bool JobLockCatalog(void);

/* ---- The lock of life (joblock.c) ---- */

/*
 * A worker holds its job's lock, for its session, from its first breath to its last; nobody else holds it longer than to look. So a job
 * that calls itself queued or running, and whose lock is free, has lost its worker, whatever killed it.
 *
 * The lock is of the advisory kind with a class that no SQL function can name. pg_advisory_unlock_all in user code that the worker runs would
 * release the session's, so while such code runs the transaction holds it, too, and afterwards the session takes it again (standard locks are no
 * way out: an abort releases those of the session too).
 */
extern bool JobLockForSession(int64 id);     /* false if another has it, or after `tries` */
extern void JobLockForTransaction(int64 id); /* by who has it for the session */
extern bool JobLockHeld(int64 id);           /* by a worker, now; needs a transaction */

/* Waits until no worker has it. False after timeout milliseconds (-1: no limit). Deadlocks and interrupts are noticed. */
extern bool JobLockWait(int64 id, int64 timeout);

/* One session at a time changes a job from outside (resume, purge): until the end of the transaction. */
extern void JobControlLock(int64 id);

/* Whether somebody holds or waits for a lock that a command takes who wants this database for himself (DROP DATABASE, ALTER DATABASE RENAME). */
extern bool JobDatabaseWanted(void);

#endif /* EDDH_TRAIN_JOB_H */
