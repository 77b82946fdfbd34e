/* methods.c: the table of methods, their parameters from text, and what they share. */
#include "hash/private.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const hash_method *const methods[] = {
	&hash_eddh_method,      &hash_sh_method,         &hash_itq_method,         &hash_ksh_method, &hash_sdh_method,
	&hash_cnnh_method,      &hash_dhn_method,        &hash_ddsh_method,        &hash_dph_method, &hash_adsh_method,
	&hash_orthohash_method, &hash_classifier_method, &hash_class_codes_method,
};

double
hash_bulk_bytes(const hash_method *method, const double *values, size_t rows, int dim, int bits, int classes,
				bool untrained)
{
	/* Three floats for each bit are the most that one keeps of a row (adsh). */
	double of_method = method->bulk != NULL ? method->bulk(values, (double) rows, dim, bits, classes, untrained)
											: (double) rows * (12.0 * bits + 16);

	/* Labels, twice: bitmaps of 64 classes a word, and the class of a row that has one. */
	return of_method + (double) rows * 2 * (8.0 * ((classes + 63) / 64) + 4);
}

int
hash_passes(const hash_method *method, const double *values, int epochs, bool untrained)
{
	return method->passes != NULL ? method->passes(values, epochs, untrained) : 0;
}

const hash_method *
hash_method_at(int i)
{
	if (i < 0 || (size_t) i >= sizeof methods / sizeof methods[0])
		return NULL;
	return methods[i];
}

const hash_method *
hash_method_find(const char *name)
{
	const hash_method *method;

	for (int i = 0; (method = hash_method_at(i)) != NULL; i++)
	{
		if (strcmp(method->name, name) == 0)
			return method;
	}
	return NULL;
}

const hash_param *
hash_param_find(const hash_param *params, const char *name)
{
	for (; params->name != NULL; params++)
		if (strcmp(params->name, name) == 0)
			return params;
	return NULL;
}

int
hash_param_count(const hash_method *method)
{
	int count = 0;

	while (method->params[count].name != NULL)
		count++;
	return count;
}

/* Index of text among "a|b|c", or -1. */
static int
choice_index(const char *choices, const char *text)
{
	size_t len = strlen(text);
	int index = 0;

	for (const char *at = choices;; index++)
	{
		size_t span = strcspn(at, "|");

		if (span == len && memcmp(at, text, len) == 0)
			return index;
		if (at[span] == '\0')
			return -1;
		at += span + 1;
	}
}

eddh_code
hash_param_parse(const hash_param *param, const char *text, double *value, eddh_error *err)
{
	char *end;
	double number;

	if (param->choices != NULL)
	{
		int index = choice_index(param->choices, text);

		if (index < 0)
			return eddh_fail(err, EDDH_BAD_ARGUMENT, "option \"%s\" must be one of %s, not \"%.40s\"", param->name,
							 param->choices, text);
		*value = index;
		return EDDH_OK;
	}
	number = strtod(text, &end);
	if (end == text || end[strspn(end, " \t\n")] != '\0' || !isfinite(number))
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "option \"%s\" must be a number, not \"%.40s\"", param->name, text);
	if (number < param->min || number > param->max)
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "option \"%s\" must be between %g and %g, not %g", param->name,
						 param->min, param->max, number);
	if (param->whole && number != floor(number))
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "option \"%s\" must be a whole number, not %g", param->name, number);
	*value = number;
	return EDDH_OK;
}

void
hash_say(const hash_problem *problem, const char *fmt, ...)
{
	char message[512];
	va_list args;

	if (problem->say == NULL)
		return;
	va_start(args, fmt);
	vsnprintf(message, sizeof message, fmt, args);
	va_end(args);
	problem->say(problem->arg, message);
}

eddh_code
hash_check_bits(int bits, int dim, int epochs, bool untrained, eddh_error *err)
{
	if (bits < HASH_BITS_MIN || bits > HASH_BITS_MAX)
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "bits must be between %d and %d, not %d", HASH_BITS_MIN, HASH_BITS_MAX,
						 bits);
	return EDDH_OK;
}

static eddh_code
check_labels(const hash_problem *problem, eddh_error *err)
{
	const hash_labels *labels = problem->labels;
	int first = -1;
	bool several = false;
	size_t labelled = 0;
	eddh_code code = hash_check_bits(problem->bits, problem->dim, problem->epochs, false, err);

	if (code != EDDH_OK)
		return code;
	if (labels == NULL || labels->rows != problem->rows)
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "this method needs the labels of all rows");
	for (size_t i = 0; i < problem->rows; i++)
	{
		int label = hash_labels_next(labels, i, 0);

		if (label < 0)
			continue;
		labelled++;
		if (first < 0)
			first = label;
		several = several || label != first || hash_labels_next(labels, i, label + 1) >= 0;
	}
	if (labelled == 0)
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "no row has a label");
	if (!several)
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "all labelled rows are of one class");
	return EDDH_OK;
}

eddh_code
hash_check_supervised(const hash_problem *problem, eddh_error *err)
{
	eddh_code code = check_labels(problem, err);

	if (code == EDDH_OK && problem->net == NULL)
		code = eddh_fail(err, EDDH_BAD_ARGUMENT, "this method needs a network to train");
	return code;
}

eddh_code
hash_check_labelled(const hash_problem *problem, eddh_error *err)
{
	eddh_code code = check_labels(problem, err);

	if (code == EDDH_OK && hash_inputs_of(problem).z == NULL)
		code = eddh_fail(err, EDDH_BAD_ARGUMENT, "this method needs features of a trained backbone");
	return code;
}

eddh_code
hash_pack(int bits, const float *u, uint8_t *code, eddh_error *err)
{
	memset(code, 0, (bits + 7) / 8);
	for (int j = 0; j < bits; j++)
	{
		if (isnan(u[j]))
			return eddh_fail(err, EDDH_NUMERIC, "output %d of the network is not a number", j + 1);
		if (u[j] >= 0)
			code[j / 8] |= (uint8_t) (0x80 >> (j % 8));
	}
	return EDDH_OK;
}
