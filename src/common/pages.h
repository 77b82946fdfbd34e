/* pages.h: large pages for large arrays. */
#ifndef EDDH_PAGES_H
#define EDDH_PAGES_H

#include <stddef.h>

#define EDDH_LARGE_PAGE ((size_t) 2 << 20)

/*
 * Memory that is about to be written for the first time: asks the kernel for large pages inside it, for with small ones hundreds of megabytes spend seconds on
 * page faults. Where there are none, or it is small, nothing happens.
 */
extern void eddh_large_pages(void *memory, size_t bytes);

#endif /* EDDH_PAGES_H */
