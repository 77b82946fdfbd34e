-- Estimates of <@ and @> follow the data: compared with the truth, never by their exact value.
SET jit = off;
CREATE FUNCTION bits_test_rows(query text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan;
	RETURN (plan -> 0 -> 'Plan' ->> 'Plan Rows')::float8;
END $$;

-- Estimate and truth within a factor, or within so many rows of each other.
CREATE FUNCTION bits_test_close(estimate float8, truth float8, factor float8, rows float8) RETURNS text LANGUAGE sql RETURN
	CASE WHEN abs(estimate - truth) <= rows OR (estimate <= truth * factor AND truth <= estimate * factor) THEN 'close'
		ELSE format('estimate %s, truth %s', estimate, truth) END;

-- 100 centres; a quarter of the rows carry exactly their centre's code, the others have some of their bits flipped. A tenth is NULL.
CREATE TABLE clustered (id int, code bit(64)) WITH (autovacuum_enabled = off);
INSERT INTO clustered SELECT i, CASE WHEN i % 10 = 9 THEN NULL WHEN i % 4 = 0 THEN center
	ELSE center # (('x' || md5('p' || i))::bit(64) & ('x' || md5('q' || i))::bit(64) & ('x' || md5('r' || i))::bit(64) & ('x' || md5('s' || i))::bit(64)) END
FROM (SELECT i, ('x' || md5('center' || i % 100))::bit(64) AS center FROM generate_series(1, 10000) i) rows;
-- Codes without any structure.
CREATE TABLE uniform WITH (autovacuum_enabled = off) AS SELECT i AS id, ('x' || md5('u' || i))::bit(64) AS code FROM generate_series(1, 10000) i;

-- Before ANALYZE: bits as fair coins. Half of all codes lie within half of the bits, and next to none within 4.
SELECT bits_test_rows(format('SELECT FROM uniform WHERE code <@ hamming_ball(%L, %s)', code, radius))
	/ bits_test_rows('SELECT FROM uniform') BETWEEN low AND high AS fair_coins, radius
FROM uniform, (VALUES (4, 0, 0.001), (31, 0.4, 0.5), (32, 0.5, 0.6), (64, 1, 1), (1000, 1, 1)) radii(radius, low, high) WHERE id = 1 ORDER BY radius;

ANALYZE clustered;
ANALYZE uniform;

-- A small ball around a common code, around nothing, around everything; the commuted operator is the same.
CREATE TEMP TABLE questions AS
	SELECT 'clustered' AS name, 'common code' AS what, ('x' || md5('center8'))::bit(64) AS center, radius FROM (VALUES (0), (4), (10), (32), (64)) r(radius)
	UNION ALL SELECT 'clustered', 'no such code', ('x' || md5('nothing'))::bit(64), radius FROM (VALUES (0), (4), (10), (64)) r(radius)
	UNION ALL SELECT 'uniform', 'a code', (SELECT code FROM uniform WHERE id = 77), radius FROM (VALUES (0), (4), (16), (28), (32), (64)) r(radius);
CREATE FUNCTION bits_test_count(query text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
	n float8;
BEGIN
	EXECUTE 'SELECT count(*) FROM (' || query || ') rows' INTO n;
	RETURN n;
END $$;
SELECT name, what, radius, bits_test_close(bits_test_rows(query), bits_test_count(query), 3, 60) AS estimate,
	bits_test_rows(query) = bits_test_rows(format('SELECT FROM %I WHERE hamming_ball(%L, %s) @> code', name, center, radius)) AS commuted
FROM questions, LATERAL (SELECT format('SELECT FROM %I WHERE code <@ hamming_ball(%L, %s)', name, center, radius) AS query) q
ORDER BY name, what, radius;

-- NULL balls and balls of another length: few rows, and no error before the query runs.
SELECT bits_test_rows('SELECT FROM uniform WHERE code <@ NULL::hamming_ball') <= 1 AS null_ball,
	bits_test_rows($$ SELECT FROM uniform WHERE code <@ '(101,1)' $$) <= 1 AS other_length;

-- The centre unknown, as in a generic plan: the average over the column's own codes, which grows with the radius.
SET plan_cache_mode = force_generic_plan;
PREPARE within4(bit) AS SELECT FROM clustered WHERE code <@ hamming_ball($1, 4);
PREPARE within60(bit) AS SELECT FROM clustered WHERE code <@ hamming_ball($1, 60);
SELECT bits_test_close(bits_test_rows($$ EXECUTE within4(B'1') $$), (SELECT count(*) / 9000.0 FROM clustered a, clustered b WHERE b.id < 100 AND b.code <@ hamming_ball(a.code, 4)) / 99 * 10000, 5, 60) AS within4,
	bits_test_rows($$ EXECUTE within60(B'1') $$) > 7000 AS within60;
RESET plan_cache_mode;

-- Joins, in both directions, and with EXISTS.
SELECT bits_test_close(bits_test_rows(query), bits_test_count(query), 3, 100) AS self_join
FROM (VALUES ('SELECT FROM clustered a JOIN clustered b ON a.code <@ hamming_ball(b.code, 4) WHERE a.id <= 200')) q(query);
SELECT bits_test_close(bits_test_rows(query), bits_test_count(query), 3, 100) AS commuted
FROM (VALUES ('SELECT FROM clustered a JOIN clustered b ON hamming_ball(a.code, 4) @> b.code WHERE a.id <= 200')) q(query);
SELECT bits_test_close(bits_test_rows(query), bits_test_count(query), 1000, 1000) AS unique_codes
FROM (VALUES ('SELECT FROM uniform a JOIN uniform b ON a.code <@ hamming_ball(b.code, 2) WHERE a.id <= 200')) q(query);
SELECT bits_test_rows('SELECT FROM clustered a WHERE EXISTS (SELECT FROM clustered b WHERE a.code <@ hamming_ball(b.code, 4))') > 5000 AS exists_partner,
	bits_test_rows('SELECT FROM uniform a WHERE EXISTS (SELECT FROM clustered b WHERE a.code <@ hamming_ball(b.code, 0))') < 5000 AS exists_none;

DEALLOCATE ALL;
DROP TABLE clustered, uniform;
DROP FUNCTION bits_test_rows(text), bits_test_close(float8, float8, float8, float8), bits_test_count(text);
