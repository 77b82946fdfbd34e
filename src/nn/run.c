/* run.c: the steps of a plan, forward and backward. */
#include "nn/plan.h"

#include <string.h>

/* What a run works on: samples first .. first + n - 1 of the batch. */
typedef struct run
{
	const nn_plan *plan;
	int first, n;
	const float *input;
	float *arena;
	const eddh_stop *stop;
	float *output;    /* forward */
	float *d_input;   /* backward; NULL where not wanted */
	float *d_weights; /* backward: of the weights from d_base on */
	uint64_t d_base;
	uint32_t first_node; /* backward: nothing below */
} run;

/* From one sample of a value to the next. */
static size_t
sample_stride(const run *r, uint32_t index)
{
	const nn_value *value = &r->plan->values[index];

	return value->inside != NN_NO_VALUE ? r->plan->values[value->inside].count : value->count;
}

/* Where a value stands at the run's first sample. */
static float *
value_write(const run *r, uint32_t index)
{
	const nn_value *value = &r->plan->values[index];
	size_t skip = (size_t) r->first * sample_stride(r, index);
	size_t at = value->inside != NN_NO_VALUE ? value->skip : 0;

	if (value->inside != NN_NO_VALUE)
		value = &r->plan->values[value->inside];
	if (value->where == NN_IN_OUTPUT)
		return r->output + skip + at;
	return r->arena + value->place + (value->whole ? skip : 0) + at;
}

static const float *
value_read(const run *r, uint32_t index)
{
	const nn_value *value = &r->plan->values[index];

	return value->where == NN_IN_INPUT ? r->input + (size_t) r->first * value->count : value_write(r, index);
}

static float *
value_gradient(const run *r, const nn_value *value)
{
	return r->arena + value->gradient + (value->gradient_whole ? (size_t) r->first * value->count : 0);
}

static const float *
weights_at(const run *r, uint64_t offset, uint64_t count)
{
	return count > 0 ? r->plan->graph->weights + offset : NULL;
}

/* Of an absent parameter: NULL. */
static float *
d_weights_at(const run *r, uint64_t offset, uint64_t count)
{
	return count > 0 ? r->d_weights + (offset - r->d_base) : NULL;
}

/* What forward keeps for backward: as many floats as outputs. */
static float *
extra_at(const run *r, const nn_step *step)
{
	return step->extra == NN_NO_PLACE
			   ? NULL
			   : r->arena + step->extra + (size_t) r->first * r->plan->values[step->output].count;
}

/* Forward. */
static float *
scratch_at(const run *r, const nn_step *step)
{
	return step->scratch[0] == NN_NO_PLACE ? NULL : r->arena + step->scratch[0];
}

static nn_lrn
lrn_of(const nn_node *node)
{
	return (nn_lrn){ .size = node->k, .alpha = node->p[0], .beta = node->p[1], .bias = node->p[2] };
}

static nn_unary
unary_of(uint32_t op)
{
	switch ((nn_op) op)
	{
		case NN_OP_SIGMOID:
			return NN_SIGMOID;
		case NN_OP_HARDSIGMOID:
			return NN_HARDSIGMOID;
		case NN_OP_HARDSWISH:
			return NN_HARDSWISH;
		case NN_OP_EXP:
			return NN_EXP;
		case NN_OP_SIN:
			return NN_SIN;
		default:
			return NN_TANH;
	}
}

/*
 * Convolutions of a large batch are cut between samples, so that stop is polled at least about every half a billion multiply-adds. Nothing else takes
 * that long, and a dense layer is better done at once: its weights are read once.
 */
#define MACS_BETWEEN_POLLS (UINT64_C(1) << 29)

static int
samples_at_once(const run *r, const nn_node *node)
{
	uint64_t macs = nn_node_macs(r->plan->graph, node);
	uint64_t samples = macs == 0 ? (uint64_t) r->n : MACS_BETWEEN_POLLS / macs;

	return samples < 1 ? 1 : samples > (uint64_t) r->n ? r->n : (int) samples;
}

/* False when stopped. */
static bool
conv_forward(const run *r, const nn_step *step, size_t count, const float *x, const float *w, const float *b, float *y)
{
	const nn_node *node = &r->plan->graph->nodes[step->node];
	float *scratch = scratch_at(r, step);
	nn_strides at = nn_strides_dense(&node->window, node->k);
	bool dense = at.y_image == sample_stride(r, step->output);
	int at_once = samples_at_once(r, node);

	at.y_image = sample_stride(r, step->output);
	for (int i = 0; i < r->n; i += at_once)
	{
		int n = r->n - i < at_once ? r->n - i : at_once;
		const float *xi = x + (size_t) i * count;
		float *yi = y + (size_t) i * at.y_image;

		if (i > 0 && eddh_stopped(r->stop))
			return false;
		if (dense)
			nn_conv_forward(&node->window, node->k, node->groups, n, xi, w, b, step->act, yi, scratch);
		else
			nn_conv_forward_strided(&node->window, &at, node->k, node->groups, n, xi, w, b, step->act, yi, scratch);
	}
	return true;
}

static void
maxpool_forward(const run *r, const nn_step *step, const float *x, float *y)
{
	const nn_window *g = &r->plan->graph->nodes[step->node].window;
	nn_strides at = nn_strides_dense(g, g->c);

	if (at.y_image == sample_stride(r, step->output))
		nn_maxpool_forward(g, r->n, x, y, (int *) extra_at(r, step));
	else
	{
		at.y_image = sample_stride(r, step->output);
		nn_maxpool_forward_strided(g, &at, r->n, x, y);
	}
}

static bool
conv_backward(const run *r, const nn_step *step, size_t count, const float *x, const float *w, const float *dy,
			  float *dx, float *dw, float *db)
{
	const nn_node *node = &r->plan->graph->nodes[step->node];
	float *scratch = step->scratch[1] == NN_NO_PLACE ? NULL : r->arena + step->scratch[1];
	size_t count_out = r->plan->values[step->output].count;
	int at_once = samples_at_once(r, node);

	for (int i = 0; i < r->n; i += at_once)
	{
		int n = r->n - i < at_once ? r->n - i : at_once;

		if (i > 0 && eddh_stopped(r->stop))
			return false;
		nn_conv_backward(&node->window, node->k, node->groups, n, x + (size_t) i * count, w,
						 dy + (size_t) i * count_out, dx == NULL ? NULL : dx + (size_t) i * count, dw, db, scratch);
	}
	return true;
}

/* The inputs of a Concat are runs of each sample of its output; some have been written there. */
static void
concat_forward(const run *r, const nn_step *step, float *y)
{
	size_t total = r->plan->values[step->output].count;
	size_t at = 0;

	for (uint32_t l = 0; l < step->n_links; l++)
	{
		uint32_t value = r->plan->links[step->first_link + l].value;
		size_t count = r->plan->values[value].count;
		const float *x = value_read(r, value);

		for (int i = 0; i < r->n && r->plan->values[value].inside == NN_NO_VALUE; i++)
			memcpy(y + (size_t) i * total + at, x + (size_t) i * count, count * sizeof(float));
		at += count;
	}
}

/* False when stopped. */
static bool
forward_step(const run *r, const nn_step *step)
{
	const nn_graph *graph = r->plan->graph;
	const nn_node *node = &graph->nodes[step->node];
	const nn_link *link = &r->plan->links[step->first_link];
	const nn_tensor *in = &graph->tensors[link[0].tensor];
	const float *x = value_read(r, link[0].value);
	float *y = value_write(r, step->output);
	const float *w = node->halved ? NULL : weights_at(r, node->w, node->w_count);
	const float *b = weights_at(r, node->b, node->b_count);
	size_t count = (size_t) in->count;
	size_t all = (size_t) r->n * count;
	int c = in->dim[0];
	int hw = nn_tensor_hw(in);
	int last = in->dim[in->ndim - 1];

	switch ((nn_op) node->op)
	{
		case NN_OP_CONV:
			return conv_forward(r, step, count, x, w, b, y);
		case NN_OP_DENSE:
			if (node->halved)
				nn_dense_forward_halves((int) (all / (size_t) last), last, node->k, x, graph->halves + node->w, b,
										step->act, y, scratch_at(r, step));
			else
				nn_dense_forward((int) (all / (size_t) last), last, node->k, x, w, b, step->act, y);
			break;
		case NN_OP_RELU:
		case NN_OP_CLIP:
			nn_act_forward(step->act, all, x, y);
			break;
		case NN_OP_LRN:
			nn_lrn_forward(lrn_of(node), r->n, c, hw, x, y, extra_at(r, step));
			break;
		case NN_OP_MAXPOOL:
			maxpool_forward(r, step, x, y);
			break;
		case NN_OP_AVGPOOL:
			nn_avgpool_forward(&node->window, node->count_pad != 0, r->n, x, y);
			break;
		case NN_OP_GLOBAL_AVGPOOL:
			nn_global_avgpool_forward(r->n, c, hw, x, y);
			break;
		case NN_OP_ADD:
		case NN_OP_MUL:
			nn_binary_forward(node->op == NN_OP_MUL, (nn_broadcast) node->broadcast, r->n, c, hw, x,
							  step->n_links == 2 ? value_read(r, link[1].value) : w, y);
			break;
		case NN_OP_CONCAT:
			concat_forward(r, step, y);
			break;
		case NN_OP_SCALE:
			nn_scale_forward(r->n, c, hw, x, w, b, y);
			break;
		case NN_OP_SIGMOID:
		case NN_OP_HARDSIGMOID:
		case NN_OP_HARDSWISH:
		case NN_OP_TANH:
		case NN_OP_EXP:
		case NN_OP_SIN:
			nn_unary_forward(unary_of(node->op), node->p[0], node->p[1], all, x, y);
			break;
		case NN_OP_SOFTMAX:
			nn_softmax_forward((int) (all / (size_t) node->k), node->k, x, y);
			break;
		case NN_OP_FLATTEN:
		case NN_OP_RESHAPE:
		case NN_OP_IDENTITY:
		case NN_OP_COUNT:
			break;
	}
	return true;
}

/* The rows of a buffer of `planes` planes, `held` rows each, that the next band will see again move to its top. */
static void
keep_rows(float *buffer, size_t planes, int held, int width, int shift, int rows)
{
	if (shift > 0 && rows > 0)
		for (size_t p = 0; p < planes; p++, buffer += (size_t) held * width)
			memmove(buffer, buffer + (size_t) shift * width, (size_t) rows * width * sizeof *buffer);
}

/* One band of one layer of a chain, for one sample. x, y: of the whole chain. */
static void
layer_of_band(const run *r, const nn_bands *b, int layer, const nn_step *step, const float *x, float *y)
{
	const nn_node *node = &r->plan->graph->nodes[step->node];
	int channels = node->op == NN_OP_CONV ? node->k : node->window.c;
	int in_row;
	nn_window g = nn_bands_window(b, layer, &in_row);
	nn_strides at = nn_strides_dense(&b->window[layer], channels);

	if (layer > 0)
	{
		const nn_value *value = &r->plan->values[r->plan->links[step->first_link].value];

		at.x_plane = (size_t) value->rows * g.w;
		x = r->arena + value->place;
		in_row -= b->base[layer - 1];
	}
	x += (size_t) in_row * g.w;
	if (layer < b->n - 1)
	{
		const nn_value *value = &r->plan->values[step->output];

		at.y_plane = (size_t) value->rows * g.ow;
		y = r->arena + value->place;
		keep_rows(y, (size_t) channels, value->rows, g.ow, b->base[layer] - b->base_before[layer],
				  b->first[layer] - b->base[layer]);
		y += (size_t) (b->first[layer] - b->base[layer]) * g.ow;
	}
	else
		y += (size_t) b->first[layer] * g.ow;
	if (b->first[layer] == b->end[layer])
		return;
	if (node->op == NN_OP_CONV)
		nn_conv_forward_strided(&g, &at, node->k, node->groups, 1, x, weights_at(r, node->w, node->w_count),
								weights_at(r, node->b, node->b_count), step->act, y, scratch_at(r, step));
	else
		nn_maxpool_forward_strided(&g, &at, 1, x, y);
}

/* Steps first .. that make a chain, band by band. False when stopped. */
static bool
forward_chain(const run *r, uint32_t first, nn_watch watch, void *watch_arg)
{
	const nn_plan *plan = r->plan;
	const nn_step *step = &plan->steps[first];
	uint32_t input = plan->links[step->first_link].value;
	uint32_t output = plan->steps[step->chain_end - 1].output;
	const nn_bands start = nn_chain_bands(plan, first, step->chain_end, step->band_rows);

	for (int i = 0; i < r->n; i++)
		for (nn_bands b = start; nn_bands_next(&b);)
		{
			if (eddh_stopped(r->stop))
				return false;
			for (int layer = 0; layer < b.n; layer++)
			{
				layer_of_band(r, &b, layer, &step[layer], value_read(r, input) + i * sample_stride(r, input),
							  value_write(r, output) + i * sample_stride(r, output));
				if (watch != NULL)
					watch(watch_arg, (int) step[layer].node);
			}
		}
	return true;
}

static eddh_code
check_batch(const nn_plan *plan, int n, eddh_error *err)
{
	if (n < 0 || n > plan->max_batch)
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "batch of %d in a plan for %d", n, plan->max_batch);
	return EDDH_OK;
}

static eddh_code
forward(const nn_plan *plan, int n, const float *input, float *arena, float *output, nn_watch watch, void *watch_arg,
		const eddh_stop *stop, eddh_error *err)
{
	run r = { .plan = plan, .input = input, .arena = arena, .stop = stop, .output = output };
	uint32_t value = plan->value_of[plan->graph->output];
	eddh_code code = check_batch(plan, n, err);

	if (code != EDDH_OK || n == 0)
		return code;
	for (uint32_t i = 0; i < plan->n_segments; i++)
	{
		const nn_segment *segment = &plan->segments[i];

		for (r.first = 0; r.first < n; r.first += segment->part)
		{
			r.n = n - r.first < segment->part ? n - r.first : segment->part;
			for (uint32_t s = segment->first; s < segment->end; s = plan->steps[s].chain_end)
			{
				bool chain = plan->steps[s].chain_end - s > 1;

				if (eddh_stopped(stop) ||
					!(chain ? forward_chain(&r, s, watch, watch_arg) : forward_step(&r, &plan->steps[s])))
					return eddh_fail(err, EDDH_STOPPED, "stopped");
				if (watch != NULL && !chain)
					watch(watch_arg, (int) plan->steps[s].node);
			}
		}
	}
	r.first = 0;
	if (plan->values[value].where != NN_IN_OUTPUT)
		memcpy(output, value_read(&r, value), sizeof(float) * (size_t) n * plan->values[value].count);
	return EDDH_OK;
}

eddh_code
nn_forward(const nn_plan *plan, int n, const float *input, float *arena, float *output, const eddh_stop *stop,
		   eddh_error *err)
{
	return forward(plan, n, input, arena, output, NULL, NULL, stop, err);
}

eddh_code
nn_forward_watched(const nn_plan *plan, int n, const float *input, float *arena, float *output, nn_watch watch,
				   void *watch_arg, eddh_error *err)
{
	return forward(plan, n, input, arena, output, watch, watch_arg, NULL, err);
}

/* Where a link's gradient goes: nowhere, straight to the value's gradient, or aside. */
static float *
link_gradient(const run *r, const nn_link *link)
{
	const nn_value *value = &r->plan->values[link->value];

	if (value->where == NN_IN_INPUT)
	{
		if (r->d_input == NULL)
			return NULL;
		return link->adds ? r->arena + link->aside : r->d_input + (size_t) r->first * value->count;
	}
	if (r->plan->steps[value->born].node < r->first_node)
		return NULL;
	return link->adds ? r->arena + link->aside : value_gradient(r, value);
}

static void
add_gradient(const run *r, const nn_link *link)
{
	const nn_value *value = &r->plan->values[link->value];
	size_t all = (size_t) r->n * value->count;
	const float *restrict from = r->arena + link->aside;
	float *restrict to =
		value->where == NN_IN_INPUT ? r->d_input + (size_t) r->first * value->count : value_gradient(r, value);

	for (size_t i = 0; i < all; i++)
		to[i] += from[i];
}

static void
concat_backward(const run *r, const nn_step *step, const float *dy)
{
	size_t total = r->plan->values[step->output].count;
	size_t at = 0;

	for (uint32_t l = 0; l < step->n_links; l++)
	{
		const nn_link *link = &r->plan->links[step->first_link + l];
		size_t count = r->plan->values[link->value].count;
		float *dx = link_gradient(r, link);

		for (int i = 0; dx != NULL && i < r->n; i++)
			memcpy(dx + (size_t) i * count, dy + (size_t) i * total + at, count * sizeof(float));
		at += count;
	}
}

static void
binary_backward(const run *r, const nn_step *step, const nn_tensor *in, const float *dy)
{
	const nn_node *node = &r->plan->graph->nodes[step->node];
	const nn_link *link = &r->plan->links[step->first_link];
	bool two = step->n_links == 2;
	bool mul = node->op == NN_OP_MUL;

	/* Add reads neither input, and the plan has not kept them. */
	const float *a = mul ? value_read(r, link[0].value) : NULL;
	const float *b = !mul ? NULL : two ? value_read(r, link[1].value) : weights_at(r, node->w, node->w_count);

	nn_binary_backward(mul, (nn_broadcast) node->broadcast, r->n, in->dim[0], nn_tensor_hw(in), a, b, dy,
					   link_gradient(r, &link[0]),
					   two ? link_gradient(r, &link[1]) : d_weights_at(r, node->w, node->w_count));
}

static bool
backward_step(const run *r, const nn_step *step)
{
	const nn_graph *graph = r->plan->graph;
	const nn_node *node = &graph->nodes[step->node];
	const nn_link *link = &r->plan->links[step->first_link];
	const nn_tensor *in = &graph->tensors[link[0].tensor];
	size_t all = (size_t) r->n * (size_t) in->count;
	size_t all_out = (size_t) r->n * r->plan->values[step->output].count;
	float *dy = value_gradient(r, &r->plan->values[step->output]);
	const float *x = value_read(r, link[0].value);
	const float *y = value_read(r, step->output);
	const float *w = weights_at(r, node->w, node->w_count);
	float *dw = d_weights_at(r, node->w, node->w_count);
	float *db = d_weights_at(r, node->b, node->b_count);
	float *dx = step->in_place ? dy : link_gradient(r, link);
	int c = in->dim[0];
	int hw = nn_tensor_hw(in);
	int last = in->dim[in->ndim - 1];

	if (node->w_count == 0 && step->n_links == 1 && dx == NULL)
		return true;
	switch ((nn_op) node->op)
	{
		case NN_OP_CONV:
			if (step->act.kind != NN_ACT_NONE)
				nn_act_backward(step->act, all_out, y, dy, dy);
			if (!conv_backward(r, step, (size_t) in->count, x, w, dy, dx, dw, db))
				return false;
			break;
		case NN_OP_DENSE:
			if (step->act.kind != NN_ACT_NONE)
				nn_act_backward(step->act, all_out, y, dy, dy);
			nn_dense_backward((int) (all / (size_t) last), last, node->k, x, w, dy, dx, dw, db);
			break;
		case NN_OP_RELU:
		case NN_OP_CLIP:
			nn_act_backward(step->act, all, y, dy, dx);
			break;
		case NN_OP_LRN:
			nn_lrn_backward(lrn_of(node), r->n, c, hw, x, y, extra_at(r, step), dy, dx);
			break;
		case NN_OP_MAXPOOL:
			nn_maxpool_backward(&node->window, r->n, dy, (const int *) extra_at(r, step), dx);
			break;
		case NN_OP_AVGPOOL:
			nn_avgpool_backward(&node->window, node->count_pad != 0, r->n, dy, dx);
			break;
		case NN_OP_GLOBAL_AVGPOOL:
			nn_global_avgpool_backward(r->n, c, hw, dy, dx);
			break;
		case NN_OP_ADD:
		case NN_OP_MUL:
			binary_backward(r, step, in, dy);
			break;
		case NN_OP_CONCAT:
			concat_backward(r, step, dy);
			break;
		case NN_OP_SCALE:
			nn_scale_backward(r->n, c, hw, x, w, dy, dx, dw, db);
			break;
		case NN_OP_SIGMOID:
		case NN_OP_HARDSIGMOID:
		case NN_OP_HARDSWISH:
		case NN_OP_TANH:
		case NN_OP_EXP:
		case NN_OP_SIN:
			nn_unary_backward(unary_of(node->op), node->p[0], node->p[1], all, x, y, dy, dx);
			break;
		case NN_OP_SOFTMAX:
			nn_softmax_backward((int) (all / (size_t) node->k), node->k, y, dy, dx);
			break;
		case NN_OP_FLATTEN:
		case NN_OP_RESHAPE:
		case NN_OP_IDENTITY:
		case NN_OP_COUNT:
			break;
	}
	for (uint32_t l = 0; l < step->n_links && !step->in_place; l++)
		if (link[l].adds && link_gradient(r, &link[l]) != NULL)
			add_gradient(r, &link[l]);
	return true;
}

static eddh_code
backward(run *r, int n, const float *d_output, eddh_error *err)
{
	const nn_plan *plan = r->plan;
	const nn_value *value = &plan->values[plan->value_of[plan->graph->output]];
	eddh_code code = check_batch(plan, n, err);

	if (code == EDDH_OK && !plan->training)
		code = eddh_fail(err, EDDH_BAD_ARGUMENT, "backward in a plan that is not for training");
	if (code != EDDH_OK || n == 0)
		return code;
	if (value->where == NN_IN_INPUT)
	{
		/* Nothing but views. */
		if (r->d_input != NULL)
			memcpy(r->d_input, d_output, sizeof(float) * (size_t) n * value->count);
		return EDDH_OK;
	}
	memcpy(r->arena + value->gradient, d_output, sizeof(float) * (size_t) n * value->count);
	for (uint32_t i = plan->n_segments; i-- > 0;)
	{
		const nn_segment *segment = &plan->segments[i];

		for (r->first = 0; r->first < n; r->first += segment->part)
		{
			r->n = n - r->first < segment->part ? n - r->first : segment->part;
			for (uint32_t s = segment->end; s-- > segment->first && plan->steps[s].node >= r->first_node;)
				if (eddh_stopped(r->stop) || !backward_step(r, &plan->steps[s]))
					return eddh_fail(err, EDDH_STOPPED, "stopped");
		}
	}
	return EDDH_OK;
}

eddh_code
nn_backward(const nn_plan *plan, int n, const float *input, float *arena, const float *d_output, float *d_weights,
			float *d_input, const eddh_stop *stop, eddh_error *err)
{
	run r = { .plan = plan, .input = input, .arena = arena, .stop = stop, .d_input = d_input, .d_weights = d_weights };

	return backward(&r, n, d_output, err);
}

eddh_code
nn_backward_from(const nn_plan *plan, uint32_t first_node, int n, const float *input, float *arena,
				 const float *d_output, float *d_weights, const eddh_stop *stop, eddh_error *err)
{
	run r = {
		.plan = plan, .input = input, .arena = arena, .stop = stop, .d_weights = d_weights, .first_node = first_node
	};

	if (first_node >= plan->graph->n_nodes)
		return EDDH_OK;
	r.d_base = plan->graph->nodes[first_node].w;
	return backward(&r, n, d_output, err);
}
