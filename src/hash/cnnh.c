/*
 * cnnh.c: Convolutional Neural Network Hashing. R. Xia, Y. Pan, H. Lai, C. Liu, S. Yan, AAAI 2014 (METHODS 2.5): first codes H for the
 * training rows, min |S - H H^T / k|^2 over H in [-1, 1], S in +-1; then the network regresses on sgn(H).
 */
#include "hash/cnnh.h"

#include "hash/deep.h"
#include "hash/linalg.h"
#include "hash/pairs.h"
#include "hash/private.h"
#include "nn/gemm.h"

#include <string.h>

enum
{
	PARAM_SWEEPS,
	PARAM_ROWS
};

static const hash_param params[] = {
	[PARAM_SWEEPS] = { "sweeps", 10, 1, 1000, NULL, "passes of the first stage over all entries", .whole = true },
	[PARAM_ROWS] = { "rows", 4000, 16, 13000, NULL,
					 "rows that the first stage looks at: a matrix of rows x rows; the rest is fitted to them",
					 .whole = true },
	{ NULL },
};

/*
 * With entry (i, j) moved by d, row and column i of l change by d h_j, l_ii by 2 h_ij d + d^2. So the sum changes by g d + g2 d^2 / 2 and terms of
 * third and fourth order.
 */
static double
move_entry(size_t n, size_t i, size_t j, float *h, float *l, double total)
{
	float *li = l + i * n;
	double hij = h[j * n + i], lh = 0, hh = 0, g, curve, d, corner, change;

	for (size_t m = 0; m < n; m++)
	{
		lh += (double) li[m] * h[j * n + m];
		hh += (double) h[j * n + m] * h[j * n + m];
	}
	g = 4 * lh;
	curve = 4 * (hh + hij * hij + li[i]);
	d = curve > 0 ? -g / curve : -g;
	d = hij + d > 1 ? 1 - hij : hij + d < -1 ? -1 - hij : d;
	corner = 2 * hij * d + d * d;
	change = 2 * (2 * d * (lh - li[i] * hij) + d * d * (hh - hij * hij)) + 2 * li[i] * corner + corner * corner;
	if (!(change < -1e-9 * total) || d == 0)
		return total;
	for (size_t m = 0; m < n; m++)
	{
		if (m == i)
			continue;
		li[m] += (float) (d * h[j * n + m]);
		l[m * n + i] = li[m];
	}
	li[i] += (float) corner;
	h[j * n + i] = (float) (hij + d);
	return total + change;
}

double
hash_cnnh_sweep(size_t n, int bits, float *h, float *l)
{
	size_t k = bits;
	double total = 0;

	for (size_t i = 0; i < n * n; i++)
		total += (double) l[i] * l[i];
	for (size_t i = 0; i < n; i++)
	{
		for (size_t j = 0; j < k; j++)
			total = move_entry(n, i, j, h, l, total);
	}
	return total;
}

/* ---- Training ---- */

typedef struct training
{
	const hash_problem *problem;
	hash_pairs pairs;
	float *h;  /* bits x columns */
	float *x;  /* rows x bits: h where the row is a column */
	int8_t *b; /* rows x bits: the targets; 0: no label */
} training;

static eddh_code
first_stage(training *t, eddh_error *err)
{
	const hash_problem *problem = t->problem;
	size_t n = t->pairs.columns, k = problem->bits;
	int sweeps = (int) problem->values[PARAM_SWEEPS];
	float *l = hash_alloc(n, n, sizeof *l);
	eddh_rng rng;

	t->h = hash_alloc(n, k, sizeof *t->h);
	if (l == NULL || t->h == NULL)
	{
		free(l);
		return hash_no_memory(err, "similarities of rows");
	}
	eddh_rng_seed_stream(&rng, problem->seed, UINT64_C(0xC22));
	for (size_t i = 0; i < n * k; i++)
		t->h[i] = (float) (2 * eddh_rng_uniform(&rng) - 1);
	nn_gemm(true, false, n, n, k, 1, t->h, n, t->h, n, 0, l, n);
	for (size_t i = 0; i < n; i++)
	{
		for (size_t j = 0; j < n; j++)
			l[i * n + j] -= hash_labels_share(problem->labels, t->pairs.column[i], problem->labels, t->pairs.column[j])
								? (float) k
								: -(float) k;
	}
	for (int sweep = 1; sweep <= sweeps; sweep++)
	{
		double sum;

		if (eddh_stopped(problem->stop))
		{
			free(l);
			return eddh_fail(err, EDDH_STOPPED, "stopped");
		}
		sum = hash_cnnh_sweep(n, problem->bits, t->h, l);
		hash_log(problem, "objective", sweep, sum / ((double) n * (double) n * (double) (k * k)));
		hash_progress(problem, "codes", sweep, sweeps);
	}
	free(l);
	return EDDH_OK;
}

/* Rows outside of the first stage: the code nearest to fitting their similarities to those in it. */
static eddh_code
all_targets(training *t, eddh_error *err)
{
	const hash_problem *problem = t->problem;
	size_t k = problem->bits, n = t->pairs.columns;
	double *factor = hash_alloc(k, k, sizeof *factor), fit[HASH_BITS_MAX], trace = 0;
	eddh_code code;

	t->x = eddh_bulk_alloc(problem->bulk, problem->rows, k, sizeof *t->x);
	t->b = eddh_bulk_alloc(problem->bulk, problem->rows, k, sizeof *t->b);
	if (factor == NULL || t->x == NULL || t->b == NULL)
	{
		free(factor);
		return hash_no_memory(err, "codes");
	}
	for (size_t c = 0; c < n * k; c++)
		t->x[t->pairs.column[c % n] * k + c / n] = t->h[c];
	t->pairs.ratio = 1; /* S in +-1 */
	hash_pairs_see(&t->pairs, t->x);
	memcpy(factor, t->pairs.gram, k * k * sizeof *factor);
	for (size_t i = 0; i < k; i++)
		trace += factor[i * k + i];
	for (size_t i = 0; i < k; i++)
		factor[i * k + i] += 1e-6 * trace + 1e-9;
	code = hash_cholesky(k, factor, err);
	for (size_t i = 0; code == EDDH_OK && i < problem->rows; i++)
	{
		if (hash_labels_empty(problem->labels, i))
			continue;
		hash_pairs_sum(&t->pairs, i, fit);
		hash_cholesky_solve(k, factor, 1, fit);
		for (size_t j = 0; j < k; j++)
			t->b[i * k + j] = fit[j] >= 0 ? 1 : -1;
	}
	for (size_t c = 0; code == EDDH_OK && c < n * k; c++)
		t->b[t->pairs.column[c % n] * k + c / n] = t->h[c] >= 0 ? 1 : -1;
	free(factor);
	return code;
}

static eddh_code
gradient(void *arg, int n, const uint32_t *rows, const float *u, float *du, double *loss, eddh_error *err)
{
	const training *t = arg;
	size_t k = t->problem->bits;
	double total = 0;

	for (int i = 0; i < n; i++)
	{
		for (size_t j = 0; j < k; j++)
		{
			int target = t->b[rows[i] * k + j];
			double off = target != 0 ? tanh(u[i * k + j]) - target : 0;

			total += off * off;
			du[i * k + j] = (float) (2 * off * hash_tanh_slope(u[i * k + j]) / n);
		}
	}
	*loss = total / ((double) n * (double) k);
	return EDDH_OK;
}

static eddh_code
train(const hash_problem *problem, hash_head *head, eddh_error *err)
{
	training t = { .problem = problem };
	hash_course course = { .problem = problem, .raw = gradient, .arg = &t };
	eddh_code code = hash_check_supervised(problem, err);

	memset(head, 0, sizeof *head);
	if (code != EDDH_OK)
		return code;
	code = hash_pairs_create(problem->labels, problem->bits, (size_t) problem->values[PARAM_ROWS], problem->seed,
							 &t.pairs, err);
	if (code == EDDH_OK)
		code = first_stage(&t, err);
	if (code == EDDH_OK)
		code = all_targets(&t, err);
	if (code == EDDH_OK)
		code = hash_course_run(&course, problem->epochs, err);
	hash_pairs_clear(&t.pairs);
	free(t.h);
	eddh_bulk_free(problem->bulk, t.x);
	eddh_bulk_free(problem->bulk, t.b);
	return code;
}

/* The first stage. */
static double
seconds(const double *values, const hash_size *size)
{
	double n = fmin(size->rows, values[PARAM_ROWS]);

	return 1e-9 * values[PARAM_SWEEPS] * n * n * size->bits;
}

const hash_method hash_cnnh_method = {
	.name = "cnnh",
	.title = "Convolutional Neural Network Hashing",
	.paper =
		"R. Xia, Y. Pan, H. Lai, C. Liu, S. Yan: Supervised Hashing for Image Retrieval via Image Representation Learning, AAAI 2014",
	.notes =
		"The first stage looks at 4000 rows at most and fits the others to them. A Newton step is taken only where it lowers the objective (the public code never undoes a bad one). Without the label term of CNNH+.",
	.needs_labels = true,
	.needs_net = true,
	.params = params,
	.passes = hash_course_passes,
	.seconds = seconds,
	.train = train,
};
