/* half.c: see half.h. */
#include "nn/half.h"

#include <stdatomic.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

/* Every processor with AVX2 has F16C, but whoever simulates one may hide it; clang 14 has no name for it. Asking takes long in a virtual machine. */
static bool
has_f16c(void)
{
#if defined(__x86_64__)
	static atomic_int known; /* 0: not asked yet, 1: no, 2: yes */
	unsigned a, b, c, d;

	if (atomic_load_explicit(&known, memory_order_relaxed) == 0)
		atomic_store_explicit(&known, __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C) ? 2 : 1, memory_order_relaxed);
	return atomic_load_explicit(&known, memory_order_relaxed) == 2;
#else
	return false;
#endif
}

nn_simd
nn_half_level(void)
{
	return has_f16c() ? nn_simd_level() : NN_SIMD_BASE;
}

float
nn_half_widen(uint16_t half)
{
	uint32_t sign = (uint32_t) (half & 0x8000) << 16;
	uint32_t exponent = (half >> 10) & 0x1f;
	uint32_t fraction = half & 0x3ff;
	uint32_t bits;
	float value;

	if (exponent == 0)
	{
		value = (float) fraction * 0x1p-24f;
		return sign ? -value : value;
	}
	bits = sign | (exponent == 31 ? 0x7f800000 : (exponent + 112) << 23) | fraction << 13;
	memcpy(&value, &bits, sizeof(value));
	return value;
}

static bool
narrow(float value, uint16_t *half)
{
	uint32_t bits, sign;
	float magnitude = value < 0 ? -value : value;

	memcpy(&bits, &value, sizeof(bits));
	sign = bits >> 16 & 0x8000;
	if (magnitude < 0x1p-14f) /* a multiple of the smallest, or none */
		*half = (uint16_t) (sign | (uint32_t) (magnitude * 0x1p24f));
	else if (magnitude <= 65504.0f)
		*half = (uint16_t) (sign | ((bits >> 23 & 0xff) - 112) << 10 | (bits >> 13 & 0x3ff));
	else
		*half = (uint16_t) (sign | 0x7c00);
	return nn_half_widen(*half) == value;
}

#if defined(__x86_64__)

static NN_HALF_AVX2 void
widen_avx2(size_t n, const uint16_t *halves, float *out)
{
	size_t i = 0;

	for (; i + 8 <= n; i += 8)
		_mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) (halves + i))));
	for (; i < n; i++)
		out[i] = nn_half_widen(halves[i]);
}

/* Rounds, and looks whether anything changed. */
static NN_HALF_AVX2 bool
narrow_avx2(size_t n, const float *values, uint16_t *halves)
{
	size_t i = 0;

	for (; i + 8 <= n; i += 8)
	{
		__m256 value = _mm256_loadu_ps(values + i);
		__m128i half = _mm256_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT);

		_mm_storeu_si128((__m128i *) (halves + i), half);
		if (_mm256_movemask_ps(_mm256_cmp_ps(_mm256_cvtph_ps(half), value, _CMP_EQ_OQ)) != 0xff)
			return false;
	}
	for (; i < n; i++)
		if (!narrow(values[i], &halves[i]))
			return false;
	return true;
}

#endif

void
nn_halves_widen(size_t n, const uint16_t *halves, float *out)
{
#if defined(__x86_64__)
	if (nn_half_level() != NN_SIMD_BASE)
	{
		widen_avx2(n, halves, out);
		return;
	}
#endif
	for (size_t i = 0; i < n; i++)
		out[i] = nn_half_widen(halves[i]);
}

bool
nn_halves_narrow(size_t n, const float *values, uint16_t *halves)
{
#if defined(__x86_64__)
	if (nn_half_level() != NN_SIMD_BASE)
		return narrow_avx2(n, values, halves);
#endif
	for (size_t i = 0; i < n; i++)
		if (!narrow(values[i], &halves[i]))
			return false;
	return true;
}
