/* cost.h: what a training will take, told before it begins. Include after postgres.h. */
#ifndef EDDH_TRAIN_COST_H
#define EDDH_TRAIN_COST_H

#include "model/model.h"
#include "train/forecast.h"
#include "train/layers.h"
#include "train/options.h"

/* A table of pictures, before it is read. */
typedef struct TrainCounts
{
	int64 pictures;
	int64 labelled;
	int64 bytes;         /* of all pictures */
	int64 file_bytes;    /* of those that a training keeps as files */
	int64 unpacked;      /* the others */
	int64 classes;       /* different labels; 0: there is no label column */
	bool several_labels; /* of some picture */
	char *common;        /* in an array of labels: one that every picture has; NULL: none */
} TrainCounts;

/* Of a picture, as the network sees it. */
extern int64 CostPictureBytes(const ModelBackbone *backbone);

/*
 * Figures of time are of one machine, a core of which does so many multiply-adds a second: of a network (cnn-s, forward), and of matrix products, which is what
 * hash_method.seconds means.
 */
#define COST_NETWORK_MACS  4e10
#define COST_PRODUCTS_MACS 1e11

/* How fast it goes: 1, 1 is that machine. */
typedef struct CostRates
{
	double network, products; /* times as long as there: a network forward, and matrix products */
	double step;              /* seconds of a mini-batch of the whole network, besides showing it; 0: not tried */
	double shown;             /* seconds to unpack a picture and hand it to the network, all threads together */
} CostRates;

/* All parts of a training, each at what it should take. learned: of LayersEstimate. */
extern void CostForecast(Forecast *f, const TrainCounts *counts, int bits, const ModelBackbone *backbone,
						 const hash_method *method, const TrainOptions *options, const LayersCost *learned,
						 CostRates rates);

/* The NOTICE of eddh_train: memory, temporary disk space and time, roughly. */
extern void CostTell(const TrainCounts *counts, int bits, const ModelBackbone *backbone, const hash_method *method,
					 const TrainOptions *options);

#endif /* EDDH_TRAIN_COST_H */
