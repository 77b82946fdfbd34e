/*
 * ball.h: the SQL type hamming_ball, all codes within a radius of a centre, and codes as the PostgreSQL-facing rooms read them.
 * Include after postgres.h.
 *
 * A ball is a varlena of alignment int4 and storage "extended": it may arrive compressed, or with a short header when it comes from
 * a table, so read it with PG_GETARG_HAMMING_BALL_P only.
 */
#ifndef EDDH_BITS_BALL_H
#define EDDH_BITS_BALL_H

#include "fmgr.h"
#include "utils/varbit.h"

typedef struct HammingBall
{
	int32 vl_len_; /* varlena header: never touch it directly */
	int32 radius;  /* >= 0, largest distance that is still inside; may exceed nbits */
	int32 nbits;   /* length of the centre in bits, >= 0 */
	bits8 center
		[FLEXIBLE_ARRAY_MEMBER]; /* HAMMING_BALL_BYTES(nbits), packed as in bit: unused low bits of the last are zero */
} HammingBall;

#define HAMMING_BALL_BYTES(nbits)   (((size_t) (nbits) + BITS_PER_BYTE - 1) / BITS_PER_BYTE)
#define HAMMING_BALL_SIZE(nbits)    (offsetof(HammingBall, center) + HAMMING_BALL_BYTES(nbits))
#define DatumGetHammingBallP(X)     ((HammingBall *) PG_DETOAST_DATUM(X))
#define PG_GETARG_HAMMING_BALL_P(n) DatumGetHammingBallP(PG_GETARG_DATUM(n))
#define PG_RETURN_HAMMING_BALL_P(x) PG_RETURN_POINTER(x)

/* A value of type bit or varbit, where it lies. */
typedef struct BitsCode
{
	int32 nbits;
	const bits8 *bytes; /* no alignment; HAMMING_BALL_BYTES(nbits) of them */
} BitsCode;

/*
 * Reads a code without the copy that VarBit's macros make of every short-header value, that is, of every code in a table. Allocates, in
 * the current context, only for values that are compressed or out of line.
 */
static inline BitsCode
BitsCodeFromDatum(Datum datum)
{
	struct varlena *packed = PG_DETOAST_DATUM_PACKED(datum);
	BitsCode code;

	memcpy(&code.nbits, VARDATA_ANY(packed), sizeof(int32));
	code.bytes = (const bits8 *) VARDATA_ANY(packed) + sizeof(int32);
	return code;
}

/* Raise 22026 with both lengths, in bits, in DETAIL unless they are equal: of two codes, of a code and a ball. */
extern void BitsCheckSameLength(int32 left, int32 right);
extern void BitsCheckBallLength(int32 code, int32 ball);

/* Distance of two codes; raises 22026 when the lengths differ. */
extern int32 BitsHammingDistance(BitsCode left, BitsCode right);

/* Is the code inside the ball? Raises 22026 when the lengths differ. */
extern bool BitsBallContains(const HammingBall *ball, BitsCode code);

#endif /* EDDH_BITS_BALL_H */
