/*
 * trainer.c: a graph being learned.
 *
 * A mini-batch is cut into one shard a thread, of sizes that depend on n and the number of threads alone. Each thread has its own arena and its own
 * gradient; gradients are added in shard order, so the sums do not depend on who was faster. The weights are walked in chunks, also fixed.
 *
 * Memory: weights, one gradient a thread, and with momentum one velocity; of nodes frozen by pretrained_factor 0 neither gradient nor velocity, and
 * nothing below them is computed backward. Then one arena a thread and the batch's inputs and outputs.
 */
#include "nn/graph.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/pages.h"
#include "nn/pool.h"
#include "nn/sgd.h"
#include "nn/vector.h"

/* Weights that one thread reduces and updates at a time: gradients of a few threads, velocity and weights stay in the second-level cache. */
#define CHUNK ((size_t) 16384)

/* A run of weights treated alike. */
typedef struct run
{
	size_t first, count; /* in the weights array */
	double factor;       /* of the learning rate */
	bool decays;
} run;

typedef struct shard
{
	float *arena;
	float *input;
	float *gradient;
	eddh_code code;
	eddh_error error;
} shard;

struct nn_trainer
{
	nn_graph *graph;
	nn_pool *pool;
	nn_plan *plan;       /* for training */
	nn_plan *evaluation; /* made when first asked for */
	nn_sgd sgd;
	uint64_t step;
	int threads;
	int max_batch;
	size_t max_shard;
	size_t inputs, outputs;
	size_t arena_bytes;
	shard *shards;
	run *runs;
	size_t n_runs;
	uint32_t first_node; /* that learns */
	size_t first_weight;
	size_t n_learned;
	float *velocity;
	float *u, *du;
	double *squares; /* one a chunk */
	size_t n_chunks;
	size_t memory;
	atomic_bool stopped;
};

/* What one task works on; built on the caller's stack. */
typedef struct work
{
	nn_trainer *trainer;
	const nn_plan *plan;
	size_t n;
	size_t outputs;
	const uint32_t *rows;
	nn_fetch fetch;
	void *fetch_arg;
	float *out;
	const eddh_stop *stop;
	float scale; /* of the gradient */
	double rate;
	bool rehearsal; /* velocities stay, and weights do not decay */
} work;

/* The caller's stop is asked on the caller's thread alone; the others look at a flag that it raises. */
static bool
poll_main(void *arg)
{
	work *w = arg;

	if (eddh_stopped(w->stop))
		atomic_store(&w->trainer->stopped, true);
	return atomic_load(&w->trainer->stopped);
}

static bool
poll_other(void *arg)
{
	work *w = arg;

	return atomic_load(&w->trainer->stopped);
}

static eddh_stop
stop_of(work *w, int thread)
{
	eddh_stop stop = { thread == 0 ? poll_main : poll_other, w };

	return stop;
}

static void *
take(nn_trainer *trainer, size_t count, size_t size)
{
	size_t bytes;
	void *memory;

	if (!eddh_size_mul(count, size, &bytes) || !eddh_size_add(bytes, 63, &bytes))
		return NULL;
	bytes &= ~(size_t) 63;
	if (posix_memalign(&memory, bytes < EDDH_LARGE_PAGE ? 64 : EDDH_LARGE_PAGE, bytes > 0 ? bytes : 64) != 0)
		return NULL;
	eddh_large_pages(memory, bytes);
	trainer->memory += bytes;
	return memory;
}

/* The runs of weights from node to node. Zero-factor nodes beyond the frozen prefix do not exist: pretrained nodes are a prefix. */
static eddh_code
plan_runs(nn_trainer *trainer, eddh_error *err)
{
	const nn_graph *graph = trainer->graph;
	size_t pretrained = trainer->sgd.pretrained_nodes > 0 ? (size_t) trainer->sgd.pretrained_nodes : 0;

	if (pretrained > graph->n_nodes)
		pretrained = graph->n_nodes;
	trainer->first_node = trainer->sgd.pretrained_factor == 0.0 ? (uint32_t) pretrained : 0;
	trainer->first_weight = graph->n_weights;
	trainer->runs = calloc(2 * graph->n_nodes + 1, sizeof *trainer->runs);
	if (trainer->runs == NULL)
		return eddh_fail(err, EDDH_NO_MEMORY, "out of memory for a trainer");
	for (size_t i = trainer->first_node; i < graph->n_nodes; i++)
	{
		const nn_node *node = &graph->nodes[i];
		double factor = i < pretrained ? trainer->sgd.pretrained_factor : 1.0;

		if (node->w_count > 0)
			trainer->runs[trainer->n_runs++] = (run){ node->w, node->w_count, factor, nn_op_decays(node->op) };
		if (node->b_count > 0)
			trainer->runs[trainer->n_runs++] = (run){ node->b, node->b_count, factor, false };
	}
	/* All frozen: a trainer for outputs alone. */
	if (trainer->n_runs == 0)
		return EDDH_OK;
	trainer->first_weight = trainer->runs[0].first;
	trainer->n_learned = graph->n_weights - trainer->first_weight;
	return EDDH_OK;
}

static eddh_code
allocate(nn_trainer *trainer, eddh_error *err)
{
	size_t batch = (size_t) trainer->max_batch;
	bool ok;

	trainer->arena_bytes = trainer->plan != NULL ? nn_plan_arena_size(trainer->plan) : 0;
	trainer->n_chunks = (trainer->n_learned + CHUNK - 1) / CHUNK;
	trainer->u = take(trainer, batch * trainer->outputs, sizeof(float));
	trainer->du = take(trainer, batch * trainer->outputs, sizeof(float));
	trainer->squares = take(trainer, trainer->n_chunks, sizeof(double));
	ok = trainer->u != NULL && trainer->du != NULL && trainer->squares != NULL;
	if (trainer->sgd.momentum > 0.0)
	{
		trainer->velocity = take(trainer, trainer->n_learned, sizeof(float));
		ok = ok && trainer->velocity != NULL;
		if (ok)
			memset(trainer->velocity, 0, trainer->n_learned * sizeof(float));
	}
	for (int t = 0; ok && t < trainer->threads; t++)
	{
		shard *s = &trainer->shards[t];

		s->arena = take(trainer, trainer->arena_bytes, 1);
		s->input = take(trainer, trainer->max_shard * trainer->inputs, sizeof(float));
		s->gradient = take(trainer, trainer->n_learned, sizeof(float));
		ok = s->arena != NULL && s->input != NULL && s->gradient != NULL;
	}
	if (!ok)
	{
		eddh_code code = eddh_fail(err, EDDH_NO_MEMORY, "out of memory for a trainer after %zu bytes", trainer->memory);

		eddh_hint(err, "Use a smaller batch, fewer threads, or train fewer layers.");
		return code;
	}
	return EDDH_OK;
}

eddh_code
nn_trainer_create(const nn_graph *graph, int threads, int max_batch, const nn_sgd *sgd, nn_trainer **out,
				  eddh_error *err)
{
	nn_trainer *trainer;
	eddh_code code;

	*out = NULL;
	code = nn_sgd_check(sgd, err);
	if (code != EDDH_OK)
		return code;
	if (threads < 1 || max_batch < 1)
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "a trainer needs threads and a batch, not %d and %d", threads,
						 max_batch);
	trainer = calloc(1, sizeof *trainer);
	if (trainer == NULL)
		return eddh_fail(err, EDDH_NO_MEMORY, "out of memory for a trainer");
	trainer->sgd = *sgd;
	trainer->threads = threads;
	trainer->max_batch = max_batch;
	trainer->max_shard = ((size_t) max_batch + threads - 1) / threads;
	atomic_init(&trainer->stopped, false);
	trainer->shards = calloc((size_t) threads, sizeof *trainer->shards);
	code = trainer->shards != NULL ? EDDH_OK : eddh_fail(err, EDDH_NO_MEMORY, "out of memory for a trainer");
	if (code == EDDH_OK)
		code = nn_graph_copy(graph, &trainer->graph, err);
	if (code == EDDH_OK)
	{
		trainer->memory = trainer->graph->n_weights * sizeof(float);
		trainer->inputs = nn_graph_input_shape(trainer->graph).count;
		trainer->outputs = nn_graph_output_shape(trainer->graph).count;
		code = plan_runs(trainer, err);
	}
	if (code == EDDH_OK && trainer->n_runs > 0)
		code = nn_plan_create(trainer->graph, (int) trainer->max_shard, true, &trainer->plan, err);
	if (code == EDDH_OK)
		code = allocate(trainer, err);
	if (code == EDDH_OK)
		code = nn_pool_create(threads, &trainer->pool, err);
	if (code != EDDH_OK)
	{
		nn_trainer_free(trainer);
		return code;
	}
	*out = trainer;
	return EDDH_OK;
}

void
nn_trainer_free(nn_trainer *trainer)
{
	if (trainer == NULL)
		return;
	nn_pool_free(trainer->pool);
	nn_plan_free(trainer->plan);
	nn_plan_free(trainer->evaluation);
	for (int t = 0; trainer->shards != NULL && t < trainer->threads; t++)
	{
		free(trainer->shards[t].arena);
		free(trainer->shards[t].input);
		free(trainer->shards[t].gradient);
	}
	free(trainer->shards);
	free(trainer->runs);
	free(trainer->velocity);
	free(trainer->u);
	free(trainer->du);
	free(trainer->squares);
	nn_graph_free(trainer->graph);
	free(trainer);
}

size_t
nn_trainer_memory(const nn_trainer *trainer)
{
	return trainer->memory;
}

const nn_graph *
nn_trainer_graph(const nn_trainer *trainer)
{
	return trainer->graph;
}

nn_trainer_state
nn_trainer_get_state(nn_trainer *trainer)
{
	return (nn_trainer_state){ .weights = trainer->graph->weights + trainer->first_weight,
							   .velocity = trainer->velocity,
							   .count = trainer->n_learned,
							   .step = trainer->step };
}

void
nn_trainer_set_step(nn_trainer *trainer, uint64_t step)
{
	trainer->step = step;
}

/* The first failure in shard order, but a stop before all: it is the reason for whatever else went wrong. */
static eddh_code
collect(nn_trainer *trainer, eddh_error *err)
{
	if (atomic_load(&trainer->stopped))
		return eddh_fail(err, EDDH_STOPPED, "stopped");
	for (int t = 0; t < trainer->threads; t++)
		if (trainer->shards[t].code != EDDH_OK)
		{
			if (err != NULL)
				*err = trainer->shards[t].error;
			return trainer->shards[t].code;
		}
	return EDDH_OK;
}

static void
forward_task(void *arg, int thread)
{
	work *w = arg;
	nn_trainer *trainer = w->trainer;
	shard *s = &trainer->shards[thread];
	eddh_stop stop = stop_of(w, thread);
	size_t first;
	size_t count = nn_pool_part(w->n, trainer->threads, thread, &first);

	s->code = EDDH_OK;
	if (count == 0)
		return;
	for (size_t i = 0; s->code == EDDH_OK && i < count; i++)
		s->code = w->fetch(w->fetch_arg, w->rows[first + i], s->input + i * trainer->inputs, &stop, &s->error);
	if (s->code != EDDH_OK)
		return;
	s->code = nn_forward(w->plan, (int) count, s->input, s->arena, w->out + first * w->outputs, &stop, &s->error);
}

static void
backward_task(void *arg, int thread)
{
	work *w = arg;
	nn_trainer *trainer = w->trainer;
	shard *s = &trainer->shards[thread];
	eddh_stop stop = stop_of(w, thread);
	size_t first;
	size_t count = nn_pool_part(w->n, trainer->threads, thread, &first);

	s->code = EDDH_OK;
	memset(s->gradient, 0, trainer->n_learned * sizeof(float));
	if (count == 0)
		return;
	s->code = nn_backward_from(trainer->plan, trainer->first_node, (int) count, s->input, s->arena,
							   trainer->du + first * trainer->outputs, s->gradient, &stop, &s->error);
}

/* Adds the shards' gradients into the first's, and the squares of the sum for each chunk. */
static void
reduce_task(void *arg, int thread)
{
	work *w = arg;
	nn_trainer *trainer = w->trainer;
	size_t first;
	size_t count = nn_pool_part(trainer->n_chunks, trainer->threads, thread, &first);
	float *sum = trainer->shards[0].gradient;

	for (size_t chunk = first; chunk < first + count; chunk++)
	{
		size_t at = chunk * CHUNK;
		size_t len = trainer->n_learned - at < CHUNK ? trainer->n_learned - at : CHUNK;

		for (int t = 1; t < trainer->threads; t++)
			nn_sgd_add(len, trainer->shards[t].gradient + at, sum + at);
		if (trainer->sgd.clip_norm > 0.0 || w->rehearsal)
			trainer->squares[chunk] = nn_dot(len, sum + at, sum + at);
	}
}

/* Sums the gradient, and the squares of the sum. */
static double
gradient_squares(work *w)
{
	const nn_trainer *trainer = w->trainer;
	double squares = 0.0;

	nn_pool_run(trainer->pool, reduce_task, w);
	for (size_t i = 0; i < trainer->n_chunks; i++)
		squares += trainer->squares[i];
	return squares;
}

/* Updates the weights of this thread's chunks, run by run. */
static void
update_task(void *arg, int thread)
{
	work *w = arg;
	nn_trainer *trainer = w->trainer;
	size_t first;
	size_t count = nn_pool_part(trainer->n_chunks, trainer->threads, thread, &first);
	size_t begin = trainer->first_weight + first * CHUNK;
	size_t end = begin + count * CHUNK;

	if (end > trainer->graph->n_weights)
		end = trainer->graph->n_weights;
	if (trainer->sgd.clip_norm == 0.0)
		reduce_task(arg, thread);
	for (size_t r = 0; r < trainer->n_runs; r++)
	{
		const run *part = &trainer->runs[r];
		size_t lo = part->first > begin ? part->first : begin;
		size_t hi = part->first + part->count < end ? part->first + part->count : end;
		size_t at = lo - trainer->first_weight;

		if (lo >= hi)
			continue;
		nn_sgd_update(hi - lo, (float) (w->rate * part->factor), w->rehearsal ? 1.0f : (float) trainer->sgd.momentum,
					  part->decays && !w->rehearsal ? (float) trainer->sgd.weight_decay : 0.0f, w->scale,
					  trainer->shards[0].gradient + at, trainer->velocity != NULL ? trainer->velocity + at : NULL,
					  trainer->graph->weights + lo);
	}
}

static eddh_code
check_finite(nn_trainer *trainer, size_t n, const uint32_t *rows, const float *values, const char *what,
			 eddh_error *err)
{
	for (size_t i = 0; i < n * trainer->outputs; i++)
		if (!isfinite(values[i]))
		{
			eddh_code code = eddh_fail(err, EDDH_NUMERIC, "%s of sample %u is not finite at step %llu", what,
									   (unsigned) rows[i / trainer->outputs], (unsigned long long) trainer->step);

			eddh_hint(err, "Use a lower learning rate.");
			return code;
		}
	return EDDH_OK;
}

/* A task on all threads. */
static eddh_code
on_all(work *w, void (*task)(void *arg, int thread), eddh_error *err)
{
	nn_pool_run(w->trainer->pool, task, w);
	return collect(w->trainer, err);
}

/* A mini-batch forward: what a step and its rehearsal begin with. *w: for the tasks that follow. */
static eddh_code
run_batch(nn_trainer *trainer, int n, const uint32_t *rows, nn_fetch fetch, void *fetch_arg, const eddh_stop *stop,
		  work *w, eddh_error *err)
{
	*w = (work){ .trainer = trainer,
				 .plan = trainer->plan,
				 .n = (size_t) (n > 0 ? n : 0),
				 .outputs = trainer->outputs,
				 .rows = rows,
				 .fetch = fetch,
				 .fetch_arg = fetch_arg,
				 .out = trainer->u,
				 .stop = stop,
				 .scale = 1.0f,
				 .rate = nn_sgd_rate(&trainer->sgd, trainer->step) };
	if (trainer->n_runs == 0)
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "no layer is left to learn: all %zu are frozen",
						 trainer->graph->n_nodes);
	if (n < 1 || n > trainer->max_batch)
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "batch of %d in a trainer for 1 to %d", n, trainer->max_batch);
	atomic_store(&trainer->stopped, false);
	if (poll_main(w))
		return eddh_fail(err, EDDH_STOPPED, "stopped");
	return on_all(w, forward_task, err);
}

eddh_code
nn_trainer_step(nn_trainer *trainer, int n, const uint32_t *rows, nn_fetch fetch, void *fetch_arg, nn_gradient gradient,
				void *gradient_arg, const eddh_stop *stop, eddh_error *err)
{
	work w;
	eddh_code code = run_batch(trainer, n, rows, fetch, fetch_arg, stop, &w, err);

	if (code == EDDH_OK)
		code = check_finite(trainer, w.n, rows, trainer->u, "network output", err);
	if (code == EDDH_OK)
		code = gradient(gradient_arg, n, rows, trainer->u, trainer->du, err);
	if (code == EDDH_OK)
		code = check_finite(trainer, w.n, rows, trainer->du, "gradient", err);
	if (code == EDDH_OK)
		code = on_all(&w, backward_task, err);
	if (code != EDDH_OK)
		return code;
	if (trainer->sgd.clip_norm > 0.0)
	{
		double squares = gradient_squares(&w);

		if (!isfinite(squares))
			return eddh_fail(err, EDDH_NUMERIC, "gradient is not finite at step %llu",
							 (unsigned long long) trainer->step);
		if (sqrt(squares) > trainer->sgd.clip_norm)
			w.scale = (float) (trainer->sgd.clip_norm / sqrt(squares));
	}
	nn_pool_run(trainer->pool, update_task, &w);
	trainer->step++;
	return EDDH_OK;
}

eddh_code
nn_trainer_rehearse(nn_trainer *trainer, int n, const uint32_t *rows, nn_fetch fetch, void *fetch_arg,
					const eddh_stop *stop, eddh_error *err)
{
	work w;
	eddh_code code = run_batch(trainer, n, rows, fetch, fetch_arg, stop, &w, err);

	if (code != EDDH_OK)
		return code;
	for (size_t i = 0; i < w.n * trainer->outputs; i++)
		trainer->du[i] = 1.0f / (float) n;
	return on_all(&w, backward_task, err);
}

void
nn_trainer_rehearse_update(nn_trainer *trainer)
{
	work w = { .trainer = trainer, .rehearsal = true };

	/* Infinity times nothing is not nothing. */
	if (isfinite(gradient_squares(&w)))
		nn_pool_run(trainer->pool, update_task, &w);
}

/*
 * The graph up to a tensor, sharing everything with the original: nodes are in topological order, so what comes after the tensor's producer is cut
 * off by a shorter count.
 */
static eddh_code
view_to(const nn_graph *graph, const char *name, nn_graph *view, eddh_error *err)
{
	uint32_t tensor = nn_graph_find_tensor(graph, name);

	if (tensor == NN_NO_TENSOR || graph->tensors[tensor].producer == NN_NO_TENSOR)
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "no layer computes a tensor \"%s\"", name);
	*view = *graph;
	view->output = tensor;
	view->n_nodes = (size_t) graph->tensors[tensor].producer + 1;
	return EDDH_OK;
}

/* A plan that keeps nothing for a backward pass mostly fits in the arena of one that does, but there may be none. Arenas keep nothing from call to call. */
static eddh_code
enlarge_arenas(nn_trainer *trainer, size_t bytes, eddh_error *err)
{
	if (bytes <= trainer->arena_bytes)
		return EDDH_OK;
	for (int t = 0; t < trainer->threads; t++)
	{
		float *arena = take(trainer, bytes, 1);

		if (arena == NULL)
			return eddh_fail(err, EDDH_NO_MEMORY, "out of memory for an evaluation");
		free(trainer->shards[t].arena);
		trainer->shards[t].arena = arena;
		trainer->memory -= trainer->arena_bytes;
	}
	trainer->arena_bytes = bytes;
	return EDDH_OK;
}

size_t
nn_trainer_round(const nn_trainer *trainer)
{
	return trainer->max_shard * (size_t) trainer->threads;
}

eddh_code
nn_trainer_outputs(nn_trainer *trainer, size_t n, const uint32_t *rows, nn_fetch fetch, void *fetch_arg,
				   const char *tensor, float *out, const eddh_stop *stop, eddh_error *err)
{
	work w = { .trainer = trainer, .outputs = trainer->outputs, .fetch = fetch, .fetch_arg = fetch_arg, .stop = stop };
	size_t round = nn_trainer_round(trainer);
	nn_plan *own = NULL;
	nn_graph view;
	eddh_code code = EDDH_OK;

	if (tensor != NULL)
	{
		code = view_to(trainer->graph, tensor, &view, err);
		if (code == EDDH_OK)
			code = nn_plan_create(&view, (int) trainer->max_shard, false, &own, err);
		if (code == EDDH_OK)
			w.outputs = nn_graph_output_shape(&view).count;
	}
	else if (trainer->evaluation == NULL)
		code = nn_plan_create(trainer->graph, (int) trainer->max_shard, false, &trainer->evaluation, err);
	if (code != EDDH_OK)
		return code;
	w.plan = own != NULL ? own : trainer->evaluation;
	code = enlarge_arenas(trainer, nn_plan_arena_size(w.plan), err);
	atomic_store(&trainer->stopped, false);
	for (size_t at = 0; code == EDDH_OK && at < n; at += round)
	{
		w.n = n - at < round ? n - at : round;
		w.rows = rows + at;
		w.out = out + at * w.outputs;
		if (poll_main(&w))
			code = eddh_fail(err, EDDH_STOPPED, "stopped");
		else
		{
			nn_pool_run(trainer->pool, forward_task, &w);
			code = collect(trainer, err);
		}
	}
	nn_plan_free(own);
	return code;
}
