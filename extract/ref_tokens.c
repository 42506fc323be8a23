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

/* Softmax of one query against the n keys of its window; q, k: planes of t values each. */
static void softmax_of(const node *v, const float *table, int head, const place *tokens, size_t n, size_t i,
                       const double *q, const double *k, size_t d, double *p)
{
    size_t t = area_of(v);
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
    for (size_t j = 0; j < n; j++)
        p[j] /= sum;
}

static void attend(const node *v, const float *table, int head, const place *tokens, size_t n,
                   size_t i, const double *x, double *p, double *y)
{
    size_t t = area_of(v), d = (size_t)(v->out.c / v->heads), c = (size_t)v->out.c;
    const double *q = x + (size_t)head * d * t, *k = q + c * t, *value = k + c * t;
    softmax_of(v, table, head, tokens, n, i, q, k, d, p);
    for (size_t e = 0; e < d; e++) {
        double mean = 0;
        for (size_t j = 0; j < n; j++)
            mean += p[j] * value[e * t + tokens[j].at];
        y[((size_t)head * d + e) * t + tokens[i].at] = mean;
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

/* What query i gives to q, k and v.  p, s: n values of scratch. */
static void attend_back(const node *v, const float *table, int head, const place *tokens, size_t n,
                        size_t i, const double *gradient, const double *x, double *p, double *s,
                        double *y)
{
    size_t t = area_of(v), c = (size_t)v->out.c / 3, d = c / (size_t)v->heads;
    size_t at = tokens[i].at, first = (size_t)head * d * t;
    const double *q = x + first, *k = q + c * t, *value = k + c * t, *g = gradient + first;
    double *dq = y + first, *dk = dq + c * t, *dv = dk + c * t, mean = 0;
    softmax_of(v, table, head, tokens, n, i, q, k, d, p);
    for (size_t j = 0; j < n; j++) {
        s[j] = 0;
        for (size_t e = 0; e < d; e++) {
            s[j] += g[e * t + at] * value[e * t + tokens[j].at];
            dv[e * t + tokens[j].at] += p[j] * g[e * t + at];
        }
        mean += p[j] * s[j];
    }
    for (size_t j = 0; j < n; j++) {
        double f = p[j] * (s[j] - mean) * (double)v->scale;
        for (size_t e = 0; e < d; e++) {
            dq[e * t + at] += f * k[e * t + tokens[j].at];
            dk[e * t + tokens[j].at] += f * q[e * t + at];
        }
    }
}

int ref_attention_back(const node *v, const float *table, const double *d, const double *x, double *y)
{
    size_t t = area_of(v), n = v->window > 0 ? (size_t)(v->window * v->window) : t;
    size_t heads = (size_t)v->heads;
    place *tokens = malloc(n * sizeof *tokens);
    double *p = malloc(heads * 2 * n * sizeof *p);
    int ok = tokens != NULL && p != NULL;
    memset(y, 0, (size_t)v->out.c * t * sizeof *y);
    for (size_t window = 0; ok && window < t / n; window++) {
        places_of(v, window, tokens);
#pragma omp parallel for
        for (size_t head = 0; head < heads; head++)
            for (size_t i = 0; i < n; i++)
                attend_back(v, table, (int)head, tokens, n, i, d, x, p + 2 * head * n,
                            p + (2 * head + 1) * n, y);
    }
    free(tokens);
    free(p);
    return ok ? 0 : -1;
}

/* ---- performer ---------------------------------------------------------------------------------- */

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

typedef struct performer_sums { /* over tokens, of the features of k: [m]; times v: [m,d] */
    double *phi, *dphi, *sum, *kv, *dsum, *dkv;
} performer_sums;

static void add_key(const performer_sums *s, const float *w, size_t m, size_t d, const double *k,
                    const double *value, size_t t, size_t i)
{
    features_of(w, m, d, k, t, i, s->phi);
    for (size_t f = 0; f < m; f++) {
        s->sum[f] += s->phi[f];
        for (size_t e = 0; e < d; e++)
            s->kv[f * d + e] += s->phi[f] * value[e * t + i];
    }
}

int ref_performer(const node *v, int features, const float *w, const double *x, double *y)
{
    size_t t = area_of(v), d = (size_t)v->out.c, m = (size_t)features;
    const double *k = x, *q = x + d * t, *value = q + d * t;
    double *room = calloc(m * (d + 2), sizeof *room);
    const performer_sums s = { .phi = room, .sum = room + m, .kv = room + 2 * m };
    if (room == NULL) return -1;
    for (size_t i = 0; i < t; i++)
        add_key(&s, w, m, d, k, value, t, i);
    for (size_t i = 0; i < t; i++) {
        double total = 1e-8;
        features_of(w, m, d, q, t, i, s.phi);
        for (size_t f = 0; f < m; f++)
            total += s.phi[f] * s.sum[f];
        for (size_t e = 0; e < d; e++) {
            double sum = 0;
            for (size_t f = 0; f < m; f++)
                sum += s.phi[f] * s.kv[f * d + e];
            y[e * t + i] = sum / total;
        }
    }
    free(room);
    return 0;
}

/* Adds the gradient of z (plane of token i) from that of its features. */
static void features_back(const float *w, size_t m, size_t d, const double *z, size_t t, size_t i,
                          const double *phi, const double *dphi, double *dz)
{
    for (size_t f = 0; f < m; f++)
        for (size_t e = 0; e < d; e++)
            dz[e * t + i] += dphi[f] * phi[f] * ((double)w[f * d + e] - z[e * t + i]);
}

/* From the gradient g at y_i = sum_f q_f kv_f / (sum_f q_f sum_f + 1e-8) to those of q, of sum and of kv. */
static void query_back(const performer_sums *s, const float *w, size_t m, size_t d, const double *g,
                       const double *q, size_t t, size_t i, double *dq)
{
    double total = 1e-8, along = 0;
    features_of(w, m, d, q, t, i, s->phi);
    for (size_t f = 0; f < m; f++)
        total += s->phi[f] * s->sum[f];
    for (size_t f = 0; f < m; f++)
        for (size_t e = 0; e < d; e++)
            along += s->phi[f] * s->kv[f * d + e] * g[e * t + i] / total; /* g y */
    for (size_t f = 0; f < m; f++) {
        s->dphi[f] = -along / total * s->sum[f];
        s->dsum[f] -= s->phi[f] * along / total;
        for (size_t e = 0; e < d; e++) {
            s->dphi[f] += g[e * t + i] / total * s->kv[f * d + e];
            s->dkv[f * d + e] += s->phi[f] * g[e * t + i] / total;
        }
    }
    features_back(w, m, d, q, t, i, s->phi, s->dphi, dq);
}

static void key_back(const performer_sums *s, const float *w, size_t m, size_t d, const double *k,
                     const double *value, size_t t, size_t i, double *dk, double *dv)
{
    features_of(w, m, d, k, t, i, s->phi);
    for (size_t f = 0; f < m; f++) {
        s->dphi[f] = s->dsum[f];
        for (size_t e = 0; e < d; e++) {
            s->dphi[f] += value[e * t + i] * s->dkv[f * d + e];
            dv[e * t + i] += s->phi[f] * s->dkv[f * d + e];
        }
    }
    features_back(w, m, d, k, t, i, s->phi, s->dphi, dk);
}

int ref_performer_back(const node *v, int features, const float *w, const double *g, const double *x,
                       double *y)
{
    size_t t = area_of(v), d = (size_t)v->out.c / 3, m = (size_t)features;
    const double *k = x, *q = x + d * t, *value = q + d * t;
    double *room = calloc(m * (2 * d + 4), sizeof *room);
    performer_sums s = { room, room + m, room + 2 * m, room + 3 * m, room + (d + 3) * m,
                         room + (d + 4) * m };
    if (room == NULL) return -1;
    memset(y, 0, 3 * d * t * sizeof *y);
    for (size_t i = 0; i < t; i++)
        add_key(&s, w, m, d, k, value, t, i);
    for (size_t i = 0; i < t; i++)
        query_back(&s, w, m, d, g, q, t, i, y + d * t);
    for (size_t i = 0; i < t; i++)
        key_back(&s, w, m, d, k, value, t, i, y, y + 2 * d * t);
    free(room);
    return 0;
}
