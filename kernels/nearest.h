/* The candidates of a search for the nearest of many rows: a header, then up to `room` items in the order of
 * their index.  Shared by row_nearest.cu, row_pairs.cu and score/cuda/neighbours.c. */
#ifndef OUTPOST_KERNEL_NEAREST_H
#define OUTPOST_KERNEL_NEAREST_H

#include "kernels/op.h"

#include <string.h>

typedef struct nearest_item {
    double value; /* of the header: no new item of this value or above is wanted */
    int64_t at;   /* of the header: how many items follow */
} nearest_item;

/* float64 as integers of the same order. */
OP_MATH int64_t nearest_key(double v)
{
    int64_t i;
    memcpy(&i, &v, sizeof i);
    return i ^ (int64_t)((uint64_t)(i >> 63) >> 1);
}

/* Halfway from a to b >= a. */
OP_MATH int64_t nearest_middle(int64_t a, int64_t b)
{
    return a + (int64_t)(((uint64_t)b - (uint64_t)a) / 2);
}

#endif
