/*
 * pointers.c: heap pointers: their encoding, arrays and lists on pointer pages, and adding a row to a code that has rows already.
 *
 * Pointer pages are shared by leaves. Identity and contents of an item are protected by the lock of the leaf it belongs to, the page by its own
 * lock; so a page may be unlocked and locked again while the leaf stays locked.
 */
#include "postgres.h"

#include "index/ham.h"
#include "storage/freespace.h"

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
	if (!ItemIdIsNormal(id) || ItemIdGetLength(id) < HAM_ITEM_HEADER)
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

	for (int attempt = 0; attempt < 4; attempt++)
	{
		Buffer buffer;
		Page page;
		Size room = 0;

		if (block == InvalidBlockNumber)
			block = GetPageWithFreeSpace(index, need);
		if (block == InvalidBlockNumber)
			break;
		if (IsHeld(block, held, heldCount))
		{
			RecordPageWithFreeSpace(index, block, 0);
			block = InvalidBlockNumber;
			continue;
		}
		if (block >= RelationGetNumberOfBlocks(index))
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

/* Puts `list` (with all rows in it) on a page with room and lets the array point to it; the list it replaces, if any, goes. */
static void
PlaceList(Relation index, HamShape *shape, Buffer arrayBuffer, OffsetNumber arrayOffset, int slot, HamItem *list,
		  Size size, Buffer oldBuffer, OffsetNumber oldOffset)
{
	Buffer held[2];
	int heldCount = 0;
	Buffer target = InvalidBuffer;
	uint32 newIncarnation = 0;
	GenericXLogState *xlog;
	Page arrayPage;
	Page oldPage = NULL;
	Page targetPage;
	HamItem *array;
	Size arraySize;
	HamPointer pointer;

	held[heldCount++] = arrayBuffer;
	if (BufferIsValid(oldBuffer) && oldBuffer != arrayBuffer)
		held[heldCount++] = oldBuffer;
	if (!HamItemFits(BufferGetPage(arrayBuffer), size))
		target = HamPointerTarget(index, shape, size, held, heldCount, &newIncarnation);

	xlog = GenericXLogStart(index);
	arrayPage = GenericXLogRegisterBuffer(xlog, arrayBuffer, 0);
	if (BufferIsValid(oldBuffer))
		oldPage = oldBuffer == arrayBuffer ? arrayPage : GenericXLogRegisterBuffer(xlog, oldBuffer, 0);
	targetPage = BufferIsValid(target) ? HamRegisterTarget(xlog, target, newIncarnation) : arrayPage;

	pointer.block = BufferGetBlockNumber(BufferIsValid(target) ? target : arrayBuffer);
	pointer.offset = HamItemAdd(targetPage, list, size);
	pointer.list = true;
	if (oldPage != NULL)
		PageIndexTupleDeleteNoCompact(oldPage, oldOffset);
	array = HamItemGet(index, arrayBuffer, arrayPage, arrayOffset, &arraySize);
	Assert(HamPointerWidth(pointer) <= array->width);
	HamPointerStore(HamItemPointer(array, slot), array->width, pointer);
	GenericXLogFinish(xlog);
	if (BufferIsValid(target))
	{
		HamRememberTarget(index, shape, target);
		UnlockReleaseBuffer(target);
	}
}

/* A list that outgrew HAM_LIST_MAX, with the new row, becomes a chain of one page. */
static void
PlaceChain(Relation index, Buffer arrayBuffer, OffsetNumber arrayOffset, int slot, const HamItem *list, HamPointer row,
		   Buffer listBuffer, OffsetNumber listOffset)
{
	uint32 incarnation;
	Buffer chainBuffer = HamTakePage(index, &incarnation);
	GenericXLogState *xlog = GenericXLogStart(index);
	Page arrayPage = GenericXLogRegisterBuffer(xlog, arrayBuffer, 0);
	Page listPage = listBuffer == arrayBuffer ? arrayPage : GenericXLogRegisterBuffer(xlog, listBuffer, 0);
	Page chainPage = GenericXLogRegisterBuffer(xlog, chainBuffer, GENERIC_XLOG_FULL_IMAGE);
	HamPointer pointer = { BufferGetBlockNumber(chainBuffer), 0, true };
	HamItem *array;
	Size arraySize;

	HamChainInit(chainPage, incarnation, Max(list->width, HamPointerWidth(row)));
	for (int i = 0; i < list->count; i++)
		HamChainPut(chainPage, HamPointerLoad(HamItemPointer(list, i), list->width));
	HamChainPut(chainPage, row);
	PageIndexTupleDeleteNoCompact(listPage, listOffset);
	array = HamItemGet(index, arrayBuffer, arrayPage, arrayOffset, &arraySize);
	HamPointerStore(HamItemPointer(array, slot), array->width, pointer);
	GenericXLogFinish(xlog);
	UnlockReleaseBuffer(chainBuffer);
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

/* Can the array take a pointer to any page that the index has, or will have after this insert? */
static bool
TakesListPointers(Relation index, const HamItem *array)
{
	HamPointer last = { RelationGetNumberOfBlocks(index) + 1, NARROW_OFFSETS - 1, true };

	return HamPointerWidth(last) <= array->width;
}

/* Adds a row to the code at `slot`, which has at least one. The leaf is locked exclusively, and stays so. */
void
HamAddRow(Relation index, HamShape *shape, Buffer leaf, int slot, HamPointer row)
{
	HamOpaque *opaque = HamPageOpaque(BufferGetPage(leaf));
	OffsetNumber arrayOffset = opaque->arrayOffset;
	Buffer arrayBuffer = HamReadPage(index, opaque->arrayBlock, BUFFER_LOCK_EXCLUSIVE);
	Buffer listBuffer = InvalidBuffer;
	HamItem *item;
	Size size;
	HamPointer pointer;

	item = HamItemGet(index, arrayBuffer, BufferGetPage(arrayBuffer), arrayOffset, &size);
	if (item->width == HAM_WIDTH_MIN && !TakesListPointers(index, item))
	{
		UnlockReleaseBuffer(arrayBuffer);
		HamWidenArray(index, shape, leaf, HAM_WIDTH_MIN + 1);
		HamAddRow(index, shape, leaf, slot, row);
		return;
	}
	pointer = HamPointerLoad(HamItemPointer(item, slot), item->width);
	if (!pointer.list)
	{
		HamItem *list = GrownList(NULL, pointer, row, LIST_START, &size);

		PlaceList(index, shape, arrayBuffer, arrayOffset, slot, list, size, InvalidBuffer, InvalidOffsetNumber);
		pfree(list);
		UnlockReleaseBuffer(arrayBuffer);
		return;
	}
	if (pointer.offset == InvalidOffsetNumber)
	{
		UnlockReleaseBuffer(arrayBuffer);
		HamChainAppend(index, pointer.block, row);
		return;
	}

	if (pointer.block == BufferGetBlockNumber(arrayBuffer))
		listBuffer = arrayBuffer;
	else
	{
		LockBuffer(arrayBuffer, BUFFER_LOCK_UNLOCK);
		listBuffer = ReadBuffer(index, pointer.block);
		HamLockInOrder(arrayBuffer, listBuffer);
	}
	item = HamItemGet(index, listBuffer, BufferGetPage(listBuffer), pointer.offset, &size);
	if (item->count < HamItemRoom(size, item->width) && HamPointerWidth(row) <= item->width)
	{
		GenericXLogState *xlog = GenericXLogStart(index);
		Page page = GenericXLogRegisterBuffer(xlog, listBuffer, 0);

		item = HamItemGet(index, listBuffer, page, pointer.offset, &size);
		HamPointerStore(HamItemPointer(item, item->count), item->width, row);
		item->count++;
		GenericXLogFinish(xlog);
	}
	else if (HamItemSize(item->count + 1, Max(item->width, HamPointerWidth(row))) > HAM_LIST_MAX)
		PlaceChain(index, arrayBuffer, arrayOffset, slot, item, row, listBuffer, pointer.offset);
	else
	{
		HamItem *list = GrownList(item, pointer, row, item->count + Max(item->count / 2, LIST_START), &size);

		PlaceList(index, shape, arrayBuffer, arrayOffset, slot, list, size, listBuffer, pointer.offset);
		pfree(list);
	}
	if (listBuffer != arrayBuffer)
		UnlockReleaseBuffer(listBuffer);
	UnlockReleaseBuffer(arrayBuffer);
}
