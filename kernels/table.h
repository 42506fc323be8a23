/* All kernels by number: names, twins, and what a call may not ask for. */
#ifndef OUTPOST_KERNEL_TABLE_H
#define OUTPOST_KERNEL_TABLE_H

#include "kernels/op.h"

enum kernel {
#define KERNEL(name, operands) KERNEL_##name,
#include "kernels/table.def"
#undef KERNEL
    KERNEL_COUNT
};

typedef int (*kernel_fn)(const op_args *);

#ifdef __cplusplus
extern "C" {
#endif

#define KERNEL(name, operands)                                                                     \
    int name##_cpu(const op_args *a);                                                              \
    int name##_cuda(const op_args *a);
#include "kernels/table.def"
#undef KERNEL

extern const char *const kernel_names[KERNEL_COUNT]; /* "relu_fwd" */
extern const kernel_fn kernels_cpu[KERNEL_COUNT];    /* in the programs */
extern const kernel_fn kernels_cuda[KERNEL_COUNT];   /* in the plugin */

/* NULL when the call is well formed, else the broken rule in words.  Pointers are checked for
 * presence, never followed, so this serves device addresses too. */
const char *kernel_problem(int kernel, const op_args *a);

#ifdef __cplusplus
}
#endif

#endif
