/* plan.h: what a plan is made of; shared by plan.c, place.c and run.c. */
#ifndef EDDH_NN_PLAN_H
#define EDDH_NN_PLAN_H

#include "nn/bands.h"
#include "nn/graph.h"

#define NN_NO_VALUE UINT32_MAX
#define NN_NO_PLACE SIZE_MAX

/* A value is memory that tensors share: a tensor, its views, and what an activation makes of it in place. */
typedef enum nn_where
{
	NN_IN_ARENA,
	NN_IN_INPUT, /* the caller's input, never written */
	NN_IN_OUTPUT /* the caller's output; plans for inference only, backward needs it later */
} nn_where;

typedef struct nn_value
{
	nn_where where;
	size_t count;        /* floats of one sample */
	size_t place;        /* in the arena, in floats */
	size_t gradient;     /* likewise; training */
	uint32_t born, last; /* steps of the first writer and the last reader, forward */
	uint32_t written;    /* the last writer */
	uint32_t readers;
	uint32_t inside; /* the value of a Concat that this one is a part of, from `skip` on in each sample; or none */
	size_t skip;
	int rows;   /* inside a chain: has a place for so many rows of every plane of one sample; else 0 */
	bool kept;  /* a backward step reads it */
	bool whole; /* has a place for every sample of the batch, not of a part only */
	bool gradient_whole;
} nn_value;

/*
 * Steps that are taken for a part of the batch, then for the next part: what they hand to each other stays in the cache, and needs a place for one part
 * only. Between segments, and between forward and backward, the whole batch is kept.
 */
extern uint64_t
	nn_part_floats; /* that a step's inputs and outputs of a part should not exceed; tests lower it, nobody else writes it */

typedef struct nn_segment
{
	uint32_t first, end; /* steps */
	int part;            /* samples */
} nn_segment;

/* One input of a step. */
typedef struct nn_link
{
	uint32_t value;
	bool adds;       /* a later reader of the value has already written its gradient: compute aside, then add */
	size_t aside;    /* where, in the arena */
	uint32_t tensor; /* for its shape */
} nn_link;

/* One call of a kernel. */
typedef struct nn_step
{
	uint32_t node;
	uint32_t segment;
	nn_act act; /* CONV, DENSE: the fused activation; RELU, CLIP: their own */
	uint32_t first_link, n_links;
	uint32_t output;   /* value */
	bool in_place;     /* output is the input's value */
	size_t extra;      /* kept from forward for backward: winners of a max pool, LRN's scale */
	size_t scratch[2]; /* forward, backward */

	/* Steps that are taken together in bands of rows (fuse.c); a step that is taken alone is a chain of one. */
	uint32_t chain_first, chain_end;
	int band_rows; /* of the chain's output */
	size_t band_scratch;
} nn_step;

struct nn_plan
{
	const nn_graph *graph; /* must outlive the plan; its weights are read at each run */
	int max_batch;
	bool training;
	nn_step *steps;
	nn_value *values;
	nn_link *links;
	uint32_t *value_of; /* by tensor */
	nn_segment *segments;
	uint32_t n_steps, n_values, n_links, n_segments;
	size_t arena; /* floats */
};

/* ---- Chains, Concats in place (fuse.c); inference only ---- */

/* When steps become a chain. Tests lower it, nobody else writes it. */
typedef struct nn_chain_sizes
{
	uint64_t least_floats; /* handed over by each layer, for a sample: less stays in the cache anyway */
	uint64_t band_floats;  /* a band's rows of all layers, at most: the second-level cache, but for weights */
	int least_positions;   /* of a band of the last layer, or the chain ends before: kernels want long runs */
} nn_chain_sizes;

extern nn_chain_sizes nn_chain_limits;

extern void nn_plan_fuse(nn_plan *plan);

/* The geometry of the chain first .. end - 1, before its first band. */
extern nn_bands nn_chain_bands(const nn_plan *plan, uint32_t first, uint32_t end, int rows);

/* ---- Placement (place.c): memory for things that live from one moment to another ---- */

typedef struct nn_item
{
	size_t *place; /* filled */
	size_t floats;
	uint32_t from, to; /* moments, inclusive */
} nn_item;

/* Overlapping items get disjoint places; *total is the end of the highest. Reorders items. */
extern eddh_code nn_place(size_t n, nn_item *items, size_t *total, eddh_error *err);

#endif /* EDDH_NN_PLAN_H */
