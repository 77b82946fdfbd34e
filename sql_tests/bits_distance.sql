-- Distances equal the definition on codes of every kind of length, whichever kernel this machine runs.
SELECT B'1011' <-> B'0010' AS operator, hamming_distance(B'1011', B'0010') AS function;
SELECT B'' <-> B'' AS empty, (B'1' <-> NULL) IS NULL AS null_operand;

-- Codes of n bits, from a seed. (A cast to bit without a length means bit(1), so they are varbit.)
CREATE FUNCTION bits_test_varbit(n int, seed text) RETURNS varbit LANGUAGE sql IMMUTABLE RETURN
	substring((SELECT string_agg(('x' || md5(seed || ':' || block))::bit(128)::text, '' ORDER BY block)
		FROM generate_series(0, n / 128) block) FOR n)::varbit;

CREATE TEMP TABLE pairs AS
	SELECT n, bits_test_varbit(n, 'a' || n) AS a, bits_test_varbit(n, 'b' || n) AS b
	FROM (SELECT generate_series(1, 200) UNION ALL VALUES (255), (256), (257), (511), (512), (1000), (1024), (4099), (100000)) lengths(n);
SELECT count(*) AS pairs, count(*) FILTER (WHERE length(a) = n AND length(b) = n) AS of_their_length,
	count(*) FILTER (WHERE (a <-> b) = bit_count(a # b)) AS equal_to_the_definition,
	count(*) FILTER (WHERE (a <-> b) = (b <-> a)) AS symmetric,
	count(*) FILTER (WHERE (a <-> a) = 0) AS zero_to_themselves,
	count(*) FILTER (WHERE (a <-> ~a) = n) AS all_bits_to_their_complement
FROM pairs;

-- The same through columns of type bit(n), as stored in a table.
CREATE TEMP TABLE codes (id int, code bit(64), wide bit(320));
INSERT INTO codes SELECT i, bits_test_varbit(64, 'c' || i), bits_test_varbit(320, 'd' || i) FROM generate_series(1, 500) i;
SELECT count(*) AS rows, count(*) FILTER (WHERE (a.code <-> b.code) = bit_count(a.code # b.code)) AS narrow,
	count(*) FILTER (WHERE (a.wide <-> b.wide) = bit_count(a.wide # b.wide)) AS wide
FROM codes a JOIN codes b ON b.id % 50 = 7;

-- A metric: the triangle inequality.
SELECT count(*) AS violations FROM codes a, codes b, codes c
WHERE a.id < 40 AND b.id < 40 AND c.id < 40 AND (a.code <-> c.code) > (a.code <-> b.code) + (b.code <-> c.code);

-- An out-of-line value is read as it should be.
CREATE TEMP TABLE long_codes (code varbit);
ALTER TABLE long_codes ALTER code SET STORAGE EXTERNAL;
INSERT INTO long_codes SELECT a FROM pairs WHERE n = 100000;
SELECT (l.code <-> p.b) = bit_count(p.a # p.b) AS out_of_line FROM long_codes l, pairs p WHERE p.n = 100000;

-- Lengths that differ: core's error code for bit operators, and both lengths.
CREATE FUNCTION bits_test_error(query text) RETURNS TABLE (state text, message text, detail text, hint text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE query;
	RETURN QUERY SELECT 'no error', '', '', '';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN NEXT;
END $$;
\x on
SELECT * FROM bits_test_error($$ SELECT B'1011' <-> B'101' $$);
SELECT * FROM bits_test_error($$ SELECT hamming_distance(B'', B'1') $$);
SELECT core.state = ours.state AS same_code_as_core
FROM bits_test_error($$ SELECT B'1011' # B'101' $$) core, bits_test_error($$ SELECT B'1011' <-> B'101' $$) ours;
\x off

-- varbit columns reach the bit operators by an implicit cast, alone and mixed with bit.
SELECT count(*) FILTER (WHERE (a <-> b) = bit_count(a # b)) = count(*) AS varbit_varbit FROM pairs;
SELECT count(*) FILTER (WHERE (c.code <-> v.code) = 0) = count(*) AS bit_varbit
FROM codes c JOIN (SELECT id, code::varbit AS code FROM codes) v USING (id);
SELECT count(*) FILTER (WHERE (v.code <-> c.code) = 0) = count(*) AS varbit_bit
FROM codes c JOIN (SELECT id, code::varbit AS code FROM codes) v USING (id);
SELECT count(*) = 1 AS literal FROM codes WHERE code <-> (SELECT code::text FROM codes WHERE id = 3)::varbit = 0;

-- Operators on bit only: one on varbit would steal mixed expressions from an index. <~> belongs to pgvector on (bit, bit).
SELECT o.oid::regoperator AS operator, o.oprcode AS function, (SELECT c.oprname FROM pg_operator c WHERE c.oid = o.oprcom) AS commutator
FROM pg_operator o JOIN pg_depend d ON d.classid = 'pg_operator'::regclass AND d.objid = o.oid AND d.deptype = 'e'
JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND e.extname = 'eddh'
ORDER BY o.oid::regoperator::text COLLATE "C";

-- No function here may be leakproof: the error tells lengths. All can be indexed, and run in parallel workers.
SELECT DISTINCT provolatile, proisstrict, proparallel, proleakproof FROM pg_proc
WHERE proname IN ('bit_hamming_distance', 'bit_in_hamming_ball', 'hamming_ball_contains', 'hamming_ball');

-- The order by distance is that of a sort by the definition.
SELECT array_agg(id ORDER BY code <-> (SELECT code FROM codes WHERE id = 1), id)
	= array_agg(id ORDER BY bit_count(code # (SELECT code FROM codes WHERE id = 1)), id) AS same_order FROM codes;

DROP FUNCTION bits_test_varbit(int, text), bits_test_error(text);
