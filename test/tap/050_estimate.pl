# The estimate of a job's end: it comes before anything is learned, whatever learns; how right it is bench/eta tells.
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
fill_pictures($node, 'postgres');
# Seconds of work for a network, so that each job can be met before it learns.
$node->safe_psql('postgres', 'CREATE TABLE many AS SELECT label, image FROM picture, generate_series(1, 40)');
$node->safe_psql('postgres', q{SELECT eddh_import_backbone('dense', eddh_export_backbone('cnn-f'), '{"trained": true}')});

for my $case (
	[ 'the hash layer alone', q{eddh_train('m', 'many', 'image', 'label', 32, backbone => 'photo', options => '{"threads": 1}')} ],
	[ 'a whole network', q{eddh_train('m', 'many', 'image', 'label', 32, backbone => 'photo', options => '{"train_layers": "all", "threads": 1}')} ],
	[ 'fully connected layers', q{eddh_train('m', 'many', 'image', 'label', 32, backbone => 'dense', options => '{"train_layers": "fc", "threads": 1}')} ],
	[ 'no network', q{eddh_train('m', 'many', 'image', backbone => 'photo', method => 'itq', options => '{"threads": 1}')} ],
	[ 'a comparison', q{eddh_compare('many', 'image', 'label', backbone => 'photo', options => '{"threads": 1}')} ])
{
	my ($name, $call) = @$case;
	my $job = $node->safe_psql('postgres', "SELECT $call");

	wait_for($node, 'postgres', "SELECT eta > '0' OR state NOT IN ('queued', 'running') FROM eddh_jobs WHERE job = $job", "$name: an estimate");
	like($node->safe_psql('postgres', "SELECT state || ', ' || phase FROM eddh_jobs WHERE job = $job"),
		qr/^running, (read pictures|compute frozen layers|compute features)$/, "$name: before it learns");
	$node->safe_psql('postgres', "SELECT eddh_cancel($job)");
	is($node->safe_psql('postgres', "SELECT eddh_wait($job)"), 'cancelled', "$name: cancelled");
	is($node->safe_psql('postgres', "SELECT eta IS NULL FROM eddh_jobs WHERE job = $job"), 't', "$name: and none any more");
}
$node->stop;
done_testing();
