/* similarity_products.c: what variant h1 of EDDH needs of S_hat each outer iteration, tile by tile, sums in double (similarity.h). */
#include "hash/similarity.h"

#include "hash/private.h"
#include "nn/gemm.h"

#include <string.h>

/* Rows at a time: the tile in double stays near the cache. */
static size_t
rows_at_a_time(const hash_similarity *similarity)
{
	size_t rows = ((size_t) 1 << 18) / similarity->columns;

	return rows < 16 ? 16 : rows > 256 ? 256 : rows;
}

typedef struct workspace
{
	float *tile;    /* rows at a time x columns */
	double *wide;   /* the same in double */
	double *vector; /* rows at a time x k */
} workspace;

static void
workspace_free(workspace *w)
{
	free(w->tile);
	free(w->wide);
	free(w->vector);
}

static eddh_code
workspace_alloc(workspace *w, size_t step, size_t columns, int k, eddh_error *err)
{
	w->tile = hash_alloc(step, columns, sizeof *w->tile);
	w->wide = hash_alloc(step, columns, sizeof *w->wide);
	w->vector = hash_alloc(step, k, sizeof *w->vector);
	if (w->tile != NULL && w->wide != NULL && w->vector != NULL)
		return EDDH_OK;
	workspace_free(w);
	return hash_no_memory(err, "products with similarities");
}

static eddh_code
next_tile(hash_similarity *s, size_t first, size_t count, workspace *w, const eddh_stop *stop, eddh_error *err)
{
	eddh_code code;

	if (eddh_stopped(stop))
		return eddh_fail(err, EDDH_STOPPED, "stopped");
	code = hash_similarity_tile(s, first, count, w->tile, err);
	for (size_t i = 0; i < count * s->columns; i++)
		w->wide[i] = w->tile[i];
	return code;
}

eddh_code
hash_similarity_gather(hash_similarity *similarity, int k, const float *f, double *out, const eddh_stop *stop,
					   eddh_error *err)
{
	size_t step = rows_at_a_time(similarity), m = similarity->columns;
	workspace w;
	eddh_code code = workspace_alloc(&w, step, m, k, err);

	if (code != EDDH_OK)
		return code;
	memset(out, 0, m * k * sizeof *out);
	for (size_t first = 0; first < similarity->rows && code == EDDH_OK; first += step)
	{
		size_t count = similarity->rows - first < step ? similarity->rows - first : step;

		code = next_tile(similarity, first, count, &w, stop, err);
		for (size_t i = 0; i < count * k; i++)
			w.vector[i] = f[first * k + i];
		if (code == EDDH_OK)
			nn_dgemm(true, false, m, k, count, 1, w.wide, m, w.vector, k, 1, out, k);
	}
	workspace_free(&w);
	return code;
}

eddh_code
hash_similarity_spread(hash_similarity *similarity, int k, const double *p, float *out, const eddh_stop *stop,
					   eddh_error *err)
{
	const eddh_bulk *bulk = similarity->bulk;
	size_t step = rows_at_a_time(similarity), m = similarity->columns;
	double *weighted = eddh_bulk_alloc(bulk, m, k, sizeof *weighted);
	workspace w;
	eddh_code code;

	if (weighted == NULL)
		return hash_no_memory(err, "products with similarities");
	code = workspace_alloc(&w, step, m, k, err);
	if (code != EDDH_OK)
	{
		eddh_bulk_free(bulk, weighted);
		return code;
	}
	for (size_t j = 0; j < m; j++)
	{
		for (int b = 0; b < k; b++)
			weighted[j * k + b] = similarity->weight[j] * p[j * k + b];
	}
	for (size_t first = 0; first < similarity->rows && code == EDDH_OK; first += step)
	{
		size_t count = similarity->rows - first < step ? similarity->rows - first : step;

		code = next_tile(similarity, first, count, &w, stop, err);
		if (code != EDDH_OK)
			break;
		nn_dgemm(false, false, count, k, m, 1, w.wide, m, weighted, k, 0, w.vector, k);
		for (size_t i = 0; i < count * k; i++)
			out[first * k + i] = (float) w.vector[i];
	}
	workspace_free(&w);
	eddh_bulk_free(bulk, weighted);
	return code;
}
