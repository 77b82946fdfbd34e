/*
 * forecast.h: when a training of a network will end. Plain C, so that a unit test can play trainings through.
 *
 * Its parts cost differently: mini-batches of the hash layer alone, mini-batches of the network, passes of forward over all pictures. Each counts with what it
 * was measured to take, or, as long as it has not begun, with what a rehearsal took. What a method computes in between counts as its mini-batches' time.
 */
#ifndef EDDH_TRAIN_FORECAST_H
#define EDDH_TRAIN_FORECAST_H

typedef struct Forecast
{
	double head_done, head_total;   /* mini-batches of the hash layer alone */
	double head_seconds;            /* they took, all in all */
	double again_cost;              /* it learns alone once more at the end, at this times the cost; 0: it does not */
	double steps_done, steps_total; /* mini-batches of the network */
	double passes_done, passes_left;
	double seconds;   /* steps and passes took */
	double first;     /* of those, the first step, if it met new memory; 0: a rehearsal did */
	double batches;   /* mini-batches in a pass */
	double rehearsed; /* seconds of a mini-batch; 0: was not rehearsed */
	double pass;      /* seconds of the last pass, or of one before the method began; 0: unknown */
} Forecast;

/* Seconds until the end; NaN as long as nothing tells. One pass, for the job's end, is counted in. */
extern double ForecastLeft(const Forecast *f);

#endif /* EDDH_TRAIN_FORECAST_H */
