/* bulk.h: memory for arrays that are as long as the table: the caller's, who may have them in files. */
#ifndef EDDH_BULK_H
#define EDDH_BULK_H

#include <stddef.h>

typedef struct eddh_bulk
{
	void *(*alloc)(void *arg, size_t bytes);  /* zeroed; NULL: there is no more */
	void (*release)(void *arg, void *memory); /* what alloc gave */
	void *arg;
} eddh_bulk;

/*
 * Zeroed rows x width elements of size bytes; bulk NULL: from the heap. NULL if there is none or the size overflows. At least one byte, so that NULL always means
 * failure. Main thread only unless bulk is NULL.
 */
extern void *eddh_bulk_alloc(const eddh_bulk *bulk, size_t rows, size_t width, size_t size);
extern void eddh_bulk_free(const eddh_bulk *bulk, void *memory); /* NULL is allowed */

#endif /* EDDH_BULK_H */
