# The binary form of hamming_ball: what COPY writes it reads back, and what a stranger writes is checked.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION eddh');

my $folder = PostgreSQL::Test::Utils::tempdir();

$node->safe_psql('postgres', qq{
	CREATE TABLE balls AS SELECT 0 AS n, hamming_ball(B'', 0) AS ball;
	INSERT INTO balls SELECT n, hamming_ball(substring((SELECT string_agg(('x' || md5(n || ':' || b))::bit(128)::text, '')
		FROM generate_series(0, 2) b) FOR n)::varbit, n * n) FROM generate_series(1, 300) n;
	COPY balls TO '$folder/balls' (FORMAT binary);
	CREATE TABLE copied (LIKE balls);
	COPY copied FROM '$folder/balls' (FORMAT binary)});
is( $node->safe_psql('postgres', q{
	SELECT count(*), count(*) FILTER (WHERE b.ball::text = c.ball::text) FROM balls b JOIN copied c USING (n)}),
	'301|301', 'COPY BINARY brings every ball back');

# One row of one column, as COPY BINARY has it.
sub copy_in
{
	my ($field) = @_;
	my $file = "$folder/crafted";

	open my $handle, '>:raw', $file or die "cannot write $file: $!";
	print $handle "PGCOPY\n\377\r\n\0", pack('NN', 0, 0), pack('n', 1), pack('N', length $field), $field, pack('n', 0xFFFF);
	close $handle;
	return $node->psql('postgres', qq{
		\\set VERBOSITY sqlstate
		CREATE TEMP TABLE crafted (ball hamming_ball);
		COPY crafted FROM '$file' (FORMAT binary);
		SELECT ball FROM crafted});
}

sub accepted
{
	my ($field, $expected, $name) = @_;
	my ($status, $stdout, $stderr) = copy_in($field);

	is("$stdout$stderr", $expected, $name);
}

sub refused
{
	my ($field, $state, $name) = @_;
	my ($status, $stdout, $stderr) = copy_in($field);

	like($stderr, qr/ERROR:  $state\b/, $name);
}

accepted(pack('NNC', 2, 4, 0xB0), '(1011,2)', 'a ball by hand');
accepted(pack('NNC', 2, 4, 0xBF), '(1011,2)', 'bits beyond the last are ignored, as bit does');
accepted(pack('NN', 7, 0), '(,7)', 'no bits');
refused(pack('NNC', 0xFFFFFFFF, 4, 0xB0), '22023', 'negative radius');
refused(pack('NNC', 2, 0xFFFFFFFF, 0xB0), '22P03', 'negative length');
refused(pack('NNC', 2, 0x7FFFFFFF, 0xB0), '22P03', 'a length far beyond the bytes');
refused(pack('NNC', 2, 9, 0xB0), '22P03', 'one bit more than bytes');
refused(pack('NNCC', 2, 8, 0xB0, 0), '22P03', 'one byte too many');
refused(pack('N', 2), '08P01', 'half a header');
refused('', '08P01', 'nothing');
is($node->safe_psql('postgres', 'SELECT 1'), '1', 'the server is still there');

$node->stop;
done_testing();
