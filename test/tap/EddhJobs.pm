# What the tests of jobs share: a server with the extension and a table of tiny pictures, sessions that stay open, waiting for a condition.
package EddhJobs;

use strict;
use warnings;
use Exporter 'import';
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(fill_pictures session ask finish fails_with long_job wait_for workers);

# A table picture(id, label, image) of 4 classes x 24 rows in this database.
sub fill_pictures
{
	my ($node, $database) = @_;

	$node->safe_psql($database, 'CREATE EXTENSION eddh');
	$node->safe_psql($database, slurp_file("$ENV{TESTDIR}/sql_tests/include/helpers.sql"));
	$node->safe_psql($database,
		'CREATE TABLE picture AS SELECT i AS id, i % 4 AS label, picture(i % 4, i) AS image FROM generate_series(1, 96) AS i');
}

# A psql that stays: ask() gives it statements and returns what it prints, errors included.
sub session
{
	my ($node, $database) = @_;
	my $self = { in => '', out => '', n => 0 };

	$self->{run} = IPC::Run::start([ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-d', $node->connstr($database), '-f', '-' ],
		'<', \$self->{in}, '>', \$self->{out}, '2>&1', $self->{timer} = IPC::Run::timer($PostgreSQL::Test::Utils::timeout_default));
	ask($self, 'SET client_min_messages = warning');
	return $self;
}

sub ask
{
	my ($self, $sql) = @_;
	my $end = 'end-of-answer-' . ++$self->{n};

	$self->{in} .= "$sql;\n\\echo $end\n";
	$self->{timer}->start($PostgreSQL::Test::Utils::timeout_default);
	IPC::Run::pump($self->{run}) until $self->{out} =~ /^$end\n/m;
	$self->{out} =~ s/\A(.*?)^$end\n//ms;
	my $answer = $1;
	chomp $answer;
	return $answer;
}

sub finish
{
	my ($self) = @_;

	$self->{in} .= "\\q\n";
	IPC::Run::finish($self->{run});
}

# The statement fails with this SQLSTATE, and with a message like this.
sub fails_with
{
	my ($node, $database, $sql, $state, $like, $name) = @_;
	my ($code, $out, $err) = $node->psql($database, $sql, on_error_stop => 1, extra_params => [ '-v', 'VERBOSITY=verbose' ]);

	isnt($code, 0, "$name: refused");
	like($err, qr/ERROR:  $state: .*$like/s, "$name: $state");
}

# A job that trains until it is stopped; returns it once it has finished an epoch.
sub long_job
{
	my ($node, $database, $model) = @_;
	my $job = $node->safe_psql($database,
		qq{SELECT eddh_train('$model', 'picture', 'image', 'label', 8, options => '{"epochs": 1000000, "threads": 1}')});

	wait_for($node, $database, "SELECT epoch >= 1 FROM eddh_jobs WHERE job = $job", "job $job learns");
	return $job;
}

sub wait_for
{
	my ($node, $database, $sql, $name) = @_;

	ok($node->poll_query_until($database, $sql), $name);
}

# Number of workers that live, as SQL for poll_query_until and others.
sub workers
{
	return q{(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'eddh job')};
}

1;
