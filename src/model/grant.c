/* grant.c: giving others the use of a model or backbone, and taking it back. */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "model/admin.h"
#include "model/catalog.h"
#include "model/model.h"

/* Locks the name, checks that the caller owns it; the object's id. */
static int64
OwnedObject(ModelTable table, const char *what, const char *name)
{
	Relation relation;
	Snapshot snapshot;
	HeapTuple tuple;
	int64 id;

	ModelLockName(table, name, ExclusiveLock);
	relation = ModelOpen(table, AccessShareLock);
	snapshot = ModelWriteSnapshot();
	tuple = ModelRowByName(relation, table, name, snapshot);
	ModelReleaseSnapshot(snapshot);
	if (!HeapTupleIsValid(tuple))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("%s \"%s\" does not exist", what, name),
						errhint("%s", ModelListUsable(table))));
	id = ModelTupleInt64(tuple, relation, 1);
	ModelCheckOwner(what, name,
					ModelTupleText(tuple, relation, table == MODEL_TABLE_MODEL ? MODEL_OWNER : BACKBONE_OWNER));
	table_close(relation, AccessShareLock);
	return id;
}

/* The grant's row, or NULL. */
static HeapTuple
FindGrant(Relation relation, int64 object, const char *role)
{
	Relation index;
	Snapshot snapshot = ModelWriteSnapshot();
	SysScanDesc scan = ModelBeginObjectScan(relation, MODEL_TABLE_GRANT, object, &index, snapshot);
	HeapTuple found = NULL;
	HeapTuple tuple;

	while (found == NULL && HeapTupleIsValid(tuple = systable_getnext_ordered(scan, ForwardScanDirection)))
		if (strcmp(ModelTupleText(tuple, relation, GRANT_ROLE), role) == 0)
			found = heap_copytuple(tuple);
	ModelEndObjectScan(scan, index);
	ModelReleaseSnapshot(snapshot);
	return found;
}

void
ModelGrant(bool is_backbone, const char *name, const char *role)
{
	ModelTable table = is_backbone ? MODEL_TABLE_BACKBONE : MODEL_TABLE_MODEL;
	Relation relation;
	int64 object;

	ModelPreventReadOnly(is_backbone ? "eddh_grant_backbone()" : "eddh_grant_model()");
	if (strcmp(role, "public") != 0)
		(void) get_role_oid(role, false);
	object = OwnedObject(table, is_backbone ? "backbone" : "model", name);
	relation = ModelOpen(MODEL_TABLE_GRANT, RowExclusiveLock);
	if (FindGrant(relation, object, role) == NULL)
	{
		Datum values[GRANT_COLUMNS] = { Int64GetDatum(object), CStringGetTextDatum(role) };
		bool nulls[GRANT_COLUMNS] = { false };

		CatalogTupleInsert(relation, heap_form_tuple(RelationGetDescr(relation), values, nulls));
	}
	table_close(relation, NoLock);
	CommandCounterIncrement();
}

void
ModelRevoke(bool is_backbone, const char *name, const char *role)
{
	ModelTable table = is_backbone ? MODEL_TABLE_BACKBONE : MODEL_TABLE_MODEL;
	Relation relation;
	HeapTuple tuple;
	int64 object;

	ModelPreventReadOnly(is_backbone ? "eddh_revoke_backbone()" : "eddh_revoke_model()");
	object = OwnedObject(table, is_backbone ? "backbone" : "model", name);
	relation = ModelOpen(MODEL_TABLE_GRANT, RowExclusiveLock);
	tuple = FindGrant(relation, object, role);
	if (HeapTupleIsValid(tuple))
		CatalogTupleDelete(relation, &tuple->t_self);
	table_close(relation, NoLock);
	CommandCounterIncrement();
}
