/* Taking arrays in: names, shapes, order of elements, and who owns what. */
#include "common/arrays/arrays_impl.h"
#include "common/err.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

int arrays_own(arrays *a, void *block)
{
    int rc = mem_grow(&a->owned, &a->owned_room, a->n_owned + 1, sizeof *a->owned, "arrays");
    if (rc < 0) {
        free(block);
        return rc;
    }
    a->owned[a->n_owned++] = block;
    return 0;
}

/* Copies are bounded by the bytes that are there: a stride of 0 or tensors sharing one storage would
 * otherwise turn a small file into any amount of memory. */
int arrays_copy_room(arrays *a, size_t bytes, void *out)
{
    size_t budget = a->n_bytes > (SIZE_MAX - (64u << 20)) / 4 ? SIZE_MAX : 4 * a->n_bytes + (64u << 20);
    void *block = NULL;
    int rc;
    if (bytes > budget - a->copied_bytes)
        return arrays_refuse(a, "expansion",
                             "copies of its arrays would need more than four times the file's size");
    rc = mem_new_aligned(&block, bytes, 1, "array data");
    if (rc == 0) rc = arrays_own(a, block);
    if (rc < 0) return rc;
    a->copied_bytes += bytes;
    memcpy(out, &block, sizeof block);
    return 0;
}

int arrays_shape(const arrays *a, const char *name, const uint64_t *dim, int rank, array *v)
{
    uint64_t product = array_type_size(v->type);
    v->rank = rank;
    v->count = 1;
    for (int i = 0; i < rank; i++) {
        /* a dimension of 0 does not excuse the others */
        if (__builtin_mul_overflow(product, dim[i] > 0 ? dim[i] : 1, &product) ||
            product > PTRDIFF_MAX)
            return arrays_refuse(a, "shape", "'%s': the product of its dimensions overflows", name);
        v->dim[i] = (size_t)dim[i];
        v->count *= (size_t)dim[i];
    }
    return 0;
}

/* Well-formed UTF-8 without NUL: the name goes into messages, JSON and HDF5. */
static int is_text(const char *s, size_t n)
{
    const unsigned char *b = (const unsigned char *)s;
    for (size_t i = 0; i < n;) {
        unsigned c = b[i];
        size_t more = c < 0x80 ? 0 : c >> 5 == 6 ? 1 : c >> 4 == 14 ? 2 : c >> 3 == 30 ? 3 : 4;
        uint32_t point = more == 0 ? c : c & (0x3fu >> more);
        if (c == 0 || more > 3 || n - i <= more) return 0;
        for (size_t k = 1; k <= more; k++) {
            if (b[i + k] >> 6 != 2) return 0;
            point = point << 6 | (b[i + k] & 0x3fu);
        }
        if ((more == 1 && point < 0x80) || (more == 2 && point < 0x800) ||
            (more == 3 && (point < 0x10000 || point > 0x10ffff)) || point >> 11 == 0x1b)
            return 0;
        i += more + 1;
    }
    return 1;
}

static int own_name(arrays *a, const char *s, size_t n, const char **out)
{
    char *copy = NULL;
    int rc;
    if (n > ARRAYS_NAME_MAX) return arrays_refuse(a, "name", "a name is longer than 1024 bytes");
    if (!is_text(s, n)) return arrays_refuse(a, "name", "array %zu: its name is not UTF-8", a->n);
    a->names_bytes += n + 1;
    if (a->names_bytes > a->n_bytes + (16u << 20))
        return arrays_refuse(a, "limit", "names take more memory than the file");
    rc = mem_new(&copy, n + 1, 1, "array name");
    if (rc < 0) return rc;
    memcpy(copy, s, n);
    *out = copy;
    return arrays_own(a, copy);
}

int arrays_add(arrays *a, const char *name, size_t name_n, const array *v)
{
    array x = *v;
    int rc;
    if (a->n >= ARRAYS_MAX) return arrays_refuse(a, "limit", "more than 100000 arrays");
    rc = own_name(a, name, name_n, &x.name);
    if (rc == 0) rc = mem_grow(&a->v, &a->room, a->n + 1, sizeof *a->v, "arrays");
    if (rc < 0) return rc;
    a->v[a->n++] = x;
    return 0;
}

int arrays_align(arrays *a)
{
    for (size_t i = 0; i < a->n; i++) {
        array *v = &a->v[i];
        size_t item = array_type_size(v->type);
        void *copy = NULL;
        int rc;
        if ((uintptr_t)v->data % item == 0) continue;
        rc = arrays_copy_room(a, v->count * item, &copy);
        if (rc < 0) return rc;
        if (v->count > 0) memcpy(copy, v->data, v->count * item);
        v->data = copy;
    }
    return 0;
}

/* ---- strided data ------------------------------------------------------------------------------ */

/* Every index must lie inside the data: offset + sum (dim - 1) * stride < elements. */
static int check_bounds(const arrays *a, const char *name, const strided *s, const array *v)
{
    uint64_t last = s->offset;
    int bad = last > s->elements;
    for (int i = 0; i < s->rank && v->count > 0; i++) {
        uint64_t step;
        bad |= __builtin_mul_overflow(s->dim[i] - 1, s->stride[i], &step);
        bad |= __builtin_add_overflow(last, step, &last);
    }
    if (bad || (v->count > 0 && last >= s->elements))
        return arrays_refuse(a, "bounds", "tensor '%s' reaches outside its %zu elements of data",
                             name, s->elements);
    return 0;
}

static int is_c_order(const strided *s)
{
    uint64_t expect = 1;
    for (int i = s->rank - 1; i >= 0; i--) {
        if (s->dim[i] != 1 && s->stride[i] != expect) return 0;
        expect *= s->dim[i];
    }
    return 1;
}

/* One run along the last axis. */
static void copy_run(unsigned char *to, const unsigned char *from, size_t n, size_t stride,
                     size_t item, int swapped)
{
    for (size_t i = 0; i < n; i++, to += item, from += stride * item) {
        if (!swapped) {
            memcpy(to, from, item);
            continue;
        }
        for (size_t k = 0; k < item; k++)
            to[k] = from[item - 1 - k];
    }
}

static void gather(unsigned char *to, const strided *s, size_t count, size_t item)
{
    uint64_t index[ARRAY_RANK_MAX] = { 0 };
    const unsigned char *from = s->data + s->offset * item;
    int inner = s->rank - 1;
    size_t run = s->rank > 0 ? (size_t)s->dim[inner] : 1;
    size_t step = s->rank > 0 ? (size_t)s->stride[inner] : 1;
    for (size_t done = 0; done < count; done += run, to += run * item) {
        copy_run(to, from, run, step, item, s->swapped);
        for (int i = inner - 1; i >= 0; i--) { /* the odometer of the outer axes */
            from += s->stride[i] * item;
            if (++index[i] < s->dim[i]) break;
            from -= s->dim[i] * s->stride[i] * item;
            index[i] = 0;
        }
    }
}

int arrays_add_strided(arrays *a, const char *name, size_t name_n, const strided *s)
{
    size_t item = array_type_size(s->type);
    array v = { .type = s->type };
    char text[ARRAYS_NAME_MAX + 1];
    int rc;
    memcpy(text, name, name_n <= ARRAYS_NAME_MAX ? name_n : 0);
    text[name_n <= ARRAYS_NAME_MAX ? name_n : 0] = '\0';
    rc = arrays_shape(a, text, s->dim, s->rank, &v);
    if (rc == 0) rc = check_bounds(a, text, s, &v);
    if (rc < 0) return rc;
    v.data = s->data + s->offset * item;
    if (v.count == 0) v.data = a->bytes;
    if (v.count > 0 && ((s->swapped && item > 1) || !is_c_order(s))) {
        void *copy = NULL;
        rc = arrays_copy_room(a, v.count * item, &copy);
        if (rc < 0) return rc;
        gather(copy, s, v.count, item);
        v.data = copy;
    }
    return arrays_add(a, name, name_n, &v);
}
