# Where a training keeps its pictures, and that its memory does not grow with the table.
use strict;
use warnings;
use EddhJobs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "max_worker_processes = 8\nautovacuum = off");
$node->start;
fill_pictures($node, 'postgres');

# cnn-s sees 32 x 32 pixels, 3,072 bytes. Files of three lengths with the same pixels: short, long, and exactly that.
$node->safe_psql('postgres', q{
	CREATE FUNCTION padded(image bytea, length int) RETURNS bytea LANGUAGE sql AS $$
		SELECT substring(image FROM 1 FOR length(image) - 12) || png_chunk('tEXt', 'Comment' || '\x00'::bytea || convert_to(repeat('x', length - length(image) - 20), 'SQL_ASCII'))
			|| substring(image FROM length(image) - 11) $$;
	UPDATE picture SET image = padded(image, CASE id % 3 WHEN 1 THEN 2000 ELSE 3072 END) WHERE id % 3 > 0;
});
is($node->safe_psql('postgres', 'SELECT array_agg(DISTINCT length(image) ORDER BY length(image)) FROM picture'), '{268,2000,3072}', 'files of three lengths');

# What the caller is told, and how the training ended.
sub train
{
	my ($model, $options, $settings) = @_;
	my ($code, $job, $told) = $node->psql('postgres', ($settings // '') . qq{SELECT eddh_train('$model', 'picture', 'image', 'label', 16,
		backbone => 'cnn-s', options => '{"batch": 20, "crop": 0.4, "flip": true, $options}')});
	my ($ended, $out, $error) = $node->psql('postgres', "SELECT eddh_wait($job)");

	return ($told, $ended == 0 ? $out : $error);
}

# ---- The form of the pictures changes nothing ----

my %log;
for my $decode ('auto', 'once', 'always')
{
	my ($told, $end) = train($decode, qq{"decode": "$decode", "epochs": 6});

	is($end, 'done', "decode $decode");
	$log{$decode} = $node->safe_psql('postgres',
		"SELECT l.measure, l.epoch, l.value FROM eddh_job_log AS l JOIN eddh_jobs USING (job) WHERE model = '$decode' ORDER BY 1, 2");
}
like($log{once}, qr/^loss\|6\|/m, 'six epochs are logged');
is($log{$_}, $log{once}, "$_: losses and quality are those of pictures that were decoded once, to the last digit") for 'auto', 'always';

# ---- What it takes of the disk ----

# Unpacked: 96 x 3,072 bytes; those of half that length or less as files; all as files. And where each ends.
my %bytes = (once => 96 * 3072 + 768, auto => 32 * 268 + 64 * 3072 + 768, always => 32 * (268 + 2000 + 3072) + 768);
for my $decode (sort keys %bytes)
{
	my $more = int($bytes{$decode} / 1024) + 1;
	my $kilobytes = int($bytes{$decode} / 1000) + 1;
	my ($told, $end) = train("less_$decode", qq{"decode": "$decode", "epochs": 2}, "SET temp_file_limit = @{[$more - 2]};");

	like($told, qr/ $kilobytes kB of temporary disk/, "decode $decode: what is told");
	like($end, qr/temporary file size exceeds temp_file_limit/, "decode $decode: takes more than a little less");
	(undef, $end) = train("more_$decode", qq{"decode": "$decode", "epochs": 2}, "SET temp_file_limit = $more;");
	is($end, 'done', "decode $decode: takes that");
}

$node->stop;
done_testing();
