/* handler.c: the routine table of the access method `hamming`. */
#include "postgres.h"

#include "commands/vacuum.h"
#include "compat.h"
#include "fmgr.h"
#include "index/ham.h"

PG_FUNCTION_INFO_V1(eddh_hamming_handler);

Datum
eddh_hamming_handler(PG_FUNCTION_ARGS)
{
	IndexAmRoutine *routine = makeNode(IndexAmRoutine);

	routine->amstrategies = HAM_STRATEGY_BALL;
	routine->amsupport = 0;
	routine->amoptsprocnum = 0;
	routine->amcanorder = false;
	routine->amcanorderbyop = true;
	routine->amcanbackward = false;
	routine->amcanunique = false;
	routine->amcanmulticol = false;
	routine->amoptionalkey = true; /* ORDER BY alone, and any other WHERE clause beside it */
	routine->amsearcharray = false;
	routine->amsearchnulls = true; /* rows with NULL are in the index */
	routine->amstorage = false;
	routine->amclusterable = false;
	routine->ampredlocks = false; /* core locks the whole index */
	routine->amcanparallel = false;
#if PG_VERSION_NUM >= 170000
	routine->amcanbuildparallel = false;
#endif
	routine->amcaninclude = false;
	routine->amusemaintenanceworkmem = false;
#if PG_VERSION_NUM >= 160000
	routine->amsummarizing = false;
#endif
	routine->amparallelvacuumoptions = VACUUM_OPTION_PARALLEL_BULKDEL;
	routine->amkeytype = InvalidOid;
#if PG_VERSION_NUM >= 170000
	routine->amcanbuildparallel = true;
#endif

	routine->ambuild = hambuild;
	routine->ambuildempty = hambuildempty;
	routine->aminsert = haminsert;
	routine->ambulkdelete = hambulkdelete;
	routine->amvacuumcleanup = hamvacuumcleanup;
	routine->amcanreturn = NULL;
	routine->amcostestimate = hamcostestimate;
	routine->amoptions = hamoptions;
	routine->amproperty = NULL;
	routine->ambuildphasename = hambuildphasename;
	routine->amvalidate = hamvalidate;
	routine->amadjustmembers = NULL;
	routine->ambeginscan = hambeginscan;
	routine->amrescan = hamrescan;
	routine->amgettuple = hamgettuple;
	routine->amgetbitmap = hamgetbitmap;
	routine->amendscan = hamendscan;
	routine->ammarkpos = NULL;
	routine->amrestrpos = NULL;
	routine->amestimateparallelscan = NULL;
	routine->aminitparallelscan = NULL;
	routine->amparallelrescan = NULL;
	PG_RETURN_POINTER(routine);
}
