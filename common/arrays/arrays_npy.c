/* .npy (models.md 12.5): magic, version, header length, a Python dict literal, data.
 * The literal has a closed grammar here: {'descr': TEXT, 'fortran_order': True|False, 'shape':
 * (N, ...)}, keys in any order, each once. */
#include "common/arrays/arrays_impl.h"
#include "common/err.h"

#include <string.h>

int arrays_numpy_type(const char *s, size_t n, array_type *type, int *swapped)
{
    static const struct {
        char text[3];
        array_type type;
    } known[] = {
        { "f8", ARRAY_F64 }, { "f4", ARRAY_F32 }, { "f2", ARRAY_F16 }, { "i8", ARRAY_I64 },
        { "i4", ARRAY_I32 }, { "i2", ARRAY_I16 }, { "i1", ARRAY_I8 },  { "u1", ARRAY_U8 },
        { "b1", ARRAY_BOOL },
    };
    *swapped = 0;
    if (n == 3 && memchr("<>|=", s[0], 4) != NULL) {
        *swapped = s[0] == '>';
        s++;
        n--;
    }
    for (size_t i = 0; n == 2 && i < sizeof known / sizeof known[0]; i++)
        if (memcmp(s, known[i].text, 2) == 0) {
            *type = known[i].type;
            return 1;
        }
    return 0;
}

/* ---- the literal -------------------------------------------------------------------------------- */

typedef struct literal {
    const arrays *a;
    const char *name; /* of the array, for messages */
    const char *s;
    size_t n, at, base;
} literal;

static int refuse(const literal *l, const char *rule, const char *why)
{
    return arrays_refuse(l->a, rule, "'%s': %s, byte %zu of its header", l->name, why,
                         l->base + l->at);
}

static void skip_blanks(literal *l)
{
    while (l->at < l->n && (l->s[l->at] == ' ' || l->s[l->at] == '\n' || l->s[l->at] == '\t'))
        l->at++;
}

static int next_is(literal *l, char c)
{
    skip_blanks(l);
    if (l->at >= l->n || l->s[l->at] != c) return 0;
    l->at++;
    return 1;
}

/* A quoted text without escapes. */
static int text(literal *l, const char **s, size_t *n)
{
    char quote;
    const char *end;
    skip_blanks(l);
    quote = l->at < l->n ? l->s[l->at] : '\0';
    if (quote != '\'' && quote != '"') return refuse(l, "npy-header", "a quoted text is missing");
    *s = l->s + l->at + 1;
    end = memchr(*s, quote, l->n - l->at - 1);
    if (end == NULL) return refuse(l, "npy-header", "a quoted text does not end");
    *n = (size_t)(end - *s);
    if (memchr(*s, '\\', *n) != NULL) return refuse(l, "npy-header", "a backslash in a text");
    l->at += *n + 2;
    return 0;
}

static int is_word(literal *l, const char *word)
{
    size_t n = strlen(word);
    skip_blanks(l);
    if (l->n - l->at < n || memcmp(l->s + l->at, word, n) != 0) return 0;
    l->at += n;
    return 1;
}

static int number(literal *l, uint64_t *out)
{
    size_t begin;
    uint64_t v = 0;
    skip_blanks(l);
    for (begin = l->at; l->at < l->n && l->s[l->at] >= '0' && l->s[l->at] <= '9'; l->at++)
        if (__builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(l->s[l->at] - '0'), &v))
            return refuse(l, "shape", "a dimension overflows");
    if (l->at == begin) return refuse(l, "npy-header", "a dimension is no number");
    if (l->at < l->n && l->s[l->at] == 'L') l->at++; /* Python 2 */
    *out = v;
    return 0;
}

static int shape(literal *l, npy_header *h)
{
    if (!next_is(l, '(')) return refuse(l, "npy-header", "the shape is no tuple");
    h->rank = 0;
    while (!next_is(l, ')')) {
        int rc;
        if (h->rank == ARRAY_RANK_MAX) return refuse(l, "shape", "more than 8 dimensions");
        rc = number(l, &h->dim[h->rank++]);
        if (rc < 0) return rc;
        if (next_is(l, ',')) continue;
        if (h->rank == 1) return refuse(l, "npy-header", "a tuple of one needs its comma");
        if (!next_is(l, ')')) return refuse(l, "npy-header", "the shape does not end");
        break;
    }
    return 0;
}

static int type(literal *l, npy_header *h)
{
    const char *s = NULL;
    size_t n = 0;
    int rc;
    skip_blanks(l);
    if (l->at < l->n && l->s[l->at] == '[')
        return refuse(l, "dtype", "structured types are not read");
    rc = text(l, &s, &n);
    if (rc < 0) return rc;
    if (arrays_numpy_type(s, n, &h->type, &h->swapped)) return 0;
    if (memchr(s, 'O', n) != NULL)
        return refuse(l, "dtype", "object arrays hold pickles and are not read");
    return arrays_refuse(l->a, "dtype", "'%s': type '%.*s' is not read", l->name,
                         n < 32 ? (int)n : 32, s);
}

static int dict(literal *l, npy_header *h)
{
    static const char *const keys[] = { "descr", "fortran_order", "shape" };
    unsigned seen = 0;
    if (!next_is(l, '{')) return refuse(l, "npy-header", "the header is no dict");
    while (!next_is(l, '}')) {
        const char *s = NULL;
        size_t n = 0, k = 0;
        int rc = text(l, &s, &n);
        if (rc < 0) return rc;
        while (k < 3 && (strlen(keys[k]) != n || memcmp(keys[k], s, n) != 0))
            k++;
        if (k == 3) return refuse(l, "npy-header", "an unknown key");
        if (seen >> k & 1) return refuse(l, "npy-header", "a key twice");
        seen |= 1u << k;
        if (!next_is(l, ':')) return refuse(l, "npy-header", "a key without a value");
        if (k == 0) rc = type(l, h);
        if (k == 2) rc = shape(l, h);
        if (k == 1) {
            h->fortran = is_word(l, "True");
            if (!h->fortran && !is_word(l, "False"))
                rc = refuse(l, "npy-header", "fortran_order is neither True nor False");
        }
        if (rc < 0) return rc;
        if (next_is(l, ',')) continue;
        if (!next_is(l, '}')) return refuse(l, "npy-header", "the dict does not end");
        break;
    }
    skip_blanks(l);
    if (l->at != l->n) return refuse(l, "npy-header", "text behind the dict");
    if (seen != 7) return refuse(l, "npy-header", "descr, fortran_order or shape is missing");
    return 0;
}

int arrays_npy_header(const arrays *a, const char *name, const unsigned char *head, size_t n_head,
                      npy_header *h)
{
    literal l = { .a = a, .name = name };
    size_t begin;
    int rc;
    memset(h, 0, sizeof *h);
    if (n_head < 10 || memcmp(head, "\x93NUMPY", 6) != 0)
        return arrays_refuse(a, "npy-magic", "'%s' does not begin like an .npy", name);
    if (head[6] < 1 || head[6] > 3 || head[7] != 0)
        return arrays_refuse(a, "npy-version", "'%s' has version %d.%d, not 1.0 to 3.0, byte 6",
                             name, head[6], head[7]);
    begin = head[6] == 1 ? 10 : 12;
    if (n_head < begin) return arrays_refuse(a, "truncated", "'%s' ends in its header", name);
    l.n = (size_t)head[8] | (size_t)head[9] << 8;
    if (begin == 12) l.n |= (size_t)head[10] << 16 | (size_t)head[11] << 24;
    if (l.n > NPY_HEADER_MAX)
        return arrays_refuse(a, "limit", "'%s' has a header of %zu bytes, more than 65536, byte 8",
                             name, l.n);
    if (l.n > n_head - begin)
        return arrays_refuse(a, "truncated", "'%s' ends in its header", name);
    l.s = (const char *)head + begin;
    l.base = begin;
    rc = dict(&l, h);
    h->data_at = begin + l.n;
    return rc;
}

/* ---- the data ------------------------------------------------------------------------------------ */

int arrays_add_npy(arrays *a, const char *name, size_t name_n, const npy_header *h,
                   const unsigned char *data, size_t bytes)
{
    strided s = { .type = h->type, .rank = h->rank, .swapped = h->swapped, .data = data };
    size_t item = array_type_size(h->type);
    array v = { .type = h->type };
    uint64_t step = 1;
    int rc;
    rc = arrays_shape(a, name, h->dim, h->rank, &v);
    if (rc < 0) return rc;
    if (bytes != v.count * item)
        return arrays_refuse(a, bytes < v.count * item ? "truncated" : "trailing",
                             "'%s': %zu bytes of data for %zu elements of %s", name, bytes, v.count,
                             array_type_name(h->type));
    s.elements = v.count;
    memcpy(s.dim, h->dim, sizeof s.dim);
    for (int k = 0; k < h->rank; k++) { /* innermost first: the first axis when Fortran order */
        int i = h->fortran ? k : h->rank - 1 - k;
        s.stride[i] = step;
        step *= h->dim[i] > 0 ? h->dim[i] : 1;
    }
    return arrays_add_strided(a, name, name_n, &s);
}

int arrays_read_npy(arrays *a)
{
    npy_header h;
    int rc;
    a->container = "npy";
    rc = arrays_npy_header(a, "", a->bytes, a->n_bytes, &h);
    if (rc < 0) return rc;
    return arrays_add_npy(a, "", 0, &h, a->bytes + h.data_at, a->n_bytes - h.data_at);
}
