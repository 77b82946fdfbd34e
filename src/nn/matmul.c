/*
 * matmul.c: matrix products without BLAS: a serial OpenBLAS must not be called by two threads at once (gemm.c), and a trainer has several.
 *
 * Two shapes. Where rows of B run along the result's rows, a tile of C is summed in registers from broadcast elements of A and vectors of B, whose
 * panels are packed for the first-level cache as in conv_direct.c. Where the sum itself runs along the rows of both (B transposed), panels are transposed while they are
 * packed, if enough rows of A share the work; else a few rows of A meet a few rows of B, each pair with a vector of partial sums.
 */
#include "nn/matmul.h"

#include <string.h>

#include "nn/simd.h"

#define DEPTH     ((size_t) 224)
#define VECTORS   3
#define MAX_WIDTH (VECTORS * 16)

/*
 * Rows of A from which on to transpose B is worth it: with short rows, whose ends and sums across a vector cost the dot products most, and with rows of any
 * length. (Gradients of convolution kernels have short ones; 32 pictures meet long ones in a dense layer, and are 4 % faster without.)
 */
#define TRANSPOSE_SHORT ((size_t) 32)
#define TRANSPOSE_LONG  ((size_t) 64)
#define SHORT_ROW       ((size_t) 1024)

/* Floats of a row that one pass of dot products covers: the rows of a pass fit in the second-level cache. */
#define RUN ((size_t) 4096)

typedef struct product
{
	size_t m, n, k;
	float alpha, beta;
	const float *a;
	size_t a_row, a_column; /* strides of op(A) */
	const float *b;
	size_t ldb;
	bool trans_b;
	float *c;
	size_t ldc;
} product;

NN_INLINE void
keep(float alpha, float beta, int count, const float *sums, float *c)
{
	if (beta == 0.0f)
		for (int i = 0; i < count; i++)
			c[i] = alpha * sums[i];
	else
		for (int i = 0; i < count; i++)
			c[i] = beta * c[i] + alpha * sums[i];
}

/* The sum of a vector's elements, halving in registers: through memory it would cost more than a thousand multiply-adds. */
#if defined(__x86_64__)
typedef float vec4 __attribute__((vector_size(16)));

static NN_TARGET_AVX2 inline __attribute__((always_inline)) float
fold_avx2(nn_vec8 v)
{
	vec4 half = __builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 4, 5, 6, 7);

	half += __builtin_shufflevector(half, half, 2, 3, 0, 1);
	return half[0] + half[1];
}

static NN_TARGET_AVX512 inline __attribute__((always_inline)) float
fold_avx512(nn_vec16 v)
{
	nn_vec8 half = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
				   __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
	vec4 quarter = __builtin_shufflevector(half, half, 0, 1, 2, 3) + __builtin_shufflevector(half, half, 4, 5, 6, 7);

	quarter += __builtin_shufflevector(quarter, quarter, 2, 3, 0, 1);
	return quarter[0] + quarter[1];
}

/* to (8 x 8) = from (8 x 8) transposed: pairs, then fours, then halves change places. */
static NN_TARGET_AVX2 inline __attribute__((always_inline)) void
transpose8(const float *from, size_t ld_from, float *to, size_t ld_to)
{
	nn_vec8 row[8], pair[8], four[8];

	for (int i = 0; i < 8; i++)
		row[i] = *(const nn_vec8 *) (from + i * ld_from);
	for (int i = 0; i < 8; i += 2)
	{
		pair[i] = __builtin_shufflevector(row[i], row[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
		pair[i + 1] = __builtin_shufflevector(row[i], row[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
	}
	for (int i = 0; i < 8; i += 4)
		for (int j = 0; j < 2; j++)
		{
			four[i + 2 * j] = __builtin_shufflevector(pair[i + j], pair[i + j + 2], 0, 1, 8, 9, 4, 5, 12, 13);
			four[i + 2 * j + 1] = __builtin_shufflevector(pair[i + j], pair[i + j + 2], 2, 3, 10, 11, 6, 7, 14, 15);
		}
	for (int i = 0; i < 4; i++)
	{
		*(nn_vec8 *) (to + i * ld_to) = __builtin_shufflevector(four[i], four[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
		*(nn_vec8 *) (to + (i + 4) * ld_to) = __builtin_shufflevector(four[i], four[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
	}
}

/* A panel of op(B) = B^T: `depth` floats of count rows of B, as columns; what is left of the width is zero. */
static NN_TARGET_AVX2 void
pack_transposed(const product *p, size_t column, int count, size_t first, size_t depth, int width, float *packed)
{
	const float *from = p->b + column * p->ldb + first;
	size_t r = 0;

	if (count < width)
		memset(packed, 0, sizeof *packed * depth * (size_t) width);
	for (; r + 8 <= depth; r += 8)
	{
		int i = 0;

		for (; i + 8 <= count; i += 8)
			transpose8(from + i * p->ldb + r, p->ldb, packed + r * width + i, width);
		for (; i < count; i++)
			for (size_t s = r; s < r + 8; s++)
				packed[s * width + i] = from[i * p->ldb + s];
	}
	for (; r < depth; r++)
		for (int i = 0; i < count; i++)
			packed[r * width + i] = from[i * p->ldb + r];
}
#endif

#define DEFINE_PRODUCTS(suffix, TARGET, VEC, WIDTH, TILE, ROWS_A, ROWS_B)                                      \
	/* sums (TILE rows, ld apart) = depth columns of TILE rows of A, against a packed panel; or adds them. */  \
	static TARGET inline __attribute__((always_inline)) void tile_##suffix(                                    \
		const int vectors, size_t depth, const float *const *a, size_t step, const float *packed, float *sums, \
		size_t ld, bool add)                                                                                   \
	{                                                                                                          \
		VEC acc[TILE][VECTORS];                                                                                \
                                                                                                               \
		for (int i = 0; i < TILE; i++)                                                                         \
			for (int j = 0; j < vectors; j++)                                                                  \
				acc[i][j] = (VEC){ 0 };                                                                        \
		for (size_t r = 0; r < depth; r++)                                                                     \
		{                                                                                                      \
			VEC row[VECTORS];                                                                                  \
                                                                                                               \
			for (int j = 0; j < vectors; j++)                                                                  \
				row[j] = *(const VEC *) (packed + (r * vectors + j) * WIDTH);                                  \
			for (int i = 0; i < TILE; i++)                                                                     \
				for (int j = 0; j < vectors; j++)                                                              \
					acc[i][j] += row[j] * a[i][r * step];                                                      \
		}                                                                                                      \
		for (int i = 0; i < TILE; i++)                                                                         \
			for (int j = 0; j < vectors; j++)                                                                  \
			{                                                                                                  \
				VEC *to = (VEC *) (sums + i * ld + j * WIDTH);                                                 \
                                                                                                               \
				if (add)                                                                                       \
					acc[i][j] += *to;                                                                          \
				*to = acc[i][j];                                                                               \
			}                                                                                                  \
	}                                                                                                          \
                                                                                                               \
	static TARGET void pack_##suffix(const product *p, size_t column, int count, size_t first, size_t depth,   \
									 int width, float *packed)                                                 \
	{                                                                                                          \
		for (size_t r = 0; r < depth; r++)                                                                     \
		{                                                                                                      \
			const float *from = p->b + (first + r) * p->ldb + column;                                          \
			float *to = packed + r * width;                                                                    \
                                                                                                               \
			if (count == width)                                                                                \
				for (int i = 0; i < width; i += WIDTH)                                                         \
					*(VEC *) (to + i) = *(const VEC *) (from + i);                                             \
			else                                                                                               \
			{                                                                                                  \
				memcpy(to, from, (size_t) count * sizeof *to);                                                 \
				memset(to + count, 0, (size_t) (width - count) * sizeof *to);                                  \
			}                                                                                                  \
		}                                                                                                      \
	}                                                                                                          \
                                                                                                               \
	static TARGET void panel_##suffix(const product *p, size_t column, int count, size_t first, size_t depth)  \
	{                                                                                                          \
		float packed[DEPTH * VECTORS * WIDTH] __attribute__((aligned(64)));                                    \
		float sums[TILE * VECTORS * WIDTH] __attribute__((aligned(64)));                                       \
		int vectors = (count + WIDTH - 1) / WIDTH;                                                             \
		int width = vectors * WIDTH;                                                                           \
                                                                                                               \
		if (p->trans_b)                                                                                        \
			pack_transposed(p, column, count, first, depth, width, packed);                                    \
		else                                                                                                   \
			pack_##suffix(p, column, count, first, depth, width, packed);                                      \
		for (size_t i = 0; i < p->m; i += TILE)                                                                \
		{                                                                                                      \
			/* Whole tiles go straight to their place. */                                                      \
			bool whole = p->m - i >= TILE && count == width && p->alpha == 1.0f &&                             \
						 (first > 0 || p->beta == 0.0f || p->beta == 1.0f);                                    \
			float *to = whole ? p->c + i * p->ldc + column : sums;                                             \
			size_t ld = whole ? p->ldc : (size_t) width;                                                       \
			bool add = whole && (first > 0 || p->beta == 1.0f);                                                \
			size_t rows = p->m - i < TILE ? p->m - i : TILE;                                                   \
			const float *a[TILE];                                                                              \
                                                                                                               \
			for (size_t j = 0; j < TILE; j++)                                                                  \
				a[j] = p->a + (i + (j < rows ? j : rows - 1)) * p->a_row + first * p->a_column;                \
			switch (vectors)                                                                                   \
			{                                                                                                  \
				case 1:                                                                                        \
					tile_##suffix(1, depth, a, p->a_column, packed, to, ld, add);                              \
					break;                                                                                     \
				case 2:                                                                                        \
					tile_##suffix(2, depth, a, p->a_column, packed, to, ld, add);                              \
					break;                                                                                     \
				default:                                                                                       \
					tile_##suffix(3, depth, a, p->a_column, packed, to, ld, add);                              \
					break;                                                                                     \
			}                                                                                                  \
			for (size_t j = 0; !whole && j < rows; j++)                                                        \
				keep(p->alpha, first == 0 ? p->beta : 1.0f, count, sums + j * width,                           \
					 p->c + (i + j) * p->ldc + column);                                                        \
		}                                                                                                      \
	}                                                                                                          \
                                                                                                               \
	/* Dot products of ROWS_A rows with ROWS_B rows; surplus rows repeat the last. */                          \
	static TARGET void dots_##suffix(size_t len, const float *const *a, const float *const *b, float *sums)    \
	{                                                                                                          \
		VEC acc[ROWS_A][ROWS_B];                                                                               \
		size_t whole = len / WIDTH * WIDTH;                                                                    \
                                                                                                               \
		for (int i = 0; i < ROWS_A; i++)                                                                       \
			for (int j = 0; j < ROWS_B; j++)                                                                   \
				acc[i][j] = (VEC){ 0 };                                                                        \
		for (size_t r = 0; r < whole; r += WIDTH)                                                              \
		{                                                                                                      \
			VEC left[ROWS_A];                                                                                  \
                                                                                                               \
			for (int i = 0; i < ROWS_A; i++)                                                                   \
				left[i] = *(const VEC *) (a[i] + r);                                                           \
			for (int j = 0; j < ROWS_B; j++)                                                                   \
			{                                                                                                  \
				VEC right = *(const VEC *) (b[j] + r);                                                         \
                                                                                                               \
				for (int i = 0; i < ROWS_A; i++)                                                               \
					acc[i][j] += left[i] * right;                                                              \
			}                                                                                                  \
		}                                                                                                      \
		for (int i = 0; i < ROWS_A; i++)                                                                       \
			for (int j = 0; j < ROWS_B; j++)                                                                   \
			{                                                                                                  \
				float sum = fold_##suffix(acc[i][j]);                                                          \
                                                                                                               \
				for (size_t r = whole; r < len; r++)                                                           \
					sum += a[i][r] * b[j][r];                                                                  \
				sums[i * ROWS_B + j] = sum;                                                                    \
			}                                                                                                  \
	}                                                                                                          \
                                                                                                               \
	static TARGET void along_##suffix(const product *p)                                                        \
	{                                                                                                          \
		for (size_t first = 0; first < p->k; first += RUN)                                                     \
			for (size_t j = 0; j < p->n; j += ROWS_B)                                                          \
			{                                                                                                  \
				size_t len = p->k - first < RUN ? p->k - first : RUN;                                          \
				size_t columns = p->n - j < ROWS_B ? p->n - j : ROWS_B;                                        \
				const float *b[ROWS_B];                                                                        \
                                                                                                               \
				for (size_t l = 0; l < ROWS_B; l++)                                                            \
					b[l] = p->b + (j + (l < columns ? l : columns - 1)) * p->ldb + first;                      \
				for (size_t i = 0; i < p->m; i += ROWS_A)                                                      \
				{                                                                                              \
					size_t rows = p->m - i < ROWS_A ? p->m - i : ROWS_A;                                       \
					const float *a[ROWS_A];                                                                    \
					float sums[ROWS_A * ROWS_B];                                                               \
                                                                                                               \
					for (size_t l = 0; l < ROWS_A; l++)                                                        \
						a[l] = p->a + (i + (l < rows ? l : rows - 1)) * p->a_row + first;                      \
					dots_##suffix(len, a, b, sums);                                                            \
					for (size_t l = 0; l < rows; l++)                                                          \
						keep(p->alpha, first == 0 ? p->beta : 1.0f, (int) columns, sums + l * ROWS_B,          \
							 p->c + (i + l) * p->ldc + j);                                                     \
				}                                                                                              \
			}                                                                                                  \
	}                                                                                                          \
                                                                                                               \
	static TARGET void across_##suffix(const product *p)                                                       \
	{                                                                                                          \
		size_t blocks = (p->k + DEPTH - 1) / DEPTH;                                                            \
		size_t vectors = (p->n + WIDTH - 1) / WIDTH;                                                           \
		size_t panels = (vectors + VECTORS - 1) / VECTORS;                                                     \
		size_t column = 0;                                                                                     \
                                                                                                               \
		for (size_t j = 0; j < panels; j++)                                                                    \
		{                                                                                                      \
			size_t take = (vectors + panels - j - 1) / (panels - j);                                           \
			size_t count = take * WIDTH < p->n - column ? take * WIDTH : p->n - column;                        \
                                                                                                               \
			for (size_t at = 0; at < blocks; at++)                                                             \
			{                                                                                                  \
				size_t first = p->k * at / blocks;                                                             \
                                                                                                               \
				panel_##suffix(p, column, (int) count, first, p->k *(at + 1) / blocks - first);                \
			}                                                                                                  \
			vectors -= take;                                                                                   \
			column += count;                                                                                   \
		}                                                                                                      \
	}

#if defined(__x86_64__)
DEFINE_PRODUCTS(avx2, NN_TARGET_AVX2, nn_vec8, 8, 4, 3, 4)
DEFINE_PRODUCTS(avx512, NN_TARGET_AVX512, nn_vec16, 16, 8, 4, 6)
#endif

bool
nn_matmul(bool trans_a, bool trans_b, size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda,
		  const float *b, size_t ldb, float beta, float *c, size_t ldc)
{
#if defined(__x86_64__)
	product p = { m, n, k, alpha, beta, a, trans_a ? 1 : lda, trans_a ? lda : 1, b, ldb, trans_b, c, ldc };
	nn_simd level = nn_simd_level();
	bool dots = trans_b && m < (k <= SHORT_ROW ? TRANSPOSE_SHORT : TRANSPOSE_LONG);

	if (level == NN_SIMD_BASE || (trans_a && trans_b))
		return false;
	if (level == NN_SIMD_AVX512)
		(dots ? along_avx512 : across_avx512)(&p);
	else
		(dots ? along_avx2 : across_avx2)(&p);
	return true;
#else
	return false;
#endif
}
