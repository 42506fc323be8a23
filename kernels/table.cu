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
    return NULL;
}

const char *kernel_problem(int kernel, const op_args *a)
{
    size_t count;
    int widest = a->c > a->y_c ? a->c : a->y_c; /* channels; x_c and y_c are 0 where unused */
    if (a->x_c > widest) widest = a->x_c;
    if (kernel < 0 || kernel >= KERNEL_COUNT) return "no such kernel";
    if (a->n < 1 || a->c < 1 || a->h < 1 || a->w < 1) return "empty shape";
    if ((int64_t)a->h * a->w > INT_MAX ||
        __builtin_mul_overflow((size_t)a->n * (size_t)widest, (size_t)a->h * (size_t)a->w, &count) ||
        count > SIZE_MAX / 64)
        return "size overflows";
    if (a->y == NULL) return "no output";
    for (int i = 0; i < operands_of[kernel]; i++)
        if (a->x[i] == NULL) return "operand missing";
    switch (kernel) {
    case KERNEL_normalise_fwd: return a->u8 == NULL ? "no image bytes" : NULL;
    case KERNEL_maxpool_fwd:
    case KERNEL_avgpool_fwd: return pool_problem(a);
    case KERNEL_copy_fwd:
        if (a->x_at < 0 || a->y_at < 0) return "slice starts below zero";
        if (a->c > a->x_c - a->x_at || a->c > a->y_c - a->y_at) return "slice leaves its tensor";
        return NULL;
    case KERNEL_shortcut_a_fwd:
        if (a->y_at < 0 || a->c > a->y_c - a->y_at) return "channels leave the output";
        if (a->oh != a->h / 2 + a->h % 2 || a->ow != a->w / 2 + a->w % 2)
            return "output size is not half the input's";
        return NULL;
    default: return NULL;
    }
}
