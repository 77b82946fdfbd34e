/*
 * scan.c: ordered search, ball search, bitmap. README.md has the algorithm ("Bounds, and why the search is exact") and what happens
 * when pages split, are freed or reused meanwhile.
 */
#include "postgres.h"

#include "access/relscan.h"
#include "access/tableam.h"
#include "access/xlog.h"
#include "bits/ball.h"
#include "index/ham.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#define NOWHERE (-1)

/* Memory of queues up to this size is kept for the next scan. */
#define SPARE_MAX (4 * 1024 * 1024)

/* A leaf in the queue. */
typedef struct LeafItem
{
	BlockNumber block;
	uint32 incarnation;
	uint32 splits; /* as of the last visit, or of the reading of its entry */
	int32 next;
} LeafItem;

typedef struct Ball
{
	uint64 centre[HAM_WORDS_MAX];
	uint64 folded[HAM_FOLD_WORDS];
	uint32 radius;
} Ball;

typedef struct HamScan
{
	MemoryContext context; /* lives as long as the scan */
	HamShape shape;

	/* What is asked for. */
	bool ordered; /* by distance from query; otherwise in any order */
	bool wantCodes;
	bool wantNulls;
	uint64 query[HAM_WORDS_MAX];
	uint64 folded[HAM_FOLD_WORDS];
	int ballCount;
	Ball *balls;

	/* The queue: bucket d is the list head[d] .. tail[d]. Without an order everything is in bucket 0. */
	bool started;
	LeafItem *items;
	int itemCount;
	int itemRoom;
	int32 *head;
	int32 *tail;
	uint32 shell;
	uint32 lastShell;
	bool nullsStarted;

	/* Rows of the present leaf and shell; nothing is locked or pinned while they are returned. */
	HamRows rows;
	int nextRow;

	/* In recovery: rows of the present shell that were returned, in case the scan must start again. */
	bool track;
	bool trackOverflow;
	HTAB *returned;
} HamScan;

/*
 * The queue of a large index takes hundreds of kilobytes, which malloc would get from and return to the system in every scan: as long as the
 * search itself on clustered codes. So one queue's memory stays with the backend.
 */
static LeafItem *spareItems = NULL;
static int spareRoom = 0;

static void
GiveItems(void *arg)
{
	HamScan *so = arg;

	if (so->items == NULL)
		return;
	if (so->itemRoom > spareRoom && so->itemRoom * sizeof(LeafItem) <= SPARE_MAX)
	{
		LeafItem *items = spareItems;

		spareItems = so->items;
		spareRoom = so->itemRoom;
		so->items = items;
	}
	if (so->items != NULL)
		pfree(so->items);
	so->items = NULL;
}

/* The scan's context gives them back, however the scan ends. */
static void
TakeItems(HamScan *so)
{
	MemoryContextCallback *callback = MemoryContextAllocZero(so->context, sizeof(MemoryContextCallback));

	if (spareItems == NULL)
	{
		spareRoom = 1024;
		spareItems = MemoryContextAlloc(TopMemoryContext, spareRoom * sizeof(LeafItem));
	}
	so->items = spareItems;
	so->itemRoom = spareRoom;
	spareItems = NULL;
	spareRoom = 0;
	callback->func = GiveItems;
	callback->arg = so;
	MemoryContextRegisterResetCallback(so->context, callback);
}

IndexScanDesc
hambeginscan(Relation index, int nkeys, int norderbys)
{
	IndexScanDesc scan = RelationGetIndexScan(index, nkeys, norderbys);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "hamming scan", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	HamScan *so = palloc0(sizeof(HamScan));

	so->context = context;
	so->balls = palloc(Max(nkeys, 1) * sizeof(Ball));
	HamRowsInit(&so->rows);
	if (norderbys > 0)
	{
		scan->xs_orderbyvals = palloc0(norderbys * sizeof(Datum));
		scan->xs_orderbynulls = palloc0(norderbys * sizeof(bool));
	}
	MemoryContextSwitchTo(caller);
	scan->opaque = so;
	return scan;
}

void
hamendscan(IndexScanDesc scan)
{
	HamScan *so = scan->opaque;

	MemoryContextDelete(so->context);
	scan->opaque = NULL;
}

/* Reads the keys: conditions, then order. */
static void
ReadKeys(IndexScanDesc scan, HamScan *so)
{
	bool open = HamOpen(scan->indexRelation, &so->shape);

	so->wantCodes = open;
	so->wantNulls = true;
	so->ordered = false;
	so->ballCount = 0;
	for (int i = 0; i < scan->numberOfKeys; i++)
	{
		ScanKey key = &scan->keyData[i];
		HammingBall *ball;
		Ball *b;

		if (key->sk_flags & SK_SEARCHNULL)
			so->wantCodes = false;
		else if (key->sk_flags & SK_SEARCHNOTNULL)
			so->wantNulls = false;
		else if (key->sk_flags & SK_ISNULL)
			so->wantCodes = so->wantNulls = false;
		else
		{
			so->wantNulls = false;
			if (!open)
				continue;
			ball = DatumGetHammingBallP(key->sk_argument);
			BitsCheckSameLength(so->shape.bits, ball->nbits);
			b = &so->balls[so->ballCount++];
			HamLoadCode(&so->shape, ball->center, b->centre);
			HamFold(&so->shape, b->centre, b->folded);
			b->radius = ball->radius;
			if ((Pointer) ball != DatumGetPointer(key->sk_argument))
				pfree(ball);
		}
	}
	if (open && scan->numberOfOrderBys > 0 && !(scan->orderByData[0].sk_flags & SK_ISNULL))
	{
		VarBit *code = DatumGetVarBitP(scan->orderByData[0].sk_argument);

		BitsCheckSameLength(so->shape.bits, VARBITLEN(code));
		HamLoadCode(&so->shape, VARBITS(code), so->query);
		HamFold(&so->shape, so->query, so->folded);
		so->ordered = true;
		if ((Pointer) code != DatumGetPointer(scan->orderByData[0].sk_argument))
			pfree(code);
	}
}

static void
ForgetReturned(HamScan *so)
{
	if (so->returned != NULL)
		hash_destroy(so->returned);
	so->returned = NULL;
	so->trackOverflow = false;
}

void
hamrescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys, int norderbys)
{
	HamScan *so = scan->opaque;

	if (keys != NULL && scan->numberOfKeys > 0)
		memmove(scan->keyData, keys, scan->numberOfKeys * sizeof(ScanKeyData));
	if (orderbys != NULL && scan->numberOfOrderBys > 0)
		memmove(scan->orderByData, orderbys, scan->numberOfOrderBys * sizeof(ScanKeyData));
	so->started = false;
	so->nullsStarted = false;
	so->nextRow = 0;
	HamRowsReset(&so->rows);
	ForgetReturned(so);
}

/* Puts an item at the end of a bucket: leaves of equal bound are visited in the order of the directory, which is that of the file. */
static void
Enqueue(HamScan *so, int32 item, uint32 key)
{
	so->items[item].next = NOWHERE;
	if (so->head[key] == NOWHERE)
		so->head[key] = item;
	else
		so->items[so->tail[key]].next = item;
	so->tail[key] = item;
}

static void
AddItem(HamScan *so, BlockNumber block, uint32 incarnation, uint32 splits, uint32 key)
{
	if (so->itemCount == so->itemRoom)
	{
		so->itemRoom *= 2;
		so->items = repalloc_huge(so->items, so->itemRoom * sizeof(LeafItem));
	}
	so->items[so->itemCount].block = block;
	so->items[so->itemCount].incarnation = incarnation;
	so->items[so->itemCount].splits = splits;
	Enqueue(so, so->itemCount++, key);
}

/* An inner page, by its remembered buffer, locked shared. */
static Buffer
ReadInner(Relation index, const HamShape *shape, BlockNumber block)
{
	Buffer buffer = HamReadRecent(index, block);

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	HamCheckPage(index, buffer);
	if (PageIsNew(BufferGetPage(buffer)) || HamPageOpaque(BufferGetPage(buffer))->kind != HAM_INNER)
		HamCorrupt(index, block, "An inner page is expected.");
	if (HamPageOpaque(BufferGetPage(buffer))->count > shape->innerCap)
		HamCorrupt(index, block, "An inner page has an impossible number of entries.");
	return buffer;
}

/* Queues the leaves of an inner page that can hold matches; inner pages below it are added to `below`. */
static void
LoadInner(IndexScanDesc scan, HamScan *so, BlockNumber block, List **below)
{
	Buffer buffer = ReadInner(scan->indexRelation, &so->shape, block);
	Page page = BufferGetPage(buffer);
	int count = HamPageOpaque(page)->count;
	const BlockNumber *children = HamInnerChildren(&so->shape, page);
	const uint32 *incarnations = HamInnerIncarnations(&so->shape, page);
	const uint32 *splits = HamInnerSplits(&so->shape, page);
	uint32 bounds[BLCKSZ / sizeof(uint64)];
	uint32 ballBounds[BLCKSZ / sizeof(uint64)];

	if (so->ordered)
		HamInnerBounds(&so->shape, page, so->folded, bounds);
	else
		memset(bounds, 0, sizeof(bounds));
	for (int b = 0; b < so->ballCount; b++)
	{
		HamInnerBounds(&so->shape, page, so->balls[b].folded, ballBounds);
		for (int i = 0; i < count; i++)
			if (ballBounds[i] > so->balls[b].radius)
				bounds[i] = BITS_PAGE_NONE;
	}
	for (int i = 0; i < count; i++)
	{
		if (splits[i] == HAM_INNER_CHILD)
			*below = lappend_int(*below, (int) children[i]);
		else if (bounds[i] <= so->lastShell)
			AddItem(so, children[i], incarnations[i], splits[i], Max(bounds[i], so->shell));
	}
	UnlockReleaseBuffer(buffer);
}

/* Fills the queue from the directory; matches nearer than the present shell were returned already. */
static void
LoadQueue(IndexScanDesc scan, HamScan *so)
{
	MemoryContext caller = MemoryContextSwitchTo(so->context);
	List *pages = list_make1_int((int) so->shape.root);
	int buckets = so->shape.bits + 1;

	if (so->items == NULL)
	{
		TakeItems(so);
		so->head = palloc(buckets * sizeof(int32));
		so->tail = palloc(buckets * sizeof(int32));
	}
	so->itemCount = 0;
	for (int d = 0; d < buckets; d++)
		so->head[d] = NOWHERE;
	/* Depth first, so that leaves come in the order of the file. */
	while (pages != NIL)
	{
		List *below = NIL;
		BlockNumber block = (BlockNumber) linitial_int(pages);

		CHECK_FOR_INTERRUPTS();
		pages = list_delete_first(pages);
		LoadInner(scan, so, block, &below);
		pages = list_concat(below, pages);
	}
	MemoryContextSwitchTo(caller);
}

static void
Start(IndexScanDesc scan, HamScan *so)
{
	pgstat_count_index_scan(scan->indexRelation);
	ReadKeys(scan, so);
	so->shell = 0;
	so->lastShell = so->ordered ? so->shape.bits : 0;
	so->track = RecoveryInProgress();
	so->started = true;

	/* A ball around the query itself bounds the shells. */
	for (int b = so->ballCount - 1; so->ordered && b >= 0; b--)
	{
		if (memcmp(so->balls[b].centre, so->query, so->shape.words * sizeof(uint64)) != 0)
			continue;
		so->lastShell = Min(so->lastShell, so->balls[b].radius);
		so->balls[b] = so->balls[--so->ballCount];
	}
	if (so->wantCodes)
		LoadQueue(scan, so);
}

/* A page was reused under the scan: only on a standby, see README.md. */
static void
StartAgain(IndexScanDesc scan, HamScan *so, BlockNumber block)
{
	if (!so->track)
		HamCorrupt(scan->indexRelation, block, "A page was reused while a scan could still read it.");
	if (so->trackOverflow)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("canceling statement due to conflict with recovery"),
				 errdetail("The primary reused pages of index \"%s\" that the scan still needed, and too many rows "
						   "had been returned to go on without repeating them.",
						   RelationGetRelationName(scan->indexRelation)),
				 errhint("Repeat the query, raise work_mem, or set hot_standby_feedback.")));
	elog(DEBUG1, "scan of index \"%s\" starts again at distance %u: block %u was reused",
		 RelationGetRelationName(scan->indexRelation), so->shell, block);
	so->nextRow = 0;
	HamRowsReset(&so->rows);
	if (so->nullsStarted)
		so->nullsStarted = false;
	else
		LoadQueue(scan, so);
}

/* Leaves split from a queued one since it was last seen get the present bucket: they hold what it held then. */
static bool
FollowSplits(IndexScanDesc scan, HamScan *so, BlockNumber right, uint32 incarnation, uint32 seen)
{
	while (right != InvalidBlockNumber)
	{
		Buffer buffer = HamReadPage(scan->indexRelation, right, BUFFER_LOCK_SHARE);
		Page page = BufferGetPage(buffer);
		HamOpaque *opaque = HamPageOpaque(page);
		bool again;

		if (PageIsNew(page) || opaque->incarnation != incarnation)
		{
			UnlockReleaseBuffer(buffer);
			return false;
		}
		if (opaque->kind == HAM_LEAF)
			AddItem(so, right, incarnation, opaque->splits, so->shell);
		again = opaque->splits > seen;
		right = opaque->right;
		incarnation = opaque->rightIncarnation;
		UnlockReleaseBuffer(buffer);
		if (!again)
			break;
	}
	return true;
}

/* Slots whose codes are in the ball, ascending. */
static uint32
InBall(HamScan *so, Page page, const Ball *ball, uint16 *slots, const void *ahead)
{
	return bits_page_within(so->shape.words, HamPageOpaque(page)->count, ball->centre,
							(const uint64 *) HamPageData(page), ball->radius, slots, ahead);
}

/* Leaves only the slots, ascending, whose codes are in all balls from number `first` on. */
static uint32
FilterBalls(HamScan *so, Page page, int first, uint16 *slots, uint32 found)
{
	uint16 inside[BLCKSZ / sizeof(uint64)];

	for (int b = first; b < so->ballCount && found > 0; b++)
	{
		uint32 count = InBall(so, page, &so->balls[b], inside, NULL);
		uint32 kept = 0;

		for (uint32 i = 0, j = 0; i < found && j < count;)
		{
			if (slots[i] < inside[j])
				i++;
			else if (slots[i] > inside[j])
				j++;
			else
			{
				slots[kept++] = slots[i++];
				j++;
			}
		}
		found = kept;
	}
	return found;
}

/* Gathers the rows of a leaf that belong to the present shell and queues it for the next one it has. */
static void
Visit(IndexScanDesc scan, HamScan *so, int32 number)
{
	LeafItem *item = &so->items[number];
	Buffer buffer = HamReadRecent(scan->indexRelation, item->block);
	Page page = BufferGetPage(buffer);
	HamOpaque *opaque;
	uint32 seen = item->splits;
	BlockNumber block = item->block;
	BlockNumber right = InvalidBlockNumber;
	uint32 rightIncarnation = 0;
	const void *ahead = NULL;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	if (item->next != NOWHERE)
		ahead = HamRecentCodes(scan->indexRelation, so->items[item->next].block);
	HamCheckPage(scan->indexRelation, buffer);
	opaque = HamPageOpaque(page);
	if (PageIsNew(page) || opaque->incarnation != item->incarnation ||
		(opaque->kind != HAM_LEAF && opaque->kind != HAM_FREE))
	{
		UnlockReleaseBuffer(buffer);
		StartAgain(scan, so, block);
		return;
	}
	if (opaque->splits > seen)
	{
		right = opaque->right;
		rightIncarnation = opaque->rightIncarnation;
		item->splits = opaque->splits;
	}
	if (opaque->kind == HAM_LEAF)
	{
		uint16 slots[BLCKSZ / sizeof(uint64)];
		uint32 found;
		uint32 next = BITS_PAGE_NONE;

		if (opaque->count > so->shape.leafCap)
			HamCorrupt(scan->indexRelation, block, "A leaf has more codes than fit.");
		if (so->ordered)
			found = bits_page_at(so->shape.words, opaque->count, so->query, (const uint64 *) HamPageData(page),
								 so->shell, slots, &next, ahead);
		else if (so->ballCount > 0)
			found = InBall(so, page, &so->balls[0], slots, ahead);
		else
			for (found = 0; found < opaque->count; found++)
				slots[found] = found;
		found = FilterBalls(so, page, so->ordered ? 0 : 1, slots, found);
		HamCollect(scan->indexRelation, page, slots, found, &so->rows);
		if (next <= so->lastShell)
			Enqueue(so, number, next);
	}
	UnlockReleaseBuffer(buffer);
	if (right != InvalidBlockNumber && !FollowSplits(scan, so, right, rightIncarnation, seen))
		StartAgain(scan, so, right);
}

/* Gathers more rows; false when there are none. Afterwards there may still be none in `rows`: ask again. */
static bool
Advance(IndexScanDesc scan, HamScan *so)
{
	so->nextRow = 0;
	so->rows.count = 0;
	if (so->rows.chainCount > 0)
	{
		BlockNumber block = so->rows.chains[so->rows.chainCount - 1].block;

		if (!HamCollectChain(scan->indexRelation, &so->rows))
			StartAgain(scan, so, block);
		return true;
	}
	if (so->wantCodes)
	{
		while (so->shell <= so->lastShell)
		{
			int32 number = so->head[so->shell];

			if (number != NOWHERE)
			{
				so->head[so->shell] = so->items[number].next;
				Visit(scan, so, number);
				return true;
			}
			so->shell++;
			if (so->track)
				ForgetReturned(so);
		}
	}
	if (so->wantNulls && !so->nullsStarted)
	{
		HamMeta meta;

		HamReadMeta(scan->indexRelation, &meta);
		so->nullsStarted = true;
		if (meta.nulls != InvalidBlockNumber)
		{
			so->rows.chains[0].block = meta.nulls;
			so->rows.chains[0].incarnation = meta.nullsIncarnation;
			so->rows.chainCount = 1;
			return true;
		}
	}
	return false;
}

/* True if the row was returned before the scan had to start again; else remembers it. */
static bool
ReturnedBefore(HamScan *so, ItemPointer tid)
{
	bool found = false;

	if (so->returned == NULL)
	{
		HASHCTL control = { 0 };

		control.keysize = sizeof(ItemPointerData);
		control.entrysize = sizeof(ItemPointerData);
		control.hcxt = so->context;
		so->returned =
			hash_create("rows of a hamming scan's shell", 256, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	/* An entry takes about 32 bytes with its link and bucket. */
	if (so->trackOverflow || hash_get_num_entries(so->returned) >= (long) work_mem * (1024 / 32))
	{
		so->trackOverflow = true;
		return hash_search(so->returned, tid, HASH_FIND, NULL) != NULL;
	}
	hash_search(so->returned, tid, HASH_ENTER, &found);
	return found;
}

static void
SetOrderValues(IndexScanDesc scan, HamScan *so)
{
	if (scan->numberOfOrderBys == 0)
		return;
	/* A second order key is known to be at least 0 only: the executor computes and sorts. */
	scan->xs_recheckorderby = scan->numberOfOrderBys > 1;
	for (int i = 0; i < scan->numberOfOrderBys; i++)
	{
		scan->xs_orderbynulls[i] = so->nullsStarted || (i == 0 && !so->ordered);
		scan->xs_orderbyvals[i] = Int32GetDatum(i == 0 && so->ordered ? (int32) so->shell : 0);
	}
}

/*
 * An index-only scan, which is planned where no column is needed at all (count(*), say), whatever amcanreturn says, believes the
 * visibility map: it would return the pointer to a dead row that VACUUM removed while the scan held nothing. So pointers are tried
 * before they are returned; a row that the snapshot sees stays.
 */
static bool
IsVisible(IndexScanDesc scan, ItemPointer tid)
{
	ItemPointerData copy = *tid; /* moved along a HOT chain */

	return !scan->xs_want_itup || table_index_fetch_tuple_check(scan->heapRelation, &copy, scan->xs_snapshot, NULL);
}

/* An index-only scan wants a tuple all the same. */
static void
SetTuple(IndexScanDesc scan, HamScan *so)
{
	if (scan->xs_want_itup && scan->xs_itup == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(so->context);
		Datum value = (Datum) 0;
		bool null = true;

		scan->xs_itupdesc = RelationGetDescr(scan->indexRelation);
		scan->xs_itup = index_form_tuple(scan->xs_itupdesc, &value, &null);
		MemoryContextSwitchTo(caller);
	}
}

bool
hamgettuple(IndexScanDesc scan, ScanDirection direction)
{
	HamScan *so = scan->opaque;

	Assert(ScanDirectionIsForward(direction));
	if (!so->started)
		Start(scan, so);
	for (;;)
	{
		while (so->nextRow < so->rows.count)
		{
			ItemPointer tid = &so->rows.tids[so->nextRow++];

			if ((so->track && ReturnedBefore(so, tid)) || !IsVisible(scan, tid))
				continue;
			scan->xs_heaptid = *tid;
			scan->xs_recheck = false;
			SetOrderValues(scan, so);
			SetTuple(scan, so);
			return true;
		}
		CHECK_FOR_INTERRUPTS();
		if (!Advance(scan, so))
			return false;
	}
}

int64
hamgetbitmap(IndexScanDesc scan, TIDBitmap *bitmap)
{
	HamScan *so = scan->opaque;
	int64 count = 0;

	/* A bitmap takes the same row twice without harm: starting again needs no memory of rows. */
	Start(scan, so);
	while (Advance(scan, so))
	{
		CHECK_FOR_INTERRUPTS();
		tbm_add_tuples(bitmap, so->rows.tids, so->rows.count, false);
		count += so->rows.count;
	}
	return count;
}
