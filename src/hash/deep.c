/* deep.c: see deep.h. */
#include "hash/deep.h"

#include "hash/private.h"

#include <string.h>

#define SAMPLE 128

/* The constant that deep.h explains, for one batch. */
static eddh_code
calibrate_batch(hash_course *course, int n, const uint32_t *rows, const float *u, eddh_error *err)
{
	size_t k = course->problem->bits, entries = (size_t) n * k;
	float *scaled = hash_alloc(entries, 2, sizeof *scaled), *du = scaled + entries;
	double square = 0, length = 0, loss;
	eddh_code code;

	if (scaled == NULL)
		return hash_no_memory(err, "a batch");
	for (size_t i = 0; i < entries; i++)
		square += (double) u[i] * u[i];
	square = square > 0 ? sqrt(square / (double) entries) : 1;
	for (size_t i = 0; i < entries; i++)
		scaled[i] = (float) (u[i] / square);
	code = course->raw(course->arg, n, rows, scaled, du, &loss, err);
	for (int i = 0; code == EDDH_OK && i < n; i++)
	{
		double sum = 0;

		for (size_t j = 0; j < k; j++)
		{
			/* With respect to tanh(u), as HASH_GRADIENT_LENGTH is meant. */
			double g = n * du[i * k + j] / hash_tanh_slope(scaled[i * k + j]);

			sum += g * g;
		}
		length += sqrt(sum) / n;
	}
	free(scaled);
	course->factor = length > 0 && isfinite(length) ? HASH_GRADIENT_LENGTH / length : 1;
	return code;
}

/* On labelled rows at equal steps. Not in a gradient: a resumed training does not call that for epochs it remembers (hash.h). */
static eddh_code
calibrate(hash_course *course, eddh_error *err)
{
	const hash_problem *problem = course->problem;
	size_t k = problem->bits, labelled = 0, at = 0;
	float *u = eddh_bulk_alloc(problem->bulk, problem->rows, k, sizeof *u), *some = hash_alloc(SAMPLE, k, sizeof *some);
	uint32_t rows[SAMPLE];
	int n = 0;
	eddh_code code = u == NULL || some == NULL ? hash_no_memory(err, "outputs of the network")
											   : problem->net->outputs(problem->net->ctx, u, err);

	for (size_t i = 0; i < problem->rows; i++)
		labelled += !hash_labels_empty(problem->labels, i);
	for (size_t i = 0; code == EDDH_OK && i < problem->rows && n < SAMPLE; i++)
	{
		if (hash_labels_empty(problem->labels, i))
			continue;
		if (at++ * SAMPLE < (size_t) n * labelled)
			continue;
		rows[n] = (uint32_t) i;
		memcpy(some + n * k, u + i * k, k * sizeof *u);
		n++;
	}
	for (size_t i = 0; code == EDDH_OK && i < n * k; i++)
	{
		if (!isfinite(some[i]))
			code = eddh_fail(err, EDDH_NUMERIC, "the network's output for row %u is not finite", rows[i / k]);
	}
	if (code == EDDH_OK)
		code = calibrate_batch(course, n, rows, some, err);
	eddh_bulk_free(problem->bulk, u);
	free(some);
	return code;
}

static eddh_code
scaled_gradient(void *arg, int n, const uint32_t *rows, const float *u, float *du, double *loss, eddh_error *err)
{
	hash_course *course = arg;
	size_t k = course->problem->bits;
	eddh_code code;

	for (size_t i = 0; i < (size_t) n * k; i++)
	{
		if (!isfinite(u[i]))
			return eddh_fail(err, EDDH_NUMERIC, "the network's output for row %u is not finite", rows[i / k]);
	}
	code = course->raw(course->arg, n, rows, u, du, loss, err);
	for (size_t i = 0; code == EDDH_OK && i < (size_t) n * k; i++)
		du[i] = (float) (course->factor * du[i]);
	return code;
}

eddh_code
hash_course_run(hash_course *course, int epochs, eddh_error *err)
{
	const hash_problem *problem = course->problem;

	if (course->factor == 0 && epochs > 0)
	{
		eddh_code code = calibrate(course, err);

		if (code != EDDH_OK)
			return code;
	}
	for (int i = 0; i < epochs; i++)
	{
		double loss;
		eddh_code code;

		hash_progress(problem, "train", course->epoch, problem->epochs);
		code = problem->net->epoch(problem->net->ctx, scaled_gradient, course, &loss, err);
		if (code != EDDH_OK)
			return code;
		course->epoch++;
		hash_log(problem, "loss", course->epoch, loss);
		hash_progress(problem, "train", course->epoch, problem->epochs);
	}
	return EDDH_OK;
}

int
hash_course_passes(const double *values, int epochs, bool untrained)
{
	return 1;
}

eddh_code
hash_course_tanh(hash_course *course, float *f, eddh_error *err)
{
	const hash_problem *problem = course->problem;
	size_t k = problem->bits;
	eddh_code code = problem->net->outputs(problem->net->ctx, f, err);

	for (size_t i = 0; code == EDDH_OK && i < problem->rows; i++)
	{
		bool empty = hash_labels_empty(problem->labels, i);

		for (size_t j = 0; j < k; j++)
		{
			if (!isfinite(f[i * k + j]))
				return eddh_fail(err, EDDH_NUMERIC, "the network's output for row %zu is not finite", i);
			f[i * k + j] = empty ? 0 : tanhf(f[i * k + j]);
		}
	}
	return code;
}
