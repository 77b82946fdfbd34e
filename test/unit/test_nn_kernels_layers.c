/* Everything but convolution: fast kernels against their twins, gradients against differences, at every instruction set. */
#include "nn_cases.h"
#include "nn_naive.h"

#include "nn/vector.h"

/* What a loss function needs: which layer, its shapes and arguments. */
typedef struct layer_case
{
	int n, c, hw, k;
	nn_window g;
	nn_act act;
	nn_lrn lrn;
	nn_unary unary;
	nn_broadcast how;
	bool flag; /* mul, count_pad */
	float a, b;
	float *x, *w, *bias, *y, *dy, *kept;
	int *index;
	size_t y_count;
	char text[384];
} layer_case;

static void
describe(layer_case *t, const char *what)
{
	char window[256] = "";

	if (t->g.kh > 0)
		window_text(&t->g, window, sizeof window);
	snprintf(t->text, sizeof t->text,
			 "%s n %d c %d hw %d k %d act %d lrn %d/%g/%g/%g unary %d how %d flag %d a %g b %g level %d %s", what, t->n,
			 t->c, t->hw, t->k, (int) t->act.kind, t->lrn.size, (double) t->lrn.alpha, (double) t->lrn.beta,
			 (double) t->lrn.bias, (int) t->unary, (int) t->how, t->flag, (double) t->a, (double) t->b,
			 (int) nn_simd_level(), window);
}

static void
layer_free(layer_case *t)
{
	free(t->x);
	free(t->w);
	free(t->bias);
	free(t->y);
	free(t->dy);
	free(t->kept);
	free(t->index);
}

/* ---- dense ---- */

static double
dense_loss(void *arg)
{
	layer_case *t = arg;

	naive_dense(t->n, t->c, t->k, t->x, t->w, t->bias, t->act, t->y);
	return inner(t->y_count, t->y, t->dy);
}

static void
dense_body(void)
{
	eddh_rng rng;

	eddh_rng_seed(&rng, 11);
	for (int i = 0; i < 200; i++)
	{
		layer_case t = { .n = pick(&rng, 1, 8), .c = pick(&rng, 1, 200), .k = pick(&rng, 1, 40) };
		float *want, *dx, *dw, *db;
		size_t xs, ws;

		t.act = (nn_act){ (nn_act_kind) pick(&rng, 0, 2), -1.0f, 3.0f };
		describe(&t, "dense");
		xs = (size_t) t.n * t.c;
		ws = (size_t) t.k * t.c;
		t.y_count = (size_t) t.n * t.k;
		t.x = random_buffer(&rng, xs);
		t.w = random_buffer(&rng, ws);
		t.bias = pick(&rng, 0, 3) ? random_buffer(&rng, t.k) : NULL;
		t.dy = random_buffer(&rng, t.y_count);
		t.y = buffer(t.y_count);
		want = buffer(t.y_count);
		if (i % 20 == 0)
			t.w[eddh_rng_below(&rng, ws)] = NAN;
		nn_dense_forward(t.n, t.c, t.k, t.x, t.w, t.bias, t.act, t.y);
		naive_dense(t.n, t.c, t.k, t.x, t.w, t.bias, t.act, want);
		check_close("y", t.text, t.y_count, t.y, want, 2e-5);
		free(want);
		if (i % 20 != 0)
		{
			t.act.kind = NN_ACT_NONE;
			dx = buffer(xs);
			dw = zero_buffer(ws);
			db = zero_buffer(t.k);
			nn_dense_backward(t.n, t.c, t.k, t.x, t.w, t.dy, dx, dw, db);
			check_gradient(&rng, "x", t.text, dense_loss, &t, t.x, xs, dx, 5, 1.0f, 1e-4, true);
			check_gradient(&rng, "w", t.text, dense_loss, &t, t.w, ws, dw, 5, 1.0f, 1e-4, true);
			if (t.bias != NULL)
				check_gradient(&rng, "b", t.text, dense_loss, &t, t.bias, t.k, db, 3, 1.0f, 1e-4, true);
			nn_dense_backward(t.n, t.c, t.k, t.x, t.w, t.dy, NULL, dw, NULL);
			nn_dense_backward(t.n, t.c, t.k, t.x, t.w, t.dy, dx, NULL, NULL);
			free(dx);
			free(dw);
			free(db);
		}
		layer_free(&t);
	}
}

static void
dense_layers(void **state)
{
	at_every_level(dense_body);
}

/* ---- pooling ---- */

static double
pool_loss(void *arg)
{
	layer_case *t = arg;
	float *other = malloc(t->y_count * sizeof *other);
	int *winner = malloc(t->y_count * sizeof *winner);
	double loss;

	naive_pools(&t->g, t->flag, t->n * t->g.c, t->x, t->k == 0 ? t->y : other, winner, t->k == 0 ? other : t->y);
	loss = inner(t->y_count, t->y, t->dy);
	free(other);
	free(winner);
	return loss;
}

static void
pool_body(void)
{
	eddh_rng rng;

	eddh_rng_seed(&rng, 12);
	for (int i = 0; i < 400; i++)
	{
		layer_case t = { .n = pick(&rng, 1, 2), .flag = pick(&rng, 0, 1) };
		bool ceil_mode;
		size_t xs;
		float *max, *mean, *dx;
		int *winner;

		t.g = random_window(&rng, pick(&rng, 1, 3), i % 20 == 0 ? 600 : 14, &ceil_mode);
		if (i % 20 == 0 && t.g.h > 20)
		{
			t.g.h = t.g.kh * t.g.dh + 3;
			if (!nn_window_output(&t.g, ceil_mode))
				continue;
		}
		describe(&t, "pool");
		xs = (size_t) t.n * t.g.c * t.g.h * t.g.w;
		t.y_count = (size_t) t.n * t.g.c * t.g.oh * t.g.ow;
		t.x = random_buffer(&rng, xs);
		t.dy = random_buffer(&rng, t.y_count);
		t.y = buffer(t.y_count);
		t.index = malloc(t.y_count * sizeof *t.index);
		winner = malloc(t.y_count * sizeof *winner);
		max = buffer(t.y_count);
		mean = buffer(t.y_count);
		dx = buffer(xs);
		if (i % 10 == 1)
			t.x[eddh_rng_below(&rng, xs)] = NAN;
		if (i % 10 == 2)
			for (size_t j = 0; j < xs; j++)
				t.x[j] = roundf(t.x[j]); /* ties */

		naive_pools(&t.g, t.flag, t.n * t.g.c, t.x, max, winner, mean);
		nn_maxpool_forward(&t.g, t.n, t.x, t.y, NULL);
		check_close("max", t.text, t.y_count, t.y, max, 0.0);
		nn_maxpool_forward(&t.g, t.n, t.x, t.y, t.index);
		check_close("max with index", t.text, t.y_count, t.y, max, 0.0);
		for (size_t j = 0; j < t.y_count; j++)
			if (t.index[j] != winner[j])
				fail_msg("winner[%zu]: got %d, want %d: %s", j, t.index[j], winner[j], t.text);
		nn_avgpool_forward(&t.g, t.flag, t.n, t.x, t.y);
		check_close("mean", t.text, t.y_count, t.y, mean, 1e-5);
		if (i % 10 != 1 && i % 10 != 2)
		{
			nn_maxpool_backward(&t.g, t.n, t.dy, t.index, dx);
			t.k = 0;
			check_gradient(&rng, "x of max", t.text, pool_loss, &t, t.x, xs, dx, 5, 1e-3f, 2e-3, false);
			nn_avgpool_backward(&t.g, t.flag, t.n, t.dy, dx);
			t.k = 1;
			check_gradient(&rng, "x of mean", t.text, pool_loss, &t, t.x, xs, dx, 5, 1.0f, 1e-4, true);
		}
		free(max);
		free(mean);
		free(winner);
		free(dx);
		layer_free(&t);
	}
}

static void
pooling(void **state)
{
	at_every_level(pool_body);
}

/* A window wider than the strip that the fast way folds. */
static void
pool_wide_window(void **state)
{
	eddh_rng rng;
	nn_window g = {
		.c = 1, .h = 2, .w = 700, .kh = 2, .kw = 600, .sh = 1, .sw = 7, .pw0 = 30, .pw1 = 31, .dh = 1, .dw = 1
	};
	float *x, *y, *max, *mean;
	int *winner;
	size_t count;

	eddh_rng_seed(&rng, 13);
	assert_true(nn_window_output(&g, true));
	count = (size_t) g.oh * g.ow;
	x = random_buffer(&rng, (size_t) g.h * g.w);
	y = buffer(count);
	max = buffer(count);
	mean = buffer(count);
	winner = malloc(count * sizeof *winner);
	naive_pools(&g, false, 1, x, max, winner, mean);
	nn_maxpool_forward(&g, 1, x, y, NULL);
	check_close("max", "wide window", count, y, max, 0.0);
	free(x);
	free(y);
	free(max);
	free(mean);
	free(winner);
}

static double
global_loss(void *arg)
{
	layer_case *t = arg;

	for (int p = 0; p < t->n * t->c; p++)
	{
		double sum = 0.0;

		for (int q = 0; q < t->hw; q++)
			sum += t->x[(size_t) p * t->hw + q];
		t->y[p] = (float) (sum / t->hw);
	}
	return inner(t->y_count, t->y, t->dy);
}

static void
global_body(void)
{
	eddh_rng rng;

	eddh_rng_seed(&rng, 14);
	for (int i = 0; i < 40; i++)
	{
		layer_case t = { .n = pick(&rng, 1, 3), .c = pick(&rng, 1, 9), .hw = pick(&rng, 1, 200) };
		size_t xs = (size_t) t.n * t.c * t.hw;
		float *got, *dx;

		describe(&t, "global mean");
		t.y_count = (size_t) t.n * t.c;
		t.x = random_buffer(&rng, xs);
		t.dy = random_buffer(&rng, t.y_count);
		t.y = buffer(t.y_count);
		got = buffer(t.y_count);
		dx = buffer(xs);
		global_loss(&t);
		nn_global_avgpool_forward(t.n, t.c, t.hw, t.x, got);
		check_close("y", t.text, t.y_count, got, t.y, 1e-5);
		nn_global_avgpool_backward(t.n, t.c, t.hw, t.dy, dx);
		check_gradient(&rng, "x", t.text, global_loss, &t, t.x, xs, dx, 5, 1.0f, 1e-4, true);
		free(got);
		free(dx);
		layer_free(&t);
	}
}

static void
global_pooling(void **state)
{
	at_every_level(global_body);
}

/* ---- LRN ---- */

static double
lrn_loss(void *arg)
{
	layer_case *t = arg;

	naive_lrn(t->lrn, t->n, t->c, t->hw, t->x, t->y, NULL);
	return inner(t->y_count, t->y, t->dy);
}

static void
lrn_body(void)
{
	static const float betas[] = { 0.75f, 0.5f, 0.6f, 1.0f };
	eddh_rng rng;

	eddh_rng_seed(&rng, 15);
	for (int i = 0; i < 120; i++)
	{
		layer_case t = { .n = pick(&rng, 1, 2), .c = pick(&rng, 1, 12), .hw = pick(&rng, 1, 40) };
		size_t count;
		float *got, *scale, *want_scale, *dx;

		if (i % 30 == 0)
			t.hw = 300;
		t.lrn = (nn_lrn){ pick(&rng, 1, 6), (float) (0.1 + eddh_rng_uniform(&rng)), betas[pick(&rng, 0, 3)],
						  (float) (0.5 + eddh_rng_uniform(&rng)) };
		if (pick(&rng, 0, 1))
			t.lrn = (nn_lrn){ 5, 5e-4f * 1e3f, 0.75f, 2.0f };
		describe(&t, "lrn");
		count = t.y_count = (size_t) t.n * t.c * t.hw;
		t.x = random_buffer(&rng, count);
		t.dy = random_buffer(&rng, count);
		t.y = buffer(count);
		got = buffer(count);
		scale = buffer(count);
		want_scale = buffer(count);
		dx = buffer(count);
		if (i % 10 == 1)
			t.x[eddh_rng_below(&rng, count)] = NAN;
		naive_lrn(t.lrn, t.n, t.c, t.hw, t.x, t.y, want_scale);
		nn_lrn_forward(t.lrn, t.n, t.c, t.hw, t.x, got, NULL);
		check_close("y", t.text, count, got, t.y, 1e-5);
		nn_lrn_forward(t.lrn, t.n, t.c, t.hw, t.x, got, scale);
		check_close("y", t.text, count, got, t.y, 1e-5);
		check_close("scale", t.text, count, scale, want_scale, 1e-5);
		if (i % 10 != 1)
		{
			nn_lrn_backward(t.lrn, t.n, t.c, t.hw, t.x, got, scale, t.dy, dx);
			check_gradient(&rng, "x", t.text, lrn_loss, &t, t.x, count, dx, 6, 1e-2f, 2e-3, true);
		}
		free(got);
		free(scale);
		free(want_scale);
		free(dx);
		layer_free(&t);
	}
}

static void
local_response(void **state)
{
	at_every_level(lrn_body);
}

/* ---- elementwise ---- */

static double
act_loss(void *arg)
{
	layer_case *t = arg;

	for (size_t i = 0; i < t->y_count; i++)
		t->y[i] = naive_act(t->act, t->x[i]);
	return inner(t->y_count, t->y, t->dy);
}

static double
unary_loss(void *arg)
{
	layer_case *t = arg;

	for (size_t i = 0; i < t->y_count; i++)
		t->y[i] = naive_unary(t->unary, t->a, t->b, t->x[i]);
	return inner(t->y_count, t->y, t->dy);
}

static void
elementwise_body(void)
{
	eddh_rng rng;

	eddh_rng_seed(&rng, 16);
	for (int i = 0; i < 120; i++)
	{
		layer_case t = { .n = pick(&rng, 1, 300), .a = 0.3f, .b = 0.4f };
		size_t count = (size_t) t.n;
		float *got, *dx;
		bool act = i % 7 < 3;

		t.act = (nn_act){ (nn_act_kind) (i % 7 % 3), -0.5f, 1.0f };
		t.unary = (nn_unary) ((i % 7 + 1) % 6);
		describe(&t, act ? "activation" : "unary");
		t.y_count = count;
		t.x = random_buffer(&rng, count);
		for (size_t j = 0; j < count; j++)
			t.x[j] *= 2.0f;
		t.dy = random_buffer(&rng, count);
		t.y = buffer(count);
		got = buffer(count);
		dx = buffer(count);
		if (i % 10 == 9)
			t.x[eddh_rng_below(&rng, count)] = NAN;
		if (act)
		{
			act_loss(&t);
			nn_act_forward(t.act, count, t.x, got);
			nn_act_backward(t.act, count, got, t.dy, dx);
		}
		else
		{
			unary_loss(&t);
			nn_unary_forward(t.unary, t.a, t.b, count, t.x, got);
			nn_unary_backward(t.unary, t.a, t.b, count, t.x, got, t.dy, dx);
		}
		check_close("y", t.text, count, got, t.y, 2e-6);
		if (i % 10 != 9)
			check_gradient(&rng, "x", t.text, act ? act_loss : unary_loss, &t, t.x, count, dx, 20, 1e-3f, 2e-3, false);
		free(got);
		free(dx);
		layer_free(&t);
	}
}

static void
elementwise(void **state)
{
	at_every_level(elementwise_body);
}

/* ---- two inputs, scale ---- */

static double
binary_loss(void *arg)
{
	layer_case *t = arg;

	naive_binary(t->flag, t->how, t->n, t->c, t->hw, t->x, t->w, t->y);
	return inner(t->y_count, t->y, t->dy);
}

static double
scale_loss(void *arg)
{
	layer_case *t = arg;

	for (int i = 0; i < t->n; i++)
		for (int j = 0; j < t->c; j++)
			for (int q = 0; q < t->hw; q++)
			{
				size_t at = ((size_t) i * t->c + j) * t->hw + q;

				t->y[at] = t->x[at] * t->w[j] + (t->bias != NULL ? t->bias[j] : 0.0f);
			}
	return inner(t->y_count, t->y, t->dy);
}

static void
binary_body(void)
{
	eddh_rng rng;

	eddh_rng_seed(&rng, 17);
	for (int i = 0; i < 100; i++)
	{
		layer_case t = { .n = pick(&rng, 1, 3),
						 .c = pick(&rng, 1, 7),
						 .hw = pick(&rng, 1, 90),
						 .flag = i % 2 == 1,
						 .how = (nn_broadcast) (i / 2 % 5) };
		size_t count = (size_t) t.n * t.c * t.hw;
		size_t seconds[] = { count, (size_t) t.n * t.c, (size_t) t.c * t.hw, (size_t) t.c, 1 };
		size_t second = seconds[t.how];
		bool constant = t.how >= NN_CONST_SAME;
		float *got, *da, *db;

		describe(&t, t.flag ? "mul" : "add");
		t.y_count = count;
		t.x = random_buffer(&rng, count);
		t.w = random_buffer(&rng, second);
		t.dy = random_buffer(&rng, count);
		t.y = buffer(count);
		got = buffer(count);
		da = buffer(count);
		db = constant ? zero_buffer(second) : buffer(second);
		nn_binary_forward(t.flag, t.how, t.n, t.c, t.hw, t.x, t.w, got);
		binary_loss(&t);
		check_close("y", t.text, count, got, t.y, 1e-6);
		if (t.flag)
			nn_binary_backward(true, t.how, t.n, t.c, t.hw, t.x, t.w, t.dy, da, db);
		else
			nn_binary_backward(false, t.how, t.n, t.c, t.hw, NULL, NULL, t.dy, da, db);
		check_gradient(&rng, "a", t.text, binary_loss, &t, t.x, count, da, 5, 1.0f, 1e-4, true);
		check_gradient(&rng, "b", t.text, binary_loss, &t, t.w, second, db, 5, 1.0f, 1e-4, true);
		nn_binary_backward(t.flag, t.how, t.n, t.c, t.hw, t.x, t.w, t.dy, NULL, db);
		nn_binary_backward(t.flag, t.how, t.n, t.c, t.hw, t.x, t.w, t.dy, da, NULL);
		free(da);
		free(db);
		free(t.w);

		/* Scale and shift per channel. */
		describe(&t, "scale");
		t.w = random_buffer(&rng, t.c);
		t.bias = i % 3 ? random_buffer(&rng, t.c) : NULL;
		da = buffer(count);
		db = zero_buffer(t.c);
		nn_scale_forward(t.n, t.c, t.hw, t.x, t.w, t.bias, got);
		scale_loss(&t);
		check_close("y", t.text, count, got, t.y, 1e-6);
		{
			float *dt = zero_buffer(t.c);

			nn_scale_backward(t.n, t.c, t.hw, t.x, t.w, t.dy, da, db, t.bias != NULL ? dt : NULL);
			check_gradient(&rng, "x", t.text, scale_loss, &t, t.x, count, da, 5, 1.0f, 1e-4, true);
			check_gradient(&rng, "s", t.text, scale_loss, &t, t.w, t.c, db, 5, 1.0f, 1e-4, true);
			if (t.bias != NULL)
				check_gradient(&rng, "t", t.text, scale_loss, &t, t.bias, t.c, dt, 5, 1.0f, 1e-4, true);
			free(dt);
		}
		free(da);
		free(db);
		free(got);
		layer_free(&t);
	}
}

static void
two_inputs(void **state)
{
	at_every_level(binary_body);
}

/* ---- softmax, sums ---- */

static double
softmax_loss(void *arg)
{
	layer_case *t = arg;

	for (int i = 0; i < t->n; i++)
	{
		double sum = 0.0;

		for (int j = 0; j < t->k; j++)
			sum += exp((double) t->x[i * t->k + j]);
		for (int j = 0; j < t->k; j++)
			t->y[i * t->k + j] = (float) (exp((double) t->x[i * t->k + j]) / sum);
	}
	return inner(t->y_count, t->y, t->dy);
}

static void
softmax(void **state)
{
	eddh_rng rng;

	eddh_rng_seed(&rng, 18);
	for (int i = 0; i < 40; i++)
	{
		layer_case t = { .n = pick(&rng, 1, 3), .k = pick(&rng, 1, 30) };
		size_t count = (size_t) t.n * t.k;
		float *got, *dx;

		describe(&t, "softmax");
		t.y_count = count;
		t.x = random_buffer(&rng, count);
		t.dy = random_buffer(&rng, count);
		t.y = buffer(count);
		got = buffer(count);
		dx = buffer(count);
		softmax_loss(&t);
		nn_softmax_forward(t.n, t.k, t.x, got);
		check_close("y", t.text, count, got, t.y, 1e-6);
		nn_softmax_backward(t.n, t.k, got, t.dy, dx);
		check_gradient(&rng, "x", t.text, softmax_loss, &t, t.x, count, dx, 6, 1e-2f, 1e-3, true);

		/* Large inputs do not overflow; a NaN takes its row. */
		for (int j = 0; j < t.k; j++)
			t.x[j] = 1000.0f + (float) j;
		nn_softmax_forward(t.n, t.k, t.x, got);
		for (int j = 0; j < t.k; j++)
			assert_true(isfinite(got[j]));
		t.x[t.k - 1] = NAN;
		nn_softmax_forward(t.n, t.k, t.x, got);
		for (int j = 0; j < t.k; j++)
			assert_true(isnan(got[j]));
		free(got);
		free(dx);
		layer_free(&t);
	}
}

static void
sums_body(void)
{
	eddh_rng rng;

	eddh_rng_seed(&rng, 19);
	for (int i = 0; i < 100; i++)
	{
		size_t count = (size_t) pick(&rng, 0, 300);
		float *x = random_buffer(&rng, count + 1);
		float *y = random_buffer(&rng, count + 1);
		double sum = 0.0;

		for (size_t j = 0; j < count; j++)
			sum += x[j];
		assert_true(fabs(sum - (double) nn_sum(count, x)) < 1e-4);
		assert_true(fabs(inner(count, x, y) - (double) nn_dot(count, x, y)) < 1e-4);
		free(x);
		free(y);
	}
}

static void
sums(void **state)
{
	at_every_level(sums_body);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dense_layers),   cmocka_unit_test(pooling),        cmocka_unit_test(pool_wide_window),
		cmocka_unit_test(global_pooling), cmocka_unit_test(local_response), cmocka_unit_test(elementwise),
		cmocka_unit_test(two_inputs),     cmocka_unit_test(softmax),        cmocka_unit_test(sums),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
