/* columns.c: a table's columns by name. */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "sqlapi/columns.h"

int
ColumnNumber(Relation relation, const char *name, const char *more)
{
	TupleDesc columns = RelationGetDescr(relation);
	StringInfoData list;

	for (int i = 0; i < columns->natts; i++)
		if (!TupleDescAttr(columns, i)->attisdropped && strcmp(NameStr(TupleDescAttr(columns, i)->attname), name) == 0)
			return i + 1;
	initStringInfo(&list);
	for (int i = 0; i < columns->natts; i++)
		if (!TupleDescAttr(columns, i)->attisdropped)
			appendStringInfo(&list, "%s\"%s\"", list.len > 0 ? ", " : "", NameStr(TupleDescAttr(columns, i)->attname));
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
					errmsg("column \"%s\" of table \"%s\" does not exist", name, RelationGetRelationName(relation)),
					errhint("Its columns are: %s.%s%s", list.data, more != NULL ? " " : "", more != NULL ? more : "")));
	return 0;
}
