/*
 * hash.h: hashing methods behind one table, and what they learn from.
 *
 * Rows are images: n rows, d features, k bits, c classes. Matrices are row-major with one image a row (the papers write one image a
 * column: our U, F, B are their transposes). sgn(x) = +1 if x >= 0, else -1, everywhere.
 */
#ifndef EDDH_HASH_H
#define EDDH_HASH_H

#include "common/bulk.h"
#include "common/random.h"
#include "common/result.h"
#include "nn/nn.h"

#define HASH_BITS_MIN 8
#define HASH_BITS_MAX 1024

/* ---- Labels (labels.c) ---- */

/* Which classes each row has. A row without a label has an all-zero bitmap. */
typedef struct hash_labels
{
	size_t rows;
	int classes;
	int words;             /* of 64 bits in a row's bitmap */
	uint64_t *bitmap;      /* rows x words */
	int32_t *single;       /* rows: the class of a row with exactly one, -1 without; NULL if any row has several */
	const eddh_bulk *bulk; /* of its arrays, and of what is computed from them that is as long; NULL: the heap */
} hash_labels;

/* Zeroed bitmaps; set bits with hash_labels_add, then hash_labels_finish fills single. bulk (may be NULL) must outlive the labels. */
extern eddh_code hash_labels_create(const eddh_bulk *bulk, size_t rows, int classes, hash_labels **out,
									eddh_error *err);
extern void hash_labels_add(hash_labels *labels, size_t row, int label);
extern eddh_code hash_labels_finish(hash_labels *labels, eddh_error *err);
extern void hash_labels_free(hash_labels *labels);
extern bool hash_labels_share(const hash_labels *a, size_t row_a, const hash_labels *b, size_t row_b);

/* ---- The network as a method sees it ---- */

/* du (n x k) from u (n x k), the linear outputs (before tanh) of rows; already averaged over the batch. *loss: the batch's mean loss, for the log. */
typedef eddh_code (*hash_gradient)(void *arg, int n, const uint32_t *rows, const float *u, float *du, double *loss,
								   eddh_error *err);

/*
 * A learnable map from row to k linear outputs. Supplied by train/ around an nn_trainer; a test may supply any other.
 *
 * What epoch, outputs and features gave is recorded, and given again when an interrupted training is resumed: a method must be deterministic, and its gradient
 * must not leave anything behind that the method uses later, because it is not called again for epochs that are recorded.
 */
typedef struct hash_net
{
	void *ctx;
	/* One pass over all rows in seeded random order, mini-batch by mini-batch. */
	eddh_code (*epoch)(void *ctx, hash_gradient gradient, void *arg, double *mean_loss, eddh_error *err);
	/* u: rows x k, all rows in evaluation mode from one state of the network. */
	eddh_code (*outputs)(void *ctx, float *u, eddh_error *err);
	/* z: rows x d, features of the current network (the input of the hash layer). */
	eddh_code (*features)(void *ctx, float *z, eddh_error *err);
} hash_net;

/* ---- Parameters ---- */

typedef struct hash_param
{
	const char *name;
	double standard; /* default; for a choice: index into choices */
	double min, max;
	const char *choices; /* NULL for a number, else "h0|h1|h2" */
	const char *help;
	bool whole; /* takes no fraction */
} hash_param;

/* ---- One training ---- */

typedef struct hash_problem
{
	size_t rows;
	int dim;
	int bits;
	const float *
		features; /* rows x dim of the frozen backbone; NULL while the backbone is untrained (then net->features after a warm-up) */
	/* What the hash layer of a method without a net sees: rows x input_dim; NULL: the features. Kernel values where there are anchors. */
	const float *inputs;
	int input_dim;
	const hash_labels *labels; /* NULL for unsupervised methods */
	const hash_net *net;       /* NULL for methods that learn a projection only */
	uint64_t seed;
	int epochs;           /* passes over the data in all, for methods with a net */
	const double *values; /* one a parameter of the method, in table order */
	const eddh_stop *stop;
	const eddh_bulk *bulk; /* arrays as long as rows; NULL: the heap */
	/*
	 * May be NULL. measure by epoch: "loss". By round of EDDH: "objective" (J / (n^2 k^2)), "saturated" (share of |F| > 0.99), "balance" (mean over bits
	 * of |mean of sgn(F)|; 0 is best), "disagree" (share of sgn(F) != B). By iteration of ITQ: "quantisation" (mean squared error). step counts from 1.
	 */
	void (*log)(void *arg, const char *measure, int step, double value);
	void (*say)(void *arg, const char *message); /* a warning or remark for the user */
	void (*progress)(void *arg, const char *phase, int done, int total);
	void *arg;
} hash_problem;

/*
 * What a method without a net learned of fixed inputs z (dim numbers): u = w z + b, or a function of that. Empty (w NULL) where the net itself learned.
 * head.c makes a network of it, which is what is stored, encodes and is exported.
 */
typedef struct hash_head
{
	int dim, bits;
	int units;    /* rows of w and b: bits, with codes the classes */
	float *w;     /* units x dim */
	float *b;     /* units */
	bool sine;    /* u = sin(w z + b) */
	float *codes; /* units x bits of +-1, or NULL: u = the code of the unit with the largest w z + b */
} hash_head;

/* Room for w, b and, if asked for, codes; all zero. */
extern eddh_code hash_head_create(int dim, int bits, int units, bool codes, hash_head *head, eddh_error *err);
extern void hash_head_clear(hash_head *head);

/* From inputs (dim) to u (bits). */
extern eddh_code hash_head_graph(const hash_head *head, nn_graph **out, eddh_error *err);

/* ---- Kernel anchors (anchors.c) ---- */

/* Inputs as a kernel sees them: exp(-gamma |x - a|^2), one number an anchor. They are part of the model: nn_graph_rbf. */
typedef struct hash_anchors
{
	int dim, count;
	float *rows; /* count x dim */
	double gamma;
} hash_anchors;

/*
 * count rows of the features at random (all where there are fewer), gamma = 1 / (2 (width x median distance of two anchors)^2).
 * EDDH_NUMERIC: the anchors are all equal, or not finite. bulk may be NULL.
 */
extern eddh_code hash_anchors_draw(const eddh_bulk *bulk, size_t rows, int dim, const float *features, int count,
								   double width, uint64_t seed, hash_anchors *out, eddh_error *err);
extern void hash_anchors_clear(hash_anchors *anchors);

/* mean (dim) of rows x, and the mean square of a number about it. EDDH_NUMERIC: a row is not finite. */
extern eddh_code hash_centre(size_t rows, int dim, const float *x, double *mean, double *square, eddh_error *err);

/*
 * What makes kernel values (rows x count) fit for gradient descent: centred, and with a mean square of 1. Without it they lie near a constant, which is all that a
 * hash layer then learns. Part of the model, after nn_graph_rbf.
 */
extern eddh_code hash_anchors_centre(size_t rows, int count, const float *values, nn_graph **out, eddh_error *err);

/*
 * The same with correlations taken out: L^-1 (x - mean), L L^T = covariance + a ridge of a tenth of the mean variance. What a linear hash layer can say stays the
 * same, but gradient descent gets there: kernel values are so correlated that 30 epochs leave most directions untouched. A layer of count x
 * count weights.
 */
extern eddh_code hash_anchors_whiten(size_t rows, int count, const float *values, nn_graph **out, eddh_error *err);

/* An option and its value; lists end with a NULL name. */
typedef struct hash_setting
{
	const char *name;
	double value;
} hash_setting;

/* How large a training is, before it begins. */
typedef struct hash_size
{
	double rows;
	int dim, input_dim; /* of the features; of what the hash layer sees, which may be kernel values */
	int bits, classes, epochs, batch;
	bool untrained; /* as for check */
} hash_size;

typedef struct hash_method
{
	const char *name;
	const char *title;
	const char *paper; /* authors, title, where, year */
	const char *notes; /* peculiarities */
	bool needs_labels;
	bool needs_net;
	bool no_anchors;         /* learns from the features themselves, never from kernel values */
	bool anchors_by_default; /* where the user does not say, the hash layer sees kernel values */
	/* General options whose defaults this method wants to be others, where not the whole network learns; NULL: none. */
	const hash_setting *standards;
	/* For rows with several labels, on a trained backbone where not the whole network learns: general options and parameters; NULL: none. */
	const hash_setting *several;
	const hash_param *params; /* ends with a NULL name */
	/* Bytes of bulk memory at once, about; values, in table order; untrained as for check. NULL: what hash_bulk_bytes takes for such. */
	double (*bulk)(const double *values, double rows, int dim, int bits, int classes, bool untrained);
	/* For estimates of time: how often it asks for outputs or features of all rows. NULL: never. */
	int (*passes)(const double *values, int epochs, bool untrained);
	/*
	 * For estimates of time: seconds that it computes besides the network's mini-batches, on one core that does 1e11 multiply-adds of a matrix product a second.
	 * Fitted to what eddh_compare tells as train_seconds. NULL: next to nothing.
	 */
	double (*seconds)(const double *values, const hash_size *size);
	/* What can be said before a picture is read; train() says the same. NULL: nothing. untrained: problem->features would be NULL. */
	eddh_code (*check)(int bits, int dim, int epochs, bool untrained, eddh_error *err);
	eddh_code (*train)(const hash_problem *problem, hash_head *linear, eddh_error *err);
} hash_method;

/* Of the two layers above the one that the method wants: whitened if it goes down a gradient, up to 2,000 anchors, else centred. */
extern bool hash_anchors_whitened(const hash_method *method, int count);
extern eddh_code hash_anchors_fit(const hash_method *method, size_t rows, int count, const float *values,
								  nn_graph **out, eddh_error *err);

/* Bytes of problem->bulk and labels->bulk that a training takes at once, for who wants to tell beforehand; roughly, and at most. */
extern double hash_bulk_bytes(const hash_method *method, const double *values, size_t rows, int dim, int bits,
							  int classes, bool untrained);

/* 0 where the method says nothing. */
extern int hash_passes(const hash_method *method, const double *values, int epochs, bool untrained);

/* The table (methods.c): i-th method or NULL; by name or NULL. */
extern const hash_method *hash_method_at(int i);
extern const hash_method *hash_method_find(const char *name);
extern int hash_param_count(const hash_method *method);

/* Of a list that ends with a NULL name, the one of this name; NULL if there is none. */
extern const hash_param *hash_param_find(const hash_param *params, const char *name);

/* Number or choice from text; the error names the parameter and its range. */
extern eddh_code hash_param_parse(const hash_param *param, const char *text, double *value, eddh_error *err);

/* ---- Codes ---- */

/* code (as bits/kernels.h packs it): bit j = [u_j >= 0]. NaN: EDDH_NUMERIC. */
extern eddh_code hash_pack(int bits, const float *u, uint8_t *code, eddh_error *err);

#endif /* EDDH_HASH_H */
