/* From a pickle's tree to named arrays (models.md 12.2).
 * The state dict is the value of the first wrapper key that holds a dict with a tensor somewhere in
 * it, else the whole object.  It is walked through dicts, lists and tuples; names are the keys and
 * indices joined by dots.  Inside it numbers, text and the inert objects of the table are passed over;
 * an object made by any other global refuses the file, and the message names tensor and global.
 * Outside of it (optimiser, arguments, epoch) anything may stand: it is never looked at. */
#include "common/arrays/arrays_impl.h"
#include "common/err.h"

#include <stdio.h>
#include <string.h>

typedef struct walk {
    arrays *a;
    const pickle *p;
    const storages *s;
    size_t visits;
    char name[ARRAYS_NAME_MAX + 1];
} walk;

static int count_visit(walk *w, int depth)
{
    if (++w->visits > ARRAYS_VISITS_MAX)
        return arrays_refuse(w->a, "limit", "more than 1000000 values, shared ones counted anew");
    if (depth > ARRAYS_DEPTH_MAX)
        return arrays_refuse(w->a, "limit", "'%.64s...': nested deeper than 64", w->name);
    return 0;
}

/* ---- tensors ------------------------------------------------------------------------------------- */

int arrays_storage_id(const arrays *a, const pickle *p, pickle_ref persid, storage_id *id)
{
    size_t n = 0;
    char global[256];
    const pickle_ref *part = pickle_tuple(p, pickle_at(p, persid)->u.pair.a, 5, 6, &n);
    const pickle_node *key, *numel;
    int type;
    if (part == NULL || !pickle_is(p, part[0], "storage"))
        return arrays_refuse(a, "storage", "a persistent id that is no storage");
    type = pickle_at(p, part[1])->kind == PICKLE_GLOBAL ? pickle_global_of(p, part[1]) : -1;
    if (type < GLOBAL_STORAGE_F64 || type > GLOBAL_STORAGE_BOOL)
        return arrays_refuse(a, "dtype", "storage type '%s' is not read",
                             pickle_global_name(p, part[1], global, sizeof global));
    key = pickle_at(p, part[2]);
    numel = pickle_at(p, part[4]);
    if (key->kind != PICKLE_STR || key->n == 0 || key->n > 32 ||
        pickle_at(p, part[3])->kind != PICKLE_STR || numel->kind != PICKLE_INT || numel->u.i < 0)
        return arrays_refuse(a, "storage", "a malformed storage id");
    for (size_t i = 0; i < key->n; i++)
        if (key->u.s[i] < '0' || key->u.s[i] > '9')
            return arrays_refuse(a, "storage", "a storage key that is no number");
    if (n == 6 && pickle_at(p, part[5])->kind != PICKLE_NONE)
        return arrays_refuse(a, "storage", "storage '%.*s' is a view of another (torch before 0.4)",
                             (int)key->n, key->u.s);
    id->type = (array_type)(type - GLOBAL_STORAGE_F64);
    id->key = key->u.s;
    id->key_n = key->n;
    id->numel = (uint64_t)numel->u.i;
    return 0;
}

/* A tuple of counts, or torch.Size of one. */
static int counts(walk *w, pickle_ref r, const char *what, uint64_t *out, int *n)
{
    const pickle_ref *v;
    size_t k = 0;
    if (pickle_at(w->p, r)->kind == PICKLE_CALL && pickle_global_of(w->p, r) == GLOBAL_SIZE) {
        v = pickle_tuple(w->p, pickle_at(w->p, r)->u.pair.b, 1, 1, NULL);
        if (v != NULL) r = v[0];
    }
    v = pickle_tuple(w->p, r, 0, ARRAY_RANK_MAX, &k);
    if (v == NULL)
        return arrays_refuse(w->a, "tensor", "'%s': its %s is not a tuple of at most 8", w->name,
                             what);
    for (size_t i = 0; i < k; i++) {
        const pickle_node *x = pickle_at(w->p, v[i]);
        if (x->kind != PICKLE_INT || x->u.i < 0)
            return arrays_refuse(w->a, "tensor", "'%s': its %s has something that is no count",
                                 w->name, what);
        out[i] = (uint64_t)x->u.i;
    }
    *n = (int)k;
    return 0;
}

/* _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks[, metadata]);
 * _rebuild_tensor ends at stride. */
static int add_tensor(walk *w, pickle_ref r)
{
    size_t n = 0;
    int strides = 0, old = pickle_global_of(w->p, r) == GLOBAL_REBUILD_TENSOR;
    const pickle_ref *arg = pickle_tuple(w->p, pickle_at(w->p, r)->u.pair.b, old ? 4 : 6,
                                         old ? 4 : 7, &n);
    strided t = { 0 };
    storage_id id;
    int rc = 0;
    if (arg == NULL || pickle_at(w->p, arg[0])->kind != PICKLE_PERSID ||
        pickle_at(w->p, arg[1])->kind != PICKLE_INT || pickle_at(w->p, arg[1])->u.i < 0)
        return arrays_refuse(w->a, "tensor", "'%s' is not (storage, offset, size, stride, ...)",
                             w->name);
    if (w->s == NULL)
        return arrays_refuse(w->a, "storage", "'%s' needs a storage, which a plain pickle lacks",
                             w->name);
    TRY(arrays_storage_id(w->a, w->p, arg[0], &id));
    t.type = id.type;
    t.offset = (uint64_t)pickle_at(w->p, arg[1])->u.i;
    t.elements = (size_t)id.numel;
    TRY(counts(w, arg[2], "size", t.dim, &t.rank));
    TRY(counts(w, arg[3], "stride", t.stride, &strides));
    if (strides != t.rank)
        TRY(arrays_refuse(w->a, "tensor", "'%s' has %d dimensions and %d strides", w->name, t.rank,
                          strides));
    TRY(w->s->find(w->s, id.key, id.key_n, id.type, id.numel, &t.data));
    TRY(arrays_add_strided(w->a, w->name, strlen(w->name), &t));
done:
    return rc;
}

/* _rebuild_parameter(tensor, requires_grad, hooks) is its tensor. */
static int unwrap_parameter(walk *w, pickle_ref *r)
{
    for (int depth = 0; pickle_global_of(w->p, *r) == GLOBAL_REBUILD_PARAMETER &&
                        pickle_at(w->p, *r)->kind == PICKLE_CALL;
         depth++) {
        const pickle_ref *arg = pickle_tuple(w->p, pickle_at(w->p, *r)->u.pair.b, 3, 3, NULL);
        if (arg == NULL || depth == 4)
            return arrays_refuse(w->a, "tensor", "'%s' is a malformed parameter", w->name);
        *r = arg[0];
    }
    return 0;
}

/* ---- the walk ------------------------------------------------------------------------------------ */

static int visit(walk *w, pickle_ref r, size_t name_n, int depth);

/* In the oldest format a persistent id is a tensor; elsewhere, a storage without a tensor is nothing. */
static int visit_persid(walk *w, pickle_ref r)
{
    strided t = { 0 };
    int rc;
    if (w->s == NULL || w->s->tensor == NULL) return 0;
    rc = w->s->tensor(w->s, w->p, pickle_at(w->p, r)->u.pair.a, &t);
    return rc < 0 ? rc : arrays_add_strided(w->a, w->name, strlen(w->name), &t);
}

static int visit_object(walk *w, pickle_ref r)
{
    char global[256];
    int rc = unwrap_parameter(w, &r);
    if (rc < 0) return rc;
    if (pickle_at(w->p, r)->kind == PICKLE_PERSID) return visit_persid(w, r);
    if (pickle_at(w->p, r)->kind == PICKLE_CALL) switch (pickle_global_of(w->p, r)) {
        case GLOBAL_REBUILD_TENSOR:
        case GLOBAL_REBUILD_TENSOR_V2: return add_tensor(w, r);
        case GLOBAL_NP_RECONSTRUCT:
        case GLOBAL_NP_FROMBUFFER:
            return arrays_add_ndarray(w->a, w->p, r, w->name, strlen(w->name));
        default: break;
        }
    if (pickle_global_of(w->p, r) == GLOBAL_UNKNOWN)
        return arrays_refuse(w->a, "pickle-global",
                             "'%s' is made by %s, which is not in the table; it is not run",
                             w->name, pickle_global_name(w->p, r, global, sizeof global));
    return 0;
}

/* Puts ".key" behind the name; *n is its new length. */
static int extend_name(walk *w, size_t name_n, const char *key, size_t key_n, size_t *n)
{
    size_t dot = name_n > 0;
    if (key_n > ARRAYS_NAME_MAX - name_n - dot || name_n + dot > ARRAYS_NAME_MAX)
        return arrays_refuse(w->a, "name", "'%.64s...' grows longer than 1024 bytes", w->name);
    if (memchr(key, '\0', key_n) != NULL)
        return arrays_refuse(w->a, "name", "NUL in a key below '%s'", w->name);
    if (dot) w->name[name_n] = '.';
    memcpy(w->name + name_n + dot, key, key_n);
    *n = name_n + dot + key_n;
    w->name[*n] = '\0';
    return 0;
}

static int visit_item(walk *w, pickle_ref item, size_t name_n, size_t index, int depth)
{
    char text[24];
    size_t n = 0;
    int k = snprintf(text, sizeof text, "%zu", index);
    int rc = extend_name(w, name_n, text, (size_t)k, &n);
    if (rc == 0) rc = visit(w, item, n, depth + 1);
    w->name[name_n] = '\0';
    return rc;
}

static int holds_values(const walk *w, pickle_ref r)
{
    uint32_t kind = pickle_at(w->p, r)->kind;
    return kind == PICKLE_CALL || (kind >= PICKLE_TUPLE && kind <= PICKLE_DICT);
}

static int visit_pair(walk *w, pickle_ref key_ref, pickle_ref value, size_t name_n, int depth)
{
    const pickle_node *key = pickle_at(w->p, key_ref);
    char text[24];
    size_t n = 0;
    int rc = 0;
    if (key->kind == PICKLE_STR) {
        rc = extend_name(w, name_n, key->u.s, key->n, &n);
    } else if (key->kind == PICKLE_INT) {
        int k = snprintf(text, sizeof text, "%lld", (long long)key->u.i);
        rc = extend_name(w, name_n, text, (size_t)k, &n);
    } else {
        if (!holds_values(w, value)) return 0;
        return arrays_refuse(w->a, "name", "a key below '%s' is neither text nor number", w->name);
    }
    if (rc == 0) rc = visit(w, value, n, depth + 1);
    w->name[name_n] = '\0';
    return rc;
}

static int visit(walk *w, pickle_ref r, size_t name_n, int depth)
{
    const pickle_node *v = pickle_at(w->p, r);
    int rc = count_visit(w, depth);
    switch ((pickle_kind)v->kind) {
    case PICKLE_LIST:
    case PICKLE_TUPLE:
        for (size_t i = 0; rc == 0 && i < v->n; i++)
            rc = visit_item(w, v->u.items[i], name_n, i, depth);
        return rc;
    case PICKLE_DICT:
        for (size_t i = 0; rc == 0 && i + 1 < v->n; i += 2)
            rc = visit_pair(w, v->u.items[i], v->u.items[i + 1], name_n, depth);
        return rc;
    case PICKLE_CALL:
    case PICKLE_PERSID:
    case PICKLE_GLOBAL: return rc < 0 ? rc : visit_object(w, r);
    default: return rc;
    }
}

/* ---- the wrapper --------------------------------------------------------------------------------- */

/* Whether a dict has a tensor in it or in the dicts just below. */
static int has_tensor(const pickle *p, pickle_ref r, int depth)
{
    const pickle_node *v = pickle_at(p, r);
    for (size_t i = 1; i < v->n; i += 2) {
        const pickle_node *x = pickle_at(p, v->u.items[i]);
        int id = x->kind == PICKLE_CALL ? pickle_global_of(p, v->u.items[i]) : -1;
        if (x->kind == PICKLE_PERSID || id == GLOBAL_REBUILD_TENSOR || id == GLOBAL_REBUILD_TENSOR_V2 ||
            id == GLOBAL_REBUILD_PARAMETER || id == GLOBAL_NP_RECONSTRUCT ||
            id == GLOBAL_NP_FROMBUFFER)
            return 1;
        if (depth == 0 && x->kind == PICKLE_DICT && has_tensor(p, v->u.items[i], 1)) return 1;
    }
    return 0;
}

static pickle_ref descend(arrays *a, const pickle *p)
{
    static const char *const wrappers[] = { "state_dict_ema", "state_dict",       "model",
                                            "model_ema",      "net",              "model_state_dict",
                                            "model_state" };
    pickle_ref root = pickle_root(p);
    const pickle_node *v = pickle_at(p, root);
    if (v->kind != PICKLE_DICT) return root;
    for (size_t k = 0; k < sizeof wrappers / sizeof wrappers[0]; k++)
        for (size_t i = 0; i + 1 < v->n; i += 2)
            if (pickle_is(p, v->u.items[i], wrappers[k]) &&
                pickle_at(p, v->u.items[i + 1])->kind == PICKLE_DICT &&
                has_tensor(p, v->u.items[i + 1], 0)) {
                a->wrapper = wrappers[k];
                return v->u.items[i + 1];
            }
    return root;
}

int arrays_from_pickle(arrays *a, const pickle *p, const storages *s)
{
    walk w = { .a = a, .p = p, .s = s };
    int rc = visit(&w, descend(a, p), 0, 0);
    if (rc == 0 && a->n == 0) rc = arrays_refuse(a, "no-arrays", "there is no tensor in it");
    return rc;
}

int arrays_read_pickle(arrays *a)
{
    pickle *p = NULL;
    size_t used = 0;
    int rc = 0;
    a->container = "pickle";
    TRY(pickle_load(&p, a->bytes, a->n_bytes, a->path, 0, &used));
    if (used != a->n_bytes)
        TRY(arrays_refuse(a, "trailing", "bytes behind the pickle, byte %zu", used));
    TRY(arrays_from_pickle(a, p, NULL));
done:
    pickle_free(&p);
    return rc;
}
