/* Convolution: every way against the formula, gradients against differences, at every instruction set. */
#include "nn_cases.h"

#include "nn/conv.h"

typedef struct conv_case
{
	nn_window g;
	int k, groups, n;
	nn_act act;
	float *x, *w, *b, *y, *dy, *scratch;
	size_t x_count, w_count, y_count, scratch_count;
	char text[512];
} conv_case;

static void
case_buffers(eddh_rng *rng, conv_case *c, bool bias)
{
	char window[256];

	c->x_count = (size_t) c->n * c->g.c * c->g.h * c->g.w;
	c->w_count = (size_t) c->k * (c->g.c / c->groups) * c->g.kh * c->g.kw;
	c->y_count = (size_t) c->n * c->k * c->g.oh * c->g.ow;
	c->scratch_count = nn_conv_scratch(&c->g, c->k, c->groups, true);
	c->x = random_buffer(rng, c->x_count);
	c->w = random_buffer(rng, c->w_count);
	c->b = bias ? random_buffer(rng, c->k) : NULL;
	c->y = buffer(c->y_count);
	c->dy = random_buffer(rng, c->y_count);
	c->scratch = buffer(c->scratch_count);
	window_text(&c->g, window, sizeof window);
	snprintf(c->text, sizeof c->text, "n %d k %d groups %d bias %d act %d level %d %s", c->n, c->k, c->groups, bias,
			 (int) c->act.kind, (int) nn_simd_level(), window);
}

static void
case_free(conv_case *c)
{
	check_guard("scratch", c->text, c->scratch_count, c->scratch);
	free(c->x);
	free(c->w);
	free(c->b);
	free(c->y);
	free(c->dy);
	free(c->scratch);
}

static nn_act
random_act(eddh_rng *rng)
{
	nn_act act = { (nn_act_kind) pick(rng, 0, 2), -1.5f, 2.0f };

	return act;
}

/* kind 0: plain, 1: groups, 2: depthwise, 3: pointwise. */
static void
random_case(eddh_rng *rng, conv_case *c, int kind, int max_size)
{
	bool ceil_mode;
	int per_group = pick(rng, 1, 5);

	memset(c, 0, sizeof *c);
	c->groups = kind == 1 ? pick(rng, 2, 3) : 1;
	c->n = pick(rng, 1, 4);
	c->k = c->groups * pick(rng, 1, 20);
	c->g = random_window(rng, c->groups * per_group, max_size, &ceil_mode);
	if (kind == 2)
	{
		c->g.c = pick(rng, 2, 6);
		c->groups = c->g.c;
		c->k = c->g.c * pick(rng, 1, 2);
	}
	if (kind == 3)
	{
		c->g.kh = c->g.kw = c->g.sh = c->g.sw = c->g.dh = c->g.dw = 1;
		c->g.ph0 = c->g.ph1 = c->g.pw0 = c->g.pw1 = 0;
		assert_true(nn_window_output(&c->g, false));
	}
	c->act = random_act(rng);
	case_buffers(rng, c, pick(rng, 0, 3) != 0);
}

static void
compare_forward(conv_case *c)
{
	float *want = buffer(c->y_count);

	nn_conv_forward(&c->g, c->k, c->groups, c->n, c->x, c->w, c->b, c->act, c->y, c->scratch);
	nn_conv_forward_naive(&c->g, c->k, c->groups, c->n, c->x, c->w, c->b, c->act, want);
	/* Rounding grows with the number of terms. */
	check_close("y", c->text, c->y_count, c->y, want, 1e-6 * (10.0 + sqrt((double) c->w_count / c->k)));
	free(want);
}

static void
forward_body(void)
{
	eddh_rng rng;

	eddh_rng_seed(&rng, 1);
	for (int i = 0; i < 600; i++)
	{
		conv_case c;

		random_case(&rng, &c, i % 4, i % 10 == 0 ? 40 : 13);
		compare_forward(&c);
		case_free(&c);
	}
}

static void
forward_equals_formula(void **state)
{
	at_every_level(forward_body);
}

/* Deep sums, many outputs, wide planes: several blocks and groups of panels. */
static void
forward_large_body(void)
{
	eddh_rng rng;

	eddh_rng_seed(&rng, 6);
	for (int i = 0; i < 6; i++)
	{
		conv_case c = { 0 };

		c.n = pick(&rng, 1, 3);
		c.k = pick(&rng, 100, 150);
		c.groups = 1;
		c.g = (nn_window){ .c = pick(&rng, 30, 60),
						   .h = pick(&rng, 10, 30),
						   .w = pick(&rng, 10, 30),
						   .kh = 3,
						   .kw = 3,
						   .sh = pick(&rng, 1, 2),
						   .sw = 1,
						   .ph0 = 1,
						   .ph1 = 0,
						   .pw0 = 1,
						   .pw1 = 1,
						   .dh = 1,
						   .dw = 1 };
		assert_true(nn_window_output(&c.g, false));
		c.act = random_act(&rng);
		case_buffers(&rng, &c, true);
		compare_forward(&c);
		case_free(&c);
	}
}

static void
forward_large(void **state)
{
	at_every_level(forward_large_body);
}

/* Geometries of real networks, large enough to need several tiles, and batches that share one. */
static void
forward_real_shapes(void **state)
{
	static const struct
	{
		int n, c, h, w, kernel, stride, pad0, pad1, k, groups;
	} shapes[] = {
		{ 1, 3, 224, 224, 11, 4, 0, 0, 16, 1 }, /* CNN-F conv1 */
		{ 2, 64, 27, 27, 5, 1, 2, 2, 40, 1 },   /* conv2 */
		{ 5, 96, 13, 13, 3, 1, 1, 1, 24, 1 },   /* conv3 */
		{ 1, 3, 112, 112, 3, 2, 0, 1, 32, 1 },  /* MobileNet's stem, SAME padding */
		{ 3, 32, 56, 56, 3, 2, 0, 1, 32, 32 },  /* depthwise */
		{ 9, 40, 7, 7, 3, 1, 1, 1, 40, 40 },    /* depthwise, small */
		{ 9, 160, 7, 7, 1, 1, 0, 0, 50, 1 },    /* pointwise, small */
		{ 1, 16, 112, 112, 1, 1, 0, 0, 96, 1 }, /* pointwise, large */
		{ 33, 3, 32, 32, 3, 1, 1, 1, 17, 1 },   /* thumbnails */
		{ 3, 300, 6, 6, 6, 1, 0, 0, 33, 1 },    /* a dense layer in disguise */
	};
	eddh_rng rng;

	eddh_rng_seed(&rng, 2);
	for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
	{
		conv_case c = { 0 };

		c.n = shapes[i].n;
		c.k = shapes[i].k;
		c.groups = shapes[i].groups;
		c.g = (nn_window){ .c = shapes[i].c,
						   .h = shapes[i].h,
						   .w = shapes[i].w,
						   .kh = shapes[i].kernel,
						   .kw = shapes[i].kernel,
						   .sh = shapes[i].stride,
						   .sw = shapes[i].stride,
						   .ph0 = shapes[i].pad0,
						   .pw0 = shapes[i].pad0,
						   .ph1 = shapes[i].pad1,
						   .pw1 = shapes[i].pad1,
						   .dh = 1,
						   .dw = 1 };
		assert_true(nn_window_output(&c.g, false));
		c.act.kind = NN_ACT_RELU;
		case_buffers(&rng, &c, true);
		for (size_t j = 0; j < c.w_count; j++)
			c.w[j] *= 0.1f;
		compare_forward(&c);
		case_free(&c);
	}
}

static double
conv_loss(void *arg)
{
	conv_case *c = arg;

	nn_conv_forward_naive(&c->g, c->k, c->groups, c->n, c->x, c->w, c->b, c->act, c->y);
	return inner(c->y_count, c->y, c->dy);
}

static void
gradient_body(void)
{
	eddh_rng rng;

	eddh_rng_seed(&rng, 3);
	for (int i = 0; i < 120; i++)
	{
		conv_case c;
		float *dx, *dw, *db;

		random_case(&rng, &c, i % 4, 9);
		c.act.kind = NN_ACT_NONE;
		dx = buffer(c.x_count);
		dw = zero_buffer(c.w_count);
		db = c.b != NULL ? zero_buffer(c.k) : NULL;
		nn_conv_backward(&c.g, c.k, c.groups, c.n, c.x, c.w, c.dy, dx, dw, db, c.scratch);
		/* Linear in each argument: a step of 1 is exact but for rounding. */
		check_gradient(&rng, "x", c.text, conv_loss, &c, c.x, c.x_count, dx, 12, 1.0f, 2e-4, true);
		check_gradient(&rng, "w", c.text, conv_loss, &c, c.w, c.w_count, dw, 12, 1.0f, 2e-4, true);
		if (c.b != NULL)
			check_gradient(&rng, "b", c.text, conv_loss, &c, c.b, c.k, db, 4, 1.0f, 2e-4, true);

		/* dw and db are added to; a NULL is not wanted. */
		{
			float *dw2 = random_buffer(&rng, c.w_count);
			float *sum = buffer(c.w_count);

			for (size_t j = 0; j < c.w_count; j++)
				sum[j] = dw2[j] + dw[j];
			nn_conv_backward(&c.g, c.k, c.groups, c.n, c.x, c.w, c.dy, NULL, dw2, NULL, c.scratch);
			check_close("dw added", c.text, c.w_count, dw2, sum, 1e-4);
			nn_conv_backward(&c.g, c.k, c.groups, c.n, c.x, c.w, c.dy, dx, NULL, NULL, c.scratch);
			free(dw2);
			free(sum);
		}
		free(dx);
		free(dw);
		free(db);
		case_free(&c);
	}
}

static void
gradients_equal_differences(void **state)
{
	at_every_level(gradient_body);
}

/* Backward over batches and tiles of real size equals the sum over single images. */
static void
backward_batch_equals_sum(void **state)
{
	eddh_rng rng;

	eddh_rng_seed(&rng, 4);
	for (int i = 0; i < 4; i++)
	{
		conv_case c = { 0 };
		float *dx, *dw, *dx1, *dw1;

		c.n = 7;
		c.k = i == 2 ? 24 : i == 1 ? 40 : 20;
		c.groups = i == 2 ? 24 : i == 3 ? 2 : 1;
		c.g = (nn_window){ .c = 24,
						   .h = 60,
						   .w = 60,
						   .kh = 3,
						   .kw = 3,
						   .sh = 1,
						   .sw = 1,
						   .ph0 = 1,
						   .ph1 = 1,
						   .pw0 = 1,
						   .pw1 = 1,
						   .dh = 1,
						   .dw = 1 };
		if (i == 1)
			c.g.h = c.g.w = 12;
		assert_true(nn_window_output(&c.g, false));
		case_buffers(&rng, &c, false);
		dx = buffer(c.x_count);
		dx1 = buffer(c.x_count);
		dw = zero_buffer(c.w_count);
		dw1 = zero_buffer(c.w_count);
		nn_conv_backward(&c.g, c.k, c.groups, c.n, c.x, c.w, c.dy, dx, dw, NULL, c.scratch);
		for (int j = 0; j < c.n; j++)
			nn_conv_backward(&c.g, c.k, c.groups, 1, c.x + j * c.x_count / c.n, c.w, c.dy + j * c.y_count / c.n,
							 dx1 + j * c.x_count / c.n, dw1, NULL, c.scratch);
		check_close("dx", c.text, c.x_count, dx, dx1, 2e-4);
		check_close("dw", c.text, c.w_count, dw, dw1, 2e-3);
		free(dx);
		free(dx1);
		free(dw);
		free(dw1);
		case_free(&c);
	}
}

/* A broken weight must show in the output it feeds, through every activation. */
static void
nan_body(void)
{
	eddh_rng rng;

	eddh_rng_seed(&rng, 5);
	for (int i = 0; i < 60; i++)
	{
		conv_case c;
		size_t bad;
		size_t plane;
		bool seen = false;

		random_case(&rng, &c, i % 4, 9);
		/* The tap of the first output that surely lies inside: one without padding. */
		c.g.ph0 = c.g.ph1 = c.g.pw0 = c.g.pw1 = 0;
		if (!nn_window_output(&c.g, false))
		{
			case_free(&c);
			continue;
		}
		case_free(&c);
		case_buffers(&rng, &c, true);
		bad = (size_t) eddh_rng_below(&rng, c.w_count);
		c.w[bad] = NAN;
		plane = bad / (c.w_count / c.k);
		nn_conv_forward(&c.g, c.k, c.groups, c.n, c.x, c.w, c.b, c.act, c.y, c.scratch);
		for (int p = 0; p < c.g.oh * c.g.ow; p++)
			seen |= isnan(c.y[plane * c.g.oh * c.g.ow + p]);
		if (!seen)
			fail_msg("the NaN in weight %zu was lost: %s", bad, c.text);
		case_free(&c);
	}
}

static void
nan_in_weights_reaches_output(void **state)
{
	at_every_level(nan_body);
}

/* What a hostile file may ask for stays bounded. */
static void
scratch_is_bounded(void **state)
{
	nn_window g = { .c = 2,
					.h = 1,
					.w = 1,
					.kh = 2,
					.kw = 2,
					.sh = 1,
					.sw = 1,
					.ph0 = 1 << 19,
					.ph1 = 1 << 19,
					.pw0 = 1 << 19,
					.pw1 = 1 << 19,
					.dh = 1 << 20,
					.dw = 1 << 20 };

	assert_true(nn_window_output(&g, false));
	assert_int_equal(g.oh, 1);
	assert_true(nn_conv_scratch(&g, 2, 2, true) < 1 << 20);
	g.sh = g.sw = 1 << 20;
	assert_true(nn_window_output(&g, false));
	assert_true(nn_conv_scratch(&g, 2, 2, true) < 1 << 20);
}

static void
window_outputs(void **state)
{
	nn_window g = { .c = 1, .h = 54, .w = 54, .kh = 3, .kw = 3, .sh = 2, .sw = 2, .dh = 1, .dw = 1 };

	assert_true(nn_window_output(&g, true));
	assert_int_equal(g.oh, 27);
	assert_true(nn_window_output(&g, false));
	assert_int_equal(g.oh, 26);
	/* A ceil window that would begin in the trailing padding is dropped. */
	g = (nn_window){ .c = 1, .h = 4, .w = 4, .kh = 1, .kw = 1, .sh = 3, .sw = 3, .ph1 = 1, .pw1 = 1, .dh = 1, .dw = 1 };
	assert_true(nn_window_output(&g, true));
	assert_int_equal(g.oh, 2);
	g = (nn_window){ .c = 1, .h = 3, .w = 3, .kh = 2, .kw = 2, .sh = 3, .sw = 3, .ph1 = 1, .pw1 = 1, .dh = 1, .dw = 1 };
	assert_true(nn_window_output(&g, true));
	assert_int_equal(g.oh, 1);
	g = (nn_window){ .c = 1, .h = 2, .w = 5, .kh = 3, .kw = 3, .sh = 1, .sw = 1, .dh = 1, .dw = 1 };
	assert_false(nn_window_output(&g, true));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(window_outputs),
		cmocka_unit_test(forward_equals_formula),
		cmocka_unit_test(forward_large),
		cmocka_unit_test(forward_real_shapes),
		cmocka_unit_test(gradients_equal_differences),
		cmocka_unit_test(backward_batch_equals_sum),
		cmocka_unit_test(nan_in_weights_reaches_output),
		cmocka_unit_test(scratch_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
