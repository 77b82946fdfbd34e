# Jobs: when they begin, how they end, and who may do what with them.
use strict;
use warnings;
use EddhJobs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "max_worker_processes = 6\nautovacuum = off\nrestart_after_crash = on");
$node->start;
fill_pictures($node, 'postgres');

my $short = q{options => '{"epochs": 2, "threads": 1}'};
my $none = workers() . ' = 0';

# A job begins with the commit of the transaction that submitted it, and not before.
my $session = session($node, 'postgres');
ask($session, 'BEGIN');
my $job = ask($session, "SELECT eddh_train('rolled', 'picture', 'image', 'label', 8, $short)");
is(ask($session, "SELECT state FROM eddh_jobs WHERE job = $job"), 'queued', 'queued in its own transaction');
is($node->safe_psql('postgres', 'SELECT ' . workers()), '1', 'its worker waits');
is($node->safe_psql('postgres', 'SELECT count(*) FROM eddh_jobs'), '0', 'nobody else sees it');
like(ask($session, "SAVEPOINT s; SELECT eddh_wait($job); ROLLBACK TO s"), qr/ERROR:  55000/, 'a wait inside the transaction is refused');
ask($session, 'ROLLBACK');
wait_for($node, 'postgres', "SELECT $none", 'rolled back: the worker goes away');
is($node->safe_psql('postgres', 'SELECT count(*) FROM eddh_jobs'), '0', 'rolled back: no job');
is($node->safe_psql('postgres', 'SELECT count(*) FROM eddh_models'), '0', 'rolled back: no model');

ask($session, 'BEGIN; SAVEPOINT s');
ask($session, "SELECT eddh_train('rolled', 'picture', 'image', 'label', 8, $short)");
ask($session, 'ROLLBACK TO s; COMMIT');
wait_for($node, 'postgres', "SELECT $none", 'a savepoint rolled back: the worker goes away');
is($node->safe_psql('postgres', 'SELECT count(*) FROM eddh_jobs'), '0', 'a savepoint rolled back: no job');

# No free worker is an ordinary error; the transaction's other workers go with it.
fails_with($node, 'postgres',
	"SELECT eddh_train('m' || i, 'picture', 'image', 'label', 8, $short) FROM generate_series(1, 10) AS i",
	'53000', 'max_worker_processes.*HINT.*max_worker_processes', 'worker table full');
wait_for($node, 'postgres', "SELECT $none", 'the others go too');

# To the end.
$job = ask($session, "SELECT eddh_train('one', 'picture', 'image', 'label', 16, $short)");
is(ask($session, "SELECT eddh_wait($job)"), 'done', 'done');
is($node->safe_psql('postgres', "SELECT state, done, total, skipped, quality BETWEEN 0 AND 1.0001, finished >= started, eta IS NULL, error IS NULL
	FROM eddh_jobs WHERE job = $job"), 'done|87|87|0|t|t|t|t', 'its row');
is($node->safe_psql('postgres', "SELECT count(*) > 0 FROM eddh_job_log WHERE job = $job AND measure = 'loss'"), 't', 'its curve');
is($node->safe_psql('postgres', q{SELECT length(eddh_encode(image, 'one')) FROM picture WHERE id = 1}), '16', 'its model encodes');
is($node->safe_psql('postgres', "SELECT eddh_wait($job)"), 'done', 'waiting for a job that has ended returns at once');

# The same seed, data and threads give the same model; another seed another.
for my $name ('two', 'three')
{
	my $seed = $name eq 'two' ? 1 : 2;
	my $id = $node->safe_psql('postgres', qq{SELECT eddh_train('$name', 'picture', 'image', 'label', 16, options => '{"epochs": 2, "threads": 1, "seed": $seed}')});
	$node->safe_psql('postgres', "SELECT eddh_wait($id)");
}
my %sha = map { $_ => $node->safe_psql('postgres', "SELECT sha256(eddh_export_model('$_'))") } ('one', 'two', 'three');
is($sha{two}, $sha{one}, 'same seed, same model, bit for bit');
isnt($sha{three}, $sha{one}, 'another seed, another model');

# Waiting with a limit, cancelling, going on.
my $long = long_job($node, 'postgres', 'long');
is($node->safe_psql('postgres', "SELECT eddh_wait($long, '50 ms')"), 'running', 'a wait with a limit returns the state');
fails_with($node, 'postgres', "SELECT eddh_resume($long)", '55006', 'running', 'resume of a running job');
is($node->safe_psql('postgres', "SELECT eddh_purge_jobs('0')"), '3', 'purge forgets what has ended');
is($node->safe_psql('postgres', 'SELECT job, state FROM eddh_jobs'), "$long|running", 'and nothing else');
is($node->safe_psql('postgres', 'SELECT DISTINCT job FROM eddh_job_log'), $long, 'nor other curves');
is($node->safe_psql('postgres', "SELECT eta IS NOT NULL AND total > done AND done > 0 FROM eddh_jobs WHERE job = $long"), 't', 'progress and estimate');
is(ask($session, "BEGIN; SELECT eddh_cancel($long); ROLLBACK"), 't', 'cancel, whatever becomes of the transaction');
is(ask($session, "SELECT eddh_wait($long)"), 'cancelled', 'cancelled');
is($node->safe_psql('postgres', "SELECT eddh_cancel($long)"), 'f', 'nothing left to cancel');
is($node->safe_psql('postgres', "SELECT count(*) FROM eddh_models WHERE model = 'long'"), '0', 'a cancelled job leaves no model');
is($node->safe_psql('postgres', "SELECT eddh_resume($long)"), $long, 'resumed');
wait_for($node, 'postgres', "SELECT state = 'running' AND epoch >= 1 FROM eddh_jobs WHERE job = $long", 'it runs again');

# The estimate counts all that is to come: while the hash layer learns alone, a hundred seconds perhaps, the network's own hours too.
$node->safe_psql('postgres', q{SELECT eddh_import_backbone('learned', eddh_export_backbone('cnn-s'), '{"trained": true}')});
my $all = $node->safe_psql('postgres', q{SELECT eddh_train('all', 'picture', 'image', 'label', 16, backbone => 'learned',
	options => '{"train_layers": "all", "head_epochs": 100000, "epochs": 1000000, "threads": 1}')});
wait_for($node, 'postgres', "SELECT eta IS NOT NULL OR state NOT IN ('queued', 'running') FROM eddh_jobs WHERE job = $all", 'an estimate while the hash layer learns alone');
is($node->safe_psql('postgres', "SELECT done, eta > interval '1 hour' FROM eddh_jobs WHERE job = $all"), '0|t', 'of the whole job');
$node->safe_psql('postgres', "SELECT eddh_cancel($all)");
is($node->safe_psql('postgres', "SELECT eddh_wait($all)"), 'cancelled', 'cancelled');

# SIGTERM ends it.
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'eddh job'});
fails_with($node, 'postgres', "SELECT eddh_wait($long)", '57P02', 'killed.*HINT.*eddh_resume', 'worker terminated');
is($node->safe_psql('postgres', "SELECT state FROM eddh_jobs WHERE job = $long"), 'failed', 'terminated: failed');

# Nobody waits for ever when the waiting session and the worker wait for each other.
my $other = session($node, 'postgres');
ask($session, 'BEGIN');
$job = ask($session, "SELECT eddh_train('locked', 'picture', 'image', 'label', 8, $short)");
$other->{in} .= "BEGIN; LOCK TABLE picture;\n";
IPC::Run::pump_nb($other->{run});
wait_for($node, 'postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE NOT granted AND relation = 'picture'::regclass}, 'the table is about to be locked');
ask($session, 'COMMIT');
like(ask($other, "SELECT eddh_wait($job)"), qr/ERROR:  40P01/, 'a deadlock with the worker is found');
finish($other);
$node->safe_psql('postgres', "SELECT eddh_cancel($job)");
wait_for($node, 'postgres', "SELECT $none", 'nobody is left');

# Replacing: the old model serves until the new one commits.
$session = session($node, 'postgres');
ask($session, 'BEGIN');
$job = ask($session, q{SELECT eddh_train('one', 'picture', 'image', 'label', 24, options => '{"epochs": 2, "threads": 1, "replace": true}')});
like($job, qr/WARNING:.*DETAIL:.*HINT:.*eddh_encode_table/s, 'replacing warns about stored codes');
$job =~ s/.*?(\d+)\z/$1/s;
is(ask($session, q{SELECT length(eddh_encode(image, 'one')) FROM picture WHERE id = 1}), '16', 'the old model serves');
ask($session, 'COMMIT');
is(ask($session, "SELECT eddh_wait($job)"), 'done', 'replaced');
is(ask($session, q{SELECT length(eddh_encode(image, 'one')) FROM picture WHERE id = 1}), '24', 'then the new one does');

# Bad pictures are skipped, counted and one is named; rows without image or label do not count.
$node->safe_psql('postgres', q{CREATE TABLE mixed AS SELECT * FROM picture;
	INSERT INTO mixed VALUES (101, 1, 'no picture'), (102, 2, ''), (103, 3, NULL), (104, NULL, picture(1, 104))});
$job = ask($session, "SELECT eddh_train('mixed', 'mixed', 'image', 'label', 8, $short)");
is(ask($session, "SELECT eddh_wait($job)"), 'done', 'bad pictures do not stop a training');
like($node->safe_psql('postgres', "SELECT skipped || ' ' || skipped_example || ' ' || remarks FROM eddh_jobs WHERE job = $job"),
	qr/^2 row \(\d+,\d+\) of public\.mixed: .+rows without a label, left out: 1/s, 'they are counted and one is named');

# A view, a partitioned table and a materialised view of the same rows; labels in an array.
$node->safe_psql('postgres', q{CREATE VIEW picture_view AS SELECT id, ARRAY[label, label % 2 + 10] AS labels, image FROM picture ORDER BY id;
	CREATE TABLE unlike AS SELECT id, 1 AS same, image FROM picture;
	CREATE MATERIALIZED VIEW picture_kept AS SELECT * FROM picture;
	CREATE TABLE parts (LIKE picture) PARTITION BY RANGE (id);
	CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (50);
	CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (50) TO (1000);
	INSERT INTO parts SELECT * FROM picture});
for my $source ([ 'picture_view', 'labels' ], [ 'picture_kept', 'label' ], [ 'parts', 'label' ])
{
	$job = ask($session, "SELECT eddh_train('from_$source->[0]', '$source->[0]', 'image', '$source->[1]', 8, $short)");
	is(ask($session, "SELECT eddh_wait($job)"), 'done', "from $source->[0]");
	is($node->safe_psql('postgres', "SELECT done FROM eddh_jobs WHERE job = $job"), '87', "all rows of $source->[0]");
}
is( $node->safe_psql('postgres', q{SELECT sha256(eddh_export_model('from_parts')) = sha256(eddh_export_model('from_picture_kept'))}),
	't', 'where the rows come from makes no difference');

finish($session);

# Without labels, or with a label that tells nothing: ITQ. A backbone that stays untrained is warned of.
for my $label ([ 'NULL', 't' ], [ "'same'", 'f' ])
{
	my ($status, $job, $warning) = $node->psql('postgres', "SELECT eddh_train('unlabelled', 'unlike', 'image', $label->[0], 8, method => 'itq', options => '{\"replace\": true, \"flip\": true}')");
	like($warning, qr/WARNING:  backbone "cnn-s" is untrained, and stays so/, 'a warning');
	is($node->safe_psql('postgres', "SELECT eddh_wait($job)"), 'done', "by ITQ, labels $label->[0]");
	is($node->safe_psql('postgres', "SELECT method, quality IS NULL, remarks LIKE '%flip and crop change nothing%' FROM eddh_jobs WHERE job = $job"), "itq|$label->[1]|t", 'its quality and remarks');
}

# What a job reads is looked for before it is resumed.
my $failed = $node->safe_psql('postgres', q{CREATE TABLE broken AS SELECT id, 'no picture'::bytea AS image FROM picture;
	SET client_min_messages = error;
	SELECT eddh_train('broken', 'broken', 'image', NULL, 8, method => 'itq')});
$node->psql('postgres', "SELECT eddh_wait($failed)");
is($node->safe_psql('postgres', "SELECT state FROM eddh_jobs WHERE job = $failed"), 'failed', 'nothing could be read');
$node->safe_psql('postgres', 'ALTER TABLE broken RENAME image TO jpeg');
like(($node->psql('postgres', "SELECT eddh_resume($failed)"))[2], qr/column "image" of public.broken does not exist/, 'a column that was renamed');
$node->safe_psql('postgres', 'DROP TABLE broken');
like(($node->psql('postgres', "SELECT eddh_resume($failed)"))[2], qr/the table of job $failed no longer exists/, 'a table that was dropped');

# The extension goes away under a running job.
$node->safe_psql('postgres', 'CREATE DATABASE doomed');
fill_pictures($node, 'doomed');
long_job($node, 'doomed', 'long');
$node->safe_psql('doomed', 'DROP EXTENSION eddh CASCADE');
wait_for($node, 'postgres', "SELECT $none", 'DROP EXTENSION ends the job');
$node->safe_psql('doomed', 'DROP TABLE picture; DROP FUNCTION picture, png, png_chunk');

# The database goes away under a running job, without FORCE.
fill_pictures($node, 'doomed');
long_job($node, 'doomed', 'long');
$node->safe_psql('postgres', 'DROP DATABASE doomed');
is($node->safe_psql('postgres', 'SELECT ' . workers()), '0', 'DROP DATABASE ends the job');

# A fast shutdown does not wait for a job; one that was killed with its server is failed, and its spool is gone.
$long = long_job($node, 'postgres', 'long');
$node->stop('fast');
$node->start;
is($node->safe_psql('postgres', "SELECT state FROM eddh_jobs WHERE job = $long"), 'failed', 'after a shutdown: failed');

$node->safe_psql('postgres', "SELECT eddh_resume($long)");
wait_for($node, 'postgres', "SELECT state = 'running' AND epoch >= 1 FROM eddh_jobs WHERE job = $long", 'runs after a shutdown');
my $spools = $node->data_dir . '/base/pgsql_tmp/pgsql_tmp*.*';
isnt(scalar(() = glob($spools)), 0, 'it has a spool');
my $pid = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'eddh job'});
kill 'KILL', $pid;
wait_for($node, 'postgres', "SELECT state = 'failed' AND error ~ 'killed' FROM eddh_jobs WHERE job = $long", 'kill -9 of the worker: failed');
is(scalar(() = glob($spools)), 0, 'its spool is gone');

$node->safe_psql('postgres', "SELECT eddh_resume($long)");
wait_for($node, 'postgres', "SELECT state = 'running' AND epoch >= 1 FROM eddh_jobs WHERE job = $long", 'runs after a kill');
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', "SELECT state FROM eddh_jobs WHERE job = $long"), 'failed', 'after a crash of the server: failed');
is($node->safe_psql('postgres', 'SELECT ' . workers()), '0', 'no worker comes back by itself');
is(scalar(() = glob($spools)), 0, 'nothing is left in the temporary folder');

# None of all this was noisy.
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|XX000|cache lookup failed/, 'no internal errors in the log');
$node->stop;
done_testing();
