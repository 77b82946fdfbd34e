/*
 * test_hash_deep.c: methods that train a network: gradients equal finite differences, discrete steps never raise their objective, and each learns
 * with a linear hash layer, from one label a row and from several, with rows that have none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hash_toy.h"

#include "hash/adsh.h"
#include "hash/cnnh.h"
#include "hash/ddsh.h"
#include "hash/dhn.h"
#include "hash/measure.h"
#include "hash/orthohash.h"
#include "hash/pairs.h"
#include "hash/private.h"

#define ROWS    400
#define DIM     24
#define BITS    16
#define CLASSES 5
#define BATCH   50

#include "hash_toy_net.h"

static eddh_code
learn(const char *name, const hash_labels *labels, const float *z, int poison, toy_net *net, eddh_error *err)
{
	const hash_method *method = hash_method_find(name);
	hash_net hooks = { .ctx = net, .epoch = toy_epoch, .outputs = toy_outputs };
	double values[8];
	hash_problem problem = { .rows = ROWS,
							 .dim = DIM,
							 .bits = BITS,
							 .features = z,
							 .labels = labels,
							 .net = &hooks,
							 .seed = 4,
							 .epochs = 24,
							 .values = values };
	hash_head head;
	eddh_code code;

	toy_net_init(net, z, 0.9, 6);
	net->poison = poison;
	for (int i = 0; i < hash_param_count(method); i++)
		values[i] = method->params[i].standard;
	code = method->train(&problem, &head, err);
	assert_null(head.w);
	return code;
}

static const char *const names[] = { "cnnh", "dhn", "ddsh", "dph", "adsh", "orthohash" };

static void
every_deep_method_learns(void **state)
{
	for (size_t m = 0; m < sizeof names / sizeof names[0]; m++)
	{
		for (int several = 0; several < 2; several++)
		{
			hash_labels *labels = toy_labels(ROWS, CLASSES, several, 0, 3);
			float *z = toy_features(ROWS, DIM, labels, 0.6, 5);
			toy_net net, again;
			eddh_error err;
			double map, least;

			assert_ok(learn(names[m], labels, z, 0, &net, &err));
			assert_int_equal(net.epochs, 24);
			assert_ok(learn(names[m], labels, z, 0, &again, &err));
			assert_memory_equal(net.w, again.w, sizeof net.w);
			map = toy_net_quality(&net, labels).map;
			if (getenv("EDDH_TEST_VERBOSE") != NULL)
				printf("%s several %d: mAP %.3f\n", names[m], several, map);
			/* Chance is about 0.2, with several labels 0.57; DHN's sigmoid learns least here. */
			least = several ? 0.72 : strcmp(names[m], "dhn") == 0 ? 0.72 : 0.85;
			if (!(map > least))
				fail_msg("%s, several %d: mAP %.3f", names[m], several, map);
			free(z);
			hash_labels_free(labels);
		}
	}
}

static void
rows_without_labels_and_bad_networks(void **state)
{
	hash_labels *labels = toy_labels(ROWS, CLASSES, false, 7, 3), *several = toy_labels(ROWS, CLASSES, true, 7, 3);
	float *z = toy_features(ROWS, DIM, labels, 0.6, 5);
	eddh_error err;

	for (size_t m = 0; m < sizeof names / sizeof names[0]; m++)
	{
		toy_net net;

		assert_ok(learn(names[m], labels, z, 0, &net, &err));
		assert_ok(learn(names[m], several, z, 0, &net, &err));
		for (int i = 0; i < BITS * DIM; i++)
			assert_true(isfinite(net.w[i]));
		assert_int_equal(learn(names[m], labels, z, 3, &net, &err), EDDH_NUMERIC);
		assert_int_equal(learn(names[m], NULL, z, 0, &net, &err), EDDH_BAD_ARGUMENT);
	}
	free(z);
	hash_labels_free(labels);
	hash_labels_free(several);
}

/* ---- Gradients ---- */

typedef double (*loss_of)(void *arg, int n, const uint32_t *rows, const float *u, float *du);

static void
check_gradient(const char *what, loss_of loss, void *arg, int n, const uint32_t *rows, float *u)
{
	float du[8 * BITS], ignored[8 * BITS];
	double largest = 0;

	(void) loss(arg, n, rows, u, du);
	for (int i = 0; i < n * BITS; i++)
		largest = fmax(largest, fabs(du[i]));
	assert_true(largest > 0);
	for (int i = 0; i < n * BITS; i++)
	{
		float was = u[i];
		double up, down, h;

		u[i] = was + 1e-3f;
		h = u[i];
		up = loss(arg, n, rows, u, ignored);
		u[i] = was - 1e-3f;
		h -= u[i];
		down = loss(arg, n, rows, u, ignored);
		u[i] = was;
		if (fabs((up - down) / h - du[i]) > 1e-4 * largest)
			fail_msg("%s: entry %d is %g, differences say %g", what, i, du[i], (up - down) / h);
	}
}

static double
dhn_loss(void *arg, int n, const uint32_t *rows, const float *u, float *du)
{
	double loss;
	eddh_error err;

	assert_ok(hash_dhn_gradient(arg, n, rows, u, du, &loss, &err));
	return loss;
}

static double
orthohash_loss(void *arg, int n, const uint32_t *rows, const float *u, float *du)
{
	double loss;
	eddh_error err;

	assert_ok(hash_orthohash_gradient(arg, n, rows, u, du, &loss, &err));
	return loss;
}

typedef struct dph_case
{
	hash_dhn dph;
	double weights[64];
} dph_case;

static double
dph_loss(void *arg, int n, const uint32_t *rows, const float *u, float *du)
{
	dph_case *c = arg;
	double h[8 * BITS];

	for (int i = 0; i < n * BITS; i++)
		h[i] = tanh(u[i]);
	return hash_dph_weighted(&c->dph, n, rows, u, h, c->weights, du);
}

static double
pairs_loss(void *arg, int n, const uint32_t *rows, const float *u, float *du)
{
	const hash_pairs *pairs = arg;
	double total = 0;

	for (int i = 0; i < n; i++)
	{
		double f[BITS], sum[BITS], g[BITS] = { 0 };

		for (int j = 0; j < BITS; j++)
			f[j] = u[i * BITS + j];
		hash_pairs_sum(pairs, rows[i], sum);
		total += hash_pairs_row(pairs, sum, f, g);
		for (int j = 0; j < BITS; j++)
			du[i * BITS + j] = (float) g[j];
	}
	return total;
}

static void
gradients_equal_differences(void **state)
{
	for (int several = 0; several < 2; several++)
	{
		hash_labels *labels = toy_labels(ROWS, CLASSES, several, 5, 3);
		const uint32_t rows[8] = { 0, 1, 2, 4, 5, 6, 7, 8 }; /* row 4 has no label */
		float u[8 * BITS], *x = malloc(ROWS * BITS * sizeof *x);
		double codes[CLASSES * BITS], logits[CLASSES], h[8 * BITS], mean = 0;
		hash_dhn dhn = { .bits = BITS, .labels = labels, .lambda = 0.3, .balanced = several == 0, .product = 0.5 };
		dph_case dph = { .dph = { .bits = BITS, .labels = labels, .lambda = 0.3, .priority = 0.7 } };
		hash_orthohash ortho = {
			.bits = BITS, .labels = labels, .codes = codes, .scale = 8, .margin = 0.2, .logits = logits
		};
		hash_pairs pairs;
		eddh_error err;
		eddh_rng rng;

		eddh_rng_seed(&rng, 12);
		for (int i = 0; i < 8 * BITS; i++)
		{
			/* Off 0, where |z| has no slope. */
			u[i] = (float) (0.7 * eddh_rng_normal(&rng));
			u[i] += u[i] >= 0 ? 0.02f : -0.02f;
		}
		for (int i = 0; i < ROWS * BITS; i++)
			x[i] = (float) eddh_rng_normal(&rng);
		check_gradient("dhn", dhn_loss, &dhn, 8, rows, u);
		for (int i = 0; i < 8 * BITS; i++)
			h[i] = tanh(u[i]);
		hash_dph_weights(&dph.dph, 8, rows, h, dph.weights);
		for (int i = 0; i < 8; i++)
		{
			for (int j = 0; j < 8; j++)
			{
				mean += dph.weights[i * 8 + j] / (7 * 6);
				assert_near(dph.weights[i * 8 + j], dph.weights[j * 8 + i], 1e-12);
				assert_true((dph.weights[i * 8 + j] > 0) == (i != j && i != 3 && j != 3));
			}
		}
		assert_near(mean, 1, 1e-12);
		check_gradient("dph", dph_loss, &dph, 8, rows, u);
		assert_ok(hash_class_codes_draw(HASH_START_HADAMARD, CLASSES, BITS, 1, codes, &err));
		check_gradient("orthohash", orthohash_loss, &ortho, 8, rows, u);
		assert_ok(hash_pairs_create(labels, BITS, several ? 60 : SIZE_MAX, 1, &pairs, &err));
		hash_pairs_see(&pairs, x);
		check_gradient("pairs", pairs_loss, &pairs, 8, rows, u);
		hash_pairs_clear(&pairs);
		free(x);
		hash_labels_free(labels);
	}
}

/* ---- Discrete steps ---- */

static double
pair_term(const hash_pairs *p, size_t row, const float *f, size_t column, const float *x)
{
	double product = 0;

	for (int l = 0; l < BITS; l++)
		product += f[row * BITS + l] * x[p->column[column] * BITS + l];
	return product - BITS * (hash_labels_share(p->labels, row, p->labels, p->column[column]) ? 1 : -p->ratio);
}

/* The sum over rows and columns, by its definition. */
static double
pair_objective(const hash_pairs *p, const float *f, const float *x)
{
	double total = 0;

	for (size_t i = 0; i < ROWS; i++)
	{
		for (size_t c = 0; c < p->columns && !hash_labels_empty(p->labels, i); c++)
			total += pow(pair_term(p, i, f, c, x), 2);
	}
	return total;
}

static void
sums_equal_their_definition(void **state)
{
	for (int several = 0; several < 2; several++)
	{
		hash_labels *labels = toy_labels(ROWS, CLASSES, several, 9, 3);
		float *x = malloc(ROWS * BITS * sizeof *x);
		double similar = 0, dissimilar = 0;
		hash_pairs p;
		eddh_error err;
		eddh_rng rng;

		eddh_rng_seed(&rng, 2);
		for (int i = 0; i < ROWS * BITS; i++)
			x[i] = (float) eddh_rng_normal(&rng);
		assert_ok(hash_pairs_create(labels, BITS, 70, 1, &p, &err));
		assert_int_equal(p.columns, 70);
		hash_pairs_see(&p, x);
		for (size_t i = 0; i < ROWS; i += 3)
		{
			double sum[BITS], direct[BITS] = { 0 };

			for (size_t c = 0; c < p.columns && !hash_labels_empty(labels, i); c++)
			{
				bool share = hash_labels_share(labels, i, labels, p.column[c]);

				assert_false(hash_labels_empty(labels, p.column[c]));
				for (int l = 0; l < BITS; l++)
					direct[l] += (share ? 1 : -p.ratio) * x[p.column[c] * BITS + l];
			}
			hash_pairs_sum(&p, i, sum);
			for (int l = 0; l < BITS; l++)
				assert_near(sum[l], direct[l], 1e-9 * ROWS);
		}
		for (size_t i = 0; i < ROWS; i++)
		{
			for (size_t j = 0; j < ROWS; j++)
			{
				bool share = hash_labels_share(labels, i, labels, j);

				if (hash_labels_empty(labels, i) || hash_labels_empty(labels, j))
					continue;
				similar += share;
				dissimilar += !share;
			}
		}
		assert_near(p.ratio, similar / dissimilar, several ? 0.03 * similar / dissimilar : 1e-12);
		hash_pairs_clear(&p);
		free(x);
		hash_labels_free(labels);
	}
}

static void
ddsh_codes_never_raise_the_objective(void **state)
{
	for (int several = 0; several < 2; several++)
	{
		hash_labels *labels = toy_labels(ROWS, CLASSES, several, 9, 3);
		float *x = malloc(ROWS * BITS * sizeof *x);
		double gram[BITS * BITS] = { 0 }, *pull, *residual, before, after;
		bool column[ROWS] = { false };
		int8_t *b;
		hash_pairs p;
		eddh_error err;
		eddh_rng rng;

		eddh_rng_seed(&rng, 2);
		for (int i = 0; i < ROWS * BITS; i++)
			x[i] = eddh_rng_below(&rng, 2) ? 1 : -1;
		assert_ok(hash_pairs_create(labels, BITS, 40, 1, &p, &err));
		pull = calloc(p.columns * BITS, sizeof *pull);
		residual = calloc(p.columns * p.columns, sizeof *residual);
		b = malloc(p.columns * BITS);
		for (size_t c = 0; c < p.columns; c++)
		{
			column[p.column[c]] = true;
			for (int l = 0; l < BITS; l++)
				b[c * BITS + l] = (int8_t) x[p.column[c] * BITS + l];
		}
		for (size_t i = 0; i < ROWS; i++)
		{
			if (column[i] || hash_labels_empty(labels, i))
				continue;
			for (int l = 0; l < BITS * BITS; l++)
				gram[l] += x[i * BITS + l / BITS] * x[i * BITS + l % BITS];
			for (size_t c = 0; c < p.columns; c++)
			{
				for (int l = 0; l < BITS; l++)
					pull[c * BITS + l] +=
						(hash_labels_share(labels, i, labels, p.column[c]) ? 1 : -p.ratio) * x[i * BITS + l];
			}
		}
		before = pair_objective(&p, x, x);
		assert_true(hash_ddsh_codes(&p, gram, pull, b, residual) > 0);
		for (size_t c = 0; c < p.columns; c++)
		{
			for (int l = 0; l < BITS; l++)
				x[p.column[c] * BITS + l] = b[c * BITS + l];
		}
		after = pair_objective(&p, x, x);
		assert_true(after < before);
		/* Nothing is left to gain by one flip. */
		for (size_t c = 0; c < p.columns; c += 7)
		{
			for (int l = 0; l < BITS; l++)
			{
				float *bit = &x[p.column[c] * BITS + l];

				*bit = -*bit;
				assert_true(pair_objective(&p, x, x) >= after - 1e-6 * after);
				*bit = -*bit;
			}
		}
		hash_pairs_clear(&p);
		free(x);
		free(pull);
		free(residual);
		free(b);
		hash_labels_free(labels);
	}
}

static void
adsh_step_never_raises_the_objective(void **state)
{
	const double gamma = 3;
	hash_labels *labels = toy_labels(ROWS, CLASSES, true, 0, 3);
	float *f = malloc(ROWS * BITS * sizeof *f), *v = malloc(ROWS * BITS * sizeof *v);
	hash_pairs p;
	eddh_error err;
	eddh_rng rng;

	eddh_rng_seed(&rng, 2);
	for (int i = 0; i < ROWS * BITS; i++)
	{
		f[i] = (float) tanh(eddh_rng_normal(&rng));
		v[i] = eddh_rng_below(&rng, 2) ? 1 : -1;
	}
	assert_ok(hash_pairs_create(labels, BITS, 80, 1, &p, &err));
	hash_pairs_see(&p, f);
	for (int round = 0; round < 4; round++)
	{
		for (size_t i = 0; i < ROWS; i++)
		{
			double sum[BITS], before = 0, after = 0;

			for (int l = 0; l < BITS; l++)
				before += gamma * pow(v[i * BITS + l] - f[i * BITS + l], 2);
			for (size_t c = 0; c < p.columns; c++)
				before += pow(pair_term(&p, i, v, c, f), 2);
			hash_pairs_sum(&p, i, sum);
			hash_adsh_row(&p, sum, gamma, f + i * BITS, v + i * BITS);
			for (int l = 0; l < BITS; l++)
				after += gamma * pow(v[i * BITS + l] - f[i * BITS + l], 2);
			for (size_t c = 0; c < p.columns; c++)
				after += pow(pair_term(&p, i, v, c, f), 2);
			assert_true(after <= before * (1 + 1e-9));
		}
	}
	hash_pairs_clear(&p);
	free(f);
	free(v);
	hash_labels_free(labels);
}

static void
cnnh_sweeps_never_raise_the_objective(void **state)
{
	enum
	{
		N = 90
	};
	hash_labels *labels = toy_labels(N, CLASSES, true, 0, 3);
	float h[BITS * N], l[N * N];
	double last = INFINITY, first = 0;
	eddh_rng rng;

	eddh_rng_seed(&rng, 2);
	for (int i = 0; i < BITS * N; i++)
		h[i] = (float) (2 * eddh_rng_uniform(&rng) - 1);
	for (int sweep = 0; sweep < 6; sweep++)
	{
		double direct = 0, told;

		for (int i = 0; i < N; i++)
		{
			for (int j = 0; j < N; j++)
			{
				double product = hash_labels_share(labels, i, labels, j) ? -BITS : BITS;

				for (int p = 0; p < BITS; p++)
					product += h[p * N + i] * h[p * N + j];
				direct += product * product;
				if (sweep > 0)
					assert_near(l[i * N + j], product, 1e-3); /* kept up to date */
				l[i * N + j] = (float) product;
			}
		}
		assert_true(direct <= last * (1 + 1e-6));
		first = sweep == 0 ? direct : first;
		last = direct;
		told = hash_cnnh_sweep(N, BITS, h, l);
		assert_true(told <= direct);
		for (int i = 0; i < BITS * N; i++)
			assert_true(fabsf(h[i]) <= 1);
	}
	assert_true(last < 0.5 * first);
	hash_labels_free(labels);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gradients_equal_differences),           cmocka_unit_test(sums_equal_their_definition),
		cmocka_unit_test(ddsh_codes_never_raise_the_objective),  cmocka_unit_test(adsh_step_never_raises_the_objective),
		cmocka_unit_test(cnnh_sweeps_never_raise_the_objective), cmocka_unit_test(every_deep_method_learns),
		cmocka_unit_test(rows_without_labels_and_bad_networks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
