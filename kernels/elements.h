/* Kernels whose every element of y is a function of the arguments and its index: NAME_at(a, o), o < count.
 * Both twins call it, so that they agree to the bit.  ELEMENTS: y as large as the map n, h, w, c, of y's type;
 * ELEMENTS_OF: any number of elements, of a C type. */
#ifndef OUTPOST_KERNEL_ELEMENTS_H
#define OUTPOST_KERNEL_ELEMENTS_H

#include "kernels/table.h"

#ifndef __CUDACC__
#define ELEMENTS(name)                                                                             \
    int name##_cpu(const op_args *a)                                                               \
    {                                                                                              \
        size_t count = op_count(a);                                                                \
        _Pragma("omp parallel for") for (size_t o = 0; o < count; o++)                             \
            op_y(a, o, name##_at(a, o));                                                           \
        return 0;                                                                                  \
    }
#define ELEMENTS_OF(name, type, number)                                                            \
    int name##_cpu(const op_args *a)                                                               \
    {                                                                                              \
        size_t count = (number);                                                                   \
        type *y = (type *)a->y;                                                                    \
        _Pragma("omp parallel for") for (size_t o = 0; o < count; o++)                             \
            y[o] = name##_at(a, o);                                                                \
        return 0;                                                                                  \
    }
#else
#include "kernels/launch.h"

#define ELEMENTS(name)                                                                             \
    static __global__ void name##_all(op_args a, size_t count)                                     \
    {                                                                                              \
        GRID_STRIDE(o, count)                                                                      \
        op_y(&a, o, name##_at(&a, o));                                                             \
    }                                                                                              \
    OP_API int name##_cuda(const op_args *a)                                                       \
    {                                                                                              \
        size_t count = op_count(a);                                                                \
        launch(name##_all, blocks_for(count), a->stream, *a, count);                               \
        return launched(#name);                                                                    \
    }
#define ELEMENTS_OF(name, type, number)                                                            \
    static __global__ void name##_all(op_args a, size_t count)                                     \
    {                                                                                              \
        GRID_STRIDE(o, count)                                                                      \
        ((type *)a.y)[o] = name##_at(&a, o);                                                       \
    }                                                                                              \
    OP_API int name##_cuda(const op_args *a)                                                       \
    {                                                                                              \
        size_t count = (number);                                                                   \
        launch(name##_all, blocks_for(count), a->stream, *a, count);                               \
        return launched(#name);                                                                    \
    }
#endif

#endif
