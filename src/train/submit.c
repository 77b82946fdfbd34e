/* submit.c: checks and steps that every new job begins with. */
#include "postgres.h"

#include "access/relation.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "train/identity.h"
#include "train/submit.h"
#include "train/worker.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

void
SubmitRequirePrimary(const char *function)
{
	if (RecoveryInProgress())
		ereport(
			ERROR,
			(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION), errmsg("cannot execute %s during recovery", function),
			 errhint("This server is a standby: run it on the primary. Models and codes arrive here by replication.")));
	PreventCommandIfReadOnly(function);
}

void
SubmitCheckReadable(Oid relation, const SubmitColumn *a, const SubmitColumn *b)
{
	Oid role = GetUserId();

	if (pg_class_aclcheck(relation, role, ACL_SELECT) == ACLCHECK_OK ||
		(pg_attribute_aclcheck(relation, a->number, role, ACL_SELECT) == ACLCHECK_OK &&
		 (b == NULL || pg_attribute_aclcheck(relation, b->number, role, ACL_SELECT) == ACLCHECK_OK)))
		return;
	ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					errmsg("permission denied to read %s", SubmitRelationName(relation)),
					b == NULL ? errhint("The column \"%s\" needs the privilege SELECT.", a->name)
							  : errhint("The columns \"%s\" and \"%s\" need the privilege SELECT.", a->name, b->name)));
}

char *
SubmitRelationName(Oid relation)
{
	char *name = get_rel_name(relation);

	if (name == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("relation with OID %u does not exist", relation)));
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)), name);
}

void
SubmitCheckRelation(Oid relation)
{
	(void) SubmitRelationName(relation); /* it exists */
	if (get_rel_persistence(relation) == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("relation \"%s\" is temporary", get_rel_name(relation)),
				 errhint("A background worker is another session and cannot read it: use an ordinary table.")));
}

static char *
ColumnList(Oid relation)
{
	Relation rel = relation_open(relation, AccessShareLock);
	TupleDesc desc = RelationGetDescr(rel);
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (!attribute->attisdropped)
			appendStringInfo(&list, "%s%s", list.len > 0 ? ", " : "", NameStr(attribute->attname));
	}
	relation_close(rel, AccessShareLock);
	return list.data;
}

SubmitColumn
SubmitFindColumn(Oid relation, const char *name)
{
	SubmitColumn column = { .name = name, .number = get_attnum(relation, name) };
	Oid collation;

	if (column.number <= 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("column \"%s\" of %s does not exist", name, SubmitRelationName(relation)),
						errhint("Its columns are: %s.", ColumnList(relation))));
	get_atttypetypmodcoll(relation, column.number, &column.declared_type, &column.typmod, &collation);
	column.type = getBaseTypeAndTypmod(column.declared_type, &column.typmod);
	return column;
}

void
SubmitCheckImageColumn(Oid relation, const SubmitColumn *column)
{
	if (column->type != BYTEAOID)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("image column \"%s\" of %s is of type %s", column->name, SubmitRelationName(relation),
							   format_type_be(column->type)),
						errhint("Pictures are JPEG, PNG or WebP files in a column of type bytea.")));
}

int64
SubmitJob(JobChange *row, const char *label)
{
	int64 id = JobNextId();

	JobSet(row, JOB_ID, Int64GetDatum(id));
	JobSet(row, JOB_OWNER, ObjectIdGetDatum(GetUserId()));
	JobSet(row, JOB_SETTINGS, IdentityCaptureSettings());
	JobSetText(row, JOB_STATE, JOB_QUEUED);
	JobSet(row, JOB_SUBMITTED, TimestampTzGetDatum(GetCurrentTimestamp()));
	JobSet(row, JOB_SKIPPED, Int64GetDatum(0));
	JobSet(row, JOB_PID, Int32GetDatum(WorkerLaunch(id, label)));
	JobInsert(row);
	return id;
}
