/* checkpoint.c: rows of eddh_catalog.checkpoint, by tuple, for the reasons that job.h gives. */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "storage/lmgr.h"
#include "train/checkpoint.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* Columns, as in sql/train.sql. */
enum
{
	CHECKPOINT_JOB,
	CHECKPOINT_PART,
	CHECKPOINT_SEQ,
	CHECKPOINT_DATA,
	CHECKPOINT_COLUMNS
};

#define ROW_BYTES ((size_t) 1000 * 1000)

static Oid
CatalogRelation(const char *name)
{
	Oid schema = get_namespace_oid("eddh_catalog", true);

	return OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
}

bool
CheckpointLock(void)
{
	Oid oid = CatalogRelation("checkpoint");

	return OidIsValid(oid) && ConditionalLockRelationOid(oid, RowExclusiveLock);
}

/* NULL if it is gone: a worker outlives its extension by a moment. */
static Relation
Open(LOCKMODE mode)
{
	Oid oid = CatalogRelation("checkpoint");

	return OidIsValid(oid) ? try_relation_open(oid, mode) : NULL;
}

typedef struct PartScan
{
	Relation index;
	SysScanDesc rows;
} PartScan;

/* Rows of a part, or with part < 0 of a job, in order. Needs an active snapshot: the data are in a TOAST table. */
static PartScan
BeginScan(Relation rel, int64 job, int part)
{
	ScanKeyData keys[2];
	PartScan scan;

	ScanKeyInit(&keys[0], CHECKPOINT_JOB + 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(job));
	ScanKeyInit(&keys[1], CHECKPOINT_PART + 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(part));
	scan.index = index_open(CatalogRelation("checkpoint_pkey"), AccessShareLock);
	scan.rows = systable_beginscan_ordered(rel, scan.index, GetActiveSnapshot(), part < 0 ? 1 : 2, keys);
	return scan;
}

static void
EndScan(PartScan scan)
{
	systable_endscan_ordered(scan.rows);
	index_close(scan.index, AccessShareLock);
}

static void
Delete(Relation rel, int64 job, int part)
{
	PartScan scan = BeginScan(rel, job, part);
	HeapTuple tuple;

	while (HeapTupleIsValid(tuple = systable_getnext_ordered(scan.rows, ForwardScanDirection)))
		CatalogTupleDelete(rel, &tuple->t_self);
	EndScan(scan);
}

/* Copies between pieces and a row's bytes; *piece and *done say how far the pieces have come. */
static size_t
CopyPieces(int n, const CheckpointPiece *pieces, int *piece, size_t *done, char *row, size_t len, bool fill)
{
	size_t at = 0;

	while (at < len && *piece < n)
	{
		size_t now = Min(len - at, pieces[*piece].len - *done);
		char *memory = (char *) pieces[*piece].bytes + *done;

		memcpy(fill ? memory : row + at, fill ? row + at : memory, now);
		at += now;
		*done += now;
		if (*done == pieces[*piece].len)
		{
			(*piece)++;
			*done = 0;
		}
	}
	return at;
}

void
CheckpointWrite(int64 job, int part, int n, const CheckpointPiece *pieces)
{
	Relation rel = Open(RowExclusiveLock);
	CatalogIndexState indexes;
	bytea *data;
	int piece = 0;
	size_t done = 0;

	if (rel == NULL)
		return;
	PushActiveSnapshot(GetLatestSnapshot());
	Delete(rel, job, part);
	indexes = CatalogOpenIndexes(rel);
	data = palloc(VARHDRSZ + ROW_BYTES);
	for (int seq = 0; piece < n; seq++)
	{
		size_t len = CopyPieces(n, pieces, &piece, &done, VARDATA(data), ROW_BYTES, false);
		Datum values[CHECKPOINT_COLUMNS];
		bool nulls[CHECKPOINT_COLUMNS] = { false };
		HeapTuple tuple;

		SET_VARSIZE(data, VARHDRSZ + len);
		values[CHECKPOINT_JOB] = Int64GetDatum(job);
		values[CHECKPOINT_PART] = Int32GetDatum(part);
		values[CHECKPOINT_SEQ] = Int32GetDatum(seq);
		values[CHECKPOINT_DATA] = PointerGetDatum(data);
		tuple = heap_form_tuple(RelationGetDescr(rel), values, nulls);
		CatalogTupleInsertWithInfo(rel, tuple, indexes);
		heap_freetuple(tuple);
	}
	pfree(data);
	CatalogCloseIndexes(indexes);
	PopActiveSnapshot();
	table_close(rel, NoLock);
	CommandCounterIncrement();
}

bool
CheckpointRead(int64 job, int part, int n, const CheckpointPiece *pieces)
{
	Relation rel = Open(AccessShareLock);
	HeapTuple tuple;
	PartScan scan;
	int piece = 0;
	size_t done = 0;
	bool fits = true;

	if (rel == NULL)
		return false;
	PushActiveSnapshot(GetLatestSnapshot());
	scan = BeginScan(rel, job, part);
	while (fits && HeapTupleIsValid(tuple = systable_getnext_ordered(scan.rows, ForwardScanDirection)))
	{
		bool isnull;
		bytea *data = DatumGetByteaPCopy(heap_getattr(tuple, CHECKPOINT_DATA + 1, RelationGetDescr(rel), &isnull));
		size_t len = VARSIZE(data) - VARHDRSZ;

		fits = CopyPieces(n, pieces, &piece, &done, VARDATA(data), len, true) == len;
		pfree(data);
	}
	EndScan(scan);
	PopActiveSnapshot();
	table_close(rel, AccessShareLock);
	return fits && piece == n;
}

void
CheckpointDelete(int64 job)
{
	Relation rel = Open(RowExclusiveLock);

	if (rel == NULL)
		return;
	PushActiveSnapshot(GetLatestSnapshot());
	Delete(rel, job, -1);
	PopActiveSnapshot();
	table_close(rel, NoLock);
	CommandCounterIncrement();
}
