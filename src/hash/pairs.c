/* pairs.c: see pairs.h. */
#include "hash/pairs.h"

#include "hash/private.h"

#include <string.h>

#define RATIO_PAIRS 200000

/* Share of similar pairs among similar and dissimilar ones: counted where rows have one label, else from random pairs. */
static double
similar_share(const hash_labels *labels, size_t active, const uint32_t *order, eddh_rng *rng)
{
	double similar = 0;

	if (labels->single != NULL)
	{
		size_t *count = hash_alloc(labels->classes, 1, sizeof *count);

		if (count == NULL)
			return 0;
		for (size_t i = 0; i < active; i++)
			count[labels->single[order[i]]]++;
		for (int c = 0; c < labels->classes; c++)
			similar += (double) count[c] * (double) count[c];
		free(count);
		return similar / ((double) active * (double) active);
	}
	for (int t = 0; t < RATIO_PAIRS; t++)
		similar +=
			hash_labels_share(labels, order[eddh_rng_below(rng, active)], labels, order[eddh_rng_below(rng, active)]);
	return similar / RATIO_PAIRS;
}

eddh_code
hash_pairs_create(const hash_labels *labels, int bits, size_t most, uint64_t seed, hash_pairs *out, eddh_error *err)
{
	hash_pairs p = { .labels = labels, .bits = bits };
	size_t k = bits;
	double share;
	eddh_rng rng;

	memset(out, 0, sizeof *out);
	p.column = eddh_bulk_alloc(labels->bulk, labels->rows, 1, sizeof *p.column);
	p.total = hash_alloc(k, 1, sizeof *p.total);
	p.gram = hash_alloc(k, k, sizeof *p.gram);
	if (labels->single != NULL)
		p.class_sum = hash_alloc(labels->classes, k, sizeof *p.class_sum);
	if (p.column == NULL || p.total == NULL || p.gram == NULL || (labels->single != NULL && p.class_sum == NULL))
	{
		hash_pairs_clear(&p);
		return hash_no_memory(err, "similarities");
	}
	for (size_t i = 0; i < labels->rows; i++)
	{
		if (!hash_labels_empty(labels, i))
			p.column[p.active++] = (uint32_t) i;
	}
	eddh_rng_seed_stream(&rng, seed, UINT64_C(0x9A125));
	share = p.active > 0 ? similar_share(labels, p.active, p.column, &rng) : 0;
	p.ratio = share > 0 && share < 1 ? share / (1 - share) : 1;
	p.columns = p.active;
	if (most < p.active)
	{
		eddh_rng_shuffle(&rng, p.active, p.column);
		p.columns = most;
	}
	*out = p;
	return EDDH_OK;
}

void
hash_pairs_clear(hash_pairs *p)
{
	if (p->column != NULL) /* else there may be no labels */
		eddh_bulk_free(p->labels->bulk, p->column);
	free(p->class_sum);
	free(p->total);
	free(p->gram);
	memset(p, 0, sizeof *p);
}

void
hash_pairs_see(hash_pairs *p, const float *x)
{
	size_t k = p->bits;

	p->x = x;
	memset(p->total, 0, k * sizeof *p->total);
	memset(p->gram, 0, k * k * sizeof *p->gram);
	if (p->class_sum != NULL)
		memset(p->class_sum, 0, p->labels->classes * k * sizeof *p->class_sum);
	for (size_t c = 0; c < p->columns; c++)
	{
		const float *xc = x + p->column[c] * k;

		for (size_t i = 0; i < k; i++)
		{
			p->total[i] += xc[i];
			for (size_t j = 0; j <= i; j++)
				p->gram[i * k + j] += (double) xc[i] * xc[j];
		}
		if (p->class_sum != NULL)
		{
			double *sum = p->class_sum + p->labels->single[p->column[c]] * k;

			for (size_t i = 0; i < k; i++)
				sum[i] += xc[i];
		}
	}
	for (size_t i = 0; i < k; i++)
	{
		for (size_t j = i + 1; j < k; j++)
			p->gram[i * k + j] = p->gram[j * k + i];
	}
}

void
hash_pairs_sum(const hash_pairs *p, size_t row, double *out)
{
	size_t k = p->bits;

	memset(out, 0, k * sizeof *out);
	if (hash_labels_empty(p->labels, row))
		return;
	if (p->class_sum != NULL)
		memcpy(out, p->class_sum + p->labels->single[row] * k, k * sizeof *out);
	else
	{
		for (size_t c = 0; c < p->columns; c++)
		{
			const float *xc = p->x + p->column[c] * k;

			if (!hash_labels_share(p->labels, row, p->labels, p->column[c]))
				continue;
			for (size_t i = 0; i < k; i++)
				out[i] += xc[i];
		}
	}
	for (size_t i = 0; i < k; i++)
		out[i] = (1 + p->ratio) * out[i] - p->ratio * p->total[i];
}

double
hash_pairs_row(const hash_pairs *p, const double *sum, const double *f, double *gradient)
{
	size_t k = p->bits;
	double total = 0;

	for (size_t i = 0; i < k; i++)
	{
		double gf = 0;

		for (size_t j = 0; j < k; j++)
			gf += p->gram[i * k + j] * f[j];
		total += f[i] * (gf - 2 * (double) k * sum[i]);
		gradient[i] += 2 * gf - 2 * (double) k * sum[i];
	}
	return total;
}
