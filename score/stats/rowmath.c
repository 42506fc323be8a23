#define ROWMATH rowmath_plain
#define ROWMATH_NAME "plain"
#include "score/stats/rowmath_impl.h"

int rowmath_usable(const rowmath *m)
{
#if defined(__x86_64__)
    if (m == &rowmath_avx512)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    if (m == &rowmath_avx2) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    return m == &rowmath_plain;
}

const rowmath *rowmath_best(void)
{
    if (rowmath_usable(&rowmath_avx512)) return &rowmath_avx512;
    if (rowmath_usable(&rowmath_avx2)) return &rowmath_avx2;
    return &rowmath_plain;
}
