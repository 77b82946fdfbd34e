/*
 * conv_direct.c: convolution as a matrix product whose second factor, the columns, is gathered panel by panel into the first-level cache right
 * before it is used, and whose tiles live in registers (after Goto and van de Geijn 2008, and Dukhan's indirect convolution, arXiv 1907.02129).
 *
 * Outputs are taken in panels of up to PANEL_VECTORS vectors of positions (n, oy, ox), and the sum over (c, ky, kx) in blocks of at most DEPTH. For a
 * block and a panel the columns are packed (depth x panel floats); then for every few output channels a tile is summed, its weights broadcast
 * straight from where they are. Positions of several small images share a panel.
 *
 * The pixels come from the input itself or, where there is padding or a stride, from its phases (phases.h); a panel is then a few segments of
 * contiguous pixels, the same for every row but for a constant.
 */
#include "nn/conv.h"

#include <string.h>

#include "nn/rows.h"
#include "nn/vector.h"

#define DEPTH         ((size_t) 224)
#define PANEL_VECTORS 3
#define MAX_WIDTH     (PANEL_VECTORS * 16) /* floats of a panel */
#define MAX_TILE      8                    /* output channels of a tile */

/* Sums waiting for the next block of depth: about this many floats stay in the second-level cache. */
#define WAITING ((size_t) 1 << 16)

/* Weights of more floats than this do not stay in the first-level cache. */
#define FIRST_CACHE ((size_t) 1 << 12)

/* Positions that a tile of several images should reach, and how much of their phases is kept at once. */
#define MANY_POSITIONS ((size_t) 384)
#define MANY_FLOATS    ((size_t) 1 << 19)

/* A run of positions of a panel that are neighbours in the source (in), or in an output plane (out). */
typedef struct segment
{
	size_t from; /* in the source, or in y */
	int at, len; /* in the panel */
} segment;

typedef struct panel
{
	int vectors;
	int n_in, n_out;
	segment in[MAX_WIDTH];
	segment out[MAX_WIDTH];
} panel;

typedef struct direct
{
	size_t rows;   /* (c, ky, kx) of a group */
	size_t kg;     /* output channels of a group */
	size_t out;    /* positions of an image */
	bool in_place; /* the input is its own only phase */
	nn_phases p;
	size_t images;   /* of a tile */
	size_t waiting;  /* panels whose sums wait together */
	size_t n_source; /* floats: phases of a tile's images */
	size_t n_packed, n_sums;
} direct;

/* One block of depth of one panel for all output channels of a group. */
typedef struct block
{
	const panel *panel;
	size_t rows, depth; /* of all blocks, of this one */
	const float *w;     /* at the block's first column */
	size_t kg;
	float *packed;
	const float *
		source; /* with offsets, where the panel is one segment there: the first tile packs it as it goes; else NULL, and it is packed */
	const size_t *offsets;
	float *sums; /* kg x vectors */
	bool first, last;
	const float *b;
	nn_act act;
	float *y; /* of the group, in the tile's first image */
	size_t y_plane;
} block;

NN_INLINE float
apply(nn_act_kind kind, nn_act act, float v)
{
	if (kind == NN_ACT_RELU)
		return 0.0f > v ? 0.0f : v;
	if (kind == NN_ACT_CLIP)
	{
		v = act.lo > v ? act.lo : v;
		return act.hi < v ? act.hi : v;
	}
	return v;
}

NN_INLINE void
finish_row(nn_act_kind kind, nn_act act, int len, const float *from, float *to)
{
	for (int i = 0; i < len; i++)
		to[i] = apply(kind, act, from[i]);
}

/* Hands over one output channel of a finished panel. */
NN_INLINE void
finish(const block *k, size_t channel, const float *sums)
{
	float *y = k->y + channel * k->y_plane;

	for (int s = 0; s < k->panel->n_out; s++)
	{
		const segment *o = &k->panel->out[s];

		switch (k->act.kind)
		{
			case NN_ACT_NONE:
				finish_row(NN_ACT_NONE, k->act, o->len, sums + o->at, y + o->from);
				break;
			case NN_ACT_RELU:
				finish_row(NN_ACT_RELU, k->act, o->len, sums + o->at, y + o->from);
				break;
			case NN_ACT_CLIP:
				finish_row(NN_ACT_CLIP, k->act, o->len, sums + o->at, y + o->from);
				break;
		}
	}
}

/*
 * pack: depth rows of a panel, row r read at offsets[r] from each segment. Segments are copied in whole vectors, left to right and row after row, so
 * that what a copy writes too much is overwritten by the next; behind the last row there is room for a vector. A copy that would read beyond `end`
 * goes float by float.
 *
 * multiply: all tiles of a block. A tile of fewer channels than TILE repeats its last one and does not keep it.
 */
#define DEFINE_KERNELS(suffix, TARGET, VEC, WIDTH, TILE)                                                                    \
	static TARGET void pack_##suffix(const panel *p, size_t depth, const size_t *offsets, const float *source,              \
									 const float *end, float *to)                                                           \
	{                                                                                                                       \
		int width = p->vectors * WIDTH;                                                                                     \
                                                                                                                            \
		for (size_t r = 0; r < depth; r++, to += width)                                                                     \
			for (int s = 0; s < p->n_in; s++)                                                                               \
			{                                                                                                               \
				const float *from = source + offsets[r] + p->in[s].from;                                                    \
				float *at = to + p->in[s].at;                                                                               \
				int len = p->in[s].len;                                                                                     \
                                                                                                                            \
				/* The next panel's: the same planes, too many for the processor to foresee. */                             \
				if (s == p->n_in - 1)                                                                                       \
					for (int i = 0; i < width; i += 16)                                                                     \
						__builtin_prefetch(from + len + i);                                                                 \
                                                                                                                            \
				if (from + len + WIDTH <= end)                                                                              \
					for (int i = 0; i < len; i += WIDTH)                                                                    \
						*(VEC *) (at + i) = *(const VEC *) (from + i);                                                      \
				else                                                                                                        \
					memcpy(at, from, (size_t) len * sizeof *at);                                                            \
			}                                                                                                               \
	}                                                                                                                       \
                                                                                                                            \
	/* Hands a tile over from its registers (hence unrolled): where the panel's outputs are neighbours in y. */             \
	static TARGET inline __attribute__((always_inline)) void hand_over_##suffix(                                            \
		const int vectors, const block *k, size_t channel, size_t count, VEC acc[TILE][PANEL_VECTORS])                      \
	{                                                                                                                       \
		rows_vec_##suffix lo = rows_all_##suffix(nn_act_least(k->act));                                                     \
		rows_vec_##suffix hi = rows_all_##suffix(nn_act_most(k->act));                                                      \
		rows_mask_##suffix mask = rows_mask_of_##suffix((vectors - 1) * WIDTH, k->panel->out[0].len);                       \
		size_t y_plane = k->y_plane;                                                                                        \
		float *y = k->y + channel * y_plane + k->panel->out[0].from;                                                        \
                                                                                                                            \
		_Pragma("GCC unroll 8") for (size_t i = 0; i < TILE; i++)                                                           \
		{                                                                                                                   \
			if (i >= count)                                                                                                 \
				return;                                                                                                     \
			_Pragma("GCC unroll 3") for (int j = 0; j < vectors; j++)                                                       \
			{                                                                                                               \
				rows_vec_##suffix v = rows_min_##suffix(hi, rows_max_##suffix(lo, (rows_vec_##suffix) acc[i][j]));          \
                                                                                                                            \
				if (j < vectors - 1)                                                                                        \
					*(VEC *) (y + j * WIDTH) = (VEC) v;                                                                     \
				else                                                                                                        \
					rows_store_##suffix(mask, y + j * WIDTH, v);                                                            \
			}                                                                                                               \
			y += y_plane;                                                                                                   \
		}                                                                                                                   \
	}                                                                                                                       \
                                                                                                                            \
	static TARGET inline __attribute__((always_inline)) void tile_##suffix(                                                 \
		const int vectors, const bool packs, const bool fetches, const block *k, size_t channel, size_t count)              \
	{                                                                                                                       \
		float *sums = k->sums + channel * vectors * WIDTH;                                                                  \
		float *packed = k->packed;                                                                                          \
		const float *source = packs ? k->source + k->panel->in[0].from : NULL;                                              \
		const size_t *offsets = k->offsets;                                                                                 \
		size_t depth = k->depth;                                                                                            \
		size_t stride = k->rows;                                                                                            \
		const float *next = k->w + (channel + TILE) * stride;                                                               \
		rows_mask_##suffix mask = rows_mask_of_##suffix((vectors - 1) * WIDTH, k->panel->in[0].len);                        \
		const float *w[TILE];                                                                                               \
		VEC acc[TILE][PANEL_VECTORS];                                                                                       \
                                                                                                                            \
		_Pragma("GCC unroll 8") for (size_t i = 0; i < TILE; i++)                                                           \
		{                                                                                                                   \
			size_t of = channel + (i < count ? i : count - 1);                                                              \
			VEC start = { 0 };                                                                                              \
                                                                                                                            \
			w[i] = k->w + of * stride;                                                                                      \
			if (k->first && k->b != NULL)                                                                                   \
				start = (VEC) rows_all_##suffix(k->b[of]);                                                                  \
			_Pragma("GCC unroll 3") for (int j = 0; j < vectors; j++) acc[i][j] =                                           \
				k->first ? start : *(const VEC *) (sums + ((size_t) i * vectors + j) * WIDTH);                              \
		}                                                                                                                   \
		for (size_t r = 0; r < depth; r++)                                                                                  \
		{                                                                                                                   \
			const float *from = packs ? source + offsets[r] : NULL;                                                         \
			VEC column[PANEL_VECTORS];                                                                                      \
                                                                                                                            \
			/* A line of each of the next tile's rows, every 16 steps: the processor is too late for so many short runs. */ \
			if (fetches)                                                                                                    \
				__builtin_prefetch(next + r % TILE * stride + r / 16 * 16);                                                 \
			for (int j = 0; j < vectors; j++)                                                                               \
			{                                                                                                               \
				float *at = packed + (r * vectors + j) * WIDTH;                                                             \
                                                                                                                            \
				if (!packs)                                                                                                 \
					column[j] = *(const VEC *) at;                                                                          \
				else                                                                                                        \
				{                                                                                                           \
					/* The next panel's: the same planes, too many for the processor to foresee. */                         \
					__builtin_prefetch(from + (vectors + j) * WIDTH);                                                       \
					column[j] = j < vectors - 1 ? *(const VEC *) (from + j * WIDTH)                                         \
												: (VEC) rows_load_##suffix(mask, from + j * WIDTH);                         \
					*(VEC *) at = column[j];                                                                                \
				}                                                                                                           \
			}                                                                                                               \
			_Pragma("GCC unroll 8") for (int i = 0; i < TILE; i++)                                                          \
				_Pragma("GCC unroll 3") for (int j = 0; j < vectors; j++) acc[i][j] += column[j] * w[i][r];                 \
		}                                                                                                                   \
		if (k->last && k->panel->n_out == 1)                                                                                \
		{                                                                                                                   \
			hand_over_##suffix(vectors, k, channel, count, acc);                                                            \
			return;                                                                                                         \
		}                                                                                                                   \
		_Pragma("GCC unroll 8") for (int i = 0; i < TILE; i++)                                                              \
				_Pragma("GCC unroll 3") for (int j = 0; j < vectors; j++) *                                                 \
			(VEC *) (sums + ((size_t) i * vectors + j) * WIDTH) = acc[i][j];                                                \
		if (k->last)                                                                                                        \
			for (size_t i = 0; i < count; i++)                                                                              \
				finish(k, channel + i, sums + i * vectors * WIDTH);                                                         \
	}                                                                                                                       \
                                                                                                                            \
	static TARGET inline                                                                                                    \
		__attribute__((always_inline)) void tiles_##suffix(const int vectors, const bool fetches, const block *k)           \
	{                                                                                                                       \
		size_t channel = 0;                                                                                                 \
                                                                                                                            \
		if (k->source != NULL)                                                                                              \
		{                                                                                                                   \
			tile_##suffix(vectors, true, fetches, k, 0, k->kg < TILE ? k->kg : TILE);                                       \
			channel = TILE;                                                                                                 \
		}                                                                                                                   \
		for (; channel < k->kg; channel += TILE)                                                                            \
			tile_##suffix(vectors, false, fetches, k, channel, k->kg - channel < TILE ? k->kg - channel : TILE);            \
	}                                                                                                                       \
                                                                                                                            \
	static TARGET void multiply_##suffix(const block *k)                                                                    \
	{                                                                                                                       \
		bool fetches = k->kg * k->rows > FIRST_CACHE;                                                                       \
                                                                                                                            \
		if (k->panel->vectors == 1)                                                                                         \
			tiles_##suffix(1, true, k);                                                                                     \
		else if (k->panel->vectors == 2)                                                                                    \
			tiles_##suffix(2, true, k);                                                                                     \
		else if (fetches)                                                                                                   \
			tiles_##suffix(3, true, k);                                                                                     \
		else                                                                                                                \
			tiles_##suffix(3, false, k);                                                                                    \
	}

#if defined(__x86_64__)
DEFINE_KERNELS(avx2, NN_TARGET_AVX2, nn_vec8, 8, 4)
DEFINE_KERNELS(avx512, NN_TARGET_AVX512, nn_vec16, 16, 8)
#endif

typedef struct kernels
{
	int width; /* floats of a vector */
	void (*pack)(const panel *p, size_t depth, const size_t *offsets, const float *source, const float *end, float *to);
	void (*multiply)(const block *k);
} kernels;

static const kernels *
kernels_here(void)
{
#if defined(__x86_64__)
	static const kernels avx2 = { 8, pack_avx2, multiply_avx2 };
	static const kernels avx512 = { 16, pack_avx512, multiply_avx512 };

	switch (nn_simd_level())
	{
		case NN_SIMD_AVX512:
			return &avx512;
		case NN_SIMD_AVX2:
			return &avx2;
		case NN_SIMD_BASE:
			break;
	}
#endif
	return NULL;
}

static size_t
round_up(size_t value, size_t unit)
{
	return (value + unit - 1) / unit * unit;
}

bool
nn_conv_direct_fits(const nn_window *g, int k, int groups)
{
	return kernels_here() != NULL && nn_phases_fit(g) && (double) (g->c / groups) * g->kh * g->kw <= 1 << 16;
}

static direct
plan(const nn_window *g, int k, int groups)
{
	int cg = g->c / groups;
	direct d;

	d.rows = (size_t) cg * g->kh * g->kw;
	d.kg = (size_t) (k / groups);
	d.out = (size_t) g->oh * g->ow;
	d.in_place = g->sh == 1 && g->sw == 1 && g->ph0 == 0 && g->ph1 == 0 && g->pw0 == 0 && g->pw1 == 0;
	d.p = nn_phases_of(g);
	if (d.in_place)
	{
		d.p.pitch = g->w;
		d.p.rows = g->h;
		d.p.size = d.p.all = (size_t) g->h * g->w;
	}
	d.images = d.out >= MANY_POSITIONS ? 1 : (MANY_POSITIONS + d.out - 1) / d.out;
	while (d.images > 1 && d.images * cg * d.p.all > MANY_FLOATS)
		d.images--;
	d.n_source = d.in_place ? 0 : round_up(d.images * cg * d.p.all + NN_PHASE_SLACK, 16);
	d.waiting = d.rows <= DEPTH ? 1 : WAITING / (round_up(d.kg, MAX_TILE) * MAX_WIDTH);
	if (d.waiting < 1)
		d.waiting = 1;
	d.n_packed = (d.rows < DEPTH ? d.rows : DEPTH) * MAX_WIDTH + 16;
	d.n_packed = d.n_packed < d.rows ? round_up(d.rows, 16) : d.n_packed;
	d.n_sums = round_up(d.kg, MAX_TILE) * MAX_WIDTH;
	return d;
}

/* Panels of a tile: few enough to be described on the stack. */
#define MAX_WAITING 64

size_t
nn_conv_direct_scratch(const nn_window *g, int k, int groups)
{
	direct d = plan(g, k, groups);
	size_t waiting = d.waiting < MAX_WAITING ? d.waiting : MAX_WAITING;

	return d.n_source + d.n_packed + waiting * d.n_sums + round_up(d.rows * sizeof(size_t) / sizeof(float), 16);
}

/* Positions first .. first + count - 1 of a tile, as segments. An image's positions are contiguous in y, a row's in the source. */
static void
describe(const nn_window *g, const direct *d, size_t source_image, size_t y_image, size_t first, size_t count,
		 int width, panel *p)
{
	size_t image = first / d->out;
	size_t rest = first % d->out;
	size_t row = rest / (size_t) g->ow;
	size_t column = rest % (size_t) g->ow;
	int at = 0;

	p->vectors = (int) ((count + width - 1) / width);
	p->n_in = p->n_out = 0;
	while (count > 0)
	{
		size_t len = (size_t) g->ow - column < count ? (size_t) g->ow - column : count;
		size_t from = image * source_image + row * d->p.pitch + column;
		segment *in = p->n_in > 0 ? &p->in[p->n_in - 1] : NULL;

		/* Without padding one row follows on the other. */
		if (in != NULL && in->from + in->len == from)
			in->len += (int) len;
		else
			p->in[p->n_in++] = (segment){ from, at, (int) len };
		if (p->n_out > 0 && rest != 0)
			p->out[p->n_out - 1].len += (int) len;
		else
			p->out[p->n_out++] = (segment){ image * y_image + rest, at, (int) len };
		at += (int) len;
		count -= len;
		rest += len;
		column = 0;
		if (++row == (size_t) g->oh)
		{
			row = rest = 0;
			image++;
		}
	}
}

/*
 * A 7x7 image is three vectors and one position more: for that one the sums run over the channels, along the weights, instead of over a vector that is
 * empty but for it.
 */
static bool
has_odd_position(const nn_window *g, const direct *d, size_t images, int width)
{
	return images == 1 && d->out % (size_t) width == 1 && d->out < 8 * (size_t) width && nn_conv_is_pointwise(g);
}

static void
odd_position(const direct *d, const nn_strides *s, size_t at, const float *x, const float *w, const float *b,
			 nn_act act, float *y, float *column)
{
	for (size_t c = 0; c < d->rows; c++)
		column[c] = x[c * s->x_plane + at];
	for (size_t o = 0; o < d->kg; o++)
		y[o * s->y_plane + at] =
			apply(act.kind, act, nn_dot(d->rows, w + o * d->rows, column) + (b != NULL ? b[o] : 0.0f));
}

void
nn_conv_direct(const nn_window *g, const nn_strides *at, int k, int groups, int n, const float *x, const float *w,
			   const float *b, nn_act act, float *y, float *scratch)
{
	const kernels *here = kernels_here();
	direct d = plan(g, k, groups);
	int cg = g->c / groups;
	size_t channel = d.in_place ? at->x_plane : d.p.all; /* from one to the next in the source */
	const float *x_end = x + (size_t) (n - 1) * at->x_image + (size_t) (g->c - 1) * at->x_plane + (size_t) g->h * g->w;
	float *source = scratch;
	float *packed = source + d.n_source;
	float *sums = packed + d.n_packed;
	size_t max_waiting = d.waiting < MAX_WAITING ? d.waiting : MAX_WAITING;
	size_t *offsets = (size_t *) (sums + max_waiting * d.n_sums);
	size_t n_blocks = (d.rows + DEPTH - 1) / DEPTH;
	size_t n_source;
	panel panels[MAX_WAITING];

	d.images = d.images < (size_t) n ? d.images : (size_t) n;
	n_source = d.in_place ? 0 : d.images * cg * d.p.all + NN_PHASE_SLACK;
	for (int c = 0, r = 0; c < cg; c++)
		for (int ky = 0; ky < g->kh; ky++)
			for (int kx = 0; kx < g->kw; kx++, r++)
				offsets[r] = (size_t) c * channel + (d.in_place ? (size_t) ky * g->dh * g->w + (size_t) kx * g->dw
																: nn_phases_tap(g, &d.p, ky, kx));
	if (!d.in_place)
		memset(source, 0, n_source * sizeof *source);

	for (size_t i = 0; i < (size_t) n; i += d.images)
		for (int group = 0; group < groups; group++)
		{
			size_t images = d.images < (size_t) n - i ? d.images : (size_t) n - i;
			const float *xg = x + i * at->x_image + (size_t) group * cg * at->x_plane;
			const float *from = d.in_place ? xg : source;
			const float *end = d.in_place ? x_end : source + n_source;
			size_t source_image = d.in_place ? at->x_image : (size_t) cg * d.p.all;
			bool odd = has_odd_position(g, &d, images, here->width);
			size_t positions = images * d.out - odd;
			size_t vectors = (positions + here->width - 1) / here->width;
			size_t n_panels = (vectors + PANEL_VECTORS - 1) / PANEL_VECTORS;
			size_t next = 0; /* vector */

			if (!d.in_place)
				for (size_t j = 0; j < images; j++)
					nn_phases_split(g, &d.p, (size_t) cg, xg + j * at->x_image, at->x_plane, source + j * source_image);
			for (size_t done = 0; done < n_panels;)
			{
				size_t waiting = n_panels - done < max_waiting ? n_panels - done : max_waiting;

				for (size_t j = 0; j < waiting; j++)
				{
					/* Vectors are spread evenly: a narrow panel is slow. */
					size_t left = n_panels - done - j;
					size_t take = (vectors - next + left - 1) / left;
					size_t first = next * here->width;
					size_t count = take * here->width < positions - first ? take * here->width : positions - first;

					describe(g, &d, source_image, at->y_image, first, count, here->width, &panels[j]);
					next += take;
				}
				for (size_t now = 0; now < n_blocks; now++)
				{
					size_t row = d.rows * now / n_blocks;
					size_t depth = d.rows * (now + 1) / n_blocks - row;

					for (size_t j = 0; j < waiting; j++)
					{
						bool packs = panels[j].n_in == 1;
						block work = { .panel = &panels[j],
									   .rows = d.rows,
									   .depth = depth,
									   .w = w + (size_t) group * d.kg * d.rows + row,
									   .kg = d.kg,
									   .packed = packed,
									   .source = packs ? from : NULL,
									   .offsets = offsets + row,
									   .sums = sums + j * d.n_sums,
									   .first = now == 0,
									   .last = now == n_blocks - 1,
									   .b = b != NULL ? b + (size_t) group * d.kg : NULL,
									   .act = act,
									   .y = y + i * at->y_image + (size_t) group * d.kg * at->y_plane,
									   .y_plane = at->y_plane };

						if (!packs)
							here->pack(&panels[j], depth, offsets + row, from, end, packed);
						here->multiply(&work);
					}
				}
				done += waiting;
			}
			if (odd)
				odd_position(&d, at, positions, xg, w + (size_t) group * d.kg * d.rows,
							 b != NULL ? b + (size_t) group * d.kg : NULL, act,
							 y + i * at->y_image + (size_t) group * d.kg * at->y_plane, packed);
		}
}
