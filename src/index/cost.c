/*
 * cost.c: what a scan costs, for the planner.
 *
 * To find all codes within distance d, a query visits the leaves whose bound is at most d: a share of them that build and VACUUM measured
 * (stats.c). For a ball, d is the radius; for an order, the distance within which the wanted number of rows is expected. Nearly all of that work is
 * done before the first row is returned.
 */
#include "postgres.h"

#include "access/relation.h"
#include "bits/ball.h"
#include "index/ham.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "utils/selfuncs.h"
#include "utils/spccache.h"

/* A row in order of distance is a jump to a page that is in no cache of the CPU: measured about ten times a row of a sequential scan. */
#define ROW_COST (10 * cpu_tuple_cost)

/* Eight codes take about the time of one operator. */
#define CODE_COST (cpu_operator_cost / 8)

/* Rows wanted when the planner knows no LIMIT. */
#define DEFAULT_ROWS 10.0

/* The radius of the narrowest ball that is a constant, or -1. */
static double
Radius(IndexPath *path)
{
	double radius = -1;
	List *quals = get_quals_from_indexclauses(path->indexclauses); /* commuted: the code is on the left */
	ListCell *cell;

	foreach (cell, quals)
	{
		Node *expr = (Node *) lfirst_node(RestrictInfo, cell)->clause;
		Node *right;

		if (!IsA(expr, OpExpr) || list_length(((OpExpr *) expr)->args) != 2)
			continue;
		right = lsecond(((OpExpr *) expr)->args);
		if (IsA(right, Const) && !((Const *) right)->constisnull)
		{
			HammingBall *ball = DatumGetHammingBallP(((Const *) right)->constvalue);

			if (radius < 0 || ball->radius < radius)
				radius = ball->radius;
		}
	}
	return radius;
}

/* Share of leaves visited to find all rows within the radius, or (radius < 0) `rows` rows. */
static double
VisitedShare(const HamMeta *meta, double radius, double rows)
{
	if (meta->sampled == 0)
		return 1.0;
	if (radius >= 0)
		return meta->visited[HamSampleBin(meta->bits, radius)];
	for (int bin = 0; bin < HAM_SAMPLE_BINS; bin++)
		if (meta->near[bin] * meta->rows >= rows)
			return meta->visited[bin];
	return 1.0;
}

void
hamcostestimate(PlannerInfo *root, IndexPath *path, double loopCount, Cost *startupCost, Cost *totalCost,
				Selectivity *selectivity, double *correlation, double *pages)
{
	IndexOptInfo *info = path->indexinfo;
	List *quals = get_quals_from_indexclauses(path->indexclauses);
	HamMeta meta;
	double leaves;
	double codesPerLeaf;
	double share;
	double wanted;
	double visited;
	double rows;
	double fetched;
	Cost randomPage;
	Cost seqPage;
	Cost leafCost;

	if (info->hypothetical)
		memset(&meta, 0, sizeof(meta));
	else
	{
		Relation index = index_open(info->indexoid, NoLock);

		HamReadMeta(index, &meta);
		index_close(index, NoLock);
	}
	get_tablespace_page_costs(info->reltablespace, &randomPage, &seqPage);

	*selectivity = clauselist_selectivity(root, quals, info->rel->relid, JOIN_INNER, NULL);
	rows = clamp_row_est(*selectivity * info->rel->tuples);
	/* Inserts since the last VACUUM show in the number of pages only. */
	leaves = Max(meta.leaves, info->pages * 0.5);
	codesPerLeaf = Max(meta.codes, info->rel->tuples * 0.5) / Max(leaves, 1);

	wanted = root->limit_tuples > 0 ? root->limit_tuples : DEFAULT_ROWS;
	if (info->rel->tuples > 0 && info->rel->rows > 0)
		wanted *= Max(1.0, rows / info->rel->rows); /* other conditions discard some */
	share = VisitedShare(&meta, path->indexorderbys != NIL && quals == NIL ? -1 : Radius(path), wanted);
	visited = Max(1.0, share * leaves);

	/* Pages are read in the order of the file, and a repeated scan finds most in memory. */
	fetched = index_pages_fetched((meta.inners + visited) * loopCount, info->pages, info->pages, root) / loopCount;
	leafCost = codesPerLeaf * CODE_COST;
	*startupCost = Min(fetched, meta.inners + visited) * seqPage + visited * leafCost + meta.inners * 100 * CODE_COST +
				   10 * cpu_operator_cost;
	/* Each row more costs its own jump, and its share of another visit of its leaf. */
	*totalCost = *startupCost + rows * (ROW_COST + cpu_index_tuple_cost);
	if (path->indexorderbys == NIL)
	{
		/* No order: rows come leaf by leaf as found, and a bitmap sorts them by block. */
		Cost total = *startupCost + rows * (cpu_index_tuple_cost + cpu_operator_cost);

		*startupCost = (meta.inners + 1) * seqPage;
		*totalCost = Max(total, *startupCost);
	}
	*correlation = 0;
	*pages = Max(1, visited + meta.inners);
}
