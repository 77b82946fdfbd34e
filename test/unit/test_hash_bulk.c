/*
 * test_hash_bulk.c: every method, measuring and anchors take arrays as long as the table from the caller: with the same results as from the heap, and with nothing
 * left where that runs out at any point.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <limits.h>

#include "counting_bulk.h"
#include "hash_toy.h"

#define ROWS    120
#define DIM     80
#define BITS    16
#define CLASSES 4
#define BATCH   40

#include "hash_toy_net.h"

/* The labels' and the training's memory are two, so that nothing goes back to the wrong one. */
typedef struct memory
{
	int left;
	size_t now, most; /* bytes of both */
	counting of_labels, of_rows;
	eddh_bulk labels, rows;
} memory;

static void
memory_make(memory *m, int left)
{
	memset(m, 0, sizeof *m);
	m->left = left;
	m->of_labels.left = m->of_rows.left = &m->left;
	m->of_labels.now = m->of_rows.now = &m->now;
	m->of_labels.most = m->of_rows.most = &m->most;
	m->labels = (eddh_bulk){ counting_alloc, counting_release, &m->of_labels };
	m->rows = (eddh_bulk){ counting_alloc, counting_release, &m->of_rows };
}

static eddh_code
copy_labels(const eddh_bulk *bulk, const hash_labels *from, hash_labels **out, eddh_error *err)
{
	eddh_code code = hash_labels_create(bulk, from->rows, from->classes, out, err);

	if (code != EDDH_OK)
		return code;
	memcpy((*out)->bitmap, from->bitmap, from->rows * from->words * sizeof *from->bitmap);
	code = hash_labels_finish(*out, err);
	if (code != EDDH_OK)
		hash_labels_free(*out);
	return code;
}

/* Tries with room for 0, 1, 2, .. allocations until that is enough; what came of it has to be `want`. */
typedef eddh_code (*attempt)(const void *arg, const eddh_bulk *labels, const eddh_bulk *rows, void *out,
							 eddh_error *err);

static void
check_all(const char *what, attempt try, const void *arg, size_t size)
{
	void *want = calloc(1, size), *got = calloc(1, size);
	eddh_code code = EDDH_NO_MEMORY;
	eddh_error err;
	memory m;

	assert_ok(try(arg, NULL, NULL, want, &err));
	for (int left = 0; code != EDDH_OK; left++)
	{
		memory_make(&m, left);
		memset(got, 0, size);
		code = try(arg, &m.labels, &m.rows, got, &err);
		if (code != EDDH_OK && code != EDDH_NO_MEMORY)
			fail_msg("%s with %d allocations: code %d: %s", what, left, (int) code, err.message);
		if (m.of_labels.count + m.of_rows.count > 0)
			fail_msg("%s with %d allocations leaves %d of the labels, %d of the rows", what, left, m.of_labels.count,
					 m.of_rows.count);
	}
	assert_int_equal(m.left, 0);
	if (memcmp(want, got, size) != 0)
		fail_msg("%s: another result than from the heap", what);
	free(want);
	free(got);
}

/* ---- Methods ---- */

typedef struct setting
{
	const char *name, *value;
} setting;

typedef struct training
{
	const hash_method *method;
	const setting *settings; /* ends with a NULL name; may be NULL */
	const hash_labels *labels;
	const float *z;
	bool untrained;
} training;

typedef struct trained
{
	float w[BITS * DIM], b[BITS], codes[BITS * BITS];
} trained;

static eddh_code
give_features(void *ctx, float *z, eddh_error *err)
{
	const toy_net *net = ctx;

	memcpy(z, net->z, ROWS * DIM * sizeof *z);
	return EDDH_OK;
}

static void
fill_values(const training *t, double *values)
{
	const hash_param *params = t->method->params;
	eddh_error err;

	for (int i = 0; i < hash_param_count(t->method); i++)
	{
		values[i] = params[i].standard;
		for (const setting *s = t->settings; s != NULL && s->name != NULL; s++)
			if (strcmp(s->name, params[i].name) == 0)
				assert_ok(hash_param_parse(&params[i], s->value, &values[i], &err));
	}
}

static eddh_code
train(const void *arg, const eddh_bulk *labels, const eddh_bulk *rows, void *out, eddh_error *err)
{
	const training *t = arg;
	const hash_method *method = t->method;
	trained *result = out;
	toy_net net;
	hash_net hooks = { .ctx = &net, .epoch = toy_epoch, .outputs = toy_outputs, .features = give_features };
	double values[16];
	hash_problem problem = { .rows = ROWS,
							 .dim = DIM,
							 .bits = BITS,
							 .features = t->untrained ? NULL : t->z,
							 .net = method->needs_net ? &hooks : NULL,
							 .seed = 4,
							 .epochs = 6,
							 .values = values,
							 .bulk = rows };
	hash_labels *copy;
	hash_head head;
	eddh_code code = copy_labels(labels, t->labels, &copy, err);

	if (code != EDDH_OK)
		return code;
	problem.labels = method->needs_labels ? copy : NULL;
	toy_net_init(&net, t->z, 0.9, 6);
	fill_values(t, values);
	code = method->train(&problem, &head, err);
	if (code == EDDH_OK && method->needs_net)
	{
		memcpy(result->w, net.w, sizeof net.w);
		memcpy(result->b, net.b, sizeof net.b);
	}
	else if (code == EDDH_OK)
	{
		assert_true(head.units <= BITS && head.dim == DIM);
		memcpy(result->w, head.w, (size_t) head.units * DIM * sizeof *head.w);
		memcpy(result->b, head.b, head.units * sizeof *head.b);
		if (head.codes != NULL)
			memcpy(result->codes, head.codes, (size_t) head.units * BITS * sizeof *head.codes);
	}
	hash_head_clear(&head);
	hash_labels_free(copy);
	return code;
}

static void
every_method(void **state)
{
	for (int several = 0; several < 2; several++)
	{
		hash_labels *labels = toy_labels(ROWS, CLASSES, several, 9, 3);
		float *z = toy_features(ROWS, DIM, labels, 0.6, 5);
		training t = { .labels = labels, .z = z };

		for (int i = 0; (t.method = hash_method_at(i)) != NULL; i++)
			check_all(t.method->name, train, &t, sizeof(trained));
		hash_labels_free(labels);
		free(z);
	}
}

static const setting variants[][6] = {
	{ { "variant", "h0" }, { "similarity_sample", "40" }, { NULL } },
	{ { "variant", "h1" }, { "balance", "center" }, { "outer", "3" }, { NULL } },
	{ { "variant", "h1" }, { "similarity_sample", "40" }, { "outer", "3" }, { NULL } },
	{ { "variant", "h2" }, { "balance", "none" }, { "outer", "3" }, { NULL } },
};

static void
every_variant_of_eddh(void **state)
{
	for (int several = 0; several < 2; several++)
	{
		hash_labels *labels = toy_labels(ROWS, CLASSES, several, 9, 3);
		float *z = toy_features(ROWS, DIM, labels, 0.6, 5);

		for (size_t i = 0; i < 2 * sizeof variants / sizeof variants[0]; i++)
		{
			training t = { hash_method_find("eddh"), variants[i / 2], labels, z, .untrained = i % 2 };

			check_all(variants[i / 2][0].value, train, &t, sizeof(trained));
		}
		hash_labels_free(labels);
		free(z);
	}
}

/* What is told beforehand is enough, and of EDDH, whose M takes most, not much too much. */
static void
check_told(training t, int several)
{
	double values[16], told;
	trained result;
	eddh_error err;
	memory m;

	fill_values(&t, values);
	told = hash_bulk_bytes(t.method, values, ROWS, DIM, BITS, CLASSES, t.untrained);
	memory_make(&m, INT_MAX);
	assert_ok(train(&t, &m.labels, &m.rows, &result, &err));
	if (m.most > told)
		fail_msg("%s takes %zu bytes, %g were told", t.method->name, m.most, told);
	if (strcmp(t.method->name, "eddh") == 0 && !several)
		assert_true(told < 2 * m.most);
}

static void
no_more_than_was_told(void **state)
{
	for (int several = 0; several < 2; several++)
	{
		hash_labels *labels = toy_labels(ROWS, CLASSES, several, 9, 3);
		float *z = toy_features(ROWS, DIM, labels, 0.6, 5);
		training t = { .labels = labels, .z = z };

		for (int untrained = 0; untrained < 2; untrained++)
		{
			t.untrained = untrained;
			t.settings = NULL;
			for (int i = 0; (t.method = hash_method_at(i)) != NULL; i++)
				if (!untrained || t.method->needs_net)
					check_told(t, several);
			t.method = hash_method_find("eddh");
			for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++)
			{
				t.settings = variants[i];
				check_told(t, several);
			}
		}
		hash_labels_free(labels);
		free(z);
	}
}

/* ---- Measuring, anchors ---- */

typedef struct measured
{
	hash_quality quality;
	double curve[4][BITS + 1];
	float anchors[10 * DIM];
} measured;

static eddh_code
measure(const void *arg, const eddh_bulk *bulk, const eddh_bulk *rows, void *out, eddh_error *err)
{
	const training *t = arg;
	measured *result = out;
	uint8_t codes[ROWS * BITS / 8];
	hash_ranking ranking = { .bits = BITS,
							 .queries = ROWS,
							 .database = ROWS,
							 .query_codes = codes,
							 .database_codes = codes,
							 .same = true,
							 .top = 30 };
	hash_anchors anchors = { 0 };
	hash_labels *labels;
	eddh_code code = copy_labels(bulk, t->labels, &labels, err);

	if (code != EDDH_OK)
		return code;
	for (int i = 0; i < ROWS; i++)
		assert_int_equal(hash_pack(BITS, t->z + i * DIM, codes + i * BITS / 8, err), EDDH_OK);
	ranking.query_labels = ranking.database_labels = labels;
	code = hash_measure(&ranking, &result->quality, err);
	if (code == EDDH_OK)
		code = hash_pr_curve(&ranking, result->curve[0], result->curve[1], result->curve[2], result->curve[3], err);
	if (code == EDDH_OK)
		code = hash_anchors_draw(rows, ROWS, DIM, t->z, 10, 1, 7, &anchors, err);
	if (code == EDDH_OK)
		memcpy(result->anchors, anchors.rows, sizeof result->anchors);
	hash_anchors_clear(&anchors);
	hash_labels_free(labels);
	return code;
}

static void
measures_and_anchors(void **state)
{
	for (int several = 0; several < 2; several++)
	{
		hash_labels *labels = toy_labels(ROWS, CLASSES, several, 9, 3);
		float *z = toy_features(ROWS, DIM, labels, 0.6, 5);
		training t = { .labels = labels, .z = z };

		for (int i = 0; i < ROWS * DIM; i++)
			z[i] -= 0.5f;
		check_all("measuring", measure, &t, sizeof(measured));
		hash_labels_free(labels);
		free(z);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_method),
		cmocka_unit_test(every_variant_of_eddh),
		cmocka_unit_test(no_more_than_was_told),
		cmocka_unit_test(measures_and_anchors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
