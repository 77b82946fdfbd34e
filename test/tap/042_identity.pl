# Whose hand it is: the worker connects as the superuser, but touches user data only as the role that called.
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
my $options = q{options => '{"epochs": 2, "threads": 1}'};

# A role that cannot log in owns the pictures; every row says whose it is, and a policy reads a setting of the session.
$node->safe_psql('postgres', q{
	CREATE ROLE keeper NOLOGIN;
	CREATE ROLE stranger NOLOGIN;
	CREATE ROLE deputy NOLOGIN IN ROLE keeper;
	CREATE SCHEMA keep AUTHORIZATION keeper;
	SET ROLE keeper;
	CREATE TABLE keep.picture (id int, label int, image bytea, tenant text, code bit(8));
	RESET ROLE;
	INSERT INTO keep.picture SELECT id, label, image, CASE WHEN id <= 80 THEN 'a' ELSE 'b' END FROM picture;
	SET ROLE keeper;
	ALTER TABLE keep.picture ENABLE ROW LEVEL SECURITY;
	ALTER TABLE keep.picture FORCE ROW LEVEL SECURITY;
	CREATE POLICY tenants ON keep.picture USING (tenant = current_setting('app.tenant'));
	CREATE TABLE keep.seen (what text, role name, path text);
	CREATE FUNCTION keep.spy(what text) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO keep.seen VALUES (what, current_user, current_setting('search_path'));
	END $$;
});

sub as_role
{
	my ($role, $sql) = @_;
	return $node->safe_psql('postgres', "SET client_min_messages = warning; SET ROLE $role; SET app.tenant = 'a'; $sql");
}

sub train_as
{
	my ($role, $model, $table) = @_;
	my $job = as_role($role, "SELECT eddh_train('$model', '$table', 'image', 'label', 8, $options)");
	my ($code, $out, $err) = $node->psql('postgres', "SET ROLE $role; SELECT eddh_wait($job)", extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	return ($job, $code == 0 ? $out : $err);
}

my ($job, $result) = train_as('keeper', 'kept', 'keep.picture');
is($result, 'done', 'a role without LOGIN trains');
is($node->safe_psql('postgres', "SELECT owner, total FROM eddh_jobs WHERE job = $job"), 'keeper|72', 'row security holds in the worker, with the setting of the session');
is($node->safe_psql('postgres', q{SELECT owner FROM eddh_models WHERE model = 'kept'}), 'keeper', 'the model is its own');

# Backfill: row security again, and triggers run as the owner.
$node->safe_psql('postgres', q{SET ROLE keeper;
	CREATE FUNCTION keep.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM keep.spy('trigger'); RETURN NEW; END $$;
	CREATE TRIGGER note BEFORE UPDATE ON keep.picture FOR EACH ROW WHEN (NEW.id = 7) EXECUTE FUNCTION keep.note();
	CREATE FUNCTION keep.late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM keep.spy('deferred'); RETURN NULL; END $$;
	CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON keep.picture DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW WHEN (NEW.id = 8) EXECUTE FUNCTION keep.late()});
$job = as_role('keeper', q{SELECT eddh_encode_table('keep.picture', 'image', 'code', 'kept')});
is($node->safe_psql('postgres', "SELECT eddh_wait($job)"), 'done', 'it encodes');
is($node->safe_psql('postgres', q{SELECT tenant, count(code), count(*) FROM keep.picture GROUP BY 1 ORDER BY 1}), "a|80|80\nb|0|16", 'only rows it may see');
is($node->safe_psql('postgres', q{SELECT role, path FROM keep.seen WHERE what = 'trigger'}), 'keeper|pg_catalog, pg_temp', 'a trigger runs as the owner, under a pinned search_path');

is($node->safe_psql('postgres', q{SELECT role FROM keep.seen WHERE what = 'deferred'}), 'keeper', 'so does a deferred one');

# Functions of a view run as the caller, whatever they try.
my %attempt = (
	'look' => [ q{PERFORM keep.spy('view')}, qr/^done$/ ],
	'become the superuser' => [ q{EXECUTE 'SET SESSION AUTHORIZATION postgres'}, qr/42501.*cannot set parameter/ ],
	'reset the role' => [ q{EXECUTE 'RESET ROLE'}, qr/42501.*cannot set parameter/ ],
	'write the catalog' => [ q{EXECUTE 'UPDATE eddh_catalog.job SET owner = 10'}, qr/42501/ ],
	'leave a temporary table' => [ q{EXECUTE 'CREATE TEMP TABLE pg_class_like (a int)'}, qr/42501.*security-restricted/ ],
	'change search_path for later' => [ q{PERFORM set_config('search_path', 'keep', false)}, qr/^done$/ ],
	'release our lock' => [ q{PERFORM pg_advisory_unlock_all()}, qr/^done$/ ],
);
for my $name (sort keys %attempt)
{
	my ($statement, $expected) = @{ $attempt{$name} };

	$node->safe_psql('postgres', qq{SET ROLE keeper; SET client_min_messages = warning;
		DROP VIEW IF EXISTS keep.trap;
		CREATE OR REPLACE FUNCTION keep.trap(id int, label int) RETURNS int LANGUAGE plpgsql VOLATILE AS \$\$
		BEGIN
			-- Only a worker has this path.
			IF id = 5 AND current_setting('search_path') = 'pg_catalog, pg_temp' THEN
				$statement;
			END IF;
			RETURN label;
		END \$\$;
		CREATE VIEW keep.trap AS SELECT keep.trap(id, label) AS label, image FROM keep.picture});
	($job, $result) = train_as('keeper', 'trap ' . $job, 'keep.trap');
	like($result, $expected, "a view's function that tries to $name");
}
is($node->safe_psql('postgres', q{SELECT DISTINCT role FROM keep.seen WHERE what = 'view'}), 'keeper', "a view's function runs as the caller");
is($node->safe_psql('postgres', q{SELECT count(*) FROM eddh_catalog.job WHERE owner = 10}), '0', 'nothing was written');

# Who sees what.
my $jobs = $node->safe_psql('postgres', 'SELECT count(*) FROM eddh_jobs');
is(as_role('keeper', 'SELECT count(*) FROM eddh_jobs'), $jobs, 'the owner sees his jobs');
is(as_role('deputy', 'SELECT count(*) FROM eddh_jobs'), $jobs, 'so do members of his role');
is(as_role('stranger', 'SELECT (SELECT count(*) FROM eddh_jobs), (SELECT count(*) FROM eddh_job_log)'), '0|0', 'nobody else');
fails_with($node, 'postgres', "SET ROLE stranger; SELECT $_($job)", '42501', 'another role', "$_ of another's job")
	for ('eddh_wait', 'eddh_cancel', 'eddh_resume');
fails_with($node, 'postgres', "SET ROLE keeper; SELECT * FROM eddh_catalog.$_", '42501', 'permission denied', "$_ itself")
	for ('job', 'job_log');
is(as_role('stranger', q{SELECT eddh_purge_jobs('0')}), '0', "purge leaves others' jobs alone");
is(as_role('stranger', "CREATE FUNCTION pg_temp.leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS \$\$ BEGIN RAISE WARNING '%', \$1; RETURN true; END \$\$;
	SELECT count(*) FROM eddh_jobs WHERE pg_temp.leak(model)"), '0', 'the view is a barrier');

# What the caller may not read or write is refused at once.
fails_with($node, 'postgres', "SET ROLE stranger; SELECT eddh_train('s', 'public.picture', 'image', 'label', 8)", '42501', 'permission denied to read public.picture', 'training without SELECT');
$node->safe_psql('postgres', q{GRANT SELECT ON picture TO stranger; ALTER TABLE picture ADD COLUMN code bit(8); SET ROLE keeper; SELECT eddh_grant_model('kept', 'stranger')});
fails_with($node, 'postgres', "SET ROLE stranger; SELECT eddh_encode_table('public.picture', 'image', 'code', 'kept')", '42501', 'UPDATE', 'encoding without UPDATE');

# A role that is gone by the time its job begins again.
$node->safe_psql('postgres', q{CREATE ROLE passing NOLOGIN; GRANT SELECT ON picture TO passing});
$job = $node->safe_psql('postgres', q{SET client_min_messages = warning; SET ROLE passing;
	SELECT eddh_train('passing', 'picture', 'image', 'label', 8, options => '{"epochs": 1000000, "threads": 1}')});
$node->safe_psql('postgres', "SELECT eddh_cancel($job)");
is($node->safe_psql('postgres', "SELECT eddh_wait($job)"), 'cancelled', 'cancelled at its beginning');
$node->safe_psql('postgres', q{DROP OWNED BY passing; DROP ROLE passing});
is($node->safe_psql('postgres', "SELECT state FROM eddh_jobs WHERE job = $job"), 'cancelled', 'a job without its role is seen by superusers');
$node->safe_psql('postgres', "SELECT eddh_resume($job)");
fails_with($node, 'postgres', "SELECT eddh_wait($job)", '42704', 'no longer exists', 'a job whose role is gone');

$node->stop;
done_testing();
