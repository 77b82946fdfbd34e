/* resample.c: separable, antialiased, integer bicubic resampling of a stream of rows. */
#include "image/resample.h"

#include <stdlib.h>
#include <string.h>

#include "image/image.h"
#include "image/rows.h"

struct image_resampler
{
	int size;
	uint32_t in_width, in_height;
	uint32_t next_row;   /* to be fed */
	uint32_t first_open; /* output rows before this one have all their inputs */
	image_axis horizontal;
	image_axis vertical;
	int16_t *middle; /* one input row, resampled horizontally: size x 3, IMAGE_MIDDLE_BITS */
	int32_t *sums;   /* the output: size x size x 3, with the bits of both passes */
	void *room;      /* for image_row_across */
};

static int64_t
floor_div(int64_t a, int64_t b) /* b > 0 */
{
	return a / b - (a % b < 0);
}

/* Keys' kernel with a = -1/2 at t = num / den, with 24 bits of fraction. */
static int64_t
kernel(int64_t num, int64_t den)
{
	int64_t t = ((num < 0 ? -num : num) * 65536 + den / 2) / den; /* 16 bits of fraction; so is `one` */
	int64_t one = 65536;
	int64_t cubed = t * t * t;
	int64_t squared = t * t * one;

	if (t >= 2 * one)
		return 0;
	if (t <= one)
		return (3 * cubed - 5 * squared + 2 * one * one * one) / 2 / (1 << 24);
	return (5 * squared - cubed - 8 * t * one * one + 4 * one * one * one) / 2 / (1 << 24);
}

/* Room for the weights of one output position: inputs whose centres lie inside its kernel, at most, and even. */
static uint32_t
under_kernel(uint32_t in, uint32_t out)
{
	uint64_t most = (4 * (uint64_t) (in > out ? in : out) + out - 1) / out;

	if (in == out)
		return 2;
	return (uint32_t) ((most < in ? most : in) + 1) / 2 * 2;
}

/*
 * Weights for output positions first .. first + n - 1 of an axis that resizes `in` samples to `out`.
 *
 * With centres at half-integers, input j lies (2j + 1) out - (2i + 1) in from output i, in units of 1 / (2 in) of an output sample when
 * shrinking and 1 / (2 out) of an input sample when growing. With in <= 10^6 and out < 2^32 all products stay below 2^63.
 */
static eddh_code
axis_create(image_axis *a, uint32_t in, uint32_t out, uint32_t first, uint32_t n, eddh_error *err)
{
	int64_t den = 2 * (int64_t) (in > out ? in : out);
	uint32_t taps = under_kernel(in, out);
	int64_t *raw;

	a->n = n;
	a->start = malloc(n * sizeof(*a->start));
	a->count = malloc(n * sizeof(*a->count));
	a->taps = taps;
	a->weight = calloc((size_t) n * taps, sizeof(*a->weight)); /* n <= 1024, taps <= 10^6 */
	raw = malloc(taps * sizeof(*raw));
	if (a->start == NULL || a->count == NULL || a->weight == NULL || raw == NULL)
	{
		free(raw);
		return eddh_fail(err, EDDH_NO_MEMORY, "out of memory for %zu weights", (size_t) n * taps);
	}

	for (uint32_t k = 0; k < n; k++)
	{
		int64_t centre = (2 * (int64_t) (first + k) + 1) * in;
		int64_t from = floor_div(centre - 2 * den + out, 2 * (int64_t) out);
		int64_t to = -floor_div(-(centre + 2 * den - out), 2 * (int64_t) out);
		int64_t total = 0, sum = 0, before = 0;

		if (from < 0)
			from = 0;
		if (to > in)
			to = in;
		if (in == out) /* the others weigh nothing */
		{
			from = first + k;
			to = from + 1;
		}
		for (int64_t j = from; j < to; j++)
			total += raw[j - from] = kernel((2 * j + 1) * out - centre, den);
		/* Rounding the running sum, not each weight: they add up to exactly 1, however many and small they are. */
		for (int64_t j = from; j < to; j++)
		{
			int64_t rounded;

			sum += raw[j - from];
			rounded = floor_div(sum * (2 << IMAGE_WEIGHT_BITS) + total, 2 * total);
			a->weight[(size_t) k * taps + (size_t) (j - from)] = (int16_t) (rounded - before);
			before = rounded;
		}
		a->start[k] = (uint32_t) from;
		a->count[k] = (uint32_t) (to - from);
	}
	free(raw);
	return EDDH_OK;
}

static void
axis_free(image_axis *a)
{
	free(a->start);
	free(a->count);
	free(a->weight);
}

uint64_t
image_resampler_memory(const image_plan *plan, uint32_t in_width, uint32_t in_height)
{
	uint64_t size = (uint64_t) plan->size;
	uint32_t taps = under_kernel(in_width, plan->width);
	uint64_t weights = size * ((uint64_t) taps + under_kernel(in_height, plan->height));

	return image_row_room(in_width, taps) + size * 3 * sizeof(int16_t) + size * size * 3 * sizeof(int32_t) +
		   weights * sizeof(int16_t);
}

eddh_code
image_resampler_create(const image_plan *plan, uint32_t in_width, uint32_t in_height, image_resampler **result,
					   eddh_error *err)
{
	image_resampler *r = calloc(1, sizeof(*r));
	uint32_t size = (uint32_t) plan->size;
	eddh_code code;

	*result = NULL;
	if (r == NULL)
		return eddh_fail(err, EDDH_NO_MEMORY, "out of memory for a resampler");
	r->size = plan->size;
	r->in_width = in_width;
	r->in_height = in_height;
	r->middle = malloc((size_t) size * 3 * sizeof(*r->middle));
	r->sums = calloc((size_t) size * size * 3, sizeof(*r->sums));
	r->room = malloc(image_row_room(in_width, under_kernel(in_width, plan->width))); /* in_width <= 10^6 */
	if (r->room == NULL)
		code = eddh_fail(err, EDDH_NO_MEMORY, "out of memory for a row of %u pixels", in_width);
	else if (r->middle == NULL || r->sums == NULL)
		code = eddh_fail(err, EDDH_NO_MEMORY, "out of memory for a picture of %u x %u pixels", size, size);
	else
		code = axis_create(&r->horizontal, in_width, plan->width, plan->left, size, err);
	if (code == EDDH_OK)
		code = axis_create(&r->vertical, in_height, plan->height, plan->top, size, err);
	if (code != EDDH_OK)
	{
		image_resampler_free(r);
		return code;
	}
	*result = r;
	return EDDH_OK;
}

void
image_resampler_free(image_resampler *r)
{
	if (r == NULL)
		return;
	axis_free(&r->horizontal);
	axis_free(&r->vertical);
	free(r->middle);
	free(r->sums);
	free(r->room);
	free(r);
}

void
image_resampler_add_row(image_resampler *r, const uint8_t *rgb)
{
	const image_axis *v = &r->vertical;
	size_t row_len = (size_t) r->size * 3;
	uint32_t y = r->next_row++;
	bool resampled = false;

	if (y >= r->in_height)
		return;
	while (r->first_open < v->n && v->start[r->first_open] + v->count[r->first_open] <= y)
		r->first_open++;
	/* Starts and ends never fall from one output row to the next, so the rows that want this input are neighbours. */
	for (uint32_t i = r->first_open; i < v->n && v->start[i] <= y; i++)
	{
		if (!resampled)
			image_row_across(&r->horizontal, rgb, r->in_width, r->room, r->middle);
		resampled = true;
		if (y - v->start[i] < v->count[i])
			image_row_add(r->sums + i * row_len, r->middle, v->weight[(size_t) i * v->taps + (y - v->start[i])],
						  row_len);
	}
}

void
image_resampler_finish(const image_resampler *r, int orientation, uint8_t *rgb)
{
	ptrdiff_t n = r->size;
	ptrdiff_t last = n - 1;
	/* Where stored pixel (0, 0) goes, and how far apart the neighbours to its right and below land: EXIF 2.32, 4.6.4 A. */
	const struct
	{
		ptrdiff_t origin, right, down;
	} turn[8] = {
		{ 0, 1, n }, { last, -1, n }, { n * n - 1, -1, -n }, { n * last, 1, -n },
		{ 0, n, 1 }, { last, n, -1 }, { n * n - 1, -n, -1 }, { n * last, -n, 1 },
	};
	uint8_t line[3 * IMAGE_MAX_SIDE];

	for (ptrdiff_t y = 0; y < n; y++)
	{
		uint8_t *out = rgb + 3 * (turn[orientation - 1].origin + y * turn[orientation - 1].down);
		ptrdiff_t step = 3 * turn[orientation - 1].right;

		image_row_finish(r->sums + 3 * n * y, line, 3 * (size_t) n);
		if (step == 3)
			memcpy(out, line, 3 * (size_t) n);
		else
			for (ptrdiff_t x = 0; x < n; x++)
				memcpy(out + x * step, line + 3 * x, 3);
	}
}
