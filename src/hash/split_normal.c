/*
 * split_normal.c: fits a normal distribution with one spread left and one right of the mode (EDDH's generalised normal, zeta = 2).
 *
 * For a trial mode t let S_l(t), S_r(t) be the sums of squared deviations left and right of it and L(t) = S_l^(1/3) + S_r^(1/3). The
 * likelihood maximised over both spreads is a decreasing function of L, so the mode is argmin L, and sigma^2 = S^(2/3) L / m. L may have
 * several local minima, so it is evaluated at every order statistic (prefix sums: O(m)) and refined between the best one's neighbours.
 */
#include "hash/split_normal.h"

#include "hash/private.h"

#define NO_DISTANCE 1e-3       /* low at or below this is taken for "no positive distance" */
#define ONE_SIGMA   0.15865525 /* mass of a normal distribution below one standard deviation */

typedef struct sample
{
	size_t m;
	const double *x;      /* ascending */
	const double *sum;    /* m + 1 prefix sums of x - x[0] */
	const double *square; /* of its square */
} sample;

static int
ascending(const void *a, const void *b)
{
	double x = *(const double *) a, y = *(const double *) b;

	return (x > y) - (x < y);
}

/* L at mode t, of which `below` values are smaller. Values are taken relative to x[0], which keeps the differences small. */
static double
criterion(const sample *s, double t, size_t below, double *left, double *right)
{
	double c = t - s->x[0];
	double n = (double) below, rest = (double) (s->m - below);

	*left = fmax(0, s->square[below] - 2 * c * s->sum[below] + n * c * c);
	*right = fmax(0, s->square[s->m] - s->square[below] - 2 * c * (s->sum[s->m] - s->sum[below]) + rest * c * c);
	return cbrt(*left) + cbrt(*right);
}

/* Golden section on [from, to], within which exactly the values up to index `below` lie left. */
static double
refine(const sample *s, double from, double to, size_t below)
{
	const double golden = 0.6180339887498949;
	double left, right;
	double a = to - golden * (to - from), b = from + golden * (to - from);
	double fa = criterion(s, a, below, &left, &right), fb = criterion(s, b, below, &left, &right);

	for (int i = 0; i < 60; i++)
	{
		if (fa <= fb)
		{
			to = b;
			b = a;
			fb = fa;
			a = to - golden * (to - from);
			fa = criterion(s, a, below, &left, &right);
		}
		else
		{
			from = a;
			a = b;
			fa = fb;
			b = from + golden * (to - from);
			fb = criterion(s, b, below, &left, &right);
		}
	}
	return (from + to) / 2;
}

static double
quantile(const sample *s, double p)
{
	double at = p * (double) (s->m - 1);
	size_t i = (size_t) at;

	if (i + 1 >= s->m)
		return s->x[s->m - 1];
	return s->x[i] + (at - (double) i) * (s->x[i + 1] - s->x[i]);
}

static void
fit(const sample *s, hash_split_normal *out)
{
	double best = INFINITY, left = 0, right = 0;
	size_t at = 0;

	for (size_t i = 0; i < s->m; i++)
	{
		double value = criterion(s, s->x[i], i, &left, &right);

		if (value < best)
		{
			best = value;
			at = i;
		}
	}
	out->mode = s->x[at];
	for (int side = 0; side < 2; side++)
	{
		/* Between x[at - 1] and x[at] `at` values are below; between x[at] and x[at + 1] one more. */
		size_t below = at + side;
		double t, value;

		if (below == 0 || below == s->m)
			continue;
		t = refine(s, s->x[below - 1], s->x[below], below);
		value = criterion(s, t, below, &left, &right);
		if (value < best)
		{
			best = value;
			out->mode = t;
		}
	}
	{
		size_t below = 0;

		while (below < s->m && s->x[below] < out->mode)
			below++;
		best = criterion(s, out->mode, below, &left, &right);
	}
	out->sigma_left = sqrt(cbrt(left) * cbrt(left) * best / (double) s->m);
	out->sigma_right = sqrt(cbrt(right) * cbrt(right) * best / (double) s->m);

	out->low = out->mode - out->sigma_left;
	out->high = out->mode + out->sigma_right;
	out->guarded_low = !(out->low > NO_DISTANCE);
	out->guarded_high = !(out->sigma_right > 0);
	if (out->guarded_low)
		out->low = fmax(quantile(s, ONE_SIGMA), NO_DISTANCE);
	if (out->guarded_high)
		out->high = quantile(s, 1 - ONE_SIGMA);
	out->high = fmax(out->high, out->low);
	out->alpha = out->low * exp(1);
	out->beta = out->high / exp(1);
}

eddh_code
hash_split_normal_fit(size_t m, double *x, hash_split_normal *out, eddh_error *err)
{
	sample s = { .m = m, .x = x };
	double *sum, *square;

	if (m < 2)
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "the distribution of distances needs two of them, not %zu", m);
	for (size_t i = 0; i < m; i++)
	{
		if (!isfinite(x[i]))
			return eddh_fail(err, EDDH_NUMERIC, "a distance between features is not a number");
	}
	sum = hash_alloc(m + 1, 1, sizeof *sum);
	square = hash_alloc(m + 1, 1, sizeof *square);
	if (sum == NULL || square == NULL)
	{
		free(sum);
		free(square);
		return hash_no_memory(err, "the distribution of distances");
	}
	qsort(x, m, sizeof *x, ascending);
	for (size_t i = 0; i < m; i++)
	{
		double v = x[i] - x[0];

		sum[i + 1] = sum[i] + v;
		square[i + 1] = square[i] + v * v;
	}
	s.sum = sum;
	s.square = square;
	fit(&s, out);
	free(sum);
	free(square);
	return EDDH_OK;
}
