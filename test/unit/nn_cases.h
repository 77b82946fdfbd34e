/*
 * nn_cases.h: random cases for the kernel tests: windows, buffers, comparison, finite differences. Every failure prints the whole case.
 */
#ifndef EDDH_TEST_NN_CASES_H
#define EDDH_TEST_NN_CASES_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/random.h"
#include "nn/kernels.h"
#include "nn/simd.h"

static inline int
pick(eddh_rng *rng, int lo, int hi)
{
	return lo + (int) eddh_rng_below(rng, (uint64_t) (hi - lo + 1));
}

/* count floats, 64-byte aligned, with a guard behind them that check_guard looks at. */
#define GUARD_FLOATS 16
#define GUARD_VALUE  123456.0f

static inline float *
buffer(size_t count)
{
	size_t bytes = (count + GUARD_FLOATS) * sizeof(float);
	float *b = aligned_alloc(64, (bytes + 63) / 64 * 64);

	assert_non_null(b);
	for (size_t i = 0; i < count; i++)
		b[i] = NAN; /* what a kernel does not write shows */
	for (size_t i = count; i < count + GUARD_FLOATS; i++)
		b[i] = GUARD_VALUE;
	return b;
}

static inline float *
random_buffer(eddh_rng *rng, size_t count)
{
	float *b = buffer(count);

	for (size_t i = 0; i < count; i++)
		b[i] = (float) eddh_rng_normal(rng);
	return b;
}

static inline float *
zero_buffer(size_t count)
{
	float *b = buffer(count);

	memset(b, 0, count * sizeof *b);
	return b;
}

static inline void
check_guard(const char *what, const char *text, size_t count, const float *b)
{
	for (size_t i = count; i < count + GUARD_FLOATS; i++)
		if (b[i] != GUARD_VALUE)
			fail_msg("%s written past its end at +%zu: %s", what, i - count, text);
}

/* |got - want| <= tolerance (1 + |want|), also by class: a NaN wants a NaN. */
static inline void
check_close(const char *what, const char *text, size_t count, const float *got, const float *want, double tolerance)
{
	for (size_t i = 0; i < count; i++)
	{
		double error = fabs((double) got[i] - (double) want[i]);

		if (isnan(got[i]) && isnan(want[i]))
			continue;
		if (got[i] == want[i])
			continue;
		if (!(error <= tolerance * (1.0 + fabs((double) want[i]))))
			fail_msg("%s[%zu of %zu]: got %.9g, want %.9g; case: %s", what, i, count, (double) got[i], (double) want[i],
					 text);
	}
	check_guard(what, text, count, got);
}

static inline void
window_text(const nn_window *g, char *text, size_t len)
{
	snprintf(text, len, "c %d h %d w %d kernel %dx%d stride %dx%d pads %d,%d,%d,%d dilation %dx%d out %dx%d", g->c,
			 g->h, g->w, g->kh, g->kw, g->sh, g->sw, g->ph0, g->pw0, g->ph1, g->pw1, g->dh, g->dw, g->oh, g->ow);
}

/* A window of small random geometry that has an output. Strides may exceed the kernel, pads are uneven and smaller than the kernel's reach. */
static inline nn_window
random_window(eddh_rng *rng, int channels, int max_size, bool *ceil_mode)
{
	nn_window g;

	do
	{
		memset(&g, 0, sizeof g);
		g.c = channels;
		g.h = pick(rng, 1, max_size);
		g.w = pick(rng, 1, max_size);
		g.kh = pick(rng, 1, 5);
		g.kw = pick(rng, 1, 5);
		if (pick(rng, 0, 2) == 0)
			g.kh = g.kw = 3;
		if (pick(rng, 0, 3) == 0)
			g.kh = g.kw = 1;
		g.sh = pick(rng, 1, 4);
		g.sw = pick(rng, 1, 4);
		if (pick(rng, 0, 1) == 0)
			g.sh = g.sw = pick(rng, 1, 2);
		g.dh = pick(rng, 0, 3) == 0 ? pick(rng, 2, 3) : 1;
		g.dw = pick(rng, 0, 3) == 0 ? pick(rng, 2, 3) : 1;
		if (pick(rng, 0, 3) != 0)
		{
			g.ph0 = pick(rng, 0, g.kh - 1);
			g.ph1 = pick(rng, 0, g.kh - 1);
			g.pw0 = pick(rng, 0, g.kw - 1);
			g.pw1 = pick(rng, 0, g.kw - 1);
		}
		*ceil_mode = pick(rng, 0, 1) == 1;
	} while (!nn_window_output(&g, *ceil_mode));
	return g;
}

/* sum of a[i] b[i] in double: a loss whose gradient with respect to a is b. */
static inline double
inner(size_t count, const float *a, const float *b)
{
	double sum = 0.0;

	for (size_t i = 0; i < count; i++)
		sum += (double) a[i] * (double) b[i];
	return sum;
}

/*
 * Compares got, the claimed gradient of loss(arg) with respect to x (count floats, which loss reads), with central differences at `probes` random
 * places. smooth = false: places where the one-sided differences disagree (a corner of ReLU, a change of maximum) are passed over.
 */
static inline void
check_gradient(eddh_rng *rng, const char *what, const char *text, double (*loss)(void *arg), void *arg, float *x,
			   size_t count, const float *got, int probes, float step, double tolerance, bool smooth)
{
	double scale = 0.0;

	for (size_t i = 0; i < count; i++)
	{
		if (!isfinite(got[i]))
			fail_msg("gradient of %s[%zu] is %g: %s", what, i, (double) got[i], text);
		scale = fabs((double) got[i]) > scale ? fabs((double) got[i]) : scale;
	}
	for (int p = 0; p < probes; p++)
	{
		size_t i = (size_t) eddh_rng_below(rng, count);
		float was = x[i];
		float up = was + step;
		float down = was - step;
		double middle, above, below, slope;

		middle = loss(arg);
		x[i] = up;
		above = loss(arg);
		x[i] = down;
		below = loss(arg);
		x[i] = was;
		slope = (above - below) / ((double) up - (double) down);
		if (!smooth && fabs((above - middle) / ((double) up - was) - (middle - below) / (was - (double) down)) >
						   tolerance * (1.0 + scale))
			continue;
		if (!(fabs(slope - (double) got[i]) <= tolerance * (1.0 + scale)))
			fail_msg("gradient of %s[%zu of %zu]: got %.9g, differences say %.9g; case: %s", what, i, count,
					 (double) got[i], slope, text);
	}
	check_guard(what, text, count, got);
}

/* Runs a test body at every instruction set this machine has. */
static inline void
at_every_level(void (*body)(void))
{
	nn_simd_cap = NN_SIMD_AVX512;
	for (int level = (int) nn_simd_level(); level >= (int) NN_SIMD_BASE; level--)
	{
		nn_simd_cap = (nn_simd) level;
		body();
	}
	nn_simd_cap = NN_SIMD_AVX512;
}

#endif /* EDDH_TEST_NN_CASES_H */
