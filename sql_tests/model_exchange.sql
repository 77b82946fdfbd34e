-- Networks in and out as ONNX: what goes out comes back the same; what is no network is refused with a reason.
\set ECHO none
\set helpers `echo $PG_ABS_SRCDIR` '/sql/include/helpers.sql'
\i :helpers
\set ECHO all
\pset format unaligned
\pset tuples_only on

-- A backbone there and back.
SELECT eddh_import_backbone('copy', eddh_export_backbone('cnn-s'));
SELECT backbone, owner, trained, input_size, features, builtin, bytes > 1000000 AS stored FROM eddh_backbones WHERE backbone IN ('copy', 'cnn-s') ORDER BY backbone;
SELECT a.parameters = b.parameters AND a.macs = b.macs AND a.metadata = b.metadata
FROM eddh_backbones AS a, eddh_backbones AS b WHERE a.backbone = 'copy' AND b.backbone = 'cnn-s';
SELECT bool_and(eddh_features(pg_temp.picture(i), 'copy') = eddh_features(pg_temp.picture(i), 'cnn-s')) FROM generate_series(1, 5) AS i;
SELECT eddh_export_backbone('copy') = eddh_export_backbone('cnn-s');

-- A model there and back; as a backbone, its features are what the code is made of: bit j is 1 where output j is 0 or more.
SELECT eddh_import_model('shoes', pg_temp.untrained());
SELECT eddh_import_model('boots', eddh_export_model('shoes'));
SELECT eddh_import_backbone('logits', eddh_export_model('shoes'), '{"cut": "code_logits"}');
CREATE TEMP TABLE result AS
	SELECT i, eddh_encode(pg_temp.picture(i), 'shoes')::bit(256) AS shoes, eddh_encode(pg_temp.picture(i), 'boots')::bit(256) AS boots,
		eddh_features(pg_temp.picture(i), 'logits') AS logits FROM generate_series(1, 20) AS i;
SELECT bool_and(shoes = boots), count(DISTINCT shoes) FROM result;
SELECT count(*), bool_and((get_bit(shoes, j) = 1) = (logits[j + 1] >= 0)) FROM result, generate_series(0, 255) AS j;
SELECT eddh_export_model('boots') = eddh_export_model('shoes');

-- A graph's own end is the default only where it is not a classifier's: the features are what the last Gemm reads.
SELECT eddh_import_backbone('default', eddh_export_model('shoes'));
SELECT features FROM eddh_backbones WHERE backbone = 'default';

-- Bytes of another kind.
SELECT pg_temp.failure($$SELECT eddh_import_backbone('bad', '')$$);
SELECT pg_temp.failure($$SELECT eddh_import_backbone('bad', 'This is no network, whatever it says.')$$) LIKE '22P03 %';
SELECT pg_temp.failure($$SELECT eddh_import_backbone('bad', pg_temp.picture(1))$$) LIKE '22P03 %';
SELECT pg_temp.failure(format($$SELECT eddh_import_backbone('bad', substr(eddh_export_backbone('cnn-s'), 1, %s))$$, n)) LIKE '22P03 %' AS truncated
FROM (VALUES (1), (10), (1000), (100000), (1700000)) AS lengths (n);
-- Nine thousand messages, each inside the last: no crash of the parser.
CREATE FUNCTION pg_temp.varint(n bigint) RETURNS bytea LANGUAGE sql AS $$
	SELECT CASE WHEN n < 128 THEN substr(int4send(n::int), 4) ELSE substr(int4send((n & 127 | 128)::int), 4) || pg_temp.varint(n >> 7) END $$;
DO $$
DECLARE
	graph bytea := '';
BEGIN
	-- GraphProto.node (1) . attribute (5) . g (6)
	FOR i IN 1 .. 3000 LOOP
		graph := '\x32'::bytea || pg_temp.varint(length(graph)) || graph;
		graph := '\x2a'::bytea || pg_temp.varint(length(graph)) || graph;
		graph := '\x0a'::bytea || pg_temp.varint(length(graph)) || graph;
	END LOOP;
	graph := '\x3a'::bytea || pg_temp.varint(length(graph)) || graph;
	RAISE NOTICE '%', split_part(pg_temp.failure(format('SELECT eddh_import_backbone(%L, %L::bytea)', 'bad', graph)), ' ', 1);
END $$;

-- Options.
SELECT pg_temp.failure($$SELECT eddh_import_backbone('bad', eddh_export_backbone('cnn-s'), '[]')$$);
SELECT pg_temp.failure($$SELECT eddh_import_backbone('bad', eddh_export_backbone('cnn-s'), '{"size": 32}')$$);
SELECT pg_temp.failure($$SELECT eddh_import_backbone('bad', eddh_export_backbone('cnn-s'), '{"cut": "nowhere"}')$$);
SELECT pg_temp.failure($$SELECT eddh_import_backbone('bad', eddh_export_backbone('cnn-s'), '{"input_size": 64}')$$);
SELECT pg_temp.failure($$SELECT eddh_import_backbone('bad', eddh_export_backbone('cnn-s'), '{"std": [1, 0, 1]}')$$) LIKE '22%';
SELECT pg_temp.failure($$SELECT eddh_import_backbone('bad', eddh_export_backbone('cnn-s'), '{"mean": [1, 2]}')$$) LIKE '22%';
SELECT pg_temp.failure($$SELECT eddh_import_backbone('bad', eddh_export_backbone('cnn-s'), '{"mean": {"r": 2}}')$$) LIKE '22%';
SELECT pg_temp.failure($$SELECT eddh_import_backbone('bad', eddh_export_backbone('cnn-s'), '{"channels": "CMYK"}')$$) LIKE '22%';
SELECT pg_temp.failure($$SELECT eddh_import_backbone('bad', eddh_export_backbone('cnn-s'), '{"trained": "perhaps"}')$$);
SELECT eddh_import_backbone('bgr', eddh_export_backbone('cnn-s'), '{"mean": [1, 2.5, 3], "std": 64, "channels": "BGR", "resize": "crop", "resize_short": 40, "trained": false}');
SELECT trained, metadata FROM eddh_backbones WHERE backbone = 'bgr';

-- A model has 8 to 1024 outputs.
SELECT eddh_import_backbone('wide', eddh_export_backbone('cnn-s'), '{"cut": "flat3"}');
SELECT pg_temp.failure($$SELECT eddh_import_model('bad', eddh_export_backbone('wide'))$$);

-- Nothing of what failed was stored.
SELECT count(*) FROM eddh_backbones WHERE backbone = 'bad';
SELECT count(*) = (SELECT count(*) FROM eddh_backbones WHERE NOT builtin) + (SELECT count(*) FROM eddh_models) FROM (SELECT DISTINCT object FROM eddh_catalog.chunk) AS o;

SELECT eddh_drop_model(model) FROM eddh_models;
SELECT count(eddh_drop_backbone(backbone)) FROM eddh_backbones WHERE NOT builtin;
SELECT count(*) FROM eddh_catalog.chunk;
