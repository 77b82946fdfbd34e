/* tree.c: the decisions and entries of an inner page, or of a whole directory, in memory. */
#include "postgres.h"

#include "index/ham.h"
#include "miscadmin.h"

HamTree *
HamTreeCreate(int entryRoom)
{
	HamTree *tree = palloc0(sizeof(HamTree));

	tree->root = ~0;
	tree->entryRoom = Max(entryRoom, 2);
	tree->nodeRoom = tree->entryRoom;
	tree->entries = palloc(tree->entryRoom * sizeof(HamEntry));
	tree->nodes = palloc(tree->nodeRoom * sizeof(HamNode));
	return tree;
}

void
HamTreeFree(HamTree *tree)
{
	pfree(tree->entries);
	pfree(tree->nodes);
	pfree(tree);
}

int
HamTreeAddEntry(HamTree *tree, const HamEntry *entry)
{
	if (tree->entryCount == tree->entryRoom)
	{
		tree->entryRoom *= 2;
		tree->entries = repalloc_huge(tree->entries, tree->entryRoom * sizeof(HamEntry));
	}
	tree->entries[tree->entryCount] = *entry;
	return tree->entryCount++;
}

int
HamTreeAddNode(HamTree *tree, const HamCut *cut, int32 left, int32 right)
{
	HamNode *node;

	if (tree->nodeCount == tree->nodeRoom)
	{
		tree->nodeRoom *= 2;
		tree->nodes = repalloc_huge(tree->nodes, tree->nodeRoom * sizeof(HamNode));
	}
	node = &tree->nodes[tree->nodeCount];
	node->cut = *cut;
	node->left = left;
	node->right = right;
	return tree->nodeCount++;
}

/* Where the tree refers to `child`: &root, or a side of a node. */
static int32 *
Reference(HamTree *tree, int32 child)
{
	if (tree->root == child)
		return &tree->root;
	for (int i = 0; i < tree->nodeCount; i++)
	{
		if (tree->nodes[i].left == child)
			return &tree->nodes[i].left;
		if (tree->nodes[i].right == child)
			return &tree->nodes[i].right;
	}
	elog(ERROR, "no reference to %d in a directory tree", child);
}

/* Puts a decision in the place of an entry: the entry becomes its left side, a new one its right side. */
void
HamTreeSplitEntry(HamTree *tree, int entry, const HamCut *cut, const HamEntry *right)
{
	int added = HamTreeAddEntry(tree, right);
	int node = HamTreeAddNode(tree, cut, ~entry, ~added);
	int32 *reference;

	/* Hide the new node's own reference from the search. */
	tree->nodes[node].left = node;
	reference = Reference(tree, ~entry);
	tree->nodes[node].left = ~entry;
	*reference = node;
}

static int32
Copy(const HamTree *from, int32 at, int32 leaveOut, const HamEntry *instead, HamTree *to)
{
	int32 node;

	check_stack_depth();
	if (instead != NULL && at == leaveOut)
		return ~HamTreeAddEntry(to, instead);
	if (at < 0)
		return ~HamTreeAddEntry(to, &from->entries[~at]);
	if (instead == NULL && from->nodes[at].left == leaveOut)
		return Copy(from, from->nodes[at].right, leaveOut, instead, to);
	if (instead == NULL && from->nodes[at].right == leaveOut)
		return Copy(from, from->nodes[at].left, leaveOut, instead, to);
	node = HamTreeAddNode(to, &from->nodes[at].cut, 0, 0);
	{
		int32 left = Copy(from, from->nodes[at].left, leaveOut, instead, to);
		int32 right = Copy(from, from->nodes[at].right, leaveOut, instead, to);

		to->nodes[node].left = left;
		to->nodes[node].right = right;
	}
	return node;
}

/* Removes an entry, not the only one; its sibling takes the place of their decision. */
void
HamTreeRemoveEntry(HamTree *tree, int entry)
{
	HamTree *copy = HamTreeCreate(tree->entryCount);

	Assert(tree->entryCount > 1);
	copy->root = Copy(tree, tree->root, ~entry, NULL, copy);
	*tree = *copy;
}

/* Entries below `at`. */
int
HamTreeSize(const HamTree *tree, int32 at)
{
	check_stack_depth();
	if (at < 0)
		return 1;
	return HamTreeSize(tree, tree->nodes[at].left) + HamTreeSize(tree, tree->nodes[at].right);
}

/* A copy of what is below `at`. */
HamTree *
HamTreeExtract(const HamTree *tree, int32 at)
{
	HamTree *copy = HamTreeCreate(16);

	copy->root = Copy(tree, at, PG_INT32_MIN, NULL, copy);
	return copy;
}

/* A copy in which one entry stands for all that is below `at`. */
HamTree *
HamTreeReplace(const HamTree *tree, int32 at, const HamEntry *entry)
{
	HamTree *copy = HamTreeCreate(tree->entryCount);

	copy->root = Copy(tree, tree->root, at, entry, copy);
	return copy;
}

/* A node, not the root, with at least a third and less than all of the entries; there is one in any binary tree of three or more. */
int32
HamTreeHalf(const HamTree *tree)
{
	int32 at = tree->root;

	for (;;)
	{
		int32 left = tree->nodes[at].left;
		int32 right = tree->nodes[at].right;
		int32 larger = HamTreeSize(tree, left) >= HamTreeSize(tree, right) ? left : right;

		if (larger < 0 || (at != tree->root && 3 * HamTreeSize(tree, larger) < tree->entryCount))
			return at;
		at = larger;
		if (3 * HamTreeSize(tree, at) <= 2 * tree->entryCount)
			return at;
	}
}
