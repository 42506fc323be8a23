#define ROWMATH rowmath_avx512
#define ROWMATH_NAME "avx512"
#include "score/stats/rowmath_impl.h"
