/*
 * orthohash.c: one loss for all. J. T. Hoe, K. W. Ng, T. Zhang, C. S. Chan, Y.-Z. Song, T. Xiang, NeurIPS 2021 (METHODS 3.5): softmax
 * cross-entropy of the cosine between the outputs and fixed orthogonal codes of the classes, with a margin for the right one.
 */
#include "hash/orthohash.h"

#include "hash/deep.h"
#include "hash/private.h"

#include <string.h>

enum
{
	PARAM_SCALE,
	PARAM_MARGIN,
	PARAM_START
};

static const hash_param params[] = {
	[PARAM_SCALE] = { "scale", 4, 0.1, 1000, NULL, "of the cosines before the softmax" },
	[PARAM_MARGIN] = { "margin", 0.4, 0, 2, NULL, "by which the right class has to win, as a cosine" },
	[PARAM_START] = { "start", HASH_START_HADAMARD, 0, 0, "hadamard|random", "the codes of the classes" },
	{ NULL },
};

static double
row_gradient(const hash_orthohash *o, size_t row, const float *u, double batch, float *du)
{
	size_t k = o->bits;
	int classes = o->labels->classes, count = 0;
	double norm = 0, most = -INFINITY, sum = 0, loss = 0;

	for (size_t l = 0; l < k; l++)
		norm += (double) u[l] * u[l];
	norm = sqrt(norm) + 1e-12;
	for (int c = 0; c < classes; c++)
	{
		double product = 0;

		for (size_t l = 0; l < k; l++)
			product += u[l] * o->codes[c * k + l];
		o->logits[c] = o->scale * product / (norm * sqrt((double) k));
	}
	for (int y = hash_labels_next(o->labels, row, 0); y >= 0; y = hash_labels_next(o->labels, row, y + 1))
	{
		o->logits[y] -= o->scale * o->margin;
		count++;
	}
	for (int c = 0; c < classes; c++)
		most = o->logits[c] > most ? o->logits[c] : most;
	for (int c = 0; c < classes; c++)
		sum += exp(o->logits[c] - most);
	for (int c = 0; c < classes; c++)
	{
		bool right = o->labels->bitmap[row * o->labels->words + c / 64] >> (c % 64) & 1;
		double share = exp(o->logits[c] - most) / sum, cosine;
		double slope = (share - (right ? 1.0 / count : 0)) * o->scale / (norm * batch);

		loss -= right ? (o->logits[c] - most - log(sum)) / count : 0;
		cosine = (o->logits[c] + (right ? o->scale * o->margin : 0)) / o->scale;
		for (size_t l = 0; l < k; l++)
			du[l] += (float) (slope * (o->codes[c * k + l] / sqrt((double) k) - cosine * u[l] / norm));
	}
	return loss;
}

eddh_code
hash_orthohash_gradient(void *arg, int n, const uint32_t *rows, const float *u, float *du, double *loss,
						eddh_error *err)
{
	const hash_orthohash *o = arg;
	size_t k = o->bits;
	double total = 0;

	memset(du, 0, (size_t) n * k * sizeof *du);
	for (int i = 0; i < n; i++)
	{
		if (!hash_labels_empty(o->labels, rows[i]))
			total += row_gradient(o, rows[i], u + i * k, n, du + i * k);
	}
	*loss = total / n;
	return EDDH_OK;
}

static eddh_code
train(const hash_problem *problem, hash_head *head, eddh_error *err)
{
	hash_orthohash o = { .bits = problem->bits,
						 .labels = problem->labels,
						 .scale = problem->values[PARAM_SCALE],
						 .margin = problem->values[PARAM_MARGIN] };
	hash_course course = { .problem = problem, .raw = hash_orthohash_gradient, .arg = &o };
	eddh_code code = hash_check_supervised(problem, err);
	double *codes;

	memset(head, 0, sizeof *head);
	if (code != EDDH_OK)
		return code;
	codes = hash_alloc(o.labels->classes, problem->bits, sizeof *codes);
	o.logits = hash_alloc(o.labels->classes, 1, sizeof *o.logits);
	if (codes == NULL || o.logits == NULL)
		code = hash_no_memory(err, "class codes");
	if (code == EDDH_OK)
		code = hash_class_codes_draw((hash_code_start) problem->values[PARAM_START], o.labels->classes, problem->bits,
									 problem->seed, codes, err);
	o.codes = codes;
	if (code == EDDH_OK)
		code = hash_course_run(&course, problem->epochs, err);
	free(codes);
	free(o.logits);
	return code;
}

static double
seconds(const double *values, const hash_size *size)
{
	return 3.3e-9 * size->epochs * size->rows * size->bits * size->classes;
}

const hash_method hash_orthohash_method = {
	.name = "orthohash",
	.title = "Orthogonal Hashing (OrthoCos)",
	.paper =
		"J. T. Hoe, K. W. Ng, T. Zhang, C. S. Chan, Y.-Z. Song, T. Xiang: One Loss for All: Deep Hashing with a Single Cosine Similarity based Learning Objective, NeurIPS 2021",
	.notes =
		"Not in the paper's table: the pointwise, centre-based losses the field now prefers. Class codes are Hadamard rows where they suffice; no batch normalisation of the outputs; several labels share the target equally.",
	.needs_labels = true,
	.needs_net = true,
	.params = params,
	.passes = hash_course_passes,
	.seconds = seconds,
	.train = train,
};
