-- One JSON document with all that page.html shows; run by search.sql, whose variables and temporary tables it uses.
\pset format unaligned
\pset tuples_only on

CREATE TEMP TABLE neighbour AS
SELECT q.id AS query, n.*
FROM (SELECT id, code FROM fashion_test ORDER BY id LIMIT 500) AS q,
	 LATERAL (SELECT t.id, t.label, t.jpeg, t.code <-> q.code AS distance
			  FROM fashion_train AS t ORDER BY t.code <-> q.code LIMIT 10) AS n;

CREATE TEMP TABLE chosen AS
WITH score AS (SELECT q.id, q.label, count(*) FILTER (WHERE n.label = q.label) AS hits
			   FROM neighbour AS n JOIN fashion_test AS q ON q.id = n.query GROUP BY q.id, q.label),
	 a_class AS (SELECT DISTINCT ON (label) id FROM score ORDER BY label, md5(id::text)),
	 worst AS (SELECT id FROM score WHERE id NOT IN (SELECT id FROM a_class) ORDER BY hits, md5(id::text) LIMIT 2)
SELECT id, 1 AS part FROM a_class UNION ALL SELECT id, 2 FROM worst;

SELECT json_build_object(
	'lead', format('%s real pictures of clothes (Fashion-MNIST) as JPEG in a table. A small convolutional network was trained on them from nothing, by a'
				   ' background worker of this PostgreSQL server, to codes of %s bits. Beside it the same network was trained to fixed random class'
				   ' codes, so that you see what the learned codes of EDDH add.',
				   (SELECT to_char(count(*), 'FM999,999') FROM fashion_train), m.bits),
	'facts', json_build_array(
		json_build_object('name', 'mean average precision', 'value', (SELECT to_char(value, 'FM0.000') FROM measured WHERE place = 1 AND measure = 'map')),
		json_build_object('name', 'bits a picture', 'value', m.bits),
		json_build_object('name', 'seconds to train EDDH', 'value',
						  (SELECT round(extract(epoch FROM finished - started)) FROM eddh_jobs WHERE job = :eddh_job)),
		json_build_object('name', 'seconds to encode 60,000', 'value',
						  (SELECT round(extract(epoch FROM finished - started), 1) FROM eddh_jobs WHERE job = :encode_job))),
	'queries', (SELECT json_agg(json_build_object('id', q.id, 'label', q.label, 'jpeg', translate(encode(q.jpeg, 'base64'), E'\n', ''),
			'neighbours', (SELECT json_agg(json_build_object('id', n.id, 'label', n.label, 'distance', n.distance,
															 'jpeg', translate(encode(n.jpeg, 'base64'), E'\n', '')) ORDER BY n.distance, n.id)
						   FROM neighbour AS n WHERE n.query = q.id)) ORDER BY c.part, q.label, q.id)
				FROM chosen AS c JOIN fashion_test AS q USING (id)),
	'methods', (SELECT json_agg(json_build_object('title', title,
			'log', (SELECT coalesce(json_agg(json_build_object('measure', l.measure, 'epoch', l.epoch, 'value', l.value) ORDER BY l.epoch), '[]')
					FROM eddh_job_log AS l WHERE l.job = method.job),
			'measures', (SELECT json_agg(json_build_object('measure', measure, 'value', value)) FROM measured WHERE measured.place = method.place),
			'pr', (SELECT json_agg(json_build_object('radius', radius, 'precision', macro_precision, 'recall', macro_recall) ORDER BY radius)
				   FROM curve WHERE curve.place = method.place)) ORDER BY place)
				FROM method),
	'plan', (SELECT string_agg(line, E'\n' ORDER BY number) FROM plan_line))
FROM eddh_models AS m WHERE model = 'fashion';
