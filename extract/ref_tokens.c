#include "extract/ref_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static size_t area_of(const node *v)
{
    return (size_t)v->out.h * (size_t)v->out.w;
}

void ref_pad_crop(const node *v, const node *from, const double *x, double *y)
{
    for (int c = 0; c < v->out.c; c++)
        for (int oy = 0; oy < v->out.h; oy++)
            for (int ox = 0; ox < v->out.w; ox++)
                *y++ = oy < from->out.h && ox < from->out.w
                           ? x[(c * from->out.h + oy) * from->out.w + ox]
                           : 0;
}

void ref_embed(const node *v, const float *position, const float *cls, const double *x, double *y)
{
    size_t t = area_of(v), c = (size_t)v->out.c;
    for (size_t k = 0; k < c; k++)
        for (size_t i = 0; i < t; i++)
            y[k * t + i] = (i == 0 ? (double)cls[k] : x[k * (t - 1) + i - 1]) +
                           (double)position[i * c + k];
}

void ref_unfold(const node *v, const node *from, const double *x, double *y)
{
    int k = v->kernel, h = from->out.h, w = from->out.w;
    for (int c = 0; c < v->out.c; c++)
        for (int oy = 0; oy < v->out.h; oy++)
            for (int ox = 0; ox < v->out.w; ox++) {
                int iy = oy * v->stride + c / k % k - v->pad, ix = ox * v->stride + c % k - v->pad;
                *y++ = iy < 0 || iy >= h || ix < 0 || ix >= w ? 0 : x[(c / k / k * h + iy) * w + ix];
            }
}

void ref_merge(const node *v, const node *from, const double *x, double *y)
{
    int h = from->out.h, w = from->out.w, c = from->out.c;
    for (int o = 0; o < v->out.c; o++)
        for (int oy = 0; oy < v->out.h; oy++)
            for (int ox = 0; ox < v->out.w; ox++) {
                int iy = 2 * oy + o / c % 2, ix = 2 * ox + o / c / 2;
                *y++ = iy >= h || ix >= w ? 0 : x[(o % c * h + iy) * w + ix];
            }
}

/* ---- attention ---------------------------------------------------------------------------------- */

typedef struct place { /* of a token in the shifted map */
    size_t at;         /* its index in the map */
    int y, x;          /* shifted coordinates */
} place;

/* Which of the three stripes that the shift makes along an axis (models.md 4.3, step 5). */
static int stripe(int u, int length, int window, int shift)
{
    return u < length - window ? 0 : u < length - shift ? 1 : 2;
}

/* What is added to q k: the bias of the relative position and -100 across stripes. */
static double bias_of(const node *v, const float *table, int head, const place *i, const place *j)
{
    int w = v->window, h = v->out.h, s = v->shift, index;
    double b;
    if (w == 0) return 0;
    index = (i->y % w - j->y % w + w - 1) * (2 * w - 1) + i->x % w - j->x % w + w - 1;
    b = (double)table[index * v->heads + head];
    if (s > 0 && (stripe(i->y, h, w, s) != stripe(j->y, h, w, s) ||
                  stripe(i->x, v->out.w, w, s) != stripe(j->x, v->out.w, w, s)))
        b -= 100;
    return b;
}

/* The tokens of window `index`, all tokens without windows. */
static size_t places_of(const node *v, size_t index, place *p)
{
    int side = v->window > 0 ? v->window : v->out.h, wide = v->window > 0 ? v->window : v->out.w;
    int across = v->out.w / wide, y0 = (int)index / across * side, x0 = (int)index % across * wide;
    for (int y = y0; y < y0 + side; y++)
        for (int x = x0; x < x0 + wide; x++)
            *p++ = (place){ (size_t)((y + v->shift) % v->out.h * v->out.w + (x + v->shift) % v->out.w),
                            y, x };
    return (size_t)(side * wide);
}

/* One query against the keys of its window. */
static void attend(const node *v, const float *table, int head, const place *tokens, size_t n,
                   size_t i, const double *x, double *p, double *y)
{
    size_t t = area_of(v), d = (size_t)(v->out.c / v->heads), c = (size_t)v->out.c;
    const double *q = x + (size_t)head * d * t, *k = q + c * t, *value = k + c * t;
    double most = -INFINITY, sum = 0;
    for (size_t j = 0; j < n; j++) {
        p[j] = 0;
        for (size_t e = 0; e < d; e++)
            p[j] += q[e * t + tokens[i].at] * k[e * t + tokens[j].at];
        p[j] = p[j] * (double)v->scale + bias_of(v, table, head, &tokens[i], &tokens[j]);
        most = fmax(most, p[j]);
    }
    for (size_t j = 0; j < n; j++)
        sum += p[j] = exp(p[j] - most);
    for (size_t e = 0; e < d; e++) {
        double mean = 0;
        for (size_t j = 0; j < n; j++)
            mean += p[j] * value[e * t + tokens[j].at];
        y[((size_t)head * d + e) * t + tokens[i].at] = mean / sum;
    }
}

int ref_attention(const node *v, const float *table, const double *x, double *y)
{
    size_t t = area_of(v), n = v->window > 0 ? (size_t)(v->window * v->window) : t;
    place *tokens = malloc(n * sizeof *tokens);
    double *p = malloc(n * sizeof *p);
    int ok = tokens != NULL && p != NULL;
    for (size_t window = 0; ok && window < t / n; window++) {
        places_of(v, window, tokens);
        for (int head = 0; head < v->heads; head++)
            for (size_t i = 0; i < n; i++)
                attend(v, table, head, tokens, n, i, x, p, y);
    }
    free(tokens);
    free(p);
    return ok ? 0 : -1;
}

/* phi(z) = exp(w z - |z|^2 / 2) / sqrt(m) of token i. */
static void features_of(const float *w, size_t m, size_t d, const double *z, size_t t, size_t i,
                        double *phi)
{
    double squares = 0;
    for (size_t e = 0; e < d; e++)
        squares += z[e * t + i] * z[e * t + i];
    for (size_t f = 0; f < m; f++) {
        double s = -squares / 2;
        for (size_t e = 0; e < d; e++)
            s += (double)w[f * d + e] * z[e * t + i];
        phi[f] = exp(s) / sqrt((double)m);
    }
}

int ref_performer(const node *v, int features, const float *w, const double *x, double *y)
{
    size_t t = area_of(v), d = (size_t)v->out.c, m = (size_t)features;
    const double *k = x, *q = x + d * t, *value = q + d * t;
    double *phi = calloc(m * (d + 2), sizeof *phi), *sum = phi + m, *kv = sum + m;
    if (phi == NULL) return -1;
    for (size_t i = 0; i < t; i++) {
        features_of(w, m, d, k, t, i, phi);
        for (size_t f = 0; f < m; f++) {
            sum[f] += phi[f];
            for (size_t e = 0; e < d; e++)
                kv[f * d + e] += phi[f] * value[e * t + i];
        }
    }
    for (size_t i = 0; i < t; i++) {
        double total = 0;
        features_of(w, m, d, q, t, i, phi);
        for (size_t f = 0; f < m; f++)
            total += phi[f] * sum[f];
        for (size_t e = 0; e < d; e++) {
            double s = 0;
            for (size_t f = 0; f < m; f++)
                s += phi[f] * kv[f * d + e];
            y[e * t + i] = s / (total + 1e-8);
        }
    }
    free(phi);
    return 0;
}
