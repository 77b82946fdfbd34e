/*
 * labels.h: label columns to classes, for training and for evaluation. Include after postgres.h.
 *
 * A label is told apart by its type's text output. A column may be of any scalar type, or an array: then a row has every class in it (NULL
 * elements do not count). NULL or an empty array: the row is unlabelled. Reading calls the type's output function: run it as the table's reader.
 */
#ifndef EDDH_MODEL_LABELS_H
#define EDDH_MODEL_LABELS_H

#include "hash/hash.h"

typedef struct LabelDictionary LabelDictionary; /* class name <-> number, in order of first appearance */
typedef struct LabelRows LabelRows;             /* the classes of rows 0, 1, 2, ... */

extern LabelDictionary *LabelDictionaryCreate(void); /* in the current memory context */
extern int LabelDictionaryCount(const LabelDictionary *dictionary);
extern const char *LabelDictionaryName(const LabelDictionary *dictionary, int label);

/*
 * Rows of a column of this type; several may share one dictionary (queries and database). In the current memory context.
 */
extern LabelRows *LabelRowsCreate(LabelDictionary *dictionary, Oid column_type);

/* The next row. Returns how many classes it has. 54000 over LABEL_MAX_CLASSES distinct labels (HINT: is this a key?). */
#define LABEL_MAX_CLASSES 65535
extern int LabelRowsAdd(LabelRows *rows, Datum value, bool isnull);
extern size_t LabelRowsCount(const LabelRows *rows);
extern size_t LabelRowsLabelled(const LabelRows *rows); /* rows with at least one class */

/*
 * Bitmaps over all classes the dictionary has now, from bulk (NULL: the heap); so read every table first. rows are numbered as added. The result is freed with
 * the current memory context. Raises 54000 where the bitmaps would exceed 1 GB; returns EDDH_NO_MEMORY where bulk has no more.
 */
extern eddh_code LabelRowsFinish(LabelRows *rows, const eddh_bulk *bulk, hash_labels **out, eddh_error *err);

#endif /* EDDH_MODEL_LABELS_H */
