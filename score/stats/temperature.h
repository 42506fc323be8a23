/* The temperature of least mean cross entropy of softmax(z / T), z [n,c], label [n]. */
#ifndef OUTPOST_TEMPERATURE_H
#define OUTPOST_TEMPERATURE_H

#include <stddef.h>
#include <stdint.h>

#define TEMPERATURE_LEAST 1e-3
#define TEMPERATURE_MOST 1e4

/* Mean cross entropy at T, and its derivative by T. */
double temperature_loss(const float *z, const int32_t *label, size_t n, size_t c, double t,
                        double *derivative);
/* To the last digits; *held: there is no optimum between the two bounds (every row right by far, or worse
 * than a guess), and the nearer bound is returned. */
double temperature_converged(const float *z, const int32_t *label, size_t n, size_t c, int *held);
/* torch.optim.LBFGS(lr=0.01, max_iter=50) from `start`: no line search, tolerances 1e-7 and 1e-9.  In one
 * dimension its two loops are the secant step of the last pair whose product exceeds 1e-10. */
double temperature_lbfgs(const float *z, const int32_t *label, size_t n, size_t c, double start);

#endif
