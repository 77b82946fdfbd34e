/* acl.c: who may use and who may change a model or backbone. Owners and grantees are stored as role names. */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "model/catalog.h"
#include "model/model.h"

bool
ModelHasRole(const char *role)
{
	Oid oid;

	if (role == NULL || strcmp(role, "public") == 0) /* PostgreSQL reserves the name */
		return true;
	oid = get_role_oid(role, true);
	return OidIsValid(oid) ? has_privs_of_role(GetUserId(), oid) : superuser();
}

char *
ModelCurrentRole(void)
{
	return GetUserNameFromId(GetUserId(), false);
}

bool
ModelIsGranted(int64 object, Snapshot snapshot)
{
	Relation relation = ModelOpen(MODEL_TABLE_GRANT, AccessShareLock);
	Relation index;
	SysScanDesc scan = ModelBeginObjectScan(relation, MODEL_TABLE_GRANT, object, &index, snapshot);
	HeapTuple tuple;
	bool granted = false;

	while (!granted && HeapTupleIsValid(tuple = systable_getnext_ordered(scan, ForwardScanDirection)))
	{
		char *role = ModelTupleText(tuple, relation, GRANT_ROLE);

		granted = ModelHasRole(role);
		pfree(role);
	}
	ModelEndObjectScan(scan, index);
	table_close(relation, AccessShareLock);
	return granted;
}

void
ModelDeleteGrants(int64 object)
{
	Relation relation = ModelOpen(MODEL_TABLE_GRANT, RowExclusiveLock);
	Relation index;
	Snapshot snapshot = ModelWriteSnapshot();
	SysScanDesc scan = ModelBeginObjectScan(relation, MODEL_TABLE_GRANT, object, &index, snapshot);
	HeapTuple tuple;

	while (HeapTupleIsValid(tuple = systable_getnext_ordered(scan, ForwardScanDirection)))
		CatalogTupleDelete(relation, &tuple->t_self);
	ModelEndObjectScan(scan, index);
	ModelReleaseSnapshot(snapshot);
	table_close(relation, NoLock);
}

bool
ModelMayUse(int64 object, const char *owner, Snapshot snapshot)
{
	return ModelHasRole(owner) || ModelIsGranted(object, snapshot);
}

void
ModelCheckOwner(const char *what, const char *name, const char *owner)
{
	if (owner == NULL ? superuser() : ModelHasRole(owner))
		return;
	ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("must be owner of %s \"%s\"", what, name)));
}

char *
ModelListUsable(ModelTable table)
{
	const int shown_max = 12;
	Relation relation = ModelOpen(table, AccessShareLock);
	Snapshot snapshot = ModelReadSnapshot();
	SysScanDesc scan = systable_beginscan(relation, InvalidOid, false, snapshot, 0, NULL);
	bool is_model = table == MODEL_TABLE_MODEL;
	StringInfoData list;
	HeapTuple tuple;
	int shown = 0;

	initStringInfo(&list);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		char *owner = ModelTupleText(tuple, relation, is_model ? MODEL_OWNER : BACKBONE_OWNER);

		if (!ModelMayUse(ModelTupleInt64(tuple, relation, 1), owner, snapshot))
			continue;
		if (shown == shown_max)
		{
			appendStringInfoString(&list, ", ...");
			break;
		}
		appendStringInfo(&list, "%s\"%s\"", shown++ > 0 ? ", " : "",
						 ModelTupleText(tuple, relation, is_model ? MODEL_NAME : BACKBONE_NAME));
	}
	systable_endscan(scan);
	ModelReleaseSnapshot(snapshot);
	table_close(relation, AccessShareLock);
	if (shown == 0)
		return pstrdup(is_model ? "There is no model yet that you may use: eddh_train makes one."
								: "There is no backbone that you may use.");
	return psprintf(is_model ? "The models you may use are: %s." : "The backbones you may use are: %s.", list.data);
}
