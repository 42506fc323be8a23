/* How a feature_writer comes to be: a new file, the rest of an interrupted one, or nothing to do. */
#include "common/err.h"
#include "common/feature_file.h"
#include "common/feature/feature_io.h"
#include "common/feature/feature_reader.h"
#include "common/feature/feature_writer.h"
#include "common/log.h"
#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "arrays go to the file as they are in memory");

enum { PATHS_AT_ONCE = 4096 };

/* --- data that the spec holds in full ------------------------------------------------------------ */

static int known(feature_writer *w, int fd, size_t item, const void *data)
{
    const h5_item *it = &w->layout.item[item];
    int rc = block_digests_add(&w->digest[item], data, w->digest[item].rows);
    if (rc == 0 && fd >= 0) rc = io_pwrite(fd, w->part, data, it->bytes, it->offset);
    return rc;
}

static int known_paths(feature_writer *w, int fd)
{
    int rc = 0;
    const feature_spec *s = w->spec;
    const h5_item *it = &w->layout.item[w->layout.paths];
    char *text = NULL;
    size_t n;
    TRY(mem_new(&text, PATHS_AT_ONCE, it->width, "paths"));
    for (size_t row = 0; row < s->rows; row += n) {
        n = s->rows - row < PATHS_AT_ONCE ? s->rows - row : PATHS_AT_ONCE;
        memset(text, 0, n * it->width);
        for (size_t i = 0; i < n; i++) /* padded with NUL: the width need not hold one more */
            memcpy(text + i * it->width, s->paths[row + i], strlen(s->paths[row + i]));
        TRY(block_digests_add(&w->digest[w->layout.paths], text, n));
        if (fd >= 0) TRY(io_pwrite(fd, w->part, text, n * it->width, it->offset + row * it->width));
    }
done:
    free(text);
    return rc;
}

int feature_writer_known(feature_writer *w, int fd)
{
    int rc = 0;
    const feature_layout *l = &w->layout;
    TRY(known(w, fd, l->labels, w->spec->labels));
    TRY(known_paths(w, fd));
    for (size_t i = 0; i < w->spec->n_constants; i++)
        TRY(known(w, fd, l->constants + i, w->spec->constants[i].v));
    /* an empty text is stored as one NUL */
    TRY(known(w, fd, l->provenance, w->spec->provenance));
done:
    return rc;
}

/* --- new ----------------------------------------------------------------------------------------- */

static int header_of(const feature_writer *w, journal_header *h)
{
    int rc = 0;
    const feature_layout *l = &w->layout;
    h->identity_text = l->identity_text;
    memcpy(&h->provenance, &w->spec->provenance, sizeof h->provenance); /* read only */
    memcpy(h->metadata, w->metadata, sizeof h->metadata);
    h->file_bytes = l->file_bytes;
    h->complete_at = l->complete_at;
    TRY(mem_new(&h->place, l->n, sizeof *h->place, "journal"));
    for (size_t i = 0; i < l->n; i++)
        h->place[i] = (journal_place){l->item[i].name, l->item[i].offset, l->item[i].bytes};
    h->n_places = l->n;
done:
    return rc;
}

/* The order makes every moment safe: no journal, no file, a whole synced file, its journal. */
static int start_new(feature_writer *w)
{
    int rc = 0, made = 0;
    unsigned char raw[DIGEST_BYTES];
    journal_header h = {0};
    TRY(io_remove(w->journal_path));
    TRY(io_remove(w->part));
    TRY(io_sync_dir(w->part)); /* an old journal must not come back beside the new file */
    made = 1;
    TRY(feature_layout_create(&w->layout, w->spec, w->part));
    w->fd = open(w->part, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    CHECK(w->fd >= 0, ERR_ENV, "%s: cannot open: %s", w->part, strerror(errno));
    TRY(io_reserve(w->fd, w->part, w->layout.file_bytes));
    TRY(feature_writer_known(w, w->fd));
    TRY(feature_metadata_digest(w->fd, w->part, w->layout.file_bytes, w->layout.item, w->layout.n,
                                w->layout.complete_at, raw));
    sha256_hex(raw, w->metadata);
    TRY(io_sync(w->fd, w->part, 0));
    TRY(header_of(w, &h));
    TRY(journal_create(&w->journal, w->journal_path, &h));
done:
    free(h.place);
    if (rc < 0 && made) { /* nothing in it yet: the space goes back */
        unlink(w->journal_path);
        unlink(w->part);
    }
    return rc;
}

/* --- resume -------------------------------------------------------------------------------------- */

typedef struct replay {
    feature_writer *w;
    journal_header *header;
} replay;

/* 1: not a record that this file can have had; the journal ends before it. */
static int on_commit(void *arg, const journal_commit *c)
{
    replay *r = arg;
    feature_writer *w = r->w;
    int rc = 0;
    if (strcmp(r->header->identity_text, w->layout.identity_text) != 0)
        return 0; /* refused later */
    if (c->begin > w->committed || c->end > w->spec->rows || c->end <= c->begin) return 1;
    for (size_t i = 0; i < c->n_digests; i++)
        if (c->digest[i].set >= w->n_images ||
            c->digest[i].block >= feature_writer_digest(w, c->digest[i].set)->n_blocks)
            return 1;
    feature_writer_drop_bad(w, c->begin);
    for (size_t i = 0; i < c->n_bad; i++)
        TRY(feature_writer_add_bad(w, c->bad[i].row, (uint8_t)c->bad[i].status, c->bad[i].reason));
    for (size_t i = 0; i < c->n_digests; i++)
        memcpy(feature_writer_digest(w, c->digest[i].set)->digest +
                   c->digest[i].block * DIGEST_BYTES,
               c->digest[i].sha256, DIGEST_BYTES);
    w->committed = c->end;
done:
    return rc;
}

int feature_writer_places(feature_writer *w, const journal_header *h)
{
    feature_layout *l = &w->layout;
    if (h->n_places != l->n) return 1;
    for (size_t i = 0; i < l->n; i++) {
        const journal_place *p = &h->place[i];
        if (strcmp(p->name, l->item[i].name) != 0 || p->bytes != l->item[i].bytes ||
            p->offset > h->file_bytes || p->bytes > h->file_bytes - p->offset)
            return 1;
        l->item[i].offset = p->offset;
    }
    l->file_bytes = h->file_bytes;
    l->complete_at = h->complete_at;
    memcpy(w->metadata, h->metadata, sizeof w->metadata);
    return 0;
}

/* 1: not the file that the journal speaks of. */
static int check_part(feature_writer *w)
{
    int rc = 0;
    unsigned char raw[DIGEST_BYTES];
    char hex[65];
    uint64_t bytes;
    TRY(io_size(w->fd, w->part, &bytes));
    if (bytes != w->layout.file_bytes) return 1;
    TRY(feature_metadata_digest(w->fd, w->part, bytes, w->layout.item, w->layout.n,
                                w->layout.complete_at, raw));
    sha256_hex(raw, hex);
    rc = strcmp(hex, w->metadata) != 0;
done:
    return rc;
}

/* Reads the last block back and compares; when it is not what was promised (a disk that lied about a
 * sync), its rows are done again. */
static int check_last_block(feature_writer *w)
{
    int rc = 0, good = 1;
    size_t start =
        w->committed == 0 ? 0 : (w->committed - 1) / DIGEST_BLOCK_ROWS * DIGEST_BLOCK_ROWS;
    for (size_t i = 0; i < w->n_images && w->committed > 0; i++) {
        block_digests *b = feature_writer_digest(w, i);
        unsigned char now[DIGEST_BYTES],
            *want = b->digest + start / DIGEST_BLOCK_ROWS * DIGEST_BYTES;
        unsigned char promised[DIGEST_BYTES];
        memcpy(promised, want, sizeof promised);
        TRY(block_digests_seek(b, start));
        TRY(block_digests_add_file(b, w->fd, w->part, feature_writer_item(w, i)->offset,
                                   w->committed - start));
        if (b->next % DIGEST_BLOCK_ROWS == 0 || b->next == b->rows) memcpy(now, want, sizeof now);
        else TRY(block_digests_partial(b, now));
        if (memcmp(now, promised, sizeof now) != 0) good = 0;
    }
    w->next = w->committed;
    if (good) goto done;
    log_warn("%s: rows %zu to %zu are not as they were committed; they are done again", w->part,
             start, w->committed);
    for (size_t i = 0; i < w->n_images; i++)
        TRY(block_digests_seek(feature_writer_digest(w, i), start));
    feature_writer_drop_bad(w, start);
    w->next = w->committed = start;
done:
    w->bad_committed = w->n_bad;
    return rc;
}

/* 0: nothing to resume, start anew; 1: resumed. */
static int resume(feature_writer *w, int force)
{
    int rc = 0, fits;
    replay r = {w, NULL};
    TRY(journal_open(&w->journal, w->journal_path, &r.header, on_commit, &r));
    if (w->journal == NULL) goto done;
    if (strcmp(r.header->identity_text, w->layout.identity_text) != 0) {
        CHECK(force,
              feature_identity_differs(w->part, r.header->identity_text, r.header->provenance,
                                       &w->layout, w->spec),
              "%s", "");
        goto over;
    }
    w->fd = open(w->part, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (w->fd < 0 && errno == ENOENT) {
        log_warn("%s: gone, although its journal is there; starting over", w->part);
        goto over;
    }
    CHECK(w->fd >= 0, ERR_ENV, "%s: cannot open: %s", w->part, strerror(errno));
    fits = feature_writer_places(w, r.header);
    if (fits == 0) TRY(fits = check_part(w));
    rc = 0;
    if (fits != 0) {
        CHECK(force, ERR_INPUT, "%s: not the file that its journal describes; --force starts over",
              w->part);
        goto over;
    }
    TRY(feature_writer_known(w, -1));
    TRY(check_last_block(w));
    rc = 1;
    goto done;
over:
    journal_close(&w->journal);
    if (w->fd >= 0) close(w->fd);
    w->fd = -1;
    w->committed = 0;
    feature_writer_drop_bad(w, 0);
done:
    journal_header_free(&r.header);
    return rc;
}

/* --- recognise ----------------------------------------------------------------------------------- */

/* 1: PATH is there, finished and what is asked for; 0: absent, or to be replaced. */
static int recognise(feature_writer *w, int force)
{
    int rc = 0;
    struct stat st;
    feature_file *f = NULL;
    char why[1024];
    if (lstat(w->path, &st) < 0 && errno == ENOENT) return 0;
    rc = feature_file_open(&f, w->path);
    if (rc == ERR_INPUT || (rc == 0 && !feature_file_is_ours(f))) {
        snprintf(why, sizeof why, "%s", rc < 0 ? err_text() : "made by another program");
        err_clear();
        rc = 0;
        CHECK(force, ERR_INPUT,
              "%s: exists and is not a finished feature file (%s); --force replaces it", w->path,
              why);
        goto done;
    }
    if (rc < 0) goto done;
    if (strcmp(feature_file_identity(f), w->layout.identity) == 0) rc = 1;
    else if (!force)
        rc = feature_identity_differs(w->path, NULL, feature_file_provenance(f), &w->layout,
                                      w->spec);
done:
    feature_file_close(&f);
    return rc;
}

/* --- open ---------------------------------------------------------------------------------------- */

static int new_writer(feature_writer **out, const char *path, const feature_spec *spec)
{
    int rc = 0;
    size_t widest = 1;
    feature_writer *w = NULL;
    TRY(mem_new(&w, 1, sizeof *w, path));
    w->fd = -1;
    w->spec = spec;
    *out = w;
    pthread_mutex_init(&w->hash.lock, NULL);
    pthread_cond_init(&w->hash.turn, NULL);
    TRY(mem_strdup(&w->path, path));
    TRY(io_name(&w->part, path, ".part"));
    TRY(io_name(&w->journal_path, path, ".journal"));
    TRY(feature_layout_init(&w->layout, spec));
    w->n_images = w->layout.n_sets + 1;
    TRY(mem_new(&w->digest, w->layout.n_data, sizeof *w->digest, path));
    for (size_t i = 0; i < w->layout.n_data; i++) {
        const h5_item *it = &w->layout.item[i];
        TRY(block_digests_init(&w->digest[i], feature_rows(it), feature_row_bytes(it)));
        if (i < w->layout.n_sets && feature_row_bytes(it) > widest) widest = feature_row_bytes(it);
    }
    TRY(mem_new(&w->absent, widest, 1, path));
done:
    return rc;
}

int feature_writer_open(feature_writer **out, const char *path, const feature_spec *spec, int force,
                        enum feature_state *state, size_t *rows_done)
{
    int rc = 0;
    feature_writer *w = NULL;
    *out = NULL;
    io_ignore_file_size_signal();
    TRY(new_writer(&w, path, spec));
    TRY(feature_lock_take(&w->lock, path));
    TRY(recognise(w, force));
    if (rc == 1) {
        rc = 0;
        if (access(w->part, F_OK) < 0) unlink(w->journal_path); /* killed right after the rename */
        *state = FEATURE_COMPLETE;
        *rows_done = spec->rows;
        goto done;
    }
    TRY(resume(w, force));
    *state = rc == 1 ? FEATURE_RESUMED : FEATURE_NEW;
    if (rc == 0) TRY(start_new(w));
    rc = 0;
    *rows_done = w->next;
    *out = w;
    w = NULL;
done:
    feature_writer_close(&w);
    return rc;
}
