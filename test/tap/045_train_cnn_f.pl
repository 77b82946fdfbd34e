# The network of the paper, all 57 million weights of it, learns 32 pictures inside the server: EDDH's objective falls.
use strict;
use warnings;
use EddhJobs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
fill_pictures($node, 'postgres');

my $job = $node->safe_psql('postgres', q{CREATE TABLE few AS SELECT * FROM picture WHERE id <= 32;
	SELECT eddh_train('f', 'few', 'image', 'label', 16, backbone => 'cnn-f',
		options => '{"train_layers": "all", "epochs": 7, "batch": 16, "threads": 2, "holdout": 0, "outer": 6}')});
is($node->safe_psql('postgres', "SELECT eddh_wait($job)"), 'done', 'trained');
is( $node->safe_psql('postgres', qq{
		SELECT count(*) >= 6, (array_agg(value ORDER BY epoch DESC))[1] < 0.8 * (array_agg(value ORDER BY epoch))[1]
		FROM eddh_job_log WHERE job = $job AND measure = 'objective'}),
	't|t', 'J falls, by a fifth at least') or diag($node->safe_psql('postgres', "SELECT * FROM eddh_job_log WHERE job = $job"));
is($node->safe_psql('postgres', q{SELECT count(DISTINCT eddh_encode(image, 'f')) > 1 FROM few}), 't', 'its codes tell pictures apart');
$node->stop;
done_testing();
