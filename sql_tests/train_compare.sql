-- eddh_compare: every method at several lengths on the same features and splits, in the background; and what it refuses.
SET client_min_messages = warning;
CREATE SCHEMA train_compare;
SET search_path = train_compare, public;
\set ECHO none
\set helpers `echo $PG_ABS_SRCDIR` '/sql/include/helpers.sql'
\i :helpers
\set ECHO all
\pset format unaligned
\pset tuples_only on
CREATE TABLE pic (id int PRIMARY KEY, label int, jpeg bytea, name text);
INSERT INTO pic SELECT i, nullif(i % 6, 5), picture(i % 6, i) FROM generate_series(1, 150) AS i;
SELECT eddh_import_backbone('frozen', eddh_export_backbone('cnn-s'), '{"trained": true}');

SELECT eddh_compare('pic', 'jpeg', 'label', '{itq,sdh,dhn,classifier}', '{8,16}', 'frozen',
	'{"seeds": 2, "top": 10, "threads": 1, "epochs": 3, "head": "anchors", "anchors": 20, "sdh": {"iterations": 2, "head": "linear"}}') AS job \gset
SELECT eddh_wait(:job);
SELECT kind, state, done, total, remarks FROM eddh_jobs WHERE job = :job;
SELECT method, bits, count(*), min(seeds), max(seeds), string_agg(measure, ' ' ORDER BY measure COLLATE "C") FROM eddh_comparisons WHERE job = :job GROUP BY method, bits ORDER BY method, bits;
SELECT bool_and(mean BETWEEN -1e-9 AND 1 + 1e-9) FROM eddh_comparisons WHERE job = :job AND measure NOT IN ('train_seconds', 'encode_microseconds', 'distinct_codes');
-- Pictures that differ in stripes and colours: nearly everything is found.
SELECT method, bits, mean > 0.6 AS found FROM eddh_comparisons WHERE job = :job AND measure = 'map' AND method IN ('sdh', 'classifier') ORDER BY method, bits;

-- Curves of the first seed: balls grow until all is found, and what each method reports of its training, all steps where they are few.
SELECT method, bits, curve, min(step) = 0 AND max(step) <= bits AND count(*) = 1 + max(step) AND bool_and(value BETWEEN 0 AND 1 + 1e-9) AS right
FROM eddh_comparison_curves WHERE job = :job AND curve ~ 'precision|recall' GROUP BY method, bits, curve ORDER BY method, bits, curve;
SELECT bool_and(value >= last), bool_and(value > 1 - 1e-9 OR NOT final), count(*) FILTER (WHERE final) FROM (SELECT value, lag(value, 1, 0) OVER (PARTITION BY method, bits ORDER BY step) AS last,
	step = max(step) OVER (PARTITION BY method, bits) AS final FROM eddh_comparison_curves WHERE job = :job AND curve = 'recall') AS r;
SELECT method, bits, curve, array_agg(step ORDER BY step) FROM eddh_comparison_curves WHERE job = :job AND curve !~ 'precision|recall' AND method <> 'itq'
GROUP BY method, bits, curve ORDER BY method, bits, curve;
SELECT count(*) > 10, min(step), max(step), bool_and(value > 0) FROM eddh_comparison_curves WHERE job = :job AND method = 'itq' AND curve = 'quantisation' AND bits = 16;

-- The same again is the same, but for the time it took; another seed is another split.
SELECT eddh_compare('pic', 'jpeg', 'label', '{itq,sdh,dhn,classifier}', '{8,16}', 'frozen',
	'{"seeds": 2, "top": 10, "threads": 1, "epochs": 3, "head": "anchors", "anchors": 20, "sdh": {"iterations": 2, "head": "linear"}}') AS again \gset
SELECT eddh_wait(:again);
SELECT count(*) > 0, bool_and(a.mean = b.mean) FROM eddh_comparisons AS a JOIN eddh_comparisons AS b USING (method, bits, measure)
WHERE a.job = :job AND b.job = :again AND measure NOT IN ('train_seconds', 'encode_microseconds');

-- Splits begin at the seed that is given.
SELECT eddh_compare('pic', 'jpeg', 'label', '{itq,sdh,dhn,classifier}', '{8,16}', 'frozen',
	'{"seed": 2, "seeds": 1, "top": 10, "threads": 1, "epochs": 3, "head": "anchors", "anchors": 20, "sdh": {"iterations": 2, "head": "linear"}}') AS second \gset
SELECT eddh_wait(:second);
SELECT count(*) > 0, bool_and(a.value = b.value) FROM eddh_job_log AS a JOIN eddh_job_log AS b USING (measure)
WHERE a.job = :job AND a.epoch = 2 AND b.job = :second AND b.epoch = 1 AND measure !~ 'seconds';

-- Classes that training never sees are asked for and searched alone. A variant of a method has a name of its own.
SELECT eddh_compare('pic', 'jpeg', 'label', '{itq,sdh,itq_once}', '{8}', 'frozen', '{"seeds": 1, "threads": 1, "unseen": 0.4, "itq_once": {"method": "itq", "iterations": 1}, "itq": {"iterations": 200}}') AS job \gset
SELECT eddh_wait(:job);
SELECT remarks FROM eddh_jobs WHERE job = :job;
-- A long training leaves every second step above 32, every fourth above 64, every eighth above 128.
SELECT count(*) FILTER (WHERE step <= 32), count(*) FILTER (WHERE step BETWEEN 33 AND 64), count(*) FILTER (WHERE step BETWEEN 65 AND 128), count(*) FILTER (WHERE step > 128), max(step)
FROM eddh_comparison_curves WHERE job = :job AND method = 'itq' AND curve = 'quantisation';
SELECT method, mean > 0.3 FROM eddh_comparisons WHERE job = :job AND measure = 'map' ORDER BY method;


-- A learning curve: variants that learn from the first pictures only. All of them are what the method without a limit is.
SELECT eddh_compare('pic', 'jpeg', 'label', '{sdh_20,sdh_100,sdh}', '{8}', 'frozen', '{"seeds": 1, "threads": 1, "sdh_20": {"method": "sdh", "train": 20}, "sdh_100": {"method": "sdh", "train": 100}}') AS job \gset
SELECT eddh_wait(:job);
SELECT count(DISTINCT mean) FILTER (WHERE method IN ('sdh', 'sdh_100')), count(DISTINCT mean), count(*) FROM eddh_comparisons WHERE job = :job AND measure = 'ndcg';

\pset tuples_only off
SELECT eddh_compare('pic', 'jpeg', 'label', '{itq,nonsense}');
SELECT eddh_compare('pic', 'jpeg', 'label', '{itq}', '{4}');
SELECT eddh_compare('pic', 'jpeg', 'label', '{}', '{8}');
SELECT eddh_compare('pic', 'jpeg', 'label', '{eddh}', '{8}', options => '{"train_layers": "all"}');
SELECT eddh_compare('pic', 'jpeg', 'label', '{eddh}', '{8}', options => '{"sdh": {"nu": 1}, "seeds": 0}');
SELECT eddh_compare('pic', 'jpeg', 'label', '{eddh}', '{8}', options => '{"nu": 1}');
SELECT eddh_compare('pic', 'jpeg', 'label', '{eddh}', '{8}', options => '{"sedes": 2}');
SELECT eddh_compare('pic', 'jpeg', 'label', '{eddh}', '{8}', options => '{"sedes": [2]}');
SELECT eddh_compare('pic', 'jpeg', 'label', '{eddh}', '{8}', options => '{"epochs": [2]}');
SELECT eddh_compare('pic', 'jpeg', 'label', '{eddh}', '{8}', options => '{"edhh": {"epochs": 2}}');
SELECT eddh_compare('pic', 'jpeg', 'label', '{eddh,sdh}', '{8}', options => '{"sdh": {"seed": 2}}');
SELECT eddh_compare('pic', 'jpeg', 'labels', '{eddh}', '{8}');
SELECT eddh_compare('pic', 'name', 'label', '{eddh}', '{8}');
SELECT eddh_compare('pic', 'jpeg', NULL, '{eddh}', '{8}');
\set ECHO none
\pset tuples_only on
SELECT eddh_drop_backbone('frozen');
DROP SCHEMA train_compare CASCADE;
