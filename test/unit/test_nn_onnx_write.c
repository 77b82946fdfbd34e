/* A network written and read again is the same network; the files are valid to the checker of the ONNX project; files from elsewhere load and run. */
#include <dirent.h>
#include <unistd.h>

#include "nn_graphs.h"

static nn_graph *
written_and_read(const nn_graph *graph, nn_buffer *file)
{
	nn_graph *read;
	eddh_error err;

	expect_ok(nn_graph_write_onnx(graph, file, &err), &err);
	expect_ok(nn_graph_read_onnx(file->bytes, file->len, &nn_limits_default, &read, &err), &err);
	return read;
}

/* Two things are spelled otherwise in the file: a scale after a layer is folded into it, and a dense layer of more dimensions is a product and a sum. */
static bool
is_respelled(const nn_graph *graph)
{
	for (size_t i = 0; i < graph->n_nodes; i++)
		if (graph->nodes[i].op == NN_OP_SCALE ||
			(graph->nodes[i].op == NN_OP_DENSE && nn_node_input(graph, &graph->nodes[i], 0)->ndim > 1))
			return true;
	return false;
}

static void
random_networks_survive_the_file(void **state)
{
	int exact = 0;

	for (uint64_t seed = 1; seed <= 150; seed++)
	{
		nn_graph *graph = random_graph(seed, 14);
		nn_graph *read;
		nn_graph *again;
		nn_buffer first;
		nn_buffer second;
		eddh_error err;

		expect_ok(nn_graph_set_metadata(graph, "eddh.mean", "1 2 3", &err), &err);
		read = written_and_read(graph, &first);
		assert_close_function(graph, read, is_respelled(graph) ? 1e-5 : 0, "written and read");
		assert_string_equal(nn_graph_metadata(read, "eddh.mean"), "1 2 3");
		for (size_t t = 0; t < graph->n_tensors && !is_respelled(graph); t++)
			assert_int_not_equal(nn_graph_find_tensor(read, nn_graph_string(graph, graph->tensors[t].name)),
								 NN_NO_TENSOR);
		exact += !is_respelled(graph);

		/* What has been read once is written the same ever after. */
		again = written_and_read(read, &second);
		assert_same_function(read, again, "written and read again");
		nn_buffer_free(&first);
		expect_ok(nn_graph_write_onnx(again, &first, &err), &err);
		assert_int_equal(first.len, second.len);
		assert_memory_equal(first.bytes, second.bytes, first.len);
		nn_buffer_free(&first);
		nn_buffer_free(&second);
		nn_graph_free(graph);
		nn_graph_free(read);
		nn_graph_free(again);
	}
	assert_true(exact > 20);
}

static void
architectures_survive_the_file(void **state)
{
	eddh_code (*const makers[2])(uint64_t, nn_graph **, eddh_error *) = { nn_graph_cnn_s, nn_graph_cnn_f };

	for (int i = 0; i < 2; i++)
	{
		nn_graph *graph;
		nn_graph *read;
		nn_buffer file;
		eddh_error err;

		expect_ok(makers[i](11, &graph, &err), &err);
		read = written_and_read(graph, &file);
		nn_buffer_free(&file);
		assert_int_equal(nn_graph_parameters(graph), nn_graph_parameters(read));
		assert_memory_equal(nn_graph_weights(graph), nn_graph_weights(read),
							nn_graph_parameters(graph) * sizeof(float));
		assert_same_function(graph, read, i == 0 ? "cnn-s" : "cnn-f");
		nn_graph_free(graph);
		nn_graph_free(read);
	}
}

/* The file python3-onnx is asked about; one process for all. */
static void
checker_accepts_the_files(void **state)
{
	const char *python = system("/usr/bin/python3 -c 'import onnx' 2>/dev/null") == 0 ? "/usr/bin/python3" : "python3";
	char folder[] = "/tmp/eddh-onnx-XXXXXX";
	char command[512];
	int status;

	snprintf(command, sizeof(command), "%s -c 'import onnx' 2>/dev/null", python);
	if (system(command) != 0)
	{
		print_message("python3-onnx is not here\n");
		skip();
	}
	assert_non_null(mkdtemp(folder));
	for (uint64_t seed = 0; seed <= 40; seed++)
	{
		nn_graph *graph = NULL;
		nn_buffer file;
		eddh_error err;
		FILE *f;

		if (seed == 0)
			expect_ok(nn_graph_cnn_s(1, &graph, &err), &err);
		else
			graph = random_graph(seed, 14);
		expect_ok(nn_graph_write_onnx(graph, &file, &err), &err);
		snprintf(command, sizeof(command), "%s/%d.onnx", folder, (int) seed);
		f = fopen(command, "wb");
		assert_non_null(f);
		assert_int_equal(fwrite(file.bytes, 1, file.len, f), file.len);
		fclose(f);
		nn_buffer_free(&file);
		nn_graph_free(graph);
	}
	snprintf(command, sizeof(command),
			 "%s -c 'import glob, onnx\nfor name in glob.glob(\"%s/*.onnx\"): "
			 "onnx.checker.check_model(onnx.load(name), full_check=True)'",
			 python, folder);
	status = system(command);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	assert_int_equal(system(command), 0);
	assert_int_equal(status, 0);
}

static uint8_t *
slurp(const char *path, size_t *len)
{
	FILE *f = fopen(path, "rb");
	uint8_t *bytes;
	long size;

	assert_non_null(f);
	assert_int_equal(fseek(f, 0, SEEK_END), 0);
	size = ftell(f);
	assert_true(size >= 0);
	rewind(f);
	bytes = malloc((size_t) size + 1);
	assert_non_null(bytes);
	*len = fread(bytes, 1, (size_t) size, f);
	assert_int_equal(*len, size);
	fclose(f);
	return bytes;
}

/* Pretrained networks in share or in the folder that EDDH_NETWORKS names: they load, run to finite features that depend on the picture, and survive a round trip. */
static void
pretrained_networks_run(void **state)
{
	const char *folder = getenv("EDDH_NETWORKS") != NULL ? getenv("EDDH_NETWORKS") : "share";
	DIR *dir = opendir(folder);
	struct dirent *entry;
	int n = 0;

	if (dir == NULL)
		fail_msg("no folder of networks: %s", folder);
	while ((entry = readdir(dir)) != NULL)
	{
		size_t name_len = strlen(entry->d_name);
		char path[4096];
		nn_graph *graph;
		nn_graph *read;
		nn_buffer file;
		eddh_error err;
		eddh_rng rng;
		size_t len;
		size_t in;
		size_t out;
		double norm = 0;
		double difference = 0;

		if (name_len < 5 || strcmp(entry->d_name + name_len - 5, ".onnx") != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);

		uint8_t *bytes = slurp(path, &len);

		expect_ok(nn_graph_read_onnx(bytes, len, &nn_limits_default, &graph, &err), &err);
		free(bytes);
		in = nn_graph_input_shape(graph).count;
		out = nn_graph_output_shape(graph).count;
		eddh_rng_seed(&rng, 1);

		float *x = normals(&rng, 2 * in);
		float *y = run(graph, 2, false, 2, x);

		for (size_t i = 0; i < out; i++)
		{
			assert_true(isfinite(y[i]) && isfinite(y[out + i]));
			norm += fabs((double) y[i]);
			difference += fabs((double) y[i] - (double) y[out + i]);
		}
		assert_true(norm > 0 && difference > 1e-3 * norm);
		read = written_and_read(graph, &file);
		assert_same_function(graph, read, entry->d_name);
		nn_buffer_free(&file);
		free(x);
		free(y);
		nn_graph_free(graph);
		nn_graph_free(read);
		n++;
	}
	closedir(dir);
	print_message("%d networks\n", n);
	assert_true(n > 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_networks_survive_the_file),
		cmocka_unit_test(architectures_survive_the_file),
		cmocka_unit_test(checker_accepts_the_files),
		cmocka_unit_test(pretrained_networks_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
