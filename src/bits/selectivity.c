/*
 * selectivity.c: what fraction of a column lies in a Hamming ball: RESTRICT and JOIN estimators of <@ and @>.
 *
 * ANALYZE keeps for a bit column what it keeps for every ordered type: its most common values with their frequencies, and a histogram
 * whose bounds are values at equal steps of the sort order. Both together are a weighted sample of the column, and the sample is
 * tested against the actual ball. In two cases the sample cannot answer by counting:
 *
 * - No sampled value is inside. Balls that are worth an index are small, so this is usual. The distances of the sample to the centre
 *   have a mean and a variance; the tail of a normal distribution with these gives the fraction, which is less than one sample's weight.
 * - There are no statistics. Then bits are taken as fair coins, and the distance as binomial.
 *
 * Where the centre is unknown (a parameter, a column of another table) but the radius is known, the average over centres is taken: all pairs
 * of the column's sample and the centre's.
 *
 * Estimates never raise errors: values of another length count as outside, and execution will complain.
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "bits/ball.h"
#include "bits/kernels.h"
#include "catalog/pg_statistic.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "utils/lsyscache.h"
#include "utils/selfuncs.h"

PG_FUNCTION_INFO_V1(eddh_hamming_ball_sel);
PG_FUNCTION_INFO_V1(eddh_hamming_ball_joinsel);

/* Nothing known, not even the radius: as core's contsel. */
#define DEFAULT_BALL_SEL 0.001

/* Pairs grow with the square of it; enough for a fraction that only chooses plans. */
#define MAX_SAMPLE_PAIRS_SIDE 128

/* An expression dearer than this, in units of cpu_operator_cost, is not computed just to plan: eddh_encode runs a network. */
#define MAX_PLANNING_COST 1000

/* A weighted sample of a column's values. */
typedef struct BallSample
{
	int n;
	int ncommon; /* the first values are most common ones, which stand for many equal rows; the others for many different ones */
	Datum *values;
	double *weights; /* fraction of the rows that are not null that the value stands for; they add up to about 1 */
	double not_null;
} BallSample;

/* Distances of sampled values to a centre, or of sampled pairs. */
typedef struct DistanceSums
{
	double inside; /* weights within the radius */
	double total;  /* all weights */
	double weight; /* weights of values of the centre's length */
	double sum;
	double squares;
	double smallest; /* smallest single weight */
} DistanceSums;

/* What planning can know of the ball in a clause. */
typedef struct BallClause
{
	Node *code;
	HammingBall *ball; /* or NULL */
	bool is_null;      /* the ball is NULL: no row */
	int32 radius;      /* -1 if unknown */
	Node *center;      /* with a radius but no ball */
} BallClause;

static double
NormalBelow(double x, double mean, double variance)
{
	/* Half a bit is less noise than any column of codes has; without it a column of equal codes would divide by zero. */
	return 0.5 * erfc((mean - x) / sqrt(2 * Max(variance, 0.25)));
}

/* P[Binomial(nbits, 1/2) <= radius]. */
static double
FairCoinsWithin(int32 nbits, int32 radius)
{
	double log_term = -nbits * M_LN2;
	double sum = 0;

	if (radius >= nbits)
		return 1;
	/* Beyond some thousand bits the sum is long and the normal distribution exact enough. */
	if (nbits > 4096)
		return NormalBelow(radius + 0.5, nbits / 2.0, nbits / 4.0);
	for (int32 k = 0; k <= radius; k++)
	{
		sum += exp(log_term);
		log_term += log((double) (nbits - k) / (k + 1));
	}
	return Min(sum, 1);
}

/*
 * The sample that pg_statistic holds of a column or indexed expression; false where there is none, or where the user may not see it (function is
 * the operator's: the estimate could tell about values that the user must not read).
 */
static bool
LoadSample(VariableStatData *vardata, Oid function, BallSample *sample)
{
	AttStatsSlot common;
	AttStatsSlot histogram;
	bool has_common;
	bool has_histogram;
	double rest;

	if (!HeapTupleIsValid(vardata->statsTuple) || !statistic_proc_security_check(vardata, function))
		return false;

	sample->not_null = 1 - ((Form_pg_statistic) GETSTRUCT(vardata->statsTuple))->stanullfrac;
	has_common = get_attstatsslot(&common, vardata->statsTuple, STATISTIC_KIND_MCV, InvalidOid,
								  ATTSTATSSLOT_VALUES | ATTSTATSSLOT_NUMBERS);
	has_histogram =
		get_attstatsslot(&histogram, vardata->statsTuple, STATISTIC_KIND_HISTOGRAM, InvalidOid, ATTSTATSSLOT_VALUES);
	/* No free_attstatsslot: the values point into its arrays, which go with the planner's memory. */
	sample->ncommon = has_common ? common.nvalues : 0;
	sample->n = sample->ncommon + (has_histogram ? histogram.nvalues : 0);
	if (sample->n == 0 || sample->not_null <= 0)
		return false;
	sample->values = palloc(sizeof(Datum) * sample->n);
	sample->weights = palloc(sizeof(double) * sample->n);

	rest = 1;
	for (int i = 0; i < sample->n; i++)
	{
		bool is_common = i < sample->ncommon;

		sample->values[i] = is_common ? common.values[i] : histogram.values[i - sample->ncommon];
		sample->weights[i] = is_common ? common.numbers[i] / sample->not_null : Max(rest, 0) / histogram.nvalues;
		if (is_common)
			rest -= sample->weights[i];
	}
	return true;
}

static double
CodeDistance(BitsCode left, BitsCode right)
{
	return left.nbits == right.nbits ? (double) bits_distance(HAMMING_BALL_BYTES(left.nbits), left.bytes, right.bytes)
									 : -1;
}

static void
AddDistance(DistanceSums *sums, double distance, int32 radius, double weight)
{
	sums->total += weight;
	if (distance < 0) /* other lengths: outside, and no part of the distribution */
		return;
	if (distance <= radius)
		sums->inside += weight;
	if (sums->weight == 0 || weight < sums->smallest)
		sums->smallest = weight;
	sums->weight += weight;
	sums->sum += weight * distance;
	sums->squares += weight * distance * distance;
}

/* The fraction inside of what the sums speak for, 0 to 1. */
static double
FractionInside(const DistanceSums *sums, int32 radius)
{
	double mean;
	double tail;

	if (sums->weight <= 0)
		return 0;
	if (sums->inside > 0)
		return sums->inside / sums->total;
	mean = sums->sum / sums->weight;
	tail = NormalBelow(radius + 0.5, mean, sums->squares / sums->weight - mean * mean);
	/* No value of the sample is inside, so less than about one value's weight can be. */
	return Min(sums->weight * tail, sums->smallest / 2) / sums->total;
}

static double
BallFraction(const BallSample *sample, const HammingBall *ball)
{
	DistanceSums sums = { 0 };
	BitsCode center = { ball->nbits, ball->center };

	for (int i = 0; i < sample->n; i++)
		AddDistance(&sums, CodeDistance(BitsCodeFromDatum(sample->values[i]), center), ball->radius,
					sample->weights[i]);
	return FractionInside(&sums, ball->radius);
}

/* Average over centres: the chance that a value of codes and one of centers, both not null, are within radius. */
static double
PairFraction(const BallSample *codes, const BallSample *centers, int32 radius)
{
	DistanceSums sums = { 0 };
	int code_step = codes->n / MAX_SAMPLE_PAIRS_SIDE + 1;
	int center_step = centers->n / MAX_SAMPLE_PAIRS_SIDE + 1;

	for (int i = 0; i < codes->n; i += code_step)
	{
		BitsCode code = BitsCodeFromDatum(codes->values[i]);

		for (int j = 0; j < centers->n; j += center_step)
		{
			double distance = CodeDistance(code, BitsCodeFromDatum(centers->values[j]));

			/*
			 * A histogram bound stands for many different values. Where it meets itself, as in a self-join, it would claim that they are all
			 * equal.
			 */
			if (distance == 0 && i >= codes->ncommon && j >= centers->ncommon)
				continue;
			AddDistance(&sums, distance, radius, codes->weights[i] * centers->weights[j]);
		}
	}
	return FractionInside(&sums, radius);
}

/* Takes the clause apart: either operand order, constant balls, and calls of hamming_ball(center, radius) with a constant radius. */
static void
ExamineClause(PlannerInfo *root, List *args, BallClause *clause)
{
	Node *left = linitial(args);
	Node *right = lsecond(args);
	bool code_is_left = exprType(left) == BITOID;
	Node *ball = code_is_left ? right : left;
	QualCost cost;

	memset(clause, 0, sizeof(*clause));
	clause->code = code_is_left ? left : right;
	clause->radius = -1;

	cost_qual_eval_node(&cost, ball, root);
	if (cost.startup + cost.per_tuple <= MAX_PLANNING_COST * cpu_operator_cost)
		ball = estimate_expression_value(root, ball);
	if (IsA(ball, Const))
	{
		clause->is_null = ((Const *) ball)->constisnull;
		if (!clause->is_null)
		{
			clause->ball = DatumGetHammingBallP(((Const *) ball)->constvalue);
			clause->radius = clause->ball->radius;
		}
	}
	else if (IsA(ball, FuncExpr) && list_length(((FuncExpr *) ball)->args) == 2)
	{
		/* The only such function of ours is the constructor; another's would only spoil an estimate. */
		Node *center = linitial(((FuncExpr *) ball)->args);
		Node *radius = lsecond(((FuncExpr *) ball)->args);

		if (exprType(center) == BITOID && IsA(radius, Const) && ((Const *) radius)->consttype == INT4OID &&
			!((Const *) radius)->constisnull)
		{
			clause->radius = DatumGetInt32(((Const *) radius)->constvalue);
			clause->center = center;
		}
	}
}

/* Fraction of the rows (pairs of rows in a join) for which the clause is true. */
static double
ClauseSelectivity(PlannerInfo *root, Oid opno, List *args, int varRelid)
{
	Oid function = get_opcode(opno);
	BallClause clause;
	VariableStatData code;
	BallSample codes;
	double selectivity;

	ExamineClause(root, args, &clause);
	if (clause.is_null)
		return 0;
	if (clause.radius < 0)
		return DEFAULT_BALL_SEL;

	examine_variable(root, clause.code, varRelid, &code);
	if (!LoadSample(&code, function, &codes))
	{
		int32 nbits = clause.ball != NULL ? clause.ball->nbits : exprTypmod(clause.code);

		selectivity = nbits >= 0 ? FairCoinsWithin(nbits, clause.radius) : DEFAULT_BALL_SEL;
	}
	else if (clause.ball != NULL)
		selectivity = codes.not_null * BallFraction(&codes, clause.ball);
	else
	{
		VariableStatData center;
		BallSample centers;

		/* A centre of which nothing is known is taken for one of the column's own values. */
		examine_variable(root, clause.center, 0, &center);
		if (LoadSample(&center, function, &centers))
			selectivity = codes.not_null * centers.not_null * PairFraction(&codes, &centers, clause.radius);
		else
			selectivity = codes.not_null * PairFraction(&codes, &codes, clause.radius);
		ReleaseVariableStats(center);
	}
	ReleaseVariableStats(code);
	CLAMP_PROBABILITY(selectivity);
	return selectivity;
}

Datum
eddh_hamming_ball_sel(PG_FUNCTION_ARGS)
{
	PlannerInfo *root = (PlannerInfo *) PG_GETARG_POINTER(0);
	Oid opno = PG_GETARG_OID(1);
	List *args = (List *) PG_GETARG_POINTER(2);
	int varRelid = PG_GETARG_INT32(3);

	PG_RETURN_FLOAT8(ClauseSelectivity(root, opno, args, varRelid));
}

static double
RowsOfRelids(PlannerInfo *root, Relids relids)
{
	int relid;
	RelOptInfo *rel =
		bms_get_singleton_member(relids, &relid) ? find_base_rel(root, relid) : find_join_rel(root, relids);

	return rel != NULL ? rel->rows : 1000;
}

Datum
eddh_hamming_ball_joinsel(PG_FUNCTION_ARGS)
{
	PlannerInfo *root = (PlannerInfo *) PG_GETARG_POINTER(0);
	Oid opno = PG_GETARG_OID(1);
	List *args = (List *) PG_GETARG_POINTER(2);
	JoinType jointype = (JoinType) PG_GETARG_INT16(3);
	SpecialJoinInfo *sjinfo = (SpecialJoinInfo *) PG_GETARG_POINTER(4);
	double selectivity = ClauseSelectivity(root, opno, args, 0);

	/* EXISTS and NOT EXISTS ask for the fraction of outer rows with at least one partner; partners are taken as independent. */
	if (jointype == JOIN_SEMI || jointype == JOIN_ANTI)
	{
		selectivity = 1 - pow(1 - selectivity, RowsOfRelids(root, sjinfo->min_righthand));
		CLAMP_PROBABILITY(selectivity);
	}
	PG_RETURN_FLOAT8(selectivity);
}
