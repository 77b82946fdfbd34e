/*
 * stats.c: what the cost model knows of the data: how far rows are apart, and how many leaves a query must visit, by distance. Build and
 * VACUUM measure both on a weighted sample of codes.
 */
#include "postgres.h"

#include <math.h>

#include "common/random.h"
#include "index/ham.h"
#include "miscadmin.h"

#define SAMPLE  256
#define QUERIES 32

/* The best keys of log(uniform) / rows: a sample without replacement, weighted by rows (Efraimidis and Spirakis 2006). */
struct HamSampler
{
	HamShape shape;
	eddh_rng rng;
	int count;
	int worst;
	double keys[SAMPLE];
	uint64 *codes;
};

HamSampler *
HamSamplerCreate(const HamShape *shape)
{
	HamSampler *sampler = palloc0(sizeof(HamSampler));

	sampler->shape = *shape;
	sampler->codes = palloc((Size) SAMPLE * shape->words * sizeof(uint64));
	eddh_rng_seed(&sampler->rng, 1);
	return sampler;
}

void
HamSamplerAdd(HamSampler *sampler, const uint64 *code, double rows)
{
	double key = log(eddh_rng_uniform(&sampler->rng) + 1e-300) / Max(rows, 1.0);
	int slot;

	if (sampler->count < SAMPLE)
		slot = sampler->count++;
	else if (key > sampler->keys[sampler->worst])
		slot = sampler->worst;
	else
		return;
	sampler->keys[slot] = key;
	memcpy(sampler->codes + (Size) slot * sampler->shape.words, code, sampler->shape.words * sizeof(uint64));
	for (int i = 0; i < sampler->count; i++)
		if (i == 0 || sampler->keys[i] < sampler->keys[sampler->worst])
			sampler->worst = i;
}

int
HamSampleBin(uint32 bits, double distance)
{
	double scale = bits < HAM_SAMPLE_BINS ? 1.0 : (double) (HAM_SAMPLE_BINS - 1) / bits;

	return Max(0, Min(HAM_SAMPLE_BINS - 1, (int) (distance * scale)));
}

static const uint64 *
Code(HamSampler *sampler, int i)
{
	return sampler->codes + (Size) i * sampler->shape.words;
}

/* Adds the bounds of the leaves below an inner page, for each query, to counts; returns the number of leaves. */
static double
MeasureInner(HamSampler *sampler, Relation index, BlockNumber block, int queries, double *counts)
{
	HamShape *shape = &sampler->shape;
	Buffer buffer;
	Page page;
	double leaves = 0;
	List *below = NIL;
	ListCell *cell;

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	buffer = HamReadPageKind(index, block, BUFFER_LOCK_SHARE, HAM_INNER);
	HamInnerCheck(index, shape, buffer);
	page = BufferGetPage(buffer);
	for (int i = 0; i < HamPageOpaque(page)->count; i++)
	{
		if (HamInnerSplits(shape, page)[i] == HAM_INNER_CHILD)
			below = lappend_int(below, (int) HamInnerChildren(shape, page)[i]);
		else
			leaves++;
	}
	for (int q = 0; q < queries; q++)
	{
		uint64 folded[HAM_FOLD_WORDS];
		uint32 bounds[BLCKSZ / sizeof(uint64)];

		HamFold(shape, Code(sampler, q), folded);
		HamInnerBounds(shape, page, folded, bounds);
		for (int i = 0; i < HamPageOpaque(page)->count; i++)
			if (HamInnerSplits(shape, page)[i] != HAM_INNER_CHILD)
				counts[HamSampleBin(shape->bits, bounds[i])]++;
	}
	UnlockReleaseBuffer(buffer);
	foreach (cell, below)
		leaves += MeasureInner(sampler, index, (BlockNumber) lfirst_int(cell), queries, counts);
	list_free(below);
	return leaves;
}

/* A build's sampler is older than the root. */
void
HamSamplerSetRoot(HamSampler *sampler, BlockNumber root)
{
	sampler->shape.root = root;
}

/* Fills the statistics by distance of *meta; the directory is on disk already. */
void
HamSamplerFinish(HamSampler *sampler, Relation index, HamMeta *meta)
{
	HamShape *shape = &sampler->shape;
	double near[HAM_SAMPLE_BINS] = { 0 };
	double visited[HAM_SAMPLE_BINS] = { 0 };
	double pairs = 0;
	double leaves;
	int queries = Min(QUERIES, sampler->count);

	meta->sampled = 0;
	if (sampler->count < 2)
		return;
	for (int i = 0; i < sampler->count; i++)
		for (int j = i + 1; j < sampler->count; j++)
		{
			uint32 distance = 0;

			for (uint32 w = 0; w < shape->words; w++)
				distance += __builtin_popcountll(Code(sampler, i)[w] ^ Code(sampler, j)[w]);
			near[HamSampleBin(shape->bits, distance)]++;
			pairs++;
		}
	leaves = MeasureInner(sampler, index, shape->root, queries, visited);
	for (int bin = 0; bin < HAM_SAMPLE_BINS; bin++)
	{
		if (bin > 0)
		{
			near[bin] += near[bin - 1];
			visited[bin] += visited[bin - 1];
		}
		meta->near[bin] = near[bin] / pairs;
		meta->visited[bin] = visited[bin] / Max(1, leaves * queries);
	}
	meta->sampled = pairs;
}
