-- The access method hamming: exact nearest neighbours and balls.

CREATE FUNCTION hamming_handler(internal) RETURNS index_am_handler
	AS 'MODULE_PATHNAME', 'eddh_hamming_handler' LANGUAGE C VOLATILE STRICT PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hamming_handler(internal) IS 'hamming index access method handler';

CREATE ACCESS METHOD hamming TYPE INDEX HANDLER hamming_handler;
COMMENT ON ACCESS METHOD hamming IS 'exact search of codes by Hamming distance';

CREATE OPERATOR CLASS bit_hamming_ops DEFAULT FOR TYPE bit USING hamming AS
	OPERATOR 1 <-> (bit, bit) FOR ORDER BY integer_ops,
	OPERATOR 2 <@ (bit, hamming_ball);
COMMENT ON OPERATOR CLASS bit_hamming_ops USING hamming IS 'ORDER BY <-> and <@ hamming_ball on bit columns';

-- The same operators: a varbit column reaches them by the cast to bit that costs nothing.
CREATE OPERATOR CLASS varbit_hamming_ops DEFAULT FOR TYPE varbit USING hamming AS
	OPERATOR 1 <-> (bit, bit) FOR ORDER BY integer_ops,
	OPERATOR 2 <@ (bit, hamming_ball);
COMMENT ON OPERATOR CLASS varbit_hamming_ops USING hamming IS 'ORDER BY <-> and <@ hamming_ball on varbit columns whose values have one length';

CREATE FUNCTION hamming_index_check(index regclass) RETURNS bigint
	AS 'MODULE_PATHNAME', 'eddh_hamming_index_check' LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED COST 100000;
COMMENT ON FUNCTION hamming_index_check(regclass) IS
	'checks the structure of a hamming index and raises an error at the first fault; returns the number of rows in it';

CREATE FUNCTION hamming_index_stats(index regclass, OUT format integer, OUT bits integer, OUT pages bigint,
	OUT inner_pages bigint, OUT leaf_pages bigint, OUT pointer_pages bigint, OUT chain_pages bigint, OUT free_pages bigint,
	OUT distinct_codes bigint, OUT leaf_fill double precision)
	AS 'MODULE_PATHNAME', 'eddh_hamming_index_stats' LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED COST 100000;
COMMENT ON FUNCTION hamming_index_stats(regclass) IS 'pages of a hamming index by kind, its distinct codes and how full leaves are';
