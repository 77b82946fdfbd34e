/*
 * sh.c: Spectral Hashing. Y. Weiss, A. Torralba, R. Fergus, NIPS 2008 (METHODS 2.1).
 *
 * Along each principal component, with range r, the eigenfunctions of a uniform density are sin(pi/2 + j pi (v - min) / r); the k of lowest
 * frequency among all components are the bits.
 */
#include "hash/components.h"
#include "hash/private.h"
#include "nn/gemm.h"

#include <string.h>

#define BLOCK 512
#define PI    3.14159265358979323846

typedef struct mode
{
	int component;
	double frequency; /* j pi / r */
} mode;

static int
compare_modes(const void *a, const void *b)
{
	const mode *x = a, *y = b;

	if (x->frequency != y->frequency)
		return x->frequency < y->frequency ? -1 : 1;
	return x->component - y->component;
}

/* Range of the training rows along each component, from the mean. */
static eddh_code
find_ranges(const hash_problem *problem, const hash_components *c, int count, double *low, double *high,
			eddh_error *err)
{
	size_t d = problem->dim, p = count;
	float *vectors = hash_alloc(p, d, sizeof *vectors), *block = hash_alloc(BLOCK, d, sizeof *block);
	float *v = hash_alloc(BLOCK, p, sizeof *v);
	eddh_code code = EDDH_OK;

	if (vectors == NULL || block == NULL || v == NULL)
		code = hash_no_memory(err, "projections of the features");
	for (size_t i = 0; code == EDDH_OK && i < p * d; i++)
		vectors[i] = (float) c->vectors[i];
	for (size_t j = 0; j < p; j++)
	{
		low[j] = INFINITY;
		high[j] = -INFINITY;
	}
	for (size_t first = 0; code == EDDH_OK && first < problem->rows; first += BLOCK)
	{
		size_t rows = problem->rows - first < BLOCK ? problem->rows - first : BLOCK;

		for (size_t i = 0; i < rows; i++)
		{
			for (size_t j = 0; j < d; j++)
				block[i * d + j] = (float) (problem->features[(first + i) * d + j] - c->mean[j]);
		}
		nn_gemm(false, true, rows, p, d, 1, block, d, vectors, d, 0, v, p);
		for (size_t i = 0; i < rows * p; i++)
		{
			low[i % p] = v[i] < low[i % p] ? v[i] : low[i % p];
			high[i % p] = v[i] > high[i % p] ? v[i] : high[i % p];
		}
	}
	free(vectors);
	free(block);
	free(v);
	return code;
}

/* The k modes of lowest frequency. Along the widest component there are k of them, so there are always enough. */
static mode *
lowest_modes(int bits, int count, const double *low, const double *high)
{
	double widest = 0;
	mode *modes = hash_alloc(count, bits, sizeof *modes);
	size_t found = 0;

	if (modes == NULL)
		return NULL;
	for (int i = 0; i < count; i++)
		widest = high[i] - low[i] > widest ? high[i] - low[i] : widest;
	for (int i = 0; i < count; i++)
	{
		double range = high[i] - low[i];
		int most = (int) ceil((bits + 1) * range / widest) - 1;

		for (int j = 1; j <= most && j <= bits && range > 1e-9 * widest; j++)
			modes[found++] = (mode){ i, j * PI / range };
	}
	qsort(modes, found, sizeof *modes, compare_modes);
	return modes;
}

static eddh_code
compose(const hash_problem *problem, const hash_components *c, int count, const double *low, const double *high,
		hash_head *head, eddh_error *err)
{
	size_t d = problem->dim;
	mode *modes = lowest_modes(problem->bits, count, low, high);
	eddh_code code = modes == NULL ? hash_no_memory(err, "eigenfunctions")
								   : hash_head_create(problem->dim, problem->bits, problem->bits, false, head, err);

	for (int i = 0; code == EDDH_OK && i < problem->bits; i++)
	{
		const double *vector = c->vectors + modes[i].component * d;
		double offset = PI / 2 - modes[i].frequency * low[modes[i].component];

		for (size_t j = 0; j < d; j++)
		{
			head->w[i * d + j] = (float) (modes[i].frequency * vector[j]);
			offset -= modes[i].frequency * vector[j] * c->mean[j];
		}
		head->b[i] = (float) offset;
	}
	if (code == EDDH_OK)
		head->sine = true;
	free(modes);
	return code;
}

static eddh_code
train(const hash_problem *problem, hash_head *head, eddh_error *err)
{
	int count = problem->bits < problem->dim ? problem->bits : problem->dim;
	hash_components c = { 0 };
	double *low = NULL, *high = NULL;
	eddh_code code;

	memset(head, 0, sizeof *head);
	if (problem->features == NULL)
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "spectral hashing needs features of a trained backbone");
	code = hash_check_bits(problem->bits, problem->dim, problem->epochs, false, err);
	if (code == EDDH_OK && problem->rows < 2)
		code = eddh_fail(err, EDDH_BAD_ARGUMENT, "spectral hashing needs at least 2 rows, not %zu", problem->rows);
	if (code != EDDH_OK)
		return code;
	hash_progress(problem, "components", 0, 1);
	code = hash_components_find(problem, count, &c, err);
	low = hash_alloc(count, 1, sizeof *low);
	high = hash_alloc(count, 1, sizeof *high);
	if (code == EDDH_OK && (low == NULL || high == NULL))
		code = hash_no_memory(err, "ranges of the components");
	if (code == EDDH_OK)
		code = find_ranges(problem, &c, count, low, high, err);
	if (code == EDDH_OK)
		code = compose(problem, &c, count, low, high, head, err);
	if (code == EDDH_OK)
		hash_progress(problem, "train", 1, 1);
	hash_components_clear(&c);
	free(low);
	free(high);
	return code;
}

static const hash_param params[] = {
	{ NULL },
};

static double
seconds(const double *values, const hash_size *size)
{
	int count = size->bits < size->input_dim ? size->bits : size->input_dim;

	return hash_components_seconds(size->rows, size->input_dim, count) + 1e-11 * size->rows * size->input_dim * count;
}

const hash_method hash_sh_method = {
	.name = "sh",
	.title = "Spectral Hashing",
	.paper = "Y. Weiss, A. Torralba, R. Fergus: Spectral Hashing, NIPS 2008",
	.notes =
		"Needs no labels and has no parameters. Ranges are minimum and maximum along each component of the training rows alone, as in the authors' code; bits are sin(w z + b) >= 0.",
	.needs_labels = false,
	.needs_net = false,
	.no_anchors = true,
	.params = params,
	.check = hash_check_bits,
	.seconds = seconds,
	.train = train,
};
