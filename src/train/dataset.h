/* dataset.h: a table of pictures as a training sees it. Include after postgres.h. */
#ifndef EDDH_TRAIN_DATASET_H
#define EDDH_TRAIN_DATASET_H

#include "hash/hash.h"
#include "image/image.h"
#include "model/labels.h"
#include "train/spool.h"

typedef struct DataSet
{
	image_prep prep;
	size_t rows;
	size_t unlabelled;           /* rows left out because they have no label */
	LabelDictionary *dictionary; /* NULL without labels */
	hash_labels *labels;         /* of all rows; NULL without labels */
	Spool *spool;
	const uint8 *pixels; /* rows x size x size x 3 */
} DataSet;

/*
 * Reads the job's table: every picture that can be decoded and, where there is a label column, has a label. Others are counted (pictures that cannot be decoded also
 * named) in the job. The pictures are unpacked once, at the network's input size, to a spool. Needs no transaction, and leaves none.
 */
extern DataSet *DataSetRead(const image_prep *prep, int64 expected_rows);

static inline const uint8 *
DataSetPicture(const DataSet *data, size_t row)
{
	return data->pixels + row * (size_t) data->prep.size * data->prep.size * 3;
}

/* Labels of some rows, renumbered 0..n-1. In the current memory context. */
extern hash_labels *DataSetLabels(const DataSet *data, size_t n, const uint32 *rows);

#endif /* EDDH_TRAIN_DATASET_H */
