/* place.c: offsets in one arena for buffers with known lifetimes: largest first, each at the lowest gap among those alive at the same time. */
#include "nn/plan.h"

#include <stdlib.h>
#include <string.h>

#define ALIGN_FLOATS 16 /* 64 bytes */

static int
by_size(const void *a, const void *b)
{
	const nn_item *x = a;
	const nn_item *y = b;

	if (x->floats != y->floats)
		return x->floats < y->floats ? 1 : -1;
	if (x->from != y->from)
		return x->from < y->from ? -1 : 1;
	return x->to < y->to ? -1 : x->to > y->to;
}

eddh_code
nn_place(size_t n, nn_item *items, size_t *total, eddh_error *err)
{
	/* Those already placed, by offset. */
	const nn_item **placed = malloc(sizeof(*placed) * (n + 1));
	size_t n_placed = 0;

	*total = 0;
	if (placed == NULL)
		return eddh_fail(err, EDDH_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < n; i++)
	{
		size_t rounded;

		if (!eddh_size_add(items[i].floats, ALIGN_FLOATS - 1, &rounded))
			rounded = SIZE_MAX;
		items[i].floats = rounded / ALIGN_FLOATS * ALIGN_FLOATS;
	}
	qsort(items, n, sizeof(*items), by_size);
	for (size_t i = 0; i < n; i++)
	{
		nn_item *item = &items[i];
		size_t at = 0;
		size_t end;
		size_t slot;

		for (size_t j = 0; j < n_placed; j++)
		{
			const nn_item *other = placed[j];

			if (other->from > item->to || other->to < item->from)
				continue;
			if (*other->place >= at && *other->place - at >= item->floats)
				break;
			if (*other->place + other->floats > at)
				at = *other->place + other->floats;
		}
		if (!eddh_size_add(at, item->floats, &end) || end > SIZE_MAX / sizeof(float))
		{
			free(placed);
			return eddh_fail(err, EDDH_OVER_LIMIT, "the network needs more memory than can be addressed");
		}
		*item->place = at;
		if (end > *total)
			*total = end;
		for (slot = n_placed; slot > 0 && *placed[slot - 1]->place > at; slot--)
			placed[slot] = placed[slot - 1];
		placed[slot] = item;
		n_placed++;
	}
	free(placed);
	return EDDH_OK;
}
