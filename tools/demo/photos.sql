-- The second act's index, search, measures and part of the page. Variable: page (a file).
\set ON_ERROR_STOP on
\pset footer off
CREATE INDEX ON photo USING hamming (photos_itq);
CREATE INDEX ON photo USING hamming (photos_eddh);
VACUUM ANALYZE photo;

CREATE TEMP TABLE photo_method (place, title, job, code_column) AS
SELECT v.place, v.title, j.job, v.model::name
FROM (VALUES (1, 'EDDH, with labels', 'photos_eddh'), (2, 'ITQ, without', 'photos_itq')) AS v (place, title, model)
	JOIN eddh_jobs AS j ON j.model = v.model AND j.kind = 'train';
CREATE TEMP TABLE photo_measured AS
SELECT place, title, e.* FROM photo_method, eddh_evaluate('photo_query', 'photo', code_column, 'label') AS e;
\echo 'Photographs that no training saw, against the others:'
SELECT measure, max(round(value::numeric, 4)) FILTER (WHERE place = 1) AS eddh_with_labels,
	   max(round(value::numeric, 4)) FILTER (WHERE place = 2) AS itq_without
FROM photo_measured GROUP BY measure ORDER BY min(ctid);

-- A small table would be sorted, which is right, but not what a large one does.
SET enable_seqscan = off;
CREATE TEMP TABLE photo_neighbour AS
SELECT q.id AS query, n.*
FROM photo_query AS q,
	 LATERAL (SELECT p.id, p.label, p.path, p.image, p.photos_eddh <-> q.photos_eddh AS distance
			  FROM photo AS p ORDER BY p.photos_eddh <-> q.photos_eddh LIMIT 8) AS n;
RESET enable_seqscan;
-- One query a kind, and last the worst of all.
CREATE TEMP TABLE photo_chosen AS
WITH score AS (SELECT q.id, q.label, q.path, count(*) FILTER (WHERE n.label = q.label) AS hits
			   FROM photo_neighbour AS n JOIN photo_query AS q ON q.id = n.query GROUP BY q.id, q.label, q.path),
	 a_kind AS (SELECT DISTINCT ON (label) id FROM score ORDER BY label, md5(path)),
	 worst AS (SELECT id FROM score WHERE id NOT IN (SELECT id FROM a_kind) ORDER BY hits, md5(path) LIMIT 1)
SELECT id, 1 AS part FROM a_kind UNION ALL SELECT id, 2 FROM worst;

\pset format unaligned
\pset tuples_only on
\o :page
SELECT json_build_object(
	'lead', format('%s photographs of %s kinds: the stamps of Tux Paint, which Debian carries. The network is "photo", which comes with eddh and was not'
				   ' trained here; only the layer that makes codes of 64 bits was. Left: a photograph that no training saw; then the eight nearest'
				   ' of the others, by the codes of EDDH. One query a kind, drawn by a fixed rule, and last the worst of all.', t.n + q.n, q.kinds),
	'note', format('%s queries against %s photographs: one more right answer moves these figures by a point or so. At random the precision'
				   ' would be %s. ITQ learned without labels.', q.n, t.n, round(t.chance, 2)),
	'facts', (SELECT json_agg(json_build_object('name', f.name, 'value', f.value) ORDER BY place)
		FROM (SELECT 1 AS place, 'mean average precision, EDDH' AS name, to_char(value, 'FM0.000') AS value FROM photo_measured WHERE place = 1 AND measure = 'map'
			  UNION ALL SELECT 2, 'the same, ITQ without labels', to_char(value, 'FM0.000') FROM photo_measured WHERE place = 2 AND measure = 'map'
			  UNION ALL SELECT 3, 'seconds to train EDDH', round(extract(epoch FROM finished - started), 1)::text FROM eddh_jobs JOIN photo_method USING (job)
			  WHERE place = 1) AS f),
	'queries', (SELECT json_agg(json_build_object('id', q.id, 'name', q.path, 'label', q.label, 'png', translate(encode(q.image, 'base64'), E'\n', ''),
			'neighbours', (SELECT json_agg(json_build_object('id', n.id, 'name', n.path, 'label', n.label, 'distance', n.distance,
															 'png', translate(encode(n.image, 'base64'), E'\n', '')) ORDER BY n.distance, n.id)
						   FROM photo_neighbour AS n WHERE n.query = q.id)) ORDER BY c.part, q.label, q.id)
				FROM photo_chosen AS c JOIN photo_query AS q USING (id)),
	'methods', (SELECT json_agg(json_build_object('title', title,
			'measures', (SELECT json_agg(json_build_object('measure', measure, 'value', value)) FROM photo_measured AS p WHERE p.place = m.place)) ORDER BY place)
				FROM photo_method AS m))
FROM (SELECT count(*) AS n, count(DISTINCT label) AS kinds FROM photo_query) AS q,
	 (SELECT sum(n)::bigint AS n, sum(n * (n / sum)) / max(sum) AS chance
	  FROM (SELECT count(*) AS n, sum(count(*)) OVER () AS sum FROM photo GROUP BY label) AS l) AS t;
