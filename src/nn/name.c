/* name.c: a name that users of an exported file can rely on. */
#include "nn/graph.h"

#include <string.h>

eddh_code
nn_graph_name_output(nn_graph *graph, const char *name, eddh_error *err)
{
	nn_tensor *output = &graph->tensors[graph->output];
	uint32_t offset;
	eddh_code code;

	if (strcmp(nn_graph_string(graph, output->name), name) == 0)
		return EDDH_OK;
	if (nn_graph_find_tensor(graph, name) != NN_NO_TENSOR)
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "the network has a tensor \"%.100s\" already", name);
	code = nn_graph_add_string(graph, name, &offset, err);
	if (code == EDDH_OK)
		output->name = offset;
	return code;
}
