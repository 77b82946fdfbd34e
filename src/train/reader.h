/* reader.h: all rows of a table, as the job's owner, in short transactions. Include after postgres.h. */
#ifndef EDDH_TRAIN_READER_H
#define EDDH_TRAIN_READER_H

#include "storage/block.h"
#include "storage/itemptr.h"

typedef struct ReaderRow
{
	const uint8 *image; /* detoasted */
	size_t image_len;
	Datum extra; /* of the extra column; NULL if there is none */
	bool extra_isnull;
	bool has_place; /* a view's rows have none */
	Oid table;      /* of the partition */
	ItemPointerData tid;
	int64 number; /* 1, 2, ... in reading order */
} ReaderRow;

typedef struct Reader
{
	Oid relation;
	const char *image_column;
	const char *extra_column; /* NULL: none */
	Oid extra_type;           /* its declared type when the job looked: another one by now is an error */
	const char *condition;    /* SQL on the columns of alias t, or NULL */
	BlockNumber start_block;  /* of tables: where to begin */
	/* In a transaction, as the owner; memory goes away after each call. */
	void (*row)(void *arg, const ReaderRow *row);
	/* In the same transaction, after the last row of a step and before its commit. May be NULL. */
	void (*step)(void *arg);
	/* After the commit, outside of any transaction: of the blocks before end, all before next_block are read. May be NULL. */
	void (*committed)(void *arg, BlockNumber next_block, BlockNumber end);
	void *arg;
} Reader;

/*
 * Rows with an image that is not NULL. A table, a partition tree or a materialised view is read by ranges of blocks, each in a transaction of some
 * hundred milliseconds, all partitions' blocks of a range in one statement on the parent (so that its privileges and policies count, and no
 * partition's). Rows that are updated meanwhile may be seen twice or not at all, which neither training nor a backfill that looks again minds. Anything
 * else (a view, a foreign table) has no blocks and is read by one cursor in one transaction, which holds back VACUUM for as long.
 */
extern void ReaderRun(const Reader *reader);

/* How many rows ReaderRun would read now, by the same ranges; no picture is touched. 0 where there are no blocks. */
extern int64 ReaderCount(const Reader *reader);

/* Whether rows of the relation have a place that an UPDATE can name: only tables with storage in their tree. */
extern bool ReaderHasBlocks(Oid relation);

/* "row (3,4) of public.picture", or "row 17 of public.picture_view". */
extern char *ReaderRowName(const Reader *reader, const ReaderRow *row);

#endif /* EDDH_TRAIN_READER_H */
