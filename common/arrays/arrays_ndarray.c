/* numpy arrays inside pickles, protocols 2 to 5 (dependencies.md, experiments 18 and 19).
 *   _reconstruct(ndarray, (0,), b'b') with state (1, shape, dtype, fortran, data)
 *   _frombuffer(data, dtype, shape, 'C' | 'F')                                    protocol 5
 * data is bytes, or _codecs.encode(text, 'latin1') in protocol 2; dtype is dtype('f4', ...) with state
 * (3, '<', ...). */
#include "common/arrays/arrays_impl.h"
#include "common/err.h"
#include "common/mem.h"

#include <string.h>

typedef struct source {
    arrays *a;
    const pickle *p;
    const char *name;
} source;

static int malformed(const source *s, const char *what)
{
    return arrays_refuse(s->a, "ndarray", "'%s': %s", s->name, what);
}

static int is_call(const source *s, pickle_ref r, int global)
{
    return pickle_at(s->p, r)->kind == PICKLE_CALL && pickle_global_of(s->p, r) == global;
}

static int get_dtype(const source *s, pickle_ref r, npy_header *h)
{
    const pickle_ref *arg, *state;
    const pickle_node *text, *order;
    uint32_t state_ref;
    int swapped;
    if (!is_call(s, r, GLOBAL_NP_DTYPE)) return malformed(s, "its type is not a dtype");
    arg = pickle_tuple(s->p, pickle_at(s->p, r)->u.pair.b, 1, 3, NULL);
    text = arg != NULL ? pickle_at(s->p, arg[0]) : NULL;
    if (text == NULL || text->kind != PICKLE_STR) return malformed(s, "a malformed dtype");
    if (!arrays_numpy_type(text->u.s, text->n, &h->type, &h->swapped))
        return arrays_refuse(s->a, "dtype", "'%s': type '%.*s' is not read", s->name,
                             text->n < 32 ? (int)text->n : 32, text->u.s);
    state_ref = pickle_at(s->p, r)->tag;
    if (state_ref == PICKLE_NO_REF) return 0;
    state = pickle_tuple(s->p, state_ref, 3, 9, NULL); /* (version, byte order, subtype, ...) */
    order = state != NULL ? pickle_at(s->p, state[1]) : NULL;
    if (order == NULL || order->kind != PICKLE_STR || order->n != 1 ||
        memchr("<>|=", order->u.s[0], 4) == NULL ||
        pickle_at(s->p, state[2])->kind != PICKLE_NONE)
        return malformed(s, "a malformed dtype");
    swapped = order->u.s[0] == '>';
    h->swapped |= swapped;
    return 0;
}

static int get_shape(const source *s, pickle_ref r, npy_header *h)
{
    size_t n = 0;
    const pickle_ref *v = pickle_tuple(s->p, r, 0, ARRAY_RANK_MAX, &n);
    if (v == NULL) return malformed(s, "its shape is not a tuple of at most 8");
    for (size_t i = 0; i < n; i++) {
        const pickle_node *x = pickle_at(s->p, v[i]);
        if (x->kind != PICKLE_INT || x->u.i < 0) return malformed(s, "a dimension is no count");
        h->dim[i] = (uint64_t)x->u.i;
    }
    h->rank = (int)n;
    return 0;
}

/* _codecs.encode(text, 'latin1'): each code point below 256 is one byte. */
static int decode_latin1(const source *s, const pickle_node *text, const unsigned char **out,
                         size_t *bytes)
{
    const unsigned char *u = (const unsigned char *)text->u.s;
    unsigned char *copy = NULL;
    size_t n = 0, at = 0;
    int rc = arrays_copy_room(s->a, text->n, &copy);
    if (rc < 0) return rc;
    while (at < text->n) {
        unsigned c = u[at++];
        if (c >= 0x80) {
            if ((c != 0xc2 && c != 0xc3) || at == text->n || u[at] >> 6 != 2)
                return malformed(s, "text data that is not latin-1");
            c = (c & 3) << 6 | (u[at++] & 0x3fu);
        }
        copy[n++] = (unsigned char)c;
    }
    *out = copy;
    *bytes = n;
    return 0;
}

static int get_data(const source *s, pickle_ref r, const unsigned char **out, size_t *bytes)
{
    const pickle_node *v = pickle_at(s->p, r);
    if (v->kind == PICKLE_BYTES || (v->kind == PICKLE_STR && v->tag == 1)) {
        *out = (const unsigned char *)v->u.s;
        *bytes = v->n;
        return 0;
    }
    if (is_call(s, r, GLOBAL_BYTES) && pickle_tuple(s->p, v->u.pair.b, 0, 0, NULL) != NULL) {
        *out = s->a->bytes;
        *bytes = 0;
        return 0;
    }
    if (is_call(s, r, GLOBAL_CODECS_ENCODE)) {
        const pickle_ref *arg = pickle_tuple(s->p, v->u.pair.b, 2, 2, NULL);
        if (arg != NULL && pickle_at(s->p, arg[0])->kind == PICKLE_STR &&
            (pickle_is(s->p, arg[1], "latin1") || pickle_is(s->p, arg[1], "latin-1")))
            return decode_latin1(s, pickle_at(s->p, arg[0]), out, bytes);
    }
    if (v->kind == PICKLE_LIST)
        return arrays_refuse(s->a, "dtype", "'%s': object arrays are not read", s->name);
    return malformed(s, "its data is no bytes");
}

static int reconstruct(const source *s, const pickle_node *call, npy_header *h, pickle_ref *data)
{
    const pickle_ref *state, *arg = pickle_tuple(s->p, call->u.pair.b, 3, 3, NULL);
    const pickle_node *version, *fortran;
    int rc;
    if (arg == NULL || pickle_at(s->p, arg[0])->kind != PICKLE_GLOBAL ||
        pickle_global_of(s->p, arg[0]) != GLOBAL_NP_NDARRAY)
        return malformed(s, "not a plain ndarray");
    state = call->tag != PICKLE_NO_REF ? pickle_tuple(s->p, call->tag, 5, 5, NULL) : NULL;
    if (state == NULL) return malformed(s, "an ndarray without its state");
    version = pickle_at(s->p, state[0]);
    fortran = pickle_at(s->p, state[3]);
    if (version->kind != PICKLE_INT || version->u.i != 1 ||
        (fortran->kind != PICKLE_BOOL && fortran->kind != PICKLE_INT))
        return malformed(s, "an ndarray state of another version");
    h->fortran = fortran->u.i != 0;
    *data = state[4];
    rc = get_shape(s, state[1], h);
    return rc < 0 ? rc : get_dtype(s, state[2], h);
}

static int from_buffer(const source *s, const pickle_node *call, npy_header *h, pickle_ref *data)
{
    const pickle_ref *arg = pickle_tuple(s->p, call->u.pair.b, 4, 4, NULL);
    int rc;
    if (arg == NULL || (!pickle_is(s->p, arg[3], "C") && !pickle_is(s->p, arg[3], "F")))
        return malformed(s, "not (data, dtype, shape, order)");
    h->fortran = pickle_is(s->p, arg[3], "F");
    *data = arg[0];
    rc = get_dtype(s, arg[1], h);
    return rc < 0 ? rc : get_shape(s, arg[2], h);
}

int arrays_add_ndarray(arrays *a, const pickle *p, pickle_ref r, const char *name, size_t name_n)
{
    source s = { a, p, name };
    const pickle_node *call = pickle_at(p, r);
    const unsigned char *bytes = NULL;
    npy_header h = { 0 };
    pickle_ref data = 0;
    size_t n = 0;
    int rc = 0;
    if (pickle_global_of(p, r) == GLOBAL_NP_RECONSTRUCT)
        TRY(reconstruct(&s, call, &h, &data));
    else
        TRY(from_buffer(&s, call, &h, &data));
    TRY(get_data(&s, data, &bytes, &n));
    TRY(arrays_add_npy(a, name, name_n, &h, bytes, n));
done:
    return rc;
}
