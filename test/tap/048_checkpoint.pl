# Checkpoints: a training that was cancelled, terminated, killed or crashed, or that failed, goes on, and ends as if nothing had happened, bit for bit.
use strict;
use warnings;
use EddhJobs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "max_worker_processes = 8\nautovacuum = off\nrestart_after_crash = on\neddh.checkpoint_interval = 0");
# Every mini-batch ends with a commit, and every commit takes so many microseconds: no machine is too fast to be interrupted.
$node->append_conf('postgresql.conf', "fsync = on\ncommit_delay = 30000\ncommit_siblings = 0");
$node->start;
fill_pictures($node, 'postgres');

sub start_training
{
	my ($model, $options, $backbone) = @_;
	$backbone //= 'cnn-s';

	return $node->safe_psql('postgres',
		qq{SELECT eddh_train('$model', 'picture', 'image', 'label', 16, backbone => '$backbone', options => '{"batch": 32, "seed": 5, $options}')});
}

sub wait_for_end
{
	my ($job) = @_;

	is($node->safe_psql('postgres', "SELECT eddh_wait($job)"), 'done', "job $job is done");
	is($node->safe_psql('postgres', "SELECT count(*) FROM eddh_catalog.checkpoint WHERE job = $job"), '0', 'its checkpoint is gone');
}

sub model_sha
{
	my ($model) = @_;

	return $node->safe_psql('postgres', "SELECT sha256(eddh_export_model('$model'))");
}

# Epochs that are done, once there are more than $epoch and the job has a checkpoint.
sub past_epoch
{
	my ($job, $epoch) = @_;

	wait_for($node, 'postgres', "SELECT state = 'running' AND epoch > $epoch AND EXISTS (SELECT FROM eddh_catalog.checkpoint AS c WHERE c.job = $job)
		FROM eddh_jobs WHERE job = $job", "job $job is past epoch $epoch");
	return $node->safe_psql('postgres', "SELECT epoch FROM eddh_jobs WHERE job = $job");
}

# Mini-batches that the job had done when it was last resumed.
sub resumed_after
{
	my ($job) = @_;

	wait_for($node, 'postgres', "SELECT coalesce(remarks ~ 'goes on from a checkpoint', false) OR state = 'done' FROM eddh_jobs WHERE job = $job", 'goes on');
	return $node->safe_psql('postgres', "SELECT substring(remarks FROM 'checkpoint, after (\\d+) of') FROM eddh_jobs WHERE job = $job");
}

my %stop = (
	'cancelled' => sub { $node->safe_psql('postgres', "SELECT eddh_cancel($_[0])") },
	'terminated' => sub { $node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'eddh job'}) },
	'killed' => sub { kill 'KILL', $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'eddh job'}) },
	'failed' => \&take_name,
	'in a server that crashed' => sub { $node->stop('immediate'); $node->start });

# An ordinary error: at its end the job finds its model's name taken.
sub take_name
{
	my ($job) = @_;
	my $model = $node->safe_psql('postgres', "SELECT model FROM eddh_jobs WHERE job = $job");

	$node->safe_psql('postgres', "SELECT eddh_import_model('$model', eddh_export_model('all_whole'))");
	wait_for($node, 'postgres', "SELECT state = 'failed' AND error LIKE '%already exists' FROM eddh_jobs WHERE job = $job", "$model: its name is taken");
	$node->safe_psql('postgres', "SELECT eddh_drop_model('$model')");
}

# A network learned whole, from nothing, so that the method also asks it for features; one without momentum, so without velocities; a part of a network; one
# that has learned before, so that its hash layer learns alone first, and again last: stopped in each.
$node->safe_psql('postgres', q{SELECT eddh_import_backbone('learned', eddh_export_backbone('cnn-s'), '{"trained": true}')});
for my $case (
	[ 'all',   'cnn-s',   0,  '"train_layers": "all", "epochs": 60, "threads": 2, "flip": true, "crop": 0.2', 'cancelled', 'terminated', 'killed', 'in a server that crashed' ],
	[ 'plain', 'cnn-s',   0,  '"train_layers": "all", "epochs": 40, "threads": 1, "momentum": 0', 'cancelled', 'failed' ],
	[ 'fc',    'cnn-s',   0,  '"train_layers": "fc", "epochs": 60, "threads": 1', 'in a server that crashed' ],
	[ 'head',  'learned', 60, '"train_layers": "all", "epochs": 40, "head_epochs": 60, "threads": 1', 'killed', 'cancelled', 'terminated' ])
{
	my ($name, $backbone, $head, $options, @stops) = @$case;
	my $whole = start_training("${name}_whole", $options, $backbone);
	wait_for_end($whole);

	my $job = start_training("${name}_broken", $options, $backbone);
	my $epoch = 0;
	my $holder;
	for my $i (0 .. $#stops)
	{
		my $how = $stops[$i];

		if ($head > 0 && $i == 2)
		{
			# The last stage is too short to be met: it is held at its end, where it stores the model.
			wait_for($node, 'postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE NOT granted AND relation = 'eddh_catalog.model'::regclass}, "$name: at the end of its last stage");
			$epoch = $head + 40 + 1;
		}
		else
		{
			$epoch = past_epoch($job, $head > 0 && $i > 0 ? $head + 2 : $epoch + 2);
		}
		if ($head > 0 && $i == 1)
		{
			$holder = session($node, 'postgres');
			ask($holder, 'BEGIN; LOCK TABLE eddh_catalog.model IN SHARE MODE');
		}
		$stop{$how}->($job);
		finish($holder) if $head > 0 && $i == 2;
		wait_for($node, 'postgres', "SELECT state NOT IN ('queued', 'running') FROM eddh_jobs WHERE job = $job", "$name: ends");
		isnt($node->safe_psql('postgres', "SELECT state FROM eddh_jobs WHERE job = $job"), 'done', "$name: $how");
		$node->safe_psql('postgres', "SELECT eddh_resume($job)");
		# Three mini-batches an epoch of the whole network.
		cmp_ok(resumed_after($job), '>=', 3 * ($epoch > $head + 40 && $head > 0 ? 40 : $epoch > $head ? $epoch - $head : 0), "$name, $how: goes on");
	}
	wait_for_end($job);
	is(model_sha("${name}_broken"), model_sha("${name}_whole"), "$name: the same model, bit for bit");
	is( $node->safe_psql('postgres', qq{SELECT count(*) FROM
			(SELECT epoch, measure, value FROM eddh_job_log WHERE job = $job EXCEPT SELECT epoch, measure, value FROM eddh_job_log WHERE job = $whole) AS d}),
		'0', "$name: the same curve");
}

# What was learned from another table is of no use.
my $job = start_training('changed', '"train_layers": "all", "epochs": 40, "threads": 1');
past_epoch($job, 2);
$node->safe_psql('postgres', "SELECT eddh_cancel($job)");
$node->safe_psql('postgres', 'UPDATE picture SET label = (label + 1) % 4 WHERE id = 7');
$node->safe_psql('postgres', "SELECT eddh_resume($job)");
wait_for_end($job);
unlike($node->safe_psql('postgres', "SELECT remarks FROM eddh_jobs WHERE job = $job"), qr/goes on from a checkpoint/, 'a changed table: begins anew');

# No checkpoints where none are wanted; and what is purged leaves none.
$job = $node->safe_psql('postgres', q{SET eddh.checkpoint_interval = -1;
	SELECT eddh_train('never', 'picture', 'image', 'label', 8, options => '{"epochs": 1000000, "threads": 1}')});
wait_for($node, 'postgres', "SELECT epoch > 3 FROM eddh_jobs WHERE job = $job", 'learns without checkpoints');
is($node->safe_psql('postgres', "SELECT count(*) FROM eddh_catalog.checkpoint WHERE job = $job"), '0', 'no checkpoint');
$node->safe_psql('postgres', "SELECT eddh_cancel($job)");
$job = long_job($node, 'postgres', 'purged');
past_epoch($job, 2);
$node->safe_psql('postgres', "SELECT eddh_cancel($job)");
is($node->safe_psql('postgres', "SELECT eddh_wait($job)"), 'cancelled', 'cancelled');
isnt($node->safe_psql('postgres', "SELECT count(*) FROM eddh_catalog.checkpoint WHERE job = $job"), '0', 'a checkpoint waits');
$node->safe_psql('postgres', "SELECT eddh_purge_jobs('0')");
is($node->safe_psql('postgres', 'SELECT count(*) FROM eddh_catalog.checkpoint'), '0', 'purged with its job');
$node->stop;
done_testing();
