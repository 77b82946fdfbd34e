/*
 * dhn.c: Deep Hashing Network. H. Zhu, M. Long, J. Wang, Y. Cao, AAAI 2016 (METHODS 2.6).
 *
 * min over the network: sum over pairs of the batch of log(1 + exp(theta)) - s theta, theta = <z_i, z_j> / 2, and
 * lambda sum log cosh(|z| - 1), z the linear outputs. The 1 / 2 is scale / k here: params says why.
 */
#include "hash/deep.h"
#include "hash/dhn.h"
#include "hash/private.h"

#include <string.h>

enum
{
	PARAM_LAMBDA,
	PARAM_BALANCE,
	PARAM_SCALE
};

static const hash_param params[] = {
	[PARAM_LAMBDA] = { "lambda", 0.1, 0, 1e6, NULL, "weight of outputs being near -1 and 1" },
	[PARAM_BALANCE] = { "balance", 1, 0, 0, "none|ratio",
						"ratio: similar pairs weigh as much as all dissimilar ones together" },
	[PARAM_SCALE] = { "scale", 2, 1e-3, 1e3, NULL,
					  "theta is this over the number of bits times <z_i, z_j>; half of the bits: the paper's 1/2" },
	{ NULL },
};

/* log(1 + exp(t)) - s t without overflow. */
static double
pair_loss(double t, bool similar)
{
	return log1p(exp(-fabs(t))) + (t > 0 ? t : 0) - (similar ? t : 0);
}

eddh_code
hash_dhn_gradient(void *arg, int n, const uint32_t *rows, const float *u, float *du, double *loss, eddh_error *err)
{
	const hash_dhn *dhn = arg;
	size_t k = dhn->bits;
	double total = 0, weights = 0, similar = 0, pairs = 0, positive = 1;

	memset(du, 0, (size_t) n * k * sizeof *du);
	for (int i = 0; i < n; i++)
	{
		for (int j = 0; j < n; j++)
		{
			if (i == j || hash_labels_empty(dhn->labels, rows[i]) || hash_labels_empty(dhn->labels, rows[j]))
				continue;
			pairs++;
			similar += hash_labels_share(dhn->labels, rows[i], dhn->labels, rows[j]);
		}
	}
	if (dhn->balanced && similar > 0 && similar < pairs)
		positive = (pairs - similar) / similar;
	weights = positive * similar + pairs - similar;
	for (int i = 0; i < n && weights > 0; i++)
	{
		for (int j = 0; j < n; j++)
		{
			const float *zi = u + i * k, *zj = u + j * k;
			bool share;
			double theta = 0, weight, slope;

			if (i == j || hash_labels_empty(dhn->labels, rows[i]) || hash_labels_empty(dhn->labels, rows[j]))
				continue;
			share = hash_labels_share(dhn->labels, rows[i], dhn->labels, rows[j]);
			for (size_t l = 0; l < k; l++)
				theta += dhn->product * zi[l] * zj[l];
			weight = (share ? positive : 1) / weights;
			total += weight * pair_loss(theta, share);
			/* The ordered pair (j, i) has the same slope: both pull at i. */
			slope = 2 * dhn->product * weight * (1 / (1 + exp(-theta)) - share);
			for (size_t l = 0; l < k; l++)
				du[i * k + l] += (float) (slope * zj[l]);
		}
	}
	for (int i = 0; i < n; i++)
	{
		if (hash_labels_empty(dhn->labels, rows[i]))
			continue;
		for (size_t l = 0; l < k; l++)
		{
			double z = u[i * k + l], off = fabs(z) - 1, scale = dhn->lambda / ((double) n * (double) k);

			/* log cosh x = |x| + log((1 + exp(-2 |x|)) / 2) */
			total += scale * (fabs(off) + log1p(exp(-2 * fabs(off))) - 0.69314718055994531);
			du[i * k + l] += (float) (scale * tanh(off) * (z >= 0 ? 1 : -1));
		}
	}
	*loss = total;
	return EDDH_OK;
}

static eddh_code
train(const hash_problem *problem, hash_head *head, eddh_error *err)
{
	hash_dhn dhn = { .bits = problem->bits,
					 .labels = problem->labels,
					 .lambda = problem->values[PARAM_LAMBDA],
					 .balanced = problem->values[PARAM_BALANCE] != 0,
					 .product = problem->values[PARAM_SCALE] / problem->bits };
	hash_course course = { .problem = problem, .raw = hash_dhn_gradient, .arg = &dhn };
	eddh_code code = hash_check_supervised(problem, err);

	memset(head, 0, sizeof *head);
	return code == EDDH_OK ? hash_course_run(&course, problem->epochs, err) : code;
}

/* All pairs of a mini-batch. */
static double
seconds(const double *values, const hash_size *size)
{
	return 9.5e-10 * size->epochs * size->rows * size->batch * (35 + size->bits);
}

const hash_method hash_dhn_method = {
	.name = "dhn",
	.title = "Deep Hashing Network",
	.paper = "H. Zhu, M. Long, J. Wang, Y. Cao: Deep Hashing Network for Efficient Similarity Retrieval, AAAI 2016",
	.notes =
		"Pairs within a mini-batch, as a mean over them; log cosh quantisation as in the paper (the published code squares it and weighs it zero). By default similar pairs are weighted up, as the authors' later code does, and theta is 2/k of the inner product: with the paper's 1/2 the likelihood of 32 bits is content with codes 11 bits apart, and with more bits at more.",
	.needs_labels = true,
	.needs_net = true,
	.standards = (const hash_setting[]){ { "rate", 0.05 }, { NULL } },
	.params = params,
	.passes = hash_course_passes,
	.seconds = seconds,
	.train = train,
};
