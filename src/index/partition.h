/* partition.h: records of a build that do not fit in memory, see partition.c. */
#ifndef EDDH_INDEX_PARTITION_H
#define EDDH_INDEX_PARTITION_H

#include "index/ham.h"

typedef struct HamPartitions HamPartitions;

extern HamPartitions *HamPartitionsCreate(Relation index, const HamShape *shape, const uint64 *records, Size count,
										  int wanted);
extern void HamPartitionsAdd(HamPartitions *partitions, const uint64 *record);
extern int32 HamPartitionsLoad(HamPartitions *partitions, HamLoader *loader, uint64 *records, Size room);

#endif /* EDDH_INDEX_PARTITION_H */
