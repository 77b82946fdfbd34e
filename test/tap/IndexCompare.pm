# Compares answers of a hamming index with those of a sequential scan, on any server.
package IndexCompare;
use strict;
use warnings;
use Exporter 'import';
our @EXPORT = qw(index_compare_setup index_differences);

# Objects that index_differences needs, on the primary.
sub index_compare_setup
{
	my ($node) = @_;

	$node->safe_psql(
		'postgres', q{
		CREATE EXTENSION eddh;
		CREATE FUNCTION code_of(i bigint) RETURNS bit(64) LANGUAGE sql IMMUTABLE AS $$
			-- one row in three repeats one of 20 codes, one is near to them, one is anywhere
			SELECT CASE i % 3
				WHEN 0 THEN ('x' || md5((i % 20)::text))::bit(64)
				WHEN 1 THEN ('x' || md5((i % 20)::text))::bit(64) #
					(('x' || md5(i || 'a'))::bit(64) & ('x' || md5(i || 'b'))::bit(64) & ('x' || md5(i || 'c'))::bit(64))
				ELSE ('x' || md5(i || 'u'))::bit(64)
			END $$;
	});
}

# Number of queries, of 8, whose answers differ between index and sequential scan; the plan is checked too.
sub index_differences
{
	my ($node, $table) = @_;
	my $differences = 0;

	for my $i (1 .. 4)
	{
		for my $query (
			"SELECT array_agg(d) FROM (SELECT code <-> code_of($i) AS d FROM $table ORDER BY code <-> code_of($i) LIMIT 500) x",
			"SELECT count(*), count(DISTINCT id), sum(id), sum(d) FROM (SELECT id, code <-> code_of($i) AS d FROM $table ORDER BY code <-> code_of($i)) x",
			"SELECT count(*), sum(id) FROM $table WHERE code <@ hamming_ball(code_of($i), 12)")
		{
			my $with = $node->safe_psql('postgres',
				"SET enable_seqscan = off; SET enable_sort = off; $query");
			my $plan = $node->safe_psql('postgres',
				"SET enable_seqscan = off; SET enable_sort = off; EXPLAIN $query");
			my $without = $node->safe_psql('postgres',
				"SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off; $query");

			$differences++ if $with ne $without || $plan !~ /${table}_code/;
		}
	}
	return $differences;
}

1;
