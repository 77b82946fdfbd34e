/*
 * sdh.c: Supervised Discrete Hashing. F. Shen, C. Shen, W. Liu, H. T. Shen, CVPR 2015 (METHODS 2.3).
 *
 * min |Y - B W|^2 + lambda |W|^2 + nu |B - F(X)|^2 over codes B in +-1, a classifier W of codes and a regression F of codes on the inputs (kernel
 * values of anchors, or the features); W and F in closed form, B bit by bit.
 */
#include "hash/sdh.h"

#include "hash/linalg.h"
#include "hash/private.h"
#include "hash/ridge.h"

#include <string.h>

/* The classifier's ridge where it is not given. */
#define LAMBDA_AUTOMATIC -1
#define LAMBDA_FEW       1
#define LAMBDA_MANY      100
/* Chosen on sets of 10 and of 51: nothing between them was tried. */
#define MANY_CLASSES 23
/* With 0 and fewer classes than bits codes have no inverse. */
#define LAMBDA_LEAST 1e-9

#define SWEEPS_MAX 10
#define BLOCK      512

enum
{
	PARAM_ITERATIONS,
	PARAM_LAMBDA,
	PARAM_NU,
	PARAM_RIDGE
};

static const hash_param params[] = {
	[PARAM_ITERATIONS] = { "iterations", 5, 1, 1000, NULL, "rounds of classifier, regression and codes",
						   .whole = true },
	[PARAM_LAMBDA] = { "lambda", LAMBDA_AUTOMATIC, LAMBDA_AUTOMATIC, 1e9, NULL,
					   "ridge of the classifier of codes; -1: 1, or 100 with 23 classes and more or several labels a row" },
	[PARAM_NU] = { "nu", 1e-5, 0, 1e6, NULL, "weight of codes being near what the inputs give" },
	[PARAM_RIDGE] = { "ridge", HASH_RIDGE_AUTOMATIC, HASH_RIDGE_AUTOMATIC, 1e6, NULL,
					  "ridge of the regression on the inputs, as a share of their mean variance; -1: 0.001 on kernel values, 0.3 on features" },
	{ NULL },
};

double
hash_sdh_lambda(const hash_labels *labels, double given)
{
	if (given >= 0)
		return fmax(given, LAMBDA_LEAST);
	return labels->single != NULL && labels->classes < MANY_CLASSES ? LAMBDA_FEW : LAMBDA_MANY;
}

eddh_code
hash_sdh_classifier(const hash_labels *labels, int bits, const int8_t *b, double lambda, double *w, eddh_error *err)
{
	size_t k = bits, c = labels->classes;
	double *gram = hash_alloc(k, k, sizeof *gram), *x = hash_alloc(c, k, sizeof *x);
	eddh_code code = EDDH_OK;

	if (gram == NULL || x == NULL)
		code = hash_no_memory(err, "a classifier of codes");
	for (size_t i = 0; code == EDDH_OK && i < labels->rows; i++)
	{
		const int8_t *bi = b + i * k;

		if (hash_labels_empty(labels, i))
			continue;
		for (size_t p = 0; p < k; p++)
		{
			for (size_t q = 0; q <= p; q++)
				gram[p * k + q] += bi[p] * bi[q];
		}
		for (int y = hash_labels_next(labels, i, 0); y >= 0; y = hash_labels_next(labels, i, y + 1))
		{
			for (size_t p = 0; p < k; p++)
				x[y * k + p] += bi[p];
		}
	}
	for (size_t p = 0; code == EDDH_OK && p < k; p++)
		gram[p * k + p] += lambda;
	if (code == EDDH_OK)
		code = hash_cholesky(k, gram, err);
	if (code == EDDH_OK)
	{
		hash_cholesky_solve(k, gram, c, x);
		for (size_t y = 0; y < c; y++)
		{
			for (size_t p = 0; p < k; p++)
				w[p * c + y] = x[y * k + p];
		}
	}
	free(gram);
	free(x);
	return code;
}

/*
 * |Y - b w|^2 as a function of bit l of a row: -2 b_l (Y w^T - sum of the other bits b_m <w_m, w_l>)_l and what does not depend on it. Rows are
 * independent, so a row's bits are swept at once.
 */
static size_t
sweep_row(const hash_labels *labels, size_t row, int bits, const double *w, const double *cross, double nu,
		  const float *phi, int8_t *b)
{
	size_t k = bits, c = labels->classes, changed = 0;

	for (size_t l = 0; l < k; l++)
	{
		double q = nu * phi[l];

		for (int y = hash_labels_next(labels, row, 0); y >= 0; y = hash_labels_next(labels, row, y + 1))
			q += w[l * c + y];
		for (size_t m = 0; m < k; m++)
			q -= m == l ? 0 : b[m] * cross[l * k + m];
		if (b[l] != (q >= 0 ? 1 : -1))
		{
			b[l] = q >= 0 ? 1 : -1;
			changed++;
		}
	}
	return changed;
}

size_t
hash_sdh_sweep(const hash_labels *labels, int bits, const double *w, double nu, const float *phi, int8_t *b)
{
	size_t k = bits, c = labels->classes, changed = 0;
	double *cross = hash_alloc(k, k, sizeof *cross);

	if (cross == NULL)
		return 0;
	for (size_t l = 0; l < k; l++)
	{
		for (size_t m = 0; m < k; m++)
		{
			for (size_t y = 0; y < c; y++)
				cross[l * k + m] += w[l * c + y] * w[m * c + y];
		}
	}
	for (size_t i = 0; i < labels->rows; i++)
	{
		if (!hash_labels_empty(labels, i))
			changed += sweep_row(labels, i, bits, w, cross, nu, phi + i * k, b + i * k);
	}
	free(cross);
	return changed;
}

/* ---- Training ---- */

typedef struct training
{
	const hash_problem *problem;
	double lambda;
	hash_ridge ridge;
	int8_t *b;
	float *target, *phi;
	double *w;
} training;

static eddh_code
run(training *t, hash_head *head, eddh_error *err)
{
	const hash_problem *problem = t->problem;
	const double *values = problem->values;
	size_t entries = problem->rows * (size_t) problem->bits;
	int iterations = (int) values[PARAM_ITERATIONS];
	eddh_code code = EDDH_OK;

	for (int round = 0; code == EDDH_OK && round <= iterations; round++)
	{
		size_t changed = 0;

		if (eddh_stopped(problem->stop))
			return eddh_fail(err, EDDH_STOPPED, "stopped");
		hash_progress(problem, "train", round, iterations);
		for (size_t i = 0; i < entries; i++)
			t->target[i] = t->b[i];
		code = hash_ridge_solve(&t->ridge, problem->bits, t->target, head->w, head->b, err);
		if (code != EDDH_OK || round == iterations)
			break;
		hash_ridge_apply(&t->ridge, problem->bits, head->w, head->b, t->phi);
		code = hash_sdh_classifier(problem->labels, problem->bits, t->b, t->lambda, t->w, err);
		for (int sweep = 0; code == EDDH_OK && sweep < SWEEPS_MAX; sweep++)
		{
			size_t now = hash_sdh_sweep(problem->labels, problem->bits, t->w, values[PARAM_NU], t->phi, t->b);

			changed += now;
			if (now == 0)
				break;
		}
		hash_log(problem, "changed", round + 1, (double) changed / (double) entries);
	}
	return code;
}

static eddh_code
train(const hash_problem *problem, hash_head *head, eddh_error *err)
{
	training t = { .problem = problem };
	hash_inputs in = hash_inputs_of(problem);
	size_t entries = problem->rows * (size_t) problem->bits;
	double ridge = hash_ridge_share(problem, problem->values[PARAM_RIDGE], 0.3);
	eddh_rng rng;
	eddh_code code = hash_check_labelled(problem, err);

	memset(head, 0, sizeof *head);
	if (code != EDDH_OK)
		return code;
	t.lambda = hash_sdh_lambda(problem->labels, problem->values[PARAM_LAMBDA]);
	hash_progress(problem, "regression", 0, 1);
	code = hash_ridge_create(problem->rows, in.dim, in.z, problem->labels, ridge, problem->stop, &t.ridge, err);
	t.b = eddh_bulk_alloc(problem->bulk, entries, 1, sizeof *t.b);
	t.target = eddh_bulk_alloc(problem->bulk, entries, 1, sizeof *t.target);
	t.phi = eddh_bulk_alloc(problem->bulk, entries, 1, sizeof *t.phi);
	t.w = hash_alloc(problem->bits, problem->labels->classes, sizeof *t.w);
	if (code == EDDH_OK && (t.b == NULL || t.target == NULL || t.phi == NULL || t.w == NULL))
		code = hash_no_memory(err, "codes");
	if (code == EDDH_OK)
		code = hash_head_create(in.dim, problem->bits, problem->bits, false, head, err);
	eddh_rng_seed_stream(&rng, problem->seed, UINT64_C(0x5D4));
	for (size_t i = 0; code == EDDH_OK && i < entries; i++)
		t.b[i] = (eddh_rng_next(&rng) >> 63) != 0 ? 1 : -1;
	if (code == EDDH_OK)
		code = run(&t, head, err);
	if (code != EDDH_OK)
		hash_head_clear(head);
	hash_ridge_clear(&t.ridge);
	eddh_bulk_free(problem->bulk, t.b);
	eddh_bulk_free(problem->bulk, t.target);
	eddh_bulk_free(problem->bulk, t.phi);
	free(t.w);
	return code;
}

/* The Gram matrix with its factor, and sweeps. */
static double
seconds(const double *values, const hash_size *size)
{
	double n = size->rows, d = size->input_dim, k = size->bits;

	return 1e-11 * d * d * (n + d) + values[PARAM_ITERATIONS] * n * k * (1e-11 * 2 * d + 1.4e-8 * k);
}

const hash_method hash_sdh_method = {
	.name = "sdh",
	.title = "Supervised Discrete Hashing",
	.paper = "F. Shen, C. Shen, W. Liu, H. T. Shen: Supervised Discrete Hashing, CVPR 2015",
	.notes =
		"On kernel values (head anchors, the default) or on the features themselves (head linear). The ridge is a share of the inputs' variance, and the constant is free; with the authors' nu the codes follow the labels almost alone.",
	.needs_labels = true,
	.needs_net = false,
	.anchors_by_default = true,
	.params = params,
	.seconds = seconds,
	.train = train,
};
