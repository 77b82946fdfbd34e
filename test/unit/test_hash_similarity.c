/* test_hash_similarity.c: S_hat in tiles, its sums and products, against the dense matrix by the formula in double. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hash_toy.h"

#include "hash/similarity.h"

#define ROWS    157
#define DIM     13
#define CLASSES 5
#define ALPHA   1.3
#define BETA    0.35

typedef struct dense
{
	hash_labels *labels;
	float *z;
	double *s; /* ROWS x ROWS */
	size_t active;
	double square, positive, negative;
	double m[ROWS][CLASSES];
} dense;

static double
distance(const float *a, const float *b)
{
	double ab = 0, aa = 0, bb = 0;

	for (int j = 0; j < DIM; j++)
	{
		ab += (double) a[j] * b[j];
		aa += (double) a[j] * a[j];
		bb += (double) b[j] * b[j];
	}
	return aa == 0 || bb == 0 ? 1 : fmax(0, 1 - ab / sqrt(aa * bb));
}

static bool
labelled(const dense *d, size_t row)
{
	return d->labels->bitmap[row] != 0;
}

static void
dense_make(dense *d, bool several, hash_balance balance)
{
	double row_mean[ROWS] = { 0 }, mean = 0, n, ratio;

	memset(d, 0, sizeof *d);
	d->labels = toy_labels(ROWS, CLASSES, several, 10, 4);
	d->z = toy_features(ROWS, DIM, d->labels, 1.5, 8);
	memset(d->z + 20 * DIM, 0, DIM * sizeof *d->z); /* a feature of length zero */
	d->s = calloc((size_t) ROWS * ROWS, sizeof *d->s);
	for (size_t i = 0; i < ROWS; i++)
		d->active += labelled(d, i);
	n = (double) d->active;
	for (size_t i = 0; i < ROWS; i++)
	{
		for (size_t j = 0; j < ROWS; j++)
		{
			double x = i == j ? 0 : distance(d->z + i * DIM, d->z + j * DIM), e;

			if (!labelled(d, i) || !labelled(d, j))
				continue;
			if (hash_labels_share(d->labels, i, d->labels, j))
				e = log((ALPHA + 1 / n) / (x + 1 / n));
			else
				e = log((x + 1 / n) / (BETA + 1 / n));
			e = 1 + fmin(1, fmax(0, e));
			d->s[i * ROWS + j] = hash_labels_share(d->labels, i, d->labels, j) ? e : -e;
			*(d->s[i * ROWS + j] > 0 ? &d->positive : &d->negative) += d->s[i * ROWS + j];
			row_mean[i] += d->s[i * ROWS + j] / n;
			mean += d->s[i * ROWS + j] / n / n;
		}
	}
	ratio = balance == HASH_BALANCE_RATIO ? d->positive / -d->negative : 1;
	for (size_t i = 0; i < ROWS; i++)
	{
		for (size_t j = 0; j < ROWS; j++)
		{
			double *s = &d->s[i * ROWS + j];

			if (*s < 0)
				*s *= ratio;
			if (balance == HASH_BALANCE_CENTER && labelled(d, i) && labelled(d, j))
				*s += mean - row_mean[i] - row_mean[j];
			d->square += *s * *s;
			for (int c = 0; c < CLASSES; c++)
				d->m[i][c] += d->labels->bitmap[j] >> c & 1 ? *s : 0;
		}
	}
}

static void
dense_free(dense *d)
{
	hash_labels_free(d->labels);
	free(d->z);
	free(d->s);
}

static void
equals_dense(bool several, hash_balance balance, bool keep)
{
	const double entry = keep ? 0.0021 : 2e-6; /* 8 bits, or float */
	const int k = 6;
	hash_similarity_options options = { .balance = balance, .alpha = ALPHA, .beta = BETA, .seed = 1, .keep = keep };
	hash_similarity *s;
	float *tile, *f = malloc(ROWS * k * sizeof *f), *spread = malloc(ROWS * k * sizeof *spread);
	double *p, *gather, loss = 0;
	eddh_error err;
	eddh_rng rng;
	dense d;

	dense_make(&d, several, balance);
	assert_ok(hash_similarity_create(ROWS, DIM, d.z, d.labels, &options, NULL, &s, &err));
	assert_int_equal(s->active, d.active);
	assert_int_equal(s->columns, d.active);
	assert_near(s->positive, d.positive, entry * d.positive);
	assert_near(s->negative, d.negative, -entry * d.negative);
	assert_near(s->square, d.square, entry * d.square);

	tile = malloc(ROWS * s->columns * sizeof *tile);
	assert_ok(hash_similarity_tile(s, 0, ROWS, tile, &err));
	for (size_t i = 0; i < ROWS; i++)
	{
		for (size_t j = 0; j < s->columns; j++)
			assert_near(tile[i * s->columns + j], d.s[i * ROWS + s->column[j]], entry * 1.5);
		for (int c = 0; c < CLASSES; c++)
			assert_near(s->class_sums[i * CLASSES + c], d.m[i][c], entry * ROWS);
	}

	/* Products, with the tile's own entries: nothing but the order of sums may differ. */
	eddh_rng_seed(&rng, 3);
	p = malloc(s->columns * k * sizeof *p);
	gather = malloc(s->columns * k * sizeof *gather);
	for (size_t i = 0; i < (size_t) ROWS * k; i++)
		f[i] = (float) eddh_rng_normal(&rng);
	for (size_t i = 0; i < s->columns * k; i++)
		p[i] = eddh_rng_normal(&rng);
	assert_ok(hash_similarity_gather(s, k, f, gather, NULL, &err));
	assert_ok(hash_similarity_spread(s, k, p, spread, NULL, &err));
	for (int b = 0; b < k; b++)
	{
		for (size_t j = 0; j < s->columns; j++)
		{
			double sum = 0;

			for (size_t i = 0; i < ROWS; i++)
				sum += tile[i * s->columns + j] * (double) f[i * k + b];
			assert_near(gather[j * k + b], sum, 1e-10);
		}
		for (size_t i = 0; i < ROWS; i++)
		{
			double sum = 0;

			for (size_t j = 0; j < s->columns; j++)
				sum += tile[i * s->columns + j] * s->weight[j] * p[j * k + b];
			assert_near(spread[i * k + b], sum, 1e-5 * (1 + fabs(sum)));
		}
	}

	/* What is stored at 8 bits must be the S that M was summed from, or objective and gradient would speak of two matrices. */
	for (size_t i = 0; i < ROWS; i++)
	{
		double sums[CLASSES] = { 0 };

		for (size_t j = 0; j < s->columns; j++)
		{
			loss += (double) tile[i * s->columns + j] * tile[i * s->columns + j];
			for (int c = 0; c < CLASSES; c++)
				sums[c] += d.labels->bitmap[s->column[j]] >> c & 1 ? tile[i * s->columns + j] : 0;
		}
		for (int c = 0; c < CLASSES; c++)
			assert_near(s->class_sums[i * CLASSES + c], sums[c], 1e-4);
	}
	assert_near(s->square, loss, 1e-5 * loss);
	hash_similarity_free(s);
	free(tile);
	free(f);
	free(p);
	free(gather);
	free(spread);
	dense_free(&d);
}

static void
tiles_equal_the_dense_matrix(void **state)
{
	for (int several = 0; several <= 1; several++)
	{
		for (int balance = HASH_BALANCE_NONE; balance <= HASH_BALANCE_CENTER; balance++)
		{
			equals_dense(several, balance, false);
			equals_dense(several, balance, true);
		}
	}
}

/* The mean of M over many samples is M. */
static void
samples_are_unbiased(void **state)
{
	const int draws = 600;

	for (int several = 0; several <= 1; several++)
	{
		double mean[ROWS][CLASSES] = { 0 }, squares = 0, square = 0, error = 0, count = 0;
		eddh_error err;
		dense d;

		dense_make(&d, several, HASH_BALANCE_NONE);
		for (int draw = 0; draw < draws; draw++)
		{
			hash_similarity_options options = { .alpha = ALPHA, .beta = BETA, .sample = 50, .seed = draw };
			double weights = 0;
			hash_similarity *s;

			assert_ok(hash_similarity_create(ROWS, DIM, d.z, d.labels, &options, NULL, &s, &err));
			assert_in_range(s->columns, 42, 58);
			for (size_t j = 0; j < s->columns; j++)
			{
				weights += s->weight[j];
				assert_true(labelled(&d, s->column[j]));
			}
			assert_near(weights, d.active, 1e-9);
			for (size_t i = 0; i < ROWS; i++)
			{
				for (int c = 0; c < CLASSES; c++)
				{
					mean[i][c] += s->class_sums[i * CLASSES + c] / draws;
					squares += pow(s->class_sums[i * CLASSES + c] - d.m[i][c], 2) / draws;
				}
			}
			square += s->square / draws;
			hash_similarity_free(s);
		}
		assert_near(square, d.square, 0.005 * d.square);
		for (size_t i = 0; i < ROWS; i++)
		{
			for (int c = 0; c < CLASSES; c++)
			{
				error += pow(mean[i][c] - d.m[i][c], 2);
				count++;
			}
		}
		/* Without bias the mean's squared error is the variance over draws; a bias would add to it. Entries share draws: a wide margin. */
		assert_true(error < 3 * squares / draws);
		assert_true(squares > 0);
		dense_free(&d);
	}
}

/* Thresholds see the distribution of the pairs: alpha / e below, beta e above the mode, and known distances come back. */
static void
thresholds_come_from_the_pairs(void **state)
{
	hash_labels *labels = toy_labels(2000, 4, false, 0, 2);
	float *z = toy_features(2000, DIM, labels, 0.5, 3);
	hash_split_normal fit, again;
	eddh_error err;

	assert_ok(hash_similarity_thresholds(2000, DIM, z, labels, 11, &fit, &err));
	assert_ok(hash_similarity_thresholds(2000, DIM, z, labels, 11, &again, &err));
	assert_true(fit.mode == again.mode && fit.alpha == again.alpha && fit.beta == again.beta);
	assert_near(fit.alpha, fit.low * exp(1), 1e-12);
	assert_near(fit.beta, fit.high / exp(1), 1e-12);
	assert_true(fit.low > 0 && fit.low <= fit.mode && fit.mode <= fit.high && fit.high <= 1);

	/* One class only: similar pairs alone still give a fit. Identical features give no pairs at all: an error, not a hang. */
	hash_labels_free(labels);
	labels = toy_labels(2000, 1, false, 0, 2);
	assert_ok(hash_similarity_thresholds(2000, DIM, z, labels, 11, &fit, &err));
	for (int i = 0; i < 2000 * DIM; i++)
		z[i] = 1;
	assert_int_equal(hash_similarity_thresholds(2000, DIM, z, labels, 11, &fit, &err), EDDH_BAD_ARGUMENT);
	free(z);
	hash_labels_free(labels);
}

static bool
always(void *arg)
{
	return true;
}

static void
bad_features_are_refused(void **state)
{
	const eddh_stop stop = { .poll = always };
	hash_similarity_options options = { .alpha = ALPHA, .beta = BETA };
	hash_similarity *s;
	eddh_error err;
	dense d;

	dense_make(&d, false, HASH_BALANCE_NONE);
	assert_int_equal(hash_similarity_create(ROWS, DIM, d.z, d.labels, &options, &stop, &s, &err), EDDH_STOPPED);
	assert_null(s);
	d.z[33 * DIM + 2] = NAN;
	assert_int_equal(hash_similarity_create(ROWS, DIM, d.z, d.labels, &options, NULL, &s, &err), EDDH_NUMERIC);
	assert_non_null(strstr(err.message, "row 33"));
	dense_free(&d);
}

/* Without looks S_hat is S, whatever the distances: 0 and 2 are the nearest and the farthest there are. */
static void
labels_alone_give_plus_and_minus_one(void **state)
{
	hash_similarity_options options = { .alpha = HASH_SIMILARITY_LABELS_ALPHA, .beta = HASH_SIMILARITY_LABELS_BETA };
	float *tile = malloc(ROWS * ROWS * sizeof *tile);
	hash_similarity *s;
	eddh_error err;
	dense d;

	dense_make(&d, true, HASH_BALANCE_NONE);
	assert_ok(hash_similarity_create(ROWS, DIM, d.z, d.labels, &options, NULL, &s, &err));
	assert_ok(hash_similarity_tile(s, 0, ROWS, tile, &err));
	for (size_t i = 0; i < ROWS; i++)
	{
		for (size_t j = 0; j < s->columns; j++)
		{
			bool empty = !hash_labels_share(d.labels, i, d.labels, i);
			bool share = hash_labels_share(d.labels, i, d.labels, s->column[j]);

			assert_near(tile[i * s->columns + j], empty ? 0 : share ? 1 : -1, 1e-6);
		}
	}
	free(tile);
	hash_similarity_free(s);
	dense_free(&d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tiles_equal_the_dense_matrix),         cmocka_unit_test(samples_are_unbiased),
		cmocka_unit_test(thresholds_come_from_the_pairs),       cmocka_unit_test(bad_features_are_refused),
		cmocka_unit_test(labels_alone_give_plus_and_minus_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
