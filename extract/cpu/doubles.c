#include "extract/cpu/doubles.h"
#include "extract/cpu/lines.h"

#include <string.h>

enum { LANES = 8, WALK = 4 * LANES };
typedef double lanes __attribute__((vector_size(64)));
typedef float halves __attribute__((vector_size(32)));

static inline double sum_lanes(const lanes *v)
{
    double t[LANES];
    memcpy(t, v, sizeof t);
    return ((t[0] + t[4]) + (t[2] + t[6])) + ((t[1] + t[5]) + (t[3] + t[7]));
}

#define DOT(GET)                                                                                   \
    lanes s[4] = { { 0 } };                                                                        \
    double rest = 0;                                                                               \
    size_t i = 0;                                                                                  \
    for (; i + WALK <= n; i += WALK)                                                               \
        for (size_t k = 0; k < 4; k++) {                                                           \
            lanes u, v;                                                                            \
            GET(u, a + i + k * LANES);                                                             \
            memcpy(&v, b + i + k * LANES, sizeof v);                                               \
            s[k] += u * v;                                                                         \
        }                                                                                          \
    for (; i < n; i++)                                                                             \
        rest += (double)a[i] * b[i];                                                               \
    s[0] = (s[0] + s[1]) + (s[2] + s[3]);                                                          \
    return sum_lanes(&s[0]) + rest
#define GET_FLOATS(u, p)                                                                           \
    do {                                                                                           \
        halves t_;                                                                                 \
        memcpy(&t_, p, sizeof t_);                                                                 \
        u = __builtin_convertvector(t_, lanes);                                                    \
    } while (0)
#define GET_DOUBLES(u, p) memcpy(&(u), p, sizeof(u))

CLONES double doubles_dot(const float *a, const double *b, size_t n)
{
    DOT(GET_FLOATS);
}

CLONES double doubles_dot2(const double *a, const double *b, size_t n)
{
    DOT(GET_DOUBLES);
}

CLONES void doubles_add(double *y, double f, const float *x, size_t n)
{
    double *restrict to = y;
    for (size_t i = 0; i < n; i++)
        to[i] += f * (double)x[i];
}

CLONES void doubles_add2(double *y, double f, const double *x, size_t n)
{
    double *restrict to = y;
    for (size_t i = 0; i < n; i++)
        to[i] += f * x[i];
}
