/* ridge.c: see ridge.h. */
#include "hash/ridge.h"

#include "hash/linalg.h"
#include "hash/private.h"
#include "nn/gemm.h"

#include <string.h>

#define BLOCK 512

static inline bool
counts(const hash_ridge *r, size_t row)
{
	return r->labels == NULL || !hash_labels_empty(r->labels, row);
}

static eddh_code
find_mean(hash_ridge *r, eddh_error *err)
{
	size_t d = r->dim;

	for (size_t i = 0; i < r->rows; i++)
	{
		double check = 0;

		if (!counts(r, i))
			continue;
		r->active++;
		for (size_t j = 0; j < d; j++)
		{
			r->mean[j] += r->z[i * d + j];
			check += fabs(r->z[i * d + j]);
		}
		if (!isfinite(check))
			return eddh_fail(err, EDDH_NUMERIC, "features of row %zu are not finite", i);
	}
	if (r->active == 0)
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "no row has a label");
	for (size_t j = 0; j < d; j++)
		r->mean[j] /= (double) r->active;
	return EDDH_OK;
}

/* Rows first .. first + count - 1, centred; zero where they do not count. */
static void
centred_block(const hash_ridge *r, size_t first, size_t count, float *block)
{
	size_t d = r->dim;

	for (size_t i = 0; i < count; i++)
	{
		if (!counts(r, first + i))
		{
			memset(block + i * d, 0, d * sizeof *block);
			continue;
		}
		for (size_t j = 0; j < d; j++)
			block[i * d + j] = (float) (r->z[(first + i) * d + j] - r->mean[j]);
	}
}

static eddh_code
find_gram(hash_ridge *r, const eddh_stop *stop, eddh_error *err)
{
	size_t d = r->dim;
	float *block = hash_alloc(BLOCK, d, sizeof *block);
	float *product = hash_alloc(d, d, sizeof *product);
	eddh_code code = block != NULL && product != NULL ? EDDH_OK : hash_no_memory(err, "a Gram matrix");

	for (size_t first = 0; code == EDDH_OK && first < r->rows; first += BLOCK)
	{
		size_t count = r->rows - first < BLOCK ? r->rows - first : BLOCK;

		if (eddh_stopped(stop))
		{
			code = eddh_fail(err, EDDH_STOPPED, "stopped");
			break;
		}
		centred_block(r, first, count, block);
		nn_gemm(true, false, d, d, count, 1, block, d, block, d, 0, product, d);
		for (size_t i = 0; i < d * d; i++)
			r->factor[i] += product[i];
	}
	free(block);
	free(product);
	return code;
}

double
hash_ridge_share(const hash_problem *problem, double ridge, double on_features)
{
	if (ridge >= 0)
		return ridge;
	return hash_inputs_of(problem).z == problem->features ? on_features : 1e-3;
}

eddh_code
hash_ridge_create(size_t rows, int dim, const float *z, const hash_labels *labels, double ridge, const eddh_stop *stop,
				  hash_ridge *out, eddh_error *err)
{
	hash_ridge r = { .rows = rows, .dim = dim, .z = z, .labels = labels };
	size_t d = dim;
	double trace = 0;
	eddh_code code;

	r.mean = hash_alloc(d, 1, sizeof *r.mean);
	r.factor = hash_alloc(d, d, sizeof *r.factor);
	code = r.mean != NULL && r.factor != NULL ? find_mean(&r, err) : hash_no_memory(err, "a Gram matrix");
	if (code == EDDH_OK)
		code = find_gram(&r, stop, err);
	for (size_t i = 0; code == EDDH_OK && i < d; i++)
		trace += r.factor[i * d + i];
	if (code == EDDH_OK && !(trace > 0))
		code = eddh_fail(err, EDDH_NUMERIC, "all features are equal");
	if (code == EDDH_OK)
	{
		r.ridge = ridge * trace / (double) d;
		for (size_t i = 0; i < d; i++)
			r.factor[i * d + i] += r.ridge;
		code = hash_cholesky(d, r.factor, err);
	}
	if (code != EDDH_OK)
		hash_ridge_clear(&r);
	*out = r;
	return code;
}

void
hash_ridge_clear(hash_ridge *r)
{
	free(r->mean);
	free(r->factor);
	memset(r, 0, sizeof *r);
}

eddh_code
hash_ridge_solve(const hash_ridge *r, int k, const float *target, float *w, float *b, eddh_error *err)
{
	size_t d = r->dim, width = k;
	float *block = hash_alloc(BLOCK, d, sizeof *block), *product = hash_alloc(width, d, sizeof *product);
	double *x = hash_alloc(width, d, sizeof *x), *mean = hash_alloc(width, 1, sizeof *mean);
	eddh_code code = EDDH_OK;

	if (block == NULL || product == NULL || x == NULL || mean == NULL)
		code = hash_no_memory(err, "a regression");
	for (size_t i = 0; code == EDDH_OK && i < r->rows; i++)
	{
		for (size_t j = 0; counts(r, i) && j < width; j++)
			mean[j] += target[i * width + j];
	}
	/* Centred inputs make the targets' mean drop out of the product. */
	for (size_t first = 0; code == EDDH_OK && first < r->rows; first += BLOCK)
	{
		size_t count = r->rows - first < BLOCK ? r->rows - first : BLOCK;

		centred_block(r, first, count, block);
		nn_gemm(true, false, width, d, count, 1, target + first * width, width, block, d, 0, product, d);
		for (size_t i = 0; i < width * d; i++)
			x[i] += product[i];
	}
	if (code == EDDH_OK)
		hash_cholesky_solve(d, r->factor, width, x);
	for (size_t i = 0; code == EDDH_OK && i < width; i++)
	{
		double offset = mean[i] / (double) r->active;

		for (size_t j = 0; j < d; j++)
		{
			w[i * d + j] = (float) x[i * d + j];
			offset -= x[i * d + j] * r->mean[j];
		}
		b[i] = (float) offset;
	}
	free(block);
	free(product);
	free(x);
	free(mean);
	return code;
}

void
hash_ridge_apply(const hash_ridge *r, int k, const float *w, const float *b, float *out)
{
	for (size_t i = 0; i < r->rows; i++)
		memcpy(out + i * k, b, (size_t) k * sizeof *out);
	nn_gemm(false, true, r->rows, k, r->dim, 1, r->z, r->dim, w, r->dim, 1, out, k);
}
