/* similarity_pairs.c: pairs of images drawn to learn the thresholds of S_hat (METHODS 1.2; similarity.h). */
#include "hash/similarity.h"

#include "hash/private.h"

#include <string.h>

#define PAIRS    5000
#define ATTEMPTS (40 * PAIRS)

/* Rows by class: those of class c are row[start[c]] .. row[start[c + 1] - 1]. */
typedef struct by_class
{
	size_t *start;
	uint32_t *row;
	uint32_t *labelled;
	size_t labelled_count;
} by_class;

static void
by_class_free(const hash_labels *labels, by_class *lists)
{
	free(lists->start);
	eddh_bulk_free(labels->bulk, lists->row);
	eddh_bulk_free(labels->bulk, lists->labelled);
}

static eddh_code
by_class_fill(const hash_labels *labels, by_class *lists, eddh_error *err)
{
	size_t total = 0, *at;

	memset(lists, 0, sizeof *lists);
	lists->start = hash_alloc((size_t) labels->classes + 1, 1, sizeof *lists->start);
	lists->labelled = eddh_bulk_alloc(labels->bulk, labels->rows, 1, sizeof *lists->labelled);
	at = hash_alloc(labels->classes, 1, sizeof *at);
	if (lists->start != NULL && lists->labelled != NULL && at != NULL)
	{
		for (size_t i = 0; i < labels->rows; i++)
		{
			for (int c = hash_labels_next(labels, i, 0); c >= 0; c = hash_labels_next(labels, i, c + 1))
			{
				lists->start[c + 1]++;
				total++;
			}
			if (!hash_labels_empty(labels, i))
				lists->labelled[lists->labelled_count++] = i;
		}
		lists->row = eddh_bulk_alloc(labels->bulk, total, 1, sizeof *lists->row);
	}
	if (lists->row == NULL)
	{
		by_class_free(labels, lists);
		free(at);
		return hash_no_memory(err, "pairs of images");
	}
	for (int c = 0; c < labels->classes; c++)
	{
		lists->start[c + 1] += lists->start[c];
		at[c] = lists->start[c];
	}
	for (size_t i = 0; i < labels->rows; i++)
	{
		for (int c = hash_labels_next(labels, i, 0); c >= 0; c = hash_labels_next(labels, i, c + 1))
			lists->row[at[c]++] = i;
	}
	free(at);
	return EDDH_OK;
}

static double
cosine_distance(int dim, const float *a, const float *b)
{
	double ab = 0, aa = 0, bb = 0, distance;

	for (int j = 0; j < dim; j++)
	{
		ab += (double) a[j] * b[j];
		aa += (double) a[j] * a[j];
		bb += (double) b[j] * b[j];
	}
	if (aa == 0 || bb == 0)
		return 1;
	distance = 1 - ab / sqrt(aa * bb);
	return distance < 0 ? 0 : distance > 2 ? 2 : distance;
}

eddh_code
hash_similarity_thresholds(size_t rows, int dim, const float *features, const hash_labels *labels, uint64_t seed,
						   hash_split_normal *out, eddh_error *err)
{
	double *distances = hash_alloc(2, PAIRS, sizeof *distances);
	size_t similar = 0, dissimilar = 0;
	by_class lists;
	eddh_rng rng;
	eddh_code code;

	if (distances == NULL)
		return hash_no_memory(err, "pairs of images");
	code = by_class_fill(labels, &lists, err);
	if (code != EDDH_OK)
	{
		free(distances);
		return code;
	}
	eddh_rng_seed_stream(&rng, seed, UINT64_C(0xFA12));
	for (int attempt = 0; attempt < ATTEMPTS && lists.labelled_count > 1 && (similar < PAIRS || dissimilar < PAIRS);
		 attempt++)
	{
		uint32_t a = lists.labelled[eddh_rng_below(&rng, lists.labelled_count)], b;
		const float *za = features + (size_t) a * dim, *zb;

		/* By turns: any row, which mostly shares no label, and a row of one of a's classes. */
		if (attempt % 2 == 0)
			b = lists.labelled[eddh_rng_below(&rng, lists.labelled_count)];
		else
		{
			int c = -1, seen = 0;

			for (int l = hash_labels_next(labels, a, 0); l >= 0; l = hash_labels_next(labels, a, l + 1))
			{
				if (eddh_rng_below(&rng, ++seen) == 0)
					c = l;
			}
			b = lists.row[lists.start[c] + eddh_rng_below(&rng, lists.start[c + 1] - lists.start[c])];
		}
		zb = features + (size_t) b * dim;
		/* The same picture twice says nothing about the distribution of distances. */
		if (a == b || memcmp(za, zb, dim * sizeof *za) == 0)
			continue;
		if (hash_labels_share(labels, a, labels, b))
		{
			if (attempt % 2 == 1 && similar < PAIRS)
				distances[similar++ + dissimilar] = cosine_distance(dim, za, zb);
		}
		else if (dissimilar < PAIRS)
			distances[similar + dissimilar++] = cosine_distance(dim, za, zb);
	}
	code = hash_split_normal_fit(similar + dissimilar, distances, out, err);
	by_class_free(labels, &lists);
	free(distances);
	return code;
}
