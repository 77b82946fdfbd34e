-- The backbone that comes trained: installed as a file, the default, usable like any other, and never dropped.
\set ECHO none
\set helpers `echo $PG_ABS_SRCDIR` '/sql/include/helpers.sql'
\i :helpers
\set ECHO all
\pset format unaligned
\pset tuples_only on
SET client_min_messages = error;

SELECT backbone, owner, trained, builtin, input_size, features, bytes BETWEEN 1000000 AND 6000000 AS small FROM eddh_backbones WHERE backbone = 'photo';

-- The default where nothing else is said.
CREATE TEMP TABLE photo AS SELECT i, eddh_features(picture(i % 3, i), 'photo') AS f FROM generate_series(1, 6) AS i;
SELECT count(*), min(cardinality(f)), max(cardinality(f)), count(DISTINCT f) FROM photo;
SELECT bool_and(x > '-infinity' AND x < 'infinity') FROM photo, unnest(f) AS x;
SET eddh.backbone = '';
SELECT eddh_features(picture(1, 1)) = f FROM photo WHERE i = 1;
RESET eddh.backbone;

-- Pictures of one kind are nearer to each other than to the others.
SELECT bool_and((SELECT sum(x * y) / sqrt(sum(x * x) * sum(y * y)) FROM unnest(a.f, b.f) AS t(x, y)) > (
	SELECT max((SELECT sum(x * y) / sqrt(sum(x * x) * sum(y * y)) FROM unnest(a.f, c.f) AS t(x, y))) FROM photo AS c WHERE c.i % 3 <> a.i % 3))
FROM photo AS a JOIN photo AS b ON b.i = a.i + 3;

-- The weights leave as float32 and come back as the same numbers; licence and origin travel with them.
SELECT eddh_import_backbone('photo copy', eddh_export_backbone('photo')) IS NOT NULL;
SELECT bool_and(eddh_features(picture(i % 3, i), 'photo copy') = f) FROM photo;
SELECT metadata ->> 'eddh.licence', metadata ->> 'eddh.source' LIKE '%@mediapipe/objectron%' FROM eddh_backbones WHERE backbone = 'photo copy';
SELECT a.parameters = b.parameters, a.macs = b.macs, a.features = b.features, a.metadata <@ b.metadata
FROM eddh_backbones AS a, eddh_backbones AS b WHERE a.backbone = 'photo' AND b.backbone = 'photo copy';

-- A model on it is stored whole: another version's file cannot change its codes.
CREATE TABLE photo_picture AS SELECT i AS id, picture(i % 3, i) AS image, 'kind ' || i % 3 AS kind FROM generate_series(1, 30) AS i;
SELECT eddh_train('photo model', 'photo_picture', 'image', 'kind', 8, backbone => 'photo', options => '{"epochs": 3, "threads": 1}') AS job \gset
SELECT eddh_wait(:job);
SELECT layers, backbone, bytes > 8000000 FROM eddh_models WHERE model = 'photo model';
SELECT count(DISTINCT eddh_encode(image, 'photo model')) > 1 FROM photo_picture;

SELECT pg_temp.failure($$SELECT eddh_drop_backbone('photo')$$);
SELECT eddh_drop_model('photo model');
SELECT eddh_drop_backbone('photo copy');
DROP TABLE photo_picture;
SELECT count(*) > 0 FROM (SELECT eddh_purge_jobs('0')) AS p;
