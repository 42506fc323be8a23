#include "common/feature/feature_journal.h"
#include "common/err.h"
#include "common/feature/feature_io.h"
#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>
#include <zlib.h>

enum { MAGIC = 0x4a504f4f, HEAD = 16, BODY_MAX = 1 << 30, PLACES_MAX = 1024, REASON_MAX = 1000 };

struct journal {
    int fd;
    char *path;
    uint64_t end; /* where the next record goes */
    uint32_t crc; /* of the last one */
};

static void put32(unsigned char *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (unsigned char)(v >> (8 * i));
}

static void put64(unsigned char *p, uint64_t v)
{
    put32(p, (uint32_t)v);
    put32(p + 4, (uint32_t)(v >> 32));
}

static uint32_t get32(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t get64(const unsigned char *p)
{
    return get32(p) | (uint64_t)get32(p + 4) << 32;
}

/* head: the record's first 12 bytes after the magic and body; chained, so that a record of an older
 * journal at the right place is none of ours. */
static uint32_t crc_of(uint32_t before, const unsigned char head[HEAD], const void *body, size_t n)
{
    unsigned char chain[4];
    uLong c = crc32(0, Z_NULL, 0);
    put32(chain, before);
    c = crc32(c, chain, 4);
    c = crc32(c, head + 4, 8);
    return (uint32_t)crc32_z(c, body, n);
}

void journal_header_free(journal_header **h)
{
    if (*h == NULL) return;
    for (size_t i = 0; i < (*h)->n_places; i++)
        free((*h)->place[i].name);
    free((*h)->place);
    free((*h)->identity_text);
    free((*h)->provenance);
    free(*h);
    *h = NULL;
}

/* --- writing ---------------------------------------------------------------------------------- */

/* One write, one sync: a record is there whole or not at all. */
static int append(journal *j, uint32_t kind, unsigned char *record, size_t body)
{
    int rc = 0;
    CHECK(body <= BODY_MAX, ERR_INTERNAL, "%s: a record of %zu bytes", j->path, body);
    put32(record, MAGIC);
    put32(record + 4, kind);
    put32(record + 8, (uint32_t)body);
    put32(record + 12, crc_of(j->crc, record, record + HEAD, body));
    TRY(io_pwrite(j->fd, j->path, record, HEAD + body, j->end));
    TRY(io_sync(j->fd, j->path, 1));
    j->end += HEAD + body;
    j->crc = get32(record + 12);
done:
    return rc;
}

static int header_text(const journal_header *h, char **text)
{
    json_t *o = json_object(), *places = json_array();
    json_object_set_new(o, "format", json_string("outpost-journal"));
    json_object_set_new(o, "version", json_integer(1));
    json_object_set_new(o, "identity", json_string(h->identity_text));
    json_object_set_new(o, "provenance",
                        json_stringn_nocheck(h->provenance, strlen(h->provenance)));
    json_object_set_new(o, "metadata_sha256", json_string(h->metadata));
    json_object_set_new(o, "file_bytes", json_integer((json_int_t)h->file_bytes));
    json_object_set_new(o, "complete_at", json_integer((json_int_t)h->complete_at));
    for (size_t i = 0; i < h->n_places; i++)
        json_array_append_new(places, json_pack("{s:s, s:I, s:I}", "name", h->place[i].name,
                                                "offset", (json_int_t)h->place[i].offset, "bytes",
                                                (json_int_t)h->place[i].bytes));
    json_object_set_new(o, "datasets", places);
    *text = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(o);
    return *text != NULL ? 0 : err_set(ERR_ENV, "no memory for the journal's header");
}

static int new_journal(journal **out, const char *path, int flags)
{
    int rc = 0;
    journal *j = NULL;
    TRY(mem_new(&j, 1, sizeof *j, path));
    j->fd = -1;
    TRY(mem_strdup(&j->path, path));
    j->fd = open(path, flags | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0666);
    CHECK(j->fd >= 0, ERR_ENV, "%s: cannot open the journal: %s", path, strerror(errno));
    *out = j;
    j = NULL;
done:
    journal_close(&j);
    return rc;
}

int journal_create(journal **out, const char *path, const journal_header *h)
{
    int rc = 0;
    journal *j = NULL;
    char *text = NULL;
    unsigned char *record = NULL;
    size_t n;
    TRY(header_text(h, &text));
    n = strlen(text);
    TRY(mem_new(&record, HEAD + n, 1, path));
    memcpy(record + HEAD, text, n);
    TRY(new_journal(&j, path, O_CREAT | O_EXCL));
    TRY(append(j, JOURNAL_HEADER, record, n));
    TRY(io_sync_dir(path));
    *out = j;
    j = NULL;
done:
    free(record);
    free(text);
    journal_close(&j);
    return rc;
}

int journal_append(journal *j, const journal_commit *c)
{
    int rc = 0;
    size_t n = 24 + c->n_digests * (8 + DIGEST_BYTES);
    unsigned char *record = NULL, *p;
    for (size_t i = 0; i < c->n_bad; i++)
        n += 16 + strnlen(c->bad[i].reason, REASON_MAX);
    TRY(mem_new(&record, HEAD + n, 1, "journal record"));
    p = record + HEAD;
    put64(p, c->begin), put64(p + 8, c->end);
    put32(p + 16, (uint32_t)c->n_digests), put32(p + 20, (uint32_t)c->n_bad);
    p += 24;
    for (size_t i = 0; i < c->n_digests; i++, p += 8 + DIGEST_BYTES) {
        put32(p, c->digest[i].set), put32(p + 4, c->digest[i].block);
        memcpy(p + 8, c->digest[i].sha256, DIGEST_BYTES);
    }
    for (size_t i = 0; i < c->n_bad; i++) {
        size_t len = strnlen(c->bad[i].reason, REASON_MAX);
        put64(p, c->bad[i].row), put32(p + 8, c->bad[i].status), put32(p + 12, (uint32_t)len);
        memcpy(p + 16, c->bad[i].reason, len);
        p += 16 + len;
    }
    TRY(append(j, JOURNAL_COMMIT, record, n));
done:
    free(record);
    return rc;
}

void journal_close(journal **j)
{
    if (*j == NULL) return;
    if ((*j)->fd >= 0) close((*j)->fd);
    free((*j)->path);
    free(*j);
    *j = NULL;
}

/* --- reading ---------------------------------------------------------------------------------- */

static int read_places(journal_header *h, const json_t *places)
{
    int rc = 0;
    size_t n = json_array_size(places);
    if (!json_is_array(places) || n > PLACES_MAX) return 1;
    TRY(mem_new(&h->place, n, sizeof *h->place, "journal"));
    for (size_t i = 0; i < n; i++) {
        const json_t *p = json_array_get(places, i);
        const char *name = json_string_value(json_object_get(p, "name"));
        json_int_t at = json_integer_value(json_object_get(p, "offset"));
        json_int_t bytes = json_integer_value(json_object_get(p, "bytes"));
        if (name == NULL || at < 0 || bytes < 0) return 1;
        TRY(mem_strdup(&h->place[i].name, name));
        h->n_places = i + 1;
        h->place[i].offset = (uint64_t)at;
        h->place[i].bytes = (uint64_t)bytes;
    }
done:
    return rc;
}

/* 1: not a header of this version. */
static int read_header(const unsigned char *body, size_t n, journal_header **out)
{
    int rc = 0;
    journal_header *h = NULL;
    json_t *o = json_loadb((const char *)body, n, JSON_REJECT_DUPLICATES, NULL);
    const char *format = json_string_value(json_object_get(o, "format"));
    const char *identity = json_string_value(json_object_get(o, "identity"));
    const char *provenance = json_string_value(json_object_get(o, "provenance"));
    const char *metadata = json_string_value(json_object_get(o, "metadata_sha256"));
    json_int_t bytes = json_integer_value(json_object_get(o, "file_bytes"));
    json_int_t at = json_integer_value(json_object_get(o, "complete_at"));
    if (format == NULL || strcmp(format, "outpost-journal") != 0 || identity == NULL ||
        json_integer_value(json_object_get(o, "version")) != 1 || provenance == NULL ||
        metadata == NULL || strlen(metadata) != 64 || bytes <= 0 || at <= 0 || at >= bytes) {
        rc = 1;
        goto done;
    }
    TRY(mem_new(&h, 1, sizeof *h, "journal"));
    TRY(mem_strdup(&h->identity_text, identity));
    TRY(mem_strdup(&h->provenance, provenance));
    memcpy(h->metadata, metadata, 65);
    h->file_bytes = (uint64_t)bytes;
    h->complete_at = (uint64_t)at;
    TRY(read_places(h, json_object_get(o, "datasets")));
    if (rc == 0) {
        *out = h;
        h = NULL;
    }
done:
    journal_header_free(&h);
    json_decref(o);
    return rc;
}

/* 1: malformed, although its checksum is right. */
static int read_commit(const unsigned char *p, size_t n,
                       int (*commit)(void *, const journal_commit *), void *arg)
{
    int rc = 0;
    journal_digest *digest = NULL;
    journal_bad *bad = NULL;
    journal_commit c = {0};
    size_t at = 24, n_bad = 0;
    if (n < 24) return 1;
    c.begin = get64(p), c.end = get64(p + 8);
    c.n_digests = get32(p + 16), n_bad = get32(p + 20);
    if (c.begin > c.end || c.n_digests > (n - at) / (8 + DIGEST_BYTES)) return 1;
    if (n_bad > (n - at - c.n_digests * (8 + DIGEST_BYTES)) / 16) return 1;
    TRY(mem_new(&digest, c.n_digests, sizeof *digest, "journal"));
    TRY(mem_new(&bad, n_bad, sizeof *bad, "journal"));
    for (size_t i = 0; i < c.n_digests; i++, at += 8 + DIGEST_BYTES) {
        digest[i].set = get32(p + at), digest[i].block = get32(p + at + 4);
        memcpy(digest[i].sha256, p + at + 8, DIGEST_BYTES);
    }
    for (; c.n_bad < n_bad; c.n_bad++) {
        journal_bad *b = &bad[c.n_bad];
        size_t len;
        if (n - at < 16 || (len = get32(p + at + 12)) > n - at - 16) {
            rc = 1;
            goto done;
        }
        b->row = get64(p + at), b->status = get32(p + at + 8);
        TRY(mem_new(&b->reason, len + 1, 1, "journal"));
        memcpy(b->reason, p + at + 16, len);
        at += 16 + len;
    }
    c.digest = digest;
    c.bad = bad;
    rc = at == n ? commit(arg, &c) : 1;
done:
    for (size_t i = 0; bad != NULL && i < n_bad; i++)
        free(bad[i].reason);
    free(bad);
    free(digest);
    return rc;
}

typedef struct cursor {
    size_t used;
    uint32_t crc;
} cursor;

static int parse(const unsigned char *p, size_t bytes, journal_header **header,
                 int (*commit)(void *, const journal_commit *), void *arg, cursor *at)
{
    int rc = 0;
    *header = NULL;
    *at = (cursor){0, 0};
    while (bytes - at->used >= HEAD) {
        const unsigned char *r = p + at->used;
        size_t n = get32(r + 8);
        uint32_t kind = get32(r + 4);
        if (get32(r) != MAGIC || n > BODY_MAX || n > bytes - at->used - HEAD) break;
        if (get32(r + 12) != crc_of(at->crc, r, r + HEAD, n)) break;
        if (*header == NULL) rc = kind == JOURNAL_HEADER ? read_header(r + HEAD, n, header) : 1;
        else rc = kind == JOURNAL_COMMIT ? read_commit(r + HEAD, n, commit, arg) : 1;
        if (rc != 0) break;
        at->used += HEAD + n;
        at->crc = get32(r + 12);
    }
    if (rc < 0) journal_header_free(header);
    return rc < 0 ? rc : 0;
}

int journal_parse(const void *data, size_t bytes, const char *path, journal_header **header,
                  int (*commit)(void *arg, const journal_commit *c), void *arg, size_t *used)
{
    cursor at;
    int rc = parse(data, bytes, header, commit, arg, &at);
    (void)path;
    *used = at.used;
    return rc;
}

int journal_open(journal **out, const char *path, journal_header **header,
                 int (*commit)(void *arg, const journal_commit *c), void *arg)
{
    int rc = 0;
    journal *j = NULL;
    unsigned char *data = NULL;
    uint64_t bytes;
    cursor at;
    *out = NULL;
    *header = NULL;
    if (access(path, F_OK) < 0 && errno == ENOENT) return 0;
    TRY(new_journal(&j, path, 0));
    TRY(io_size(j->fd, path, &bytes));
    TRY(mem_new(&data, bytes, 1, path));
    TRY(io_pread(j->fd, path, data, bytes, 0));
    TRY(parse(data, bytes, header, commit, arg, &at));
    if (*header == NULL) goto done;
    if (at.used < bytes) {
        CHECK(ftruncate(j->fd, (off_t)at.used) == 0, ERR_ENV,
              "%s: cannot cut off a torn record: %s", path, strerror(errno));
        TRY(io_sync(j->fd, path, 0));
    }
    j->end = at.used;
    j->crc = at.crc;
    *out = j;
    j = NULL;
done:
    if (rc < 0) journal_header_free(header);
    free(data);
    journal_close(&j);
    return rc;
}
