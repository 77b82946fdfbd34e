/* validate.c: is an operator class one that this access method can serve? */
#include "postgres.h"

#include "access/amvalidate.h"
#include "access/htup_details.h"
#include "catalog/pg_amop.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_type.h"
#include "index/ham.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

/* All that can be wrong with one operator of the family; reports it at INFO, as core's validators do. */
static bool
OperatorIsValid(Form_pg_amop member, const char *family)
{
	const char *operator= format_operator(member->amopopr);

	switch (member->amopstrategy)
	{
		case HAM_STRATEGY_DISTANCE:
			if (member->amoppurpose != AMOP_ORDER || !opfamily_can_sort_type(member->amopsortfamily, INT4OID) ||
				!check_amop_signature(member->amopopr, INT4OID, BITOID, BITOID))
			{
				ereport(
					INFO,
					(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					 errmsg("operator family \"%s\" of access method %s contains ORDER BY operator %s, which is not "
							"a distance of type integer between values of type bit",
							family, "hamming", operator)));
				return false;
			}
			return true;
		case HAM_STRATEGY_BALL:
			if (member->amoppurpose != AMOP_SEARCH ||
				!check_amop_signature(member->amopopr, BOOLOID, BITOID, member->amoprighttype) ||
				get_typlen(member->amoprighttype) != -1)
			{
				ereport(INFO, (errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
							   errmsg("operator family \"%s\" of access method %s contains operator %s, which does not "
									  "compare a value of type bit with a ball",
									  family, "hamming", operator)));
				return false;
			}
			return true;
		default:
			ereport(INFO,
					(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					 errmsg("operator family \"%s\" of access method %s contains operator %s with invalid strategy "
							"number %d",
							family, "hamming", operator, member->amopstrategy)));
			return false;
	}
}

bool
hamvalidate(Oid opclass)
{
	HeapTuple classTuple = SearchSysCache1(CLAOID, ObjectIdGetDatum(opclass));
	Form_pg_opclass class;
	HeapTuple familyTuple;
	const char *family;
	CatCList *operators;
	CatCList *functions;
	bool seen[HAM_STRATEGY_BALL + 1] = { false };
	bool result = true;

	if (!HeapTupleIsValid(classTuple))
		elog(ERROR, "cache lookup failed for operator class %u", opclass);
	class = (Form_pg_opclass) GETSTRUCT(classTuple);
	familyTuple = SearchSysCache1(OPFAMILYOID, ObjectIdGetDatum(class->opcfamily));
	if (!HeapTupleIsValid(familyTuple))
		elog(ERROR, "cache lookup failed for operator family %u", class->opcfamily);
	family = NameStr(((Form_pg_opfamily) GETSTRUCT(familyTuple))->opfname);
	if (class->opcintype != BITOID && class->opcintype != VARBITOID)
	{
		ereport(INFO, (errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					   errmsg("operator class \"%s\" of access method %s is for type %s, not for bit or varbit",
							  NameStr(class->opcname), "hamming", format_type_be(class->opcintype))));
		result = false;
	}
	if (OidIsValid(class->opckeytype) && class->opckeytype != class->opcintype)
	{
		ereport(INFO, (errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					   errmsg("operator class \"%s\" of access method %s stores another type", NameStr(class->opcname),
							  "hamming")));
		result = false;
	}

	operators = SearchSysCacheList1(AMOPSTRATEGY, ObjectIdGetDatum(class->opcfamily));
	for (int i = 0; i < operators->n_members; i++)
	{
		Form_pg_amop member = (Form_pg_amop) GETSTRUCT(&operators->members[i]->tuple);

		if (OperatorIsValid(member, family))
			seen[member->amopstrategy] = true;
		else
			result = false;
	}
	functions = SearchSysCacheList1(AMPROCNUM, ObjectIdGetDatum(class->opcfamily));
	if (functions->n_members > 0)
	{
		ereport(
			INFO,
			(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
			 errmsg("operator family \"%s\" of access method %s contains support functions, of which there are none",
					family, "hamming")));
		result = false;
	}
	for (int strategy = HAM_STRATEGY_DISTANCE; strategy <= HAM_STRATEGY_BALL; strategy++)
	{
		if (seen[strategy])
			continue;
		ereport(INFO, (errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					   errmsg("operator class \"%s\" of access method %s is missing operator %d",
							  NameStr(class->opcname), "hamming", strategy)));
		result = false;
	}
	ReleaseCatCacheList(functions);
	ReleaseCatCacheList(operators);
	ReleaseSysCache(familyTuple);
	ReleaseSysCache(classTuple);
	return result;
}
