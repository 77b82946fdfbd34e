/* pool.c: threads that wait for a task number to change. */
#include "nn/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

typedef struct member
{
	nn_pool *pool;
	pthread_t thread;
	int number;
} member;

struct nn_pool
{
	int threads;
	int started; /* members with a running thread */
	member *members;
	pthread_mutex_t lock;
	pthread_cond_t begin;
	pthread_cond_t end;
	uint64_t generation; /* of the task; 0 = none yet */
	int busy;            /* members that have not finished this generation */
	bool quit;
	void (*task)(void *arg, int thread);
	void *arg;
};

static void *
member_main(void *arg)
{
	member *self = arg;
	nn_pool *pool = self->pool;
	uint64_t done = 0;

	pthread_mutex_lock(&pool->lock);
	for (;;)
	{
		while (!pool->quit && pool->generation == done)
			pthread_cond_wait(&pool->begin, &pool->lock);
		if (pool->quit)
			break;
		done = pool->generation;
		pthread_mutex_unlock(&pool->lock);
		pool->task(pool->arg, self->number);
		pthread_mutex_lock(&pool->lock);
		if (--pool->busy == 0)
			pthread_cond_signal(&pool->end);
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

eddh_code
nn_pool_create(int threads, nn_pool **out, eddh_error *err)
{
	nn_pool *pool;
	sigset_t all, before;
	int failure = 0;

	*out = NULL;
	if (threads < 1)
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "number of threads is %d", threads);
	pool = calloc(1, sizeof *pool);
	if (pool == NULL)
		return eddh_fail(err, EDDH_NO_MEMORY, "out of memory for threads");
	pool->threads = threads;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->begin, NULL);
	pthread_cond_init(&pool->end, NULL);
	pool->members = calloc((size_t) threads, sizeof *pool->members);
	if (pool->members == NULL)
	{
		nn_pool_free(pool);
		return eddh_fail(err, EDDH_NO_MEMORY, "out of memory for threads");
	}

	/* A new thread inherits the mask, so there is no moment at which a signal could reach it. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (failure == 0 && pool->started < threads - 1)
	{
		member *m = &pool->members[pool->started];

		m->pool = pool;
		m->number = pool->started + 1;
		failure = pthread_create(&m->thread, NULL, member_main, m);
		if (failure == 0)
			pool->started++;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (failure != 0)
	{
		eddh_code code = eddh_fail(err, EDDH_NO_MEMORY, "could not start thread %d of %d: %s", pool->started + 2,
								   threads, strerror(failure));

		eddh_hint(err, "Use fewer threads, or raise the limit on processes of this user.");
		nn_pool_free(pool);
		return code;
	}
	*out = pool;
	return EDDH_OK;
}

void
nn_pool_free(nn_pool *pool)
{
	if (pool == NULL)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->quit = true;
	pthread_cond_broadcast(&pool->begin);
	pthread_mutex_unlock(&pool->lock);
	for (int i = 0; i < pool->started; i++)
		pthread_join(pool->members[i].thread, NULL);
	pthread_cond_destroy(&pool->end);
	pthread_cond_destroy(&pool->begin);
	pthread_mutex_destroy(&pool->lock);
	free(pool->members);
	free(pool);
}

int
nn_pool_threads(const nn_pool *pool)
{
	return pool->threads;
}

void
nn_pool_run(nn_pool *pool, void (*task)(void *arg, int thread), void *arg)
{
	if (pool->started > 0)
	{
		pthread_mutex_lock(&pool->lock);
		pool->task = task;
		pool->arg = arg;
		pool->busy = pool->started;
		pool->generation++;
		pthread_cond_broadcast(&pool->begin);
		pthread_mutex_unlock(&pool->lock);
	}
	task(arg, 0);
	if (pool->started > 0)
	{
		pthread_mutex_lock(&pool->lock);
		while (pool->busy > 0)
			pthread_cond_wait(&pool->end, &pool->lock);
		pthread_mutex_unlock(&pool->lock);
	}
}
