/*
 * ksh.c: Supervised Hashing with Kernels. W. Liu, J. Wang, R. Ji, Y.-G. Jiang, S.-F. Chang, CVPR 2012 (METHODS 2.4).
 *
 * min |H H^T / k - S|^2 over h_l = sgn(K a_l), greedily bit by bit: with the residual R = k S - sum of y y^T so far, maximise y^T R y: first the spectral
 * relaxation, then ascent on y = tanh(K a / 2), kept only where the bits themselves are better for it.
 */
#include "hash/ksh.h"

#include "hash/linalg.h"
#include "hash/private.h"
#include "nn/gemm.h"

#include <string.h>

#define ASCENT_STEPS  500
#define ASCENT_ENOUGH 1e-2
#define POWER_STEPS   30
#define RIDGE         1e-4 /* of K^T K, as a share of its mean diagonal */

enum
{
	PARAM_ROWS
};

static const hash_param params[] = {
	[PARAM_ROWS] = { "rows", 2000, 16, 10000, NULL, "labelled rows that bits are learned from; a matrix of rows x rows",
					 .whole = true },
	{ NULL },
};

typedef struct training
{
	const hash_problem *problem;
	size_t rows;
	int dim;
	float *k;       /* rows x dim, centred */
	double *mean;   /* dim */
	float *r;       /* rows x rows */
	double *factor; /* Cholesky factor of K^T K */
	double *c;      /* dim x dim */
	float *work;    /* 3 rows */
	float *product; /* rows x dim */
} training;

static void
training_free(training *t)
{
	free(t->k);
	free(t->mean);
	free(t->r);
	free(t->factor);
	free(t->c);
	free(t->work);
	free(t->product);
}

double
hash_ksh_smooth(size_t rows, int dim, const float *k, const float *r, const float *a, float *gradient, float *work)
{
	float *y = work, *ry = work + rows, *slope = work + 2 * rows;
	double total = 0;

	nn_gemv(false, rows, dim, k, dim, a, 0, y);
	for (size_t i = 0; i < rows; i++)
	{
		slope[i] = (float) (hash_tanh_slope(y[i] / 2) / 2);
		y[i] = tanhf(y[i] / 2);
	}
	nn_gemv(false, rows, rows, r, rows, y, 0, ry);
	for (size_t i = 0; i < rows; i++)
		total += (double) y[i] * ry[i];
	if (gradient != NULL)
	{
		for (size_t i = 0; i < rows; i++)
			slope[i] *= 2 * ry[i];
		nn_gemv(true, rows, dim, k, dim, slope, 0, gradient);
	}
	return total;
}

/* y^T R y of the bits; y (rows) is left in work. */
static double
binary_value(const training *t, const float *a)
{
	float *y = t->work, *ry = t->work + t->rows;
	double total = 0;

	nn_gemv(false, t->rows, t->dim, t->k, t->dim, a, 0, y);
	for (size_t i = 0; i < t->rows; i++)
		y[i] = y[i] >= 0 ? 1 : -1;
	nn_gemv(false, t->rows, t->rows, t->r, t->rows, y, 0, ry);
	for (size_t i = 0; i < t->rows; i++)
		total += (double) y[i] * ry[i];
	return total;
}

/* ---- The spectral start ---- */

/* x = L^-1 x for each row of x (n x n). */
static void
forward_solve(size_t n, const double *l, double *x)
{
	for (size_t r = 0; r < n; r++)
	{
		for (size_t i = 0; i < n; i++)
		{
			double sum = x[r * n + i];

			for (size_t j = 0; j < i; j++)
				sum -= l[i * n + j] * x[r * n + j];
			x[r * n + i] = sum / l[i * n + i];
		}
	}
}

static void
transpose(size_t n, double *x)
{
	for (size_t i = 0; i < n; i++)
	{
		for (size_t j = 0; j < i; j++)
		{
			double swap = x[i * n + j];

			x[i * n + j] = x[j * n + i];
			x[j * n + i] = swap;
		}
	}
}

/* The size of the largest eigenvalue, whatever its sign, a little too large. */
static double
spectral_radius(size_t n, const double *c, eddh_rng *rng, double *x, double *y)
{
	double radius = 0;

	for (size_t i = 0; i < n; i++)
		x[i] = eddh_rng_normal(rng);
	for (int step = 0; step < POWER_STEPS; step++)
	{
		double norm = 0, length = 0;

		nn_dgemm(false, false, n, 1, n, 1, c, n, x, 1, 0, y, 1);
		for (size_t i = 0; i < n; i++)
		{
			norm += y[i] * y[i];
			length += x[i] * x[i];
		}
		radius = sqrt(norm / (length > 0 ? length : 1));
		for (size_t i = 0; i < n; i++)
			x[i] = norm > 0 ? y[i] / sqrt(norm) : 0;
	}
	return 1.05 * radius;
}

/* Top eigenvector of (K^T R K) a = lambda (K^T K) a, with a^T K^T K a = rows. */
static eddh_code
spectral_start(training *t, eddh_rng *rng, float *a, eddh_error *err)
{
	size_t d = t->dim, l = t->rows;
	double *vector = hash_alloc(2, d, sizeof *vector), value, shift;
	float *small = hash_alloc(d, d, sizeof *small);
	eddh_code code = EDDH_OK;

	if (vector == NULL || small == NULL)
		code = hash_no_memory(err, "a bit");
	if (code == EDDH_OK)
	{
		nn_gemm(false, false, l, d, l, 1, t->r, l, t->k, d, 0, t->product, d);
		nn_gemm(true, false, d, d, l, 1, t->k, d, t->product, d, 0, small, d);
		for (size_t i = 0; i < d; i++)
		{
			for (size_t j = 0; j < d; j++)
				t->c[i * d + j] = 0.5 * ((double) small[i * d + j] + small[j * d + i]);
		}
		/* L^-1 C L^-T, symmetric again. */
		forward_solve(d, t->factor, t->c);
		transpose(d, t->c);
		forward_solve(d, t->factor, t->c);
		shift = spectral_radius(d, t->c, rng, vector, vector + d);
		for (size_t i = 0; i < d; i++)
			t->c[i * d + i] += shift;
		code = hash_eigen_top(d, t->c, 1, eddh_rng_next(rng), &value, vector, t->problem->stop, err);
	}
	/* a = L^-T v, so a^T K^T K a = v^T v = 1 before scaling. */
	for (size_t i = d; code == EDDH_OK && i-- > 0;)
	{
		double sum = vector[i];

		for (size_t j = i + 1; j < d; j++)
			sum -= t->factor[j * d + i] * vector[j];
		vector[i] = sum / t->factor[i * d + i];
	}
	for (size_t i = 0; code == EDDH_OK && i < d; i++)
		a[i] = (float) (sqrt((double) l) * vector[i]);
	free(vector);
	free(small);
	return code;
}

/* ---- Ascent ---- */

/* Nesterov's accelerated ascent with a step found by halving: a is the best seen. */
static eddh_code
ascend(training *t, float *a, eddh_error *err)
{
	size_t d = t->dim;
	float *at = hash_alloc(4, d, sizeof *at), *last = at + d, *gradient = at + 2 * d, *trial = at + 3 * d;
	double momentum = 0, step, value;
	eddh_code code = EDDH_OK;

	if (at == NULL)
		return hash_no_memory(err, "a bit");
	memcpy(at, a, d * sizeof *a);
	memcpy(last, a, d * sizeof *a);
	value = hash_ksh_smooth(t->rows, t->dim, t->k, t->r, a, gradient, t->work);
	step = 0;
	for (size_t i = 0; i < d; i++)
		step += (double) gradient[i] * gradient[i];
	step = step > 0 ? sqrt((double) t->rows / step) / (double) t->rows : 0;
	for (int round = 0; round < ASCENT_STEPS && step > 0; round++)
	{
		double here = hash_ksh_smooth(t->rows, t->dim, t->k, t->r, at, gradient, t->work), length = 0, found, next;
		bool up = false;

		if (round % 16 == 0 && eddh_stopped(t->problem->stop))
		{
			code = eddh_fail(err, EDDH_STOPPED, "stopped");
			break;
		}
		for (size_t i = 0; i < d; i++)
			length += (double) gradient[i] * gradient[i];
		step *= 2;
		found = here;
		for (int halve = 0; halve < 40 && !up; halve++)
		{
			for (size_t i = 0; i < d; i++)
				trial[i] = at[i] + (float) step * gradient[i];
			found = hash_ksh_smooth(t->rows, t->dim, t->k, t->r, trial, NULL, t->work);
			up = found >= here + 0.5 * step * length;
			step = up ? step : step / 2;
		}
		if (!up)
			break;
		next = (1 + sqrt(1 + 4 * momentum * momentum)) / 2;
		for (size_t i = 0; i < d; i++)
		{
			at[i] = trial[i] + (float) ((momentum > 0 ? momentum - 1 : 0) / next) * (trial[i] - last[i]);
			last[i] = trial[i];
		}
		momentum = next;
		if (found > value)
		{
			double gain = found - value;

			value = found;
			memcpy(a, trial, d * sizeof *a);
			if (gain / (double) t->rows <= ASCENT_ENOUGH)
				break;
		}
		else
			break;
	}
	free(at);
	return code;
}

/* ---- Training ---- */

/* Labelled rows at random, their centred inputs, K^T K, and k S. */
static eddh_code
prepare(training *t, const hash_inputs *in, eddh_error *err)
{
	const hash_problem *problem = t->problem;
	const hash_labels *labels = problem->labels;
	size_t d = in->dim, want = (size_t) problem->values[PARAM_ROWS], found = 0;
	uint32_t *order = hash_alloc(problem->rows, 1, sizeof *order);
	float *gram = NULL;
	double trace = 0;
	eddh_rng rng;

	if (order == NULL)
		return hash_no_memory(err, "a sample of rows");
	for (size_t i = 0; i < problem->rows; i++)
	{
		if (!hash_labels_empty(labels, i))
			order[found++] = (uint32_t) i;
	}
	eddh_rng_seed_stream(&rng, problem->seed, UINT64_C(0x4B54));
	eddh_rng_shuffle(&rng, found, order);
	t->rows = found < want ? found : want;
	t->dim = in->dim;
	t->k = hash_alloc(t->rows, d, sizeof *t->k);
	t->mean = hash_alloc(d, 1, sizeof *t->mean);
	t->r = hash_alloc(t->rows, t->rows, sizeof *t->r);
	t->factor = hash_alloc(d, d, sizeof *t->factor);
	t->c = hash_alloc(d, d, sizeof *t->c);
	t->work = hash_alloc(3, t->rows, sizeof *t->work);
	t->product = hash_alloc(t->rows, d, sizeof *t->product);
	gram = hash_alloc(d, d, sizeof *gram);
	if (t->k == NULL || t->mean == NULL || t->r == NULL || t->factor == NULL || t->c == NULL || t->work == NULL ||
		t->product == NULL || gram == NULL)
	{
		free(order);
		free(gram);
		return hash_no_memory(err, "similarities of rows");
	}
	for (size_t i = 0; i < t->rows; i++)
	{
		for (size_t j = 0; j < d; j++)
			t->mean[j] += in->z[order[i] * d + j] / (double) t->rows;
	}
	for (size_t i = 0; i < t->rows; i++)
	{
		for (size_t j = 0; j < d; j++)
			t->k[i * d + j] = (float) (in->z[order[i] * d + j] - t->mean[j]);
		for (size_t j = 0; j < t->rows; j++)
			t->r[i * t->rows + j] =
				hash_labels_share(labels, order[i], labels, order[j]) ? (float) problem->bits : (float) -problem->bits;
	}
	nn_gemm(true, false, d, d, t->rows, 1, t->k, d, t->k, d, 0, gram, d);
	for (size_t i = 0; i < d * d; i++)
		t->factor[i] = gram[i];
	for (size_t i = 0; i < d; i++)
		trace += t->factor[i * d + i];
	for (size_t i = 0; i < d; i++)
		t->factor[i * d + i] += RIDGE * trace / (double) d;
	free(order);
	free(gram);
	if (!isfinite(trace))
		return eddh_fail(err, EDDH_NUMERIC, "features of a row are not finite");
	return hash_cholesky(d, t->factor, err);
}

static eddh_code
learn_bit(training *t, int bit, hash_head *head, eddh_rng *rng, eddh_error *err)
{
	size_t d = t->dim;
	float *a = head->w + bit * d, *refined = hash_alloc(d, 1, sizeof *refined);
	double offset = 0;
	eddh_code code = refined == NULL ? hash_no_memory(err, "a bit") : spectral_start(t, rng, a, err);

	if (code == EDDH_OK)
	{
		memcpy(refined, a, d * sizeof *a);
		code = ascend(t, refined, err);
	}
	if (code == EDDH_OK && binary_value(t, refined) > binary_value(t, a))
		memcpy(a, refined, d * sizeof *a);
	free(refined);
	if (code != EDDH_OK)
		return code;
	(void) binary_value(t, a);
	for (size_t i = 0; i < t->rows; i++)
	{
		for (size_t j = 0; j < t->rows; j++)
			t->r[i * t->rows + j] -= t->work[i] * t->work[j];
	}
	for (size_t j = 0; j < d; j++)
		offset -= a[j] * t->mean[j];
	head->b[bit] = (float) offset;
	return EDDH_OK;
}

static double
residual(const training *t)
{
	double total = 0;

	for (size_t i = 0; i < t->rows * t->rows; i++)
		total += (double) t->r[i] * t->r[i];
	return total / ((double) t->rows * (double) t->rows);
}

static eddh_code
train(const hash_problem *problem, hash_head *head, eddh_error *err)
{
	training t = { .problem = problem };
	hash_inputs in = hash_inputs_of(problem);
	eddh_rng rng;
	eddh_code code = hash_check_labelled(problem, err);

	memset(head, 0, sizeof *head);
	if (code != EDDH_OK)
		return code;
	code = prepare(&t, &in, err);
	if (code == EDDH_OK)
		code = hash_head_create(in.dim, problem->bits, problem->bits, false, head, err);
	eddh_rng_seed_stream(&rng, problem->seed, UINT64_C(0x4B53));
	for (int bit = 0; code == EDDH_OK && bit < problem->bits; bit++)
	{
		if (eddh_stopped(problem->stop))
			code = eddh_fail(err, EDDH_STOPPED, "stopped");
		else
			code = learn_bit(&t, bit, head, &rng, err);
		if (code == EDDH_OK)
		{
			hash_log(problem, "residual", bit + 1, residual(&t) / ((double) problem->bits * problem->bits));
			hash_progress(problem, "train", bit + 1, problem->bits);
		}
	}
	if (code != EDDH_OK)
		hash_head_clear(head);
	training_free(&t);
	return code;
}

const hash_method hash_ksh_method = {
	.name = "ksh",
	.title = "Supervised Hashing with Kernels",
	.paper = "W. Liu, J. Wang, R. Ji, Y.-G. Jiang, S.-F. Chang: Supervised Hashing with Kernels, CVPR 2012",
	.notes =
		"On kernel values of 300 anchors (head anchors, the default) or on the features themselves (head linear); from 2000 labelled rows, whatever the table holds; K'K has a small ridge. The kernel's width is the median distance of anchors, where the authors take the mean squared one.",
	.needs_labels = true,
	.needs_net = false,
	.anchors_standard = 300,
	.params = params,
	.train = train,
};
