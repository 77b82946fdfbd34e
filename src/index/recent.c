/*
 * recent.c: reading leaves fast. A search may visit every leaf of the index, so finding a page's buffer (hash, partition lock) and waiting
 * for its memory is much of its time. The relation cache remembers in which buffer each block was last found; a guess that turns out wrong
 * costs nothing but the normal way.
 */
#include "postgres.h"

#include "compat.h"
#include "index/ham.h"
#include "pgstat.h"

/* A guess does not tell the buffer manager that the page is in use; one visit in so many goes the normal way, which does. */
#define NORMAL_EVERY 16

#define CACHE_LINE 64

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

/* Starts to bring the page into the CPU's cache, if the guess is right. */
void
HamPrefetch(Relation index, BlockNumber block)
{
	Buffer buffer = Guess(index->rd_amcache, block);

	if (BufferIsValid(buffer))
	{
		const char *page = (const char *) BufferGetBlock(buffer);

		for (int offset = 0; offset < BLCKSZ; offset += CACHE_LINE)
			__builtin_prefetch(page + offset);
	}
}
