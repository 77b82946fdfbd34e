/*
 * partition.c: records that do not fit maintenance_work_mem. They are routed by decisions made on a sample to temporary files, each of
 * which is then loaded like an index of its own, or partitioned again. The decisions become the top of the directory.
 *
 * A code that has half of a sample or more would stay together for ever. Its rows go straight into a chain, and a single record that
 * points to the chain takes their place. Different codes that fold to the same 256 bits (a code beside its copy, say) would stay together
 * too, since decisions see folded codes only: those are loaded piece by piece.
 */
#include "postgres.h"

#include "index/partition.h"
#include "miscadmin.h"
#include "storage/buffile.h"

#define PARTITIONS_MAX 64
#define SAMPLE         16384

struct HamPartitions
{
	Relation index;
	HamShape shape;
	HamTree *tree; /* entries stand for files */
	int count;
	BufFile **files;
	int64 *records;
	int64 added; /* to all files and the chain */
	bool heavy;
	uint64 heavyCode[HAM_WORDS_MAX];
	HamChainWriter chain;
};

static int32
Decide(HamPartitions *partitions, uint64 *records, Size count, Size unit)
{
	HamCut cut;
	Size left;
	int32 leftChild;
	int32 rightChild;
	HamEntry none;

	check_stack_depth();
	if (count <= unit)
	{
		memset(&none, 0, sizeof(none));
		return ~HamTreeAddEntry(partitions->tree, &none);
	}
	left = HamCutRecords(&partitions->shape, records, count, unit, &cut);
	leftChild = Decide(partitions, records, left, unit);
	rightChild = Decide(partitions, HamRecordAt(&partitions->shape, records, left), count - left, unit);
	return HamTreeAddNode(partitions->tree, &cut, leftChild, rightChild);
}

static bool
SameCode(const HamShape *shape, const uint64 *a, const uint64 *b)
{
	return memcmp(a, b, shape->words * sizeof(uint64)) == 0;
}

/* Sorts the sample and keeps one record a code. Notes a code that is half of it. */
static Size
Distinct(HamPartitions *partitions, uint64 *records, Size count)
{
	const HamShape *shape = &partitions->shape;
	Size distinct = 0;
	Size run = 0;

	HamSortRecords(shape, records, count);
	for (Size i = 0; i < count; i++)
	{
		uint64 *record = HamRecordAt(shape, records, i);

		run = i > 0 && SameCode(shape, record, HamRecordAt(shape, records, distinct - 1)) ? run + 1 : 1;
		if (run == 1)
			memmove(HamRecordAt(shape, records, distinct++), record, HamRecordWords(shape) * sizeof(uint64));
		if (2 * run >= count && !partitions->heavy)
		{
			partitions->heavy = true;
			memcpy(partitions->heavyCode, record, shape->words * sizeof(uint64));
		}
	}
	return distinct;
}

/* Decides on about `wanted` partitions by the records given, which stay as they are. */
HamPartitions *
HamPartitionsCreate(Relation index, const HamShape *shape, const uint64 *records, Size count, int wanted)
{
	HamPartitions *partitions = palloc0(sizeof(HamPartitions));
	Size sampled = Min(count, SAMPLE);
	uint64 *sample = palloc(sampled * HamRecordWords(shape) * sizeof(uint64));
	Size distinct;

	partitions->index = index;
	partitions->shape = *shape;
	partitions->tree = HamTreeCreate(PARTITIONS_MAX);
	HamChainWriterInit(&partitions->chain);
	for (Size i = 0; i < sampled; i++)
		memcpy(HamRecordAt(shape, sample, i), HamRecordAt(shape, records, count * i / sampled),
			   HamRecordWords(shape) * sizeof(uint64));
	distinct = Distinct(partitions, sample, sampled);
	/* With a heavy code one file is enough: what remains is much smaller. */
	wanted = partitions->heavy ? 1 : Max(2, Min(wanted, PARTITIONS_MAX));
	partitions->tree->root = Decide(partitions, sample, distinct, Max(1, (distinct + wanted - 1) / wanted));
	partitions->count = partitions->tree->entryCount;
	partitions->files = palloc(partitions->count * sizeof(BufFile *));
	partitions->records = palloc0(partitions->count * sizeof(int64));
	for (int i = 0; i < partitions->count; i++)
		partitions->files[i] = BufFileCreateTemp(false);
	pfree(sample);
	return partitions;
}

static void
Write(HamPartitions *partitions, int file, const uint64 *record)
{
	BufFileWrite(partitions->files[file], unconstify(uint64 *, record),
				 HamRecordWords(&partitions->shape) * sizeof(uint64));
	partitions->records[file]++;
}

static int
Route(HamPartitions *partitions, const uint64 *record)
{
	uint64 folded[HAM_FOLD_WORDS];
	int32 at = partitions->tree->root;

	HamFold(&partitions->shape, record, folded);
	while (at >= 0)
	{
		HamNode *node = &partitions->tree->nodes[at];

		at = HamCutSide(&partitions->shape, &node->cut, folded) ? node->right : node->left;
	}
	return ~at;
}

void
HamPartitionsAdd(HamPartitions *partitions, const uint64 *record)
{
	partitions->added++;
	/* A record that stands for a chain already is the only one of its code. */
	if (partitions->heavy && SameCode(&partitions->shape, record, partitions->heavyCode))
	{
		HamPointer row = HamRecordPointer(HamRecordExtra(&partitions->shape, record));

		if (!row.list)
		{
			HamChainWriterAdd(partitions->index, &partitions->chain, row);
			return;
		}
	}
	Write(partitions, Route(partitions, record), record);
}

/* Reads a file into `room` records' space, as far as it goes. */
static Size
Read(HamPartitions *partitions, int file, uint64 *records, Size room)
{
	Size size = HamRecordWords(&partitions->shape) * sizeof(uint64);
	Size got = 0;

	while (got < room)
	{
		Size bytes = BufFileRead(partitions->files[file], HamRecordAt(&partitions->shape, records, got), size);

		if (bytes == 0)
			break;
		if (bytes != size)
			ereport(ERROR, (errcode_for_file_access(), errmsg("could not read from temporary file: read only %zu of "
															  "%zu bytes",
															  bytes, size)));
		got++;
	}
	return got;
}

/* Records that decisions cannot part, in pieces that fit. Which piece a later code goes to does not matter: each leaf has its own bound. */
static int32
LoadPieces(HamPartitions *partitions, int file, HamLoader *loader, uint64 *records, Size room)
{
	HamCut cut;
	Size got = Read(partitions, file, records, room);
	int32 place = HamLoadRecords(loader, records, got);

	memset(&cut, 0, sizeof(cut));
	memset(cut.tie, 0xFF, sizeof(cut.tie));
	while ((got = Read(partitions, file, records, room)) > 0)
	{
		int32 piece = HamLoadRecords(loader, records, got);

		place = HamTreeAddNode(HamLoaderTree(loader), &cut, piece, place);
	}
	BufFileClose(partitions->files[file]);
	return place;
}

static int32
LoadFile(HamPartitions *partitions, int file, HamLoader *loader, uint64 *records, Size room)
{
	const HamShape *shape = &partitions->shape;
	int64 total = partitions->records[file];
	HamPartitions *below;
	Size got;

	check_stack_depth();
	if (BufFileSeek(partitions->files[file], 0, 0, SEEK_SET) != 0)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not rewind a temporary file")));
	/* The same decisions would be made again, for ever. */
	if (total > room && total == partitions->added)
		return LoadPieces(partitions, file, loader, records, room);
	got = Read(partitions, file, records, room);
	if (got == total)
	{
		BufFileClose(partitions->files[file]);
		return HamLoadRecords(loader, records, got);
	}
	below =
		HamPartitionsCreate(partitions->index, shape, records, got, (int) Min(PARTITIONS_MAX, 2 * total / room + 2));
	while (got > 0)
	{
		for (Size i = 0; i < got; i++)
			HamPartitionsAdd(below, HamRecordAt(shape, records, i));
		CHECK_FOR_INTERRUPTS();
		got = Read(partitions, file, records, room);
	}
	BufFileClose(partitions->files[file]);
	return HamPartitionsLoad(below, loader, records, room);
}

static int32
JoinTree(HamPartitions *partitions, HamTree *tree, int32 at, const int32 *places)
{
	HamNode *node;
	int32 left;
	int32 right;

	if (at < 0)
		return places[~at];
	node = &partitions->tree->nodes[at];
	left = JoinTree(partitions, tree, node->left, places);
	right = JoinTree(partitions, tree, node->right, places);
	return HamTreeAddNode(tree, &node->cut, left, right);
}

/* Loads all partitions through the space of `room` records; frees them; returns their place in the loader's tree. */
int32
HamPartitionsLoad(HamPartitions *partitions, HamLoader *loader, uint64 *records, Size room)
{
	int32 *places = palloc(partitions->count * sizeof(int32));
	int32 place;

	if (partitions->chain.head != InvalidBlockNumber)
	{
		HamPointer chain = { partitions->chain.head, 0, true };
		uint64 *record = palloc(HamRecordWords(&partitions->shape) * sizeof(uint64));

		HamChainWriterFinish(partitions->index, &partitions->chain);
		memcpy(record, partitions->heavyCode, partitions->shape.words * sizeof(uint64));
		HamRecordExtra(&partitions->shape, record) = HamRecordRow(chain);
		Write(partitions, Route(partitions, record), record);
		pfree(record);
	}
	for (int i = 0; i < partitions->count; i++)
		places[i] = LoadFile(partitions, i, loader, records, room);
	place = JoinTree(partitions, HamLoaderTree(loader), partitions->tree->root, places);
	pfree(places);
	HamTreeFree(partitions->tree);
	pfree(partitions->files);
	pfree(partitions->records);
	pfree(partitions);
	return place;
}
