/* layers.h: which part of the network is frozen and which is learned (train_layers). Include after postgres.h. */
#ifndef EDDH_TRAIN_LAYERS_H
#define EDDH_TRAIN_LAYERS_H

#include "nn/nn.h"
#include "train/net.h"

/*
 *            prefix (frozen)        suffix (learned, pretrained)   model is stored as
 *   hash     whole backbone         none                           backbone cut at its output + hash layer
 *   fc       up to the first of     the fully connected layers     backbone cut there + (those layers + hash layer)
 *            the last Gemms
 *   all      none                   whole backbone                 one network
 */
typedef struct Layers
{
	const nn_graph *prefix;
	const nn_graph *suffix;
	const nn_graph *trunk; /* = prefix: what ModelNew wants of a built-in backbone */
	const char *cut; /* tensor where the head begins; "": the backbone's output; NULL: the head is the whole network */
	const char *features; /* tensor of the learner that holds the backbone's output; NULL: the learner's input */
	int pretrained_nodes; /* of the learner */
} Layers;

/* Lives as long as the job. fc of a backbone without fully connected layers at its end becomes hash, with a remark. */
extern void LayersChoose(Layers *layers, const nn_graph *backbone, TrainLayers which);

/* What layers take, those that learn and those that are computed once; but for memory all zero where only the hash layer learns. */
typedef struct LayersCost
{
	double
		memory; /* bytes, besides the backbone: weights, gradients and velocities, and what pictures take that are shown at once */
	double prefix;  /* floats that the frozen layers before them make of a picture */
	double weights; /* of these layers */
	double macs;    /* multiply-adds of a picture forward */
} LayersCost;

extern LayersCost LayersEstimate(const nn_graph *backbone, TrainLayers which, int threads, int batch);

/* A hash layer of small seeded weights; the suffix with this layer behind it (without a suffix the layer alone). The caller's. */
extern nn_graph *LayersHead(size_t dim, int bits, uint64 seed);
extern nn_graph *LayersLearner(const Layers *layers, size_t dim, int bits, uint64 seed);

/* Outputs of a graph for all samples of the source, of which there may be more than are learned from. What it returned before is not read any more. */
typedef const float *(*LayersApply)(void *arg, const nn_graph *graph, const NetSource *source);

/*
 * The layers between features and hash layer, if this method with these options has any, else NULL: kernel values to anchors among the first n_train samples,
 * conditioned for the method. *source changes from features to their outputs. The caller's.
 */
extern nn_graph *LayersKernel(const hash_method *method, const TrainOptions *options, size_t n_train, NetSource *source,
							  LayersApply apply, void *arg);

/* From features to bits, as it is stored: what was learned behind the kernel (NULL: none), with the layer that only conditions kernel values folded into it. The caller's. */
extern nn_graph *LayersStored(const nn_graph *kernel, const nn_graph *learned);

#endif /* EDDH_TRAIN_LAYERS_H */
