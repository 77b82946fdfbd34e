-- What a user does with codes: an index, a search, the measures; then the page's data. Variables: eddh_job, codes_job, encode_job, page (a file).
\set ON_ERROR_STOP on
\pset footer off

CREATE INDEX ON fashion_train USING hamming (code);
VACUUM ANALYZE fashion_train;
ANALYZE fashion_test;

\echo 'Ten nearest training pictures of test picture 60001:'
SELECT t.id, t.label, t.code <-> (SELECT code FROM fashion_test WHERE id = 60001) AS distance
FROM fashion_train AS t ORDER BY distance LIMIT 10;

CREATE TEMP TABLE method (place, title, job, code_column) AS
VALUES (1, 'EDDH', :eddh_job, 'code'::name), (2, 'Fixed random class codes', :codes_job, 'codes_code'::name);

CREATE TEMP TABLE measured AS
SELECT place, title, e.* FROM method, eddh_evaluate('fashion_test', 'fashion_train', code_column, 'label') AS e;

CREATE TEMP TABLE curve AS
SELECT place, c.* FROM method, eddh_pr_curve('fashion_test', 'fashion_train', code_column, 'label') AS c;

\echo 'All test pictures against all training pictures:'
SELECT measure, max(round(value::numeric, 4)) FILTER (WHERE place = 1) AS eddh,
	   max(round(value::numeric, 4)) FILTER (WHERE place = 2) AS fixed_random_class_codes
FROM measured GROUP BY measure ORDER BY min(ctid);

-- EXPLAIN's lines, for the page.
CREATE TEMP TABLE plan_line (number int GENERATED ALWAYS AS IDENTITY, line text);
DO $$
DECLARE line text;
BEGIN
	FOR line IN EXPLAIN (ANALYZE, COSTS OFF, BUFFERS, TIMING OFF)
		SELECT t.id, t.label, t.code <-> (SELECT code FROM fashion_test WHERE id = 60001) AS distance
		FROM fashion_train AS t ORDER BY distance LIMIT 10
	LOOP
		INSERT INTO plan_line (line) VALUES (line);
	END LOOP;
END $$;

\o :page
\i tools/demo/page.sql
