/* What probes add, as steps. */
#include "extract/cuda/steps.h"

#include "common/mem.h"

#include <stdlib.h>

/* For each class P m, then m' P m, in double. */
static int upload_classes(device_step *t, device_plan *d, size_t c)
{
    int rc = 0;
    const plan_step *s = t->s;
    size_t classes = s->w_count / c, count;
    double *v = NULL;
    TRY(mem_product(&count, classes, c + 1, s->name));
    TRY(mem_new(&v, count, sizeof *v, s->name));
#pragma omp parallel for
    for (size_t k = 0; k < classes; k++) {
        double *row = v + k * (c + 1);
        const float *m = s->w + k * c;
        row[c] = 0;
        for (size_t j = 0; j < c; j++) {
            row[j] = 0;
            for (size_t i = 0; i < c; i++)
                row[j] += (double)s->b[j * c + i] * (double)m[i];
            row[c] += row[j] * (double)m[j];
        }
    }
    TRY(step_upload(t, d, v, count * sizeof *v, &t->extra));
done:
    free(v);
    return rc;
}

/* Elements that AdaSCALE's perturbation takes: the product is cut to an integer, as published. */
static int taken(const node *v)
{
    if (v->kind == PERTURB_LARGEST) return 1;
    return (int)((double)v->out.c * (double)v->out.h * (double)v->out.w * v->share);
}

static size_t pixels_of(const device_view *x)
{
    return (size_t)x->h * (size_t)x->w;
}

int step_prepare_probe(device_step *t, device_plan *d, const device_view *x, const device_view *y)
{
    int rc = 0;
    const plan_step *s = t->s;
    size_t n = (size_t)x->n, c = (size_t)y->c;
    switch (s->op) {
    case OP_gaussian:
        TRY(step_upload(t, d, s->w, s->w_count * sizeof(float), &t->w));
        TRY(step_upload(t, d, s->b, c * c * sizeof(float), &t->b));
        TRY(upload_classes(t, d, c));
        break;
    case OP_perturb:
        TRY(step_upload(t, d, s->v->divisor, sizeof s->v->divisor, &t->w));
        t->scratch = n * 2 * sizeof(uint32_t);
        break;
    case OP_deflate:
        if (s->w != NULL) TRY(step_upload(t, d, s->w, c * sizeof(float), &t->w));
        t->scratch = n * (2 * c + pixels_of(x)) * sizeof(double);
        break;
    case OP_gram:
        t->scratch = n * (size_t)s->v->iterations * pixels_of(x) * sizeof(double);
        break;
    default:
        break;
    }
done:
    return rc;
}

static int run_sum(const device_plan *d, const device_view *x, const device_view *y)
{
    op_args a = step_args(x, y);
    a.reduce = KR_SUM;
    return device_run(d->be, KERNEL_gap_fwd, &a);
}

static int run_cotangent(const node *v, const device_plan *d, const device_view *x, const device_view *y)
{
    op_args a = step_args(x, y);
    a.reduce = v->kind;
    a.scale = v->scale;
    a.x_at = v->offset;
    return device_run(d->be, KERNEL_cotangent_fwd, &a);
}

static int run_gaussian(const device_step *t, const device_plan *d, const device_view *x, const device_view *y)
{
    op_args a = step_args(x, y);
    a.x[1] = t->w;
    a.x[2] = t->b;
    a.x[3] = t->extra;
    a.groups = (int)(t->s->w_count / (size_t)y->c);
    return device_run(d->be, KERNEL_gaussian_fwd, &a);
}

static int run_perturb(const device_step *t, const device_plan *d, const device_view *x, const device_view *y)
{
    int rc = 0;
    const node *v = t->s->v;
    device_view g = device_view_of(d, t->s->x[1]);
    op_args a = step_args(&g, y);
    a.reduce = v->kind;
    a.scale = v->amount;
    if (v->kind == PERTURB_LARGEST || v->kind == PERTURB_SMALLEST) {
        a.y = d->workspace;
        a.y_type = ELEMENT_F32;
        a.x_at = taken(v);
        TRY(device_run(d->be, KERNEL_perturb_choose, &a));
        a.x[3] = d->workspace;
        a.x_at = 0;
    }
    a.x[0] = x->p;
    a.x[1] = g.p;
    a.x[2] = t->w;
    a.y = y->p;
    a.y_type = (int)y->type;
    TRY(device_run(d->be, KERNEL_perturb_fwd, &a));
done:
    return rc;
}

static int run_deflate(const device_step *t, const device_plan *d, const device_view *x, const device_view *y)
{
    op_args a = step_args(x, y);
    a.x[1] = d->workspace;
    a.x[2] = t->w;
    a.reduce = t->s->v->kind;
    a.groups = t->s->v->iterations;
    return device_run(d->be, KERNEL_deflate_fwd, &a);
}

static int run_gram(const device_step *t, const device_plan *d, const device_view *x, const device_view *y)
{
    int rc = 0;
    op_args a = step_args(x, y);
    a.groups = t->s->v->iterations;
    a.y = d->workspace;
    a.y_type = ELEMENT_F32;
    TRY(device_run(d->be, KERNEL_gram_total, &a));
    a.x[1] = d->workspace;
    a.y = y->p;
    TRY(device_run(d->be, KERNEL_gram_fwd, &a));
done:
    return rc;
}

int step_run_probe(const device_step *t, const device_plan *d, const device_view *x, const device_view *y)
{
    switch (t->s->op) {
    case OP_sum: return run_sum(d, x, y);
    case OP_cotangent: return run_cotangent(t->s->v, d, x, y);
    case OP_gaussian: return run_gaussian(t, d, x, y);
    case OP_perturb: return run_perturb(t, d, x, y);
    case OP_deflate: return run_deflate(t, d, x, y);
    default: return run_gram(t, d, x, y);
    }
}
