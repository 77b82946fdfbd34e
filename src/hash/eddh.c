/*
 * eddh.c: Enhanced Deep Discrete Hashing, the training loop (METHODS 1.8). The mathematics of a step is in eddh_steps.c, S_hat in
 * similarity*.c; README.md says what of the paper is reconstructed.
 */
#include "hash/eddh_steps.h"
#include "hash/private.h"

#include <string.h>

#define PAPER_ROWS       13000                /* up to here h1 with all columns is affordable: the scale of the paper */
#define KEEP_BYTES       ((size_t) 200000000) /* S_hat at 8 bits is held up to this size (h1) */
#define OUTER_MAX        50
#define PULL_ROWS        4096 /* rows looked at for the scale of the gradient */
#define SATURATED_FROM   0.99
#define SAMPLE_AUTOMATIC -1
#define WEIGHT_AUTOMATIC -1
/* lambda and gamma; with a trained backbone chosen on validation pictures: docs/METHODS.md */
#define LAMBDA_CLASSES 10
#define LAMBDA_POWER   4
#define LAMBDA_MOST    100
#define GAMMA_TRAINED \
	100 /* B has to follow the class codes: one that follows the outputs confirms what they happen to be */
#define WEIGHT_SEVERAL   1 /* both, in h2 where rows have several labels */
#define WEIGHT_UNTRAINED 0.1

enum
{
	PARAM_VARIANT,
	PARAM_BALANCE,
	PARAM_LAMBDA,
	PARAM_MU,
	PARAM_GAMMA,
	PARAM_RHO,
	PARAM_OUTER,
	PARAM_WARMUP,
	PARAM_SAMPLE,
	PARAM_START,
	PARAM_SIMILARITY
};

static const hash_param params[] = {
	[PARAM_VARIANT] = { "variant", HASH_EDDH_AUTO, 0, 0, "auto|h0|h1|h2",
						"which reading of the paper's objective: h0 without P, h1 P for the labels, h2 P for the network; auto: h2 where rows have several labels and the backbone is trained, else h1 up to 13000 rows and h0 beyond" },
	[PARAM_BALANCE] = { "balance", HASH_BALANCE_RATIO, 0, 0, "none|ratio|center",
						"what is done about dissimilar pairs being more than similar ones" },
	[PARAM_LAMBDA] = { "lambda", WEIGHT_AUTOMATIC, WEIGHT_AUTOMATIC, 1e6, NULL,
					   "weight of |F - B|^2, as a share of the number of rows; -1: with a trained backbone 1 for up to 10 classes, growing to 100 for 32, or 1 in h2 where rows have several labels; else 0.1" },
	[PARAM_MU] = { "mu", 1, 1e-6, 1e6, NULL,
				   "weight of P against what it relaxes (h1, h2), as a share of the number of rows" },
	[PARAM_GAMMA] = { "gamma", WEIGHT_AUTOMATIC, WEIGHT_AUTOMATIC, 1e6, NULL,
					  "weight of |B - A'Y|^2, as a share of the number of rows; -1: with a trained backbone 100, or 1 in h2 where rows have several labels; else 0.1" },
	[PARAM_RHO] = { "rho", 0.01, 0, 1e6, NULL, "weight of |A'Y|^2, as a share of the number of rows" },
	[PARAM_OUTER] = { "outer", 0, 0, 10000, NULL,
					  "rounds of P-, theta-, A-, B-step over which the epochs are spread; 0: 3 epochs a round, fewer in a short training, at most 50 rounds",
					  .whole = true },
	[PARAM_WARMUP] = { "warmup", 1, 1, 10000, NULL,
					   "of the epochs, how many regress on fixed class codes before distances can be taken from a network that starts untrained; ignored with a trained backbone",
					   .whole = true },
	[PARAM_SAMPLE] = { "similarity_sample", SAMPLE_AUTOMATIC, SAMPLE_AUTOMATIC, 1e9, NULL,
					   "columns of the similarity matrix that are sampled; 0: all; -1: all up to 13000 rows, beyond that 512 to 4096",
					   .whole = true },
	[PARAM_START] = { "start", HASH_START_HADAMARD, 0, 0, "hadamard|random", "first class codes A" },
	[PARAM_SIMILARITY] = { "similarity", 0, 0, 0, "visual|labels",
						   "visual: S_hat of labels and looks; labels: S in +-1, to see what looks are good for" },
	{ NULL },
};

typedef struct training
{
	const hash_problem *problem;
	hash_eddh_variant variant;
	int warmup, outer, epochs_left;
	size_t sample;
	const float *features;
	float *own_features; /* of the warmed-up network */
	double *codes;       /* first A */
	hash_split_normal distances;
	hash_similarity *similarity;
	hash_eddh *eddh;
	double factor; /* of the gradient */
	int epoch;     /* done */
} training;

static inline double
value_of(const training *t, int param)
{
	return t->problem->values[param];
}

/*
 * With several labels a row, one frequent class can make nearly half of all pairs similar. The first direction of S is then whether a row has that class, and in
 * h1 codes spend themselves on it; in h2 the network meets S through P alone, a target in which no direction outweighs the others. Measured on trained backbones
 * only (docs/METHODS.md).
 */
static bool
several_on_trained(const training *t)
{
	return t->problem->labels->single == NULL && t->problem->features != NULL;
}

static hash_eddh_variant
automatic_variant(const training *t)
{
	if (several_on_trained(t))
		return HASH_EDDH_H2;
	return t->problem->rows > PAPER_ROWS ? HASH_EDDH_H0 : HASH_EDDH_H1;
}

/*
 * lambda on features that tell the classes apart already. What pairs say generalises better than codes as long as the pairs can be met: with ten classes a small
 * lambda is better at every length. The more classes, the less a class has of all pairs, and the fewer of their distances k bits can meet: with 25 and more, codes
 * near B are those that generalise. Measured with 10, 12, 25 and 51 classes (docs/METHODS.md); the power joins the ends, and meets LAMBDA_MOST at 32.
 */
static double
lambda_trained(const training *t)
{
	return fmin(fmax(1, pow((double) t->problem->labels->classes / LAMBDA_CLASSES, LAMBDA_POWER)), LAMBDA_MOST);
}

/* lambda or gamma; a network that starts from nothing is better led by the similarities alone. */
static double
discrete_weight(const training *t, int param, double trained)
{
	double value = value_of(t, param);

	if (value >= 0)
		return value;
	if (t->problem->features == NULL)
		return WEIGHT_UNTRAINED;
	return several_on_trained(t) && t->variant == HASH_EDDH_H2 ? WEIGHT_SEVERAL : trained;
}

/* ---- Plan ---- */

static eddh_code
check(int bits, int dim, int epochs, bool untrained, eddh_error *err)
{
	int least = untrained ? 2 : 1;

	if (dim < 1)
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "features need at least one dimension, not %d", dim);
	if (epochs < least)
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "EDDH needs at least %d epochs %s, not %d", least,
						 untrained ? "on an untrained network" : "to train", epochs);
	return EDDH_OK;
}

static int
warmup_epochs(const double *values, int epochs, bool untrained)
{
	int warmup = untrained ? (int) values[PARAM_WARMUP] : 0;

	return warmup < epochs ? warmup : epochs - 1;
}

static int
rounds(const double *values, int epochs, bool untrained)
{
	int rest = epochs - warmup_epochs(values, epochs, untrained), each = rest >= 30 ? 3 : rest >= 12 ? 2 : 1;
	int outer = (int) values[PARAM_OUTER];

	if (outer == 0)
		outer = rest / each < OUTER_MAX ? rest / each : OUTER_MAX;
	return outer < rest ? outer : rest;
}

/* F in each round, and the features once where none are given, for the visual similarity. */
static int
passes(const double *values, int epochs, bool untrained)
{
	return rounds(values, epochs, untrained) + untrained;
}

static eddh_code
plan(training *t, eddh_error *err)
{
	const hash_problem *problem = t->problem;
	bool untrained = problem->features == NULL;
	eddh_code code;

	t->variant = (hash_eddh_variant) value_of(t, PARAM_VARIANT);
	if (t->variant == HASH_EDDH_AUTO)
		t->variant = automatic_variant(t);
	t->sample = value_of(t, PARAM_SAMPLE) == SAMPLE_AUTOMATIC
					? hash_similarity_default_sample(problem->rows, problem->dim)
					: (size_t) value_of(t, PARAM_SAMPLE);
	code = check(problem->bits, problem->dim, problem->epochs, untrained, err);
	if (code != EDDH_OK)
		return code;
	t->warmup = warmup_epochs(problem->values, problem->epochs, untrained);
	t->epochs_left = problem->epochs - t->warmup;
	t->outer = rounds(problem->values, problem->epochs, untrained);
	return EDDH_OK;
}

static eddh_code
run_epoch(training *t, const char *phase, hash_gradient gradient, void *arg, eddh_error *err)
{
	const hash_problem *problem = t->problem;
	double loss;
	eddh_code code;

	hash_progress(problem, phase, t->epoch, problem->epochs);
	code = problem->net->epoch(problem->net->ctx, gradient, arg, &loss, err);
	if (code != EDDH_OK)
		return code;
	t->epoch++;
	hash_log(problem, "loss", t->epoch, loss);
	hash_progress(problem, phase, t->epoch, problem->epochs);
	return EDDH_OK;
}

/* ---- Before the rounds ---- */

/* An untrained network has no visual distances worth the name: labels alone first, towards the codes that A starts with. */
static eddh_code
warm_up(training *t, eddh_error *err)
{
	const hash_problem *problem = t->problem;
	hash_regression regression = { .bits = problem->bits, .labels = problem->labels, .codes = t->codes };
	eddh_code code = EDDH_OK;

	if (problem->features != NULL)
	{
		t->features = problem->features;
		return EDDH_OK;
	}
	hash_say(
		problem,
		"the backbone is untrained: %d of %d epochs regress on class codes alone, then visual distances are taken from the network so trained",
		t->warmup, problem->epochs);
	for (int epoch = 0; code == EDDH_OK && epoch < t->warmup; epoch++)
		code = run_epoch(t, "warm-up", hash_class_codes_gradient, &regression, err);
	if (code != EDDH_OK)
		return code;
	t->own_features = eddh_bulk_alloc(problem->bulk, problem->rows, problem->dim, sizeof *t->own_features);
	if (t->own_features == NULL)
		return hash_no_memory(err, "features");
	t->features = t->own_features;
	return problem->net->features(problem->net->ctx, t->own_features, err);
}

static eddh_code
draw_similarity(training *t, int round, eddh_error *err)
{
	const hash_problem *problem = t->problem;
	size_t columns = t->sample > 0 && t->sample < problem->rows ? t->sample : problem->rows;
	bool labels_only = value_of(t, PARAM_SIMILARITY) != 0;
	hash_similarity_options options = {
		.balance = (hash_balance) value_of(t, PARAM_BALANCE),
		.alpha = labels_only ? HASH_SIMILARITY_LABELS_ALPHA : t->distances.alpha,
		.beta = labels_only ? HASH_SIMILARITY_LABELS_BETA : t->distances.beta,
		.sample = t->sample,
		.seed = problem->seed + (uint64_t) round,
		.keep = t->variant == HASH_EDDH_H1 && columns <= KEEP_BYTES / problem->rows,
	};
	hash_similarity *drawn;
	eddh_code code;

	hash_progress(problem, "similarity", t->epoch, problem->epochs);
	code = hash_similarity_create(problem->rows, problem->dim, t->features, problem->labels, &options, problem->stop,
								  &drawn, err);
	if (code == EDDH_OK && t->eddh != NULL)
		code = hash_eddh_new_similarity(t->eddh, drawn, err);
	if (code != EDDH_OK)
	{
		hash_similarity_free(drawn);
		return code;
	}
	hash_similarity_free(t->similarity);
	t->similarity = drawn;
	return EDDH_OK;
}

static eddh_code
measure_similarity(training *t, eddh_error *err)
{
	const hash_problem *problem = t->problem;
	const char *variant = t->variant == HASH_EDDH_H0 ? "h0" : t->variant == HASH_EDDH_H1 ? "h1" : "h2";
	eddh_code code;

	hash_progress(problem, "similarity", t->epoch, problem->epochs);
	code = hash_similarity_thresholds(problem->rows, problem->dim, t->features, problem->labels, problem->seed,
									  &t->distances, err);
	if (code != EDDH_OK)
		return code;
	if (t->distances.guarded_low)
		hash_say(
			problem,
			"the fit of distances leaves no positive distance below the mode: its 15.87 %% quantile is used instead");
	if (t->distances.guarded_high)
		hash_say(problem, "the fit of distances has no spread above the mode: its 84.13 %% quantile is used instead");
	code = draw_similarity(t, 0, err);
	if (code != EDDH_OK)
		return code;
	hash_say(
		problem,
		"variant %s, %zu of %zu rows as columns of the similarity; mode of distances %.4f, alpha %.4f, beta %.4f, dissimilar pairs times %.4f",
		variant, t->similarity->columns, t->similarity->active, t->distances.mode, t->distances.alpha,
		t->distances.beta, t->similarity->ratio);
	return EDDH_OK;
}

/* ---- The theta-step ---- */

/*
 * The one place where the gradient is scaled. dJ/df is proportional to n (times k over c, times the size of A), so one learning rate could
 * not serve two data sets. At f = 0 it is -2 k r - 2 lambda b: it is divided so that the mean length of that is HASH_GRADIENT_LENGTH. Nothing else about J
 * changes, for within a round the factor is constant. Without a trained backbone lambda is left out: at its 0.1 it is a hundredth of the pull.
 */
static void
scale_gradient(training *t)
{
	const hash_labels *labels = t->problem->labels;
	size_t stride = labels->rows / PULL_ROWS + 1, count = 0;
	double length = 0, lambda = t->problem->features != NULL ? t->eddh->lambda : 0;
	int k = t->eddh->k;

	for (size_t i = 0; i < labels->rows; i += stride)
	{
		double r[HASH_BITS_MAX], square = 0;

		if (hash_labels_empty(labels, i))
			continue;
		hash_eddh_pull(t->eddh, i, r);
		for (int j = 0; j < k; j++)
			square += pow(k * r[j] + lambda * t->eddh->b[i * k + j], 2);
		length += 2 * sqrt(square);
		count++;
	}
	t->factor = length > 0 ? HASH_GRADIENT_LENGTH * (double) count / length : 0;
}

static eddh_code
theta_gradient(void *arg, int n, const uint32_t *rows, const float *u, float *du, double *loss, eddh_error *err)
{
	training *t = arg;
	int k = t->eddh->k;
	double active = (double) t->similarity->active, total = 0;
	int labelled = 0;

	for (int i = 0; i < n; i++)
	{
		const float *ui = u + (size_t) i * k;
		float *di = du + (size_t) i * k;
		double f[HASH_BITS_MAX], gradient[HASH_BITS_MAX];

		for (int j = 0; j < k; j++)
		{
			if (!isfinite(ui[j]))
				return eddh_fail(err, EDDH_NUMERIC, "the network's output for row %u is not finite", rows[i]);
			f[j] = tanh(ui[j]);
		}
		total += hash_eddh_row(t->eddh, rows[i], f, gradient);
		labelled += !hash_labels_empty(t->eddh->labels, rows[i]);
		for (int j = 0; j < k; j++)
			di[j] = (float) (t->factor * gradient[j] * hash_tanh_slope(ui[j]) / n);
	}
	/* As J / (n^2 k^2), to which h0 and h1 add a constant; the network of h2 sees a regression only. */
	*loss = total / (labelled > 0 ? labelled : 1) / (active * k * k);
	if (t->variant != HASH_EDDH_H2)
		*loss += t->similarity->square / (active * active);
	return EDDH_OK;
}

/* F of the whole table from one state of the network. */
static eddh_code
forward_all(training *t, eddh_error *err)
{
	hash_eddh *e = t->eddh;
	eddh_code code = t->problem->net->outputs(t->problem->net->ctx, e->f, err);

	if (code != EDDH_OK)
		return code;
	for (size_t i = 0; i < t->problem->rows * e->k; i++)
	{
		if (!isfinite(e->f[i]))
			return eddh_fail(err, EDDH_NUMERIC, "the network's output for row %zu is not finite", i / e->k);
		e->f[i] = tanhf(e->f[i]);
	}
	return hash_eddh_see_f(e, t->problem->stop, err);
}

/* ---- Rounds ---- */

static eddh_code
log_round(training *t, int round, eddh_error *err)
{
	const hash_eddh *e = t->eddh;
	double n = (double) t->similarity->active, entries = n * e->k;
	double objective, saturated = 0, disagree = 0, balance = 0;
	double bit_sum[HASH_BITS_MAX] = { 0 };
	eddh_code code = hash_eddh_objective(t->eddh, &objective, err);

	if (code != EDDH_OK)
		return code;
	for (size_t i = 0; i < t->problem->rows; i++)
	{
		if (hash_labels_empty(e->labels, i))
			continue;
		for (int j = 0; j < e->k; j++)
		{
			float f = e->f[i * e->k + j];
			int bit = f >= 0 ? 1 : -1;

			saturated += fabsf(f) > SATURATED_FROM;
			disagree += bit != e->b[i * e->k + j];
			bit_sum[j] += bit;
		}
	}
	for (int j = 0; j < e->k; j++)
		balance += fabs(bit_sum[j]) / entries;
	hash_log(t->problem, "objective", round, objective / (n * n * e->k * e->k));
	hash_log(t->problem, "saturated", round, saturated / entries);
	hash_log(t->problem, "balance", round, balance);
	hash_log(t->problem, "disagree", round, disagree / entries);
	return EDDH_OK;
}

static eddh_code
run_round(training *t, int round, eddh_error *err)
{
	int from = (int) ((int64_t) t->epochs_left * (round - 1) / t->outer),
		to = (int) ((int64_t) t->epochs_left * round / t->outer);
	bool sampled = t->similarity->columns < t->similarity->active;
	eddh_code code = EDDH_OK;

	/* The first round leaves P = T: while F is small, P ~ k / |F| would explode (1.11.3). */
	if (round > 1)
	{
		if (t->variant == HASH_EDDH_H1 && sampled)
		{
			code = draw_similarity(t, round, err);
			if (code == EDDH_OK)
				code = hash_eddh_see_f(t->eddh, t->problem->stop, err);
		}
		if (code == EDDH_OK)
			code = hash_eddh_p_step(t->eddh, err);
	}
	if (code == EDDH_OK)
		code = hash_eddh_prepare_theta(t->eddh, t->problem->stop, err);
	if (code != EDDH_OK)
		return code;
	scale_gradient(t);
	for (int epoch = from; code == EDDH_OK && epoch < to; epoch++)
		code = run_epoch(t, "train", theta_gradient, t, err);
	if (code == EDDH_OK)
		code = forward_all(t, err);
	if (code == EDDH_OK)
		code = hash_eddh_a_step(t->eddh, err);
	if (code != EDDH_OK)
		return code;
	hash_eddh_b_step(t->eddh);
	return log_round(t, round, err);
}

static eddh_code
run(training *t, eddh_error *err)
{
	const hash_problem *problem = t->problem;
	double weights[4];
	eddh_code code = plan(t, err);

	if (code != EDDH_OK)
		return code;
	weights[0] = discrete_weight(t, PARAM_LAMBDA, lambda_trained(t));
	weights[1] = value_of(t, PARAM_MU);
	weights[2] = discrete_weight(t, PARAM_GAMMA, GAMMA_TRAINED);
	weights[3] = value_of(t, PARAM_RHO);
	t->codes = hash_alloc(problem->labels->classes, problem->bits, sizeof *t->codes);
	if (t->codes == NULL)
		return hash_no_memory(err, "class codes");
	code = hash_class_codes_draw((hash_code_start) value_of(t, PARAM_START), problem->labels->classes, problem->bits,
								 problem->seed, t->codes, err);
	if (code == EDDH_OK)
		code = warm_up(t, err);
	if (code == EDDH_OK)
		code = measure_similarity(t, err);
	if (code == EDDH_OK)
		code = hash_eddh_create(t->variant, problem->bits, problem->labels, t->similarity, weights, t->codes, &t->eddh,
								err);
	if (code == EDDH_OK && t->variant != HASH_EDDH_H1)
	{
		/* M is all that h0 and h2 want of the features. */
		eddh_bulk_free(problem->bulk, t->own_features);
		t->own_features = NULL;
	}
	for (int round = 1; code == EDDH_OK && round <= t->outer; round++)
		code = run_round(t, round, err);
	return code;
}

static eddh_code
train(const hash_problem *problem, hash_head *linear, eddh_error *err)
{
	training t = { .problem = problem };
	eddh_code code = hash_check_supervised(problem, err);

	memset(linear, 0, sizeof *linear);
	if (code == EDDH_OK)
		code = run(&t, err);
	hash_eddh_free(t.eddh);
	hash_similarity_free(t.similarity);
	eddh_bulk_free(problem->bulk, t.own_features);
	free(t.codes);
	return code;
}

/* Of the similarity matrix, for estimates. */
static double
columns_of(const double *values, double rows, int dim)
{
	double sample = values[PARAM_SAMPLE];

	if (sample == SAMPLE_AUTOMATIC)
		sample = (double) hash_similarity_default_sample((size_t) rows, dim);
	return sample > 0 ? fmin(sample, rows) : rows;
}

/* For estimates, which take all rows for those with one label. */
static bool
is_h1(const double *values, double rows)
{
	hash_eddh_variant variant = (hash_eddh_variant) values[PARAM_VARIANT];

	return variant == HASH_EDDH_H1 || (variant == HASH_EDDH_AUTO && rows <= PAPER_ROWS);
}

/* M for each class twice, since dissimilar pairs are summed up beside it where rows have several labels; the network's F and B; then what a variant has. */
static double
bulk_bytes(const double *values, double rows, int dim, int bits, int classes, bool untrained)
{
	bool h1 = is_h1(values, rows);
	double columns = columns_of(values, rows, dim);
	double bytes =
		rows * (16.0 * classes + 32) + columns * dim * sizeof(float) + (h1 ? fmin(KEEP_BYTES, rows * columns) : 0);

	/* A new sample is drawn while the last is still there. */
	if (h1 && columns < rows)
		bytes *= 2;
	bytes += rows * bits * 5.0;
	if (h1)
		bytes += rows * bits * 4.0 + columns * bits * 24.0;
	else if (values[PARAM_VARIANT] != HASH_EDDH_H0)
		bytes += rows * bits * 8.0;
	return bytes + (untrained ? rows * dim * sizeof(float) : 0);
}

/*
 * Similarities: once, but by h1 for each round's sample, and twice a round where they are too many to be kept; what h1's rounds do with each, and all rounds with
 * bits.
 */
static double
seconds(const double *values, const hash_size *size)
{
	double n = size->rows, k = size->bits, columns = columns_of(values, n, size->dim), entries = n * columns;
	double outer = rounds(values, size->epochs, size->untrained), times = 1, each = 0;

	if (is_h1(values, n))
	{
		times = (columns < n ? outer : 1) + (entries > KEEP_BYTES ? 2 * outer : 0);
		each = entries * (5e-9 + 5e-11 * k);
	}
	return times * entries * 1.7e-11 * size->dim + outer * (each + n * 1.6e-9 * k * k);
}

const hash_method hash_eddh_method = {
	.name = "eddh",
	.title = "Enhanced Deep Discrete Hashing",
	.paper =
		"Z. Yang, L. Yang, W. Huang, L. Sun, J. Long: Enhanced Deep Discrete Hashing with semantic-visual similarity for image retrieval, Information Processing & Management 58(5), 2021, 102648",
	.notes =
		"Where P and mu enter the objective and the closed forms of the A- and B-steps are reconstructed (three variants); dissimilar pairs are balanced against similar ones; above 13,000 rows similarities are estimated from a sample of columns; the first class codes are Hadamard rows, or codes drawn to be far apart. A hash layer on fixed features sees kernel values unless head is linear.",
	.needs_labels = true,
	.needs_net = true,
	.anchors_by_default = true,
	.several = (const hash_setting[]){ { "batch", 256 }, { "weight_decay", 0.005 }, { NULL } },
	.params = params,
	.bulk = bulk_bytes,
	.passes = passes,
	.check = check,
	.seconds = seconds,
	.train = train,
};
