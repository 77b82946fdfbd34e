/* bulk.c: arrays as long as the table. */
#include "postgres.h"

#include "train/bulk.h"
#include "train/spool.h"
#include "train/worker.h"
#include "utils/memutils.h"

#define LEAST_BYTES ((size_t) 1 << 20) /* a file for less is not worth it */

typedef struct Room
{
	Spool *spool;
	void *memory;
	struct Room *next;
} Room;

static Room *rooms;

typedef struct Wanted
{
	size_t bytes;
	Room *room;
} Wanted;

static void
OpenRoom(void *arg)
{
	Wanted *wanted = arg;
	MemoryContext old = MemoryContextSwitchTo(WorkerContext());

	wanted->room = palloc(sizeof(Room));
	wanted->room->memory = SpoolRoom(wanted->bytes, &wanted->room->spool);
	MemoryContextSwitchTo(old);
}

static void *
Alloc(void *arg, size_t bytes)
{
	Wanted wanted = { .bytes = bytes };

	if (bytes < LEAST_BYTES)
		return calloc(1, bytes);
	if (!WorkerAttempt(OpenRoom, &wanted))
		return NULL;
	wanted.room->next = rooms;
	rooms = wanted.room;
	return rooms->memory;
}

static void
Release(void *arg, void *memory)
{
	for (Room **at = &rooms; *at != NULL; at = &(*at)->next)
		if ((*at)->memory == memory)
		{
			Room *room = *at;

			*at = room->next;
			SpoolFree(room->spool);
			pfree(room);
			return;
		}
	free(memory);
}

const eddh_bulk TrainBulk = { .alloc = Alloc, .release = Release };

void *
TrainBulkAlloc(size_t rows, size_t width, size_t size)
{
	void *memory = eddh_bulk_alloc(&TrainBulk, rows, width, size);
	eddh_error err;

	if (memory == NULL)
	{
		(void) eddh_fail(&err, EDDH_NO_MEMORY, "not enough memory for %zu x %zu numbers", rows, width);
		WorkerRaise(&err, NULL);
	}
	return memory;
}
