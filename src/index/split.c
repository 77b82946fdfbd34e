/* split.c: a full page in two. See README.md, "Split against scan" and "Crash", for the order of the records. */
#include "postgres.h"

#include "index/ham.h"

/* Moves about half of the entries of a full inner page, locked exclusively, to a new inner page below it. */
void
HamSplitInner(Relation index, HamShape *shape, Buffer inner)
{
	HamTree *tree;
	int32 half;
	HamTree *moved;
	HamTree *kept;
	HamEntry entry;
	Buffer buffer;
	GenericXLogState *xlog;
	Page page;

	HamInnerCheck(index, shape, inner);
	tree = HamInnerRead(shape, BufferGetPage(inner));
	half = HamTreeHalf(tree);
	moved = HamTreeExtract(tree, half);
	memset(&entry, 0, sizeof(entry));
	HamBoundEverything(shape, &entry.bound);
	entry.splits = HAM_INNER_CHILD;
	buffer = HamTakePage(index, &entry.incarnation);
	entry.child = BufferGetBlockNumber(buffer);
	kept = HamTreeReplace(tree, half, &entry);

	xlog = GenericXLogStart(index);
	HamInnerWrite(shape, GenericXLogRegisterBuffer(xlog, inner, 0), kept);
	page = GenericXLogRegisterBuffer(xlog, buffer, GENERIC_XLOG_FULL_IMAGE);
	HamInnerInit(shape, page, entry.incarnation);
	HamInnerWrite(shape, page, moved);
	GenericXLogFinish(xlog);
	UnlockReleaseBuffer(buffer);
}

/* The leaf's codes as records; the extra word is the slot. */
static uint64 *
LeafRecords(const HamShape *shape, Page page, int count)
{
	uint64 *records = palloc((Size) count * HamRecordWords(shape) * sizeof(uint64));

	for (int slot = 0; slot < count; slot++)
	{
		uint64 *record = HamRecordAt(shape, records, slot);

		HamLeafGet(shape, page, slot, record);
		HamRecordExtra(shape, record) = slot;
	}
	return records;
}

/* Makes the page's codes, and the array's pointers, those of the records. */
static void
WriteLeaf(const HamShape *shape, Page page, HamItem *array, const HamItem *oldArray, uint64 *records, int count)
{
	memset(HamPageData(page), 0, HAM_DATA_SIZE);
	HamLeafSetCount(shape, page, count);
	for (int slot = 0; slot < count; slot++)
	{
		uint64 *record = HamRecordAt(shape, records, slot);

		HamLeafSet(shape, page, slot, record);
		memcpy(HamItemPointer(array, slot), HamItemPointer(oldArray, HamRecordExtra(shape, record)), array->width);
	}
}

/*
 * Splits a full leaf; it and the inner page, which has room for one more entry, are locked exclusively.
 */
void
HamSplitLeaf(Relation index, HamShape *shape, Buffer inner, int entry, Buffer leaf)
{
	HamOpaque *opaque = HamPageOpaque(BufferGetPage(leaf));
	int count = opaque->count;
	uint64 *records = LeafRecords(shape, BufferGetPage(leaf), count);
	HamTree *tree;
	HamCut cut;
	int kept = HamCutRecords(shape, records, count, 0, &cut);
	HamEntry right;
	HamItem *array;
	HamItem *oldArray;
	Size size;
	Buffer arrayBuffer;
	Buffer rightBuffer;
	Buffer target;
	uint32 newIncarnation;
	GenericXLogState *xlog;
	Page page;

	HamInnerCheck(index, shape, inner);
	tree = HamInnerRead(shape, BufferGetPage(inner));
	arrayBuffer = HamReadPage(index, opaque->arrayBlock, BUFFER_LOCK_SHARE);
	array = HamItemGet(index, arrayBuffer, BufferGetPage(arrayBuffer), opaque->arrayOffset, &size);
	if (HamItemRoom(size, array->width) < count)
		HamCorrupt(index, opaque->arrayBlock, "An array is too small for its leaf.");
	oldArray = palloc(size);
	memcpy(oldArray, array, size);
	LockBuffer(arrayBuffer, BUFFER_LOCK_UNLOCK);

	/* First record: the right leaf and its array, which nothing refers to yet. */
	memset(&right, 0, sizeof(right));
	rightBuffer = HamTakePage(index, &right.incarnation);
	right.child = BufferGetBlockNumber(rightBuffer);
	right.splits = opaque->splits;
	target = HamPointerTarget(index, shape, size, NULL, 0, &newIncarnation);
	array = palloc0(size);
	array->owner = right.child;
	array->width = oldArray->width;
	array->kind = HAM_ITEM_ARRAY;

	xlog = GenericXLogStart(index);
	page = GenericXLogRegisterBuffer(xlog, rightBuffer, GENERIC_XLOG_FULL_IMAGE);
	HamLeafInit(shape, page, right.incarnation);
	WriteLeaf(shape, page, array, oldArray, HamRecordAt(shape, records, kept), count - kept);
	HamPageOpaque(page)->flags = HAM_FLAG_INCOMPLETE;
	HamPageOpaque(page)->splits = opaque->splits;
	HamPageOpaque(page)->right = opaque->right;
	HamPageOpaque(page)->rightIncarnation = opaque->rightIncarnation;
	HamPageOpaque(page)->arrayBlock = BufferGetBlockNumber(target);
	HamPageOpaque(page)->arrayOffset = HamItemAdd(HamRegisterTarget(xlog, target, newIncarnation), array, size);
	GenericXLogFinish(xlog);
	HamRememberTarget(index, shape, target);
	UnlockReleaseBuffer(target);

	/* Second record: the left leaf loses them, and both become reachable. */
	HamBoundOfRecords(shape, records, kept, &tree->entries[entry].bound);
	HamBoundOfRecords(shape, HamRecordAt(shape, records, kept), count - kept, &right.bound);
	tree->entries[entry].splits = opaque->splits + 1;
	HamTreeSplitEntry(tree, entry, &cut, &right);

	LockBuffer(arrayBuffer, BUFFER_LOCK_EXCLUSIVE);
	xlog = GenericXLogStart(index);
	HamInnerWrite(shape, GenericXLogRegisterBuffer(xlog, inner, 0), tree);
	page = GenericXLogRegisterBuffer(xlog, leaf, 0);
	HamPageOpaque(GenericXLogRegisterBuffer(xlog, rightBuffer, 0))->flags &= ~HAM_FLAG_INCOMPLETE;
	opaque = HamPageOpaque(page);
	array = HamItemGet(index, arrayBuffer, GenericXLogRegisterBuffer(xlog, arrayBuffer, 0), opaque->arrayOffset, &size);
	WriteLeaf(shape, page, array, oldArray, records, kept);
	opaque->splits++;
	opaque->right = right.child;
	opaque->rightIncarnation = right.incarnation;
	GenericXLogFinish(xlog);
	UnlockReleaseBuffer(arrayBuffer);
	UnlockReleaseBuffer(rightBuffer);
}
