-- Measures of codes against their definitions, computed in SQL from the same tables.
\set ECHO none
\set helpers `echo $PG_ABS_SRCDIR` '/sql/include/helpers.sql'
\i :helpers
\set ECHO all
\pset format unaligned
\pset tuples_only on

CREATE TABLE sqlapi_rows (id int, part text, code bit(8), kind text, kinds text[], number int);
-- Few bits and few labels: ties everywhere.
INSERT INTO sqlapi_rows
	SELECT i, CASE WHEN i % 7 = 0 THEN 'query' ELSE 'database' END, (get_byte(sha256(('code ' || i)::bytea), 0) & 60)::bit(8),
		'kind ' || get_byte(sha256(('kind ' || i)::bytea), 0) % 5,
		ARRAY(SELECT 'kind ' || k FROM generate_series(0, 5) AS k WHERE get_byte(sha256(('kinds ' || i)::bytea), k) < 70),
		get_byte(sha256(('kind ' || i)::bytea), 0) % 5
	FROM generate_series(1, 150) AS i;
CREATE VIEW sqlapi_query AS SELECT * FROM sqlapi_rows WHERE part = 'query';
CREATE VIEW sqlapi_database AS SELECT * FROM sqlapi_rows WHERE part = 'database';

-- The expectation over random order inside ties, group by group (McSherry and Najork 2008).
CREATE FUNCTION pg_temp.expected_map(leave_one_out boolean, multi boolean) RETURNS float8 LANGUAGE sql AS $$
	WITH pair AS (
		SELECT q.id AS query, q.code <-> d.code AS h, CASE WHEN multi THEN q.kinds && d.kinds ELSE q.kind = d.kind END AS relevant
		FROM sqlapi_rows AS q, sqlapi_rows AS d
		WHERE CASE WHEN leave_one_out THEN q.id <> d.id ELSE q.part = 'query' AND d.part = 'database' END),
	tie AS (
		SELECT query, h, count(*)::float8 AS n, count(*) FILTER (WHERE relevant)::float8 AS r FROM pair GROUP BY query, h),
	running AS (
		SELECT *, coalesce(sum(n) OVER w, 0) AS before, coalesce(sum(r) OVER w, 0) AS found
		FROM tie WINDOW w AS (PARTITION BY query ORDER BY h ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)),
	ap AS (
		SELECT query, coalesce(sum(r / n * (SELECT sum((found + 1 + (t - 1) * CASE WHEN n > 1 THEN (r - 1) / (n - 1) ELSE 0 END) / (before + t))
											FROM generate_series(1, n::int) AS t)) FILTER (WHERE r > 0) / nullif(sum(r), 0), 0) AS value
		FROM running GROUP BY query)
	SELECT avg(value) FROM ap
$$;
CREATE FUNCTION pg_temp.measured(queries regclass, database regclass, labels name, name text, top int DEFAULT NULL) RETURNS float8 LANGUAGE sql AS $$
	SELECT value FROM eddh_evaluate(queries, database, 'code', labels, top) WHERE measure = name
$$;
SELECT abs(pg_temp.measured('sqlapi_query', 'sqlapi_database', 'kind', 'map') - pg_temp.expected_map(false, false)) < 1e-12;
SELECT abs(pg_temp.measured('sqlapi_query', 'sqlapi_database', 'kinds', 'map') - pg_temp.expected_map(false, true)) < 1e-12;
SELECT abs(pg_temp.measured('sqlapi_rows', 'sqlapi_rows', 'kind', 'map') - pg_temp.expected_map(true, false)) < 1e-12;
SELECT abs(pg_temp.measured('sqlapi_rows', 'sqlapi_rows', 'kinds', 'map') - pg_temp.expected_map(true, true)) < 1e-12;
-- A label is its text: of another type the same.
SELECT pg_temp.measured('sqlapi_rows', 'sqlapi_rows', 'kind', 'map') = pg_temp.measured('sqlapi_rows', 'sqlapi_rows', 'number', 'map');
-- The order of rows does not matter.
CREATE TABLE sqlapi_sorted AS SELECT * FROM sqlapi_rows ORDER BY kind, code;
SELECT abs(pg_temp.measured('sqlapi_rows', 'sqlapi_rows', 'kind', 'map') - pg_temp.measured('sqlapi_sorted', 'sqlapi_sorted', 'kind', 'map')) < 1e-12;
-- A cut-off beyond the end is the whole ranking; the protocol is part of the names.
SELECT abs(pg_temp.measured('sqlapi_query', 'sqlapi_database', 'kind', 'map@1000', 1000) - pg_temp.measured('sqlapi_query', 'sqlapi_database', 'kind', 'map')) < 1e-12;
SELECT measure, CASE WHEN measure IN ('bits', 'queries', 'database', 'classes', 'leave_one_out', 'rows_left_out', 'queries_with_relevant') THEN value END
FROM eddh_evaluate('sqlapi_query', 'sqlapi_database', 'code', 'kind', 10);
SELECT measure, CASE WHEN measure IN ('bits', 'queries', 'database', 'classes', 'leave_one_out', 'rows_left_out') THEN value END
FROM eddh_evaluate('sqlapi_rows', 'sqlapi_rows', 'code', 'kinds');
SELECT bool_and(value BETWEEN 0 AND 1), count(*) FROM eddh_evaluate('sqlapi_query', 'sqlapi_database', 'code', 'kind', 10)
WHERE measure ~ '@|radius';

-- Precision and recall by radius.
CREATE TEMP TABLE curve AS SELECT * FROM eddh_pr_curve('sqlapi_query', 'sqlapi_database', 'code', 'kind');
SELECT count(*), min(radius), max(radius) FROM curve;
SELECT bool_and(abs(micro_precision - coalesce(hits / nullif(retrieved, 0), 0)) < 1e-12 AND abs(micro_recall - hits / relevant) < 1e-12)
FROM curve, LATERAL (
	SELECT count(*) FILTER (WHERE q.kind = d.kind AND q.code <-> d.code <= radius)::float8 AS hits, count(*) FILTER (WHERE q.code <-> d.code <= radius)::float8 AS retrieved,
		count(*) FILTER (WHERE q.kind = d.kind)::float8 AS relevant FROM sqlapi_query AS q, sqlapi_database AS d) AS t;
SELECT abs(macro_recall - 1) < 1e-12 AND abs(micro_recall - 1) < 1e-12 FROM curve WHERE radius = 8;
SELECT bool_and(macro_recall >= previous) FROM (SELECT macro_recall, lag(macro_recall, 1, 0) OVER (ORDER BY radius) AS previous FROM curve) AS c;

-- Rows without a code or a label are left out and counted; an empty array is a row of no kind, which is a finding.
INSERT INTO sqlapi_rows VALUES (1001, 'database', NULL, 'kind 1', '{}', 1), (1002, 'database', B'00000000', NULL, '{}', NULL);
SELECT measure, value FROM eddh_evaluate('sqlapi_rows', 'sqlapi_rows', 'code', 'kind') WHERE measure IN ('rows_left_out', 'database');
SELECT measure, value FROM eddh_evaluate('sqlapi_rows', 'sqlapi_rows', 'code', 'kinds') WHERE measure IN ('rows_left_out', 'database');

-- Errors.
SELECT pg_temp.failure($$SELECT eddh_evaluate('sqlapi_query', 'sqlapi_database', 'hash', 'kind')$$);
SELECT pg_temp.failure($$SELECT eddh_evaluate('sqlapi_query', 'sqlapi_database', 'code', 'label')$$);
SELECT pg_temp.failure($$SELECT eddh_evaluate('sqlapi_query', 'sqlapi_database', 'number', 'kind')$$);
SELECT pg_temp.failure($$SELECT eddh_evaluate('sqlapi_query', 'sqlapi_database', 'code', 'kind', 0)$$);
SELECT pg_temp.failure($$SELECT eddh_evaluate('sqlapi_query', NULL, 'code', 'kind')$$);
CREATE TABLE sqlapi_empty (code bit(8), kind text);
SELECT pg_temp.failure($$SELECT eddh_evaluate('sqlapi_empty', 'sqlapi_database', 'code', 'kind')$$);
CREATE TABLE sqlapi_longer AS SELECT B'000000000000'::bit(12) AS code, 'kind 1' AS kind;
SELECT pg_temp.failure($$SELECT eddh_evaluate('sqlapi_longer', 'sqlapi_database', 'code', 'kind')$$);
CREATE SEQUENCE sqlapi_sequence;
SELECT pg_temp.failure($$SELECT eddh_evaluate('sqlapi_sequence', 'sqlapi_database', 'code', 'kind')$$);
CREATE TABLE sqlapi_key AS SELECT i AS id, i::bit(8) AS code FROM generate_series(1, 70000) AS i;
SELECT pg_temp.failure($$SELECT eddh_evaluate('sqlapi_key', 'sqlapi_key', 'code', 'id')$$);
CREATE ROLE regress_eddh_stranger;
SET ROLE regress_eddh_stranger;
SELECT pg_temp.failure($$SELECT eddh_evaluate('sqlapi_query', 'sqlapi_database', 'code', 'kind')$$);
RESET ROLE;
DROP ROLE regress_eddh_stranger;

DROP VIEW sqlapi_query, sqlapi_database;
DROP TABLE sqlapi_rows, sqlapi_sorted, sqlapi_empty, sqlapi_longer, sqlapi_key;
DROP SEQUENCE sqlapi_sequence;
