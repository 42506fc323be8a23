#include "score/stats/gaussians.h"
#include "common/err.h"
#include "common/mem.h"
#include "score/linalg.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 256 };

/* ---- moments --------------------------------------------------------------------------------------- */

typedef struct pass {
    gaussians *g;
    const source *s;
    int64_t *of;     /* [classes] row of class_mean, -1: none */
    size_t classes;
    double *x;       /* [BLOCK,d] centred */
    double *second;  /* [d,d]; NULL: the pass for the means */
} pass;

static int class_of(const pass *p, size_t row)
{
    int64_t y = p->s->labels[row];
    return y < 0 || (size_t)y >= p->classes ? -1 : (int)p->of[y];
}

static void add_rows(pass *p, size_t begin, size_t n, const float *v)
{
    size_t d = p->g->d, m = 0;
    for (size_t i = 0; i < n; i++) {
        int k = class_of(p, begin + i);
        double *mean = p->g->class_mean + (size_t)(k < 0 ? 0 : k) * d;
        if (k < 0) continue;
        for (size_t j = 0; j < d; j++) {
            if (p->second == NULL) mean[j] += (double)v[i * d + j];
            else p->x[m * d + j] = (double)v[i * d + j] - mean[j];
        }
        m++;
    }
    if (p->second != NULL && m > 0) linalg_syrk(m, d, 1, p->x, p->second);
}

static int each_block(pass *p)
{
    int rc = 0;
    float *buffer = NULL;
    const float *v;
    TRY(budget_new(p->g->mem, &buffer, BLOCK * p->g->d, sizeof *buffer, "rows of a table"));
    for (size_t at = 0, n; at < p->s->n; at += n) {
        n = p->s->n - at < BLOCK ? p->s->n - at : BLOCK;
        TRY(table_rows(p->s, p->g->table, p->g->d, at, n, buffer, &v));
        add_rows(p, at, n, v);
        source_forget(p->s, at, n);
    }
done:
    budget_free(p->g->mem, &buffer);
    return rc;
}

static int means(pass *p)
{
    int rc = 0;
    gaussians *g = p->g;
    size_t *count = NULL;
    TRY(mem_new(&count, p->classes, sizeof *count, "classes"));
    for (size_t i = 0; i < p->s->n; i++)
        if (p->s->labels[i] >= 0 && (size_t)p->s->labels[i] < p->classes) {
            count[p->s->labels[i]]++;
            g->rows++;
        }
    for (size_t k = 0; k < p->classes; k++)
        p->of[k] = count[k] > 0 ? (int64_t)g->k++ : -1;
    TRY(budget_zeroed(g->mem, &g->class_mean, (g->k + 1) * g->d, sizeof *g->class_mean, "class means"));
    TRY(each_block(p));
    for (size_t k = 0; k < p->classes; k++)
        for (size_t j = 0; p->of[k] >= 0 && j < g->d; j++)
            g->class_mean[(size_t)p->of[k] * g->d + j] /= (double)count[k];
done:
    free(count);
    return rc;
}

/* second -> root: eigenvectors over the root of their eigenvalue, as scipy's pinvh cuts them. */
static int take_root(gaussians *g, double *a)
{
    int rc = 0;
    size_t d = g->d;
    double *w = NULL, *scratch = NULL, top = 0;
    TRY(budget_new(g->mem, &w, d, sizeof *w, "eigenvalues"));
    TRY(budget_new(g->mem, &scratch, linalg_eigh_scratch(d), sizeof *scratch, "eigenvalues"));
    for (size_t i = 0; i < d * d; i++)
        a[i] /= (double)g->rows;
    TRY(linalg_eigh(d, a, w, 0, d, scratch));
    for (size_t i = 0; i < d; i++)
        top = fmax(top, fabs(w[i]));
    for (size_t i = 0; i < d; i++) {
        if (!(w[i] > (double)d * DBL_EPSILON * top)) continue;
        for (size_t j = 0; j < d; j++)
            a[g->r * d + j] = a[i * d + j] / sqrt(w[i]);
        g->r++;
    }
done:
    budget_free(g->mem, &w);
    budget_free(g->mem, &scratch);
    return rc;
}

int gaussians_fit(gaussians *g, const source *s, const char *table, size_t classes, budget *mem, int *none)
{
    int rc = 0;
    const source_table *t = source_table_find(s, table);
    pass p = {.g = g, .s = s, .classes = classes};
    memset(g, 0, sizeof *g);
    g->mem = mem;
    *none = 1;
    CHECK(t != NULL, ERR_INPUT, "%s (%s): no /probes/%s", s->name, s->path, table);
    snprintf(g->table, sizeof g->table, "%s", table);
    g->d = t->width;
    TRY(mem_new(&p.of, classes, sizeof *p.of, "classes"));
    TRY(means(&p));
    if (g->rows == 0) goto done;
    TRY(budget_new(mem, &p.x, BLOCK * g->d, sizeof *p.x, "rows of a table"));
    TRY(budget_zeroed(mem, &g->root, g->d * g->d, sizeof *g->root, "covariance"));
    p.second = g->root;
    TRY(each_block(&p));
    TRY(take_root(g, g->root));
    *none = g->r == 0;
done:
    budget_free(mem, &p.x);
    free(p.of);
    return rc;
}

void gaussians_precision(const gaussians *g, double *precision)
{
    memset(precision, 0, g->d * g->d * sizeof *precision);
    linalg_syrk(g->r, g->d, 1, g->root, precision);
    for (size_t i = 0; i < g->d; i++)
        for (size_t j = 0; j < i; j++)
            precision[j * g->d + i] = precision[i * g->d + j];
}

/* ---- scores ----------------------------------------------------------------------------------------- */

/* A power of two that brings the largest |root| into [0.5, 1): any size of features fits f32. */
static void normalise(gaussians *g)
{
    double top = 0, scale;
    int e;
    for (size_t i = 0; i < g->r * g->d; i++)
        top = fmax(top, fabs(g->root[i]));
    frexp(top, &e);
    scale = ldexp(1, -e);
    for (size_t i = 0; i < g->r * g->d; i++)
        g->root[i] *= scale;
    g->unit = ldexp(1, 2 * e);
}

int gaussians_keep(gaussians *g, linalg *la)
{
    int rc = 0;
    size_t d = g->d, r = g->r;
    double *x = NULL, *y = NULL;
    normalise(g);
    TRY(budget_zeroed(g->mem, &g->centre, d, sizeof *g->centre, "train mean"));
    TRY(budget_new(g->mem, &g->mean, g->k * r, sizeof *g->mean, "class means"));
    TRY(budget_new(g->mem, &g->norm, g->k, sizeof *g->norm, "class means"));
    TRY(budget_new(g->mem, &x, g->k * d, sizeof *x, "class means"));
    TRY(budget_new(g->mem, &y, g->k * r, sizeof *y, "class means"));
    for (size_t j = 0; j < d; j++) {
        double sum = 0;
        for (size_t k = 0; k < g->k; k++)
            sum += g->class_mean[k * d + j];
        g->centre[j] = (float)(sum / (double)g->k);
        for (size_t k = 0; k < g->k; k++)
            x[k * d + j] = g->class_mean[k * d + j] - (double)g->centre[j];
    }
    linalg_dgemm_abt(g->k, r, d, x, d, g->root, d, 0, y, r);
    for (size_t k = 0; k < g->k; k++) {
        g->norm[k] = 0;
        for (size_t j = 0; j < r; j++) {
            float v = (float)y[k * r + j];
            g->mean[k * r + j] = v;
            g->norm[k] += (double)v * (double)v;
        }
    }
    g->la = la;
    TRY(la->ops->keep(la, &g->kept_root, &(linalg_values){ .n = r, .k = d, .f64 = g->root }));
    TRY(la->ops->keep(la, &g->kept_centre, &(linalg_values){ .n = 1, .k = d, .f32 = g->centre }));
    TRY(la->ops->keep(la, &g->kept_mean, &(linalg_values){ .n = g->k, .k = r, .f32 = g->mean }));
    TRY(la->ops->keep(la, &g->kept_norm, &(linalg_values){ .n = 1, .k = g->k, .f64 = g->norm }));
done:
    budget_free(g->mem, &x);
    budget_free(g->mem, &y);
    return rc;
}

int gaussians_score(const gaussians *g, const float *rows, size_t n, double *score)
{
    int rc = g->la->ops->nearest(g->la, g->kept_root, g->kept_centre, g->kept_mean, g->kept_norm, rows, n, score);
    for (size_t i = 0; rc == 0 && i < n; i++)
        score[i] *= -0.5 * g->unit;
    return rc;
}

void gaussians_clear(gaussians *g)
{
    if (g->mem == NULL) return;
    if (g->la != NULL) {
        g->la->ops->drop(g->la, &g->kept_root);
        g->la->ops->drop(g->la, &g->kept_centre);
        g->la->ops->drop(g->la, &g->kept_mean);
        g->la->ops->drop(g->la, &g->kept_norm);
    }
    budget_free(g->mem, &g->class_mean);
    budget_free(g->mem, &g->root);
    budget_free(g->mem, &g->centre);
    budget_free(g->mem, &g->mean);
    budget_free(g->mem, &g->norm);
}
