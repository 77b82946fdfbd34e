# On a standby: jobs are seen, and cannot be started.
use strict;
use warnings;
use EddhJobs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', 'autovacuum = off');
$node->start;
fill_pictures($node, 'postgres');
$node->safe_psql('postgres', 'ALTER TABLE picture ADD COLUMN code bit(8)');
my $done = $node->safe_psql('postgres', q{SELECT eddh_train('m', 'picture', 'image', 'label', 8, options => '{"epochs": 2, "threads": 1}')});
$node->safe_psql('postgres', "SELECT eddh_wait($done)");
my $long = long_job($node, 'postgres', 'long');
$node->safe_psql('postgres', q{SELECT pg_create_physical_replication_slot('standby', true)});
$node->backup('copy');
is(scalar(() = glob($node->backup_dir . '/copy/base/pgsql_tmp/*')), 0, "a base backup leaves out a running job's spool");

my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'copy', has_streaming => 1);
$standby->append_conf('postgresql.conf', "primary_slot_name = 'standby'");
$standby->start;
$node->wait_for_catchup($standby, 'replay');

fails_with($standby, 'postgres', $_->[1], '25006', 'recovery.*HINT.*primary', $_->[0])
	for ([ 'train', q{SELECT eddh_train('x', 'picture', 'image', 'label', 8)} ],
		[ 'encode', q{SELECT eddh_encode_table('picture', 'image', 'code', 'm')} ],
		[ 'cancel', "SELECT eddh_cancel($long)" ],
		[ 'resume', "SELECT eddh_resume($done)" ],
		[ 'wait for a job that runs elsewhere', "SELECT eddh_wait($long)" ],
		[ 'purge', q{SELECT eddh_purge_jobs('0')} ]);
is($standby->safe_psql('postgres', 'SELECT job, state FROM eddh_jobs ORDER BY job'), "$done|done\n$long|running", 'the states of the primary');
is($standby->safe_psql('postgres', "SELECT eddh_wait($done)"), 'done', 'a job that has ended needs no wait');
is($standby->safe_psql('postgres', q{SELECT length(eddh_encode(image, 'm')) FROM picture WHERE id = 1}), '8', 'the model has arrived');

# The same in a read-only transaction of the primary.
fails_with($node, 'postgres', q{BEGIN READ ONLY; SELECT eddh_train('x', 'picture', 'image', 'label', 8)}, '25006', 'read-only', 'train, read-only');

$node->safe_psql('postgres', "SELECT eddh_cancel($long)");
$standby->promote;
is($standby->safe_psql('postgres', "SELECT state FROM eddh_jobs WHERE job = $long"), 'failed', 'promoted: a job of the old primary is failed')
	if $standby->safe_psql('postgres', "SELECT state FROM eddh_catalog.job WHERE job = $long") eq 'running';
$standby->stop;
$node->stop;
done_testing();
