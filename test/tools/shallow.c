/*
 * shallow.c: methods without a network, for test_public.py and bench/public_figures:
 *
 *   shallow METHOD DIM BITS TRAIN DATABASE QUERIES SEED [PARAMETER=VALUE]...
 *
 * reads float32 features ((TRAIN + DATABASE + QUERIES) x DIM) and int32 classes of all rows, learns from the first TRAIN with the method's own kind of head, and writes
 * the tie-aware mAP of the queries, which come last, in the database between.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hash/measure.h"

/* As in train/options.c, for one label a picture. */
#define ANCHORS      2000
#define KERNEL_WIDTH 0.5

#define BATCH 256

static void
check(eddh_code code, const eddh_error *err)
{
	if (code == EDDH_OK)
		return;
	fprintf(stderr, "shallow: %s\n", err->message);
	exit(1);
}

static void *
allocate(size_t count, size_t size)
{
	void *p = calloc(count > 0 ? count : 1, size);

	if (p == NULL)
		exit(1);
	return p;
}

static float *
run(const nn_graph *graph, size_t rows, const float *z)
{
	size_t in = nn_graph_input_shape(graph).count, out = nn_graph_output_shape(graph).count;
	float *u = allocate(rows * out, sizeof *u), *arena;
	nn_plan *plan;
	eddh_error err;

	check(nn_plan_create(graph, BATCH, false, &plan, &err), &err);
	arena = aligned_alloc(64, (nn_plan_arena_size(plan) + 127) / 64 * 64);
	if (arena == NULL)
		exit(1);
	for (size_t done = 0; done < rows; done += BATCH)
	{
		int now = rows - done < BATCH ? (int) (rows - done) : BATCH;

		check(nn_forward(plan, now, z + done * in, arena, u + done * out, NULL, &err), &err);
	}
	free(arena);
	nn_plan_free(plan);
	return u;
}

/* Kernel values of all rows to anchors among the first `train`, conditioned, in the place of the features. */
static float *
kernel(const hash_method *method, size_t rows, size_t train, int *dim, const float *z, uint64_t seed)
{
	hash_anchors anchors;
	nn_graph *rbf, *conditioned;
	float *values, *out;
	eddh_error err;

	check(hash_anchors_draw(NULL, train, *dim, z, ANCHORS, KERNEL_WIDTH, seed, &anchors, &err), &err);
	check(nn_graph_rbf(*dim, anchors.count, anchors.rows, anchors.gamma, &rbf, &err), &err);
	values = run(rbf, rows, z);
	*dim = anchors.count;
	check(hash_anchors_fit(method, train, *dim, values, &conditioned, &err), &err);
	out = run(conditioned, rows, values);
	nn_graph_free(rbf);
	nn_graph_free(conditioned);
	hash_anchors_clear(&anchors);
	free(values);
	return out;
}

static hash_labels *
labels_of(size_t rows, int classes, const int32_t *class)
{
	hash_labels *labels;
	eddh_error err;

	check(hash_labels_create(NULL, rows, classes, &labels, &err), &err);
	for (size_t i = 0; i < rows; i++)
		hash_labels_add(labels, i, class[i]);
	check(hash_labels_finish(labels, &err), &err);
	return labels;
}

int
main(int argc, char **argv)
{
	const hash_method *method = argc >= 8 ? hash_method_find(argv[1]) : NULL;
	hash_problem problem = { 0 };
	hash_ranking ranking = { 0 };
	hash_quality quality;
	hash_head head;
	nn_graph *graph;
	double values[16];
	size_t rows, len;
	int dim, classes = 0;
	float *z, *u;
	int32_t *class;
	uint8_t *codes;
	eddh_error err;

	if (method == NULL || method->needs_net || hash_param_count(method) > 16)
		return 2;
	dim = problem.dim = atoi(argv[2]);
	problem.bits = ranking.bits = atoi(argv[3]);
	problem.rows = (size_t) atoi(argv[4]);
	ranking.database = (size_t) atoi(argv[5]);
	ranking.queries = (size_t) atoi(argv[6]);
	problem.seed = (uint64_t) atoi(argv[7]);
	rows = problem.rows + ranking.database + ranking.queries;
	len = ((size_t) ranking.bits + 7) / 8;
	z = allocate(rows * (size_t) dim, sizeof *z);
	class = allocate(rows, sizeof *class);
	if (fread(z, sizeof *z * (size_t) dim, rows, stdin) != rows || fread(class, sizeof *class, rows, stdin) != rows)
		return 2;
	for (size_t i = 0; i < rows; i++)
		classes = class[i] >= classes ? class[i] + 1 : classes;
	for (int p = 0; p < hash_param_count(method); p++)
	{
		size_t name = strlen(method->params[p].name);

		values[p] = method->params[p].standard;
		for (int i = 8; i < argc; i++)
			if (strncmp(argv[i], method->params[p].name, name) == 0 && argv[i][name] == '=')
				check(hash_param_parse(&method->params[p], argv[i] + name + 1, &values[p], &err), &err);
	}
	problem.values = values;
	problem.features = z;
	problem.labels = labels_of(problem.rows, classes, class);
	u = method->anchors_by_default ? kernel(method, rows, problem.rows, &dim, z, problem.seed) : z;
	problem.inputs = u;
	problem.input_dim = dim;
	check(method->train(&problem, &head, &err), &err);
	check(hash_head_graph(&head, &graph, &err), &err);
	u = run(graph, rows, u);
	codes = allocate(rows, len);
	for (size_t i = 0; i < rows; i++)
		check(hash_pack(ranking.bits, u + i * (size_t) ranking.bits, codes + i * len, &err), &err);
	ranking.database_codes = codes + problem.rows * len;
	ranking.query_codes = ranking.database_codes + ranking.database * len;
	ranking.database_labels = labels_of(ranking.database, classes, class + problem.rows);
	ranking.query_labels = labels_of(ranking.queries, classes, class + problem.rows + ranking.database);
	check(hash_measure(&ranking, &quality, &err), &err);
	printf("%.6f\n", quality.map);
	return 0;
}
