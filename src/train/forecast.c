/* forecast.c: see forecast.h. */
#include "train/forecast.h"

#include <math.h>

/* Of a pass that was never measured, to the same number of mini-batches: backward costs at least twice what forward does. */
#define PASS_SHARE (1.0 / 3)

/* A rehearsal counts like so many mini-batches: the first ones alone may be slow by chance. */
#define REHEARSED_WEIGHT 2

/* Seconds of a mini-batch of the network. */
static double
StepSeconds(const Forecast *f)
{
	double seconds, done;

	if (f->pass > 0)
	{
		seconds = f->seconds - f->passes_done * f->pass;
		done = f->steps_done;
	}
	else
	{
		seconds = f->seconds;
		done = f->steps_done + f->passes_done * f->batches * PASS_SHARE;
	}
	if (f->first > 0 && (f->steps_done > 1 || f->rehearsed > 0))
	{
		seconds -= f->first;
		done--;
	}
	/* The last pass may have taken longer than those before. */
	seconds = fmax(seconds, 0);
	if (f->rehearsed > 0)
	{
		seconds += REHEARSED_WEIGHT * f->rehearsed;
		done += REHEARSED_WEIGHT;
	}
	return done > 0 ? seconds / done : NAN;
}

double
ForecastLeft(const Forecast *f)
{
	double step = StepSeconds(f);
	double pass = f->pass > 0 ? f->pass : step * f->batches * PASS_SHARE;
	double head = 0;

	if (f->head_total > 0)
	{
		double left = f->head_total - f->head_done + f->again_cost * f->head_total;

		head = f->head_done > 0 ? f->head_seconds / f->head_done * left : left > 0 ? NAN : 0;
	}
	return head + step * fmax(f->steps_total - f->steps_done, 0) + pass * (f->passes_left + 1);
}
