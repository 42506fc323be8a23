#include "extract/positions.h"
#include "common/err.h"
#include "common/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = { "plain", "antialias" };

int positions_find(positions_how *out, const char *name)
{
    *out = POSITIONS_PLAIN;
    if (name == NULL || strcmp(name, names[POSITIONS_PLAIN]) == 0) return 0;
    if (strcmp(name, names[POSITIONS_ANTIALIAS]) != 0)
        return err_set(ERR_USAGE, "no way '%s' to resample positions: plain, antialias", name);
    *out = POSITIONS_ANTIALIAS;
    return 0;
}

const char *positions_name(positions_how how)
{
    return names[how];
}

/* One row of taps: output = sum of w[j] * in[at[j]].  Keys 1981: cubic convolution. */
typedef struct taps {
    int n;
    int *at;
    float *w;
} taps;

static float near_part(float x, float a) /* |x| <= 1 */
{
    return ((a + 2.0f) * x - (a + 3.0f)) * x * x + 1.0f;
}

static float far_part(float x, float a) /* 1 < |x| < 2 */
{
    return ((a * x - 5.0f * a) * x + 8.0f * a) * x - 4.0f * a;
}

static float cubic(float x, float a)
{
    x = fabsf(x);
    return x < 1.0f ? near_part(x, a) : x < 2.0f ? far_part(x, a) : 0.0f;
}

/* Four taps around (i + 1/2) from/to - 1/2, indices clamped to the grid. */
static void plain_taps(taps *t, int i, int from, int to)
{
    const float a = -0.75f, scale = (float)from / (float)to;
    float x = scale * ((float)i + 0.5f) - 0.5f, base = floorf(x), f = x - base;
    t->n = 4;
    for (int j = 0; j < 4; j++) {
        int at = (int)base - 1 + j;
        t->at[j] = at < 0 ? 0 : at >= from ? from - 1 : at;
    }
    t->w[0] = far_part(f + 1.0f, a);
    t->w[1] = near_part(f, a);
    t->w[2] = near_part(1.0f - f, a);
    t->w[3] = far_part(2.0f - f, a);
}

/* All samples within the support, which grows when the grid shrinks; weights sum to 1. */
static void antialias_taps(taps *t, int i, int from, int to)
{
    const float a = -0.5f, scale = (float)from / (float)to;
    const float wide = scale >= 1.0f ? scale : 1.0f, support = 2.0f * wide;
    const float centre = scale * ((float)i + 0.5f);
    int first = (int)(centre - support + 0.5f), end = (int)(centre + support + 0.5f);
    float sum = 0;
    if (centre - support + 0.5f < 0) first = 0;
    if (end > from) end = from;
    t->n = end - first;
    for (int j = 0; j < t->n; j++) {
        t->at[j] = first + j;
        t->w[j] = cubic(((float)(j + first) - centre + 0.5f) / wide, a);
        sum += t->w[j];
    }
    for (int j = 0; j < t->n; j++)
        t->w[j] /= sum;
}

/* Resamples the middle axis: [outer,from,inner] -> [outer,to,inner]. */
static void resample(float *dst, int to, const float *src, int from, size_t outer, size_t inner,
                     positions_how how, taps *t)
{
    for (int i = 0; i < to; i++) {
        if (how == POSITIONS_PLAIN) plain_taps(t, i, from, to);
        else antialias_taps(t, i, from, to);
        for (size_t o = 0; o < outer; o++) {
            float *y = dst + (o * (size_t)to + (size_t)i) * inner;
            memset(y, 0, inner * sizeof *y);
            for (int j = 0; j < t->n; j++) {
                const float *x = src + (o * (size_t)from + (size_t)t->at[j]) * inner;
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
    float *half = NULL; /* [from,to,d]: columns done */
    size_t n, before = (size_t)prefix * d;
    taps t = { 0 };
    TRY(mem_product(&n, (size_t)from * (size_t)to, d, "positions"));
    TRY(mem_new(&half, n, sizeof *half, "positions"));
    TRY(mem_new(&t.at, (size_t)from + 4, sizeof *t.at, "positions"));
    TRY(mem_new(&t.w, (size_t)from + 4, sizeof *t.w, "positions"));
    memcpy(dst, src, before * sizeof *dst);
    resample(half, to, src + before, from, (size_t)from, d, how, &t);
    resample(dst + before, to, half, from, 1, (size_t)to * d, how, &t);
done:
    free(half);
    free(t.at);
    free(t.w);
    return rc;
}
