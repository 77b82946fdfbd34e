/* anchors.c: rows that a radial basis function kernel is measured from (METHODS 2.3, 2.4). */
#include "hash/private.h"

#include <string.h>

#define MEDIAN_PAIRS 20000

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
hash_anchors_draw(size_t rows, int dim, const float *features, int count, double width, uint64_t seed,
				  hash_anchors *out, eddh_error *err)
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
	order = hash_alloc(rows, 1, sizeof *order);
	if (out->rows == NULL || order == NULL)
	{
		free(order);
		hash_anchors_clear(out);
		return hash_no_memory(err, "anchors");
	}
	eddh_rng_seed_stream(&rng, seed, UINT64_C(0xA2C405));
	for (size_t i = 0; i < rows; i++)
		order[i] = (uint32_t) i;
	eddh_rng_shuffle(&rng, rows, order);
	for (int i = 0; i < out->count; i++)
		memcpy(out->rows + i * d, features + order[i] * d, d * sizeof *out->rows);
	free(order);
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
		for (size_t i = 0; i < rows * m; i++)
			mean[i % m] += values[i] / (double) rows;
		for (size_t i = 0; i < rows * m; i++)
			square += pow(values[i] - mean[i % m], 2) / ((double) rows * (double) m);
		for (size_t j = 0; j < m; j++)
			shift[j] = (float) -mean[j];
		if (square > 0 && isfinite(square))
			code = nn_graph_affine(m, shift, (float) (1 / sqrt(square)), out, err);
		else
			code = eddh_fail(err, EDDH_NUMERIC, "all kernel values are equal");
	}
	free(mean);
	free(shift);
	return code;
}

void
hash_anchors_clear(hash_anchors *anchors)
{
	free(anchors->rows);
	memset(anchors, 0, sizeof *anchors);
}
