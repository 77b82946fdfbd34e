/*
 * conv.c: convolution as matrix products over tiles of columns.
 *
 * The columns of all images of the batch stand side by side, n * oh * ow of them; a tile is either some of one image's columns or all columns of
 * several images, as many as keep the tile in the cache. So small pictures still give the matrix product long rows.
 */
#include "nn/conv.h"

#include <string.h>

#include "nn/gemm.h"
#include "nn/vector.h"
#include "nn/window.h"

/* Floats of a tile of columns: about 1 MB, what a core's second-level cache holds. */
#define TILE_FLOATS ((size_t) 1 << 18)
#define TILE_MIN    ((size_t) 128)
#define TILE_MAX    ((size_t) 4096)

typedef struct conv_shape
{
	size_t rows;      /* of the matrix of columns: c/groups * kh * kw */
	size_t kg;        /* outputs of a group */
	size_t in, out;   /* pixels of an input, an output plane */
	size_t tile;      /* columns that fit */
	size_t per_image; /* tiles of one image, if it does not fit in one */
	size_t images;    /* images of a tile, if several do */
} conv_shape;

static size_t
round_up(size_t value, size_t unit)
{
	return (value + unit - 1) / unit * unit;
}

static conv_shape
shape_of(const nn_window *g, int k, int groups)
{
	conv_shape s;

	s.rows = (size_t) (g->c / groups) * g->kh * g->kw;
	s.kg = (size_t) (k / groups);
	s.in = (size_t) g->h * g->w;
	s.out = (size_t) g->oh * g->ow;
	s.tile = TILE_FLOATS / s.rows;
	if (s.rows > (1 << 16))
		s.tile = 16; /* the weights are larger still */
	else
		s.tile = s.tile < TILE_MIN ? TILE_MIN : s.tile > TILE_MAX ? TILE_MAX : s.tile;
	s.per_image = (s.out + s.tile - 1) / s.tile;
	s.images = s.per_image > 1 ? 1 : s.tile / s.out;
	if (s.per_image > 1)
		s.tile = round_up((s.out + s.per_image - 1) / s.per_image, 16);
	return s;
}

/* Without columns, where one of the two ways to do so fits. */
static bool
fits_without_columns(const nn_window *g, int k, int groups)
{
	return nn_conv_winograd_fits(g, k, groups) || nn_conv_direct_fits(g, k, groups);
}

static size_t
scratch_without_columns(const nn_window *g, int k, int groups)
{
	return nn_conv_winograd_fits(g, k, groups) ? nn_conv_winograd_scratch(g, k, groups)
											   : nn_conv_direct_scratch(g, k, groups);
}

static void
without_columns(const nn_window *g, const nn_strides *at, int k, int groups, int n, const float *x, const float *w,
				const float *b, nn_act act, float *y, float *scratch)
{
	(nn_conv_winograd_fits(g, k, groups) ? nn_conv_winograd : nn_conv_direct)(g, at, k, groups, n, x, w, b, act, y,
																			  scratch);
}

bool
nn_conv_strided_fits(const nn_window *g, int k, int groups)
{
	return nn_conv_is_depthwise(g, groups) ? nn_depthwise_rows_fits(g) : fits_without_columns(g, k, groups);
}

bool
nn_conv_wants_whole_planes(const nn_window *g, int k, int groups)
{
	return !nn_conv_is_depthwise(g, groups) && nn_conv_winograd_fits(g, k, groups);
}

void
nn_conv_forward_strided(const nn_window *g, const nn_strides *at, int k, int groups, int n, const float *x,
						const float *w, const float *b, nn_act act, float *y, float *scratch)
{
	if (nn_conv_is_depthwise(g, groups))
		nn_depthwise_rows(g, at, k, n, x, w, b, act, y);
	else
		without_columns(g, at, k, groups, n, x, w, b, act, y, scratch);
}

/*
 * With stride 1 the gradient of the input is itself a convolution: of dy with the kernels turned round, channels and outputs exchanged. Fills *t with
 * its window; false where that, or the direct way, is not possible.
 */
static bool
gradient_window(const nn_window *g, int k, int groups, nn_window *t)
{
	int reach_y = (g->kh - 1) * g->dh;
	int reach_x = (g->kw - 1) * g->dw;

	*t = *g;
	t->c = k;
	t->h = g->oh;
	t->w = g->ow;
	t->ph0 = reach_y - g->ph0;
	t->ph1 = reach_y - g->ph1;
	t->pw0 = reach_x - g->pw0;
	t->pw1 = reach_x - g->pw1;
	return g->sh == 1 && g->sw == 1 && t->ph0 >= 0 && t->ph1 >= 0 && t->pw0 >= 0 && t->pw1 >= 0 &&
		   nn_window_output(t, false) && t->oh == g->h && t->ow == g->w && fits_without_columns(t, g->c, groups);
}

static size_t
larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

size_t
nn_conv_scratch(const nn_window *g, int k, int groups, bool training)
{
	bool direct = fits_without_columns(g, k, groups);
	nn_window t;
	conv_shape s;
	size_t size;

	if (nn_conv_is_depthwise(g, groups))
		return nn_depthwise_scratch(g, training);
	if (direct && !training)
		return scratch_without_columns(g, k, groups);
	s = shape_of(g, k, groups);
	size = round_up(s.rows * s.tile, 16) + round_up(s.kg * s.tile, 16);
	if (direct)
		size = larger(size, scratch_without_columns(g, k, groups));
	if (gradient_window(g, k, groups, &t))
		size = larger(size, round_up(k * s.rows, 16) + scratch_without_columns(&t, g->c, groups));
	return size;
}

/* Columns first .. first + count - 1 of `images` images (of one image, if not all its columns) for one group. */
static void
columns(const nn_window *g, const conv_shape *s, int cg, const float *x, size_t images, size_t first, size_t count,
		float *col, size_t ld)
{
	for (size_t i = 0; i < images; i++)
		nn_im2col(g, cg, x + i * g->c * s->in, first, count, col + i * s->out, ld);
}

void
nn_conv_forward(const nn_window *g, int k, int groups, int n, const float *x, const float *w, const float *b,
				nn_act act, float *y, float *scratch)
{
	conv_shape s;
	bool pointwise;
	int cg;
	float *col, *part;

	if (nn_conv_is_depthwise(g, groups))
	{
		nn_depthwise_forward(g, k, n, x, w, b, act, y, scratch);
		return;
	}
	if (fits_without_columns(g, k, groups))
	{
		nn_strides dense = nn_strides_dense(g, k);

		without_columns(g, &dense, k, groups, n, x, w, b, act, y, scratch);
		return;
	}
	s = shape_of(g, k, groups);
	cg = g->c / groups;
	pointwise = nn_conv_is_pointwise(g);
	col = scratch;
	part = scratch + round_up(s.rows * s.tile, 16);

	for (size_t i = 0; i < (size_t) n;)
	{
		size_t images = s.images < (size_t) n - i ? s.images : (size_t) n - i;
		const float *xi = x + i * g->c * s.in;
		float *yi = y + i * k * s.out;

		for (int group = 0; group < groups; group++)
		{
			const float *xg = xi + (size_t) group * cg * s.in;
			const float *wg = w + (size_t) group * s.kg * s.rows;
			const float *bg = b != NULL ? b + (size_t) group * s.kg : NULL;
			float *yg = yi + (size_t) group * s.kg * s.out;

			if (images == 1)
				for (size_t first = 0; first < s.out; first += s.tile)
				{
					size_t count = s.out - first < s.tile ? s.out - first : s.tile;

					if (pointwise)
						nn_gemm(false, false, s.kg, count, s.rows, 1.0f, wg, s.rows, xg + first, s.in, 0.0f, yg + first,
								s.out);
					else
					{
						columns(g, &s, cg, xg, 1, first, count, col, count);
						nn_gemm(false, false, s.kg, count, s.rows, 1.0f, wg, s.rows, col, count, 0.0f, yg + first,
								s.out);
					}
					nn_bias_act(s.kg, count, yg + first, s.out, bg, act, yg + first, s.out);
				}
			else
			{
				size_t count = images * s.out;

				columns(g, &s, cg, xg, images, 0, s.out, col, count);
				nn_gemm(false, false, s.kg, count, s.rows, 1.0f, wg, s.rows, col, count, 0.0f, part, count);
				for (size_t j = 0; j < images; j++)
					nn_bias_act(s.kg, s.out, part + j * s.out, count, bg, act, yg + j * k * s.out, s.out);
			}
		}
		i += images;
	}
}

/* One tile of the backward pass: dyt (kg x count, row stride ldy). */
static void
backward_tile(const nn_window *g, const conv_shape *s, int cg, const float *x, const float *w, const float *dyt,
			  size_t ldy, size_t images, size_t first, size_t count, float *dx, float *dw, float *col)
{
	size_t total = images * count;

	if (dw != NULL)
	{
		columns(g, s, cg, x, images, first, count, col, total);
		nn_gemm(false, true, s->kg, s->rows, total, 1.0f, dyt, ldy, col, total, 1.0f, dw, s->rows);
	}
	if (dx != NULL)
	{
		nn_gemm(true, false, s->rows, total, s->kg, 1.0f, w, s->rows, dyt, ldy, 0.0f, col, total);
		for (size_t j = 0; j < images; j++)
			nn_col2im(g, cg, col + j * count, first, count, total, dx + j * g->c * s->in);
	}
}

/* dx as the convolution that gradient_window found. */
static void
input_gradient(const nn_window *t, const nn_window *g, int k, int groups, int n, const float *w, const float *dy,
			   float *dx, float *scratch)
{
	const nn_act none = { NN_ACT_NONE, 0.0f, 0.0f };
	size_t taps = (size_t) g->kh * g->kw;
	size_t cg = (size_t) (g->c / groups);
	size_t kg = (size_t) (k / groups);
	nn_strides dense = nn_strides_dense(t, g->c);
	float *turned = scratch;

	for (size_t o = 0; o < (size_t) k; o++)
		for (size_t c = 0; c < cg; c++, w += taps)
			for (size_t tap = 0; tap < taps; tap++)
				turned[((o / kg * cg + c) * kg + o % kg) * taps + taps - 1 - tap] = w[tap];
	without_columns(t, &dense, g->c, groups, n, dy, turned, NULL, none, dx, scratch + round_up(k * cg * taps, 16));
}

void
nn_conv_backward(const nn_window *g, int k, int groups, int n, const float *x, const float *w, const float *dy,
				 float *dx, float *dw, float *db, float *scratch)
{
	conv_shape s = shape_of(g, k, groups);
	int cg = g->c / groups;
	nn_window t;

	if (db != NULL)
		for (size_t i = 0; i < (size_t) n; i++)
			for (size_t j = 0; j < (size_t) k; j++)
				db[j] += nn_sum(s.out, dy + (i * k + j) * s.out);
	if (dx != NULL && !nn_conv_is_depthwise(g, groups) && gradient_window(g, k, groups, &t))
	{
		input_gradient(&t, g, k, groups, n, w, dy, dx, scratch);
		dx = NULL;
	}
	if (dx != NULL)
		memset(dx, 0, (size_t) n * g->c * s.in * sizeof *dx);
	if (nn_conv_is_depthwise(g, groups))
	{
		nn_depthwise_backward(g, k, n, x, w, dy, dx, dw, scratch);
		return;
	}
	if (dx == NULL && dw == NULL)
		return;
	for (size_t i = 0; i < (size_t) n;)
	{
		size_t images = s.images < (size_t) n - i ? s.images : (size_t) n - i;
		float *col = scratch;
		float *part = scratch + round_up(s.rows * s.tile, 16);

		for (int group = 0; group < groups; group++)
		{
			size_t at = (i * g->c + (size_t) group * cg) * s.in;
			const float *dyg = dy + (i * k + (size_t) group * s.kg) * s.out;
			const float *wg = w + (size_t) group * s.kg * s.rows;
			float *dxg = dx != NULL ? dx + at : NULL;
			float *dwg = dw != NULL ? dw + (size_t) group * s.kg * s.rows : NULL;

			if (images == 1)
				for (size_t first = 0; first < s.out; first += s.tile)
				{
					size_t count = s.out - first < s.tile ? s.out - first : s.tile;

					backward_tile(g, &s, cg, x + at, wg, dyg + first, s.out, 1, first, count, dxg, dwg, col);
				}
			else
			{
				size_t ld = images * s.out;

				for (size_t j = 0; j < images; j++)
					for (size_t row = 0; row < s.kg; row++)
						memcpy(part + row * ld + j * s.out, dyg + (j * k + row) * s.out, s.out * sizeof *part);
				backward_tile(g, &s, cg, x + at, wg, part, ld, images, 0, s.out, dxg, dwg, col);
			}
		}
		i += images;
	}
}
