/*
 * measure.c: see measure.h. For every query one pass over the database makes histograms by distance, one for each number of labels that rows share with
 * the query; every measure is a formula on those.
 */
#include "hash/measure.h"

#include "bits/kernels.h"
#include "hash/private.h"

#include <string.h>

#define CHUNK 4096 /* distances at a time: they and the histograms stay in the first-level cache */
#define LANES 4    /* histograms side by side, so that equal distances in sequence do not wait for each other */
#define POLL  64   /* queries between looks at the stop callback */

/* So many shared labels are all the same: the gain 2^g - 1 has to stay a number that sums well. */
#define GRADE_MAX 30

/* ---- Histograms ---- */

/* What the queries share. */
typedef struct scan
{
	const hash_ranking *ranking;
	size_t len;      /* bytes a code */
	size_t radii;    /* bits + 1 */
	uint8_t *sorted; /* codes grouped by class; NULL: the general path */
	size_t *
		start; /* classes + 2: rows of class c in sorted are start[c] .. start[c + 1] - 1, those without class come last */
	uint32_t *distance;
	uint32_t *lanes;    /* grades x LANES x radii */
	size_t grades;      /* 1 + most labels that a row can share with the query; at least 2 */
	uint64_t *none;     /* a row of label bitmap, empty */
	uint32_t *labels;   /* of each row of the database, how many; NULL where rows have one label */
	uint32_t *distinct; /* labels that query or row has alone, beside distance */
	uint64_t *all, *relevant;
	double *gain;                   /* by radius: sum of gains */
	uint64_t graded[GRADE_MAX + 1]; /* rows that share 0, 1, .. labels with the query */
} scan;

static void
scan_free(scan *s)
{
	const eddh_bulk *bulk = s->ranking->database_labels->bulk;

	eddh_bulk_free(bulk, s->sorted);
	free(s->start);
	free(s->distance);
	free(s->lanes);
	free(s->all);
	free(s->relevant);
	free(s->gain);
	free(s->none);
	eddh_bulk_free(bulk, s->labels);
	free(s->distinct);
}

/* A copy of the codes in class order, so that "relevant" is a range instead of a test a pair. */
static bool
group_by_class(scan *s)
{
	const hash_labels *labels = s->ranking->database_labels;
	size_t database = s->ranking->database, classes = labels->classes;
	size_t *at;

	s->sorted = eddh_bulk_alloc(labels->bulk, database, s->len, 1);
	s->start = hash_alloc(classes + 2, 1, sizeof *s->start);
	at = hash_alloc(classes + 1, 1, sizeof *at);
	if (s->sorted == NULL || s->start == NULL || at == NULL)
	{
		free(at);
		return false;
	}
	for (size_t i = 0; i < database; i++)
		s->start[(labels->single[i] >= 0 ? labels->single[i] : classes) + 1]++;
	for (size_t c = 0; c <= classes; c++)
	{
		s->start[c + 1] += s->start[c];
		at[c] = s->start[c];
	}
	for (size_t i = 0; i < database; i++)
	{
		size_t c = labels->single[i] >= 0 ? labels->single[i] : classes;

		memcpy(s->sorted + at[c]++ * s->len, s->ranking->database_codes + i * s->len, s->len);
	}
	free(at);
	return true;
}

static inline size_t
labels_len(const hash_labels *labels)
{
	return labels->words * sizeof *labels->bitmap;
}

/* How many labels a row has: as many as its bitmap is bits away from an empty one. */
static bool
count_labels(scan *s)
{
	const hash_labels *labels = s->ranking->database_labels;

	s->none = hash_alloc(labels->words, 1, sizeof *s->none);
	s->labels = eddh_bulk_alloc(labels->bulk, labels->rows, 1, sizeof *s->labels);
	s->distinct = hash_alloc(CHUNK, 1, sizeof *s->distinct);
	if (s->none == NULL || s->labels == NULL || s->distinct == NULL)
		return false;
	bits_distances(labels_len(labels), labels->rows, (const uint8_t *) s->none, (const uint8_t *) labels->bitmap,
				   s->labels);
	return true;
}

static eddh_code
scan_begin(scan *s, const hash_ranking *ranking, eddh_error *err)
{
	bool failed;

	memset(s, 0, sizeof *s);
	if (ranking->bits < 1 || ranking->database == 0 || ranking->queries == 0)
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "nothing to measure: %zu queries, %zu rows, %d bits", ranking->queries,
						 ranking->database, ranking->bits);
	if (ranking->query_labels->rows != ranking->queries || ranking->database_labels->rows != ranking->database ||
		ranking->query_labels->classes != ranking->database_labels->classes)
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "labels do not fit the codes that are measured");
	if (ranking->same && ranking->queries > ranking->database)
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "%zu queries cannot be rows of a database of %zu", ranking->queries,
						 ranking->database);
	s->ranking = ranking;
	s->len = ((size_t) ranking->bits + 7) / 8;
	s->radii = (size_t) ranking->bits + 1;
	s->distance = hash_alloc(CHUNK, 1, sizeof *s->distance);
	s->lanes = hash_alloc((GRADE_MAX + 1) * LANES, s->radii, sizeof *s->lanes);
	s->all = hash_alloc(s->radii, 1, sizeof *s->all);
	s->relevant = hash_alloc(s->radii, 1, sizeof *s->relevant);
	s->gain = hash_alloc(s->radii, 1, sizeof *s->gain);
	failed = s->gain == NULL || s->distance == NULL || s->lanes == NULL || s->all == NULL || s->relevant == NULL;
	if (!failed && ranking->query_labels->single != NULL && ranking->database_labels->single != NULL)
		failed = !group_by_class(s);
	else if (!failed)
		failed = !count_labels(s);
	if (!failed)
		return EDDH_OK;
	scan_free(s);
	return hash_no_memory(err, "measuring");
}

static inline void
add_distances(size_t n, const uint32_t *d, size_t radii, uint32_t *lanes)
{
	uint32_t *l0 = lanes, *l1 = l0 + radii, *l2 = l1 + radii, *l3 = l2 + radii;
	size_t i = 0;

	for (; i + LANES <= n; i += LANES)
	{
		l0[d[i]]++;
		l1[d[i + 1]]++;
		l2[d[i + 2]]++;
		l3[d[i + 3]]++;
	}
	for (; i < n; i++)
		l0[d[i]]++;
}

/* Adds rows from .. to - 1 of the grouped codes to the lanes of one histogram. */
static void
count_range(scan *s, const uint8_t *query, size_t from, size_t to, uint32_t *lanes)
{
	while (from < to)
	{
		size_t n = to - from < CHUNK ? to - from : CHUNK;

		bits_distances(s->len, n, query, s->sorted + from * s->len, s->distance);
		add_distances(n, s->distance, s->radii, lanes);
		from += n;
	}
}

/* The same where rows may have several labels: how many they share joins the distance. |a & b| = (|a| + |b| - |a ^ b|) / 2. */
static void
count_graded(scan *s, const uint64_t *mine, uint32_t n_mine, const uint8_t *query)
{
	const hash_labels *labels = s->ranking->database_labels;
	uint32_t *d = s->distance, apart = (uint32_t) (LANES * s->radii), most = (uint32_t) s->grades - 1;

	for (size_t from = 0; from < s->ranking->database; from += CHUNK)
	{
		size_t n = s->ranking->database - from < CHUNK ? s->ranking->database - from : CHUNK;

		bits_distances(s->len, n, query, s->ranking->database_codes + from * s->len, d);
		bits_distances(labels_len(labels), n, (const uint8_t *) mine,
					   (const uint8_t *) (labels->bitmap + from * labels->words), s->distinct);
		for (size_t i = 0; i < n; i++)
		{
			uint32_t shared = (n_mine + s->labels[from + i] - s->distinct[i]) / 2;

			d[i] += (shared < most ? shared : most) * apart;
		}
		add_distances(n, d, s->radii, s->lanes);
	}
}

static inline double
gain_of(size_t shared)
{
	return (double) ((UINT64_C(1) << shared) - 1);
}

/* Fills what the scan knows by grade and radius from the lanes. */
static void
sum_lanes(scan *s)
{
	memset(s->all, 0, s->radii * sizeof *s->all);
	memset(s->relevant, 0, s->radii * sizeof *s->relevant);
	memset(s->gain, 0, s->radii * sizeof *s->gain);
	memset(s->graded, 0, sizeof s->graded);
	for (size_t g = 0; g < s->grades; g++)
	{
		for (size_t h = 0; h < s->radii; h++)
		{
			uint64_t n = 0;

			for (size_t l = 0; l < LANES; l++)
				n += s->lanes[(g * LANES + l) * s->radii + h];
			s->all[h] += n;
			s->relevant[h] += g > 0 ? n : 0;
			s->gain[h] += gain_of(g) * (double) n;
			s->graded[g] += n;
		}
	}
}

/* Fills the histograms for one query, without itself; returns how many rows are ranked and how many of them are relevant. */
static void
scan_query(scan *s, size_t row, size_t *ranked, size_t *relevant_total)
{
	const hash_ranking *ranking = s->ranking;
	const uint8_t *query = ranking->query_codes + row * s->len;
	size_t own; /* labels it shares with itself, as a grade */

	if (s->sorted != NULL)
	{
		int32_t label = ranking->query_labels->single[row];
		size_t from = label < 0 ? 0 : s->start[label], to = label < 0 ? 0 : s->start[label + 1];

		s->grades = 2;
		own = label >= 0;
		memset(s->lanes, 0, s->grades * LANES * s->radii * sizeof *s->lanes);
		count_range(s, query, 0, from, s->lanes);
		count_range(s, query, from, to, s->lanes + LANES * s->radii);
		count_range(s, query, to, ranking->database, s->lanes);
	}
	else
	{
		const uint64_t *mine = ranking->query_labels->bitmap + row * ranking->query_labels->words;
		uint32_t n_mine =
			bits_distance(labels_len(ranking->query_labels), (const uint8_t *) mine, (const uint8_t *) s->none);

		own = n_mine < GRADE_MAX ? n_mine : GRADE_MAX;
		s->grades = own > 0 ? own + 1 : 2;
		memset(s->lanes, 0, s->grades * LANES * s->radii * sizeof *s->lanes);
		count_graded(s, mine, n_mine, query);
	}
	sum_lanes(s);
	if (ranking->same)
	{
		uint64_t at = bits_distance(s->len, query, ranking->database_codes + row * s->len);

		s->all[at]--;
		s->relevant[at] -= own > 0;
		s->gain[at] -= gain_of(own);
		s->graded[own]--;
	}
	*ranked = 0;
	*relevant_total = 0;
	for (size_t h = 0; h < s->radii; h++)
	{
		*ranked += s->all[h];
		*relevant_total += s->relevant[h];
	}
}

/* ---- Graded relevance ---- */

/* Expected DCG over the DCG of the best order; within a tie every rank has the tie's mean gain. discount: prefix sums of 1 / log2(1 + rank). */
static double
normalised_gain(const scan *s, const double *discount, size_t ranked)
{
	size_t top = s->ranking->top == 0 || s->ranking->top > ranked ? ranked : s->ranking->top;
	size_t seen = 0;
	double dcg = 0, best = 0;

	for (size_t h = 0; h < s->radii && seen < top; h++)
	{
		size_t n = s->all[h], p = n < top - seen ? n : top - seen;

		if (n == 0)
			continue;
		dcg += s->gain[h] / (double) n * (discount[seen + p] - discount[seen]);
		seen += p;
	}
	seen = 0;
	for (size_t g = s->grades - 1; g > 0 && seen < top; g--)
	{
		size_t p = s->graded[g] < top - seen ? s->graded[g] : top - seen;

		best += gain_of(g) * (discount[seen + p] - discount[seen]);
		seen += p;
	}
	return best > 0 ? dcg / best : 0;
}

/* ---- Average precision over ties ---- */

/* Prefix sums over the ranks: harmonic numbers, and logarithms of factorials for the cut group. */
typedef struct tables
{
	double *harmonic;      /* H(0) .. H(n) */
	double *log_factorial; /* log 0! .. log n! */
	double *discount;      /* sum over ranks 1 .. n of 1 / log2(1 + rank) */
} tables;

static void
tables_free(const eddh_bulk *bulk, tables *t)
{
	eddh_bulk_free(bulk, t->harmonic);
	eddh_bulk_free(bulk, t->log_factorial);
	eddh_bulk_free(bulk, t->discount);
}

static eddh_code
tables_fill(const eddh_bulk *bulk, size_t n, tables *t, eddh_error *err)
{
	t->harmonic = eddh_bulk_alloc(bulk, n + 1, 1, sizeof *t->harmonic);
	t->log_factorial = eddh_bulk_alloc(bulk, n + 1, 1, sizeof *t->log_factorial);
	t->discount = eddh_bulk_alloc(bulk, n + 1, 1, sizeof *t->discount);
	if (t->harmonic == NULL || t->log_factorial == NULL || t->discount == NULL)
	{
		tables_free(bulk, t);
		return hash_no_memory(err, "measuring");
	}
	for (size_t i = 1; i <= n; i++)
	{
		t->harmonic[i] = t->harmonic[i - 1] + 1 / (double) i;
		t->log_factorial[i] = t->log_factorial[i - 1] + log((double) i);
		t->discount[i] = t->discount[i - 1] + 1 / log2(1 + (double) i);
	}
	return EDDH_OK;
}

/*
 * Expected sum of precisions at the relevant ones among the first p rows of a tie of n rows with r relevant, after `seen` rows with `found`
 * relevant: r/n sum_{t=1..p} (found + 1 + (t - 1) m)/(seen + t), m = (r - 1)/(n - 1) (METHODS 3.3).
 */
static double
tie_sum(const tables *t, double n, double r, size_t p, size_t seen, double found)
{
	double m = n > 1 ? (r - 1) / (n - 1) : 0;

	return r / n * (m * (double) p + (found + 1 - m - m * (double) seen) * (t->harmonic[seen + p] - t->harmonic[seen]));
}

/* log of the number of ways to choose b of a. */
static inline double
log_choose(const tables *t, size_t a, size_t b)
{
	return t->log_factorial[a] - t->log_factorial[b] - t->log_factorial[a - b];
}

/* Expected AP, divisor "found in the top", where the cut leaves p of the n rows of a tie: x of them are relevant, hypergeometric. */
static double
cut_precision(const tables *t, size_t n, size_t r, size_t p, size_t seen, size_t found, double sum)
{
	size_t low = p + r > n ? p + r - n : 0, high = p < r ? p : r;
	double all = log_choose(t, n, p), total = 0;

	for (size_t x = low; x <= high; x++)
	{
		double share = exp(log_choose(t, r, x) + log_choose(t, n - r, p - x) - all);

		if (found + x > 0 && share > 0)
			total += share * (sum + tie_sum(t, (double) p, (double) x, p, seen, (double) found)) / (double) (found + x);
	}
	return total;
}

typedef struct one_query
{
	double ap, ap_min, precision, recall;
} one_query;

static one_query
measure_query(const scan *s, const tables *t, size_t ranked, size_t relevant_total)
{
	size_t top = s->ranking->top == 0 || s->ranking->top > ranked ? ranked : s->ranking->top;
	size_t seen = 0, found = 0;
	double sum = 0, expected = 0;
	one_query q = { 0 };
	bool cut = false;

	if (relevant_total == 0)
		return q;
	for (size_t h = 0; h < s->radii && seen < top; h++)
	{
		size_t n = s->all[h], r = s->relevant[h], p = top - seen;

		if (n == 0)
			continue;
		if (n <= p)
		{
			sum += tie_sum(t, (double) n, (double) r, n, seen, (double) found);
			seen += n;
			found += r;
			continue;
		}
		q.ap = cut_precision(t, n, r, p, seen, found, sum);
		sum += tie_sum(t, (double) n, (double) r, p, seen, (double) found);
		expected = (double) p * (double) r / (double) n;
		cut = true;
		break;
	}
	expected += (double) found;
	if (!cut && found > 0)
		q.ap = sum / (double) found;
	q.ap_min = sum / (double) (relevant_total < top ? relevant_total : top);
	q.precision = expected / (double) (s->ranking->top == 0 ? ranked : s->ranking->top);
	q.recall = expected / (double) relevant_total;
	return q;
}

eddh_code
hash_measure(const hash_ranking *ranking, hash_quality *out, eddh_error *err)
{
	scan s;
	tables t;
	double *const sums[] = { &out->map,  &out->map_min,           &out->precision_top, &out->recall_top,
							 &out->ndcg, &out->precision_radius2, &out->empty_radius2 };
	eddh_code code = scan_begin(&s, ranking, err);

	memset(out, 0, sizeof *out);
	if (code != EDDH_OK)
		return code;
	code = tables_fill(ranking->database_labels->bulk, ranking->database, &t, err);
	if (code != EDDH_OK)
	{
		scan_free(&s);
		return code;
	}
	for (size_t i = 0; i < ranking->queries; i++)
	{
		size_t ranked, relevant_total, ball = 0, hits = 0;
		one_query q;

		if (i % POLL == 0 && eddh_stopped(ranking->stop))
		{
			code = eddh_fail(err, EDDH_STOPPED, "stopped");
			break;
		}
		scan_query(&s, i, &ranked, &relevant_total);
		q = measure_query(&s, &t, ranked, relevant_total);
		out->map += q.ap;
		out->map_min += q.ap_min;
		out->precision_top += q.precision;
		out->recall_top += q.recall;
		out->ndcg += normalised_gain(&s, t.discount, ranked);
		out->queries_used += relevant_total > 0;
		for (size_t h = 0; h < s.radii && h <= 2; h++)
		{
			ball += s.all[h];
			hits += s.relevant[h];
		}
		if (ball == 0)
			out->empty_radius2++;
		else
			out->precision_radius2 += (double) hits / (double) ball;
	}
	for (size_t i = 0; i < sizeof sums / sizeof *sums; i++)
	{
		*sums[i] /= (double) ranking->queries;
		if (*sums[i] > 1) /* by rounding */
			*sums[i] = 1;
	}
	tables_free(ranking->database_labels->bulk, &t);
	scan_free(&s);
	return code;
}

eddh_code
hash_pr_curve(const hash_ranking *ranking, double *macro_precision, double *macro_recall, double *micro_precision,
			  double *micro_recall, eddh_error *err)
{
	scan s;
	size_t radii, used = 0;
	double pairs = 0;
	eddh_code code = scan_begin(&s, ranking, err);

	if (code != EDDH_OK)
		return code;
	radii = s.radii;
	memset(macro_precision, 0, radii * sizeof *macro_precision);
	memset(macro_recall, 0, radii * sizeof *macro_recall);
	/* Until the end these two hold pairs retrieved and pairs found. */
	memset(micro_precision, 0, radii * sizeof *micro_precision);
	memset(micro_recall, 0, radii * sizeof *micro_recall);
	for (size_t i = 0; i < ranking->queries; i++)
	{
		size_t ranked, relevant_total, seen = 0, found = 0;

		if (i % POLL == 0 && eddh_stopped(ranking->stop))
		{
			scan_free(&s);
			return eddh_fail(err, EDDH_STOPPED, "stopped");
		}
		scan_query(&s, i, &ranked, &relevant_total);
		used += relevant_total > 0;
		pairs += (double) relevant_total;
		for (size_t h = 0; h < radii; h++)
		{
			seen += s.all[h];
			found += s.relevant[h];
			micro_precision[h] += (double) seen;
			micro_recall[h] += (double) found;
			if (seen > 0)
				macro_precision[h] += (double) found / (double) seen;
			if (relevant_total > 0)
				macro_recall[h] += (double) found / (double) relevant_total;
		}
	}
	for (size_t h = 0; h < radii; h++)
	{
		double retrieved = micro_precision[h], found = micro_recall[h];

		micro_precision[h] = retrieved > 0 ? found / retrieved : 0;
		micro_recall[h] = pairs > 0 ? found / pairs : 0;
		macro_precision[h] /= (double) ranking->queries;
		macro_recall[h] /= used > 0 ? (double) used : 1;
	}
	scan_free(&s);
	return EDDH_OK;
}
