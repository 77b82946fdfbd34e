/*
 * log.c: WAL of small changes whose place the caller knows.
 *
 * GenericXLogFinish finds what changed by comparing pages byte by byte: 5 microseconds a page, most of the time of an insert. Its record is
 * plain, though (generic_xlog.c): for each page a run of fragments, each an offset, a length and the bytes. So a caller that knows which
 * bytes it changes writes the same record itself, changing the pages in place within a critical section. Replay is generic WAL's own.
 *
 * Rules, beyond those of any WAL record: pages are locked exclusively; pd_lower and pd_upper are kept right, and what lies between them is
 * zero; nothing between begin and end may fail. Changes of more places than fit are made with GenericXLogStart.
 */
#include "postgres.h"

#include "access/xloginsert.h"
#include "index/ham.h"
#include "miscadmin.h"

#if PG_VERSION_NUM >= 190000
#error "look whether the format of generic WAL records is still the one that log.c writes"
#endif

/* Starts a critical section. */
void
HamLogBegin(HamLog *log, Relation index)
{
	log->index = index;
	log->pageCount = 0;
	START_CRIT_SECTION();
}

/* The next page of the record: in lock order, each once. Returns what the caller may change. */
Page
HamLogPage(HamLog *log, Buffer buffer)
{
	if (log->pageCount == HAM_LOG_PAGES)
		elog(ERROR, "too many pages in a record");
	log->pages[log->pageCount].buffer = buffer;
	log->pages[log->pageCount].rangeCount = 0;
	log->pageCount++;
	return BufferGetPage(buffer);
}

/* So many bytes from `at` on, of the page named last, have their new values now or will have before HamLogEnd. */
void
HamLogBytes(HamLog *log, const void *at, Size length)
{
	HamLogChanges *changes = &log->pages[log->pageCount - 1];
	Size offset = (const char *) at - (const char *) BufferGetPage(changes->buffer);

	if (changes->rangeCount == HAM_LOG_RANGES || offset + length > BLCKSZ)
		elog(ERROR, "too many changes in a record");
	changes->ranges[changes->rangeCount].offset = offset;
	changes->ranges[changes->rangeCount].length = length;
	changes->rangeCount++;
}

/* What functions that add data change in the header of the page named last: flags, pd_lower and pd_upper. */
void
HamLogHeader(HamLog *log)
{
	PageHeader header = (PageHeader) BufferGetPage(log->pages[log->pageCount - 1].buffer);

	HamLogBytes(log, &header->pd_flags, offsetof(PageHeaderData, pd_special) - offsetof(PageHeaderData, pd_flags));
}

static Size
Pack(const HamLogChanges *changes, char *to)
{
	const char *page = (const char *) BufferGetPage(changes->buffer);
	char *at = to;

	for (int i = 0; i < changes->rangeCount; i++)
	{
		memcpy(at, &changes->ranges[i], sizeof(changes->ranges[i]));
		at += sizeof(changes->ranges[i]);
		memcpy(at, page + changes->ranges[i].offset, changes->ranges[i].length);
		at += changes->ranges[i].length;
	}
	return at - to;
}

/* Writes the record and ends the critical section. */
void
HamLogEnd(HamLog *log)
{
	char data[HAM_LOG_PAGES][HAM_LOG_BYTES];

	for (int i = 0; i < log->pageCount; i++)
		MarkBufferDirty(log->pages[i].buffer);
	if (RelationNeedsWAL(log->index))
	{
		XLogRecPtr lsn;

		XLogBeginInsert();
		for (int i = 0; i < log->pageCount; i++)
		{
			Size size = 0;

			for (int j = 0; j < log->pages[i].rangeCount; j++)
				size += sizeof(log->pages[i].ranges[j]) + log->pages[i].ranges[j].length;
			XLogRegisterBuffer(i, log->pages[i].buffer, REGBUF_STANDARD);
			if (size > HAM_LOG_BYTES)
				elog(ERROR, "a record's changes are too large");
			XLogRegisterBufData(i, data[i], Pack(&log->pages[i], data[i]));
		}
		lsn = XLogInsert(RM_GENERIC_ID, 0);
		for (int i = 0; i < log->pageCount; i++)
			PageSetLSN(BufferGetPage(log->pages[i].buffer), lsn);
	}
	END_CRIT_SECTION();
}
