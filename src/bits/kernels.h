/*
 * kernels.h: Hamming distances between packed codes, with run-time CPU dispatch. Plain C.
 *
 * A code of n bits is (n + 7) / 8 bytes as in PostgreSQL's bit type: first bit = highest bit of the first byte, unused bits of the
 * last byte zero. No alignment is asked of any pointer, and no byte outside of the given ranges is read. Nothing here fails or
 * allocates, and any number of threads may call it.
 */
#ifndef EDDH_BITS_KERNELS_H
#define EDDH_BITS_KERNELS_H

#include "common/result.h"

/* Number of differing bits of two codes of len bytes. */
extern uint64_t bits_distance(size_t len, const uint8_t *a, const uint8_t *b);

/* out[i] = distance of query and codes + i * len, i < n. A code has less than 2^32 bits. */
extern void bits_distances(size_t len, size_t n, const uint8_t *query, const uint8_t *codes, uint32_t *out);

/* Twins without SIMD, for tests and for other machines. */
extern uint64_t bits_distance_naive(size_t len, const uint8_t *a, const uint8_t *b);
extern void bits_distances_naive(size_t len, size_t n, const uint8_t *query, const uint8_t *codes, uint32_t *out);

/* "avx512-vpopcntdq", "avx2", "popcnt" or "portable": what this machine runs. */
extern const char *bits_kernel_name(void);

/* One way of computing the two functions above. */
typedef struct bits_kernel
{
	const char *name;
	bool (*supported)(void);
	uint64_t (*distance)(size_t len, const uint8_t *a, const uint8_t *b);
	void (*distances)(size_t len, size_t n, const uint8_t *query, const uint8_t *codes, uint32_t *out);
} bits_kernel;

/* The i-th kernel that this CPU can run, fastest first, or NULL beyond the last: for tests and benchmarks. */
extern const bits_kernel *bits_kernel_at(size_t i);

#endif /* EDDH_BITS_KERNELS_H */
