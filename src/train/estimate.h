/* estimate.h: a worker tells when its job will end: how fast it goes, and its forecast with a clock. Include after postgres.h. */
#ifndef EDDH_TRAIN_ESTIMATE_H
#define EDDH_TRAIN_ESTIMATE_H

#include "train/cost.h"
#include "train/forecast.h"
#include "utils/timestamp.h"

typedef struct Estimate
{
	Forecast forecast;
	CostRates rates;
	TimestampTz begin; /* of the part that runs */
} Estimate;

/* How fast this network and this machine are, before a picture is read; learns: all of the network will learn. */
extern void EstimateTryOut(Estimate *e, const nn_graph *graph, bool learns, const TrainOptions *options);

/* Begins a part's clock. */
extern void EstimateBegin(Estimate *e);

/* So much more of a part is done since its clock began, which begins again. */
extern void EstimateTell(Estimate *e, ForecastName part, double done);

/* While the table is read, since the clock began; what comes after is in the forecast. */
extern void EstimateTellReading(Estimate *e, int64 seen, int64 total);

#endif /* EDDH_TRAIN_ESTIMATE_H */
