/* labels.c: which classes a row has (hash.h). */
#include "hash/private.h"

#include <stdlib.h>

eddh_code
hash_labels_create(const eddh_bulk *bulk, size_t rows, int classes, hash_labels **out, eddh_error *err)
{
	hash_labels *labels;

	*out = NULL;
	if (classes < 1)
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "labels need at least one class, not %d", classes);
	labels = calloc(1, sizeof *labels);
	if (labels == NULL)
		return hash_no_memory(err, "labels");
	labels->bulk = bulk;
	labels->rows = rows;
	labels->classes = classes;
	labels->words = (int) (((size_t) classes + 63) / 64);
	labels->bitmap = eddh_bulk_alloc(labels->bulk, rows, labels->words, sizeof *labels->bitmap);
	if (labels->bitmap == NULL)
	{
		hash_labels_free(labels);
		return hash_no_memory(err, "labels");
	}
	*out = labels;
	return EDDH_OK;
}

void
hash_labels_add(hash_labels *labels, size_t row, int label)
{
	labels->bitmap[row * labels->words + label / 64] |= UINT64_C(1) << (label % 64);
}

eddh_code
hash_labels_finish(hash_labels *labels, eddh_error *err)
{
	eddh_bulk_free(labels->bulk, labels->single);
	labels->single = eddh_bulk_alloc(labels->bulk, labels->rows, 1, sizeof *labels->single);
	if (labels->single == NULL)
		return hash_no_memory(err, "labels");
	for (size_t i = 0; i < labels->rows; i++)
	{
		int first = hash_labels_next(labels, i, 0);

		if (first >= 0 && hash_labels_next(labels, i, first + 1) >= 0)
		{
			eddh_bulk_free(labels->bulk, labels->single);
			labels->single = NULL;
			return EDDH_OK;
		}
		labels->single[i] = first;
	}
	return EDDH_OK;
}

void
hash_labels_free(hash_labels *labels)
{
	if (labels == NULL)
		return;
	eddh_bulk_free(labels->bulk, labels->bitmap);
	eddh_bulk_free(labels->bulk, labels->single);
	free(labels);
}

bool
hash_labels_share(const hash_labels *a, size_t row_a, const hash_labels *b, size_t row_b)
{
	const uint64_t *x = a->bitmap + row_a * a->words;
	const uint64_t *y = b->bitmap + row_b * b->words;
	int words = a->words < b->words ? a->words : b->words;

	for (int w = 0; w < words; w++)
	{
		if ((x[w] & y[w]) != 0)
			return true;
	}
	return false;
}

int
hash_labels_next(const hash_labels *labels, size_t row, int from)
{
	const uint64_t *bitmap = labels->bitmap + row * labels->words;

	for (int w = from / 64; w < labels->words; w++)
	{
		uint64_t rest = bitmap[w];

		if (w == from / 64)
			rest &= ~UINT64_C(0) << (from % 64);
		if (rest != 0)
			return w * 64 + __builtin_ctzll(rest);
	}
	return -1;
}
