/* The estimate of a training's end, on trainings played through: parts of constant cost, told as train/net.c tells them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "train/forecast.h"

#define EPOCHS      4
#define HEAD_EPOCHS 30
#define BATCHES     50

/* Seconds of a mini-batch of the hash layer alone, of one of the network, and of a pass. */
typedef struct costs
{
	double head, step, pass;
} costs;

static double
head_seconds(const costs *c)
{
	return HEAD_EPOCHS * BATCHES * c->head;
}

/* Epochs of mini-batches with a pass after each, and a pass for the job's end. */
static double
network_seconds(const costs *c)
{
	return EPOCHS * (BATCHES * c->step + c->pass) + c->pass;
}

static void
assert_near(double told, double true_rest, double share)
{
	assert_true(fabs(told - true_rest) <= share * true_rest + 1e-9);
}

/* While the network learns, from its first mini-batch on; end: seconds that follow. */
static void
play_network(Forecast f, const costs *c, double end, double share)
{
	double seconds = 0, total = network_seconds(c) + end;

	f.steps_total = EPOCHS * BATCHES;
	f.batches = BATCHES;
	for (int epoch = 0; epoch < EPOCHS; epoch++)
	{
		for (int i = 0; i < BATCHES; i++)
		{
			seconds += c->step;
			f.steps_done++;
			f.seconds = seconds;
			f.passes_left = EPOCHS - epoch;
			assert_near(ForecastLeft(&f), total - seconds, share);
		}
		seconds += c->pass;
		f.passes_done++;
		f.pass = c->pass;
	}
}

/* Passes that were measured make it exact; before the first it guesses a third of the mini-batches, which is right for such a network. */
static void
a_network_alone(void **state)
{
	costs c = { .step = 0.3, .pass = 5 };

	play_network((Forecast){ .pass = c.pass }, &c, 0, 1e-12);
	play_network((Forecast){ 0 }, &c, 0, 1e-12);
	c.pass = 3; /* a fifth: guessed 2 seconds too long, five times, of 60 when the first comes */
	play_network((Forecast){ 0 }, &c, 0, 10.0 / 60);
}

/* While the hash layer learns alone, what follows is known from a rehearsal alone; then it is measured, and the last stage is known from the first. */
static void
three_stages(void **state)
{
	const costs c = { .head = 0.01, .step = 0.3, .pass = 5 };
	const double again = 1.5;
	Forecast f = { .head_total = HEAD_EPOCHS * BATCHES,
				   .again_cost = again,
				   .steps_total = EPOCHS * BATCHES,
				   .passes_left = EPOCHS,
				   .batches = BATCHES,
				   .rehearsed = c.step };

	for (int i = 1; i <= HEAD_EPOCHS * BATCHES; i++)
	{
		f.head_done = i;
		f.head_seconds = i * c.head;
		assert_near(ForecastLeft(&f), (1 + again) * head_seconds(&c) - f.head_seconds + network_seconds(&c), 1e-12);
	}
	play_network(f, &c, again * head_seconds(&c), 1e-12);
}

/* A rehearsal that was twice too slow soon counts for little. */
static void
a_slow_rehearsal_is_outvoted(void **state)
{
	const costs c = { .step = 0.3, .pass = 5 };
	Forecast f = { .steps_total = EPOCHS * BATCHES, .batches = BATCHES, .rehearsed = 2 * c.step, .pass = c.pass };
	double rest;

	f.passes_left = EPOCHS;
	f.steps_done = f.steps_total / 10;
	f.seconds = f.steps_done * c.step;
	rest = network_seconds(&c) - f.seconds;
	assert_true(ForecastLeft(&f) > rest);
	assert_near(ForecastLeft(&f), rest, 0.1);
}

/* New memory made the first mini-batch six times as long: it tells nothing of the others. */
static void
a_slow_first_step_is_left_out(void **state)
{
	Forecast f = {
		.steps_done = 4, .steps_total = 42, .batches = 21, .passes_left = 2, .first = 18, .seconds = 18 + 3 * 3
	};

	assert_near(ForecastLeft(&f), 38 * 3 + 3 * 21 * 3 / 3.0, 1e-12);
}

/* It does not count where a part of a mini-batch was rehearsed, either. */
static void
a_slow_first_step_after_a_rehearsal(void **state)
{
	Forecast f = { .steps_done = 1,
				   .steps_total = 24,
				   .batches = 8,
				   .passes_left = 1,
				   .pass = 4,
				   .rehearsed = 2,
				   .first = 9,
				   .seconds = 9 };

	assert_near(ForecastLeft(&f), 23 * 2 + 2 * 4, 1e-12);
	f.steps_done = 2;
	f.seconds = 9 + 5;
	assert_near(ForecastLeft(&f), 22 * 3 + 2 * 4, 1e-12);
}

/* The last of two passes took longer than there is room for: mini-batches then seem to take nothing, not less. */
static void
passes_of_unequal_cost(void **state)
{
	Forecast f = { .steps_done = 21,
				   .steps_total = 420,
				   .batches = 21,
				   .passes_done = 2,
				   .passes_left = 1,
				   .pass = 4,
				   .first = 3,
				   .seconds = 10 };

	assert_near(ForecastLeft(&f), 2 * 4, 1e-12);
}

static void
nothing_is_known_at_first(void **state)
{
	assert_true(isnan(ForecastLeft(&(Forecast){ .steps_total = 10, .batches = 10 })));
	assert_true(isnan(ForecastLeft(&(Forecast){ .head_total = 10, .steps_total = 10, .batches = 10, .rehearsed = 1 })));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_network_alone),
		cmocka_unit_test(three_stages),
		cmocka_unit_test(a_slow_rehearsal_is_outvoted),
		cmocka_unit_test(a_slow_first_step_is_left_out),
		cmocka_unit_test(a_slow_first_step_after_a_rehearsal),
		cmocka_unit_test(passes_of_unequal_cost),
		cmocka_unit_test(nothing_is_known_at_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
