/* test_image_prep.c: image_prep to metadata and back, and metadata that nobody should believe. */
#include "image_check.h"

#include <math.h>

#define MAX_PAIRS 8

typedef struct metadata
{
	int n;
	char key[MAX_PAIRS][32];
	char value[MAX_PAIRS][128];
} metadata;

static const char *
get(void *arg, const char *key)
{
	metadata *m = arg;

	for (int i = 0; i < m->n; i++)
		if (strcmp(m->key[i], key) == 0)
			return m->value[i];
	return NULL;
}

static eddh_code
put(void *arg, const char *key, const char *value, eddh_error *err)
{
	metadata *m = arg;

	if (m->n == MAX_PAIRS)
		return eddh_fail(err, EDDH_NO_MEMORY, "no room for %s", key);
	snprintf(m->key[m->n], sizeof(m->key[0]), "%s", key);
	snprintf(m->value[m->n], sizeof(m->value[0]), "%s", value);
	m->n++;
	return EDDH_OK;
}

static void
round_trip(void **state)
{
	const image_prep preps[] = {
		{ .size = 224, .resize = IMAGE_SQUASH, .resize_short = 224, .std = { 1, 1, 1 } },
		{ .size = 224,
		  .resize = IMAGE_CROP,
		  .resize_short = 256,
		  .bgr = true,
		  .mean = { 103.939f, 116.779f, 123.68f },
		  .std = { 57.375f, 57.12f, 58.395f } },
		{ .size = 1,
		  .resize = IMAGE_CROP,
		  .resize_short = 4096,
		  .mean = { -0.1f, 1e-30f, 3.4e38f },
		  .std = { 1.0f / 3, 1e-38f, 255.0f / 7 } },
	};

	for (size_t i = 0; i < sizeof(preps) / sizeof(preps[0]); i++)
	{
		metadata m = { 0 };
		image_prep back;

		assert_int_equal(image_prep_format(&preps[i], put, &m, NULL), EDDH_OK);
		assert_int_equal(image_prep_parse(get, &m, &back, NULL), EDDH_OK);
		assert_int_equal(back.size, preps[i].size);
		assert_int_equal(back.resize, preps[i].resize);
		assert_int_equal(back.resize_short, preps[i].resize_short);
		assert_int_equal(back.bgr, preps[i].bgr);
		assert_memory_equal(back.mean, preps[i].mean, sizeof(back.mean));
		assert_memory_equal(back.std, preps[i].std, sizeof(back.std));
	}
}

static void
defaults(void **state)
{
	metadata m = { 1, { "eddh.input_size" }, { "64" } };
	image_prep prep;

	assert_int_equal(image_prep_parse(get, &m, &prep, NULL), EDDH_OK);
	assert_int_equal(prep.size, 64);
	assert_int_equal(prep.resize, IMAGE_SQUASH);
	assert_int_equal(prep.resize_short, 64);
	assert_false(prep.bgr);
	for (int c = 0; c < 3; c++)
	{
		assert_true(prep.mean[c] == 0);
		assert_true(prep.std[c] == 1);
	}
	put(&m, "eddh.mean", " 127.5 ", NULL);
	put(&m, "eddh.std", "1, 2  3", NULL);
	put(&m, "eddh.resize", "crop", NULL);
	assert_int_equal(image_prep_parse(get, &m, &prep, NULL), EDDH_OK);
	assert_true(prep.mean[0] == 127.5f && prep.mean[1] == 127.5f && prep.mean[2] == 127.5f);
	assert_true(prep.std[0] == 1 && prep.std[1] == 2 && prep.std[2] == 3);
	assert_int_equal(prep.resize_short, 64);
}

/* Each error names the key and shows what stood there. */
static void
bad_values(void **state)
{
	static const char *const bad[][2] = {
		{ "eddh.input_size", "" },
		{ "eddh.input_size", "0" },
		{ "eddh.input_size", "-5" },
		{ "eddh.input_size", "1025" },
		{ "eddh.input_size", "224 px" },
		{ "eddh.input_size", "99999999999999999999" },
		{ "eddh.resize", "stretch" },
		{ "eddh.resize_short", "223" },
		{ "eddh.resize_short", "4097" },
		{ "eddh.resize_short", "big" },
		{ "eddh.channels", "rgb" },
		{ "eddh.channels", "RGBA" },
		{ "eddh.mean", "" },
		{ "eddh.mean", "1,2" },
		{ "eddh.mean", "1,2,3,4" },
		{ "eddh.mean", "1,x,3" },
		{ "eddh.mean", "nan,0,0" },
		{ "eddh.mean", "0,inf,0" },
		{ "eddh.std", "0" },
		{ "eddh.std", "1,1,-1" },
		{ "eddh.std", "1,nan,1" },
		{ "eddh.std", "1;1;1" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		metadata m = { 0 };
		image_prep prep;
		eddh_error err;

		put(&m, bad[i][0], bad[i][1], NULL);
		put(&m, "eddh.input_size", "224", NULL); /* the first counts */
		if (image_prep_parse(get, &m, &prep, &err) != EDDH_BAD_DATA)
			fail_msg("%s = \"%s\" was accepted", bad[i][0], bad[i][1]);
		assert_message_has(&err, bad[i][0]);
		assert_message_has(&err, bad[i][1]);
	}
}

static void
strange_bytes_are_not_echoed(void **state)
{
	metadata m = { 0 };
	image_prep prep;
	eddh_error err;
	char value[128];

	memset(value, '\xC3', sizeof(value) - 1);
	value[0] = '\n';
	value[sizeof(value) - 1] = '\0';
	put(&m, "eddh.input_size", value, NULL);
	assert_int_equal(image_prep_parse(get, &m, &prep, &err), EDDH_BAD_DATA);
	assert_message_has(&err, "\"????????");
	for (const char *p = err.message; *p != '\0'; p++)
		assert_in_range(*p, ' ', '~');
}

static void
size_is_required(void **state)
{
	metadata m = { 0 };
	image_prep prep;
	eddh_error err;

	assert_int_equal(image_prep_parse(get, &m, &prep, &err), EDDH_BAD_DATA);
	assert_message_has(&err, "eddh.input_size");
	assert_true(strlen(err.hint) > 0);
}

/* What cannot be loaded with is not written either. */
static void
bad_preps(void **state)
{
	image_prep bad[] = { squash(0),  squash(-1),    squash(IMAGE_MAX_SIDE + 1),
						 crop(8, 7), crop(8, 5000), squash(8),
						 squash(8),  squash(8),     squash(8) };
	encoded e = { NULL, 0 };

	bad[5].std[1] = 0;
	bad[6].mean[2] = NAN;
	bad[7].std[0] = INFINITY;
	bad[8].resize = (image_resize) 7;
	make_append(&e, "", 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		metadata m = { 0 };
		eddh_error err;

		assert_int_equal(image_prep_check(&bad[i], &err), EDDH_BAD_ARGUMENT);
		assert_int_equal(image_prep_format(&bad[i], put, &m, NULL), EDDH_BAD_ARGUMENT);
		assert_int_equal(m.n, 0);
		assert_int_equal(image_load(e.bytes, 0, &bad[i], NULL, NULL, NULL), EDDH_BAD_ARGUMENT);
	}
	free(e.bytes);
}

static void
failing_put_is_passed_on(void **state)
{
	image_prep prep = squash(8);
	metadata m = { .n = MAX_PAIRS - 2 };
	eddh_error err;

	assert_int_equal(image_prep_format(&prep, put, &m, &err), EDDH_NO_MEMORY);
	assert_message_has(&err, "no room");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(defaults),
		cmocka_unit_test(bad_values),
		cmocka_unit_test(strange_bytes_are_not_echoed),
		cmocka_unit_test(size_is_required),
		cmocka_unit_test(bad_preps),
		cmocka_unit_test(failing_put_is_passed_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
