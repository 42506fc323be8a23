/* The reference's ops of probes (extract/graph_probe.c), each as its definition in extract/graph.h says. */
#include "extract/ref_parts.h"
#include "extract/singular.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static size_t area_of(const node *v)
{
    return (size_t)v->out.h * (size_t)v->out.w;
}

static size_t count_of(const node *v)
{
    return (size_t)v->out.c * area_of(v);
}

static size_t first_largest(const double *x, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

static void sum(const ref_call *c)
{
    size_t area = area_of(c->from);
    for (size_t k = 0; k < (size_t)c->v->out.c; k++) {
        c->y[k] = 0;
        for (size_t i = k * area; i < (k + 1) * area; i++)
            c->y[k] += c->x[i];
    }
}

/* ---- gradients of scalars ----------------------------------------------------------------------- */

static void softmax(const double *z, size_t n, double temperature, double *p)
{
    double most = z[first_largest(z, n)], total = 0;
    for (size_t i = 0; i < n; i++)
        total += p[i] = exp((z[i] - most) / temperature);
    for (size_t i = 0; i < n; i++)
        p[i] /= total;
}

static void cotangent(const ref_call *c)
{
    const node *v = c->v;
    size_t n = count_of(v), most = first_largest(c->x, n);
    double t = v->kind == COTANGENT_CE ? (double)v->scale : 1;
    softmax(c->x, n, t, c->y);
    for (size_t i = 0; i < n; i++)
        switch ((cotangent_kind)v->kind) {
        case COTANGENT_CE: c->y[i] = (c->y[i] - (i == most)) / t; break;
        case COTANGENT_UNIFORM: c->y[i] -= 1 / (double)n; break;
        case COTANGENT_LOGSUMEXP: break;
        case COTANGENT_MAX: c->y[i] = i == most; break;
        case COTANGENT_LOGIT: c->y[i] = i == (size_t)v->offset; break;
        }
}

/* P (x - m_k) -> y; returns (x - m_k)' P (x - m_k). */
static double distance(const double *x, const float *mean, const float *precision, size_t d, double *y)
{
    double total = 0;
    for (size_t i = 0; i < d; i++) {
        y[i] = 0;
        for (size_t j = 0; j < d; j++)
            y[i] += (double)precision[i * d + j] * (x[j] - (double)mean[j]);
        total += (x[i] - (double)mean[i]) * y[i];
    }
    return total;
}

static void gaussian(const ref_call *c)
{
    const float *means = weights_at(c->p->w, c->v->weight), *precision = weights_at(c->p->w, c->v->bias);
    size_t classes = graph_param(c->p->g, c->v->weight)->dim[0], d = count_of(c->v), best = 0;
    double least = INFINITY;
    for (size_t k = 0; k < classes; k++) {
        double here = distance(c->x, means + k * d, precision, d, c->y);
        if (here < least) {
            least = here;
            best = k;
        }
    }
    distance(c->x, means + best * d, precision, d, c->y);
}

/* ---- changed inputs ----------------------------------------------------------------------------- */

typedef struct ranked {
    double size; /* |g| */
    size_t at;
} ranked;

static int smaller_first(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->size != y->size) return x->size < y->size ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

/* 1 for the elements that change; 0 or -1 without memory */
static int choose(const node *v, const double *g, size_t n, unsigned char *chosen)
{
    size_t take = v->kind == PERTURB_LARGEST ? 1 : (size_t)((double)n * v->share);
    ranked *all;
    memset(chosen, v->kind != PERTURB_LARGEST && v->kind != PERTURB_SMALLEST, n);
    if (chosen[0]) return 0;
    all = malloc(n * sizeof *all);
    if (all == NULL) return -1;
    for (size_t i = 0; i < n; i++) { /* the largest: the smallest of the negative sizes; NaN: of no size */
        double size = v->kind == PERTURB_LARGEST ? -fabs(g[i]) : fabs(g[i]);
        all[i] = (ranked){ isnan(size) ? INFINITY : size, i };
    }
    qsort(all, n, sizeof *all, smaller_first);
    for (size_t i = 0; i < take && i < n; i++)
        chosen[all[i].at] = 1;
    free(all);
    return 0;
}

static int perturb(const ref_call *c)
{
    const node *v = c->v;
    size_t n = count_of(v), area = area_of(v);
    int zero_counts = v->kind == PERTURB_SIGN || v->kind == PERTURB_LARGEST;
    int up = v->kind == PERTURB_SMALLEST || v->kind == PERTURB_FGSM;
    unsigned char *chosen = malloc(n);
    if (chosen == NULL || choose(v, c->z, n, chosen) < 0) {
        free(chosen);
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        double g = c->z[i], s = g < 0 ? -1 : g > 0 || zero_counts ? 1 : 0;
        double step = s * (double)v->amount / (double)v->divisor[i / area];
        c->y[i] = chosen[i] ? c->x[i] + (up ? step : -step) : c->x[i];
        if (v->kind == PERTURB_FGSM) c->y[i] = fmin(fmax(c->y[i], 0), 1);
    }
    free(chosen);
    return 0;
}

/* ---- matrices ----------------------------------------------------------------------------------- */

/* v /= |v| + 1e-10 */
static void shorten(double *v, size_t n)
{
    double squares = 0;
    for (size_t i = 0; i < n; i++)
        squares += v[i] * v[i];
    for (size_t i = 0; i < n; i++)
        v[i] /= sqrt(squares) + 1e-10;
}

/* The published power iteration (RankFeat): u [rows] from the start, sigma = u' a v. */
static int power(double *a, size_t rows, size_t cols, const float *start, int iterations)
{
    double *u = calloc(rows + cols, sizeof *u), *v = u + rows, sigma = 0;
    if (u == NULL) return -1;
    for (size_t i = 0; i < rows; i++)
        u[i] = (double)start[i];
    for (int k = 0; k < iterations; k++) {
        memset(v, 0, cols * sizeof *v);
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < cols; j++)
                v[j] += a[i * cols + j] * u[i];
        shorten(v, cols);
        for (size_t i = 0; i < rows; i++) {
            u[i] = 0;
            for (size_t j = 0; j < cols; j++)
                u[i] += a[i * cols + j] * v[j];
        }
        shorten(u, rows);
    }
    for (size_t i = 0; i < rows * cols; i++)
        sigma += u[i / cols] * a[i] * v[i % cols];
    for (size_t i = 0; i < rows * cols; i++)
        a[i] -= sigma * u[i / cols] * v[i % cols];
    free(u);
    return 0;
}

/* NaN where there is no component to be found. */
static int exact(double *a, size_t rows, size_t cols)
{
    int rc = singular_deflate(a, rows, cols);
    for (size_t i = 0; rc == SINGULAR_NONE && i < rows * cols; i++)
        a[i] = NAN;
    return rc < 0 ? rc : 0;
}

static int deflate(const ref_call *c)
{
    const node *v = c->v;
    size_t rows = (size_t)v->out.c, cols = area_of(v);
    memcpy(c->y, c->x, count_of(v) * sizeof *c->y);
    if (v->kind == DEFLATE_POWER)
        return power(c->y, rows, cols, weights_at(c->p->w, v->weight), v->iterations);
    return exact(c->y, rows, cols);
}

/* Row sums of F F' for F = x^q: a row times the sum of all rows. */
static int gram(const ref_call *c)
{
    size_t rows = (size_t)c->from->out.c, cols = area_of(c->from);
    double *total = malloc(cols * sizeof *total);
    if (total == NULL) return -1;
    for (int q = 1; q <= c->v->iterations; q++) {
        double *y = c->y + (size_t)(q - 1) * rows;
        memset(total, 0, cols * sizeof *total);
        for (size_t i = 0; i < rows * cols; i++)
            total[i % cols] += pow(c->x[i], q);
        for (size_t i = 0; i < rows; i++) {
            double r = 0;
            for (size_t j = 0; j < cols; j++)
                r += pow(c->x[i * cols + j], q) * total[j];
            y[i] = copysign(pow(fabs(r), 1.0 / q), r);
        }
    }
    free(total);
    return 0;
}

int ref_probe(const ref_call *c)
{
    switch (c->v->op) {
    case OP_sum: sum(c); break;
    case OP_cotangent: cotangent(c); break;
    case OP_gaussian: gaussian(c); break;
    case OP_perturb: return perturb(c);
    case OP_deflate: return deflate(c);
    case OP_gram: return gram(c);
    default: break;
    }
    return 0;
}
