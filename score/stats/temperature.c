#include "score/stats/temperature.h"

#include <math.h>

/* log sum exp(s z) and sum p z, p = softmax(s z), of one row */
static double row_of(const float *z, size_t c, double s, double *mean)
{
    double most = (double)z[0], sum = 0, weighted = 0;
    for (size_t k = 1; k < c; k++)
        if (s < 0 ? (double)z[k] < most : (double)z[k] > most) most = (double)z[k];
    for (size_t k = 0; k < c; k++) {
        double e = exp(s * ((double)z[k] - most));
        sum += e;
        weighted += e * ((double)z[k] - most);
    }
    *mean = most + weighted / sum;
    return s * most + log(sum);
}

double temperature_loss(const float *z, const int32_t *label, size_t n, size_t c, double t,
                        double *derivative)
{
    enum { PARTS = 64 }; /* fixed, so that threads change nothing */
    double loss[PARTS] = {0}, slope[PARTS] = {0}, all = 0, all_slope = 0, s = 1 / t;
#pragma omp parallel for schedule(dynamic, 1)
    for (int part = 0; part < PARTS; part++)
        for (size_t i = n * (size_t)part / PARTS; i < n * ((size_t)part + 1) / PARTS; i++) {
            const float *row = z + i * c;
            double mean, own = (double)row[label[i]];
            loss[part] += row_of(row, c, s, &mean) - s * own;
            slope[part] += mean - own;
        }
    for (int part = 0; part < PARTS; part++) {
        all += loss[part];
        all_slope += slope[part];
    }
    *derivative = -s * s * all_slope / (double)n; /* of the loss by 1/T, times d(1/T)/dT */
    return all / (double)n;
}

double temperature_converged(const float *z, const int32_t *label, size_t n, size_t c, int *held)
{
    double low = log(TEMPERATURE_LEAST), high = log(TEMPERATURE_MOST), d;
    *held = 1;
    /* the loss is convex in 1/T: its derivative by T is below 0 before the optimum and above 0 behind */
    temperature_loss(z, label, n, c, exp(low), &d);
    if (!(d < 0)) return TEMPERATURE_LEAST;
    temperature_loss(z, label, n, c, exp(high), &d);
    if (!(d > 0)) return TEMPERATURE_MOST;
    *held = 0;
    for (int i = 0; i < 60; i++) {
        double mid = (low + high) / 2;
        temperature_loss(z, label, n, c, exp(mid), &d);
        if (d < 0) low = mid;
        else high = mid;
    }
    return exp((low + high) / 2);
}

double temperature_lbfgs(const float *z, const int32_t *label, size_t n, size_t c, double start)
{
    enum { STEPS = 50, EVALUATIONS = 62 };
    const double rate = 0.01, gradient_least = 1e-7, change_least = 1e-9;
    double t = start, g, before = 0, direction = 0, step = 0, loss, last, s_pair = 0, y_pair = 0;
    loss = temperature_loss(z, label, n, c, t, &g);
    if (fabs(g) <= gradient_least) return t;
    for (int i = 1, evaluations = 1; i <= STEPS && evaluations < EVALUATIONS; i++) {
        if (i == 1) direction = -g;
        else {
            double y = g - before, s = direction * step;
            if (y * s > 1e-10) {
                y_pair = y;
                s_pair = s;
            }
            direction = y_pair != 0 ? -g * s_pair / y_pair : -g;
        }
        before = g;
        last = loss;
        step = i == 1 ? fmin(1, 1 / fabs(g)) * rate : rate;
        if (g * direction > -change_least) break;
        t += step * direction;
        if (i == STEPS) break;
        loss = temperature_loss(z, label, n, c, t, &g);
        evaluations++;
        if (fabs(g) <= gradient_least || fabs(direction * step) <= change_least ||
            fabs(loss - last) < change_least)
            break;
    }
    return t;
}
