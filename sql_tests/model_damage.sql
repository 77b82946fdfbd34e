-- Weights that are not what was stored are never used.
\set ECHO none
\set helpers `echo $PG_ABS_SRCDIR` '/sql/include/helpers.sql'
\i :helpers
\set ECHO all
\pset format unaligned
\pset tuples_only on

SELECT eddh_import_model('shoes', pg_temp.untrained());
SELECT eddh_import_backbone('network', pg_temp.untrained(), '{"cut": "relu2"}');
CREATE TEMP TABLE chunk AS SELECT * FROM eddh_catalog.chunk;

-- One byte changed: nothing has been decoded yet, so the checksum is computed.
UPDATE eddh_catalog.chunk SET data = set_byte(data, 500000, get_byte(data, 500000) # 1) WHERE seq = 0 AND length(data) > 500000;
SELECT regexp_replace(pg_temp.failure($$SELECT eddh_encode(pg_temp.picture(1), 'shoes')$$), '[0-9a-f]{64}|[0-9]+ bytes', '...', 'g');
SELECT regexp_replace(pg_temp.failure($$SELECT eddh_export_model('shoes')$$), '[0-9a-f]{64}|[0-9]+ bytes', '...', 'g');

-- Chunks gone, doubled, in another order.
DELETE FROM eddh_catalog.chunk;
SELECT regexp_replace(pg_temp.failure($$SELECT eddh_encode(pg_temp.picture(1), 'shoes')$$), '[0-9a-f]{64}|[0-9]+ bytes', '...', 'g');
SELECT regexp_replace(pg_temp.failure($$SELECT eddh_features(pg_temp.picture(1), 'network')$$), '[0-9a-f]{64}|[0-9]+ bytes', '...', 'g');
INSERT INTO eddh_catalog.chunk SELECT * FROM chunk;
INSERT INTO eddh_catalog.chunk SELECT object, seq + 10, data FROM chunk;
SELECT left(pg_temp.failure($$SELECT eddh_encode(pg_temp.picture(1), 'shoes')$$), 50);
DELETE FROM eddh_catalog.chunk;
INSERT INTO eddh_catalog.chunk SELECT object, -seq, data FROM chunk;
SELECT left(pg_temp.failure($$SELECT eddh_encode(pg_temp.picture(1), 'shoes')$$), 50);

-- Restored: as before.
DELETE FROM eddh_catalog.chunk;
INSERT INTO eddh_catalog.chunk SELECT * FROM chunk;
SELECT length(eddh_encode(pg_temp.picture(1), 'shoes'));

-- A damaged model can be dropped.
DELETE FROM eddh_catalog.chunk;
SELECT eddh_drop_model('shoes');
SELECT eddh_drop_backbone('network');
