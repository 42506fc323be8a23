/* Zip files: PyTorch checkpoints (models.md 12.1) and .npz (12.5), told apart by their members. */
#include "common/arrays/arrays_impl.h"
#include "common/err.h"
#include "common/mem.h"
#include "common/arrays/zip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NPY_HEAD = NPY_HEADER_MAX + 12,
    DEFLATE_MOST = 1032,     /* what deflate can do at best */
    INFLATE_FACTOR = 100,    /* what all members together may grow to: this times the file */
    INFLATE_MORE = 256 << 20 /* and this */
};

static int ends_in(const char *s, const char *suffix)
{
    size_t n = strlen(s), k = strlen(suffix);
    return n >= k && strcmp(s + n - k, suffix) == 0;
}

static int is_folder(const char *name)
{
    return ends_in(name, "/");
}

/* ---- npz ----------------------------------------------------------------------------------------- */

/* A size that deflate cannot reach is a lie, and a truth may still be a bomb: features shrink by a third,
 * masks and labels of a real cache by less than a hundred times. */
static int inflate_room(arrays *a, const archive_member *m, unsigned char **out)
{
    size_t limit;
    if (m->packed < m->size / DEFLATE_MOST)
        return arrays_refuse(a, "expansion", "'%s': %zu bytes cannot inflate to %zu", m->name,
                             m->packed, m->size);
    if (__builtin_mul_overflow(a->n_bytes, (size_t)INFLATE_FACTOR, &limit) ||
        __builtin_add_overflow(limit, (size_t)INFLATE_MORE, &limit))
        limit = SIZE_MAX;
    if (m->size > limit - a->inflated_bytes)
        return arrays_refuse(a, "expansion",
                             "'%s': inflated, the members would take more than a hundred times the file",
                             m->name);
    a->inflated_bytes += m->size;
    return mem_new_aligned(out, m->size, 1, "npz member");
}

/* The header is read before memory is taken for the data. */
static int read_npz_member(arrays *a, const archive *z, const archive_member *m, unsigned char *head)
{
    size_t got = 0, name_n = strlen(m->name) - 4;
    const unsigned char *data = NULL;
    unsigned char *copy = NULL;
    npy_header h;
    array v = { 0 };
    int rc = 0;
    TRY(archive_head(z, m, head, NPY_HEAD, &got));
    TRY(arrays_npy_header(a, m->name, head, got, &h));
    v.type = h.type;
    TRY(arrays_shape(a, m->name, h.dim, h.rank, &v));
    if (m->size - h.data_at != v.count * array_type_size(v.type))
        TRY(arrays_refuse(a, m->size - h.data_at < v.count * array_type_size(v.type) ? "truncated"
                                                                                      : "trailing",
                          "'%s': %zu bytes of data for %zu elements of %s", m->name,
                          m->size - h.data_at, v.count, array_type_name(v.type)));
    if (m->stored) {
        TRY(archive_map(z, m, &data));
    } else {
        TRY(inflate_room(a, m, &copy));
        TRY(archive_read(z, m, copy));
        data = copy;
    }
    TRY(arrays_add_npy(a, m->name, name_n, &h, data + h.data_at, m->size - h.data_at));
    if (copy != NULL) {
        rc = arrays_own(a, copy);
        copy = NULL;
    }
done:
    free(copy);
    return rc;
}

static int read_npz(arrays *a, const archive *z)
{
    unsigned char *head = NULL;
    int rc = 0;
    a->container = "npz";
    TRY(mem_new(&head, NPY_HEAD, 1, "npz header"));
    for (size_t i = 0; i < archive_count(z); i++) {
        const archive_member *m = archive_at(z, i);
        if (!ends_in(m->name, ".npy"))
            TRY(arrays_refuse(a, "npz-member", "'%s' is not an .npy", m->name));
        TRY(read_npz_member(a, z, m, head));
    }
done:
    free(head);
    return rc;
}

/* ---- PyTorch -------------------------------------------------------------------------------------- */

typedef struct torch_zip {
    const arrays *a;
    const archive *z;
    const char *root; /* with its slash, not terminated */
    size_t root_n;
    unsigned char *checked; /* per member: its CRC was compared */
} torch_zip;

static const archive_member *find(const torch_zip *t, const char *part, const char *key,
                                  size_t key_n)
{
    char name[ARCHIVE_NAME_MAX + 1];
    int n = snprintf(name, sizeof name, "%.*s%s%.*s", (int)t->root_n, t->root, part, (int)key_n,
                     key);
    return n < 0 || (size_t)n >= sizeof name ? NULL : archive_find(t->z, name);
}

static int find_storage(const storages *s, const char *key, size_t key_n, array_type type,
                        uint64_t numel, const unsigned char **data)
{
    const torch_zip *t = s->state;
    const archive_member *m = key_n < 32 ? find(t, "data/", key, key_n) : NULL;
    size_t index;
    int rc;
    if (m == NULL)
        return arrays_refuse(t->a, "storage", "there is no member data/%.*s",
                             key_n < 32 ? (int)key_n : 32, key);
    if (m->size / array_type_size(type) < numel)
        return arrays_refuse(t->a, "storage",
                             "member '%s' has %zu bytes, too few for %llu elements of %s", m->name,
                             m->size, (unsigned long long)numel, array_type_name(type));
    index = (size_t)(m - archive_at(t->z, 0));
    if (t->checked[index]) { /* tensors that share a storage read it once */
        *data = t->a->bytes + m->at;
        return 0;
    }
    rc = archive_map(t->z, m, data);
    t->checked[index] = 1;
    return rc;
}

/* Everything lies below one folder, and nothing in it is a program. */
static int check_members(const torch_zip *t)
{
    for (size_t i = 0; i < archive_count(t->z); i++) {
        const archive_member *m = archive_at(t->z, i);
        const char *rest = m->name + t->root_n;
        if (strncmp(m->name, t->root, t->root_n) != 0)
            return arrays_refuse(t->a, "zip-root", "member '%s' is outside '%.*s'", m->name,
                                 (int)t->root_n, t->root);
        if (strncmp(rest, "code/", 5) == 0 || strcmp(rest, "constants.pkl") == 0)
            return arrays_refuse(t->a, "torchscript",
                                 "a TorchScript archive ('%s'); save the state_dict instead",
                                 m->name);
        if (!m->stored && !is_folder(m->name))
            return arrays_refuse(t->a, "zip-compressed", "member '%s' is compressed", m->name);
    }
    return 0;
}

static int check_byteorder(const torch_zip *t)
{
    const archive_member *m = find(t, "byteorder", "", 0);
    const unsigned char *s = NULL;
    int rc;
    if (m == NULL) return 0; /* older writers; then it is little */
    rc = archive_map(t->z, m, &s);
    if (rc == 0 && (m->size != 6 || memcmp(s, "little", 6) != 0))
        rc = arrays_refuse(t->a, "byteorder", "the storages are not little-endian");
    return rc;
}

static int read_torch(arrays *a, const archive *z, const archive_member *data)
{
    torch_zip t = { .a = a, .z = z, .root = data->name };
    storages s = { find_storage, NULL, &t };
    const unsigned char *bytes = NULL;
    pickle *p = NULL;
    size_t used = 0;
    int rc = 0;
    a->container = "pytorch-zip";
    t.root_n = strlen(data->name) - strlen("data.pkl");
    TRY(check_members(&t));
    TRY(check_byteorder(&t));
    TRY(mem_new(&t.checked, archive_count(z), 1, "zip members"));
    if (data->size > ARRAYS_PICKLE_MAX)
        TRY(arrays_refuse(a, "limit", "'%s' is larger than 64 MiB", data->name));
    TRY(archive_map(z, data, &bytes));
    TRY(pickle_load(&p, bytes, data->size, a->path, data->at, &used));
    if (used != data->size)
        TRY(arrays_refuse(a, "trailing", "'%s' goes on behind its pickle, byte %zu", data->name,
                          data->at + used));
    TRY(arrays_from_pickle(a, p, &s));
done:
    pickle_free(&p);
    free(t.checked);
    return rc;
}

int arrays_read_zip(arrays *a)
{
    archive *z = NULL;
    const archive_member *data = NULL;
    size_t n_npy = 0;
    int rc = 0;
    a->container = "zip";
    TRY(archive_open(&z, a->bytes, a->n_bytes, a->path));
    for (size_t i = 0; i < archive_count(z); i++) {
        const archive_member *m = archive_at(z, i);
        n_npy += (size_t)ends_in(m->name, ".npy");
        if (strcmp(m->name, "data.pkl") != 0 && !ends_in(m->name, "/data.pkl")) continue;
        if (data != NULL)
            TRY(arrays_refuse(a, "zip-root", "two pickles, '%s' and '%s'", data->name, m->name));
        data = m;
    }
    if (data != NULL)
        TRY(read_torch(a, z, data));
    else if (n_npy > 0)
        TRY(read_npz(a, z));
    else
        TRY(arrays_refuse(a, "container", "a zip with neither data.pkl nor .npy members"));
done:
    archive_close(&z);
    return rc;
}
