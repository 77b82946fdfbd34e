/*
 * Networks written by us give the same features in an independent ONNX runtime (onnxruntime on the processor, by test/reference/features.js) within 1e-4,
 * max |a - b| / max |b|: cnn-f, cnn-s, random networks of every operator, and the pretrained ones in share or in the folder that EDDH_NETWORKS names.
 */
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nn_graphs.h"

#define PACKAGES  "build/reference/node_modules"
#define BATCH     2
#define TOLERANCE 1e-4
#define RANDOM    60

static char folder[] = "/tmp/eddh-reference-XXXXXX";

static void
path_of(char *path, const char *name, const char *ending)
{
	snprintf(path, 512, "%s/%s.%s", folder, name, ending);
}

static void
save(const char *name, const char *ending, const void *data, size_t len)
{
	char path[512];
	FILE *f;

	path_of(path, name, ending);
	f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

static uint8_t *
load(const char *path, size_t *len)
{
	struct stat st;
	FILE *f = fopen(path, "rb");
	uint8_t *bytes;

	if (f == NULL || fstat(fileno(f), &st) != 0)
		fail_msg("cannot read %s", path);
	bytes = malloc((size_t) st.st_size + 1);
	assert_non_null(bytes);
	*len = fread(bytes, 1, (size_t) st.st_size, f);
	fclose(f);
	return bytes;
}

/* Writes the network, an input of this scale, and what we make of it. */
static void export(const char *name, const nn_graph *graph, double scale)
{
	nn_shape in = nn_graph_input_shape(graph);
	size_t out = nn_graph_output_shape(graph).count;
	char dims[128];
	int at = snprintf(dims, sizeof(dims), "%d", BATCH);
	nn_buffer file;
	eddh_error err;
	eddh_rng rng;

	eddh_rng_seed(&rng, 42);

	float *x = normals(&rng, BATCH * in.count);

	for (size_t i = 0; i < BATCH * in.count; i++)
		x[i] *= (float) scale;
	for (int i = 0; i < in.ndim; i++)
		at += snprintf(dims + at, sizeof(dims) - (size_t) at, " %d", in.dim[i]);
	expect_ok(nn_graph_write_onnx(graph, &file, &err), &err);
	save(name, "onnx", file.bytes, file.len);
	nn_buffer_free(&file);
	save(name, "input", x, BATCH * in.count * sizeof(float));
	save(name, "dims", dims, strlen(dims));

	float *y = run(graph, BATCH, false, BATCH, x);

	save(name, "ours", y, BATCH * out * sizeof(float));
	free(x);
	free(y);
}

static void
run_reference(void)
{
	char command[1024];

	snprintf(command, sizeof(command), "NODE_PATH=%s node test/reference/features.js %s", PACKAGES, folder);
	if (system(command) != 0)
		fail_msg("the reference runtime failed");
}

/* Deviation; the four files go away. */
static double
deviation(const char *name)
{
	static const char *const endings[] = { "onnx", "input", "dims", "ours", "output" };
	char path[512];
	size_t len;
	size_t len_theirs;
	double largest = 0;
	double worst = 0;

	path_of(path, name, "ours");

	float *ours = (float *) load(path, &len);

	path_of(path, name, "output");

	float *theirs = (float *) load(path, &len_theirs);

	assert_int_equal(len, len_theirs);
	for (size_t i = 0; i < len / sizeof(float); i++)
	{
		double difference = fabs((double) ours[i] - (double) theirs[i]);

		assert_true(isfinite(ours[i]) && isfinite(theirs[i]));
		worst = fmax(worst, difference);
		largest = fmax(largest, fabs((double) theirs[i]));
	}
	free(ours);
	free(theirs);
	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++)
	{
		path_of(path, name, endings[i]);
		unlink(path);
	}
	return largest > 0 ? worst / largest : worst;
}

static void
compare(const char *name, const nn_graph *graph, double scale)
{
	double d;

	export(name, graph, scale);
	run_reference();
	d = deviation(name);
	print_message("%-32s deviation %.2e\n", name, d);
	if (!(d <= TOLERANCE))
		fail_msg("%s deviates by %.2e", name, d);
}

static void
cnn_f_equals_the_reference(void **state)
{
	nn_graph *graph;
	eddh_error err;

	expect_ok(nn_graph_cnn_f(1, &graph, &err), &err);
	compare("cnn-f", graph, 64);
	nn_graph_free(graph);
}

static void
cnn_s_equals_the_reference(void **state)
{
	nn_graph *graph;
	eddh_error err;

	expect_ok(nn_graph_cnn_s(1, &graph, &err), &err);
	compare("cnn-s", graph, 1);
	nn_graph_free(graph);
}

static void
random_networks_equal_the_reference(void **state)
{
	double worst = 0;

	for (uint64_t seed = 1; seed <= RANDOM; seed++)
	{
		nn_graph *graph = random_graph(seed, 14);
		char name[32];

		snprintf(name, sizeof(name), "random%d", (int) seed);
		export(name, graph, 1);
		nn_graph_free(graph);
	}
	run_reference();
	for (uint64_t seed = 1; seed <= RANDOM; seed++)
	{
		char name[32];
		double d;

		snprintf(name, sizeof(name), "random%d", (int) seed);
		d = deviation(name);
		worst = fmax(worst, d);
		if (!(d <= TOLERANCE))
		{
			static char text[16384];
			nn_graph *graph = random_graph(seed, 14);

			describe(graph, text, sizeof(text));
			fputs(text, stderr);
			fail_msg("network of seed %d deviates by %.2e", (int) seed, d);
		}
	}
	print_message("%-32s deviation %.2e\n", "random networks, the worst", worst);
}

static void
pretrained_networks_equal_the_reference(void **state)
{
	const char *from = getenv("EDDH_NETWORKS") != NULL ? getenv("EDDH_NETWORKS") : "share";
	DIR *dir = opendir(from);
	struct dirent *entry;

	if (dir == NULL)
		fail_msg("no folder of networks: %s", from);
	while ((entry = readdir(dir)) != NULL)
	{
		size_t len = strlen(entry->d_name);
		char path[4096];
		nn_graph *graph;
		eddh_error err;
		size_t size;

		if (len < 5 || strcmp(entry->d_name + len - 5, ".onnx") != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", from, entry->d_name);

		uint8_t *bytes = load(path, &size);

		expect_ok(nn_graph_read_onnx(bytes, size, &nn_limits_default, &graph, &err), &err);
		free(bytes);
		compare(entry->d_name, graph, 1);
		nn_graph_free(graph);
	}
	closedir(dir);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(cnn_f_equals_the_reference),
		cmocka_unit_test(cnn_s_equals_the_reference),
		cmocka_unit_test(random_networks_equal_the_reference),
		cmocka_unit_test(pretrained_networks_equal_the_reference),
	};
	int failed;

	if (access(PACKAGES "/onnxruntime-node", R_OK) != 0 || system("node --version >/dev/null 2>&1") != 0)
	{
		puts("the reference runtime is not here; scripts/install-deps --reference installs it");
		return 77;
	}
	if (mkdtemp(folder) == NULL)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(folder);
	return failed;
}
