/* forecast.c: see forecast.h. */
#include "train/forecast.h"

#include <math.h>

void
ForecastAdd(Forecast *f, ForecastName name, double done, double seconds)
{
	f->part[name].done += done;
	f->part[name].seconds += seconds;
}

double
ForecastUnit(const ForecastPart *part)
{
	if (part->weight == 0 && part->done > 0)
		return part->seconds / part->done;
	if (part->done == 0)
		return part->guess;
	return (part->seconds + part->weight * part->guess) / (part->done + part->weight);
}

double
ForecastLeft(const Forecast *f)
{
	double left = 0;

	for (int i = 0; i < FORECAST_PARTS; i++)
	{
		const ForecastPart *part = &f->part[i];

		if (part->total > part->done)
			left += (part->total - part->done) * ForecastUnit(part);
	}
	return left;
}

void
ForecastClock(Forecast *f, double seconds, double first)
{
	ForecastPart *steps = &f->part[FORECAST_STEPS];

	/* The last pass may have taken longer than those before, and all are taken for as long. */
	steps->seconds = fmax(seconds - f->part[FORECAST_PASSES].seconds - first, 0);
	if (first > 0 && steps->done > 0)
	{
		steps->done--;
		steps->total--;
	}
}
