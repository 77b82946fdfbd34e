/* dataset.h: a table of pictures as a training sees it. Include after postgres.h. */
#ifndef EDDH_TRAIN_DATASET_H
#define EDDH_TRAIN_DATASET_H

#include "hash/hash.h"
#include "image/image.h"
#include "model/labels.h"
#include "train/options.h"

typedef struct DataSet
{
	image_prep prep;
	size_t rows;
	size_t unlabelled;           /* rows left out because they have no label */
	LabelDictionary *dictionary; /* NULL without labels */
	hash_labels *labels;         /* of all rows; NULL without labels */
	image_limits limits;         /* with which they were decoded; no stop */
	uint64 fingerprint;          /* of the files, and of pixels as a network sees them */
	const uint8 *pictures;       /* one after the other: files, or unpacked to picture_bytes */
	const uint64 *ends;          /* rows: where each ends */
	size_t picture_bytes;        /* size x size x 3; a picture of this length is unpacked */
	size_t files;                /* of them that are files */
	double decode_seconds;       /* of all pictures, all threads together */
} DataSet;

/*
 * Reads the job's table: every picture that can be decoded and, where there is a label column, has a label. Others are counted (pictures that cannot be decoded also
 * named) in the job. Pictures are kept in spools, as files or unpacked at the network's input size, as option decode says; threads decode them. Needs no
 * transaction, and leaves none. told(arg, data so far, rows seen, of so many): now and then, outside of transactions, but not for a view or a foreign table.
 */
typedef void (*DataSetTold)(void *arg, const DataSet *data, int64 seen, int64 total);
extern DataSet *DataSetRead(const image_prep *prep, TrainDecode decode, int threads, DataSetTold told, void *arg);

/* What decoding adds to a picture that is shown, on the average, all threads together. */
extern double DataSetShowSeconds(const DataSet *data);

/* The longest file that is kept as it is; pictures with longer ones, and with DECODE_AUTO those of very many pixels, are unpacked. */
extern int64 DataSetLongestFile(TrainDecode decode, int64 picture_bytes);

/*
 * *rgb: the picture's picture_bytes pixels, in the spool or decoded to *room, which is the caller's to free and NULL in the first case. Any thread. Errors
 * as image_load; a picture in the data set has been decoded before, so they mean a stop, or that there is no memory.
 */
extern eddh_code DataSetPicture(const DataSet *data, size_t row, const uint8 **rgb, uint8 **room, const eddh_stop *stop,
								eddh_error *err);

/* Labels of some rows, renumbered 0..n-1. In the current memory context. */
extern hash_labels *DataSetLabels(const DataSet *data, size_t n, const uint32 *rows);

#endif /* EDDH_TRAIN_DATASET_H */
