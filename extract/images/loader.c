/* Decoding threads over a ring of batches.
 *
 * Threads claim the rows of the list one by one, in order; the first row of a batch claims a free
 * slot of the ring and waits for one when there is none.  So at most `ring` batches exist, the one
 * the consumer waits for is always among them, and results do not depend on who decoded what. */
#include "extract/images/loader_parts.h"
#include "common/err.h"
#include "common/feature_file.h"
#include "common/mem.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct slot {
    loader_batch b; /* first member: loader_release is given this address */
    size_t number;  /* of the batch in the list; FREE when none */
    size_t undone;  /* rows still to be decoded */
    size_t placed;  /* of records: rows that have their bytes in the slot */
} slot;

static const size_t FREE = (size_t)-1;

typedef struct state { /* all that threads share, under the lock */
    pthread_mutex_t lock;
    pthread_cond_t freed;    /* a slot became free, or stop */
    pthread_cond_t finished; /* a batch became complete, or a thread failed */
    size_t next_row;         /* to be claimed */
    size_t next_batch;       /* to be delivered */
    int stop;
    int rc; /* first environment failure, with its words */
    char *why;
    loader_counters count;
} state;

struct loader {
    loader_options o;
    int root; /* directory, or AT_FDCWD */
    size_t image_bytes;
    record_limits limits; /* of records */
    slot *slots;       /* [ring] */
    pthread_t *thread; /* [threads] */
    int started;
    int locks; /* how many of lock, freed, finished exist */
    state *s;
};

/* ---- decoding threads ------------------------------------------------------------------------ */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Bytes in a slot of records, at *at.  Those that every other row may still need for its pixels are left, so
 * that pixels always find their place and records may not: 0 then. */
static int reserve(const loader *l, slot *t, size_t bytes, uint64_t *at)
{
    record_batch *b = &t->b.records;
    size_t end, left;
    pthread_mutex_lock(&l->s->lock);
    end = b->bytes + record_aligned(bytes);
    left = (b->n - t->placed - 1) * record_aligned(l->image_bytes);
    if (end + left <= l->limits.batch) {
        *at = b->bytes;
        b->bytes = end;
        t->placed++;
    } else {
        end = 0;
    }
    pthread_mutex_unlock(&l->s->lock);
    return end != 0;
}

/* One row as a record, or as pixels where the kernels cannot take it. */
static int decode_record(const loader *l, worker *k, slot *t, size_t i, size_t size, const char *name)
{
    int rc = 0;
    uint8_t *base = (uint8_t *)t->b.records.images;
    record_image d;
    TRY(record_make(&d, &k->record, l->o.prep, k->scratch, &k->im, k->file, size, name, &l->limits));
    if (rc == 1 && reserve(l, t, d.bytes, &d.at)) {
        memcpy(base + d.at, k->record.bytes, d.bytes);
    } else {
        d = record_of_pixels(l->o.prep);
        CHECK(reserve(l, t, d.bytes, &d.at), ERR_INTERNAL, "loader: no room for the pixels of an image");
        TRY(prep_decode(l->o.prep, k->scratch, &k->im, k->file, size, name, base + d.at));
    }
    t->b.records.images[i] = d;
    rc = 0;
done:
    return rc;
}

static int decode_view(const loader *l, worker *k, slot *t, size_t row, size_t size)
{
    const size_t i = row - t->b.row;
    const view_choice c = { l->o.seed, row / l->o.views, row % l->o.views };
    view v = { 0 };
    int rc = view_decode(&v, l->o.prep, &c, &k->im, k->file, size, l->o.images->path[row],
                         t->b.rgb + i * l->image_bytes);
    memcpy(t->b.views + i * VIEW_NUMBERS, (int64_t[]){ v.x, v.y, v.w, v.h, v.flip }, VIEW_NUMBERS * sizeof(int64_t));
    return rc;
}

static int decode_pixels(const loader *l, worker *k, slot *t, size_t i, size_t size, const char *name)
{
    uint8_t *dst = t->b.rgb + i * l->image_bytes;
    return prep_decode(l->o.prep, k->scratch, &k->im, k->file, size, name, dst);
}

/* Decodes one row into its place.  A bad image is not a failure: it is flagged, with its reason. */
static int decode_row(const loader *l, worker *k, slot *t, size_t row)
{
    size_t i = row - t->b.row, size = 0;
    const char *name = l->o.images->path[row];
    int rc, status = ROW_UNREADABLE;
    err_clear();
    rc = loader_read(k, l->root, name, &size);
    if (rc == 0) {
        status = ROW_DECODE_ERROR;
        if (l->o.views > 0) rc = decode_view(l, k, t, row, size);
        else if (l->o.records) rc = decode_record(l, k, t, i, size, name);
        else rc = decode_pixels(l, k, t, i, size, name);
    }
    if (rc == 0) {
        t->b.status[i] = ROW_OK;
        return 0;
    }
    if (rc != ERR_INPUT) return rc;
    if (l->o.records) t->b.records.images[i].kind = RECORD_EMPTY;
    else memset(t->b.rgb + i * l->image_bytes, 0, l->image_bytes);
    t->b.status[i] = (uint8_t)status;
    return loader_reason(name, &t->b.reason[i]);
}

static slot *slot_of(const loader *l, size_t number)
{
    for (size_t i = 0; i < l->o.ring; i++)
        if (l->slots[i].number == number) return &l->slots[i];
    return NULL;
}

/* The next row and its slot; NULL when there are no more rows or the threads are to stop. */
static slot *claim(loader *l, size_t *row)
{
    state *s = l->s;
    slot *t = NULL;
    pthread_mutex_lock(&s->lock);
    while (!s->stop && s->next_row < l->o.end) {
        size_t number = (s->next_row - l->o.begin) / l->o.batch;
        t = slot_of(l, number);
        if (t == NULL && (t = slot_of(l, FREE)) != NULL) {
            t->number = number;
            t->b.row = l->o.begin + number * l->o.batch;
            t->b.n = l->o.end - t->b.row < l->o.batch ? l->o.end - t->b.row : l->o.batch;
            t->undone = t->b.n;
            t->placed = 0;
            t->b.records.n = t->b.n;
            t->b.records.bytes = record_aligned(t->b.n * sizeof(record_image));
        }
        if (t != NULL) {
            *row = s->next_row++;
            break;
        }
        pthread_cond_wait(&s->freed, &s->lock);
    }
    if (s->stop) t = NULL;
    pthread_mutex_unlock(&s->lock);
    return t;
}

static void finish(loader *l, slot *t, double seconds)
{
    state *s = l->s;
    pthread_mutex_lock(&s->lock);
    s->count.decoded++;
    s->count.decode_seconds += seconds;
    if (--t->undone == 0) {
        s->count.ready++;
        pthread_cond_broadcast(&s->finished);
    }
    pthread_mutex_unlock(&s->lock);
}

/* Hands the thread's failure to the consumer and stops the others. */
static void fail(loader *l, int rc)
{
    state *s = l->s;
    pthread_mutex_lock(&s->lock);
    if (s->rc == 0) {
        s->rc = rc;
        s->why = strdup(err_text());
    }
    s->stop = 1;
    pthread_cond_broadcast(&s->finished);
    pthread_cond_broadcast(&s->freed);
    pthread_mutex_unlock(&s->lock);
}

static void *work(void *arg)
{
    loader *l = arg;
    worker k = {0};
    slot *t;
    size_t row = 0;
    int rc = prep_scratch_new(&k.scratch);
    while (rc == 0 && (t = claim(l, &row)) != NULL) {
        double start = now();
        rc = decode_row(l, &k, t, row);
        if (rc == 0) finish(l, t, now() - start);
    }
    if (rc < 0) fail(l, rc);
    loader_worker_clear(&k);
    return NULL;
}

/* ---- the consumer's side --------------------------------------------------------------------- */

static int start_locks(loader *l)
{
    if (pthread_mutex_init(&l->s->lock, NULL) == 0 && ++l->locks == 1 &&
        pthread_cond_init(&l->s->freed, NULL) == 0 && ++l->locks == 2 &&
        pthread_cond_init(&l->s->finished, NULL) == 0 && ++l->locks == 3)
        return 0;
    return err_set(ERR_ENV, "loader: no more locks");
}

static int take_memory(const loader *l, size_t bytes, void **mem)
{
    const loader_memory *m = l->o.memory;
    return m != NULL ? m->alloc(m->ctx, bytes, mem) : mem_new_aligned(mem, bytes, 1, "batch of images");
}

static void give_memory(const loader *l, void *mem)
{
    const loader_memory *m = l->o.memory;
    if (m == NULL) free(mem);
    else if (mem != NULL) m->release(m->ctx, &mem);
}

static int start_slots(loader *l)
{
    int rc = 0;
    size_t bytes;
    TRY(mem_new(&l->slots, l->o.ring, sizeof *l->slots, "batches"));
    TRY(mem_product(&bytes, l->image_bytes, l->o.batch, "batch of images"));
    if (l->o.records) bytes = l->limits.batch;
    for (size_t i = 0; i < l->o.ring; i++) {
        loader_batch *b = &l->slots[i].b;
        void *mem = NULL;
        l->slots[i].number = FREE;
        TRY(take_memory(l, bytes, &mem));
        if (l->o.records) b->records.images = mem;
        else b->rgb = mem;
        TRY(mem_new(&b->status, l->o.batch, 1, "batch of images"));
        TRY(mem_new(&b->reason, l->o.batch, sizeof *b->reason, "batch of images"));
        if (l->o.views > 0) TRY(mem_new(&b->views, l->o.batch, VIEW_NUMBERS * sizeof *b->views, "batch of images"));
    }
done:
    return rc;
}

/* Signals are for the main thread. */
static int start_threads(loader *l)
{
    int rc = 0, e = 0;
    sigset_t all, before;
    TRY(mem_new(&l->thread, (size_t)l->o.threads, sizeof *l->thread, "decoding threads"));
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (l->started < l->o.threads && e == 0) {
        e = pthread_create(&l->thread[l->started], NULL, work, l);
        if (e == 0) l->started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    CHECK(e == 0, ERR_ENV, "decoding thread %d of %d: %s", l->started + 1, l->o.threads,
          strerror(e));
done:
    return rc;
}

int loader_open(loader **out, const loader_options *o)
{
    int rc = 0;
    loader *l = NULL;
    CHECK(o->batch >= 1 && o->ring >= 2 && o->threads >= 1, ERR_USAGE,
          "loader: batch %zu, ring %zu, threads %d", o->batch, o->ring, o->threads);
    CHECK(o->begin <= o->end && o->end <= o->images->n, ERR_USAGE,
          "loader: rows %zu to %zu of a list of %zu", o->begin, o->end, o->images->n);
    TRY(mem_new(&l, 1, sizeof *l, "loader"));
    l->o = *o;
    l->root = AT_FDCWD;
    l->image_bytes = (size_t)o->prep->out_h * (size_t)o->prep->out_w * 3;
    l->limits = record_limits_of(o->batch, (size_t)o->prep->out_h, (size_t)o->prep->out_w);
    TRY(mem_new(&l->s, 1, sizeof *l->s, "loader"));
    l->s->next_row = o->begin;
    if (o->root != NULL && o->root[0] != '\0') {
        l->root = open(o->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (l->root < 0) {
            l->root = AT_FDCWD;
            rc = loader_refuses(o->root, "cannot be opened as a folder");
            goto done;
        }
    }
    TRY(start_slots(l));
    TRY(start_locks(l));
    TRY(start_threads(l));
    *out = l;
    l = NULL;
done:
    loader_close(&l);
    return rc;
}

int loader_next(loader *l, loader_batch **out)
{
    int rc = 0;
    state *s = l->s;
    slot *t = NULL;
    *out = NULL;
    pthread_mutex_lock(&s->lock);
    if (l->o.begin + s->next_batch * l->o.batch >= l->o.end) goto done;
    while (s->rc == 0 && ((t = slot_of(l, s->next_batch)) == NULL || t->undone > 0))
        pthread_cond_wait(&s->finished, &s->lock);
    CHECK(s->rc == 0, s->rc, "%s", s->why != NULL ? s->why : "loader: no memory");
    s->next_batch++;
    s->count.ready--;
    *out = &t->b;
done:
    pthread_mutex_unlock(&s->lock);
    return rc;
}

static void forget_reasons(const loader *l, loader_batch *b)
{
    for (size_t i = 0; b->reason != NULL && i < l->o.batch; i++) {
        free((void *)(uintptr_t)b->reason[i]);
        b->reason[i] = NULL;
    }
}

void loader_release(loader *l, loader_batch *b)
{
    slot *t = (slot *)b;
    forget_reasons(l, b);
    pthread_mutex_lock(&l->s->lock);
    t->number = FREE;
    pthread_cond_broadcast(&l->s->freed);
    pthread_mutex_unlock(&l->s->lock);
}

void loader_count(const loader *l, loader_counters *c)
{
    pthread_mutex_lock(&l->s->lock);
    *c = l->s->count;
    pthread_mutex_unlock(&l->s->lock);
}

void loader_close(loader **at)
{
    loader *l = *at;
    if (l == NULL) return;
    if (l->started > 0) {
        pthread_mutex_lock(&l->s->lock);
        l->s->stop = 1;
        pthread_cond_broadcast(&l->s->freed);
        pthread_mutex_unlock(&l->s->lock);
    }
    for (int i = 0; i < l->started; i++)
        pthread_join(l->thread[i], NULL);
    for (size_t i = 0; l->slots != NULL && i < l->o.ring; i++) {
        loader_batch *b = &l->slots[i].b;
        forget_reasons(l, b);
        give_memory(l, b->rgb);
        give_memory(l, b->records.images);
        free(b->status);
        free(b->reason);
        free(b->views);
    }
    if (l->locks > 2) pthread_cond_destroy(&l->s->finished);
    if (l->locks > 1) pthread_cond_destroy(&l->s->freed);
    if (l->locks > 0) pthread_mutex_destroy(&l->s->lock);
    if (l->s != NULL) free(l->s->why);
    free(l->s);
    free(l->slots);
    free(l->thread);
    if (l->root != AT_FDCWD) close(l->root);
    free(l);
    *at = NULL;
}
