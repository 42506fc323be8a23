#include "score/stats/weibull.h"

#include <math.h>

#define TRANSLATE 10000.0

/* log of t / max t */
static double log_of(const weibull *w, double x)
{
    double most = TRANSLATE + (w->most - w->least);
    return log1p((x - w->most) / most);
}

/* The likelihood equation; rises with the shape. */
static double slope(const weibull *w, const double *v, size_t n, double a, double mean)
{
    double sum = 0, weighted = 0;
    for (size_t i = 0; i < n; i++) {
        double l = log_of(w, v[i]), t = exp(a * l);
        sum += t;
        weighted += t * l;
    }
    return weighted / sum - 1 / a - mean;
}

void weibull_fit_high(weibull *w, const double *v, size_t n)
{
    double low, high, mean = 0, sum = 0;
    *w = (weibull){0, 0, 0, 0};
    if (n == 0) return;
    w->least = w->most = v[0];
    for (size_t i = 1; i < n; i++) {
        w->least = fmin(w->least, v[i]);
        w->most = fmax(w->most, v[i]);
    }
    for (size_t i = 0; i < n; i++)
        mean += log_of(w, v[i]) / (double)n;
    if (!(mean < 0)) { /* all equal */
        w->shape = INFINITY;
        return;
    }
    low = high = -1 / mean;
    while (slope(w, v, n, low, mean) > 0)
        low /= 2;
    while (slope(w, v, n, high, mean) < 0)
        high *= 2;
    for (int i = 0; i < 200 && high - low > 1e-15 * high; i++) {
        double mid = low + (high - low) / 2;
        if (slope(w, v, n, mid, mean) < 0) low = mid;
        else high = mid;
    }
    w->shape = low + (high - low) / 2;
    for (size_t i = 0; i < n; i++)
        sum += exp(w->shape * log_of(w, v[i]));
    w->log_mean = log(sum / (double)n);
}

double weibull_cdf(const weibull *w, double x)
{
    if (w->shape == 0) return 0;
    if (isinf(w->shape)) return x < w->most ? 0 : x > w->most ? 1 : -expm1(-1.0);
    if (x + TRANSLATE - w->least <= 0) return 0;
    return -expm1(-exp(w->shape * log_of(w, x) - w->log_mean));
}
