/* The thread pool: everybody works once a task, on parts that cover everything, with all signals blocked. */
#include "nn_cases.h"

#include <pthread.h>
#include <signal.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "nn/pool.h"

#define THREADS 3

typedef struct task_state
{
	int calls[THREADS];
	pthread_t who[THREADS];
	bool blocked[THREADS];
} task_state;

static void
note(void *arg, int thread)
{
	task_state *s = arg;
	sigset_t mask;

	s->calls[thread]++;
	s->who[thread] = pthread_self();
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	s->blocked[thread] = sigismember(&mask, SIGTERM) == 1 && sigismember(&mask, SIGINT) == 1 &&
						 sigismember(&mask, SIGUSR1) == 1 && sigismember(&mask, SIGALRM) == 1 &&
						 sigismember(&mask, SIGCHLD) == 1;
}

static void
every_thread_works_once(void **state)
{
	nn_pool *pool;
	eddh_error err;
	task_state s = { 0 };

	assert_int_equal(nn_pool_create(THREADS, &pool, &err), EDDH_OK);
	assert_int_equal(nn_pool_threads(pool), THREADS);
	for (int i = 1; i <= 200; i++)
	{
		nn_pool_run(pool, note, &s);
		for (int t = 0; t < THREADS; t++)
			assert_int_equal(s.calls[t], i);
	}
	assert_true(pthread_equal(s.who[0], pthread_self()));
	assert_false(pthread_equal(s.who[1], s.who[0]));
	assert_false(pthread_equal(s.who[1], s.who[2]));
	/* The caller's own mask is untouched. */
	assert_false(s.blocked[0]);
	assert_true(s.blocked[1] && s.blocked[2]);
	nn_pool_free(pool);
}

static atomic_int handled;
static pthread_t handled_by;

static void
handler(int signal_number)
{
	handled_by = pthread_self();
	atomic_fetch_add(&handled, 1);
}

static void
send_signal(void *arg, int thread)
{
	/* To the process, from a pool thread, while all of them run: only the main thread may take it. */
	if (thread == 1)
		kill(getpid(), SIGUSR1);
}

static void
signals_go_to_the_main_thread(void **state)
{
	nn_pool *pool;
	eddh_error err;
	struct sigaction action = { .sa_handler = handler };

	sigaction(SIGUSR1, &action, NULL);
	assert_int_equal(nn_pool_create(THREADS, &pool, &err), EDDH_OK);
	for (int i = 0; i < 50; i++)
	{
		int before = atomic_load(&handled);

		nn_pool_run(pool, send_signal, NULL);
		while (atomic_load(&handled) == before)
			sched_yield();
		assert_true(pthread_equal(handled_by, pthread_self()));
	}
	nn_pool_free(pool);
}

static void
parts_cover_everything(void **state)
{
	for (size_t count = 0; count < 40; count++)
		for (int parts = 1; parts < 7; parts++)
		{
			size_t next = 0;

			for (int p = 0; p < parts; p++)
			{
				size_t first;
				size_t len = nn_pool_part(count, parts, p, &first);

				assert_int_equal(first, next);
				assert_true(len == count / parts || len == count / parts + 1);
				next = first + len;
			}
			assert_int_equal(next, count);
		}
}

static void
one_thread_starts_none(void **state)
{
	nn_pool *pool;
	eddh_error err;
	task_state s = { 0 };

	assert_int_equal(nn_pool_create(1, &pool, &err), EDDH_OK);
	nn_pool_run(pool, note, &s);
	assert_int_equal(s.calls[0], 1);
	assert_true(pthread_equal(s.who[0], pthread_self()));
	nn_pool_free(pool);
	nn_pool_free(NULL);
	assert_int_equal(nn_pool_create(0, &pool, &err), EDDH_BAD_ARGUMENT);
	assert_null(pool);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_thread_works_once),
		cmocka_unit_test(signals_go_to_the_main_thread),
		cmocka_unit_test(parts_cover_everything),
		cmocka_unit_test(one_thread_starts_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
