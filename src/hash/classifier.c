/*
 * classifier.c: the trivial baseline. A. Sablayrolles, M. Douze, N. Usunier, H. Jegou: How should we evaluate supervised hashing?, ICASSP 2017
 * (METHODS 3.4): a linear classifier's class, written in bits. What protocols that count labels reward, and no search at all.
 */
#include "hash/private.h"
#include "hash/ridge.h"

#include <string.h>

enum
{
	PARAM_RIDGE
};

static const hash_param params[] = {
	[PARAM_RIDGE] = { "ridge", HASH_RIDGE_AUTOMATIC, HASH_RIDGE_AUTOMATIC, 1e6, NULL,
					  "ridge of the classifier, as a share of the mean variance of its inputs; -1: 0.001 on kernel values, 0.1 on features" },
	{ NULL },
};

/* ceil(log2 c) bits, again and again. */
static void
write_codes(int classes, int bits, float *codes)
{
	int width = 1;

	while (width < 31 && classes > 1 << width)
		width++;
	for (int c = 0; c < classes; c++)
	{
		for (int j = 0; j < bits; j++)
			codes[(size_t) c * bits + j] = (c >> (j % width)) & 1 ? 1 : -1;
	}
}

static eddh_code
train(const hash_problem *problem, hash_head *head, eddh_error *err)
{
	hash_inputs in = hash_inputs_of(problem);
	const hash_labels *labels = problem->labels;
	hash_ridge ridge = { 0 };
	float *target = NULL;
	size_t classes;
	eddh_code code = hash_check_labelled(problem, err);

	memset(head, 0, sizeof *head);
	if (code != EDDH_OK)
		return code;
	classes = labels->classes;
	if (problem->bits < 31 && classes > (size_t) 1 << problem->bits)
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "%d bits cannot tell %zu classes", problem->bits, classes);
	hash_progress(problem, "train", 0, 1);
	code = hash_ridge_create(problem->rows, in.dim, in.z, labels,
							 hash_ridge_share(problem, problem->values[PARAM_RIDGE], 0.1), problem->stop, &ridge, err);
	target = eddh_bulk_alloc(problem->bulk, problem->rows, classes, sizeof *target);
	if (code == EDDH_OK && target == NULL)
		code = hash_no_memory(err, "a classifier");
	for (size_t i = 0; code == EDDH_OK && i < problem->rows; i++)
	{
		int count = 0;

		for (int y = hash_labels_next(labels, i, 0); y >= 0; y = hash_labels_next(labels, i, y + 1))
			count++;
		for (int y = hash_labels_next(labels, i, 0); y >= 0; y = hash_labels_next(labels, i, y + 1))
			target[i * classes + y] = 1.0f / (float) count;
	}
	if (code == EDDH_OK)
		code = hash_head_create(in.dim, problem->bits, (int) classes, true, head, err);
	if (code == EDDH_OK)
		code = hash_ridge_solve(&ridge, (int) classes, target, head->w, head->b, err);
	if (code == EDDH_OK)
		write_codes((int) classes, problem->bits, head->codes);
	else
		hash_head_clear(head);
	if (code == EDDH_OK)
		hash_progress(problem, "train", 1, 1);
	hash_ridge_clear(&ridge);
	eddh_bulk_free(problem->bulk, target);
	return code;
}

static double
bulk_bytes(const double *values, double rows, int dim, int bits, int classes, bool untrained)
{
	return rows * classes * sizeof(float);
}

static double
seconds(const double *values, const hash_size *size)
{
	double d = size->input_dim;

	return 2e-11 * d * (size->rows * (d + size->classes) + d * d);
}

const hash_method hash_classifier_method = {
	.name = "classifier",
	.title = "Class of a linear classifier as code",
	.paper =
		"The trivial baseline of A. Sablayrolles, M. Douze, N. Usunier, H. Jegou: How should we evaluate supervised hashing?, ICASSP 2017",
	.notes =
		"Least squares on the labels; the number of the best class in ceil(log2 c) bits, repeated. All pictures of one predicted class have one code: it ranks nothing, and knows no class that it was not taught. In the network the best class is a steep softmax.",
	.needs_labels = true,
	.needs_net = false,
	.params = params,
	.check = hash_check_bits,
	.bulk = bulk_bytes,
	.seconds = seconds,
	.train = train,
};
