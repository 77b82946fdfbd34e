/* Weights in half precision: the numbers, and the layer beside the same one of floats. */
#include "nn_cases.h"

#include "nn/half.h"

static bool
has_half(float value, uint16_t *half)
{
	float nine[9] = { 0, 0, 0, value, 0, 0, 0, 0, value }; /* by the widest instructions, and what they leave */
	uint16_t halves[9];
	bool all = nn_halves_narrow(9, nine, halves);

	assert_true(nn_halves_narrow(1, &value, half) == all);
	assert_true(!all || (halves[3] == *half && halves[8] == *half));
	return all;
}

/* Every half and back; what lies between two halves has none. */
static void
every_half_body(void)
{
	static const float none[] = { NAN, 65520.0f, -1e30f, 0x1p-25f, 1.0f + 0x1p-11f, 0x1.004p-20f };
	uint16_t halves[1 << 8], back;
	float wide[1 << 8];

	for (uint32_t first = 0; first < 1 << 16; first += 1 << 8)
	{
		for (uint32_t i = 0; i < 1 << 8; i++)
			halves[i] = (uint16_t) (first + i);
		nn_halves_widen(1 << 8, halves, wide);
		for (uint32_t i = 0; i < 1 << 8; i++)
		{
			float value = nn_half_widen(halves[i]);
			int exponent = halves[i] >> 10 & 0x1f, fraction = halves[i] & 0x3ff;

			if (exponent == 31 && fraction != 0)
			{
				assert_true(isnan(value) && isnan(wide[i]) && !has_half(value, &back));
				continue;
			}
			if (exponent < 31)
				assert_true(fabs((double) value) ==
							(exponent > 0 ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24)));
			else
				assert_true(isinf(value));
			assert_int_equal(signbit(value) != 0, halves[i] >> 15);
			assert_true(wide[i] == value && has_half(value, &back));
			assert_int_equal(back, halves[i]);
			assert_false(has_half(nextafterf(value, 1.0f), &back) && value != 1.0f);
		}
	}
	for (size_t i = 0; i < sizeof none / sizeof *none; i++)
		assert_false(has_half(none[i], &back));
}

static void
every_half(void **state)
{
	at_every_level(every_half_body);
}

static uint16_t
random_half(eddh_rng *rng)
{
	return (uint16_t) (eddh_rng_below(rng, 2) << 15 | eddh_rng_below(rng, 0x4400)); /* below 8 */
}

/* Alone, equal weights give equal bits; in a batch, the same but for the order of sums. */
static void
layer_body(void)
{
	eddh_rng rng;

	eddh_rng_seed(&rng, 31);
	for (int i = 0; i < 200; i++)
	{
		int n = pick(&rng, 1, 6), c = pick(&rng, 1, 300), k = pick(&rng, 1, i % 10 == 0 ? 200 : 20);
		nn_act act = { (nn_act_kind) pick(&rng, 0, 2), -1.0f, 3.0f };
		uint16_t *halves = malloc(sizeof *halves * (size_t) c * (size_t) k);
		float *w = buffer((size_t) c * (size_t) k), *x = random_buffer(&rng, (size_t) n * (size_t) c);
		float *b = random_buffer(&rng, (size_t) k), *want = buffer((size_t) n * (size_t) k);
		float *got = buffer((size_t) n * (size_t) k), *scratch = buffer(nn_dense_halves_scratch((size_t) n, c));
		char text[100];

		snprintf(text, sizeof text, "n %d c %d k %d level %d", n, c, k, (int) nn_half_level());
		for (int j = 0; j < c * k; j++)
			w[j] = nn_half_widen(halves[j] = random_half(&rng));
		nn_dense_forward(n, c, k, x, w, b, act, want);
		nn_dense_forward_halves(n, c, k, x, halves, b, act, got, scratch);
		if (n < 3 && nn_half_level() == nn_simd_level())
			assert_memory_equal(got, want, sizeof *got * (size_t) n * (size_t) k);
		check_close("y", text, (size_t) n * (size_t) k, got, want, 2e-5);
		check_guard("scratch", text, nn_dense_halves_scratch((size_t) n, c), scratch);
		free(halves);
		free(w);
		free(x);
		free(b);
		free(want);
		free(got);
		free(scratch);
	}
}

static void
layers(void **state)
{
	at_every_level(layer_body);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_half),
		cmocka_unit_test(layers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
