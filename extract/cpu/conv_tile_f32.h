/* The element half of conv_tile.h's macros for f32 maps: a step is one element. */
#define UNIT 1
#define ELEMENT float
typedef vec operand;
#define WEIGHTS(p) LOAD(p)
#define SPREAD(p) SET1(*(const float *)(const void *)(p))
#define FROM_ELEMENTS(p) LOAD(p)
#define TO_ELEMENTS(p, v) STORE(p, v)
#include "extract/cpu/conv_tile.h"
