/* Images changed by their gradients (extract/graph.h, perturb_kind).
 *   x0, x1, y [n,h,w,c] of one type: the image, its gradient g, the changed image; y may be x0
 *   reduce: KP_*; with s the sign of g and e = scale / x2[c]:
 *     KP_SIGN x - e s, s = 1 where g = 0; KP_SIGN0 the same with s = 0 there; KP_LARGEST as KP_SIGN, one element;
 *     KP_SMALLEST x + e s, s = 0 there, some elements; KP_FGSM min(max(x + e s, 0), 1)
 *   x2 f32 [c]      x3 u32 [n,2] of KP_LARGEST and KP_SMALLEST: what perturb_choose makes, else not read
 * perturb_choose: which elements change.  x0 g [n,h,w,c]; y u32 [n,2]: those whose key is below the first number,
 *   or equal to it and whose place in [c,h,w] is below the second; x_at of them.  KP_SMALLEST: keys rise with |g|,
 *   NaN as infinity; KP_LARGEST: they fall, NaN last.  By counting, so that order does not matter.
 * Both twins give the same bits.
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/elements.h"
#include "kernels/lanes.h"

OP_MATH uint32_t perturb_key(float g, int kind)
{
    uint32_t size = bits_of_float(g) & 0x7fffffffu;
    if (kind == KP_LARGEST) return size > 0x7f800000u ? 0xffffffffu : 0x7fffffffu - size;
    return size > 0x7f800000u ? 0x7f800000u : size;
}

/* Where element i of an image lies in [c,h,w]. */
OP_MATH uint32_t perturb_place(const op_args *a, size_t i)
{
    int k;
    size_t p = op_divide(i, a->c, &k);
    return (uint32_t)((size_t)k * (size_t)a->h * (size_t)a->w + p);
}

/* Is element i counted: key below `limit`, or, where `equal`, equal to it and placed below `cut`? */
OP_MATH int perturb_counts(const op_args *a, size_t n, size_t each, size_t i, uint32_t limit, int equal, uint32_t cut)
{
    uint32_t key = perturb_key(op_x(a, n * each + i), a->reduce);
    return equal ? key == limit && perturb_place(a, i) < cut : key < limit;
}

OP_MATH float perturb_fwd_at(const op_args *a, size_t o)
{
    int k, place, takes = 1, kind = a->reduce;
    size_t each = (size_t)a->h * (size_t)a->w * (size_t)a->c, n = op_divide(o, (int)each, &place);
    float x = op_x(a, o), g = type_get(a->x[1], a->x_type, o);
    double s = g < 0.0f ? -1.0 : g > 0.0f || kind == KP_SIGN || kind == KP_LARGEST ? 1.0 : 0.0, step, y;
    if (kind == KP_LARGEST || kind == KP_SMALLEST) {
        const uint32_t *choice = (const uint32_t *)a->x[3] + 2 * n;
        uint32_t key = perturb_key(g, kind);
        takes = key < choice[0] || (key == choice[0] && perturb_place(a, (size_t)place) < choice[1]);
    }
    (void)op_divide(o, a->c, &k);
    if (!takes) return x;
    step = s * (double)a->scale / (double)op_f32(a, 2)[k];
    y = kind == KP_SMALLEST || kind == KP_FGSM ? (double)x + step : (double)x - step;
    if (kind == KP_FGSM) y = y < 0.0 ? 0.0 : y > 1.0 ? 1.0 : y;
    return (float)y;
}

ELEMENTS(perturb_fwd)

#ifndef __CUDACC__
/* The largest number below which at most `most` elements count. */
static uint32_t largest_cut(const op_args *a, size_t n, uint32_t limit, int equal, size_t most, size_t *count)
{
    size_t each = (size_t)a->h * (size_t)a->w * (size_t)a->c;
    uint32_t cut = 0;
    *count = 0;
    for (int bit = 31; bit >= 0; bit--) {
        uint32_t next = cut | (uint32_t)1 << bit;
        size_t here = 0;
        for (size_t i = 0; i < each; i++)
            here += (size_t)perturb_counts(a, n, each, i, equal ? limit : next, equal, next);
        if (here > most) continue;
        cut = next;
        *count = here;
    }
    return cut;
}

int perturb_choose_cpu(const op_args *a)
{
    uint32_t *y = a->y;
#pragma omp parallel for
    for (int n = 0; n < a->n; n++) {
        size_t below, equal;
        y[2 * n] = largest_cut(a, (size_t)n, 0, 0, (size_t)a->x_at, &below);
        y[2 * n + 1] = largest_cut(a, (size_t)n, y[2 * n], 1, (size_t)a->x_at - below, &equal);
    }
    return 0;
}
#else
static __device__ uint32_t largest_cut(const op_args &a, size_t n, uint32_t limit, int equal, double most,
                                       double *part, double *count)
{
    size_t each = (size_t)a.h * a.w * a.c;
    uint32_t cut = 0;
    *count = 0.0;
    for (int bit = 31; bit >= 0; bit--) {
        uint32_t next = cut | (uint32_t)1 << bit;
        double here = 0.0;
        for (size_t i = threadIdx.x; i < each; i += BLOCK)
            here += perturb_counts(&a, n, each, i, equal ? limit : next, equal, next);
        here = lanes_join(here, part, lanes_sum);
        if (here > most) continue;
        cut = next;
        *count = here;
    }
    return cut;
}

static __global__ void choose(op_args a)
{
    __shared__ double part[WARPS];
    for (size_t n = blockIdx.x; n < (size_t)a.n; n += gridDim.x) {
        double below, equal;
        uint32_t limit = largest_cut(a, n, 0, 0, (double)a.x_at, part, &below);
        uint32_t cut = largest_cut(a, n, limit, 1, (double)a.x_at - below, part, &equal);
        if (threadIdx.x == 0) {
            ((uint32_t *)a.y)[2 * n] = limit;
            ((uint32_t *)a.y)[2 * n + 1] = cut;
        }
    }
}

OP_API int perturb_choose_cuda(const op_args *a)
{
    launch_joined(choose, grid_of((size_t)a->n), a->stream, *a);
    return launched("choice of elements");
}
#endif
