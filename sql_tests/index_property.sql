-- Every answer of the index equals that of a sequential scan, over schedules of insert, update, delete, vacuum and reindex, for codes of many
-- lengths, uniform, clustered and all equal.
SET client_min_messages = warning;

CREATE FUNCTION bits_of(seed text, bits int) RETURNS varbit LANGUAGE sql IMMUTABLE AS $$
	SELECT substring(string_agg(('x' || md5(seed || ':' || j))::bit(128)::varbit::text, '' ORDER BY j)::varbit FROM 1 FOR bits)::varbit
	FROM generate_series(0, (bits - 1) / 128) j
$$;

-- Code number i of a kind; no random(), so that every run is the same.
CREATE FUNCTION index_code(kind text, bits int, i bigint) RETURNS varbit LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE kind
		WHEN 'uniform' THEN bits_of(i::text, bits)
		WHEN 'equal' THEN bits_of('same', bits)
		-- one of 7 centres; one row in three equals it, others differ in a few bits
		ELSE bits_of((i % 7)::text, bits) # CASE i % 3
			WHEN 0 THEN repeat('0', bits)::varbit
			ELSE bits_of(i || 'a', bits) & bits_of(i || 'b', bits) & bits_of((i % 50) || 'c', bits) & bits_of(i || 'd', bits)
		END
	END
$$;
-- Differences between index and sequential scan for one query; an empty array when there are none.
CREATE FUNCTION index_differences(tab regclass, q varbit) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
	bits int := length(q);
	problems text[] := '{}';
	query text;
	plan text;
	with_index text;
	without text;
	wanted text;
BEGIN
	FOR query, wanted IN
		SELECT format('SELECT count(*), md5(string_agg(coalesce(d::text, %L), %L)) FROM (SELECT code <-> $1 AS d FROM %s ORDER BY code <-> $1 LIMIT %s) x',
				'null', ',', tab, k), 'Index Scan'
			FROM unnest(ARRAY[1, 10, 300]) k
		UNION ALL
		-- without LIMIT every row comes once, NULLs too
		SELECT format('SELECT count(*), count(DISTINCT id), sum(id), sum(d), md5(string_agg(coalesce(d::text, %L), %L)) FROM (SELECT id, code <-> $1 AS d FROM %s ORDER BY code <-> $1) x',
				'null', ',', tab), 'Index Scan'
		UNION ALL
		SELECT format('SELECT count(*), sum(id), md5(string_agg(d::text, %L)) FROM (SELECT id, code <-> $1 AS d FROM %s WHERE code <@ hamming_ball($1, %s) ORDER BY code <-> $1) x',
				',', tab, r), 'Index Scan'
			FROM unnest(ARRAY[0, bits / 8, bits / 2]) r
		UNION ALL
		-- two balls and an order, all with centres of their own
		SELECT format('SELECT count(*), sum(id), md5(string_agg(d::text, %L)) FROM (SELECT id, code <-> ~$1 AS d FROM %s WHERE code <@ hamming_ball($1, %s) AND code <@ hamming_ball($1 # B%L, %s) ORDER BY code <-> ~$1) x',
				',', tab, bits / 2, repeat('01', bits / 2), bits / 2), 'Index Scan'
		UNION ALL
		SELECT format('SELECT count(*), sum(id), sum(code <-> $1) FROM %s WHERE code <@ hamming_ball($1, %s)', tab, r), how
			FROM unnest(ARRAY[0, bits / 8, bits / 2]) r, unnest(ARRAY['Index Scan', 'Bitmap Index Scan']) how
		UNION ALL
		SELECT format('SELECT count(*), sum(id), md5(string_agg(d::text, %L)) FROM (SELECT id, code <-> $1 AS d FROM %s WHERE id %% 5 = 0 ORDER BY code <-> $1 LIMIT 20) x',
				',', tab), 'Index Scan'
		UNION ALL
		SELECT format('SELECT count(*), sum(id) FROM %s WHERE code IS NULL', tab), 'Bitmap Index Scan'
	LOOP
		-- ids among equal distances may come in any order: only LIMIT makes sums of ids differ
		IF query LIKE '%LIMIT 20%' THEN query := replace(query, 'sum(id), ', ''); END IF;
		query := replace(query, '$1', format('B%L', q));
		SET LOCAL enable_seqscan = off;
		SET LOCAL enable_sort = off;
		SET LOCAL enable_indexscan = on;
		SET LOCAL enable_bitmapscan = off;
		IF wanted = 'Bitmap Index Scan' THEN
			SET LOCAL enable_indexscan = off;
			SET LOCAL enable_bitmapscan = on;
		END IF;
		EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan;
		IF plan NOT LIKE '%"Node Type": "' || wanted || '"%' THEN
			problems := problems || ('no ' || wanted || ': ' || query);
		END IF;
		EXECUTE format('SELECT x::text FROM (%s) x', query) INTO with_index;
		SET LOCAL enable_seqscan = on;
		SET LOCAL enable_sort = on;
		SET LOCAL enable_indexscan = off;
		SET LOCAL enable_bitmapscan = off;
		EXECUTE format('SELECT x::text FROM (%s) x', query) INTO without;
		IF with_index IS DISTINCT FROM without THEN
			problems := problems || format('%s: %s, not %s', query, with_index, without);
		END IF;
	END LOOP;
	RETURN problems;
END $$;

CREATE TABLE index_cases (tab text, kind text, bits int, indexed_first boolean);
INSERT INTO index_cases
	SELECT format('index_%s_%s', kind, bits), kind, bits, (row_number() OVER ()) % 2 = 0
	FROM unnest(ARRAY['uniform', 'clustered', 'equal']) kind, unnest(ARRAY[16, 48, 64, 100, 128, 256, 1024]) bits;

-- What is wrong now, over all cases: nothing must be printed. The query is a code of the table in one case of two.
CREATE VIEW index_problems AS
	SELECT tab, problem FROM index_cases,
		unnest(ARRAY[index_code(kind, bits, 17), bits_of('elsewhere', bits)]) q,
		unnest(index_differences(tab::regclass, q)) problem;
CREATE VIEW index_damage AS
	SELECT tab, hamming_index_check((tab || '_code')::regclass) AS rows FROM index_cases;

SELECT format('CREATE TABLE %I (id int, code bit(%s))', tab, bits) FROM index_cases
\gexec
SELECT format('CREATE INDEX %I ON %I USING hamming (code)', tab || '_code', tab) FROM index_cases WHERE indexed_first
\gexec
SELECT format('INSERT INTO %I SELECT i, CASE WHEN i %% 41 <> 0 THEN index_code(%L, %s, i) END FROM generate_series(1, 1500) i', tab, kind, bits)
FROM index_cases
\gexec
SELECT format('CREATE INDEX %I ON %I USING hamming (code)', tab || '_code', tab) FROM index_cases WHERE NOT indexed_first
\gexec
SELECT * FROM index_problems;
SELECT rows, count(*) FROM index_damage GROUP BY rows;

-- More rows, so that leaves split
SELECT format('INSERT INTO %I SELECT i, CASE WHEN i %% 41 <> 0 THEN index_code(%L, %s, i) END FROM generate_series(1501, 3000) i', tab, kind, bits)
FROM index_cases
\gexec
SELECT * FROM index_problems;

-- Delete and move, then look before and after VACUUM
SELECT format('DELETE FROM %I WHERE id %% 3 = 0', tab) FROM index_cases
\gexec
SELECT format('UPDATE %I SET code = index_code(%L, %s, id + 5000) WHERE id %% 3 = 1', tab, kind, bits) FROM index_cases
\gexec
SELECT * FROM index_problems;
SELECT format('VACUUM %I', tab) FROM index_cases
\gexec
SELECT * FROM index_problems;
SELECT rows, count(*) FROM index_damage GROUP BY rows;

-- The room is used again
SELECT format('INSERT INTO %I SELECT i, CASE WHEN i %% 41 <> 0 THEN index_code(%L, %s, i) END FROM generate_series(3001, 4000) i', tab, kind, bits)
FROM index_cases
\gexec
SELECT * FROM index_problems;
SELECT format('REINDEX TABLE %I', tab) FROM index_cases
\gexec
SELECT * FROM index_problems;
SELECT rows, count(*) FROM index_damage GROUP BY rows;

-- Nothing left, then something again
SELECT format('DELETE FROM %I', tab) FROM index_cases
\gexec
SELECT format('VACUUM %I', tab) FROM index_cases
\gexec
SELECT * FROM index_problems;
SELECT rows, count(*) FROM index_damage GROUP BY rows;
SELECT format('INSERT INTO %I SELECT i, index_code(%L, %s, i) FROM generate_series(1, 200) i', tab, kind, bits) FROM index_cases
\gexec
SELECT * FROM index_problems;
SELECT rows, count(*) FROM index_damage GROUP BY rows;

-- XOR of all codes and of the query by one mask changes no distance.
CREATE TABLE index_masked AS
	SELECT i AS id, index_code('clustered', 128, i)::bit(128) AS code, (index_code('clustered', 128, i) # bits_of('mask', 128))::bit(128) AS masked
	FROM generate_series(1, 5000) i;
CREATE INDEX ON index_masked USING hamming (code);
CREATE INDEX ON index_masked USING hamming (masked);
SET enable_seqscan = off;
SET enable_sort = off;
WITH q AS (SELECT index_code('clustered', 128, 9001)::bit(128) AS code, (index_code('clustered', 128, 9001) # bits_of('mask', 128))::bit(128) AS masked)
SELECT (SELECT array_agg(d) FROM (SELECT code <-> (SELECT code FROM q) AS d FROM index_masked ORDER BY code <-> (SELECT code FROM q)) x) =
	(SELECT array_agg(d) FROM (SELECT masked <-> (SELECT masked FROM q) AS d FROM index_masked ORDER BY masked <-> (SELECT masked FROM q)) x) AS same;
RESET enable_seqscan;
RESET enable_sort;

-- A hundred thousand rows of one code, among others: a chain of pages.
CREATE TABLE index_chain (id int, code bit(64));
CREATE INDEX index_chain_code ON index_chain USING hamming (code);
INSERT INTO index_chain SELECT i, index_code(CASE WHEN i % 100 = 0 THEN 'uniform' ELSE 'equal' END, 64, i) FROM generate_series(1, 101000) i;
SELECT bits, distinct_codes, chain_pages > 40 AS chained FROM hamming_index_stats('index_chain_code');
SELECT * FROM unnest(index_differences('index_chain', index_code('equal', 64, 1)));
DELETE FROM index_chain WHERE id % 10 <> 0 OR id BETWEEN 20000 AND 90000;
VACUUM index_chain;
SELECT hamming_index_check('index_chain_code'), free_pages > 10 AS freed FROM hamming_index_stats('index_chain_code');
SELECT * FROM unnest(index_differences('index_chain', index_code('equal', 64, 1)));
REINDEX INDEX index_chain_code;
SELECT hamming_index_check('index_chain_code');
SELECT * FROM unnest(index_differences('index_chain', index_code('equal', 64, 1)));
DELETE FROM index_chain WHERE code = index_code('equal', 64, 1)::bit(64);
VACUUM index_chain;
SELECT hamming_index_check('index_chain_code');
SELECT * FROM unnest(index_differences('index_chain', index_code('equal', 64, 1)));

-- Building with little memory: partitions on disk, one code in half of the rows.
SET maintenance_work_mem = '1MB';
CREATE TABLE index_partitioned (id int, code bit(64));
INSERT INTO index_partitioned SELECT i, index_code((ARRAY['equal', 'equal', 'uniform', 'clustered'])[i % 4 + 1], 64, i) FROM generate_series(1, 100000) i;
CREATE INDEX index_partitioned_code ON index_partitioned USING hamming (code);
SELECT hamming_index_check('index_partitioned_code');
SELECT * FROM unnest(index_differences('index_partitioned', index_code('equal', 64, 1)));
SELECT * FROM unnest(index_differences('index_partitioned', index_code('clustered', 64, 1)));

-- Hundreds of leaves that become empty in one VACUUM leave the directory; what comes then finds its place.
CREATE TABLE index_emptied (id int, code bit(1024));
INSERT INTO index_emptied SELECT i, index_code('uniform', 1024, i) FROM generate_series(1, 12000) i;
CREATE INDEX index_emptied_code ON index_emptied USING hamming (code);
SELECT leaf_pages > 200 AS many FROM hamming_index_stats('index_emptied_code');
DELETE FROM index_emptied;
VACUUM index_emptied;
SELECT leaf_pages < 20 AS few, hamming_index_check('index_emptied_code') FROM hamming_index_stats('index_emptied_code');
INSERT INTO index_emptied SELECT i, index_code('uniform', 1024, i) FROM generate_series(1, 1000) i;
SELECT * FROM unnest(index_differences('index_emptied', index_code('uniform', 1024, 17)));
SELECT hamming_index_check('index_emptied_code');

-- Little memory still: codes that the directory cannot tell apart: 512 bits, twice the same 256, fold to nothing.
CREATE TABLE index_folded (id int, code bit(512));
INSERT INTO index_folded SELECT i, index_code('uniform', 256, i % 20000) || index_code('uniform', 256, i % 20000) FROM generate_series(1, 30000) i;
CREATE INDEX index_folded_code ON index_folded USING hamming (code);
INSERT INTO index_folded SELECT i, index_code('uniform', 256, i % 20000) || index_code('uniform', 256, i % 20000) FROM generate_series(30001, 32000) i;
SELECT hamming_index_check('index_folded_code');
SELECT * FROM unnest(index_differences('index_folded', index_code('uniform', 256, 17) || index_code('uniform', 256, 17)));
RESET maintenance_work_mem;
