/*
 * Inference that leaves nothing wide in memory: the geometry of bands, kernels on planes that are not dense, chains and Concats in place against the
 * same layers one by one.
 */
#include "nn_cases.h"

#include "nn/bands.h"
#include "nn/plan.h"

/* Random layers of which each reads what the one before writes. */
static nn_bands
random_layers(eddh_rng *rng)
{
	nn_bands b = { .n = pick(rng, 1, NN_BANDS_MOST) };
	int h = pick(rng, 1, 40);

	for (int i = 0; i < b.n; i++)
	{
		nn_window *g = &b.window[i];
		bool ceil_mode;

		do
		{
			*g = random_window(rng, 1, 9, &ceil_mode);
			g->h = h;
		} while (!nn_window_output(g, ceil_mode) || !nn_bands_fit(g));
		h = g->oh;
	}
	b.rows = pick(rng, 1, h);
	nn_bands_start(&b);
	return b;
}

/* Every row is computed once, in order, after the rows it sees, which the buffer before it still holds. */
static void
bands_cover_everything(void **state)
{
	eddh_rng rng;

	eddh_rng_seed(&rng, 61);
	for (int i = 0; i < 2000; i++)
	{
		nn_bands b = random_layers(&rng);
		int done[NN_BANDS_MOST] = { 0 };
		int bands = 0;

		while (nn_bands_next(&b))
		{
			for (int l = 0; l < b.n; l++)
			{
				const nn_window *whole = &b.window[l];
				int in_row;
				nn_window g = nn_bands_window(&b, l, &in_row);

				assert_int_equal(b.first[l], done[l]);
				assert_true(b.end[l] >= b.first[l]);
				done[l] = b.end[l];
				if (l < b.n - 1)
					assert_true(b.base[l] >= b.base_before[l] && b.base[l] <= b.first[l]);
				if (b.first[l] == b.end[l])
					continue;
				/* The same rows under the first and the last output row as the whole window has. */
				assert_int_equal(in_row - g.ph0, b.first[l] * whole->sh - whole->ph0);
				assert_int_equal(in_row + g.h + g.ph1,
								 (b.end[l] - 1) * whole->sh - whole->ph0 + (whole->kh - 1) * whole->dh + 1);
				assert_true(g.ph0 >= 0 && g.ph1 >= 0 && g.h >= 1 && in_row + g.h <= whole->h);
				assert_true(g.ph0 == 0 || in_row == 0);
				assert_true(g.ph1 == 0 || in_row + g.h == whole->h);
				assert_int_equal(g.oh, b.end[l] - b.first[l]);
				if (l > 0)
					assert_true(in_row >= b.base[l - 1] && in_row + g.h <= b.end[l - 1]);
			}
			bands++;
		}
		assert_int_equal(done[b.n - 1], b.window[b.n - 1].oh);
		assert_int_equal(bands, (b.window[b.n - 1].oh + b.rows - 1) / b.rows);
	}
}

/* Images of `planes` planes, each longer than dense by `gap`, with NaN between: whoever reads there shows. */
static float *
spread(const float *dense, int images, int planes, size_t plane, size_t gap, size_t image)
{
	float *to = buffer((size_t) images * image);

	for (int i = 0; i < images; i++)
		for (int c = 0; c < planes && dense != NULL; c++)
			memcpy(to + i * image + c * (plane + gap), dense + ((size_t) i * planes + c) * plane, plane * sizeof *to);
	return to;
}

static void
check_spread(const char *what, const char *text, const float *got, const float *want, int images, int planes,
			 size_t plane, size_t gap, size_t image, double tolerance)
{
	for (int i = 0; i < images; i++)
		for (size_t at = 0; at < image; at++)
		{
			size_t c = at / (plane + gap);
			size_t p = at % (plane + gap);
			float v = got[i * image + at];

			if (c >= (size_t) planes || p >= plane)
			{
				if (!isnan(v))
					fail_msg("%s written between planes at %zu: %s", what, at, text);
			}
			else
			{
				float w = want[((size_t) i * planes + c) * plane + p];

				if (!(fabs((double) v - (double) w) <= tolerance * (1.0 + fabs((double) w))))
					fail_msg("%s (%d,%zu,%zu): got %.9g, want %.9g: %s", what, i, c, p, (double) v, (double) w, text);
			}
		}
	check_guard(what, text, (size_t) images * image, got);
}

static void
strided_body(void)
{
	eddh_rng rng;
	int convolutions = 0, pools = 0;

	eddh_rng_seed(&rng, 62);
	for (int i = 0; i < 400; i++)
	{
		bool ceil_mode;
		int n = pick(&rng, 1, 3);
		int c = i % 3 == 0 ? pick(&rng, 8, 20) : pick(&rng, 1, 5);
		nn_window g = random_window(&rng, c, i % 10 == 0 ? 50 : 14, &ceil_mode);
		int groups = i % 3 == 1 ? c : 1;
		int k = groups * (groups > 1 ? 1 : pick(&rng, 1, 40));
		nn_act act = { (nn_act_kind) pick(&rng, 0, 2), -1.5f, 2.0f };
		size_t x_gap = (size_t) pick(&rng, 0, 30);
		size_t y_gap = (size_t) pick(&rng, 0, 30);
		nn_strides at;
		float *x, *w, *b, *y, *xs, *ys, *scratch;
		size_t scratch_floats;
		char text[256];

		if (i % 2 == 0)
		{
			g.kh = g.kw = 3;
			g.sh = g.sw = pick(&rng, 1, 2);
			g.dh = g.dw = 1;
			if (!nn_window_output(&g, false))
				continue;
		}
		at = nn_strides_dense(&g, k);
		at.x_plane += x_gap;
		at.x_image = c * at.x_plane + x_gap;
		at.y_plane += y_gap;
		at.y_image = k * at.y_plane + y_gap;
		window_text(&g, text, sizeof text);
		x = random_buffer(&rng, (size_t) n * c * g.h * g.w);
		w = random_buffer(&rng, (size_t) k * (c / groups) * g.kh * g.kw);
		b = pick(&rng, 0, 1) ? random_buffer(&rng, k) : NULL;
		y = buffer((size_t) n * k * g.oh * g.ow);
		xs = spread(x, n, c, (size_t) g.h * g.w, x_gap, at.x_image);
		if (nn_conv_strided_fits(&g, k, groups))
		{
			ys = spread(NULL, n, k, 0, 0, at.y_image);
			scratch_floats = nn_conv_scratch(&g, k, groups, false);
			scratch = buffer(scratch_floats);
			nn_conv_forward_naive(&g, k, groups, n, x, w, b, act, y);
			nn_conv_forward_strided(&g, &at, k, groups, n, xs, w, b, act, ys, scratch);
			check_spread("y", text, ys, y, n, k, (size_t) g.oh * g.ow, y_gap, at.y_image, 1e-4);
			check_guard("scratch", text, scratch_floats, scratch);
			free(ys);
			free(scratch);
			convolutions++;
		}
		if (k == c && nn_maxpool_strided_fits(&g))
		{
			ys = spread(NULL, n, k, 0, 0, at.y_image);
			nn_maxpool_forward(&g, n, x, y, NULL);
			nn_maxpool_forward_strided(&g, &at, n, xs, ys);
			check_spread("max", text, ys, y, n, k, (size_t) g.oh * g.ow, y_gap, at.y_image, 0.0);
			free(ys);
			pools++;
		}
		free(x);
		free(w);
		free(b);
		free(y);
		free(xs);
	}
	assert_true(nn_simd_level() == NN_SIMD_BASE || (convolutions > 200 && pools > 20));
}

static void
strided_kernels(void **state)
{
	at_every_level(strided_body);
}

/* ---- Plans ---- */

static uint32_t
add(nn_graph *graph, nn_node node, int n_inputs, const uint32_t *inputs)
{
	static int count;
	char name[32];
	uint32_t output;
	eddh_error err;

	snprintf(name, sizeof name, "t%d", count++);
	if (node.op == NN_OP_CONV)
	{
		const nn_tensor *in = &graph->tensors[inputs[0]];

		node.w_count = (uint64_t) node.k * (in->dim[0] / node.groups) * node.window.kh * node.window.kw;
		node.b_count = (uint64_t) node.k;
	}
	if (nn_graph_add_node(graph, &node, name, n_inputs, inputs, name, &output, &err) != EDDH_OK)
		fail_msg("%s", err.message);
	return output;
}

static nn_node
window_node(nn_op op, int k, int groups, int kernel, int stride)
{
	int pad = kernel / 2;

	return (nn_node){ .op = op,
					  .k = k,
					  .groups = groups,
					  .window = { .kh = kernel,
								  .kw = kernel,
								  .sh = stride,
								  .sw = stride,
								  .ph0 = pad,
								  .pw0 = pad,
								  .ph1 = pad,
								  .pw1 = pad,
								  .dh = 1,
								  .dw = 1 } };
}

static nn_graph *
begin(const int *shape)
{
	nn_graph *graph;
	eddh_error err;

	assert_int_equal(nn_graph_new(&graph, &err), EDDH_OK);
	assert_int_equal(nn_graph_set_input(graph, "input", 3, shape, &err), EDDH_OK);
	return graph;
}

/* With random weights. */
static void
finish(nn_graph *graph, uint32_t output, eddh_rng *rng)
{
	eddh_error err;

	assert_int_equal(nn_graph_finish(graph, output, &err), EDDH_OK);
	for (size_t i = 0; i < graph->n_weights; i++)
		graph->weights[i] = 0.2f * (float) eddh_rng_normal(rng);
}

/* A first layer, a pool, an inverted residual, and a fire module: what pretrained networks consist of. */
static nn_graph *
wide_network(eddh_rng *rng)
{
	static const int shape[] = { 3, 90, 70 };
	nn_node relu = { .op = NN_OP_RELU };
	nn_node clip = { .op = NN_OP_CLIP, .p = { 0.0f, 6.0f } };
	nn_node concat = { .op = NN_OP_CONCAT };
	nn_graph *graph = begin(shape);
	uint32_t at = graph->input, side[3];

	at = add(graph, window_node(NN_OP_CONV, 24, 1, 3, 2), 1, &at);
	at = add(graph, relu, 1, &at);
	at = add(graph, window_node(NN_OP_MAXPOOL, 0, 0, 3, 1), 1, &at);
	at = add(graph, window_node(NN_OP_CONV, 48, 1, 1, 1), 1, &at);
	at = add(graph, clip, 1, &at);
	at = add(graph, window_node(NN_OP_CONV, 48, 48, 3, 2), 1, &at);
	at = add(graph, clip, 1, &at);
	at = add(graph, window_node(NN_OP_CONV, 12, 1, 1, 1), 1, &at);
	side[0] = add(graph, window_node(NN_OP_CONV, 20, 1, 1, 1), 1, &at);
	side[1] = add(graph, window_node(NN_OP_CONV, 33, 1, 3, 1), 1, &at);
	side[1] = add(graph, relu, 1, &side[1]);
	side[2] = add(graph, window_node(NN_OP_MAXPOOL, 0, 0, 3, 1), 1, &at);
	at = add(graph, concat, 3, side);
	finish(graph, at, rng);
	return graph;
}

static float *
forward(const nn_graph *graph, int batch, const float *x, int *chains, int *inside)
{
	size_t count = (size_t) batch * nn_graph_output_shape(graph).count;
	float *y = buffer(count);
	eddh_error err;
	nn_plan *plan;
	float *arena;

	assert_int_equal(nn_plan_create(graph, batch, false, &plan, &err), EDDH_OK);
	*chains = *inside = 0;
	for (uint32_t s = 0; s < plan->n_steps; s = plan->steps[s].chain_end)
		*chains += plan->steps[s].chain_end - s > 1;
	for (uint32_t v = 0; v < plan->n_values; v++)
		*inside += plan->values[v].inside != NN_NO_VALUE;
	arena = buffer(nn_plan_arena_size(plan) / sizeof *arena);
	assert_int_equal(nn_forward(plan, batch, x, arena, y, NULL, &err), EDDH_OK);
	check_guard("arena", "a plan", nn_plan_arena_size(plan) / sizeof *arena, arena);
	check_guard("output", "a plan", count, y);
	nn_plan_free(plan);
	free(arena);
	return y;
}

/* Whatever a band's size; and layers one by one, as with limits that nothing reaches. */
static void
chains_body(void)
{
	nn_chain_sizes usual = nn_chain_limits;
	bool simd = nn_simd_level() != NN_SIMD_BASE;
	eddh_rng rng;
	nn_graph *graph;
	float *x;

	eddh_rng_seed(&rng, 63);
	graph = wide_network(&rng);
	for (int batch = 1; batch <= 5; batch += 4)
	{
		size_t count = (size_t) batch * nn_graph_output_shape(graph).count;
		float *apart;
		int chains, inside;

		x = random_buffer(&rng, (size_t) batch * nn_graph_input_shape(graph).count);
		nn_chain_limits.least_floats = UINT64_MAX;
		apart = forward(graph, batch, x, &chains, &inside);
		assert_int_equal(chains, 0);
		assert_int_equal(inside, simd ? 3 : 0);
		for (uint64_t floats = 1000; floats < 1000000; floats *= 4)
		{
			float *y;

			nn_chain_limits = (nn_chain_sizes){ .least_floats = 1, .band_floats = floats, .least_positions = 1 };
			y = forward(graph, batch, x, &chains, &inside);
			assert_true(simd ? chains > 0 || floats < 16000 : chains == 0);
			check_close("y", "a chain", count, y, apart, 1e-5);
			free(y);
		}
		nn_chain_limits = usual;
		free(apart);
		free(x);
	}
	nn_graph_free(graph);
}

/* A view between two layers: floats in another shape, whose rows are not the rows that were written. */
static void
reshaped_body(void)
{
	static const int shape[] = { 3, 48, 40 };
	static const int views[][3] = { { 16, 48, 40 }, { 4, 96, 80 }, { 64, 24, 20 }, { 16, 40, 48 } };
	nn_chain_sizes usual = nn_chain_limits;
	bool simd = nn_simd_level() != NN_SIMD_BASE;
	eddh_rng rng;

	eddh_rng_seed(&rng, 64);
	for (size_t i = 0; i < sizeof views / sizeof *views; i++)
	{
		nn_node view = { .op = NN_OP_RESHAPE, .ndim = 3, .dim = { views[i][0], views[i][1], views[i][2] } };
		nn_graph *graph = begin(shape);
		float *x, *y, *apart;
		uint32_t at = graph->input;
		int chains, inside;

		at = add(graph, window_node(NN_OP_CONV, 16, 1, 3, 1), 1, &at);
		at = add(graph, view, 1, &at);
		at = add(graph, window_node(NN_OP_MAXPOOL, 0, 0, 3, 1), 1, &at);
		finish(graph, at, &rng);
		x = random_buffer(&rng, nn_graph_input_shape(graph).count);
		nn_chain_limits.least_floats = UINT64_MAX;
		apart = forward(graph, 1, x, &chains, &inside);
		nn_chain_limits = (nn_chain_sizes){ .least_floats = 1, .band_floats = 8000, .least_positions = 1 };
		y = forward(graph, 1, x, &chains, &inside);
		assert_int_equal(chains, simd && i == 0);
		check_close("y", "a view", nn_graph_output_shape(graph).count, y, apart, 1e-5);
		nn_chain_limits = usual;
		free(x);
		free(y);
		free(apart);
		nn_graph_free(graph);
	}
}

static void
reshaped_layers_are_no_chain(void **state)
{
	at_every_level(reshaped_body);
}

static void
chains_equal_layers(void **state)
{
	at_every_level(chains_body);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(bands_cover_everything), cmocka_unit_test(strided_kernels),
										cmocka_unit_test(chains_equal_layers),
										cmocka_unit_test(reshaped_layers_are_no_chain) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
