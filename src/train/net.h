/* net.h: a network being trained, as a hashing method sees it (hash_net): an nn_trainer, its data, its mini-batches. Include after postgres.h. */
#ifndef EDDH_TRAIN_NET_H
#define EDDH_TRAIN_NET_H

#include "hash/hash.h"
#include "nn/nn.h"
#include "train/dataset.h"
#include "train/forecast.h"
#include "train/options.h"

/* Where samples come from: pictures, or features computed before. Samples are numbered 0..n-1: n training rows, then the held-out ones. */
typedef struct NetSource
{
	const DataSet *data; /* with pictures: sample i is row rows[i] */
	const uint32 *rows;
	const float *features; /* else: sample i is features + i * dim; NULL: all numbers are 0, to see what they take */
	size_t dim;
} NetSource;

typedef struct Net Net;

/*
 * Trains `graph` (copied) on samples 0..n-1. The first `pretrained_nodes` nodes learn at their rate times pretrained_factor; 0 freezes them.
 * features: tensor of the graph that hash_net.features reads; NULL: the samples themselves are the features.
 */
extern Net *NetCreate(const nn_graph *graph, const NetSource *source, size_t n, int pretrained_nodes,
					  double pretrained_factor, const char *features, const TrainOptions *options);

/*
 * Before the network learns, its hash layer does, alone, on the features that the network's part before that layer makes as it begins.
 * Layers that know nothing yet would else shake those that have learned. head (copied): the hash layer as it begins, whose weights are the last of the
 * network's. options: TrainOptionsHead. To be called before NetResume; the features come with NetBegin.
 */
extern void NetHeadFirst(Net *net, const nn_graph *head, const TrainOptions *options);

/*
 * Keeps checkpoints of this network from now on, and goes on from the job's last one if that is of a training with the same fingerprint. feature_dim: of
 * hash_net.features. To be called before the method begins.
 */
extern void NetResume(Net *net, uint64 fingerprint, size_t feature_dim);

/*
 * Tells the job's forecast how far it is, from now on: its mini-batches are `part` of it (of a network whose hash layer learns first those are FORECAST_HEAD), and
 * the method will ask for so many passes. Such a network is rehearsed now, and its source need not have come.
 */
extern void NetTell(Net *net, Forecast *forecast, ForecastName part, int passes);

/*
 * Goes through a mini-batch of the whole network with the first n pictures, from which nothing is learned; returns the seconds that one of `whole` pictures should
 * take. Not while an epoch runs.
 */
extern double NetRehearse(Net *net, int n, int whole);

/* What was not there before: the source, features for the hash layer that learns first (else NULL), and what they took (0: unknown). To be called before NetHash. */
extern void NetBegin(Net *net, const NetSource *source, const float *features, double pass_seconds);

extern void NetFree(Net *net);
extern const hash_net *
NetHash(Net *net); /* for the method; after NetTell, begins the phase that counts pictures shown */
extern const nn_graph *NetGraph(const Net *net);

/* Outputs for n samples from `first` on (held-out ones come after the training ones), in evaluation mode; out: n x output count. Ends the job on errors. */
extern void NetOutputs(Net *net, size_t first, size_t n, float *out);

#endif /* EDDH_TRAIN_NET_H */
