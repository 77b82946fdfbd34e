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

# ---- What it takes of the memory ----

$node->safe_psql('postgres', "CREATE TABLE many$_ AS SELECT label, image FROM picture, generate_series(1, $_ / 96 + 1) LIMIT $_") for 1200, 6000;

# Codes of 1,024 bits: F and B are arrays of more than a megabyte.
sub start_many
{
	my ($pictures, $model, $settings, $epochs) = @_;

	$epochs //= 2;
	return $node->safe_psql('postgres', ($settings // '') . qq{SELECT eddh_train('$model', 'many$pictures', 'image', 'label', 1024, backbone => 'cnn-s',
		options => '{"train_layers": "hash", "epochs": $epochs, "holdout": 0.01, "similarity_sample": 512, "variant": "h0", "head": "linear"}')});
}

# The most anonymous memory that the worker has at once, in kB: pages of files are not counted.
sub peak
{
	my ($pictures) = @_;
	my $most = 0;
	my $job = start_many($pictures, "many$pictures");
	my $pid = $node->safe_psql('postgres', "SELECT pid FROM eddh_catalog.job WHERE job = $job");

	while (open(my $status, '<', "/proc/$pid/status"))
	{
		while (my $line = <$status>) { $most = $1 if $line =~ /^RssAnon:\s+(\d+)/ && $1 > $most }
		close $status;
		select(undef, undef, undef, 0.01);
	}
	is($node->safe_psql('postgres', "SELECT eddh_wait($job)"), 'done', "$pictures pictures");
	cmp_ok($most, '>', 5_000, 'was looked at');
	return $most;
}

SKIP:
{
	skip 'no /proc', 5 if !-e '/proc/self/status';
	my ($few, $many) = (peak(1200), peak(6000));

	# 4,800 pictures more: F, B and what the network has answered last would take 9 bytes a bit, 44 MB.
	cmp_ok($many, '<', $few + 10_000, "6,000 pictures take what 1,200 do ($many kB, $few kB)");
}

# ---- Where there is no more of the disk, and where somebody cancels ----

# Pictures are 13 MB, features 6; F alone is 25 MB. Every file that is closed is logged, which looks for interrupts.
$node->append_conf('postgresql.conf', 'log_temp_files = 0');
$node->reload;
my $job = start_many(6000, 'full', 'SET temp_file_limit = \'30MB\';');
my ($code, $out, $error) = $node->psql('postgres', "SELECT eddh_wait($job)");
like($error, qr/temporary file size exceeds temp_file_limit/, 'who gets no memory says why');
is($node->safe_psql('postgres', "SELECT phase FROM eddh_jobs WHERE job = $job"), 'similarity', 'it was the method');

$job = start_many(6000, 'cancelled', '', 1000000);
wait_for($node, 'postgres', "SELECT phase = 'train' FROM eddh_jobs WHERE job = $job", 'it has arrays');
$node->safe_psql('postgres', "SELECT eddh_cancel($job)");
is($node->safe_psql('postgres', "SELECT eddh_wait($job, interval '1 minute')"), 'cancelled', 'it lets go of them');

$node->stop;
done_testing();
