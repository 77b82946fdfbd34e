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
	uint8 buffer[BUFFER_BYTES];
};

Spool *
SpoolCreate(void)
{
	Spool *spool = palloc(sizeof(Spool));

	spool->file = OpenTemporaryFile(true);
	spool->written = 0;
	spool->buffered = 0;
	spool->map = NULL;
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
					 "Pictures are unpacked to a temporary file while a model is trained; eddh_train says how large it will be.")));
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

const void *
SpoolMap(Spool *spool)
{
	if (spool->map != NULL || SpoolSize(spool) == 0)
		return spool->map;
	Flush(spool);
	/* FileSize opens the descriptor if fd.c has closed it for want of descriptors. */
	(void) FileSize(spool->file);
	spool->map = mmap(NULL, (size_t) spool->written, PROT_READ, MAP_SHARED, FileGetRawDesc(spool->file), 0);
	if (spool->map == MAP_FAILED)
	{
		spool->map = NULL;
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not map temporary file \"%s\": %m", FilePathName(spool->file))));
	}
	return spool->map;
}

void
SpoolFree(Spool *spool)
{
	if (spool == NULL)
		return;
	if (spool->map != NULL)
		munmap(spool->map, (size_t) spool->written);
	FileClose(spool->file);
	pfree(spool);
}
