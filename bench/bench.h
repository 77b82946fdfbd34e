/* bench.h: what the benchmark programs share. */
#ifndef EDDH_BENCH_H
#define EDDH_BENCH_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/result.h"

/* CLOCK_MONOTONIC: what a user waits; CLOCK_PROCESS_CPUTIME_ID: what the processor worked, beside whatever else. */
static inline double
bench_seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double) t.tv_sec + 1e-9 * (double) t.tv_nsec;
}

static inline void
bench_check(eddh_code code, const eddh_error *err)
{
	if (code == EDDH_OK)
		return;
	fprintf(stderr, "%s: %s\n", __BASE_FILE__, err->message);
	exit(1);
}

#endif /* EDDH_BENCH_H */
