-- Every method of the table: the same call trains it, its model gives a picture alone, in a batch and after an export the same code, and it is known.
SET client_min_messages = warning;
CREATE SCHEMA train_methods;
SET search_path = train_methods, public;
\set ECHO none
\set helpers `echo $PG_ABS_SRCDIR` '/sql/include/helpers.sql'
\i :helpers
\set ECHO all
\pset format unaligned
\pset tuples_only on
CREATE TABLE pic (id int PRIMARY KEY, label int, jpeg bytea);
INSERT INTO pic SELECT i, i % 3, picture(i % 3, i) FROM generate_series(1, 60) AS i;
-- A backbone whose features are taken as they are.
SELECT eddh_import_backbone('frozen', eddh_export_backbone('cnn-s'), '{"trained": true}');

SELECT method, title, needs_labels, trains_network, length(paper) > 20 AS cited FROM eddh_methods;
SELECT method FROM eddh_methods WHERE notes LIKE '%SDAH%';
-- Learning rates of their own; anchors are the same for all.
SELECT method, parameters -> 'rate' -> 'default', parameters -> 'rate_last' -> 'default' FROM eddh_methods WHERE (parameters -> 'rate' -> 'default')::float8 <> 0.02;
SELECT DISTINCT parameters -> 'kernel_width' -> 'default', parameters -> 'kernel_width' -> 'several_labels', parameters -> 'anchors' -> 'default' FROM eddh_methods;
-- With several labels a picture.
SELECT method, key, value -> 'default', value -> 'several_labels' FROM eddh_methods, jsonb_each(parameters) WHERE value ? 'several_labels' AND key <> 'kernel_width' ORDER BY 1, 2;

\set ECHO errors
SELECT format('SELECT eddh_train(%L, ''pic'', ''jpeg'', ''label'', 16, %L, ''frozen'', %L) > 0', name, method,
			  '{"threads": 1, "epochs": 8, "holdout": 0.1' || coalesce(', "head": "' || head || '"', '') || '}'),
	'SELECT model, eddh_wait(job) FROM eddh_jobs ORDER BY job DESC LIMIT 1'
FROM (SELECT method AS name, method, NULL AS head FROM eddh_methods
	UNION ALL SELECT method || '_' || head, method, head FROM (VALUES ('sdh', 'linear'), ('ksh', 'linear'), ('eddh', 'anchors'), ('dhn', 'anchors')) AS v (method, head)) AS m
ORDER BY name \gexec

SELECT format('SELECT eddh_import_model(%L, eddh_export_model(%L))', 'again_' || model, model) FROM eddh_models ORDER BY model \gexec
\set ECHO all

-- One row, a batch, and the exported network.
CREATE TEMP TABLE code AS SELECT m.model, p.id, eddh_encode(p.jpeg, m.model)::bit(16) AS alone, eddh_encode(p.jpeg, 'again_' || m.model)::bit(16) AS again
FROM eddh_models AS m, pic AS p WHERE m.model NOT LIKE 'again%';
CREATE TEMP TABLE batch AS SELECT m.model, u.code::bit(16) AS code, u.id FROM eddh_models AS m,
	LATERAL unnest(eddh_encode_batch((SELECT array_agg(jpeg ORDER BY id) FROM pic), m.model)) WITH ORDINALITY AS u (code, id) WHERE m.model NOT LIKE 'again%';
SELECT model, count(*), bool_and(alone = code) AS batch, bool_and(alone = again) AS exported, count(DISTINCT alone) > 1 AS tells
FROM code JOIN batch USING (model, id) GROUP BY model ORDER BY model;
-- The trivial baseline has no more codes than classes.
SELECT count(DISTINCT alone) <= 3 FROM code WHERE model = 'classifier';
-- Anchors are part of the model: no more of them than pictures.
SELECT model, bytes > 40000 AS larger FROM eddh_models WHERE model IN ('sdh', 'sdh_linear') ORDER BY model;

-- Defaults that wait for the pictures: 480 mini-batches (here of all that is learned from), the kernel for several labels, what a method wants for them. What was given stays.
CREATE VIEW several AS SELECT id, ARRAY['t' || id % 2, 'u' || id % 3] AS labels, jpeg FROM pic;
BEGIN;
SELECT eddh_train('one', 'pic', 'jpeg', 'label', 16, 'adsh', 'frozen') > 0, eddh_train('more', 'several', 'jpeg', 'labels', 16, 'adsh', 'frozen') > 0,
	eddh_train('given', 'several', 'jpeg', 'labels', 16, 'adsh', 'frozen', '{"gamma": 1, "rate": 0.1, "weight_decay": 0.5, "kernel_width": 3, "epochs": 7}') > 0,
	eddh_train('all', 'several', 'jpeg', 'labels', 16, 'adsh', 'frozen', '{"train_layers": "all"}') > 0, eddh_train('small', 'pic', 'jpeg', 'label', 16, 'sdh', 'frozen') > 0,
	eddh_train('batches', 'pic', 'jpeg', 'label', 16, 'dph', 'frozen', '{"batch": 10}') > 0;
SELECT model, o ->> 'epochs' AS epochs, o ->> 'kernel_width' AS width, o ->> 'rate' AS rate, o ->> 'rate_last' AS last, o ->> 'weight_decay' AS decay, o ->> 'gamma' AS gamma
FROM eddh_jobs, LATERAL (SELECT options AS o) AS v WHERE model IN ('one', 'more', 'given', 'all', 'small', 'batches') ORDER BY model;
ROLLBACK;

-- What EDDH saw in its last pass over the pictures, which goes by pieces of 16, is what the model answers: how far bits lean to one side.
SELECT eddh_train('passes', 'pic', 'jpeg', 'label', 16, 'eddh', 'cnn-s', '{"threads": 1, "batch": 2, "epochs": 4, "warmup": 1, "holdout": 0}') AS job \gset
SELECT eddh_wait(:job);
SELECT abs(seen.value - lean.value) < 0.003, lean.value < 1
FROM (SELECT value FROM eddh_job_log WHERE job = :job AND measure = 'balance' ORDER BY epoch DESC LIMIT 1) AS seen,
	(SELECT avg(abs(side)) AS value FROM (SELECT avg(2 * get_bit(eddh_encode(jpeg, 'passes')::bit(16), bit) - 1) AS side FROM pic, generate_series(0, 15) AS bit GROUP BY bit) AS bits) AS lean;

-- What cannot be.
SELECT eddh_train('m', 'pic', 'jpeg', 'label', 16, 'itq', 'frozen', '{"head": "anchors"}');
SELECT eddh_train('m', 'pic', 'jpeg', 'label', 16, 'eddh', 'frozen', '{"head": "anchors", "train_layers": "all", "head_epochs": 0}');
SELECT eddh_train('m', 'pic', 'jpeg', NULL, 16, 'sdh', 'frozen');
\set ECHO none
SELECT format('SELECT eddh_drop_model(%L)', model) FROM eddh_models \gexec
SELECT eddh_drop_backbone('frozen');
DROP SCHEMA train_methods CASCADE;
