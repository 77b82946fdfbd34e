/* metadata.h: preprocessing between a graph's metadata, a jsonb column, and options. Private to model/. Include after postgres.h. */
#ifndef EDDH_MODEL_METADATA_H
#define EDDH_MODEL_METADATA_H

#include "utils/jsonb.h"

#include "image/image.h"
#include "nn/nn.h"

extern eddh_code ModelPrepFromGraph(const nn_graph *graph, image_prep *prep, eddh_error *err);
extern eddh_code ModelPrepFromJsonb(Jsonb *jsonb, image_prep *prep, eddh_error *err);
extern void ModelPrepToGraph(const image_prep *prep, nn_graph *graph);
extern void ModelSetMetadata(nn_graph *graph, const char *key, const char *value);

/* A scalar as text, an array of scalars as texts separated by blanks, an object as JSON; NULL where absent or null. */
extern char *ModelJsonbText(Jsonb *jsonb, const char *key);

/* 22023 unless options is an object with these keys only (the list ends with NULL). */
extern void ModelCheckOptionNames(Jsonb *options, const char *const *allowed);

/* A graph's eddh.* metadata as an object of strings. */
extern Jsonb *ModelGraphMetadata(const nn_graph *graph);

#endif /* EDDH_MODEL_METADATA_H */
