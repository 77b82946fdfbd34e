/*
 * replay.h: how a training goes on from a checkpoint, whatever its method. Include after postgres.h.
 *
 * A method is deterministic, and sees the network through three calls only (hash_net): an epoch, which gives it a mean loss; outputs; features. So what
 * these gave is recorded, and a training that is resumed runs its method from the beginning, with the recorded answers instead of the network's work, until
 * they are used up; then the network goes on with the weights of the checkpoint. What the method computes between the calls is computed again.
 */
#ifndef EDDH_TRAIN_REPLAY_H
#define EDDH_TRAIN_REPLAY_H

#include "common/result.h"
#include "train/checkpoint.h"

typedef enum ReplayKind
{
	REPLAY_EPOCH,
	REPLAY_OUTPUTS,
	REPLAY_FEATURES
} ReplayKind;

/* Where in its work a network is. */
typedef struct ReplayState
{
	uint64 fingerprint; /* of everything the training depends on: a checkpoint of another is of no use */
	uint64 trainer_step;
	uint64 steps_done;
	uint64 start;        /* in the epoch that is not finished: samples shown */
	double loss_sum;     /* of those */
	int64 elapsed;       /* microseconds of learning */
	double head_seconds; /* the hash layer had learned alone, before; 0: not yet */
	int32 epoch;
	int32 n_records;
} ReplayState;

typedef struct Replay Replay;

/* weights: what a checkpoint keeps of the network, n pieces of memory that it reads and, in ReplayLoad, fills. Lives as long as the job. */
extern Replay *ReplayCreate(uint64 fingerprint, int n, const CheckpointPiece *weights);

/* Fills weights and *state from the job's checkpoint; false, and nothing changed, if there is none that fits. Ends the job on errors. */
extern bool ReplayLoad(Replay *replay, ReplayState *state);

/* The network begins to work: from now on time counts until the next checkpoint. To be called before ReplayTick. NULL: nothing. */
extern void ReplayStart(Replay *replay);

/* *given: the call has a recorded answer, which is now in `answer` (len bytes; for an epoch its mean loss). Else the network has to work. */
extern eddh_code ReplayNext(Replay *replay, ReplayKind kind, void *answer, size_t len, bool *given, eddh_error *err);

/* The answer the network has given. */
extern eddh_code ReplayRecord(Replay *replay, ReplayKind kind, const void *answer, size_t len, eddh_error *err);

/* Writes a checkpoint if it is time (eddh.checkpoint_interval). */
extern eddh_code ReplayTick(Replay *replay, const ReplayState *state, eddh_error *err);

#endif /* EDDH_TRAIN_REPLAY_H */
