/* selectivity.c: placeholder written next. */
#include "postgres.h"

#include "fmgr.h"

PG_FUNCTION_INFO_V1(eddh_hamming_ball_sel);
PG_FUNCTION_INFO_V1(eddh_hamming_ball_joinsel);

Datum
eddh_hamming_ball_sel(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(0.001);
}

Datum
eddh_hamming_ball_joinsel(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(0.001);
}
