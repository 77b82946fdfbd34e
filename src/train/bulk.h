/*
 * bulk.h: memory for arrays that are as long as the table, in temporary files: what a training needs of its own then does not grow with the table.
 * Include after postgres.h.
 */
#ifndef EDDH_TRAIN_BULK_H
#define EDDH_TRAIN_BULK_H

#include "common/bulk.h"

/*
 * Arrays of less than a megabyte come from the heap. Where there is no more, alloc gives NULL and WorkerRaise knows why. All go with the process. Main thread only, inside
 * a transaction or not.
 */
extern const eddh_bulk TrainBulk;

/* rows x width elements, zeroed; ends the job where there is no more. To be given back with eddh_bulk_free(&TrainBulk, ...). */
extern void *TrainBulkAlloc(size_t rows, size_t width, size_t size);

#endif /* EDDH_TRAIN_BULK_H */
