#include "extract/positions.h"
#include "common/err.h"
#include "common/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const positions_choices[] = { "plain", "antialias", NULL };

int positions_find(positions_how *out, const char *name)
{
    *out = POSITIONS_PLAIN;
    if (name == NULL || strcmp(name, positions_choices[POSITIONS_PLAIN]) == 0) return 0;
    if (strcmp(name, positions_choices[POSITIONS_ANTIALIAS]) != 0)
        return err_set(ERR_USAGE, "no way '%s' to resample positions: plain, antialias", name);
    *out = POSITIONS_ANTIALIAS;
    return 0;
}

const char *positions_name(positions_how how)
{
    return positions_choices[how];
}

/* What makes one output: the sum of w[j] * in[at[j]].  Keys 1981: cubic convolution. */
typedef struct taps {
    int n;
    int *at;
    double *w;
} taps;

static double near_part(double x, double a) /* 0 <= x <= 1 */
{
    return ((a + 2) * x - (a + 3)) * x * x + 1;
}

static double far_part(double x, double a) /* 1 <= x <= 2 */
{
    return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
}

static double cubic(double x, double a)
{
    x = fabs(x);
    return x < 1 ? near_part(x, a) : x < 2 ? far_part(x, a) : 0;
}

/* Four taps around (i + 1/2) from/to - 1/2, indices clamped to the grid. */
static void plain_taps(taps *t, int i, int from, int to)
{
    const double x = (i + 0.5) * from / to - 0.5, base = floor(x);
    t->n = 4;
    for (int j = 0; j < 4; j++) {
        int at = (int)base - 1 + j;
        t->at[j] = at < 0 ? 0 : at >= from ? from - 1 : at;
        t->w[j] = cubic(x - (base - 1 + j), -0.75);
    }
}

/* All samples within the support, which grows when the grid shrinks; weights sum to 1. */
static void antialias_taps(taps *t, int i, int from, int to)
{
    const double scale = (double)from / to, wide = scale > 1 ? scale : 1;
    const double centre = (i + 0.5) * scale;
    int first = (int)floor(centre - 2 * wide + 0.5), end = (int)floor(centre + 2 * wide + 0.5);
    double sum = 0;
    if (first < 0) first = 0;
    if (end > from) end = from;
    t->n = end - first;
    for (int j = 0; j < t->n; j++) {
        t->at[j] = first + j;
        t->w[j] = cubic((first + j - centre + 0.5) / wide, -0.5);
        sum += t->w[j];
    }
    for (int j = 0; j < t->n; j++)
        t->w[j] /= sum;
}

/* Resamples the middle axis: [outer,from,inner] -> [outer,to,inner]. */
static void resample(double *dst, int to, const double *src, int from, size_t outer, size_t inner,
                     positions_how how, taps *t)
{
    for (int i = 0; i < to; i++) {
        if (how == POSITIONS_PLAIN) plain_taps(t, i, from, to);
        else antialias_taps(t, i, from, to);
        for (size_t o = 0; o < outer; o++) {
            double *y = dst + (o * (size_t)to + (size_t)i) * inner;
            memset(y, 0, inner * sizeof *y);
            for (int j = 0; j < t->n; j++) {
                const double *x = src + (o * (size_t)from + (size_t)t->at[j]) * inner;
                for (size_t k = 0; k < inner; k++)
                    y[k] += t->w[j] * x[k];
            }
        }
    }
}

int positions_resize(float *dst, int to, const float *src, int from, int prefix, size_t d,
                     positions_how how)
{
    int rc = 0;
    double *in = NULL, *half = NULL, *out = NULL; /* [from,from,d], [from,to,d], [to,to,d] */
    size_t n_in, n_half, n_out, before = (size_t)prefix * d;
    taps t = { 0 };
    TRY(mem_product(&n_in, (size_t)from * (size_t)from, d, "positions"));
    TRY(mem_product(&n_half, (size_t)from * (size_t)to, d, "positions"));
    TRY(mem_product(&n_out, (size_t)to * (size_t)to, d, "positions"));
    TRY(mem_new(&in, n_in, sizeof *in, "positions"));
    TRY(mem_new(&half, n_half, sizeof *half, "positions"));
    TRY(mem_new(&out, n_out, sizeof *out, "positions"));
    TRY(mem_new(&t.at, (size_t)from + 4, sizeof *t.at, "positions"));
    TRY(mem_new(&t.w, (size_t)from + 4, sizeof *t.w, "positions"));
    for (size_t i = 0; i < n_in; i++)
        in[i] = (double)src[before + i];
    resample(half, to, in, from, (size_t)from, d, how, &t);
    resample(out, to, half, from, 1, (size_t)to * d, how, &t);
    memcpy(dst, src, before * sizeof *dst);
    for (size_t i = 0; i < n_out; i++)
        dst[before + i] = (float)out[i];
done:
    free(in);
    free(half);
    free(out);
    free(t.at);
    free(t.w);
    return rc;
}
