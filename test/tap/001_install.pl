# Installing in a schema of one's choice, walking the upgrade road, and leaving without a trace.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;

# Everything the extension owns, by description and definition, whatever its identifiers.
my $members = q{
	SELECT pg_describe_object(d.classid, d.objid, 0)
		|| coalesce(': ' || CASE WHEN d.classid = 'pg_proc'::regclass AND p.prokind <> 'a' THEN pg_get_functiondef(d.objid)
			WHEN d.classid = 'pg_class'::regclass AND c.relkind = 'v' THEN pg_get_viewdef(d.objid)
			WHEN d.classid = 'pg_class'::regclass THEN (
				SELECT string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum)
				FROM pg_attribute a WHERE a.attrelid = d.objid AND a.attnum > 0) END, '')
		|| coalesce(' -- ' || obj_description(d.objid, d.classid::regclass::name), '')
		|| coalesce(' ' || p.proacl::text, '') || coalesce(' ' || c.relacl::text, '')
	FROM pg_depend d
	LEFT JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
	LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
	WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
		AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'eddh')
	ORDER BY 1};

# What else the extension may leave behind: any object at all outside of system catalogs.
my $everything = q{
	SELECT 'function ' || oid::regprocedure FROM pg_proc WHERE oid >= 16384
	UNION ALL SELECT 'relation ' || oid::regclass FROM pg_class WHERE oid >= 16384 AND relnamespace <> 'pg_toast'::regnamespace
	UNION ALL SELECT 'type ' || oid::regtype FROM pg_type WHERE oid >= 16384 AND typnamespace <> 'pg_toast'::regnamespace
	UNION ALL SELECT 'operator ' || oid::regoperator FROM pg_operator WHERE oid >= 16384
	UNION ALL SELECT 'operator class ' || opcname FROM pg_opclass WHERE oid >= 16384
	UNION ALL SELECT 'operator family ' || opfname FROM pg_opfamily WHERE oid >= 16384
	UNION ALL SELECT 'access method ' || amname FROM pg_am WHERE oid >= 16384
	UNION ALL SELECT 'cast ' || oid FROM pg_cast WHERE oid >= 16384
	UNION ALL SELECT 'schema ' || nspname FROM pg_namespace WHERE oid >= 16384
	UNION ALL SELECT 'event trigger ' || evtname FROM pg_event_trigger
	UNION ALL SELECT 'comment ' || description FROM pg_description WHERE objoid >= 16384
	ORDER BY 1};

sub install
{
	my ($database, @statements) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $database");
	my $before = $node->safe_psql($database, $everything);
	$node->safe_psql($database, $_) for @statements;
	return $before;
}

my $before = install('direct', 'CREATE SCHEMA pictures', 'CREATE EXTENSION eddh SCHEMA pictures');
install('upgraded', 'CREATE SCHEMA pictures', q{CREATE EXTENSION eddh SCHEMA pictures VERSION '1.0'},
	'ALTER EXTENSION eddh UPDATE');

my $direct = $node->safe_psql('direct', $members);
is($node->safe_psql('upgraded', $members), $direct, 'upgraded from 1.0 = installed directly');
isnt($direct, '', 'the extension owns something');
is( $node->safe_psql('upgraded', q{SELECT extversion FROM pg_extension WHERE extname = 'eddh'}),
	$node->safe_psql('direct', q{SELECT default_version FROM pg_available_extensions WHERE name = 'eddh'}),
	'the upgrade leads to the default version');
is( $node->safe_psql('direct', q{
	SELECT count(*) FROM pg_depend d JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
	WHERE d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass AND p.pronamespace = 'public'::regnamespace}),
	'0', 'nothing lands in public when another schema is asked for');
is( $node->safe_psql('direct', q{
	SELECT string_agg(p.oid::regprocedure::text, ', ') FROM pg_depend d
	JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
	WHERE d.deptype = 'e' AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'eddh')
		AND obj_description(p.oid, 'pg_proc') IS NULL}),
	'', 'every function has a comment');

$node->safe_psql('direct', 'DROP EXTENSION eddh; DROP SCHEMA pictures');
is($node->safe_psql('direct', $everything), $before, 'DROP EXTENSION leaves nothing');

$node->safe_psql('direct', 'CREATE EXTENSION eddh');
is($node->safe_psql('direct', q{SELECT hamming_distance(B'1011', B'0010'), B'1011' <-> B'0010'}), '2|2', 'installed again, in public');

# Neighbours in one schema, whichever comes first: the names that pgvector 0.8 gives to things of type bit.
my $pgvector = q{
	CREATE FUNCTION hamming_distance(bit, bit) RETURNS float8 LANGUAGE sql RETURN bit_count($1 # $2);
	CREATE FUNCTION jaccard_distance(bit, bit) RETURNS float8 LANGUAGE sql RETURN 0;
	CREATE OPERATOR <~> (LEFTARG = bit, RIGHTARG = bit, FUNCTION = hamming_distance, COMMUTATOR = '<~>');
	CREATE OPERATOR <%> (LEFTARG = bit, RIGHTARG = bit, FUNCTION = jaccard_distance, COMMUTATOR = '<%>')};
my $together = q{SELECT B'1011' <-> B'0010', B'1011' <~> B'0010', hamming_distance(B'1011', B'0010'),
	B'1011' <@ hamming_ball(B'0010', 2), hamming_distance(B'1011'::varbit, B'0010')};

install('pgvector_first', $pgvector, 'CREATE EXTENSION eddh');
is($node->safe_psql('pgvector_first', $together), '2|2|2|t|2', 'beside pgvector, installed after it');
install('pgvector_second', 'CREATE EXTENSION eddh', $pgvector);
is($node->safe_psql('pgvector_second', $together), '2|2|2|t|2', 'beside pgvector, installed before it');

$node->stop;
done_testing();
