# Damaged pages: hamming_index_check names the block, and neither it nor searches, inserts or VACUUM crash or hang.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use IndexCompare;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('damage');
$node->init;
$node->append_conf('postgresql.conf', "autovacuum = off\nstatement_timeout = 20s");
$node->start;
index_compare_setup($node);

# The layout of HamOpaque and of the pages (ham.h, inner.c) for codes of 64 bits.
my $special = 8192 - 64;
my %kinds = (meta => 1, inner => 2, leaf => 3, pointers => 4, chain => 5);
my @cases = (
	[ 'length 0', 'meta', 64 + 8, 'L', 0 ],
	[ 'length out of range', 'meta', 64 + 8, 'L', 1000000 ],
	[ 'too many entries', 'inner', $special + 30, 'S', 65535 ],
	[ 'no entry', 'inner', $special + 30, 'S', 0 ],
	[ 'a decision that leads out of the page', 'inner', 4544 + 26, 's', 32767 ],
	[ 'a decision that leads to itself', 'inner', 4544 + 26, 's', 0 ],
	[ 'an entry out of range', 'inner', 4544 + 26, 's', -30000 ],
	[ 'too many codes', 'leaf', $special + 30, 'S', 65535 ],
	[ 'no array', 'leaf', $special + 24, 'L', 2**32 - 1 ],
	[ 'an item beyond the page', 'pointers', 24, 'L', 0x7FF0 | 1 << 15 | 4096 << 17 ],
	[ 'too many pointers', 'chain', $special + 30, 'S', 65535 ],
	[ 'pointers of no width', 'chain', $special + 34, 'C', 0 ],
	[ 'a ring', 'chain', $special + 16, 'own', 0 ],
);

my %paths;
for my $i (0 .. $#cases)
{
	$node->safe_psql('postgres', qq{
		CREATE TABLE t$i (code bit(64));
		INSERT INTO t$i SELECT CASE WHEN i % 4 = 0 THEN code_of(3) ELSE code_of(i) END FROM generate_series(1, 12000) i;
		CREATE INDEX i$i ON t$i USING hamming (code);
		DELETE FROM t$i WHERE ctid < '(10,1)';
	});
	$paths{$i} = $node->data_dir . '/' . $node->safe_psql('postgres', "SELECT pg_relation_filepath('i$i')");
}
$node->stop;

for my $i (0 .. $#cases)
{
	my ($name, $kind, $offset, $format, $value) = @{ $cases[$i] };
	my ($block, $page) = (-1);

	open(my $file, '+<:raw', $paths{$i}) or die "$paths{$i}: $!";
	do
	{
		$block++;
		sysseek($file, $block * 8192, 0);
		sysread($file, $page, 8192) == 8192 or die "no page of kind $kind";
	} until unpack('C', substr($page, $special + 32, 1)) == $kinds{$kind};
	my $bytes = $format eq 'own' ? pack('L', $block) . substr($page, $special + 8, 4) : pack($format, $value);
	sysseek($file, $block * 8192 + $offset, 0);
	syswrite($file, $bytes);
	close($file);
}

$node->start;
my $started = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');
for my $i (0 .. $#cases)
{
	my $name = $cases[$i][0];
	my ($status, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nSELECT hamming_index_check('i$i')");

	like($err, qr/ERROR:  XX002: /, "$name: the check says so");
	# What else meets it may answer or fail.
	for my $sql (
		"SELECT count(*) FROM (SELECT code FROM t$i ORDER BY code <-> code_of(3)) x",
		"SELECT count(*) FROM t$i WHERE code <@ hamming_ball(code_of(1), 64)",
		"INSERT INTO t$i SELECT code_of(i) FROM generate_series(1, 1500) i",
		"VACUUM t$i")
	{
		$node->psql('postgres', "SET enable_seqscan = off; SET enable_sort = off;\n$sql",
			stdout => \$out, stderr => \$err);
		unlike($err, qr/server closed|terminated abnormally|PANIC|No such file/, "$name: no crash of " . substr($sql, 0, 25));
	}
}
is($node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()'), $started, 'the server stays up');
unlike(slurp_file($node->logfile), qr/terminated by signal/, 'no process crashed');
$node->stop;
done_testing();
