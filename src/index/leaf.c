/* leaf.c: a page of codes, and the array of pointers that belongs to it. */
#include "postgres.h"

#include "index/ham.h"

static uint64 *
Codes(Page page)
{
	return (uint64 *) HamPageData(page);
}

void
HamLeafInit(const HamShape *shape, Page page, uint32 incarnation)
{
	HamInitPage(page, HAM_LEAF, incarnation);
}

/* Sets how many codes the page has, and with it which part of the page is data. */
void
HamLeafSetCount(const HamShape *shape, Page page, int count)
{
	HamPageOpaque(page)->count = count;
	((PageHeader) page)->pd_lower =
		HAM_DATA_OFFSET + bits_page_blocks(count) * BITS_PAGE_LANES * shape->words * sizeof(uint64);
}

void
HamLeafGet(const HamShape *shape, Page page, int slot, uint64 *code)
{
	for (uint32 w = 0; w < shape->words; w++)
		code[w] = Codes(page)[bits_page_word(shape->words, slot, w)];
}

void
HamLeafSet(const HamShape *shape, Page page, int slot, const uint64 *code)
{
	for (uint32 w = 0; w < shape->words; w++)
		Codes(page)[bits_page_word(shape->words, slot, w)] = code[w];
}

/* The slot that has the code, or -1. */
int
HamLeafFind(const HamShape *shape, Page page, const uint64 *code)
{
	uint16 slots[BLCKSZ / sizeof(uint64)];
	uint32 next;

	if (bits_page_at(shape->words, HamPageOpaque(page)->count, code, Codes(page), 0, slots, &next, NULL) == 0)
		return -1;
	return slots[0];
}

/* The last code takes the place of the removed one, in the leaf and in its array. */
void
HamLeafRemove(const HamShape *shape, Page page, HamItem *array, int slot)
{
	int last = HamPageOpaque(page)->count - 1;
	uint64 code[HAM_WORDS_MAX];

	if (slot != last)
	{
		HamLeafGet(shape, page, last, code);
		HamLeafSet(shape, page, slot, code);
		memcpy(HamItemPointer(array, slot), HamItemPointer(array, last), array->width);
	}
	/* Lanes beyond the count would survive replay otherwise than here, once pd_lower excludes them. */
	memset(code, 0, sizeof(code));
	HamLeafSet(shape, page, last, code);
	HamLeafSetCount(shape, page, last);
}

static HamItem *
NewArray(const HamShape *shape, Buffer leaf, int width, Size *size)
{
	HamItem *array;

	*size = HamItemSize(shape->leafCap, width);
	array = palloc0(*size);
	array->owner = BufferGetBlockNumber(leaf);
	array->width = width;
	array->kind = HAM_ITEM_ARRAY;
	return array;
}

/* Gives a leaf, locked exclusively, an array with wider pointers; or its first one, for an empty leaf. */
void
HamWidenArray(Relation index, HamShape *shape, Buffer leaf, int width)
{
	HamOpaque *opaque = HamPageOpaque(BufferGetPage(leaf));
	Buffer oldBuffer = InvalidBuffer;
	Buffer target;
	uint32 newIncarnation;
	GenericXLogState *xlog;
	Page targetPage;
	Size size;
	HamItem *array = NewArray(shape, leaf, width, &size);

	if (opaque->arrayBlock != InvalidBlockNumber)
	{
		HamItem *old;
		Size oldSize;

		oldBuffer = HamReadPage(index, opaque->arrayBlock, BUFFER_LOCK_EXCLUSIVE);
		old = HamItemGet(index, oldBuffer, BufferGetPage(oldBuffer), opaque->arrayOffset, &oldSize);
		for (int i = 0; i < opaque->count; i++)
			HamPointerStore(HamItemPointer(array, i), width, HamPointerLoad(HamItemPointer(old, i), old->width));
	}
	target = HamPointerTarget(index, shape, size, &oldBuffer, BufferIsValid(oldBuffer) ? 1 : 0, &newIncarnation);
	xlog = GenericXLogStart(index);
	opaque = HamPageOpaque(GenericXLogRegisterBuffer(xlog, leaf, 0));
	targetPage = HamRegisterTarget(xlog, target, newIncarnation);
	if (BufferIsValid(oldBuffer))
		PageIndexTupleDeleteNoCompact(GenericXLogRegisterBuffer(xlog, oldBuffer, 0), opaque->arrayOffset);
	opaque->arrayOffset = HamItemAdd(targetPage, array, size);
	opaque->arrayBlock = BufferGetBlockNumber(target);
	GenericXLogFinish(xlog);
	HamRememberTarget(index, shape, target);
	UnlockReleaseBuffer(target);
	if (BufferIsValid(oldBuffer))
		UnlockReleaseBuffer(oldBuffer);
	pfree(array);
}

/*
 * Appends a code with its first row to a leaf that has room, locked exclusively. If bound is not NULL, the entry of the inner page,
 * locked exclusively too, gets it in the same record: no scan sees the code without the bound.
 */
void
HamLeafAppend(Relation index, HamShape *shape, Buffer inner, int entry, const HamBound *bound, Buffer leaf,
			  const uint64 *code, HamPointer row)
{
	HamOpaque *opaque = HamPageOpaque(BufferGetPage(leaf));
	int slot = opaque->count;
	Buffer arrayBuffer;
	HamLog log;
	Page page;
	HamItem *array;
	Size size;

	if (opaque->arrayBlock == InvalidBlockNumber)
		HamWidenArray(index, shape, leaf, HamPointerWidth(row));
	arrayBuffer = HamReadPage(index, opaque->arrayBlock, BUFFER_LOCK_EXCLUSIVE);
	array = HamItemGet(index, arrayBuffer, BufferGetPage(arrayBuffer), opaque->arrayOffset, &size);
	if (array->width < HamPointerWidth(row))
	{
		UnlockReleaseBuffer(arrayBuffer);
		HamWidenArray(index, shape, leaf, HamPointerWidth(row));
		arrayBuffer = HamReadPage(index, opaque->arrayBlock, BUFFER_LOCK_EXCLUSIVE);
		array = HamItemGet(index, arrayBuffer, BufferGetPage(arrayBuffer), opaque->arrayOffset, &size);
	}
	if (slot >= HamItemRoom(size, array->width))
		HamCorrupt(index, BufferGetBlockNumber(arrayBuffer), "An array is too small for its leaf.");

	HamLogBegin(&log, index);
	if (bound != NULL)
		HamInnerSetBound(shape, HamLogPage(&log, inner), entry, bound, &log);
	page = HamLogPage(&log, leaf);
	HamLeafSetCount(shape, page, slot + 1);
	HamLogHeader(&log);
	HamLogBytes(&log, &opaque->count, sizeof(opaque->count));
	HamLeafSet(shape, page, slot, code);
	for (uint32 w = 0; w < shape->words; w++)
		HamLogBytes(&log, Codes(page) + bits_page_word(shape->words, slot, w), sizeof(uint64));
	HamLogPage(&log, arrayBuffer);
	HamPointerStore(HamItemPointer(array, slot), array->width, row);
	HamLogBytes(&log, HamItemPointer(array, slot), array->width);
	HamLogEnd(&log);
	UnlockReleaseBuffer(arrayBuffer);
}
