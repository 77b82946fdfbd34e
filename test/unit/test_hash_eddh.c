/*
 * test_hash_eddh.c: whole trainings of a linear hash layer by plain gradient steps: EDDH learns in every variant, on features or on a
 * network that starts untrained, with rows that have no label; the same seed gives the same weights; stops and bad problems end cleanly.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hash_toy.h"

#include "hash/measure.h"
#include "hash/private.h"

#define ROWS    500
#define DIM     24
#define BITS    32
#define CLASSES 5
#define BATCH   50

#include "hash_toy_net.h"

/* How often toy_network_features was asked. */
static int features_asked;

/* The "features" of the toy are z: a backbone that is as good untrained as trained. */
static eddh_code
toy_network_features(void *ctx, float *z, eddh_error *err)
{
	toy_net *net = ctx;

	features_asked++;
	memcpy(z, net->z, ROWS * DIM * sizeof *z);
	return EDDH_OK;
}

typedef struct seen
{
	double objective_first, objective, loss, disagree, balance;
	int objectives, losses, done, total;
	char said[2000];
} seen;

static void
see_log(void *arg, const char *measure, int step, double value)
{
	seen *s = arg;

	if (strcmp(measure, "objective") == 0)
	{
		assert_int_equal(step, ++s->objectives);
		s->objective_first = step == 1 ? value : s->objective_first;
		s->objective = value;
	}
	if (strcmp(measure, "loss") == 0)
	{
		assert_int_equal(step, ++s->losses);
		s->loss = value;
	}
	if (strcmp(measure, "disagree") == 0)
		s->disagree = value;
	if (strcmp(measure, "balance") == 0)
		s->balance = value;
}

static void
see_say(void *arg, const char *message)
{
	seen *s = arg;

	strncat(s->said, message, sizeof s->said - strlen(s->said) - 1);
}

static void
see_progress(void *arg, const char *phase, int done, int total)
{
	seen *s = arg;

	assert_true(done >= s->done && done <= total);
	s->done = done;
	s->total = total;
}

typedef struct trained
{
	hash_labels *labels;
	float *z;
	toy_net net;
	hash_net hooks;
	hash_problem problem;
	seen seen;
	double values[16];
} trained;

static void
trained_make(trained *t, const char *method, bool several, uint64_t seed)
{
	const hash_method *found = hash_method_find(method);

	memset(t, 0, sizeof *t);
	t->labels = toy_labels(ROWS, CLASSES, several, 17, 6);
	t->z = toy_features(ROWS, DIM, t->labels, 0.7, 7);
	toy_net_init(&t->net, t->z, 0, seed);
	features_asked = 0;
	t->hooks = (hash_net){ &t->net, toy_epoch, toy_outputs, toy_network_features };
	for (int i = 0; i < hash_param_count(found); i++)
		t->values[i] = found->params[i].standard;
	t->problem = (hash_problem){ .rows = ROWS,
								 .dim = DIM,
								 .bits = BITS,
								 .features = t->z,
								 .labels = t->labels,
								 .net = &t->hooks,
								 .seed = seed,
								 .epochs = 30,
								 .values = t->values,
								 .log = see_log,
								 .say = see_say,
								 .progress = see_progress,
								 .arg = &t->seen };
}

static void
set_value(trained *t, const char *name, const char *text)
{
	const hash_method *eddh = hash_method_find("eddh");
	eddh_error err;

	for (int i = 0; i < hash_param_count(eddh); i++)
	{
		if (strcmp(eddh->params[i].name, name) == 0)
		{
			assert_ok(hash_param_parse(&eddh->params[i], text, &t->values[i], &err));
			return;
		}
	}
	fail_msg("no parameter %s", name);
}

static void
trained_free(trained *t)
{
	hash_labels_free(t->labels);
	free(t->z);
}

static double
map_of(const trained *t)
{
	hash_quality quality = toy_net_quality(&t->net, t->labels);

	/* Rows without a label have nothing to find. */
	return quality.map * ROWS / (double) quality.queries_used;
}

static void
eddh_learns_in_every_variant(void **state)
{
	const char *variants[] = { "h0", "h1", "h2", "auto" };

	for (size_t v = 0; v < sizeof variants / sizeof variants[0]; v++)
	{
		for (int several = 0; several <= 1; several++)
		{
			for (int sampled = 0; sampled <= 1; sampled++)
			{
				hash_head linear;
				double before;
				eddh_error err;
				trained t;

				trained_make(&t, "eddh", several, 1);
				set_value(&t, "variant", variants[v]);
				set_value(&t, "similarity_sample", sampled ? "100" : "-1");
				before = map_of(&t);
				assert_ok(hash_method_find("eddh")->train(&t.problem, &linear, &err));
				assert_null(linear.w);
				assert_int_equal(t.net.epochs, 30);
				assert_int_equal(t.seen.losses, 30);
				assert_int_equal(t.seen.objectives, 10);
				assert_int_equal(features_asked, 0);
				assert_int_equal(t.seen.done, 30);
				assert_true(t.seen.objective < t.seen.objective_first);
				/*
				 * The loss of a mini-batch is J's share of it: the terms without F are missing, in h2 the pairs too. One of them is gamma |B - T|^2, which
				 * is large where T is a sum of several codes.
				 */
				assert_true(t.seen.loss > 0 && t.seen.loss < t.seen.objective);
				if (strcmp(variants[v], "h2") != 0 && !(strcmp(variants[v], "auto") == 0 && several))
					assert_true(t.seen.loss > (several ? 0.3 : 0.6) * t.seen.objective);
				assert_true(t.seen.disagree < 0.2);
				assert_true(t.seen.balance < 0.5);
				assert_true(map_of(&t) > before + 0.1);
				assert_true(map_of(&t) > (several ? 0.75 : 0.9));
				trained_free(&t);
			}
		}
	}
}

static void
an_untrained_network_is_warmed_up(void **state)
{
	hash_head linear;
	eddh_error err;
	trained t;

	trained_make(&t, "eddh", false, 1);
	t.problem.features = NULL;
	t.problem.epochs = 5;
	set_value(&t, "warmup", "2");
	assert_ok(hash_method_find("eddh")->train(&t.problem, &linear, &err));
	assert_int_equal(features_asked, 1);
	assert_int_equal(t.net.epochs, 5);
	assert_int_equal(t.seen.losses, 5);
	assert_int_equal(t.seen.objectives, 3);
	assert_non_null(strstr(t.seen.said, "the backbone is untrained: 2 of 5 epochs"));
	t.problem.epochs = 1;
	assert_int_equal(hash_method_find("eddh")->train(&t.problem, &linear, &err), EDDH_BAD_ARGUMENT);
	trained_free(&t);
}

static void
class_codes_learn(void **state)
{
	hash_head linear;
	eddh_error err;
	trained t;

	trained_make(&t, "class_codes", false, 1);
	t.problem.features = NULL;
	assert_ok(hash_method_find("class_codes")->train(&t.problem, &linear, &err));
	assert_int_equal(t.net.epochs, 30);
	assert_int_equal(t.seen.losses, 30);
	assert_true(map_of(&t) > 0.85);
	trained_free(&t);
}

/* The gradient of class codes is that of its loss: (tanh(u) - t)^2 summed over bits, mean over the batch, times a constant. */
static void
class_code_gradient_equals_differences(void **state)
{
	double codes[CLASSES * BITS], loss, above, below;
	float u[3 * BITS], du[3 * BITS], scratch[3 * BITS];
	const uint32_t rows[3] = { 0, 16, 3 }; /* 16 has no label */
	hash_regression regression = { .bits = BITS, .codes = codes };
	hash_labels *labels = toy_labels(ROWS, CLASSES, true, 17, 6);
	eddh_error err;
	eddh_rng rng;

	eddh_rng_seed(&rng, 8);
	regression.labels = labels;
	assert_ok(hash_class_codes_draw(HASH_START_RANDOM, CLASSES, BITS, 3, codes, &err));
	for (int i = 0; i < 3 * BITS; i++)
		u[i] = (float) eddh_rng_normal(&rng);
	assert_ok(hash_class_codes_gradient(&regression, 3, rows, u, du, &loss, &err));
	for (int i = 0; i < 3 * BITS; i++)
	{
		const float step = 0.0078125f;
		float held = u[i];

		u[i] = held + step;
		assert_ok(hash_class_codes_gradient(&regression, 3, rows, u, scratch, &above, &err));
		u[i] = held - step;
		assert_ok(hash_class_codes_gradient(&regression, 3, rows, u, scratch, &below, &err));
		u[i] = held;
		/* loss is the mean over bits too. */
		assert_near(du[i], (above - below) / (2 * step) * BITS * HASH_GRADIENT_LENGTH / (2 * sqrt(BITS)), 1e-3);
		if (i / BITS == 1)
			assert_true(du[i] == 0);
	}
	hash_labels_free(labels);
}

/* 1 - tanh^2 where the plain formula has become 0. */
static void
the_slope_survives_saturation(void **state)
{
	assert_near(hash_tanh_slope(0), 1, 0);
	assert_near(hash_tanh_slope(1), 1 - tanh(1) * tanh(1), 1e-15);
	assert_true(hash_tanh_slope(30) > 0);
	assert_near(hash_tanh_slope(-12) / (4 * exp(-24)), 1, 1e-9);
}

/* The first gradient's size is the same whatever n, k and c: what lets one learning rate do. */
static void
gradients_have_one_size(void **state)
{
	for (int method = 0; method < 2; method++)
	{
		hash_head linear;
		eddh_error err;
		trained t;

		trained_make(&t, method == 0 ? "eddh" : "class_codes", false, 1);
		t.problem.epochs = 1;
		t.net.rate = 0;
		assert_ok(hash_method_find(method == 0 ? "eddh" : "class_codes")->train(&t.problem, &linear, &err));
		assert_true(t.net.largest > 0.8 * HASH_GRADIENT_LENGTH && t.net.largest < 1.25 * HASH_GRADIENT_LENGTH);
		trained_free(&t);
	}
}

static void
the_same_seed_gives_the_same_weights(void **state)
{
	hash_head linear;
	eddh_error err;
	trained a, b, c;

	trained_make(&a, "eddh", true, 1);
	trained_make(&b, "eddh", true, 1);
	trained_make(&c, "eddh", true, 2);
	assert_ok(hash_method_find("eddh")->train(&a.problem, &linear, &err));
	assert_ok(hash_method_find("eddh")->train(&b.problem, &linear, &err));
	assert_ok(hash_method_find("eddh")->train(&c.problem, &linear, &err));
	assert_memory_equal(a.net.w, b.net.w, sizeof a.net.w);
	assert_memory_not_equal(a.net.w, c.net.w, sizeof a.net.w);
	trained_free(&a);
	trained_free(&b);
	trained_free(&c);
}

/* What "auto" and -1 stand for: the help of the parameters says it. */
static void
automatic_settings_are_those_named(void **state)
{
	const struct
	{
		bool several, untrained;
		int classes; /* most of them of no row */
		const char *variant, *lambda, *gamma;
	} cases[] = { { false, false, 10, "h1", "1", "100" },
				  { false, false, 20, "h1", "16", "100" },
				  { false, false, 60, "h1", "100", "100" },
				  { true, false, 60, "h2", "1", "1" },
				  { false, true, 10, "h1", "0.1", "0.1" },
				  { true, true, 10, "h1", "0.1", "0.1" },
				  /* Where h0 is asked for, several labels change nothing. */
				  { true, false, 20, "h0", "16", "100" } };

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
	{
		hash_head linear;
		eddh_error err;
		trained automatic, named;

		trained_make(&automatic, "eddh", cases[i].several, 1);
		trained_make(&named, "eddh", cases[i].several, 1);
		automatic.labels->classes = named.labels->classes = cases[i].classes;
		set_value(&named, "variant", cases[i].variant);
		if (strcmp(cases[i].variant, "h0") == 0)
			set_value(&automatic, "variant", "h0");
		set_value(&named, "lambda", cases[i].lambda);
		set_value(&named, "gamma", cases[i].gamma);
		if (cases[i].untrained)
			automatic.problem.features = named.problem.features = NULL;
		automatic.problem.epochs = named.problem.epochs = 6;
		assert_ok(hash_method_find("eddh")->train(&automatic.problem, &linear, &err));
		assert_ok(hash_method_find("eddh")->train(&named.problem, &linear, &err));
		assert_memory_equal(automatic.net.w, named.net.w, sizeof automatic.net.w);
		trained_free(&automatic);
		trained_free(&named);
	}
}

static bool
stop_after(void *arg)
{
	return --*(int *) arg < 0;
}

static void
bad_problems_end_cleanly(void **state)
{
	const hash_method *eddh = hash_method_find("eddh");
	hash_head linear;
	eddh_error err;
	trained t;
	int polls;
	eddh_stop stop = { stop_after, &polls };

	trained_make(&t, "eddh", false, 1);
	t.problem.log = NULL;
	t.problem.say = NULL;
	t.problem.progress = NULL;
	t.problem.stop = &stop;
	for (polls = 0; polls < 3; polls++)
	{
		int held = polls;

		assert_int_equal(eddh->train(&t.problem, &linear, &err), EDDH_STOPPED);
		polls = held;
	}
	t.problem.stop = NULL;
	t.net.epochs = 0;
	t.net.poison = 2;
	assert_int_equal(eddh->train(&t.problem, &linear, &err), EDDH_NUMERIC);
	assert_non_null(strstr(err.message, "row"));
	t.net.poison = 0;
	t.z[5 * DIM] = NAN;
	assert_int_equal(eddh->train(&t.problem, &linear, &err), EDDH_NUMERIC);
	t.z[5 * DIM] = 0;

	/* One class only, no labels at all, too few bits. */
	for (size_t i = 0; i < ROWS; i++)
		t.labels->bitmap[i] = t.labels->bitmap[i] != 0;
	assert_ok(hash_labels_finish(t.labels, &err));
	assert_int_equal(eddh->train(&t.problem, &linear, &err), EDDH_BAD_ARGUMENT);
	assert_non_null(strstr(err.message, "one class"));
	memset(t.labels->bitmap, 0, ROWS * sizeof *t.labels->bitmap);
	assert_ok(hash_labels_finish(t.labels, &err));
	assert_int_equal(eddh->train(&t.problem, &linear, &err), EDDH_BAD_ARGUMENT);
	assert_non_null(strstr(err.message, "no row has a label"));
	t.problem.bits = HASH_BITS_MIN - 1;
	assert_int_equal(eddh->train(&t.problem, &linear, &err), EDDH_BAD_ARGUMENT);
	trained_free(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(eddh_learns_in_every_variant),
		cmocka_unit_test(an_untrained_network_is_warmed_up),
		cmocka_unit_test(class_codes_learn),
		cmocka_unit_test(class_code_gradient_equals_differences),
		cmocka_unit_test(the_slope_survives_saturation),
		cmocka_unit_test(gradients_have_one_size),
		cmocka_unit_test(the_same_seed_gives_the_same_weights),
		cmocka_unit_test(automatic_settings_are_those_named),
		cmocka_unit_test(bad_problems_end_cleanly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
