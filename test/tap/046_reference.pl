# An exported model computes the same codes outside of the server: the independent ONNX runtime on the same pixels.
use strict;
use warnings;
use EddhJobs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'the reference runtime is not installed (scripts/install-deps --reference)' unless $ENV{EDDH_REFERENCE};

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
fill_pictures($node, 'postgres');

# Pictures of the network's own size: nothing is resampled, so the pixels are known.
my ($count, $size) = (32, 32);
$node->safe_psql('postgres', qq{CREATE TABLE exact AS SELECT i AS id, pixels, png(pixels, $size, $size) AS image
	FROM generate_series(1, $count) AS i, LATERAL (SELECT string_agg(
		CASE WHEN part / (3 * (1 + i % 5)) % 2 = 0 THEN sha256(('exact ' || i || ' ' || part)::bytea) ELSE decode(repeat(to_hex(16 + i * 7), 32), 'hex') END,
		'' ORDER BY part) AS pixels FROM generate_series(0, 3 * $size * $size / 32 - 1) AS part) AS p});

# The floats that src/model/README.md tells to compute: planes of (pixel - mean) / std.
my $input = '';
for my $hex (split /\n/, $node->safe_psql('postgres', q{SELECT encode(pixels, 'hex') FROM exact ORDER BY id}))
{
	my @pixels = unpack('C*', pack('H*', $hex));
	for my $channel (0 .. 2)
	{
		$input .= pack('f<*', map { ($pixels[ 3 * $_ + $channel ] - 128) / 64 } 0 .. $size * $size - 1);
	}
}

sub write_file
{
	my ($path, $bytes) = @_;

	open(my $file, '>:raw', $path) or die "$path: $!";
	print $file $bytes;
	close($file) or die "$path: $!";
}

# A network that was trained whole, a hash layer alone, the same on kernel anchors, a rotation.
my %options = (
	all => q{'label', 24, options => '{"epochs": 3, "threads": 1}'},
	hash => q{'label', 24, options => '{"epochs": 3, "threads": 1, "train_layers": "hash", "head": "linear"}'},
	# The default kernel, and a wide one: these made-up pictures are unlike those of the training, and far from all anchors a narrow kernel vanishes.
	narrow => q{'label', 24, options => '{"epochs": 3, "threads": 1, "train_layers": "hash", "head": "anchors"}'},
	anchors => q{'label', 24, options => '{"epochs": 3, "threads": 1, "train_layers": "hash", "head": "anchors", "kernel_width": 4}'},
	itq => q{NULL, 24});
my $folder = PostgreSQL::Test::Utils::tempdir();
for my $model (sort keys %options)
{
	my $job = $node->safe_psql('postgres', "SELECT eddh_train('$model', 'picture', 'image', $options{$model})");
	$node->safe_psql('postgres', "SELECT eddh_wait($job)");
	write_file("$folder/$model.onnx", pack('H*', $node->safe_psql('postgres', "SELECT encode(eddh_export_model('$model'), 'hex')")));
	write_file("$folder/$model.input", $input);
	write_file("$folder/$model.dims", "$count 3 $size $size");
}
{
	local $ENV{NODE_PATH} = "$ENV{EDDH_REFERENCE}/node_modules";
	command_ok([ 'node', "$ENV{TESTDIR}/test/reference/features.js", $folder ], 'the reference runs the exported models');
}
for my $model (sort keys %options)
{
	my @codes = split /\n/, $node->safe_psql('postgres', "SELECT eddh_encode(image, '$model') FROM exact ORDER BY id");
	my @outputs = unpack('f<*', slurp_file("$folder/$model.output"));
	my ($wrong, $near, $bit, %seen) = (0, 0, 0);

	is(scalar(@outputs), $count * 24, "$model: an output for each bit");
	for my $value (@outputs)
	{
		my $expected = substr($codes[ int($bit / 24) ], $bit % 24, 1);

		$near++ if abs($value) <= 1e-4;
		$wrong++ if abs($value) > 1e-4 && $expected != ($value >= 0);
		$bit++;
	}
	is($wrong, 0, "$model: equal codes wherever the output is not next to zero");
	cmp_ok($near, '<', $bit / 10, "$model: it hardly ever is");
	$seen{$_}++ for @codes;
	cmp_ok(scalar(keys %seen), '>', 3, "$model: the codes differ between pictures") if $model ne 'narrow';
}
$node->stop;
done_testing();
