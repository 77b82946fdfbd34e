-- Models and backbones as rows. Nobody but superusers touches these tables: C reads and writes them after its own checks
-- (src/model/README.md), users see the views. Columns are numbered in src/model/catalog.h.
--
-- Names are COLLATE "C": C scans their indexes by that collation. USING heap: C writes heap tuples, whatever default_table_access_method says.
-- Calls are qualified: what anybody may create in the schema of the extension must not fit better than what is meant.

CREATE SCHEMA eddh_catalog;
COMMENT ON SCHEMA eddh_catalog IS 'models, backbones and jobs of extension eddh; use the views eddh_models, eddh_backbones, eddh_jobs';

-- Ids of backbones and models; smaller ones are built in.
CREATE SEQUENCE eddh_catalog.object_id AS bigint START 1000 MINVALUE 1000;

CREATE TABLE eddh_catalog.backbone (
	id bigint PRIMARY KEY,
	name text COLLATE "C" NOT NULL UNIQUE,
	owner text COLLATE "C",			-- a role's name; NULL: built in
	sha256 bytea NOT NULL,			-- of the stored ONNX file
	bytes bigint NOT NULL,			-- of the stored ONNX file
	input_size integer NOT NULL,
	features integer NOT NULL,
	parameters bigint NOT NULL,
	macs bigint NOT NULL,			-- multiply-adds for one picture
	trained boolean NOT NULL,
	builtin boolean NOT NULL,
	metadata jsonb NOT NULL,		-- eddh.*: how a picture is prepared
	created timestamptz NOT NULL,
	output text COLLATE "C"			-- tensor that holds the features
) USING heap;

CREATE TABLE eddh_catalog.model (
	id bigint PRIMARY KEY,
	name text COLLATE "C" NOT NULL UNIQUE,
	owner text COLLATE "C" NOT NULL,
	backbone bigint,				-- NULL: imported as a whole
	cut text COLLATE "C",			-- tensor of the backbone where the head begins; '' = its features, NULL = the head sees the pixels
	sha256 bytea NOT NULL,			-- of the head's ONNX file
	method text NOT NULL,
	bits integer NOT NULL,
	classes text[] NOT NULL,
	images bigint NOT NULL,
	options jsonb NOT NULL,
	seed bigint NOT NULL,
	kernel text NOT NULL,			-- linear algebra it was trained with
	quality double precision,		-- tie-aware mAP on a held-out part
	bytes bigint NOT NULL,			-- of the head's ONNX file
	created timestamptz NOT NULL
) USING heap;

-- ONNX files of backbones and models in pieces; not compressed, because weights do not compress.
CREATE TABLE eddh_catalog.chunk (
	object bigint NOT NULL,
	seq integer NOT NULL,
	data bytea NOT NULL,
	PRIMARY KEY (object, seq)
) USING heap;
ALTER TABLE eddh_catalog.chunk ALTER COLUMN data SET STORAGE EXTERNAL;

-- Who besides the owner may use a model or backbone.
CREATE TABLE eddh_catalog.object_grant (
	object bigint NOT NULL,
	role text COLLATE "C" NOT NULL,	-- a role's name, or public
	PRIMARY KEY (object, role)
) USING heap;

REVOKE ALL ON eddh_catalog.backbone, eddh_catalog.model, eddh_catalog.chunk, eddh_catalog.object_grant, eddh_catalog.object_id FROM PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('eddh_catalog.object_id', '');
SELECT pg_catalog.pg_extension_config_dump('eddh_catalog.backbone', 'WHERE id >= 1000');
SELECT pg_catalog.pg_extension_config_dump('eddh_catalog.model', '');
SELECT pg_catalog.pg_extension_config_dump('eddh_catalog.chunk', '');
SELECT pg_catalog.pg_extension_config_dump('eddh_catalog.object_grant', '');

-- Built in: the architecture is code, the weights are its initial ones, so there are no chunks. src/model/backbone.c compares these numbers with the code.
INSERT INTO eddh_catalog.backbone VALUES
	(1, 'cnn-f', NULL, pg_catalog.sha256('eddh built-in cnn-f 1'::pg_catalog.bytea), 0, 224, 4096, 56737536, 719909632, false, true,
	 '{"eddh.input_size": "224", "eddh.resize": "squash", "eddh.channels": "RGB", "eddh.mean": "123.68,116.779,103.939", "eddh.std": "1,1,1"}', pg_catalog.now(), 'relu7'),
	(2, 'cnn-s', NULL, pg_catalog.sha256('eddh built-in cnn-s 1'::pg_catalog.bytea), 0, 32, 256, 446128, 6365184, false, true,
	 '{"eddh.input_size": "32", "eddh.resize": "squash", "eddh.channels": "RGB", "eddh.mean": "128,128,128", "eddh.std": "64,64,64"}', pg_catalog.now(), 'relu7');

CREATE FUNCTION eddh_catalog.has_role(role text) RETURNS boolean
	AS 'MODULE_PATHNAME', 'eddh_has_role' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 10;
COMMENT ON FUNCTION eddh_catalog.has_role(text) IS 'does the current user have the privileges of this role; true for public; superusers have those of roles that are gone';

CREATE VIEW eddh_backbones WITH (security_barrier) AS
	SELECT b.name AS backbone, b.owner, b.trained, b.input_size, b.features, b.parameters, b.macs, b.bytes, b.builtin, b.metadata, b.created
	FROM eddh_catalog.backbone AS b
	WHERE b.owner IS NULL OR eddh_catalog.has_role(b.owner)
		OR EXISTS (SELECT FROM eddh_catalog.object_grant AS g WHERE g.object = b.id AND eddh_catalog.has_role(g.role));
COMMENT ON VIEW eddh_backbones IS 'networks that turn a picture into features, of those the current user may use';
GRANT SELECT ON eddh_backbones TO PUBLIC;

CREATE VIEW eddh_models WITH (security_barrier) AS
	SELECT m.name AS model, m.owner, m.method, m.bits, b.name AS backbone,
		   CASE WHEN m.cut IS NULL THEN 'all' WHEN m.cut = '' THEN 'hash' ELSE 'from ' || m.cut END AS layers,
		   m.classes, m.images, m.options, m.seed, m.kernel, m.quality, m.bytes,
		   ARRAY(SELECT g.role FROM eddh_catalog.object_grant AS g WHERE g.object = m.id ORDER BY g.role) AS granted, m.created
	FROM eddh_catalog.model AS m LEFT JOIN eddh_catalog.backbone AS b ON b.id = m.backbone
	WHERE eddh_catalog.has_role(m.owner)
		OR EXISTS (SELECT FROM eddh_catalog.object_grant AS g WHERE g.object = m.id AND eddh_catalog.has_role(g.role));
COMMENT ON VIEW eddh_models IS 'models that turn a picture into a code, of those the current user may use';
GRANT SELECT ON eddh_models TO PUBLIC;
