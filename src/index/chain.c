/*
 * chain.c: chains of pages for the rows of one code, or for rows whose code is NULL.
 *
 * The head never moves. A full head gets a second page behind it, which takes new rows until it is full too, and then another
 * is put between: so an append looks at two pages, whatever the length. Rows never move to another page. All changes are made under the head's
 * lock.
 */
#include "postgres.h"

#include "index/ham.h"

void
HamChainInit(Page page, uint32 incarnation, int width)
{
	HamInitPage(page, HAM_CHAIN, incarnation);
	HamPageOpaque(page)->width = width;
}

/* Raises an error unless reading the pointers of the chain page, locked, stays on the page. */
void
HamChainCheck(Relation index, Buffer buffer)
{
	HamOpaque *opaque = HamPageOpaque(BufferGetPage(buffer));

	if (opaque->width < HAM_WIDTH_MIN || opaque->width > HAM_WIDTH_MAX || opaque->count > HamChainRoom(opaque->width))
		HamCorrupt(index, BufferGetBlockNumber(buffer), "A chain page has an impossible header.");
	/* Who goes on to the next page may keep this one locked, and would wait for itself. */
	if (opaque->right == BufferGetBlockNumber(buffer))
		HamCorrupt(index, BufferGetBlockNumber(buffer), "A chain comes back to itself.");
}

static bool
HasRoom(Page page, HamPointer row)
{
	HamOpaque *opaque = HamPageOpaque(page);

	return opaque->count < HamChainRoom(opaque->width) && HamPointerWidth(row) <= opaque->width;
}

void
HamChainPut(Page page, HamPointer row)
{
	HamOpaque *opaque = HamPageOpaque(page);

	Assert(HasRoom(page, row));
	HamPointerStore(HamChainPointer(page, opaque->width, opaque->count), opaque->width, row);
	opaque->count++;
	((PageHeader) page)->pd_lower = HAM_DATA_OFFSET + opaque->count * opaque->width;
}

static void
PutLogged(Relation index, Buffer buffer, HamPointer row)
{
	HamOpaque *opaque = HamPageOpaque(BufferGetPage(buffer));
	HamLog log;
	Page page;

	HamLogBegin(&log, index);
	page = HamLogPage(&log, buffer);
	HamLogBytes(&log, HamChainPointer(page, opaque->width, opaque->count), opaque->width);
	HamChainPut(page, row);
	HamLogBytes(&log, &opaque->count, sizeof(opaque->count));
	HamLogHeader(&log);
	HamLogEnd(&log);
}

void
HamChainAppend(Relation index, BlockNumber head, HamPointer row)
{
	Buffer headBuffer = HamReadPageKind(index, head, BUFFER_LOCK_EXCLUSIVE, HAM_CHAIN);
	HamOpaque *opaque = HamPageOpaque(BufferGetPage(headBuffer));
	Buffer newBuffer;
	GenericXLogState *xlog;
	Page page;
	uint32 incarnation;

	HamChainCheck(index, headBuffer);
	if (HasRoom(BufferGetPage(headBuffer), row))
	{
		PutLogged(index, headBuffer, row);
		UnlockReleaseBuffer(headBuffer);
		return;
	}
	if (opaque->right != InvalidBlockNumber)
	{
		Buffer second = HamReadPageKind(index, opaque->right, BUFFER_LOCK_EXCLUSIVE, HAM_CHAIN);
		bool room;

		HamChainCheck(index, second);
		room = HasRoom(BufferGetPage(second), row);
		if (room)
			PutLogged(index, second, row);
		UnlockReleaseBuffer(second);
		if (room)
		{
			UnlockReleaseBuffer(headBuffer);
			return;
		}
	}
	newBuffer = HamTakePage(index, &incarnation);
	xlog = GenericXLogStart(index);
	opaque = HamPageOpaque(GenericXLogRegisterBuffer(xlog, headBuffer, 0));
	page = GenericXLogRegisterBuffer(xlog, newBuffer, GENERIC_XLOG_FULL_IMAGE);
	HamChainInit(page, incarnation, HamPointerWidth(row));
	HamChainPut(page, row);
	HamPageOpaque(page)->right = opaque->right;
	HamPageOpaque(page)->rightIncarnation = opaque->rightIncarnation;
	opaque->right = BufferGetBlockNumber(newBuffer);
	opaque->rightIncarnation = incarnation;
	GenericXLogFinish(xlog);
	UnlockReleaseBuffer(newBuffer);
	UnlockReleaseBuffer(headBuffer);
}

/* A row whose code is NULL. The metapage's lock protects the birth of the chain only. */
void
HamInsertNull(Relation index, HamPointer row)
{
	HamMeta meta;

	HamReadMeta(index, &meta);
	if (meta.nulls == InvalidBlockNumber)
	{
		Buffer metaBuffer = HamReadPageKind(index, HAM_META_BLOCK, BUFFER_LOCK_EXCLUSIVE, HAM_META);

		meta = *HamPageMeta(BufferGetPage(metaBuffer));
		if (meta.nulls == InvalidBlockNumber)
		{
			uint32 incarnation;
			Buffer buffer = HamTakePage(index, &incarnation);
			GenericXLogState *xlog = GenericXLogStart(index);
			HamMeta *new = HamPageMeta(GenericXLogRegisterBuffer(xlog, metaBuffer, 0));
			Page page = GenericXLogRegisterBuffer(xlog, buffer, GENERIC_XLOG_FULL_IMAGE);

			HamChainInit(page, incarnation, HamPointerWidth(row));
			HamChainPut(page, row);
			new->nulls = BufferGetBlockNumber(buffer);
			new->nullsIncarnation = incarnation;
			GenericXLogFinish(xlog);
			UnlockReleaseBuffer(buffer);
			UnlockReleaseBuffer(metaBuffer);
			return;
		}
		UnlockReleaseBuffer(metaBuffer);
	}
	HamChainAppend(index, meta.nulls, row);
}

/* ---- for builds: a chain written in order, in memory page by page, without WAL ---- */

void
HamChainWriterInit(HamChainWriter *writer)
{
	writer->head = InvalidBlockNumber;
	writer->block = InvalidBlockNumber;
}

void
HamChainWriterAdd(Relation index, HamChainWriter *writer, HamPointer row)
{
	Page page = (Page) writer->image.data;

	if (writer->head == InvalidBlockNumber || !HasRoom(page, row))
	{
		BlockNumber next = HamReserve(index);

		if (writer->head == InvalidBlockNumber)
			writer->head = next;
		else
		{
			HamPageOpaque(page)->right = next;
			HamPageOpaque(page)->rightIncarnation = 1;
			HamWriteImage(index, writer->block, page);
		}
		writer->block = next;
		HamChainInit(page, 1, HamPointerWidth(row));
	}
	HamChainPut(page, row);
}

void
HamChainWriterFinish(Relation index, HamChainWriter *writer)
{
	if (writer->head != InvalidBlockNumber)
		HamWriteImage(index, writer->block, writer->image.data);
}
