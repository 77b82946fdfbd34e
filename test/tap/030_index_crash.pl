# kill -9 under load, in rounds: after each the index is sound and answers like a sequential scan.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use IndexCompare;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
# Frequent checkpoints, so that crashes find pages with and without full images in WAL.
$node->append_conf('postgresql.conf', "checkpoint_timeout = 30s\nautovacuum_naptime = 1s\nmax_wal_size = 64MB");
$node->start;
index_compare_setup($node);
$node->safe_psql('postgres', q{
	CREATE SEQUENCE ids;
	CREATE TABLE crashed (id bigint DEFAULT nextval('ids') PRIMARY KEY, code bit(64));
	CREATE INDEX crashed_code ON crashed USING hamming (code) WITH (fillfactor = 100);
	INSERT INTO crashed (code) SELECT code_of(i) FROM generate_series(1, 5000) i;
	CREATE UNLOGGED TABLE volatile (id int, code bit(64));
	CREATE INDEX volatile_code ON volatile USING hamming (code);
	INSERT INTO volatile SELECT i, code_of(i) FROM generate_series(1, 2000) i;
});

my $load = $node->basedir . '/load.sql';
append_to_file($load, q{
\set i random(1, 1000000)
INSERT INTO crashed (code) SELECT code_of(:i + j) FROM generate_series(1, 40) j;
UPDATE crashed SET code = code_of(:i) WHERE id = (SELECT max(id) - :i % 1000 FROM crashed);
DELETE FROM crashed WHERE id IN (SELECT id FROM crashed WHERE id % 7 = :i % 7 AND id > (SELECT max(id) FROM crashed) - 200);
INSERT INTO crashed (code) VALUES (NULL);
});
my $vacuum = $node->basedir . '/vacuum.sql';
append_to_file($vacuum, "VACUUM crashed;\n\\sleep 200 ms\n");

for my $round (1 .. 4)
{
	my ($out, $err) = ('', '');
	my @pgbench = ('pgbench', '--no-vacuum', '-h', $node->host, '-p', $node->port, '-T', '60');
	my $writers = IPC::Run::start([ @pgbench, '-c', '3', '-f', $load, 'postgres' ], '>', \$out, '2>', \$err);
	my $cleaner = IPC::Run::start([ @pgbench, '-c', '1', '-f', $vacuum, 'postgres' ], '>', \$out, '2>', \$err);

	sleep(2);
	$node->kill9;
	# Where nobody reaps it, the dead postmaster's number stays taken and its lock files look valid.
	sleep(1);
	unlink($node->data_dir . '/postmaster.pid', $node->host . '/.s.PGSQL.' . $node->port . '.lock');
	IPC::Run::finish($writers);
	IPC::Run::finish($cleaner);
	$node->start;
	is(index_differences($node, 'crashed'), 0, "round $round: answers of the index are those of a sequential scan");
	# By itself VACUUM leaves indexes alone where few pages have dead rows. And autovacuum's ANALYZE may look at the same moment: then it leaves what that can still see.
	my $extra;
	for (1 .. 50)
	{
		$node->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP on) crashed');
		$extra = $node->safe_psql('postgres', q{SELECT hamming_index_check('crashed_code') - (SELECT count(*) FROM crashed)});
		last if $extra eq '0';
		usleep(200_000);
	}
	is($extra, '0', "round $round: the structure is sound and complete after VACUUM");
	is(index_differences($node, 'crashed'), 0, "round $round: and the answers too");
}
is( $node->safe_psql('postgres', q{SELECT count(*), hamming_index_check('volatile_code') FROM volatile}),
	'0|0', 'the unlogged index is empty and sound after a crash');
$node->safe_psql('postgres', 'INSERT INTO volatile SELECT i, code_of(i) FROM generate_series(1, 2000) i');
is(index_differences($node, 'volatile'), 0, 'and takes rows again');
$node->stop;
done_testing();
