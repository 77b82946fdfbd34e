/* reader.c: all rows of a table, as the job's owner, in short transactions. */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "train/reader.h"
#include "train/submit.h"
#include "train/worker.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#define FETCH_ROWS  50
#define READ_STEP   8 /* blocks of a first transaction that reads pictures, and of one that only counts */
#define COUNT_STEP  1024
#define STEP_MIN_MS 100 /* a step shorter than this is doubled */
#define STEP_MAX_MS 400 /* a longer one is halved */

/* Over the whole tree. False if part of it has no blocks. */
static bool
CountBlocks(Oid relation, BlockNumber *blocks)
{
	ListCell *cell;

	*blocks = 0;
	foreach (cell, find_all_inheritors(relation, AccessShareLock, NULL))
	{
		Relation rel = relation_open(lfirst_oid(cell), NoLock);
		char kind = rel->rd_rel->relkind;

		if (kind == RELKIND_RELATION || kind == RELKIND_MATVIEW)
			*blocks = Max(*blocks, RelationGetNumberOfBlocks(rel));
		relation_close(rel, NoLock);
		if (kind != RELKIND_RELATION && kind != RELKIND_MATVIEW && kind != RELKIND_PARTITIONED_TABLE)
			return false;
	}
	return true;
}

bool
ReaderHasBlocks(Oid relation)
{
	BlockNumber blocks;

	return CountBlocks(relation, &blocks);
}

char *
ReaderRowName(const Reader *reader, const ReaderRow *row)
{
	if (!row->has_place)
		return psprintf("row " INT64_FORMAT " of %s", row->number, SubmitRelationName(reader->relation));
	return psprintf("row (%u,%u) of %s", ItemPointerGetBlockNumber(&row->tid), ItemPointerGetOffsetNumber(&row->tid),
					SubmitRelationName(row->table));
}

static void
ReadTuple(const Reader *reader, HeapTuple tuple, TupleDesc desc, bool has_place, int64 number)
{
	ReaderRow row = { .number = number, .has_place = has_place, .extra_isnull = true };
	struct varlena *image;
	Datum value;
	bool isnull;

	value = SPI_getbinval(tuple, desc, 1, &isnull);
	if (isnull) /* a view whose functions say one thing to WHERE and another to SELECT */
		return;
	image = PG_DETOAST_DATUM_PACKED(value);
	row.image = (const uint8 *) VARDATA_ANY(image);
	row.image_len = VARSIZE_ANY_EXHDR(image);
	if (reader->extra_column != NULL)
		row.extra = SPI_getbinval(tuple, desc, 2, &row.extra_isnull);
	if (has_place)
	{
		int first = reader->extra_column != NULL ? 3 : 2;

		row.tid = *(ItemPointer) DatumGetPointer(SPI_getbinval(tuple, desc, first, &isnull));
		row.table = DatumGetObjectId(SPI_getbinval(tuple, desc, first + 1, &isnull));
	}
	reader->row(reader->arg, &row);
}

/* Between two transactions of a job anybody may ALTER TABLE, and a value of another type must not be taken for a picture. */
static void
CheckTypes(const Reader *reader, TupleDesc desc)
{
	if (getBaseType(TupleDescAttr(desc, 0)->atttypid) != BYTEAOID ||
		(reader->extra_column != NULL && TupleDescAttr(desc, 1)->atttypid != reader->extra_type))
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("a column of %s has changed its type", SubmitRelationName(reader->relation)),
						errhint("Start a new job.")));
}

/* One statement's rows, through a cursor, so that memory is bounded. Returns how many. */
static int64
ReadQuery(const Reader *reader, const char *sql, bool has_place, int64 number)
{
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "eddh row", ALLOCSET_DEFAULT_SIZES);
	Portal portal = SPI_cursor_open_with_args(NULL, sql, 0, NULL, NULL, NULL, true, CURSOR_OPT_NO_SCROLL);
	int64 count = 0;

	CheckTypes(reader, portal->tupDesc);
	for (;;)
	{
		SPITupleTable *table;

		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		if (SPI_processed == 0)
			break;
		table = SPI_tuptable;
		for (uint64 i = 0; i < table->numvals; i++)
		{
			MemoryContext old = MemoryContextSwitchTo(row_context);

			ReadTuple(reader, table->vals[i], table->tupdesc, has_place, number + ++count);
			MemoryContextSwitchTo(old);
			MemoryContextReset(row_context);
			WorkerTick();
		}
		SPI_freetuptable(table);
	}
	SPI_cursor_close(portal);
	MemoryContextDelete(row_context);
	return count;
}

/* FROM and WHERE. */
static void
AppendSource(StringInfo sql, const Reader *reader)
{
	appendStringInfo(sql, " FROM %s AS t WHERE t.%s IS NOT NULL", SubmitRelationName(reader->relation),
					 quote_identifier(reader->image_column));
	if (reader->condition != NULL)
		appendStringInfo(sql, " AND %s", reader->condition);
}

static void
SelectList(StringInfo sql, const Reader *reader, bool has_place)
{
	initStringInfo(sql);
	appendStringInfo(sql, "SELECT t.%s", quote_identifier(reader->image_column));
	if (reader->extra_column != NULL)
		appendStringInfo(sql, ", t.%s", quote_identifier(reader->extra_column));
	if (has_place)
		appendStringInfoString(sql, ", t.ctid, t.tableoid");
	AppendSource(sql, reader);
}

/* Settings are undone by WorkerEnd. A range of blocks must never become a scan of the whole table. */
static void
BeginRange(void)
{
	WorkerBegin();
	set_config_option("enable_tidscan", "on", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	set_config_option("enable_seqscan", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	set_config_option("jit", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

static void
AppendRange(StringInfo sql, BlockNumber block, BlockNumber next)
{
	appendStringInfo(sql, " AND t.ctid >= '(%u,0)'::pg_catalog.tid AND t.ctid < '(%u,0)'::pg_catalog.tid", block, next);
}

/* How many blocks the next transaction takes, by what the last one took. */
static BlockNumber
NextStep(BlockNumber step, TimestampTz begin)
{
	long ms = (long) ((GetCurrentTimestamp() - begin) / 1000);

	if (ms < STEP_MIN_MS)
		return Min(step * 2, 65536);
	return ms > STEP_MAX_MS ? Max(step / 2, 1) : step;
}

/* What a transaction does with blocks block .. next - 1, `before` rows having been seen; returns how many it saw. */
typedef int64 (*RangeWork)(const Reader *reader, BlockNumber block, BlockNumber next, int64 before);

/* All blocks from the reader's first to `end`, a range a transaction, the first of `step` blocks. committed may be NULL. Returns how many rows were seen. */
static int64
ForRanges(const Reader *reader, BlockNumber end, BlockNumber step, RangeWork work,
		  void (*committed)(void *arg, BlockNumber next, BlockNumber end))
{
	BlockNumber block = reader->start_block;
	int64 count = 0;

	while (block < end)
	{
		TimestampTz begin = GetCurrentTimestamp();
		BlockNumber next = end - block > step ? block + step : end;

		BeginRange();
		count += work(reader, block, next, count);
		WorkerEnd();
		block = next;
		if (committed != NULL)
			committed(reader->arg, block, end);
		WorkerTick();
		step = NextStep(step, begin);
	}
	return count;
}

static int64
ReadRange(const Reader *reader, BlockNumber block, BlockNumber next, int64 before)
{
	StringInfoData sql;
	int64 count;

	SelectList(&sql, reader, true);
	AppendRange(&sql, block, next);
	count = ReadQuery(reader, sql.data, true, before);
	if (reader->step != NULL)
		reader->step(reader->arg);
	return count;
}

static int64
CountRange(const Reader *reader, BlockNumber block, BlockNumber next, int64 before)
{
	StringInfoData sql;
	bool isnull;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT pg_catalog.count(*)");
	AppendSource(&sql, reader);
	AppendRange(&sql, block, next);
	if (SPI_execute(sql.data, true, 0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not count rows");
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

int64
ReaderCount(const Reader *reader)
{
	BlockNumber end;
	bool has_blocks;

	WorkerBegin();
	has_blocks = CountBlocks(reader->relation, &end);
	WorkerEnd();
	return has_blocks ? ForRanges(reader, end, COUNT_STEP, CountRange, NULL) : 0;
}

void
ReaderRun(const Reader *reader)
{
	BlockNumber blocks;
	bool has_blocks;
	StringInfoData sql;

	WorkerBegin();
	has_blocks = CountBlocks(reader->relation, &blocks);
	if (!has_blocks)
	{
		SelectList(&sql, reader, false);
		ReadQuery(reader, sql.data, false, 0);
		if (reader->step != NULL)
			reader->step(reader->arg);
	}
	WorkerEnd();
	if (has_blocks)
		(void) ForRanges(reader, blocks, READ_STEP, ReadRange, reader->committed);
}
