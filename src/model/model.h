/*
 * model.h: models and backbones as rows of eddh_catalog; the mapped cache of decoded weights; the encoder. Include after postgres.h.
 *
 * A backbone is a stored network whose output is the features. A model is trunk + head: the trunk is its backbone cut at a tensor (or nothing:
 * then the head sees the pixels), the head is stored with the model and ends in `bits` linear outputs; bit j of a code = [output j >= 0].
 *
 * Everything returned lives in the memory context that is current during the call, and is released when that is reset: also the nn_graphs,
 * which are not palloc'd (a reset callback frees them; never nn_graph_free one of them).
 * Reads are index scans under the active snapshot (no SPI), checked against GetUserId(). Writes are direct tuple inserts, updates and deletes: they need
 * no privilege on the tables, run no user code, and check that GetUserId() may do it: so the caller's role must be in force.
 */
#ifndef EDDH_MODEL_H
#define EDDH_MODEL_H

#include "utils/array.h"
#include "utils/varbit.h"

#include "image/image.h"
#include "nn/nn.h"

#define MODEL_SHA_BYTES        32
#define MODEL_FIRST_ID         1000 /* of what users make; built-in backbones have smaller ones */
#define MODEL_BACKBONE_CATALOG "backbone"
#define MODEL_CATALOG          "model"
#define MODEL_CHUNK_CATALOG    "chunk"
#define MODEL_GRANT_CATALOG    "object_grant"
#define MODEL_DEFAULT_BACKBONE "photo" /* where neither argument nor eddh.backbone names one */
#define MODEL_NAME_MAX         63      /* bytes of a model's or backbone's name */
#define MODEL_ENCODE_BATCH     32      /* pictures in one forward pass of batch calls */

/* ---- Settings (settings.c) ---- */

extern char *ModelSettingModel;    /* eddh.model */
extern char *ModelSettingBackbone; /* eddh.backbone */
extern void ModelInit(void);       /* from _PG_init */

/* eddh.max_pixels and eddh.max_scans. */
extern image_limits ModelImageLimits(void);

/* ---- Privileges (acl.c) ---- */

/* "public", a role whose privileges GetUserId() has, or anything if it is superuser. A role that no longer exists: superusers only. */
extern bool ModelHasRole(const char *role);

/* Name of GetUserId(): what owners are stored as. */
extern char *ModelCurrentRole(void);

/* ---- Backbones (backbone.c) ---- */

typedef struct ModelBackbone
{
	int64 id;
	char *name;
	char *owner; /* NULL for a built-in one */
	uint8 sha[MODEL_SHA_BYTES];
	bool
		builtin; /* weights are made by code from a fixed seed, or in a file that is installed with the extension; not stored */
	bool trained;
	int features;
	int64 parameters;
	int64 macs;   /* of one picture forward */
	char *output; /* tensor that holds the features; NULL if its name is no text in this database */
	image_prep prep;
} ModelBackbone;

/*
 * By name; NULL = eddh.backbone, else MODEL_DEFAULT_BACKBONE. Unknown, or not the caller's to use: 42704 with a HINT listing those that are.
 */
extern ModelBackbone *ModelFindBackbone(const char *name);
extern ModelBackbone *ModelGetBackbone(int64 id); /* by a model's reference, without privilege check */

/*
 * The whole network, features as output, its own copy in memory (read from the catalog, checksum verified; XX001 if it does not match).
 * seed: of the initial weights of a built-in backbone; ModelBuiltinSeed gives those eddh_features uses. Ignored for stored ones.
 */
#define ModelBuiltinSeed UINT64_C(1)
extern nn_graph *ModelReadBackbone(const ModelBackbone *backbone, uint64 seed);

/* ---- Models (catalog.c, store.c) ---- */

typedef struct ModelInfo
{
	int64 id;
	char *name;
	char *owner;
	int64 backbone; /* 0 for an imported one */
	char *cut; /* where the head begins: a tensor of the backbone, "" = its output; NULL = the head sees the pixels */
	uint8 sha[MODEL_SHA_BYTES]; /* of the head's ONNX */
	char *method;
	int bits;
} ModelInfo;

/*
 * By name; NULL = eddh.model (22023 with a HINT if that is empty). Unknown: 42704 with a HINT listing the caller's. Known but neither owned nor
 * granted: 42501. missing_ok: NULL instead of 42704.
 */
extern ModelInfo *ModelFind(const char *name, bool missing_ok);

/* Raises what eddh_train must refuse early: a bad name; a name that is taken (42710; with replace, unless the caller owns it: 42501). */
extern void ModelCheckNewName(const char *name, bool replace);

typedef struct ModelNew
{
	const char *name;
	const ModelBackbone
		*backbone; /* NULL for an imported model: then cut is NULL and head's metadata say how to prepare a picture */
	/*
	 * Where the head begins: "" or the backbone's output = at the features, else at this tensor of it; NULL: the head is the whole network. A model on a
	 * built-in backbone is always stored whole (trunk and head are joined here), so that it never depends on weights made by code.
	 */
	const char *cut;
	const nn_graph *trunk; /* the backbone up to cut; needed where that is built in and cut is not NULL */
	/* Ends in bits outputs; gets the preparation of pictures as metadata where it is the whole network. */
	nn_graph *head;
	const char *method;
	int bits;
	char **classes; /* names of the classes it learned; nclasses 0 without labels */
	int nclasses;
	int64 images;
	const char *options; /* jsonb text of what it was trained with */
	int64 seed;
	double quality; /* held-out tie-aware mAP; NaN = unknown */
	bool replace;   /* an existing model of this name keeps its id and grants */
} ModelNew;

/* Owner: GetUserId(). Returns the id. Visible after CommandCounterIncrement, which it does. */
extern int64 ModelStore(ModelNew *model);

/* ---- Encoder (encoder.c) ---- */

typedef struct ModelEncoder ModelEncoder;

/* Lives in the current memory context. max_batch pictures in one forward pass. The weights are shared with all backends (cache.c). */
extern ModelEncoder *ModelEncoderCreate(const ModelInfo *model, int max_batch);
extern ModelEncoder *ModelEncoderCreateForBackbone(const ModelBackbone *backbone, int max_batch);

/*
 * For jobs, whose process may have threads: decoding and network on so many of them, by ModelEncoderRunPictures alone, up to ModelEncoderMaxBatch
 * pictures at once. The outputs depend on the number of threads, and on what else is in the batch, by rounding alone.
 */
extern ModelEncoder *ModelEncoderCreateThreaded(const ModelInfo *model, int threads);

/* As Create with max_batch 1, but kept by the backend for later calls: valid until the next call of the same function. */
extern ModelEncoder *ModelEncoderShared(const ModelInfo *model);
extern ModelEncoder *ModelEncoderSharedForBackbone(const ModelBackbone *backbone);

extern int ModelEncoderOutputs(const ModelEncoder *encoder); /* bits, or features */
extern int ModelEncoderMaxBatch(const ModelEncoder *encoder);

/*
 * Decodes one picture into slot (0..max_batch-1) under eddh.max_pixels and eddh.max_scans. On failure err says why, the slot holds nothing, and
 * nothing is raised: the caller decides whether a bad picture is an error.
 */
extern eddh_code ModelEncoderLoad(ModelEncoder *encoder, int slot, const uint8 *bytes, size_t len, eddh_error *err);

/*
 * Runs the network over slots 0..n-1, into the encoder's own output: n x ModelEncoderOutputs floats. Serves interrupts; raises errors.
 */
extern const float *ModelEncoderRun(ModelEncoder *encoder, int n);

typedef struct ModelPicture
{
	const uint8 *bytes;
	size_t len;
	eddh_code code; /* out: as ModelEncoderLoad says it; not EDDH_OK: this picture's outputs mean nothing */
	eddh_error err;
} ModelPicture;

/* Load and Run in one, of n <= max_batch pictures, on all threads. Serves interrupts; raises errors of the network, not of pictures. */
extern const float *ModelEncoderRunPictures(ModelEncoder *encoder, int n, ModelPicture *pictures);

/* bit(bits) of one row of outputs, palloc'd. NaN: 22003. */
extern VarBit *ModelCode(int bits, const float *u);

/* Pictures this backend has sent through a network so far: what tests count. */
extern int64 ModelNetworkRuns(void);

#endif /* EDDH_MODEL_H */
