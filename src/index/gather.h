/* gather.h: the heap scan of a build by several processes, see gather.c. */
#ifndef EDDH_INDEX_GATHER_H
#define EDDH_INDEX_GATHER_H

#include "access/tableam.h"
#include "storage/dsm.h"
#include "storage/shm_toc.h"
#include "index/ham.h"

typedef struct HamGather HamGather;

/* Takes a row: its code, or NULL. */
typedef void (*HamGatherRow)(void *state, const uint64 *code, HamPointer row);

extern HamGather *HamGatherStart(Relation heap, Relation index, IndexInfo *info);
extern TableScanDesc HamGatherScan(HamGather *gather);
extern uint32 HamGatherWait(HamGather *gather, IndexInfo *info, double *heapTuples);
extern void HamGatherRead(HamGather *gather, HamGatherRow take, void *state);
extern void HamGatherEnd(HamGather *gather);
extern PGDLLEXPORT void HamGatherWorkerMain(dsm_segment *segment, shm_toc *toc);

#endif /* EDDH_INDEX_GATHER_H */
