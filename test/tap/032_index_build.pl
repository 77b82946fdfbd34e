# CREATE INDEX with parallel workers makes the index that it makes without; progress is shown while it runs; pg_prewarm loads it.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use IndexCompare;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('build');
$node->init;
$node->append_conf('postgresql.conf', join("\n",
	'autovacuum = off', 'log_min_messages = debug1', 'min_parallel_table_scan_size = 0', 'maintenance_work_mem = 128MB',
	'max_parallel_workers = 8', ''));
$node->start;
index_compare_setup($node);

# Few rows a page, so that every process gets some.
$node->safe_psql('postgres', q{
	CREATE TABLE built (id int, code bit(64), filler text) WITH (parallel_workers = 2, fillfactor = 20);
	INSERT INTO built SELECT i, CASE WHEN i % 50 <> 0 THEN code_of(i) END, repeat('x', 50) FROM generate_series(1, 30000) i;
	DELETE FROM built WHERE id % 10 = 3;
});
my @stats;
for my $workers (0, 2)
{
	my $from = -s $node->logfile;

	$node->safe_psql('postgres', "SET max_parallel_maintenance_workers = $workers; CREATE INDEX built_code ON built USING hamming (code)");
	my $log = substr(slurp_file($node->logfile), $from);
	if ($workers)
	{
		like($log, qr/workers that scan the table for index "built_code": [12]\b/, 'workers scan the table');
	}
	else
	{
		unlike($log, qr/workers that scan the table/, 'no workers without leave');
	}
	is($node->safe_psql('postgres', q{SELECT hamming_index_check('built_code')}), 27000, "$workers workers: every live row is in the index");
	is(index_differences($node, 'built'), 0, "$workers workers: the index answers like a sequential scan");
	push @stats, $node->safe_psql('postgres', q{SELECT * FROM hamming_index_stats('built_code')});
	is($node->safe_psql('postgres', q{SELECT reltuples FROM pg_class WHERE relname = 'built'}), 27000, "$workers workers: rows of the table are counted");
	$node->safe_psql('postgres', 'DROP INDEX built_code');
}
is($stats[1], $stats[0], 'workers make the same index');

# A concurrent build scans with a snapshot; little memory makes partitions of what workers found.
$node->safe_psql('postgres', q{CREATE INDEX CONCURRENTLY built_code ON built USING hamming (code)});
is(index_differences($node, 'built'), 0, 'CREATE INDEX CONCURRENTLY with workers');
$node->safe_psql('postgres', 'DROP INDEX built_code');

# Codes of two lengths, wherever they are found.
$node->safe_psql('postgres', q{
	CREATE TABLE mixed (code varbit) WITH (parallel_workers = 2, fillfactor = 10);
	INSERT INTO mixed SELECT code_of(i)::varbit FROM generate_series(1, 5000) i;
	INSERT INTO mixed SELECT B'10101010' FROM generate_series(1, 5000) i;
});
my ($status, $out, $err) = $node->psql('postgres', 'CREATE INDEX ON mixed USING hamming (code)');
like($err, qr/is of codes of (64|8) bits, not of (64|8)/, 'codes of two lengths are refused, both named');

# Progress: names of the phases, and a build that waits in its scan.
is( $node->safe_psql('postgres', q{
		SELECT string_agg(pg_indexam_progress_phasename(oid, phase), ', ' ORDER BY phase)
		FROM pg_am, generate_series(1, 4) phase WHERE amname = 'hamming'}),
	'initializing, scanning table, writing pages, logging pages',
	'phases have names');
$node->safe_psql('postgres', q{
	CREATE TABLE slow (code bit(64));
	INSERT INTO slow SELECT code_of(i) FROM generate_series(1, 100) i;
	CREATE FUNCTION waits(code bit) RETURNS bit(64) LANGUAGE plpgsql IMMUTABLE AS $$
		BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN code; END $$;
});
my @psql = ('psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'));
my ($out1, $err1, $out2, $err2) = ('') x 4;
my $holder = IPC::Run::start([ @psql, '-c', 'SELECT pg_advisory_lock(1)', '-c', 'SELECT pg_sleep(600)' ], '>', \$out1, '2>', \$err1);
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND granted});
my $build = IPC::Run::start([ @psql, '-c', 'CREATE INDEX ON slow USING hamming ((waits(code)::bit(64)))' ], '>', \$out2, '2>', \$err2);
ok( $node->poll_query_until('postgres', q{
		SELECT phase = 'building index: scanning table' AND blocks_total > 0 FROM pg_stat_progress_create_index
		WHERE relid = 'slow'::regclass}),
	'a build that scans says so');
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted});
IPC::Run::finish($holder);
ok(IPC::Run::finish($build), 'and goes on');
is($node->safe_psql('postgres', q{SELECT hamming_index_check(indexrelid) FROM pg_index WHERE indrelid = 'slow'::regclass}), 100,
	'to the end');

SKIP:
{
	skip 'pg_prewarm is not installed', 2
		unless $node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_prewarm'});
	$node->safe_psql('postgres', 'CREATE EXTENSION pg_prewarm; CREATE INDEX built_code ON built USING hamming (code)');
	$node->restart;
	is( $node->safe_psql('postgres', q{SELECT pg_prewarm('built_code') = pg_relation_size('built_code') / current_setting('block_size')::int}),
		't', 'pg_prewarm loads every page');
	$node->safe_psql('postgres', q{SELECT pg_prewarm('built')});
	like(
		$node->safe_psql('postgres', q{
			SET enable_seqscan = off;
			EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF)
			SELECT id FROM built ORDER BY code <-> code_of(1) LIMIT 100}),
		qr/^Limit .*\n\s+Buffers: shared hit=\d+\n/, 'and a search reads nothing more');
}
$node->stop;
done_testing();
