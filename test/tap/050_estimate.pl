# The estimate of a job's end: it comes before anything is learned, whatever learns. How right it is bench/eta tells; here, that it is not nonsense.
use strict;
use warnings;
use EddhJobs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', 'autovacuum = off');
$node->start;
fill_pictures($node, 'postgres');
# Seconds of work for a network, so that each job can be met before it learns.
$node->safe_psql('postgres', 'CREATE TABLE many AS SELECT label, image FROM picture, generate_series(1, 40)');
$node->safe_psql('postgres', 'CREATE TABLE fewer AS SELECT label, image FROM picture, generate_series(1, 10)');
$node->safe_psql('postgres', q{SELECT eddh_import_backbone('dense', eddh_export_backbone('cnn-f'), '{"trained": true}')});

# State and phase as soon as there is an estimate, or the job has ended; that estimate, and how long the job has run, in seconds.
sub first_estimate
{
	my ($job) = @_;
	my $row = '';

	for (my $i = 0; $i < 20 * $PostgreSQL::Test::Utils::timeout_default && $row eq ''; $i++)
	{
		$row = $node->safe_psql('postgres', "SELECT state || ', ' || phase, extract(epoch FROM eta), extract(epoch FROM clock_timestamp() - started)
			FROM eddh_jobs WHERE job = $job AND (eta > '0' OR state NOT IN ('queued', 'running'))");
		usleep(50_000);
	}
	return split /\|/, $row;
}

for my $case (
	[ 'the hash layer alone', q{eddh_train('m', 'many', 'image', 'label', 32, backbone => 'photo', options => '{"threads": 1}')} ],
	[ 'a whole network', q{eddh_train('m', 'many', 'image', 'label', 32, backbone => 'photo', options => '{"train_layers": "all", "threads": 1}')} ],
	[ 'fully connected layers', q{eddh_train('m', 'many', 'image', 'label', 32, backbone => 'dense', options => '{"train_layers": "fc", "threads": 1}')} ],
	[ 'no network', q{eddh_train('m', 'many', 'image', backbone => 'photo', method => 'itq', options => '{"threads": 1}')} ],
	[ 'a comparison', q{eddh_compare('many', 'image', 'label', backbone => 'photo', options => '{"threads": 1}')} ])
{
	my ($name, $call) = @$case;
	my $job = $node->safe_psql('postgres', "SELECT $call");
	my ($where) = first_estimate($job);

	like($where, qr/^running, (read pictures|rehearse|compute frozen layers|compute features)$/, "$name: an estimate before it learns");
	$node->safe_psql('postgres', "SELECT eddh_cancel($job)");
	is($node->safe_psql('postgres', "SELECT eddh_wait($job)"), 'cancelled', "$name: cancelled");
	is($node->safe_psql('postgres', "SELECT eta IS NULL FROM eddh_jobs WHERE job = $job"), 't', "$name: and none any more");

	# A job that goes on counts its pictures anew, for its row tells of the phase it was stopped in.
	next if $name ne 'the hash layer alone';
	$node->safe_psql('postgres', "SELECT eddh_resume($job)");
	($where) = first_estimate($job);
	like($where, qr/^running, (read pictures|compute frozen layers)$/, "$name, again: an estimate");
	$node->safe_psql('postgres', "SELECT eddh_cancel($job)");
}

# From the first on it is right within a factor that no machine and no neighbour explain.
for my $method ('eddh', 'itq')
{
	my $job = $node->safe_psql('postgres', qq{SELECT eddh_train('$method', 'fewer', 'image', 'label', 32, method => '$method', backbone => 'photo', options => '{"threads": 1}')});
	my ($where, $told, $at) = first_estimate($job);

	is($node->safe_psql('postgres', "SELECT eddh_wait($job)"), 'done', "$method: done");
	my $rest = $node->safe_psql('postgres', "SELECT extract(epoch FROM finished - started) FROM eddh_jobs WHERE job = $job") - $at;
	cmp_ok($told, '<', 5 * $rest + 5, "$method: told $told, true $rest seconds: not too long");
	cmp_ok($told, '>', $rest / 5 - 1, "$method: not too short");
}
$node->stop;
done_testing();
