/*
 * fuse.c: what a plan for inference need not write to memory and read again.
 *
 * - The inputs of a Concat are written where the Concat would copy them.
 * - Layers in sequence that hand over more than the second-level cache holds become a chain, taken in bands of rows (bands.h).
 */
#include "nn/plan.h"

#include <string.h>

#include "nn/bands.h"

nn_chain_sizes nn_chain_limits = { .least_floats = 1 << 16, .band_floats = 3 << 16, .least_positions = 96 };

/* A stranger's network may have planes of a million rows: planning goes through all bands of a chain. */
#define MOST_BANDS 1024

/* Can the step's kernel write (and read) planes that are not dense? */
static bool
can_stride(const nn_plan *plan, const nn_step *step)
{
	const nn_node *node = &plan->graph->nodes[step->node];

	if (node->op == NN_OP_CONV)
		return nn_conv_strided_fits(&node->window, node->k, node->groups);
	return node->op == NN_OP_MAXPOOL && nn_maxpool_strided_fits(&node->window);
}

/* Into a Concat's output goes whatever one step writes whole and only the Concat reads, once. */
static void
write_into_concat(nn_plan *plan, nn_step *concat)
{
	size_t at = 0;

	for (uint32_t l = 0; l < concat->n_links; l++)
	{
		uint32_t index = plan->links[concat->first_link + l].value;
		nn_value *value = &plan->values[index];
		nn_value *whole = &plan->values[concat->output];

		if (value->where == NN_IN_ARENA && value->inside == NN_NO_VALUE && value->readers == 1 &&
			value->written == value->born && can_stride(plan, &plan->steps[value->born]))
		{
			value->inside = concat->output;
			value->skip = at;
			whole->born = value->born < whole->born ? value->born : whole->born;
		}
		at += value->count;
	}
}

static bool
can_be_in_bands(const nn_plan *plan, const nn_step *step)
{
	const nn_node *node = &plan->graph->nodes[step->node];

	return can_stride(plan, step) && nn_bands_fit(&node->window) &&
		   (node->op != NN_OP_CONV || !nn_conv_wants_whole_planes(&node->window, node->k, node->groups));
}

/* Does step s read nothing but what step s - 1 wrote, in that shape (a view may show it in another), and nobody else does? */
static bool
follows(const nn_plan *plan, uint32_t s)
{
	const nn_graph *graph = plan->graph;
	const nn_step *step = &plan->steps[s];
	const nn_link *link = &plan->links[step->first_link];
	const nn_value *value = &plan->values[link->value];
	const nn_tensor *written = &graph->tensors[graph->nodes[plan->steps[s - 1].node].output];

	return step->n_links == 1 && link->value == plan->steps[s - 1].output && value->where == NN_IN_ARENA &&
		   value->readers == 1 && value->born == s - 1 && value->count >= nn_chain_limits.least_floats &&
		   memcmp(graph->tensors[link->tensor].dim, written->dim, sizeof written->dim) == 0;
}

nn_bands
nn_chain_bands(const nn_plan *plan, uint32_t first, uint32_t end, int rows)
{
	nn_bands b = { .n = (int) (end - first), .rows = rows };

	for (uint32_t s = first; s < end; s++)
		b.window[s - first] = plan->graph->nodes[plan->steps[s].node].window;
	nn_bands_start(&b);
	return b;
}

/* Rows of each layer's output that a buffer has to hold. Of the last layer: rows of a band. */
static void
rows_held(nn_bands b, int *held)
{
	memset(held, 0, sizeof(*held) * NN_BANDS_MOST);
	while (nn_bands_next(&b))
		for (int i = 0; i < b.n; i++)
		{
			int rows = b.end[i] - (i < b.n - 1 ? b.base[i] : b.first[i]);

			held[i] = rows > held[i] ? rows : held[i];
		}
}

static int
channels_out(const nn_plan *plan, uint32_t s)
{
	const nn_node *node = &plan->graph->nodes[plan->steps[s].node];

	return node->op == NN_OP_CONV ? node->k : node->window.c;
}

/* About the most rows that a band of the steps may have; 0 where that is too few. */
static int
rows_of_band(const nn_plan *plan, uint32_t first, uint32_t end)
{
	const nn_window *last = &plan->graph->nodes[plan->steps[end - 1].node].window;
	int least = (nn_chain_limits.least_positions + last->ow - 1) / last->ow;

	least = least > last->oh ? last->oh : least;
	for (int rows = last->oh; rows >= least && last->oh / rows <= MOST_BANDS; rows = rows > 4 ? rows * 3 / 4 : rows - 1)
	{
		nn_bands b = nn_chain_bands(plan, first, end, rows);
		uint64_t floats = 0;
		int held[NN_BANDS_MOST];

		rows_held(b, held);
		for (int i = 0; i < b.n; i++)
			floats += (uint64_t) channels_out(plan, first + i) * held[i] * b.window[i].ow;
		if (floats <= nn_chain_limits.band_floats)
			return rows;
		if (rows == 1)
			break;
	}
	return 0;
}

static size_t
scratch_of_bands(const nn_plan *plan, nn_bands b, uint32_t first, int layer)
{
	const nn_node *node = &plan->graph->nodes[plan->steps[first + layer].node];
	size_t most = 0;

	while (node->op == NN_OP_CONV && nn_bands_next(&b))
		if (b.first[layer] < b.end[layer])
		{
			int in_row;
			nn_window g = nn_bands_window(&b, layer, &in_row);
			size_t floats = nn_conv_scratch(&g, node->k, node->groups, false);

			most = floats > most ? floats : most;
		}
	return most;
}

static void
make_chain(nn_plan *plan, uint32_t first, uint32_t end, int rows)
{
	nn_bands b = nn_chain_bands(plan, first, end, rows);
	int held[NN_BANDS_MOST];

	rows_held(b, held);
	for (uint32_t s = first; s < end; s++)
	{
		nn_step *step = &plan->steps[s];

		step->chain_first = first;
		step->chain_end = end;
		step->band_rows = rows;
		step->band_scratch = scratch_of_bands(plan, b, first, (int) (s - first));
		if (s < end - 1)
			plan->values[step->output].rows = held[s - first];
	}
}

void
nn_plan_fuse(nn_plan *plan)
{
	for (uint32_t s = 0; s < plan->n_steps; s++)
		if (plan->graph->nodes[plan->steps[s].node].op == NN_OP_CONCAT)
			write_into_concat(plan, &plan->steps[s]);
	for (uint32_t s = 0; s < plan->n_steps; s = plan->steps[s].chain_end)
	{
		uint32_t end = s + 1;
		int rows = 0;

		if (!can_be_in_bands(plan, &plan->steps[s]))
			continue;
		while (end < plan->n_steps && end - s < NN_BANDS_MOST && follows(plan, end) &&
			   can_be_in_bands(plan, &plan->steps[end]))
		{
			int with = rows_of_band(plan, s, end + 1);

			if (with == 0)
				break;
			rows = with;
			end++;
		}
		if (end - s > 1)
			make_chain(plan, s, end, rows);
	}
}
