/* exchange.h: networks in and out as ONNX. Private to model/. Include after postgres.h. */
#ifndef EDDH_MODEL_EXCHANGE_H
#define EDDH_MODEL_EXCHANGE_H

#include "utils/jsonb.h"

#include "model/model.h"

/* A stored network's graph, checksum verified, held by the current memory context; what: "model \"products\"". */
extern nn_graph *ModelReadNetwork(int64 object, const uint8 *sha, const char *what);

/*
 * The same of a file that is installed with the extension (shipped.c), in the folder of its SQL. Errors: as opening a file; XX001 if its checksum is another.
 */
extern nn_graph *ModelReadShipped(const char *file, const uint8 *sha, const char *what);

/* What a graph is stored as; bytes are freed with the current memory context. */
typedef struct ModelImported
{
	nn_buffer onnx;
	uint8 sha[MODEL_SHA_BYTES];
	image_prep prep;
} ModelImported;

extern void ModelSerialise(const nn_graph *graph, ModelImported *out);

/*
 * A stranger's file to a graph (held by the current memory context) and to what is stored: never the file itself. Preprocessing: options, else the file's
 * metadata, else (size only) the input's shape; mean and std must be known. features: cut at options.cut, else where nn_graph_default_cut says unless
 * the file's output is called "features"; otherwise the graph stays whole.
 */
extern nn_graph *ModelReadImport(const uint8 *onnx, size_t len, Jsonb *options, bool features, ModelImported *imported);

/* Name of the tensor that a graph ends with; belongs to the graph. */
extern const char *ModelOutputName(const nn_graph *graph);

/* 42602 for an empty or too long name; what: "model". */
extern void ModelCheckName(const char *what, const char *name);
extern Datum ModelShaDatum(const uint8 *sha);

#endif /* EDDH_MODEL_EXCHANGE_H */
