#define ROWMATH rowmath_avx2
#define ROWMATH_NAME "avx2"
#include "score/stats/rowmath_impl.h"
