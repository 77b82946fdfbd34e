/* submit.h: what eddh_train and eddh_encode_table share in the caller's session. Include after postgres.h. */
#ifndef EDDH_TRAIN_SUBMIT_H
#define EDDH_TRAIN_SUBMIT_H

#include "access/attnum.h"
#include "train/job.h"

/* 25006 on a standby (HINT) or in a read-only transaction. */
extern void SubmitRequirePrimary(const char *function);

/* 42809 for a temporary table or view: another session cannot read it. */
extern void SubmitCheckRelation(Oid relation);

typedef struct SubmitColumn
{
	const char *name;
	AttrNumber number;
	Oid declared_type;
	Oid type; /* of a domain: its base type */
	int32 typmod;
} SubmitColumn;

/* 42703 with a HINT that lists the relation's columns. */
extern SubmitColumn SubmitFindColumn(Oid relation, const char *name);

/* 42804 unless the column is bytea. */
extern void SubmitCheckImageColumn(Oid relation, const SubmitColumn *column);

/* 42501 unless the caller may read both columns (one may be NULL) of the relation itself, as the worker's statements will. */
extern void SubmitCheckReadable(Oid relation, const SubmitColumn *a, const SubmitColumn *b);

/* "schema.table", quoted; 42P01 if the relation is gone. */
extern char *SubmitRelationName(Oid relation);

/* Adds owner, settings, state and worker to *row, starts the worker, and writes the row. Returns the job. */
extern int64 SubmitJob(JobChange *row, const char *label);

#endif /* EDDH_TRAIN_SUBMIT_H */
