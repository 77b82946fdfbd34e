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

static ForecastPart
part(double total, double guess, double weight)
{
	return (ForecastPart){ .total = total, .guess = guess, .weight = weight };
}

/* While the network learns, from its first mini-batch on, with one clock for mini-batches and passes, as train/net.c has it; end: seconds that follow. */
static void
play_network(Forecast f, const costs *c, double end, double share)
{
	ForecastPart *steps = &f.part[FORECAST_STEPS], *passes = &f.part[FORECAST_PASSES];
	double seconds = 0, total = network_seconds(c) + end;

	passes->total = EPOCHS + 1;
	for (int i = 1; i <= EPOCHS * BATCHES; i++)
	{
		seconds += c->step;
		steps->total = EPOCHS * BATCHES;
		steps->done = i;
		ForecastClock(&f, seconds, 0);
		assert_near(ForecastLeft(&f), total - seconds, share);
		if (i % BATCHES == 0)
		{
			seconds += c->pass;
			passes->done++;
			passes->seconds += c->pass;
		}
	}
}

/* Guesses count until something is measured. */
static void
a_network_alone(void **state)
{
	costs c = { .step = 0.3, .pass = 5 };
	Forecast f = { 0 };

	f.part[FORECAST_PASSES] = part(EPOCHS + 1, 5, 0);
	play_network(f, &c, 0, 1e-12);
	c.pass = 3; /* guessed 2 seconds too long, five times, of 60 when the first comes */
	play_network(f, &c, 0, 10.0 / 60);
}

/* Parts before and after are added; what is done counts no more. */
static void
three_stages(void **state)
{
	const costs c = { .head = 0.01, .step = 0.3, .pass = 5 };
	const double again = 1.5;
	Forecast f = { 0 };
	ForecastPart *head = &f.part[FORECAST_HEAD];

	*head = part(HEAD_EPOCHS * BATCHES, c.head, 0);
	f.part[FORECAST_STEPS] = part(EPOCHS * BATCHES, c.step, 2);
	f.part[FORECAST_PASSES] = part(EPOCHS + 1, c.pass, 0);
	f.part[FORECAST_AGAIN] = part(HEAD_EPOCHS * BATCHES, again * c.head, 0);
	for (int i = 0; i <= HEAD_EPOCHS * BATCHES; i++)
	{
		head->done = i;
		head->seconds = i * c.head;
		assert_near(ForecastLeft(&f), (1 + again) * head_seconds(&c) - head->seconds + network_seconds(&c), 1e-12);
	}
	play_network(f, &c, again * head_seconds(&c), 1e-12);
}

/* What was measured replaces a guess without weight at once; a rehearsal that was twice too slow soon counts for little. */
static void
guesses_are_outvoted(void **state)
{
	ForecastPart p = part(100, 7, 0);

	assert_near(ForecastUnit(&p), 7, 1e-12);
	p.done = 1;
	p.seconds = 2;
	assert_near(ForecastUnit(&p), 2, 1e-12);
	p = part(200, 0.6, 2);
	assert_near(ForecastUnit(&p), 0.6, 1e-12);
	p.done = 20;
	p.seconds = 20 * 0.3;
	assert_true(ForecastUnit(&p) > 0.3);
	assert_near(ForecastUnit(&p), 0.3, 0.1);
}

/* New memory made the first mini-batch six times as long: it tells nothing of the others. Before there are any the guess stays. */
static void
a_slow_first_step_is_left_out(void **state)
{
	Forecast f = { 0 };
	ForecastPart *steps = &f.part[FORECAST_STEPS];

	*steps = part(42, 2, 0);
	steps->done = 1;
	ForecastClock(&f, 18, 18);
	assert_near(ForecastLeft(&f), 41 * 2, 1e-12);
	steps->total = 42;
	steps->done = 4;
	ForecastClock(&f, 18 + 3 * 3, 18);
	assert_near(ForecastLeft(&f), 38 * 3, 1e-12);
}

/* Passes are said to have taken more than there is room for: mini-batches then seem to take nothing, not less. */
static void
passes_of_unequal_cost(void **state)
{
	Forecast f = { 0 };

	f.part[FORECAST_STEPS] = part(420, 1, 0);
	f.part[FORECAST_STEPS].done = 21;
	f.part[FORECAST_PASSES] = (ForecastPart){ .total = 4, .done = 2, .seconds = 2 * 4 };
	ForecastClock(&f, 7, 0);
	assert_near(ForecastLeft(&f), 2 * 4, 1e-12);
}

/* What is not known makes the whole unknown, unless it is over, or more is done than was expected. */
static void
what_is_unknown(void **state)
{
	Forecast f = { 0 };
	ForecastPart *reading = &f.part[FORECAST_READING];

	*reading = part(10, NAN, 0);
	f.part[FORECAST_END] = part(1, 2, 0);
	assert_true(isnan(ForecastLeft(&f)));
	reading->done = 5;
	reading->seconds = 15;
	assert_near(ForecastLeft(&f), 15 + 2, 1e-12);
	reading->done = 12;
	assert_near(ForecastLeft(&f), 2, 1e-12);
	*reading = part(0, NAN, 0);
	assert_near(ForecastLeft(&f), 2, 1e-12);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_network_alone),        cmocka_unit_test(three_stages),
		cmocka_unit_test(guesses_are_outvoted),   cmocka_unit_test(a_slow_first_step_is_left_out),
		cmocka_unit_test(passes_of_unequal_cost), cmocka_unit_test(what_is_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
