/*
 * job.c: rows of eddh_catalog.job and job_log, by tuple. Who writes keeps his lock on the table until the end of the transaction, or a rewrite of the
 * table could lose his rows.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "commands/sequence.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "storage/lmgr.h"
#include "train/job.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#define JOB_SCHEMA      "eddh_catalog"
#define JOB_LOG_COLUMNS 5

static Oid
CatalogRelation(const char *name)
{
	Oid schema = get_namespace_oid(JOB_SCHEMA, true);

	return OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
}

Oid
JobCatalog(void)
{
	return CatalogRelation("job");
}

bool
JobLockCatalog(void)
{
	Oid job = JobCatalog();
	Oid log = CatalogRelation("job_log");

	return OidIsValid(job) && ConditionalLockRelationOid(job, RowExclusiveLock) && OidIsValid(log) &&
		   ConditionalLockRelationOid(log, RowExclusiveLock);
}

/* NULL if it does not exist (any more): a worker outlives its extension by a moment. */
static Relation
OpenCatalog(const char *name, LOCKMODE mode, int columns)
{
	Oid oid = CatalogRelation(name);
	Relation rel = OidIsValid(oid) ? try_relation_open(oid, mode) : NULL;

	if (rel != NULL && RelationGetNumberOfAttributes(rel) != columns)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
						errmsg("table \"%s.%s\" is not as this version of the eddh library knows it", JOB_SCHEMA, name),
						errhint("Run ALTER EXTENSION eddh UPDATE, or install the library that fits.")));
	return rel;
}

static SysScanDesc
BeginScan(Relation rel, const char *index, int64 id, ScanKeyData *key, Snapshot snapshot)
{
	ScanKeyInit(key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));
	return systable_beginscan(rel, CatalogRelation(index), true, snapshot, 1, key);
}

void
JobSetText(JobChange *change, JobColumn column, const char *value)
{
	if (value == NULL)
		JobSetNull(change, column);
	else
		JobSet(change, column, CStringGetTextDatum(value));
}

int64
JobNextId(void)
{
	Oid sequence = CatalogRelation("job_id_seq");

	if (!OidIsValid(sequence))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("the catalog of extension eddh is missing")));
	return nextval_internal(sequence, false);
}

void
JobInsert(const JobChange *row)
{
	Relation rel = OpenCatalog("job", RowExclusiveLock, JOB_COLUMNS);
	Datum values[JOB_COLUMNS];
	bool nulls[JOB_COLUMNS];
	HeapTuple tuple;

	if (rel == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("the catalog of extension eddh is missing")));
	for (int i = 0; i < JOB_COLUMNS; i++)
	{
		nulls[i] = !row->set[i + 1] || row->null[i + 1];
		values[i] = nulls[i] ? (Datum) 0 : row->value[i + 1];
	}
	tuple = heap_form_tuple(RelationGetDescr(rel), values, nulls);
	CatalogTupleInsert(rel, tuple);
	heap_freetuple(tuple);
	table_close(rel, NoLock);
	CommandCounterIncrement();
}

bool
JobUpdate(int64 id, const JobChange *change)
{
	Relation rel = OpenCatalog("job", RowExclusiveLock, JOB_COLUMNS);
	Snapshot snapshot;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple old;
	bool found;

	if (rel == NULL)
		return false;
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan = BeginScan(rel, "job_pkey", id, &key, snapshot);
	old = systable_getnext(scan);
	found = HeapTupleIsValid(old);
	if (found)
	{
		HeapTuple tuple = heap_modify_tuple(old, RelationGetDescr(rel), (Datum *) change->value + 1,
											(bool *) change->null + 1, (bool *) change->set + 1);

		CatalogTupleUpdate(rel, &tuple->t_self, tuple);
		heap_freetuple(tuple);
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, NoLock);
	CommandCounterIncrement();
	return found;
}

static void
DeleteRows(const char *table, const char *index, int columns, int64 id)
{
	Relation rel = OpenCatalog(table, RowExclusiveLock, columns);
	Snapshot snapshot;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	if (rel == NULL)
		return;
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan = BeginScan(rel, index, id, &key, snapshot);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		CatalogTupleDelete(rel, &tuple->t_self);
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, NoLock);
	CommandCounterIncrement();
}

void
JobDelete(int64 id)
{
	DeleteRows("job", "job_pkey", JOB_COLUMNS, id);
}

void
JobLogDelete(int64 id)
{
	DeleteRows("job_log", "job_log_job", JOB_LOG_COLUMNS, id);
}

static char *
TextOf(const Datum *values, const bool *nulls, JobColumn column)
{
	return nulls[column - 1] ? NULL : TextDatumGetCString(values[column - 1]);
}

static JobRow *
FormRow(HeapTuple tuple, TupleDesc desc)
{
	Datum values[JOB_COLUMNS];
	bool nulls[JOB_COLUMNS];
	JobRow *row = palloc0(sizeof(JobRow));

	heap_deform_tuple(tuple, desc, values, nulls);
	row->id = DatumGetInt64(values[JOB_ID - 1]);
	row->kind = TextOf(values, nulls, JOB_KIND);
	row->model = TextOf(values, nulls, JOB_MODEL);
	row->owner = DatumGetObjectId(values[JOB_OWNER - 1]);
	row->images = DatumGetObjectId(values[JOB_IMAGES - 1]);
	row->image_column = TextOf(values, nulls, JOB_IMAGE_COLUMN);
	row->label_column = TextOf(values, nulls, JOB_LABEL_COLUMN);
	row->code_column = TextOf(values, nulls, JOB_CODE_COLUMN);
	row->bits = nulls[JOB_BITS - 1] ? 0 : DatumGetInt32(values[JOB_BITS - 1]);
	row->method = TextOf(values, nulls, JOB_METHOD);
	row->backbone = TextOf(values, nulls, JOB_BACKBONE);
	row->options = PointerGetDatum(PG_DETOAST_DATUM_COPY(values[JOB_OPTIONS - 1]));
	row->settings = PointerGetDatum(PG_DETOAST_DATUM_COPY(values[JOB_SETTINGS - 1]));
	row->state = TextOf(values, nulls, JOB_STATE);
	row->pid = DatumGetInt32(values[JOB_PID - 1]);
	for (JobColumn column = JOB_SUBMITTED; column <= JOB_FINISHED; column++)
		if (!nulls[column - 1])
			row->ended = DatumGetTimestampTz(values[column - 1]);
	row->error = TextOf(values, nulls, JOB_ERROR);
	row->error_code = TextOf(values, nulls, JOB_ERROR_CODE);
	row->error_detail = TextOf(values, nulls, JOB_ERROR_DETAIL);
	row->error_hint = TextOf(values, nulls, JOB_ERROR_HINT);
	row->total = nulls[JOB_TOTAL - 1] ? 0 : DatumGetInt64(values[JOB_TOTAL - 1]);
	row->position = nulls[JOB_POSITION - 1] ? 0 : DatumGetInt64(values[JOB_POSITION - 1]);
	row->uncommitted = TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data));
	return row;
}

JobRow *
JobRead(int64 id)
{
	Relation rel = OpenCatalog("job", AccessShareLock, JOB_COLUMNS);
	Snapshot snapshot;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	JobRow *row = NULL;

	if (rel == NULL)
		return NULL;
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan = BeginScan(rel, "job_pkey", id, &key, snapshot);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		row = FormRow(tuple, RelationGetDescr(rel));
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
	return row;
}

JobRow *
JobReadOwn(int64 id)
{
	JobRow *row = JobRead(id);

	if (row == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("job " INT64_FORMAT " does not exist", id),
						errhint("The view eddh_jobs lists your jobs.")));
	if (!has_privs_of_role(GetUserId(), row->owner))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("permission denied for job " INT64_FORMAT, id),
						errdetail("It belongs to another role."), errhint("The view eddh_jobs lists your jobs.")));
	return row;
}

List *
JobReadAll(void)
{
	Relation rel = OpenCatalog("job", AccessShareLock, JOB_COLUMNS);
	Snapshot snapshot;
	SysScanDesc scan;
	HeapTuple tuple;
	List *rows = NIL;

	if (rel == NULL)
		return NIL;
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan = systable_beginscan(rel, InvalidOid, false, snapshot, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		rows = lappend(rows, FormRow(tuple, RelationGetDescr(rel)));
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
	return rows;
}

void
JobLogInsert(int64 id, const JobLogEntry *entries, int n)
{
	Relation rel = n > 0 ? OpenCatalog("job_log", RowExclusiveLock, JOB_LOG_COLUMNS) : NULL;

	if (rel == NULL)
		return;
	PushActiveSnapshot(GetLatestSnapshot()); /* a text could go to TOAST */
	for (int i = 0; i < n; i++)
	{
		Datum values[JOB_LOG_COLUMNS] = { Int64GetDatum(id), Int32GetDatum(entries[i].epoch),
										  CStringGetTextDatum(entries[i].measure), Float8GetDatum(entries[i].value),
										  TimestampTzGetDatum(entries[i].when) };
		bool nulls[JOB_LOG_COLUMNS] = { false };
		HeapTuple tuple = heap_form_tuple(RelationGetDescr(rel), values, nulls);

		CatalogTupleInsert(rel, tuple);
		heap_freetuple(tuple);
	}
	PopActiveSnapshot();
	table_close(rel, NoLock);
	CommandCounterIncrement();
}
