/*
 * build.c: CREATE INDEX and REINDEX. First phase: rows of the heap (gather.c: by several processes) become records, in memory as far as
 * maintenance_work_mem goes, then in partitions on disk (partition.c). Second: records become pages (load.c). Third: all pages are logged.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "access/xloginsert.h"
#include "catalog/index.h"
#include "commands/progress.h"
#include "index/gather.h"
#include "index/partition.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"

typedef struct HamBuild
{
	Relation heap;
	Relation index;
	HamShape shape; /* bits is 0 until the first code */
	HamChainWriter nulls;
	uint64 *records;
	Size count;
	Size allocated;
	Size room; /* records that fit the memory limit */
	HamPartitions *partitions;
	double rows;
} HamBuild;

/* Beside the record itself, loading takes a word for its row and two bytes for its projection. */
#define BYTES_BESIDE_RECORD 10
#define RECORDS_MIN         1024

static void
FirstCode(HamBuild *build, uint32 bits)
{
	HamCheckBits(build->index, bits);
	HamShapeInit(&build->shape, bits);
	build->room =
		(Size) maintenance_work_mem * 1024 / (HamRecordWords(&build->shape) * sizeof(uint64) + BYTES_BESIDE_RECORD);
	build->room = Max(RECORDS_MIN, Min(build->room, PG_INT32_MAX));
	build->allocated = Min(build->room, RECORDS_MIN);
	build->records = palloc(build->allocated * HamRecordWords(&build->shape) * sizeof(uint64));
}

static uint64 *
NextRecord(HamBuild *build)
{
	if (build->count == build->allocated)
	{
		build->allocated = Min(build->room, build->allocated * 2);
		build->records =
			repalloc_huge(build->records, build->allocated * HamRecordWords(&build->shape) * sizeof(uint64));
	}
	return HamRecordAt(&build->shape, build->records, build->count++);
}

/* Memory is full: partitions are made, and what is there moves into them. The place in the heap tells how much will come. */
static void
StartPartitions(HamBuild *build, ItemPointer tid)
{
	double share = (ItemPointerGetBlockNumber(tid) + 1.0) / Max(1, RelationGetNumberOfBlocks(build->heap));
	double times = Min(1000.0, 1.0 / share);

	build->partitions =
		HamPartitionsCreate(build->index, &build->shape, build->records, build->count, (int) (2 * times) + 2);
	for (Size i = 0; i < build->count; i++)
		HamPartitionsAdd(build->partitions, HamRecordAt(&build->shape, build->records, i));
	build->count = 0;
}

/* A place for the record of a row, to be filled and given to EndRecord. */
static uint64 *
StartRecord(HamBuild *build, uint32 bits, ItemPointer tid)
{
	uint64 *record;

	if (build->shape.bits == 0)
		FirstCode(build, bits);
	HamCheckLength(build->index, build->shape.bits, bits);
	if (build->count == build->room && build->partitions == NULL)
		StartPartitions(build, tid);
	record = NextRecord(build);
	HamRecordExtra(&build->shape, record) = HamRecordRow(HamPointerFromTid(tid));
	return record;
}

static void
EndRecord(HamBuild *build, uint64 *record)
{
	if (build->partitions != NULL)
	{
		HamPartitionsAdd(build->partitions, record);
		build->count = 0;
	}
}

static void
BuildRow(Relation index, ItemPointer tid, Datum *values, bool *isnull, bool alive, void *state)
{
	HamBuild *build = state;
	VarBit *code;
	uint64 *record;

	build->rows++;
	if (isnull[0])
	{
		HamChainWriterAdd(index, &build->nulls, HamPointerFromTid(tid));
		return;
	}
	code = DatumGetVarBitP(values[0]);
	record = StartRecord(build, VARBITLEN(code), tid);
	HamLoadCode(&build->shape, VARBITS(code), record);
	EndRecord(build, record);
	if ((Pointer) code != DatumGetPointer(values[0]))
		pfree(code);
}

/* A row that a worker found. */
static void
GatheredRow(void *state, const uint64 *code, HamPointer row)
{
	HamBuild *build = state;
	ItemPointerData tid;
	uint64 *record;

	build->rows++;
	if (code == NULL)
	{
		HamChainWriterAdd(build->index, &build->nulls, row);
		return;
	}
	ItemPointerSet(&tid, row.block, row.offset);
	record = StartRecord(build, build->shape.bits, &tid);
	memcpy(record, code, build->shape.words * sizeof(uint64));
	EndRecord(build, record);
}

/* The first phase. Returns the number of live rows of the heap. */
static double
ScanHeap(HamBuild *build, IndexInfo *info)
{
	HamGather *gather = HamGatherStart(build->heap, build->index, info);
	double rows = table_index_build_scan(build->heap, build->index, info, false, true, BuildRow, build,
										 gather != NULL ? HamGatherScan(gather) : NULL);

	if (gather != NULL)
	{
		uint32 bits = HamGatherWait(gather, info, &rows);

		if (bits != 0 && build->shape.bits == 0)
			FirstCode(build, bits);
		if (bits != 0)
			HamCheckLength(build->index, build->shape.bits, bits);
		HamGatherRead(gather, GatheredRow, build);
		HamGatherEnd(gather);
	}
	return rows;
}

static void
Phase(int64 phase)
{
	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, phase);
}

/* Writes leaves and directory; fills in the metapage's root and statistics. */
static void
Load(HamBuild *build, HamMeta *meta)
{
	HamSampler *sampler = HamSamplerCreate(&build->shape);
	HamLoader *loader = HamLoaderCreate(build->index, &build->shape, sampler);
	int32 place;

	if (build->partitions != NULL)
	{
		/* Their loading uses the memory that the records had. */
		build->records = repalloc_huge(build->records, build->room * HamRecordWords(&build->shape) * sizeof(uint64));
		place = HamPartitionsLoad(build->partitions, loader, build->records, build->room);
	}
	else
		place = HamLoadRecords(loader, build->records, build->count);
	HamLoaderTree(loader)->root = place;
	meta->root = build->shape.root = HamLoaderFinish(loader, meta);
	meta->bits = build->shape.bits;
	HamSamplerSetRoot(sampler, meta->root);
	HamSamplerFinish(sampler, build->index, meta);
}

IndexBuildResult *
hambuild(Relation heap, Relation index, IndexInfo *indexInfo)
{
	IndexBuildResult *result = palloc0(sizeof(IndexBuildResult));
	HamBuild build;
	PGAlignedBlock image;
	HamMeta *meta = HamPageMeta((Page) image.data);
	uint32 bits = HamColumnBits(index);

	if (RelationGetNumberOfBlocks(index) != 0)
		elog(ERROR, "index \"%s\" already contains data", RelationGetRelationName(index));
	memset(&build, 0, sizeof(build));
	build.heap = heap;
	build.index = index;
	HamChainWriterInit(&build.nulls);
	HamInitMeta((Page) image.data, bits);
	if (HamReserve(index) != HAM_META_BLOCK)
		elog(ERROR, "the metapage is not the first page");
	if (bits != 0)
		FirstCode(&build, bits);

	Phase(HAM_PHASE_SCAN);
	result->heap_tuples = ScanHeap(&build, indexInfo);
	HamChainWriterFinish(index, &build.nulls);
	Phase(HAM_PHASE_LOAD);
	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL, (int64) build.rows);
	if (build.count > 0 || build.partitions != NULL)
		Load(&build, meta);
	meta->rows = build.rows;
	meta->nulls = build.nulls.head;
	meta->nullsIncarnation = 1;
	HamWriteImage(index, HAM_META_BLOCK, image.data);

	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, (int64) build.rows);
	Phase(HAM_PHASE_LOG);
	if (RelationNeedsWAL(index))
		log_newpage_range(index, MAIN_FORKNUM, 0, RelationGetNumberOfBlocks(index), true);
	result->index_tuples = build.rows;
	return result;
}

/* The init fork of an unlogged index: a metapage. */
void
hambuildempty(Relation index)
{
	PGAlignedBlock image;
	Buffer buffer;

	HamInitMeta((Page) image.data, HamColumnBits(index));
	LockRelationForExtension(index, ExclusiveLock);
	buffer = ReadBufferExtended(index, INIT_FORKNUM, P_NEW, RBM_NORMAL, NULL);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	UnlockRelationForExtension(index, ExclusiveLock);
	START_CRIT_SECTION();
	memcpy(BufferGetPage(buffer), image.data, BLCKSZ);
	MarkBufferDirty(buffer);
	log_newpage_buffer(buffer, true);
	END_CRIT_SECTION();
	UnlockReleaseBuffer(buffer);
}

char *
hambuildphasename(int64 phase)
{
	switch (phase)
	{
		case PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE:
			return "initializing";
		case HAM_PHASE_SCAN:
			return "scanning table";
		case HAM_PHASE_LOAD:
			return "writing pages";
		case HAM_PHASE_LOG:
			return "logging pages";
		default:
			return NULL;
	}
}
