/*
 * load.c: from records in memory to pages, the second phase of a build. A record is a code and one word: a heap row, or a chain that
 * the build has written already. Pages are written without WAL; the build logs the whole file at its end.
 *
 *   sort by code -> one entry a distinct code, its rows in a run -> bisect (cut.c) down to full leaves -> pages
 *
 * The decisions and bounds of all leaves stay in memory (about 250 bytes a leaf) until the directory is written, bottom up.
 */
#include "postgres.h"

#include "commands/progress.h"
#include "index/ham.h"
#include "miscadmin.h"
#include "pgstat.h"

/* The extra word of a record: block << 17 | offset << 1 | list, as in HamPointer. */
#define ROW_OFFSET_BITS 16

#define INNER_FILL 90 /* percent */

/* A pointer page that is being filled, in memory. */
typedef struct Filling
{
	BlockNumber block;
	PGAlignedBlock image;
} Filling;

struct HamLoader
{
	Relation index;
	HamShape shape;
	HamSampler *sampler;
	Size unit; /* codes a leaf */
	HamTree *tree;
	uint64 *rows;   /* extra words of the present records, in order of code */
	Filling arrays; /* arrays and lists apart, so that arrays pack well */
	Filling lists;
	int64 done; /* rows; one for a chain that the build wrote */
	double codes;
	double leaves;
	double inners;
};

uint64
HamRecordRow(HamPointer row)
{
	return ((((uint64) row.block << ROW_OFFSET_BITS) | row.offset) << 1) | (row.list ? 1 : 0);
}

HamPointer
HamRecordPointer(uint64 word)
{
	HamPointer row;

	row.list = word & 1;
	row.offset = (word >> 1) & ((1 << ROW_OFFSET_BITS) - 1);
	row.block = (BlockNumber) (word >> (ROW_OFFSET_BITS + 1));
	return row;
}

/* ---- sorting records by code, then row ---- */

typedef struct ShortRecord
{
	uint64 code;
	uint64 row;
} ShortRecord;

static inline int
CompareShort(const ShortRecord *a, const ShortRecord *b)
{
	if (a->code != b->code)
		return a->code < b->code ? -1 : 1;
	return a->row < b->row ? -1 : a->row > b->row;
}

static inline int
CompareLong(const uint64 *a, const uint64 *b, Size words)
{
	for (Size w = 0; w < words; w++)
		if (a[w] != b[w])
			return a[w] < b[w] ? -1 : 1;
	return 0;
}

#define ST_SORT          SortShort
#define ST_ELEMENT_TYPE  ShortRecord
#define ST_COMPARE(a, b) CompareShort(a, b)
#define ST_SCOPE         static
#define ST_CHECK_FOR_INTERRUPTS
#define ST_DEFINE
#include "lib/sort_template.h"

#define ST_SORT SortLong
#define ST_ELEMENT_TYPE_VOID
#define ST_COMPARE(a, b, words) CompareLong((const uint64 *) (a), (const uint64 *) (b), *(words))
#define ST_COMPARE_ARG_TYPE     Size
#define ST_SCOPE                static
#define ST_CHECK_FOR_INTERRUPTS
#define ST_DEFINE
#include "lib/sort_template.h"

void
HamSortRecords(const HamShape *shape, uint64 *records, Size count)
{
	Size words = HamRecordWords(shape);

	if (words == 2)
		SortShort((ShortRecord *) records, count);
	else
		SortLong(records, count, words * sizeof(uint64), &words);
}

/* ---- pages ---- */

HamLoader *
HamLoaderCreate(Relation index, const HamShape *shape, HamSampler *sampler)
{
	HamLoader *loader = palloc0(sizeof(HamLoader));

	loader->index = index;
	loader->shape = *shape;
	loader->sampler = sampler;
	loader->unit = Max(1, shape->leafCap * HamFillFactor(index) / 100);
	loader->tree = HamTreeCreate(1024);
	loader->arrays.block = InvalidBlockNumber;
	loader->lists.block = InvalidBlockNumber;
	return loader;
}

static void
Flush(HamLoader *loader, Filling *filling)
{
	if (filling->block != InvalidBlockNumber)
		HamWriteImage(loader->index, filling->block, filling->image.data);
}

/* Adds an item to the pointer page that is being filled, or to a new one. */
static HamPointer
PlaceItem(HamLoader *loader, Filling *filling, HamItem *item, Size size)
{
	Page page = (Page) filling->image.data;
	HamPointer pointer;

	if (filling->block == InvalidBlockNumber || !HamItemFits(page, size))
	{
		Flush(loader, filling);
		filling->block = HamReserve(loader->index);
		HamInitPage(page, HAM_POINTERS, 1);
	}
	pointer.block = filling->block;
	pointer.offset = PageAddItemExtended(page, (Item) item, size, InvalidOffsetNumber, 0);
	pointer.list = true;
	if (pointer.offset == InvalidOffsetNumber)
		elog(ERROR, "no room for an item of %zu bytes on a pointer page", size);
	return pointer;
}

static int
WidthOf(const uint64 *rows, Size count)
{
	int width = HAM_WIDTH_MIN;

	for (Size i = 0; i < count; i++)
	{
		int needed = HamPointerWidth(HamRecordPointer(rows[i]));

		width = Max(width, needed);
	}
	return width;
}

static HamPointer
PlaceChain(HamLoader *loader, const uint64 *rows, Size count)
{
	HamChainWriter *writer = palloc(sizeof(HamChainWriter));
	HamPointer pointer = { InvalidBlockNumber, 0, true };

	HamChainWriterInit(writer);
	for (Size i = 0; i < count; i++)
		HamChainWriterAdd(loader->index, writer, HamRecordPointer(rows[i]));
	HamChainWriterFinish(loader->index, writer);
	pointer.block = writer->head;
	pfree(writer);
	return pointer;
}

/* A pointer for all rows of one code. */
static HamPointer
PlaceRows(HamLoader *loader, const uint64 *rows, Size count)
{
	int width;
	Size size;
	HamItem *list;
	HamPointer pointer;

	if (count == 1)
		return HamRecordPointer(rows[0]);
	width = WidthOf(rows, count);
	size = HamItemSize(count, width);
	if (count > PG_UINT16_MAX || size > HAM_LIST_MAX)
		return PlaceChain(loader, rows, count);
	list = palloc0(size);
	list->owner = InvalidBlockNumber;
	list->kind = HAM_ITEM_LIST;
	list->width = width;
	list->count = count;
	for (Size i = 0; i < count; i++)
		HamPointerStore(HamItemPointer(list, i), width, HamRecordPointer(rows[i]));
	pointer = PlaceItem(loader, &loader->lists, list, size);
	pfree(list);
	return pointer;
}

/* Writes a leaf; the extra word of a record is first << 32 | number of its rows. Returns the leaf's place in the tree. */
static int32
WriteLeaf(HamLoader *loader, uint64 *records, Size count)
{
	HamShape *shape = &loader->shape;
	PGAlignedBlock image;
	Page page = (Page) image.data;
	HamPointer *pointers = palloc(Max(1, count) * sizeof(HamPointer));
	int width = HAM_WIDTH_MIN;
	Size size;
	HamItem *array;
	HamPointer place;
	HamEntry entry;

	CHECK_FOR_INTERRUPTS();
	memset(&entry, 0, sizeof(entry));
	entry.child = HamReserve(loader->index);
	entry.incarnation = 1;
	HamLeafInit(shape, page, 1);
	HamBoundOfRecords(shape, records, count, &entry.bound);
	HamLeafSetCount(shape, page, count);
	for (Size i = 0; i < count; i++)
	{
		uint64 *record = HamRecordAt(shape, records, i);
		uint64 *rows = loader->rows + (HamRecordExtra(shape, record) >> 32);
		Size rowCount = HamRecordExtra(shape, record) & PG_UINT32_MAX;
		int needed;

		HamLeafSet(shape, page, i, record);
		pointers[i] = PlaceRows(loader, rows, rowCount);
		needed = HamPointerWidth(pointers[i]);
		width = Max(width, needed);
		HamSamplerAdd(loader->sampler, record, rowCount);
		loader->done += rowCount;
	}
	if (count > 0)
	{
		size = HamItemSize(shape->leafCap, width);
		array = palloc0(size);
		array->owner = entry.child;
		array->kind = HAM_ITEM_ARRAY;
		array->width = width;
		for (Size i = 0; i < count; i++)
			HamPointerStore(HamItemPointer(array, i), width, pointers[i]);
		place = PlaceItem(loader, &loader->arrays, array, size);
		HamPageOpaque(page)->arrayBlock = place.block;
		HamPageOpaque(page)->arrayOffset = place.offset;
		pfree(array);
	}
	pfree(pointers);
	HamWriteImage(loader->index, entry.child, page);
	loader->leaves++;
	loader->codes += count;
	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, loader->done);
	return ~HamTreeAddEntry(loader->tree, &entry);
}

static int32
Bisect(HamLoader *loader, uint64 *records, Size count)
{
	HamCut cut;
	Size left;
	int32 leftChild;
	int32 rightChild;

	check_stack_depth();
	if (count <= loader->unit)
		return WriteLeaf(loader, records, count);
	left = HamCutRecords(&loader->shape, records, count, loader->unit, &cut);
	leftChild = Bisect(loader, records, left);
	rightChild = Bisect(loader, HamRecordAt(&loader->shape, records, left), count - left);
	return HamTreeAddNode(loader->tree, &cut, leftChild, rightChild);
}

/* Writes leaves for these records, in any order and destroyed by it; returns their place in the loader's tree. */
int32
HamLoadRecords(HamLoader *loader, uint64 *records, Size count)
{
	HamShape *shape = &loader->shape;
	Size distinct = 0;
	int32 place;

	if (count > PG_INT32_MAX)
		elog(ERROR, "too many records in one load");
	HamSortRecords(shape, records, count);
	loader->rows = MemoryContextAllocHuge(CurrentMemoryContext, Max(1, count) * sizeof(uint64));
	for (Size i = 0; i < count; i++)
	{
		uint64 *record = HamRecordAt(shape, records, i);

		loader->rows[i] = HamRecordExtra(shape, record);
		if (distinct > 0 && CompareLong(HamRecordAt(shape, records, distinct - 1), record, shape->words) == 0)
			HamRecordExtra(shape, HamRecordAt(shape, records, distinct - 1))++;
		else
		{
			uint64 *to = HamRecordAt(shape, records, distinct++);

			memmove(to, record, shape->words * sizeof(uint64));
			HamRecordExtra(shape, to) = ((uint64) i << 32) | 1;
		}
	}
	place = Bisect(loader, records, distinct);
	pfree(loader->rows);
	return place;
}

/* ---- the directory ---- */

static int
Measure(const HamTree *tree, int32 at, int *sizes)
{
	int size;

	check_stack_depth();
	if (at < 0)
		return 1;
	size = Measure(tree, tree->nodes[at].left, sizes) + Measure(tree, tree->nodes[at].right, sizes);
	sizes[at] = size;
	return size;
}

static BlockNumber
WriteInner(HamLoader *loader, const HamTree *tree)
{
	PGAlignedBlock image;
	BlockNumber block = HamReserve(loader->index);

	HamInnerInit(&loader->shape, (Page) image.data, 1);
	HamInnerWrite(&loader->shape, (Page) image.data, tree);
	HamWriteImage(loader->index, block, image.data);
	loader->inners++;
	return block;
}

/* Writes the largest subtrees that fit a page, and returns what is above them, with an entry for each, in `out`. */
static int32
PackBelow(HamLoader *loader, const HamTree *tree, int32 at, const int *sizes, int limit, HamTree *out)
{
	int32 left;
	int32 right;

	check_stack_depth();
	if (at < 0)
		return ~HamTreeAddEntry(out, &tree->entries[~at]);
	if (sizes[at] <= limit)
	{
		HamTree *page = HamTreeExtract(tree, at);
		HamEntry entry;

		memset(&entry, 0, sizeof(entry));
		HamBoundEverything(&loader->shape, &entry.bound);
		entry.child = WriteInner(loader, page);
		entry.incarnation = 1;
		entry.splits = HAM_INNER_CHILD;
		HamTreeFree(page);
		return ~HamTreeAddEntry(out, &entry);
	}
	left = PackBelow(loader, tree, tree->nodes[at].left, sizes, limit, out);
	right = PackBelow(loader, tree, tree->nodes[at].right, sizes, limit, out);
	return HamTreeAddNode(out, &tree->nodes[at].cut, left, right);
}

/* Of all leaves loaded: the caller joins the places with decisions of its own and sets the root. */
HamTree *
HamLoaderTree(HamLoader *loader)
{
	return loader->tree;
}

/* Writes the directory of everything loaded; returns the root's block and fills in the counts. */
BlockNumber
HamLoaderFinish(HamLoader *loader, HamMeta *meta)
{
	int limit = loader->shape.innerCap * INNER_FILL / 100;
	HamTree *tree = loader->tree;
	BlockNumber root;

	Flush(loader, &loader->arrays);
	Flush(loader, &loader->lists);
	while (tree->entryCount > limit)
	{
		int *sizes = MemoryContextAllocHuge(CurrentMemoryContext, tree->nodeCount * sizeof(int));
		HamTree *above = HamTreeCreate(64);

		Measure(tree, tree->root, sizes);
		above->root = PackBelow(loader, tree, tree->root, sizes, limit, above);
		pfree(sizes);
		HamTreeFree(tree);
		tree = above;
	}
	root = WriteInner(loader, tree);
	HamTreeFree(tree);
	meta->codes = loader->codes;
	meta->leaves = loader->leaves;
	meta->inners = loader->inners;
	return root;
}
