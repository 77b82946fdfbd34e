/* compat.h: what differs between PostgreSQL 14 and 18, and only that. Include after postgres.h. */
#ifndef EDDH_COMPAT_H
#define EDDH_COMPAT_H

#if PG_VERSION_NUM < 140000
#error "eddh needs PostgreSQL 14 or later"
#endif

#if PG_VERSION_NUM < 150000
#define MarkGUCPrefixReserved(prefix) EmitWarningsOnPlaceholders(prefix)
#endif

/* Soft errors of input functions came with 16; before, every error is a hard one. */
#if PG_VERSION_NUM < 160000
#define ereturn(context, dummy_value, ...) ereport(ERROR, __VA_ARGS__)
#endif

/* Gone with 18, whose pg_noreturn stands before the declaration. */
#ifndef pg_attribute_noreturn
#define pg_attribute_noreturn() __attribute__((noreturn))
#endif

/* Of the current process; needs storage/proc.h. */
#if PG_VERSION_NUM >= 170000
#define EddhLocalTransaction() (MyProc->vxid.lxid)
#else
#define EddhLocalTransaction() (MyProc->lxid)
#endif

/* A set-returning function that materialises came to this name with 15; needs funcapi.h. */
#if PG_VERSION_NUM < 150000
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/tuplestore.h"

static inline void
InitMaterializedSRF(FunctionCallInfo fcinfo, bits32 flags)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext caller;
	TupleDesc desc;

	if (result == NULL || !IsA(result, ReturnSetInfo) || (result->allowedModes & SFRM_Materialize) == 0)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("set-valued function called in context that cannot accept a set")));
	caller = MemoryContextSwitchTo(result->econtext->ecxt_per_query_memory);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	result->returnMode = SFRM_Materialize;
	result->setDesc = BlessTupleDesc(desc);
	result->setResult = tuplestore_begin_heap((result->allowedModes & SFRM_Materialize_Random) != 0, false, work_mem);
	MemoryContextSwitchTo(caller);
}
#endif

/* All settings; include utils/guc_tables.h before use. */
#if PG_VERSION_NUM < 160000
#define EddhSettings(n) (*(n) = GetNumConfigOptions(), get_guc_variables())
#else
#define EddhSettings(n) get_guc_variables(n)
#endif

/* What identifies a relation's file; needs utils/rel.h. */
#if PG_VERSION_NUM >= 160000
#define EddhLocator(relation) ((relation)->rd_locator)
#else
#define EddhLocator(relation) ((relation)->rd_node)
#endif

/* Needs commands/vacuum.h. */
#if PG_VERSION_NUM >= 180000
#define EddhVacuumDelay() vacuum_delay_point(false)
#else
#define EddhVacuumDelay() vacuum_delay_point()
#endif

/* Temporary files shared by parallel workers; needs storage/buffile.h and storage/sharedfileset.h. */
#if PG_VERSION_NUM >= 150000
#define EddhBufFileCreate(set, name) BufFileCreateFileSet(&(set)->fs, name)
#define EddhBufFileExport(file)      BufFileExportFileSet(file)
#define EddhBufFileOpen(set, name)   BufFileOpenFileSet(&(set)->fs, name, O_RDONLY, false)
#else
#define EddhBufFileCreate(set, name) BufFileCreateShared(set, name)
#define EddhBufFileExport(file)      BufFileExportShared(file)
#define EddhBufFileOpen(set, name)   BufFileOpenShared(set, name, O_RDONLY)
#endif

/* Needs utils/acl.h. */
#if PG_VERSION_NUM >= 160000
#define EddhOwnsRelation(oid, role) object_ownercheck(RelationRelationId, oid, role)
#else
#define EddhOwnsRelation(oid, role) pg_class_ownercheck(oid, role)
#endif

#endif /* EDDH_COMPAT_H */
