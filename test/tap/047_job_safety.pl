# What may happen to a server because of a job, and to a job because of its server's settings and of what others do meanwhile.
use strict;
use warnings;
use EddhJobs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', 'autovacuum = off');
$node->start;

# CREATE EXTENSION in a database where others could prepare the ground.
$node->safe_psql('postgres', q{CREATE TABLE called (who text);
	CREATE FUNCTION sha256(text) RETURNS bytea LANGUAGE sql AS $$ INSERT INTO called VALUES ('sha256'); SELECT pg_catalog.sha256('x'::bytea) $$;
	CREATE FUNCTION pg_extension_config_dump(text, text) RETURNS void LANGUAGE sql AS $$ INSERT INTO called VALUES ('dump') $$;
	CREATE ACCESS METHOD other TYPE TABLE HANDLER heap_tableam_handler;
	ALTER DATABASE postgres SET default_table_access_method = other});
fill_pictures($node, 'postgres');
is($node->safe_psql('postgres', 'SELECT count(*) FROM called'), '0', 'the script calls nothing of others');
is( $node->safe_psql('postgres', q{SELECT DISTINCT a.amname FROM pg_class AS c JOIN pg_am AS a ON a.oid = c.relam
	WHERE relnamespace = 'eddh_catalog'::regnamespace AND relkind = 'r'}), 'heap', 'tables that C writes are heaps');
$node->safe_psql('postgres', 'ALTER DATABASE postgres RESET default_table_access_method; DROP FUNCTION sha256(text), pg_extension_config_dump(text, text)');

my $short = q{options => '{"epochs": 2, "threads": 1}'};

sub wait_for_job
{
	my ($job) = @_;
	return $node->safe_psql('postgres', "SELECT eddh_wait($job)");
}

# Settings that suit sessions, not workers.
$node->safe_psql('postgres', q{ALTER DATABASE postgres SET default_transaction_read_only = on;
	ALTER DATABASE postgres SET default_transaction_isolation = 'serializable'; ALTER DATABASE postgres SET lock_timeout = '1ms'});
my $session = session($node, 'postgres');
ask($session, 'SET default_transaction_read_only = off');
ask($session, 'BEGIN');
my $job = ask($session, "SELECT eddh_train('m', 'picture', 'image', 'label', 16, $short)");
ask($session, 'SELECT pg_sleep(0.1)');
ask($session, 'COMMIT');
is(ask($session, "SELECT eddh_wait($job)"), 'done', 'neither read-only transactions nor a lock timeout stop a job');
ask($session, 'BEGIN');
ask($session, 'CREATE TABLE seen (isolation text, started timestamptz)');
ask($session, 'ALTER TABLE picture ADD COLUMN code bit(16)');
ask($session, q{CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	INSERT INTO seen SELECT current_setting('transaction_isolation'), now(); RETURN NEW; END $$});
ask($session, 'CREATE TRIGGER look BEFORE UPDATE OF code ON picture FOR EACH ROW WHEN (NEW.id = 96) EXECUTE FUNCTION public.look()');
ask($session, 'ALTER FUNCTION look() SET search_path = public');
$job = ask($session, q{SELECT eddh_encode_table('picture', 'image', 'code', 'm')});
ask($session, 'COMMIT');
is(ask($session, "SELECT eddh_wait($job)"), 'done', 'a backfill too');
is($node->safe_psql('postgres', "SELECT isolation, seen.started >= j.started FROM seen, eddh_jobs AS j WHERE job = $job"),
	'read committed|t', 'it is read committed, and now() is the time of its transaction');
is($node->safe_psql('postgres', q{SELECT created >= started FROM eddh_models JOIN eddh_jobs USING (model) WHERE kind = 'train'}),
	't', 'a model is as old as its last transaction');
finish($session);
$node->safe_psql('postgres', 'SET default_transaction_read_only = off; ALTER DATABASE postgres RESET ALL');

# A plain role hands over its settings, but no more rights than it has: plpgsql.variable_conflict is for superusers, a name without meaning is not.
$node->safe_psql('postgres', q{CREATE ROLE plain LOGIN;
	ALTER ROLE plain SET dynamic_library_path = '$libdir';
	SELECT eddh_grant_model('m', 'plain');
	CREATE TABLE own AS SELECT id, image, NULL::bit(16) AS code, NULL::text AS conflict, NULL::text AS app FROM picture;
	ALTER TABLE own OWNER TO plain;
	CREATE FUNCTION conflict() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		NEW.conflict := current_setting('plpgsql.variable_conflict'); NEW.app := current_setting('app.tenant'); RETURN NEW; END $$;
	CREATE TRIGGER conflict BEFORE UPDATE OF code ON own FOR EACH ROW EXECUTE FUNCTION conflict()});
$job = $node->safe_psql('postgres', q{SET plpgsql.variable_conflict = 'use_column'; SET app.tenant = 'a'; SELECT eddh_encode_table('own', 'image', 'code', 'm')},
	extra_params => [ '-U', 'plain' ]);
is(wait_for_job($job), 'done', 'a job of a role with a setting that it may not look at');
is($node->safe_psql('postgres', 'SELECT DISTINCT conflict, app FROM own'), 'error|a', 'a setting for superusers is not smuggled in, others come along');

# A row that is being changed while it is encoded gets the code of its new picture.
my $wrong = q{SELECT count(*) FILTER (WHERE code IS NULL) || ' ' || count(*) FILTER (WHERE code <> eddh_encode(image, 'm')) FROM picture};
$node->safe_psql('postgres', 'UPDATE picture SET code = NULL');
$session = session($node, 'postgres');
ask($session, 'BEGIN');
ask($session, 'UPDATE picture SET image = picture((label + 1) % 4, id + 1000) WHERE id = 50');
$job = $node->safe_psql('postgres', q{SELECT eddh_encode_table('picture', 'image', 'code', 'm')});
wait_for($node, 'postgres', q{SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE backend_type = 'eddh job'}, 'the worker waits for a row');
ask($session, 'COMMIT');
is(wait_for_job($job), 'done', 'then it goes on');
is($node->safe_psql('postgres', $wrong), '0 0', 'every code is that of the picture beside it');

# Columns that change their type between the statement and the worker.
my %change = (
	image => q{eddh_train('changed', 'fickle', 'image', 'label', 8, } . "$short)",
	label => q{eddh_train('changed', 'fickle', 'image', 'label', 8, } . "$short)",
	code => q{eddh_encode_table('fickle', 'image', 'code', 'm', '{"all": true}')});
for my $column (sort keys %change)
{
	$node->safe_psql('postgres', 'DROP TABLE IF EXISTS fickle; CREATE TABLE fickle AS SELECT * FROM picture');
	ask($session, 'BEGIN');
	$job = ask($session, "SELECT $change{$column}");
	ask($session, "ALTER TABLE fickle ALTER COLUMN $column TYPE " . ($column eq 'label' ? 'text' : 'int USING 1'));
	ask($session, 'COMMIT');
	if ($column eq 'label')
	{
		is(wait_for_job($job), 'done', 'a label of another type that was there from the beginning');
	}
	else
	{
		fails_with($node, 'postgres', "SELECT eddh_wait($job)", '42804', 'changed its type', "column $column of another type");
	}
}
# ... and in the middle of a job: a trigger's sleep keeps it there.
$node->safe_psql('postgres', q{DROP TABLE fickle; CREATE TABLE fickle AS SELECT p.id, image, B'0'::bit(16) AS code FROM picture AS p, generate_series(1, 20);
	CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.005); RETURN NEW; END $$;
	CREATE TRIGGER slow BEFORE UPDATE ON fickle FOR EACH ROW EXECUTE FUNCTION slow()});
$job = $node->safe_psql('postgres', q{SELECT eddh_encode_table('fickle', 'image', 'code', 'm', '{"all": true}')});
wait_for($node, 'postgres', q{SELECT count(*) > 0 FROM fickle WHERE code <> B'0'::bit(16)}, 'in the middle');
$node->safe_psql('postgres', q{ALTER TABLE fickle ALTER COLUMN image TYPE int USING 1});
fails_with($node, 'postgres', "SELECT eddh_wait($job)", '42804', 'changed its type', 'an image of another type in the middle of a job');

# A view whose function says one thing to WHERE and another to SELECT.
$node->safe_psql('postgres', q{CREATE SEQUENCE calls;
	CREATE FUNCTION fickle(image bytea) RETURNS bytea LANGUAGE plpgsql IMMUTABLE AS $$
		BEGIN RETURN CASE WHEN nextval('public.calls') % 3 = 0 THEN NULL ELSE image END; END $$;
	CREATE VIEW liar AS SELECT id, label, fickle(image) AS image FROM picture});
$job = $node->safe_psql('postgres', "SELECT eddh_train('liar', 'liar', 'image', 'label', 8, $short)");
is(wait_for_job($job), 'done', 'a picture that is NULL after all is left out');

# Looking at jobs in a parallel plan.
is( $node->safe_psql('postgres', q{CREATE TABLE big AS SELECT g FROM generate_series(1, 20000) AS g; ANALYZE big;
	SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET enable_nestloop = off;
	UPDATE eddh_catalog.job SET state = 'running' WHERE job = 1;
	SELECT DISTINCT state FROM eddh_jobs JOIN big ON g = job WHERE job = 1}), 'failed', 'jobs joined with a large table');
finish($session);
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|XX000|terminated by signal/, 'no internal errors in the log');

# A worker does not outlive the postmaster: the server could not start again.
long_job($node, 'postgres', 'long');
$node->kill9;
my @pg_ctl = ('pg_ctl', '-D', $node->data_dir, '-l', $node->logfile, '-w');
my $failed = 1;
for (1 .. $PostgreSQL::Test::Utils::timeout_default)
{
	last unless ($failed = system_log(@pg_ctl, 'start'));
	sleep 1;
}
is($failed, 0, 'after the death of the postmaster the server starts again');
system_log(@pg_ctl, 'stop');
done_testing();
