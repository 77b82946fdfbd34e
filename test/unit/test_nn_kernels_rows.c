/* The kernels that take vectors along rows (rows.h) against the formula: square windows, every stride and padding they know, widths around a vector's. */
#include "nn_cases.h"
#include "nn_naive.h"

#include "nn/conv.h"
#include "nn/pools.h"

static nn_window
random_square(eddh_rng *rng, int kernel, bool wide)
{
	nn_window g = { .c = pick(rng, 1, 3), .kh = kernel, .kw = kernel, .dh = 1, .dw = 1 };

	g.sh = g.sw = pick(rng, 1, 2);
	g.ph0 = pick(rng, 0, kernel - 1);
	g.ph1 = pick(rng, 0, kernel - 1);
	g.pw0 = pick(rng, 0, kernel - 1);
	g.pw1 = pick(rng, 0, kernel - 1);
	g.h = pick(rng, kernel, 12);
	g.w = wide ? pick(rng, 50, 140) : pick(rng, kernel, 36);
	assert_true(nn_window_output(&g, pick(rng, 0, 1)));
	return g;
}

static void
depthwise_body(void)
{
	eddh_rng rng;

	eddh_rng_seed(&rng, 51);
	for (int i = 0; i < 300; i++)
	{
		nn_window g = random_square(&rng, i % 2 == 0 ? 3 : 5, i % 10 == 0);
		int n = pick(&rng, 1, 3);
		int k = g.c * pick(&rng, 1, 2);
		size_t taps = (size_t) g.kh * g.kw;
		size_t out = (size_t) g.oh * g.ow;
		nn_act act = { (nn_act_kind) pick(&rng, 0, 2), -1.5f, 2.0f };
		float *x = random_buffer(&rng, (size_t) n * g.c * g.h * g.w);
		float *w = random_buffer(&rng, k * taps);
		float *b = pick(&rng, 0, 1) ? random_buffer(&rng, k) : NULL;
		float *y = buffer(n * k * out);
		float *want = buffer(n * k * out);
		char text[256];

		window_text(&g, text, sizeof text);
		if (nn_simd_level() != NN_SIMD_BASE)
			assert_true(nn_depthwise_rows_fits(&g));
		else
			assert_false(nn_depthwise_rows_fits(&g));
		if (nn_depthwise_rows_fits(&g))
		{
			nn_strides dense = nn_strides_dense(&g, k);

			nn_depthwise_rows(&g, &dense, k, n, x, w, b, act, y);
			nn_conv_forward_naive(&g, k, g.c, n, x, w, b, act, want);
			check_close("depthwise", text, n * k * out, y, want, 1e-5);
		}
		check_guard("depthwise", text, n * k * out, y);
		free(x);
		free(w);
		free(b);
		free(y);
		free(want);
	}
}

static void
depthwise(void **state)
{
	at_every_level(depthwise_body);
}

/* Against the plain loops, which test_nn_kernels_conv compares with differences. */
static void
depthwise_gradient_body(void)
{
	nn_simd cap = nn_simd_cap;
	eddh_rng rng;

	eddh_rng_seed(&rng, 53);
	for (int i = 0; i < 300; i++)
	{
		nn_window g = random_square(&rng, i % 2 == 0 ? 3 : 5, i % 10 == 0);
		int n = pick(&rng, 1, 3);
		size_t in, weights;
		int k;
		float *x, *w, *dy, *dx, *dw, *want_dx, *want_dw, *scratch;
		char text[256];

		g.c = g.c > 1 ? g.c : 2;
		k = g.c * (i % 3 == 0 ? 2 : 1);
		in = (size_t) n * g.c * g.h * g.w;
		weights = (size_t) k * g.kh * g.kw;
		x = random_buffer(&rng, in);
		w = random_buffer(&rng, weights);
		dy = random_buffer(&rng, (size_t) n * k * g.oh * g.ow);
		dx = buffer(in);
		dw = zero_buffer(weights);
		want_dx = buffer(in);
		want_dw = zero_buffer(weights);
		scratch = buffer(nn_conv_scratch(&g, k, g.c, true));
		window_text(&g, text, sizeof text);
		nn_conv_backward(&g, k, g.c, n, x, w, dy, dx, dw, NULL, scratch);
		nn_simd_cap = NN_SIMD_BASE;
		nn_conv_backward(&g, k, g.c, n, x, w, dy, want_dx, want_dw, NULL, scratch);
		nn_simd_cap = cap;
		check_close("dx", text, in, dx, want_dx, 1e-5);
		check_close("dw", text, weights, dw, want_dw, 2e-5);
		check_guard("dx", text, in, dx);
		free(x);
		free(w);
		free(dy);
		free(dx);
		free(dw);
		free(want_dx);
		free(want_dw);
		free(scratch);
	}
}

static void
depthwise_gradient(void **state)
{
	at_every_level(depthwise_gradient_body);
}

static void
maxpool_body(void)
{
	eddh_rng rng;

	eddh_rng_seed(&rng, 52);
	for (int i = 0; i < 300; i++)
	{
		nn_window g = random_square(&rng, i % 2 == 0 ? 3 : 2, i % 10 == 0);
		int n = pick(&rng, 1, 3);
		size_t in = (size_t) n * g.c * g.h * g.w;
		size_t out = (size_t) n * g.c * g.oh * g.ow;
		float *x = random_buffer(&rng, in);
		float *y = buffer(out);
		float *max = buffer(out);
		float *mean = buffer(out);
		int *winner = malloc(out * sizeof *winner);
		char text[256];

		window_text(&g, text, sizeof text);
		if (i % 5 == 1)
			x[eddh_rng_below(&rng, in)] = NAN;
		if (nn_maxpool_rows_fits(&g))
		{
			nn_strides dense = nn_strides_dense(&g, g.c);

			nn_maxpool_rows(&g, &dense, n, x, y);
			naive_pools(&g, false, n * g.c, x, max, winner, mean);
			check_close("max", text, out, y, max, 0.0);
		}
		else
			assert_int_equal(nn_simd_level(), NN_SIMD_BASE);
		check_guard("max", text, out, y);
		free(x);
		free(y);
		free(max);
		free(mean);
		free(winner);
	}
}

static void
maxpool(void **state)
{
	at_every_level(maxpool_body);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(depthwise), cmocka_unit_test(depthwise_gradient),
										cmocka_unit_test(maxpool) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
