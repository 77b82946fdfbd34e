-- Jobs: what background workers do. src/train/job.h numbers the columns: keep both in step. Written by C alone, never dumped.
CREATE SEQUENCE eddh_catalog.job_id_seq;
CREATE TABLE eddh_catalog.job (
	job bigint NOT NULL CONSTRAINT job_pkey PRIMARY KEY,
	kind text NOT NULL,
	model text NOT NULL,
	owner oid NOT NULL,
	images oid NOT NULL,
	image_column text NOT NULL,
	label_column text,
	code_column text,
	bits integer,
	method text,
	backbone text,
	options jsonb NOT NULL,
	settings text[] NOT NULL,
	state text NOT NULL,
	pid integer NOT NULL,
	submitted timestamptz NOT NULL,
	started timestamptz,
	finished timestamptz,
	phase text,
	done bigint,
	total bigint,
	epoch integer,
	loss float8,
	quality float8,
	skipped bigint NOT NULL,
	skipped_example text,
	eta timestamptz,
	error text,
	error_code text,
	error_detail text,
	error_hint text,
	remarks text,
	"position" bigint
) USING heap WITH (fillfactor = 50);
COMMENT ON TABLE eddh_catalog.job IS 'jobs of eddh_train and eddh_encode_table; look at the view eddh_jobs';

CREATE TABLE eddh_catalog.job_log (
	job bigint NOT NULL,
	epoch integer NOT NULL,
	measure text NOT NULL,
	value float8 NOT NULL,
	logged timestamptz NOT NULL
) USING heap;
CREATE INDEX job_log_job ON eddh_catalog.job_log (job);
COMMENT ON TABLE eddh_catalog.job_log IS 'curves of jobs; look at the view eddh_job_log';

-- What trainings have learned so far (src/train/replay.c): part 0 weights and state, the others what the method was told. Never dumped.
CREATE TABLE eddh_catalog.checkpoint (
	job bigint NOT NULL,
	part integer NOT NULL,
	seq integer NOT NULL,
	data bytea NOT NULL,
	CONSTRAINT checkpoint_pkey PRIMARY KEY (job, part, seq)
) USING heap;
ALTER TABLE eddh_catalog.checkpoint ALTER COLUMN data SET STORAGE EXTERNAL;
COMMENT ON TABLE eddh_catalog.checkpoint IS 'what unfinished trainings have learned, for eddh_resume';

REVOKE ALL ON eddh_catalog.job, eddh_catalog.job_log, eddh_catalog.checkpoint, eddh_catalog.job_id_seq FROM PUBLIC;

CREATE FUNCTION eddh_catalog.job_state(job bigint, stored text) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE COST 10 AS 'MODULE_PATHNAME', 'eddh_job_state';
COMMENT ON FUNCTION eddh_catalog.job_state(bigint, text)
IS 'the state of a job as far as its worker is alive: queued or running without a worker is failed';

CREATE VIEW eddh_jobs WITH (security_barrier) AS
SELECT j.job, j.kind, j.model, pg_catalog.pg_get_userbyid(j.owner) AS owner, s.state, j.phase, j.done, j.total, j.epoch, j.loss, j.quality,
	   j.skipped, j.skipped_example, j.submitted, j.started, j.finished,
	   CASE WHEN s.state = 'running' AND j.eta IS NOT NULL THEN
		pg_catalog.date_trunc('second', greatest(j.eta OPERATOR(pg_catalog.-) pg_catalog.clock_timestamp(), '0'::pg_catalog.interval)
			OPERATOR(pg_catalog.+) '0.5 second'::pg_catalog.interval) END AS eta,
	   CASE WHEN s.state = 'failed' THEN coalesce(j.error, 'the server was restarted or the worker was killed') END AS error,
	   j.remarks, j.images::pg_catalog.regclass AS images, j.method, j.backbone, j.bits, j.options
FROM eddh_catalog.job AS j CROSS JOIN LATERAL (SELECT eddh_catalog.job_state(j.job, j.state) AS state OFFSET 0) AS s
WHERE pg_catalog.pg_has_role(j.owner, 'USAGE');
COMMENT ON VIEW eddh_jobs IS 'background jobs of the roles you are a member of: progress, quality, pictures skipped, errors';

CREATE VIEW eddh_job_log WITH (security_barrier) AS
SELECT l.job, l.epoch, l.measure, l.value, l.logged
FROM eddh_catalog.job_log AS l JOIN eddh_catalog.job AS j USING (job)
WHERE pg_catalog.pg_has_role(j.owner, 'USAGE');
COMMENT ON VIEW eddh_job_log IS 'the curve of each training: loss, objective and other measures by epoch';

GRANT SELECT ON eddh_jobs, eddh_job_log TO PUBLIC;

CREATE FUNCTION eddh_train(model text, images regclass, image_column name, label_column name DEFAULT NULL, bits integer DEFAULT 64,
	method text DEFAULT NULL, backbone text DEFAULT NULL, options jsonb DEFAULT '{}') RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 10000 AS 'MODULE_PATHNAME', 'eddh_train';
COMMENT ON FUNCTION eddh_train(text, regclass, name, name, integer, text, text, jsonb)
IS 'train a hash on a table of pictures in the background, as the role that calls; returns the job';

CREATE FUNCTION eddh_compare(images regclass, image_column name, label_column name, methods text[] DEFAULT NULL,
	bits integer[] DEFAULT '{16,32,48,64}', backbone text DEFAULT NULL, options jsonb DEFAULT '{}') RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 10000 AS 'MODULE_PATHNAME', 'eddh_compare';
COMMENT ON FUNCTION eddh_compare(regclass, name, name, text[], integer[], text, jsonb)
IS 'train and measure methods (NULL: all) at several lengths on the same features and seeded splits, in the background; look at the view eddh_comparisons. options: seeds, queries, train, top, unseen, those of eddh_train for all, and {"METHOD": {...}} for one';

CREATE VIEW eddh_comparisons WITH (security_barrier) AS
SELECT l.job, m.part[1] AS method, m.part[2]::integer AS bits, m.part[3] AS measure, pg_catalog.avg(l.value) AS mean,
	   pg_catalog.stddev_samp(l.value) AS deviation, pg_catalog.count(*)::integer AS seeds
FROM eddh_catalog.job_log AS l JOIN eddh_catalog.job AS j USING (job)
	CROSS JOIN LATERAL (SELECT pg_catalog.regexp_match(l.measure, '^(\S+) (\d+) (\S+)$') AS part OFFSET 0) AS m
WHERE pg_catalog.pg_has_role(j.owner, 'USAGE') AND j.kind OPERATOR(pg_catalog.=) 'compare' AND m.part IS NOT NULL
GROUP BY l.job, m.part;
COMMENT ON VIEW eddh_comparisons IS 'results of eddh_compare: every measure of each method and length, mean and deviation over seeds';

CREATE VIEW eddh_comparison_curves WITH (security_barrier) AS
SELECT l.job, m.part[1] AS method, m.part[2]::integer AS bits, m.part[3] AS curve, m.part[4]::integer AS step, l.value
FROM eddh_catalog.job_log AS l JOIN eddh_catalog.job AS j USING (job)
	CROSS JOIN LATERAL (SELECT pg_catalog.regexp_match(l.measure, '^(\S+) (\d+) (\S+) (\d+)$') AS part OFFSET 0) AS m
WHERE pg_catalog.pg_has_role(j.owner, 'USAGE') AND j.kind OPERATOR(pg_catalog.=) 'compare' AND m.part IS NOT NULL;
COMMENT ON VIEW eddh_comparison_curves IS 'curves of eddh_compare, first seed: precision and recall by radius, as means over queries and (micro) over all pairs; loss, objective and what else a method reports by step of its training';
GRANT SELECT ON eddh_comparisons, eddh_comparison_curves TO PUBLIC;

CREATE FUNCTION eddh_encode_table(images regclass, image_column name, code_column name, model text DEFAULT NULL,
	options jsonb DEFAULT '{}') RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 10000 AS 'MODULE_PATHNAME', 'eddh_encode_table';
COMMENT ON FUNCTION eddh_encode_table(regclass, name, name, text, jsonb)
IS 'fill the code column of rows that have none, in the background, in short transactions; returns the job';

CREATE FUNCTION eddh_wait(job bigint, timeout interval DEFAULT NULL) RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 10000 AS 'MODULE_PATHNAME', 'eddh_wait';
COMMENT ON FUNCTION eddh_wait(bigint, interval)
IS 'wait until a job has ended, or the timeout has passed, and return its state; a failed job raises its own error';

CREATE FUNCTION eddh_cancel(job bigint) RETURNS boolean
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE COST 100 AS 'MODULE_PATHNAME', 'eddh_cancel';
COMMENT ON FUNCTION eddh_cancel(bigint) IS 'stop a job at once, whatever becomes of this transaction; false if it was not running';

CREATE FUNCTION eddh_resume(job bigint) RETURNS bigint
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE COST 10000 AS 'MODULE_PATHNAME', 'eddh_resume';
COMMENT ON FUNCTION eddh_resume(bigint)
IS 'start a failed or cancelled job again: a backfill goes on where it was, a training from its last checkpoint';

CREATE FUNCTION eddh_purge_jobs(older_than interval) RETURNS bigint
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE COST 1000 AS 'MODULE_PATHNAME', 'eddh_purge_jobs';
COMMENT ON FUNCTION eddh_purge_jobs(interval) IS 'forget your jobs that ended longer ago than this; returns how many';
