/*
 * dph.c: Deep Priority Hashing. Z. Cao, Z. Sun, M. Long, J. Wang, P. S. Yu, ACM MM 2018 (METHODS 2.8).
 *
 * min over the network: mean over pairs of the batch of w [log(1 + exp(a <h_i, h_j>)) - s a <h_i, h_j>], h = tanh(u), a = 10 / k, with w larger for
 * pairs that are rare or still wrong, and lambda times the mean of log cosh(|h| - 1).
 */
#include "hash/deep.h"
#include "hash/dhn.h"
#include "hash/private.h"

#include <string.h>

#define LOGIT_CLAMP 15
#define BATCH_MAX   4096

enum
{
	PARAM_LAMBDA,
	PARAM_PRIORITY
};

static const hash_param params[] = {
	[PARAM_LAMBDA] = { "lambda", 0.1, 0, 1e6, NULL, "weight of outputs being near -1 and 1" },
	[PARAM_PRIORITY] = { "priority", 0.1, 0, 10, NULL, "exponent of a pair's difficulty" },
	{ NULL },
};

static inline bool
both(const hash_dhn *dph, const uint32_t *rows, int i, int j)
{
	return i != j && !hash_labels_empty(dph->labels, rows[i]) && !hash_labels_empty(dph->labels, rows[j]);
}

/* Row i: how many others are similar, of how many; the square root of the product of both rows' rarity is a positive pair's weight. */
void
hash_dph_weights(const hash_dhn *dph, int n, const uint32_t *rows, const double *h, double *weights)
{
	size_t k = dph->bits;
	double sum = 0, pairs = 0, rarity[BATCH_MAX];

	for (int i = 0; i < n; i++)
	{
		double similar = 0, all = 0;

		for (int j = 0; j < n; j++)
		{
			all += both(dph, rows, i, j);
			similar += both(dph, rows, i, j) && hash_labels_share(dph->labels, rows[i], dph->labels, rows[j]);
		}
		rarity[i] = similar > 0 ? all / similar : 1;
	}
	for (int i = 0; i < n; i++)
	{
		for (int j = 0; j < n; j++)
		{
			double *w = &weights[(size_t) i * n + j], product = 0, square_i = 0, square_j = 0, cosine, right;
			bool share;

			*w = 0;
			if (!both(dph, rows, i, j))
				continue;
			share = hash_labels_share(dph->labels, rows[i], dph->labels, rows[j]);
			for (size_t l = 0; l < k; l++)
			{
				product += h[i * k + l] * h[j * k + l];
				square_i += h[i * k + l] * h[i * k + l];
				square_j += h[j * k + l] * h[j * k + l];
			}
			cosine = square_i > 0 && square_j > 0 ? product / sqrt(square_i * square_j) : 0;
			right = share ? (1 + cosine) / 2 : (1 - cosine) / 2;
			*w = pow(right < 1 ? 1 - right : 0, dph->priority);
			if (share)
				*w *= sqrt(rarity[i] * rarity[j]);
			sum += *w;
			pairs++;
		}
	}
	for (size_t i = 0; i < (size_t) n * n && sum > 0; i++)
		weights[i] *= pairs / sum;
}

double
hash_dph_weighted(const hash_dhn *dph, int n, const uint32_t *rows, const float *u, const double *h,
				  const double *weights, float *du)
{
	size_t k = dph->bits;
	double a = 10.0 / (double) k, total = 0, pairs = 0;

	memset(du, 0, (size_t) n * k * sizeof *du);
	for (int i = 0; i < n; i++)
	{
		for (int j = 0; j < n; j++)
			pairs += both(dph, rows, i, j);
	}
	for (int i = 0; i < n && pairs > 0; i++)
	{
		for (int j = 0; j < n; j++)
		{
			bool share;
			double t = 0, slope;

			if (!both(dph, rows, i, j))
				continue;
			share = hash_labels_share(dph->labels, rows[i], dph->labels, rows[j]);
			for (size_t l = 0; l < k; l++)
				t += a * h[i * k + l] * h[j * k + l];
			if (fabs(t) > LOGIT_CLAMP)
			{
				double clamped = t > 0 ? LOGIT_CLAMP : -LOGIT_CLAMP;

				total += weights[(size_t) i * n + j] / pairs *
						 (log1p(exp(-fabs(clamped))) + (clamped > 0 ? clamped : 0) - (share ? clamped : 0));
				continue;
			}
			total += weights[(size_t) i * n + j] / pairs * (log1p(exp(-fabs(t))) + (t > 0 ? t : 0) - (share ? t : 0));
			/* The weights are symmetric, so (j, i) pulls at i as (i, j) does. */
			slope = 2 * a * weights[(size_t) i * n + j] / pairs * (1 / (1 + exp(-t)) - share);
			for (size_t l = 0; l < k; l++)
				du[i * k + l] += (float) (slope * h[j * k + l] * hash_tanh_slope(u[i * k + l]));
		}
	}
	for (int i = 0; i < n; i++)
	{
		for (size_t l = 0; l < k && !hash_labels_empty(dph->labels, rows[i]); l++)
		{
			double f = h[i * k + l], off = fabs(f) - 1, scale = dph->lambda / ((double) n * (double) k);

			total += scale * (fabs(off) + log1p(exp(-2 * fabs(off))) - 0.69314718055994531);
			du[i * k + l] += (float) (scale * tanh(off) * (f >= 0 ? 1 : -1) * hash_tanh_slope(u[i * k + l]));
		}
	}
	return total;
}

static eddh_code
gradient(void *arg, int n, const uint32_t *rows, const float *u, float *du, double *loss, eddh_error *err)
{
	const hash_dhn *dph = arg;
	size_t entries = (size_t) n * dph->bits;
	double *weights = hash_alloc(n, n, sizeof *weights), *h = hash_alloc(entries, 1, sizeof *h);
	eddh_code code = EDDH_OK;

	if (n > BATCH_MAX)
		code = eddh_fail(err, EDDH_BAD_ARGUMENT, "a batch of %d rows", n);
	else if (weights == NULL || h == NULL)
		code = hash_no_memory(err, "a batch");
	else
	{
		for (size_t i = 0; i < entries; i++)
			h[i] = tanh(u[i]);
		hash_dph_weights(dph, n, rows, h, weights);
		*loss = hash_dph_weighted(dph, n, rows, u, h, weights, du);
	}
	free(weights);
	free(h);
	return code;
}

static eddh_code
train(const hash_problem *problem, hash_head *head, eddh_error *err)
{
	hash_dhn dph = { .bits = problem->bits,
					 .labels = problem->labels,
					 .lambda = problem->values[PARAM_LAMBDA],
					 .priority = problem->values[PARAM_PRIORITY] };
	hash_course course = { .problem = problem, .raw = gradient, .arg = &dph };
	eddh_code code = hash_check_supervised(problem, err);

	memset(head, 0, sizeof *head);
	return code == EDDH_OK ? hash_course_run(&course, problem->epochs, err) : code;
}

/* All pairs of a mini-batch. */
static double
seconds(const double *values, const hash_size *size)
{
	return 6e-9 * size->epochs * size->rows * size->batch * (12 + size->bits);
}

const hash_method hash_dph_method = {
	.name = "dph",
	.title = "Deep Priority Hashing",
	.paper = "Z. Cao, Z. Sun, M. Long, J. Wang, P. S. Yu: Deep Priority Hashing, ACM Multimedia 2018, 1653-1661",
	.notes =
		"DPH of the paper's table is taken to be this one. As in the authors' code, the exponent is 0.1, weights are divided by their mean, no gradient goes through them, logits are clamped at 15 and the quantisation term has no priority. Pairs within a mini-batch.",
	.needs_labels = true,
	.needs_net = true,
	.standards = (const hash_setting[]){ { "rate", 0.01 }, { NULL } },
	.params = params,
	.passes = hash_course_passes,
	.seconds = seconds,
	.train = train,
};
