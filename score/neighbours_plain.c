#define NEAR near_plain
#define NEAR_NAME "plain"
#include "score/neighbours_impl.h"
