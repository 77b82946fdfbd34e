/* resample.c: separable, antialiased, integer bicubic resampling of a stream of rows. */
#include "image/resample.h"

#include <stdlib.h>
#include <string.h>

#include "image/rows.h"

struct image_resampler
{
	const image_kernels *kernels;
	int size;
	uint32_t in_width, in_height;
	uint32_t next_row; /* to be fed */
	uint32_t next_out; /* output row: those before it are written */
	image_axis horizontal;
	image_axis vertical;
	uint32_t held_rows;   /* of middle */
	int16_t *middle;      /* input row y, resampled across, at y % held_rows: size x 3 numbers with IMAGE_MIDDLE_BITS */
	uint8_t *even;        /* an input row that waits for the next: they go across in pairs */
	const int16_t **rows; /* vertical.taps: those of one output row */
	uint8_t *line;        /* an output row, before it is turned */
	uint8_t *rgb;         /* the output */
	/* In it, in bytes: where stored pixel (0, 0) lies, and how far from a pixel those to its right and below. */
	ptrdiff_t origin, right, down;
	void *room; /* for kernels->across */
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
	uint64_t across = under_kernel(in_width, plan->width), down = under_kernel(in_height, plan->height);

	return image_row_room(in_width, (uint32_t) across) + (uint64_t) in_width * 3 +
		   size * (across + down) * sizeof(int16_t) + (across > down ? across : down) * sizeof(int64_t) +
		   (down + 1) * size * 3 * sizeof(int16_t) + down * sizeof(int16_t *) + size * 3;
}

/* EXIF 2.32, 4.6.4 A. */
static void
turn(image_resampler *r, int orientation)
{
	ptrdiff_t n = r->size, last = n - 1;
	const struct
	{
		ptrdiff_t origin, right, down;
	} turns[8] = {
		{ 0, 1, n }, { last, -1, n }, { n * n - 1, -1, -n }, { n * last, 1, -n },
		{ 0, n, 1 }, { last, n, -1 }, { n * n - 1, -n, -1 }, { n * last, -n, 1 },
	};

	r->origin = 3 * turns[orientation - 1].origin;
	r->right = 3 * turns[orientation - 1].right;
	r->down = 3 * turns[orientation - 1].down;
}

eddh_code
image_resampler_create(const image_plan *plan, uint32_t in_width, uint32_t in_height, uint8_t *rgb,
					   image_resampler **result, eddh_error *err)
{
	image_resampler *r = calloc(1, sizeof(*r));
	uint32_t size = (uint32_t) plan->size, taps = under_kernel(in_height, plan->height);
	eddh_code code = EDDH_OK;

	*result = NULL;
	if (r == NULL)
		return eddh_fail(err, EDDH_NO_MEMORY, "out of memory for a resampler");
	r->size = plan->size;
	r->in_width = in_width;
	r->in_height = in_height;
	r->rgb = rgb;
	turn(r, plan->orientation);
	for (int i = 0; image_kernels_at(i) != NULL; i++)
		r->kernels = image_kernels_at(i);
	/* What an output row wants, and one more, since they come in pairs. */
	r->held_rows = taps + 1;
	r->middle = malloc((size_t) r->held_rows * size * 3 * sizeof(*r->middle)); /* taps <= 10^6 */
	r->even = malloc((size_t) in_width * 3);
	r->rows = malloc(taps * sizeof(*r->rows));
	r->line = malloc((size_t) size * 3);
	r->room = malloc(image_row_room(in_width, under_kernel(in_width, plan->width))); /* in_width <= 10^6 */
	if (r->middle == NULL || r->even == NULL || r->rows == NULL || r->line == NULL || r->room == NULL)
		code = eddh_fail(err, EDDH_NO_MEMORY, "out of memory for rows of %u pixels and %u of %u", in_width, taps, size);
	if (code == EDDH_OK)
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
	free(r->even);
	free(r->rows);
	free(r->line);
	free(r->room);
	free(r);
}

static int16_t *
middle_row(const image_resampler *r, uint32_t y)
{
	return r->middle + (size_t) (y % r->held_rows) * 3 * (size_t) r->size;
}

static void
write_row(image_resampler *r, uint32_t i)
{
	const image_axis *v = &r->vertical;
	uint8_t *out = r->rgb + r->origin + (ptrdiff_t) i * r->down;
	bool upright = r->right == 3;
	uint8_t *line = upright ? out : r->line;

	/* What weighs nothing has to be a row all the same. */
	for (uint32_t k = 0; k < v->taps; k++)
		r->rows[k] = middle_row(r, v->start[i] + (k < v->count[i] ? k : 0));
	r->kernels->down(r->rows, v->weight + (size_t) i * v->taps, v->taps, line, 3 * (size_t) r->size);
	for (int x = 0; !upright && x < r->size; x++)
		memcpy(out + x * r->right, line + 3 * x, 3);
}

void
image_resampler_add_row(image_resampler *r, const uint8_t *row)
{
	const image_axis *v = &r->vertical;
	uint32_t y = r->next_row++, first = y - y % 2;
	const uint8_t *pair[2] = { first == y ? row : r->even, row };
	int16_t *middle[2] = { middle_row(r, first), middle_row(r, y) };

	if (y >= r->in_height || r->next_out >= v->n)
		return;
	if (first == y && y + 1 < r->in_height)
	{
		memcpy(r->even, row, (size_t) r->in_width * 3);
		return;
	}
	if (y < v->start[r->next_out])
		return;
	r->kernels->across(&r->horizontal, pair, r->in_width, r->room, middle);
	/* Starts and ends never fall from one output row to the next, and none needs more rows than are held. */
	for (; first <= y; first++)
		while (r->next_out < v->n && first + 1 == v->start[r->next_out] + v->count[r->next_out])
			write_row(r, r->next_out++);
}
