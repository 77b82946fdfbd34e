/* components.c: see components.h. */
#include "hash/components.h"

#include "hash/linalg.h"
#include "hash/private.h"
#include "nn/gemm.h"

#include <string.h>

#define COVARIANCE_COST 2e11 /* multiply-adds; more rows than that buys are sampled */
#define BLOCK           512

void
hash_components_clear(hash_components *c)
{
	free(c->mean);
	free(c->covariance);
	free(c->values);
	free(c->vectors);
	memset(c, 0, sizeof *c);
}

double
hash_components_seconds(double rows, int dim, int count)
{
	double d = dim;

	return 1e-11 * fmin(rows * d * d, COVARIANCE_COST) + 3e-9 * d * d * count;
}

eddh_code
hash_mean(size_t rows, int dim, const float *x, double *mean, eddh_error *err)
{
	size_t d = dim;

	memset(mean, 0, d * sizeof *mean);
	for (size_t i = 0; i < rows; i++)
	{
		double check = 0;

		for (size_t j = 0; j < d; j++)
		{
			mean[j] += x[i * d + j] / (double) rows;
			check += fabs(x[i * d + j]);
		}
		if (!isfinite(check))
			return eddh_fail(err, EDDH_NUMERIC, "features of row %zu are not finite", i);
	}
	return EDDH_OK;
}

eddh_code
hash_centre(size_t rows, int dim, const float *x, double *mean, double *square, eddh_error *err)
{
	size_t d = dim;
	eddh_code code = hash_mean(rows, dim, x, mean, err);

	*square = 0;
	for (size_t i = 0; code == EDDH_OK && i < rows * d; i++)
		*square += pow(x[i] - mean[i % d], 2) / ((double) rows * (double) d);
	return code;
}

eddh_code
hash_covariance(size_t rows, int dim, const float *x, const double *mean, const eddh_stop *stop, double *covariance,
				eddh_error *err)
{
	size_t d = dim;
	double affordable = COVARIANCE_COST / ((double) d * (double) d);
	size_t taken = (double) rows > affordable ? (size_t) affordable : rows;
	float *block = hash_alloc(BLOCK, d, sizeof *block);
	float *product = hash_alloc(d, d, sizeof *product);
	eddh_code code = EDDH_OK;

	if (block == NULL || product == NULL)
		code = hash_no_memory(err, "the covariance of features");
	memset(covariance, 0, d * d * sizeof *covariance);
	for (size_t first = 0; code == EDDH_OK && first < taken; first += BLOCK)
	{
		size_t count = taken - first < BLOCK ? taken - first : BLOCK;

		if (eddh_stopped(stop))
		{
			code = eddh_fail(err, EDDH_STOPPED, "stopped");
			break;
		}
		for (size_t i = 0; i < count; i++)
		{
			size_t row = (first + i) * rows / taken;

			for (size_t j = 0; j < d; j++)
				block[i * d + j] = (float) (x[row * d + j] - mean[j]);
		}
		nn_gemm(true, false, d, d, count, 1, block, d, block, d, 0, product, d);
		for (size_t i = 0; i < d * d; i++)
			covariance[i] += product[i];
	}
	for (size_t i = 0; i < d * d && code == EDDH_OK; i++)
		covariance[i] /= (double) taken;
	free(block);
	free(product);
	return code;
}

eddh_code
hash_components_find(const hash_problem *problem, int count, hash_components *c, eddh_error *err)
{
	size_t d = problem->dim, k = count;
	double size = 0; /* of the mean, to tell variance from rounding */
	eddh_code code;

	c->mean = hash_alloc(d, 1, sizeof *c->mean);
	c->covariance = hash_alloc(d, d, sizeof *c->covariance);
	c->values = hash_alloc(k, 1, sizeof *c->values);
	c->vectors = hash_alloc(k, d, sizeof *c->vectors);
	if (c->mean == NULL || c->covariance == NULL || c->values == NULL || c->vectors == NULL)
		return hash_no_memory(err, "principal components");
	code = hash_mean(problem->rows, problem->dim, problem->features, c->mean, err);
	if (code == EDDH_OK)
		code =
			hash_covariance(problem->rows, problem->dim, problem->features, c->mean, problem->stop, c->covariance, err);
	if (code == EDDH_OK)
		code = hash_eigen_top(d, c->covariance, k, problem->seed, c->values, c->vectors, problem->stop, err);
	for (size_t j = 0; j < d; j++)
		size += c->mean[j] * c->mean[j];
	if (code == EDDH_OK && !(c->values[0] > 1e-12 * size))
		code = eddh_fail(err, EDDH_NUMERIC, "all features are equal");
	return code;
}
