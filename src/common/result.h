/*
 * result.h: how the plain-C rooms report errors, poll for a stop and check sizes.
 *
 * Rules of all plain-C rooms (bits kernels, image, nn, hash):
 * - argument order: object, sizes, inputs, outputs, error last;
 * - a function that can fail returns eddh_code and fills *err; on failure it owns nothing it allocated;
 * - what a *_create or *_read function returns belongs to the caller and is released by the matching *_free, which takes NULL;
 * - no global state, no longjmp, no printing, no PostgreSQL.
 */
#ifndef EDDH_RESULT_H
#define EDDH_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum eddh_code
{
	EDDH_OK = 0,
	EDDH_BAD_DATA,     /* the bytes are malformed */
	EDDH_OVER_LIMIT,   /* well formed, but larger than the caller allows */
	EDDH_UNSUPPORTED,  /* well formed, but we do not do it */
	EDDH_BAD_ARGUMENT, /* the caller's parameters contradict each other */
	EDDH_NO_MEMORY,
	EDDH_NUMERIC, /* NaN, infinity, or a matrix that cannot be factored */
	EDDH_IO,
	EDDH_STOPPED /* the stop callback said so */
} eddh_code;

typedef struct eddh_error
{
	eddh_code code;
	char message[256]; /* lower case, no full stop: becomes errmsg or errdetail */
	char hint[256];    /* empty, or what the user can do */
} eddh_error;

/* Polled between units of work of at most some 10 ms. A NULL stop, or a NULL poll, never stops. */
typedef struct eddh_stop
{
	bool (*poll)(void *arg);
	void *arg;
} eddh_stop;

/* Fills *err (which may be NULL) and returns code, so that callers write `return eddh_fail(...)`. */
extern eddh_code eddh_fail(eddh_error *err, eddh_code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
extern void eddh_hint(eddh_error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static inline bool
eddh_stopped(const eddh_stop *stop)
{
	return stop != NULL && stop->poll != NULL && stop->poll(stop->arg);
}

/* *result = a * b, or false on overflow. */
static inline bool
eddh_size_mul(size_t a, size_t b, size_t *result)
{
	return !__builtin_mul_overflow(a, b, result);
}

static inline bool
eddh_size_add(size_t a, size_t b, size_t *result)
{
	return !__builtin_add_overflow(a, b, result);
}

#endif /* EDDH_RESULT_H */
