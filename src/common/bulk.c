/* bulk.c: see bulk.h. */
#include "common/bulk.h"

#include "common/result.h"

#include <stdlib.h>

void *
eddh_bulk_alloc(const eddh_bulk *bulk, size_t rows, size_t width, size_t size)
{
	size_t count, bytes;

	if (!eddh_size_mul(rows, width, &count) || !eddh_size_mul(count, size, &bytes))
		return NULL;
	bytes = bytes > 0 ? bytes : 1;
	return bulk != NULL ? bulk->alloc(bulk->arg, bytes) : calloc(bytes, 1);
}

void
eddh_bulk_free(const eddh_bulk *bulk, void *memory)
{
	if (bulk == NULL)
		free(memory);
	else if (memory != NULL)
		bulk->release(bulk->arg, memory);
}
