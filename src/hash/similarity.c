/* similarity.c: see similarity.h. */
#include "hash/similarity.h"

#include "hash/private.h"
#include "nn/gemm.h"

#include <string.h>

#define TILE_FLOATS ((size_t) 1 << 20)

/* Consecutive columns of one class; only where every row has at most one label. */
typedef struct run
{
	size_t end;
	int label;
} run;

struct hash_similarity_private
{
	int dim;
	const float *features;
	const hash_labels *labels;
	hash_similarity_options options;
	size_t tile_rows;
	float *column_features; /* columns x dim, of length one */
	float *row_features;    /* tile_rows x dim */
	float *tile;            /* tile_rows x columns; hot, so on the heap like sign and threshold, however many columns */
	float *sign;            /* columns: +1 where the row shares a label, else -1 */
	float *threshold;       /* columns: log alpha' or log beta' */
	uint32_t *position;     /* rows: its column + 1, or 0 */
	run *runs;
	size_t run_count;
	uint8_t *kept;      /* rows x columns: 255 (|S| - 1) */
	double *row_means;  /* rows and columns, for HASH_BALANCE_CENTER */
	double *class_size; /* 2 x classes: weighted columns of the class, and the sum of their means */
	double mean;
};

size_t
hash_similarity_default_sample(size_t rows, int dim)
{
	double affordable;

	if (rows <= 13000)
		return 0;
	affordable = 3.2e10 / ((double) rows * dim);
	return affordable < 512 ? 512 : affordable > 4096 ? 4096 : (size_t) affordable;
}

/* A feature that is no number would pass through the clamps unseen and spoil every sum. */
static eddh_code
check_finite(size_t rows, int dim, const float *features, eddh_error *err)
{
	for (size_t i = 0; i < rows; i++)
	{
		double sum = 0;

		for (int j = 0; j < dim; j++)
			sum += fabs(features[i * dim + j]);
		if (!isfinite(sum))
			return eddh_fail(err, EDDH_NUMERIC, "features of row %zu are not finite", i);
	}
	return EDDH_OK;
}

/* Length one in double, stored as float: cosines of float sums over 4,096 features would drift. */
static void
normalise(int dim, const float *in, float *out)
{
	double square = 0, factor;

	for (int j = 0; j < dim; j++)
		square += (double) in[j] * in[j];
	factor = square > 0 ? 1 / sqrt(square) : 0;
	for (int j = 0; j < dim; j++)
		out[j] = (float) (in[j] * factor);
}

/* ---- Tiles ---- */

/*
 * Natural logarithm to about 1e-7, for positive normal x. Branch-free so that the compiler vectorises the loop around it: this is the
 * innermost work of the pass. x = 2^e m with m in [sqrt(1/2), sqrt(2)); log m = 2 atanh((m - 1)/(m + 1)).
 */
static inline float
fast_log(float x)
{
	int32_t bits, e;
	float m, t, t2;

	memcpy(&bits, &x, sizeof bits);
	bits -= 0x3f3504f3;
	e = bits >> 23;
	bits = (bits & 0x7fffff) + 0x3f3504f3;
	memcpy(&m, &bits, sizeof m);
	t = (m - 1) / (m + 1);
	t2 = t * t;
	return (float) e * 0.693147182f +
		   2 * t * (1 + t2 * (0.333333333f + t2 * (0.2f + t2 * (0.142857143f + t2 * 0.11111111f))));
}

/* Signs of one row against all columns, and the threshold each pair is measured with. */
static void
relate(struct hash_similarity_private *p, const hash_similarity *s, size_t row, float log_alpha, float log_beta)
{
	const hash_labels *labels = p->labels;

	if (labels->single != NULL)
	{
		size_t j = 0;

		for (size_t r = 0; r < p->run_count; r++)
		{
			bool same = p->runs[r].label == labels->single[row];
			float sign = same ? 1 : -1, threshold = same ? log_alpha : log_beta;

			for (; j < p->runs[r].end; j++)
			{
				p->sign[j] = sign;
				p->threshold[j] = threshold;
			}
		}
		return;
	}
	for (size_t j = 0; j < s->columns; j++)
	{
		bool same = hash_labels_share(labels, row, labels, s->column[j]);

		p->sign[j] = same ? 1 : -1;
		p->threshold[j] = same ? log_alpha : log_beta;
	}
}

/* Entries before balancing. A row without a label: zeros. */
static void
raw_tile(hash_similarity *s, size_t first, size_t count, float *tile)
{
	struct hash_similarity_private *p = s->private;
	size_t m = s->columns, d = p->dim;
	float smooth = (float) (1.0 / (double) s->active);
	float log_alpha = (float) log(p->options.alpha + smooth), log_beta = (float) log(p->options.beta + smooth);
	bool stored = p->kept != NULL;

	if (!stored)
	{
		for (size_t i = 0; i < count; i++)
			normalise(p->dim, p->features + (first + i) * d, p->row_features + i * d);
		nn_gemm(false, true, count, m, d, 1, p->row_features, d, p->column_features, d, 0, tile, m);
	}
	for (size_t i = 0; i < count; i++)
	{
		float *restrict t = tile + i * m;
		const float *restrict sign = p->sign, *restrict threshold = p->threshold;

		if (hash_labels_empty(p->labels, first + i))
		{
			memset(t, 0, m * sizeof *t);
			continue;
		}
		relate(p, s, first + i, log_alpha, log_beta);
		if (stored)
		{
			const uint8_t *restrict kept = p->kept + (first + i) * m;

			for (size_t j = 0; j < m; j++)
				t[j] = sign[j] * (1 + kept[j] * (1.0f / 255));
			continue;
		}
		if (p->position[first + i] > 0)
			t[p->position[first + i] - 1] =
				1; /* an image is at distance 0 from itself, whatever rounding or a zero feature says */
		for (size_t j = 0; j < m; j++)
		{
			float distance = 1 - t[j];
			float e;

			distance = distance < 0 ? 0 : distance > 2 ? 2 : distance;
			e = sign[j] * (threshold[j] - fast_log(distance + smooth));
			e = e < 0 ? 0 : e > 1 ? 1 : e;
			t[j] = sign[j] * (1 + e);
		}
	}
}

static void
balance_tile(hash_similarity *s, size_t first, size_t count, float *tile)
{
	struct hash_similarity_private *p = s->private;
	size_t m = s->columns;
	float ratio = (float) s->ratio;

	for (size_t i = 0; i < count; i++)
	{
		float *restrict t = tile + i * m;

		if (p->options.balance == HASH_BALANCE_RATIO)
		{
			for (size_t j = 0; j < m; j++)
				t[j] = t[j] < 0 ? t[j] * ratio : t[j];
		}
		else if (p->options.balance == HASH_BALANCE_CENTER && !hash_labels_empty(p->labels, first + i))
		{
			for (size_t j = 0; j < m; j++)
				t[j] = (float) (t[j] - p->row_means[first + i] - p->row_means[s->column[j]] + p->mean);
		}
	}
}

eddh_code
hash_similarity_tile(hash_similarity *similarity, size_t first, size_t count, float *tile, eddh_error *err)
{
	size_t step = similarity->private->tile_rows;

	for (size_t i = 0; i < count; i += step)
	{
		size_t n = count - i < step ? count - i : step;

		raw_tile(similarity, first + i, n, tile + i * similarity->columns);
		balance_tile(similarity, first + i, n, tile + i * similarity->columns);
	}
	return EDDH_OK;
}

/* ---- The pass that sums ---- */

typedef struct totals
{
	double positive, negative, positive_square, negative_square;
	double *
		negatives; /* rows x classes, the share of negative entries in class_sums; NULL where every row has one label */
} totals;

/* One row's entries where columns lie in runs of one class: entries of a run have one sign and one weight. */
static double
sum_runs(hash_similarity *s, size_t row, const float *t, totals *sums)
{
	struct hash_similarity_private *p = s->private;
	double *class_sums = s->class_sums + row * p->labels->classes;
	double total = 0;
	size_t j = 0;

	for (size_t r = 0; r < p->run_count; r++)
	{
		double sum[4] = { 0 }, square[4] = { 0 };
		double weight = s->weight[j], value, squares;

		for (; j + 4 <= p->runs[r].end; j += 4)
		{
			for (int l = 0; l < 4; l++)
			{
				double x = t[j + l];

				sum[l] += x;
				square[l] += x * x;
			}
		}
		for (; j < p->runs[r].end; j++)
		{
			sum[0] += t[j];
			square[0] += (double) t[j] * t[j];
		}
		value = weight * ((sum[0] + sum[1]) + (sum[2] + sum[3]));
		squares = weight * ((square[0] + square[1]) + (square[2] + square[3]));
		class_sums[p->runs[r].label] = value;
		total += value;
		*(value > 0 ? &sums->positive : &sums->negative) += value;
		*(value > 0 ? &sums->positive_square : &sums->negative_square) += squares;
	}
	return total;
}

/* One row's entries where columns may have several classes. */
static double
sum_entries(hash_similarity *s, size_t row, const float *t, totals *sums)
{
	const hash_labels *labels = s->private->labels;
	double *class_sums = s->class_sums + row * labels->classes;
	double *negatives = sums->negatives + row * labels->classes;
	double total = 0;

	for (size_t j = 0; j < s->columns; j++)
	{
		double value = t[j] * s->weight[j];
		uint32_t column = s->column[j];

		total += value;
		*(value > 0 ? &sums->positive : &sums->negative) += value;
		*(value > 0 ? &sums->positive_square : &sums->negative_square) += value * t[j];
		for (int c = hash_labels_next(labels, column, 0); c >= 0; c = hash_labels_next(labels, column, c + 1))
		{
			class_sums[c] += value;
			if (value < 0)
				negatives[c] += value;
		}
	}
	return total;
}

static void
keep_row(hash_similarity *s, float *restrict t, uint8_t *restrict kept)
{
	for (size_t j = 0; j < s->columns; j++)
	{
		kept[j] = (uint8_t) (255 * (fabsf(t[j]) - 1) + 0.5f);
		t[j] = copysignf(1 + kept[j] * (1.0f / 255), t[j]);
	}
}

/* M of the doubly centred S; the estimate of its square sum is exact where all columns are taken. */
static void
center_sums(hash_similarity *s, double n)
{
	struct hash_similarity_private *p = s->private;
	int classes = p->labels->classes;
	double *mean_sums = p->class_size + classes; /* per class: weighted sum of its columns' means */
	double squares = 0;

	for (size_t i = 0; i < s->rows; i++)
	{
		p->mean += p->row_means[i] / n;
		squares += p->row_means[i] * p->row_means[i];
	}
	s->square = s->square - 2 * n * squares + n * n * p->mean * p->mean;
	for (size_t j = 0; j < s->columns; j++)
	{
		uint32_t row = s->column[j];

		for (int c = hash_labels_next(p->labels, row, 0); c >= 0; c = hash_labels_next(p->labels, row, c + 1))
		{
			p->class_size[c] += s->weight[j];
			mean_sums[c] += s->weight[j] * p->row_means[row];
		}
	}
	for (size_t i = 0; i < s->rows; i++)
	{
		if (hash_labels_empty(p->labels, i))
			continue;
		for (int c = 0; c < classes; c++)
			s->class_sums[i * classes + c] += (p->mean - p->row_means[i]) * p->class_size[c] - mean_sums[c];
	}
}

/* Turns sums of raw entries into sums of balanced ones. */
static void
balance_sums(hash_similarity *s, const totals *sums)
{
	struct hash_similarity_private *p = s->private;
	int classes = p->labels->classes;

	s->positive = sums->positive;
	s->negative = sums->negative;
	s->ratio = 1;
	if (p->options.balance == HASH_BALANCE_RATIO && sums->negative < 0 && sums->positive > 0)
		s->ratio = sums->positive / -sums->negative;
	s->square = sums->positive_square + s->ratio * s->ratio * sums->negative_square;
	if (p->options.balance == HASH_BALANCE_RATIO)
	{
		for (size_t i = 0; i < s->rows * classes; i++)
		{
			double *sum = &s->class_sums[i];

			if (sums->negatives == NULL)
				*sum = *sum < 0 ? *sum * s->ratio : *sum;
			else
				*sum += (s->ratio - 1) * sums->negatives[i];
		}
	}
	else if (p->options.balance == HASH_BALANCE_CENTER)
		center_sums(s, (double) s->active);
}

/* ---- Choosing columns ---- */

/* The stratum of each row: its rarest label, -1 without labels. sizes: classes. */
static void
stratify(const hash_labels *labels, int32_t *stratum, size_t *frequency, size_t *sizes)
{
	for (size_t i = 0; i < labels->rows; i++)
	{
		for (int c = hash_labels_next(labels, i, 0); c >= 0; c = hash_labels_next(labels, i, c + 1))
			frequency[c]++;
	}
	for (size_t i = 0; i < labels->rows; i++)
	{
		stratum[i] = -1;
		for (int c = hash_labels_next(labels, i, 0); c >= 0; c = hash_labels_next(labels, i, c + 1))
		{
			if (stratum[i] < 0 || frequency[c] < frequency[stratum[i]])
				stratum[i] = c;
		}
		if (stratum[i] >= 0)
			sizes[stratum[i]]++;
	}
}

/* Fills column, weight, runs and position; arrays are as long as there are active rows. */
static eddh_code
choose_columns(hash_similarity *s, eddh_error *err)
{
	struct hash_similarity_private *p = s->private;
	const hash_labels *labels = p->labels;
	size_t *frequency = hash_alloc(labels->classes, 2, sizeof *frequency);
	int32_t *stratum = eddh_bulk_alloc(s->bulk, s->rows, 1, sizeof *stratum);
	uint32_t *members = eddh_bulk_alloc(s->bulk, s->rows, 1, sizeof *members);
	size_t *sizes, *starts = hash_alloc((size_t) labels->classes + 1, 1, sizeof *starts);
	size_t sample = p->options.sample;
	eddh_rng rng;

	if (frequency == NULL || stratum == NULL || members == NULL || starts == NULL)
	{
		free(frequency);
		eddh_bulk_free(s->bulk, stratum);
		eddh_bulk_free(s->bulk, members);
		free(starts);
		return hash_no_memory(err, "similarities");
	}
	sizes = frequency + labels->classes;
	stratify(labels, stratum, frequency, sizes);
	for (int c = 0; c < labels->classes; c++)
		starts[c + 1] = starts[c] + sizes[c];
	for (size_t i = 0; i < s->rows; i++)
	{
		if (stratum[i] >= 0)
			members[starts[stratum[i]]++] = i;
	}
	eddh_rng_seed_stream(&rng, p->options.seed, UINT64_C(0x5A3B));
	for (int c = 0; c < labels->classes; c++)
	{
		size_t size = sizes[c], take = size;
		uint32_t *own = members + starts[c] - size;

		if (size == 0)
			continue;
		if (sample > 0 && sample < s->active)
		{
			/* At least 8 of each, or a rare class would be seen through one image. */
			take = (size_t) ((double) sample * (double) size / (double) s->active + 0.5);
			take = take < 8 ? 8 : take;
			take = take < size ? take : size;
			eddh_rng_shuffle(&rng, size, own);
		}
		for (size_t i = 0; i < take; i++)
		{
			s->weight[s->columns] = (double) size / (double) take;
			s->column[s->columns] = own[i];
			p->position[own[i]] = s->columns + 1;
			s->columns++;
		}
		p->runs[p->run_count].label = c;
		p->runs[p->run_count].end = s->columns;
		p->run_count++;
	}
	free(frequency);
	eddh_bulk_free(s->bulk, stratum);
	eddh_bulk_free(s->bulk, members);
	free(starts);
	return EDDH_OK;
}

/* ---- Life ---- */

static eddh_code
allocate(hash_similarity *s, int dim, eddh_error *err)
{
	struct hash_similarity_private *p = s->private;
	const eddh_bulk *bulk = s->bulk;
	int classes = p->labels->classes;
	eddh_code code;

	s->column = eddh_bulk_alloc(bulk, s->active, 1, sizeof *s->column);
	s->weight = eddh_bulk_alloc(bulk, s->active, 1, sizeof *s->weight);
	s->class_sums = eddh_bulk_alloc(bulk, s->rows, classes, sizeof *s->class_sums);
	p->position = eddh_bulk_alloc(bulk, s->rows, 1, sizeof *p->position);
	p->runs = hash_alloc(classes, 1, sizeof *p->runs);
	p->class_size = hash_alloc(classes, 2, sizeof *p->class_size);
	if (s->column == NULL || s->weight == NULL || s->class_sums == NULL || p->position == NULL || p->runs == NULL ||
		p->class_size == NULL)
		return hash_no_memory(err, "similarities");
	code = choose_columns(s, err);
	if (code != EDDH_OK)
		return code;
	p->tile_rows = TILE_FLOATS / s->columns;
	p->tile_rows = p->tile_rows < 16 ? 16 : p->tile_rows > 512 ? 512 : p->tile_rows;
	p->column_features = eddh_bulk_alloc(bulk, s->columns, dim, sizeof *p->column_features);
	p->row_features = hash_alloc(p->tile_rows, dim, sizeof *p->row_features);
	p->tile = hash_alloc(p->tile_rows, s->columns, sizeof *p->tile);
	p->sign = hash_alloc(s->columns, 1, sizeof *p->sign);
	p->threshold = hash_alloc(s->columns, 1, sizeof *p->threshold);
	if (p->column_features == NULL || p->row_features == NULL || p->tile == NULL || p->sign == NULL ||
		p->threshold == NULL)
		return hash_no_memory(err, "similarities");
	if (p->options.balance == HASH_BALANCE_CENTER)
	{
		p->row_means = eddh_bulk_alloc(bulk, s->rows, 1, sizeof *p->row_means);
		if (p->row_means == NULL)
			return hash_no_memory(err, "similarities");
	}
	return EDDH_OK;
}

/* The pass over all tiles. */
static eddh_code
sum_all(hash_similarity *s, const eddh_stop *stop, eddh_error *err)
{
	struct hash_similarity_private *p = s->private;
	const eddh_bulk *bulk = s->bulk;
	bool runs = p->labels->single != NULL;
	totals sums = { 0 };
	uint8_t *kept = NULL;

	if (p->options.keep)
	{
		kept = eddh_bulk_alloc(bulk, s->rows, s->columns, sizeof *kept);
		if (kept == NULL)
			return hash_no_memory(err, "kept similarities");
	}
	if (!runs)
	{
		sums.negatives = eddh_bulk_alloc(bulk, s->rows, p->labels->classes, sizeof *sums.negatives);
		if (sums.negatives == NULL)
		{
			eddh_bulk_free(bulk, kept);
			return hash_no_memory(err, "similarities");
		}
	}
	for (size_t first = 0; first < s->rows; first += p->tile_rows)
	{
		size_t count = s->rows - first < p->tile_rows ? s->rows - first : p->tile_rows;

		if (eddh_stopped(stop))
		{
			eddh_bulk_free(bulk, kept);
			eddh_bulk_free(bulk, sums.negatives);
			return eddh_fail(err, EDDH_STOPPED, "stopped");
		}
		raw_tile(s, first, count, p->tile);
		for (size_t i = 0; i < count; i++)
		{
			float *t = p->tile + i * s->columns;
			double total;

			if (hash_labels_empty(p->labels, first + i))
				continue;
			if (kept != NULL)
				keep_row(s, t, kept + (first + i) * s->columns);
			total = runs ? sum_runs(s, first + i, t, &sums) : sum_entries(s, first + i, t, &sums);
			if (p->row_means != NULL)
				p->row_means[first + i] = total / (double) s->active;
		}
	}
	balance_sums(s, &sums);
	eddh_bulk_free(bulk, sums.negatives);
	p->kept = kept;
	return EDDH_OK;
}

eddh_code
hash_similarity_create(size_t rows, int dim, const float *features, const hash_labels *labels,
					   const hash_similarity_options *options, const eddh_stop *stop, hash_similarity **out,
					   eddh_error *err)
{
	hash_similarity *s = calloc(1, sizeof *s);
	struct hash_similarity_private *p = calloc(1, sizeof *p);
	eddh_code code;

	*out = NULL;
	if (s == NULL || p == NULL)
	{
		free(s);
		free(p);
		return hash_no_memory(err, "similarities");
	}
	s->rows = rows;
	s->bulk = labels->bulk;
	s->private = p;
	p->dim = dim;
	p->features = features;
	p->labels = labels;
	p->options = *options;
	for (size_t i = 0; i < rows; i++)
		s->active += !hash_labels_empty(labels, i);
	if (s->active == 0 || rows > UINT32_MAX - 1)
		code = eddh_fail(err, EDDH_BAD_ARGUMENT, "similarities need rows with labels, at most %u", UINT32_MAX - 1);
	else
		code = check_finite(rows, dim, features, err);
	if (code == EDDH_OK)
		code = allocate(s, dim, err);
	if (code == EDDH_OK)
	{
		for (size_t j = 0; j < s->columns; j++)
			normalise(dim, features + (size_t) s->column[j] * dim, p->column_features + j * dim);
		code = sum_all(s, stop, err);
	}
	if (code != EDDH_OK)
	{
		hash_similarity_free(s);
		return code;
	}
	*out = s;
	return EDDH_OK;
}

void
hash_similarity_free(hash_similarity *similarity)
{
	struct hash_similarity_private *p;
	const eddh_bulk *bulk;

	if (similarity == NULL)
		return;
	p = similarity->private;
	bulk = similarity->bulk;
	eddh_bulk_free(bulk, similarity->column);
	eddh_bulk_free(bulk, similarity->weight);
	eddh_bulk_free(bulk, similarity->class_sums);
	eddh_bulk_free(bulk, p->column_features);
	free(p->row_features);
	free(p->tile);
	free(p->sign);
	free(p->threshold);
	eddh_bulk_free(bulk, p->position);
	free(p->runs);
	eddh_bulk_free(bulk, p->kept);
	eddh_bulk_free(bulk, p->row_means);
	free(p->class_size);
	free(p);
	free(similarity);
}
