/* safetensors (models.md 12.6): u64 header length N, N bytes of JSON, data.
 * The top-level object is cut into its members by a scan that knows strings and brackets only; every
 * key and every value is then read by jansson on its own.  So a 100 MB header never becomes one tree:
 * memory and time stay proportional to the file. */
#include "common/arrays/arrays_impl.h"
#include "common/err.h"
#include "common/mem.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { ENTRY_MAX = 65536, METADATA_MAX = 16 << 20, KEY_MAX = 6 * ARRAYS_NAME_MAX + 2 };

typedef struct range {
    size_t begin, end; /* in the data area */
    size_t array;      /* its index */
} range;

typedef struct header {
    arrays *a;
    const unsigned char *s; /* the JSON text */
    size_t n, at;
    const unsigned char *data;
    size_t data_n;
    range *range;
    size_t n_range, range_room;
    int metadata_seen;
} header;

static int refuse_at(const header *h, const char *rule, const char *why, size_t at)
{
    return arrays_refuse(h->a, rule, "%s, byte %zu", why, at + 8);
}

static void skip_blanks(header *h)
{
    while (h->at < h->n && (h->s[h->at] == ' ' || h->s[h->at] == '\t' || h->s[h->at] == '\n' ||
                            h->s[h->at] == '\r'))
        h->at++;
}

static int expect(header *h, char c)
{
    skip_blanks(h);
    if (h->at >= h->n || h->s[h->at] != (unsigned char)c) {
        char why[32] = "JSON: expected ' '";
        why[16] = c;
        return refuse_at(h, "header", why, h->at);
    }
    h->at++;
    return 0;
}

static int peek(header *h)
{
    skip_blanks(h);
    return h->at < h->n ? h->s[h->at] : -1;
}

/* From the opening quote to behind the closing one. */
static int skip_string(header *h)
{
    size_t begin = h->at++;
    for (; h->at < h->n; h->at++) {
        if (h->s[h->at] == '\\')
            h->at++;
        else if (h->s[h->at] == '"') {
            h->at++;
            return 0;
        }
    }
    return refuse_at(h, "header", "JSON: a string does not end", begin);
}

/* One bracketed value. */
static int skip_object(header *h)
{
    size_t begin = h->at, depth = 0;
    do {
        int c = h->at < h->n ? h->s[h->at] : -1;
        if (c < 0) return refuse_at(h, "header", "JSON: an object does not end", begin);
        if (c == '"') {
            int rc = skip_string(h);
            if (rc < 0) return rc;
            continue;
        }
        if (c == '{' || c == '[') depth++;
        if (c == '}' || c == ']') depth--;
        h->at++;
    } while (depth > 0);
    return 0;
}

static int load(const header *h, size_t begin, size_t end, json_t **out)
{
    json_error_t e;
    *out = json_loadb((const char *)h->s + begin, end - begin,
                      JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
    if (*out == NULL && json_error_code(&e) == json_error_out_of_memory)
        return err_set(ERR_ENV, "%s: header: no memory", h->a->path);
    if (*out == NULL)
        return arrays_refuse(h->a, "header", "JSON: %s, byte %zu", e.text,
                             8 + begin + (e.position > 0 ? (size_t)e.position : 0));
    return 0;
}

static const struct {
    const char *name;
    array_type type;
} dtypes[] = {
    { "F64", ARRAY_F64 }, { "F32", ARRAY_F32 }, { "F16", ARRAY_F16 }, { "BF16", ARRAY_BF16 },
    { "I64", ARRAY_I64 }, { "I32", ARRAY_I32 }, { "I16", ARRAY_I16 }, { "I8", ARRAY_I8 },
    { "U8", ARRAY_U8 },   { "BOOL", ARRAY_BOOL },
};

static int get_type(const header *h, const char *name, const json_t *entry, array_type *out)
{
    const char *s = json_string_value(json_object_get(entry, "dtype"));
    if (s == NULL) return arrays_refuse(h->a, "header", "tensor '%s' has no dtype", name);
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++)
        if (strcmp(s, dtypes[i].name) == 0) {
            *out = dtypes[i].type;
            return 0;
        }
    return arrays_refuse(h->a, "dtype", "tensor '%s' has dtype %.32s, which is not read", name, s);
}

static int get_numbers(const header *h, const char *name, const json_t *entry, const char *key,
                       size_t n_min, size_t n_max, uint64_t *out, size_t *n)
{
    const json_t *list = json_object_get(entry, key);
    *n = json_array_size(list);
    if (!json_is_array(list) || *n < n_min || *n > n_max)
        return arrays_refuse(h->a, "header", "tensor '%s': %s is not a list of %zu to %zu numbers",
                             name, key, n_min, n_max);
    for (size_t i = 0; i < *n; i++) {
        const json_t *v = json_array_get(list, i);
        if (!json_is_integer(v) || json_integer_value(v) < 0)
            return arrays_refuse(h->a, "header", "tensor '%s': %s has something that is no count",
                                 name, key);
        out[i] = (uint64_t)json_integer_value(v);
    }
    return 0;
}

static int add_tensor(header *h, const char *name, size_t name_n, const json_t *entry)
{
    array v = { 0 };
    uint64_t dim[ARRAY_RANK_MAX], offset[2];
    size_t rank, two;
    int rc = 0;
    if (!json_is_object(entry) || json_object_size(entry) != 3)
        return arrays_refuse(h->a, "header",
                             "tensor '%s' is not {dtype, shape, data_offsets}", name);
    TRY(get_type(h, name, entry, &v.type));
    TRY(get_numbers(h, name, entry, "shape", 0, ARRAY_RANK_MAX, dim, &rank));
    TRY(get_numbers(h, name, entry, "data_offsets", 2, 2, offset, &two));
    TRY(arrays_shape(h->a, name, dim, (int)rank, &v));
    if (offset[0] > offset[1] || offset[1] > h->data_n)
        return arrays_refuse(h->a, "offsets", "tensor '%s': [%llu, %llu) is not inside %zu bytes",
                             name, (unsigned long long)offset[0], (unsigned long long)offset[1],
                             h->data_n);
    if (offset[1] - offset[0] != v.count * array_type_size(v.type))
        return arrays_refuse(h->a, "offsets", "tensor '%s': %llu bytes for %zu elements of %s",
                             name, (unsigned long long)(offset[1] - offset[0]), v.count,
                             array_type_name(v.type));
    TRY(mem_grow(&h->range, &h->range_room, h->n_range + 1, sizeof *h->range, "tensor ranges"));
    h->range[h->n_range++] = (range){ (size_t)offset[0], (size_t)offset[1], h->a->n };
    v.data = h->data + offset[0];
    TRY(arrays_add(h->a, name, name_n, &v));
done:
    return rc;
}

/* __metadata__ is text about the file; nothing here needs it, but it has to be what it claims. */
static int check_metadata(header *h, const json_t *entry)
{
    const char *key;
    json_t *value;
    if (h->metadata_seen) return arrays_refuse(h->a, "header", "two __metadata__");
    h->metadata_seen = 1;
    if (!json_is_object(entry)) return arrays_refuse(h->a, "header", "__metadata__ is no object");
    json_object_foreach((json_t *)(uintptr_t)entry, key, value) if (!json_is_string(value))
        return arrays_refuse(h->a, "header", "__metadata__ has '%.64s', which is no text", key);
    return 0;
}

static int read_member(header *h)
{
    json_t *key = NULL, *entry = NULL;
    size_t begin, colon_at, limit;
    const char *name;
    int rc = 0;
    if (peek(h) != '"') TRY(refuse_at(h, "header", "JSON: expected a name", h->at));
    begin = h->at;
    TRY(skip_string(h));
    if (h->at - begin > KEY_MAX) TRY(refuse_at(h, "name", "a name is too long", begin));
    TRY(load(h, begin, h->at, &key));
    TRY(expect(h, ':'));
    name = json_string_value(key);
    limit = strcmp(name, "__metadata__") == 0 ? METADATA_MAX : ENTRY_MAX;
    if (peek(h) != '{') TRY(refuse_at(h, "header", "JSON: expected an object", h->at));
    colon_at = h->at;
    TRY(skip_object(h));
    if (h->at - colon_at > limit) TRY(refuse_at(h, "limit", "an entry is too long", colon_at));
    TRY(load(h, colon_at, h->at, &entry));
    if (limit == METADATA_MAX)
        TRY(check_metadata(h, entry));
    else
        TRY(add_tensor(h, name, json_string_length(key), entry));
done:
    json_decref(key);
    json_decref(entry);
    return rc;
}

static int by_begin(const void *x, const void *y)
{
    const range *a = x, *b = y;
    if (a->begin != b->begin) return a->begin < b->begin ? -1 : 1;
    return a->end < b->end ? -1 : a->end > b->end;
}

/* The tensors tile the data: no gap, no overlap, nothing behind them. */
static int check_tiling(const header *h)
{
    size_t at = 0;
    if (h->n_range > 0) qsort(h->range, h->n_range, sizeof *h->range, by_begin);
    for (size_t i = 0; i < h->n_range; i++) {
        const range *r = &h->range[i];
        if (r->begin != at)
            return arrays_refuse(h->a, "tiling", "tensor '%s' begins at %zu, %s the one before it ends (%zu)",
                                 h->a->v[r->array].name, r->begin,
                                 r->begin < at ? "before" : "after", at);
        at = r->end;
    }
    if (at != h->data_n)
        return arrays_refuse(h->a, "tiling", "the tensors cover %zu bytes, the file has %zu", at,
                             h->data_n);
    return 0;
}

static int read_header(header *h)
{
    int rc = expect(h, '{');
    if (rc < 0) return rc;
    if (peek(h) == '}') {
        h->at++;
    } else {
        for (;;) {
            rc = read_member(h);
            if (rc < 0) return rc;
            if (peek(h) != ',') break;
            h->at++;
        }
        rc = expect(h, '}');
        if (rc < 0) return rc;
    }
    if (peek(h) >= 0) return refuse_at(h, "header", "JSON: text behind the object", h->at);
    return check_tiling(h);
}

int arrays_read_safetensors(arrays *a)
{
    header h = { .a = a };
    uint64_t n = 0;
    int rc;
    a->container = "safetensors";
    for (int i = 0; i < 8; i++)
        n |= (uint64_t)a->bytes[i] << (8 * i);
    if (n < 2 || n > ARRAYS_HEADER_MAX)
        return arrays_refuse(a, "header", "length %llu is not 2 to 100000000, byte 0",
                             (unsigned long long)n);
    if (n > a->n_bytes - 8)
        return arrays_refuse(a, "header", "length %llu, but only %zu bytes follow, byte 0",
                             (unsigned long long)n, a->n_bytes - 8);
    h.s = a->bytes + 8;
    h.n = (size_t)n;
    h.data = a->bytes + 8 + n;
    h.data_n = a->n_bytes - 8 - (size_t)n;
    rc = read_header(&h);
    free(h.range);
    return rc;
}
