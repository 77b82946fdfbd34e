/*
 * compare_log.c: results of a comparison in its job's log, where the views eddh_comparisons and eddh_comparison_curves find them: "NAME BITS MEASURE" by seed, and
 * "NAME BITS CURVE STEP" of the first seed.
 */
#include "postgres.h"

#include <math.h>

#include "report.h"
#include "train/bulk.h"
#include "train/compare.h"
#include "train/worker.h"

void
CompareSay(const ComparePair *pair, const char *measure, double value)
{
	char *name = psprintf("%s %d %s", pair->task->name, pair->bits, measure);

	WorkerLog(name, pair->seed, value);
	pfree(name);
}

/* ---- Codes ---- */

static int
CompareCodes(const void *a, const void *b, void *bytes)
{
	return memcmp(a, b, *(size_t *) bytes);
}

/* Mean over bits of |mean of the bit in +-1|, and how many different codes. */
void
CompareSayShape(const ComparePair *pair, size_t n, const uint8 *codes)
{
	int bits = pair->bits;
	size_t bytes = (bits + 7) / 8, distinct = n > 0;
	double balance = 0;
	uint8 *sorted = TrainBulkAlloc(n, bytes, 1);

	for (int j = 0; j < bits; j++)
	{
		double ones = 0;

		for (size_t i = 0; i < n; i++)
			ones += codes[i * bytes + j / 8] >> (7 - j % 8) & 1;
		balance += fabs(2 * ones / (double) n - 1) / bits;
	}
	memcpy(sorted, codes, n * bytes);
	qsort_arg(sorted, n, bytes, CompareCodes, &bytes);
	for (size_t i = 1; i < n; i++)
		distinct += memcmp(sorted + (i - 1) * bytes, sorted + i * bytes, bytes) != 0;
	CompareSay(pair, "balance", balance);
	CompareSay(pair, "distinct_codes", (double) distinct);
	eddh_bulk_free(&TrainBulk, sorted);
}

/* ---- Curves ---- */

static void
SayPoint(const ComparePair *pair, const char *curve, int step, double value)
{
	char *name = psprintf("%s %d %s %d", pair->task->name, pair->bits, curve, step);

	WorkerLog(name, pair->seed, value);
	pfree(name);
}

void
CompareSayStep(const ComparePair *pair, const char *curve, int step, double value)
{
	int every = 1;

	if (pair->seed != 1)
		return;
	while (step > COMPARE_CURVE * every)
		every *= 2;
	if (step % every == 0)
		SayPoint(pair, curve, step, value);
}

void
CompareSayRadii(const ComparePair *pair, const hash_ranking *ranking)
{
	static const char *const names[] = { "precision", "recall", "micro_precision", "micro_recall" };
	int bits = pair->bits, every = (bits + COMPARE_CURVE - 1) / COMPARE_CURVE;
	double *curve[lengthof(names)];
	eddh_error err;

	if (pair->seed != 1)
		return;
	for (int i = 0; i < lengthof(names); i++)
		curve[i] = palloc(sizeof(double) * (bits + 1));
	WORKER_CHECK(hash_pr_curve(ranking, curve[0], curve[1], curve[2], curve[3], &err), &err, NULL);
	for (int radius = 0; radius <= bits; radius += every)
	{
		for (int i = 0; i < lengthof(names); i++)
			SayPoint(pair, names[i], radius, curve[i][radius]);
		/* All is found: wider balls only add what is not relevant. */
		if (curve[1][radius] >= 1 - 1e-9)
			break;
	}
	for (int i = 0; i < lengthof(names); i++)
		pfree(curve[i]);
}
