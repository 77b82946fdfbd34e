/* counting_bulk.h: bulk memory that knows what it gave and can run out. Include after cmocka.h. */
#ifndef COUNTING_BULK_H
#define COUNTING_BULK_H

#include "common/bulk.h"

#include <stdlib.h>

typedef struct counting
{
	void *held[64];
	size_t size[64];
	int count;          /* held now */
	int *left;          /* allocations until there is no more; NULL: never */
	size_t bytes;       /* in all */
	size_t *now, *most; /* held, with those of others that share it; NULL: nobody asks */
} counting;

static inline void *
counting_alloc(void *arg, size_t bytes)
{
	counting *c = arg;

	if (c->left != NULL && *c->left == 0)
		return NULL;
	if (c->left != NULL)
		(*c->left)--;
	assert_true(bytes > 0 && c->count < 64);
	c->bytes += bytes;
	if (c->now != NULL)
	{
		*c->now += bytes;
		*c->most = *c->now > *c->most ? *c->now : *c->most;
	}
	c->size[c->count] = bytes;
	return c->held[c->count++] = calloc(bytes, 1);
}

static inline void
counting_release(void *arg, void *memory)
{
	counting *c = arg;

	for (int i = 0; i < c->count; i++)
	{
		if (c->held[i] == memory)
		{
			if (c->now != NULL)
				*c->now -= c->size[i];
			c->held[i] = c->held[--c->count];
			c->size[i] = c->size[c->count];
			free(memory);
			return;
		}
	}
	fail_msg("released what it did not give");
}

#endif /* COUNTING_BULK_H */
