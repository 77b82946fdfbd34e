/*
 * bench_hash.c: processor seconds (one thread) of the parts of training that are not the network: the pass over S_hat, a round of EDDH's closed forms, ITQ. The
 * features are noise around class centres.
 *
 *   bench_hash [rows dim]...      default: 60000 256, 10000 1280, 6000 4096
 */
#include "bench.h"
#include "hash/eddh_steps.h"

#include <stdio.h>
#include <stdlib.h>

enum
{
	BITS = 64,
	CLASSES = 10
};

/* A low-dimensional signal, as features have, and noise; what is negative becomes 0. */
static void
fill(size_t rows, int dim, hash_labels *labels, float *z)
{
	float *centres = malloc((size_t) CLASSES * dim * sizeof *centres);
	eddh_rng rng;

	eddh_rng_seed(&rng, 1);
	for (int i = 0; i < CLASSES * dim; i++)
		centres[i] = (float) eddh_rng_normal(&rng);
	for (size_t i = 0; i < rows; i++)
	{
		int c = (int) eddh_rng_below(&rng, CLASSES);

		hash_labels_add(labels, i, c);
		for (int j = 0; j < dim; j++)
		{
			float x = centres[c * dim + j] + (float) (4 * eddh_rng_uniform(&rng) - 2);

			z[i * dim + j] = x > 0 ? x : 0;
		}
	}
	free(centres);
}

static void
measure(size_t rows, int dim)
{
	const double weights[] = { 0.1, 1, 0.1, 0.01 };
	const hash_method *itq = hash_method_find("itq");
	double values[] = { itq->params[0].standard }, start, codes[CLASSES * BITS], objective;
	float *z = malloc(rows * dim * sizeof *z);
	hash_similarity_options options = { .balance = HASH_BALANCE_RATIO,
										.sample = hash_similarity_default_sample(rows, dim) };
	hash_problem problem = { .rows = rows, .dim = dim, .bits = BITS, .features = z, .seed = 1, .values = values };
	hash_head linear;
	hash_labels *labels;
	hash_split_normal fit;
	hash_similarity *s;
	hash_eddh *e;
	eddh_error err;
	eddh_rng rng;

	bench_check(hash_labels_create(NULL, rows, CLASSES, &labels, &err), &err);
	fill(rows, dim, labels, z);
	bench_check(hash_labels_finish(labels, &err), &err);
	printf("%zu rows, %d features, %d bits\n", rows, dim, BITS);

	start = bench_seconds(CLOCK_PROCESS_CPUTIME_ID);
	bench_check(hash_similarity_thresholds(rows, dim, z, labels, 1, &fit, &err), &err);
	printf("  thresholds        %7.2f s\n", bench_seconds(CLOCK_PROCESS_CPUTIME_ID) - start);
	options.alpha = fit.alpha;
	options.beta = fit.beta;
	start = bench_seconds(CLOCK_PROCESS_CPUTIME_ID);
	bench_check(hash_similarity_create(rows, dim, z, labels, &options, NULL, &s, &err), &err);
	printf("  similarity        %7.2f s (%zu columns)\n", bench_seconds(CLOCK_PROCESS_CPUTIME_ID) - start, s->columns);

	eddh_rng_seed(&rng, 2);
	for (int i = 0; i < CLASSES * BITS; i++)
		codes[i] = (eddh_rng_next(&rng) >> 63) != 0 ? 1 : -1;
	bench_check(hash_eddh_create(HASH_EDDH_H0, BITS, labels, s, weights, codes, &e, &err), &err);
	for (size_t i = 0; i < rows * BITS; i++)
		e->f[i] = (float) (2 * eddh_rng_uniform(&rng) - 1);
	start = bench_seconds(CLOCK_PROCESS_CPUTIME_ID);
	bench_check(hash_eddh_see_f(e, NULL, &err), &err);
	bench_check(hash_eddh_a_step(e, &err), &err);
	hash_eddh_b_step(e);
	bench_check(hash_eddh_prepare_theta(e, NULL, &err), &err);
	bench_check(hash_eddh_objective(e, &objective, &err), &err);
	printf("  h0: A, B, Q, J    %7.2f s\n", bench_seconds(CLOCK_PROCESS_CPUTIME_ID) - start);
	hash_eddh_free(e);
	hash_similarity_free(s);
	hash_labels_free(labels);

	start = bench_seconds(CLOCK_PROCESS_CPUTIME_ID);
	bench_check(itq->train(&problem, &linear, &err), &err);
	printf("  itq               %7.2f s\n", bench_seconds(CLOCK_PROCESS_CPUTIME_ID) - start);
	hash_head_clear(&linear);
	free(z);
}

int
main(int argc, char **argv)
{
	if (argc < 3)
	{
		measure(60000, 256);
		measure(10000, 1280);
		measure(6000, 4096);
	}
	for (int i = 1; i + 1 < argc; i += 2)
		measure(strtoull(argv[i], NULL, 10), atoi(argv[i + 1]));
	return 0;
}
