-- Dropping, renaming and replacing follow transactions; errors say what there is.
\set ECHO none
\set helpers `echo $PG_ABS_SRCDIR` '/sql/include/helpers.sql'
\i :helpers
\set ECHO all
\pset format unaligned
\pset tuples_only on

CREATE FUNCTION pg_temp.code(model text) RETURNS bit LANGUAGE sql AS 'SELECT eddh_encode(pg_temp.picture(1), $1)';
SELECT eddh_import_model('shoes', pg_temp.untrained());
CREATE TEMP TABLE before AS SELECT pg_temp.code('shoes')::bit(256) AS code;

-- Names.
SELECT pg_temp.failure($$SELECT eddh_import_model('shoes', pg_temp.untrained())$$);
SELECT pg_temp.failure($$SELECT eddh_import_model('', pg_temp.untrained())$$);
SELECT pg_temp.failure($$SELECT eddh_import_model(repeat('x', 64), pg_temp.untrained())$$);
SELECT pg_temp.failure($$SELECT eddh_import_model(E'a\tb', pg_temp.untrained())$$);
SELECT pg_temp.failure($$SELECT eddh_rename_model('boots', 'shoes')$$);
SELECT pg_temp.failure($$SELECT eddh_rename_model('shoes', 'shoes')$$);
SELECT pg_temp.failure($$SELECT eddh_rename_model('shoes', '')$$);
SELECT pg_temp.failure($$SELECT eddh_drop_model('boots')$$);
SELECT pg_temp.failure($$SELECT eddh_grant_model('boots', 'public')$$);
SELECT pg_temp.failure($$SELECT eddh_drop_backbone('boots')$$);
SELECT pg_temp.failure($$SELECT eddh_features(pg_temp.picture(1), 'boots')$$);
SELECT pg_temp.failure($$SELECT eddh_import_backbone('cnn-s', eddh_export_backbone('cnn-s'))$$);

-- A model need not be named where a setting names it.
SELECT pg_temp.failure($$SELECT eddh_encode(pg_temp.picture(1))$$);
SET eddh.model = 'shoes';
SELECT eddh_encode(pg_temp.picture(1)) = code FROM before;
SET eddh.model = 'boots';
SELECT pg_temp.failure($$SELECT eddh_encode(pg_temp.picture(1))$$);
RESET eddh.model;
SELECT pg_temp.failure($$SET eddh.modell = 'shoes'$$);

-- Renamed: the same codes under the new name, none under the old.
BEGIN;
SELECT eddh_rename_model('shoes', 'boots');
SELECT pg_temp.code('boots') = code FROM before;
SELECT pg_temp.failure($$SELECT pg_temp.code('shoes')$$);
ROLLBACK;
SELECT pg_temp.code('shoes') = code FROM before;

-- Dropped, and not: rolled back, also to a savepoint.
BEGIN;
SELECT eddh_drop_model('shoes');
SELECT pg_temp.failure($$SELECT pg_temp.code('shoes')$$);
ROLLBACK;
SELECT pg_temp.code('shoes') = code FROM before;
BEGIN;
SAVEPOINT s;
SELECT eddh_drop_model('shoes');
ROLLBACK TO s;
SELECT pg_temp.code('shoes') = code FROM before;
COMMIT;
SELECT pg_temp.code('shoes') = code FROM before;

-- Replaced: other codes at once in this session, grants kept, nothing of the old left.
CREATE FUNCTION pg_temp.other() RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
	onnx bytea;
BEGIN
	PERFORM eddh_import_backbone('other', eddh_export_backbone('cnn-s'), '{"cut": "fc7", "std": [32, 64, 128]}');
	onnx := eddh_export_backbone('other');
	PERFORM eddh_drop_backbone('other');
	RETURN onnx;
END $$;
SELECT eddh_grant_model('shoes', 'public');
CREATE TEMP TABLE identity AS SELECT id FROM eddh_catalog.model;
BEGIN;
SELECT eddh_import_model('shoes', pg_temp.other(), '{"replace": true}');
SELECT pg_temp.code('shoes') = code FROM before;
ROLLBACK;
SELECT pg_temp.code('shoes') = code FROM before;
SELECT eddh_import_model('shoes', pg_temp.other(), '{"replace": true}');
SELECT pg_temp.code('shoes') = code FROM before;
SELECT granted FROM eddh_models;
SELECT count(*) FROM eddh_catalog.model JOIN identity USING (id);
SELECT count(DISTINCT object), sum(length(data)) = (SELECT sum(bytes) FROM eddh_models) FROM eddh_catalog.chunk;
-- Replaced by what it was: the old codes.
SELECT eddh_import_model('shoes', pg_temp.untrained(), '{"replace": true}');
SELECT pg_temp.code('shoes') = code FROM before;

-- What cannot be written to.
BEGIN TRANSACTION READ ONLY;
SELECT pg_temp.failure($$SELECT eddh_drop_model('shoes')$$);
SELECT pg_temp.failure($$SELECT eddh_grant_model('shoes', 'public')$$);
SELECT pg_temp.code('shoes') = code FROM before;
COMMIT;

SELECT eddh_drop_model('shoes');
SELECT count(*) FROM eddh_catalog.chunk;
