/* admin.h: what sqlapi/ does to models and backbones on a user's behalf. Include after postgres.h. */
#ifndef EDDH_MODEL_ADMIN_H
#define EDDH_MODEL_ADMIN_H

#include "utils/jsonb.h"

#include "model/model.h"

/* models.c. Unknown: 42704; not the caller's: 42501. */
extern void ModelDrop(const char *name);
extern void ModelRename(const char *from, const char *to);
extern int64 ModelImport(const char *name, const uint8 *onnx, size_t len, Jsonb *options);
extern bytea *ModelExport(const ModelInfo *model);
extern bytea *ModelExportBackbone(const ModelBackbone *backbone);

/* backbone.c */
extern int64 ModelImportBackbone(const char *name, const uint8 *onnx, size_t len, Jsonb *options);
extern void ModelDropBackbone(const char *name);

/* grant.c. role: a role that exists, or "public". Granting twice, or revoking what is not granted, changes nothing. */
extern void ModelGrant(bool is_backbone, const char *name, const char *role);
extern void ModelRevoke(bool is_backbone, const char *name, const char *role);

#endif /* EDDH_MODEL_ADMIN_H */
