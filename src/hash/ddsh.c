/*
 * ddsh.c: Deep Discrete Supervised Hashing. Q.-Y. Jiang, X. Cui, W.-J. Li, IEEE TIP 27(12), 2018 (METHODS 2.7).
 *
 * In rounds, a few rows are drawn, Omega. Their codes are learned discretely from the pairs with all rows; then the network learns the codes of the
 * others from the pairs with Omega: min |F B_Omega^T - k S|^2, F = tanh(U), S in {+1, -ratio}.
 */
#include "hash/ddsh.h"

#include "hash/deep.h"
#include "hash/private.h"

#include <string.h>

#define SWEEPS_MAX 10

enum
{
	PARAM_OMEGA,
	PARAM_OUTER
};

static const hash_param params[] = {
	[PARAM_OMEGA] = { "omega", 600, 8, 2000, NULL, "rows whose codes are learned discretely in a round",
					  .whole = true },
	[PARAM_OUTER] = { "outer", 0, 0, 10000, NULL, "rounds over which the epochs are spread; 0: 3 epochs a round",
					  .whole = true },
	{ NULL },
};

/* residual (m x m): k S - b b^T among the columns; kept up to date. */
size_t
hash_ddsh_codes(const hash_pairs *pairs, const double *gram, const double *pull, int8_t *b, double *residual)
{
	size_t m = pairs->columns, k = pairs->bits, flips = 0;

	for (size_t i = 0; i < m; i++)
	{
		for (size_t j = 0; j < m; j++)
		{
			double product = 0;

			for (size_t l = 0; l < k; l++)
				product += b[i * k + l] * b[j * k + l];
			residual[i * m + j] =
				(double) k * (hash_labels_share(pairs->labels, pairs->column[i], pairs->labels, pairs->column[j])
								  ? 1
								  : -pairs->ratio) -
				product;
		}
	}
	for (int sweep = 0; sweep < SWEEPS_MAX; sweep++)
	{
		size_t before = flips;

		for (size_t e = 0; e < m * k; e++)
		{
			size_t j = e / k, l = e % k;
			int8_t *bj = b + j * k;
			double gb = 0, cross = 0;

			for (size_t p = 0; p < k; p++)
				gb += gram[l * k + p] * bj[p];
			for (size_t i = 0; i < m; i++)
				cross += i == j ? 0 : residual[i * m + j] * b[i * k + l];
			/* With b_jl turned, residuals to row i grow by 2 b_il b_jl; pairs among the columns are counted twice. */
			if (4 * bj[l] * ((double) k * pull[j * k + l] - gb) + 4 * gram[l * k + l] +
					2 * (4 * bj[l] * cross + 4 * (double) (m - 1)) >=
				0)
				continue;
			for (size_t i = 0; i < m; i++)
			{
				if (i == j)
					continue;
				residual[i * m + j] += 2 * b[i * k + l] * bj[l];
				residual[j * m + i] = residual[i * m + j];
			}
			bj[l] = (int8_t) -bj[l];
			flips++;
		}
		if (flips == before)
			break;
	}
	return flips;
}

/* ---- Training ---- */

typedef struct training
{
	const hash_problem *problem;
	hash_pairs pairs; /* of this round */
	float *f;         /* rows x bits: sgn(F); of the columns their discrete codes */
} training;

/* Codes of the columns from those of all rows. */
static eddh_code
discrete_step(training *t, eddh_error *err)
{
	const hash_pairs *pairs = &t->pairs;
	const hash_labels *labels = t->problem->labels;
	size_t m = pairs->columns, k = pairs->bits, rows = t->problem->rows;
	double *gram = hash_alloc(k, k, sizeof *gram), *pull = hash_alloc(m, k, sizeof *pull);
	double *residual = hash_alloc(m, m, sizeof *residual);
	int8_t *b = hash_alloc(m, k, 1);
	bool *is_column = eddh_bulk_alloc(t->problem->bulk, rows, 1, sizeof *is_column);
	eddh_code code = EDDH_OK;

	if (gram == NULL || pull == NULL || residual == NULL || b == NULL || is_column == NULL)
		code = hash_no_memory(err, "codes");
	for (size_t j = 0; code == EDDH_OK && j < m; j++)
	{
		is_column[pairs->column[j]] = true;
		for (size_t l = 0; l < k; l++)
			b[j * k + l] = t->f[pairs->column[j] * k + l] >= 0 ? 1 : -1;
	}
	for (size_t i = 0; code == EDDH_OK && i < rows; i++)
	{
		const float *fi = t->f + i * k;

		if (is_column[i] || hash_labels_empty(labels, i))
			continue;
		for (size_t p = 0; p < k; p++)
		{
			for (size_t q = 0; q < k; q++)
				gram[p * k + q] += fi[p] * fi[q];
		}
		for (size_t j = 0; j < m; j++)
		{
			double s = hash_labels_share(labels, i, labels, pairs->column[j]) ? 1 : -pairs->ratio;

			for (size_t l = 0; l < k; l++)
				pull[j * k + l] += s * fi[l];
		}
	}
	if (code == EDDH_OK)
		(void) hash_ddsh_codes(pairs, gram, pull, b, residual);
	for (size_t j = 0; code == EDDH_OK && j < m; j++)
	{
		for (size_t l = 0; l < k; l++)
			t->f[pairs->column[j] * k + l] = b[j * k + l];
	}
	free(gram);
	free(pull);
	free(residual);
	free(b);
	eddh_bulk_free(t->problem->bulk, is_column);
	return code;
}

/* Columns too: their own pairs with each other teach the network as well as any. */
static eddh_code
gradient(void *arg, int n, const uint32_t *rows, const float *u, float *du, double *loss, eddh_error *err)
{
	const training *t = arg;
	size_t k = t->pairs.bits;
	double total = 0;

	for (int i = 0; i < n; i++)
	{
		double f[HASH_BITS_MAX], sum[HASH_BITS_MAX], g[HASH_BITS_MAX] = { 0 };

		for (size_t j = 0; j < k; j++)
			f[j] = tanh(u[i * k + j]);
		hash_pairs_sum(&t->pairs, rows[i], sum);
		if (!hash_labels_empty(t->problem->labels, rows[i]))
			total += hash_pairs_row(&t->pairs, sum, f, g);
		for (size_t j = 0; j < k; j++)
			du[i * k + j] = (float) (g[j] * hash_tanh_slope(u[i * k + j]) / n);
	}
	*loss = total / ((double) n * (double) t->pairs.columns * (double) (k * k));
	return EDDH_OK;
}

static eddh_code
run_round(training *t, hash_course *course, int round, int epochs, eddh_error *err)
{
	const hash_problem *problem = t->problem;
	size_t k = problem->bits;
	eddh_code code = hash_course_tanh(course, t->f, err);

	for (size_t i = 0; code == EDDH_OK && i < problem->rows * k; i++)
		t->f[i] = t->f[i] >= 0 ? 1 : -1;
	hash_pairs_clear(&t->pairs);
	if (code == EDDH_OK)
		code = hash_pairs_create(problem->labels, problem->bits, (size_t) problem->values[PARAM_OMEGA],
								 problem->seed + (uint64_t) round, &t->pairs, err);
	if (code == EDDH_OK)
		code = discrete_step(t, err);
	if (code != EDDH_OK)
		return code;
	hash_pairs_see(&t->pairs, t->f);
	return hash_course_run(course, epochs, err);
}

static eddh_code
train(const hash_problem *problem, hash_head *head, eddh_error *err)
{
	training t = { .problem = problem };
	hash_course course = { .problem = problem, .raw = gradient, .arg = &t };
	int outer = hash_round_count(problem->epochs, problem->values[PARAM_OUTER]);
	eddh_code code = hash_check_supervised(problem, err);

	memset(head, 0, sizeof *head);
	if (code != EDDH_OK)
		return code;
	t.f = eddh_bulk_alloc(problem->bulk, problem->rows, problem->bits, sizeof *t.f);
	if (t.f == NULL)
		code = hash_no_memory(err, "codes");
	for (int round = 1; code == EDDH_OK && round <= outer; round++)
		code = run_round(&t, &course, round, hash_round_epochs(problem->epochs, outer, round), err);
	hash_pairs_clear(&t.pairs);
	eddh_bulk_free(problem->bulk, t.f);
	return code;
}

/* Each round's, and one that tells how long gradients are. */
static int
passes(const double *values, int epochs, bool untrained)
{
	return hash_round_count(epochs, values[PARAM_OUTER]) + 1;
}

static double
seconds(const double *values, const hash_size *size)
{
	double n = fmin(size->rows, values[PARAM_OMEGA]);

	return 1.3e-8 * hash_round_count(size->epochs, values[PARAM_OUTER]) * n * n * size->bits;
}

const hash_method hash_ddsh_method = {
	.name = "ddsh",
	.title = "Deep Discrete Supervised Hashing",
	.paper =
		"Q.-Y. Jiang, X. Cui, W.-J. Li: Deep Discrete Supervised Hashing, IEEE Transactions on Image Processing 27(12), 2018",
	.notes =
		"600 rows a round have discrete codes (the paper's 100 were worse on validation pictures), flipped bit by bit from those of the network as long as the objective falls; the published code approximates that step by clustering and forces half of the bits to 1. Dissimilar pairs are weighted by similar / dissimilar, also between rows of several labels.",
	.needs_labels = true,
	.needs_net = true,
	.standards = (const hash_setting[]){ { "rate", 0.005 }, { NULL } },
	.several = (const hash_setting[]){ { "outer", 5 }, { "rate", 0.02 }, { "weight_decay", 0.005 }, { NULL } },
	.params = params,
	.passes = passes,
	.seconds = seconds,
	.train = train,
};
