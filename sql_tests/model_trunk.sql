-- A model that shares its backbone: only the head is stored, and the two together are what was trained.
\set ECHO none
\set helpers `echo $PG_ABS_SRCDIR` '/sql/include/helpers.sql'
\i :helpers
\set ECHO all
\pset format unaligned
\pset tuples_only on
SET client_min_messages = error;

CREATE TABLE model_picture (id int, image bytea, kind text);
-- Two kinds, dark and bright.
INSERT INTO model_picture
	SELECT i, png((SELECT string_agg(substr(int4send(get_byte(sha256((i || ' ' || j)::bytea), 0) / 4 + 64 * (i % 2) * 2), 4), '' ORDER BY j) FROM generate_series(1, 192) AS j), 8, 8),
		CASE i % 2 WHEN 0 THEN 'dark' ELSE 'bright' END
	FROM generate_series(1, 80) AS i;
SELECT eddh_import_backbone('network', eddh_export_backbone('cnn-s'));
CREATE FUNCTION pg_temp.train(model text, backbone text, layers text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN eddh_train(model, 'model_picture', 'image', 'kind', 16, backbone => backbone, options => jsonb_build_object('train_layers', layers, 'head', 'linear', 'epochs', 2, 'threads', 1));
END $$;
SELECT pg_temp.train('head', 'network', 'hash') IS NOT NULL;
SELECT pg_temp.train('layers', 'network', 'fc') IS NOT NULL;
SELECT pg_temp.train('whole', 'network', 'all') IS NOT NULL;
SELECT pg_temp.train('built-in', 'cnn-s', 'all') IS NOT NULL;
SELECT eddh_wait(job) FROM eddh_jobs ORDER BY job;

-- What more than the hash layer learns of a trained network begins and ends with that layer alone, 30 passes each; and all of it is tuned with rates of its own.
SELECT j.model, count(*) AS passes, j.options -> 'batch' AS batch, j.options -> 'rate' AS rate, j.options -> 'rate_last' AS rate_last
FROM eddh_jobs AS j JOIN eddh_job_log AS l ON l.job = j.job AND l.measure = 'loss' GROUP BY 1, 3, 4, 5 ORDER BY 1;
-- What is stored with each.
SELECT model, backbone, layers, bits, classes, images > 0 AS images, bytes < 30000 AS small, bytes > 1500000 AS large FROM eddh_models ORDER BY model;

-- Trunk and head, run one after the other, are the network that is exported.
CREATE TEMP TABLE code AS SELECT m.model, p.id, eddh_encode(p.image, m.model)::bit(16) AS code FROM model_picture AS p, eddh_models AS m;
SELECT eddh_import_backbone('logits of ' || model, eddh_export_model(model), '{"cut": "code_logits"}') FROM eddh_models;
SELECT c.model, bool_and((get_bit(c.code, j) = 1) = (u.logits[j + 1] >= 0)) FILTER (WHERE abs(u.logits[j + 1]) > 1e-4) AS same,
	count(*) FILTER (WHERE abs(u.logits[j + 1]) > 1e-4) > 1000 AS enough
FROM code AS c JOIN model_picture AS p USING (id), LATERAL (SELECT eddh_features(p.image, 'logits of ' || c.model)) AS u (logits), generate_series(0, 15) AS j
GROUP BY c.model ORDER BY c.model;
-- In a batch, too.
SELECT m.model, count(*) FROM eddh_models AS m,
	LATERAL unnest((SELECT eddh_encode_batch(array_agg(image ORDER BY id), m.model) FROM model_picture)) WITH ORDINALITY AS b (code, id)
	JOIN code AS c ON c.id = b.id AND c.code <-> b.code <= 1 WHERE c.model = m.model GROUP BY m.model ORDER BY m.model;

-- With a rate of nothing, the whole network is what its hash layer learned alone: the loss stays where it was. Then that layer learns again, as it does on frozen features.
SELECT eddh_train('still', 'model_picture', 'image', 'kind', 16, backbone => 'network',
	options => '{"train_layers": "all", "epochs": 1, "rate": 1e-9, "head_epochs": 6, "kernel_width": 0.5, "outer": 1, "holdout": 0, "threads": 1}') AS still \gset
SELECT eddh_wait(:still);
SELECT eddh_train('frozen', 'model_picture', 'image', 'kind', 16, backbone => 'network', options => '{"epochs": 6, "kernel_width": 0.5, "outer": 1, "holdout": 0, "threads": 1}') AS frozen \gset
SELECT eddh_wait(:frozen);
SELECT abs(max(value) FILTER (WHERE epoch = 7) / max(value) FILTER (WHERE epoch = 6) - 1) < 0.1 AS same, max(value) FILTER (WHERE epoch = 6) / max(value) FILTER (WHERE epoch = 1) < 0.8 AS learned
FROM eddh_job_log WHERE job = :still AND measure = 'loss';
SELECT count(*) AS passes, bool_and(abs(s.value / f.value - 1) < 0.01) AS same
FROM eddh_job_log AS s JOIN eddh_job_log AS f ON s.epoch = f.epoch + 7 AND f.measure = 'loss' AND f.job = :frozen WHERE s.job = :still AND s.measure = 'loss';
SELECT count(*) AS codes FROM model_picture WHERE eddh_encode(image, 'still') <-> eddh_encode(image, 'frozen') > 1;

-- A network that does not end in fully connected layers: fc is hash.
SELECT eddh_import_backbone('convolutions', eddh_export_backbone('cnn-s'), '{"cut": "relu2"}');
SELECT eddh_train(layers || ' of convolutions', 'model_picture', 'image', 'kind', 16, backbone => 'convolutions',
	options => jsonb_build_object('train_layers', layers, 'epochs', 2, 'threads', 1)) IS NOT NULL FROM unnest('{hash,fc}'::text[]) AS layers;
SELECT model, eddh_wait(job) FROM eddh_jobs WHERE model LIKE '% of %' ORDER BY job;
SELECT model, remarks ~ 'only the hash layer is trained' AS told FROM eddh_jobs WHERE model LIKE '% of %' ORDER BY job;
SELECT eddh_export_model('hash of convolutions') = eddh_export_model('fc of convolutions') AS same;

-- The network must stay while models are built on it, also for who sees none of them.
SELECT pg_temp.failure($$SELECT eddh_drop_backbone('network')$$);
CREATE ROLE regress_eddh_dora;
SELECT eddh_grant_model('head', 'regress_eddh_dora');
SET ROLE regress_eddh_dora;
SELECT pg_temp.failure($$SELECT eddh_features('', 'network')$$);
SELECT length(eddh_encode(pg_temp.picture(1), 'head'));
RESET ROLE;

-- A model trained again under its name keeps its grants.
SELECT pg_temp.failure($$SELECT pg_temp.train('head', 'network', 'hash')$$);
SELECT eddh_train('head', 'model_picture', 'image', 'kind', 24, backbone => 'network', options => '{"train_layers": "hash", "epochs": 1, "replace": true}') IS NOT NULL;
SELECT eddh_wait(max(job)) FROM eddh_jobs;
SELECT model, bits, granted, length(eddh_encode(pg_temp.picture(1), 'head')) FROM eddh_models WHERE model = 'head';

SELECT eddh_drop_model(model) FROM eddh_models;
SELECT count(eddh_drop_backbone(backbone)) FROM eddh_backbones WHERE NOT builtin;
SELECT count(*) FROM eddh_catalog.chunk;
DROP TABLE model_picture;
DROP ROLE regress_eddh_dora;
