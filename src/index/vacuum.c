/*
 * vacuum.c: bulk deletion and clean-up. One pass over the blocks in order; README.md ("VACUUM") says why nothing is missed and what
 * may be freed when.
 */
#include "postgres.h"

#include "commands/vacuum.h"
#include "compat.h"
#include "index/ham.h"
#include "miscadmin.h"
#include "storage/freespace.h"
#include "storage/indexfsm.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"

/* One code in so many goes to the sample of the cost model. */
#define SAMPLE_EVERY 8

typedef struct HamVacuum
{
	IndexVacuumInfo *info;
	Relation index;
	IndexBulkDeleteResult *stats;
	IndexBulkDeleteCallback callback;
	void *callbackState;
	HamShape shape;
	HamMeta meta; /* new statistics */
	HamSampler *sampler;
	MemoryContext context;     /* the caller's */
	MemoryContext leafContext; /* reset for each leaf */
	List *chains;              /* heads of chains of the present leaf */
	BlockNumber *empty;        /* leaves left without codes */
	int emptyCount;
	int emptyRoom;
	uint8 *visited; /* a bit a block: a leaf of this pass */
	Size visitedBytes;
} HamVacuum;

static bool
IsDead(HamVacuum *vacuum, HamPointer pointer)
{
	ItemPointerData tid;

	if (vacuum->callback == NULL)
		return false;
	ItemPointerSet(&tid, pointer.block, pointer.offset);
	return vacuum->callback(&tid, vacuum->callbackState);
}

static Buffer
ReadLocked(HamVacuum *vacuum, BlockNumber block, int lock)
{
	Buffer buffer = ReadBufferExtended(vacuum->index, MAIN_FORKNUM, block, RBM_NORMAL, vacuum->info->strategy);

	LockBuffer(buffer, lock);
	HamCheckPage(vacuum->index, buffer);
	return buffer;
}

/* Keeps the live rows of a packed run of pointers; returns how many. */
static int
KeepLive(HamVacuum *vacuum, char *data, int width, int count)
{
	int kept = 0;

	for (int i = 0; i < count; i++)
	{
		if (IsDead(vacuum, HamPointerLoad(data + (Size) i * width, width)))
			continue;
		if (kept != i)
			memcpy(data + (Size) kept * width, data + (Size) i * width, width);
		kept++;
	}
	return kept;
}

static void
CountRows(HamVacuum *vacuum, int live, int dead)
{
	vacuum->stats->num_index_tuples += live;
	vacuum->stats->tuples_removed += dead;
}

/* Removes the dead rows of a list; returns how many live. The leaf is locked. */
static int
VacuumList(HamVacuum *vacuum, HamPointer pointer)
{
	Buffer buffer = ReadLocked(vacuum, pointer.block, BUFFER_LOCK_EXCLUSIVE);
	Size size;
	HamItem *list = HamItemGet(vacuum->index, buffer, BufferGetPage(buffer), pointer.offset, &size);
	HamItem *copy = palloc(size);
	int count = list->count;
	int live;

	memcpy(copy, list, size);
	live = KeepLive(vacuum, copy->data, copy->width, count);
	if (live < count)
	{
		GenericXLogState *xlog = GenericXLogStart(vacuum->index);
		Page page = GenericXLogRegisterBuffer(xlog, buffer, 0);

		copy->count = live;
		memset(HamItemPointer(copy, live), 0, (Size) (count - live) * copy->width);
		memcpy(HamItemGet(vacuum->index, buffer, page, pointer.offset, &size), copy, size);
		GenericXLogFinish(xlog);
	}
	UnlockReleaseBuffer(buffer);
	CountRows(vacuum, live, count - live);
	pfree(copy);
	return live;
}

/* Removes the dead rows of a chain page, locked exclusively; returns how many live. */
static int
VacuumChainPage(HamVacuum *vacuum, Buffer buffer)
{
	HamOpaque *opaque = HamPageOpaque(BufferGetPage(buffer));
	int count = opaque->count;
	int width = opaque->width;
	char *copy;
	int live;

	HamChainCheck(vacuum->index, buffer);
	copy = palloc((Size) count * width + 1);
	memcpy(copy, HamPageData(BufferGetPage(buffer)), (Size) count * width);
	live = KeepLive(vacuum, copy, width, count);
	if (live < count)
	{
		GenericXLogState *xlog = GenericXLogStart(vacuum->index);
		Page page = GenericXLogRegisterBuffer(xlog, buffer, 0);

		memset(HamPageData(page), 0, (Size) count * width);
		memcpy(HamPageData(page), copy, (Size) live * width);
		HamPageOpaque(page)->count = live;
		((PageHeader) page)->pd_lower = HAM_DATA_OFFSET + live * width;
		GenericXLogFinish(xlog);
	}
	CountRows(vacuum, live, count - live);
	pfree(copy);
	return live;
}

static void
UnlinkChainPage(HamVacuum *vacuum, Buffer before, Buffer buffer)
{
	GenericXLogState *xlog = GenericXLogStart(vacuum->index);
	HamOpaque *left = HamPageOpaque(GenericXLogRegisterBuffer(xlog, before, 0));
	Page page = GenericXLogRegisterBuffer(xlog, buffer, GENERIC_XLOG_FULL_IMAGE);

	left->right = HamPageOpaque(page)->right;
	left->rightIncarnation = HamPageOpaque(page)->rightIncarnation;
	HamMakeFree(page, true);
	GenericXLogFinish(xlog);
	vacuum->stats->pages_newly_deleted++;
}

/*
 * Removes the dead rows of a chain and its empty pages, except the head. No leaf is locked: only an append to the head or the
 * second page happens meanwhile. True if nothing is left.
 */
static bool
VacuumChain(HamVacuum *vacuum, BlockNumber head)
{
	BlockNumber before = head;
	bool empty;
	Buffer buffer = ReadLocked(vacuum, head, BUFFER_LOCK_EXCLUSIVE);

	if (HamPageOpaque(BufferGetPage(buffer))->kind != HAM_CHAIN)
		HamCorrupt(vacuum->index, head, "A chain is expected.");
	empty = VacuumChainPage(vacuum, buffer) == 0;
	UnlockReleaseBuffer(buffer);
	for (;;)
	{
		Buffer left;
		BlockNumber block;

		EddhVacuumDelay();
		left = ReadLocked(vacuum, before, BUFFER_LOCK_EXCLUSIVE);
		block = HamPageOpaque(BufferGetPage(left))->right;
		if (block == InvalidBlockNumber)
		{
			UnlockReleaseBuffer(left);
			return empty && before == head;
		}
		buffer = ReadLocked(vacuum, block, BUFFER_LOCK_EXCLUSIVE);
		if (VacuumChainPage(vacuum, buffer) == 0)
			UnlinkChainPage(vacuum, left, buffer);
		else
			before = block;
		UnlockReleaseBuffer(buffer);
		UnlockReleaseBuffer(left);
	}
}

/* Does the chain have no rows at all? */
static bool
ChainIsEmpty(HamVacuum *vacuum, BlockNumber head)
{
	Buffer buffer = ReadLocked(vacuum, head, BUFFER_LOCK_SHARE);
	HamOpaque *opaque = HamPageOpaque(BufferGetPage(buffer));
	bool empty = opaque->count == 0 && opaque->right == InvalidBlockNumber;

	UnlockReleaseBuffer(buffer);
	return empty;
}

/* Removes a code whose list or chain is empty, and that with it: one record. */
static void
RemoveListedCode(HamVacuum *vacuum, Buffer leaf, int slot, HamPointer pointer)
{
	HamOpaque *opaque = HamPageOpaque(BufferGetPage(leaf));
	OffsetNumber arrayOffset = opaque->arrayOffset;
	Buffer arrayBuffer = ReadBuffer(vacuum->index, opaque->arrayBlock);
	Buffer buffer = ReadBuffer(vacuum->index, pointer.block);
	GenericXLogState *xlog;
	Page leafPage;
	Page arrayPage;
	Page page;
	Size size;

	if (pointer.offset == InvalidOffsetNumber)
	{
		/* Chains come after pointer pages in lock order. */
		LockBuffer(arrayBuffer, BUFFER_LOCK_EXCLUSIVE);
		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	}
	else
		HamLockInOrder(arrayBuffer, buffer);
	xlog = GenericXLogStart(vacuum->index);
	leafPage = GenericXLogRegisterBuffer(xlog, leaf, 0);
	arrayPage = GenericXLogRegisterBuffer(xlog, arrayBuffer, 0);
	page = buffer == arrayBuffer ? arrayPage : GenericXLogRegisterBuffer(xlog, buffer, 0);
	HamLeafRemove(&vacuum->shape, leafPage, HamItemGet(vacuum->index, arrayBuffer, arrayPage, arrayOffset, &size),
				  slot);
	if (pointer.offset == InvalidOffsetNumber)
	{
		HamMakeFree(page, true);
		vacuum->stats->pages_newly_deleted++;
	}
	else
		PageIndexTupleDeleteNoCompact(page, pointer.offset);
	GenericXLogFinish(xlog);
	if (buffer != arrayBuffer)
		LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	ReleaseBuffer(buffer);
	UnlockReleaseBuffer(arrayBuffer);
}

/* Removes codes whose only row is dead, slots descending: one record. */
static void
RemoveSingles(HamVacuum *vacuum, Buffer leaf, const uint16 *slots, int count)
{
	HamOpaque *opaque = HamPageOpaque(BufferGetPage(leaf));
	Buffer arrayBuffer;
	GenericXLogState *xlog;
	Page leafPage;
	HamItem *array;
	Size size;

	if (count == 0)
		return;
	arrayBuffer = HamReadPage(vacuum->index, opaque->arrayBlock, BUFFER_LOCK_EXCLUSIVE);
	xlog = GenericXLogStart(vacuum->index);
	leafPage = GenericXLogRegisterBuffer(xlog, leaf, 0);
	array = HamItemGet(vacuum->index, arrayBuffer, GenericXLogRegisterBuffer(xlog, arrayBuffer, 0), opaque->arrayOffset,
					   &size);
	for (int i = 0; i < count; i++)
		HamLeafRemove(&vacuum->shape, leafPage, array, slots[i]);
	GenericXLogFinish(xlog);
	UnlockReleaseBuffer(arrayBuffer);
}

/*
 * The live and the dead of a leaf, locked exclusively. Lists are treated first, in place, each with its own record; then codes without
 * rows are removed from the last to the first, so that the code that fills the hole was looked at already.
 */
static void
VacuumCodes(HamVacuum *vacuum, Buffer leaf)
{
	HamOpaque *opaque = HamPageOpaque(BufferGetPage(leaf));
	int count = opaque->count;
	Buffer arrayBuffer;
	HamItem *array;
	Size size;
	bool *dead = palloc0(count * sizeof(bool));
	uint16 *singles = palloc(count * sizeof(uint16));
	int singleCount = 0;

	arrayBuffer = HamReadPage(vacuum->index, opaque->arrayBlock, BUFFER_LOCK_SHARE);
	{
		HamItem *item = HamItemGet(vacuum->index, arrayBuffer, BufferGetPage(arrayBuffer), opaque->arrayOffset, &size);

		if (HamItemRoom(size, item->width) < count)
			HamCorrupt(vacuum->index, opaque->arrayBlock, "An array is too small for its leaf.");
		array = palloc(size);
		memcpy(array, item, size);
	}
	UnlockReleaseBuffer(arrayBuffer);

	for (int slot = 0; slot < count; slot++)
	{
		HamPointer pointer = HamPointerLoad(HamItemPointer(array, slot), array->width);
		int rows = 1;

		if (!pointer.list)
		{
			dead[slot] = IsDead(vacuum, pointer);
			CountRows(vacuum, dead[slot] ? 0 : 1, dead[slot] ? 1 : 0);
		}
		else if (pointer.offset != InvalidOffsetNumber)
		{
			rows = VacuumList(vacuum, pointer);
			dead[slot] = rows == 0;
		}
		else
		{
			rows = HamChainRoom(HAM_WIDTH_MIN); /* a guess for the sample: the chain is read later */
			dead[slot] = ChainIsEmpty(vacuum, pointer.block);
			if (!dead[slot])
				vacuum->chains = lappend_int(vacuum->chains, (int) pointer.block);
		}
		if (!dead[slot] && slot % SAMPLE_EVERY == 0)
		{
			uint64 code[HAM_WORDS_MAX];

			HamLeafGet(&vacuum->shape, BufferGetPage(leaf), slot, code);
			HamSamplerAdd(vacuum->sampler, code, rows);
		}
	}
	for (int slot = count - 1; slot >= 0; slot--)
	{
		HamPointer pointer = HamPointerLoad(HamItemPointer(array, slot), array->width);

		if (!dead[slot])
			continue;
		if (!pointer.list)
			singles[singleCount++] = slot;
		else
		{
			RemoveSingles(vacuum, leaf, singles, singleCount);
			singleCount = 0;
			RemoveListedCode(vacuum, leaf, slot, pointer);
		}
	}
	RemoveSingles(vacuum, leaf, singles, singleCount);
}

/* Frees a leaf and its array; inner, if valid, is locked exclusively and loses the entry in the same record. */
static void
FreeLeaf(HamVacuum *vacuum, Buffer inner, HamTree *tree, Buffer leaf, bool wait)
{
	HamOpaque *opaque = HamPageOpaque(BufferGetPage(leaf));
	Buffer arrayBuffer = InvalidBuffer;
	OffsetNumber arrayOffset = opaque->arrayOffset;
	GenericXLogState *xlog;

	if (opaque->arrayBlock != InvalidBlockNumber)
		arrayBuffer = HamReadPage(vacuum->index, opaque->arrayBlock, BUFFER_LOCK_EXCLUSIVE);
	xlog = GenericXLogStart(vacuum->index);
	if (BufferIsValid(inner))
		HamInnerWrite(&vacuum->shape, GenericXLogRegisterBuffer(xlog, inner, 0), tree);
	HamMakeFree(GenericXLogRegisterBuffer(xlog, leaf, GENERIC_XLOG_FULL_IMAGE), wait);
	if (BufferIsValid(arrayBuffer))
		PageIndexTupleDeleteNoCompact(GenericXLogRegisterBuffer(xlog, arrayBuffer, 0), arrayOffset);
	GenericXLogFinish(xlog);
	if (BufferIsValid(arrayBuffer))
		UnlockReleaseBuffer(arrayBuffer);
	vacuum->stats->pages_newly_deleted++;
}

static void
RememberEmpty(HamVacuum *vacuum, BlockNumber block)
{
	if (vacuum->emptyCount == vacuum->emptyRoom)
	{
		vacuum->emptyRoom = Max(64, vacuum->emptyRoom * 2);
		if (vacuum->empty == NULL)
			vacuum->empty = MemoryContextAlloc(vacuum->context, vacuum->emptyRoom * sizeof(BlockNumber));
		else
			vacuum->empty = repalloc_huge(vacuum->empty, vacuum->emptyRoom * sizeof(BlockNumber));
	}
	vacuum->empty[vacuum->emptyCount++] = block;
}

static bool
IsVisited(const HamVacuum *vacuum, BlockNumber block)
{
	return block / 8 < vacuum->visitedBytes && (vacuum->visited[block / 8] & (1 << block % 8)) != 0;
}

static void
MarkVisited(HamVacuum *vacuum, BlockNumber block)
{
	if (block / 8 >= vacuum->visitedBytes)
	{
		Size bytes = Max(1024, 2 * (Size) (block / 8 + 1));

		if (vacuum->visited == NULL)
			vacuum->visited = MemoryContextAllocHuge(vacuum->context, bytes);
		else
			vacuum->visited = repalloc_huge(vacuum->visited, bytes);
		memset(vacuum->visited + vacuum->visitedBytes, 0, bytes - vacuum->visitedBytes);
		vacuum->visitedBytes = bytes;
	}
	vacuum->visited[block / 8] |= 1 << block % 8;
}

/* One leaf and its chains. *right is its right sibling. False if there is no such leaf. */
static bool
VacuumLeaf(HamVacuum *vacuum, BlockNumber block, BlockNumber *right, uint32 *rightIncarnation)
{
	MemoryContext caller = MemoryContextSwitchTo(vacuum->leafContext);
	double rows = vacuum->stats->num_index_tuples;
	double codes = vacuum->meta.codes;
	bool again = true;
	bool found = false;

	while (again)
	{
		Buffer buffer = ReadLocked(vacuum, block, BUFFER_LOCK_EXCLUSIVE);
		Page page = BufferGetPage(buffer);
		HamOpaque *opaque = HamPageOpaque(page);
		ListCell *cell;

		again = false;
		if (PageIsNew(page) || opaque->kind != HAM_LEAF)
		{
			UnlockReleaseBuffer(buffer);
			break;
		}
		if (opaque->flags & HAM_FLAG_INCOMPLETE)
		{
			/* An orphan: its split failed, and nothing ever referred to it. */
			FreeLeaf(vacuum, InvalidBuffer, NULL, buffer, false);
			UnlockReleaseBuffer(buffer);
			break;
		}
		if (opaque->count > vacuum->shape.leafCap)
			HamCorrupt(vacuum->index, block, "A leaf has more codes than fit.");
		found = true;
		*right = opaque->right;
		*rightIncarnation = opaque->rightIncarnation;
		vacuum->chains = NIL;
		if (opaque->count > 0)
			VacuumCodes(vacuum, buffer);
		vacuum->meta.leaves++;
		vacuum->meta.codes += opaque->count;
		if (opaque->count == 0)
			RememberEmpty(vacuum, block);
		UnlockReleaseBuffer(buffer);
		foreach (cell, vacuum->chains)
			if (VacuumChain(vacuum, (BlockNumber) lfirst_int(cell)))
				again = true;
		MemoryContextReset(vacuum->leafContext);
		if (again)
		{
			/* An empty chain costs its code the place: once more, and only the second count counts. */
			vacuum->meta.leaves--;
			vacuum->meta.codes = codes;
			vacuum->stats->num_index_tuples = rows;
		}
	}
	MemoryContextSwitchTo(caller);
	return found;
}

/*
 * A leaf at the place of the pass, and those to its right that a split has put on blocks that the pass had left behind. A leaf that
 * the pass has been to gets no codes from others, and is not freed before the end of the pass: it ends the walk.
 */
static void
VacuumLeaves(HamVacuum *vacuum, BlockNumber block)
{
	BlockNumber at = block;
	BlockNumber right = InvalidBlockNumber;
	uint32 incarnation = 0;

	while (!IsVisited(vacuum, at) && VacuumLeaf(vacuum, at, &right, &incarnation))
	{
		Buffer buffer;
		Page page;
		bool same;

		MarkVisited(vacuum, at);
		if (right == InvalidBlockNumber || right >= block)
			break;
		buffer = ReadLocked(vacuum, right, BUFFER_LOCK_SHARE);
		page = BufferGetPage(buffer);
		same = !PageIsNew(page) && HamPageOpaque(page)->incarnation == incarnation;
		UnlockReleaseBuffer(buffer);
		if (!same)
			break;
		at = right;
	}
}

static void
VacuumPointerPage(HamVacuum *vacuum, BlockNumber block)
{
	Buffer buffer = ReadLocked(vacuum, block, BUFFER_LOCK_EXCLUSIVE);
	Page page = BufferGetPage(buffer);

	if (!PageIsNew(page) && HamPageOpaque(page)->kind == HAM_POINTERS)
	{
		if (PageIsEmpty(page))
		{
			GenericXLogState *xlog = GenericXLogStart(vacuum->index);

			HamMakeFree(GenericXLogRegisterBuffer(xlog, buffer, GENERIC_XLOG_FULL_IMAGE), false);
			GenericXLogFinish(xlog);
			RecordFreeIndexPage(vacuum->index, block);
			vacuum->stats->pages_newly_deleted++;
			vacuum->stats->pages_free++;
		}
		else
			RecordPageWithFreeSpace(vacuum->index, block, PageGetExactFreeSpace(page));
	}
	UnlockReleaseBuffer(buffer);
}

/* Takes empty leaves out of an inner page; the last entry stays, so that every inner page leads to a leaf. */
static void
RemoveEmptyBelow(HamVacuum *vacuum, BlockNumber block, List **below)
{
	Buffer buffer = ReadLocked(vacuum, block, BUFFER_LOCK_EXCLUSIVE);
	Page page = BufferGetPage(buffer);
	int entry = 0;

	if (PageIsNew(page) || HamPageOpaque(page)->kind != HAM_INNER)
		HamCorrupt(vacuum->index, block, "An inner page is expected.");
	HamInnerCheck(vacuum->index, &vacuum->shape, buffer);
	while (entry < HamPageOpaque(page)->count)
	{
		HamEntry e;
		Buffer leaf;

		HamInnerGet(&vacuum->shape, page, entry, &e);
		if (e.splits == HAM_INNER_CHILD)
			*below = lappend_int(*below, (int) e.child);
		else if (HamPageOpaque(page)->count > 1 && vacuum->emptyCount > 0 &&
				 bsearch(&e.child, vacuum->empty, vacuum->emptyCount, sizeof(BlockNumber), HamCompareBlocks) != NULL)
		{
			leaf = HamReadPageKind(vacuum->index, e.child, BUFFER_LOCK_EXCLUSIVE, HAM_LEAF);
			if (HamPageOpaque(BufferGetPage(leaf))->count == 0)
			{
				/* Two copies of an inner page for each leaf: thousands of leaves may be empty. */
				MemoryContext caller = MemoryContextSwitchTo(vacuum->leafContext);
				HamTree *tree = HamInnerRead(&vacuum->shape, page);

				HamTreeRemoveEntry(tree, entry);
				FreeLeaf(vacuum, buffer, tree, leaf, true);
				MemoryContextSwitchTo(caller);
				MemoryContextReset(vacuum->leafContext);
				UnlockReleaseBuffer(leaf);
				/* Entries were numbered anew: look from the start. */
				list_free(*below);
				*below = NIL;
				entry = 0;
				continue;
			}
			UnlockReleaseBuffer(leaf);
		}
		entry++;
	}
	UnlockReleaseBuffer(buffer);
}

int
HamCompareBlocks(const void *a, const void *b)
{
	BlockNumber left = *(const BlockNumber *) a;
	BlockNumber right = *(const BlockNumber *) b;

	return left < right ? -1 : left > right;
}

static void
RemoveEmptyLeaves(HamVacuum *vacuum)
{
	List *pages = list_make1_int((int) vacuum->shape.root);

	qsort(vacuum->empty, vacuum->emptyCount, sizeof(BlockNumber), HamCompareBlocks);
	while (pages != NIL)
	{
		BlockNumber block = (BlockNumber) linitial_int(pages);
		List *below = NIL;

		EddhVacuumDelay();
		pages = list_delete_first(pages);
		RemoveEmptyBelow(vacuum, block, &below);
		pages = list_concat(below, pages);
	}
}

/* What a block is, looked at without changing it. */
static HamKind
Kind(HamVacuum *vacuum, BlockNumber block, bool *reusable)
{
	Buffer buffer = ReadLocked(vacuum, block, BUFFER_LOCK_SHARE);
	Page page = BufferGetPage(buffer);
	HamKind kind = PageIsNew(page) ? HAM_FREE : HamPageOpaque(page)->kind;

	*reusable = HamPageReusable(page);
	UnlockReleaseBuffer(buffer);
	return kind;
}

/* The pass over all blocks. With a NULL callback it only maps free space. */
static void
Pass(HamVacuum *vacuum)
{
	Relation index = vacuum->index;
	bool needLock = !RELATION_IS_LOCAL(index);
	BlockNumber block = HAM_META_BLOCK + 1;
	BlockNumber blocks;

	vacuum->stats->pages_free = 0;
	vacuum->stats->pages_deleted = 0;
	for (;;)
	{
		/* The file grows by splits while we read it: what moved behind us is found through right links, the rest here. */
		if (needLock)
			LockRelationForExtension(index, ExclusiveLock);
		blocks = RelationGetNumberOfBlocks(index);
		if (needLock)
			UnlockRelationForExtension(index, ExclusiveLock);
		if (block >= blocks)
			break;
		for (; block < blocks; block++)
		{
			bool reusable;

			EddhVacuumDelay();
			switch (Kind(vacuum, block, &reusable))
			{
				case HAM_LEAF:
					if (vacuum->callback != NULL)
						VacuumLeaves(vacuum, block);
					break;
				case HAM_INNER:
					vacuum->meta.inners++;
					break;
				case HAM_POINTERS:
					VacuumPointerPage(vacuum, block);
					break;
				case HAM_FREE:
					vacuum->stats->pages_deleted++;
					if (reusable)
					{
						RecordFreeIndexPage(index, block);
						vacuum->stats->pages_free++;
					}
					break;
				case HAM_META:
				case HAM_CHAIN:
					break;
			}
		}
	}
	vacuum->stats->num_pages = blocks;
}

static void
Init(HamVacuum *vacuum, IndexVacuumInfo *info, IndexBulkDeleteResult *stats)
{
	memset(vacuum, 0, sizeof(*vacuum));
	vacuum->info = info;
	vacuum->index = info->index;
	vacuum->stats = stats != NULL ? stats : palloc0(sizeof(IndexBulkDeleteResult));
	vacuum->context = CurrentMemoryContext;
	vacuum->leafContext = AllocSetContextCreate(CurrentMemoryContext, "hamming vacuum leaf", ALLOCSET_DEFAULT_SIZES);
}

IndexBulkDeleteResult *
hambulkdelete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats, IndexBulkDeleteCallback callback,
			  void *callbackState)
{
	HamVacuum vacuum;
	HamMeta meta;
	bool open;

	Init(&vacuum, info, stats);
	vacuum.callback = callback;
	vacuum.callbackState = callbackState;
	vacuum.stats->num_index_tuples = 0;
	vacuum.stats->estimated_count = false;
	open = HamOpen(info->index, &vacuum.shape);
	if (open)
		vacuum.sampler = HamSamplerCreate(&vacuum.shape);
	HamReadMeta(info->index, &meta);
	if (meta.nulls != InvalidBlockNumber)
		VacuumChain(&vacuum, meta.nulls);
	Pass(&vacuum);
	if (open)
	{
		if (vacuum.emptyCount > 0)
			RemoveEmptyLeaves(&vacuum);
		vacuum.meta.rows = vacuum.stats->num_index_tuples;
		HamSamplerFinish(vacuum.sampler, info->index, &vacuum.meta);
		HamUpdateStats(info->index, &vacuum.meta);
	}
	if (vacuum.visited != NULL)
		pfree(vacuum.visited);
	if (vacuum.empty != NULL)
		pfree(vacuum.empty);
	MemoryContextDelete(vacuum.leafContext);
	return vacuum.stats;
}

IndexBulkDeleteResult *
hamvacuumcleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats)
{
	if (info->analyze_only)
		return stats;
	if (stats == NULL)
	{
		/* Nothing was deleted: map free space only. */
		HamVacuum vacuum;

		Init(&vacuum, info, NULL);
		stats = vacuum.stats;
		Pass(&vacuum);
		stats->num_index_tuples = info->num_heap_tuples;
		/* The table's rows, which are not those of a partial index. */
		stats->estimated_count = info->estimated_count || RelationGetIndexPredicate(info->index) != NIL;
		MemoryContextDelete(vacuum.leafContext);
	}
	IndexFreeSpaceMapVacuum(info->index);
	return stats;
}
