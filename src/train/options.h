/* options.h: what a training may be told in `options`: general parameters and those of its method. Include after postgres.h. */
#ifndef EDDH_TRAIN_OPTIONS_H
#define EDDH_TRAIN_OPTIONS_H

#include "hash/hash.h"

typedef enum TrainOption
{
	OPTION_TRAIN_LAYERS,
	OPTION_HEAD,
	OPTION_ANCHORS,
	OPTION_KERNEL_WIDTH,
	OPTION_EPOCHS,
	OPTION_HEAD_EPOCHS,
	OPTION_BATCH,
	OPTION_RATE,
	OPTION_RATE_LAST,
	OPTION_MOMENTUM,
	OPTION_WEIGHT_DECAY,
	OPTION_CLIP_NORM,
	OPTION_FLIP,
	OPTION_CROP,
	OPTION_DECODE,
	OPTION_HOLDOUT,
	OPTION_SEED,
	OPTION_THREADS,
	OPTION_REPLACE,
	OPTION_COUNT
} TrainOption;

/* Values of OPTION_TRAIN_LAYERS. */
typedef enum TrainLayers
{
	TRAIN_HASH,
	TRAIN_FC,
	TRAIN_ALL
} TrainLayers;

/* Values of OPTION_HEAD. */
typedef enum TrainHead
{
	HEAD_AUTO,
	HEAD_LINEAR,
	HEAD_ANCHORS
} TrainHead;

/* Values of OPTION_DECODE. */
typedef enum TrainDecode
{
	DECODE_AUTO,
	DECODE_ONCE,
	DECODE_ALWAYS
} TrainDecode;

typedef struct TrainOptions
{
	double value[OPTION_COUNT];
	double *method;           /* one a parameter of the method, in table order */
	bool given[OPTION_COUNT]; /* not left to a default */
	bool *method_given;       /* the same of the method's */
} TrainOptions;

/* The general ones, in the order of TrainOption; ends with a NULL name. */
extern const hash_param *TrainOptionsGeneral(void);

/*
 * Reads a jsonb object over the defaults for this method and backbone. An unknown key: 22023 with a HINT that lists the known ones; a value out of
 * range: 22023, naming it and its range.
 */
extern TrainOptions *TrainOptionsRead(Datum options, const hash_method *method, bool backbone_trained);

/*
 * What so many pictures to learn from want, where it was not given (docs/METHODS.md has the trials): those with several labels a wider kernel; and, where a hash
 * layer learns alone on a trained backbone, few pictures more epochs, since what counts is the number of steps, and several labels what the method wants for them.
 * fc has the defaults of hash.
 */
extern void TrainOptionsFit(TrainOptions *options, const hash_method *method, bool backbone_trained, double pictures,
							bool several_labels);

/* How many of n labelled pictures are kept out of the training of so many bits. */
extern size_t TrainOptionsHeldOut(const TrainOptions *options, size_t n, int bits);

/* Passes of the hash layer alone before the network's, and, with anchors, as many after; 0: none. */
extern int TrainOptionsHeadEpochs(const TrainOptions *options, bool backbone_trained);

/* Those of a hash layer that learns alone before a network does, or on what that has made of the pictures; valid while `options` is. */
extern TrainOptions *TrainOptionsHead(const TrainOptions *options, const hash_method *method);

/* Layers that learn: of a method without a network never more than the hash layer, whatever train_layers says. */
extern TrainLayers TrainOptionsLayers(const TrainOptions *options, const hash_method *method);

/* Whether the hash layer learns once more, on anchors, when the network (fc, all) has learned. */
extern bool TrainOptionsLearnsAgain(const TrainOptions *options, const hash_method *method, bool backbone_trained);

/* Anchors before a hash layer that learns alone; 0: none. */
extern int TrainOptionsAnchors(const TrainOptions *options, const hash_method *method);

/* All of them, defaults included, as a jsonb object: what the job and the model keep. Reading it again gives the same values. */
extern Datum TrainOptionsWrite(const TrainOptions *options, const hash_method *method);

extern int TrainThreads;            /* setting eddh.train_threads */
extern int TrainCheckpointInterval; /* setting eddh.checkpoint_interval: seconds; -1: no checkpoints */
extern void TrainInit(void);        /* from _PG_init */

#endif /* EDDH_TRAIN_OPTIONS_H */
