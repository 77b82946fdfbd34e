/* test_hash_methods.c: labels, the table of methods and its parameters, packing of codes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hash_toy.h"

#include "bits/kernels.h"
#include "hash/private.h"

static void
labels_of_one_class_are_single(void **state)
{
	hash_labels *labels;
	eddh_error err;

	assert_ok(hash_labels_create(NULL, 4, 130, &labels, &err));
	assert_int_equal(labels->words, 3);
	hash_labels_add(labels, 0, 129);
	hash_labels_add(labels, 1, 63);
	hash_labels_add(labels, 3, 129);
	assert_ok(hash_labels_finish(labels, &err));
	assert_non_null(labels->single);
	assert_int_equal(labels->single[0], 129);
	assert_int_equal(labels->single[1], 63);
	assert_int_equal(labels->single[2], -1);
	assert_true(hash_labels_share(labels, 0, labels, 3));
	assert_false(hash_labels_share(labels, 0, labels, 1));
	assert_false(hash_labels_share(labels, 2, labels, 2));
	assert_true(hash_labels_empty(labels, 2));

	/* A second label anywhere takes that back. */
	hash_labels_add(labels, 1, 64);
	assert_ok(hash_labels_finish(labels, &err));
	assert_null(labels->single);
	assert_int_equal(hash_labels_next(labels, 1, 0), 63);
	assert_int_equal(hash_labels_next(labels, 1, 64), 64);
	assert_int_equal(hash_labels_next(labels, 1, 65), -1);
	assert_int_equal(hash_labels_next(labels, 0, 129), 129);
	assert_int_equal(hash_labels_next(labels, 0, 130), -1);
	assert_true(hash_labels_empty(labels, 2));
	assert_false(hash_labels_share(labels, 0, labels, 1));
	hash_labels_free(labels);
	hash_labels_free(NULL);
	assert_int_equal(hash_labels_create(NULL, 4, 0, &labels, &err), EDDH_BAD_ARGUMENT);
	assert_null(labels);
}

static void
every_method_is_complete(void **state)
{
	const hash_method *method;
	int count = 0;

	for (; (method = hash_method_at(count)) != NULL; count++)
	{
		assert_ptr_equal(hash_method_find(method->name), method);
		assert_non_null(method->title);
		assert_non_null(method->paper);
		assert_non_null(method->notes);
		assert_non_null(method->train);
		for (int i = 0; i < hash_param_count(method); i++)
		{
			const hash_param *param = &method->params[i];
			char text[40];
			double value;
			eddh_error err;

			assert_non_null(param->help);
			if (param->choices == NULL)
			{
				/* A default must be a value that the user could write. */
				snprintf(text, sizeof text, "%.17g", param->standard);
				assert_ok(hash_param_parse(param, text, &value, &err));
				assert_true(value == param->standard);
			}
		}
	}
	assert_int_equal(count, 13);
	assert_null(hash_method_find("EDDH"));
	assert_null(hash_method_at(-1));
}

static void
parameters_name_what_is_wrong(void **state)
{
	const hash_param number = { "lambda", 0.1, 0, 10, NULL, "" };
	const hash_param choice = { "variant", 0, 0, 0, "auto|h0|h1", "" };
	const hash_param whole = { "epochs", 30, 1, 1e6, NULL, "", .whole = true };
	const char *bad[] = { "", "x", "1x", "nan", "inf", "-1", "10.5", "1 2" };
	double value = -7;
	eddh_error err;

	assert_ok(hash_param_parse(&number, "2.5 ", &value, &err));
	assert_true(value == 2.5);
	assert_ok(hash_param_parse(&choice, "auto", &value, &err));
	assert_true(value == 0);
	assert_ok(hash_param_parse(&choice, "h1", &value, &err));
	assert_true(value == 2);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
	{
		value = -7;
		assert_int_equal(hash_param_parse(&number, bad[i], &value, &err), EDDH_BAD_ARGUMENT);
		assert_non_null(strstr(err.message, "\"lambda\""));
		assert_true(value == -7);
	}
	assert_int_equal(hash_param_parse(&number, "11", &value, &err), EDDH_BAD_ARGUMENT);
	assert_string_equal(err.message, "option \"lambda\" must be between 0 and 10, not 11");
	assert_ok(hash_param_parse(&whole, "3e2", &value, &err));
	assert_true(value == 300);
	assert_int_equal(hash_param_parse(&whole, "2.5", &value, &err), EDDH_BAD_ARGUMENT);
	assert_string_equal(err.message, "option \"epochs\" must be a whole number, not 2.5");
	for (const char *text = "h"; text != NULL; text = text[1] == '\0' ? "h1|" : text[2] == '|' ? "" : NULL)
	{
		assert_int_equal(hash_param_parse(&choice, text, &value, &err), EDDH_BAD_ARGUMENT);
		assert_non_null(strstr(err.message, "auto|h0|h1"));
		if (*text == '\0')
			break;
	}
}

static void
zero_packs_as_one(void **state)
{
	const float u[11] = { 0, -0.0f, -1, 1, -1e-30f, 1e-30f, -INFINITY, INFINITY, -1, 2, -3 };
	float broken[8] = { 0 };
	uint8_t code[2] = { 0xFF, 0xFF };
	eddh_error err;

	assert_ok(hash_pack(11, u, code, &err));
	/* 1 1 0 1 0 1 0 1 | 0 1 0 and unused bits zero */
	assert_int_equal(code[0], 0xD5);
	assert_int_equal(code[1], 0x40);
	broken[5] = NAN;
	assert_int_equal(hash_pack(8, broken, code, &err), EDDH_NUMERIC);
	assert_non_null(strstr(err.message, "output 6"));
}

/* Codes of two classes differ in half of the bits where Hadamard rows suffice, and no bit is the same for all classes. */
static void
hadamard_codes_are_orthogonal(void **state)
{
	const int sizes[][2] = { { 10, 48 }, { 10, 64 }, { 16, 32 }, { 100, 64 }, { 2, 8 } };
	eddh_error err;

	for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
	{
		int classes = sizes[s][0], bits = sizes[s][1];
		double *codes = malloc((size_t) classes * bits * sizeof *codes);
		double *again = malloc((size_t) classes * bits * sizeof *again);

		assert_ok(hash_class_codes_draw(HASH_START_HADAMARD, classes, bits, 5, codes, &err));
		assert_ok(hash_class_codes_draw(HASH_START_HADAMARD, classes, bits, 5, again, &err));
		assert_memory_equal(codes, again, (size_t) classes * bits * sizeof *codes);
		for (int a = 0; a < classes; a++)
		{
			for (int b = 0; b < classes; b++)
			{
				double product = 0;

				for (int j = 0; j < bits; j++)
					product += codes[a * bits + j] * codes[b * bits + j];
				/* A class past the width has the row of another with the opposite sign. */
				if (a == b)
					assert_true(product == bits);
				else if (abs(a - b) == bits)
					assert_true(product == -bits);
				else
					assert_true(product == 0);
			}
		}
		for (int j = 0; j < bits && classes >= 10; j++)
		{
			double sum = 0;

			for (int c = 0; c < classes; c++)
				sum += codes[c * bits + j];
			assert_true(fabs(sum) < classes);
		}
		free(codes);
		free(again);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(labels_of_one_class_are_single), cmocka_unit_test(every_method_is_complete),
		cmocka_unit_test(parameters_name_what_is_wrong),  cmocka_unit_test(zero_packs_as_one),
		cmocka_unit_test(hadamard_codes_are_orthogonal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
