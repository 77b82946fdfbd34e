/* distance.c: the operator <-> and SQL's hamming_distance: one C function, since bit and varbit are stored alike. */
#include "postgres.h"

#include "bits/ball.h"
#include "bits/kernels.h"

PG_FUNCTION_INFO_V1(eddh_hamming_distance);

void
BitsCheckSameLength(int32 left, int32 right)
{
	if (unlikely(left != right))
		ereport(ERROR, (errcode(ERRCODE_STRING_DATA_LENGTH_MISMATCH),
						errmsg("cannot compute the Hamming distance of bit strings of different sizes"),
						errdetail("The left bit string has %d bits, the right one %d.", left, right),
						errhint("Compare codes of one length, such as those that one model made.")));
}

int32
BitsHammingDistance(BitsCode left, BitsCode right)
{
	BitsCheckSameLength(left.nbits, right.nbits);
	/* Unused bits of the last byte are zero in both. The distance is at most nbits, so it fits. */
	return (int32) bits_distance(HAMMING_BALL_BYTES(left.nbits), left.bytes, right.bytes);
}

Datum
eddh_hamming_distance(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(BitsHammingDistance(BitsCodeFromDatum(PG_GETARG_DATUM(0)), BitsCodeFromDatum(PG_GETARG_DATUM(1))));
}
