/*
 * pointers.c: heap pointers: their encoding, arrays and lists on pointer pages, and adding a row to a code that has rows already.
 *
 * Pointer pages are shared by leaves. Identity and contents of an item are protected by the lock of the leaf it belongs to, the page by its own
 * lock; so a page may be unlocked and locked again while the leaf stays locked.
 */
#include "postgres.h"

#include "index/ham.h"
#include "storage/freespace.h"
#include "storage/indexfsm.h"

/* Offsets of heap rows below this fit the narrow encodings; other table access methods may have larger ones. */
#define NARROW_OFFSET_BITS 9
#define NARROW_OFFSETS     (1 << NARROW_OFFSET_BITS)
#define LIST_START         4 /* rows a new list has room for */

static uint64
Encode(HamPointer pointer, int offsetBits)
{
	return ((((uint64) pointer.block << offsetBits) | pointer.offset) << 1) | (pointer.list ? 1 : 0);
}

/* Bytes that the pointer needs, HAM_WIDTH_MIN to HAM_WIDTH_MAX. */
int
HamPointerWidth(HamPointer pointer)
{
	int width = HAM_WIDTH_MIN;

	if (pointer.offset >= NARROW_OFFSETS)
		return HAM_WIDTH_MAX;
	while (width < HAM_WIDTH_MAX - 1 && Encode(pointer, NARROW_OFFSET_BITS) >> (8 * width) != 0)
		width++;
	return width;
}

void
HamPointerStore(char *to, int width, HamPointer pointer)
{
	uint64 value = Encode(pointer, width == HAM_WIDTH_MAX ? 16 : NARROW_OFFSET_BITS);

	for (int i = 0; i < width; i++)
		to[i] = (char) (value >> (8 * i));
}

HamPointer
HamPointerLoad(const char *from, int width)
{
	int offsetBits = width == HAM_WIDTH_MAX ? 16 : NARROW_OFFSET_BITS;
	uint64 value = 0;
	HamPointer pointer;

	for (int i = 0; i < width; i++)
		value |= (uint64) (unsigned char) from[i] << (8 * i);
	pointer.list = value & 1;
	pointer.offset = (value >> 1) & ((1 << offsetBits) - 1);
	pointer.block = (BlockNumber) (value >> (offsetBits + 1));
	return pointer;
}

HamPointer
HamPointerFromTid(ItemPointer tid)
{
	HamPointer pointer = { ItemPointerGetBlockNumber(tid), ItemPointerGetOffsetNumber(tid), false };

	return pointer;
}

/* An item, checked so far that reading it cannot leave the page. */
HamItem *
HamItemGet(Relation index, Buffer buffer, Page page, OffsetNumber offset, Size *size)
{
	ItemId id;
	HamItem *item;

	if (HamPageOpaque(page)->kind != HAM_POINTERS || offset < FirstOffsetNumber ||
		offset > PageGetMaxOffsetNumber(page))
		HamCorrupt(index, BufferGetBlockNumber(buffer), "An item that a leaf or an array points to is missing.");
	id = PageGetItemId(page, offset);
	if (!ItemIdIsNormal(id) || ItemIdGetLength(id) < HAM_ITEM_HEADER ||
		ItemIdGetOffset(id) + ItemIdGetLength(id) > BLCKSZ - HAM_SPECIAL)
		HamCorrupt(index, BufferGetBlockNumber(buffer), "An item that a leaf or an array points to is missing.");
	item = (HamItem *) PageGetItem(page, id);
	*size = ItemIdGetLength(id);
	if (item->width < HAM_WIDTH_MIN || item->width > HAM_WIDTH_MAX ||
		(item->kind == HAM_ITEM_LIST && item->count > HamItemRoom(*size, item->width)))
		HamCorrupt(index, BufferGetBlockNumber(buffer), "An item has an impossible header.");
	return item;
}

static OffsetNumber
FreeLinePointer(Page page)
{
	OffsetNumber max = PageGetMaxOffsetNumber(page);

	for (OffsetNumber offset = FirstOffsetNumber; offset <= max; offset++)
		if (!ItemIdIsUsed(PageGetItemId(page, offset)))
			return offset;
	return OffsetNumberNext(max);
}

bool
HamItemFits(Page page, Size size)
{
	PageHeader header = (PageHeader) page;

	return size + sizeof(ItemIdData) <= (Size) (header->pd_upper - header->pd_lower);
}

OffsetNumber
HamItemAdd(Page page, HamItem *item, Size size)
{
	OffsetNumber offset = PageAddItemExtended(page, (Item) item, size, FreeLinePointer(page), PAI_OVERWRITE);

	if (offset == InvalidOffsetNumber)
		elog(ERROR, "no room for an item of %zu bytes on a pointer page", size);
	return offset;
}

static bool
IsHeld(BlockNumber block, const Buffer *held, int heldCount)
{
	for (int i = 0; i < heldCount; i++)
		if (BufferGetBlockNumber(held[i]) == block)
			return true;
	return false;
}

/*
 * A pointer page with room for an item of this size, other than the pages held, locked exclusively without waiting for any lock.
 * *newIncarnation is 0, or what a page that is to become a pointer page must get.
 */
Buffer
HamPointerTarget(Relation index, HamShape *shape, Size size, const Buffer *held, int heldCount, uint32 *newIncarnation)
{
	Size need = size + sizeof(ItemIdData);
	BlockNumber block = shape->pointerTarget;
	bool fromMap = false;

	for (int attempt = 0; attempt < 4; attempt++)
	{
		Buffer buffer;
		Page page;
		Size room = 0;

		if (block == InvalidBlockNumber)
		{
			block = GetPageWithFreeSpace(index, need);
			fromMap = true;
		}
		if (block == InvalidBlockNumber)
			break;
		if (IsHeld(block, held, heldCount))
		{
			RecordPageWithFreeSpace(index, block, 0);
			block = InvalidBlockNumber;
			continue;
		}
		/* The map is not logged: after a crash it may know blocks that the file lost. */
		if (fromMap && block >= RelationGetNumberOfBlocks(index))
		{
			RecordPageWithFreeSpace(index, block, 0);
			block = InvalidBlockNumber;
			continue;
		}
		buffer = ReadBuffer(index, block);
		if (!ConditionalLockBuffer(buffer))
		{
			ReleaseBuffer(buffer);
			block = InvalidBlockNumber;
			continue;
		}
		page = BufferGetPage(buffer);
		*newIncarnation = 0;
		if (HamPageReusable(page))
		{
			*newIncarnation = PageIsNew(page) ? 1 : HamPageOpaque(page)->incarnation + 1;
			return buffer;
		}
		if (HamPageOpaque(page)->kind == HAM_POINTERS)
		{
			if (HamItemFits(page, size))
				return buffer;
			room = PageGetExactFreeSpace(page);
		}
		UnlockReleaseBuffer(buffer);
		block = RecordAndGetPageWithFreeSpace(index, block, room, need);
		fromMap = true;
	}
	return HamTakePage(index, newIncarnation);
}

Page
HamRegisterTarget(GenericXLogState *xlog, Buffer buffer, uint32 newIncarnation)
{
	Page page = GenericXLogRegisterBuffer(xlog, buffer, newIncarnation != 0 ? GENERIC_XLOG_FULL_IMAGE : 0);

	if (newIncarnation != 0)
		HamInitPage(page, HAM_POINTERS, newIncarnation);
	return page;
}

/* Tells this backend where it found room, and the others how much is left. */
void
HamRememberTarget(Relation index, HamShape *shape, Buffer buffer)
{
	shape->pointerTarget = BufferGetBlockNumber(buffer);
	if (index->rd_amcache != NULL)
		((HamCache *) index->rd_amcache)->shape.pointerTarget = shape->pointerTarget;
}

/* Locks two pages exclusively in block order; the same page is locked once. */
void
HamLockInOrder(Buffer a, Buffer b)
{
	if (BufferGetBlockNumber(a) > BufferGetBlockNumber(b))
	{
		Buffer swap = a;

		a = b;
		b = swap;
	}
	LockBuffer(a, BUFFER_LOCK_EXCLUSIVE);
	if (BufferGetBlockNumber(a) != BufferGetBlockNumber(b))
		LockBuffer(b, BUFFER_LOCK_EXCLUSIVE);
}

/* Do the array's pointers reach items on that page? If not, it needs wider ones first. */
static bool
Reaches(const HamItem *array, Buffer buffer)
{
	HamPointer last = { BufferGetBlockNumber(buffer), NARROW_OFFSETS - 1, true };

	return HamPointerWidth(last) <= array->width;
}

/*
 * A code's second row: puts `list` (with both in it) on the array's page or one with room and lets the array point to it. Frequent
 * where codes repeat, so logged as what it is. False if the array's pointers are too narrow.
 */
static bool
NewList(Relation index, HamShape *shape, Buffer arrayBuffer, HamItem *array, int slot, HamItem *list, Size size)
{
	Buffer target = arrayBuffer;
	uint32 newIncarnation = 0;
	HamPointer pointer;
	HamLog log;
	Page page;

	if (!HamItemFits(BufferGetPage(arrayBuffer), size))
		target = HamPointerTarget(index, shape, size, &arrayBuffer, 1, &newIncarnation);
	if (!Reaches(array, target))
	{
		if (target != arrayBuffer)
			UnlockReleaseBuffer(target);
		return false;
	}
	if (newIncarnation != 0)
	{
		GenericXLogState *xlog = GenericXLogStart(index);

		HamRegisterTarget(xlog, target, newIncarnation);
		GenericXLogFinish(xlog);
	}

	HamLogBegin(&log, index);
	page = HamLogPage(&log, target);
	pointer.block = BufferGetBlockNumber(target);
	pointer.offset = HamItemAdd(page, list, size);
	pointer.list = true;
	HamLogHeader(&log);
	HamLogBytes(&log, PageGetItemId(page, pointer.offset), sizeof(ItemIdData));
	HamLogBytes(&log, PageGetItem(page, PageGetItemId(page, pointer.offset)), size);
	if (target != arrayBuffer)
		HamLogPage(&log, arrayBuffer);
	HamPointerStore(HamItemPointer(array, slot), array->width, pointer);
	HamLogBytes(&log, HamItemPointer(array, slot), array->width);
	HamLogEnd(&log);
	if (target != arrayBuffer)
	{
		HamRememberTarget(index, shape, target);
		UnlockReleaseBuffer(target);
	}
	return true;
}

/* Puts `list`, the copy of one with one row more, on a page with room and lets the array point to it; the old one goes. Else as above. */
static bool
MoveList(Relation index, HamShape *shape, Buffer arrayBuffer, OffsetNumber arrayOffset, int slot, HamItem *list,
		 Size size, Buffer oldBuffer, OffsetNumber oldOffset)
{
	Buffer held[2];
	int heldCount = 0;
	Buffer target = arrayBuffer;
	uint32 newIncarnation = 0;
	GenericXLogState *xlog;
	Page arrayPage;
	Page oldPage;
	Page targetPage;
	HamItem *array;
	Size arraySize;
	HamPointer pointer;

	held[heldCount++] = arrayBuffer;
	if (oldBuffer != arrayBuffer)
		held[heldCount++] = oldBuffer;
	if (!HamItemFits(BufferGetPage(arrayBuffer), size))
		target = HamPointerTarget(index, shape, size, held, heldCount, &newIncarnation);
	array = HamItemGet(index, arrayBuffer, BufferGetPage(arrayBuffer), arrayOffset, &arraySize);
	if (!Reaches(array, target))
	{
		if (target != arrayBuffer)
			UnlockReleaseBuffer(target);
		return false;
	}

	xlog = GenericXLogStart(index);
	arrayPage = GenericXLogRegisterBuffer(xlog, arrayBuffer, 0);
	oldPage = oldBuffer == arrayBuffer ? arrayPage : GenericXLogRegisterBuffer(xlog, oldBuffer, 0);
	targetPage = target != arrayBuffer ? HamRegisterTarget(xlog, target, newIncarnation) : arrayPage;

	pointer.block = BufferGetBlockNumber(target);
	pointer.offset = HamItemAdd(targetPage, list, size);
	pointer.list = true;
	PageIndexTupleDeleteNoCompact(oldPage, oldOffset);
	array = HamItemGet(index, arrayBuffer, arrayPage, arrayOffset, &arraySize);
	HamPointerStore(HamItemPointer(array, slot), array->width, pointer);
	GenericXLogFinish(xlog);
	if (target != arrayBuffer)
	{
		HamRememberTarget(index, shape, target);
		UnlockReleaseBuffer(target);
	}
	return true;
}

/* A list that outgrew HAM_LIST_MAX, with the new row, becomes a chain of one page. Else as above. */
static bool
PlaceChain(Relation index, Buffer arrayBuffer, OffsetNumber arrayOffset, int slot, const HamItem *list, HamPointer row,
		   Buffer listBuffer, OffsetNumber listOffset)
{
	uint32 incarnation;
	Buffer chainBuffer = HamTakePage(index, &incarnation);
	HamPointer pointer = { BufferGetBlockNumber(chainBuffer), 0, true };
	GenericXLogState *xlog;
	Page arrayPage;
	Page listPage;
	Page chainPage;
	Size arraySize;
	HamItem *array = HamItemGet(index, arrayBuffer, BufferGetPage(arrayBuffer), arrayOffset, &arraySize);

	if (!Reaches(array, chainBuffer))
	{
		/* It is as free as before. */
		RecordFreeIndexPage(index, pointer.block);
		UnlockReleaseBuffer(chainBuffer);
		return false;
	}
	xlog = GenericXLogStart(index);
	arrayPage = GenericXLogRegisterBuffer(xlog, arrayBuffer, 0);
	listPage = listBuffer == arrayBuffer ? arrayPage : GenericXLogRegisterBuffer(xlog, listBuffer, 0);
	chainPage = GenericXLogRegisterBuffer(xlog, chainBuffer, GENERIC_XLOG_FULL_IMAGE);
	HamChainInit(chainPage, incarnation, Max(list->width, HamPointerWidth(row)));
	for (int i = 0; i < list->count; i++)
		HamChainPut(chainPage, HamPointerLoad(HamItemPointer(list, i), list->width));
	HamChainPut(chainPage, row);
	PageIndexTupleDeleteNoCompact(listPage, listOffset);
	array = HamItemGet(index, arrayBuffer, arrayPage, arrayOffset, &arraySize);
	HamPointerStore(HamItemPointer(array, slot), array->width, pointer);
	GenericXLogFinish(xlog);
	UnlockReleaseBuffer(chainBuffer);
	return true;
}

static void
AppendToList(Relation index, Buffer buffer, HamItem *list, HamPointer row)
{
	HamLog log;

	HamLogBegin(&log, index);
	HamLogPage(&log, buffer);
	HamPointerStore(HamItemPointer(list, list->count), list->width, row);
	HamLogBytes(&log, HamItemPointer(list, list->count), list->width);
	list->count++;
	HamLogBytes(&log, &list->count, sizeof(list->count));
	HamLogEnd(&log);
}

/* A copy of the rows with one more, in an item with room for `room` rows. */
static HamItem *
GrownList(const HamItem *old, HamPointer first, HamPointer row, int room, Size *size)
{
	int width = HamPointerWidth(row);
	HamItem *list;

	width = Max(width, old != NULL ? old->width : HamPointerWidth(first));
	*size = HamItemSize(room, width);
	list = palloc0(*size);
	list->owner = InvalidBlockNumber;
	list->kind = HAM_ITEM_LIST;
	list->width = width;
	if (old == NULL)
		HamPointerStore(HamItemPointer(list, list->count++), width, first);
	else
		for (int i = 0; i < old->count; i++)
			HamPointerStore(HamItemPointer(list, list->count++), width,
							HamPointerLoad(HamItemPointer(old, i), old->width));
	HamPointerStore(HamItemPointer(list, list->count++), width, row);
	return list;
}

/* Adds a row to the code at `slot`, which has at least one. The leaf is locked exclusively, and stays so. */
void
HamAddRow(Relation index, HamShape *shape, Buffer leaf, int slot, HamPointer row)
{
	HamOpaque *opaque = HamPageOpaque(BufferGetPage(leaf));
	OffsetNumber arrayOffset = opaque->arrayOffset;
	Buffer arrayBuffer = HamReadPage(index, opaque->arrayBlock, BUFFER_LOCK_EXCLUSIVE);
	Buffer listBuffer = arrayBuffer;
	HamItem *array;
	HamItem *list;
	HamItem *grown;
	Size size;
	HamPointer pointer;
	bool done = true;

	array = HamItemGet(index, arrayBuffer, BufferGetPage(arrayBuffer), arrayOffset, &size);
	pointer = HamPointerLoad(HamItemPointer(array, slot), array->width);
	if (pointer.list && pointer.offset == InvalidOffsetNumber)
	{
		UnlockReleaseBuffer(arrayBuffer);
		HamChainAppend(index, pointer.block, row);
		return;
	}
	if (!pointer.list)
	{
		grown = GrownList(NULL, pointer, row, LIST_START, &size);
		done = NewList(index, shape, arrayBuffer, array, slot, grown, size);
	}
	else
	{
		if (pointer.block != BufferGetBlockNumber(arrayBuffer))
		{
			LockBuffer(arrayBuffer, BUFFER_LOCK_UNLOCK);
			listBuffer = ReadBuffer(index, pointer.block);
			HamLockInOrder(arrayBuffer, listBuffer);
		}
		list = HamItemGet(index, listBuffer, BufferGetPage(listBuffer), pointer.offset, &size);
		if (list->count < HamItemRoom(size, list->width) && HamPointerWidth(row) <= list->width)
			AppendToList(index, listBuffer, list, row);
		else if (HamItemSize(list->count + 1, Max(list->width, HamPointerWidth(row))) > HAM_LIST_MAX)
			done = PlaceChain(index, arrayBuffer, arrayOffset, slot, list, row, listBuffer, pointer.offset);
		else
		{
			grown = GrownList(list, pointer, row, list->count + Max(list->count / 2, LIST_START), &size);
			done = MoveList(index, shape, arrayBuffer, arrayOffset, slot, grown, size, listBuffer, pointer.offset);
		}
	}
	if (listBuffer != arrayBuffer)
		UnlockReleaseBuffer(listBuffer);
	UnlockReleaseBuffer(arrayBuffer);
	if (!done)
	{
		HamWidenArray(index, shape, leaf, HAM_WIDTH_MIN + 1);
		HamAddRow(index, shape, leaf, slot, row);
	}
}
