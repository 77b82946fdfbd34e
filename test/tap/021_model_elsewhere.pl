# Models answer the same after a dump and restore, and on a standby.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->start;
my $helpers = slurp_file("$ENV{TESTDIR}/sql_tests/include/helpers.sql");

sub run
{
	my ($node, $database, $statements) = @_;
	return $node->safe_psql($database, "SET client_min_messages = warning; $statements");
}

# A standby has no temporary objects, so pictures come from a table.
run($primary, 'postgres', qq{
	CREATE EXTENSION eddh;
	CREATE ROLE tester;
	CREATE ROLE dumper LOGIN IN ROLE pg_read_all_data;
	$helpers;
	CREATE TABLE picture AS SELECT i AS id, pg_temp.picture(i) AS image FROM generate_series(1, 30) AS i;
	SELECT eddh_import_model('shoes', pg_temp.untrained());
	SELECT eddh_grant_model('shoes', 'tester');
	SET ROLE tester;
	SELECT eddh_import_backbone('network', eddh_export_backbone('cnn-s'), '{"cut": "fc7"}');
	RESET ROLE;
	ALTER TABLE picture ADD COLUMN code bit(256);
	CREATE TRIGGER encode BEFORE INSERT OR UPDATE OF image ON picture FOR EACH ROW EXECUTE FUNCTION eddh_encode_trigger('shoes', 'image', 'code');
	UPDATE picture SET image = image || ''::bytea;
	UPDATE picture SET code = eddh_encode(image, 'shoes');
});
my $answers = q{
	SELECT md5(string_agg(eddh_encode(image, 'shoes')::text || eddh_features(image, 'network')::text, '' ORDER BY id)) FROM picture;
	SELECT count(*) FROM picture WHERE code = eddh_encode(image, 'shoes');
	SELECT id FROM picture ORDER BY code <-> (SELECT eddh_encode(image, 'shoes') FROM picture WHERE id = 7), id LIMIT 5};
my $catalog = q{
	SELECT to_jsonb(m) FROM eddh_models AS m ORDER BY model;
	SELECT to_jsonb(b) - 'created' FROM eddh_backbones AS b WHERE b.builtin ORDER BY backbone;
	SELECT to_jsonb(b) FROM eddh_backbones AS b WHERE NOT b.builtin ORDER BY backbone};
my $expected = run($primary, 'postgres', $answers);
my $expected_catalog = run($primary, 'postgres', $catalog);

# Dump and restore.
my $dump = "$PostgreSQL::Test::Utils::tmp_check/dump.sql";
$primary->command_ok([ 'pg_dump', '--file', $dump, $primary->connstr('postgres') ], 'dumped');
$primary->command_ok([ 'pg_dump', '--username=dumper', '--file', "$dump.2", $primary->connstr('postgres') ], 'dumped by a member of pg_read_all_data');
# Newer pg_dump begins and ends with a random word.
is(slurp_file("$dump.2") =~ s/^\\(un)?restrict .*//mgr, slurp_file($dump) =~ s/^\\(un)?restrict .*//mgr, '... the same');
unlike(slurp_file($dump), qr/cnn-f/, 'built-in backbones are not in a dump');
$primary->safe_psql('postgres', 'CREATE DATABASE restored');
$primary->command_ok([ 'psql', '--no-psqlrc', '--quiet', '--set=ON_ERROR_STOP=1', '--file', $dump, $primary->connstr('restored') ], 'restored');
is(run($primary, 'restored', $answers), $expected, 'restored: the same answers');
is(run($primary, 'restored', $catalog), $expected_catalog, 'restored: the same models, backbones, owners and grants');
run($primary, 'restored', qq{$helpers; SELECT eddh_import_model('new', pg_temp.untrained())});
is(run($primary, 'restored', q{SELECT count(DISTINCT id) = count(*) FROM (SELECT id FROM eddh_catalog.model UNION ALL SELECT id FROM eddh_catalog.backbone) AS o}),
	't', 'restored: new models have new ids');

# A standby, from a base backup.
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
$primary->wait_for_catchup($standby);
is(run($standby, 'postgres', $answers), $expected, 'standby: the same answers, at first use');
is(scalar(my @files = glob($standby->data_dir . '/base/pgsql_tmp/pgsql_tmp_eddh.*')), 2, 'standby: with files of its own');
my ($status, $output, $error) = $standby->psql('postgres', q{SELECT eddh_drop_model('shoes')});
like($error, qr/cannot execute eddh_drop_model\(\) (in a read-only transaction|during recovery)/, 'standby: nothing can be dropped');
like($standby->safe_psql('postgres', q{SET eddh.model = 'shoes'; SELECT length(eddh_encode(image)) FROM picture LIMIT 1}), qr/256/, 'standby: settings work');

# What happens on the primary is noticed by an open session.
run($primary, 'postgres', qq{$helpers; SELECT eddh_import_model('shoes', eddh_export_backbone('cnn-s'), '{"replace": true}')});
$primary->wait_for_catchup($standby);
is( run($standby, 'postgres', q{SELECT md5(string_agg(eddh_encode(image, 'shoes')::text, '' ORDER BY id)) FROM picture}),
	run($primary, 'postgres', q{SELECT md5(string_agg(eddh_encode(image, 'shoes')::text, '' ORDER BY id)) FROM picture}),
	'standby: replaced with the primary');
run($primary, 'postgres', q{SELECT eddh_drop_model('shoes')});
$primary->wait_for_catchup($standby);
($status, $output, $error) = $standby->psql('postgres', q{SELECT eddh_encode(image, 'shoes') FROM picture});
like($error, qr/model "shoes" does not exist/, 'standby: dropped with the primary');

$standby->stop;
$primary->stop;
done_testing();
