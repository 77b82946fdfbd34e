/* meta.c: the metapage, its copy in the relation cache, and the first code's arrival in an empty index. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "index/ham.h"
#include "miscadmin.h"
#include "utils/memutils.h"

/* Raises an error unless codes of so many bits can be indexed. */
void
HamCheckBits(Relation index, uint32 bits)
{
	if (bits < HAM_BITS_MIN || bits > HAM_BITS_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a hamming index takes codes of %d to %d bits", HAM_BITS_MIN, HAM_BITS_MAX),
				 errdetail("Index \"%s\" is asked to take codes of %u bits.", RelationGetRelationName(index), bits)));
}

/* The length that the column's type prescribes, or 0 when the first code will. */
uint32
HamColumnBits(Relation index)
{
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(index), 0);

	if (attribute->atttypid != BITOID || attribute->atttypmod < 0)
		return 0;
	HamCheckBits(index, attribute->atttypmod);
	return attribute->atttypmod;
}

void
HamShapeInit(HamShape *shape, uint32 bits)
{
	uint32 lanes = BITS_PAGE_LANES;

	memset(shape, 0, sizeof(*shape));
	shape->bits = bits;
	shape->words = (bits + 63) / 64;
	shape->fold = Min(shape->words, HAM_FOLD_WORDS);
	shape->leafCap = HAM_DATA_SIZE / (shape->words * lanes * sizeof(uint64)) * lanes;
	/* Eight entries: bounds; rmin, rmax, child, incarnation, splits; decisions (see inner.c). */
	shape->innerCap = HAM_DATA_SIZE / (lanes * (3 * shape->fold * 8 + 2 * 2 + 3 * 4 + 3 * shape->fold * 8 + 8)) * lanes;
	shape->pointerTarget = InvalidBlockNumber;
}

void
HamInitMeta(Page page, uint32 bits)
{
	HamMeta *meta;

	HamInitPage(page, HAM_META, 1);
	meta = HamPageMeta(page);
	meta->magic = HAM_MAGIC;
	meta->version = HAM_VERSION;
	meta->bits = bits;
	meta->root = InvalidBlockNumber;
	meta->nulls = InvalidBlockNumber;
	((PageHeader) page)->pd_lower = HAM_DATA_OFFSET + sizeof(HamMeta);
}

static void
CheckMeta(Relation index, const HamMeta *meta)
{
	if (meta->magic != HAM_MAGIC)
		HamCorrupt(index, HAM_META_BLOCK, "The metapage has no magic number of a hamming index.");
	if (meta->version != HAM_VERSION)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("index \"%s\" has format %u, this version of eddh reads format %u",
							   RelationGetRelationName(index), meta->version, HAM_VERSION),
						errhint("REINDEX it.")));
	if ((meta->bits != 0 || meta->root != InvalidBlockNumber) &&
		(meta->bits < HAM_BITS_MIN || meta->bits > HAM_BITS_MAX))
		HamCorrupt(index, HAM_META_BLOCK, "The metapage has an impossible length of codes.");
}

void
HamReadMeta(Relation index, HamMeta *meta)
{
	Buffer buffer = HamReadPageKind(index, HAM_META_BLOCK, BUFFER_LOCK_SHARE, HAM_META);

	*meta = *HamPageMeta(BufferGetPage(buffer));
	UnlockReleaseBuffer(buffer);
	CheckMeta(index, meta);
}

/* Copies the shape of an index that has, or had, codes; false while it never had one. */
bool
HamOpen(Relation index, HamShape *shape)
{
	if (index->rd_amcache == NULL)
	{
		HamMeta meta;
		HamCache *cache;

		HamReadMeta(index, &meta);
		if (meta.root == InvalidBlockNumber)
			return false;
		HamShapeInit(shape, meta.bits);
		shape->root = meta.root;
		cache = MemoryContextAllocZero(index->rd_indexcxt, offsetof(HamCache, recent));
		cache->shape = *shape;
		index->rd_amcache = cache;
	}
	*shape = ((HamCache *) index->rd_amcache)->shape;
	return true;
}

/* Makes a root with one empty leaf; the metapage is locked exclusively. All three pages are one record. */
static void
MakeRoot(Relation index, Buffer metaBuffer, uint32 bits)
{
	HamShape shape;
	uint32 incarnation;
	Buffer rootBuffer;
	Buffer leafBuffer;
	GenericXLogState *xlog;
	HamMeta *meta;
	HamTree *tree = HamTreeCreate(1);
	HamEntry entry;

	HamShapeInit(&shape, bits);
	rootBuffer = HamTakePage(index, &incarnation);
	memset(&entry, 0, sizeof(entry));
	HamBoundEmpty(&shape, &entry.bound);
	leafBuffer = HamTakePage(index, &entry.incarnation);
	entry.child = BufferGetBlockNumber(leafBuffer);
	HamTreeAddEntry(tree, &entry);
	tree->root = ~0;

	xlog = GenericXLogStart(index);
	meta = HamPageMeta(GenericXLogRegisterBuffer(xlog, metaBuffer, 0));
	{
		Page page = GenericXLogRegisterBuffer(xlog, rootBuffer, GENERIC_XLOG_FULL_IMAGE);

		HamInnerInit(&shape, page, incarnation);
		HamInnerWrite(&shape, page, tree);
	}
	HamLeafInit(&shape, GenericXLogRegisterBuffer(xlog, leafBuffer, GENERIC_XLOG_FULL_IMAGE), entry.incarnation);
	meta->bits = bits;
	meta->root = BufferGetBlockNumber(rootBuffer);
	GenericXLogFinish(xlog);
	UnlockReleaseBuffer(leafBuffer);
	UnlockReleaseBuffer(rootBuffer);
}

/* Raises an error unless a code of `other` bits belongs into an index of codes of `bits` bits. */
void
HamCheckLength(Relation index, uint32 bits, uint32 other)
{
	if (bits != other)
		ereport(ERROR,
				(errcode(ERRCODE_STRING_DATA_LENGTH_MISMATCH),
				 errmsg("index \"%s\" is of codes of %u bits, not of %u", RelationGetRelationName(index), bits, other),
				 errdetail("All codes of a hamming index have the same length.")));
}

/* The shape of an index that is about to get a code of so many bits; makes the root if it is the first. */
void
HamOpenForCode(Relation index, uint32 bits, HamShape *shape)
{
	if (!HamOpen(index, shape))
	{
		Buffer buffer = HamReadPageKind(index, HAM_META_BLOCK, BUFFER_LOCK_EXCLUSIVE, HAM_META);
		HamMeta *meta = HamPageMeta(BufferGetPage(buffer));

		CheckMeta(index, meta);
		HamCheckBits(index, bits);
		if (meta->bits != 0)
			HamCheckLength(index, meta->bits, bits);
		if (meta->root == InvalidBlockNumber)
			MakeRoot(index, buffer, bits);
		UnlockReleaseBuffer(buffer);
		HamOpen(index, shape);
	}
	HamCheckLength(index, shape->bits, bits);
}

/* Sets what planner and statistics functions read. Nothing else of the metapage changes. */
void
HamUpdateStats(Relation index, const HamMeta *stats)
{
	Buffer buffer = HamReadPageKind(index, HAM_META_BLOCK, BUFFER_LOCK_EXCLUSIVE, HAM_META);
	GenericXLogState *xlog = GenericXLogStart(index);
	HamMeta *meta = HamPageMeta(GenericXLogRegisterBuffer(xlog, buffer, 0));

	meta->rows = stats->rows;
	meta->codes = stats->codes;
	meta->leaves = stats->leaves;
	meta->inners = stats->inners;
	if (stats->sampled > 0)
	{
		meta->sampled = stats->sampled;
		memcpy(meta->near, stats->near, sizeof(meta->near));
		memcpy(meta->visited, stats->visited, sizeof(meta->visited));
	}
	GenericXLogFinish(xlog);
	UnlockReleaseBuffer(buffer);
}

/* Bytes of a bit string to words. Which bit goes where does not matter to distances. */
void
HamLoadCode(const HamShape *shape, const bits8 *bytes, uint64 *code)
{
	code[shape->words - 1] = 0;
	memcpy(code, bytes, (shape->bits + 7) / 8);
}
