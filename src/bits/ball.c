/*
 * ball.c: the SQL type hamming_ball, its constructor, and the operators bit <@ hamming_ball and hamming_ball @> bit.
 *
 * Text form: (1011,2) = centre, radius. Binary form: int32 radius, int32 number of bits, the bits packed as in bit.
 */
#include "postgres.h"

#include <ctype.h>

#include "bits/ball.h"
#include "bits/kernels.h"
#include "compat.h"
#include "libpq/pqformat.h"

PG_FUNCTION_INFO_V1(eddh_hamming_ball);
PG_FUNCTION_INFO_V1(eddh_hamming_ball_in);
PG_FUNCTION_INFO_V1(eddh_hamming_ball_out);
PG_FUNCTION_INFO_V1(eddh_hamming_ball_recv);
PG_FUNCTION_INFO_V1(eddh_hamming_ball_send);
PG_FUNCTION_INFO_V1(eddh_bit_in_hamming_ball);
PG_FUNCTION_INFO_V1(eddh_hamming_ball_contains);

/* A ball without its centre: the bytes are zero. */
static HammingBall *
MakeBall(int32 nbits, int32 radius)
{
	HammingBall *ball = palloc0(HAMMING_BALL_SIZE(nbits));

	SET_VARSIZE(ball, HAMMING_BALL_SIZE(nbits));
	ball->nbits = nbits;
	ball->radius = radius;
	return ball;
}

static void
CheckRadius(int32 radius)
{
	if (radius < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("radius of a Hamming ball must not be negative"),
				 errdetail("The radius is %d.", radius)));
}

void
BitsCheckBallLength(int32 code, int32 ball)
{
	if (unlikely(code != ball))
		ereport(ERROR, (errcode(ERRCODE_STRING_DATA_LENGTH_MISMATCH),
						errmsg("cannot compare a bit string with a Hamming ball of another size"),
						errdetail("The bit string has %d bits, the centre of the ball %d.", code, ball),
						errhint("Compare codes of one length, such as those that one model made.")));
}

bool
BitsBallContains(const HammingBall *ball, BitsCode code)
{
	BitsCheckBallLength(code.nbits, ball->nbits);
	return bits_distance(HAMMING_BALL_BYTES(code.nbits), code.bytes, ball->center) <= (uint64) ball->radius;
}

Datum
eddh_hamming_ball(PG_FUNCTION_ARGS)
{
	BitsCode center = BitsCodeFromDatum(PG_GETARG_DATUM(0));
	int32 radius = PG_GETARG_INT32(1);
	HammingBall *ball;

	CheckRadius(radius);
	ball = MakeBall(center.nbits, radius);
	memcpy(ball->center, center.bytes, HAMMING_BALL_BYTES(center.nbits));
	PG_RETURN_HAMMING_BALL_P(ball);
}

static const char *
SkipSpace(const char *p)
{
	while (isspace((unsigned char) *p))
		p++;
	return p;
}

Datum
eddh_hamming_ball_in(PG_FUNCTION_ARGS)
{
	char *input = PG_GETARG_CSTRING(0);
	const char *p = SkipSpace(input);
	const char *bits;
	size_t nbits;
	HammingBall *ball;
	int64 radius = 0;

	if (*p != '(')
		goto malformed;
	bits = p = SkipSpace(p + 1);
	nbits = strspn(bits, "01");
	p = SkipSpace(p + nbits);
	if (*p != ',' || nbits > VARBITMAXLEN)
		goto malformed;
	p = SkipSpace(p + 1);
	if (*p == '-' && isdigit((unsigned char) p[1]))
		ereturn(fcinfo->context, (Datum) 0,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("radius of a Hamming ball must not be negative"),
				 errdetail("The ball is \"%s\".", input)));
	if (!isdigit((unsigned char) *p))
		goto malformed;
	for (; isdigit((unsigned char) *p); p++)
	{
		radius = radius * 10 + (*p - '0');
		if (radius > PG_INT32_MAX)
			ereturn(fcinfo->context, (Datum) 0,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE), errmsg("radius of a Hamming ball is out of range"),
					 errdetail("The ball is \"%s\"; the largest radius is %d.", input, PG_INT32_MAX)));
	}
	p = SkipSpace(p);
	if (*p != ')' || *SkipSpace(p + 1) != '\0')
		goto malformed;

	ball = MakeBall((int32) nbits, (int32) radius);
	for (size_t i = 0; i < nbits; i++)
	{
		if (bits[i] == '1')
			ball->center[i / BITS_PER_BYTE] |= (bits8) (HIGHBIT >> (i % BITS_PER_BYTE));
	}
	PG_RETURN_HAMMING_BALL_P(ball);

malformed:
	ereturn(fcinfo->context, (Datum) 0,
			(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			 errmsg("invalid input syntax for type %s: \"%s\"", "hamming_ball", input),
			 errdetail("A ball is written as a bit string and a radius in parentheses, such as (1011,2).")));
}

Datum
eddh_hamming_ball_out(PG_FUNCTION_ARGS)
{
	HammingBall *ball = PG_GETARG_HAMMING_BALL_P(0);
	/* Parentheses, comma, a radius of at most ten digits, the final zero. */
	char *output = palloc((Size) ball->nbits + 14);
	char *p = output;

	*p++ = '(';
	for (int32 i = 0; i < ball->nbits; i++)
		*p++ = (ball->center[i / BITS_PER_BYTE] & (HIGHBIT >> (i % BITS_PER_BYTE))) ? '1' : '0';
	sprintf(p, ",%d)", ball->radius);
	PG_RETURN_CSTRING(output);
}

Datum
eddh_hamming_ball_recv(PG_FUNCTION_ARGS)
{
	StringInfo buf = (StringInfo) PG_GETARG_POINTER(0);
	int32 radius = (int32) pq_getmsgint(buf, sizeof(int32));
	int32 nbits = (int32) pq_getmsgint(buf, sizeof(int32));
	size_t rest = (size_t) (buf->len - buf->cursor);
	HammingBall *ball;

	CheckRadius(radius);
	/* Before anything is allocated: the number may be a lie. */
	if (nbits < 0 || nbits > VARBITMAXLEN || HAMMING_BALL_BYTES(nbits) != rest)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION), errmsg("invalid length in external hamming_ball"),
				 errdetail("The message says %d bits and holds %zu bytes of them.", nbits, rest)));
	ball = MakeBall(nbits, radius);
	pq_copymsgbytes(buf, (char *) ball->center, (int) rest);
	/* As bit_recv does: nothing but zeros beyond the last bit, or equal balls would differ. */
	if (nbits % BITS_PER_BYTE != 0)
		ball->center[rest - 1] &= (bits8) (BITMASK << (BITS_PER_BYTE - nbits % BITS_PER_BYTE));
	PG_RETURN_HAMMING_BALL_P(ball);
}

Datum
eddh_hamming_ball_send(PG_FUNCTION_ARGS)
{
	HammingBall *ball = PG_GETARG_HAMMING_BALL_P(0);
	StringInfoData buf;

	pq_begintypsend(&buf);
	pq_sendint32(&buf, (uint32) ball->radius);
	pq_sendint32(&buf, (uint32) ball->nbits);
	pq_sendbytes(&buf, (const char *) ball->center, (int) HAMMING_BALL_BYTES(ball->nbits));
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

Datum
eddh_bit_in_hamming_ball(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(BitsBallContains(PG_GETARG_HAMMING_BALL_P(1), BitsCodeFromDatum(PG_GETARG_DATUM(0))));
}

Datum
eddh_hamming_ball_contains(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(BitsBallContains(PG_GETARG_HAMMING_BALL_P(0), BitsCodeFromDatum(PG_GETARG_DATUM(1))));
}
