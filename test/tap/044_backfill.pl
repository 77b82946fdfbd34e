# eddh_encode_table: every row that needs a code gets the one that eddh_encode gives, and nothing else changes.
use strict;
use warnings;
use EddhJobs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', 'autovacuum = off');
$node->start;
fill_pictures($node, 'postgres');

sub encode
{
	my ($arguments) = @_;
	my $job = $node->safe_psql('postgres', "SELECT eddh_encode_table($arguments)");
	is($node->safe_psql('postgres', "SELECT eddh_wait($job)"), 'done', "encoded: $arguments");
	return $job;
}

# Codes where none are, that differ from the right ones, and that are wrong in a way that can be counted.
sub wrong
{
	my ($table) = @_;
	return $node->safe_psql('postgres', "SELECT count(*) FILTER (WHERE code IS NULL) || ' ' || count(*) FILTER (WHERE code <> eddh_encode(image, 'm')) FROM $table");
}

my $job = $node->safe_psql('postgres', q{SELECT eddh_train('m', 'picture', 'image', 'label', 16, options => '{"epochs": 2, "threads": 1}')});
$node->safe_psql('postgres', "SELECT eddh_wait($job)");
$node->safe_psql('postgres', q{ALTER TABLE picture ADD COLUMN code bit(16);
	UPDATE picture SET code = repeat('1', 16)::bit(16) WHERE id = 1});

my $one = $node->safe_psql('postgres', q{SELECT (eddh_encode(image, 'm') <> repeat('1', 16)::bit(16))::int FROM picture WHERE id = 1});
$job = encode(q{'picture', 'image', 'code', 'm'});
is(wrong('picture'), "0 $one", 'every code is that of eddh_encode; the row that had one kept it');
is($node->safe_psql('postgres', "SELECT kind, done, total, skipped FROM eddh_jobs WHERE job = $job"), 'encode|95|95|0', 'its job');
$job = encode(q{'picture', 'image', 'code', 'm'});
is($node->safe_psql('postgres', "SELECT done FROM eddh_jobs WHERE job = $job"), '0', 'nothing is left to do');
$job = encode(q{'picture', 'image', 'code', 'm', '{"all": true}'});
is(wrong('picture'), '0 0', 'all: also the row that had one');
is($node->safe_psql('postgres', "SELECT done FROM eddh_jobs WHERE job = $job"), $one, 'and rows whose code is right are not written again');

# Partitions, bad pictures, a column of varying length.
$node->safe_psql('postgres', q{CREATE TABLE parts (id int, image bytea, code bit varying) PARTITION BY LIST (id);
	CREATE TABLE parts_odd PARTITION OF parts FOR VALUES IN (1, 3, 5, 7, 9);
	CREATE TABLE parts_rest PARTITION OF parts DEFAULT;
	INSERT INTO parts SELECT id, image FROM picture;
	INSERT INTO parts VALUES (101, 'no picture'), (103, NULL), (9, '')});
$job = encode(q{'parts', 'image', 'code', 'm'});
is($node->safe_psql('postgres', q{SELECT count(code) FROM parts}), '96', 'all good pictures of all partitions');
is($node->safe_psql('postgres', q{SELECT count(*) FROM parts AS p JOIN picture AS q USING (id) WHERE p.code = q.code::bit varying}), '96', 'with the right codes');
like($node->safe_psql('postgres', "SELECT done, skipped, skipped_example FROM eddh_jobs WHERE job = $job"), qr/^96\|2\|row \(\d+,\d+\) of public\.parts_/, 'bad ones are counted and one is named');

# However threads share a batch, bad pictures in it: every picture once, and no code in another's row.
for my $threads (1, 3, 7)
{
	$node->safe_psql('postgres', "UPDATE parts SET code = NULL; ALTER DATABASE postgres SET eddh.train_threads = $threads");
	encode(q{'parts', 'image', 'code', 'm'});
	is($node->safe_psql('postgres', q{SELECT count(code), count(*) FILTER (WHERE code <> eddh_encode(image, 'm')::bit varying) FROM parts WHERE id <= 100 AND image <> ''}), '96|0', "$threads threads");
}
$node->safe_psql('postgres', 'ALTER DATABASE postgres RESET eddh.train_threads');

# Interrupted at any moment, it goes on. Many rows, and a trigger that slows them down.
$node->safe_psql('postgres', q{CREATE TABLE many AS SELECT g * 100 + id AS id, image, NULL::bit(16) AS code FROM picture, generate_series(1, 20) AS g;
	CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.005); RETURN NEW; END $$;
	CREATE TRIGGER slow BEFORE UPDATE OF code ON many FOR EACH ROW EXECUTE FUNCTION slow();
	CREATE TRIGGER encode BEFORE UPDATE OF image ON many FOR EACH ROW EXECUTE FUNCTION eddh_encode_trigger('m', 'image', 'code')});
$job = $node->safe_psql('postgres', q{SELECT eddh_encode_table('many', 'image', 'code', 'm')});
wait_for($node, 'postgres', "SELECT done > 0 AND total = 1920 AND eta IS NOT NULL OR state NOT IN ('queued', 'running') FROM eddh_jobs WHERE job = $job", 'it tells how far it is, of how much');
$node->safe_psql('postgres', "SELECT eddh_cancel($job)");
is($node->safe_psql('postgres', "SELECT eddh_wait($job)"), 'cancelled', 'cancelled in the middle');
my $before = $node->safe_psql('postgres', 'SELECT count(code) FROM many');
cmp_ok($before, '<', 1920, 'something is left');
$node->safe_psql('postgres', "SELECT eddh_resume($job)");
# Others change pictures meanwhile: none may end with the code of its old picture.
$node->safe_psql('postgres', "UPDATE many SET image = picture(1, id) WHERE id % 7 = 0") for (1 .. 3);
is($node->safe_psql('postgres', "SELECT eddh_wait($job)"), 'done', 'resumed to the end');
is($node->safe_psql('postgres', "SELECT done > 0 AND done <= 1920 FROM eddh_jobs WHERE job = $job"), 't', 'without beginning anew');
is(wrong('many'), '0 0', 'no row is left out, and none has the code of another picture');

# The model is replaced by one of another length while the job waits.
my $session = session($node, 'postgres');
ask($session, 'BEGIN');
$job = ask($session, q{SELECT eddh_encode_table('picture', 'image', 'code', 'm')});
my $replace = $node->safe_psql('postgres', q{SELECT eddh_train('m', 'picture', 'image', 'label', 24, options => '{"epochs": 2, "threads": 1, "replace": true}')});
$node->safe_psql('postgres', "SELECT eddh_wait($replace)");
ask($session, 'COMMIT');
fails_with($node, 'postgres', "SELECT eddh_wait($job)", '55000', '24 bits now', 'a model of another length');
finish($session);

unlike(slurp_file($node->logfile), qr/PANIC|TRAP|XX000/, 'no internal errors in the log');
$node->stop;
done_testing();
