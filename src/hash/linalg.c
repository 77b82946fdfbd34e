/* linalg.c: see linalg.h. */
#include "hash/linalg.h"

#include "hash/private.h"
#include "nn/gemm.h"

#include <float.h>
#include <string.h>

#define FACTORED ((size_t) 64) /* columns of a triangle at a time */

static inline double
dot(size_t n, const double *a, const double *b)
{
	double lane[4] = { 0 };
	size_t i = 0;

	for (; i + 4 <= n; i += 4)
	{
		for (int l = 0; l < 4; l++)
			lane[l] += a[i + l] * b[i + l];
	}
	for (; i < n; i++)
		lane[0] += a[i] * b[i];
	return (lane[0] + lane[1]) + (lane[2] + lane[3]);
}

static inline void
add_scaled(size_t n, double s, const double *restrict x, double *restrict y)
{
	for (size_t i = 0; i < n; i++)
		y[i] += s * x[i];
}

eddh_code
hash_cholesky(size_t n, double *a, eddh_error *err)
{
	for (size_t first = 0; first < n; first += FACTORED)
	{
		size_t end = n - first < FACTORED ? n : first + FACTORED;

		for (size_t i = first; i < end; i++)
		{
			double *ai = a + i * n;

			for (size_t j = first; j < i; j++)
				ai[j] = (ai[j] - dot(j, ai, a + j * n)) / a[j * n + j];
			ai[i] -= dot(i, ai, ai);
			if (!(ai[i] > 0) || !isfinite(ai[i]))
				return eddh_fail(err, EDDH_NUMERIC, "a matrix of %zu rows is not positive definite (pivot %zu is %g)",
								 n, i + 1, ai[i]);
			ai[i] = sqrt(ai[i]);
		}
		/* What the columns before have to do with these, for all rows below in one product. */
		nn_dgemm(false, true, n - end, end - first, first, -1, a + end * n, n, a + first * n, n, 1, a + end * n + first,
				 n);
		for (size_t i = end; i < n; i++)
			for (size_t j = first; j < end; j++)
				a[i * n + j] = (a[i * n + j] - dot(j - first, a + i * n + first, a + j * n + first)) / a[j * n + j];
	}
	return EDDH_OK;
}

void
hash_cholesky_forward(size_t n, const double *l, size_t rows, double *x)
{
	for (size_t r = 0; r < rows; r++)
	{
		double *y = x + r * n;

		for (size_t i = 0; i < n; i++)
			y[i] = (y[i] - dot(i, l + i * n, y)) / l[i * n + i];
	}
}

void
hash_cholesky_backward(size_t n, const double *l, size_t rows, double *x)
{
	for (size_t r = 0; r < rows; r++)
	{
		double *y = x + r * n;

		for (size_t i = n; i-- > 0;)
		{
			y[i] /= l[i * n + i];
			add_scaled(i, -y[i], l + i * n, y);
		}
	}
}

void
hash_cholesky_solve(size_t n, const double *l, size_t rows, double *x)
{
	hash_cholesky_forward(n, l, rows, x);
	hash_cholesky_backward(n, l, rows, x);
}

void
hash_orthonormalise(size_t n, size_t k, double *a, eddh_rng *rng)
{
	for (size_t i = 0; i < k; i++)
	{
		double *ai = a + i * n;
		double before = sqrt(dot(n, ai, ai)), after;

		for (;;)
		{
			/* Twice is enough (Kahan, Parlett): what one pass leaves is at the level of rounding. */
			for (int pass = 0; pass < 2; pass++)
			{
				for (size_t j = 0; j < i; j++)
					add_scaled(n, -dot(n, ai, a + j * n), a + j * n, ai);
			}
			after = sqrt(dot(n, ai, ai));
			if (after > 1e-10 * before && after > DBL_MIN)
				break;
			for (size_t j = 0; j < n; j++)
				ai[j] = eddh_rng_normal(rng);
			before = sqrt(dot(n, ai, ai));
		}
		for (size_t j = 0; j < n; j++)
			ai[j] /= after;
	}
}

/* ---- Symmetric eigenproblem ---- */

/* a becomes tridiagonal (diagonal d, below it e[0..n-2]); q (n x n) gets the rows of Q^T where a = Q T Q^T. */
static void
tridiagonalise(size_t n, double *a, double *d, double *e, double *q, double *work)
{
	double *p = work, *tau = work + n;

	for (size_t j = 0; j + 2 < n; j++)
	{
		size_t m = n - j - 1;
		double *v = q + j * n; /* the reflector waits in row j of q until q is formed */
		double norm, alpha;

		for (size_t i = 0; i < m; i++)
			v[i] = a[(j + 1 + i) * n + j];
		norm = sqrt(dot(m, v, v));
		alpha = v[0] > 0 ? -norm : norm;
		v[0] -= alpha;
		tau[j] = norm > 0 ? 2 / dot(m, v, v) : 0;
		e[j] = alpha;
		if (tau[j] == 0)
			continue;
		for (size_t i = 0; i < m; i++)
			p[i] = tau[j] * dot(m, a + (j + 1 + i) * n + j + 1, v);
		add_scaled(m, -tau[j] / 2 * dot(m, p, v), v, p);
		for (size_t i = 0; i < m; i++)
		{
			double *row = a + (j + 1 + i) * n + j + 1;
			double vi = v[i], pi = p[i];

			for (size_t l = 0; l < m; l++)
				row[l] -= vi * p[l] + pi * v[l];
		}
	}
	for (size_t i = 0; i < n; i++)
		d[i] = a[i * n + i];
	if (n >= 2)
		e[n - 2] = a[(n - 1) * n + n - 2];

	/* Q = H_0 H_1 ..., so Q^T = ... H_1 H_0: applied from the right to the identity, last reflector first; it touches columns > j only. */
	for (size_t i = n >= 2 ? n - 2 : 0; i < n; i++)
	{
		memset(q + i * n, 0, n * sizeof *q);
		q[i * n + i] = 1;
	}
	for (size_t j = n >= 2 ? n - 2 : 0; j-- > 0;)
	{
		size_t m = n - j - 1;

		memcpy(p, q + j * n, m * sizeof *p);
		memset(q + j * n, 0, n * sizeof *q);
		q[j * n + j] = 1;
		for (size_t i = j + 1; i < n; i++)
		{
			double *row = q + i * n + j + 1;

			add_scaled(m, -tau[j] * dot(m, row, p), p, row);
		}
	}
}

/* Implicit QL with Wilkinson's shift on the tridiagonal (d, e); the same rotations on the rows of q. */
static eddh_code
tridiagonal_ql(size_t n, double *d, double *e, double *q, eddh_error *err)
{
	double norm = 0;

	if (n > 0)
		e[n - 1] = 0;
	for (size_t l = 0; l < n; l++)
	{
		/* As EISPACK's tql2: below the rounding of what is larger nothing is left to find, and where the rank is low, noise never shrinks beside noise. */
		norm = fmax(norm, fabs(d[l]) + fabs(e[l]));
		for (int iteration = 0;; iteration++)
		{
			size_t m = l;
			double g, r, s = 1, c = 1, p = 0;
			bool split = false;

			while (m + 1 < n && fabs(e[m]) > DBL_EPSILON * fmax(norm, fabs(d[m]) + fabs(d[m + 1])))
				m++;
			if (m == l)
				break;
			if (iteration == 60)
				return eddh_fail(err, EDDH_NUMERIC, "eigenvalues of a matrix of %zu rows did not converge", n);
			g = (d[l + 1] - d[l]) / (2 * e[l]);
			g = d[m] - d[l] + e[l] / (g + copysign(hypot(g, 1), g));
			for (size_t i = m; i-- > l;)
			{
				double f = s * e[i], b = c * e[i];
				double *qi = q + i * n, *qj = q + (i + 1) * n;

				r = hypot(f, g);
				e[i + 1] = r;
				if (r == 0)
				{
					d[i + 1] -= p;
					e[m] = 0;
					split = true;
					break;
				}
				s = f / r;
				c = g / r;
				g = d[i + 1] - p;
				r = (d[i] - g) * s + 2 * c * b;
				p = s * r;
				d[i + 1] = g + p;
				g = c * r - b;
				for (size_t j = 0; j < n; j++)
				{
					double x = qi[j], y = qj[j];

					qj[j] = s * x + c * y;
					qi[j] = c * x - s * y;
				}
			}
			if (split)
				continue;
			d[l] -= p;
			e[l] = g;
			e[m] = 0;
		}
	}
	return EDDH_OK;
}

/* Selection sort: n exchanges of rows at most. */
static void
sort_descending(size_t n, double *values, double *v)
{
	for (size_t i = 0; i < n; i++)
	{
		size_t top = i;
		double held;

		for (size_t j = i + 1; j < n; j++)
		{
			if (values[j] > values[top])
				top = j;
		}
		if (top == i)
			continue;
		held = values[i];
		values[i] = values[top];
		values[top] = held;
		for (size_t j = 0; j < n; j++)
		{
			held = v[i * n + j];
			v[i * n + j] = v[top * n + j];
			v[top * n + j] = held;
		}
	}
}

eddh_code
hash_eigen(size_t n, double *a, double *values, double *v, eddh_error *err)
{
	double *work = hash_alloc(n, 3, sizeof *work);
	eddh_code code;

	if (work == NULL)
		return hash_no_memory(err, "eigenvalues");
	tridiagonalise(n, a, values, work, v, work + n);
	code = tridiagonal_ql(n, values, work, v, err);
	free(work);
	if (code == EDDH_OK)
		sort_descending(n, values, v);
	return code;
}

/* ---- The largest eigenvalues of a large matrix ---- */

/* Orthonormal rows by two passes of Cholesky QR (gemm speed); Gram-Schmidt where the vectors are too nearly dependent for that. */
static void
orthonormalise_block(size_t n, size_t p, double *v, double *scratch, double *gram, double *inverse, eddh_rng *rng)
{
	for (int pass = 0; pass < 2; pass++)
	{
		for (size_t i = 0; i < p; i++)
		{
			double norm = sqrt(dot(n, v + i * n, v + i * n));

			for (size_t j = 0; j < n && norm > 0; j++)
				v[i * n + j] /= norm;
		}
		nn_dgemm(false, true, p, p, n, 1, v, n, v, n, 0, gram, p);
		if (hash_cholesky(p, gram, NULL) != EDDH_OK)
			break;
		memset(inverse, 0, p * p * sizeof *inverse);
		for (size_t i = 0; i < p; i++)
		{
			double *row = inverse + i * p;

			for (size_t j = 0; j < i; j++)
				add_scaled(j + 1, -gram[i * p + j], inverse + j * p, row);
			row[i] = 1;
			for (size_t j = 0; j <= i; j++)
				row[j] /= gram[i * p + i];
		}
		nn_dgemm(false, false, p, n, p, 1, inverse, p, v, n, 0, scratch, n);
		memcpy(v, scratch, p * n * sizeof *v);
		if (pass == 1)
			return;
	}
	hash_orthonormalise(n, p, v, rng);
}

/* Rotates the orthonormal rows of v to Ritz vectors of a; av = v a on entry, destroyed. */
static eddh_code
rayleigh_ritz(size_t n, size_t p, double *v, double *av, double *gram, double *ritz, double *values, eddh_error *err)
{
	eddh_code code;

	nn_dgemm(false, true, p, p, n, 1, av, n, v, n, 0, gram, p);
	for (size_t i = 0; i < p; i++)
	{
		for (size_t j = 0; j < i; j++)
			gram[i * p + j] = gram[j * p + i] = (gram[i * p + j] + gram[j * p + i]) / 2;
	}
	code = hash_eigen(p, gram, values, ritz, err);
	if (code != EDDH_OK)
		return code;
	nn_dgemm(false, false, p, n, p, 1, ritz, p, v, n, 0, av, n);
	memcpy(v, av, p * n * sizeof *v);
	return EDDH_OK;
}

static eddh_code
eigen_top_dense(size_t n, const double *a, size_t k, double *values, double *v, eddh_error *err)
{
	double *copy = hash_alloc(n, n, sizeof *copy);
	double *vectors = hash_alloc(n, n, sizeof *vectors);
	double *all = hash_alloc(n, 1, sizeof *all);
	eddh_code code = EDDH_OK;

	if (copy == NULL || vectors == NULL || all == NULL)
		code = hash_no_memory(err, "eigenvalues");
	else
	{
		memcpy(copy, a, n * n * sizeof *copy);
		code = hash_eigen(n, copy, all, vectors, err);
	}
	if (code == EDDH_OK)
	{
		memcpy(values, all, k * sizeof *values);
		memcpy(v, vectors, k * n * sizeof *v);
	}
	free(copy);
	free(vectors);
	free(all);
	return code;
}

eddh_code
hash_eigen_top(size_t n, const double *a, size_t k, uint64_t seed, double *values, double *v, const eddh_stop *stop,
			   eddh_error *err)
{
	const int sweeps = 60, every = 4;
	size_t p = k + (k / 4 > 16 ? k / 4 : 16);
	double *block, *next, *gram, *ritz, *all;
	double last = 0;
	eddh_rng rng;
	eddh_code code = EDDH_OK;

	if (n <= 256 || 2 * p >= n)
		return eigen_top_dense(n, a, k, values, v, err);
	block = hash_alloc(p, n, sizeof *block);
	next = hash_alloc(p, n, sizeof *next);
	gram = hash_alloc(p, p, sizeof *gram);
	ritz = hash_alloc(p, p, sizeof *ritz);
	all = hash_alloc(p, 1, sizeof *all);
	if (block == NULL || next == NULL || gram == NULL || ritz == NULL || all == NULL)
		code = hash_no_memory(err, "principal components");
	else
	{
		eddh_rng_seed_stream(&rng, seed, UINT64_C(0xE16E));
		for (size_t i = 0; i < p * n; i++)
			block[i] = eddh_rng_normal(&rng);
		orthonormalise_block(n, p, block, next, gram, ritz, &rng);
	}
	for (int sweep = 1; code == EDDH_OK; sweep++)
	{
		double sum = 0;

		if (eddh_stopped(stop))
		{
			code = eddh_fail(err, EDDH_STOPPED, "stopped");
			break;
		}
		nn_dgemm(false, false, p, n, n, 1, block, n, a, n, 0, next, n);
		if (sweep % every != 0)
		{
			memcpy(block, next, p * n * sizeof *block);
			orthonormalise_block(n, p, block, next, gram, ritz, &rng);
			continue;
		}
		code = rayleigh_ritz(n, p, block, next, gram, ritz, all, err);
		for (size_t i = 0; i < k; i++)
			sum += all[i];
		if (sweep >= sweeps || fabs(sum - last) <= 1e-9 * fabs(sum))
			break;
		last = sum;
	}
	if (code == EDDH_OK)
	{
		memcpy(values, all, k * sizeof *values);
		memcpy(v, block, k * n * sizeof *v);
	}
	free(block);
	free(next);
	free(gram);
	free(ritz);
	free(all);
	return code;
}

/* ---- Procrustes ---- */

/* Through the eigenvectors of m^T m: slower, and right for any m, also of deficient rank. */
static eddh_code
rotation_by_eigen(size_t n, const double *m, double *r, double *gram, double *v, double *u, eddh_rng *rng,
				  eddh_error *err)
{
	double *values = hash_alloc(n, 1, sizeof *values);
	eddh_code code;

	if (values == NULL)
		return hash_no_memory(err, "a rotation");
	nn_dgemm(true, false, n, n, n, 1, m, n, m, n, 0, gram, n);
	code = hash_eigen(n, gram, values, v, err);
	free(values);
	if (code != EDDH_OK)
		return code;
	nn_dgemm(false, true, n, n, n, 1, v, n, m, n, 0, u, n);
	hash_orthonormalise(n, n, u, rng);
	nn_dgemm(true, false, n, n, n, 1, u, n, v, n, 0, r, n);
	return EDDH_OK;
}

eddh_code
hash_nearest_rotation(size_t n, const double *m, double *r, eddh_rng *rng, eddh_error *err)
{
	double *gram = hash_alloc(n, n, sizeof *gram);
	double *next = hash_alloc(n, n, sizeof *next);
	double *more = hash_alloc(n, n, sizeof *more);
	double rows = 0, columns = 0;
	bool done = false;
	eddh_code code = EDDH_OK;

	if (gram == NULL || next == NULL || more == NULL)
	{
		code = hash_no_memory(err, "a rotation");
		goto end;
	}
	/* The spectral norm is at most the root of the largest row sum times the largest column sum. */
	for (size_t i = 0; i < n; i++)
	{
		double row = 0, column = 0;

		for (size_t j = 0; j < n; j++)
		{
			row += fabs(m[i * n + j]);
			column += fabs(m[j * n + i]);
		}
		rows = fmax(rows, row);
		columns = fmax(columns, column);
	}
	if (!isfinite(rows))
	{
		code = eddh_fail(err, EDDH_NUMERIC, "a rotation cannot be found for a matrix that is not finite");
		goto end;
	}
	for (size_t i = 0; i < n * n && rows > 0; i++)
		r[i] = m[i] / sqrt(rows * columns);
	/* Newton-Schulz towards the orthogonal polar factor: singular values s go to s (3 - s^2) / 2, all to 1. Products only. */
	for (int step = 0; step < 60 && rows > 0; step++)
	{
		double off = 0;

		nn_dgemm(true, false, n, n, n, 1, r, n, r, n, 0, gram, n);
		for (size_t i = 0; i < n * n; i++)
		{
			double identity = i % (n + 1) == 0 ? 1 : 0;

			off += (gram[i] - identity) * (gram[i] - identity);
		}
		if (off <= 1e-25 * (double) n)
		{
			done = true;
			break;
		}
		nn_dgemm(false, false, n, n, n, -0.5, r, n, gram, n, 0, next, n);
		for (size_t i = 0; i < n * n; i++)
			r[i] = 1.5 * r[i] + next[i];
	}
	if (!done)
		code = rotation_by_eigen(n, m, r, gram, next, more, rng, err);
end:
	free(gram);
	free(next);
	free(more);
	return code;
}
