/* page.c: kinds of pages; taking a page from the free space map or the end of the file, and giving it back. */
#include "postgres.h"

#include "access/htup_details.h"
#include "index/ham.h"
#include "storage/freespace.h"
#include "storage/lmgr.h"
#include "utils/snapmgr.h"

/* Asking the free space map for this much finds only pages that are wholly free: pointer pages never have so much room. */
#define WHOLE_PAGE MaxHeapTupleSize

StaticAssertDecl(BLCKSZ - SizeOfPageHeaderData - HAM_SPECIAL < WHOLE_PAGE, "a pointer page is no free page");

void
HamCorrupt(Relation index, BlockNumber block, const char *what)
{
	ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
					errmsg("index \"%s\" is damaged at block %u", RelationGetRelationName(index), block),
					errdetail_internal("%s", what), errhint("REINDEX it.")));
}

void
HamInitPage(Page page, HamKind kind, uint32 incarnation)
{
	HamOpaque *opaque;

	PageInit(page, BLCKSZ, HAM_SPECIAL);
	opaque = HamPageOpaque(page);
	opaque->kind = kind;
	opaque->incarnation = incarnation;
	opaque->right = InvalidBlockNumber;
	opaque->arrayBlock = InvalidBlockNumber;
	opaque->pageId = HAM_PAGE_ID;
	/* Pointer pages have line pointers right after the header. */
	if (kind != HAM_POINTERS)
		((PageHeader) page)->pd_lower = HAM_DATA_OFFSET;
}

/* Raises an error unless the page, locked, is one of ours, or of zeros. */
void
HamCheckPage(Relation index, Buffer buffer)
{
	Page page = BufferGetPage(buffer);

	if (!PageIsNew(page) && (PageGetSpecialSize(page) != HAM_SPECIAL || HamPageOpaque(page)->pageId != HAM_PAGE_ID))
		HamCorrupt(index, BufferGetBlockNumber(buffer), "The page is not of a hamming index.");
}

/* Any page of ours; a page of zeros is let through, for callers that look for free pages. */
Buffer
HamReadPage(Relation index, BlockNumber block, int lock)
{
	Buffer buffer = ReadBuffer(index, block);

	LockBuffer(buffer, lock);
	HamCheckPage(index, buffer);
	return buffer;
}

Buffer
HamReadPageKind(Relation index, BlockNumber block, int lock, HamKind kind)
{
	Buffer buffer = HamReadPage(index, block, lock);
	Page page = BufferGetPage(buffer);

	if (PageIsNew(page) || HamPageOpaque(page)->kind != kind)
		HamCorrupt(index, block,
				   psprintf("A page of kind %d is expected, kind %d found.", kind,
							PageIsNew(page) ? 0 : HamPageOpaque(page)->kind));
	return buffer;
}

/* A new page of zeros at the end of the file, locked exclusively. */
Buffer
HamExtend(Relation index)
{
	bool needLock = !RELATION_IS_LOCAL(index);
	Buffer buffer;

	if (needLock)
		LockRelationForExtension(index, ExclusiveLock);
	buffer = ReadBuffer(index, P_NEW);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	if (needLock)
		UnlockRelationForExtension(index, ExclusiveLock);
	return buffer;
}

/* For builds, which fill pages in their own memory so that they hold no lock meanwhile: the number of a new page... */
BlockNumber
HamReserve(Relation index)
{
	Buffer buffer = HamExtend(index);
	BlockNumber block = BufferGetBlockNumber(buffer);

	UnlockReleaseBuffer(buffer);
	return block;
}

/* ... and its contents. Not logged: the build logs all pages at its end. */
void
HamWriteImage(Relation index, BlockNumber block, const char *image)
{
	Buffer buffer = ReadBuffer(index, block);

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	memcpy(BufferGetPage(buffer), image, BLCKSZ);
	MarkBufferDirty(buffer);
	UnlockReleaseBuffer(buffer);
}

/* Is the page free, and can no scan on this server still hold a reference to what it was? */
bool
HamPageReusable(Page page)
{
	HamOpaque *opaque;

	if (PageIsNew(page))
		return true;
	opaque = HamPageOpaque(page);
	return opaque->kind == HAM_FREE &&
		   (!FullTransactionIdIsValid(opaque->deleted) || GlobalVisCheckRemovableFullXid(NULL, opaque->deleted));
}

/*
 * A page for a new purpose, locked exclusively, and the incarnation it must get. Never waits for a lock of another page than the
 * extension lock, so callers may hold any locks. The caller logs the page with a full image.
 */
Buffer
HamTakePage(Relation index, uint32 *incarnation)
{
	for (;;)
	{
		BlockNumber block = GetPageWithFreeSpace(index, WHOLE_PAGE);
		Buffer buffer;
		Page page;

		if (block == InvalidBlockNumber)
			break;
		/* Whatever we find there, nobody need look again until VACUUM says so. */
		RecordPageWithFreeSpace(index, block, 0);
		/* The map is not logged: after a crash it may know blocks that the file lost. */
		if (block >= RelationGetNumberOfBlocks(index))
			continue;
		buffer = ReadBuffer(index, block);
		if (!ConditionalLockBuffer(buffer))
		{
			ReleaseBuffer(buffer);
			continue;
		}
		page = BufferGetPage(buffer);
		if (HamPageReusable(page))
		{
			*incarnation = PageIsNew(page) ? 1 : HamPageOpaque(page)->incarnation + 1;
			return buffer;
		}
		UnlockReleaseBuffer(buffer);
	}
	*incarnation = 1;
	return HamExtend(index);
}

/* Keeps incarnation, right link and split counter, which scans may still need. `wait`: reuse only past the horizon. */
void
HamMakeFree(Page page, bool wait)
{
	HamOpaque *opaque = HamPageOpaque(page);
	HamOpaque old = *opaque;

	HamInitPage(page, HAM_FREE, old.incarnation);
	opaque = HamPageOpaque(page);
	opaque->splits = old.splits;
	opaque->right = old.right;
	opaque->rightIncarnation = old.rightIncarnation;
	if (wait)
		opaque->deleted = ReadNextFullTransactionId();
}
