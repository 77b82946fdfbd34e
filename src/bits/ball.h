/*
 * ball.h: the SQL type hamming_ball, all codes within a radius of a centre. Include after postgres.h.
 *
 * A varlena of alignment int4 and storage "extended": it may arrive compressed, or with a short header when it comes from a table,
 * so read it with PG_GETARG_HAMMING_BALL_P only.
 */
#ifndef EDDH_BITS_BALL_H
#define EDDH_BITS_BALL_H

#include "fmgr.h"
#include "utils/varbit.h"

typedef struct HammingBall
{
	int32 vl_len_; /* varlena header: never touch it directly */
	int32 radius;  /* >= 0, largest distance that is still inside */
	int32 nbits;   /* length of the centre in bits, >= 0 */
	bits8 center
		[FLEXIBLE_ARRAY_MEMBER]; /* (nbits + 7) / 8 bytes, packed as in bit: unused low bits of the last byte are zero */
} HammingBall;

#define HAMMING_BALL_BYTES(nbits)   (((size_t) (nbits) + BITS_PER_BYTE - 1) / BITS_PER_BYTE)
#define HAMMING_BALL_SIZE(nbits)    (offsetof(HammingBall, center) + HAMMING_BALL_BYTES(nbits))
#define DatumGetHammingBallP(X)     ((HammingBall *) PG_DETOAST_DATUM(X))
#define PG_GETARG_HAMMING_BALL_P(n) DatumGetHammingBallP(PG_GETARG_DATUM(n))
#define PG_RETURN_HAMMING_BALL_P(x) PG_RETURN_POINTER(x)

/* Raises 22026 with both lengths in DETAIL unless they are equal. */
extern void BitsCheckSameLength(int32 left, int32 right);

/* Distance of two codes of the same length; raises 22026 otherwise. */
extern int32 BitsHammingDistance(VarBit *left, VarBit *right);

/* Is the code inside the ball? Raises 22026 when the lengths differ. */
extern bool BitsBallContains(const HammingBall *ball, VarBit *code);

#endif /* EDDH_BITS_BALL_H */
