-- Pictures to codes and features.

CREATE FUNCTION eddh_encode(image bytea, model text DEFAULT NULL) RETURNS bit
	AS 'MODULE_PATHNAME', 'eddh_encode' LANGUAGE C STABLE PARALLEL SAFE COST 100000;
COMMENT ON FUNCTION eddh_encode(bytea, text) IS 'code of a picture (JPEG, PNG or WebP) by a model, or by setting eddh.model';

CREATE FUNCTION eddh_encode_batch(images bytea[], model text DEFAULT NULL) RETURNS bit[]
	AS 'MODULE_PATHNAME', 'eddh_encode_batch' LANGUAGE C STABLE PARALLEL SAFE COST 1000000;
COMMENT ON FUNCTION eddh_encode_batch(bytea[], text) IS 'codes of several pictures; a NULL picture has a NULL code';

CREATE FUNCTION eddh_features(image bytea, backbone text DEFAULT NULL) RETURNS real[]
	AS 'MODULE_PATHNAME', 'eddh_features' LANGUAGE C STABLE PARALLEL SAFE COST 100000;
COMMENT ON FUNCTION eddh_features(bytea, text) IS 'feature vector of a picture by a backbone, or by setting eddh.backbone';

CREATE FUNCTION eddh_encode_trigger() RETURNS trigger
	AS 'MODULE_PATHNAME', 'eddh_encode_trigger' LANGUAGE C VOLATILE PARALLEL SAFE COST 100000;
COMMENT ON FUNCTION eddh_encode_trigger() IS 'BEFORE INSERT OR UPDATE FOR EACH ROW: (model, image column, code column [, error or null for pictures that cannot be decoded])';

CREATE FUNCTION eddh_catalog.network_runs() RETURNS bigint
	AS 'MODULE_PATHNAME', 'eddh_network_runs' LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 1;
COMMENT ON FUNCTION eddh_catalog.network_runs() IS 'pictures that this session has sent through a network so far';

-- Models and backbones.

CREATE FUNCTION eddh_drop_model(model text) RETURNS void
	AS 'MODULE_PATHNAME', 'eddh_drop_model' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 1000;
COMMENT ON FUNCTION eddh_drop_model(text) IS 'removes a model; its owner only';

CREATE FUNCTION eddh_rename_model(old_name text, new_name text) RETURNS void
	AS 'MODULE_PATHNAME', 'eddh_rename_model' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 1000;
COMMENT ON FUNCTION eddh_rename_model(text, text) IS 'renames a model; its owner only';

CREATE FUNCTION eddh_grant_model(model text, role name) RETURNS void
	AS 'MODULE_PATHNAME', 'eddh_grant_model' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 1000;
COMMENT ON FUNCTION eddh_grant_model(text, name) IS 'lets a role, or public, use a model; its owner only';

CREATE FUNCTION eddh_revoke_model(model text, role name) RETURNS void
	AS 'MODULE_PATHNAME', 'eddh_revoke_model' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 1000;
COMMENT ON FUNCTION eddh_revoke_model(text, name) IS 'takes back eddh_grant_model; its owner only';

CREATE FUNCTION eddh_import_model(name text, onnx bytea, options jsonb DEFAULT '{}') RETURNS void
	AS 'MODULE_PATHNAME', 'eddh_import_model' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 1000000;
COMMENT ON FUNCTION eddh_import_model(text, bytea, jsonb) IS 'makes a model of an ONNX network whose outputs are the bits, as eddh_export_model writes it; options input_size, resize, resize_short, channels, mean, std, replace';

CREATE FUNCTION eddh_export_model(model text) RETURNS bytea
	AS 'MODULE_PATHNAME', 'eddh_export_model' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 1000000;
COMMENT ON FUNCTION eddh_export_model(text) IS 'the whole network of a model as one ONNX file: bit j of a code is 1 where code_logits[j] >= 0';

CREATE FUNCTION eddh_import_backbone(name text, onnx bytea, options jsonb DEFAULT '{}') RETURNS void
	AS 'MODULE_PATHNAME', 'eddh_import_backbone' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 1000000;
COMMENT ON FUNCTION eddh_import_backbone(text, bytea, jsonb) IS 'stores an ONNX network as a backbone; options cut, input_size, resize, resize_short, channels, mean, std, trained';

CREATE FUNCTION eddh_export_backbone(backbone text) RETURNS bytea
	AS 'MODULE_PATHNAME', 'eddh_export_backbone' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 1000000;
COMMENT ON FUNCTION eddh_export_backbone(text) IS 'a backbone as an ONNX file with output features';

CREATE FUNCTION eddh_drop_backbone(backbone text) RETURNS void
	AS 'MODULE_PATHNAME', 'eddh_drop_backbone' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 1000;
COMMENT ON FUNCTION eddh_drop_backbone(text) IS 'removes a backbone that no model is built on; its owner only';

CREATE FUNCTION eddh_grant_backbone(backbone text, role name) RETURNS void
	AS 'MODULE_PATHNAME', 'eddh_grant_backbone' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 1000;
COMMENT ON FUNCTION eddh_grant_backbone(text, name) IS 'lets a role, or public, use a backbone; its owner only';

CREATE FUNCTION eddh_revoke_backbone(backbone text, role name) RETURNS void
	AS 'MODULE_PATHNAME', 'eddh_revoke_backbone' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 1000;
COMMENT ON FUNCTION eddh_revoke_backbone(text, name) IS 'takes back eddh_grant_backbone; its owner only';

-- Methods.

CREATE FUNCTION eddh_catalog.methods(OUT method text, OUT title text, OUT paper text, OUT notes text, OUT needs_labels boolean,
									 OUT trains_network boolean, OUT parameters jsonb) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'eddh_methods' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 100 ROWS 10;
COMMENT ON FUNCTION eddh_catalog.methods() IS 'table of hashing methods; use the view eddh_methods';

CREATE VIEW eddh_methods AS SELECT * FROM eddh_catalog.methods();
COMMENT ON VIEW eddh_methods IS 'hashing methods that eddh_train offers, each with its parameters and their defaults';
GRANT SELECT ON eddh_methods TO PUBLIC;

-- How good codes are.

CREATE FUNCTION eddh_evaluate(queries regclass, database regclass, code_column name, label_column name, top integer DEFAULT NULL,
							  OUT measure text, OUT value double precision) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'eddh_evaluate' LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000000 ROWS 16;
COMMENT ON FUNCTION eddh_evaluate(regclass, regclass, name, name, integer) IS 'tie-aware measures of ranking database rows by the distance of their code from each query row; one table for both: each row is left out of its own ranking';

CREATE FUNCTION eddh_pr_curve(queries regclass, database regclass, code_column name, label_column name,
							  OUT radius integer, OUT macro_precision double precision, OUT macro_recall double precision,
							  OUT micro_precision double precision, OUT micro_recall double precision) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'eddh_pr_curve' LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000000 ROWS 65;
COMMENT ON FUNCTION eddh_pr_curve(regclass, regclass, name, name) IS 'precision and recall within each Hamming radius: macro = mean over queries, micro = all pairs pooled';
