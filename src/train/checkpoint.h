/*
 * checkpoint.h: what a training has learned so far, as rows of eddh_catalog.checkpoint. Include after postgres.h.
 *
 * In a table, because a table survives a crash, goes with its database and its extension, is replicated, and is written together with the progress.
 * Parts are replaced as a whole. Everything here needs a transaction, as the bootstrap superuser.
 */
#ifndef EDDH_TRAIN_CHECKPOINT_H
#define EDDH_TRAIN_CHECKPOINT_H

/* A part is a few runs of memory, one behind the other. */
typedef struct CheckpointPiece
{
	void *bytes;
	size_t len;
} CheckpointPiece;

/* Locks the table for writing, until the end of the transaction; false if it is gone or somebody is in the way. */
extern bool CheckpointLock(void);
extern void CheckpointWrite(int64 job, int part, int n, const CheckpointPiece *pieces);

/* Fills the pieces; false if there is no such part, or one of another length. */
extern bool CheckpointRead(int64 job, int part, int n, const CheckpointPiece *pieces);
extern void CheckpointDelete(int64 job);

#endif /* EDDH_TRAIN_CHECKPOINT_H */
