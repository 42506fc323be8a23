/* Networks of a few nodes with their gradient at the input. */
#ifndef OUTPOST_TESTS_TINY_GRADIENT_H
#define OUTPOST_TESTS_TINY_GRADIENT_H

#include "extract/adjoint.h"
#include "tests/unit/tiny_net.h"

#define LENGTH(a) (sizeof(a) / sizeof *(a))

/* A gradient at y without pattern: factors of channels times a curve of y itself. */
static UNUSED int cotangent_like(graph *g, int y)
{
    return g_scale(g, g_silu(g, y), "cotangent.weight");
}

/* The gradient at x of a scalar whose gradient at y is without pattern. */
static UNUSED int gradient(graph *g, int x, int y)
{
    int out;
    graph_backward(g, y, cotangent_like(g, y), &x, 1, &out);
    return out;
}

/* x itself is behind a layer, so that its gradient is a map among others. */
#define BACK(name, expression)                                                                     \
    static int name(graph *g, int x)                                                               \
    {                                                                                              \
        return gradient(g, x, expression);                                                         \
    }

#endif
