#include "extract/cpu/norms.h"
#include "extract/cpu/conv.h"
#include "extract/cpu/lines.h"

#include <math.h>
#include <string.h>

enum { CHUNK_PIXELS = 64 }; /* what is summed in f32 before doubles take over */

typedef struct moments { /* of one group so far */
    double n, mean, squares; /* squares: sum of (x - mean)^2 */
} moments;

/* Adds k values of which the sum of x - shift and of its square are known.
 * Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm", 1979. */
static void merge(moments *m, double k, double shift, double sum, double sum2)
{
    double mean = shift + sum / k, squares = sum2 - sum * sum / k, apart = mean - m->mean;
    double n = m->n + k;
    m->mean += apart * k / n;
    m->squares += (squares > 0 ? squares : 0) + apart * apart * m->n * k / n;
    m->n = n;
}

typedef struct work {
    moments *group;          /* [groups] */
    double *pull;            /* [groups, 2] of a gradient: sums of gamma g and of gamma g (x - shift) */
    float *shift, *sum, *sum2, *factor; /* [c] each */
} work;

size_t norm_scratch(size_t c)
{
    return c * (sizeof(moments) + 2 * sizeof(double) + 4 * sizeof(float));
}

static work cut_scratch(void *scratch, size_t c)
{
    work t = { .group = scratch };
    t.pull = (double *)(void *)(t.group + c);
    t.shift = (float *)(void *)(t.pull + 2 * c);
    t.sum = t.shift + c;
    t.sum2 = t.sum + c;
    t.factor = t.sum2 + c;
    return t;
}

/* Rows [first, end) of image i join the moments; then every group's shift is its mean so far.  What a
 * shift is away from the mean of the next rows counts as variance of the whole anyway, so little is
 * lost by subtracting one before the other. */
static void add_rows(const norm *v, const view *x, size_t i, size_t first, size_t end, const work *t)
{
    size_t c = (size_t)x->c, per = c / (size_t)v->groups;
    memset(t->sum, 0, c * sizeof *t->sum);
    memset(t->sum2, 0, c * sizeof *t->sum2);
    for (size_t r = first; r < end; r++)
        LINE_OF(x, moments, view_pixel(x, i, r, 0), x->ld, (size_t)x->w, c, t->shift, t->sum, t->sum2);
    for (size_t g = 0; g < (size_t)v->groups; g++) {
        double sum = 0, sum2 = 0;
        for (size_t k = g * per; k < (g + 1) * per; k++) {
            sum += (double)t->sum[k];
            sum2 += (double)t->sum2[k];
        }
        merge(&t->group[g], (double)(per * (end - first) * (size_t)x->w), (double)t->shift[g * per],
              sum, sum2);
        for (size_t k = g * per; k < (g + 1) * per; k++)
            t->shift[k] = (float)t->group[g].mean;
    }
}

/* Statistics of image i; the shift of a channel is nearly the mean of its group. */
static void measure(const norm *v, const view *x, size_t i, const work *t)
{
    size_t c = (size_t)x->c, h = (size_t)x->h;
    size_t rows = (CHUNK_PIXELS + (size_t)x->w - 1) / (size_t)x->w;
    memset(t->group, 0, (size_t)v->groups * sizeof *t->group);
    memset(t->shift, 0, c * sizeof *t->shift);
    add_rows(v, x, i, 0, 1, t); /* the first row only tells the shift */
    memset(t->group, 0, (size_t)v->groups * sizeof *t->group);
    for (size_t r = 0; r < h; r += rows)
        add_rows(v, x, i, r, r + rows < h ? r + rows : h, t);
}

/* y = (x - shift) factor + sum */
static void make_factors(const norm *v, size_t c, const work *t)
{
    size_t per = c / (size_t)v->groups;
    for (size_t k = 0; k < c; k++) {
        const moments *m = &t->group[k / per];
        double factor = (double)v->gamma[k] / sqrt(m->squares / m->n + (double)v->eps);
        t->factor[k] = (float)factor;
        t->sum[k] = (float)((double)v->beta[k] + ((double)t->shift[k] - m->mean) * factor);
    }
}

void norm_groups(const norm *v, const view *x, activation act, const view *y, void *scratch, int n)
{
    size_t c = (size_t)x->c;
    work t = cut_scratch(scratch, c);
    for (size_t i = 0; i < (size_t)n; i++) {
        measure(v, x, i, &t);
        make_factors(v, c, &t);
        for (size_t r = 0; r < (size_t)y->h; r++)
            LINE_OF(y, norm, view_pixel(x, i, r, 0), x->ld, view_pixel(y, i, r, 0), y->ld,
                    (size_t)y->w, c, t.shift, t.factor, t.sum, activation_low(act),
                    activation_high(act));
    }
}

void norm_layers(const norm *v, const view *x, const view *y, void *scratch, int n)
{
    for (size_t i = 0; i < (size_t)n; i++)
        for (size_t r = 0; r < (size_t)y->h; r++)
            LINE_OF(y, layernorm, view_pixel(x, i, r, 0), x->ld, view_pixel(y, i, r, 0), y->ld,
                    (size_t)y->w, (size_t)y->c, v->gamma, v->beta, v->eps, scratch);
}

/* ---- gradients ---------------------------------------------------------------------------------- */

/* Rows [first, end) of image i join t->pull. */
static void add_pull(const norm *v, const view *g, const view *x, size_t i, size_t first, size_t end, const work *t)
{
    size_t c = (size_t)x->c, per = c / (size_t)v->groups;
    memset(t->sum, 0, c * sizeof *t->sum);
    memset(t->sum2, 0, c * sizeof *t->sum2);
    for (size_t r = first; r < end; r++)
        LINE_OF(x, pull, view_pixel(g, i, r, 0), g->ld, view_pixel(x, i, r, 0), x->ld, (size_t)x->w, c, t->shift,
                t->sum, t->sum2);
    for (size_t k = 0; k < c; k++) {
        t->pull[2 * (k / per)] += (double)v->gamma[k] * (double)t->sum[k];
        t->pull[2 * (k / per) + 1] += (double)v->gamma[k] * (double)t->sum2[k];
    }
}

/* dx = (gamma g - mean(gamma g) - x^ mean(gamma g x^)) / deviation, x^ = (x - mean) / deviation
 *    = g factor + (x - shift) sum + sum2 */
static void measure_back(const norm *v, const view *g, const view *x, size_t i, const work *t)
{
    size_t c = (size_t)x->c, h = (size_t)x->h, per = c / (size_t)v->groups;
    size_t rows = (CHUNK_PIXELS + (size_t)x->w - 1) / (size_t)x->w;
    measure(v, x, i, t);
    memset(t->pull, 0, 2 * (size_t)v->groups * sizeof *t->pull);
    for (size_t r = 0; r < h; r += rows)
        add_pull(v, g, x, i, r, r + rows < h ? r + rows : h, t);
    for (size_t k = 0; k < c; k++) {
        const moments *m = &t->group[k / per];
        const double *pull = t->pull + 2 * (k / per);
        double inverse = 1 / sqrt(m->squares / m->n + (double)v->eps), apart = (double)t->shift[k] - m->mean;
        double along = inverse * inverse * inverse * (pull[1] + apart * pull[0]) / m->n;
        t->factor[k] = (float)((double)v->gamma[k] * inverse);
        t->sum[k] = (float)-along;
        t->sum2[k] = (float)(-inverse * pull[0] / m->n - apart * along);
    }
}

void norm_groups_back(const norm *v, const view *g, const view *x, const view *residual, const view *y,
                      void *scratch, int n)
{
    size_t c = (size_t)x->c;
    work t = cut_scratch(scratch, c);
    for (size_t i = 0; i < (size_t)n; i++) {
        measure_back(v, g, x, i, &t);
        for (size_t r = 0; r < (size_t)y->h; r++)
            LINE_OF(y, norm_back, view_pixel(g, i, r, 0), g->ld, view_pixel(y, i, r, 0), y->ld, (size_t)y->w, c,
                    view_pixel(x, i, r, 0), x->ld, t.factor, t.shift, t.sum, t.sum2,
                    residual != NULL ? view_pixel(residual, i, r, 0) : NULL, residual != NULL ? residual->ld : 0);
    }
}

void norm_layers_back(const norm *v, const view *g, const view *x, const view *residual, const view *y,
                      void *scratch, int n)
{
    for (size_t i = 0; i < (size_t)n; i++)
        for (size_t r = 0; r < (size_t)y->h; r++)
            LINE_OF(y, layernorm_back, view_pixel(g, i, r, 0), g->ld, view_pixel(y, i, r, 0), y->ld, (size_t)y->w,
                    (size_t)y->c, view_pixel(x, i, r, 0), x->ld, v->gamma, v->eps,
                    residual != NULL ? view_pixel(residual, i, r, 0) : NULL, residual != NULL ? residual->ld : 0,
                    scratch);
}
