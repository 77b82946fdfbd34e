/*
 * check.c: hamming_index_check, the structural check, and hamming_index_stats.
 *
 * The check walks the directory and looks at each leaf, its array, lists and chains, under the locks of a reader (inner page, then leaf, then
 * one pointer page), so it may run beside inserts and scans.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "compat.h"
#include "commands/defrem.h"
#include "funcapi.h"
#include "index/ham.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(eddh_hamming_index_check);
PG_FUNCTION_INFO_V1(eddh_hamming_index_stats);

typedef struct HamCheck
{
	Relation index;
	HamShape shape;
	int64 rows;
	int64 codes;
	int64 leaves;
	BlockNumber blocks;
	MemoryContext leafContext;
} HamCheck;

/* Opens a hamming index that the caller owns. */
static Relation
OpenOwned(Oid oid)
{
	Relation index = relation_open(oid, AccessShareLock);

	if (index->rd_rel->relkind != RELKIND_INDEX || index->rd_rel->relam != get_am_oid("hamming", false))
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("\"%s\" is not a hamming index", RelationGetRelationName(index))));
	if (!EddhOwnsRelation(oid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_INDEX, RelationGetRelationName(index));
	if (RELATION_IS_OTHER_TEMP(index))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("cannot access temporary indexes of other sessions")));
	return index;
}

static void
CheckRow(HamCheck *check, BlockNumber block, HamPointer row)
{
	if (row.list || row.offset == InvalidOffsetNumber)
		HamCorrupt(check->index, block, "A pointer to a row points to something else.");
	check->rows++;
}

/* Beside a VACUUM too: a page that it freed keeps its link, and is not reused while our snapshot lasts. */
static void
CheckChain(HamCheck *check, BlockNumber block, uint32 incarnation)
{
	bool head = true;
	BlockNumber length = 0;

	while (block != InvalidBlockNumber)
	{
		Buffer buffer = HamReadPage(check->index, block, BUFFER_LOCK_SHARE);
		Page page = BufferGetPage(buffer);
		HamOpaque *opaque = HamPageOpaque(page);

		if (PageIsNew(page) || (opaque->kind != HAM_CHAIN && (head || opaque->kind != HAM_FREE)))
			HamCorrupt(check->index, block, "A page of a chain is expected.");
		if (!head && opaque->incarnation != incarnation)
			HamCorrupt(check->index, block, "A chain leads to a page that was reused.");
		/* The leaf's lock holds interrupts off: a ring must end by itself. */
		if (length++ > check->blocks)
			HamCorrupt(check->index, block, "A chain comes back to itself.");
		if (opaque->kind == HAM_CHAIN)
		{
			HamChainCheck(check->index, buffer);
			for (int i = 0; i < opaque->count; i++)
				CheckRow(check, block, HamPointerLoad(HamChainPointer(page, opaque->width, i), opaque->width));
		}
		block = opaque->right;
		incarnation = opaque->rightIncarnation;
		head = false;
		UnlockReleaseBuffer(buffer);
		CHECK_FOR_INTERRUPTS();
	}
}

static void
CheckList(HamCheck *check, HamPointer pointer)
{
	Buffer buffer = HamReadPageKind(check->index, pointer.block, BUFFER_LOCK_SHARE, HAM_POINTERS);
	Size size;
	HamItem *list = HamItemGet(check->index, buffer, BufferGetPage(buffer), pointer.offset, &size);

	if (list->kind != HAM_ITEM_LIST)
		HamCorrupt(check->index, pointer.block, "A list is expected where an array is.");
	for (int i = 0; i < list->count; i++)
		CheckRow(check, pointer.block, HamPointerLoad(HamItemPointer(list, i), list->width));
	UnlockReleaseBuffer(buffer);
}

/* The array of a leaf, which is locked, and all that it points to. */
static void
CheckArray(HamCheck *check, BlockNumber leaf, HamOpaque *opaque)
{
	Buffer buffer;
	HamItem *array;
	Size size;
	List *chains = NIL;
	ListCell *cell;

	if (opaque->arrayBlock == InvalidBlockNumber)
	{
		if (opaque->count > 0)
			HamCorrupt(check->index, leaf, "A leaf with codes has no array.");
		return;
	}
	buffer = HamReadPageKind(check->index, opaque->arrayBlock, BUFFER_LOCK_SHARE, HAM_POINTERS);
	{
		HamItem *item = HamItemGet(check->index, buffer, BufferGetPage(buffer), opaque->arrayOffset, &size);

		array = palloc(size);
		memcpy(array, item, size);
	}
	UnlockReleaseBuffer(buffer);
	if (array->kind != HAM_ITEM_ARRAY || array->owner != leaf)
		HamCorrupt(check->index, leaf, "The array of a leaf belongs to another one.");
	if (HamItemRoom(size, array->width) < check->shape.leafCap)
		HamCorrupt(check->index, leaf, "The array of a leaf has no room for a full leaf.");
	for (int i = 0; i < opaque->count; i++)
	{
		HamPointer pointer = HamPointerLoad(HamItemPointer(array, i), array->width);

		if (!pointer.list)
			CheckRow(check, opaque->arrayBlock, pointer);
		else if (pointer.offset == InvalidOffsetNumber)
			chains = lappend_int(chains, (int) pointer.block);
		else
			CheckList(check, pointer);
	}
	foreach (cell, chains)
		CheckChain(check, (BlockNumber) lfirst_int(cell), 0);
}

static bool
WithinBound(const HamShape *shape, const HamBound *bound, const uint64 *folded)
{
	HamBound copy = *bound;

	return bound->rmin <= bound->rmax && !HamBoundGrow(shape, &copy, folded);
}

static int
CompareCodes(const void *a, const void *b, void *words)
{
	return memcmp(a, b, *(Size *) words * sizeof(uint64));
}

/* A leaf against its entry; the inner page is locked. */
static void
CheckLeaf(HamCheck *check, Page inner, int entry)
{
	HamShape *shape = &check->shape;
	MemoryContext caller = MemoryContextSwitchTo(check->leafContext);
	HamEntry e;
	Buffer buffer;
	Page page;
	HamOpaque *opaque;
	uint64 *codes;
	Size words = shape->words;

	HamInnerGet(shape, inner, entry, &e);
	buffer = HamReadPageKind(check->index, e.child, BUFFER_LOCK_SHARE, HAM_LEAF);
	page = BufferGetPage(buffer);
	opaque = HamPageOpaque(page);
	if (opaque->incarnation != e.incarnation)
		HamCorrupt(check->index, e.child, "An entry leads to a page that was reused.");
	if (opaque->splits != e.splits)
		HamCorrupt(check->index, e.child, "A leaf and its entry disagree about splits.");
	if (opaque->flags & HAM_FLAG_INCOMPLETE)
		HamCorrupt(check->index, e.child, "A leaf in the directory is marked incomplete.");
	if (opaque->count > shape->leafCap)
		HamCorrupt(check->index, e.child, "A leaf has more codes than fit.");
	codes = palloc(Max(1, opaque->count) * words * sizeof(uint64));
	for (int slot = 0; slot < opaque->count; slot++)
	{
		uint64 folded[HAM_FOLD_WORDS];

		HamLeafGet(shape, page, slot, codes + slot * words);
		HamFold(shape, codes + slot * words, folded);
		if (!WithinBound(shape, &e.bound, folded))
			HamCorrupt(check->index, e.child, "A code is outside of the bounds of its leaf.");
		/* Codes that are equal after folding may be on either side of a cut. */
		if (shape->words == shape->fold && HamInnerFind(shape, inner, folded) != entry)
			HamCorrupt(check->index, e.child, "A code is not in the leaf that the decisions lead to.");
	}
	qsort_arg(codes, opaque->count, words * sizeof(uint64), CompareCodes, &words);
	for (int slot = 1; slot < opaque->count; slot++)
		if (CompareCodes(codes + (slot - 1) * words, codes + slot * words, &words) == 0)
			HamCorrupt(check->index, e.child, "A leaf has a code twice.");
	CheckArray(check, e.child, opaque);
	check->codes += opaque->count;
	check->leaves++;
	UnlockReleaseBuffer(buffer);
	MemoryContextSwitchTo(caller);
	MemoryContextReset(check->leafContext);
}

static void
CheckInner(HamCheck *check, BlockNumber block)
{
	Buffer buffer;
	Page page;
	List *below = NIL;
	ListCell *cell;

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	buffer = HamReadPageKind(check->index, block, BUFFER_LOCK_SHARE, HAM_INNER);
	page = BufferGetPage(buffer);
	HamInnerCheck(check->index, &check->shape, buffer);
	for (int i = 0; i < HamPageOpaque(page)->count; i++)
	{
		if (HamInnerSplits(&check->shape, page)[i] == HAM_INNER_CHILD)
			below = lappend_int(below, (int) HamInnerChildren(&check->shape, page)[i]);
		else
			CheckLeaf(check, page, i);
	}
	UnlockReleaseBuffer(buffer);
	foreach (cell, below)
		CheckInner(check, (BlockNumber) lfirst_int(cell));
	list_free(below);
}

/* Raises ERRCODE_INDEX_CORRUPTED at the first fault; returns the number of rows in the index. */
Datum
eddh_hamming_index_check(PG_FUNCTION_ARGS)
{
	HamCheck check;
	HamMeta meta;

	memset(&check, 0, sizeof(check));
	check.index = OpenOwned(PG_GETARG_OID(0));
	check.blocks = RelationGetNumberOfBlocks(check.index);
	check.leafContext = AllocSetContextCreate(CurrentMemoryContext, "hamming check leaf", ALLOCSET_DEFAULT_SIZES);
	HamReadMeta(check.index, &meta);
	if (HamOpen(check.index, &check.shape))
		CheckInner(&check, check.shape.root);
	if (meta.nulls != InvalidBlockNumber)
		CheckChain(&check, meta.nulls, 0);
	relation_close(check.index, AccessShareLock);
	MemoryContextDelete(check.leafContext);
	PG_RETURN_INT64(check.rows);
}

Datum
eddh_hamming_index_stats(PG_FUNCTION_ARGS)
{
	Relation index = OpenOwned(PG_GETARG_OID(0));
	HamMeta meta;
	HamShape shape;
	int64 pages[HAM_FREE + 1] = { 0 };
	int64 codes = 0;
	BlockNumber blocks = RelationGetNumberOfBlocks(index);
	TupleDesc descriptor;
	Datum values[10];
	bool nulls[10] = { false };
	bool open;

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	HamReadMeta(index, &meta);
	open = HamOpen(index, &shape);
	for (BlockNumber block = 0; block < blocks; block++)
	{
		Buffer buffer = HamReadPage(index, block, BUFFER_LOCK_SHARE);
		Page page = BufferGetPage(buffer);
		HamKind kind = PageIsNew(page) ? HAM_FREE : HamPageOpaque(page)->kind;

		if (kind < HAM_META || kind > HAM_FREE)
			HamCorrupt(index, block, "A page is of no known kind.");
		pages[kind]++;
		if (kind == HAM_LEAF)
			codes += HamPageOpaque(page)->count;
		UnlockReleaseBuffer(buffer);
		/* Not before: a lock on a page holds interrupts off. */
		CHECK_FOR_INTERRUPTS();
	}
	values[0] = Int32GetDatum((int32) meta.version);
	values[1] = Int32GetDatum((int32) meta.bits);
	nulls[1] = meta.bits == 0;
	values[2] = Int64GetDatum((int64) blocks);
	values[3] = Int64GetDatum(pages[HAM_INNER]);
	values[4] = Int64GetDatum(pages[HAM_LEAF]);
	values[5] = Int64GetDatum(pages[HAM_POINTERS]);
	values[6] = Int64GetDatum(pages[HAM_CHAIN]);
	values[7] = Int64GetDatum(pages[HAM_FREE]);
	values[8] = Int64GetDatum(codes);
	nulls[9] = !open || pages[HAM_LEAF] == 0;
	values[9] = Float8GetDatum(nulls[9] ? 0 : (double) codes / ((double) pages[HAM_LEAF] * shape.leafCap));
	relation_close(index, AccessShareLock);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(descriptor, values, nulls)));
}
