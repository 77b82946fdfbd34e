/* launch.h: what a session hands to the worker that it registers. Include after postgres.h. */
#ifndef EDDH_TRAIN_LAUNCH_H
#define EDDH_TRAIN_LAUNCH_H

typedef struct WorkerStart
{
	int64 job;
	Oid database;
	TransactionId xid; /* top transaction of the session */
} WorkerStart;

extern PGDLLEXPORT void TrainWorkerMain(Datum arg);

#endif /* EDDH_TRAIN_LAUNCH_H */
