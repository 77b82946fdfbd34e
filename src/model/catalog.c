/* catalog.c: opening, scanning and locking the tables of eddh_catalog, and reading their columns. */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/sequence.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "model/catalog.h"
#include "model/model.h"

/* Names in sql/model.sql. The columns compared here are COLLATE "C": ScanKeyInit compares by that, and an index must be ordered as it is searched. */
static const struct
{
	const char *name;
	const char *id_index;
	const char *name_index;
	int name_column;
} tables[] = {
	[MODEL_TABLE_BACKBONE] = { "backbone", "backbone_pkey", "backbone_name_key", BACKBONE_NAME },
	[MODEL_TABLE_MODEL] = { "model", "model_pkey", "model_name_key", MODEL_NAME },
	[MODEL_TABLE_CHUNK] = { "chunk", "chunk_pkey", NULL, 0 },
	[MODEL_TABLE_GRANT] = { "object_grant", "object_grant_pkey", NULL, 0 },
};

static Oid
CatalogOid(const char *name)
{
	Oid schema = get_namespace_oid(MODEL_CATALOG_SCHEMA, true);
	Oid relation = OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;

	if (!OidIsValid(relation))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("eddh's catalog table \"%s.%s\" does not exist", MODEL_CATALOG_SCHEMA, name),
						errhint("Run CREATE EXTENSION eddh in this database.")));
	return relation;
}

Relation
ModelOpen(ModelTable table, LOCKMODE lockmode)
{
	return table_open(CatalogOid(tables[table].name), lockmode);
}

static HeapTuple
OneRow(Relation relation, const char *index, ScanKey key, Snapshot snapshot)
{
	SysScanDesc scan = systable_beginscan(relation, CatalogOid(index), true, snapshot, 1, key);
	HeapTuple tuple = systable_getnext(scan);

	if (HeapTupleIsValid(tuple))
		tuple = heap_copytuple(tuple);
	systable_endscan(scan);
	return tuple;
}

HeapTuple
ModelRowByName(Relation relation, ModelTable table, const char *name, Snapshot snapshot)
{
	ScanKeyData key;

	ScanKeyInit(&key, tables[table].name_column, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(name));
	return OneRow(relation, tables[table].name_index, &key, snapshot);
}

HeapTuple
ModelRowById(Relation relation, ModelTable table, int64 id, Snapshot snapshot)
{
	ScanKeyData key;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));
	return OneRow(relation, tables[table].id_index, &key, snapshot);
}

SysScanDesc
ModelBeginObjectScan(Relation relation, ModelTable table, int64 object, Relation *index, Snapshot snapshot)
{
	ScanKeyData key;

	*index = index_open(CatalogOid(tables[table].id_index), AccessShareLock);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(object));
	return systable_beginscan_ordered(relation, *index, snapshot, 1, &key);
}

void
ModelEndObjectScan(SysScanDesc scan, Relation index)
{
	systable_endscan_ordered(scan);
	index_close(index, AccessShareLock);
}

Snapshot
ModelReadSnapshot(void)
{
	return RegisterSnapshot(ActiveSnapshotSet() ? GetActiveSnapshot() : GetTransactionSnapshot());
}

Snapshot
ModelWriteSnapshot(void)
{
	return RegisterSnapshot(GetLatestSnapshot());
}

void
ModelReleaseSnapshot(Snapshot snapshot)
{
	UnregisterSnapshot(snapshot);
}

void
ModelLockName(ModelTable table, const char *name, LOCKMODE lockmode)
{
	/* Two names with one hash only wait for each other. */
	uint32 hash = hash_bytes((const unsigned char *) name, strlen(name));

	LockDatabaseObject(CatalogOid(tables[table].name), hash, 0, lockmode);
}

int64
ModelNextId(void)
{
	return nextval_internal(CatalogOid("object_id"), false);
}

void
ModelPreventReadOnly(const char *what)
{
	PreventCommandIfReadOnly(what);
	PreventCommandIfParallelMode(what);
}

static Datum
TupleDatum(HeapTuple tuple, Relation relation, int column, bool *isnull)
{
	return heap_getattr(tuple, column, RelationGetDescr(relation), isnull);
}

char *
ModelTupleText(HeapTuple tuple, Relation relation, int column)
{
	bool isnull;
	Datum datum = TupleDatum(tuple, relation, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(datum);
}

int64
ModelTupleInt64(HeapTuple tuple, Relation relation, int column)
{
	bool isnull;
	Datum datum = TupleDatum(tuple, relation, column, &isnull);

	return isnull ? 0 : DatumGetInt64(datum);
}

int32
ModelTupleInt32(HeapTuple tuple, Relation relation, int column)
{
	bool isnull;
	Datum datum = TupleDatum(tuple, relation, column, &isnull);

	return isnull ? 0 : DatumGetInt32(datum);
}

bool
ModelTupleBool(HeapTuple tuple, Relation relation, int column)
{
	bool isnull;
	Datum datum = TupleDatum(tuple, relation, column, &isnull);

	return !isnull && DatumGetBool(datum);
}

bool
ModelTupleSha(HeapTuple tuple, Relation relation, int column, uint8 *sha)
{
	bool isnull;
	Datum datum = TupleDatum(tuple, relation, column, &isnull);
	bytea *bytes;

	memset(sha, 0, MODEL_SHA_BYTES);
	if (isnull)
		return false;
	bytes = DatumGetByteaPP(datum);
	if (VARSIZE_ANY_EXHDR(bytes) != MODEL_SHA_BYTES)
		return false;
	memcpy(sha, VARDATA_ANY(bytes), MODEL_SHA_BYTES);
	return true;
}

static void
FreeHeldGraph(void *arg)
{
	nn_graph_free(((ModelGraphHolder *) arg)->graph);
}

ModelGraphHolder *
ModelHoldGraph(void)
{
	ModelGraphHolder *holder = palloc0(sizeof(ModelGraphHolder));
	MemoryContextCallback *callback = palloc0(sizeof(MemoryContextCallback));

	callback->func = FreeHeldGraph;
	callback->arg = holder;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	return holder;
}
