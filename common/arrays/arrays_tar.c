/* The format before torch 0.1.10 (models.md 12.4): an uncompressed tar of
 *   storages  pickle of a count; per storage a pickle (key, location, type), int64 numel, the elements;
 *             at the end a pickled list of storage views (only an empty one is read)
 *   tensors   pickle of a count; per tensor a pickle (key, storage key, type), int32 rank, 4 bytes,
 *             int64 sizes, strides, offset
 *   pickle    the object; its persistent ids are tensor keys */
#include "common/arrays/arrays_impl.h"
#include "common/err.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK = 512 };

typedef struct part {
    const unsigned char *bytes;
    size_t n, at, base; /* base: where it begins in the file */
} part;

typedef struct old_storage {
    int64_t key;
    array_type type;
    uint64_t numel;
    const unsigned char *data;
} old_storage;

typedef struct old_tensor {
    int64_t key;
    strided s;
} old_tensor;

typedef struct old_file {
    arrays *a;
    part storages, tensors, object;
    old_storage *storage; /* both in order of the keys */
    old_tensor *tensor;
    size_t n_storages, n_tensors;
} old_file;

/* ---- the tar ------------------------------------------------------------------------------------ */

static int octal(const unsigned char *s, size_t n, uint64_t *out)
{
    size_t i = 0;
    *out = 0;
    while (i < n && s[i] == ' ')
        i++;
    for (; i < n && s[i] >= '0' && s[i] <= '7'; i++)
        *out = *out << 3 | (uint64_t)(s[i] - '0'); /* at most 12 digits */
    for (; i < n; i++)
        if (s[i] != ' ' && s[i] != '\0') return 0;
    return 1;
}

static int checksum_fits(const unsigned char *h)
{
    uint64_t want, sum = 0;
    for (size_t i = 0; i < BLOCK; i++)
        sum += i >= 148 && i < 156 ? ' ' : h[i];
    return octal(h + 148, 8, &want) && want == sum;
}

static int keep_member(old_file *f, const unsigned char *h, size_t at, size_t size)
{
    static const char *const names[] = { "storages", "tensors", "pickle" };
    part *const parts[] = { &f->storages, &f->tensors, &f->object };
    for (size_t i = 0; i < 3; i++) {
        if (memcmp(h, names[i], strlen(names[i]) + 1) != 0) continue;
        if (parts[i]->bytes != NULL)
            return arrays_refuse(f->a, "tar", "two members '%s', byte %zu", names[i], at);
        *parts[i] = (part){ f->a->bytes + at, size, 0, at };
    }
    return 0;
}

static int read_members(old_file *f)
{
    const arrays *a = f->a;
    size_t at = 0;
    while (a->n_bytes - at >= BLOCK) {
        const unsigned char *h = a->bytes + at;
        uint64_t size;
        int rc;
        if (h[0] == '\0') break; /* the end: blocks of zeros */
        if (!checksum_fits(h) || !octal(h + 124, 12, &size))
            return arrays_refuse(a, "tar", "a damaged member header, byte %zu", at);
        if (size > a->n_bytes - at - BLOCK)
            return arrays_refuse(a, "truncated", "a tar member ends early, byte %zu", at);
        rc = h[156] == '0' || h[156] == '\0' ? keep_member(f, h, at + BLOCK, (size_t)size) : 0;
        if (rc < 0) return rc;
        size = (size + BLOCK - 1) / BLOCK * BLOCK;
        if (size > a->n_bytes - at - BLOCK) size = a->n_bytes - at - BLOCK;
        at += BLOCK + (size_t)size;
    }
    if (f->storages.bytes == NULL || f->tensors.bytes == NULL || f->object.bytes == NULL)
        return arrays_refuse(a, "container",
                             "a tar without the members storages, tensors and pickle");
    return 0;
}

/* ---- its members -------------------------------------------------------------------------------- */

static int next_pickle(const old_file *f, part *m, pickle **p)
{
    size_t used = 0;
    int rc = pickle_load(p, m->bytes + m->at, m->n - m->at, f->a->path, m->base + m->at, &used);
    if (rc == 0) m->at += used;
    return rc;
}

static int next_number(const old_file *f, part *m, uint64_t *out)
{
    *out = 0;
    if (m->n - m->at < 8)
        return arrays_refuse(f->a, "truncated", "a tar member ends early, byte %zu", m->base + m->at);
    for (int i = 0; i < 8; i++)
        *out |= (uint64_t)m->bytes[m->at++] << (8 * i);
    return 0;
}

/* How many records follow; each takes at least 16 bytes. */
static int read_count(const old_file *f, part *m, size_t *n)
{
    pickle *p = NULL;
    const pickle_node *v;
    int rc = 0;
    TRY(next_pickle(f, m, &p));
    v = pickle_at(p, pickle_root(p));
    if (v->kind != PICKLE_INT || v->u.i < 0 || (uint64_t)v->u.i > (m->n - m->at) / 16 ||
        v->u.i > ARRAYS_MAX)
        TRY(arrays_refuse(f->a, "tar", "an impossible count, byte %zu", m->base));
    *n = (size_t)v->u.i;
done:
    pickle_free(&p);
    return rc;
}

/* One triple (key, second, torch type); its int key. */
static int read_triple(const old_file *f, part *m, pickle **p, const pickle_ref **item, int64_t *key)
{
    size_t at = m->base + m->at;
    int rc = next_pickle(f, m, p);
    if (rc < 0) return rc;
    *item = pickle_tuple(*p, pickle_root(*p), 3, 3, NULL);
    if (*item == NULL || pickle_at(*p, (*item)[0])->kind != PICKLE_INT)
        return arrays_refuse(f->a, "tar", "a malformed record, byte %zu", at);
    *key = pickle_at(*p, (*item)[0])->u.i;
    return 0;
}

static int read_storage(const old_file *f, part *m, old_storage *s)
{
    pickle *p = NULL;
    const pickle_ref *item = NULL;
    char name[256];
    int rc = 0, type;
    TRY(read_triple(f, m, &p, &item, &s->key));
    type = pickle_at(p, item[2])->kind == PICKLE_GLOBAL ? pickle_global_of(p, item[2]) : -1;
    if (type < GLOBAL_STORAGE_F64 || type > GLOBAL_STORAGE_BOOL)
        TRY(arrays_refuse(f->a, "dtype", "storage type '%s' is not read",
                          pickle_global_name(p, item[2], name, sizeof name)));
    s->type = (array_type)(type - GLOBAL_STORAGE_F64);
    TRY(next_number(f, m, &s->numel));
    if (s->numel > (m->n - m->at) / array_type_size(s->type))
        TRY(arrays_refuse(f->a, "truncated", "a storage ends early, byte %zu", m->base + m->at));
    s->data = m->bytes + m->at;
    m->at += (size_t)s->numel * array_type_size(s->type);
done:
    pickle_free(&p);
    return rc;
}

static int by_storage_key(const void *x, const void *y)
{
    const old_storage *a = x, *b = y;
    return a->key < b->key ? -1 : a->key > b->key;
}

static int by_tensor_key(const void *x, const void *y)
{
    const old_tensor *a = x, *b = y;
    return a->key < b->key ? -1 : a->key > b->key;
}

static int read_storages(old_file *f)
{
    part *m = &f->storages;
    pickle *views = NULL;
    size_t n = 0;
    int rc = 0;
    TRY(read_count(f, m, &n));
    TRY(mem_new(&f->storage, n, sizeof *f->storage, "storages"));
    for (f->n_storages = 0; f->n_storages < n; f->n_storages++)
        TRY(read_storage(f, m, &f->storage[f->n_storages]));
    TRY(next_pickle(f, m, &views));
    if (pickle_at(views, pickle_root(views))->kind != PICKLE_LIST ||
        pickle_at(views, pickle_root(views))->n != 0)
        TRY(arrays_refuse(f->a, "storage", "storages that are views of others are not read"));
    qsort(f->storage, n, sizeof *f->storage, by_storage_key);
    for (size_t i = 1; i < n; i++)
        if (f->storage[i - 1].key == f->storage[i].key)
            TRY(arrays_refuse(f->a, "storage", "two storages of one key"));
done:
    pickle_free(&views);
    return rc;
}

static int read_tensor(const old_file *f, part *m, old_tensor *t)
{
    pickle *p = NULL;
    const pickle_ref *item = NULL;
    const old_storage *s;
    old_storage want = { 0 };
    uint64_t rank = 0, *field[2] = { t->s.dim, t->s.stride };
    int rc = 0;
    TRY(read_triple(f, m, &p, &item, &t->key));
    if (pickle_at(p, item[1])->kind == PICKLE_INT) want.key = pickle_at(p, item[1])->u.i;
    s = bsearch(&want, f->storage, f->n_storages, sizeof *s, by_storage_key);
    if (pickle_at(p, item[1])->kind != PICKLE_INT || s == NULL)
        TRY(arrays_refuse(f->a, "storage", "a tensor names a storage that is not there, byte %zu",
                          m->base + m->at));
    TRY(next_number(f, m, &rank));
    rank &= UINT32_MAX; /* the upper half is padding */
    if (rank > ARRAY_RANK_MAX)
        TRY(arrays_refuse(f->a, "shape", "more than 8 dimensions, byte %zu", m->base + m->at));
    for (int k = 0; k < 2; k++)
        for (uint64_t i = 0; i < rank; i++)
            TRY(next_number(f, m, &field[k][i]));
    TRY(next_number(f, m, &t->s.offset));
    t->s.rank = (int)rank;
    t->s.type = s->type;
    t->s.data = s->data;
    t->s.elements = (size_t)s->numel;
done:
    pickle_free(&p);
    return rc;
}

static int read_tensors(old_file *f)
{
    part *m = &f->tensors;
    size_t n = 0;
    int rc = 0;
    TRY(read_count(f, m, &n));
    TRY(mem_new(&f->tensor, n, sizeof *f->tensor, "tensors"));
    for (f->n_tensors = 0; f->n_tensors < n; f->n_tensors++)
        TRY(read_tensor(f, m, &f->tensor[f->n_tensors]));
    qsort(f->tensor, n, sizeof *f->tensor, by_tensor_key);
    for (size_t i = 1; i < n; i++)
        if (f->tensor[i - 1].key == f->tensor[i].key)
            TRY(arrays_refuse(f->a, "tensor", "two tensors of one key"));
done:
    return rc;
}

/* A persistent id is a tensor's key, as a number or in digits. */
static int find_tensor(const storages *s, const pickle *p, pickle_ref id, strided *out)
{
    const old_file *f = s->state;
    const pickle_node *v = pickle_at(p, id);
    const old_tensor *t;
    old_tensor want = { .key = v->u.i };
    int known = v->kind == PICKLE_INT;
    if (v->kind == PICKLE_STR && v->n > 0 && v->n < 19) {
        known = 1;
        want.key = 0;
        for (size_t i = 0; i < v->n; i++) {
            known &= v->u.s[i] >= '0' && v->u.s[i] <= '9';
            want.key = want.key * 10 + (v->u.s[i] - '0');
        }
    }
    t = known ? bsearch(&want, f->tensor, f->n_tensors, sizeof *t, by_tensor_key) : NULL;
    if (t == NULL) return arrays_refuse(f->a, "tensor", "a persistent id that is no tensor");
    *out = t->s;
    return 0;
}

static int find_nothing(const storages *s, const char *key, size_t key_n, array_type type,
                        uint64_t numel, const unsigned char **data)
{
    const old_file *f = s->state;
    (void)key, (void)key_n, (void)type, (void)numel, (void)data;
    return arrays_refuse(f->a, "storage", "a tensor with a storage of its own in an old tar");
}

int arrays_read_tar(arrays *a)
{
    old_file f = { .a = a };
    storages s = { find_nothing, find_tensor, &f };
    pickle *object = NULL;
    int rc = 0;
    a->container = "pytorch-tar";
    TRY(read_members(&f));
    TRY(read_storages(&f));
    TRY(read_tensors(&f));
    TRY(next_pickle(&f, &f.object, &object));
    if (f.object.at != f.object.n)
        TRY(arrays_refuse(a, "trailing", "bytes behind the pickle, byte %zu",
                          f.object.base + f.object.at));
    TRY(arrays_from_pickle(a, object, &s));
done:
    pickle_free(&object);
    free(f.storage);
    free(f.tensor);
    return rc;
}
