/* What is folded into weights before the first image, in double and rounded once (models.md 13.2, 13.3). */
#include "extract/plan_parts.h"
#include "common/err.h"
#include "common/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double at(const planner *b, int parameter, size_t i)
{
    return (double)weights_at(b->w, parameter)[i];
}

/* s = gamma / sqrt(var + eps), t = beta - mean s. */
static void bn_factors(const planner *b, const node *bn, size_t c, double *s, double *t)
{
    *s = at(b, bn->weight, c) / sqrt(at(b, bn->var, c) + (double)bn->eps);
    *t = at(b, bn->bias, c) - at(b, bn->mean, c) * *s;
}

/* y = s conv(x) + t for output channel o, with everything folded that follows it. */
static void channel_factors(const planner *b, const node *v, const node *bn, const node *scale,
                            size_t o, double *s, double *t)
{
    double bias = v->bias >= 0 ? at(b, v->bias, o) : 0, layer = scale ? at(b, scale->weight, o) : 1;
    *s = 1;
    *t = 0;
    if (bn != NULL) bn_factors(b, bn, o, s, t);
    *t = (*t + *s * bias) * layer;
    *s *= layer;
}

/* Mean and 1 / sqrt(var + 1e-10) of one output channel's weights (BiT). */
static void standard_factors(const float *w, size_t n, double *mean, double *factor)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)w[i];
    *mean = sum / (double)n;
    for (size_t i = 0; i < n; i++)
        squares += ((double)w[i] - *mean) * ((double)w[i] - *mean);
    *factor = 1 / sqrt(squares / (double)n + 1e-10);
}

static int new_weights(plan_step *s, size_t w, size_t b)
{
    int rc = 0;
    TRY(mem_new_aligned(&s->w, w, sizeof *s->w, s->name));
    TRY(mem_new_aligned(&s->b, b, sizeof *s->b, s->name));
    s->w_count = w;
done:
    return rc;
}

int plan_conv_weights(const planner *b, plan_step *step, const node *v, const node *bn,
                      const node *scale)
{
    int rc = 0;
    size_t c = (size_t)v->out.c, n = graph_param(b->g, v->weight)->count, each = n / c;
    const float *w = weights_at(b->w, v->weight);
    int plain = bn == NULL && scale == NULL && !v->standardise;
    TRY(new_weights(step, n, c));
    for (size_t o = 0; o < c; o++) {
        double s, t, mean = 0, factor = 1;
        channel_factors(b, v, bn, scale, o, &s, &t);
        if (v->standardise) standard_factors(w + o * each, each, &mean, &factor);
        step->b[o] = (float)t;
        for (size_t i = o * each; i < (o + 1) * each; i++)
            step->w[i] = plain ? w[i] : (float)(((double)w[i] - mean) * factor * s);
    }
done:
    return rc;
}

/* Adds one branch's kernel, centred, to sum [c,k,k] and its bias to *t. */
static void add_channel(const planner *b, const branches *m, const branch *r, size_t o, size_t cin,
                        double *sum, double *t)
{
    size_t k = (size_t)m->kernel, own = 1, shift;
    double s = 1, bias = 0;
    const node *conv = r->conv >= 0 ? graph_node(b->g, r->conv) : NULL;
    const node *bn = r->bn >= 0 ? graph_node(b->g, r->bn) : NULL;
    if (conv != NULL) {
        channel_factors(b, conv, bn, NULL, o, &s, &bias);
        own = (size_t)conv->kernel;
    } else {
        bn_factors(b, bn, o, &s, &bias);
    }
    *t += bias;
    shift = (k - own) / 2;
    if (conv == NULL) {
        sum[o * k * k + shift * k + shift] += s;
        return;
    }
    for (size_t i = 0; i < cin; i++)
        for (size_t y = 0; y < own; y++)
            for (size_t x = 0; x < own; x++)
                sum[i * k * k + (y + shift) * k + x + shift] +=
                    s * at(b, conv->weight, ((o * cin + i) * own + y) * own + x);
}

int plan_branch_weights(const planner *b, plan_step *step, const branches *m)
{
    int rc = 0;
    const node *sum_of = graph_node(b->g, m->sum), *from = graph_node(b->g, m->source);
    size_t c = (size_t)(m->back ? from : sum_of)->out.c, cin = (size_t)(m->back ? sum_of : from)->out.c;
    size_t each = cin * (size_t)m->kernel * (size_t)m->kernel;
    double *sum = NULL;
    TRY(mem_new(&sum, each, sizeof *sum, step->name));
    TRY(new_weights(step, c * each, c));
    for (size_t o = 0; o < c; o++) {
        double t = 0;
        memset(sum, 0, each * sizeof *sum);
        for (int i = 0; i < m->n; i++)
            add_channel(b, m, &m->of[i], o, cin, sum, &t);
        step->b[o] = (float)t;
        for (size_t i = 0; i < each; i++)
            step->w[o * each + i] = (float)sum[i];
    }
done:
    free(sum);
    return rc;
}

/* ---- adjoints ----------------------------------------------------------------------------------- */

/* What a batch norm or layer scale multiplies a gradient by. */
static double factor_of(const planner *b, const node *v, size_t c)
{
    double s, t;
    if (v->op == OP_scale) return at(b, v->weight, c);
    bn_factors(b, v, c, &s, &t);
    return s;
}

static double factors_of(const planner *b, const int *nodes, int n, size_t c)
{
    double s = 1;
    for (int i = 0; i < n; i++)
        s *= factor_of(b, graph_node(b->g, nodes[i]), c);
    return s;
}

/* The forward's weights [c, each], times the factors of both their channels. */
int plan_back_weights(const planner *b, plan_step *step, const folds *f)
{
    int rc = 0;
    const node *v = graph_node(b->g, f->product);
    const param *p = graph_param(b->g, v->weight);
    size_t c = p->dim[0], each = p->count / c, area = p->rank == 4 ? p->dim[2] * p->dim[3] : 1;
    size_t per = c / (size_t)v->groups; /* channels of a group */
    const float *w = weights_at(b->w, v->weight);
    double *behind = NULL;
    int plain = f->n_before == 0 && f->n_behind == 0 && !v->standardise;
    TRY(mem_new(&behind, (size_t)v->out.c, sizeof *behind, step->name));
    TRY(mem_new_aligned(&step->w, p->count, sizeof *step->w, step->name));
    step->w_count = p->count;
    for (size_t i = 0; i < (size_t)v->out.c; i++)
        behind[i] = factors_of(b, f->behind, f->n_behind, i);
    for (size_t o = 0; o < c; o++) {
        double s = factors_of(b, f->before, f->n_before, o), mean = 0, factor = 1;
        const double *t = behind + o / per * (each / area);
        if (v->standardise) standard_factors(w + o * each, each, &mean, &factor);
        for (size_t i = 0; i < each; i++)
            step->w[o * each + i] = plain ? w[o * each + i]
                                          : (float)(((double)w[o * each + i] - mean) * factor * s * t[i / area]);
    }
done:
    free(behind);
    return rc;
}

static int copy_parameter(const planner *b, float **out, int parameter, const char *name)
{
    int rc = 0;
    const param *p = parameter >= 0 ? graph_param(b->g, parameter) : NULL;
    if (p == NULL) return 0;
    TRY(mem_new_aligned(out, p->count, sizeof **out, name));
    memcpy(*out, weights_at(b->w, parameter), p->count * sizeof **out);
done:
    return rc;
}

int plan_other_weights(const planner *b, plan_step *step, const node *v)
{
    int rc = 0;
    size_t c = (size_t)v->out.c;
    if (v->op == OP_embed_back) return 0; /* a sum's adjoint sees neither summand */
    if (v->op == OP_batchnorm_back || v->op == OP_scale) {
        TRY(new_weights(step, c, c));
        for (size_t o = 0; o < c; o++) {
            step->w[o] = (float)factor_of(b, v, o);
            step->b[o] = 0;
        }
        return 0;
    }
    if (v->op == OP_batchnorm) {
        TRY(new_weights(step, c, c));
        for (size_t o = 0; o < c; o++) {
            double s, t;
            bn_factors(b, v, o, &s, &t);
            step->w[o] = (float)s;
            step->b[o] = (float)t;
        }
        return 0;
    }
    TRY(copy_parameter(b, &step->w, v->weight, v->name));
    TRY(copy_parameter(b, &step->b, v->bias, v->name));
    if (v->weight >= 0) step->w_count = graph_param(b->g, v->weight)->count;
done:
    return rc;
}
