/*
 * cache.h: decoded weights, one file a network, mapped read-only by every backend that uses it (README.md). Private to model/. Include after postgres.h.
 */
#ifndef EDDH_MODEL_CACHE_H
#define EDDH_MODEL_CACHE_H

#include "nn/nn.h"

typedef struct ModelMapping ModelMapping;

/* Makes the graph where no valid file is there yet; called in a memory context that is deleted afterwards. */
typedef nn_graph *(*ModelCacheFill)(void *arg);

/*
 * The graph with this checksum, up to `cut` (NULL: all of it). The mapping stays until as many releases as opens; the first later open may unmap what
 * nobody holds. Errors: 53100 where the disk is full, whatever fill raises.
 */
extern ModelMapping *ModelCacheOpen(const uint8 *sha, const char *cut, ModelCacheFill fill, void *arg);
extern const nn_graph *ModelMappingGraph(const ModelMapping *mapping);
extern void ModelCacheRelease(ModelMapping *mapping);

/* The file is gone: the network was dropped or replaced since it was opened. */
extern bool ModelCacheIsStale(const ModelMapping *mapping);

/*
 * Removes the file when the transaction commits. Harmless for who still has it mapped, and for who needs it again: the next open fills it anew.
 */
extern void ModelCacheForget(const uint8 *sha, const char *cut);

#endif /* EDDH_MODEL_CACHE_H */
