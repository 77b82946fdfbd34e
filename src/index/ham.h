/*
 * ham.h: the access method `hamming`: what is on disk, shared structures, prototypes grouped by the file that defines them.
 * The algorithm, lock order and rules of VACUUM, crash and standby are in README.md.
 */
#ifndef EDDH_INDEX_HAM_H
#define EDDH_INDEX_HAM_H

#include "access/amapi.h"
#include "access/generic_xlog.h"
#include "access/genam.h"
#include "access/itup.h"
#include "access/transam.h"
#include "bits/kernels_page.h"
#include "nodes/execnodes.h"
#include "nodes/pathnodes.h"
#include "nodes/tidbitmap.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"
#include "utils/varbit.h"

/* ---- limits and options ---- */

#define HAM_BITS_MIN           8
#define HAM_BITS_MAX           4096
#define HAM_WORDS_MAX          (HAM_BITS_MAX / 64)
#define HAM_FOLD_WORDS         4 /* the directory works on at most 256 bits */
#define HAM_FILLFACTOR_MIN     50
#define HAM_FILLFACTOR_DEFAULT 95
#define HAM_FILLFACTOR_MAX     100

/* Operator class members. */
#define HAM_STRATEGY_DISTANCE 1 /* code <-> code, for ORDER BY */
#define HAM_STRATEGY_BALL     2 /* code <@ hamming_ball */

/* CREATE INDEX phases, after PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE (1). */
#define HAM_PHASE_SCAN 2
#define HAM_PHASE_LOAD 3
#define HAM_PHASE_LOG  4

/* ---- pages ---- */

#define HAM_MAGIC       0x314D4148 /* "HAM1" */
#define HAM_VERSION     1
#define HAM_PAGE_ID     0xFFB3
#define HAM_META_BLOCK  0
#define HAM_DATA_OFFSET 64 /* data are aligned to cache lines */
#define HAM_SPECIAL     64

typedef enum HamKind
{
	HAM_META = 1,
	HAM_INNER,
	HAM_LEAF,
	HAM_POINTERS,
	HAM_CHAIN,
	HAM_FREE
} HamKind;

#define HAM_FLAG_INCOMPLETE 1 /* a leaf that its split has not made reachable yet */

/* The special area of every page. Fields that a kind of page does not use are zero. */
typedef struct HamOpaque
{
	FullTransactionId deleted; /* free: reusable when no snapshot is older; 0 = at once */
	uint32 incarnation;        /* grows at each reuse of the block */
	uint32 splits;             /* leaf: see README, split against scan */
	BlockNumber right;         /* leaf: right sibling; chain: next page */
	uint32 rightIncarnation;
	BlockNumber arrayBlock; /* leaf: pointer page of its array, InvalidBlockNumber if none */
	OffsetNumber arrayOffset;
	uint16 count; /* codes, entries or pointers on the page */
	uint8 kind;
	uint8 flags;
	uint8 width; /* chain: bytes a pointer */
	uint8 unused[HAM_SPECIAL - 41];
	uint16 pageId; /* the last two bytes, as page tools expect */
} HamOpaque;

StaticAssertDecl(sizeof(HamOpaque) == HAM_SPECIAL, "HamOpaque fills the special area");

#define HamPageOpaque(page) ((HamOpaque *) PageGetSpecialPointer(page))
#define HamPageData(page)   ((char *) (page) + HAM_DATA_OFFSET)
#define HAM_DATA_SIZE       (BLCKSZ - HAM_DATA_OFFSET - HAM_SPECIAL)

/* Statistics by distance; distances are scaled when codes are longer than HAM_SAMPLE_BINS - 1 bits. */
#define HAM_SAMPLE_BINS 257

typedef struct HamMeta
{
	uint32 magic;
	uint32 version;
	uint32 bits;       /* length of all codes, 0 while unknown */
	BlockNumber root;  /* InvalidBlockNumber until the first code */
	BlockNumber nulls; /* chain of rows whose code is NULL */
	uint32 nullsIncarnation;
	float8 rows; /* statistics of the last build or VACUUM */
	float8 codes;
	float8 leaves;
	float8 inners;
	float4 sampled;                  /* pairs of rows sampled; 0: no sample */
	float4 near[HAM_SAMPLE_BINS];    /* share of pairs at most this distance apart */
	float4 visited[HAM_SAMPLE_BINS]; /* share of leaves that a query must visit to find all within this distance */
} HamMeta;

#define HamPageMeta(page) ((HamMeta *) HamPageData(page))

/* What never changes once the first code is in; cached in rd_amcache and copied by each user, since an invalidation frees that. */
typedef struct HamShape
{
	BlockNumber root;
	uint32 bits;
	uint32 words;              /* 64-bit words a code */
	uint32 fold;               /* words a folded code, at most HAM_FOLD_WORDS */
	uint32 leafCap;            /* codes a leaf */
	uint32 innerCap;           /* entries an inner page */
	BlockNumber pointerTarget; /* where this backend last found room for an item; only a hint */
} HamShape;

/* rd_amcache: one piece of memory, as the relation cache wants it. */
typedef struct HamCache
{
	HamShape shape;
	uint32 turn;
	BlockNumber recentCount;
	Buffer recent[FLEXIBLE_ARRAY_MEMBER]; /* by block: the buffer that had it last, see recent.c */
} HamCache;

/* ---- pointers ---- */

/* To a heap row, or (list) to an item with several, or to the head of a chain (list, offset 0). */
typedef struct HamPointer
{
	BlockNumber block;
	OffsetNumber offset;
	bool list;
} HamPointer;

#define HAM_WIDTH_MIN 4
#define HAM_WIDTH_MAX 7

#define HAM_ITEM_ARRAY 1
#define HAM_ITEM_LIST  2

/* An item of a pointer page: the pointers of a leaf's codes (the leaf knows how many), or of the rows of one code. */
typedef struct HamItem
{
	BlockNumber owner; /* array: its leaf */
	uint16 count;      /* list: rows */
	uint8 width;
	uint8 kind;
	char data[FLEXIBLE_ARRAY_MEMBER];
} HamItem;

#define HAM_ITEM_HEADER offsetof(HamItem, data)
#define HAM_LIST_MAX    4000 /* bytes; a longer list becomes a chain */

#define HamItemSize(count, width)   MAXALIGN(HAM_ITEM_HEADER + (Size) (count) * (width))
#define HamItemRoom(size, width)    ((int) (((size) -HAM_ITEM_HEADER) / (width)))
#define HamItemPointer(item, i)     ((item)->data + (Size) (i) * (item)->width)
#define HamChainRoom(width)         (HAM_DATA_SIZE / (width))
#define HamChainPointer(page, w, i) (HamPageData(page) + (Size) (i) * (w))

/* Rows gathered under a leaf's lock, and chains to be read after. */
typedef struct HamChainRef
{
	BlockNumber block;
	uint32 incarnation;
} HamChainRef;

typedef struct HamRows
{
	ItemPointerData *tids;
	int count;
	int room;
	HamChainRef *chains;
	int chainCount;
	int chainRoom;
} HamRows;

/* ---- the directory ---- */

typedef struct HamBound
{
	uint64 centre[HAM_FOLD_WORDS];
	uint64 all[HAM_FOLD_WORDS]; /* AND */
	uint64 any[HAM_FOLD_WORDS]; /* OR */
	uint16 rmin;                /* empty set: rmin > rmax */
	uint16 rmax;
} HamBound;

#define HAM_INNER_CHILD PG_UINT32_MAX /* `splits` of an entry that is an inner page */

typedef struct HamEntry
{
	HamBound bound;
	BlockNumber child;
	uint32 incarnation;
	uint32 splits;
} HamEntry;

/* Left if v < at, or v == at and code <= tie, where v = popcount((code ^ origin) & mask). */
typedef struct HamCut
{
	uint64 origin[HAM_FOLD_WORDS];
	uint64 mask[HAM_FOLD_WORDS];
	uint64 tie[HAM_FOLD_WORDS];
	uint16 at;
} HamCut;

/* A decision in memory; left and right: a node if >= 0, else the entry ~value. */
typedef struct HamNode
{
	HamCut cut;
	int32 left;
	int32 right;
} HamNode;

/* An inner page, or the whole directory during a build, in memory. */
typedef struct HamTree
{
	int32 root;
	int nodeCount;
	int nodeRoom;
	HamNode *nodes;
	int entryCount;
	int entryRoom;
	HamEntry *entries;
} HamTree;

/* Records of cut.c, insert and build: a code of `words` words and one word of the caller's. */
#define HamRecordWords(shape)      ((shape)->words + 1)
#define HamRecordAt(shape, r, i)   ((r) + (Size) (i) *HamRecordWords(shape))
#define HamRecordExtra(shape, rec) ((rec)[(shape)->words])

/* options.c */
extern bytea *hamoptions(Datum reloptions, bool validate);
extern int HamFillFactor(Relation index);
extern void HamOptionsInit(void);

/* meta.c */
extern void HamShapeInit(HamShape *shape, uint32 bits);
extern bool HamOpen(Relation index, HamShape *shape);
extern void HamOpenForCode(Relation index, uint32 bits, HamShape *shape);
extern void HamCheckLength(Relation index, uint32 bits, uint32 other);
extern void HamReadMeta(Relation index, HamMeta *meta);
extern void HamInitMeta(Page page, uint32 bits);
extern uint32 HamColumnBits(Relation index);
extern void HamCheckBits(Relation index, uint32 bits);
extern void HamUpdateStats(Relation index, const HamMeta *stats);
extern void HamLoadCode(const HamShape *shape, const bits8 *bytes, uint64 *code);

/* page.c */
extern void HamInitPage(Page page, HamKind kind, uint32 incarnation);
extern void HamCheckPage(Relation index, Buffer buffer);
extern Buffer HamReadPage(Relation index, BlockNumber block, int lock);
extern Buffer HamReadPageKind(Relation index, BlockNumber block, int lock, HamKind kind);
extern Buffer HamExtend(Relation index);
extern BlockNumber HamReserve(Relation index);
extern void HamWriteImage(Relation index, BlockNumber block, const char *image);
extern Buffer HamTakePage(Relation index, uint32 *incarnation);
extern bool HamPageReusable(Page page);
extern void HamMakeFree(Page page, bool wait);
extern void HamCorrupt(Relation index, BlockNumber block, const char *what) pg_attribute_noreturn();

/* recent.c */
extern Buffer HamReadRecent(Relation index, BlockNumber block);
extern const void *HamRecentCodes(Relation index, BlockNumber block);

/* pointers.c */
extern int HamPointerWidth(HamPointer pointer);
extern void HamPointerStore(char *to, int width, HamPointer pointer);
extern HamPointer HamPointerLoad(const char *from, int width);
extern HamPointer HamPointerFromTid(ItemPointer tid);
extern HamItem *HamItemGet(Relation index, Buffer buffer, Page page, OffsetNumber offset, Size *size);
extern OffsetNumber HamItemAdd(Page page, HamItem *item, Size size);
extern void HamLockInOrder(Buffer a, Buffer b);
extern bool HamItemFits(Page page, Size size);
extern Buffer HamPointerTarget(Relation index, HamShape *shape, Size size, const Buffer *held, int heldCount,
							   uint32 *newIncarnation);
extern Page HamRegisterTarget(GenericXLogState *xlog, Buffer buffer, uint32 newIncarnation);
extern void HamRememberTarget(Relation index, HamShape *shape, Buffer buffer);
extern void HamAddRow(Relation index, HamShape *shape, Buffer leaf, int slot, HamPointer row);

/* chain.c */
typedef struct HamChainWriter
{
	BlockNumber head; /* InvalidBlockNumber while there is no row */
	BlockNumber block;
	PGAlignedBlock image;
} HamChainWriter;
extern void HamChainWriterInit(HamChainWriter *writer);
extern void HamChainWriterAdd(Relation index, HamChainWriter *writer, HamPointer row);
extern void HamChainWriterFinish(Relation index, HamChainWriter *writer);
extern void HamChainCheck(Relation index, Buffer buffer);
extern void HamChainInit(Page page, uint32 incarnation, int width);
extern void HamChainPut(Page page, HamPointer row);
extern void HamChainAppend(Relation index, BlockNumber head, HamPointer row);
extern void HamInsertNull(Relation index, HamPointer row);

/* log.c */
#define HAM_LOG_PAGES  3
#define HAM_LOG_RANGES (HAM_WORDS_MAX + 4) /* a code's words lie apart */
#define HAM_LOG_BYTES  (HAM_LIST_MAX + 512)

typedef struct HamLogChanges
{
	Buffer buffer;
	int rangeCount;
	struct
	{
		uint16 offset;
		uint16 length;
	} ranges[HAM_LOG_RANGES];
} HamLogChanges;

typedef struct HamLog
{
	Relation index;
	int pageCount;
	HamLogChanges pages[HAM_LOG_PAGES];
} HamLog;
extern void HamLogBegin(HamLog *log, Relation index);
extern Page HamLogPage(HamLog *log, Buffer buffer);
extern void HamLogBytes(HamLog *log, const void *at, Size length);
extern void HamLogHeader(HamLog *log);
extern void HamLogEnd(HamLog *log);

/* leaf.c */
extern void HamLeafInit(const HamShape *shape, Page page, uint32 incarnation);
extern void HamLeafGet(const HamShape *shape, Page page, int slot, uint64 *code);
extern void HamLeafSet(const HamShape *shape, Page page, int slot, const uint64 *code);
extern void HamLeafSetCount(const HamShape *shape, Page page, int count);
extern int HamLeafFind(const HamShape *shape, Page page, const uint64 *code);
extern void HamLeafRemove(const HamShape *shape, Page page, HamItem *array, int slot);
extern void HamWidenArray(Relation index, HamShape *shape, Buffer leaf, int width);
extern void HamLeafAppend(Relation index, HamShape *shape, Buffer inner, int entry, const HamBound *bound, Buffer leaf,
						  const uint64 *code, HamPointer row);

/* inner.c */
extern void HamFold(const HamShape *shape, const uint64 *code, uint64 *folded);
extern uint32 HamFoldDistance(const HamShape *shape, const uint64 *a, const uint64 *b);
extern void HamBoundEmpty(const HamShape *shape, HamBound *bound);
extern void HamBoundEverything(const HamShape *shape, HamBound *bound);
extern bool HamBoundGrow(const HamShape *shape, HamBound *bound, const uint64 *folded);
extern void HamBoundOfRecords(const HamShape *shape, const uint64 *records, int count, HamBound *bound);
extern void HamInnerCheck(Relation index, const HamShape *shape, Buffer buffer);
extern void HamInnerInit(const HamShape *shape, Page page, uint32 incarnation);
extern int HamInnerFind(const HamShape *shape, Page page, const uint64 *folded);
extern void HamInnerGet(const HamShape *shape, Page page, int entry, HamEntry *out);
extern void HamInnerSet(const HamShape *shape, Page page, int entry, const HamEntry *in);
extern void HamInnerSetBound(const HamShape *shape, Page page, int entry, const HamBound *bound, HamLog *log);
extern void HamInnerBounds(const HamShape *shape, Page page, const uint64 *folded, uint32 *bounds);
extern const BlockNumber *HamInnerChildren(const HamShape *shape, Page page);
extern const uint32 *HamInnerIncarnations(const HamShape *shape, Page page);
extern const uint32 *HamInnerSplits(const HamShape *shape, Page page);
extern void HamInnerWrite(const HamShape *shape, Page page, const HamTree *tree);
extern HamTree *HamInnerRead(const HamShape *shape, Page page);

/* tree.c */
extern HamTree *HamTreeCreate(int entryRoom);
extern void HamTreeFree(HamTree *tree);
extern int HamTreeAddEntry(HamTree *tree, const HamEntry *entry);
extern int HamTreeAddNode(HamTree *tree, const HamCut *cut, int32 left, int32 right);
extern void HamTreeSplitEntry(HamTree *tree, int entry, const HamCut *cut, const HamEntry *right);
extern void HamTreeRemoveEntry(HamTree *tree, int entry);
extern int HamTreeSize(const HamTree *tree, int32 at);
extern HamTree *HamTreeExtract(const HamTree *tree, int32 at);
extern HamTree *HamTreeReplace(const HamTree *tree, int32 at, const HamEntry *entry);
extern int32 HamTreeHalf(const HamTree *tree);

/* cut.c */
extern int HamCutSide(const HamShape *shape, const HamCut *cut, const uint64 *folded);
extern Size HamCutRecords(const HamShape *shape, uint64 *records, Size count, Size unit, HamCut *cut);
extern void HamMajority(const HamShape *shape, const uint64 *records, Size count, uint64 *centre);

typedef struct HamSampler HamSampler;

/* load.c */
typedef struct HamLoader HamLoader;
extern HamLoader *HamLoaderCreate(Relation index, const HamShape *shape, HamSampler *sampler);
extern void HamSortRecords(const HamShape *shape, uint64 *records, Size count);
extern HamTree *HamLoaderTree(HamLoader *loader);
extern int32 HamLoadRecords(HamLoader *loader, uint64 *records, Size count);
extern uint64 HamRecordRow(HamPointer row);
extern HamPointer HamRecordPointer(uint64 word);
extern BlockNumber HamLoaderFinish(HamLoader *loader, HamMeta *meta);

/* build.c */
extern IndexBuildResult *hambuild(Relation heap, Relation index, IndexInfo *indexInfo);
extern void hambuildempty(Relation index);
extern char *hambuildphasename(int64 phase);

/* insert.c, split.c */
extern bool haminsert(Relation index, Datum *values, bool *isnull, ItemPointer tid, Relation heap,
					  IndexUniqueCheck checkUnique, bool indexUnchanged, IndexInfo *indexInfo);
extern void HamSplitInner(Relation index, HamShape *shape, Buffer inner);
extern void HamSplitLeaf(Relation index, HamShape *shape, Buffer inner, int entry, Buffer leaf);

/* collect.c */
extern void HamRowsInit(HamRows *rows);
extern void HamRowsReset(HamRows *rows);
extern void HamRowsFree(HamRows *rows);
extern void HamRowsAdd(HamRows *rows, ItemPointer tid);
extern void HamCollect(Relation index, Page leaf, const uint16 *slots, int count, HamRows *rows);
extern bool HamCollectChain(Relation index, HamRows *rows);

/* scan.c */
extern IndexScanDesc hambeginscan(Relation index, int nkeys, int norderbys);
extern void hamrescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys, int norderbys);
extern bool hamgettuple(IndexScanDesc scan, ScanDirection direction);
extern int64 hamgetbitmap(IndexScanDesc scan, TIDBitmap *bitmap);
extern void hamendscan(IndexScanDesc scan);

/* vacuum.c */
extern IndexBulkDeleteResult *hambulkdelete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
											IndexBulkDeleteCallback callback, void *callbackState);
extern IndexBulkDeleteResult *hamvacuumcleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats);

extern int HamCompareBlocks(const void *a, const void *b);

/* stats.c */
extern HamSampler *HamSamplerCreate(const HamShape *shape);
extern void HamSamplerAdd(HamSampler *sampler, const uint64 *code, double rows);
extern void HamSamplerFinish(HamSampler *sampler, Relation index, HamMeta *meta);
extern void HamSamplerSetRoot(HamSampler *sampler, BlockNumber root);
extern int HamSampleBin(uint32 bits, double distance);

/* cost.c, validate.c */
extern void hamcostestimate(PlannerInfo *root, IndexPath *path, double loopCount, Cost *startupCost, Cost *totalCost,
							Selectivity *selectivity, double *correlation, double *pages);
extern bool hamvalidate(Oid opclass);

#endif /* EDDH_INDEX_HAM_H */
