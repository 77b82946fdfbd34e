# A standby answers like its primary, in rounds of insert, update, delete and VACUUM, with every replayed page compared
# (wal_consistency_checking); a scan on the standby survives the reuse of pages under it.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use IndexCompare;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', "wal_consistency_checking = 'generic'\nautovacuum = off");
$primary->start;
# A slot: checked pages make much WAL, and a slow machine's standby must find what it has not received yet.
$primary->safe_psql('postgres', q{SELECT pg_create_physical_replication_slot('standby', true)});
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', "log_min_messages = debug1\nmax_standby_streaming_delay = 30s\nprimary_slot_name = 'standby'");
$standby->start;

index_compare_setup($primary);
$primary->safe_psql('postgres', q{
	CREATE TABLE replayed (id int, code bit(64));
	CREATE INDEX replayed_code ON replayed USING hamming (code);
	INSERT INTO replayed SELECT i, CASE WHEN i % 50 <> 0 THEN code_of(i) END FROM generate_series(1, 8000) i;
});
for my $round (1 .. 3)
{
	$primary->safe_psql('postgres', "DELETE FROM replayed WHERE id % 4 = $round");
	$primary->safe_psql('postgres', 'VACUUM replayed');
	$primary->safe_psql('postgres', "UPDATE replayed SET code = code_of(id + $round) WHERE id % 5 = $round");
	$primary->safe_psql('postgres',
		"INSERT INTO replayed SELECT i, code_of(i * $round) FROM generate_series($round * 10000, $round * 10000 + 3000) i");
	$primary->wait_for_catchup('standby');
	is(index_differences($standby, 'replayed'), 0, "round $round: the standby's index answers like its sequential scan");
	is( $standby->safe_psql('postgres', q{SELECT hamming_index_check('replayed_code')}),
		$primary->safe_psql('postgres', q{SELECT hamming_index_check('replayed_code')}),
		"round $round: the standby's index is sound and has as many rows");
}

# Build and REINDEX are replayed too.
$primary->safe_psql('postgres', 'REINDEX INDEX replayed_code; VACUUM replayed');
$primary->wait_for_catchup('standby');
is(index_differences($standby, 'replayed'), 0, 'after REINDEX');

# The first ten rows stand on pages without dead rows: the cursor pins the last one's page, and replay waits for nobody.
# A scan that waits on the standby while the primary empties leaves and uses their pages for others. Its rows were visible before
# and still are; those that VACUUM removes were dead already, so recovery has no conflict.
$primary->safe_psql('postgres', q{
	CREATE TABLE reused (id int, code bit(64));
	INSERT INTO reused SELECT i, code_of(i) FROM generate_series(3, 1200, 3) i;
	INSERT INTO reused SELECT i, code_of(i) FROM generate_series(1201, 60000) i;
	CREATE INDEX reused_code ON reused USING hamming (code);
	DELETE FROM reused WHERE id % 3 <> 0;
});
$primary->wait_for_catchup('standby');
my $expected = $standby->safe_psql('postgres', 'SELECT count(*), sum(id) FROM reused');

my $folder = $standby->basedir;
my ($out, $err) = ('', '');
append_to_file("$folder/scan.sql", qq{
SET enable_seqscan = off;
SET enable_sort = off;
BEGIN ISOLATION LEVEL REPEATABLE READ;
DECLARE c CURSOR FOR SELECT id, code <-> code_of(3) AS d FROM reused ORDER BY code <-> code_of(3);
\\o $folder/rows
FETCH 10 FROM c;
\\o
\\! touch $folder/waits
\\! while [ ! -e $folder/goes ]; do sleep 0.1; done
\\o | cat >> $folder/rows
FETCH ALL FROM c;
\\o
COMMIT;
});
my $scan = IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $standby->connstr('postgres'), '-f', "$folder/scan.sql" ],
	'>', \$out, '2>', \$err);
my $tries = 0;
select(undef, undef, undef, 0.1) while !-e "$folder/waits" && $tries++ < 600;

# The second VACUUM finds that no snapshot of the primary needs the freed pages. None comes after the inserts: marking their pages
# all-visible would be a conflict of the heap's.
$primary->safe_psql('postgres', 'VACUUM reused');
$primary->safe_psql('postgres', 'SELECT txid_current()') for 1 .. 3;
$primary->safe_psql('postgres', 'VACUUM reused');
$primary->safe_psql('postgres', 'INSERT INTO reused SELECT i, code_of(i * 7) FROM generate_series(100000, 160000) i');
$primary->wait_for_catchup('standby');
append_to_file("$folder/goes", '');
IPC::Run::finish($scan);
is($err, '', 'the scan meets no error');

my @rows = split /\n/, slurp_file("$folder/rows");
my ($sum, $last, $ordered, %seen) = (0, 0, 1);
for (@rows)
{
	my ($id, $d) = split /\|/;

	$seen{$id}++;
	$sum += $id;
	$ordered = 0 if $d < $last;
	$last = $d;
}
is(scalar(@rows) . "|$sum", $expected, 'it returns the rows of its snapshot');
is(scalar(keys %seen), scalar(@rows), 'each once');
ok($ordered, 'in order');
like(slurp_file($standby->logfile), qr/starts again at distance/, 'though pages were reused under it');

is($standby->safe_psql('postgres', 'SELECT pg_is_in_recovery()'), 't', 'no replayed page differed');
$standby->stop;
$primary->stop;
done_testing();
