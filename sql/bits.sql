\echo Use "CREATE EXTENSION eddh" to load this file. \quit

-- Distances between codes, and balls around a code.
--
-- Operators exist on bit only. A varbit operator would win over the bit operator in expressions that mix both, and no index would
-- serve them; varbit columns reach these operators by the cast that PostgreSQL applies itself.

CREATE FUNCTION bit_hamming_distance(bit, bit) RETURNS integer
	AS 'MODULE_PATHNAME', 'eddh_hamming_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1;
COMMENT ON FUNCTION bit_hamming_distance(bit, bit) IS 'implementation of <-> operator';

CREATE OPERATOR <-> (LEFTARG = bit, RIGHTARG = bit, FUNCTION = bit_hamming_distance, COMMUTATOR = <->);
COMMENT ON OPERATOR <-> (bit, bit) IS 'Hamming distance';

-- The function for users takes varbit, to which bit converts by itself: pgvector owns hamming_distance(bit, bit), and both extensions
-- must fit into one schema.
CREATE FUNCTION hamming_distance(varbit, varbit) RETURNS integer
	AS 'MODULE_PATHNAME', 'eddh_hamming_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hamming_distance(varbit, varbit) IS 'number of differing bits of two bit strings of equal length';

CREATE TYPE hamming_ball;

CREATE FUNCTION hamming_ball_in(cstring) RETURNS hamming_ball
	AS 'MODULE_PATHNAME', 'eddh_hamming_ball_in' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hamming_ball_in(cstring) IS 'I/O';
CREATE FUNCTION hamming_ball_out(hamming_ball) RETURNS cstring
	AS 'MODULE_PATHNAME', 'eddh_hamming_ball_out' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hamming_ball_out(hamming_ball) IS 'I/O';
CREATE FUNCTION hamming_ball_recv(internal) RETURNS hamming_ball
	AS 'MODULE_PATHNAME', 'eddh_hamming_ball_recv' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hamming_ball_recv(internal) IS 'I/O';
CREATE FUNCTION hamming_ball_send(hamming_ball) RETURNS bytea
	AS 'MODULE_PATHNAME', 'eddh_hamming_ball_send' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hamming_ball_send(hamming_ball) IS 'I/O';

CREATE TYPE hamming_ball (
	INPUT = hamming_ball_in,
	OUTPUT = hamming_ball_out,
	RECEIVE = hamming_ball_recv,
	SEND = hamming_ball_send,
	INTERNALLENGTH = VARIABLE,
	ALIGNMENT = int4,
	STORAGE = extended
);
COMMENT ON TYPE hamming_ball IS 'all bit strings of one length within a radius of a centre, written as (centre,radius)';

CREATE FUNCTION hamming_ball(center bit, radius integer) RETURNS hamming_ball
	AS 'MODULE_PATHNAME', 'eddh_hamming_ball' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hamming_ball(bit, integer) IS 'the bit strings at a Hamming distance of at most radius from center';

CREATE FUNCTION bit_in_hamming_ball(bit, hamming_ball) RETURNS boolean
	AS 'MODULE_PATHNAME', 'eddh_bit_in_hamming_ball' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1;
COMMENT ON FUNCTION bit_in_hamming_ball(bit, hamming_ball) IS 'implementation of <@ operator';
CREATE FUNCTION hamming_ball_contains(hamming_ball, bit) RETURNS boolean
	AS 'MODULE_PATHNAME', 'eddh_hamming_ball_contains' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hamming_ball_contains(hamming_ball, bit) IS 'implementation of @> operator';

CREATE FUNCTION hamming_ball_sel(internal, oid, internal, integer) RETURNS float8
	AS 'MODULE_PATHNAME', 'eddh_hamming_ball_sel' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hamming_ball_sel(internal, oid, internal, integer) IS 'restriction selectivity of <@ and @> on Hamming balls';
CREATE FUNCTION hamming_ball_joinsel(internal, oid, internal, smallint, internal) RETURNS float8
	AS 'MODULE_PATHNAME', 'eddh_hamming_ball_joinsel' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hamming_ball_joinsel(internal, oid, internal, smallint, internal) IS 'join selectivity of <@ and @> on Hamming balls';

CREATE OPERATOR <@ (
	LEFTARG = bit, RIGHTARG = hamming_ball, FUNCTION = bit_in_hamming_ball, COMMUTATOR = @>,
	RESTRICT = hamming_ball_sel, JOIN = hamming_ball_joinsel
);
COMMENT ON OPERATOR <@ (bit, hamming_ball) IS 'is within the Hamming ball';
CREATE OPERATOR @> (
	LEFTARG = hamming_ball, RIGHTARG = bit, FUNCTION = hamming_ball_contains, COMMUTATOR = <@,
	RESTRICT = hamming_ball_sel, JOIN = hamming_ball_joinsel
);
COMMENT ON OPERATOR @> (hamming_ball, bit) IS 'contains the bit string';
