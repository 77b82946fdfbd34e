/* estimate.c: a worker tells when its job will end. */
#include "postgres.h"

#include <math.h>

#include "nn/gemm.h"
#include "train/estimate.h"
#include "train/net.h"
#include "train/worker.h"

/*
 * A network is tried on pictures of so many multiply-adds, more if those are few pictures, for dense layers are slow with few; but on no more than the last number of
 * pictures, of a small network.
 */
#define TRIED_MACS  2.5e10
#define TRIED_LEAST 64
#define TRIED_MOST  512

/* Height and width of the product that is tried; how often, for it takes a millisecond, and the first is slow. */
#define TRIED_PRODUCT  512
#define TRIED_PRODUCTS 10

/* Sets the rates of a network. */
static void
TryNetwork(const nn_graph *graph, bool learns, const TrainOptions *options, CostRates *rates)
{
	double macs = (double) Max(nn_graph_macs(graph), 1), threads = options->value[OPTION_THREADS];
	double most = Min(Max(TRIED_MACS / macs, Min(TRIED_LEAST, 2 * TRIED_MACS / macs)), TRIED_MOST);
	size_t n = (size_t) Max(most, threads);
	NetSource nothing = { .dim = nn_graph_input_shape(graph).count };
	Net *net = NetCreate(graph, &nothing, n, learns ? 0 : INT_MAX, 0, NULL, options);
	float *out = palloc(sizeof(float) * n * nn_graph_output_shape(graph).count);
	int batch = (int) options->value[OPTION_BATCH], part = (int) Min(Max((batch + 3) / 4, threads), Min(batch, n));
	TimestampTz begin;

	/* The first time weights, and what is computed, are new memory. */
	NetOutputs(net, 0, (size_t) Min(batch, n), out);
	begin = GetCurrentTimestamp();
	NetOutputs(net, 0, n, out);
	rates->network = WorkerSecondsSince(begin) * threads * COST_NETWORK_MACS / (macs * n);
	for (int i = 0; learns && i < 2; i++)
		rates->step = NetRehearse(net, part, batch);
	pfree(out);
	NetFree(net);
}

static double
TryProduct(void)
{
	const size_t n = TRIED_PRODUCT;
	float *a = palloc0(sizeof(float) * n * n), *c = palloc(sizeof(float) * n * n);
	double seconds = INFINITY;

	for (int i = 0; i < TRIED_PRODUCTS; i++)
	{
		TimestampTz begin = GetCurrentTimestamp();

		nn_gemm(false, false, n, n, n, 1, a, n, a, n, 0, c, n);
		seconds = Min(seconds, WorkerSecondsSince(begin));
	}
	pfree(a);
	pfree(c);
	return seconds * COST_PRODUCTS_MACS / ((double) n * n * n);
}

void
EstimateTryOut(Estimate *e, const nn_graph *graph, bool learns, const TrainOptions *options)
{
	WorkerPhase("rehearse", 0);
	e->rates = (CostRates){ .products = TryProduct() };
	TryNetwork(graph, learns, options, &e->rates);
}

void
EstimateBegin(Estimate *e)
{
	e->begin = GetCurrentTimestamp();
}

void
EstimateTell(Estimate *e, ForecastName part, double done)
{
	ForecastAdd(&e->forecast, part, done, WorkerSecondsSince(e->begin));
	EstimateBegin(e);
	WorkerEta(ForecastLeft(&e->forecast));
}

void
EstimateTellReading(Estimate *e, int64 seen, int64 total)
{
	e->forecast.part[FORECAST_READING] =
		(ForecastPart){ .total = (double) total, .done = (double) seen, .seconds = WorkerSecondsSince(e->begin) };
	WorkerEta(ForecastLeft(&e->forecast));
}
