/*
 * hash_toy_net.h: a linear network u = w z + b that learns by batches, for the tests of methods that train one. Include after hash_toy.h and after
 * ROWS, DIM, BITS and BATCH are defined.
 */
#ifndef HASH_TOY_NET_H
#define HASH_TOY_NET_H

typedef struct toy_net
{
	const float *z;
	float w[BITS * DIM], b[BITS], v[BITS * DIM], vb[BITS];
	double rate, momentum;
	double largest; /* length of the longest gradient of a batch seen, times its rows */
	eddh_rng rng;
	int poison; /* the epoch that yields NaN, or 0 */
	int epochs, outputs;
} toy_net;

/* Small random weights. */
static inline void
toy_net_init(toy_net *net, const float *z, double momentum, uint64_t seed)
{
	memset(net, 0, sizeof *net);
	net->z = z;
	net->rate = 0.003;
	net->momentum = momentum;
	eddh_rng_seed(&net->rng, seed);
	for (int i = 0; i < BITS * DIM; i++)
		net->w[i] = (float) (0.01 * eddh_rng_normal(&net->rng));
}

static inline void
toy_forward(const toy_net *net, size_t row, float *u)
{
	for (int j = 0; j < BITS; j++)
	{
		double sum = net->b[j];

		for (int l = 0; l < DIM; l++)
			sum += net->w[j * DIM + l] * net->z[row * DIM + l];
		u[j] = (float) sum;
	}
}

static inline eddh_code
toy_epoch(void *ctx, hash_gradient gradient, void *arg, double *mean_loss, eddh_error *err)
{
	toy_net *net = ctx;
	uint32_t order[ROWS];

	net->epochs++;
	*mean_loss = 0;
	for (uint32_t i = 0; i < ROWS; i++)
		order[i] = i;
	eddh_rng_shuffle(&net->rng, ROWS, order);
	for (int first = 0; first < ROWS; first += BATCH)
	{
		float u[BATCH * BITS], du[BATCH * BITS];
		double loss, length = 0;
		eddh_code code;

		for (int i = 0; i < BATCH; i++)
			toy_forward(net, order[first + i], u + i * BITS);
		if (net->poison == net->epochs)
			u[3] = NAN;
		code = gradient(arg, BATCH, order + first, u, du, &loss, err);
		if (code != EDDH_OK)
			return code;
		*mean_loss += loss * BATCH / ROWS;
		for (int i = 0; i < BATCH * BITS; i++)
			length += (double) du[i] * du[i];
		net->largest = fmax(net->largest, sqrt(length * BATCH));
		for (int j = 0; j < BITS; j++)
		{
			for (int l = 0; l <= DIM; l++)
			{
				float *v = l < DIM ? &net->v[j * DIM + l] : &net->vb[j],
					  *w = l < DIM ? &net->w[j * DIM + l] : &net->b[j];
				double g = 0;

				for (int i = 0; i < BATCH; i++)
					g += du[i * BITS + j] * (l < DIM ? net->z[order[first + i] * DIM + l] : 1);
				*v = (float) (net->momentum * *v + g);
				*w -= (float) net->rate * *v;
			}
		}
	}
	return EDDH_OK;
}

static inline eddh_code
toy_outputs(void *ctx, float *u, eddh_error *err)
{
	toy_net *net = ctx;

	net->outputs++;
	for (size_t i = 0; i < ROWS; i++)
		toy_forward(net, i, u + i * BITS);
	return EDDH_OK;
}

static inline hash_quality
toy_net_quality(const toy_net *net, const hash_labels *labels)
{
	static float u[ROWS * BITS];

	for (size_t i = 0; i < ROWS; i++)
		toy_forward(net, i, u + i * BITS);
	return toy_quality(ROWS, BITS, u, labels);
}

#endif /* HASH_TOY_NET_H */
