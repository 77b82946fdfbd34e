/* spool.c: a temporary file, written in order and then mapped. */
#include "postgres.h"

#include <fcntl.h>
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
Fail(const Spool *spool)
{
	ereport(
		ERROR,
		(errcode_for_file_access(), errmsg("could not write to temporary file \"%s\": %m", FilePathName(spool->file)),
		 errhint(
			 "Jobs keep pictures, features and codes in temporary files; of a training the NOTICE of eddh_train says how much they take.")));
}

static void
WriteAll(Spool *spool, const void *bytes, size_t len, off_t at)
{
	size_t done = 0;

	while (done < len)
	{
		int n = FileWrite(spool->file, (char *) bytes + done, len - done, at + done, WAIT_EVENT_BUFFILE_WRITE);

		if (n <= 0)
			Fail(spool);
		done += n;
	}
}

static void
Flush(Spool *spool)
{
	WriteAll(spool, spool->buffer, spool->buffered, spool->written);
	spool->written += spool->buffered;
	spool->buffered = 0;
}

void
SpoolWrite(Spool *spool, const void *bytes, size_t len)
{
	const uint8 *from = bytes;

	Assert(spool->buffer != NULL);
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

/*
 * A file that was only made longer would do, but for a disk that is full: that has to show here, not as a SIGBUS when the memory is used. Where blocks cannot be
 * reserved, something is written to each (by the C library or below); a file system that puts what overwrites it elsewhere keeps that danger.
 */
void
SpoolExtend(Spool *spool, size_t bytes)
{
	static const char zero = 0;
	off_t begin;
	int error = EOPNOTSUPP;

	Assert(spool->buffer != NULL);
	Flush(spool);
	begin = spool->written;
	/* By fd.c, which counts it against temp_file_limit and leaves the descriptor open. */
	WriteAll(spool, &zero, 1, begin + bytes - 1);
#ifdef HAVE_POSIX_FALLOCATE
	pgstat_report_wait_start(WAIT_EVENT_BUFFILE_WRITE);
	do
		error = posix_fallocate(FileGetRawDesc(spool->file), begin, bytes);
	while (error == EINTR);
	pgstat_report_wait_end();
#endif
	if (error == EOPNOTSUPP || error == EINVAL)
	{
		memset(spool->buffer, 0, BUFFER_BYTES);
		for (size_t done = 0; done < bytes; done += BUFFER_BYTES)
			WriteAll(spool, spool->buffer, Min(BUFFER_BYTES, bytes - done), begin + done);
	}
	else if (error != 0)
	{
		errno = error;
		Fail(spool);
	}
	spool->written = begin + bytes;
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
SpoolMapWritable(Spool *spool)
{
	Assert(spool->map == NULL && SpoolSize(spool) > 0);
	return Map(spool, PROT_READ | PROT_WRITE);
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
