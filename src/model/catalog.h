/*
 * catalog.h: the tables of eddh_catalog as this room sees them: column numbers (sql/model.sql says the same), scans, writes.
 * Private to model/. Include after postgres.h.
 */
#ifndef EDDH_MODEL_CATALOG_H
#define EDDH_MODEL_CATALOG_H

#include "access/htup.h"
#include "access/skey.h"
#include "storage/lock.h"
#include "utils/rel.h"
#include "utils/snapshot.h"

#define MODEL_CATALOG_SCHEMA "eddh_catalog"

typedef enum ModelTable
{
	MODEL_TABLE_BACKBONE,
	MODEL_TABLE_MODEL,
	MODEL_TABLE_CHUNK,
	MODEL_TABLE_GRANT
} ModelTable;

/* backbone */
#define BACKBONE_ID         1
#define BACKBONE_NAME       2
#define BACKBONE_OWNER      3
#define BACKBONE_SHA        4
#define BACKBONE_BYTES      5
#define BACKBONE_INPUT_SIZE 6
#define BACKBONE_FEATURES   7
#define BACKBONE_PARAMETERS 8
#define BACKBONE_MACS       9
#define BACKBONE_TRAINED    10
#define BACKBONE_BUILTIN    11
#define BACKBONE_METADATA   12
#define BACKBONE_CREATED    13
#define BACKBONE_OUTPUT     14
#define BACKBONE_COLUMNS    14

/* model */
#define MODEL_ID       1
#define MODEL_NAME     2
#define MODEL_OWNER    3
#define MODEL_BACKBONE 4
#define MODEL_CUT      5
#define MODEL_SHA      6
#define MODEL_METHOD   7
#define MODEL_BITS     8
#define MODEL_CLASSES  9
#define MODEL_IMAGES   10
#define MODEL_OPTIONS  11
#define MODEL_SEED     12
#define MODEL_KERNEL   13
#define MODEL_QUALITY  14
#define MODEL_BYTES    15
#define MODEL_CREATED  16
#define MODEL_COLUMNS  16

/* chunk */
#define CHUNK_OBJECT  1
#define CHUNK_SEQ     2
#define CHUNK_DATA    3
#define CHUNK_COLUMNS 3

/* object_grant */
#define GRANT_OBJECT  1
#define GRANT_ROLE    2
#define GRANT_COLUMNS 2

/*
 * Opens a catalog table. 55000 with a HINT where the extension is not created in this database. Who writes keeps the lock until the end of the transaction,
 * as for any table that is not a system catalog: a rewrite of the table could lose rows that are not committed yet.
 */
extern Relation ModelOpen(ModelTable table, LOCKMODE lockmode);

/*
 * A copy of the one row whose key column equals the datum, or NULL. by_name: through the index on name, else through the primary key's first column.
 * snapshot: see ModelSnapshot.
 */
extern HeapTuple ModelRowByName(Relation relation, ModelTable table, const char *name, Snapshot snapshot);
extern HeapTuple ModelRowById(Relation relation, ModelTable table, int64 id, Snapshot snapshot);

/* An ordered scan of all rows of chunk or object_grant that belong to an object. */
extern struct SysScanDescData *ModelBeginObjectScan(Relation relation, ModelTable table, int64 object, Relation *index,
													Snapshot snapshot);
extern void ModelEndObjectScan(struct SysScanDescData *scan, Relation index);

/*
 * Readers see what their statement sees: the active snapshot. Writers, who have taken ModelLockName before, see what is committed now.
 * Registered with the current resource owner; give it back with ModelReleaseSnapshot.
 */
extern Snapshot ModelReadSnapshot(void);
extern Snapshot ModelWriteSnapshot(void);
extern void ModelReleaseSnapshot(Snapshot snapshot);

/*
 * Until the end of the transaction nobody else may create, drop, rename or grant (ExclusiveLock), or only use in a new object (ShareLock), this name.
 * Readers do not take it.
 */
extern void ModelLockName(ModelTable table, const char *name, LOCKMODE lockmode);

/* A new id for a backbone or model. */
extern int64 ModelNextId(void);

/* Refuses to write where that is impossible (standby, read-only transaction, parallel worker); what: "eddh_drop_model()". */
extern void ModelPreventReadOnly(const char *what);

/* Column of a tuple as C; NULL where null. */
extern char *ModelTupleText(HeapTuple tuple, Relation relation, int column);
extern int64 ModelTupleInt64(HeapTuple tuple, Relation relation, int column);
extern int32 ModelTupleInt32(HeapTuple tuple, Relation relation, int column);
extern bool ModelTupleBool(HeapTuple tuple, Relation relation, int column);
extern bool ModelTupleSha(HeapTuple tuple, Relation relation, int column, uint8 *sha);

/* A graph that is freed with the current memory context; fill ->graph afterwards. */
typedef struct ModelGraphHolder
{
	struct nn_graph *graph;
} ModelGraphHolder;
extern ModelGraphHolder *ModelHoldGraph(void);

/* ---- chunk.c: bytes of a network as rows ---- */

extern void ModelSha(const uint8 *bytes, size_t len, uint8 *sha);
extern char *ModelShaHex(const uint8 *sha);
extern void ModelWriteChunks(int64 object, const uint8 *bytes, size_t len);
extern void ModelDeleteChunks(int64 object);

/* palloc'd (huge) bytes. XX001 if they are not what sha says; what: "model \"products\"". */
extern uint8 *ModelReadChunks(int64 object, const uint8 *sha, const char *what, size_t *len, Snapshot snapshot);

/* ---- acl.c ---- */

extern bool ModelIsGranted(int64 object, Snapshot snapshot);
extern void ModelDeleteGrants(int64 object);

/* May GetUserId() use this: owner's privileges, or a grant. owner NULL: everybody may. */
extern bool ModelMayUse(int64 object, const char *owner, Snapshot snapshot);

/* 42501 unless GetUserId() has the owner's privileges; what: "model". */
extern void ModelCheckOwner(const char *what, const char *name, const char *owner);

/* "The models are: a, b." for a HINT: names of what GetUserId() may use, at most a dozen. */
extern char *ModelListUsable(ModelTable table);

#endif /* EDDH_MODEL_CATALOG_H */
