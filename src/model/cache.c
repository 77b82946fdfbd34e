/*
 * cache.c: decoded weights in files that all backends map.
 *
 * A file base/pgsql_tmp/pgsql_tmp_eddh.<key> is a header and a graph in nn's flat form. The server removes it at start (its name begins with pgsql_tmp), base
 * backups skip it, and nobody needs it to survive: it can be made from the catalog at any time, on a standby too. So it is not synced and not
 * WAL-logged, and whoever finds it missing, cut off, foreign or damaged makes it anew.
 *
 * It is written with write(), never through a mapping: a full disk is then an error and not SIGBUS. It appears by rename, so a reader sees a whole
 * file or none; two backends that fill it at once do so under two temporary names, and the later rename wins: both files are the same.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

#include "access/xact.h"
#include "common/pages.h"
#include "miscadmin.h"
#include "port/pg_crc32c.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#include "model/cache.h"
#include "model/catalog.h"
#include "model/model.h"
#include "report.h"

#define CACHE_FOLDER  "base/" PG_TEMP_FILES_DIR
#define CACHE_PREFIX  PG_TEMP_FILE_PREFIX "_eddh."
#define CACHE_MAGIC   UINT64_C(0x3130504d48444445) /* "EDDHMP01" */
#define CACHE_PIECE   ((size_t) 1 << 20)           /* bytes between looks for interrupts */
#define CACHE_PATH    128
#define CACHE_MAX_AGE (7 * 24 * 3600) /* seconds since a backend last opened it */

/* Before the flat block, which must begin on a 64-byte boundary. */
typedef struct CacheHeader
{
	uint64 magic;
	uint64 length; /* of the block */
	uint8 key[MODEL_SHA_BYTES];
	pg_crc32c crc; /* of the block */
	uint8 unused[12];
} CacheHeader;

StaticAssertDecl(sizeof(CacheHeader) == 64, "the flat block must be aligned");

struct ModelMapping
{
	ModelMapping *next;
	uint8 key[MODEL_SHA_BYTES];
	uint8 *base;
	size_t length;
	nn_graph *graph; /* its weights are in the mapping */
	int users;
};

/* Of this backend, whatever transaction opened them. */
static ModelMapping *mappings = NULL;

/* Keys of files to remove at commit; in TopMemoryContext. */
typedef struct Forgotten
{
	struct Forgotten *next;
	uint8 key[MODEL_SHA_BYTES];
} Forgotten;

static Forgotten *forgotten = NULL;
static bool callback_registered = false;

static void
CacheKey(const uint8 *sha, const char *cut, uint8 *key)
{
	size_t cut_len = cut == NULL ? 0 : strlen(cut);
	size_t len = MODEL_SHA_BYTES + 1 + cut_len;
	uint8 *named = palloc(len);

	memcpy(named, sha, MODEL_SHA_BYTES);
	named[MODEL_SHA_BYTES] = cut == NULL ? 0 : 1;
	if (cut != NULL)
		memcpy(named + MODEL_SHA_BYTES + 1, cut, cut_len);
	ModelSha(named, len, key);
	pfree(named);
}

static void
CachePath(const uint8 *key, char *path)
{
	char *p = path + snprintf(path, CACHE_PATH, "%s/%s", CACHE_FOLDER, CACHE_PREFIX);

	for (int i = 0; i < MODEL_SHA_BYTES; i++)
		p += snprintf(p, 3, "%02x", key[i]);
}

static void
Unmap(ModelMapping *mapping)
{
	nn_graph_free(mapping->graph);
	munmap(mapping->base, mapping->length);
	pfree(mapping);
}

bool
ModelCacheIsStale(const ModelMapping *mapping)
{
	char path[CACHE_PATH];
	struct stat st;

	CachePath(mapping->key, path);
	return stat(path, &st) != 0;
}

/* Unmaps what nobody uses and what is no longer on disk, so that a dropped model's space comes back while connections stay open. */
static void
Sweep(void)
{
	for (ModelMapping **link = &mappings; *link != NULL;)
	{
		ModelMapping *mapping = *link;

		if (mapping->users == 0 && ModelCacheIsStale(mapping))
		{
			*link = mapping->next;
			Unmap(mapping);
		}
		else
			link = &mapping->next;
	}
}

static pg_crc32c
Checksum(const uint8 *bytes, size_t len)
{
	pg_crc32c crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, bytes, len);
	FIN_CRC32C(crc);
	return crc;
}

/* Maps the file if it is what it should be; NULL otherwise. */
static ModelMapping *
MapFile(const char *path, const uint8 *key)
{
	ModelMapping *mapping = MemoryContextAllocZero(TopMemoryContext, sizeof(ModelMapping));
	int fd = OpenTransientFile(path, O_RDONLY | PG_BINARY);
	const CacheHeader *header;
	struct stat st;
	eddh_error err;
	void *base = MAP_FAILED;

	if (fd >= 0)
	{
		if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64) st.st_size >= sizeof(CacheHeader))
			base = mmap(NULL, st.st_size, PROT_READ, MAP_SHARED, fd, 0);
		CloseTransientFile(fd);
	}
	if (base == MAP_FAILED)
	{
		pfree(mapping);
		return NULL;
	}
	header = base;
	mapping->base = base;
	mapping->length = st.st_size;
	memcpy(mapping->key, key, MODEL_SHA_BYTES);
	if (header->magic == CACHE_MAGIC && memcmp(header->key, key, MODEL_SHA_BYTES) == 0 &&
		header->length == mapping->length - sizeof(CacheHeader) &&
		header->crc == Checksum(mapping->base + sizeof(CacheHeader), header->length) &&
		nn_flat_attach(mapping->base + sizeof(CacheHeader), header->length, &mapping->graph, &err) == EDDH_OK)
	{
		(void) utime(path, NULL); /* for CollectGarbage; whoever cannot does not matter */
		return mapping;
	}
	munmap(base, mapping->length);
	pfree(mapping);
	return NULL;
}

static void
WriteAll(int fd, const char *path, const void *bytes, size_t len)
{
	const char *from = bytes;

	while (len > 0)
	{
		ssize_t written;

		CHECK_FOR_INTERRUPTS();
		errno = 0;
		written = write(fd, from, Min(len, CACHE_PIECE));
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
		{
			if (errno == 0)
				errno = ENOSPC;
			ereport(
				ERROR,
				(errcode_for_file_access(), errmsg("could not write file \"%s\": %m", path),
				 errhint(
					 "Every network in use needs its size (eddh_models.bytes, eddh_backbones.bytes) in the server's temporary folder.")));
		}
		from += written;
		len -= written;
	}
}

/* Removes files that no backend has opened for long: of models dropped on the primary, of dropped databases, of DROP EXTENSION. */
static void
CollectGarbage(void)
{
	DIR *folder = AllocateDir(CACHE_FOLDER);
	struct dirent *entry;
	time_t now = time(NULL);

	while (folder != NULL && (entry = ReadDirExtended(folder, CACHE_FOLDER, LOG)) != NULL)
	{
		char path[MAXPGPATH];
		struct stat st;

		if (strncmp(entry->d_name, CACHE_PREFIX, strlen(CACHE_PREFIX)) != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", CACHE_FOLDER, entry->d_name);
		if (stat(path, &st) == 0 && now - st.st_mtime > CACHE_MAX_AGE)
			unlink(path);
	}
	if (folder != NULL)
		FreeDir(folder);
}

static int
OpenNew(const char *path)
{
	const int flags = O_CREAT | O_TRUNC | O_WRONLY | PG_BINARY;
	int fd = OpenTransientFile(path, flags);

	if (fd < 0 && errno == ENOENT)
	{
		/* Made on first use by whoever comes first, sorts included. */
		if (MakePGDirectory(CACHE_FOLDER) != 0 && errno != EEXIST)
			ereport(ERROR, (errcode_for_file_access(), errmsg("could not create directory \"%s\": %m", CACHE_FOLDER)));
		fd = OpenTransientFile(path, flags);
	}
	if (fd < 0)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not create file \"%s\": %m", path)));
	return fd;
}

/* The whole file under its temporary name, then under its own. */
static void
WriteFile(const char *temporary, const char *path, const CacheHeader *header, const uint8 *block)
{
	int fd = OpenNew(temporary);

	WriteAll(fd, temporary, header, sizeof(CacheHeader));
	WriteAll(fd, temporary, block, header->length);
	if (CloseTransientFile(fd) != 0)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not close file \"%s\": %m", temporary)));
	if (rename(temporary, path) != 0)
		ereport(ERROR,
				(errcode_for_file_access(), errmsg("could not rename file \"%s\" to \"%s\": %m", temporary, path)));
}

static void
FillFile(const char *path, const uint8 *key, ModelCacheFill fill, void *arg)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "eddh cache fill", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	char *temporary = psprintf("%s.%d", path, MyProcPid);
	CacheHeader header = { .magic = CACHE_MAGIC };
	nn_graph *graph;
	uint8 *block;

	CollectGarbage();
	graph = fill(arg);
	header.length = nn_flat_size(graph);
	memcpy(header.key, key, MODEL_SHA_BYTES);
	block = (uint8 *) TYPEALIGN(64, MemoryContextAllocHuge(context, header.length + 63));
	eddh_large_pages(block, header.length);
	nn_flat_write(graph, block);
	header.crc = Checksum(block, header.length);
	PG_TRY();
	{
		WriteFile(temporary, path, &header, block);
	}
	PG_CATCH();
	{
		unlink(temporary);
		PG_RE_THROW();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}

ModelMapping *
ModelCacheOpen(const uint8 *sha, const char *cut, ModelCacheFill fill, void *arg)
{
	uint8 key[MODEL_SHA_BYTES];
	char path[CACHE_PATH];
	ModelMapping *mapping;

	CacheKey(sha, cut, key);
	for (mapping = mappings; mapping != NULL; mapping = mapping->next)
		if (memcmp(mapping->key, key, MODEL_SHA_BYTES) == 0)
		{
			mapping->users++;
			return mapping;
		}

	Sweep();
	CachePath(key, path);
	mapping = MapFile(path, key);
	/* Again: a transaction that dropped a network of the same content may remove what we have just made. */
	for (int attempt = 0; mapping == NULL && attempt < 3; attempt++)
	{
		FillFile(path, key, fill, arg);
		mapping = MapFile(path, key);
	}
	if (mapping == NULL)
		ereport(
			ERROR,
			(errcode(ERRCODE_IO_ERROR), errmsg("could not map file \"%s\"", path),
			 errhint(
				 "Look for a limit on address space (ulimit -v), or for another program that changes the server's temporary files.")));
	mapping->users = 1;
	mapping->next = mappings;
	mappings = mapping;
	return mapping;
}

const nn_graph *
ModelMappingGraph(const ModelMapping *mapping)
{
	return mapping->graph;
}

void
ModelCacheRelease(ModelMapping *mapping)
{
	Assert(mapping->users > 0);
	mapping->users--;
}

/* At commit the files go; at abort the list does. A prepared transaction's files stay until CollectGarbage or a restart. */
static void
AtEndOfTransaction(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	while (forgotten != NULL)
	{
		Forgotten *item = forgotten;
		char path[CACHE_PATH];

		if (event == XACT_EVENT_COMMIT)
		{
			CachePath(item->key, path);
			unlink(path);
		}
		forgotten = item->next;
		pfree(item);
	}
}

void
ModelCacheForget(const uint8 *sha, const char *cut)
{
	Forgotten *item = MemoryContextAlloc(TopMemoryContext, sizeof(Forgotten));

	if (!callback_registered)
	{
		RegisterXactCallback(AtEndOfTransaction, NULL);
		callback_registered = true;
	}
	CacheKey(sha, cut, item->key);
	item->next = forgotten;
	forgotten = item;
}
