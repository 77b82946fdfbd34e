/*
 * itq.c: Iterative Quantization. Y. Gong, S. Lazebnik, CVPR 2011; with A. Gordo, F. Perronnin, TPAMI 35(12), 2013 (METHODS 2.2).
 *
 * min |B - V R|^2 over B in +-1 and rotations R, V the k principal components: B = sgn(V R); R = U W^T of the singular value decomposition of
 * V^T B; each step is a minimum over its variable, so the error never rises.
 */
#include "hash/itq.h"

#include "hash/components.h"
#include "hash/linalg.h"
#include "hash/private.h"
#include "nn/gemm.h"

#include <string.h>

#define BLOCK 512

enum
{
	PARAM_ITERATIONS
};

static const hash_param params[] = {
	[PARAM_ITERATIONS] = { "iterations", 50, 1, 1000, NULL, "alternations of codes and rotation", .whole = true },
	{ NULL },
};

/* ---- Rotation ---- */

eddh_code
hash_itq_round(size_t rows, int bits, const float *v, double *rotation, double *error, eddh_rng *rng, eddh_error *err)
{
	size_t k = bits;
	double *block = hash_alloc(BLOCK, k, sizeof *block);
	double *turned = hash_alloc(BLOCK, k, sizeof *turned);
	double *cross = hash_alloc(k, k, sizeof *cross);
	eddh_code code = EDDH_OK;

	*error = 0;
	if (block == NULL || turned == NULL || cross == NULL)
		code = hash_no_memory(err, "a rotation");
	for (size_t first = 0; code == EDDH_OK && first < rows; first += BLOCK)
	{
		size_t count = rows - first < BLOCK ? rows - first : BLOCK;

		for (size_t i = 0; i < count * k; i++)
			block[i] = v[first * k + i];
		nn_dgemm(false, false, count, k, k, 1, block, k, rotation, k, 0, turned, k);
		for (size_t i = 0; i < count * k; i++)
		{
			double bit = turned[i] >= 0 ? 1 : -1;

			*error += (turned[i] - bit) * (turned[i] - bit);
			turned[i] = bit;
		}
		nn_dgemm(true, false, k, k, count, 1, block, k, turned, k, 1, cross, k);
	}
	*error /= (double) rows * bits;
	if (code == EDDH_OK)
		code = hash_nearest_rotation(k, cross, rotation, rng, err);
	free(block);
	free(turned);
	free(cross);
	return code;
}

static eddh_code
rotate(const hash_problem *problem, const float *v, double *rotation, eddh_error *err)
{
	size_t k = problem->bits;
	int iterations = (int) problem->values[PARAM_ITERATIONS];
	eddh_code code = EDDH_OK;
	eddh_rng rng;

	eddh_rng_seed_stream(&rng, problem->seed, UINT64_C(0x1790));
	for (size_t i = 0; i < k * k; i++)
		rotation[i] = eddh_rng_normal(&rng);
	hash_orthonormalise(k, k, rotation, &rng);
	for (int i = 1; code == EDDH_OK && i <= iterations; i++)
	{
		double error;

		if (eddh_stopped(problem->stop))
			return eddh_fail(err, EDDH_STOPPED, "stopped");
		code = hash_itq_round(problem->rows, problem->bits, v, rotation, &error, &rng, err);
		if (code == EDDH_OK)
			hash_log(problem, "quantisation", i, error);
		hash_progress(problem, "train", i, iterations);
	}
	return code;
}

/* w = R^T W (bits x dim), b = -w mean. */
static eddh_code
compose(const hash_problem *problem, const hash_components *c, const double *rotation, hash_head *linear,
		eddh_error *err)
{
	size_t d = problem->dim, k = problem->bits;
	double *w = hash_alloc(k, d, sizeof *w);
	eddh_code code;

	if (w == NULL)
		return hash_no_memory(err, "the hash layer");
	code = hash_head_create(problem->dim, problem->bits, problem->bits, false, linear, err);
	if (code != EDDH_OK)
	{
		free(w);
		return code;
	}
	nn_dgemm(true, false, k, d, k, 1, rotation, k, c->vectors, d, 0, w, d);
	for (size_t i = 0; i < k; i++)
	{
		double offset = 0;

		for (size_t j = 0; j < d; j++)
		{
			linear->w[i * d + j] = (float) w[i * d + j];
			offset += w[i * d + j] * c->mean[j];
		}
		linear->b[i] = (float) -offset;
	}
	free(w);
	return EDDH_OK;
}

static eddh_code
check(int bits, int dim, int epochs, bool untrained, eddh_error *err)
{
	if (bits < HASH_BITS_MIN || bits > HASH_BITS_MAX || bits > dim)
		return eddh_fail(err, EDDH_BAD_ARGUMENT,
						 "ITQ needs %d to %d bits, at most the %d dimensions of the features, not %d", HASH_BITS_MIN,
						 HASH_BITS_MAX, dim, bits);
	return EDDH_OK;
}

static eddh_code
train(const hash_problem *problem, hash_head *linear, eddh_error *err)
{
	size_t d = problem->dim, k = problem->bits;
	hash_components c = { 0 };
	hash_head projection = { 0 };
	double *rotation = NULL;
	float *v = NULL;
	eddh_code code;

	memset(linear, 0, sizeof *linear);
	if (problem->features == NULL)
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "ITQ needs features of a trained backbone");
	code = check(problem->bits, problem->dim, problem->epochs, false, err);
	if (code != EDDH_OK)
		return code;
	if (problem->rows < 2)
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "ITQ needs at least 2 rows, not %zu", problem->rows);
	hash_progress(problem, "components", 0, 1);
	code = hash_components_find(problem, problem->bits, &c, err);
	if (code == EDDH_OK)
	{
		rotation = hash_alloc(k, k, sizeof *rotation);
		v = eddh_bulk_alloc(problem->bulk, problem->rows, k, sizeof *v);
		if (rotation == NULL || v == NULL)
			code = hash_no_memory(err, "projections of the features");
	}
	if (code == EDDH_OK)
	{
		/* Projected by the unrotated layer in one product, with the mean in the bias. */
		for (size_t i = 0; i < k; i++)
			rotation[i * k + i] = 1;
		code = compose(problem, &c, rotation, &projection, err);
	}
	if (code == EDDH_OK)
	{
		for (size_t i = 0; i < problem->rows; i++)
			memcpy(v + i * k, projection.b, k * sizeof *v);
		nn_gemm(false, true, problem->rows, k, d, 1, problem->features, d, projection.w, d, 1, v, k);
		code = rotate(problem, v, rotation, err);
	}
	if (code == EDDH_OK)
		code = compose(problem, &c, rotation, linear, err);
	hash_head_clear(&projection);
	hash_components_clear(&c);
	free(rotation);
	eddh_bulk_free(problem->bulk, v);
	return code;
}

static double
seconds(const double *values, const hash_size *size)
{
	double n = size->rows, k = size->bits;

	return hash_components_seconds(n, size->input_dim, size->bits) +
		   values[PARAM_ITERATIONS] * 1.2e-10 * k * k * (n + 10 * k);
}

const hash_method hash_itq_method = {
	.name = "itq",
	.title = "Iterative Quantization",
	.paper =
		"Y. Gong, S. Lazebnik, A. Gordo, F. Perronnin: Iterative Quantization: A Procrustean Approach to Learning Binary Codes for Large-Scale Image Retrieval, TPAMI 35(12), 2013 (CVPR 2011)",
	.notes =
		"Needs no labels, and at most as many bits as the features have dimensions. The covariance of very many rows is taken from every m-th of them.",
	.needs_labels = false,
	.needs_net = false,
	.no_anchors = true,
	.params = params,
	.check = check,
	.seconds = seconds,
	.train = train,
};
