/* pages.c: see pages.h. */
#include "common/pages.h"

#include <stdint.h>
#include <sys/mman.h>

void
eddh_large_pages(void *memory, size_t bytes)
{
#ifdef MADV_HUGEPAGE
	size_t skip = (EDDH_LARGE_PAGE - (uintptr_t) memory % EDDH_LARGE_PAGE) % EDDH_LARGE_PAGE;

	/* The whole ones between its ends; the kernel may well say no. */
	if (bytes >= skip + EDDH_LARGE_PAGE)
		(void) madvise((char *) memory + skip, (bytes - skip) / EDDH_LARGE_PAGE * EDDH_LARGE_PAGE, MADV_HUGEPAGE);
#endif
}
