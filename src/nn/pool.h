/*
 * pool.h: a few threads that do the same thing to different parts. For processes that may have threads: jobs, never a backend.
 *
 * Work is assigned by thread number, never by who comes first: the same number of threads gives the same sums. Threads sleep between tasks. All
 * signals are blocked in them, so that a server's handlers run on its main thread only.
 */
#ifndef EDDH_NN_POOL_H
#define EDDH_NN_POOL_H

#include "common/result.h"

typedef struct nn_pool nn_pool;

/* threads >= 1, the calling thread being one of them: with 1 nothing is started. */
extern eddh_code nn_pool_create(int threads, nn_pool **out, eddh_error *err);
extern void nn_pool_free(nn_pool *pool);
extern int nn_pool_threads(const nn_pool *pool);

/* task(arg, t) for t = 0 (the caller) .. threads - 1, side by side; returns when all have returned. From the creating thread only. */
extern void nn_pool_run(nn_pool *pool, void (*task)(void *arg, int thread), void *arg);

/* Part `part` of `parts` of 0 .. count - 1: *first and the number of items; sizes differ by at most one. */
static inline size_t
nn_pool_part(size_t count, int parts, int part, size_t *first)
{
	size_t each = count / (size_t) parts;
	size_t rest = count % (size_t) parts;
	size_t p = (size_t) part;

	*first = p * each + (p < rest ? p : rest);
	return each + (p < rest);
}

#endif /* EDDH_NN_POOL_H */
