/* itq.c: this project's ITQ for test_itq.py: itq ROWS DIM BITS SEED ITERATIONS reads float32 features (ROWS x DIM), writes w (BITS x DIM), then b (BITS). */
#include <stdio.h>
#include <stdlib.h>

#include "hash/hash.h"

int
main(int argc, char **argv)
{
	const hash_method *method = hash_method_find("itq");
	hash_problem problem = { 0 };
	hash_head head;
	double iterations;
	float *features;
	size_t count;
	eddh_error err;

	if (argc != 6 || hash_param_count(method) != 1)
		return 2;
	problem.rows = (size_t) atoi(argv[1]);
	problem.dim = atoi(argv[2]);
	problem.bits = atoi(argv[3]);
	problem.seed = (uint64_t) atoi(argv[4]);
	iterations = atof(argv[5]);
	problem.values = &iterations;
	count = problem.rows * (size_t) problem.dim;
	features = malloc(count * sizeof(*features));
	if (features == NULL || fread(features, sizeof(*features), count, stdin) != count)
		return 2;
	problem.features = features;
	if (method->train(&problem, &head, &err) != EDDH_OK)
	{
		fprintf(stderr, "itq: %s\n", err.message);
		return 1;
	}
	count = (size_t) problem.bits * (size_t) problem.dim;
	if (fwrite(head.w, sizeof(*head.w), count, stdout) != count ||
		fwrite(head.b, sizeof(*head.b), (size_t) problem.bits, stdout) != (size_t) problem.bits)
		return 1;
	hash_head_clear(&head);
	free(features);
	return 0;
}
