#define NEAR near_avx2
#define NEAR_NAME "avx2"
#include "score/neighbours_impl.h"
