/* shipped.c: networks whose weights are installed beside the extension's SQL, like the backbone `photo`. */
#include "postgres.h"

#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"
#include "port.h"
#include "storage/fd.h"

#include "model/catalog.h"
#include "model/exchange.h"
#include "report.h"

#define MAX_SHIPPED (64 * 1024 * 1024)

nn_graph *
ModelReadShipped(const char *file, const uint8 *sha, const char *what)
{
	ModelGraphHolder *holder = ModelHoldGraph();
	char share[MAXPGPATH];
	uint8 found[MODEL_SHA_BYTES];
	char *path;
	uint8 *bytes;
	struct stat st;
	size_t len = 0;
	eddh_error err;
	int fd;

	get_share_path(my_exec_path, share);
	path = psprintf("%s/extension/%s", share, file);
	fd = OpenTransientFile(path, O_RDONLY | PG_BINARY);
	if (fd < 0)
		ereport(ERROR,
				(errcode_for_file_access(), errmsg("could not open file \"%s\" with the weights of %s: %m", path, what),
				 errhint("It is installed with the extension: run \"make install\" again.")));
	if (fstat(fd, &st) != 0)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not stat file \"%s\": %m", path)));
	if (st.st_size > MAX_SHIPPED)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("file \"%s\" is too large", path)));
	bytes = palloc((Size) st.st_size + 1);
	while (len < (size_t) st.st_size)
	{
		ssize_t n = read(fd, bytes + len, (size_t) st.st_size - len);

		if (n < 0)
			ereport(ERROR, (errcode_for_file_access(), errmsg("could not read file \"%s\": %m", path)));
		if (n == 0)
			break;
		len += (size_t) n;
	}
	CloseTransientFile(fd);
	ModelSha(bytes, len, found);
	if (memcmp(found, sha, MODEL_SHA_BYTES) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED), errmsg("file \"%s\" does not hold the weights of %s", path, what),
				 errdetail("%zu bytes with SHA-256 %s were read where %s was expected.", len, ModelShaHex(found),
						   ModelShaHex(sha)),
				 errhint("Install the files of this version of the extension again, or, where they are newer than its "
						 "SQL, run ALTER EXTENSION eddh UPDATE.")));
	EDDH_CHECK(nn_graph_read_onnx(bytes, len, &nn_limits_default, &holder->graph, &err), &err, what);
	pfree(bytes);
	return holder->graph;
}
