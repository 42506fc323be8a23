#define NEAR near_avx512
#define NEAR_NAME "avx512"
#include "score/neighbours_impl.h"
