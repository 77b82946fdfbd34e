/* bands.c: see bands.h. */
#include "nn/bands.h"

#include <string.h>

static int
clamp(int value, int lo, int hi)
{
	return value < lo ? lo : value > hi ? hi : value;
}

/* The first row of the input under output row `row`, and the one behind the last; maybe in the padding. */
static int
top_of(const nn_window *g, int row)
{
	return row * g->sh - g->ph0;
}

static int
bottom_of(const nn_window *g, int row)
{
	return top_of(g, row) + (g->kh - 1) * g->dh + 1;
}

void
nn_bands_start(nn_bands *b)
{
	memset(b->first, 0, sizeof b->first);
	memset(b->end, 0, sizeof b->end);
	memset(b->base, 0, sizeof b->base);
	memset(b->base_before, 0, sizeof b->base_before);
}

bool
nn_bands_next(nn_bands *b)
{
	int last = b->n - 1;

	memcpy(b->first, b->end, sizeof b->first);
	memcpy(b->base_before, b->base, sizeof b->base);
	if (b->first[last] == b->window[last].oh)
		return false;
	b->end[last] = clamp(b->first[last] + b->rows, 0, b->window[last].oh);
	for (int i = last; i > 0; i--)
	{
		const nn_window *g = &b->window[i];

		/* Nobody looks above the next row to be computed; a stride longer than the kernel passes rows over. */
		b->end[i - 1] = clamp(bottom_of(g, b->end[i] - 1), b->first[i - 1], g->h);
		b->base[i - 1] = clamp(top_of(g, b->first[i]), b->base[i - 1], b->first[i - 1]);
	}
	return true;
}

nn_window
nn_bands_window(const nn_bands *b, int layer, int *in_row)
{
	nn_window g = b->window[layer];
	int top = top_of(&g, b->first[layer]);
	int bottom = bottom_of(&g, b->end[layer] - 1);

	*in_row = clamp(top, 0, g.h);
	g.ph0 = *in_row - top;
	g.ph1 = bottom > g.h ? bottom - g.h : 0;
	g.h = (bottom > g.h ? g.h : bottom) - *in_row;
	g.oh = b->end[layer] - b->first[layer];
	return g;
}
