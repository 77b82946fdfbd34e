/* resample.c: separable, antialiased, integer bicubic resampling of a stream of rows. */
#include "image/resample.h"

#include <stdlib.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Fixed point: weights have 14 bits of fraction, what lies between the two passes 6; both fit 16 bits with their overshoot. */
#define WEIGHT_BITS 14
#define MIDDLE_BITS 6

/* For each output position: which inputs it takes, and how much of each. Weights of a position add up to 1 exactly. */
typedef struct axis
{
	uint32_t n;
	uint32_t *start; /* first input */
	uint32_t *count; /* of inputs; > 0 */
	size_t *offset;  /* of its first weight */
	int16_t *weight;
} axis;

struct image_resampler
{
	int size;
	uint32_t in_width, in_height;
	uint32_t next_row;   /* to be fed */
	uint32_t first_open; /* output rows before this one have all their inputs */
	axis horizontal;
	axis vertical;
	int16_t *middle; /* one input row, resampled horizontally: size x 3, MIDDLE_BITS */
	int32_t *sums;   /* the output: size x size x 3, MIDDLE_BITS + WEIGHT_BITS */
#ifdef __SSE2__
	__m128i *pairs; /* one input row, as pair_row makes it */
#endif
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

/*
 * Weights for output positions first .. first + n - 1 of an axis that resizes `in` samples to `out`.
 *
 * With centres at half-integers, input j lies (2j + 1) out - (2i + 1) in from output i, in units of 1 / (2 in) of an output sample when
 * shrinking and 1 / (2 out) of an input sample when growing. With in <= 10^6 and out < 2^32 all products stay below 2^63.
 */
static eddh_code
axis_create(axis *a, uint32_t in, uint32_t out, uint32_t first, uint32_t n, eddh_error *err)
{
	int64_t den = 2 * (int64_t) (in > out ? in : out);
	size_t room = (size_t) (2 * den / out) + 3; /* inputs under the kernel */
	size_t used = 0;
	int64_t *raw;

	if (room > in)
		room = in;
	a->n = n;
	a->start = malloc(n * sizeof(*a->start));
	a->count = malloc(n * sizeof(*a->count));
	a->offset = malloc(n * sizeof(*a->offset));
	a->weight = malloc(n * room * sizeof(*a->weight)); /* n <= 1024, room <= 10^6 */
	raw = malloc(room * sizeof(*raw));
	if (a->start == NULL || a->count == NULL || a->offset == NULL || a->weight == NULL || raw == NULL)
	{
		free(raw);
		return eddh_fail(err, EDDH_NO_MEMORY, "out of memory for %zu weights", (size_t) n * room);
	}

	for (uint32_t k = 0; k < n; k++)
	{
		int64_t centre = (2 * (int64_t) (first + k) + 1) * in;
		int64_t from = floor_div(centre - 2 * den, 2 * (int64_t) out);
		int64_t to = floor_div(centre + 2 * den, 2 * (int64_t) out) + 1;
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
			rounded = floor_div(sum * (2 << WEIGHT_BITS) + total, 2 * total);
			a->weight[used + (size_t) (j - from)] = (int16_t) (rounded - before);
			before = rounded;
		}
		a->start[k] = (uint32_t) from;
		a->count[k] = (uint32_t) (to - from);
		a->offset[k] = used;
		used += (size_t) (to - from);
	}
	free(raw);
	return EDDH_OK;
}

static void
axis_free(axis *a)
{
	free(a->start);
	free(a->count);
	free(a->offset);
	free(a->weight);
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
#ifdef __SSE2__
	r->pairs = malloc((size_t) in_width * sizeof(*r->pairs)); /* in_width <= 10^6 */
	if (r->pairs == NULL)
		code = eddh_fail(err, EDDH_NO_MEMORY, "out of memory for a row of %u pixels", in_width);
	else
#endif
		if (r->middle == NULL || r->sums == NULL)
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
#ifdef __SSE2__
	free(r->pairs);
#endif
	free(r);
}

/*
 * The two passes of a row. On x86-64 eight products at a time (its baseline has the instructions), elsewhere one by one; both compute the same integers.
 */
#ifdef __SSE2__

/* Pixel k of a row beside its right neighbour, channel by channel, as 16-bit numbers: r r' g g' b b' - -. Multiplied with a pair of weights at once. */
static void
pair_row(const uint8_t *rgb, uint32_t width, __m128i *pairs)
{
	const __m128i zero = _mm_setzero_si128();

	uint32_t k = 0;

	for (; k + 2 < width; k++) /* the fourth byte is the next pixel's, and falls into the unused lane */
	{
		int32_t here, next;

		memcpy(&here, rgb + (size_t) k * 3, sizeof(here));
		memcpy(&next, rgb + (size_t) k * 3 + 3, sizeof(next));
		pairs[k] = _mm_unpacklo_epi8(_mm_unpacklo_epi8(_mm_cvtsi32_si128(here), _mm_cvtsi32_si128(next)), zero);
	}
	for (; k < width; k++)
	{
		const uint8_t *p = rgb + (size_t) k * 3;
		const uint8_t *q = k + 1 < width ? p + 3 : p; /* beyond the end: its weight is 0 */
		__m128i here = _mm_cvtsi32_si128(p[0] | p[1] << 8 | p[2] << 16);
		__m128i next = _mm_cvtsi32_si128(q[0] | q[1] << 8 | q[2] << 16);

		pairs[k] = _mm_unpacklo_epi8(_mm_unpacklo_epi8(here, next), zero);
	}
}

static __m128i
weight_pair(int16_t first, int16_t second)
{
	return _mm_set1_epi32((int32_t) ((uint32_t) (uint16_t) first | (uint32_t) (uint16_t) second << 16));
}

static void
resample_row(const image_resampler *r, const uint8_t *rgb, int16_t *restrict out)
{
	const axis *a = &r->horizontal;
	const __m128i half = _mm_set1_epi32(1 << (WEIGHT_BITS - MIDDLE_BITS - 1));

	pair_row(rgb, r->in_width, r->pairs);
	for (uint32_t i = 0; i < a->n; i++)
	{
		const int16_t *weight = a->weight + a->offset[i];
		const __m128i *in = r->pairs + a->start[i];
		uint32_t count = a->count[i];
		__m128i sum = half;
		uint32_t k = 0;

		for (; k + 1 < count; k += 2)
			sum = _mm_add_epi32(sum, _mm_madd_epi16(in[k], weight_pair(weight[k], weight[k + 1])));
		if (k < count)
			sum = _mm_add_epi32(sum, _mm_madd_epi16(in[k], weight_pair(weight[k], 0)));
		sum = _mm_srai_epi32(sum, WEIGHT_BITS - MIDDLE_BITS);
		sum = _mm_packs_epi32(sum, sum);
		out[i * 3] = (int16_t) _mm_extract_epi16(sum, 0);
		out[i * 3 + 1] = (int16_t) _mm_extract_epi16(sum, 1);
		out[i * 3 + 2] = (int16_t) _mm_extract_epi16(sum, 2);
	}
}

static void
add_weighted(int32_t *restrict sums, const int16_t *restrict row, int16_t weight, size_t n)
{
	const __m128i w = _mm_set1_epi16(weight);
	size_t i = 0;

	for (; i + 8 <= n; i += 8)
	{
		__m128i x = _mm_loadu_si128((const __m128i *) (row + i));
		__m128i low = _mm_mullo_epi16(x, w), high = _mm_mulhi_epi16(x, w);
		__m128i *to = (__m128i *) (sums + i);

		_mm_storeu_si128(to, _mm_add_epi32(_mm_loadu_si128(to), _mm_unpacklo_epi16(low, high)));
		_mm_storeu_si128(to + 1, _mm_add_epi32(_mm_loadu_si128(to + 1), _mm_unpackhi_epi16(low, high)));
	}
	for (; i < n; i++)
		sums[i] += (int32_t) weight * row[i];
}

#else

static void
resample_row(const image_resampler *r, const uint8_t *restrict rgb, int16_t *restrict out)
{
	const axis *a = &r->horizontal;
	const int32_t half = 1 << (WEIGHT_BITS - MIDDLE_BITS - 1);

	for (uint32_t i = 0; i < a->n; i++)
	{
		const int16_t *weight = a->weight + a->offset[i];
		const uint8_t *in = rgb + (size_t) a->start[i] * 3;
		uint32_t count = a->count[i];
		int32_t red = half, green = half, blue = half;

		for (uint32_t k = 0; k < count; k++)
		{
			red += weight[k] * in[k * 3];
			green += weight[k] * in[k * 3 + 1];
			blue += weight[k] * in[k * 3 + 2];
		}
		out[i * 3] = (int16_t) (red >> (WEIGHT_BITS - MIDDLE_BITS));
		out[i * 3 + 1] = (int16_t) (green >> (WEIGHT_BITS - MIDDLE_BITS));
		out[i * 3 + 2] = (int16_t) (blue >> (WEIGHT_BITS - MIDDLE_BITS));
	}
}

static void
add_weighted(int32_t *restrict sums, const int16_t *restrict row, int16_t weight, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sums[i] += (int32_t) weight * row[i];
}

#endif

void
image_resampler_add_row(image_resampler *r, const uint8_t *rgb)
{
	const axis *v = &r->vertical;
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
			resample_row(r, rgb, r->middle);
		resampled = true;
		if (y - v->start[i] < v->count[i])
			add_weighted(r->sums + i * row_len, r->middle, v->weight[v->offset[i] + (y - v->start[i])], row_len);
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
	const int32_t half = 1 << (MIDDLE_BITS + WEIGHT_BITS - 1);
	const int32_t *sums = r->sums;

	for (ptrdiff_t y = 0; y < n; y++)
		for (ptrdiff_t x = 0; x < n; x++)
		{
			uint8_t *out = rgb + 3 * (turn[orientation - 1].origin + x * turn[orientation - 1].right +
									  y * turn[orientation - 1].down);

			for (int c = 0; c < 3; c++)
			{
				int32_t value = (*sums++ + half) >> (MIDDLE_BITS + WEIGHT_BITS);

				out[c] = (uint8_t) (value < 0 ? 0 : value > 255 ? 255 : value);
			}
		}
}
