# The file of the backbone `photo`: missing, damaged, and whole again.
use strict;
use warnings;
use File::Copy qw(copy move);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($share) = run_command([ $ENV{PG_CONFIG}, '--sharedir' ]);
my $file = "$share/extension/eddh_photo.onnx";
plan skip_all => 'the installed files cannot be changed here' unless -w $file && -w "$share/extension";

my $node = PostgreSQL::Test::Cluster->new('photo');
$node->init;
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION eddh');
# One black pixel as PNG.
my $features = q{SELECT cardinality(eddh_features(decode('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGNgYGAAAAAEAAH2FzhVAAAAAElFTkSuQmCC', 'base64'), 'photo'))};

sub failure
{
	my (undef, undef, $stderr) = $node->psql('postgres', $features);
	return $stderr;
}

move($file, "$file.away") or die $!;
like(failure(), qr/could not open file ".*eddh_photo\.onnx".*make install/s, 'a missing file is named, and what to do');

copy("$file.away", $file) or die $!;
open my $handle, '+<:raw', $file or die $!;
seek $handle, 100_000, 0;
print $handle "\0\1\2\3";
close $handle;
like(failure(), qr/does not hold the weights of backbone "photo".*SHA-256/s, 'a damaged file is refused');

open $handle, '>:raw', $file or die $!;
close $handle;
like(failure(), qr/does not hold the weights of backbone "photo"/, 'an empty file is refused');

move("$file.away", $file) or die $!;
is($node->safe_psql('postgres', $features), '512', 'and the whole one works');

# It ends in a linear layer, which is what fc trains.
my @sha;
$node->safe_psql('postgres', slurp_file("$ENV{TESTDIR}/sql_tests/include/helpers.sql"));
$node->safe_psql('postgres', 'CREATE TABLE picture AS SELECT i % 4 AS label, picture(i % 4, i) AS image FROM generate_series(1, 48) AS i');
for my $layers ('hash', 'fc')
{
	my $job = $node->safe_psql('postgres', qq{SELECT eddh_train('$layers', 'picture', 'image', 'label', 16, backbone => 'photo', options => '{"train_layers": "$layers", "epochs": 4, "head_epochs": 4, "threads": 1}')});

	is($node->safe_psql('postgres', "SELECT eddh_wait($job)"), 'done', "$layers: done");
	is($node->safe_psql('postgres', "SELECT coalesce(remarks, '') ~ 'fully connected' FROM eddh_jobs WHERE job = $job"), 'f', "$layers: nothing to remark");
	push @sha, $node->safe_psql('postgres', "SELECT sha256(eddh_export_model('$layers'))");
}
isnt($sha[0], $sha[1], 'and another model comes of it');

# From now on it is in the cache.
move($file, "$file.away") or die $!;
is($node->safe_psql('postgres', $features), '512', 'a mapped network needs its file no more');
move("$file.away", $file) or die $!;

done_testing();
END { move("$file.away", $file) if defined $file && -e "$file.away"; }
