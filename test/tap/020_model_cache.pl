# The file of decoded weights: one for all backends, made on demand, believed only if it is right, gone with its model.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(allows_streaming => 1);
$node->start;
my $folder = $node->data_dir . '/base/pgsql_tmp';

# Helpers live in pg_temp, so every session reads them.
my $helpers = slurp_file("$ENV{TESTDIR}/sql_tests/include/helpers.sql");
sub run
{
	my ($statements) = @_;
	my $output = $node->safe_psql('postgres', "SET client_min_messages = warning; $helpers; $statements");
	$output =~ s/^\n+//;
	return $output;
}

sub files
{
	my @files = sort map { s/.*\///r } glob "$folder/pgsql_tmp_eddh.*";
	return @files;
}

sub overwrite
{
	my ($content) = @_;
	for my $file (files())
	{
		open(my $handle, '>', "$folder/$file") or die "$file: $!";
		print $handle $content;
		close $handle;
	}
}

$node->safe_psql('postgres', 'CREATE EXTENSION eddh');
run(q{SELECT eddh_import_model('shoes', pg_temp.untrained())});
is(scalar(files()), 0, 'no file before anybody needs it');
my $code = q{SELECT eddh_encode(pg_temp.picture(1), 'shoes')};
my $right = run($code);
like($right, qr/^[01]{256}$/, 'a code');
my @first = files();
is(scalar(@first), 1, 'one file');
my $inode = (stat "$folder/$first[0]")[1];
is(run($code), $right, 'another session: the same code');
is_deeply([ files() ], \@first, '... from the same file');
is((stat "$folder/$first[0]")[1], $inode, '... which was not written again');
is(run("$code; SELECT count(*) FROM pg_ls_dir('/proc/self/task')"), "$right\n1", 'an encoding backend has one thread');
my $mapped = run("$code; SELECT string_agg(DISTINCT perms, ',') FROM (SELECT split_part(line, ' ', 2) AS perms
	FROM regexp_split_to_table(pg_read_file('/proc/self/maps', 0, 10000000), E'\\n') AS line WHERE line LIKE '%pgsql_tmp_eddh%') AS l");
is($mapped, "$right\nr--s", 'the weights are mapped read-only and shared');

# What is not what it should be is made anew.
for my $case ([ 'empty', '' ], [ 'foreign', 'x' x 100000 ], [ 'cut off', undef ], [ 'damaged', 'one byte' ])
{
	my ($name, $content) = @$case;
	if (!defined $content)
	{
		truncate("$folder/$_", 1000000) for files();
	}
	elsif ($content eq 'one byte')
	{
		open(my $handle, '+<', "$folder/$first[0]") or die $!;
		seek($handle, 900000, 0);
		read($handle, my $byte, 1);
		seek($handle, 900000, 0);
		print $handle chr(ord($byte) ^ 1);
		close $handle;
	}
	else
	{
		overwrite($content);
	}
	is(run($code), $right, "$name file: replaced");
	is_deeply([ files() ], \@first, '... under its name');
}

# A restart removes it, and nobody minds; many fill it at once.
$node->restart;
is(scalar(files()), 0, 'gone after a restart');
is(join(' ', glob("$folder/*")), '', '... and nothing else was left');
open(my $script, '>', "$PostgreSQL::Test::Utils::tmp_check/encode.sql") or die $!;
print $script "SELECT eddh_features(decode('" . run(q{SELECT encode(pg_temp.picture(1), 'hex')}) . "', 'hex'), 'cnn-s');\n";
close $script;
$node->command_ok(
	[ 'pgbench', '--no-vacuum', '--client=6', '--transactions=2', "--file=$PostgreSQL::Test::Utils::tmp_check/encode.sql",
		'--port=' . $node->port, '--host=' . $node->host, 'postgres' ],
	'six sessions fill a file at once');
is(scalar(files()), 1, '... and one file comes out');

# Dropping and replacing.
is(run($code), $right, 'encoded again after the restart');
is(scalar(files()), 2, 'a file for the model and one for the backbone');
run(q{BEGIN; SELECT eddh_drop_model('shoes'); ROLLBACK});
is(scalar(files()), 2, 'not removed by a rollback');
run(q{BEGIN; SELECT eddh_import_model('shoes', eddh_export_backbone('cnn-s'), '{"replace": true}'); COMMIT});
is(scalar(files()), 1, 'removed when the model is replaced');
run(q{SELECT length(eddh_encode(pg_temp.picture(1), 'shoes')); SELECT eddh_drop_model('shoes')});
is(scalar(files()), 1, 'removed when the model is dropped');

# A session that has a dropped model mapped lets go of it when it opens another.
my $maps = run(q{
	SELECT eddh_import_model('one', pg_temp.untrained());
	SELECT eddh_encode(pg_temp.picture(1), 'one') IS NULL;
	SELECT eddh_drop_model('one');
	SELECT eddh_import_model('two', eddh_export_backbone('cnn-s'));
	SELECT eddh_encode(pg_temp.picture(1), 'two') IS NULL;
	SELECT count(*) FROM regexp_split_to_table(pg_read_file('/proc/self/maps', 0, 10000000), E'\n') AS line WHERE line ~ 'pgsql_tmp_eddh.*deleted'});
like($maps, qr/^0\z/m, 'nothing deleted stays mapped');

# No folder to write to: an error, not a crash; and once there is one, all is well.
$node->stop;
system("rm -rf '$folder'");
append_to_file($folder, 'in the way');
$node->start;
my ($status, $output, $error) = $node->psql('postgres', "$helpers; SELECT eddh_encode(pg_temp.picture(1), 'two')");
like($error, qr/ERROR:  could not create file "base\/pgsql_tmp\/pgsql_tmp_eddh/, 'no folder: an error that names the file');
unlink $folder;
like(run(q{SELECT length(eddh_encode(pg_temp.picture(1), 'two'))}), qr/256/, '... and none as soon as it can be made');

# A base backup skips it.
$node->backup('copy');
is(scalar(my @copied = glob($node->backup_dir . '/copy/base/pgsql_tmp/*')), 0, 'not in a base backup');

$node->stop;
done_testing();
