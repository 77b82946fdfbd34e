/*
 * plan.c: which kernel runs when, on which memory.
 *
 * Moments: forward step s is moment s, of S steps; at moment S the output is handed over and its gradient received; backward step s is moment
 * 2 S - s. Every buffer lives from one moment to another, and place.c packs them. What is kept for the whole batch lives as long as the segments that
 * write and read it, because these come back for the next part of the batch.
 */
#include "nn/plan.h"

#include <stdlib.h>
#include <string.h>

/* What the backward kernel of an operator reads of its inputs and of its output. */
static bool
backward_reads_input(uint32_t op)
{
	switch ((nn_op) op)
	{
		case NN_OP_CONV:
		case NN_OP_DENSE:
		case NN_OP_LRN:
		case NN_OP_SCALE:
		case NN_OP_MUL:
		case NN_OP_SIGMOID:
		case NN_OP_HARDSIGMOID:
		case NN_OP_HARDSWISH:
		case NN_OP_TANH:
		case NN_OP_EXP:
		case NN_OP_SIN:
			return true;
		default:
			return false;
	}
}

static bool
backward_reads_output(uint32_t op, nn_act act)
{
	switch ((nn_op) op)
	{
		case NN_OP_CONV:
		case NN_OP_DENSE:
			return act.kind != NN_ACT_NONE;
		case NN_OP_RELU:
		case NN_OP_CLIP:
		case NN_OP_LRN:
		case NN_OP_SIGMOID:
		case NN_OP_HARDSIGMOID:
		case NN_OP_HARDSWISH:
		case NN_OP_TANH:
		case NN_OP_EXP:
		case NN_OP_SIN:
		case NN_OP_SOFTMAX:
			return true;
		default:
			return false;
	}
}

static nn_act
node_act(const nn_node *node)
{
	nn_act act = { .kind = NN_ACT_NONE };

	if (node->op == NN_OP_RELU)
		act.kind = NN_ACT_RELU;
	else if (node->op == NN_OP_CLIP)
		act = (nn_act){ .kind = NN_ACT_CLIP, .lo = node->p[0], .hi = node->p[1] };
	return act;
}

/* The tensor whose floats a chain of views shows. */
static uint32_t
view_root(const nn_graph *graph, uint32_t tensor)
{
	for (;;)
	{
		uint32_t producer = graph->tensors[tensor].producer;

		if (producer == NN_NO_TENSOR || !nn_op_is_view(graph->nodes[producer].op))
			return tensor;
		tensor = graph->edges[graph->nodes[producer].first_edge];
	}
}

/* How many inputs of working nodes read each root. */
static void
count_readers(const nn_graph *graph, uint32_t *readers)
{
	memset(readers, 0, sizeof(*readers) * graph->n_tensors);
	for (size_t i = 0; i < graph->n_nodes; i++)
		for (uint32_t e = 0; !nn_op_is_view(graph->nodes[i].op) && e < graph->nodes[i].n_edges; e++)
			readers[view_root(graph, graph->edges[graph->nodes[i].first_edge + e])]++;
}

static uint32_t
new_value(nn_plan *plan, uint32_t tensor, nn_where where)
{
	nn_value *value = &plan->values[plan->n_values];

	*value = (nn_value){ .where = where,
						 .count = (size_t) plan->graph->tensors[tensor].count,
						 .place = NN_NO_PLACE,
						 .gradient = NN_NO_PLACE,
						 .inside = NN_NO_VALUE,
						 .written = plan->n_steps,
						 .born = plan->n_steps,
						 .last = plan->n_steps };
	return plan->n_values++;
}

/*
 * May this activation overwrite what it reads? Not the caller's input, nothing with another reader, and in training nothing the producer's
 * backward step wants to see unchanged. writer: the step that last wrote each value.
 */
static bool
may_overwrite(const nn_plan *plan, uint32_t root, const uint32_t *readers, const uint32_t *writer)
{
	uint32_t value = plan->value_of[root];
	const nn_step *step;

	if (plan->values[value].where == NN_IN_INPUT || readers[root] != 1)
		return false;
	if (!plan->training)
		return true;
	step = &plan->steps[writer[value]];
	return !backward_reads_output(plan->graph->nodes[step->node].op, step->act);
}

/* Turns a node into a step, or into nothing when it is a view or melts into the step before. */
static void
plan_node(nn_plan *plan, uint32_t i, const uint32_t *readers, uint32_t *writer)
{
	const nn_graph *graph = plan->graph;
	const nn_node *node = &graph->nodes[i];
	uint32_t first = graph->edges[node->first_edge];
	nn_act act = node_act(node);
	bool in_place = false;
	nn_step *step;

	if (nn_op_is_view(node->op))
	{
		plan->value_of[node->output] = plan->value_of[first];
		return;
	}
	if (act.kind != NN_ACT_NONE && may_overwrite(plan, view_root(graph, first), readers, writer))
	{
		uint32_t value = plan->value_of[first];
		nn_step *before = &plan->steps[writer[value]];
		uint32_t op = graph->nodes[before->node].op;

		plan->value_of[node->output] = value;
		if ((op == NN_OP_CONV || op == NN_OP_DENSE) && before->act.kind == NN_ACT_NONE)
		{
			before->act = act;
			return;
		}
		in_place = true;
	}
	step = &plan->steps[plan->n_steps];
	*step = (nn_step){ .node = i,
					   .act = act,
					   .first_link = plan->n_links,
					   .n_links = node->n_edges,
					   .in_place = in_place,
					   .chain_first = plan->n_steps,
					   .chain_end = plan->n_steps + 1,
					   .extra = NN_NO_PLACE,
					   .scratch = { NN_NO_PLACE, NN_NO_PLACE } };
	for (uint32_t e = 0; e < node->n_edges; e++)
	{
		uint32_t tensor = graph->edges[node->first_edge + e];
		nn_value *value = &plan->values[plan->value_of[tensor]];

		plan->links[plan->n_links++] =
			(nn_link){ .value = plan->value_of[tensor], .tensor = tensor, .aside = NN_NO_PLACE };
		value->last = plan->n_steps;
		value->readers++;
		value->kept = value->kept || backward_reads_input(node->op);
	}
	if (!in_place)
		plan->value_of[node->output] = new_value(plan, node->output, NN_IN_ARENA);
	step->output = plan->value_of[node->output];
	plan->values[step->output].written = plan->n_steps;
	writer[step->output] = plan->n_steps++;
}

/* In reverse order, who writes a value's gradient first, and who must add to it. The output's is written by the caller. */
static eddh_code
mark_additions(nn_plan *plan, eddh_error *err)
{
	bool *written = calloc(plan->n_values, sizeof(*written));

	if (written == NULL)
		return eddh_fail(err, EDDH_NO_MEMORY, "out of memory");
	written[plan->value_of[plan->graph->output]] = true;
	for (uint32_t s = plan->n_steps; s-- > 0;)
	{
		const nn_step *step = &plan->steps[s];

		for (uint32_t l = 0; l < step->n_links && !step->in_place; l++)
		{
			nn_link *link = &plan->links[step->first_link + l];

			link->adds = written[link->value];
			written[link->value] = true;
		}
	}
	free(written);
	return EDDH_OK;
}

uint64_t nn_part_floats = (uint64_t) 1 << 18;

/* As many samples as fit there; for a dense layer all: its weights are read once. A chain counts as one step. */
static int
part_of(const nn_plan *plan, const nn_step *step)
{
	uint64_t floats = plan->values[plan->steps[step->chain_end - 1].output].count;
	uint64_t part;

	step = &plan->steps[step->chain_first];

	if (plan->graph->nodes[step->node].op == NN_OP_DENSE)
		return plan->max_batch;
	for (uint32_t l = 0; l < step->n_links; l++)
		floats += plan->values[plan->links[step->first_link + l].value].count;
	part = nn_part_floats / (floats > 0 ? floats : 1);
	return part < 1 ? 1 : part > (uint64_t) plan->max_batch ? plan->max_batch : (int) part;
}

/* A new segment begins where from there on to the end much larger parts will do. */
static eddh_code
cut_segments(nn_plan *plan, eddh_error *err)
{
	int *least = malloc(sizeof(*least) * (plan->n_steps + 1));
	nn_segment *segment = NULL;

	plan->segments = calloc((size_t) plan->n_steps + 1, sizeof(*plan->segments));
	if (least == NULL || plan->segments == NULL)
	{
		free(least);
		return eddh_fail(err, EDDH_NO_MEMORY, "out of memory");
	}
	least[plan->n_steps] = plan->max_batch;
	for (uint32_t s = plan->n_steps; s-- > 0;)
	{
		int part = part_of(plan, &plan->steps[s]);

		least[s] = part < least[s + 1] ? part : least[s + 1];
	}
	for (uint32_t s = 0; s < plan->n_steps; s++)
	{
		if (segment == NULL || least[s] / 4 >= segment->part ||
			(least[s] == plan->max_batch && segment->part < plan->max_batch))
		{
			segment = &plan->segments[plan->n_segments++];
			*segment = (nn_segment){ .first = s, .part = least[s] };
		}
		plan->steps[s].segment = plan->n_segments - 1;
		segment->end = s + 1;
	}
	free(least);
	return EDDH_OK;
}

static void
want(nn_item *items, size_t *n, size_t *place, size_t floats, uint32_t from, uint32_t to)
{
	if (floats > 0)
		items[(*n)++] = (nn_item){ .place = place, .floats = floats, .from = from, .to = to };
}

/* Overflow becomes SIZE_MAX, which place.c refuses. */
static size_t
times(size_t a, size_t b)
{
	size_t product;

	return eddh_size_mul(a, b, &product) ? product : SIZE_MAX;
}

static void
want_values(nn_plan *plan, nn_item *items, size_t *n)
{
	uint32_t s = plan->n_steps;

	/* What a step of a chain touches lives as long as the chain. */
	for (uint32_t v = 0; v < plan->n_values; v++)
	{
		nn_value *value = &plan->values[v];
		bool is_output = v == plan->value_of[plan->graph->output];
		const nn_segment *writer, *reader;
		size_t batch, part;
		uint32_t from = plan->steps[value->born].chain_first;
		uint32_t to = plan->steps[value->last].chain_end - 1;

		if (value->where != NN_IN_ARENA || value->inside != NN_NO_VALUE)
			continue;
		if (value->rows > 0)
		{
			const nn_tensor *tensor = &plan->graph->tensors[plan->graph->nodes[plan->steps[value->born].node].output];

			want(items, n, &value->place, times(value->count / tensor->dim[1], value->rows), from, to);
			continue;
		}
		writer = &plan->segments[plan->steps[value->born].segment];
		reader = &plan->segments[plan->steps[value->last].segment];
		batch = times(value->count, (size_t) plan->max_batch);
		part = times(value->count, (size_t) writer->part);
		value->gradient_whole = is_output || writer != reader;
		value->whole = value->gradient_whole || (plan->training && value->kept);
		if (!value->whole)
			want(items, n, &value->place, part, from, to);
		else if (plan->training && value->kept)
			want(items, n, &value->place, batch, writer->first, 2 * s - writer->first);
		else
			want(items, n, &value->place, batch, writer->first, is_output ? s : reader->end - 1);

		/* Its gradient lives from the last reader's backward step to the writer's; the input's is the caller's. */
		if (!plan->training)
			continue;
		if (value->gradient_whole)
			want(items, n, &value->gradient, batch, is_output ? s : 2 * s - (reader->end - 1), 2 * s - writer->first);
		else
			want(items, n, &value->gradient, part, 2 * s - value->last, 2 * s - value->born);
	}
}

static void
want_steps(nn_plan *plan, nn_item *items, size_t *n)
{
	size_t batch = (size_t) plan->max_batch;
	uint32_t end = 2 * plan->n_steps;

	for (uint32_t s = 0; s < plan->n_steps; s++)
	{
		nn_step *step = &plan->steps[s];
		const nn_node *node = &plan->graph->nodes[step->node];
		const nn_segment *segment = &plan->segments[step->segment];
		size_t out = times(plan->values[step->output].count, batch);

		if (node->op == NN_OP_CONV)
		{
			bool alone = step->chain_end - step->chain_first == 1;
			size_t floats =
				alone ? nn_conv_scratch(&node->window, node->k, node->groups, plan->training) : step->band_scratch;

			want(items, n, &step->scratch[0], floats, step->chain_first, step->chain_end - 1);
			if (plan->training)
				want(items, n, &step->scratch[1], floats, end - s, end - s);
		}
		if (node->halved)
		{
			int c = (int) (node->w_count / (uint64_t) node->k);

			want(items, n, &step->scratch[0], nn_dense_halves_scratch(out / (size_t) node->k, c), s, s);
		}
		if (!plan->training)
			continue;
		if (node->op == NN_OP_MAXPOOL || node->op == NN_OP_LRN)
			want(items, n, &step->extra, out, segment->first, end - segment->first);
		for (uint32_t l = 0; l < step->n_links; l++)
		{
			nn_link *link = &plan->links[step->first_link + l];

			if (link->adds)
				want(items, n, &link->aside, times(plan->values[link->value].count, (size_t) segment->part), end - s,
					 end - s);
		}
	}
}

static eddh_code
place_everything(nn_plan *plan, eddh_error *err)
{
	size_t most = 2 * (size_t) plan->n_values + 3 * (size_t) plan->n_steps + plan->n_links;
	nn_item *items = malloc(sizeof(*items) * (most + 1));
	size_t n = 0;
	eddh_code code;

	if (items == NULL)
		return eddh_fail(err, EDDH_NO_MEMORY, "out of memory");
	want_values(plan, items, &n);
	want_steps(plan, items, &n);
	code = nn_place(n, items, &plan->arena, err);
	free(items);
	return code;
}

/* Values written by a step whose backward wants to see the output stay, too. */
static void
keep_outputs(nn_plan *plan)
{
	for (uint32_t s = 0; s < plan->n_steps; s++)
	{
		const nn_step *step = &plan->steps[s];

		if (backward_reads_output(plan->graph->nodes[step->node].op, step->act))
			plan->values[step->output].kept = true;
	}
}

eddh_code
nn_plan_create(const nn_graph *graph, int max_batch, bool training, nn_plan **out, eddh_error *err)
{
	uint32_t *readers = calloc(graph->n_tensors, sizeof(*readers));
	uint32_t *writer = calloc(graph->n_tensors, sizeof(*writer));
	nn_plan *plan = calloc(1, sizeof(*plan));
	eddh_code code = EDDH_OK;

	*out = NULL;
	if (plan != NULL)
	{
		plan->graph = graph;
		plan->max_batch = max_batch;
		plan->training = training;
		plan->steps = calloc(graph->n_nodes + 1, sizeof(*plan->steps));
		plan->values = calloc(graph->n_tensors, sizeof(*plan->values));
		plan->links = calloc(graph->n_edges + 1, sizeof(*plan->links));
		plan->value_of = calloc(graph->n_tensors, sizeof(*plan->value_of));
	}
	if (max_batch < 1)
		code = eddh_fail(err, EDDH_BAD_ARGUMENT, "batch of %d", max_batch);
	else if (training && graph->n_halves > 0)
		code = eddh_fail(err, EDDH_BAD_ARGUMENT, "a network with halves cannot be trained: copy it first");
	else if (readers == NULL || writer == NULL || plan == NULL || plan->steps == NULL || plan->values == NULL ||
			 plan->links == NULL || plan->value_of == NULL)
		code = eddh_fail(err, EDDH_NO_MEMORY, "out of memory");
	if (code == EDDH_OK)
	{
		count_readers(graph, readers);
		plan->value_of[graph->input] = new_value(plan, graph->input, NN_IN_INPUT);
		for (uint32_t i = 0; i < graph->n_nodes; i++)
			plan_node(plan, i, readers, writer);
		if (training)
		{
			keep_outputs(plan);
			code = mark_additions(plan, err);
		}
		else
		{
			if (plan->values[plan->value_of[graph->output]].where == NN_IN_ARENA)
				plan->values[plan->value_of[graph->output]].where = NN_IN_OUTPUT;
			nn_plan_fuse(plan);
		}
		if (code == EDDH_OK)
			code = cut_segments(plan, err);
		if (code == EDDH_OK)
			code = place_everything(plan, err);
	}
	free(readers);
	free(writer);
	if (code != EDDH_OK)
	{
		nn_plan_free(plan);
		return code;
	}
	*out = plan;
	return EDDH_OK;
}

void
nn_plan_free(nn_plan *plan)
{
	if (plan == NULL)
		return;
	free(plan->steps);
	free(plan->values);
	free(plan->links);
	free(plan->value_of);
	free(plan->segments);
	free(plan);
}

size_t
nn_plan_arena_size(const nn_plan *plan)
{
	/* Never zero: callers pass it to aligned allocators. */
	return (plan->arena > 0 ? plan->arena : 16) * sizeof(float);
}
