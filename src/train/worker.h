/*
 * worker.h: the background worker of one job: its life, its progress, its transactions. Include after postgres.h.
 *
 * One worker process does one job, so its state is the process's. Between WorkerBegin and WorkerEnd it is in a transaction, as the job's owner;
 * outside it holds no lock but the job's own and no snapshot, and that is where it computes.
 */
#ifndef EDDH_TRAIN_WORKER_H
#define EDDH_TRAIN_WORKER_H

#include "common/result.h"
#include "compat.h"
#include "train/job.h"
#include "utils/timestamp.h"

/* ---- In the caller's session (launch.c) ---- */

/*
 * Registers a worker for the job and waits until it lives; returns its pid. The worker goes on only once the current transaction has committed
 * with the job's row queued under this pid. No worker slot: 53000 with a HINT. The row must not be locked by this session.
 */
extern int WorkerLaunch(int64 job, const char *label);

/* ---- In the worker ---- */

extern JobRow *WorkerJob(void);
extern MemoryContext WorkerContext(void); /* lives as long as the job */

/* A transaction as the job's owner, with SPI connected and a snapshot. WorkerEnd commits; after an error the worker ends the job. */
extern void WorkerBegin(void);
extern void WorkerEnd(void);

/* Commits the transaction that WorkerBegin opened together with the job's end: done. */
extern void WorkerEndDone(void);

static inline double
WorkerSecondsSince(TimestampTz begin)
{
	return (double) (GetCurrentTimestamp() - begin) / USECS_PER_SEC;
}

/* What the views show; written by WorkerTick. A phase's total may be 0: unknown. */
extern void WorkerPhase(const char *phase, int64 total);
extern void WorkerPhaseName(const char *phase); /* keeps done and total */
extern void WorkerProgress(int64 done);
extern void WorkerEta(double seconds); /* to the end of the job, from now; NaN: unknown */
extern void WorkerEpoch(int epoch, double loss);
extern void WorkerLog(const char *measure, int epoch, double value);
extern void WorkerQuality(double quality);
extern void WorkerSkipped(const char *example); /* one more picture that cannot be read; the first example is kept */
extern char *WorkerSkippedText(void);           /* how many those were, as a sentence */
extern void WorkerRemark(const char *fmt, ...) pg_attribute_printf(1, 2); /* also to the server's log */
extern void WorkerPosition(int64 position);

/*
 * Serves interrupts and notices that the database or the extension is to go away (then the process ends, silently); outside of a transaction also writes the
 * progress when it is time. Cheap when called often. Main thread only.
 */
extern void WorkerTick(void);

/*
 * The same for plain C: true = come back as soon as possible with EDDH_STOPPED, then call WorkerRaise, which does not return. Main thread or not.
 */
extern const eddh_stop WorkerStop;
extern void WorkerRaise(const eddh_error *err, const char *what) pg_attribute_noreturn();

/* WorkerRaise unless code is EDDH_OK: for plain C that may have stopped, or come for TrainBulk. */
#define WORKER_CHECK(call, err, what)   \
	do                                  \
	{                                   \
		if ((call) != EDDH_OK)          \
			WorkerRaise((err), (what)); \
	} while (0)

/*
 * From a callback of plain C, main thread only, outside of a transaction: runs work(arg) in one, as ourselves. False after an error: come back with
 * EDDH_STOPPED, then call WorkerRaise, which raises it.
 */
extern bool WorkerTransaction(void (*work)(void *arg), void *arg);

/* The same without a transaction, or in the one that is open, if work does nothing that an abort would have to undo. */
extern bool WorkerAttempt(void (*work)(void *arg), void *arg);

/* ---- What workers do, by kind ---- */

extern void TrainRun(void);  /* learn.c */
extern void EncodeRun(void); /* backfill.c */

#endif /* EDDH_TRAIN_WORKER_H */
