/* eddh.c: module magic and start-up; calls each room's init and nothing else. */
#include "postgres.h"

#include "compat.h"
#include "fmgr.h"
#include "utils/guc.h"

#include "index/index.h"
#include "model/model.h"
#include "train/options.h"

PG_MODULE_MAGIC;

void _PG_init(void);

void
_PG_init(void)
{
	IndexInit();
	ModelInit();
	TrainInit();
	MarkGUCPrefixReserved("eddh");
}
