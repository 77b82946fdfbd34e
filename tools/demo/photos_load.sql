-- Photographs as rows. Every third of a kind, in an order that has nothing to do with what it shows, is kept away from training as a query.
-- Variables: folder, kinds (a file: label, path).
\set ON_ERROR_STOP on
CREATE TEMP TABLE kind (label text, path text);
COPY kind FROM :'kinds';
CREATE TABLE photo (id int PRIMARY KEY, label text NOT NULL, path text NOT NULL, image bytea NOT NULL, photos_itq bit(64), photos_eddh bit(64));
CREATE TABLE photo_query (LIKE photo INCLUDING ALL);
CREATE TEMP TABLE drawn AS
SELECT row_number() OVER (ORDER BY path) AS id, label, path, row_number() OVER (PARTITION BY label ORDER BY md5(path)) AS place FROM kind;
INSERT INTO photo SELECT id, label, path, pg_read_binary_file(:'folder' || '/' || path) FROM drawn WHERE place % 3 <> 0;
INSERT INTO photo_query SELECT id, label, path, pg_read_binary_file(:'folder' || '/' || path) FROM drawn WHERE place % 3 = 0;
ANALYZE photo;
SELECT count(*) AS photographs, count(DISTINCT label) AS kinds FROM drawn;
