#include "extract/layout.h"
#include "common/err.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

enum { RANK_MAX = 4 }; /* of parameters */

/* ---- shapes ------------------------------------------------------------------------------------ */

/* Product of dim[from..to); the array holds elements, so it cannot overflow. */
static size_t product(const array *a, int from, int to)
{
    size_t n = 1;
    for (int i = from; i < to; i++)
        n *= a->dim[i];
    return n;
}

static int copy_shape(const array *a, size_t *dim)
{
    if (a->rank < 1 || a->rank > RANK_MAX) return 0;
    memcpy(dim, a->dim, (size_t)a->rank * sizeof *dim);
    return a->rank;
}

/* [1,1,1,c] as [c]; [c,1,1] needs nothing, trailing ones do not count. */
static int squeeze_shape(const array *a, size_t *dim)
{
    if (a->rank < 2 || product(a, 0, a->rank - 1) != 1) return copy_shape(a, dim);
    dim[0] = a->dim[a->rank - 1];
    return 1;
}

static int hwio_shape(const array *a, int rank, size_t *dim)
{
    if (a->rank != 4 || rank == 1) return squeeze_shape(a, dim);
    for (int i = 0; i < 4; i++)
        dim[i] = a->dim[(const int[]){ 3, 2, 0, 1 }[i]];
    return 4;
}

static int transpose_shape(const array *a, size_t *dim)
{
    if (a->rank != 2 && a->rank != 3) return a->rank == 1 ? copy_shape(a, dim) : 0;
    dim[0] = a->dim[a->rank - 1];
    dim[1] = product(a, 0, a->rank - 1);
    return 2;
}

static int are_alike(const array *const *part, int n)
{
    const array *a = part[0];
    for (int i = 1; i < n; i++)
        if (part[i]->rank != a->rank ||
            memcmp(part[i]->dim, a->dim, (size_t)a->rank * sizeof *a->dim) != 0)
            return 0;
    return 1;
}

static int stack_shape(const array *const *part, int n, size_t *dim)
{
    int rank = are_alike(part, n) ? copy_shape(part[0], dim) : 0;
    if (rank > 0) dim[0] *= (size_t)n;
    return rank;
}

static int qkv_shape(const array *const *part, int n, int rank, size_t *dim)
{
    const array *a = part[0];
    if (!are_alike(part, n)) return 0;
    if (rank == 1) {
        dim[0] = (size_t)n * a->count;
        return 1;
    }
    if (a->rank < 2 || a->rank > 3) return 0;
    dim[0] = (size_t)n * product(a, 1, a->rank);
    dim[1] = a->dim[0];
    return 2;
}

int layout_shape(key_how how, const array *const *part, int n, int rank, size_t *dim)
{
    for (int i = 0; i < n; i++)
        if (part[i]->rank < 1 || part[i]->count == 0) return 0;
    switch (how) {
    case KEY_HWIO: return n == 1 ? hwio_shape(part[0], rank, dim) : 0;
    case KEY_TRANSPOSE: return n == 1 ? transpose_shape(part[0], dim) : 0;
    case KEY_QKV: return qkv_shape(part, n, rank, dim);
    case KEY_STACK: return stack_shape(part, n, dim);
    default: return n == 1 ? copy_shape(part[0], dim) : 0;
    }
}

static int without_ones(const size_t *dim, int rank)
{
    while (rank > 1 && dim[rank - 1] == 1)
        rank--;
    return rank;
}

int layout_fits(key_how how, const array *const *part, int n, const param *p)
{
    size_t dim[RANK_MAX];
    int rank = layout_shape(how, part, n, p->rank, dim);
    if (rank == 0) return 0;
    rank = without_ones(dim, rank);
    return rank == without_ones(p->dim, p->rank) &&
           memcmp(dim, p->dim, (size_t)rank * sizeof *dim) == 0;
}

/* ---- values ------------------------------------------------------------------------------------ */

int layout_in_order(key_how how, const array *const *part)
{
    if (how == KEY_HWIO) return part[0]->rank != 4;
    return how == KEY_COPY || (how == KEY_TRANSPOSE && part[0]->rank == 1);
}

/* [rows,cols] -> [cols,rows], every step'th float of dst; in tiles that stay in the first cache. */
static void transpose(float *dst, size_t step, const float *src, size_t rows, size_t cols)
{
    const size_t tile = 16;
    for (size_t r0 = 0; r0 < rows; r0 += tile)
        for (size_t c0 = 0; c0 < cols; c0 += tile)
            for (size_t c = c0; c < cols && c < c0 + tile; c++)
                for (size_t r = r0; r < rows && r < r0 + tile; r++)
                    dst[(c * rows + r) * step] = src[r * cols + c];
}

/* [h,w,in,out] -> [out,in,h,w] */
static void hwio(float *dst, const float *src, const size_t *dim)
{
    const size_t area = dim[0] * dim[1];
    for (size_t k = 0; k < area; k++)
        transpose(dst + k, area, src + k * dim[2] * dim[3], dim[2], dim[3]);
}

static void place(key_how how, const array *a, const param *p, float *dst, const float *src)
{
    if (how == KEY_HWIO && a->rank == 4 && p->rank > 1) {
        hwio(dst, src, a->dim);
    } else if (how == KEY_TRANSPOSE && a->rank > 1) {
        transpose(dst, 1, src, product(a, 0, a->rank - 1), a->dim[a->rank - 1]);
    } else if (how == KEY_QKV && p->rank > 1) {
        transpose(dst, 1, src, a->dim[0], product(a, 1, a->rank));
    } else {
        memcpy(dst, src, a->count * sizeof *dst);
    }
}

int layout_copy(key_how how, const array *const *part, int n, const param *p, float *dst)
{
    int rc = 0;
    float *values = NULL; /* of a part that is not f32 already */
    for (int i = 0; i < n; i++) {
        const float *src = part[i]->data;
        if (part[i]->type != ARRAY_F32) {
            if (values == NULL) TRY(mem_new_aligned(&values, part[0]->count, sizeof *values, p->name));
            array_to_f32(part[i], values);
            src = values;
        }
        place(how, part[i], p, dst + (size_t)i * part[i]->count, src);
    }
done:
    free(values);
    return rc;
}
