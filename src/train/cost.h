/* cost.h: what a training will take, told before it begins. Include after postgres.h. */
#ifndef EDDH_TRAIN_COST_H
#define EDDH_TRAIN_COST_H

#include "model/model.h"
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
 * Seconds that a hash layer takes to learn alone from n pictures, its kernel values (anchors; 0: none) with it, on the machine that cost.c's figures are of; and
 * how many times as slow a machine is that needed so much processor time for these multiply-adds of a network.
 */
extern double CostHashLayer(double n, double features, int bits, double anchors, double epochs);
extern double CostSlowness(double macs, double seconds);

/* The NOTICE of eddh_train: memory, temporary disk space and time, roughly. */
extern void CostTell(const TrainCounts *counts, int bits, const ModelBackbone *backbone, const hash_method *method,
					 const TrainOptions *options);

#endif /* EDDH_TRAIN_COST_H */
