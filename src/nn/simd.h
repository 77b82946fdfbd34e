/*
 * simd.h: one body, several instruction sets, chosen at run time. Private to this room.
 *
 * A kernel is written once as a plain loop (an always-inline function), and instantiated by functions that carry target attributes: inlining a
 * function of the base instruction set into one of a larger set is allowed, and the compiler then vectorises it for the larger one. The base
 * version is what other processors run.
 *
 * NN_SIMD_KERNEL(linkage, name, (parameters), (arguments)) defines `linkage void name(parameters)` from the inline name_body.
 */
#ifndef EDDH_NN_SIMD_H
#define EDDH_NN_SIMD_H

/* The largest instruction set that nn_simd_level may answer. Tests lower it to exercise every version; nobody else writes it. */
typedef enum nn_simd
{
	NN_SIMD_BASE,
	NN_SIMD_AVX2,
	NN_SIMD_AVX512
} nn_simd;

extern nn_simd nn_simd_cap;
extern nn_simd nn_simd_level(void);

#define NN_INLINE static inline __attribute__((always_inline))

#if defined(__x86_64__)
#define NN_TARGET_AVX2 __attribute__((target("avx2,fma")))
#ifdef __clang__
#define NN_TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")))
#else
#define NN_TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,prefer-vector-width=512")))
#endif

/*
 * Vectors for the few kernels whose registers have to be laid out by hand. They may only be used in functions with the matching target; loads and
 * stores need no alignment.
 */
typedef float nn_vec8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef float nn_vec16 __attribute__((vector_size(64), aligned(4), may_alias));

#define NN_SIMD_KERNEL(linkage, name, parameters, arguments) \
	static NN_TARGET_AVX2 void name##_avx2 parameters        \
	{                                                        \
		name##_body arguments;                               \
	}                                                        \
	static NN_TARGET_AVX512 void name##_avx512 parameters    \
	{                                                        \
		name##_body arguments;                               \
	}                                                        \
	linkage void name parameters                             \
	{                                                        \
		switch (nn_simd_level())                             \
		{                                                    \
			case NN_SIMD_AVX512:                             \
				name##_avx512 arguments;                     \
				break;                                       \
			case NN_SIMD_AVX2:                               \
				name##_avx2 arguments;                       \
				break;                                       \
			case NN_SIMD_BASE:                               \
				name##_body arguments;                       \
				break;                                       \
		}                                                    \
	}
#else
#define NN_SIMD_KERNEL(linkage, name, parameters, arguments) \
	linkage void name parameters                             \
	{                                                        \
		name##_body arguments;                               \
	}
#endif

#endif /* EDDH_NN_SIMD_H */
