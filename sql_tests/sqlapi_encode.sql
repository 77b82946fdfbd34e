-- Codes of pictures: alone, in a batch and in a query they are the same, and a picture goes through the network once.
\set ECHO none
\set helpers `echo $PG_ABS_SRCDIR` '/sql/include/helpers.sql'
\i :helpers
\set ECHO all
\pset format unaligned
\pset tuples_only on

SELECT eddh_import_model('shoes', pg_temp.untrained());
SELECT eddh_import_backbone('logits', pg_temp.untrained(), '{"cut": "features"}');
CREATE TABLE sqlapi_picture (id int, image bytea, code bit(256));
INSERT INTO sqlapi_picture (id, image) SELECT i, pg_temp.picture(i) FROM generate_series(1, 100) AS i;
UPDATE sqlapi_picture SET code = eddh_encode(image, 'shoes');
SELECT count(DISTINCT code), min(length(code)), max(length(code)) FROM sqlapi_picture;

-- Alone and in batches: equal where |u| > 1e-4; and that is nearly everywhere.
CREATE TEMP TABLE batch AS
	SELECT a.code, a.id FROM unnest((SELECT eddh_encode_batch(array_agg(image ORDER BY id), 'shoes') FROM sqlapi_picture)) WITH ORDINALITY AS a (code, id);
SELECT count(*) FROM batch;
SELECT bool_and(get_bit(p.code, j) = get_bit(b.code, j) AND (get_bit(p.code, j) = 1) = (u.value >= 0)), count(*) > 25000
FROM sqlapi_picture AS p JOIN batch AS b USING (id), LATERAL unnest(eddh_features(p.image, 'logits')) WITH ORDINALITY AS u (value, k),
	LATERAL (SELECT k::int - 1) AS bit (j)
WHERE abs(u.value) > 1e-4;

-- NULL in, NULL out; empty in, empty out; the place in the array is kept.
SELECT eddh_encode(NULL, 'shoes') IS NULL, eddh_encode_batch(NULL, 'shoes') IS NULL, eddh_features(NULL, 'cnn-s') IS NULL;
SELECT eddh_encode_batch('{}', 'shoes');
SELECT array_dims(c), c[5] IS NULL, c[6] IS NULL, c[7] IS NOT NULL
FROM (SELECT eddh_encode_batch(('[5:7]={NULL,NULL,NULL}'::bytea[])[5:4] || NULL::bytea || NULL::bytea || pg_temp.picture(1), 'shoes')) AS a (b),
	LATERAL (SELECT ('[5:7]=' || b::text)::bit(256)[]) AS d (c);
SELECT eddh_encode_batch(ARRAY[NULL, NULL]::bytea[], 'shoes');
SELECT pg_temp.failure($$SELECT eddh_encode_batch(ARRAY[ARRAY[pg_temp.picture(1)]], 'shoes')$$);

-- What is no picture, and which one it was.
SELECT pg_temp.failure($$SELECT eddh_encode('', 'shoes')$$) LIKE '22P03 cannot encode the picture: %';
SELECT pg_temp.failure($$SELECT eddh_encode('GIF89a', 'shoes')$$) LIKE '0A000 cannot encode the picture: %';
SELECT pg_temp.failure($$SELECT eddh_encode(substr(pg_temp.picture(1), 1, 100), 'shoes')$$) LIKE '22P03 cannot encode the picture: %';
SELECT pg_temp.failure($$SELECT eddh_features('', 'cnn-s')$$) LIKE '22P03 cannot encode the picture: %';
SELECT pg_temp.failure($$SELECT eddh_encode_batch(ARRAY[pg_temp.picture(1), NULL, 'GIF89a'], 'shoes')$$) LIKE '0A000 cannot encode picture 3: %';

-- Limits are the administrator's.
SET eddh.max_pixels = 63;
SELECT left(pg_temp.failure($$SELECT eddh_encode(pg_temp.picture(1), 'shoes')$$), 5);
SET eddh.max_pixels = 64;
SELECT left(pg_temp.failure($$SELECT eddh_encode(pg_temp.picture(1), 'shoes')$$), 8);
RESET eddh.max_pixels;
CREATE ROLE regress_eddh_user;
SET ROLE regress_eddh_user;
SELECT left(pg_temp.failure('SET eddh.max_pixels = 1000000000'), 5), left(pg_temp.failure('SET eddh.max_scans = 100000'), 5);
RESET ROLE;
DROP ROLE regress_eddh_user;

-- The network runs once for a query picture, however the query is written and however many rows there are.
CREATE FUNCTION pg_temp.runs_of(query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	before bigint := eddh_catalog.network_runs();
BEGIN
	EXECUTE query USING pg_temp.picture(7);
	RETURN eddh_catalog.network_runs() - before;
END $$;
SET enable_indexscan = off;
SELECT pg_temp.runs_of($$SELECT id FROM sqlapi_picture ORDER BY code <-> (SELECT eddh_encode($1, 'shoes')) LIMIT 3$$);
SELECT pg_temp.runs_of($$SELECT id FROM sqlapi_picture ORDER BY code <-> eddh_encode($1, 'shoes') LIMIT 3$$);
SELECT pg_temp.runs_of($$SELECT id FROM sqlapi_picture ORDER BY code <-> eddh_encode($1) LIMIT 3$$) FROM set_config('eddh.model', 'shoes', false);
-- A picture from a table, in and out of TOAST.
SELECT pg_temp.runs_of($$SELECT a.id FROM sqlapi_picture AS a, (SELECT image FROM sqlapi_picture WHERE id = 7 OFFSET 0) AS q ORDER BY a.code <-> eddh_encode(q.image, 'shoes') LIMIT 3$$);
CREATE TABLE sqlapi_toasted (image bytea);
ALTER TABLE sqlapi_toasted ALTER COLUMN image SET STORAGE EXTERNAL;
-- Pictures of more than 2 kB: bytes after the end of a PNG do not matter.
INSERT INTO sqlapi_toasted SELECT pg_temp.picture(7) || decode(repeat('00', 3000), 'hex');
SELECT pg_temp.runs_of($$SELECT a.id FROM sqlapi_picture AS a, (SELECT image FROM sqlapi_toasted OFFSET 0) AS q ORDER BY a.code <-> eddh_encode(q.image, 'shoes') LIMIT 3$$);
SELECT eddh_encode(image, 'shoes') = (SELECT code FROM sqlapi_picture WHERE id = 7) FROM sqlapi_toasted;
-- Each picture of a table once.
SELECT pg_temp.runs_of($$SELECT count(eddh_encode(image, 'shoes')) FROM sqlapi_picture$$);
-- The right picture is found.
SELECT id, code <-> eddh_encode(pg_temp.picture(7), 'shoes') AS distance FROM sqlapi_picture ORDER BY distance LIMIT 1;

-- What is remembered is not used for another model.
SELECT eddh_import_model('boots', eddh_export_backbone('cnn-s'));
SELECT count(*) FROM sqlapi_picture, (VALUES ('shoes'), ('boots')) AS m (model)
WHERE id = 7 AND eddh_encode(pg_temp.picture(7), model) = CASE model WHEN 'shoes' THEN code ELSE eddh_encode(pg_temp.picture(7), 'boots') END;

-- Parallel workers encode the same.
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
ALTER TABLE sqlapi_picture SET (parallel_workers = 2);
EXPLAIN (COSTS OFF) SELECT count(*) FROM sqlapi_picture WHERE eddh_encode(image, 'shoes') = code;
SELECT count(*) FROM sqlapi_picture WHERE eddh_encode(image, 'shoes') = code;

DROP TABLE sqlapi_picture, sqlapi_toasted;
SELECT eddh_drop_model(model) FROM eddh_models;
SELECT eddh_drop_backbone('logits');
