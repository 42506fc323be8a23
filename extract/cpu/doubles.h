/* Sums of products in double over floats, in a fixed order of lanes whatever the registers hold. */
#ifndef OUTPOST_DOUBLES_H
#define OUTPOST_DOUBLES_H

#include <stddef.h>

/* sum a[i] b[i] */
double doubles_dot(const float *a, const double *b, size_t n);
double doubles_dot2(const double *a, const double *b, size_t n);
/* y += f x */
void doubles_add(double *y, double f, const float *x, size_t n);
void doubles_add2(double *y, double f, const double *x, size_t n);

#endif
