/* The trainer: same bits for the same seed and threads, the loss falls, frozen layers stay, a stop stops, broken numbers are named. */
#include "nn_cases.h"

#include <pthread.h>

#include "nn/graph.h"

#define SAMPLES 96
#define SIZE    8
#define INPUTS  (2 * SIZE * SIZE)
#define OUTPUTS 4

/* Four classes of noisy patterns, and the squared distance to a code each. */
typedef struct toy
{
	float x[SAMPLES][INPUTS];
	int label[SAMPLES];
	double loss;      /* of the last batch, mean */
	bool poison;      /* hand out a NaN gradient */
	eddh_code result; /* of the gradient callback */
	size_t hidden;    /* sample that cannot be read; 0: none */
	float du[64 * OUTPUTS];
	float u[64 * OUTPUTS];
} toy;

static toy *
toy_new(uint64_t seed)
{
	toy *t = calloc(1, sizeof *t);
	eddh_rng rng;

	eddh_rng_seed(&rng, seed);
	for (int i = 0; i < SAMPLES; i++)
	{
		t->label[i] = (int) eddh_rng_below(&rng, OUTPUTS);
		for (int j = 0; j < INPUTS; j++)
			t->x[i][j] = (float) (0.5 * eddh_rng_normal(&rng)) +
						 ((j / 7 + t->label[i] * j / 5) % 4 == t->label[i] ? 1.0f : 0.0f);
	}
	return t;
}

static eddh_code
toy_fetch(void *arg, size_t row, float *input, const eddh_stop *stop, eddh_error *err)
{
	toy *t = arg;

	if (t->hidden > 0 && row == t->hidden)
		return eddh_fail(err, EDDH_BAD_DATA, "sample %zu cannot be read", row);
	memcpy(input, t->x[row], INPUTS * sizeof *input);
	return EDDH_OK;
}

static eddh_code
toy_gradient(void *arg, int n, const uint32_t *rows, const float *u, float *du, eddh_error *err)
{
	toy *t = arg;

	t->loss = 0.0;
	for (int i = 0; i < n; i++)
		for (int j = 0; j < OUTPUTS; j++)
		{
			float want = t->label[rows[i]] == j ? 1.0f : -1.0f;
			float d = u[i * OUTPUTS + j] - want;

			t->loss += 0.5 * (double) d * (double) d / n;
			du[i * OUTPUTS + j] = d / (float) n;
		}
	if (t->poison)
		du[1] = NAN;
	memcpy(t->u, u, (size_t) n * OUTPUTS * sizeof *u);
	memcpy(t->du, du, (size_t) n * OUTPUTS * sizeof *du);
	return t->result == EDDH_OK ? EDDH_OK : eddh_fail(err, t->result, "no gradient today");
}

static uint32_t
layer(nn_graph *g, nn_node node, uint32_t from, const char *name, eddh_rng *rng)
{
	eddh_error err;
	uint32_t out;

	if (nn_graph_add_node(g, &node, name, 1, &from, name, &out, &err) != EDDH_OK)
		fail_msg("%s: %s", name, err.message);
	{
		const nn_node *added = &g->nodes[g->n_nodes - 1];

		for (uint64_t i = 0; i < added->w_count; i++)
			g->weights[added->w + i] = (float) (0.3 * eddh_rng_normal(rng));
		for (uint64_t i = 0; i < added->b_count; i++)
			g->weights[added->b + i] = 0.1f;
	}
	return out;
}

/* conv 5 - relu - pool - flatten - dense. Nodes: 0 conv, 1 relu, 2 pool, 3 flatten, 4 dense. */
static nn_graph *
toy_graph(uint64_t seed)
{
	const int dim[3] = { 2, SIZE, SIZE };
	nn_graph *g;
	eddh_error err;
	eddh_rng rng;
	uint32_t at = 0;

	eddh_rng_seed(&rng, seed);
	assert_int_equal(nn_graph_new(&g, &err), EDDH_OK);
	assert_int_equal(nn_graph_set_input(g, "x", 3, dim, &err), EDDH_OK);
	at = layer(g,
			   (nn_node){ .op = NN_OP_CONV,
						  .k = 5,
						  .groups = 1,
						  .w_count = 5 * 2 * 9,
						  .b_count = 5,
						  .window = { .kh = 3,
									  .kw = 3,
									  .sh = 1,
									  .sw = 1,
									  .ph0 = 1,
									  .ph1 = 1,
									  .pw0 = 1,
									  .pw1 = 1,
									  .dh = 1,
									  .dw = 1 } },
			   at, "conv", &rng);
	at = layer(g, (nn_node){ .op = NN_OP_RELU }, at, "relu", &rng);
	at = layer(g, (nn_node){ .op = NN_OP_MAXPOOL, .window = { .kh = 2, .kw = 2, .sh = 2, .sw = 2, .dh = 1, .dw = 1 } },
			   at, "pool", &rng);
	at = layer(g, (nn_node){ .op = NN_OP_FLATTEN }, at, "flat", &rng);
	at = layer(g, (nn_node){ .op = NN_OP_DENSE, .k = OUTPUTS, .w_count = OUTPUTS * 5 * 16, .b_count = OUTPUTS }, at,
			   "dense", &rng);
	assert_int_equal(nn_graph_finish(g, at, &err), EDDH_OK);
	return g;
}

static nn_sgd
toy_sgd(void)
{
	nn_sgd sgd = { .rate_first = 0.05,
				   .rate_last = 0.01,
				   .total_steps = 60,
				   .momentum = 0.9,
				   .weight_decay = 1e-4,
				   .pretrained_factor = 1.0 };

	return sgd;
}

static nn_trainer *
toy_trainer(int threads, int max_batch, const nn_sgd *sgd)
{
	nn_graph *g = toy_graph(7);
	nn_trainer *trainer;
	eddh_error err;

	if (nn_trainer_create(g, threads, max_batch, sgd, &trainer, &err) != EDDH_OK)
		fail_msg("%s", err.message);
	nn_graph_free(g); /* the trainer has its own copy */
	return trainer;
}

static void
batch_rows(int step, int n, uint32_t *rows)
{
	for (int i = 0; i < n; i++)
		rows[i] = (uint32_t) ((step * n + i) * 7 % SAMPLES);
}

static void
steps(nn_trainer *trainer, toy *t, int count, int n)
{
	uint32_t rows[64];
	eddh_error err;

	for (int s = 0; s < count; s++)
	{
		batch_rows(s, n, rows);
		if (nn_trainer_step(trainer, n, rows, toy_fetch, t, toy_gradient, t, NULL, &err) != EDDH_OK)
			fail_msg("step %d: %s", s, err.message);
	}
}

static float *
weights_of(const nn_trainer *trainer)
{
	const nn_graph *g = nn_trainer_graph(trainer);
	float *copy = malloc(g->n_weights * sizeof *copy);

	memcpy(copy, g->weights, g->n_weights * sizeof *copy);
	return copy;
}

static void
same_threads_same_bits(void **state)
{
	toy *t = toy_new(1);
	nn_sgd sgd = toy_sgd();
	size_t count = 0;

	for (int clip = 0; clip < 2; clip++)
		for (int threads = 1; threads <= 3; threads++)
		{
			float *first = NULL;

			sgd.clip_norm = clip * 0.7;
			for (int again = 0; again < 3; again++)
			{
				nn_trainer *trainer = toy_trainer(threads, 32, &sgd);
				float *w;

				steps(trainer, t, 15, 31);
				w = weights_of(trainer);
				count = nn_graph_parameters(nn_trainer_graph(trainer));
				if (first != NULL && memcmp(first, w, count * sizeof *w) != 0)
					fail_msg("%d threads, clip %g: run %d ended with other weights", threads, sgd.clip_norm, again);
				nn_trainer_free(trainer);
				if (first == NULL)
					first = w;
				else
					free(w);
			}
			free(first);
		}
	free(t);
}

/* A rehearsal, before the first step and between two, leaves no trace. */
static void
assert_rehearsal_changes_nothing(double clip_norm, double momentum)
{
	toy *t = toy_new(6);
	nn_sgd sgd = toy_sgd();
	nn_trainer *trainer[2];
	float *w[2];

	sgd.clip_norm = clip_norm;
	sgd.momentum = momentum;
	for (int i = 0; i < 2; i++)
	{
		uint32_t rows[31];
		eddh_error err;

		trainer[i] = toy_trainer(2, 32, &sgd);
		batch_rows(5, 31, rows);
		for (int s = 0; s < 4; s++)
		{
			if (i == 1)
			{
				assert_int_equal(nn_trainer_rehearse(trainer[i], 31, rows, toy_fetch, t, NULL, &err), EDDH_OK);
				nn_trainer_rehearse_update(trainer[i]);
			}
			steps(trainer[i], t, 1, 32);
		}
		assert_int_equal(nn_trainer_rehearse(trainer[i], 33, rows, toy_fetch, t, NULL, &err), EDDH_BAD_ARGUMENT);
		w[i] = weights_of(trainer[i]);
	}
	assert_int_equal(nn_trainer_get_state(trainer[0]).step, nn_trainer_get_state(trainer[1]).step);
	if (momentum > 0)
		assert_memory_equal(nn_trainer_get_state(trainer[0]).velocity, nn_trainer_get_state(trainer[1]).velocity,
							nn_trainer_get_state(trainer[0]).count * sizeof(float));
	assert_memory_equal(w[0], w[1], nn_graph_parameters(nn_trainer_graph(trainer[0])) * sizeof(float));
	for (int i = 0; i < 2; i++)
	{
		nn_trainer_free(trainer[i]);
		free(w[i]);
	}
	free(t);
}

static void
rehearsal_changes_nothing(void **state)
{
	assert_rehearsal_changes_nothing(0.7, 0.9);
	assert_rehearsal_changes_nothing(0, 0.9);
	assert_rehearsal_changes_nothing(0.7, 0);
	assert_rehearsal_changes_nothing(0, 0);
}

/* However the batch is cut, it is the same gradient up to rounding. */
static void
threads_agree(void **state)
{
	toy *t = toy_new(2);
	nn_sgd sgd = toy_sgd();
	float *w[3];
	size_t count = 0;

	for (int i = 0; i < 3; i++)
	{
		nn_trainer *trainer = toy_trainer(i * 2 + 1, 16, &sgd);

		steps(trainer, t, 3, 16);
		count = nn_graph_parameters(nn_trainer_graph(trainer));
		w[i] = weights_of(trainer);
		nn_trainer_free(trainer);
	}
	for (size_t j = 0; j < count; j++)
		if (fabs((double) w[0][j] - (double) w[1][j]) > 1e-5 || fabs((double) w[0][j] - (double) w[2][j]) > 1e-5)
			fail_msg("weight %zu: %g with 1 thread, %g with 3, %g with 5", j, (double) w[0][j], (double) w[1][j],
					 (double) w[2][j]);
	for (int i = 0; i < 3; i++)
		free(w[i]);
	free(t);
}

static void
loss_falls(void **state)
{
	toy *t = toy_new(3);
	nn_sgd sgd = toy_sgd();
	nn_trainer *trainer = toy_trainer(2, 32, &sgd);
	double before;

	steps(trainer, t, 1, 32);
	before = t->loss;
	steps(trainer, t, 59, 32);
	if (!(t->loss < 0.1 * before))
		fail_msg("loss went from %g to %g only", before, t->loss);
	nn_trainer_free(trainer);
	free(t);
}

/* The bias of the last layer follows from du alone: every term of the update can be checked by value. */
static void
step_follows_the_formula(void **state)
{
	toy *t = toy_new(4);
	nn_sgd sgd = toy_sgd();
	nn_trainer *trainer;
	const nn_graph *g;
	double v[OUTPUTS] = { 0 }, b[OUTPUTS];

	sgd.total_steps = 3;
	sgd.weight_decay = 0.5; /* must not touch a bias */
	trainer = toy_trainer(2, 8, &sgd);
	g = nn_trainer_graph(trainer);
	for (int j = 0; j < OUTPUTS; j++)
		b[j] = g->weights[g->nodes[4].b + j];
	for (int s = 0; s < 3; s++)
	{
		double rate = 0.05 * pow(0.01 / 0.05, s / 2.0);
		uint32_t rows[8];
		eddh_error err;

		batch_rows(s, 8, rows);
		assert_int_equal(nn_trainer_step(trainer, 8, rows, toy_fetch, t, toy_gradient, t, NULL, &err), EDDH_OK);
		for (int j = 0; j < OUTPUTS; j++)
		{
			double gradient = 0.0;

			for (int i = 0; i < 8; i++)
				gradient += t->du[i * OUTPUTS + j];
			v[j] = 0.9 * v[j] + gradient;
			b[j] -= rate * v[j];
			if (fabs(b[j] - (double) g->weights[g->nodes[4].b + j]) > 1e-5)
				fail_msg("step %d bias %d: got %.8g, want %.8g", s, j, (double) g->weights[g->nodes[4].b + j], b[j]);
		}
	}
	nn_trainer_free(trainer);
	free(t);
}

/* With a gradient of nothing only decay moves a weight: w (1 - rate decay), without momentum. */
static eddh_code
zero_gradient(void *arg, int n, const uint32_t *rows, const float *u, float *du, eddh_error *err)
{
	memset(du, 0, (size_t) n * OUTPUTS * sizeof *du);
	return EDDH_OK;
}

static void
decay_and_factors(void **state)
{
	toy *t = toy_new(5);
	nn_sgd sgd = {
		.rate_first = 0.5, .rate_last = 0.5, .weight_decay = 0.25, .pretrained_nodes = 2, .pretrained_factor = 0.5
	};
	nn_trainer *trainer = toy_trainer(1, 4, &sgd);
	const nn_graph *g = nn_trainer_graph(trainer);
	float *before = weights_of(trainer);
	uint32_t rows[4] = { 0, 1, 2, 3 };
	eddh_error err;

	assert_int_equal(nn_trainer_step(trainer, 4, rows, toy_fetch, t, zero_gradient, NULL, NULL, &err), EDDH_OK);
	for (uint64_t i = 0; i < g->nodes[0].w_count; i++)
		assert_true(fabs((double) g->weights[g->nodes[0].w + i] - 0.9375 * (double) before[g->nodes[0].w + i]) < 1e-6);
	for (uint64_t i = 0; i < g->nodes[4].w_count; i++)
		assert_true(fabs((double) g->weights[g->nodes[4].w + i] - 0.875 * (double) before[g->nodes[4].w + i]) < 1e-6);
	for (int n = 0; n <= 4; n += 4)
		for (uint64_t i = 0; i < g->nodes[n].b_count; i++)
			assert_true(g->weights[g->nodes[n].b + i] == before[g->nodes[n].b + i]);
	free(before);
	nn_trainer_free(trainer);
	free(t);
}

static void
factor_zero_freezes(void **state)
{
	toy *t = toy_new(6);
	nn_sgd sgd = toy_sgd();
	nn_trainer *all = toy_trainer(2, 32, &sgd);
	nn_trainer *frozen;
	const nn_graph *g;
	float *before;
	size_t prefix;

	sgd.pretrained_nodes = 4;
	sgd.pretrained_factor = 0.0;
	frozen = toy_trainer(2, 32, &sgd);
	g = nn_trainer_graph(frozen);
	before = weights_of(frozen);
	prefix = g->nodes[4].w;
	assert_true(prefix > 0);
	steps(frozen, t, 20, 32);
	assert_memory_equal(before, g->weights, prefix * sizeof(float));
	for (size_t i = prefix; i < g->n_weights; i++)
		assert_true(before[i] != g->weights[i]);
	/* No gradient (two threads) and no velocity for what does not learn. */
	assert_true(nn_trainer_memory(frozen) < nn_trainer_memory(all));
	free(before);
	nn_trainer_free(frozen);
	nn_trainer_free(all);

	/* The learning part moves as it does when everything learns. */
	sgd = toy_sgd();
	all = toy_trainer(1, 32, &sgd);
	sgd.pretrained_nodes = 4;
	sgd.pretrained_factor = 0.0;
	frozen = toy_trainer(1, 32, &sgd);
	steps(all, t, 1, 32);
	steps(frozen, t, 1, 32);
	assert_memory_equal(nn_trainer_graph(all)->weights + prefix, nn_trainer_graph(frozen)->weights + prefix,
						(nn_trainer_graph(all)->n_weights - prefix) * sizeof(float));
	nn_trainer_free(frozen);
	nn_trainer_free(all);

	/* All frozen: outputs, the same as of a trainer that learns, but no step; and no gradients kept. */
	{
		uint32_t rows[3] = { 5, 6, 7 };
		float here[3 * OUTPUTS], there[3 * OUTPUTS];
		eddh_error err;

		sgd.pretrained_nodes = 99;
		frozen = toy_trainer(2, 4, &sgd);
		sgd = toy_sgd();
		all = toy_trainer(2, 4, &sgd);
		assert_int_equal(nn_trainer_outputs(frozen, 3, rows, toy_fetch, t, NULL, here, NULL, &err), EDDH_OK);
		assert_int_equal(nn_trainer_outputs(all, 3, rows, toy_fetch, t, NULL, there, NULL, &err), EDDH_OK);
		assert_memory_equal(here, there, sizeof here);
		assert_int_equal(nn_trainer_step(frozen, 3, rows, toy_fetch, t, toy_gradient, t, NULL, &err),
						 EDDH_BAD_ARGUMENT);
		assert_true(nn_trainer_memory(frozen) < nn_trainer_memory(all));
		nn_trainer_free(frozen);
		nn_trainer_free(all);
	}
	free(t);
}

/* Batches of 5 on two threads go by rounds of 6. A trainer that learns nothing has no arena until it is asked; what it is asked next may want a larger one. */
static void
pieces_of_rounds_give_what_all_at_once_give(void **state)
{
	toy *t = toy_new(11);
	nn_sgd sgd = toy_sgd();
	static const char *const tensors[] = { "pool", NULL };

	for (int learns = 0; learns < 2; learns++)
	{
		nn_trainer *trainer;

		sgd.pretrained_nodes = learns ? 0 : 99;
		sgd.pretrained_factor = 0.0;
		trainer = toy_trainer(2, 5, &sgd);
		assert_int_equal(nn_trainer_round(trainer), 6);
		for (int i = 0; i < 2; i++)
		{
			size_t width = i == 0 ? 80 : OUTPUTS;
			uint32_t rows[20];
			float *whole = calloc(20 * width, sizeof *whole), *pieces = calloc(20 * width, sizeof *pieces);
			eddh_error err;

			for (uint32_t row = 0; row < 20; row++)
				rows[row] = 3 * row % SAMPLES;
			assert_int_equal(nn_trainer_outputs(trainer, 20, rows, toy_fetch, t, tensors[i], whole, NULL, &err),
							 EDDH_OK);
			for (size_t done = 0; done < 20; done += 12)
				assert_int_equal(nn_trainer_outputs(trainer, done == 0 ? 12 : 8, rows + done, toy_fetch, t, tensors[i],
													pieces + done * width, NULL, &err),
								 EDDH_OK);
			assert_memory_equal(whole, pieces, 20 * width * sizeof *whole);
			free(whole);
			free(pieces);
		}
		nn_trainer_free(trainer);
	}
	free(t);
}

typedef struct countdown
{
	int left;
	pthread_t asked_by;
	bool other;
} countdown;

static bool
countdown_poll(void *arg)
{
	countdown *c = arg;

	if (!pthread_equal(pthread_self(), c->asked_by))
		c->other = true;
	return c->left-- <= 0;
}

static void
stop_stops(void **state)
{
	toy *t = toy_new(8);
	nn_sgd sgd = toy_sgd();
	nn_trainer *trainer = toy_trainer(2, 32, &sgd);
	float *before = weights_of(trainer);
	size_t count = nn_graph_parameters(nn_trainer_graph(trainer));
	uint32_t rows[32];
	bool finished = false;

	batch_rows(0, 32, rows);
	/* Stopped at whatever moment, a step leaves the weights as they were. */
	for (int polls = 0; !finished; polls++)
	{
		countdown c = { polls, pthread_self(), false };
		eddh_stop stop = { countdown_poll, &c };
		eddh_error err;
		eddh_code code = nn_trainer_step(trainer, 32, rows, toy_fetch, t, toy_gradient, t, &stop, &err);

		assert_false(c.other); /* only the caller's thread asks */
		finished = code == EDDH_OK;
		if (!finished)
		{
			assert_int_equal(code, EDDH_STOPPED);
			assert_memory_equal(before, nn_trainer_graph(trainer)->weights, count * sizeof(float));
		}
		assert_true(polls < 1000);
	}
	{
		countdown c = { 0, pthread_self(), false };
		eddh_stop stop = { countdown_poll, &c };
		eddh_error err;
		float out[32 * OUTPUTS];

		assert_int_equal(nn_trainer_outputs(trainer, 32, rows, toy_fetch, t, NULL, out, &stop, &err), EDDH_STOPPED);
	}
	free(before);
	nn_trainer_free(trainer);
	free(t);
}

static void
errors_are_passed_on(void **state)
{
	toy *t = toy_new(9);
	nn_sgd sgd = toy_sgd();
	nn_trainer *trainer = toy_trainer(2, 8, &sgd);
	float *before = weights_of(trainer);
	size_t count = nn_graph_parameters(nn_trainer_graph(trainer));
	uint32_t rows[9] = { 0, 1, 2, 3, 4, 5, 6, 42, 8 };
	float out[8 * OUTPUTS];
	eddh_error err;

	t->result = EDDH_NUMERIC;
	assert_int_equal(nn_trainer_step(trainer, 8, rows, toy_fetch, t, toy_gradient, t, NULL, &err), EDDH_NUMERIC);
	assert_string_equal(err.message, "no gradient today");
	t->result = EDDH_OK;
	t->poison = true;
	assert_int_equal(nn_trainer_step(trainer, 8, rows, toy_fetch, t, toy_gradient, t, NULL, &err), EDDH_NUMERIC);
	t->poison = false;
	/* A picture of NaNs is named by its row. */
	t->x[42][5] = NAN;
	assert_int_equal(nn_trainer_step(trainer, 8, rows, toy_fetch, t, toy_gradient, t, NULL, &err), EDDH_NUMERIC);
	assert_non_null(strstr(err.message, "42"));
	/* So is one that cannot be read, whichever thread wants it. */
	for (int i = 0; i < 2; i++)
	{
		t->hidden = i == 0 ? 42 : 1;
		assert_int_equal(nn_trainer_step(trainer, 8, rows, toy_fetch, t, toy_gradient, t, NULL, &err), EDDH_BAD_DATA);
		assert_string_equal(err.message, i == 0 ? "sample 42 cannot be read" : "sample 1 cannot be read");
		assert_int_equal(nn_trainer_outputs(trainer, 8, rows, toy_fetch, t, NULL, out, NULL, &err), EDDH_BAD_DATA);
	}
	t->hidden = 0;
	assert_int_equal(nn_trainer_step(trainer, 9, rows, toy_fetch, t, toy_gradient, t, NULL, &err), EDDH_BAD_ARGUMENT);
	assert_int_equal(nn_trainer_step(trainer, 0, rows, toy_fetch, t, toy_gradient, t, NULL, &err), EDDH_BAD_ARGUMENT);
	assert_memory_equal(before, nn_trainer_graph(trainer)->weights, count * sizeof(float));
	free(before);
	nn_trainer_free(trainer);
	free(t);
}

/* Clipping: the whole gradient shrinks to the given length. */
static void
clip_limits_the_norm(void **state)
{
	toy *t = toy_new(10);
	nn_sgd sgd = { .rate_first = 1.0, .rate_last = 1.0, .clip_norm = 0.01, .pretrained_factor = 1.0 };
	nn_trainer *trainer = toy_trainer(2, 32, &sgd);
	float *before = weights_of(trainer);
	const nn_graph *g = nn_trainer_graph(trainer);
	double squares = 0.0;

	steps(trainer, t, 1, 32);
	for (size_t i = 0; i < g->n_weights; i++)
		squares += pow((double) g->weights[i] - (double) before[i], 2);
	if (fabs(sqrt(squares) - 0.01) > 1e-4)
		fail_msg("a step of length %g under a limit of 0.01", sqrt(squares));
	free(before);
	nn_trainer_free(trainer);
	free(t);
}

static void
outputs_of_any_layer(void **state)
{
	toy *t = toy_new(11);
	nn_sgd sgd = toy_sgd();
	nn_trainer *trainer = toy_trainer(2, 10, &sgd);
	const nn_graph *g = nn_trainer_graph(trainer);
	uint32_t rows[SAMPLES];
	float *u = buffer(SAMPLES * OUTPUTS), *one = buffer(OUTPUTS), *pooled = buffer(SAMPLES * 80),
		  *dense = buffer(SAMPLES * OUTPUTS);
	float *row = buffer(INPUTS), *arena;
	nn_plan *plan;
	eddh_error err;

	steps(trainer, t, 2, 10);
	for (uint32_t i = 0; i < SAMPLES; i++)
		rows[i] = SAMPLES - 1 - i;
	assert_int_equal(nn_trainer_outputs(trainer, SAMPLES, rows, toy_fetch, t, NULL, u, NULL, &err), EDDH_OK);
	assert_int_equal(nn_trainer_outputs(trainer, SAMPLES, rows, toy_fetch, t, "pool", pooled, NULL, &err), EDDH_OK);
	assert_int_equal(nn_trainer_outputs(trainer, SAMPLES, rows, toy_fetch, t, "no such", u, NULL, &err),
					 EDDH_BAD_ARGUMENT);

	assert_int_equal(nn_plan_create(g, 1, false, &plan, &err), EDDH_OK);
	arena = aligned_alloc(64, (nn_plan_arena_size(plan) + 63) / 64 * 64);
	for (size_t i = 0; i < SAMPLES; i++)
	{
		assert_int_equal(toy_fetch(t, rows[i], row, NULL, &err), EDDH_OK);
		assert_int_equal(nn_forward(plan, 1, row, arena, one, NULL, &err), EDDH_OK);
		check_close("output", "alone and among others", OUTPUTS, one, u + i * OUTPUTS, 1e-5);
	}
	/* The last layer on the tapped features gives the same. */
	for (size_t i = 0; i < SAMPLES; i++)
		for (int j = 0; j < OUTPUTS; j++)
		{
			double sum = g->weights[g->nodes[4].b + j];

			for (int p = 0; p < 80; p++)
				sum += (double) g->weights[g->nodes[4].w + j * 80 + p] * (double) pooled[i * 80 + p];
			dense[i * OUTPUTS + j] = (float) sum;
		}
	check_close("output", "through the tapped tensor", SAMPLES * OUTPUTS, dense, u, 1e-4);
	free(arena);
	nn_plan_free(plan);
	free(u);
	free(one);
	free(pooled);
	free(dense);
	free(row);
	nn_trainer_free(trainer);
	free(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_threads_same_bits),
		cmocka_unit_test(rehearsal_changes_nothing),
		cmocka_unit_test(threads_agree),
		cmocka_unit_test(loss_falls),
		cmocka_unit_test(step_follows_the_formula),
		cmocka_unit_test(decay_and_factors),
		cmocka_unit_test(factor_zero_freezes),
		cmocka_unit_test(pieces_of_rounds_give_what_all_at_once_give),
		cmocka_unit_test(stop_stops),
		cmocka_unit_test(errors_are_passed_on),
		cmocka_unit_test(clip_limits_the_norm),
		cmocka_unit_test(outputs_of_any_layer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
