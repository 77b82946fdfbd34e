/* progress.h: what a worker has done so far, kept in the process and written from time to time. Private to worker.c and progress.c. */
#ifndef EDDH_TRAIN_PROGRESS_H
#define EDDH_TRAIN_PROGRESS_H

#include "train/job.h"

extern bool ProgressDue(TimestampTz now);
extern void ProgressFill(JobChange *change);
extern void ProgressFlushLog(int64 job); /* entries leave memory with ProgressWritten */
extern void ProgressWritten(void);

#endif /* EDDH_TRAIN_PROGRESS_H */
