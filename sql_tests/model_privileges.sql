-- A model is its owner's until granted: to see, to use, to change.
\set ECHO none
\set helpers `echo $PG_ABS_SRCDIR` '/sql/include/helpers.sql'
\i :helpers
\set ECHO all
\pset format unaligned
\pset tuples_only on

CREATE ROLE regress_eddh_alice;
CREATE ROLE regress_eddh_bob;
CREATE ROLE regress_eddh_staff;
CREATE ROLE regress_eddh_carol IN ROLE regress_eddh_staff;

-- Nobody but superusers reads or writes the tables.
SET ROLE regress_eddh_bob;
SELECT pg_temp.failure('SELECT * FROM eddh_catalog.model');
SELECT pg_temp.failure('SELECT * FROM eddh_catalog.backbone');
SELECT pg_temp.failure('SELECT * FROM eddh_catalog.chunk');
SELECT pg_temp.failure('SELECT * FROM eddh_catalog.object_grant');
SELECT pg_temp.failure('SELECT nextval(''eddh_catalog.object_id'')');

-- Built-in backbones are everybody's and nobody's.
SELECT backbone, owner, trained FROM eddh_backbones ORDER BY backbone;
SELECT pg_temp.failure($$SELECT eddh_drop_backbone('cnn-s')$$);
SELECT pg_temp.failure($$SELECT eddh_grant_backbone('cnn-s', 'public')$$);

-- What alice makes, bob neither sees nor uses nor changes.
SET ROLE regress_eddh_alice;
SELECT eddh_import_model('shoes', pg_temp.untrained());
SELECT eddh_import_backbone('network', eddh_export_backbone('cnn-s'));
SELECT model, owner, method, bits, backbone, layers, granted FROM eddh_models;
SELECT length(eddh_encode(pg_temp.picture(1), 'shoes'));
SET ROLE regress_eddh_bob;
SELECT count(*) FROM eddh_models;
SELECT count(*) FROM eddh_backbones WHERE backbone = 'network';
SELECT pg_temp.failure($$SELECT eddh_encode(pg_temp.picture(1), 'shoes')$$);
SELECT pg_temp.failure($$SELECT eddh_encode_batch(ARRAY[pg_temp.picture(1)], 'shoes')$$);
SELECT pg_temp.failure($$SELECT eddh_export_model('shoes')$$);
SELECT pg_temp.failure($$SELECT eddh_features(pg_temp.picture(1), 'network')$$);
SELECT pg_temp.failure($$SELECT eddh_drop_model('shoes')$$);
SELECT pg_temp.failure($$SELECT eddh_rename_model('shoes', 'boots')$$);
SELECT pg_temp.failure($$SELECT eddh_grant_model('shoes', 'regress_eddh_bob')$$);
SELECT pg_temp.failure($$SELECT eddh_revoke_model('shoes', 'regress_eddh_alice')$$);
SELECT pg_temp.failure($$SELECT eddh_import_model('shoes', eddh_export_backbone('cnn-s'), '{"replace": true}')$$);
SELECT pg_temp.failure($$SELECT eddh_drop_backbone('network')$$);
-- Nor does a HINT tell him what there is.
SELECT pg_temp.failure($$SELECT eddh_encode(pg_temp.picture(1), 'boots')$$);

-- Granted to bob: use, but not change.
SET ROLE regress_eddh_alice;
SELECT eddh_grant_model('shoes', 'regress_eddh_bob');
SELECT eddh_grant_model('shoes', 'regress_eddh_bob');
SELECT eddh_grant_backbone('network', 'regress_eddh_bob');
SELECT granted FROM eddh_models;
SELECT pg_temp.failure($$SELECT eddh_grant_model('shoes', 'regress_eddh_nobody')$$);
SET ROLE regress_eddh_bob;
SELECT model FROM eddh_models;
SELECT length(eddh_encode(pg_temp.picture(1), 'shoes')), array_length(eddh_features(pg_temp.picture(1), 'network'), 1);
SELECT pg_temp.failure($$SELECT eddh_drop_model('shoes')$$);
SELECT pg_temp.failure($$SELECT eddh_encode(pg_temp.picture(1), 'boots')$$);
SET ROLE regress_eddh_carol;
SELECT pg_temp.failure($$SELECT eddh_encode(pg_temp.picture(1), 'shoes')$$);

-- Taken back: noticed by the next statement, also of a session that has the model open.
SET ROLE regress_eddh_alice;
SELECT eddh_revoke_model('shoes', 'regress_eddh_bob');
SELECT eddh_revoke_model('shoes', 'regress_eddh_bob');
SET ROLE regress_eddh_bob;
SELECT pg_temp.failure($$SELECT eddh_encode(pg_temp.picture(1), 'shoes')$$);

-- Granted to a group: its members may; to public: everybody may.
SET ROLE regress_eddh_alice;
SELECT eddh_grant_model('shoes', 'regress_eddh_staff');
SET ROLE regress_eddh_carol;
SELECT length(eddh_encode(pg_temp.picture(1), 'shoes'));
SET ROLE regress_eddh_bob;
SELECT count(*) FROM eddh_models;
SET ROLE regress_eddh_alice;
SELECT eddh_grant_model('shoes', 'public');
SET ROLE regress_eddh_bob;
SELECT length(eddh_encode(pg_temp.picture(1), 'shoes'));

-- A member of the owning role is an owner.
RESET ROLE;
GRANT regress_eddh_alice TO regress_eddh_bob;
SET ROLE regress_eddh_bob;
SELECT eddh_rename_model('shoes', 'boots');
SELECT model, owner, granted FROM eddh_models;
RESET ROLE;
REVOKE regress_eddh_alice FROM regress_eddh_bob;
SET ROLE regress_eddh_bob;
SELECT pg_temp.failure($$SELECT eddh_drop_model('boots')$$);

-- A superuser may everything, also where the owner is gone; others may nothing then.
RESET ROLE;
SELECT eddh_revoke_model('boots', 'public');
SELECT eddh_revoke_backbone('network', 'regress_eddh_bob');
DROP ROLE regress_eddh_alice;
SET ROLE regress_eddh_bob;
SELECT count(*) FROM eddh_models;
SELECT pg_temp.failure($$SELECT eddh_encode(pg_temp.picture(1), 'boots')$$);
RESET ROLE;
SELECT model, owner FROM eddh_models;
SELECT length(eddh_encode(pg_temp.picture(1), 'boots'));
SELECT eddh_drop_model('boots');
SELECT eddh_drop_backbone('network');

-- Dropping left nothing.
SELECT count(*) FROM eddh_catalog.chunk;
SELECT count(*) FROM eddh_catalog.object_grant;

DROP ROLE regress_eddh_bob;
DROP ROLE regress_eddh_carol;
DROP ROLE regress_eddh_staff;
