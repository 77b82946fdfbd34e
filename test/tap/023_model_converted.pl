# A published CNN-F, converted and imported, keeps both dense layers, in full and in half precision.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'reference packages are missing (scripts/install-deps --networks)' unless $ENV{EDDH_PYTHON};

my $dir = PostgreSQL::Test::Utils::tempdir;
system_or_bail($ENV{EDDH_PYTHON}, '-B', '-c', <<'PYTHON', $dir);
import sys
sys.path[:0] = ["test/tools", "tools/networks"]
import numpy as np
import cnn_f
import test_cnn_f as written

cnn_f.DENSE = written.SMALL
read = cnn_f.from_caffe(written.to_caffe(written.random_layers(np.random.default_rng(1))))
for name, half in (("whole", False), ("half", True)):
    cnn_f.write(f"{sys.argv[1]}/{name}.onnx", read, cnn_f.mean_of(np.full((1, 1, 3), 120, np.float32), False), half=half)
PYTHON

my $node = PostgreSQL::Test::Cluster->new('converted');
$node->init;
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION eddh');
$node->safe_psql('postgres', "SELECT eddh_import_backbone('$_', pg_read_binary_file('$dir/$_.onnx'))") for qw(whole half);
is($node->safe_psql('postgres', q{SELECT backbone, features FROM eddh_backbones WHERE NOT builtin ORDER BY backbone}),
	"half|80\nwhole|80", 'the features are those of the last dense layer');

# One black pixel as PNG.
my $pixel = q{decode('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGNgYGAAAAAEAAH2FzhVAAAAAElFTkSuQmCC', 'base64')};
is($node->safe_psql('postgres', qq{SELECT corr(a, b) BETWEEN 0.999 AND 0.9999999, stddev(a) > 0
	FROM unnest(eddh_features($pixel, 'whole'), eddh_features($pixel, 'half')) AS f(a, b)}),
	't|t', 'half precision changes them a little');
# fc6 has 884,736 weights, all others 2.3 million together.
is($node->safe_psql('postgres', q{SELECT max(size) - min(size) FROM pg_ls_tmpdir() WHERE name LIKE 'pgsql_tmp_eddh.%'}),
	884736 * 2, 'what backends map has halves for the large layer');
$node->stop;
done_testing();
