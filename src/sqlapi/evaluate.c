/* evaluate.c: eddh_evaluate and eddh_pr_curve: tables of codes and labels to measures (hash/measure.h). */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"
#include "utils/varbit.h"

#include "compat.h"
#include "hash/measure.h"
#include "model/labels.h"
#include "report.h"
#include "sqlapi/columns.h"

PG_FUNCTION_INFO_V1(eddh_evaluate);
PG_FUNCTION_INFO_V1(eddh_pr_curve);

#define FETCH_ROWS 1000

/* One table's codes, packed one after the other, and labels. */
typedef struct CodedTable
{
	uint8 *codes;
	size_t rows;
	size_t capacity; /* rows there is room for */
	LabelRows *labels;
	int64 left_out; /* rows without a code or a label */
} CodedTable;

typedef struct Evaluation
{
	MemoryContext context;
	LabelDictionary *dictionary;
	int bits; /* -1: none seen yet */
	CodedTable queries;
	CodedTable database;
	hash_ranking ranking;
} Evaluation;

static void
AddRow(Evaluation *evaluation, CodedTable *table, VarBit *code, Datum label)
{
	int bits = VARBITLEN(code);
	size_t bytes = VARBITBYTES(code);

	if (evaluation->bits < 0)
		evaluation->bits = bits;
	if (bits != evaluation->bits)
		ereport(ERROR,
				(errcode(ERRCODE_STRING_DATA_LENGTH_MISMATCH), errmsg("codes of different lengths cannot be compared"),
				 errdetail("One has %d bits, another %d.", evaluation->bits, bits),
				 errhint("Encode the queries and the database with the same model.")));
	if (table->rows == table->capacity)
	{
		table->capacity = Max(1024, table->capacity * 2);
		if (table->codes == NULL)
			table->codes = MemoryContextAllocHuge(evaluation->context, Max(table->capacity * bytes, 1));
		else
			table->codes = repalloc_huge(table->codes, Max(table->capacity * bytes, 1));
	}
	memcpy(table->codes + table->rows * bytes, VARBITS(code), bytes);
	table->rows++;
	LabelRowsAdd(table->labels, label, false);
}

static void
CheckCodeType(Oid type, const char *column, const char *relation)
{
	Oid base = getBaseType(type);

	if (base != BITOID && base != VARBITOID)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH), errmsg("code column \"%s\" of %s is of type %s, not bit(n)",
																   column, relation, format_type_be(type))));
}

/* Reads a table with the caller's rights and under the snapshot of the calling query. */
static void
ReadTable(Evaluation *evaluation, CodedTable *table, Oid relation, const char *code_column, const char *label_column)
{
	char *name = quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)), get_rel_name(relation));
	char *query =
		psprintf("SELECT %s, %s FROM %s", quote_identifier(code_column), quote_identifier(label_column), name);
	SPIPlanPtr plan = SPI_prepare(query, 0, NULL);
	MemoryContext batch;
	Portal portal;

	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", query, SPI_result_code_string(SPI_result));
	portal = SPI_cursor_open(NULL, plan, NULL, NULL, true);
	CheckCodeType(TupleDescAttr(portal->tupDesc, 0)->atttypid, code_column, name);
	MemoryContextSwitchTo(evaluation->context);
	table->labels = LabelRowsCreate(evaluation->dictionary, TupleDescAttr(portal->tupDesc, 1)->atttypid);
	batch = AllocSetContextCreate(evaluation->context, "eddh evaluation batch", ALLOCSET_DEFAULT_SIZES);

	for (;;)
	{
		MemoryContextSwitchTo(batch);
		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		if (SPI_processed == 0)
			break;
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			bool code_isnull;
			bool label_isnull;
			HeapTuple tuple = SPI_tuptable->vals[i];
			Datum code = SPI_getbinval(tuple, SPI_tuptable->tupdesc, 1, &code_isnull);
			Datum label = SPI_getbinval(tuple, SPI_tuptable->tupdesc, 2, &label_isnull);

			if (code_isnull || label_isnull)
				table->left_out++;
			else
				AddRow(evaluation, table, DatumGetVarBitP(code), label);
		}
		SPI_freetuptable(SPI_tuptable);
		MemoryContextReset(batch);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_cursor_close(portal);
	MemoryContextSwitchTo(evaluation->context);
	MemoryContextDelete(batch);
}

static void
CheckRelation(Oid oid, const char *code_column, const char *label_column)
{
	char kind = get_rel_relkind(oid);
	Relation relation;

	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE && kind != RELKIND_VIEW &&
		kind != RELKIND_MATVIEW && kind != RELKIND_FOREIGN_TABLE)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						kind == '\0' ? errmsg("relation with OID %u does not exist", oid)
									 : errmsg("\"%s\" is not a table or view", get_rel_name(oid))));
	relation = relation_open(oid, AccessShareLock);
	ColumnNumber(relation, code_column, NULL);
	ColumnNumber(relation, label_column, NULL);
	relation_close(relation, NoLock); /* it must still be there, and called so, when it is read */
}

static hash_labels *
Finish(LabelRows *rows)
{
	hash_labels *labels;
	eddh_error err;

	EDDH_CHECK(LabelRowsFinish(rows, NULL, &labels, &err), &err, NULL);
	return labels;
}

/* Arguments queries, database, code_column, label_column, all of them wanted. */
static Evaluation *
ReadBoth(FunctionCallInfo fcinfo)
{
	Evaluation *evaluation = palloc0(sizeof(Evaluation));
	hash_ranking *ranking = &evaluation->ranking;
	const char *names[] = { "queries", "database", "code_column", "label_column" };
	Oid queries, database;

	for (int i = 0; i < 4; i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("argument \"%s\" must not be NULL", names[i])));
	queries = PG_GETARG_OID(0);
	database = PG_GETARG_OID(1);
	CheckRelation(queries, NameStr(*PG_GETARG_NAME(2)), NameStr(*PG_GETARG_NAME(3)));
	CheckRelation(database, NameStr(*PG_GETARG_NAME(2)), NameStr(*PG_GETARG_NAME(3)));

	evaluation->context = CurrentMemoryContext;
	evaluation->bits = -1;
	evaluation->dictionary = LabelDictionaryCreate();
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to the server programming interface");
	ReadTable(evaluation, &evaluation->database, database, NameStr(*PG_GETARG_NAME(2)), NameStr(*PG_GETARG_NAME(3)));
	if (queries != database)
		ReadTable(evaluation, &evaluation->queries, queries, NameStr(*PG_GETARG_NAME(2)), NameStr(*PG_GETARG_NAME(3)));
	SPI_finish();
	MemoryContextSwitchTo(evaluation->context);

	ranking->same = queries == database;
	if (ranking->same)
		evaluation->queries = evaluation->database;
	if (evaluation->queries.rows == 0 || evaluation->database.rows == 0)
		ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND),
						errmsg("relation \"%s\" has no row with both a code and a label",
							   get_rel_name(evaluation->queries.rows == 0 ? queries : database)),
						errhint("eddh_encode_table fills a code column.")));
	if (evaluation->bits == 0)
		ereport(ERROR, (errcode(ERRCODE_STRING_DATA_LENGTH_MISMATCH), errmsg("codes have no bits")));
	ranking->bits = evaluation->bits;
	ranking->queries = evaluation->queries.rows;
	ranking->database = evaluation->database.rows;
	ranking->query_codes = evaluation->queries.codes;
	ranking->database_codes = evaluation->database.codes;
	ranking->database_labels = Finish(evaluation->database.labels);
	ranking->query_labels = ranking->same ? ranking->database_labels : Finish(evaluation->queries.labels);
	ranking->stop = &EddhInterruptStop;
	return evaluation;
}

static void
PutMeasure(ReturnSetInfo *result, const char *measure, double value)
{
	Datum values[2] = { CStringGetTextDatum(measure), Float8GetDatum(value) };
	bool nulls[2] = { false };

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* eddh_evaluate(queries, database, code_column, label_column, top) -> setof (measure, value) */
Datum
eddh_evaluate(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Evaluation *evaluation;
	hash_quality quality;
	const char *at = "";
	eddh_code code;
	eddh_error err;
	int32 top = 0;

	InitMaterializedSRF(fcinfo, 0);
	if (!PG_ARGISNULL(4))
	{
		top = PG_GETARG_INT32(4);
		if (top < 1)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("top is %d, but must be 1 or more", top),
							errhint("NULL, the default, means the whole ranking.")));
		at = psprintf("@%d", top);
	}
	evaluation = ReadBoth(fcinfo);
	evaluation->ranking.top = top;
	do
	{
		CHECK_FOR_INTERRUPTS();
		code = hash_measure(&evaluation->ranking, &quality, &err);
	} while (code == EDDH_STOPPED);
	EDDH_CHECK(code, &err, NULL);

	PutMeasure(result, psprintf("map%s", at), quality.map);
	if (top > 0)
	{
		PutMeasure(result, psprintf("map_min%s", at), quality.map_min);
		PutMeasure(result, psprintf("precision%s", at), quality.precision_top);
		PutMeasure(result, psprintf("recall%s", at), quality.recall_top);
	}
	PutMeasure(result, psprintf("ndcg%s", at), quality.ndcg);
	PutMeasure(result, "precision_radius_2", quality.precision_radius2);
	PutMeasure(result, "empty_radius_2", quality.empty_radius2);
	PutMeasure(result, "bits", evaluation->bits);
	PutMeasure(result, "queries", evaluation->ranking.queries);
	PutMeasure(result, "queries_with_relevant", quality.queries_used);
	PutMeasure(result, "database", evaluation->ranking.database);
	PutMeasure(result, "classes", LabelDictionaryCount(evaluation->dictionary));
	PutMeasure(result, "leave_one_out", evaluation->ranking.same ? 1 : 0);
	PutMeasure(result, "rows_left_out",
			   evaluation->database.left_out + (evaluation->ranking.same ? 0 : evaluation->queries.left_out));
	return (Datum) 0;
}

/* eddh_pr_curve(queries, database, code_column, label_column) -> setof (radius, ...) */
Datum
eddh_pr_curve(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Evaluation *evaluation;
	double *curve[4];
	eddh_code code;
	eddh_error err;

	InitMaterializedSRF(fcinfo, 0);
	evaluation = ReadBoth(fcinfo);
	for (int i = 0; i < 4; i++)
		curve[i] = palloc(sizeof(double) * (evaluation->bits + 1));
	do
	{
		CHECK_FOR_INTERRUPTS();
		code = hash_pr_curve(&evaluation->ranking, curve[0], curve[1], curve[2], curve[3], &err);
	} while (code == EDDH_STOPPED);
	EDDH_CHECK(code, &err, NULL);

	for (int radius = 0; radius <= evaluation->bits; radius++)
	{
		Datum values[5];
		bool nulls[5] = { false };

		values[0] = Int32GetDatum(radius);
		for (int i = 0; i < 4; i++)
			values[i + 1] = Float8GetDatum(curve[i][radius]);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
