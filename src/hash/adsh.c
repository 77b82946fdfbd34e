/*
 * adsh.c: Asymmetric Deep Supervised Hashing. Q.-Y. Jiang, W.-J. Li, AAAI 2018 (METHODS 2.9). Stands in for SDAH of the paper's table.
 *
 * min |F V^T - k S|^2 + gamma |V - F|^2 over the network, F = tanh(U), and binary codes V of all rows, S in {+1, -ratio}; V bit by bit.
 */
#include "hash/adsh.h"

#include "hash/deep.h"
#include "hash/private.h"

#include <string.h>

enum
{
	PARAM_GAMMA,
	PARAM_COLUMNS,
	PARAM_OUTER
};

static const hash_param params[] = {
	[PARAM_GAMMA] = { "gamma", 0.5, 0, 1e6, NULL, "weight of |V - F|^2, as a share of the columns" },
	[PARAM_COLUMNS] = { "columns", 4096, 16, 1e6, NULL,
						"rows that others are compared with where rows have several labels; else all", .whole = true },
	[PARAM_OUTER] = { "outer", 0, 0, 10000, NULL,
					  "rounds over which the epochs are spread; 0: a round an epoch on a trained backbone, else 3 epochs a round",
					  .whole = true },
	{ NULL },
};

void
hash_adsh_row(const hash_pairs *pairs, const double *sum, double gamma, const float *f, float *v)
{
	size_t k = pairs->bits;

	for (size_t l = 0; l < k; l++)
	{
		double pull = (double) k * sum[l] + gamma * f[l];

		for (size_t m = 0; m < k; m++)
			pull -= m == l ? 0 : pairs->gram[l * k + m] * v[m];
		v[l] = pull >= 0 ? 1 : -1;
	}
}

typedef struct training
{
	const hash_problem *problem;
	hash_pairs pairs;
	double gamma;
	float *f, *v; /* rows x bits */
} training;

static eddh_code
gradient(void *arg, int n, const uint32_t *rows, const float *u, float *du, double *loss, eddh_error *err)
{
	const training *t = arg;
	size_t k = t->pairs.bits;
	double total = 0;

	for (int i = 0; i < n; i++)
	{
		double f[HASH_BITS_MAX], sum[HASH_BITS_MAX], g[HASH_BITS_MAX] = { 0 };
		bool empty = hash_labels_empty(t->problem->labels, rows[i]);

		for (size_t j = 0; j < k; j++)
			f[j] = tanh(u[i * k + j]);
		hash_pairs_sum(&t->pairs, rows[i], sum);
		if (!empty)
			total += hash_pairs_row(&t->pairs, sum, f, g);
		for (size_t j = 0; j < k; j++)
		{
			double off = empty ? 0 : f[j] - t->v[rows[i] * k + j];

			total += t->gamma * off * off;
			du[i * k + j] = (float) ((g[j] + 2 * t->gamma * off) * hash_tanh_slope(u[i * k + j]) / n);
		}
	}
	*loss = total / ((double) n * (double) t->pairs.columns * (double) (k * k));
	return EDDH_OK;
}

/* V from F of one state of the network; then the network sees V. */
static eddh_code
discrete_step(training *t, hash_course *course, eddh_error *err)
{
	size_t k = t->pairs.bits;
	double sum[HASH_BITS_MAX];
	eddh_code code = hash_course_tanh(course, t->f, err);

	if (code != EDDH_OK)
		return code;
	hash_pairs_see(&t->pairs, t->f);
	for (size_t i = 0; i < t->problem->rows; i++)
	{
		if (hash_labels_empty(t->problem->labels, i))
			continue;
		hash_pairs_sum(&t->pairs, i, sum);
		hash_adsh_row(&t->pairs, sum, t->gamma, t->f + i * k, t->v + i * k);
	}
	hash_pairs_see(&t->pairs, t->v);
	return EDDH_OK;
}

/* A round costs a pass over all rows, which is cheap over features. */
static int
rounds(const double *values, int epochs, bool untrained)
{
	double wanted = values[PARAM_OUTER];

	return hash_round_count(epochs, wanted == 0 && !untrained ? epochs : wanted);
}

/* Each round's, and one that tells how long gradients are. */
static int
passes(const double *values, int epochs, bool untrained)
{
	return rounds(values, epochs, untrained) + 1;
}

static eddh_code
train(const hash_problem *problem, hash_head *head, eddh_error *err)
{
	training t = { .problem = problem };
	hash_course course = { .problem = problem, .raw = gradient, .arg = &t };
	int outer = rounds(problem->values, problem->epochs, problem->features == NULL);
	eddh_code code = hash_check_supervised(problem, err);

	memset(head, 0, sizeof *head);
	if (code != EDDH_OK)
		return code;
	code = hash_pairs_create(problem->labels, problem->bits,
							 problem->labels->single != NULL ? SIZE_MAX : (size_t) problem->values[PARAM_COLUMNS],
							 problem->seed, &t.pairs, err);
	t.gamma = problem->values[PARAM_GAMMA] * (double) t.pairs.columns;
	t.f = eddh_bulk_alloc(problem->bulk, problem->rows, problem->bits, sizeof *t.f);
	t.v = eddh_bulk_alloc(problem->bulk, problem->rows, problem->bits, sizeof *t.v);
	if (code == EDDH_OK && (t.f == NULL || t.v == NULL))
		code = hash_no_memory(err, "codes");
	for (int round = 1; code == EDDH_OK && round <= outer; round++)
	{
		code = discrete_step(&t, &course, err);
		if (code == EDDH_OK)
			code = hash_course_run(&course, hash_round_epochs(problem->epochs, outer, round), err);
	}
	hash_pairs_clear(&t.pairs);
	eddh_bulk_free(problem->bulk, t.f);
	eddh_bulk_free(problem->bulk, t.v);
	return code;
}

/* V in each round. */
static double
seconds(const double *values, const hash_size *size)
{
	double k = size->bits;

	return 2e-9 * rounds(values, size->epochs, size->untrained) * size->rows * k * k;
}

const hash_method hash_adsh_method = {
	.name = "adsh",
	.title = "Asymmetric Deep Supervised Hashing (stands in for SDAH)",
	.paper = "Q.-Y. Jiang, W.-J. Li: Asymmetric Deep Supervised Hashing, AAAI 2018",
	.notes =
		"Stands in for SDAH of the EDDH paper's table, which could not be identified. All codes are the network's: V, which has seen the labels, is never handed out, so figures are lower than the authors', who rank V. The network learns from all rows, not from a sample of 2000; with several labels a row, from pairs with a sample of 4096.",
	.needs_labels = true,
	.needs_net = true,
	.standards = (const hash_setting[]){ { "rate", 0.005 }, { NULL } },
	.several = (const hash_setting[]){ { "gamma", 10 }, { "rate", 0.02 }, { "weight_decay", 0.005 }, { NULL } },
	.params = params,
	.passes = passes,
	.seconds = seconds,
	.train = train,
};
