/*
 * recent.c: reading leaves fast. A search may visit every leaf of the index, so finding a page's buffer (hash, partition lock) and waiting
 * for its memory is much of its time. The relation cache remembers in which buffer each block was last found; a guess that turns out wrong
 * costs nothing but the normal way.
 */
#include "postgres.h"

#include "compat.h"
#include "index/ham.h"
#include "pgstat.h"
#include "storage/buf_internals.h"

/* A guess does not tell the buffer manager that the page is in use; one visit in so many goes the normal way, which does. */
#define NORMAL_EVERY 64

static Buffer
Guess(const HamCache *cache, BlockNumber block)
{
	return cache != NULL && block < cache->recentCount ? cache->recent[block] : InvalidBuffer;
}

/* Makes room for all blocks that the index has now. */
static HamCache *
Grow(Relation index, HamCache *cache, BlockNumber block)
{
	BlockNumber count = Max(RelationGetNumberOfBlocks(index), block + 1);
	HamCache *grown = MemoryContextAllocExtended(
		index->rd_indexcxt, offsetof(HamCache, recent) + (Size) count * sizeof(Buffer), MCXT_ALLOC_HUGE);

	memcpy(grown, cache, offsetof(HamCache, recent) + (Size) cache->recentCount * sizeof(Buffer));
	memset(grown->recent + cache->recentCount, 0, (Size) (count - cache->recentCount) * sizeof(Buffer));
	grown->recentCount = count;
	index->rd_amcache = grown;
	pfree(cache);
	return grown;
}

/* Like ReadBuffer. */
Buffer
HamReadRecent(Relation index, BlockNumber block)
{
	HamCache *cache = index->rd_amcache;
	Buffer buffer = Guess(cache, block);

	if (BufferIsValid(buffer) && ++cache->turn % NORMAL_EVERY != 0 &&
		ReadRecentBuffer(EddhLocator(index), MAIN_FORKNUM, block, buffer))
	{
		pgstat_count_buffer_read(index);
		pgstat_count_buffer_hit(index);
		return buffer;
	}
	buffer = ReadBuffer(index, block);
	cache = index->rd_amcache;
	if (cache != NULL)
	{
		if (block >= cache->recentCount)
			cache = Grow(index, cache, block);
		cache->recent[block] = buffer;
	}
	return buffer;
}

/*
 * Where the codes of a leaf are likely to be, for the kernel to prefetch, or NULL. What else reading the leaf touches is prefetched here: its
 * buffer's header, the page's and its special area.
 */
const void *
HamRecentCodes(Relation index, BlockNumber block)
{
	Buffer buffer = Guess(index->rd_amcache, block);
	const char *page;

	if (!BufferIsValid(buffer) || BufferIsLocal(buffer))
		return NULL;
	page = (const char *) BufferGetBlock(buffer);
	__builtin_prefetch(GetBufferDescriptor(buffer - 1), 1);
	__builtin_prefetch(page);
	__builtin_prefetch(page + BLCKSZ - HAM_SPECIAL);
	return page + HAM_DATA_OFFSET;
}
