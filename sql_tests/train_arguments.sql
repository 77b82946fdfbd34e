-- eddh_train, eddh_encode_table and what goes with them refuse what cannot work, at once, with a HINT that helps.
SET client_min_messages = warning;
CREATE SCHEMA train_arguments;
SET search_path = train_arguments, public;
\set ECHO none
\set helpers `echo $PG_ABS_SRCDIR` '/sql/include/helpers.sql'
\i :helpers
\set ECHO all
CREATE TABLE pic (id int PRIMARY KEY, name text, same int DEFAULT 1, label int, tags text[], jpeg bytea, code bit(8), code16 bit(16), any_code bit varying);
INSERT INTO pic (id, label, tags, jpeg) SELECT i, i % 2, ARRAY['t' || i % 2, (i % 3)::text], picture(i % 2, i) FROM generate_series(1, 20) AS i;
CREATE VIEW pic_view AS SELECT * FROM pic;
CREATE VIEW pic_common AS SELECT id, tags || '{all,all,NULL}' AS tags, jpeg FROM pic;
CREATE TEMP TABLE pic_temp AS SELECT * FROM pic;
\set VERBOSITY default
\set SHOW_CONTEXT never

-- Columns.
SELECT eddh_train('m', 'pic', 'image');
SELECT eddh_train('m', 'pic', 'jpeg', 'kind');
SELECT eddh_train('m', 'pic', 'name');
SELECT eddh_train('m', 'pic', 'jpeg', 'jpeg', 8);
SELECT eddh_train('m', 'pic', 'jpeg', 'same', 8);
SELECT eddh_train('m', 'pic_common', 'jpeg', 'tags', 8);
SELECT eddh_train('m', 'pic', 'ctid');
SELECT eddh_train('m', 'pic_temp', 'jpeg', 'label', 8);
-- Numbers.
SELECT eddh_train('m', 'pic', 'jpeg', 'label', 7);
SELECT eddh_train('m', 'pic', 'jpeg', 'label', 1025);
SELECT eddh_train('m', 'pic', 'jpeg', 'label', 64);
-- Names.
SELECT eddh_train('m', 'pic', 'jpeg', 'label', 8, method => 'nonsense');
SELECT eddh_train('m', 'pic', 'jpeg', 'label', 8, backbone => 'nonsense');
SELECT eddh_train('m', 'pic', 'jpeg', method => 'eddh', bits => 8);
SELECT eddh_train('', 'pic', 'jpeg', 'label', 8);
SELECT eddh_train(NULL, 'pic', 'jpeg', 'label', 8);
SELECT eddh_train('m', NULL, 'jpeg', 'label', 8);
SELECT eddh_train('m', 'pic', NULL, 'label', 8);
-- Options.
SELECT eddh_train('m', 'pic', 'jpeg', 'label', 8, options => '{"epoch": 3}');
SELECT eddh_train('m', 'pic', 'jpeg', 'label', 8, options => '{"epochs": 0}');
SELECT eddh_train('m', 'pic', 'jpeg', 'label', 8, options => '{"epochs": "many"}');
SELECT eddh_train('m', 'pic', 'jpeg', 'label', 8, options => '{"epochs": [3]}');
SELECT eddh_train('m', 'pic', 'jpeg', 'label', 8, options => '{"train_layers": "some"}');
SELECT eddh_train('m', 'pic', 'jpeg', 'label', 8, options => '{"holdout": 0.9}');
SELECT eddh_train('m', 'pic', 'jpeg', 'label', 8, options => '[]');
SELECT eddh_train('m', 'pic', 'jpeg', 'label', 8, options => '{"epochs": 2.5}');
SELECT eddh_train('m', 'pic', 'jpeg', 'label', 8, options => '{"warmup": 1.5}');
-- What only the method knows.
SELECT eddh_train('m', 'pic', 'jpeg', NULL, 300);
SELECT eddh_train('m', 'pic', 'jpeg', 'label', 8, options => '{"epochs": 1}');
-- The same names and defaults can be read.
SELECT method, parameters -> 'epochs' -> 'default' AS epochs, parameters -> 'train_layers' ->> 'choices' AS layers, parameters -> 'lambda' -> 'default' AS lambda,
	(SELECT count(*) FROM jsonb_object_keys(parameters)) AS known FROM eddh_methods ORDER BY method;
-- A backfill.
SELECT eddh_train('arguments', 'pic', 'jpeg', 'label', 8, options => '{"epochs": 2, "threads": 1, "holdout": 0}') AS job \gset
SELECT eddh_wait(:job);
SELECT eddh_train('arguments', 'pic', 'jpeg', 'label', 8);
SELECT eddh_encode_table('pic', 'jpeg', 'code', 'nonsense');
SELECT eddh_encode_table('pic', 'jpeg', 'code');
SELECT eddh_encode_table('pic', 'jpeg', 'code16', 'arguments');
SELECT eddh_encode_table('pic', 'jpeg', 'name', 'arguments');
SELECT eddh_encode_table('pic', 'name', 'code', 'arguments');
SELECT eddh_encode_table('pic', 'jpeg', 'codes', 'arguments');
CREATE TABLE pic_made (jpeg bytea, from_code bit(8), code bit(8) GENERATED ALWAYS AS (from_code) STORED);
SELECT eddh_encode_table('pic_made', 'jpeg', 'code', 'arguments');
SELECT eddh_encode_table('pic_view', 'jpeg', 'code', 'arguments');
SELECT eddh_encode_table('pic_temp', 'jpeg', 'code', 'arguments');
SELECT eddh_encode_table('pic', 'jpeg', 'code', 'arguments', '{"every": true}');
SELECT eddh_encode_table('pic', 'jpeg', 'code', 'arguments', '{"all": 1}');
SELECT eddh_encode_table('pic', NULL, 'code', 'arguments');
-- As many pictures as bits are enough: none is held out then. No label is no label, however it is written.
INSERT INTO pic (id, tags, jpeg) VALUES (21, NULL, picture(1, 21)), (22, '{}', picture(1, 22)), (23, '{NULL}', picture(1, 23));
SELECT eddh_train('few', 'pic', 'jpeg', 'tags', 20, options => '{"epochs": 2, "threads": 1}') AS few \gset
SELECT eddh_wait(:few);
SELECT done, quality, split_part(remarks, E'\n', 1) AS remark FROM eddh_jobs WHERE job = :few;
DELETE FROM pic WHERE id > 20;
-- What only the worker sees: pictures that cannot be decoded. Their number and an example come with the error.
CREATE TABLE spoilt AS SELECT id, label, CASE WHEN id % 2 = 0 THEN jpeg ELSE '' END AS jpeg FROM pic;
SELECT eddh_train('spoilt', 'spoilt', 'jpeg', 'label', 12) AS job \gset spoilt_
SELECT eddh_wait(:spoilt_job);
SELECT eddh_train('spoilt', 'spoilt', 'jpeg', 'label', 8) AS job \gset spoilt_
SELECT eddh_wait(:spoilt_job);
SELECT count(*) FROM eddh_jobs WHERE model = 'spoilt' AND state = 'failed';
-- One training of a name at a time.
\set VERBOSITY sqlstate
BEGIN;
SELECT eddh_train('twice', 'pic', 'jpeg', 'label', 8) > 0 AS submitted;
SELECT eddh_train('twice', 'pic', 'jpeg', 'label', 8, options => '{"replace": true}');
ROLLBACK;
\set VERBOSITY default
-- Jobs.
SELECT eddh_wait(-1);
SELECT eddh_wait(NULL);
SELECT eddh_cancel(-1);
SELECT eddh_resume(-1);
\set VERBOSITY sqlstate
SELECT eddh_resume(:job);
SELECT eddh_cancel(:job);
\set VERBOSITY default
-- Nothing of all this has left a job.
SELECT count(*) FROM eddh_jobs WHERE job NOT IN (:job, :few) AND images::text LIKE '%pic%';
-- The cost is told. (That of a network that learns depends on the processor's kernels.) Kernel values lie on disk, too, twice 20 for each picture.
SET client_min_messages = notice;
BEGIN;
SELECT eddh_import_backbone('arguments', eddh_export_backbone('cnn-s'), '{"trained": true}');
SELECT eddh_train('linear', 'pic', 'jpeg', 'label', 8, backbone => 'arguments', options => '{"head": "linear"}') IS NOT NULL AS submitted \gset
SELECT eddh_train('anchors', 'pic', 'jpeg', 'label', 8, backbone => 'arguments') IS NOT NULL AS submitted \gset
ROLLBACK;
SELECT :'submitted';
RESET client_min_messages;
SELECT eddh_purge_jobs('0') > 0 AS purged;
SELECT eddh_drop_model(model) FROM unnest(ARRAY['arguments', 'few']) AS model;
SET client_min_messages = warning;
DROP SCHEMA train_arguments CASCADE;
