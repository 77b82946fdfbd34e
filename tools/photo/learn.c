/*
 * learn.c: what the recipe of the backbone `photo` (README.md here) does with networks, by this project's own code.
 *
 *   learn features NETWORK FIRST LAST INPUTS OUTPUTS      every row of INPUTS through the part of the network from tensor FIRST to LAST
 *   learn describe NETWORK                                features, parameters, multiply-adds
 *   learn tune NETWORK FIRST INPUTS TARGETS OUTPUT [NAME=NUMBER...]   trains the part behind FIRST to have the targets' similarities
 *
 * "-" as FIRST is the picture, as LAST the output. Files are bare rows: 3 bytes a pixel for pictures, else float32. Settings of tune:
 * rate, last_rate, epochs, batch, decay, threads, seed, relation (weight of the similarities' loss beside the vectors'), report (steps).
 */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/random.h"
#include "image/image.h"
#include "nn/nn.h"

#define BATCH 32

static void
die(const char *what, const char *why)
{
	fprintf(stderr, "learn: %s: %s\n", what, why);
	exit(1);
}

static void
check(eddh_code code, const char *what, const eddh_error *err)
{
	if (code != EDDH_OK)
		die(what, err->message);
}

typedef struct rows
{
	const uint8_t *bytes;
	size_t row; /* bytes of one */
	size_t n;
} rows;

static rows
map_rows(const char *path, size_t row)
{
	int fd = open(path, O_RDONLY);
	struct stat st;
	rows out = { .row = row };

	if (fd < 0 || fstat(fd, &st) != 0)
		die(path, "cannot be opened");
	if (st.st_size == 0 || (size_t) st.st_size % row != 0)
		die(path, "is no whole number of rows");
	out.n = (size_t) st.st_size / row;
	out.bytes = mmap(NULL, (size_t) st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (out.bytes == MAP_FAILED)
		die(path, "cannot be mapped");
	close(fd);
	return out;
}

static nn_graph *
read_network(const char *path)
{
	int fd = open(path, O_RDONLY);
	struct stat st;
	uint8_t *bytes;
	nn_graph *graph;
	eddh_error err;

	if (fd < 0 || fstat(fd, &st) != 0)
		die(path, "cannot be opened");
	bytes = mmap(NULL, (size_t) st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (bytes == MAP_FAILED)
		die(path, "cannot be mapped");
	check(nn_graph_read_onnx(bytes, (size_t) st.st_size, &nn_limits_default, &graph, &err), path, &err);
	munmap(bytes, (size_t) st.st_size);
	close(fd);
	return graph;
}

static void
write_network(const char *path, const nn_graph *graph)
{
	nn_buffer buffer;
	eddh_error err;
	FILE *file;

	check(nn_graph_write_onnx(graph, &buffer, &err), path, &err);
	file = fopen(path, "wb");
	if (file == NULL || fwrite(buffer.bytes, 1, buffer.len, file) != buffer.len || fclose(file) != 0)
		die(path, "cannot be written");
	nn_buffer_free(&buffer);
}

static const char *
get_metadata(void *arg, const char *key)
{
	return nn_graph_metadata(arg, key);
}

/* ---- features ---- */

static void
features(char **args)
{
	nn_graph *graph = read_network(args[0]);
	nn_graph *part;
	bool pictures = strcmp(args[1], "-") == 0;
	nn_plan *plan;
	image_prep prep;
	eddh_error err;
	rows in;
	size_t inputs;
	size_t outputs;
	float *x;
	float *y;
	float *arena;
	FILE *file = fopen(args[4], "wb");

	if (file == NULL)
		die(args[4], "cannot be written");
	if (pictures)
		check(image_prep_parse(get_metadata, graph, &prep, &err), args[0], &err);
	if (strcmp(args[2], "-") != 0)
	{
		check(nn_graph_cut(graph, args[2], &part, NULL, &err), args[2], &err);
		graph = part;
	}
	if (!pictures)
	{
		check(nn_graph_cut(graph, args[1], NULL, &part, &err), args[1], &err);
		graph = part;
	}
	inputs = nn_graph_input_shape(graph).count;
	outputs = nn_graph_output_shape(graph).count;
	in = map_rows(args[3], pictures ? inputs : inputs * sizeof(float));
	check(nn_plan_create(graph, BATCH, false, &plan, &err), args[0], &err);
	x = malloc(BATCH * inputs * sizeof(float));
	y = malloc(BATCH * outputs * sizeof(float));
	arena = aligned_alloc(64, (nn_plan_arena_size(plan) + 63) / 64 * 64);
	if (x == NULL || y == NULL || arena == NULL)
		die("features", "out of memory");
	for (size_t i = 0; i < in.n; i += BATCH)
	{
		int n = in.n - i < BATCH ? (int) (in.n - i) : BATCH;

		for (int k = 0; k < n; k++)
			if (pictures)
				image_normalise(&prep, in.bytes + (i + (size_t) k) * in.row, x + (size_t) k * inputs);
			else
				memcpy(x + (size_t) k * inputs, in.bytes + (i + (size_t) k) * in.row, in.row);
		check(nn_forward(plan, n, x, arena, y, NULL, &err), args[0], &err);
		if (fwrite(y, outputs * sizeof(float), (size_t) n, file) != (size_t) n)
			die(args[4], "cannot be written");
	}
	if (fclose(file) != 0)
		die(args[4], "cannot be written");
}

/* ---- tune ---- */

typedef struct settings
{
	double rate, last_rate, epochs, batch, decay, threads, seed, relation, report;
} settings;

static void
set(settings *s, const char *argument)
{
	const struct
	{
		const char *name;
		double *value;
	} known[] = { { "rate", &s->rate },   { "last_rate", &s->last_rate }, { "epochs", &s->epochs },
				  { "batch", &s->batch }, { "decay", &s->decay },         { "threads", &s->threads },
				  { "seed", &s->seed },   { "relation", &s->relation },   { "report", &s->report } };
	const char *equals = strchr(argument, '=');

	for (size_t i = 0; equals != NULL && i < sizeof(known) / sizeof(*known); i++)
		if (strncmp(argument, known[i].name, (size_t) (equals - argument)) == 0 &&
			known[i].name[equals - argument] == '\0')
		{
			*known[i].value = atof(equals + 1);
			return;
		}
	die(argument, "is no setting");
}

typedef struct lesson
{
	rows inputs;
	rows targets; /* unit vectors */
	size_t dim;   /* of targets and outputs */
	double relation;
	float *unit;  /* batch x dim: outputs with length 1 */
	float *error; /* batch x batch: own similarity less the teacher's */
	double loss_vector, loss_relation;
	uint64_t losses;
} lesson;

static eddh_code
fetch(void *arg, size_t row, float *input, const eddh_stop *stop, eddh_error *err)
{
	const lesson *l = arg;

	memcpy(input, l->inputs.bytes + row * l->inputs.row, l->inputs.row);
	return EDDH_OK;
}

static float
dot(const float *a, const float *b, size_t n)
{
	float sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += a[i] * b[i];
	return sum;
}

/*
 * With u = y / |y| and unit targets t: loss = mean over pictures of (1 - u.t) + relation * mean over pairs of (u_i.u_j - t_i.t_j)^2. Its gradient
 * in u is projected on the sphere's tangent and divided by |y|.
 */
static eddh_code
gradient(void *arg, int n, const uint32_t *picked, const float *y, float *dy, eddh_error *err)
{
	lesson *l = arg;
	size_t dim = l->dim;
	double vector = 0;
	double relation = 0;
	float pair = (float) (4.0 * l->relation / ((double) n * (n - 1)));

	for (int i = 0; i < n; i++)
	{
		float length = sqrtf(dot(y + (size_t) i * dim, y + (size_t) i * dim, dim)) + 1e-9f;

		for (size_t d = 0; d < dim; d++)
			l->unit[(size_t) i * dim + d] = y[(size_t) i * dim + d] / length;
	}
	for (int i = 0; i < n; i++)
		for (int j = 0; j < i; j++)
		{
			const float *ti = (const float *) (l->targets.bytes + picked[i] * l->targets.row);
			const float *tj = (const float *) (l->targets.bytes + picked[j] * l->targets.row);
			float e = dot(l->unit + (size_t) i * dim, l->unit + (size_t) j * dim, dim) - dot(ti, tj, dim);

			l->error[i * n + j] = l->error[j * n + i] = e;
			relation += 2.0 * e * e;
		}
	for (int i = 0; i < n; i++)
	{
		const float *t = (const float *) (l->targets.bytes + picked[i] * l->targets.row);
		const float *u = l->unit + (size_t) i * dim;
		float *g = dy + (size_t) i * dim;
		float length = sqrtf(dot(y + (size_t) i * dim, y + (size_t) i * dim, dim)) + 1e-9f;
		float along;

		vector += 1.0 - dot(u, t, dim);
		for (size_t d = 0; d < dim; d++)
			g[d] = -t[d] / (float) n;
		for (int j = 0; j < n; j++)
			if (j != i)
				for (size_t d = 0; d < dim; d++)
					g[d] += pair * l->error[i * n + j] * l->unit[(size_t) j * dim + d];
		along = dot(g, u, dim);
		for (size_t d = 0; d < dim; d++)
			g[d] = (g[d] - along * u[d]) / length;
	}
	l->loss_vector += vector / n;
	l->loss_relation += relation / ((double) n * (n - 1));
	l->losses++;
	return EDDH_OK;
}

static void
tune(int count, char **args)
{
	settings s = {
		.rate = 1e-3, .last_rate = 1e-5, .epochs = 1, .batch = 64, .threads = 1, .seed = 1, .relation = 1, .report = 100
	};
	nn_graph *graph = read_network(args[0]);
	nn_graph *prefix;
	nn_graph *part;
	nn_graph *whole;
	nn_trainer *trainer;
	nn_sgd sgd = { .momentum = 0.9, .clip_norm = 5.0, .pretrained_factor = 1.0 };
	lesson l = { 0 };
	eddh_error err;
	eddh_rng rng;
	uint32_t *order;
	uint64_t steps;
	size_t batch;
	size_t at;

	for (int i = 5; i < count; i++)
		set(&s, args[i]);
	check(nn_graph_cut(graph, args[1], &prefix, &part, &err), args[1], &err);
	l.dim = nn_graph_output_shape(part).count;
	l.relation = s.relation;
	l.inputs = map_rows(args[2], nn_graph_input_shape(part).count * sizeof(float));
	l.targets = map_rows(args[3], l.dim * sizeof(float));
	batch = (size_t) s.batch;
	if (l.inputs.n != l.targets.n || l.inputs.n < batch || batch < 2)
		die(args[3], "has another number of rows than the inputs, or less than a batch");
	l.unit = malloc(batch * l.dim * sizeof(float));
	l.error = calloc(batch * batch, sizeof(float));
	order = malloc(l.inputs.n * sizeof(*order));
	if (l.unit == NULL || l.error == NULL || order == NULL)
		die("tune", "out of memory");
	steps = (uint64_t) (s.epochs * (double) (l.inputs.n / batch));
	sgd.rate_first = s.rate;
	sgd.rate_last = s.last_rate;
	sgd.total_steps = steps;
	sgd.weight_decay = s.decay;
	check(nn_trainer_create(part, (int) s.threads, (int) batch, &sgd, &trainer, &err), "tune", &err);
	eddh_rng_seed(&rng, (uint64_t) s.seed);
	for (size_t i = 0; i < l.inputs.n; i++)
		order[i] = (uint32_t) i;
	at = l.inputs.n;
	for (uint64_t step = 0; step < steps; step++)
	{
		if (at + batch > l.inputs.n)
		{
			for (size_t i = l.inputs.n - 1; i > 0; i--)
			{
				size_t k = eddh_rng_below(&rng, i + 1);
				uint32_t swap = order[i];

				order[i] = order[k];
				order[k] = swap;
			}
			at = 0;
		}
		check(nn_trainer_step(trainer, (int) batch, order + at, fetch, &l, gradient, &l, NULL, &err), "tune", &err);
		at += batch;
		if ((step + 1) % (uint64_t) s.report == 0 || step + 1 == steps)
		{
			printf("step %llu of %llu: vectors %.4f, similarities %.5f\n", (unsigned long long) step + 1,
				   (unsigned long long) steps, l.loss_vector / (double) l.losses, l.loss_relation / (double) l.losses);
			l.loss_vector = l.loss_relation = 0;
			l.losses = 0;
			/* The file always holds a whole network: who runs out of patience has one. */
			check(nn_graph_join(prefix, nn_trainer_graph(trainer), &whole, &err), "tune", &err);
			write_network(args[4], whole);
			nn_graph_free(whole);
		}
	}
}

static void
describe(const char *path)
{
	const nn_graph *graph = read_network(path);

	printf("%zu %zu %llu\n", nn_graph_output_shape(graph).count, nn_graph_parameters(graph),
		   (unsigned long long) nn_graph_macs(graph));
}

int
main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 7 && strcmp(argv[1], "features") == 0)
		features(argv + 2);
	else if (argc == 3 && strcmp(argv[1], "describe") == 0)
		describe(argv[2]);
	else if (argc >= 7 && strcmp(argv[1], "tune") == 0)
		tune(argc - 2, argv + 2);
	else
		die("usage",
			"learn features NETWORK FIRST LAST INPUTS OUTPUTS | learn tune NETWORK FIRST INPUTS TARGETS OUTPUT [NAME=NUMBER...]");
	return 0;
}
