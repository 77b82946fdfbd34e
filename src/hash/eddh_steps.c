/* eddh_steps.c: see eddh_steps.h. Letters as in METHODS 1. */
#include "hash/eddh_steps.h"

#include "hash/linalg.h"
#include "hash/private.h"
#include "nn/gemm.h"

#include <string.h>

#define BLOCK 256  /* rows turned to double at a time */
#define RIDGE 1e-6 /* of G, relative to its mean diagonal: an absent class or two equal labels make it singular (1.5) */

static inline double
dot(size_t n, const double *a, const double *b)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += a[i] * b[i];
	return sum;
}

/* t (k) = row of T: the sum of A's rows of the row's classes. */
static void
class_row(const hash_eddh *e, size_t row, double *t)
{
	memset(t, 0, e->k * sizeof *t);
	for (int c = hash_labels_next(e->labels, row, 0); c >= 0; c = hash_labels_next(e->labels, row, c + 1))
	{
		for (int j = 0; j < e->k; j++)
			t[j] += e->a[(size_t) c * e->k + j];
	}
}

/* ---- Sums over rows ---- */

/* gram (k x k) = X^T diag(weight) X for X rows x k in double; weight may be NULL. */
static void
gram_double(size_t rows, int k, const double *x, const double *weight, double *block, double *gram)
{
	memset(gram, 0, (size_t) k * k * sizeof *gram);
	for (size_t first = 0; first < rows; first += BLOCK)
	{
		size_t count = rows - first < BLOCK ? rows - first : BLOCK;

		for (size_t i = 0; i < count; i++)
		{
			for (int j = 0; j < k; j++)
				block[i * k + j] = x[(first + i) * k + j] * (weight != NULL ? weight[first + i] : 1);
		}
		nn_dgemm(true, false, k, k, count, 1, block, k, x + first * k, k, 1, gram, k);
	}
}

/* gram (k x k) = F^T F. */
static void
gram_float(const hash_eddh *e, double *block, double *gram)
{
	int k = e->k;

	memset(gram, 0, (size_t) k * k * sizeof *gram);
	for (size_t first = 0; first < e->labels->rows; first += BLOCK)
	{
		size_t count = e->labels->rows - first < BLOCK ? e->labels->rows - first : BLOCK;

		for (size_t i = 0; i < count * k; i++)
			block[i] = e->f[first * k + i];
		nn_dgemm(true, false, k, k, count, 1, block, k, block, k, 1, gram, k);
	}
}

/* out (classes x k) = M^T X, where X is F (x NULL) or a double matrix rows x k. */
static void
class_sums_times(const hash_eddh *e, const double *x, double *block, double *out)
{
	int k = e->k, classes = e->classes;

	memset(out, 0, (size_t) classes * k * sizeof *out);
	for (size_t first = 0; first < e->labels->rows; first += BLOCK)
	{
		size_t count = e->labels->rows - first < BLOCK ? e->labels->rows - first : BLOCK;

		for (size_t i = 0; i < count * k; i++)
			block[i] = x != NULL ? x[first * k + i] : e->f[first * k + i];
		nn_dgemm(true, false, classes, k, count, 1, e->similarity->class_sums + first * classes, classes, block, k, 1,
				 out, k);
	}
}

/* out (classes x k) = Y^T B. */
static void
label_codes(const hash_eddh *e, double *out)
{
	memset(out, 0, (size_t) e->classes * e->k * sizeof *out);
	for (size_t i = 0; i < e->labels->rows; i++)
	{
		for (int c = hash_labels_next(e->labels, i, 0); c >= 0; c = hash_labels_next(e->labels, i, c + 1))
		{
			for (int j = 0; j < e->k; j++)
				out[(size_t) c * e->k + j] += e->b[i * e->k + j];
		}
	}
}

/* out (classes x k) = Y^T diag(weight) P over columns (h1). */
static void
label_relaxed(const hash_eddh *e, double *out)
{
	const hash_similarity *s = e->similarity;

	memset(out, 0, (size_t) e->classes * e->k * sizeof *out);
	for (size_t i = 0; i < s->columns; i++)
	{
		uint32_t row = s->column[i];

		for (int c = hash_labels_next(e->labels, row, 0); c >= 0; c = hash_labels_next(e->labels, row, c + 1))
		{
			for (int j = 0; j < e->k; j++)
				out[(size_t) c * e->k + j] += s->weight[i] * e->p[i * e->k + j];
		}
	}
}

/* out (k x k) = A^T G A. */
static void
class_gram(const hash_eddh *e, const double *g, double *ga, double *out)
{
	nn_dgemm(false, false, e->classes, e->k, e->classes, 1, g, e->classes, e->a, e->k, 0, ga, e->k);
	nn_dgemm(true, false, e->k, e->k, e->classes, 1, e->a, e->k, ga, e->k, 0, out, e->k);
}

/* ---- Life ---- */

/* Adds row's label pairs to g. */
static void
add_label_pairs(const hash_labels *labels, size_t row, double weight, double *g)
{
	for (int c = hash_labels_next(labels, row, 0); c >= 0; c = hash_labels_next(labels, row, c + 1))
	{
		for (int d = hash_labels_next(labels, row, 0); d >= 0; d = hash_labels_next(labels, row, d + 1))
			g[(size_t) c * labels->classes + d] += weight;
	}
}

/* The matrix of the a-step's left side, factored; in h1 it depends on the columns. */
static eddh_code
factor_classes(hash_eddh *e, eddh_error *err)
{
	size_t classes = e->classes;
	double trace = 0;

	if (e->variant == HASH_EDDH_H1)
	{
		memset(e->g_weight, 0, classes * classes * sizeof *e->g_weight);
		for (size_t j = 0; j < e->similarity->columns; j++)
			add_label_pairs(e->labels, e->similarity->column[j], e->similarity->weight[j], e->g_weight);
	}
	for (size_t i = 0; i < classes * classes; i++)
	{
		e->g_factor[i] = e->g[i];
		if (e->variant == HASH_EDDH_H1)
			e->g_factor[i] = e->mu * e->g_weight[i] + (e->gamma + e->rho) * e->g[i];
	}
	for (size_t c = 0; c < classes; c++)
		trace += e->g_factor[c * classes + c];
	for (size_t c = 0; c < classes; c++)
		e->g_factor[c * classes + c] += RIDGE * trace / (double) classes;
	return hash_cholesky(classes, e->g_factor, err);
}

/* P = T, where a row of P is a column of S (h1) or a row (h2). */
static void
start_p(hash_eddh *e)
{
	size_t count = e->variant == HASH_EDDH_H1 ? e->similarity->columns : e->labels->rows;

	if (e->p == NULL)
		return;
	for (size_t i = 0; i < count; i++)
		class_row(e, e->variant == HASH_EDDH_H1 ? e->similarity->column[i] : i, e->p + i * e->k);
}

static eddh_code
allocate_columns(hash_eddh *e, eddh_error *err)
{
	const eddh_bulk *bulk = e->labels->bulk;

	if (e->variant != HASH_EDDH_H1)
		return EDDH_OK;
	eddh_bulk_free(bulk, e->p);
	eddh_bulk_free(bulk, e->s_f);
	e->p = eddh_bulk_alloc(bulk, e->similarity->columns, e->k, sizeof *e->p);
	e->s_f = eddh_bulk_alloc(bulk, e->similarity->columns, e->k, sizeof *e->s_f);
	if (e->p == NULL || e->s_f == NULL)
		return hash_no_memory(err, "the discrete steps");
	return EDDH_OK;
}

static eddh_code
allocate(hash_eddh *e, eddh_error *err)
{
	const eddh_bulk *bulk = e->labels->bulk;
	size_t rows = e->labels->rows, k = e->k, classes = e->classes;
	size_t widest = k > classes ? k : classes;
	bool failed;

	e->f = eddh_bulk_alloc(bulk, rows, k, sizeof *e->f);
	e->b = eddh_bulk_alloc(bulk, rows, k, sizeof *e->b);
	e->a = hash_alloc(classes, k, sizeof *e->a);
	e->g = hash_alloc(classes, classes, sizeof *e->g);
	e->g_factor = hash_alloc(classes, classes, sizeof *e->g_factor);
	e->q = hash_alloc(k, k, sizeof *e->q);
	e->work = hash_alloc(BLOCK + 4 * widest, widest, sizeof *e->work);
	failed = e->f == NULL || e->b == NULL || e->a == NULL || e->g == NULL || e->g_factor == NULL || e->q == NULL ||
			 e->work == NULL;
	if (e->variant == HASH_EDDH_H1)
	{
		e->g_weight = hash_alloc(classes, classes, sizeof *e->g_weight);
		e->r = eddh_bulk_alloc(bulk, rows, k, sizeof *e->r);
		failed = failed || e->g_weight == NULL || e->r == NULL;
	}
	if (e->variant == HASH_EDDH_H2)
	{
		e->p = eddh_bulk_alloc(bulk, rows, k, sizeof *e->p);
		failed = failed || e->p == NULL;
	}
	return failed ? hash_no_memory(err, "the discrete steps") : EDDH_OK;
}

eddh_code
hash_eddh_create(hash_eddh_variant variant, int k, const hash_labels *labels, hash_similarity *similarity,
				 const double *weights, const double *a, hash_eddh **out, eddh_error *err)
{
	hash_eddh *e = calloc(1, sizeof *e);
	double n = (double) similarity->active;
	eddh_code code;

	*out = NULL;
	if (e == NULL)
		return hash_no_memory(err, "the discrete steps");
	e->variant = variant;
	e->k = k;
	e->classes = labels->classes;
	e->labels = labels;
	e->similarity = similarity;
	e->lambda = n * weights[0];
	e->mu = n * weights[1];
	e->gamma = n * weights[2];
	e->rho = n * weights[3];
	code = allocate(e, err);
	if (code == EDDH_OK)
		code = allocate_columns(e, err);
	if (code == EDDH_OK)
	{
		memcpy(e->a, a, (size_t) e->classes * k * sizeof *a);
		for (size_t i = 0; i < labels->rows; i++)
			add_label_pairs(labels, i, 1, e->g);
		code = factor_classes(e, err);
	}
	if (code != EDDH_OK)
	{
		hash_eddh_free(e);
		return code;
	}
	start_p(e);
	hash_eddh_b_step(e);
	*out = e;
	return EDDH_OK;
}

void
hash_eddh_free(hash_eddh *e)
{
	const eddh_bulk *bulk;

	if (e == NULL)
		return;
	bulk = e->labels->bulk;
	eddh_bulk_free(bulk, e->f);
	eddh_bulk_free(bulk, e->b);
	free(e->a);
	eddh_bulk_free(bulk, e->p);
	free(e->g);
	free(e->g_factor);
	free(e->g_weight);
	eddh_bulk_free(bulk, e->s_f);
	free(e->q);
	eddh_bulk_free(bulk, e->r);
	free(e->work);
	free(e);
}

eddh_code
hash_eddh_new_similarity(hash_eddh *e, hash_similarity *similarity, eddh_error *err)
{
	eddh_code code;

	e->similarity = similarity;
	code = allocate_columns(e, err);
	if (code == EDDH_OK)
		code = factor_classes(e, err);
	if (code == EDDH_OK && e->variant == HASH_EDDH_H1)
		start_p(e);
	return code;
}

eddh_code
hash_eddh_see_f(hash_eddh *e, const eddh_stop *stop, eddh_error *err)
{
	for (size_t i = 0; i < e->labels->rows; i++)
	{
		if (hash_labels_empty(e->labels, i))
			memset(e->f + i * e->k, 0, e->k * sizeof *e->f);
	}
	if (e->variant != HASH_EDDH_H1)
		return EDDH_OK;
	return hash_similarity_gather(e->similarity, e->k, e->f, e->s_f, stop, err);
}

/* ---- Steps ---- */

eddh_code
hash_eddh_p_step(hash_eddh *e, eddh_error *err)
{
	size_t k = e->k;
	double *gram = e->work, *rest = gram + k * k, *t = rest + (size_t) e->classes * k;
	eddh_code code;

	if (e->variant == HASH_EDDH_H0)
		return EDDH_OK;
	if (e->variant == HASH_EDDH_H1)
		gram_float(e, rest, gram);
	else
		class_gram(e, e->g, rest, gram);
	for (size_t j = 0; j < k; j++)
		gram[j * k + j] += e->mu;
	code = hash_cholesky(k, gram, err);
	if (code != EDDH_OK)
		return code;
	if (e->variant == HASH_EDDH_H1)
	{
		for (size_t i = 0; i < e->similarity->columns; i++)
		{
			class_row(e, e->similarity->column[i], t);
			for (size_t j = 0; j < k; j++)
				e->p[i * k + j] = (double) k * e->s_f[i * k + j] + e->mu * t[j];
		}
		hash_cholesky_solve(k, gram, e->similarity->columns, e->p);
		return EDDH_OK;
	}
	nn_dgemm(false, false, e->labels->rows, k, e->classes, (double) k, e->similarity->class_sums, e->classes, e->a, k,
			 0, e->p, k);
	for (size_t i = 0; i < e->labels->rows * k; i++)
		e->p[i] += e->mu * e->f[i];
	hash_cholesky_solve(k, gram, e->labels->rows, e->p);
	return EDDH_OK;
}

/* Solves (matrix factored in g_factor) X = right for X classes x k, through the transpose. */
static void
solve_classes(const hash_eddh *e, double *right, double *transposed)
{
	size_t k = e->k, classes = e->classes;

	for (size_t c = 0; c < classes; c++)
	{
		for (size_t j = 0; j < k; j++)
			transposed[j * classes + c] = right[c * k + j];
	}
	hash_cholesky_solve(classes, e->g_factor, k, transposed);
	for (size_t c = 0; c < classes; c++)
	{
		for (size_t j = 0; j < k; j++)
			right[c * k + j] = transposed[j * classes + c];
	}
}

eddh_code
hash_eddh_a_step(hash_eddh *e, eddh_error *err)
{
	size_t k = e->k, size = (size_t) e->classes * k;
	double *gram = e->work, *right = gram + k * k, *more = right + size;
	eddh_code code;

	label_codes(e, right);
	if (e->variant == HASH_EDDH_H1)
	{
		label_relaxed(e, more);
		for (size_t i = 0; i < size; i++)
			right[i] = e->mu * more[i] + e->gamma * right[i];
		solve_classes(e, right, more);
		memcpy(e->a, right, size * sizeof *right);
		return EDDH_OK;
	}
	if (e->variant == HASH_EDDH_H0)
	{
		gram_float(e, more, gram);
		class_sums_times(e, NULL, more + size, more);
	}
	else
	{
		gram_double(e->labels->rows, e->k, e->p, NULL, more, gram);
		class_sums_times(e, e->p, more + size, more);
	}
	for (size_t i = 0; i < size; i++)
		right[i] = (double) k * more[i] + e->gamma * right[i];
	for (size_t j = 0; j < k; j++)
		gram[j * k + j] += e->gamma + e->rho;
	code = hash_cholesky(k, gram, err);
	if (code != EDDH_OK)
		return code;
	hash_cholesky_solve(k, gram, e->classes, right);
	solve_classes(e, right, more);
	memcpy(e->a, right, size * sizeof *right);
	return EDDH_OK;
}

void
hash_eddh_b_step(hash_eddh *e)
{
	double *t = e->work;

	for (size_t i = 0; i < e->labels->rows; i++)
	{
		if (hash_labels_empty(e->labels, i))
			continue;
		class_row(e, i, t);
		for (int j = 0; j < e->k; j++)
			e->b[i * e->k + j] = e->lambda * e->f[i * e->k + j] + e->gamma * t[j] >= 0 ? 1 : -1;
	}
}

eddh_code
hash_eddh_prepare_theta(hash_eddh *e, const eddh_stop *stop, eddh_error *err)
{
	size_t k = e->k;

	switch (e->variant)
	{
		case HASH_EDDH_H1:
			gram_double(e->similarity->columns, e->k, e->p, e->similarity->weight, e->work, e->q);
			return hash_similarity_spread(e->similarity, e->k, e->p, e->r, stop, err);
		case HASH_EDDH_H2:
			memset(e->q, 0, k * k * sizeof *e->q);
			for (size_t j = 0; j < k; j++)
				e->q[j * k + j] = e->mu;
			return EDDH_OK;
		default:
			class_gram(e, e->g, e->work, e->q);
			return EDDH_OK;
	}
}

void
hash_eddh_pull(const hash_eddh *e, size_t row, double *r)
{
	size_t k = e->k;

	memset(r, 0, k * sizeof *r);
	if (hash_labels_empty(e->labels, row))
		return;
	if (e->variant == HASH_EDDH_H1)
	{
		for (size_t j = 0; j < k; j++)
			r[j] = e->r[row * k + j];
	}
	else if (e->variant == HASH_EDDH_H2)
	{
		for (size_t j = 0; j < k; j++)
			r[j] = e->mu / (double) k * e->p[row * k + j];
	}
	else
	{
		const double *m = e->similarity->class_sums + row * e->classes;

		for (int c = 0; c < e->classes; c++)
		{
			for (size_t j = 0; j < k; j++)
				r[j] += m[c] * e->a[c * k + j];
		}
	}
}

double
hash_eddh_row(const hash_eddh *e, size_t row, const double *f, double *gradient)
{
	size_t k = e->k;
	double r[HASH_BITS_MAX], qf[HASH_BITS_MAX] = { 0 };
	const int8_t *b = e->b + row * k;
	double value = 0;

	if (hash_labels_empty(e->labels, row))
	{
		if (gradient != NULL)
			memset(gradient, 0, k * sizeof *gradient);
		return 0;
	}
	hash_eddh_pull(e, row, r);
	for (size_t i = 0; i < k; i++)
	{
		for (size_t j = 0; j < k; j++)
			qf[j] += f[i] * e->q[i * k + j];
	}
	for (size_t j = 0; j < k; j++)
	{
		double off = f[j] - b[j];

		value += f[j] * (qf[j] - 2 * (double) k * r[j]) + e->lambda * off * off;
		if (gradient != NULL)
			gradient[j] = 2 * qf[j] - 2 * (double) k * r[j] + 2 * e->lambda * off;
		if (e->variant == HASH_EDDH_H2)
			value += e->mu * e->p[row * k + j] * e->p[row * k + j];
	}
	return value;
}

/* ---- J ---- */

/* <X X^T of one side, of the other> - 2 k <F, S X> + k^2 |S|^2. */
static double
pair_term(hash_eddh *e)
{
	size_t k = e->k, size = (size_t) e->classes * k;
	double *left = e->work, *right = left + k * k, *more = right + k * k;
	double cross;

	if (e->variant == HASH_EDDH_H1)
	{
		gram_float(e, more, left);
		gram_double(e->similarity->columns, e->k, e->p, e->similarity->weight, more, right);
		cross = 0;
		for (size_t i = 0; i < e->similarity->columns; i++)
			cross += e->similarity->weight[i] * dot(k, e->s_f + i * k, e->p + i * k);
	}
	else
	{
		class_gram(e, e->g, more, right);
		if (e->variant == HASH_EDDH_H0)
			gram_float(e, more, left);
		else
			gram_double(e->labels->rows, e->k, e->p, NULL, more, left);
		class_sums_times(e, e->variant == HASH_EDDH_H0 ? NULL : e->p, more + size, more);
		cross = dot(size, more, e->a);
	}
	return dot(k * k, left, right) - 2 * (double) k * cross + (double) k * (double) k * e->similarity->square;
}

/* mu |P - T|^2 or mu |P - F|^2. */
static double
relaxed_term(hash_eddh *e)
{
	size_t k = e->k;
	double *t = e->work;
	double sum = 0;

	if (e->variant == HASH_EDDH_H0)
		return 0;
	for (size_t i = 0; i < (e->variant == HASH_EDDH_H1 ? e->similarity->columns : e->labels->rows); i++)
	{
		double square = 0;

		if (e->variant == HASH_EDDH_H1)
			class_row(e, e->similarity->column[i], t);
		for (size_t j = 0; j < k; j++)
		{
			double off = e->p[i * k + j] - (e->variant == HASH_EDDH_H1 ? t[j] : e->f[i * k + j]);

			square += off * off;
		}
		sum += square * (e->variant == HASH_EDDH_H1 ? e->similarity->weight[i] : 1);
	}
	return e->mu * sum;
}

eddh_code
hash_eddh_objective(hash_eddh *e, double *objective, eddh_error *err)
{
	size_t k = e->k;
	double *t = e->work;
	double code_sum = 0, label_sum = 0, size_sum = 0;

	*objective = pair_term(e) + relaxed_term(e);
	for (size_t i = 0; i < e->labels->rows; i++)
	{
		if (hash_labels_empty(e->labels, i))
			continue;
		class_row(e, i, t);
		for (size_t j = 0; j < k; j++)
		{
			double f = e->f[i * k + j], b = e->b[i * k + j];

			code_sum += (f - b) * (f - b);
			label_sum += (b - t[j]) * (b - t[j]);
			size_sum += t[j] * t[j];
		}
	}
	*objective += e->lambda * code_sum + e->gamma * label_sum + e->rho * size_sum;
	if (!isfinite(*objective))
		return eddh_fail(err, EDDH_NUMERIC, "the objective of EDDH is not finite");
	return EDDH_OK;
}
