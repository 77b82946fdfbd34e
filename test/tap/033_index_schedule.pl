# Random schedules of insert, update, delete, VACUUM and REINDEX, for codes of many lengths, uniform, clustered and all equal: after every
# few steps the index answers like a sequential scan. XOR of all codes and the query by one mask changes no distance.
# EDDH_SEED repeats a run.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{EDDH_SEED} // int(rand(2**31));
my $steps = 10;

my $node = PostgreSQL::Test::Cluster->new('schedule');
$node->init;
$node->append_conf('postgresql.conf', "autovacuum = off\nfsync = off");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION eddh;
	-- What a query says with the index and without; an error when they differ.
	CREATE FUNCTION compare(tab regclass, col text, query text) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE
		answers text[];
		plan text;
		with_index boolean;
		rows text;
	BEGIN
		FOREACH with_index IN ARRAY ARRAY[true, false] LOOP
			PERFORM set_config('enable_seqscan', (NOT with_index)::text, true), set_config('enable_sort', (NOT with_index)::text, true),
				set_config('enable_indexscan', with_index::text, true), set_config('enable_bitmapscan', with_index::text, true);
			EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan;
			IF (position(format('%s_%s', tab, col) IN plan) > 0) <> with_index THEN
				RAISE 'no such plan: % %', left(query, 200), plan;
			END IF;
			EXECUTE format('SELECT x::text FROM (%s) x', query) INTO rows;
			answers := answers || coalesce(rows, 'null');
		END LOOP;
		IF answers[1] <> answers[2] THEN
			RAISE 'the index differs: %', query USING DETAIL = format('%s, not %s', answers[1], answers[2]);
		END IF;
		RETURN answers[1];
	END $$;
	CREATE FUNCTION compare_all(tab regclass, q text, mask text) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE
		bits int := length(q);
		r int;
		k int;
		ordered text;
		shift text := (q::varbit # mask::varbit)::text;
	BEGIN
		FOREACH k IN ARRAY ARRAY[1, 30, 100000] LOOP
			ordered := compare(tab, 'code', format('SELECT array_agg(d) FROM (SELECT code <-> B%L AS d FROM %s ORDER BY code <-> B%L LIMIT %s) x', q, tab, q, k));
			IF compare(tab, 'masked', format('SELECT array_agg(d) FROM (SELECT masked <-> B%L AS d FROM %s ORDER BY masked <-> B%L LIMIT %s) x', shift, tab, shift, k)) <> ordered THEN
				RAISE 'the masked index differs: %', ordered;
			END IF;
		END LOOP;
		PERFORM compare(tab, 'code', format('SELECT count(*), count(DISTINCT id), sum(id), sum(d) FROM (SELECT id, code <-> B%L AS d FROM %s ORDER BY code <-> B%L) x', q, tab, q));
		FOREACH r IN ARRAY ARRAY[0, bits / 6, bits / 2] LOOP
			PERFORM compare(tab, 'code', format('SELECT count(*), sum(id) FROM %s WHERE code <@ hamming_ball(B%L, %s)', tab, q, r));
		END LOOP;
		PERFORM compare(tab, 'code', format('SELECT array_agg(d) FROM (SELECT code <-> B%L AS d FROM %s WHERE code <@ hamming_ball(B%L, %s) AND id %% 3 = 0 ORDER BY code <-> B%L LIMIT 20) x', q, tab, q, bits / 3, q));
	END $$;
});

sub random_code
{
	my ($bits) = @_;

	return substr(unpack('b*', pack('L*', map { rand(2**32) } 0 .. $bits / 32)), 0, $bits);
}

sub flipped
{
	my ($code, $share) = @_;

	substr($code, $_, 1) =~ tr/01/10/ for grep { rand() < $share } 0 .. length($code) - 1;
	return $code;
}

sub schedule
{
	my ($kind, $bits) = @_;
	my $table = "${kind}_$bits";
	my $mask = random_code($bits);
	my @centres = map { random_code($bits) } 1 .. ($kind eq 'equal' ? 1 : 6);
	my $next = 1;
	my @sql;

	my $code = sub {
		return 'NULL' if rand() < 0.02;
		return "B'" . random_code($bits) . "'" if $kind eq 'uniform';
		my $centre = $centres[ rand @centres ];
		return "B'" . ($kind eq 'equal' ? $centre : flipped($centre, (0, 0.02, 0.05, 0.1)[ rand 4 ])) . "'";
	};
	my $insert = sub {
		push @sql, "INSERT INTO $table (id, code) VALUES " . join(', ', map { '(' . $next++ . ', ' . $code->() . ')' } 1 .. $_[0]);
	};
	my $compare = sub {
		my $q = $code->();
		push @sql, "SELECT compare_all('$table', '" . substr($q, 2, -1) . "', '$mask')" if $q ne 'NULL';
		# The other end of the space is far from everything.
		push @sql, "SELECT compare_all('$table', (~$q)::text, '$mask')" if $q ne 'NULL' && rand() < 0.3;
	};
	my $indexes = "CREATE INDEX ${table}_code ON $table USING hamming (code) WITH (fillfactor = " . (50, 80, 100)[ rand 3 ]
		. "); CREATE INDEX ${table}_masked ON $table USING hamming (masked)";

	push @sql, "CREATE TABLE $table (id int, code bit($bits), masked bit($bits) GENERATED ALWAYS AS (code # B'$mask') STORED)";
	my $first = rand() < 0.5;
	push @sql, $indexes if $first;
	$insert->(1 + rand 900);
	push @sql, $indexes if !$first;
	for my $step (1 .. $steps)
	{
		my $what = rand();

		if ($what < 0.4) { $insert->(1 + rand 700) }
		elsif ($what < 0.55) { push @sql, "UPDATE $table SET code = " . $code->() . ' WHERE id % 7 = ' . int(rand 7) }
		elsif ($what < 0.7) { push @sql, "DELETE FROM $table WHERE id % 10 < " . int(rand 10) }
		elsif ($what < 0.73) { push @sql, "DELETE FROM $table", "VACUUM $table" }
		elsif ($what < 0.93) { push @sql, "VACUUM $table" }
		else { push @sql, "REINDEX INDEX ${table}_code" }
		$compare->() if $step % 3 == 0;
	}
	# By itself VACUUM leaves indexes alone where few pages have dead rows.
	push @sql, "VACUUM (INDEX_CLEANUP on) $table";
	$compare->();
	push @sql, "DO \$\$ BEGIN IF hamming_index_check('${table}_code') <> (SELECT count(*) FROM $table) THEN RAISE 'rows are missing'; END IF; END \$\$";
	return join(";\n", @sql) . ";\n";
}

srand($seed);
for my $kind ('uniform', 'clustered', 'equal')
{
	for my $bits (16, 48, 64, 100, 128, 256, 1024)
	{
		my $file = $node->basedir . "/${kind}_$bits.sql";
		my ($out, $err) = ('', '');

		append_to_file($file, schedule($kind, $bits));
		IPC::Run::run([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-f', $file ], '>', \$out, '2>', \$err);
		is($err, '', "$kind, $bits bits, seed $seed");
	}
}
$node->stop;
done_testing();
