/* anchors.c: rows that a radial basis function kernel is measured from (METHODS 2.3, 2.4). */
#include "hash/components.h"
#include "hash/linalg.h"
#include "hash/private.h"
#include "nn/gemm.h"

#include <string.h>

#define MEDIAN_PAIRS    20000
#define WHITENED_MAX    2000
#define INVERTED        ((size_t) 64) /* rows of a triangle at a time */
#define WHITENING_RIDGE 0.1           /* share of the mean variance */

static int
compare_doubles(const void *a, const void *b)
{
	double x = *(const double *) a, y = *(const double *) b;

	return x < y ? -1 : x > y;
}

/* The square of the median distance of two different anchors. */
static eddh_code
median_square(const hash_anchors *anchors, eddh_rng *rng, double *out, eddh_error *err)
{
	size_t d = anchors->dim, m = anchors->count, pairs = 0;
	double *squares = hash_alloc(MEDIAN_PAIRS, 1, sizeof *squares);

	if (squares == NULL)
		return hash_no_memory(err, "distances of anchors");
	for (size_t t = 0; t < MEDIAN_PAIRS; t++)
	{
		size_t i = eddh_rng_below(rng, m), j = eddh_rng_below(rng, m);
		double sum = 0;

		if (i == j)
			continue;
		for (size_t l = 0; l < d; l++)
		{
			double x = (double) anchors->rows[i * d + l] - anchors->rows[j * d + l];

			sum += x * x;
		}
		if (!isfinite(sum))
		{
			free(squares);
			return eddh_fail(err, EDDH_NUMERIC, "features of an anchor are not finite");
		}
		squares[pairs++] = sum;
	}
	qsort(squares, pairs, sizeof *squares, compare_doubles);
	*out = pairs > 0 ? squares[pairs / 2] : 0;
	free(squares);
	return EDDH_OK;
}

eddh_code
hash_anchors_draw(const eddh_bulk *bulk, size_t rows, int dim, const float *features, int count, double width,
				  uint64_t seed, hash_anchors *out, eddh_error *err)
{
	uint32_t *order;
	size_t d = dim;
	double square = 0;
	eddh_rng rng;
	eddh_code code;

	memset(out, 0, sizeof *out);
	if (rows < 2 || rows > UINT32_MAX || count < 1)
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "%d anchors of %zu rows", count, rows);
	out->dim = dim;
	out->count = (size_t) count > rows ? (int) rows : count;
	out->rows = hash_alloc(out->count, d, sizeof *out->rows);
	order = eddh_bulk_alloc(bulk, rows, 1, sizeof *order);
	if (out->rows == NULL || order == NULL)
	{
		eddh_bulk_free(bulk, order);
		hash_anchors_clear(out);
		return hash_no_memory(err, "anchors");
	}
	eddh_rng_seed_stream(&rng, seed, UINT64_C(0xA2C405));
	for (size_t i = 0; i < rows; i++)
		order[i] = (uint32_t) i;
	eddh_rng_shuffle(&rng, rows, order);
	for (int i = 0; i < out->count; i++)
		memcpy(out->rows + i * d, features + order[i] * d, d * sizeof *out->rows);
	eddh_bulk_free(bulk, order);
	code = median_square(out, &rng, &square, err);
	if (code == EDDH_OK && !(square > 0))
		code = eddh_fail(err, EDDH_NUMERIC, "most anchors are equal");
	if (code != EDDH_OK)
	{
		hash_anchors_clear(out);
		return code;
	}
	out->gamma = 1 / (2 * width * width * square);
	return EDDH_OK;
}

eddh_code
hash_anchors_centre(size_t rows, int count, const float *values, nn_graph **out, eddh_error *err)
{
	size_t m = count;
	double *mean = hash_alloc(m, 1, sizeof *mean), square = 0;
	float *shift = hash_alloc(m, 1, sizeof *shift);
	eddh_code code;

	*out = NULL;
	if (mean == NULL || shift == NULL)
		code = hash_no_memory(err, "kernel values");
	else
	{
		code = hash_centre(rows, count, values, mean, &square, err);
		for (size_t j = 0; j < m; j++)
			shift[j] = (float) -mean[j];
		if (code == EDDH_OK && !(square > 0 && isfinite(square)))
			code = eddh_fail(err, EDDH_NUMERIC, "all kernel values are equal");
		if (code == EDDH_OK)
			code = nn_graph_affine(m, shift, (float) (1 / sqrt(square)), out, err);
	}
	free(mean);
	free(shift);
	return code;
}

/* inverse (m x m) of the lower triangle l: row i is unit vector i after forward substitution, some rows at a time of all that is above them. */
static void
invert_lower(size_t m, const double *l, double *inverse)
{
	memset(inverse, 0, m * m * sizeof *inverse);
	for (size_t first = 0; first < m; first += INVERTED)
	{
		size_t end = m - first < INVERTED ? m : first + INVERTED;

		nn_dgemm(false, false, end - first, first, first, -1, l + first * m, m, inverse, m, 0, inverse + first * m, m);
		for (size_t i = first; i < end; i++)
		{
			double *row = inverse + i * m;

			row[i] = 1;
			for (size_t k = first; k < i; k++)
			{
				for (size_t j = 0; j <= k; j++)
					row[j] -= l[i * m + k] * inverse[k * m + j];
			}
			for (size_t j = 0; j <= i; j++)
				row[j] /= l[i * m + i];
		}
	}
}

/* lower = L with L L^T = covariance + ridge; *square: what L^-1 (x - mean) has as mean square. */
static eddh_code
factor_covariance(size_t rows, size_t m, const float *values, const double *mean, double *lower, double *inverse,
				  double *square, eddh_error *err)
{
	double trace = 0;
	eddh_code code = hash_covariance(rows, (int) m, values, mean, NULL, lower, err);

	for (size_t j = 0; j < m; j++)
		trace += lower[j * m + j];
	if (code == EDDH_OK && !(trace > 0 && isfinite(trace)))
		code = eddh_fail(err, EDDH_NUMERIC, "all kernel values are equal");
	for (size_t j = 0; code == EDDH_OK && j < m; j++)
		lower[j * m + j] += WHITENING_RIDGE * trace / (double) m;
	if (code == EDDH_OK)
		code = hash_cholesky(m, lower, err);
	if (code == EDDH_OK)
	{
		double kept = 0;

		invert_lower(m, lower, inverse);
		for (size_t i = 0; i < m * m; i++)
			kept += inverse[i] * inverse[i];
		/* trace of (C + r)^-1 C = m - r times the trace of (C + r)^-1. */
		*square = ((double) m - WHITENING_RIDGE * trace / (double) m * kept) / (double) m;
		if (!(*square > 0))
			code = eddh_fail(err, EDDH_NUMERIC, "all kernel values are equal");
	}
	return code;
}

eddh_code
hash_anchors_whiten(size_t rows, int count, const float *values, nn_graph **out, eddh_error *err)
{
	size_t m = count;
	double *mean, *lower, *inverse, square = 0;
	float *w, *b;
	eddh_code code;

	*out = NULL;
	mean = hash_alloc(m, 1, sizeof *mean);
	lower = hash_alloc(m, m, sizeof *lower);
	inverse = hash_alloc(m, m, sizeof *inverse);
	w = hash_alloc(m, m, sizeof *w);
	b = hash_alloc(m, 1, sizeof *b);
	if (mean == NULL || lower == NULL || inverse == NULL || w == NULL || b == NULL)
		code = hash_no_memory(err, "kernel values");
	else
	{
		code = hash_mean(rows, count, values, mean, err);
		if (code == EDDH_OK)
			code = factor_covariance(rows, m, values, mean, lower, inverse, &square, err);
	}
	if (code == EDDH_OK)
	{
		for (size_t i = 0; i < m; i++)
		{
			double offset = 0;

			for (size_t j = 0; j <= i; j++)
			{
				w[i * m + j] = (float) (inverse[i * m + j] / sqrt(square));
				offset -= w[i * m + j] * mean[j];
			}
			b[i] = (float) offset;
		}
		code = nn_graph_dense(m, m, 0, w, b, out, err);
	}
	free(mean);
	free(lower);
	free(inverse);
	free(w);
	free(b);
	return code;
}

bool
hash_anchors_whitened(const hash_method *method, int count)
{
	return method->needs_net && count <= WHITENED_MAX;
}

eddh_code
hash_anchors_fit(const hash_method *method, size_t rows, int count, const float *values, nn_graph **out,
				 eddh_error *err)
{
	return (hash_anchors_whitened(method, count) ? hash_anchors_whiten : hash_anchors_centre)(rows, count, values, out,
																							  err);
}

void
hash_anchors_clear(hash_anchors *anchors)
{
	free(anchors->rows);
	memset(anchors, 0, sizeof *anchors);
}
