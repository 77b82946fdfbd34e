/*
 * conv_winograd.c: 3x3 convolution, stride 1, by Winograd's minimal filtering F(2x2, 3x3) (Lavin and Gray 2016, arXiv 1509.09308, section 4.1).
 *
 * Two by two outputs come from four by four pixels. Pixels and kernels are transformed (V = B' d B, U = G g G'), sixteen matrix products over the
 * channels (M = U V, one for each of the 4 x 4 elements) take 16 multiplications for what directly are 36, and M is transformed back (Y = A' M A).
 *
 * Tiles are taken some rows of them at a time, so that V and M stay in the cache; a block may go over several images. The transforms run along rows,
 * sixteen or eight tiles in a vector (rows.h).
 */
#include "nn/conv.h"

#include "nn/matmul.h"
#include "nn/rows.h"

/*
 * Fewer channels, and the transforms cost more than they save. Small images leave the products' vectors half empty, and when the transformed kernels do
 * not stay in the second-level cache, reading them costs what is saved (both measured).
 */
#define LEAST_IN     8
#define LEAST_OUT    32
#define LEAST_TILES  96
#define MOST_KERNELS 8192

/* V and M of a block should not exceed this many floats; but a narrow matrix product is slow. */
#define BLOCK_FLOATS ((size_t) 3 << 16)
#define BLOCK_LEAST  ((size_t) 96)

/* Floats that a vector may read past the end of M. */
#define SLACK ((size_t) 16)

typedef struct winograd
{
	const nn_window *g;
	int cg, kg;     /* channels and outputs of a group */
	int tw, th;     /* tiles of an image */
	size_t rows;    /* of tiles, in a block */
	size_t ld;      /* tiles of a block, rounded up: row length of V and M */
	size_t u, v, m; /* distance of two of the sixteen matrices */
} winograd;

static size_t
round_up(size_t value, size_t unit)
{
	return (value + unit - 1) / unit * unit;
}

bool
nn_conv_winograd_fits(const nn_window *g, int k, int groups)
{
	return nn_simd_level() != NN_SIMD_BASE && g->kh == 3 && g->kw == 3 && g->sh == 1 && g->sw == 1 && g->dh == 1 &&
		   g->dw == 1 && g->c / groups >= LEAST_IN && k / groups >= LEAST_OUT && g->ow <= ROWS_MOST * 16 &&
		   (double) g->oh * g->ow >= 4 * LEAST_TILES && (double) (g->c / groups) * (k / groups) <= MOST_KERNELS;
}

static winograd
plan(const nn_window *g, int k, int groups)
{
	winograd p = { .g = g, .cg = g->c / groups, .kg = k / groups, .tw = (g->ow + 1) / 2, .th = (g->oh + 1) / 2 };
	size_t tiles = BLOCK_FLOATS / 16 / (size_t) (p.cg + p.kg);

	tiles = tiles < BLOCK_LEAST ? BLOCK_LEAST : tiles;
	p.rows = (tiles + (size_t) p.tw - 1) / (size_t) p.tw;
	p.ld = round_up(p.rows * (size_t) p.tw, 16);
	/* Not a multiple of a page, or the sixteen matrices would compete for the same lines of the cache. */
	p.u = (size_t) p.kg * p.cg + 16;
	p.v = (size_t) p.cg * p.ld + 16;
	p.m = (size_t) p.kg * p.ld + 16;
	return p;
}

size_t
nn_conv_winograd_scratch(const nn_window *g, int k, int groups)
{
	winograd p = plan(g, k, groups);

	return round_up(16 * (p.u + p.v + p.m) + SLACK, 16);
}

#if defined(__x86_64__)

#define DEFINE_TRANSFORMS(suffix, TARGET, WIDTH)                                                                      \
	static TARGET void kernels_##suffix(const winograd *p, const float *w, float *u)                                  \
	{                                                                                                                 \
		rows_vec_##suffix half = rows_all_##suffix(0.5f);                                                             \
                                                                                                                      \
		for (int k = 0; k < p->kg; k++)                                                                               \
			for (int c = 0; c < p->cg; c += WIDTH)                                                                    \
			{                                                                                                         \
				const float *from = w + ((size_t) k * p->cg + c) * 9;                                                 \
				float *to = u + (size_t) k * p->cg + c;                                                               \
				rows_mask_##suffix mask = rows_mask_of_##suffix(c, p->cg);                                            \
				rows_vec_##suffix t[4][3];                                                                            \
                                                                                                                      \
				for (int j = 0; j < 3; j++)                                                                           \
				{                                                                                                     \
					rows_vec_##suffix g0 = rows_ninths_##suffix(from + j, p->cg - c);                                 \
					rows_vec_##suffix g1 = rows_ninths_##suffix(from + 3 + j, p->cg - c);                             \
					rows_vec_##suffix g2 = rows_ninths_##suffix(from + 6 + j, p->cg - c);                             \
                                                                                                                      \
					t[0][j] = g0;                                                                                     \
					t[1][j] = ((g0 + g2) + g1) * half;                                                                \
					t[2][j] = ((g0 + g2) - g1) * half;                                                                \
					t[3][j] = g2;                                                                                     \
				}                                                                                                     \
				for (int i = 0; i < 4; i++, to += 4 * p->u)                                                           \
				{                                                                                                     \
					rows_store_##suffix(mask, to, t[i][0]);                                                           \
					rows_store_##suffix(mask, to + p->u, ((t[i][0] + t[i][2]) + t[i][1]) * half);                     \
					rows_store_##suffix(mask, to + 2 * p->u, ((t[i][0] + t[i][2]) - t[i][1]) * half);                 \
					rows_store_##suffix(mask, to + 3 * p->u, t[i][2]);                                                \
				}                                                                                                     \
			}                                                                                                         \
	}                                                                                                                 \
                                                                                                                      \
	/* A row of tiles of one plane; v: its first tile in the first matrix. */                                         \
	static TARGET void pixels_##suffix(const winograd *p, const float *plane, int ty, float *v)                       \
	{                                                                                                                 \
		const nn_window *g = p->g;                                                                                    \
                                                                                                                      \
		for (int tx = 0; tx < p->tw; tx += WIDTH)                                                                     \
		{                                                                                                             \
			int x = 2 * tx - g->pw0;                                                                                  \
			rows_mask_##suffix a = rows_mask_of_##suffix(x, g->w);                                                    \
			rows_mask_##suffix b = rows_mask_of_##suffix(x + WIDTH, g->w);                                            \
			rows_mask_##suffix c = rows_mask_of_##suffix(x + 2, g->w);                                                \
			rows_mask_##suffix d = rows_mask_of_##suffix(x + 2 + WIDTH, g->w);                                        \
			rows_mask_##suffix tiles = rows_mask_of_##suffix(tx, p->tw);                                              \
			rows_vec_##suffix t[4][4];                                                                                \
			float *to = v + tx;                                                                                       \
                                                                                                                      \
			for (int i = 0; i < 4; i++)                                                                               \
			{                                                                                                         \
				int y = 2 * ty - g->ph0 + i;                                                                          \
				const float *from = plane + (ptrdiff_t) y * g->w + x;                                                 \
				rows_vec_##suffix d0, d1, d2, d3;                                                                     \
                                                                                                                      \
				if (y < 0 || y >= g->h)                                                                               \
				{                                                                                                     \
					t[i][0] = t[i][1] = t[i][2] = t[i][3] = rows_all_##suffix(0.0f);                                  \
					continue;                                                                                         \
				}                                                                                                     \
				d1 = rows_load_##suffix(a, from);                                                                     \
				d3 = rows_load_##suffix(b, from + WIDTH);                                                             \
				d0 = rows_even_##suffix(d1, d3);                                                                      \
				d1 = rows_odd_##suffix(d1, d3);                                                                       \
				d3 = rows_load_##suffix(d, from + 2 + WIDTH);                                                         \
				d2 = rows_load_##suffix(c, from + 2);                                                                 \
				t[i][0] = d0;                                                                                         \
				t[i][1] = d1;                                                                                         \
				t[i][2] = rows_even_##suffix(d2, d3);                                                                 \
				t[i][3] = rows_odd_##suffix(d2, d3);                                                                  \
				d0 = t[i][0] - t[i][2];                                                                               \
				d1 = t[i][1] + t[i][2];                                                                               \
				d2 = t[i][2] - t[i][1];                                                                               \
				d3 = t[i][1] - t[i][3];                                                                               \
				t[i][0] = d0;                                                                                         \
				t[i][1] = d1;                                                                                         \
				t[i][2] = d2;                                                                                         \
				t[i][3] = d3;                                                                                         \
			}                                                                                                         \
			for (int j = 0; j < 4; j++, to += p->v)                                                                   \
			{                                                                                                         \
				rows_store_##suffix(tiles, to, t[0][j] - t[2][j]);                                                    \
				rows_store_##suffix(tiles, to + 4 * p->v, t[1][j] + t[2][j]);                                         \
				rows_store_##suffix(tiles, to + 8 * p->v, t[2][j] - t[1][j]);                                         \
				rows_store_##suffix(tiles, to + 12 * p->v, t[1][j] - t[3][j]);                                        \
			}                                                                                                         \
		}                                                                                                             \
	}                                                                                                                 \
                                                                                                                      \
	/* Two rows of outputs of one channel; m: their first tile in the first matrix. */                                \
	static TARGET void outputs_##suffix(const winograd *p, const float *m, float b, nn_act act, int ty, float *plane) \
	{                                                                                                                 \
		const nn_window *g = p->g;                                                                                    \
		float *y = plane + (size_t) 2 * ty * g->ow;                                                                   \
		rows_vec_##suffix add = rows_all_##suffix(b);                                                                 \
		rows_vec_##suffix lo = rows_all_##suffix(act.kind == NN_ACT_RELU ? 0.0f : act.lo);                            \
		rows_vec_##suffix hi = rows_all_##suffix(act.hi);                                                             \
                                                                                                                      \
		for (int tx = 0; tx < p->tw; tx += WIDTH)                                                                     \
		{                                                                                                             \
			const float *from = m + tx;                                                                               \
			rows_mask_##suffix first = rows_mask_of_##suffix(2 * tx, g->ow);                                          \
			rows_mask_##suffix second = rows_mask_of_##suffix(2 * tx + WIDTH, g->ow);                                 \
			rows_vec_##suffix s[2][4];                                                                                \
                                                                                                                      \
			for (int j = 0; j < 4; j++, from += p->m)                                                                 \
			{                                                                                                         \
				rows_vec_##suffix m0 = rows_loadu_##suffix(from);                                                     \
				rows_vec_##suffix m1 = rows_loadu_##suffix(from + 4 * p->m);                                          \
				rows_vec_##suffix m2 = rows_loadu_##suffix(from + 8 * p->m);                                          \
				rows_vec_##suffix m3 = rows_loadu_##suffix(from + 12 * p->m);                                         \
                                                                                                                      \
				s[0][j] = m0 + m1 + m2;                                                                               \
				s[1][j] = m1 - m2 - m3;                                                                               \
			}                                                                                                         \
			for (int i = 0; i < 2 && 2 * ty + i < g->oh; i++)                                                         \
			{                                                                                                         \
				float *to = y + (size_t) i * g->ow + 2 * tx;                                                          \
				rows_vec_##suffix even = (s[i][0] + s[i][1] + s[i][2]) + add;                                         \
				rows_vec_##suffix odd = (s[i][1] - s[i][2] - s[i][3]) + add;                                          \
                                                                                                                      \
				if (act.kind != NN_ACT_NONE)                                                                          \
				{                                                                                                     \
					even = rows_max_##suffix(lo, even);                                                               \
					odd = rows_max_##suffix(lo, odd);                                                                 \
				}                                                                                                     \
				if (act.kind == NN_ACT_CLIP)                                                                          \
				{                                                                                                     \
					even = rows_min_##suffix(hi, even);                                                               \
					odd = rows_min_##suffix(hi, odd);                                                                 \
				}                                                                                                     \
				rows_interleave_##suffix(even, odd, &even, &odd);                                                     \
				rows_store_##suffix(first, to, even);                                                                 \
				rows_store_##suffix(second, to + WIDTH, odd);                                                         \
			}                                                                                                         \
		}                                                                                                             \
	}

DEFINE_TRANSFORMS(avx2, NN_TARGET_AVX2, 8)
DEFINE_TRANSFORMS(avx512, NN_TARGET_AVX512, 16)
#endif

void
nn_conv_winograd(const nn_window *g, const nn_strides *at, int k, int groups, int n, const float *x, const float *w,
				 const float *b, nn_act act, float *y, float *scratch)
{
#if defined(__x86_64__)
	bool wide = nn_simd_level() == NN_SIMD_AVX512;
	winograd p = plan(g, k, groups);
	size_t all = (size_t) n * p.th;
	float *u = scratch;
	float *v = u + 16 * p.u;
	float *m = v + 16 * p.v;

	for (int group = 0; group < groups; group++)
	{
		(wide ? kernels_avx512 : kernels_avx2)(&p, w + (size_t) group * p.kg * p.cg * 9, u);
		for (size_t row = 0; row < all; row += p.rows)
		{
			size_t rows = all - row < p.rows ? all - row : p.rows;

			for (size_t r = 0; r < rows; r++)
				for (int c = 0; c < p.cg; c++)
					(wide ? pixels_avx512 : pixels_avx2)(
						&p, x + (row + r) / p.th * at->x_image + ((size_t) group * p.cg + c) * at->x_plane,
						(int) ((row + r) % p.th), v + c * p.ld + r * p.tw);
			for (int element = 0; element < 16; element++)
				nn_matmul(false, false, (size_t) p.kg, rows * p.tw, (size_t) p.cg, 1.0f, u + element * p.u,
						  (size_t) p.cg, v + element * p.v, p.ld, 0.0f, m + element * p.m, p.ld);
			for (int o = 0; o < p.kg; o++)
				for (size_t r = 0; r < rows; r++)
					(wide ? outputs_avx512 : outputs_avx2)(
						&p, m + o * p.ld + r * p.tw, b != NULL ? b[group * p.kg + o] : 0.0f, act,
						(int) ((row + r) % p.th),
						y + (row + r) / p.th * at->y_image + ((size_t) group * p.kg + o) * at->y_plane);
		}
	}
#endif
}
