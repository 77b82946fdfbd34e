/*
 * insert.c: one row into the index.
 *
 * The descent holds share locks hand over hand. The leaf is locked exclusively while its inner page is still locked, since only that
 * proves that the code belongs there. When the bounds of the entry must grow, or the leaf is full, the descent is done again with an exclusive
 * lock on the last inner page.
 */
#include "postgres.h"

#include "index/ham.h"
#include "miscadmin.h"
#include "utils/memutils.h"

/* The inner page whose decisions lead `folded` to a leaf, locked as asked, and the leaf's entry. */
static Buffer
Descend(Relation index, const HamShape *shape, const uint64 *folded, int lock, int *entry, HamEntry *out)
{
	Buffer buffer = HamReadPageKind(index, shape->root, BUFFER_LOCK_SHARE, HAM_INNER);
	int held = BUFFER_LOCK_SHARE;

	for (;;)
	{
		Buffer child;

		*entry = HamInnerFind(shape, BufferGetPage(buffer), folded);
		HamInnerGet(shape, BufferGetPage(buffer), *entry, out);
		if (out->splits == HAM_INNER_CHILD)
		{
			child = HamReadPageKind(index, out->child, BUFFER_LOCK_SHARE, HAM_INNER);
			UnlockReleaseBuffer(buffer);
			buffer = child;
			held = BUFFER_LOCK_SHARE;
			continue;
		}
		if (held == lock)
			return buffer;
		/* Inner pages are never freed, and what moves from here moves below: looking again from here is enough. */
		LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
		LockBuffer(buffer, lock);
		held = lock;
	}
}

static void
InsertCode(Relation index, HamShape *shape, const uint64 *code, HamPointer row)
{
	uint64 folded[HAM_FOLD_WORDS];
	int lock = BUFFER_LOCK_SHARE;

	HamFold(shape, code, folded);
	for (;;)
	{
		int entry;
		HamEntry e;
		Buffer inner;
		Buffer leaf;
		Page page;
		int slot;
		bool grown;
		bool done = true;

		CHECK_FOR_INTERRUPTS();
		inner = Descend(index, shape, folded, lock, &entry, &e);
		leaf = HamReadPageKind(index, e.child, BUFFER_LOCK_EXCLUSIVE, HAM_LEAF);
		page = BufferGetPage(leaf);
		if (HamPageOpaque(page)->count > shape->leafCap)
			HamCorrupt(index, e.child, "A leaf has more codes than fit.");
		slot = HamLeafFind(shape, page, code);
		if (slot >= 0)
		{
			UnlockReleaseBuffer(inner);
			HamAddRow(index, shape, leaf, slot, row);
			UnlockReleaseBuffer(leaf);
			return;
		}
		if (HamPageOpaque(page)->count == shape->leafCap)
		{
			done = false;
			if (lock == BUFFER_LOCK_EXCLUSIVE)
			{
				if (HamPageOpaque(BufferGetPage(inner))->count == shape->innerCap)
				{
					UnlockReleaseBuffer(leaf);
					HamSplitInner(index, shape, inner);
					UnlockReleaseBuffer(inner);
					continue;
				}
				HamSplitLeaf(index, shape, inner, entry, leaf);
			}
			lock = BUFFER_LOCK_EXCLUSIVE;
		}
		else
		{
			grown = HamBoundGrow(shape, &e.bound, folded);
			if (grown && lock == BUFFER_LOCK_SHARE)
			{
				done = false;
				lock = BUFFER_LOCK_EXCLUSIVE;
			}
			else
			{
				if (!grown)
				{
					UnlockReleaseBuffer(inner);
					inner = InvalidBuffer;
				}
				HamLeafAppend(index, shape, inner, entry, grown ? &e.bound : NULL, leaf, code, row);
			}
		}
		UnlockReleaseBuffer(leaf);
		if (BufferIsValid(inner))
			UnlockReleaseBuffer(inner);
		if (done)
			return;
	}
}

bool
haminsert(Relation index, Datum *values, bool *isnull, ItemPointer tid, Relation heap, IndexUniqueCheck checkUnique,
		  bool indexUnchanged, IndexInfo *indexInfo)
{
	MemoryContext context;
	MemoryContext caller;

	/* Codes are never compressed worth mentioning, but may be out of line: a context takes what detoasting and splits allocate. */
	context = AllocSetContextCreate(CurrentMemoryContext, "hamming insert", ALLOCSET_SMALL_SIZES);
	caller = MemoryContextSwitchTo(context);
	if (isnull[0])
		HamInsertNull(index, HamPointerFromTid(tid));
	else
	{
		VarBit *code = DatumGetVarBitP(values[0]);
		uint64 words[HAM_WORDS_MAX];
		HamShape shape;

		HamOpenForCode(index, VARBITLEN(code), &shape);
		HamLoadCode(&shape, VARBITS(code), words);
		InsertCode(index, &shape, words, HamPointerFromTid(tid));
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return false;
}
