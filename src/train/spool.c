/* spool.c: a temporary file, written in order and then mapped. */
#include "postgres.h"

#include <sys/mman.h>
#include <unistd.h>

#include "pgstat.h"
#include "storage/fd.h"
#include "train/spool.h"
#include "utils/wait_event.h"

#define BUFFER_BYTES (256 * 1024)

struct Spool
{
	File file;
	off_t written; /* bytes in the file */
	size_t buffered;
	void *map;
	uint8 *buffer; /* NULL: nothing more can be written */
};

Spool *
SpoolCreate(void)
{
	Spool *spool = palloc0(sizeof(Spool));

	spool->file = OpenTemporaryFile(true);
	spool->buffer = palloc(BUFFER_BYTES);
	return spool;
}

static void
Flush(Spool *spool)
{
	size_t done = 0;

	while (done < spool->buffered)
	{
		int n = FileWrite(spool->file, (char *) spool->buffer + done, spool->buffered - done, spool->written,
						  WAIT_EVENT_BUFFILE_WRITE);

		if (n <= 0)
			ereport(
				ERROR,
				(errcode_for_file_access(),
				 errmsg("could not write to temporary file \"%s\": %m", FilePathName(spool->file)),
				 errhint(
					 "A training keeps pictures, features and codes in temporary files; eddh_train says how much they take.")));
		done += n;
		spool->written += n;
	}
	spool->buffered = 0;
}

void
SpoolWrite(Spool *spool, const void *bytes, size_t len)
{
	const uint8 *from = bytes;

	while (len > 0)
	{
		size_t n = Min(len, BUFFER_BYTES - spool->buffered);

		memcpy(spool->buffer + spool->buffered, from, n);
		spool->buffered += n;
		from += n;
		len -= n;
		if (spool->buffered == BUFFER_BYTES)
			Flush(spool);
	}
}

size_t
SpoolSize(const Spool *spool)
{
	return (size_t) spool->written + spool->buffered;
}

/* What was written, as memory. */
static void *
Map(Spool *spool, int protection)
{
	Flush(spool);
	pfree(spool->buffer);
	spool->buffer = NULL;
	/* FileSize opens the descriptor if fd.c has closed it for want of descriptors. */
	(void) FileSize(spool->file);
	spool->map = mmap(NULL, (size_t) spool->written, protection, MAP_SHARED, FileGetRawDesc(spool->file), 0);
	if (spool->map == MAP_FAILED)
	{
		spool->map = NULL;
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not map temporary file \"%s\": %m", FilePathName(spool->file))));
	}
	return spool->map;
}

const void *
SpoolMap(Spool *spool)
{
	if (spool->map != NULL || SpoolSize(spool) == 0)
		return spool->map;
	return Map(spool, PROT_READ);
}

void *
SpoolRoom(size_t bytes, Spool **spool)
{
	Spool *room = SpoolCreate();

	/* Written, not just made as long: a disk that is full has to show here, not as a SIGBUS when the memory is used. */
	memset(room->buffer, 0, BUFFER_BYTES);
	for (size_t done = 0; done < bytes; done += room->buffered)
	{
		if (room->buffered == BUFFER_BYTES)
			Flush(room);
		room->buffered = Min(BUFFER_BYTES, bytes - done);
	}
	*spool = room;
	return Map(room, PROT_READ | PROT_WRITE);
}

void
SpoolFree(Spool *spool)
{
	if (spool == NULL)
		return;
	if (spool->map != NULL)
		munmap(spool->map, (size_t) spool->written);
	FileClose(spool->file);
	if (spool->buffer != NULL)
		pfree(spool->buffer);
	pfree(spool);
}
