/*
 * class_codes.c: the baseline beside EDDH. Every class has a fixed code of +-1 and the network regresses on it: what a hash learns from
 * labels alone, without similarity, without a discrete variable. EDDH without features of its own begins in the same way.
 */
#include "hash/private.h"

#include <string.h>

#define DRAWS       64
#define CANDIDATES  256
#define APART_LIMIT UINT64_C(2000000000) /* multiply-adds: beyond that, random codes */

static inline double
hadamard(unsigned row, unsigned column)
{
	return __builtin_parity(row & column) ? -1 : 1;
}

/* Sum over bits of the squared column sums: 0 when every bit splits the classes in halves. */
static double
imbalance(int classes, int bits, const double *codes)
{
	double total = 0;

	for (int j = 0; j < bits; j++)
	{
		double sum = 0;

		for (int c = 0; c < classes; c++)
			sum += codes[(size_t) c * bits + j];
		total += sum * sum;
	}
	return total;
}

/*
 * Rows of a Hadamard matrix for each block of bits whose width is a power of two (48 = 32 + 16), so that codes of two classes differ in half
 * of the bits wherever the block has enough rows; a class beyond the block's width takes a row with the opposite sign. The first column of a
 * Hadamard matrix is constant, so rows are chosen and signed at random and the draw with the best balanced bits wins.
 */
static eddh_code
draw_hadamard(int classes, int bits, eddh_rng *rng, double *codes, eddh_error *err)
{
	double *trial = hash_alloc(classes, bits, sizeof *trial);
	uint32_t *rows = hash_alloc(bits, 1, sizeof *rows);
	double best = INFINITY;

	if (trial == NULL || rows == NULL)
	{
		free(trial);
		free(rows);
		return hash_no_memory(err, "class codes");
	}
	for (int draw = 0; draw < DRAWS; draw++)
	{
		double score;

		for (int first = 0, width; first < bits; first += width)
		{
			uint64_t signs[HASH_BITS_MAX / 64 + 1];

			width = 1 << (31 - __builtin_clz((unsigned) (bits - first)));
			for (int r = 0; r < width; r++)
				rows[r] = r;
			eddh_rng_shuffle(rng, width, rows);
			for (int w = 0; w <= width / 64; w++)
				signs[w] = eddh_rng_next(rng);
			for (int c = 0; c < classes; c++)
			{
				int r = c % width;
				bool flip = ((signs[r / 64] >> (r % 64)) ^ (uint64_t) (c / width)) & 1;

				for (int j = 0; j < width; j++)
					trial[(size_t) c * bits + first + j] = flip ? -hadamard(rows[r], j) : hadamard(rows[r], j);
			}
		}
		score = imbalance(classes, bits, trial);
		if (score < best)
		{
			best = score;
			memcpy(codes, trial, (size_t) classes * bits * sizeof *codes);
		}
	}
	free(trial);
	free(rows);
	return EDDH_OK;
}

/*
 * More classes than Hadamard rows and their opposites: class by class, of CANDIDATES random codes the one whose nearest code so far is farthest, and among
 * those the one that leaves the bits best balanced. Random codes alone put some of 51 classes in 16 bits one or two bits apart.
 */
static void
draw_apart(int classes, int bits, eddh_rng *rng, double *codes)
{
	double sum[HASH_BITS_MAX] = { 0 };

	for (int c = 0; c < classes; c++)
	{
		double *best = codes + (size_t) c * bits, best_near = INFINITY, best_tilt = INFINITY;

		for (int candidate = 0; candidate < CANDIDATES; candidate++)
		{
			double trial[HASH_BITS_MAX], near = -INFINITY, tilt = 0;

			for (int j = 0; j < bits; j++)
			{
				trial[j] = (eddh_rng_next(rng) >> 63) != 0 ? 1 : -1;
				tilt += trial[j] * sum[j];
			}
			for (int other = 0; other < c; other++)
			{
				double product = 0;

				for (int j = 0; j < bits; j++)
					product += trial[j] * codes[(size_t) other * bits + j];
				near = fmax(near, product);
			}
			if (candidate == 0 || near < best_near || (near == best_near && tilt < best_tilt))
			{
				memcpy(best, trial, bits * sizeof *best);
				best_near = near;
				best_tilt = tilt;
			}
		}
		for (int j = 0; j < bits; j++)
			sum[j] += best[j];
	}
}

eddh_code
hash_class_codes_draw(hash_code_start start, int classes, int bits, uint64_t seed, double *codes, eddh_error *err)
{
	int widest = 1 << (31 - __builtin_clz((unsigned) bits));
	eddh_rng rng;

	eddh_rng_seed_stream(&rng, seed, UINT64_C(0xC0DE));
	if (start == HASH_START_HADAMARD && classes <= 2 * widest)
		return draw_hadamard(classes, bits, &rng, codes, err);
	if (start == HASH_START_HADAMARD &&
		(uint64_t) classes * (uint64_t) classes <= 2 * APART_LIMIT / ((uint64_t) bits * CANDIDATES))
	{
		draw_apart(classes, bits, &rng, codes);
		return EDDH_OK;
	}
	for (size_t i = 0; i < (size_t) classes * bits; i++)
		codes[i] = (eddh_rng_next(&rng) >> 63) != 0 ? 1 : -1;
	return EDDH_OK;
}

eddh_code
hash_class_codes_gradient(void *arg, int n, const uint32_t *rows, const float *u, float *du, double *loss,
						  eddh_error *err)
{
	const hash_regression *regression = arg;
	const hash_labels *labels = regression->labels;
	int k = regression->bits;
	double factor = HASH_GRADIENT_LENGTH / sqrt(k) / n;
	double total = 0;

	for (int i = 0; i < n; i++)
	{
		const float *ui = u + (size_t) i * k;
		float *di = du + (size_t) i * k;
		double target[HASH_BITS_MAX] = { 0 };
		int count = 0;

		for (int c = hash_labels_next(labels, rows[i], 0); c >= 0; c = hash_labels_next(labels, rows[i], c + 1))
		{
			for (int j = 0; j < k; j++)
				target[j] += regression->codes[(size_t) c * k + j];
			count++;
		}
		for (int j = 0; j < k; j++)
		{
			double error = count > 0 ? tanh(ui[j]) - target[j] / count : 0;

			if (!isfinite(ui[j]))
				return eddh_fail(err, EDDH_NUMERIC, "the network's output for row %u is not finite", rows[i]);
			di[j] = (float) (factor * error * hash_tanh_slope(ui[j]));
			total += error * error;
		}
	}
	*loss = total / ((double) n * k);
	return EDDH_OK;
}

enum
{
	PARAM_START
};

static const hash_param params[] = {
	[PARAM_START] = { "start", HASH_START_RANDOM, 0, 0, "hadamard|random", "how the codes of the classes are drawn" },
	{ NULL },
};

static eddh_code
train(const hash_problem *problem, hash_head *linear, eddh_error *err)
{
	hash_regression regression = { .bits = problem->bits, .labels = problem->labels };
	eddh_code code = hash_check_supervised(problem, err);
	double *codes;

	memset(linear, 0, sizeof *linear);
	if (code != EDDH_OK)
		return code;
	codes = hash_alloc(problem->labels->classes, problem->bits, sizeof *codes);
	if (codes == NULL)
		return hash_no_memory(err, "class codes");
	code = hash_class_codes_draw((hash_code_start) problem->values[PARAM_START], problem->labels->classes,
								 problem->bits, problem->seed, codes, err);
	regression.codes = codes;
	for (int epoch = 1; code == EDDH_OK && epoch <= problem->epochs; epoch++)
	{
		double loss;

		hash_progress(problem, "train", epoch - 1, problem->epochs);
		code = problem->net->epoch(problem->net->ctx, hash_class_codes_gradient, &regression, &loss, err);
		if (code == EDDH_OK)
			hash_log(problem, "loss", epoch, loss);
	}
	if (code == EDDH_OK)
		hash_progress(problem, "train", problem->epochs, problem->epochs);
	free(codes);
	return code;
}

const hash_method hash_class_codes_method = {
	.name = "class_codes",
	.title = "Fixed random class codes",
	.paper =
		"No paper: the baseline of learning from labels alone; compare L. Yuan et al., Central Similarity Quantization, CVPR 2020, whose centres are Hadamard rows",
	.notes =
		"The network regresses tanh(u) on the code of the row's class (several labels: their mean code). Not one of the ten methods of the paper.",
	.needs_labels = true,
	.needs_net = true,
	.params = params,
	.train = train,
};
