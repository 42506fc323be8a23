/* PyTorch legacy stream (models.md 12.3): five pickles (magic, protocol, system, object, storage
 * keys), then per key int64 count and the elements.  No alignment, no checksum; ends at the last one. */
#include "common/arrays/arrays_impl.h"
#include "common/err.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

typedef struct stored {
    storage_id id; /* as its persistent ids declare it; key points into the file */
    const unsigned char *data;
} stored;

typedef struct legacy {
    arrays *a;
    size_t at;
    stored *v; /* in byte order of the keys */
    size_t n, room;
} legacy;

static int next_pickle(legacy *l, pickle **p)
{
    size_t used = 0;
    int rc = pickle_load(p, l->a->bytes + l->at, l->a->n_bytes - l->at, l->a->path, l->at, &used);
    if (rc < 0) return rc;
    if (used > ARRAYS_PICKLE_MAX)
        return arrays_refuse(l->a, "limit", "a pickle larger than 64 MiB, byte %zu", l->at);
    l->at += used;
    return 0;
}

static int read_protocol(legacy *l)
{
    pickle *p = NULL;
    const pickle_node *v;
    size_t at = l->at;
    int rc = 0;
    TRY(next_pickle(l, &p));
    v = pickle_at(p, pickle_root(p));
    if (v->kind != PICKLE_INT || v->u.i != 1001)
        TRY(arrays_refuse(l->a, "legacy-protocol", "the protocol is not 1001, byte %zu", at));
done:
    pickle_free(&p);
    return rc;
}

/* {protocol_version: 1001, little_endian: True, type_sizes: {...}} */
static int read_system(legacy *l)
{
    pickle *p = NULL;
    const pickle_node *v;
    size_t at = l->at;
    int rc = 0, little = 0;
    TRY(next_pickle(l, &p));
    v = pickle_at(p, pickle_root(p));
    if (v->kind != PICKLE_DICT)
        TRY(arrays_refuse(l->a, "legacy-system", "no system description, byte %zu", at));
    for (size_t i = 0; i + 1 < v->n; i += 2) {
        const pickle_node *value = pickle_at(p, v->u.items[i + 1]);
        if (pickle_is(p, v->u.items[i], "little_endian"))
            little = value->kind == PICKLE_BOOL && value->u.i == 1;
    }
    if (!little) TRY(arrays_refuse(l->a, "byteorder", "not written little-endian, byte %zu", at));
done:
    pickle_free(&p);
    return rc;
}

static int compare_keys(const char *a, size_t a_n, const char *b, size_t b_n)
{
    int c = memcmp(a, b, a_n < b_n ? a_n : b_n);
    return c != 0 ? c : a_n < b_n ? -1 : a_n > b_n;
}

static int by_key(const void *x, const void *y)
{
    const stored *a = x, *b = y;
    return compare_keys(a->id.key, a->id.key_n, b->id.key, b->id.key_n);
}

static stored *find(const legacy *l, const char *key, size_t n)
{
    size_t low = 0, high = l->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int c = compare_keys(key, n, l->v[mid].id.key, l->v[mid].id.key_n);
        if (c == 0) return &l->v[mid];
        if (c < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

/* All storages that the object names; two ids of one key have to agree. */
static int collect(legacy *l, const pickle *p)
{
    size_t kept = 0;
    for (size_t i = 0; i < pickle_count(p); i++) {
        storage_id id;
        int rc;
        if (pickle_at(p, (pickle_ref)i)->kind != PICKLE_PERSID) continue;
        rc = arrays_storage_id(l->a, p, (pickle_ref)i, &id);
        if (rc == 0) rc = mem_grow(&l->v, &l->room, l->n + 1, sizeof *l->v, "storages");
        if (rc < 0) return rc;
        l->v[l->n++] = (stored){ id, NULL };
    }
    if (l->n == 0) return 0;
    qsort(l->v, l->n, sizeof *l->v, by_key);
    for (size_t i = 1; i < l->n; i++) {
        if (by_key(&l->v[kept], &l->v[i]) != 0)
            l->v[++kept] = l->v[i];
        else if (l->v[kept].id.type != l->v[i].id.type || l->v[kept].id.numel != l->v[i].id.numel)
            return arrays_refuse(l->a, "storage", "storage '%.*s' is declared in two ways",
                                 (int)l->v[i].id.key_n, l->v[i].id.key);
    }
    l->n = kept + 1;
    return 0;
}

static int read_storage(legacy *l, stored *s)
{
    uint64_t count = 0;
    size_t left = l->a->n_bytes - l->at;
    if (left < 8)
        return arrays_refuse(l->a, "truncated", "storage '%.*s' is missing, byte %zu",
                             (int)s->id.key_n, s->id.key, l->at);
    for (int i = 0; i < 8; i++)
        count |= (uint64_t)l->a->bytes[l->at + (size_t)i] << (8 * i);
    if (count != s->id.numel)
        return arrays_refuse(l->a, "storage", "storage '%.*s' has %llu elements, declared %llu, byte %zu",
                             (int)s->id.key_n, s->id.key, (unsigned long long)count,
                             (unsigned long long)s->id.numel, l->at);
    l->at += 8;
    left -= 8;
    if (count > left / array_type_size(s->id.type))
        return arrays_refuse(l->a, "truncated", "storage '%.*s' ends early, byte %zu",
                             (int)s->id.key_n, s->id.key, l->at);
    s->data = l->a->bytes + l->at;
    l->at += (size_t)count * array_type_size(s->id.type);
    return 0;
}

/* The fifth pickle says in which order the storages lie. */
static int read_storages(legacy *l)
{
    pickle *p = NULL;
    const pickle_node *keys;
    size_t at = l->at;
    int rc = 0;
    TRY(next_pickle(l, &p));
    keys = pickle_at(p, pickle_root(p));
    if (keys->kind != PICKLE_LIST)
        TRY(arrays_refuse(l->a, "legacy-keys", "no list of storage keys, byte %zu", at));
    for (size_t i = 0; i < keys->n; i++) {
        const pickle_node *key = pickle_at(p, keys->u.items[i]);
        stored *s = key->kind == PICKLE_STR ? find(l, key->u.s, key->n) : NULL;
        if (s == NULL)
            TRY(arrays_refuse(l->a, "legacy-keys", "key %zu names no storage of the object, byte %zu",
                              i, at));
        if (s->data != NULL)
            TRY(arrays_refuse(l->a, "legacy-keys", "key %zu comes twice, byte %zu", i, at));
        TRY(read_storage(l, s));
    }
    if (l->at != l->a->n_bytes)
        TRY(arrays_refuse(l->a, "trailing", "bytes behind the last storage, byte %zu", l->at));
done:
    pickle_free(&p);
    return rc;
}

static int find_storage(const storages *s, const char *key, size_t key_n, array_type type,
                        uint64_t numel, const unsigned char **data)
{
    const legacy *l = s->state;
    const stored *v = find(l, key, key_n);
    if (v == NULL || v->data == NULL || v->id.type != type || v->id.numel != numel)
        return arrays_refuse(l->a, "storage", "storage '%.*s' is not in the file",
                             key_n < 32 ? (int)key_n : 32, key);
    *data = v->data;
    return 0;
}

int arrays_read_legacy(arrays *a)
{
    legacy l = { .a = a };
    storages s = { find_storage, NULL, &l };
    pickle *magic = NULL, *object = NULL;
    int rc = 0;
    a->container = "pytorch-legacy";
    TRY(next_pickle(&l, &magic)); /* its bytes were compared when the container was told */
    TRY(read_protocol(&l));
    TRY(read_system(&l));
    TRY(next_pickle(&l, &object));
    TRY(collect(&l, object));
    TRY(read_storages(&l));
    TRY(arrays_from_pickle(a, object, &s));
done:
    pickle_free(&magic);
    pickle_free(&object);
    free(l.v);
    return rc;
}
