/*
 * half.h: numbers in half precision (IEEE 754 binary16) as they lie in files and flat blocks. Private to this room.
 */
#ifndef EDDH_NN_HALF_H
#define EDDH_NN_HALF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nn/simd.h"

#if defined(__x86_64__)
#define NN_HALF_AVX2   __attribute__((target("avx2,fma,f16c")))
#define NN_HALF_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")))
#endif

/* nn_simd_level, but the base where the processor has no instructions for halves: those that such functions may use. */
extern nn_simd nn_half_level(void);

/* Exact. */
extern float nn_half_widen(uint16_t half);

/* n of them. */
extern void nn_halves_widen(size_t n, const uint16_t *halves, float *out);

/* The halves of the same values, or false, with something in `halves`: one has none. NaN has none. */
extern bool nn_halves_narrow(size_t n, const float *values, uint16_t *halves);

#endif /* EDDH_NN_HALF_H */
