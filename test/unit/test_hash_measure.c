/* test_hash_measure.c: every measure against random order inside ties, and the histograms against brute force. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hash_toy.h"

#include "bits/kernels.h"
#include "hash/measure.h"

#define BITS    12
#define LEN     2
#define QUERIES 6
#define ROWS    150

typedef struct sample
{
	hash_labels *query_labels, *labels;
	uint8_t queries[QUERIES * LEN], codes[ROWS * LEN];
	uint64_t distance[QUERIES][ROWS];
	bool share[QUERIES][ROWS];
	hash_ranking ranking;
} sample;

static void
sample_make(sample *s, bool several, uint64_t seed)
{
	eddh_rng rng;

	eddh_rng_seed(&rng, seed);
	memset(s, 0, sizeof *s);
	s->labels = toy_labels(ROWS, 5, several, 11, seed);
	s->query_labels = toy_labels(QUERIES, 5, several, 0, seed + 1);
	/* Few distinct codes near the class, so that ties are large. */
	for (int i = 0; i < ROWS; i++)
	{
		s->codes[i * LEN] = (uint8_t) (s->labels->bitmap[i] * 37 ^ (1u << eddh_rng_below(&rng, 8)));
		s->codes[i * LEN + 1] = (uint8_t) (eddh_rng_below(&rng, 16) << 4);
	}
	for (int i = 0; i < QUERIES; i++)
	{
		s->queries[i * LEN] = (uint8_t) (s->query_labels->bitmap[i] * 37);
		s->queries[i * LEN + 1] = (uint8_t) (eddh_rng_below(&rng, 16) << 4);
	}
	for (int i = 0; i < QUERIES; i++)
	{
		for (int j = 0; j < ROWS; j++)
		{
			s->distance[i][j] = bits_distance_naive(LEN, s->queries + i * LEN, s->codes + j * LEN);
			s->share[i][j] = hash_labels_share(s->query_labels, i, s->labels, j);
		}
	}
	s->ranking = (hash_ranking){ .bits = BITS,
								 .queries = QUERIES,
								 .database = ROWS,
								 .query_codes = s->queries,
								 .database_codes = s->codes,
								 .query_labels = s->query_labels,
								 .database_labels = s->labels };
}

static void
sample_free(sample *s)
{
	hash_labels_free(s->labels);
	hash_labels_free(s->query_labels);
}

/* Measures of one order of the rows: ranked by distance, ties as they come in `order`. Stable counting sort. */
static void
measure_order(const sample *s, const uint32_t *order, size_t top, hash_quality *q)
{
	memset(q, 0, sizeof *q);
	for (int i = 0; i < QUERIES; i++)
	{
		size_t total = 0, found = 0, rank = 0, cut = top == 0 ? ROWS : top;
		double sum = 0;
		uint8_t relevant[ROWS];
		double gain[ROWS], dcg = 0, best = 0;
		int shared[ROWS], grades[8] = { 0 };

		for (int h = 0; h <= BITS; h++)
		{
			for (int j = 0; j < ROWS; j++)
			{
				if (s->distance[i][order[j]] == (uint64_t) h)
				{
					shared[rank] = __builtin_popcountll(s->query_labels->bitmap[i] & s->labels->bitmap[order[j]]);
					gain[rank] = pow(2, shared[rank]) - 1;
					grades[shared[rank]]++;
					relevant[rank++] = s->share[i][order[j]];
				}
			}
		}
		for (rank = 0; rank < ROWS; rank++)
		{
			total += relevant[rank];
			if (rank < cut && relevant[rank])
				sum += (double) ++found / (double) (rank + 1);
			dcg += rank < cut ? gain[rank] / log2((double) rank + 2) : 0;
		}
		rank = 0;
		for (int g = 7; g > 0; g--)
		{
			for (int n = 0; n < grades[g]; n++, rank++)
				best += rank < cut ? (pow(2, g) - 1) / log2((double) rank + 2) : 0;
		}
		if (best > 0)
			q->ndcg += dcg / best / QUERIES;
		if (found > 0)
			q->map += sum / (double) found / QUERIES;
		if (total > 0)
		{
			q->map_min += sum / (double) (total < cut ? total : cut) / QUERIES;
			q->precision_top += (double) found / (double) cut / QUERIES;
			q->recall_top += (double) found / (double) total / QUERIES;
		}
	}
}

static void
ties_equal_the_mean_of_shuffles(bool several)
{
	const size_t tops[] = { 0, 1, 7, 40, 140 };
	const int shuffles = 4000; /* times 6 queries: the deviation of the mean stays below 1e-3 */
	sample s;
	eddh_error err;
	eddh_rng rng;

	sample_make(&s, several, 77);
	eddh_rng_seed(&rng, 5);
	for (size_t t = 0; t < sizeof tops / sizeof tops[0]; t++)
	{
		hash_quality exact, mean = { 0 };
		double spread = 0, tolerance;
		uint32_t order[ROWS];

		s.ranking.top = tops[t];
		assert_ok(hash_measure(&s.ranking, &exact, &err));
		for (uint32_t i = 0; i < ROWS; i++)
			order[i] = i;
		for (int i = 0; i < shuffles; i++)
		{
			hash_quality one;

			eddh_rng_shuffle(&rng, ROWS, order);
			measure_order(&s, order, tops[t], &one);
			mean.map += one.map / shuffles;
			mean.ndcg += one.ndcg / shuffles;
			mean.map_min += one.map_min / shuffles;
			mean.precision_top += one.precision_top / shuffles;
			mean.recall_top += one.recall_top / shuffles;
			spread += one.map * one.map / shuffles;
		}
		/* Five deviations of the simulated mean. */
		tolerance = 5 * sqrt(fmax(0, spread - mean.map * mean.map) / shuffles) + 1e-9;
		assert_true(tolerance < 0.02);
		assert_near(exact.map, mean.map, tolerance);
		assert_near(exact.map_min, mean.map_min, tolerance);
		assert_near(exact.precision_top, mean.precision_top, tolerance);
		assert_near(exact.recall_top, mean.recall_top, tolerance);
		assert_near(exact.ndcg, mean.ndcg, tolerance);
	}
	sample_free(&s);
}

static void
single_labels_equal_the_mean_of_shuffles(void **state)
{
	ties_equal_the_mean_of_shuffles(false);
}

static void
several_labels_equal_the_mean_of_shuffles(void **state)
{
	ties_equal_the_mean_of_shuffles(true);
}

/* One tie over everything: the sum must be the harmonic one, and AP that of a random order. */
static void
one_tie_is_a_random_order(void **state)
{
	const size_t rows = 1000, relevant = 130;
	hash_labels *labels, *query;
	uint8_t *codes = calloc(rows, 1), code = 0;
	double expected = 0, m = (double) (relevant - 1) / (double) (rows - 1);
	hash_ranking ranking;
	hash_quality q;
	eddh_error err;

	assert_ok(hash_labels_create(NULL, rows, 2, &labels, &err));
	assert_ok(hash_labels_create(NULL, 1, 2, &query, &err));
	for (size_t i = 0; i < rows; i++)
		hash_labels_add(labels, i, i < relevant ? 0 : 1);
	hash_labels_add(query, 0, 0);
	assert_ok(hash_labels_finish(labels, &err));
	assert_ok(hash_labels_finish(query, &err));
	ranking = (hash_ranking){ .bits = 8,
							  .queries = 1,
							  .database = rows,
							  .query_codes = &code,
							  .database_codes = codes,
							  .query_labels = query,
							  .database_labels = labels };
	assert_ok(hash_measure(&ranking, &q, &err));
	for (size_t t = 1; t <= rows; t++)
		expected += (1 + (double) (t - 1) * m) / (double) t / (double) rows;
	assert_near(q.map, expected, 1e-12);
	assert_near(q.map_min, expected, 1e-12);
	assert_near(q.precision_radius2, 0.13, 1e-15);
	assert_true(q.empty_radius2 == 0);
	ranking.top = 1;
	assert_ok(hash_measure(&ranking, &q, &err));
	assert_near(q.map, 0.13, 1e-12);
	free(codes);
	hash_labels_free(labels);
	hash_labels_free(query);
}

static void
precision_and_recall_equal_brute_force(void **state)
{
	for (int several = 0; several <= 1; several++)
	{
		double macro_p[BITS + 1], macro_r[BITS + 1], micro_p[BITS + 1], micro_r[BITS + 1];
		hash_quality q;
		eddh_error err;
		sample s;

		sample_make(&s, several, 3);
		/* One query without a relevant row: its recall is not counted, its precision is 0. */
		memset(s.query_labels->bitmap, 0, sizeof *s.query_labels->bitmap);
		assert_ok(hash_labels_finish(s.query_labels, &err));
		assert_ok(hash_pr_curve(&s.ranking, macro_p, macro_r, micro_p, micro_r, &err));
		assert_ok(hash_measure(&s.ranking, &q, &err));
		assert_int_equal(q.queries_used, QUERIES - 1);
		for (int h = 0; h <= BITS; h++)
		{
			double seen_all = 0, found_all = 0, total_all = 0, p = 0, r = 0;
			int empty = 0;

			for (int i = 0; i < QUERIES; i++)
			{
				double seen = 0, found = 0, total = 0;

				for (int j = 0; j < ROWS; j++)
				{
					bool share = hash_labels_share(s.query_labels, i, s.labels, j);
					bool inside = s.distance[i][j] <= (uint64_t) h;

					seen += inside;
					found += inside && share;
					total += share;
				}
				empty += seen == 0;
				p += seen > 0 ? found / seen / QUERIES : 0;
				r += total > 0 ? found / total / (QUERIES - 1) : 0;
				seen_all += seen;
				found_all += found;
				total_all += total;
			}
			assert_near(macro_p[h], p, 1e-12);
			assert_near(macro_r[h], r, 1e-12);
			assert_near(micro_p[h], seen_all > 0 ? found_all / seen_all : 0, 1e-12);
			assert_near(micro_r[h], found_all / total_all, 1e-12);
			if (h == 2)
			{
				assert_near(q.precision_radius2, p, 1e-12);
				assert_near(q.empty_radius2, (double) empty / QUERIES, 1e-12);
			}
		}
		sample_free(&s);
	}
}

/* Rows that query themselves: as if each were taken out of the database. */
static void
same_leaves_a_row_out_of_its_own_ranking(void **state)
{
	for (int several = 0; several <= 1; several++)
	{
		hash_quality q, one;
		double map = 0, top = 0;
		eddh_error err;
		sample s;

		sample_make(&s, several, 9);
		s.ranking.query_codes = s.codes;
		s.ranking.query_labels = s.labels;
		s.ranking.queries = ROWS;
		s.ranking.same = true;
		s.ranking.top = 20;
		assert_ok(hash_measure(&s.ranking, &q, &err));
		for (int i = 0; i < ROWS; i++)
		{
			uint8_t rest[ROWS * LEN];
			hash_labels *query, *labels;
			hash_ranking ranking;

			assert_ok(hash_labels_create(NULL, 1, 5, &query, &err));
			assert_ok(hash_labels_create(NULL, ROWS - 1, 5, &labels, &err));
			query->bitmap[0] = s.labels->bitmap[i];
			for (int j = 0; j < ROWS - 1; j++)
			{
				int from = j < i ? j : j + 1;

				memcpy(rest + j * LEN, s.codes + from * LEN, LEN);
				labels->bitmap[j] = s.labels->bitmap[from];
			}
			assert_ok(hash_labels_finish(query, &err));
			assert_ok(hash_labels_finish(labels, &err));
			ranking = (hash_ranking){ .bits = BITS,
									  .queries = 1,
									  .database = ROWS - 1,
									  .query_codes = s.codes + i * LEN,
									  .database_codes = rest,
									  .query_labels = query,
									  .database_labels = labels,
									  .top = 20 };
			assert_ok(hash_measure(&ranking, &one, &err));
			map += one.map / ROWS;
			top += one.precision_top / ROWS;
			hash_labels_free(query);
			hash_labels_free(labels);
		}
		assert_near(q.map, map, 1e-12);
		assert_near(q.precision_top, top, 1e-12);
		sample_free(&s);
	}
}

static bool
always(void *arg)
{
	return true;
}

static void
bad_rankings_are_refused(void **state)
{
	const eddh_stop stop = { .poll = always };
	hash_quality q;
	eddh_error err;
	sample s;

	sample_make(&s, false, 1);
	s.ranking.stop = &stop;
	assert_int_equal(hash_measure(&s.ranking, &q, &err), EDDH_STOPPED);
	s.ranking.stop = NULL;
	s.ranking.queries = 0;
	assert_int_equal(hash_measure(&s.ranking, &q, &err), EDDH_BAD_ARGUMENT);
	s.ranking.queries = QUERIES - 1;
	assert_int_equal(hash_measure(&s.ranking, &q, &err), EDDH_BAD_ARGUMENT);
	sample_free(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(single_labels_equal_the_mean_of_shuffles),
		cmocka_unit_test(several_labels_equal_the_mean_of_shuffles),
		cmocka_unit_test(one_tie_is_a_random_order),
		cmocka_unit_test(precision_and_recall_equal_brute_force),
		cmocka_unit_test(same_leaves_a_row_out_of_its_own_ranking),
		cmocka_unit_test(bad_rankings_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
