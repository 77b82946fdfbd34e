-- What the planner does with the index, and what the index touches.
SET client_min_messages = warning;

CREATE FUNCTION plan_nodes(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	result text := '';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS off) ' || query LOOP
		IF line ~ '^ *->|^[A-Z]' AND line !~ '^ *(InitPlan|SubPlan)' THEN
			result := result || regexp_replace(trim(line), '^-> *', '') || '; ';
		END IF;
	END LOOP;
	RETURN result;
END $$;

CREATE TABLE planner_code (id int PRIMARY KEY, code bit(64), owner int);
INSERT INTO planner_code SELECT i, ('x' || md5(i::text))::bit(64), i % 100 FROM generate_series(1, 30000) i;
INSERT INTO planner_code SELECT i, ('x' || md5((i % 10)::text))::bit(64), i % 100 FROM generate_series(30001, 40000) i;
INSERT INTO planner_code VALUES (0, NULL, 0);
CREATE INDEX planner_code_code ON planner_code USING hamming (code);
VACUUM ANALYZE planner_code;

\set q '''0110100101101001011010010110100101101001011010010110100101101001'''
-- a constant, a parameter, a subquery, a stable function
SELECT plan_nodes('SELECT id FROM planner_code ORDER BY code <-> B' || quote_literal(:q) || ' LIMIT 10');
SELECT plan_nodes('SELECT id FROM planner_code ORDER BY code <-> (SELECT code FROM planner_code p WHERE p.id = 7) LIMIT 10');
PREPARE nearest(bit) AS SELECT id FROM planner_code ORDER BY code <-> $1 LIMIT 10;
SET plan_cache_mode = force_generic_plan;
SELECT plan_nodes('EXECUTE nearest(B' || quote_literal(:q) || ')');
RESET plan_cache_mode;
CREATE FUNCTION stable_code() RETURNS bit LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN ('x' || md5('7'))::bit(64); END $$;
SELECT plan_nodes('SELECT id FROM planner_code ORDER BY code <-> stable_code() LIMIT 10');
-- ties; a further condition; a ball; both
SELECT plan_nodes('SELECT id FROM planner_code ORDER BY code <-> B' || quote_literal(:q) || ' FETCH FIRST 10 ROWS WITH TIES');
SELECT plan_nodes('SELECT id FROM planner_code WHERE owner % 2 = 0 ORDER BY code <-> B' || quote_literal(:q) || ' LIMIT 10');
SELECT plan_nodes('SELECT id FROM planner_code WHERE code <@ hamming_ball(B' || quote_literal(:q) || ', 10)') LIKE '%planner_code_code%' AS by_index;
SELECT plan_nodes('SELECT id FROM planner_code WHERE code <@ hamming_ball(B' || quote_literal(:q) || ', 30) ORDER BY code <-> B' || quote_literal(:q) || ' LIMIT 10');
-- all rows: a sequential scan and a sort
SELECT plan_nodes('SELECT id FROM planner_code ORDER BY code <-> B' || quote_literal(:q));
-- descending order is not served
SELECT plan_nodes('SELECT id FROM planner_code ORDER BY code <-> B' || quote_literal(:q) || ' DESC LIMIT 10');
-- a tie-break by another column is a sort's work (below, WITH TIES gives it the few rows it needs)
SELECT plan_nodes('SELECT id FROM planner_code ORDER BY code <-> B' || quote_literal(:q) || ', id LIMIT 10') LIKE '%Sort;%' AS sorted;
SELECT plan_nodes('SELECT id FROM (SELECT id, code <-> B' || quote_literal(:q) || ' AS d FROM planner_code ORDER BY d FETCH FIRST 10 ROWS WITH TIES) x ORDER BY d, id LIMIT 10') LIKE '%Index Scan using planner_code_code%' AS by_index;
-- the near-duplicate self-join
SELECT plan_nodes('SELECT a.id, b.id FROM planner_code a JOIN planner_code b ON b.code <@ hamming_ball(a.code, 3) WHERE a.id BETWEEN 1 AND 50') LIKE 'Nested Loop;%planner_code_code%' AS by_index;
SELECT plan_nodes('SELECT a.id, b.id FROM planner_code a, LATERAL (SELECT id FROM planner_code p ORDER BY p.code <-> a.code LIMIT 3) b WHERE a.id < 20') LIKE 'Nested Loop;%planner_code_code%' AS by_index;

-- the self-join's answer, by the index and by brute force
CREATE TEMP TABLE joined AS SELECT a.id AS a, b.id AS b FROM planner_code a JOIN planner_code b ON b.code <@ hamming_ball(a.code, 12) WHERE a.id BETWEEN 1 AND 30;
SELECT count(*) > 30 AS some, count(*) = (SELECT count(*) FROM planner_code a, planner_code b WHERE a.id BETWEEN 1 AND 30 AND a.code <-> b.code <= 12) AS same FROM joined;

-- A LIMIT 10 touches the heap blocks of the rows it returns, and at most two others: what EXPLAIN (ANALYZE, BUFFERS) counts, without what
-- the statistics count for the index; and what they count for the table.
CREATE FUNCTION heap_blocks(query text, OUT explained int, OUT counted int) LANGUAGE plpgsql AS $$
DECLARE
	plan json;
	index_before bigint := pg_stat_get_xact_blocks_fetched('planner_code_code'::regclass);
	heap_before bigint := pg_stat_get_xact_blocks_fetched('planner_code'::regclass);
BEGIN
	EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, FORMAT json) ' || query INTO plan;
	plan := plan -> 0 -> 'Plan';
	explained := (plan ->> 'Shared Hit Blocks')::int + (plan ->> 'Shared Read Blocks')::int
		- (pg_stat_get_xact_blocks_fetched('planner_code_code'::regclass) - index_before);
	counted := pg_stat_get_xact_blocks_fetched('planner_code'::regclass) - heap_before;
END $$;
-- (planning reads the metapage of the index too)
SELECT q, explained <= blocks + 2 AS few_explained, counted BETWEEN blocks AND blocks + 2 AS few_counted
FROM generate_series(1, 5) q,
	LATERAL (SELECT format('SELECT ctid FROM planner_code ORDER BY code <-> (''x'' || md5(''%s''))::bit(64) LIMIT 10', q * 5) AS query) x,
	heap_blocks(query),
	LATERAL (SELECT count(DISTINCT (ctid::text::point)[0]) AS blocks FROM (SELECT ctid FROM planner_code ORDER BY code <-> ('x' || md5((q * 5)::text))::bit(64) LIMIT 10) y) z;

-- ties: as many rows as a sequential scan finds
SELECT (SELECT count(*) FROM (SELECT id FROM planner_code ORDER BY code <-> ('x' || md5('3'))::bit(64) FETCH FIRST 5 ROWS WITH TIES) x) =
	(SELECT count(*) FROM planner_code WHERE code = ('x' || md5('3'))::bit(64)) AS all_ties;

-- NULLs: last, and all there; a NULL key returns every row, a NULL ball none
SET enable_seqscan = off;
SET enable_sort = off;
SELECT count(*), count(d), bool_and(d IS NOT NULL OR n = 40001) AS last FROM
	(SELECT d, row_number() OVER () AS n FROM (SELECT code <-> B:q AS d FROM planner_code ORDER BY code <-> B:q) x) y;
SELECT count(*) FROM (SELECT id FROM planner_code ORDER BY code <-> NULL::bit) x;
SELECT count(*) FROM (SELECT id FROM planner_code ORDER BY code <-> (SELECT NULL::bit)) x;
SELECT count(*) FROM planner_code WHERE code <@ (SELECT NULL::hamming_ball);
SELECT count(*) FROM planner_code WHERE code IS NULL;
-- an index-only scan of no column
SET enable_bitmapscan = off;
SELECT count(*) FROM planner_code;
RESET enable_bitmapscan;
-- two order keys: the second decides among equals
SELECT array_agg(id ORDER BY n) = (SELECT array_agg(id) FROM (SELECT id FROM planner_code WHERE id <= 30000 ORDER BY (code <-> B:q) + 0, (code <-> ~B:q) + 0, (code <-> B'0101010101010101010101010101010101010101010101010101010101010101') + 0 LIMIT 3) y) AS same
	FROM (SELECT id, row_number() OVER () AS n FROM (SELECT id FROM planner_code WHERE id <= 30000 ORDER BY code <-> B:q, code <-> ~B:q, code <-> B'0101010101010101010101010101010101010101010101010101010101010101' LIMIT 3) x) z;
RESET enable_seqscan;
RESET enable_sort;

-- Selectivity of a radius: the estimate is within a factor of ten of the truth for clustered codes
CREATE FUNCTION estimated_rows(query text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan;
	RETURN (plan -> 0 -> 'Plan' ->> 'Plan Rows')::float8;
END $$;
SELECT estimated_rows('SELECT 1 FROM planner_code WHERE code <@ hamming_ball((''x'' || md5(''3''))::bit(64), 0)') BETWEEN 100 AND 10000 AS plausible;

-- Partitions: DDL on the parent, one order from all
CREATE TABLE planner_parts (id int, code bit(64)) PARTITION BY RANGE (id);
CREATE TABLE planner_parts_1 PARTITION OF planner_parts FOR VALUES FROM (0) TO (20000);
CREATE TABLE planner_parts_2 PARTITION OF planner_parts FOR VALUES FROM (20000) TO (50000);
INSERT INTO planner_parts SELECT id, code FROM planner_code;
CREATE INDEX planner_parts_code ON planner_parts USING hamming (code);
CREATE TABLE planner_parts_3 PARTITION OF planner_parts FOR VALUES FROM (50000) TO (60000);
INSERT INTO planner_parts VALUES (50001, B:q);
VACUUM ANALYZE planner_parts;
SELECT plan_nodes('SELECT id FROM planner_parts ORDER BY code <-> B' || quote_literal(:q) || ' LIMIT 10') LIKE '%Merge Append%Index Scan%' AS merged;
SELECT id FROM planner_parts ORDER BY code <-> B:q LIMIT 1;

-- varbit, expressions, partial, CONCURRENTLY, REINDEX, unlogged, temporary
CREATE TABLE planner_var (id int, code varbit);
CREATE INDEX planner_var_code ON planner_var USING hamming (code);
INSERT INTO planner_var SELECT id, code FROM planner_code WHERE id < 20000;
ANALYZE planner_var;
SELECT plan_nodes('SELECT id FROM planner_var ORDER BY code <-> B' || quote_literal(:q) || ' LIMIT 10');
CREATE INDEX CONCURRENTLY planner_concurrent ON planner_code USING hamming (code) WITH (fillfactor = 70);
SELECT indisvalid, hamming_index_check('planner_concurrent') FROM pg_index WHERE indexrelid = 'planner_concurrent'::regclass;
REINDEX INDEX CONCURRENTLY planner_concurrent;
SELECT hamming_index_check('planner_concurrent'), leaf_fill < 0.75 AS filled_less FROM hamming_index_stats('planner_concurrent');
DROP INDEX planner_concurrent;
CREATE UNLOGGED TABLE planner_unlogged AS SELECT * FROM planner_code WHERE id < 3000;
CREATE INDEX planner_unlogged_code ON planner_unlogged USING hamming (code);
CREATE TEMP TABLE planner_temp AS SELECT * FROM planner_code WHERE id < 3000;
CREATE INDEX planner_temp_code ON planner_temp USING hamming (code);
INSERT INTO planner_temp SELECT * FROM planner_code WHERE id BETWEEN 3000 AND 6000;
SELECT hamming_index_check('planner_unlogged_code'), hamming_index_check('planner_temp_code');
CREATE INDEX planner_partial ON planner_code USING hamming ((~code)) WHERE owner = 3;
SELECT hamming_index_check('planner_partial');

-- What users get wrong
\set VERBOSITY terse
CREATE TABLE planner_wrong (a bit(4), b bit(64), c varbit, d int, e bit(5000));
CREATE INDEX ON planner_wrong USING hamming (a);
CREATE INDEX ON planner_wrong USING hamming (e);
CREATE INDEX ON planner_wrong USING hamming (d);
CREATE INDEX ON planner_wrong USING hamming (b, c);
CREATE UNIQUE INDEX ON planner_wrong USING hamming (b);
CREATE INDEX ON planner_wrong USING hamming (b) WITH (fillfactor = 10);
CREATE INDEX planner_wrong_c ON planner_wrong USING hamming (c);
INSERT INTO planner_wrong (c) VALUES (repeat('01', 40)::varbit);
INSERT INTO planner_wrong (c) VALUES (repeat('01', 41)::varbit);
INSERT INTO planner_wrong (c) VALUES (B'1');
SET enable_seqscan = off;
SELECT c FROM planner_wrong ORDER BY c <-> B'101' LIMIT 1;
SELECT hamming_index_check('planner_wrong');
SELECT hamming_index_check('planner_code_pkey');
SELECT amvalidate(oid) FROM pg_opclass WHERE opcmethod = (SELECT oid FROM pg_am WHERE amname = 'hamming');
CREATE OPERATOR CLASS broken_ops FOR TYPE bit USING hamming AS OPERATOR 1 <-> (bit, bit) FOR ORDER BY integer_ops;
SELECT amvalidate(oid) FROM pg_opclass WHERE opcname = 'broken_ops';
