#include "extract/cpu/pool.h"
#include "common/err.h"
#include "common/mem.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

typedef struct helper {
    pool *p;
    int worker;
    pthread_t thread;
    int started;
} helper;

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t wake, idle;
    int threads, busy, stop;
    unsigned long round; /* counts the lists, so that a helper sees a new one */
    size_t n;
    atomic_size_t next;
    void (*task)(void *context, int worker, size_t i);
    void *context;
    helper *helpers;
};

static void work(pool *p, int worker)
{
    for (size_t i; (i = atomic_fetch_add(&p->next, 1)) < p->n;)
        p->task(p->context, worker, i);
}

static void *helper_main(void *arg)
{
    helper *h = arg;
    pool *p = h->p;
    unsigned long seen = 0;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (!p->stop && p->round == seen)
            pthread_cond_wait(&p->wake, &p->lock);
        if (p->stop) break;
        seen = p->round;
        pthread_mutex_unlock(&p->lock);
        work(p, h->worker);
        pthread_mutex_lock(&p->lock);
        if (--p->busy == 0) pthread_cond_signal(&p->idle);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

int pool_new(pool **out, int threads)
{
    int rc = 0;
    pool *p = NULL;
    TRY(mem_new(&p, 1, sizeof *p, "threads"));
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_cond_init(&p->idle, NULL);
    p->threads = threads;
    TRY(mem_new(&p->helpers, (size_t)threads, sizeof *p->helpers, "threads"));
    for (int i = 1; i < threads; i++) {
        helper *h = &p->helpers[i];
        *h = (helper){ .p = p, .worker = i };
        CHECK(pthread_create(&h->thread, NULL, helper_main, h) == 0, ERR_ENV,
              "cannot start thread %d of %d", i + 1, threads);
        h->started = 1;
    }
    *out = p;
    p = NULL;
done:
    pool_free(&p);
    return rc;
}

void pool_free(pool **pp)
{
    pool *p = *pp;
    if (p == NULL) return;
    pthread_mutex_lock(&p->lock);
    p->stop = 1;
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (int i = 1; p->helpers != NULL && i < p->threads; i++)
        if (p->helpers[i].started) pthread_join(p->helpers[i].thread, NULL);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->wake);
    pthread_cond_destroy(&p->idle);
    free(p->helpers);
    free(p);
    *pp = NULL;
}

void pool_run(pool *p, size_t n, void (*task)(void *context, int worker, size_t i), void *context)
{
    pthread_mutex_lock(&p->lock);
    p->n = n;
    p->task = task;
    p->context = context;
    atomic_store(&p->next, 0);
    p->busy = p->threads - 1;
    p->round++;
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    work(p, 0);
    pthread_mutex_lock(&p->lock);
    while (p->busy > 0)
        pthread_cond_wait(&p->idle, &p->lock);
    pthread_mutex_unlock(&p->lock);
}
