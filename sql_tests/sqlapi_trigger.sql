-- eddh_encode_trigger keeps a code column in step with its picture column.
\set ECHO none
\set helpers `echo $PG_ABS_SRCDIR` '/sql/include/helpers.sql'
\i :helpers
\set ECHO all
\pset format unaligned
\pset tuples_only on

SELECT eddh_import_model('shoes', pg_temp.untrained());
CREATE TABLE sqlapi_product (id int, image bytea, code bit(256), note text);
CREATE TRIGGER encode BEFORE INSERT OR UPDATE ON sqlapi_product FOR EACH ROW EXECUTE FUNCTION eddh_encode_trigger('shoes', 'image', 'code');
CREATE FUNCTION pg_temp.runs_of(statement text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	before bigint := eddh_catalog.network_runs();
BEGIN
	EXECUTE statement;
	RETURN eddh_catalog.network_runs() - before;
END $$;
CREATE FUNCTION pg_temp.right_codes() RETURNS text LANGUAGE sql AS $$
	SELECT count(*) FILTER (WHERE code IS NOT DISTINCT FROM eddh_encode(image, 'shoes')) || ' of ' || count(*) FROM sqlapi_product
$$;

INSERT INTO sqlapi_product (id, image) SELECT i, pg_temp.picture(i) FROM generate_series(1, 20) AS i;
INSERT INTO sqlapi_product (id) VALUES (21);
SELECT pg_temp.right_codes(), count(code), count(DISTINCT code) FROM sqlapi_product;

-- The network runs only for what changed.
SELECT pg_temp.runs_of($$UPDATE sqlapi_product SET note = 'new'$$);
SELECT pg_temp.runs_of($$UPDATE sqlapi_product SET image = image$$);
SELECT pg_temp.runs_of($$UPDATE sqlapi_product SET image = pg_temp.picture(id + 100) WHERE id <= 5$$);
SELECT pg_temp.right_codes();
SELECT pg_temp.runs_of($$UPDATE sqlapi_product SET image = NULL WHERE id = 1$$);
SELECT code IS NULL FROM sqlapi_product WHERE id = 1;
-- A code set by hand stays, as long as the picture does.
UPDATE sqlapi_product SET code = NULL WHERE id = 2;
SELECT code IS NULL FROM sqlapi_product WHERE id = 2;
UPDATE sqlapi_product SET image = pg_temp.picture(2) WHERE id = 2;
SELECT pg_temp.right_codes();
-- COPY goes through it too.
COPY sqlapi_product (id, note) FROM stdin;
22	copied
\.
SELECT pg_temp.right_codes();

-- Pictures that cannot be decoded: an error, or a warning and no code.
SELECT pg_temp.failure($$INSERT INTO sqlapi_product (id, image) VALUES (30, 'GIF89a')$$) LIKE '0A000 cannot encode the picture: %';
SELECT count(*) FROM sqlapi_product WHERE id = 30;
CREATE OR REPLACE TRIGGER encode BEFORE INSERT OR UPDATE ON sqlapi_product FOR EACH ROW EXECUTE FUNCTION eddh_encode_trigger('shoes', 'image', 'code', 'null');
SET client_min_messages = error;
INSERT INTO sqlapi_product (id, image) VALUES (30, 'GIF89a');
UPDATE sqlapi_product SET image = substr(pg_temp.picture(3), 1, 90) WHERE id = 3;
RESET client_min_messages;
SELECT id, code IS NULL FROM sqlapi_product WHERE id IN (3, 30) ORDER BY id;
-- Only the picture is forgiven, not the model.
SELECT eddh_rename_model('shoes', 'boots');
SELECT pg_temp.failure($$INSERT INTO sqlapi_product (id, image) VALUES (31, pg_temp.picture(1))$$);
SELECT eddh_rename_model('boots', 'shoes');

-- Triggers that cannot work say why, with the first row.
CREATE TABLE sqlapi_wrong (id int, image bytea, picture text, short bit(64), code bit(256), varying bit varying, word text);
CREATE FUNCTION pg_temp.trigger_failure(arguments text, event text DEFAULT 'BEFORE INSERT OR UPDATE', level text DEFAULT 'ROW') RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE OR REPLACE TRIGGER wrong %s ON sqlapi_wrong FOR EACH %s EXECUTE FUNCTION eddh_encode_trigger(%s)', event, level, arguments);
	RETURN pg_temp.failure('INSERT INTO sqlapi_wrong (id, image) VALUES (1, pg_temp.picture(1))');
END $$;
SELECT pg_temp.trigger_failure($$'boots', 'image', 'code'$$);
SELECT pg_temp.trigger_failure($$'shoes', 'jpeg', 'code'$$);
SELECT pg_temp.trigger_failure($$'shoes', 'image', 'hash'$$);
SELECT pg_temp.trigger_failure($$'shoes', 'picture', 'code'$$);
SELECT pg_temp.trigger_failure($$'shoes', 'image', 'word'$$);
SELECT pg_temp.trigger_failure($$'shoes', 'image', 'short'$$);
SELECT pg_temp.trigger_failure($$'shoes', 'image', 'varying'$$);
SELECT pg_temp.trigger_failure($$'shoes', 'image'$$);
SELECT pg_temp.trigger_failure($$'shoes', 'image', 'code', 'skip'$$);
SELECT pg_temp.trigger_failure($$'shoes', 'image', 'code'$$, 'AFTER INSERT');
SELECT pg_temp.trigger_failure($$'shoes', 'image', 'code'$$, 'BEFORE INSERT', 'STATEMENT');
SELECT pg_temp.failure('SELECT eddh_encode_trigger()');

-- The one who inserts needs the right to use the model.
CREATE ROLE regress_eddh_clerk;
GRANT INSERT, SELECT ON sqlapi_product TO regress_eddh_clerk;
SET ROLE regress_eddh_clerk;
SELECT pg_temp.failure($$INSERT INTO sqlapi_product (id, image) VALUES (40, pg_temp.picture(1))$$);
RESET ROLE;
SELECT eddh_grant_model('shoes', 'regress_eddh_clerk');
SET ROLE regress_eddh_clerk;
SELECT pg_temp.failure($$INSERT INTO sqlapi_product (id, image) VALUES (40, pg_temp.picture(1))$$);
RESET ROLE;

-- Partitions, too.
CREATE TABLE sqlapi_parted (id int, image bytea, code bit(256)) PARTITION BY RANGE (id);
CREATE TABLE sqlapi_parted_1 PARTITION OF sqlapi_parted FOR VALUES FROM (0) TO (10);
CREATE TABLE sqlapi_parted_2 (code bit(256), extra int, image bytea, id int);
ALTER TABLE sqlapi_parted_2 DROP COLUMN extra;
ALTER TABLE sqlapi_parted ATTACH PARTITION sqlapi_parted_2 FOR VALUES FROM (10) TO (20);
CREATE TRIGGER encode BEFORE INSERT OR UPDATE ON sqlapi_parted FOR EACH ROW EXECUTE FUNCTION eddh_encode_trigger('shoes', 'image', 'code');
INSERT INTO sqlapi_parted (id, image) VALUES (1, pg_temp.picture(1)), (11, pg_temp.picture(11));
SELECT bool_and(code = eddh_encode(image, 'shoes')) FROM sqlapi_parted;

-- A domain holds for codes too.
CREATE DOMAIN sqlapi_code AS bit(256) CHECK (get_bit(VALUE, 0) > 1);
CREATE TABLE sqlapi_checked (image bytea, code sqlapi_code);
CREATE TRIGGER encode BEFORE INSERT ON sqlapi_checked FOR EACH ROW EXECUTE FUNCTION eddh_encode_trigger('shoes', 'image', 'code');
SELECT pg_temp.failure($$INSERT INTO sqlapi_checked VALUES (pg_temp.picture(1))$$);

DROP TABLE sqlapi_product, sqlapi_wrong, sqlapi_parted, sqlapi_checked;
DROP DOMAIN sqlapi_code;
SELECT eddh_drop_model('shoes');
DROP ROLE regress_eddh_clerk;
