/*
 * inner.c: a page of the directory: entries (children with bounds on all codes below them) and the decisions that route a code to one.
 *
 * Page layout for a capacity of C entries (HamShape.innerCap) and F words a folded code, from HamPageData on:
 *   C / 8 blocks of 3 * F words: centre, AND, OR           rmin uint16[C]   rmax uint16[C]
 *   child uint32[C]   incarnation uint32[C]   splits uint32[C]
 *   decisions [C]: origin, mask, tie (F words each), at uint16, left int16, right int16, 2 unused bytes
 * A side of a decision is another one if >= 0, else the entry ~side. Decision 0 is the first one, unless there is one entry only.
 */
#include "postgres.h"

#include "index/ham.h"

typedef struct NodeTail
{
	uint16 at;
	int16 left;
	int16 right;
	int16 unused;
} NodeTail;

static uint64 *
Blocks(Page page)
{
	return (uint64 *) HamPageData(page);
}

static uint16 *
Rmin(const HamShape *shape, Page page)
{
	return (uint16 *) (Blocks(page) + (Size) shape->innerCap * 3 * shape->fold);
}

static uint16 *
Rmax(const HamShape *shape, Page page)
{
	return Rmin(shape, page) + shape->innerCap;
}

static uint32 *
Children(const HamShape *shape, Page page)
{
	return (uint32 *) (Rmax(shape, page) + shape->innerCap);
}

static uint32 *
Incarnations(const HamShape *shape, Page page)
{
	return Children(shape, page) + shape->innerCap;
}

static uint32 *
Splits(const HamShape *shape, Page page)
{
	return Incarnations(shape, page) + shape->innerCap;
}

static uint64 *
NodeWords(const HamShape *shape, Page page, int node)
{
	return (uint64 *) (Splits(shape, page) + shape->innerCap) + (Size) node * (3 * shape->fold + 1);
}

static NodeTail *
NodeTailOf(const HamShape *shape, Page page, int node)
{
	return (NodeTail *) (NodeWords(shape, page, node) + 3 * shape->fold);
}

/* XOR of the code's 256-bit pieces. */
void
HamFold(const HamShape *shape, const uint64 *code, uint64 *folded)
{
	for (uint32 w = 0; w < shape->fold; w++)
		folded[w] = code[w];
	for (uint32 w = shape->fold; w < shape->words; w++)
		folded[w % HAM_FOLD_WORDS] ^= code[w];
}

uint32
HamFoldDistance(const HamShape *shape, const uint64 *a, const uint64 *b)
{
	uint32 sum = 0;

	for (uint32 w = 0; w < shape->fold; w++)
		sum += __builtin_popcountll(a[w] ^ b[w]);
	return sum;
}

/* Of no code at all. */
void
HamBoundEmpty(const HamShape *shape, HamBound *bound)
{
	memset(bound, 0, sizeof(*bound));
	memset(bound->all, 0xFF, sizeof(bound->all));
	bound->rmin = PG_UINT16_MAX;
}

/* Of any codes: prunes nothing. */
void
HamBoundEverything(const HamShape *shape, HamBound *bound)
{
	memset(bound, 0, sizeof(*bound));
	memset(bound->any, 0xFF, sizeof(bound->any));
	bound->rmax = PG_UINT16_MAX;
}

/* Extends the bound to a code; false if it had room for it. The first code becomes the centre. */
bool
HamBoundGrow(const HamShape *shape, HamBound *bound, const uint64 *folded)
{
	bool grown = false;
	uint32 distance;

	if (bound->rmin > bound->rmax)
		memcpy(bound->centre, folded, shape->fold * sizeof(uint64));
	distance = HamFoldDistance(shape, bound->centre, folded);
	if (distance < bound->rmin)
	{
		bound->rmin = distance;
		grown = true;
	}
	if (distance > bound->rmax)
	{
		bound->rmax = distance;
		grown = true;
	}
	for (uint32 w = 0; w < shape->fold; w++)
	{
		if ((bound->all[w] & ~folded[w]) != 0 || (folded[w] & ~bound->any[w]) != 0)
			grown = true;
		bound->all[w] &= folded[w];
		bound->any[w] |= folded[w];
	}
	return grown;
}

void
HamBoundOfRecords(const HamShape *shape, const uint64 *records, int count, HamBound *bound)
{
	HamBoundEmpty(shape, bound);
	if (count > 0)
		HamMajority(shape, records, count, bound->centre);
	for (int i = 0; i < count; i++)
	{
		uint64 folded[HAM_FOLD_WORDS];
		uint32 distance;

		HamFold(shape, HamRecordAt(shape, records, i), folded);
		distance = HamFoldDistance(shape, bound->centre, folded);
		bound->rmin = Min(bound->rmin, distance);
		bound->rmax = Max(bound->rmax, distance);
		for (uint32 w = 0; w < shape->fold; w++)
		{
			bound->all[w] &= folded[w];
			bound->any[w] |= folded[w];
		}
	}
}

void
HamInnerInit(const HamShape *shape, Page page, uint32 incarnation)
{
	HamInitPage(page, HAM_INNER, incarnation);
	/* Everything up to the last decision is data: an inner page changes seldom. */
	((PageHeader) page)->pd_lower = (char *) NodeWords(shape, page, shape->innerCap) - (char *) page;
	Assert(((PageHeader) page)->pd_lower <= ((PageHeader) page)->pd_upper);
}

/* The entry that a code belongs to. */
int
HamInnerFind(const HamShape *shape, Page page, const uint64 *folded)
{
	int count = HamPageOpaque(page)->count;
	int at = count > 1 ? 0 : ~0;

	for (int depth = 0; at >= 0; depth++)
	{
		const uint64 *words = NodeWords(shape, page, at);
		const NodeTail *tail = NodeTailOf(shape, page, at);
		uint32 v = 0;
		bool right;

		if (at >= count - 1 || depth > count || count > shape->innerCap)
			ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED), errmsg("a decision of an inner page leads nowhere")));
		for (uint32 w = 0; w < shape->fold; w++)
			v += __builtin_popcountll((folded[w] ^ words[w]) & words[shape->fold + w]);
		right = v > tail->at;
		if (v == tail->at)
		{
			for (uint32 w = 0; w < shape->fold; w++)
			{
				uint64 tie = words[2 * shape->fold + w];

				if (folded[w] != tie)
				{
					right = folded[w] > tie;
					break;
				}
			}
		}
		at = right ? tail->right : tail->left;
	}
	if (~at >= count)
		ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED), errmsg("an inner page has no entry for a code")));
	return ~at;
}

/*
 * Raises an error unless the decisions of the inner page, locked, are a tree over all its entries: reading one that is not would leave the
 * page, or not end. Decisions stand breadth first, so each follows the one that leads to it.
 */
void
HamInnerCheck(Relation index, const HamShape *shape, Buffer buffer)
{
	Page page = BufferGetPage(buffer);
	int count = HamPageOpaque(page)->count;
	bool *reached;

	if (count < 1 || count > shape->innerCap)
		HamCorrupt(index, BufferGetBlockNumber(buffer), "An inner page has an impossible number of entries.");
	/* The entries, then the decisions. Each is reached once at most, so if 2 * count - 2 sides are sound, all are reached. */
	reached = palloc0(2 * count * sizeof(bool));
	for (int node = 0; node < count - 1; node++)
	{
		const NodeTail *tail = NodeTailOf(shape, page, node);
		int sides[2] = { tail->left, tail->right };

		for (int i = 0; i < 2; i++)
		{
			int side = sides[i] < 0 ? ~sides[i] : count + sides[i];

			if ((sides[i] < 0 ? side >= count : sides[i] <= node || sides[i] >= count - 1) || reached[side])
				HamCorrupt(index, BufferGetBlockNumber(buffer),
						   "The decisions of an inner page do not reach every entry once.");
			reached[side] = true;
		}
	}
	pfree(reached);
}

void
HamInnerGet(const HamShape *shape, Page page, int entry, HamEntry *out)
{
	memset(out, 0, sizeof(*out));
	for (uint32 w = 0; w < shape->fold; w++)
	{
		out->bound.centre[w] = Blocks(page)[bits_page_word(3 * shape->fold, entry, w)];
		out->bound.all[w] = Blocks(page)[bits_page_word(3 * shape->fold, entry, shape->fold + w)];
		out->bound.any[w] = Blocks(page)[bits_page_word(3 * shape->fold, entry, 2 * shape->fold + w)];
	}
	out->bound.rmin = Rmin(shape, page)[entry];
	out->bound.rmax = Rmax(shape, page)[entry];
	out->child = Children(shape, page)[entry];
	out->incarnation = Incarnations(shape, page)[entry];
	out->splits = Splits(shape, page)[entry];
}

void
HamInnerSet(const HamShape *shape, Page page, int entry, const HamEntry *in)
{
	for (uint32 w = 0; w < shape->fold; w++)
	{
		Blocks(page)[bits_page_word(3 * shape->fold, entry, w)] = in->bound.centre[w];
		Blocks(page)[bits_page_word(3 * shape->fold, entry, shape->fold + w)] = in->bound.all[w];
		Blocks(page)[bits_page_word(3 * shape->fold, entry, 2 * shape->fold + w)] = in->bound.any[w];
	}
	Rmin(shape, page)[entry] = in->bound.rmin;
	Rmax(shape, page)[entry] = in->bound.rmax;
	Children(shape, page)[entry] = in->child;
	Incarnations(shape, page)[entry] = in->incarnation;
	Splits(shape, page)[entry] = in->splits;
}

/* Changes an entry's bound, in place and logged; the page is the one that the log named last. */
void
HamInnerSetBound(const HamShape *shape, Page page, int entry, const HamBound *bound, HamLog *log)
{
	const uint64 *parts[] = { bound->centre, bound->all, bound->any };

	for (uint32 i = 0; i < 3 * shape->fold; i++)
	{
		uint64 *word = Blocks(page) + bits_page_word(3 * shape->fold, entry, i);

		*word = parts[i / shape->fold][i % shape->fold];
		HamLogBytes(log, word, sizeof(*word));
	}
	Rmin(shape, page)[entry] = bound->rmin;
	HamLogBytes(log, Rmin(shape, page) + entry, sizeof(uint16));
	Rmax(shape, page)[entry] = bound->rmax;
	HamLogBytes(log, Rmax(shape, page) + entry, sizeof(uint16));
}

/* Lower bounds on the distance from the query to every code below each entry; room for innerCap. */
void
HamInnerBounds(const HamShape *shape, Page page, const uint64 *folded, uint32 *bounds)
{
	bits_page_bounds(shape->fold, HamPageOpaque(page)->count, folded, Blocks(page), Rmin(shape, page),
					 Rmax(shape, page), bounds);
}

const BlockNumber *
HamInnerChildren(const HamShape *shape, Page page)
{
	return Children(shape, page);
}

const uint32 *
HamInnerIncarnations(const HamShape *shape, Page page)
{
	return Incarnations(shape, page);
}

const uint32 *
HamInnerSplits(const HamShape *shape, Page page)
{
	return Splits(shape, page);
}

/* Writes a tree, which must fit, to an initialised inner page. Nodes are numbered anew so that the root is 0. */
void
HamInnerWrite(const HamShape *shape, Page page, const HamTree *tree)
{
	int *queue = palloc((tree->nodeCount + 1) * sizeof(int));
	int filled = 0;

	if (tree->entryCount > shape->innerCap)
		elog(ERROR, "%d entries do not fit an inner page", tree->entryCount);
	memset(HamPageData(page), 0, ((PageHeader) page)->pd_lower - HAM_DATA_OFFSET);
	HamPageOpaque(page)->count = tree->entryCount;
	for (int i = 0; i < tree->entryCount; i++)
		HamInnerSet(shape, page, i, &tree->entries[i]);

	/* Breadth first: the top of the tree, which every insert reads, is together. */
	if (tree->root >= 0)
		queue[filled++] = tree->root;
	for (int i = 0; i < filled; i++)
	{
		const HamNode *node = &tree->nodes[queue[i]];
		uint64 *words = NodeWords(shape, page, i);
		NodeTail *tail = NodeTailOf(shape, page, i);

		for (uint32 w = 0; w < shape->fold; w++)
		{
			words[w] = node->cut.origin[w];
			words[shape->fold + w] = node->cut.mask[w];
			words[2 * shape->fold + w] = node->cut.tie[w];
		}
		tail->at = node->cut.at;
		tail->left = node->left >= 0 ? filled : node->left;
		if (node->left >= 0)
			queue[filled++] = node->left;
		tail->right = node->right >= 0 ? filled : node->right;
		if (node->right >= 0)
			queue[filled++] = node->right;
	}
	Assert(filled == tree->entryCount - 1);
	pfree(queue);
}

HamTree *
HamInnerRead(const HamShape *shape, Page page)
{
	int count = HamPageOpaque(page)->count;
	HamTree *tree = HamTreeCreate(count + 1);

	for (int i = 0; i < count; i++)
	{
		HamEntry entry;

		HamInnerGet(shape, page, i, &entry);
		HamTreeAddEntry(tree, &entry);
	}
	for (int i = 0; i < count - 1; i++)
	{
		const uint64 *words = NodeWords(shape, page, i);
		const NodeTail *tail = NodeTailOf(shape, page, i);
		HamCut cut;

		memset(&cut, 0, sizeof(cut));
		for (uint32 w = 0; w < shape->fold; w++)
		{
			cut.origin[w] = words[w];
			cut.mask[w] = words[shape->fold + w];
			cut.tie[w] = words[2 * shape->fold + w];
		}
		cut.at = tail->at;
		HamTreeAddNode(tree, &cut, tail->left, tail->right);
	}
	tree->root = count > 1 ? 0 : ~0;
	return tree;
}
