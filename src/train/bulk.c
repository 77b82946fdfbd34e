/* bulk.c: arrays as long as the table. */
#include "postgres.h"

#include "miscadmin.h"
#include "train/bulk.h"
#include "train/spool.h"
#include "train/worker.h"
#include "utils/memutils.h"

#define LEAST_BYTES ((size_t) 1 << 20)  /* a file for less is not worth it */
#define SLICE_BYTES ((size_t) 64 << 20) /* of a file, between two looks whether to stop */

typedef struct Room
{
	Spool *spool;
	void *memory;
	struct Room *next;
} Room;

static Room *rooms;

/* What Alloc attempts, a part at a time. */
typedef struct Wanted
{
	size_t bytes;
	size_t found; /* of these */
	Room *room;
} Wanted;

static void
OpenRoom(void *arg)
{
	Wanted *wanted = arg;
	MemoryContext old = MemoryContextSwitchTo(WorkerContext());

	wanted->room = palloc0(sizeof(Room));
	wanted->room->spool = SpoolCreate();
	MemoryContextSwitchTo(old);
}

static void
ExtendRoom(void *arg)
{
	Wanted *wanted = arg;
	size_t now = Min(SLICE_BYTES, wanted->bytes - wanted->found);

	SpoolExtend(wanted->room->spool, now);
	wanted->found += now;
}

static void
MapRoom(void *arg)
{
	Wanted *wanted = arg;

	wanted->room->memory = SpoolMapWritable(wanted->room->spool);
}

/* Closing a file may log its size, and to log is to look for interrupts: an error must not jump from plain C. */
static void
CloseRoom(Room *room)
{
	HOLD_INTERRUPTS();
	SpoolFree(room->spool);
	pfree(room);
	RESUME_INTERRUPTS();
}

static void *
Alloc(void *arg, size_t bytes)
{
	Wanted wanted = { .bytes = bytes };
	bool ok;

	if (bytes < LEAST_BYTES)
		return calloc(1, bytes);
	if (!WorkerAttempt(OpenRoom, &wanted))
		return NULL;
	do
		ok = !eddh_stopped(&WorkerStop) && WorkerAttempt(ExtendRoom, &wanted);
	while (ok && wanted.found < bytes);
	if (!ok || !WorkerAttempt(MapRoom, &wanted))
	{
		CloseRoom(wanted.room);
		return NULL;
	}
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
			CloseRoom(room);
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
