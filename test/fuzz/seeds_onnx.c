/* seeds_onnx.c: seeds_onnx FOLDER writes small networks into it, as ONNX and as flat blocks, for fuzz_onnx to begin with. */
#include "make_graph.h"

#include "nn/flat.h"

static void
save(const char *folder, int seed, const char *ending, const void *bytes, size_t len)
{
	char path[1024];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%d.%s", folder, seed, ending);
	file = fopen(path, "wb");
	if (file == NULL || fwrite(bytes, 1, len, file) != len || fclose(file) != 0)
	{
		perror(path);
		exit(1);
	}
}

int
main(int argc, char **argv)
{
	if (argc != 2)
		return 1;
	nn_flat_least_halves = 1;
	for (int seed = 1; seed <= 60; seed++)
	{
		nn_graph *graph = random_graph((uint64_t) seed, 1 + seed / 6);
		nn_buffer file;
		eddh_error err;
		uint8_t *block;
		size_t len;

		made(nn_graph_set_metadata(graph, "eddh.input_size", "8", &err), &err);
		made(nn_graph_write_onnx(graph, &file, &err), &err);
		save(argv[1], seed, "onnx", file.bytes, file.len);
		nn_buffer_free(&file);
		if (seed % 2 == 0) /* dense layers as halves */
			for (size_t i = 0; i < graph->n_weights; i++)
				graph->weights[i] = (float) (int) (8 * graph->weights[i]) / 8;
		len = nn_flat_size(graph);
		block = malloc(len);
		if (block == NULL)
			return 1;
		nn_flat_write(graph, block);
		save(argv[1], seed, "flat", block, len);
		free(block);
		nn_graph_free(graph);
	}
	return 0;
}
