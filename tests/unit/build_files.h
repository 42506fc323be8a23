/* Small files built in memory for the tests of the readers: bytes, zips, pickles of tensors. */
#ifndef OUTPOST_TESTS_BUILD_FILES_H
#define OUTPOST_TESTS_BUILD_FILES_H

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define UNUSED __attribute__((unused))
#define BYTES(s) s, sizeof(s) - 1

typedef struct buffer {
    unsigned char *v;
    size_t n, room;
} buffer;

static UNUSED void put(buffer *b, const void *bytes, size_t n)
{
    if (b->n + n > b->room) {
        b->room = 2 * (b->n + n) + 64;
        b->v = realloc(b->v, b->room);
        if (b->v == NULL) abort();
    }
    if (n > 0) memcpy(b->v + b->n, bytes, n);
    b->n += n;
}

static UNUSED void put_text(buffer *b, const char *s)
{
    put(b, s, strlen(s));
}

static UNUSED void put_number(buffer *b, uint64_t v, size_t width)
{
    for (size_t i = 0; i < width; i++) {
        unsigned char c = (unsigned char)(v >> (8 * i));
        put(b, &c, 1);
    }
}

static UNUSED void clear(buffer *b)
{
    free(b->v);
    *b = (buffer){ NULL, 0, 0 };
}

/* ---- files ---------------------------------------------------------------------------------- */

static char temp_path[] = "/tmp/outpost_test.XXXXXX";

static UNUSED const char *temp_file(const void *bytes, size_t n)
{
    static int made;
    FILE *f;
    if (!made) {
        int fd = mkstemp(temp_path);
        if (fd < 0) abort();
        close(fd);
        made = 1;
    }
    f = fopen(temp_path, "wb");
    if (f == NULL || fwrite(bytes, 1, n, f) != n || fclose(f) != 0) abort();
    return temp_path;
}

static UNUSED unsigned char *slurp(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    unsigned char *v = malloc(1 << 20);
    if (f == NULL || v == NULL) abort();
    *n = fread(v, 1, 1 << 20, f);
    fclose(f);
    return v;
}

/* ---- zips ------------------------------------------------------------------------------------- */

/* A zip whose fields can be lied about: change what zip_add returns before zip_end. */
typedef struct made_member {
    char name[64];
    uint32_t method, flags, crc, size, packed, at; /* as the directory will say */
} made_member;

typedef struct made_zip {
    buffer b;
    made_member m[40];
    size_t n;
} made_zip;

static UNUSED made_member *zip_add(made_zip *z, const char *name, const void *data, size_t n)
{
    made_member *m = &z->m[z->n++];
    memset(m, 0, sizeof *m);
    snprintf(m->name, sizeof m->name, "%s", name);
    m->crc = (uint32_t)crc32(0, data, (uInt)n);
    m->size = m->packed = (uint32_t)n;
    m->at = (uint32_t)z->b.n;
    put(&z->b, "PK\3\4\x14\0\0\0\0\0\0\0\0\0", 14);
    put_number(&z->b, m->crc, 4);
    put_number(&z->b, m->packed, 4);
    put_number(&z->b, m->size, 4);
    put_number(&z->b, strlen(m->name), 2);
    put_number(&z->b, 0, 2);
    put_text(&z->b, m->name);
    put(&z->b, data, n);
    return m;
}

static UNUSED void zip_end(made_zip *z)
{
    size_t at = z->b.n, bytes;
    for (size_t i = 0; i < z->n; i++) {
        const made_member *m = &z->m[i];
        put(&z->b, "PK\1\2\x14\0\x14\0", 8);
        put_number(&z->b, m->flags, 2);
        put_number(&z->b, m->method, 2);
        put_number(&z->b, 0, 4);
        put_number(&z->b, m->crc, 4);
        put_number(&z->b, m->packed, 4);
        put_number(&z->b, m->size, 4);
        put_number(&z->b, strlen(m->name), 2);
        put_number(&z->b, 0, 12); /* extra, comment, disk, attributes */
        put_number(&z->b, m->at, 4);
        put_text(&z->b, m->name);
    }
    bytes = z->b.n - at;
    put(&z->b, "PK\5\6\0\0\0\0", 8);
    put_number(&z->b, z->n, 2);
    put_number(&z->b, z->n, 2);
    put_number(&z->b, bytes, 4);
    put_number(&z->b, at, 4);
    put_number(&z->b, 0, 2);
}

/* ---- pickles ------------------------------------------------------------------------------------ */

static UNUSED void put_str(buffer *b, const char *s)
{
    put_text(b, "X");
    put_number(b, strlen(s), 4);
    put_text(b, s);
}

static UNUSED void put_int(buffer *b, int64_t v)
{
    put(b, "\x8a\x08", 2);
    put_number(b, (uint64_t)v, 8);
}

typedef struct made_tensor {
    const char *type, *key; /* "FloatStorage", "0" */
    int64_t numel, offset;
    int rank, strides;
    int64_t dim[12], stride[12];
} made_tensor;

/* torch._utils._rebuild_tensor_v2(pid('storage', torch.TYPE, key, 'cpu', numel), ...) */
static UNUSED void put_tensor(buffer *b, const made_tensor *t)
{
    put_text(b, "ctorch._utils\n_rebuild_tensor_v2\n((");
    put_str(b, "storage");
    put_text(b, "ctorch\n");
    put_text(b, t->type);
    put_text(b, "\n");
    put_str(b, t->key);
    put_str(b, "cpu");
    put_int(b, t->numel);
    put_text(b, "tQ");
    put_int(b, t->offset);
    put_text(b, "(");
    for (int i = 0; i < t->rank; i++)
        put_int(b, t->dim[i]);
    put_text(b, "t(");
    for (int i = 0; i < t->strides; i++)
        put_int(b, t->stride[i]);
    put_text(b, "t\x89" "ccollections\nOrderedDict\n)RtR");
}

static UNUSED void put_vector(buffer *b, const char *key, int64_t numel)
{
    made_tensor t = { "FloatStorage", key, numel, 0, 1, 1, { numel }, { 1 } };
    put_tensor(b, &t);
}

#endif
