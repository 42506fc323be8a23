/* Rows, commits and the end of a feature file.  What is promised when: feature_file.h. */
#include "common/err.h"
#include "common/feature_file.h"
#include "common/feature/feature_io.h"
#include "common/feature/feature_writer.h"
#include "common/log.h"
#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    INLINE_BYTES = 64 << 10, /* below it a thread switch costs more than hashing here */
    WRITEBACK = 8 << 20      /* asked for early, so that a commit finds little left to sync */
};

const h5_item *feature_writer_item(const feature_writer *w, size_t i)
{
    return &w->layout.item[i < w->layout.n_sets ? i : w->layout.status];
}

block_digests *feature_writer_digest(feature_writer *w, size_t i)
{
    return &w->digest[i < w->layout.n_sets ? i : w->layout.status];
}

static const void *source(const feature_writer *w, const void *const *data, const uint8_t *status,
                          size_t i)
{
    return i < w->layout.n_sets ? data[i] : status;
}

static int is_absent(uint8_t status)
{
    return status == ROW_UNREADABLE || status == ROW_DECODE_ERROR;
}

/* The longest stretch from `at` on of rows that are all there or all absent. */
static size_t stretch(const uint8_t *status, size_t at, size_t n)
{
    size_t end = at + 1;
    while (end < n && is_absent(status[end]) == is_absent(status[at]))
        end++;
    return end - at;
}

/* One row that no one takes for data: NaN, the smallest i64, 255. */
static void fill_absent(unsigned char *row, const h5_item *it)
{
    static const unsigned char f32[4] = {0, 0, 0xc0, 0x7f}, f16[2] = {0, 0x7e};
    static const unsigned char i64[8] = {0, 0, 0, 0, 0, 0, 0, 0x80}, u8[1] = {0xff};
    const unsigned char *v = it->type == H5_TYPE_F32   ? f32
                             : it->type == H5_TYPE_F16 ? f16
                             : it->type == H5_TYPE_I64 ? i64
                                                       : u8;
    for (size_t i = 0; i < feature_row_bytes(it); i += it->width)
        memcpy(row + i, v, it->width);
}

/* --- hashing ------------------------------------------------------------------------------------ */

static int hash_rows(feature_writer *w, const void *const *data, const uint8_t *status, size_t n)
{
    int rc = 0;
    unsigned char *absent = NULL;
    for (size_t i = 0; i < w->n_images; i++) {
        const h5_item *it = feature_writer_item(w, i);
        const unsigned char *p = source(w, data, status, i);
        size_t row = feature_row_bytes(it), k;
        int plain = i == w->layout.n_sets; /* a status is always real */
        for (size_t at = 0; at < n; at += k) {
            k = plain ? n : stretch(status, at, n);
            if (plain || !is_absent(status[at])) {
                TRY(block_digests_add(feature_writer_digest(w, i), p + at * row, k));
                continue;
            }
            free(absent);
            TRY(mem_new(&absent, row, 1, "absent row"));
            fill_absent(absent, it);
            for (size_t r = 0; r < k; r++)
                TRY(block_digests_add(feature_writer_digest(w, i), absent, 1));
        }
    }
done:
    free(absent);
    return rc;
}

static void *hash_loop(void *arg)
{
    feature_writer *w = arg;
    hash_thread *h = &w->hash;
    pthread_mutex_lock(&h->lock);
    for (;;) {
        while (!h->busy && !h->quit)
            pthread_cond_wait(&h->turn, &h->lock);
        if (h->quit) break;
        pthread_mutex_unlock(&h->lock);
        h->rc = hash_rows(w, h->data, h->status, h->n);
        pthread_mutex_lock(&h->lock);
        h->busy = 0;
        pthread_cond_broadcast(&h->turn);
    }
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

/* Starts hashing a batch.  0: done here, nothing to wait for; 1: wait with hash_wait. */
static int hash_begin(feature_writer *w, const void *const *data, const uint8_t *status, size_t n,
                      size_t bytes)
{
    hash_thread *h = &w->hash;
    if (bytes >= INLINE_BYTES && !h->started) {
        sigset_t all, before; /* signals are for the threads of the program */
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        h->started = pthread_create(&h->thread, NULL, hash_loop, w) == 0;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    if (bytes < INLINE_BYTES || !h->started) return hash_rows(w, data, status, n);
    pthread_mutex_lock(&h->lock);
    h->data = data, h->status = status, h->n = n;
    h->busy = 1;
    pthread_cond_broadcast(&h->turn);
    pthread_mutex_unlock(&h->lock);
    return 1;
}

static int hash_wait(feature_writer *w)
{
    hash_thread *h = &w->hash;
    pthread_mutex_lock(&h->lock);
    while (h->busy)
        pthread_cond_wait(&h->turn, &h->lock);
    pthread_mutex_unlock(&h->lock);
    return h->rc < 0 ? err_set(h->rc, "%s: hashing failed", w->part) : 0;
}

/* --- rows --------------------------------------------------------------------------------------- */

void feature_writer_drop_bad(feature_writer *w, size_t row)
{
    while (w->n_bad > 0 && w->bad[w->n_bad - 1].row >= row) {
        char *reason;
        memcpy(&reason, &w->bad[--w->n_bad].reason, sizeof reason);
        free(reason);
    }
    if (w->bad_committed > w->n_bad) w->bad_committed = w->n_bad;
}

int feature_writer_add_bad(feature_writer *w, size_t row, uint8_t status, const char *reason)
{
    int rc = 0;
    char *copy = NULL;
    TRY(mem_grow(&w->bad, &w->bad_room, w->n_bad + 1, sizeof *w->bad, "bad rows"));
    TRY(mem_strdup(&copy, reason != NULL ? reason : ""));
    w->bad[w->n_bad++] = (feature_bad_row){row, status, copy};
done:
    return rc;
}

static int write_item(feature_writer *w, size_t i, const unsigned char *p, const uint8_t *status,
                      size_t n)
{
    int rc = 0, plain = i == w->layout.n_sets;
    const h5_item *it = feature_writer_item(w, i);
    size_t row = feature_row_bytes(it), k;
    uint64_t at = it->offset + (uint64_t)w->next * row;
    for (size_t r = 0; r < n; r += k) {
        k = plain ? n : stretch(status, r, n);
        if (plain || !is_absent(status[r])) {
            TRY(io_pwrite(w->fd, w->part, p + r * row, k * row, at + r * row));
            continue;
        }
        fill_absent(w->absent, it);
        for (size_t a = r; a < r + k; a++)
            TRY(io_pwrite(w->fd, w->part, w->absent, row, at + a * row));
    }
    w->unsynced += n * row;
    if (w->unsynced >= WRITEBACK) { /* a wish: what it cannot do, the commit does and checks */
        (void)sync_file_range(w->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
        w->unsynced = 0;
    }
done:
    return rc;
}

static int check_put(const feature_writer *w, size_t row, size_t n, const uint8_t *status)
{
    int rc = 0;
    CHECK(!w->failed, ERR_ENV, "%s: writing failed before", w->part);
    CHECK(row == w->next && n <= w->spec->rows - row, ERR_INTERNAL,
          "%s: rows %zu to %zu put, row %zu is next of %zu", w->part, row, row + n, w->next,
          w->spec->rows);
    for (size_t i = 0; i < n; i++)
        CHECK(status[i] >= ROW_OK && status[i] <= ROW_NONFINITE, ERR_INTERNAL,
              "%s: row %zu has status %d", w->part, row + i, status[i]);
done:
    return rc;
}

int feature_writer_put(feature_writer *w, size_t row, size_t n, const void *const *data,
                       const uint8_t *status, const char *const *reasons)
{
    int rc = 0, hashing = 0;
    size_t bytes = 0;
    TRY(check_put(w, row, n, status));
    if (n == 0) goto done;
    for (size_t i = 0; i < w->n_images; i++)
        bytes += n * feature_row_bytes(feature_writer_item(w, i));
    TRY(hash_begin(w, data, status, n, bytes));
    hashing = rc;
    rc = 0;
    for (size_t i = 0; i < w->n_images; i++)
        TRY(write_item(w, i, source(w, data, status, i), status, n));
    for (size_t i = 0; i < n; i++)
        if (status[i] != ROW_OK)
            TRY(feature_writer_add_bad(w, row + i, status[i], reasons != NULL ? reasons[i] : NULL));
    w->next += n;
done:
    if (hashing) { /* the data is borrowed: no return before the other reader is through */
        int r = hash_wait(w);
        if (rc == 0) rc = r;
    }
    if (rc < 0) w->failed = 1;
    return rc;
}

const feature_bad_row *feature_writer_bad(const feature_writer *w, size_t *n)
{
    *n = w->n_bad;
    return w->bad;
}

/* --- commit ------------------------------------------------------------------------------------- */

static int write_record(feature_writer *w)
{
    int rc = 0;
    size_t first = w->committed / DIGEST_BLOCK_ROWS,
           blocks = (w->next - 1) / DIGEST_BLOCK_ROWS - first + 1;
    journal_digest *digest = NULL;
    journal_bad *bad = NULL;
    journal_commit c = {.begin = w->committed, .end = w->next};
    TRY(mem_new(&digest, blocks * w->n_images, sizeof *digest, "journal record"));
    TRY(mem_new(&bad, w->n_bad - w->bad_committed, sizeof *bad, "journal record"));
    for (size_t i = 0; i < w->n_images; i++) {
        const block_digests *b = feature_writer_digest(w, i);
        for (size_t k = first; k < first + blocks; k++) {
            journal_digest *d = &digest[c.n_digests++];
            size_t end = (k + 1) * DIGEST_BLOCK_ROWS;
            d->set = (uint32_t)i, d->block = (uint32_t)k;
            if (b->next >= end || b->next == b->rows)
                memcpy(d->sha256, b->digest + k * DIGEST_BYTES, DIGEST_BYTES);
            else TRY(block_digests_partial(b, d->sha256));
        }
    }
    for (size_t i = w->bad_committed; i < w->n_bad; i++) {
        journal_bad *b = &bad[c.n_bad++];
        b->row = w->bad[i].row, b->status = w->bad[i].status;
        memcpy(&b->reason, &w->bad[i].reason, sizeof b->reason); /* read only */
    }
    c.digest = digest;
    c.bad = bad;
    TRY(journal_append(w->journal, &c));
done:
    free(bad);
    free(digest);
    return rc;
}

int feature_writer_commit(feature_writer *w)
{
    int rc = 0;
    CHECK(!w->failed, ERR_ENV, "%s: writing failed before", w->part);
    if (w->next == w->committed) goto done;
    TRY(io_sync(w->fd, w->part, 1)); /* the rows first, then the word that they are there */
    TRY(write_record(w));
    w->committed = w->next;
    w->bad_committed = w->n_bad;
    feature_lock_beat(w->lock);
done:
    if (rc < 0) w->failed = 1;
    return rc;
}

/* --- the end ------------------------------------------------------------------------------------ */

static int write_digests(feature_writer *w)
{
    int rc = 0;
    unsigned char raw[DIGEST_BYTES], one = 1;
    char hex[65];
    const h5_item *meta = &w->layout.item[w->layout.n - 1];
    for (size_t i = 0; i < w->layout.n_data; i++)
        TRY(io_pwrite(w->fd, w->part, w->digest[i].digest, w->digest[i].n_blocks * DIGEST_BYTES,
                      w->layout.item[w->layout.n_data + i].offset));
    TRY(feature_metadata_digest(w->fd, w->part, w->layout.file_bytes, w->layout.item, w->layout.n,
                                w->layout.complete_at, raw));
    sha256_hex(raw, hex);
    CHECK(strcmp(hex, w->metadata) == 0, ERR_ENV,
          "%s: its structure changed on disk while rows were written", w->part);
    TRY(io_pwrite(w->fd, w->part, raw, DIGEST_BYTES, meta->offset));
    TRY(io_pwrite(w->fd, w->part, &one, 1, w->layout.complete_at));
done:
    return rc;
}

/* Reads everything back, from the disk where the system lets go of its cache. */
static int verify(feature_writer *w)
{
    int rc = 0;
    block_digests b = {0};
    unsigned char raw[DIGEST_BYTES];
    char hex[65];
    (void)posix_fadvise(w->fd, 0, 0, POSIX_FADV_DONTNEED);
    TRY(feature_metadata_digest(w->fd, w->part, w->layout.file_bytes, w->layout.item, w->layout.n,
                                0, raw));
    sha256_hex(raw, hex);
    CHECK(strcmp(hex, w->metadata) == 0, ERR_ENV, "%s: structure reads back otherwise than written",
          w->part);
    for (size_t i = 0; i < w->layout.n_data; i++) {
        const h5_item *it = &w->layout.item[i];
        const block_digests *want = &w->digest[i];
        block_digests_clear(&b);
        TRY(block_digests_init(&b, want->rows, want->row_bytes));
        TRY(block_digests_file(&b, w->fd, w->part, it->offset));
        for (size_t k = 0; k < b.n_blocks; k++)
            CHECK(memcmp(b.digest + k * DIGEST_BYTES, want->digest + k * DIGEST_BYTES,
                         DIGEST_BYTES) == 0,
                  ERR_ENV,
                  "%s: /%s, rows from %zu on read back otherwise than written; the storage is not "
                  "to be "
                  "trusted; --force starts over",
                  w->part, it->name, k * DIGEST_BLOCK_ROWS);
    }
    for (size_t i = 0; i < w->layout.n_data; i++) {
        void *back = NULL;
        size_t bytes = w->digest[i].n_blocks * DIGEST_BYTES;
        int same;
        TRY(mem_new(&back, bytes, 1, "digests"));
        rc = io_pread(w->fd, w->part, back, bytes, w->layout.item[w->layout.n_data + i].offset);
        same = rc == 0 && memcmp(back, w->digest[i].digest, bytes) == 0;
        free(back);
        if (rc < 0) goto done;
        CHECK(same, ERR_ENV, "%s: digests read back otherwise than written", w->part);
    }
done:
    block_digests_clear(&b);
    return rc;
}

int feature_writer_finish(feature_writer *w)
{
    int rc = 0;
    CHECK(w->next == w->spec->rows || w->failed, ERR_INTERNAL, "%s: finished at row %zu of %zu",
          w->part, w->next, w->spec->rows);
    TRY(feature_writer_commit(w));
    TRY(write_digests(w));
    TRY(io_sync(w->fd, w->part, 0));
    TRY(verify(w));
    rc = close(w->fd);
    w->fd = -1;
    CHECK(rc == 0, ERR_ENV, "%s: close failed: %s", w->part,
          strerror(errno)); /* NFS says it here */
    CHECK(rename(w->part, w->path) == 0, ERR_ENV, "%s: cannot rename to %s: %s", w->part, w->path,
          strerror(errno));
    TRY(io_sync_dir(w->path));
    w->finished = 1;
    journal_close(&w->journal);
    TRY(io_remove(w->journal_path));
done:
    if (rc < 0) w->failed = 1;
    return rc;
}

void feature_writer_close(feature_writer **pw)
{
    feature_writer *w = *pw;
    if (w == NULL) return;
    if (w->hash.started) {
        pthread_mutex_lock(&w->hash.lock);
        w->hash.quit = 1;
        pthread_cond_broadcast(&w->hash.turn);
        pthread_mutex_unlock(&w->hash.lock);
        pthread_join(w->hash.thread, NULL);
    }
    pthread_cond_destroy(&w->hash.turn);
    pthread_mutex_destroy(&w->hash.lock);
    journal_close(&w->journal);
    if (w->fd >= 0) close(w->fd);
    for (size_t i = 0; w->digest != NULL && i < w->layout.n_data; i++)
        block_digests_clear(&w->digest[i]);
    free(w->digest);
    feature_writer_drop_bad(w, 0);
    free(w->bad);
    free(w->absent);
    feature_lock_drop(&w->lock);
    feature_layout_clear(&w->layout);
    free(w->journal_path);
    free(w->part);
    free(w->path);
    free(w);
    *pw = NULL;
}
