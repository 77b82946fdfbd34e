/* compare.h: what eddh_compare is asked for, as session and worker read it from the job's options. Include after postgres.h. */
#ifndef EDDH_TRAIN_COMPARE_H
#define EDDH_TRAIN_COMPARE_H

#include "hash/measure.h"
#include "train/options.h"

typedef struct CompareTask
{
	const char *name; /* the method's, or that of a variant of it */
	const hash_method *method;
	Datum options; /* jsonb: of a training with this method */
	int train;     /* of the plan's pictures to learn from the first so many; 0: all */
} CompareTask;

typedef struct ComparePlan
{
	int seeds;
	int queries;   /* pictures that are only asked for, at most */
	int train;     /* pictures to learn from, at most; 0: all that are no queries */
	int top;       /* cut-off of mAP@R; 0: none */
	double unseen; /* share of the classes that are kept from training and asked for alone; 0: none */
	int n_bits;
	int *bits;
	int n_tasks;
	CompareTask *tasks;
} ComparePlan;

/* From {"methods": [...], "bits": [...], "seeds": ..., ..., options of trainings, "METHOD": {options of that method}}; a method named in `methods`
 * may be a variant: "NAME": {"method": "METHOD", "train": ..., options}. 22023 for what makes no sense. */
extern ComparePlan *ComparePlanRead(Datum options);

/* One training of a comparison. */
typedef struct ComparePair
{
	const CompareTask *task;
	int bits, seed;
} ComparePair;

/* ---- What a comparison leaves in its job's log (compare_log.c) ---- */

extern void CompareSay(const ComparePair *pair, const char *measure, double value);

/* Balance and number of different codes among n. */
extern void CompareSayShape(const ComparePair *pair, size_t n, const uint8 *codes);

/*
 * Curves, of the first seed only: a point of training as the method reports it, and precision and recall by radius. At most COMPARE_CURVE + 1 radii, and
 * every 2^i-th step above COMPARE_CURVE 2^i of a training, so that the log stays small whatever was asked for.
 */
#define COMPARE_CURVE 32

extern void CompareSayStep(const ComparePair *pair, const char *curve, int step, double value);
extern void CompareSayRadii(const ComparePair *pair, const hash_ranking *ranking);

extern void CompareRun(void); /* the worker */

#endif /* EDDH_TRAIN_COMPARE_H */
