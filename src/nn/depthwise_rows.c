/*
 * depthwise_rows.c: depthwise convolution of 3x3 and 5x5 kernels, stride 1 and 2, straight from the rows of a plane.
 *
 * A vector of outputs runs along a row. The kernel's columns are loads of the input row one float apart, or with stride 2 the even and the odd floats of
 * two vectors; what lies beside the row is masked (rows.h). Several output rows are summed at once, so that each input row is loaded once for all of
 * them, and all weights stay in registers (3x3).
 */
#include "nn/conv.h"

#include "nn/rows.h"

/* Output rows at a time. */
#define TOGETHER 4

#define MOST_K 5

bool
nn_depthwise_rows_fits(const nn_window *g)
{
	return nn_simd_level() != NN_SIMD_BASE && g->kh == g->kw && (g->kw == 3 || g->kw == 5) && g->dh == 1 &&
		   g->dw == 1 && g->sh == g->sw && (g->sw == 1 || g->sw == 2) && g->ow <= ROWS_MOST * 8;
}

#if defined(__x86_64__)

typedef struct planes
{
	const nn_window *g;
	size_t n; /* output planes */
	int k;    /* of them, one image's */
	int each; /* output planes of an input plane */
	const float *x, *w, *b;
	nn_act act;
	float *y;
	nn_strides at;
} planes;

#define DEFINE_PLANES(suffix, TARGET, WIDTH)                                                                      \
	typedef struct chunk_##suffix                                                                                 \
	{                                                                                                             \
		rows_mask_##suffix in[2][MOST_K]; /* of the first and, with stride 2, the second vector under a column */ \
		rows_mask_##suffix next;          /* of the vector behind these, with stride 2 */                         \
		rows_mask_##suffix out;                                                                                   \
	} chunk_##suffix;                                                                                             \
                                                                                                                  \
	/* An input row under all columns of the kernel. */                                                           \
	ROWS_FUNCTION(TARGET)                                                                                         \
	void load_taps_##suffix(const int K, const int S, const chunk_##suffix *m, const float *from,                 \
							rows_vec_##suffix *tap)                                                               \
	{                                                                                                             \
		if (K == 3 && S == 2)                                                                                     \
		{                                                                                                         \
			/* The third column is the first, one further on. */                                                  \
			rows_vec_##suffix a = rows_load_##suffix(m->in[0][0], from);                                          \
			rows_vec_##suffix b = rows_load_##suffix(m->in[1][0], from + WIDTH);                                  \
                                                                                                                  \
			tap[0] = rows_even_##suffix(a, b);                                                                    \
			tap[1] = rows_odd_##suffix(a, b);                                                                     \
			tap[2] = rows_next_##suffix(tap[0], rows_load_##suffix(m->next, from + 2 * WIDTH));                   \
			return;                                                                                               \
		}                                                                                                         \
		for (int kx = 0; kx < K; kx++)                                                                            \
			if (S == 1)                                                                                           \
				tap[kx] = rows_load_##suffix(m->in[0][kx], from + kx);                                            \
			else if (kx % 2 == 0)                                                                                 \
			{                                                                                                     \
				rows_vec_##suffix a = rows_load_##suffix(m->in[0][kx], from + kx);                                \
				rows_vec_##suffix b = rows_load_##suffix(m->in[1][kx], from + kx + WIDTH);                        \
                                                                                                                  \
				tap[kx] = rows_even_##suffix(a, b);                                                               \
				if (kx + 1 < K)                                                                                   \
					tap[kx + 1] = rows_odd_##suffix(a, b);                                                        \
			}                                                                                                     \
	}                                                                                                             \
                                                                                                                  \
	ROWS_FUNCTION(TARGET)                                                                                         \
	void masks_of_##suffix(const int K, const int S, const nn_window *g, chunk_##suffix *masks)                   \
	{                                                                                                             \
		for (int i = 0; i * WIDTH < g->ow; i++)                                                                   \
		{                                                                                                         \
			for (int kx = 0; kx < K; kx++)                                                                        \
				for (int v = 0; v < S; v++)                                                                       \
					masks[i].in[v][kx] = rows_mask_of_##suffix((i * S + v) * WIDTH - g->pw0 + kx, g->w);          \
			masks[i].next = rows_mask_of_##suffix((i + 1) * S * WIDTH - g->pw0, g->w);                            \
			masks[i].out = rows_mask_of_##suffix(i * WIDTH, g->ow);                                               \
		}                                                                                                         \
	}                                                                                                             \
	/* An input row, added to the output rows that look at it. j: which row of those under the block. */          \
	ROWS_FUNCTION(TARGET)                                                                                         \
	void add_row_##suffix(const int K, const int S, const int j, const chunk_##suffix *m, const float *from,      \
						  const rows_vec_##suffix *w, rows_vec_##suffix *sum)                                     \
	{                                                                                                             \
		rows_vec_##suffix tap[MOST_K];                                                                            \
                                                                                                                  \
		load_taps_##suffix(K, S, m, from, tap);                                                                   \
		for (int r = 0; r < TOGETHER; r++)                                                                        \
			if (j - r * S >= 0 && j - r * S < K)                                                                  \
				for (int kx = 0; kx < K; kx++)                                                                    \
					sum[r] += tap[kx] * w[(j - r * S) * K + kx];                                                  \
	}                                                                                                             \
                                                                                                                  \
	/* What a block of output rows is made of, in registers: weights, bias, the bounds of the activation. */      \
	typedef struct kernel_##suffix                                                                                \
	{                                                                                                             \
		rows_vec_##suffix w[MOST_K * MOST_K], add, lo, hi;                                                        \
	} kernel_##suffix;                                                                                            \
                                                                                                                  \
	/* \
	 * TOGETHER rows of a chunk of columns, from input row `first` on. whole: all input and output rows exist, and nothing has to be asked. \
	 */                                                                                                          \
	ROWS_FUNCTION(TARGET)                                                                                         \
	void block_##suffix(const int K, const int S, const bool whole, const nn_window *g, const chunk_##suffix *m,  \
						const kernel_##suffix *k, int first, const float *from, int rows, float *to)              \
	{                                                                                                             \
		rows_vec_##suffix sum[TOGETHER];                                                                          \
                                                                                                                  \
		for (int r = 0; r < TOGETHER; r++)                                                                        \
			sum[r] = k->add;                                                                                      \
		_Pragma("GCC unroll 16") for (int j = 0; j < (TOGETHER - 1) * S + K; j++)                                 \
		{                                                                                                         \
			if (whole || (first + j >= 0 && first + j < g->h))                                                    \
				add_row_##suffix(K, S, j, m, from + (ptrdiff_t) j * g->w, k->w, sum);                             \
		}                                                                                                         \
		_Pragma("GCC unroll 4") for (int r = 0; r < TOGETHER; r++)                                                \
		{                                                                                                         \
			if (whole || r < rows)                                                                                \
				rows_store_##suffix(m->out, to + (size_t) r * g->ow,                                              \
									rows_min_##suffix(k->hi, rows_max_##suffix(k->lo, sum[r])));                  \
		}                                                                                                         \
	}                                                                                                             \
                                                                                                                  \
	ROWS_FUNCTION(TARGET)                                                                                         \
	void planes_of_##suffix(const int K, const int S, const planes *p)                                            \
	{                                                                                                             \
		const nn_window *g = p->g;                                                                                \
		int chunks = (g->ow + WIDTH - 1) / WIDTH;                                                                 \
		chunk_##suffix masks[ROWS_MOST];                                                                          \
		kernel_##suffix k = { .lo = rows_all_##suffix(nn_act_least(p->act)),                                      \
							  .hi = rows_all_##suffix(nn_act_most(p->act)) };                                     \
                                                                                                                  \
		masks_of_##suffix(K, S, g, masks);                                                                        \
		for (size_t o = 0; o < p->n; o++)                                                                         \
		{                                                                                                         \
			size_t channel = o % (size_t) p->k;                                                                   \
			const float *x = p->x + o / p->k * p->at.x_image + channel / p->each * p->at.x_plane;                 \
			float *y = p->y + o / p->k * p->at.y_image + channel * p->at.y_plane;                                 \
                                                                                                                  \
			k.add = rows_all_##suffix(p->b != NULL ? p->b[channel] : 0.0f);                                       \
			for (int t = 0; t < K * K; t++)                                                                       \
				k.w[t] = rows_all_##suffix(p->w[channel * (K * K) + t]);                                          \
			for (int oy = 0; oy < g->oh; oy += TOGETHER)                                                          \
			{                                                                                                     \
				int rows = g->oh - oy < TOGETHER ? g->oh - oy : TOGETHER;                                         \
				int first = oy * S - g->ph0;                                                                      \
				const float *from = x + (ptrdiff_t) first * g->w - g->pw0;                                        \
				float *to = y + (size_t) oy * g->ow;                                                              \
                                                                                                                  \
				if (rows == TOGETHER && first >= 0 && first + (TOGETHER - 1) * S + K <= g->h)                     \
					for (int i = 0; i < chunks; i++)                                                              \
						block_##suffix(K, S, true, g, &masks[i], &k, first, from + i * S * WIDTH, rows,           \
									   to + i * WIDTH);                                                           \
				else                                                                                              \
					for (int i = 0; i < chunks; i++)                                                              \
						block_##suffix(K, S, false, g, &masks[i], &k, first, from + i * S * WIDTH, rows,          \
									   to + i * WIDTH);                                                           \
			}                                                                                                     \
		}                                                                                                         \
	}                                                                                                             \
                                                                                                                  \
	static TARGET void planes_##suffix(const planes *p)                                                           \
	{                                                                                                             \
		if (p->g->kw == 3 && p->g->sw == 1)                                                                       \
			planes_of_##suffix(3, 1, p);                                                                          \
		else if (p->g->kw == 3)                                                                                   \
			planes_of_##suffix(3, 2, p);                                                                          \
		else if (p->g->sw == 1)                                                                                   \
			planes_of_##suffix(5, 1, p);                                                                          \
		else                                                                                                      \
			planes_of_##suffix(5, 2, p);                                                                          \
	}

DEFINE_PLANES(avx2, NN_TARGET_AVX2, 8)
DEFINE_PLANES(avx512, NN_TARGET_AVX512, 16)
#endif

void
nn_depthwise_rows(const nn_window *g, const nn_strides *at, int k, int n, const float *x, const float *w,
				  const float *b, nn_act act, float *y)
{
#if defined(__x86_64__)
	planes p = { g, (size_t) n * k, k, k / g->c, x, w, b, act, y, *at };

	if (nn_simd_level() == NN_SIMD_AVX512)
		planes_avx512(&p);
	else
		planes_avx2(&p);
#endif
}

/* ---- Gradients ---- */

#if defined(__x86_64__)

/*
 * dw (K x K) += the products of dy with the pixels that each tap saw, over a plane: the loads of planes_of, but the sums run over the outputs. One row of outputs
 * at a time, one row of the kernel after the other, so that its sums stay in registers.
 */
#define DEFINE_WEIGHTS(suffix, TARGET, WIDTH)                                                                     \
	ROWS_FUNCTION(TARGET)                                                                                         \
	void weights_of_##suffix(const int K, const int S, const nn_window *g, const chunk_##suffix *masks,           \
							 const float *x, const float *dy, float *dw)                                          \
	{                                                                                                             \
		int chunks = (g->ow + WIDTH - 1) / WIDTH;                                                                 \
                                                                                                                  \
		for (int ky = 0; ky < K; ky++)                                                                            \
		{                                                                                                         \
			rows_vec_##suffix sum[MOST_K];                                                                        \
                                                                                                                  \
			for (int kx = 0; kx < K; kx++)                                                                        \
				sum[kx] = rows_all_##suffix(0.0f);                                                                \
			for (int oy = 0; oy < g->oh; oy++)                                                                    \
			{                                                                                                     \
				int iy = oy * S - g->ph0 + ky;                                                                    \
                                                                                                                  \
				if (iy < 0 || iy >= g->h)                                                                         \
					continue;                                                                                     \
				for (int i = 0; i < chunks; i++)                                                                  \
				{                                                                                                 \
					const float *from = x + (ptrdiff_t) iy * g->w + i * S * WIDTH - g->pw0;                       \
					rows_vec_##suffix d = rows_load_##suffix(masks[i].out, dy + (size_t) oy * g->ow + i * WIDTH); \
					rows_vec_##suffix tap[MOST_K];                                                                \
                                                                                                                  \
					load_taps_##suffix(K, S, &masks[i], from, tap);                                               \
					for (int kx = 0; kx < K; kx++)                                                                \
						sum[kx] += tap[kx] * d;                                                                   \
				}                                                                                                 \
			}                                                                                                     \
			for (int kx = 0; kx < K; kx++)                                                                        \
				dw[ky * K + kx] += rows_sum_##suffix(sum[kx]);                                                    \
		}                                                                                                         \
	}                                                                                                             \
                                                                                                                  \
	ROWS_FUNCTION(TARGET)                                                                                         \
	void all_weights_of_##suffix(const int K, const int S, const planes *p, const float *dy, float *dw)           \
	{                                                                                                             \
		const nn_window *g = p->g;                                                                                \
		chunk_##suffix masks[ROWS_MOST];                                                                          \
                                                                                                                  \
		masks_of_##suffix(K, S, g, masks);                                                                        \
		for (size_t o = 0; o < p->n; o++)                                                                         \
		{                                                                                                         \
			size_t channel = o % (size_t) p->k;                                                                   \
			const float *x = p->x + (o / p->k * g->c + channel / p->each) * ((size_t) g->h * g->w);               \
                                                                                                                  \
			weights_of_##suffix(K, S, g, masks, x, dy + o * ((size_t) g->oh * g->ow), dw + channel * K * K);      \
		}                                                                                                         \
	}                                                                                                             \
                                                                                                                  \
	static TARGET void weights_##suffix(const planes *p, const float *dy, float *dw)                              \
	{                                                                                                             \
		if (p->g->kw == 3 && p->g->sw == 1)                                                                       \
			all_weights_of_##suffix(3, 1, p, dy, dw);                                                             \
		else if (p->g->kw == 3)                                                                                   \
			all_weights_of_##suffix(3, 2, p, dy, dw);                                                             \
		else if (p->g->sw == 1)                                                                                   \
			all_weights_of_##suffix(5, 1, p, dy, dw);                                                             \
		else                                                                                                      \
			all_weights_of_##suffix(5, 2, p, dy, dw);                                                             \
	}

DEFINE_WEIGHTS(avx2, NN_TARGET_AVX2, 8)
DEFINE_WEIGHTS(avx512, NN_TARGET_AVX512, 16)
#endif

void
nn_depthwise_rows_weights(const nn_window *g, int k, int n, const float *x, const float *dy, float *dw)
{
#if defined(__x86_64__)
	planes p = { .g = g, .n = (size_t) n * k, .k = k, .each = k / g->c, .x = x };

	(nn_simd_level() == NN_SIMD_AVX512 ? weights_avx512 : weights_avx2)(&p, dy, dw);
#endif
}
