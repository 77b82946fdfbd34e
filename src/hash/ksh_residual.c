/*
 * ksh_residual.c: what is left of k S after some bits, R = k S - sum of y y^T, and products with it (ksh.h).
 *
 * Rows with the same labels have the same row of S, so a product with S is sums by set of labels; the rest has the rank of the bits.
 */
#include "hash/ksh.h"

#include "hash/private.h"
#include "nn/gemm.h"

#include <string.h>

void
hash_ksh_residual_clear(hash_ksh_residual *r)
{
	free(r->set);
	free(r->alike);
	free(r->codes);
	free(r->product);
	free(r->sums);
	free(r->dots);
	memset(r, 0, sizeof *r);
}

eddh_code
hash_ksh_residual_create(const hash_labels *labels, size_t rows, const uint32_t *order, int bits, hash_ksh_residual *r,
						 eddh_error *err)
{
	uint32_t *first = hash_alloc(rows, 1, sizeof *first); /* a row of each set */

	memset(r, 0, sizeof *r);
	r->rows = rows;
	r->bits = bits;
	r->set = hash_alloc(rows, 1, sizeof *r->set);
	r->codes = hash_alloc(bits, rows, sizeof *r->codes);
	r->product = hash_alloc(rows, 1, sizeof *r->product);
	r->dots = hash_alloc(bits, 1, sizeof *r->dots);
	if (first != NULL && r->set != NULL)
	{
		size_t len = labels->words * sizeof *labels->bitmap;

		for (size_t i = 0; i < rows; i++)
		{
			const uint64_t *mine = labels->bitmap + (size_t) order[i] * labels->words;
			size_t s = 0;

			while (s < r->sets && memcmp(mine, labels->bitmap + (size_t) first[s] * labels->words, len) != 0)
				s++;
			if (s == r->sets)
				first[r->sets++] = order[i];
			r->set[i] = (uint32_t) s;
		}
		r->alike = hash_alloc(r->sets, r->sets, sizeof *r->alike);
		r->sums = hash_alloc(2, r->sets, sizeof *r->sums);
	}
	if (r->codes == NULL || r->product == NULL || r->dots == NULL || r->alike == NULL || r->sums == NULL)
	{
		free(first);
		hash_ksh_residual_clear(r);
		return hash_no_memory(err, "similarities of rows");
	}
	for (size_t a = 0; a < r->sets; a++)
	{
		for (size_t b = 0; b < r->sets; b++)
			r->alike[a * r->sets + b] = hash_labels_share(labels, first[a], labels, first[b]) ? bits : -bits;
	}
	free(first);
	return EDDH_OK;
}

double
hash_ksh_product(const hash_ksh_residual *r, const float *y)
{
	double *by_set = r->sums, *weight = r->sums + r->sets, total = 0;

	memset(by_set, 0, r->sets * sizeof *by_set);
	for (size_t i = 0; i < r->rows; i++)
		by_set[r->set[i]] += y[i];
	nn_dgemm(false, false, r->sets, 1, r->sets, 1, r->alike, r->sets, by_set, 1, 0, weight, 1);
	nn_gemv(false, (size_t) r->done, r->rows, r->codes, r->rows, y, 0, r->dots);
	nn_gemv(true, (size_t) r->done, r->rows, r->codes, r->rows, r->dots, 0, r->product);
	for (size_t i = 0; i < r->rows; i++)
	{
		r->product[i] = (float) (weight[r->set[i]] - r->product[i]);
		total += (double) y[i] * r->product[i];
	}
	return total;
}

void
hash_ksh_subtract(hash_ksh_residual *r, const float *y)
{
	memcpy(r->codes + (size_t) r->done++ * r->rows, y, r->rows * sizeof *y);
}

double
hash_ksh_smooth(const hash_ksh_residual *r, const float *u, float *y, float *slope)
{
	double value;

	/* tanh(u / 2) = (1 - e) / (1 + e) with e = exp(-u), and its derivative 2 e / (1 + e)^2, neither of which overflows. */
	for (size_t i = 0; i < r->rows; i++)
	{
		float e = expf(-fabsf(u[i]));

		y[i] = copysignf((1 - e) / (1 + e), u[i]);
		if (slope != NULL)
			slope[i] = 4 * e / ((1 + e) * (1 + e));
	}
	value = hash_ksh_product(r, y);
	for (size_t i = 0; slope != NULL && i < r->rows; i++)
		slope[i] *= r->product[i];
	return value;
}
