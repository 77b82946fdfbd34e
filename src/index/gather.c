/*
 * gather.c: the heap scan of a build by several processes. Every participant takes blocks of one parallel scan. Workers write what they find
 * as records to shared temporary files, one each; the leader, which scans too, keeps its own rows and reads the files after it. All that comes
 * after the scan is the leader's work: a build has the same pages with workers and without, as records are sorted first.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/index.h"
#include "compat.h"
#include "index/gather.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "pgstat.h"
#include "storage/buffile.h"
#include "storage/sharedfileset.h"
#include "tcop/tcopprot.h"
#include "utils/snapmgr.h"

#define KEY_SHARED 1
#define KEY_QUERY  2

/* The extra word of a record without a code; HamRecordRow leaves the top bit free. */
#define NULL_CODE (UINT64CONST(1) << 63)

/* What a worker leaves to the leader. */
typedef struct Share
{
	int64 records;
	double heapTuples;
	uint32 bits; /* 0 if it met no code */
	bool brokenHotChain;
} Share;

/* In dynamic shared memory; the parallel scan and one Share a worker follow. */
typedef struct Shared
{
	Oid heap;
	Oid index;
	bool concurrent;
	int workers;
	SharedFileSet files;
	Size sharesOffset;
	Size scanOffset;
} Shared;

#define SharedShare(shared, i) ((Share *) ((char *) (shared) + (shared)->sharesOffset) + (i))
#define SharedScan(shared)     ((ParallelTableScanDesc) ((char *) (shared) + (shared)->scanOffset))

struct HamGather
{
	Relation heap;
	Relation index;
	ParallelContext *context;
	Shared *shared;
	Snapshot snapshot;
};

static void
FileName(char *name, int worker)
{
	snprintf(name, MAXPGPATH, "hamming%d", worker);
}

/* How many workers the planner grants. */
static int
Workers(Relation heap, Relation index, IndexInfo *info)
{
	/* Since 17 the caller asks the planner. */
#if PG_VERSION_NUM >= 170000
	return info->ii_ParallelWorkers;
#else
	if (!IsNormalProcessingMode() || IsSystemRelation(heap))
		return 0;
	return plan_create_index_workers(RelationGetRelid(heap), RelationGetRelid(index));
#endif
}

/* Starts workers; NULL if there are none. */
HamGather *
HamGatherStart(Relation heap, Relation index, IndexInfo *info)
{
	int workers = Workers(heap, index, info);
	HamGather *gather;
	ParallelContext *context;
	Shared *shared;
	Size scanOffset;
	Size sharesOffset;
	Size size;

	if (workers == 0)
		return NULL;
	gather = palloc0(sizeof(HamGather));
	gather->heap = heap;
	gather->index = index;
	EnterParallelMode();
	context = gather->context = CreateParallelContext("eddh", "HamGatherWorkerMain", workers);
	gather->snapshot = info->ii_Concurrent ? RegisterSnapshot(GetTransactionSnapshot()) : SnapshotAny;
	scanOffset = BUFFERALIGN(sizeof(Shared));
	sharesOffset = BUFFERALIGN(scanOffset + table_parallelscan_estimate(heap, gather->snapshot));
	size = sharesOffset + workers * sizeof(Share);
	shm_toc_estimate_chunk(&context->estimator, size);
	shm_toc_estimate_keys(&context->estimator, 1);
	if (debug_query_string)
	{
		shm_toc_estimate_chunk(&context->estimator, strlen(debug_query_string) + 1);
		shm_toc_estimate_keys(&context->estimator, 1);
	}
	InitializeParallelDSM(context);
	if (context->seg == NULL)
	{
		HamGatherEnd(gather);
		return NULL;
	}

	shared = gather->shared = shm_toc_allocate(context->toc, size);
	memset(shared, 0, size);
	shared->heap = RelationGetRelid(heap);
	shared->index = RelationGetRelid(index);
	shared->concurrent = info->ii_Concurrent;
	shared->workers = workers;
	shared->scanOffset = scanOffset;
	shared->sharesOffset = sharesOffset;
	SharedFileSetInit(&shared->files, context->seg);
	table_parallelscan_initialize(heap, SharedScan(shared), gather->snapshot);
	shm_toc_insert(context->toc, KEY_SHARED, shared);
	if (debug_query_string)
	{
		char *query = shm_toc_allocate(context->toc, strlen(debug_query_string) + 1);

		strcpy(query, debug_query_string);
		shm_toc_insert(context->toc, KEY_QUERY, query);
	}
	LaunchParallelWorkers(context);
	if (context->nworkers_launched == 0)
	{
		HamGatherEnd(gather);
		return NULL;
	}
	WaitForParallelWorkersToAttach(context);
	elog(DEBUG1, "workers that scan the table for index \"%s\": %d", RelationGetRelationName(index),
		 context->nworkers_launched);
	return gather;
}

/* The leader's part of the scan. */
TableScanDesc
HamGatherScan(HamGather *gather)
{
	return table_beginscan_parallel(gather->heap, SharedScan(gather->shared));
}

/* Waits for the workers; returns the length of codes that they met, 0 if none, and adds their rows to *heapTuples. */
uint32
HamGatherWait(HamGather *gather, IndexInfo *info, double *heapTuples)
{
	uint32 bits = 0;

	WaitForParallelWorkersToFinish(gather->context);
	for (int i = 0; i < gather->context->nworkers_launched; i++)
	{
		Share *share = SharedShare(gather->shared, i);

		*heapTuples += share->heapTuples;
		info->ii_BrokenHotChain |= share->brokenHotChain;
		if (bits != 0 && share->bits != 0)
			HamCheckLength(gather->index, bits, share->bits);
		bits = Max(bits, share->bits);
	}
	return bits;
}

/* Hands over the rows of all workers. */
void
HamGatherRead(HamGather *gather, HamGatherRow take, void *state)
{
	for (int i = 0; i < gather->context->nworkers_launched; i++)
	{
		Share *share = SharedShare(gather->shared, i);
		uint64 record[HAM_WORDS_MAX + 1];
		Size words = (share->bits + 63) / 64 + 1;
		char name[MAXPGPATH];
		BufFile *file;

		FileName(name, i);
		file = EddhBufFileOpen(&gather->shared->files, name);
		for (int64 r = 0; r < share->records; r++)
		{
			/* The extra word comes first, and alone without a code. */
			Size size = sizeof(uint64);

			if (r % 1024 == 0)
				CHECK_FOR_INTERRUPTS();
			if (BufFileRead(file, record, size) == size && !(record[0] & NULL_CODE))
				size = BufFileRead(file, record + 1, (words - 1) * sizeof(uint64)) + sizeof(uint64);
			if (size != ((record[0] & NULL_CODE) ? 1 : words) * sizeof(uint64))
				ereport(ERROR,
						(errcode_for_file_access(), errmsg("could not read a temporary file of an index build")));
			take(state, (record[0] & NULL_CODE) ? NULL : record + 1, HamRecordPointer(record[0] & ~NULL_CODE));
		}
		BufFileClose(file);
	}
}

void
HamGatherEnd(HamGather *gather)
{
	DestroyParallelContext(gather->context);
	if (IsMVCCSnapshot(gather->snapshot))
		UnregisterSnapshot(gather->snapshot);
	ExitParallelMode();
	pfree(gather);
}

/* ---- workers ---- */

typedef struct Worker
{
	Relation index;
	BufFile *file;
	HamShape shape;
	int64 records;
} Worker;

static void
WorkerRow(Relation index, ItemPointer tid, Datum *values, bool *isnull, bool alive, void *state)
{
	Worker *worker = state;
	uint64 record[HAM_WORDS_MAX + 1];

	record[0] = HamRecordRow(HamPointerFromTid(tid));
	if (isnull[0])
	{
		record[0] |= NULL_CODE;
		BufFileWrite(worker->file, record, sizeof(uint64));
	}
	else
	{
		VarBit *code = DatumGetVarBitP(values[0]);

		if (worker->shape.bits == 0)
		{
			HamCheckBits(index, VARBITLEN(code));
			HamShapeInit(&worker->shape, VARBITLEN(code));
		}
		HamCheckLength(index, worker->shape.bits, VARBITLEN(code));
		HamLoadCode(&worker->shape, VARBITS(code), record + 1);
		BufFileWrite(worker->file, record, HamRecordWords(&worker->shape) * sizeof(uint64));
		if ((Pointer) code != DatumGetPointer(values[0]))
			pfree(code);
	}
	worker->records++;
}

void
HamGatherWorkerMain(dsm_segment *segment, shm_toc *toc)
{
	Shared *shared = shm_toc_lookup(toc, KEY_SHARED, false);
	Share *share = SharedShare(shared, ParallelWorkerNumber);
	char *query = shm_toc_lookup(toc, KEY_QUERY, true);
	Relation heap;
	Relation index;
	IndexInfo *info;
	Worker worker;
	char name[MAXPGPATH];

	debug_query_string = query;
	pgstat_report_activity(STATE_RUNNING, debug_query_string);
	heap = table_open(shared->heap, shared->concurrent ? ShareUpdateExclusiveLock : ShareLock);
	index = index_open(shared->index, shared->concurrent ? RowExclusiveLock : AccessExclusiveLock);
	info = BuildIndexInfo(index);
	info->ii_Concurrent = shared->concurrent;

	memset(&worker, 0, sizeof(worker));
	worker.index = index;
	SharedFileSetAttach(&shared->files, segment);
	FileName(name, ParallelWorkerNumber);
	worker.file = EddhBufFileCreate(&shared->files, name);
	share->heapTuples = table_index_build_scan(heap, index, info, true, false, WorkerRow, &worker,
											   table_beginscan_parallel(heap, SharedScan(shared)));
	EddhBufFileExport(worker.file);
	BufFileClose(worker.file);
	share->records = worker.records;
	share->bits = worker.shape.bits;
	share->brokenHotChain = info->ii_BrokenHotChain;
	index_close(index, shared->concurrent ? RowExclusiveLock : AccessExclusiveLock);
	table_close(heap, shared->concurrent ? ShareUpdateExclusiveLock : ShareLock);
}
