/* chunk.c: the bytes of a network as rows of about a megabyte, and their checksum. */
#include "postgres.h"

#include "access/detoast.h"
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "common/cryptohash.h"
#include "common/pages.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "model/catalog.h"
#include "model/model.h"

#define CHUNK_BYTES ((size_t) 1000 * 1000)

static void
ShaFailed(void)
{
	elog(ERROR, "could not compute a SHA-256 checksum");
}

void
ModelSha(const uint8 *bytes, size_t len, uint8 *sha)
{
	pg_cryptohash_ctx *context = pg_cryptohash_create(PG_SHA256);
	bool ok = context != NULL && pg_cryptohash_init(context) >= 0;

	/* In pieces: some libraries count in int, and a user may want to cancel. */
	for (size_t done = 0; ok && done < len; done += Min(CHUNK_BYTES, len - done))
		ok = pg_cryptohash_update(context, bytes + done, Min(CHUNK_BYTES, len - done)) >= 0;
	ok = ok && pg_cryptohash_final(context, sha, MODEL_SHA_BYTES) >= 0;
	pg_cryptohash_free(context);
	if (!ok)
		ShaFailed();
}

char *
ModelShaHex(const uint8 *sha)
{
	char *hex = palloc(2 * MODEL_SHA_BYTES + 1);

	for (int i = 0; i < MODEL_SHA_BYTES; i++)
		snprintf(hex + 2 * i, 3, "%02x", sha[i]);
	return hex;
}

void
ModelWriteChunks(int64 object, const uint8 *bytes, size_t len)
{
	Relation relation = ModelOpen(MODEL_TABLE_CHUNK, RowExclusiveLock);
	CatalogIndexState indexes = CatalogOpenIndexes(relation);
	bytea *data = palloc(VARHDRSZ + CHUNK_BYTES);
	int32 seq = 0;

	for (size_t done = 0; done < len; seq++)
	{
		size_t piece = Min(CHUNK_BYTES, len - done);
		Datum values[CHUNK_COLUMNS];
		bool nulls[CHUNK_COLUMNS] = { false };
		HeapTuple tuple;

		CHECK_FOR_INTERRUPTS();
		SET_VARSIZE(data, VARHDRSZ + piece);
		memcpy(VARDATA(data), bytes + done, piece);
		values[CHUNK_OBJECT - 1] = Int64GetDatum(object);
		values[CHUNK_SEQ - 1] = Int32GetDatum(seq);
		values[CHUNK_DATA - 1] = PointerGetDatum(data);
		tuple = heap_form_tuple(RelationGetDescr(relation), values, nulls);
		CatalogTupleInsertWithInfo(relation, tuple, indexes);
		heap_freetuple(tuple);
		done += piece;
	}
	pfree(data);
	CatalogCloseIndexes(indexes);
	table_close(relation, NoLock);
}

void
ModelDeleteChunks(int64 object)
{
	Relation relation = ModelOpen(MODEL_TABLE_CHUNK, RowExclusiveLock);
	Relation index;
	Snapshot snapshot = ModelWriteSnapshot();
	SysScanDesc scan = ModelBeginObjectScan(relation, MODEL_TABLE_CHUNK, object, &index, snapshot);
	HeapTuple tuple;

	while (HeapTupleIsValid(tuple = systable_getnext_ordered(scan, ForwardScanDirection)))
	{
		CHECK_FOR_INTERRUPTS();
		CatalogTupleDelete(relation, &tuple->t_self);
	}
	ModelEndObjectScan(scan, index);
	ModelReleaseSnapshot(snapshot);
	table_close(relation, NoLock);
}

/* Length of all chunks, from the headers of their TOAST pointers alone. */
static size_t
ChunksLength(Relation relation, int64 object, Snapshot snapshot)
{
	Relation index;
	SysScanDesc scan = ModelBeginObjectScan(relation, MODEL_TABLE_CHUNK, object, &index, snapshot);
	HeapTuple tuple;
	size_t len = 0;

	while (HeapTupleIsValid(tuple = systable_getnext_ordered(scan, ForwardScanDirection)))
	{
		bool isnull;
		Datum datum = heap_getattr(tuple, CHUNK_DATA, RelationGetDescr(relation), &isnull);

		if (!isnull)
			len += toast_raw_datum_size(datum) - VARHDRSZ;
	}
	ModelEndObjectScan(scan, index);
	return len;
}

uint8 *
ModelReadChunks(int64 object, const uint8 *sha, const char *what, size_t *len, Snapshot snapshot)
{
	Relation relation = ModelOpen(MODEL_TABLE_CHUNK, AccessShareLock);
	size_t total = ChunksLength(relation, object, snapshot), done = 0;
	uint8 *bytes = MemoryContextAllocHuge(CurrentMemoryContext, Max(total, 1));
	Relation index;
	SysScanDesc scan = ModelBeginObjectScan(relation, MODEL_TABLE_CHUNK, object, &index, snapshot);
	HeapTuple tuple;
	uint8 found[MODEL_SHA_BYTES];

	eddh_large_pages(bytes, total);
	while (HeapTupleIsValid(tuple = systable_getnext_ordered(scan, ForwardScanDirection)))
	{
		bool isnull;
		Datum datum = heap_getattr(tuple, CHUNK_DATA, RelationGetDescr(relation), &isnull);
		bytea *data;
		size_t piece;

		CHECK_FOR_INTERRUPTS();
		if (isnull)
			continue;
		data = DatumGetByteaPP(datum);
		piece = VARSIZE_ANY_EXHDR(data);
		if (piece > total - done)
			break; /* cannot be under one snapshot; the checksum will not match either */
		memcpy(bytes + done, VARDATA_ANY(data), piece);
		done += piece;
		if ((Pointer) data != DatumGetPointer(datum))
			pfree(data);
	}
	ModelEndObjectScan(scan, index);
	table_close(relation, AccessShareLock);

	ModelSha(bytes, done, found);
	if (memcmp(found, sha, MODEL_SHA_BYTES) != 0)
		ereport(
			ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED), errmsg("the stored weights of %s are damaged", what),
			 errdetail("%zu bytes with SHA-256 %s were read where %s was expected.", done, ModelShaHex(found),
					   ModelShaHex(sha)),
			 errhint(
				 "Restore the rows of eddh_catalog.chunk from a backup, or drop it and train or import it again.")));
	*len = done;
	return bytes;
}
