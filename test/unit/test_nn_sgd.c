/* The schedule and one step of the optimiser, by value. */
#include "nn_cases.h"

#include "nn/sgd.h"

static void
schedule_is_log_spaced(void **state)
{
	nn_sgd sgd = { .rate_first = 1e-2, .rate_last = 1e-4, .total_steps = 5 };

	assert_true(nn_sgd_rate(&sgd, 0) == 1e-2);
	assert_true(fabs(nn_sgd_rate(&sgd, 1) / pow(10, -2.5) - 1.0) < 1e-14);
	assert_true(fabs(nn_sgd_rate(&sgd, 2) / 1e-3 - 1.0) < 1e-14);
	assert_true(fabs(nn_sgd_rate(&sgd, 3) / pow(10, -3.5) - 1.0) < 1e-14);
	assert_true(nn_sgd_rate(&sgd, 4) == 1e-4);
	assert_true(nn_sgd_rate(&sgd, 400) == 1e-4);
	sgd.total_steps = 1;
	assert_true(nn_sgd_rate(&sgd, 0) == 1e-2);
	sgd.total_steps = 0;
	assert_true(nn_sgd_rate(&sgd, 7) == 1e-2);
	sgd = (nn_sgd){ .rate_first = 0.3, .rate_last = 0.3, .total_steps = 10 };
	assert_true(nn_sgd_rate(&sgd, 5) == 0.3);
}

/* Two steps by hand: numbers that floats hold exactly. */
static void
update_body(void)
{
	float w[40], v[40], g[40];

	for (int i = 0; i < 40; i++)
	{
		w[i] = 2.0f;
		v[i] = 1.0f;
		g[i] = (float) i;
	}
	/* v = 0.5 * 1 + (0.25 g + 0.125 * 2); w = 2 - 0.5 v */
	nn_sgd_update(40, 0.5f, 0.5f, 0.125f, 0.25f, g, v, w);
	for (int i = 0; i < 40; i++)
	{
		assert_true(v[i] == 0.75f + 0.25f * (float) i);
		assert_true(w[i] == 2.0f - 0.5f * v[i]);
	}
	for (int i = 0; i < 40; i++)
		w[i] = 4.0f;
	/* Without velocity: w = 4 - 0.5 (g + 0.25 * 4) */
	nn_sgd_update(40, 0.5f, 0.0f, 0.25f, 1.0f, g, NULL, w);
	for (int i = 0; i < 40; i++)
		assert_true(w[i] == 4.0f - 0.5f * ((float) i + 1.0f));
	nn_sgd_add(40, g, w);
	for (int i = 0; i < 40; i++)
		assert_true(w[i] == 3.5f + 0.5f * (float) i);
}

static void
update_by_hand(void **state)
{
	at_every_level(update_body);
}

static void
nonsense_is_refused(void **state)
{
	const nn_sgd good = { .rate_first = 0.1, .rate_last = 0.01, .momentum = 0.9, .pretrained_factor = 1.0 };
	eddh_error err;
	nn_sgd bad;

	assert_int_equal(nn_sgd_check(&good, &err), EDDH_OK);
	for (int i = 0; i < 8; i++)
	{
		bad = good;
		switch (i)
		{
			case 0:
				bad.rate_first = 0.0;
				break;
			case 1:
				bad.rate_last = NAN;
				break;
			case 2:
				bad.momentum = 1.0;
				break;
			case 3:
				bad.momentum = -0.1;
				break;
			case 4:
				bad.weight_decay = -1e-9;
				break;
			case 5:
				bad.clip_norm = INFINITY;
				break;
			case 6:
				bad.pretrained_factor = NAN;
				break;
			case 7:
				bad.momentum = NAN;
				break;
		}
		assert_int_equal(nn_sgd_check(&bad, &err), EDDH_BAD_ARGUMENT);
		assert_true(err.message[0] != '\0');
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(schedule_is_log_spaced),
		cmocka_unit_test(update_by_hand),
		cmocka_unit_test(nonsense_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
