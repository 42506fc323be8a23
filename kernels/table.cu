/* Names, argument rules, and the dispatch table of the twins that this compilation makes: programs
 * link the C11 one, the plugin nvcc's. */
#include "kernels/table.h"

#include <limits.h>

const char *const kernel_names[KERNEL_COUNT] = {
#define KERNEL(name, operands) #name,
#include "kernels/table.def"
#undef KERNEL
};

#ifndef __CUDACC__
const kernel_fn kernels_cpu[KERNEL_COUNT] = {
#define KERNEL(name, operands) name##_cpu,
#include "kernels/table.def"
#undef KERNEL
};
#else
const kernel_fn kernels_cuda[KERNEL_COUNT] = {
#define KERNEL(name, operands) name##_cuda,
#include "kernels/table.def"
#undef KERNEL
};
#endif

static const int operands_of[KERNEL_COUNT] = {
#define KERNEL(name, operands) operands,
#include "kernels/table.def"
#undef KERNEL
};

/* ---- types -------------------------------------------------------------------------------------- */

static const char *type_problem(int kernel, const op_args *a)
{
    int x = a->x_type, y = a->y_type;
    if (x < KT_F32 || x > KT_BF16 || y < KT_F32 || y > KT_BF16) return "no such type";
    switch (kernel) {
    case KERNEL_normalise_fwd: return NULL; /* from bytes to any */
    case KERNEL_gap_fwd:
    case KERNEL_export_fwd:
    case KERNEL_groupnorm_sum_fwd:
    case KERNEL_performer_sum_fwd: return y == KT_F32 ? NULL : "the result is float32";
    case KERNEL_groupnorm_join_fwd:
    case KERNEL_performer_join_fwd: return x == KT_F32 && y == KT_F32 ? NULL : "sums are float32";
    case KERNEL_widen_fwd:
    case KERNEL_row_squares_fwd:
    case KERNEL_row_least_fwd:
    case KERNEL_row_nearest_fwd:
    case KERNEL_row_pairs_fwd: return x == KT_F32 && y == KT_F32 ? NULL : "rows are not 16-bit maps";
    case KERNEL_copy_fwd:
    case KERNEL_token_fwd:
    case KERNEL_bias_act_fwd:
    case KERNEL_softmax_fwd:
        return x == y || x == KT_F32 || y == KT_F32 ? NULL : "two 16-bit types";
    default: return x == y ? NULL : "x and y differ in type";
    }
}

/* ---- shapes ------------------------------------------------------------------------------------- */

static const char *pool_problem(const op_args *a)
{
    int ceil = (a->flags & KF_CEIL) != 0;
    if (a->kernel < 1 || a->stride < 1 || a->pad < 0) return "window below one, or negative padding";
    if (a->pad > a->kernel / 2) return "padding above half the window";
    if (a->h > INT_MAX / 4 || a->w > INT_MAX / 4 || a->kernel > INT_MAX / 4) return "size overflows";
    if (a->h + 2 * a->pad < a->kernel || a->w + 2 * a->pad < a->kernel)
        return "window larger than the padded input";
    if (a->oh != op_pooled(a->h, a->kernel, a->stride, a->pad, ceil) ||
        a->ow != op_pooled(a->w, a->kernel, a->stride, a->pad, ceil))
        return "output size is not the pool's";
    if (ceil && (a->flags & KF_ZERO_PAD)) return "a border of zeros and sizes that round up";
    return NULL;
}

static const char *slice_problem(const op_args *a)
{
    if (a->x_at < 0 || a->y_at < 0) return "slice starts below zero";
    if (a->c > a->x_c - a->x_at || a->c > a->y_c - a->y_at) return "slice leaves its tensor";
    return NULL;
}

static const char *halved_problem(const op_args *a)
{
    return a->oh == a->h / 2 + a->h % 2 && a->ow == a->w / 2 + a->w % 2
               ? NULL
               : "output size is not half the input's";
}

static const char *shortcut_problem(const op_args *a)
{
    if (a->y_at < 0 || a->c > a->y_c - a->y_at) return "channels leave the output";
    return halved_problem(a);
}

/* Rows that may be wider than their c channels. */
static const char *row_problem(const op_args *a)
{
    if (op_x_stride(a) < a->c || op_y_stride(a) < a->c) return "rows narrower than their channels";
    return op_y_stride(a) > 8192 ? "rows beyond 8192 channels" : NULL;
}

static const char *window_problem(const op_args *a, int h, int w)
{
    if (a->window < 0) return "negative window";
    if (a->window == 0) return a->shift == 0 ? NULL : "shift without windows";
    if (h < 1 || w < 1 || h % a->window != 0 || w % a->window != 0) return "windows do not divide the map";
    return a->shift >= 0 && a->shift < a->window ? NULL : "shift outside the window";
}

static const char *softmax_problem(const op_args *a)
{
    const char *problem = row_problem(a);
    if (problem == NULL) problem = window_problem(a, a->oh, a->ow);
    if (problem != NULL) return problem;
    if (!(a->scale < 0.0f || a->scale > 0.0f)) return "scale is zero";
    if (a->window == 0) return NULL;
    if (a->window > 8192 || a->w != a->window * a->window || a->c != a->w) return "rows are not a window's";
    if (a->shift > 0 && a->x[1] == NULL) return "shift without a bias table";
    return a->n % (a->oh / a->window * (a->ow / a->window)) == 0 ? NULL : "not whole maps of windows";
}

static const char *heads_problem(const op_args *a)
{
    if (a->groups < 1 || a->c % a->groups != 0) return "heads do not divide the channels";
    return window_problem(a, a->h, a->w);
}

static const char *performer_problem(const op_args *a)
{
    return a->groups < 1 || a->groups > 64 || a->c > 64 ? "width or features outside 1..64" : NULL;
}

static const char *unfold_problem(const op_args *a)
{
    const char *problem;
    op_args p = *a;
    if (op_x_stride(a) < a->c) return "rows narrower than their channels";
    p.flags = 0;
    problem = pool_problem(&p);
    if (problem != NULL) return problem;
    if (a->kernel > 64 || a->c > (1 << 16)) return "size overflows";
    return a->y_c == 0 || a->y_c >= a->c * a->kernel * a->kernel ? NULL : "channels leave the output";
}

/* widen, row_least: operands that are read only when groups says so. */
static const char *origin_problem(int kernel, const op_args *a)
{
    if (a->groups < 0) return "negative groups";
    if (a->groups > 0 && a->x[1] == NULL) return "operand missing";
    return (kernel == KERNEL_row_least_fwd ? a->groups > 0 : a->groups > 1) && a->x[2] == NULL
               ? "operand missing"
               : NULL;
}

/* The kernels over records of images (record.h). */
static const char *record_problem(const op_args *a)
{
    if (a->u8 == NULL) return "no records";
    if (a->x[2] == NULL) return "no scratch";
    return a->c != 3 || a->y_c < 1 ? "no images of three channels, or no tasks" : NULL;
}

static const char *nearest_problem(int kernel, const op_args *a)
{
    size_t bytes;
    if (a->kernel < 1 || a->window < a->kernel) return "no room for the nearest";
    if (__builtin_mul_overflow(op_rows(a), ((size_t)a->window + 1) * 16, &bytes) || bytes > SIZE_MAX / 2)
        return "size overflows";
    if (kernel == KERNEL_row_pairs_fwd) return NULL;
    if (a->window - a->kernel < a->c) return "no room for a tile";
    if (a->shift < 0 || a->shift > INT_MAX - a->c) return "index overflows";
    return a->stride == (a->stride > 0) && a->pad == (a->pad > 0) ? NULL : "neither yes nor no";
}

static const char *shape_problem(int kernel, const op_args *a)
{
    switch (kernel) {
    case KERNEL_normalise_fwd:
        if (a->u8 == NULL) return "no image bytes";
        return op_y_stride(a) < a->c ? "rows narrower than their channels" : NULL;
    case KERNEL_maxpool_fwd:
    case KERNEL_avgpool_fwd:
    case KERNEL_dwconv_fwd: return pool_problem(a);
    case KERNEL_unfold_fwd: return unfold_problem(a);
    case KERNEL_gap_fwd: return a->reduce < 0 || a->reduce >= KR_COUNT ? "no such reduction" : NULL;
    case KERNEL_copy_fwd: return slice_problem(a);
    case KERNEL_shortcut_a_fwd: return shortcut_problem(a);
    case KERNEL_merge_fwd: return halved_problem(a);
    case KERNEL_pad_crop_fwd: return a->oh < 1 || a->ow < 1 ? "empty output" : NULL;
    case KERNEL_token_fwd: return a->x_at < 0 || a->x_at >= a->h * a->w ? "no such token" : NULL;
    case KERNEL_layernorm_fwd: return row_problem(a);
    case KERNEL_groupnorm_sum_fwd:
    case KERNEL_groupnorm_join_fwd:
    case KERNEL_groupnorm_fwd:
        return a->groups < 1 || a->c % a->groups != 0 ? "groups do not divide the channels" : NULL;
    case KERNEL_softmax_fwd: return softmax_problem(a);
    case KERNEL_split_heads_fwd:
    case KERNEL_join_heads_fwd: return heads_problem(a);
    case KERNEL_performer_sum_fwd:
    case KERNEL_performer_out_fwd: return performer_problem(a);
    case KERNEL_performer_join_fwd: return a->w == 1 ? NULL : "sums are not a map";
    case KERNEL_widen_fwd:
    case KERNEL_row_least_fwd: return origin_problem(kernel, a);
    case KERNEL_jpeg_samples_fwd:
    case KERNEL_jpeg_rgb_fwd:
    case KERNEL_resize_across_fwd:
    case KERNEL_resize_down_fwd: return record_problem(a);
    case KERNEL_row_nearest_fwd:
    case KERNEL_row_pairs_fwd: return nearest_problem(kernel, a);
    default: return NULL;
    }
}

const char *kernel_problem(int kernel, const op_args *a)
{
    size_t count;
    int widest = a->c > a->y_c ? a->c : a->y_c; /* channels; x_c and y_c are 0 where unused */
    const char *problem;
    if (a->x_c > widest) widest = a->x_c;
    if (kernel < 0 || kernel >= KERNEL_COUNT) return "no such kernel";
    if (a->n < 1 || a->c < 1 || a->h < 1 || a->w < 1) return "empty shape";
    if ((int64_t)a->h * a->w > INT_MAX - 1 || a->c > INT_MAX / 4 ||
        __builtin_mul_overflow((size_t)a->n * (size_t)widest, (size_t)a->h * (size_t)a->w, &count) ||
        count > SIZE_MAX / 64)
        return "size overflows";
    if (a->y == NULL) return "no output";
    for (int i = 0; i < operands_of[kernel]; i++)
        if (a->x[i] == NULL) return "operand missing";
    if (a->act < 0 || a->act >= KA_COUNT) return "no such activation";
    problem = type_problem(kernel, a);
    return problem != NULL ? problem : shape_problem(kernel, a);
}
