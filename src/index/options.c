/* options.c: storage parameters. */
#include "postgres.h"

#include "access/reloptions.h"
#include "index/ham.h"
#include "index/index.h"

typedef struct HamOptions
{
	int32 vl_len_;
	int fillfactor;
} HamOptions;

static relopt_kind HamReloptKind;

void
HamOptionsInit(void)
{
	HamReloptKind = add_reloption_kind();
	add_int_reloption(HamReloptKind, "fillfactor", "how full CREATE INDEX packs pages of codes, in percent",
					  HAM_FILLFACTOR_DEFAULT, HAM_FILLFACTOR_MIN, HAM_FILLFACTOR_MAX, ShareUpdateExclusiveLock);
}

void
IndexInit(void)
{
	HamOptionsInit();
}

bytea *
hamoptions(Datum reloptions, bool validate)
{
	static const relopt_parse_elt table[] = { { "fillfactor", RELOPT_TYPE_INT, offsetof(HamOptions, fillfactor) } };

	return (bytea *) build_reloptions(reloptions, validate, HamReloptKind, sizeof(HamOptions), table, lengthof(table));
}

int
HamFillFactor(Relation index)
{
	HamOptions *options = (HamOptions *) index->rd_options;

	return options != NULL ? options->fillfactor : HAM_FILLFACTOR_DEFAULT;
}
