/* simd.c: which instruction set this processor, and the operating system under it, offer. */
#include "nn/simd.h"

nn_simd nn_simd_cap = NN_SIMD_AVX512;

nn_simd
nn_simd_level(void)
{
	nn_simd level = NN_SIMD_BASE;

#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
		__builtin_cpu_supports("avx512vl"))
		level = NN_SIMD_AVX512;
	else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		level = NN_SIMD_AVX2;
#endif
	return level < nn_simd_cap ? level : nn_simd_cap;
}
