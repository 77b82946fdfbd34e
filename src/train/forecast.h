/*
 * forecast.h: when a job will end. Plain C, so that a unit test can play trainings through.
 *
 * A job is a row of parts, each of so many units. A unit that is to come takes what those that are done took, on the average, and before any is, what it was guessed to
 * take (cost.c) or took in a rehearsal; with a weight the guess goes on counting. What a method computes in between counts as its mini-batches' time.
 */
#ifndef EDDH_TRAIN_FORECAST_H
#define EDDH_TRAIN_FORECAST_H

typedef enum ForecastName
{
	FORECAST_READING,  /* rows of the table */
	FORECAST_FROZEN,   /* pictures, through layers that do not learn */
	FORECAST_FEATURES, /* pictures, through those that will, before they do */
	FORECAST_KERNEL,   /* 1: kernel values of all pictures */
	FORECAST_METHOD,   /* 1: what a method learns besides the mini-batches of a network */
	FORECAST_HEAD,     /* mini-batches of the hash layer alone */
	FORECAST_STEPS,    /* mini-batches of the network */
	FORECAST_PASSES,   /* pictures, forward through the network as it learns, and when it has */
	FORECAST_AGAIN,    /* mini-batches of the hash layer alone, after the network */
	FORECAST_END,      /* 1: quality, the stored model */
	FORECAST_PARTS
} ForecastName;

typedef struct ForecastPart
{
	double total, done; /* units */
	double seconds;     /* those done took */
	double guess;       /* of a unit; NaN: nothing is known */
	double weight;      /* the guess counts like so many units that are done */
} ForecastPart;

typedef struct Forecast
{
	ForecastPart part[FORECAST_PARTS];
} Forecast;

extern void ForecastAdd(Forecast *f, ForecastName name, double done, double seconds);

/* Seconds of a unit. */
extern double ForecastUnit(const ForecastPart *part);

/* Seconds until the end; NaN as long as nothing tells. */
extern double ForecastLeft(const Forecast *f);

/*
 * Mini-batches of the network and passes run by one clock, which says `seconds`: what passes did not take, steps did. first: of those the first step, if it met
 * new memory, for it tells nothing of the others; else 0.
 */
extern void ForecastClock(Forecast *f, double seconds, double first);

#endif /* EDDH_TRAIN_FORECAST_H */
