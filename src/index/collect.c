/* collect.c: from codes found to rows of the heap. */
#include "postgres.h"

#include "index/ham.h"
#include "utils/memutils.h"

void
HamRowsInit(HamRows *rows)
{
	memset(rows, 0, sizeof(*rows));
	rows->room = 64;
	rows->tids = palloc(rows->room * sizeof(ItemPointerData));
	rows->chainRoom = 4;
	rows->chains = palloc(rows->chainRoom * sizeof(HamChainRef));
}

void
HamRowsReset(HamRows *rows)
{
	rows->count = 0;
	rows->chainCount = 0;
}

void
HamRowsFree(HamRows *rows)
{
	pfree(rows->tids);
	pfree(rows->chains);
}

static void
AddPointer(HamRows *rows, HamPointer pointer)
{
	if (rows->count == rows->room)
	{
		rows->room *= 2;
		rows->tids = repalloc(rows->tids, rows->room * sizeof(ItemPointerData));
	}
	ItemPointerSet(&rows->tids[rows->count], pointer.block, pointer.offset);
	rows->count++;
}

/* Chains are read later, without the leaf's lock: their incarnation is taken down while it is held. */
static void
AddChain(Relation index, HamRows *rows, BlockNumber block)
{
	Buffer buffer = HamReadPageKind(index, block, BUFFER_LOCK_SHARE, HAM_CHAIN);
	uint32 incarnation = HamPageOpaque(BufferGetPage(buffer))->incarnation;

	UnlockReleaseBuffer(buffer);
	if (rows->chainCount == rows->chainRoom)
	{
		rows->chainRoom *= 2;
		rows->chains = repalloc(rows->chains, rows->chainRoom * sizeof(HamChainRef));
	}
	rows->chains[rows->chainCount].block = block;
	rows->chains[rows->chainCount++].incarnation = incarnation;
}

/* Adds the rows of some slots of a leaf, which is locked. One pointer page is locked at a time. */
void
HamCollect(Relation index, Page leaf, const uint16 *slots, int count, HamRows *rows)
{
	HamOpaque *opaque = HamPageOpaque(leaf);
	HamPointer *lists = NULL;
	int listCount = 0;
	Buffer buffer;
	HamItem *array;
	Size size;

	if (count == 0)
		return;
	buffer = HamReadPage(index, opaque->arrayBlock, BUFFER_LOCK_SHARE);
	array = HamItemGet(index, buffer, BufferGetPage(buffer), opaque->arrayOffset, &size);
	if (HamItemRoom(size, array->width) < opaque->count)
		HamCorrupt(index, opaque->arrayBlock, "An array is too small for its leaf.");
	for (int i = 0; i < count; i++)
	{
		HamPointer pointer = HamPointerLoad(HamItemPointer(array, slots[i]), array->width);

		if (!pointer.list)
			AddPointer(rows, pointer);
		else
		{
			if (lists == NULL)
				lists = palloc(count * sizeof(HamPointer));
			lists[listCount++] = pointer;
		}
	}
	UnlockReleaseBuffer(buffer);

	for (int i = 0; i < listCount; i++)
	{
		HamItem *list;

		if (lists[i].offset == InvalidOffsetNumber)
		{
			AddChain(index, rows, lists[i].block);
			continue;
		}
		buffer = HamReadPage(index, lists[i].block, BUFFER_LOCK_SHARE);
		list = HamItemGet(index, buffer, BufferGetPage(buffer), lists[i].offset, &size);
		if (list->kind != HAM_ITEM_LIST)
			HamCorrupt(index, lists[i].block, "A list is expected where an array is.");
		for (int j = 0; j < list->count; j++)
			AddPointer(rows, HamPointerLoad(HamItemPointer(list, j), list->width));
		UnlockReleaseBuffer(buffer);
	}
	if (lists != NULL)
		pfree(lists);
}

/*
 * Adds the rows of the next page of the last chain in `rows`, which becomes the page after it. False if the page is not the one that was
 * seen: on a standby the primary may have reused it.
 */
bool
HamCollectChain(Relation index, HamRows *rows)
{
	HamChainRef *chain = &rows->chains[rows->chainCount - 1];
	Buffer buffer = HamReadPage(index, chain->block, BUFFER_LOCK_SHARE);
	Page page = BufferGetPage(buffer);
	HamOpaque *opaque = HamPageOpaque(page);

	/* A freed page that was not reused keeps its link; its rows were all dead. */
	if (PageIsNew(page) || opaque->incarnation != chain->incarnation ||
		(opaque->kind != HAM_CHAIN && opaque->kind != HAM_FREE))
	{
		UnlockReleaseBuffer(buffer);
		return false;
	}
	if (opaque->kind == HAM_CHAIN)
	{
		HamChainCheck(index, buffer);
		for (int i = 0; i < opaque->count; i++)
			AddPointer(rows, HamPointerLoad(HamChainPointer(page, opaque->width, i), opaque->width));
	}
	if (opaque->right == InvalidBlockNumber)
		rows->chainCount--;
	else
	{
		chain->block = opaque->right;
		chain->incarnation = opaque->rightIncarnation;
	}
	UnlockReleaseBuffer(buffer);
	return true;
}
