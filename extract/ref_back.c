/* The reference's adjoints (models.md section 1): every op as the transposed loop of its forward. */
#include "extract/ref_parts.h"

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

static const float *parameter(const ref_call *c, int i)
{
    return i >= 0 ? weights_at(c->p->w, i) : NULL;
}

/* ---- products ----------------------------------------------------------------------------------- */

/* Input channel ci of a convolution, from all the outputs of its group.  w: [cout, per, k, k]. */
static void conv_back_plane(const node *v, const node *from, const double *d, const double *w, int ci,
                            double *y)
{
    int per = v->out.c / v->groups, each = from->out.c / v->groups, first = ci / per * each, s = v->stride;
    for (int o = first; o < first + each; o++)
        for (int ky = 0; ky < v->kernel; ky++)
            for (int kx = 0; kx < v->kernel; kx++) {
                double f = w[((o * per + ci % per) * v->kernel + ky) * v->kernel + kx];
                const double *plane = d + (size_t)o * area_of(from);
                int y0, y1, x0, x1;
                ref_span(ky - v->pad, s, v->out.h, from->out.h, &y0, &y1);
                ref_span(kx - v->pad, s, v->out.w, from->out.w, &x0, &x1);
                for (int oy = y0; oy < y1; oy++) {
                    const double *row = plane + oy * from->out.w;
                    double *out = y + (oy * s + ky - v->pad) * v->out.w + kx - v->pad;
#pragma omp simd
                    for (int ox = x0; ox < x1; ox++)
                        out[ox * s] += f * row[ox];
                }
            }
}

static int conv_back(const ref_call *c)
{
    const node *v = c->v;
    size_t cout = (size_t)c->from->out.c;
    size_t each = (size_t)(v->out.c / v->groups * v->kernel * v->kernel);
    double *w = malloc(cout * each * sizeof *w);
    if (w == NULL) return -1;
    ref_conv_weights(v, parameter(c, v->weight), cout, each, w);
    memset(c->y, 0, count_of(v) * sizeof *c->y);
#pragma omp parallel for
    for (int ci = 0; ci < v->out.c; ci++)
        conv_back_plane(v, c->from, c->x, w, ci, c->y + (size_t)ci * area_of(v));
    free(w);
    return 0;
}

static void linear_back(const ref_call *c)
{
    const float *w = parameter(c, c->v->weight);
    size_t area = area_of(c->v), in = (size_t)c->v->out.c, out = (size_t)c->from->out.c;
    memset(c->y, 0, count_of(c->v) * sizeof *c->y);
#pragma omp parallel for
    for (size_t i = 0; i < in; i++)
        for (size_t o = 0; o < out; o++) {
            double f = (double)w[o * in + i];
#pragma omp simd
            for (size_t t = 0; t < area; t++)
                c->y[i * area + t] += f * c->x[o * area + t];
        }
}

static void batchnorm_back(const ref_call *c)
{
    const node *v = c->v;
    for (size_t i = 0; i < count_of(v); i++) {
        size_t k = i / area_of(v);
        double deviation = sqrt((double)parameter(c, v->var)[k] + (double)v->eps);
        c->y[i] = c->x[i] * (double)parameter(c, v->weight)[k] / deviation;
    }
}

/* ---- curves ------------------------------------------------------------------------------------- */

/* dy/dx from what the node saved: y of ReLU, ReLU6 and the logistic function, x of the others. */
static double slope(graph_op op, double s)
{
    double e;
    switch (op) {
    case OP_relu_back: return s <= 0 ? 0 : 1;
    case OP_relu6_back: return s <= 0 || s >= 6 ? 0 : 1;
    case OP_sigmoid_back: return s * (1 - s);
    case OP_gelu_back:
        return erfc(-s * M_SQRT1_2) / 2 + s * exp(-s * s / 2) * M_SQRT1_2 * M_2_SQRTPI / 2;
    default: /* silu */
        e = 1 / (1 + exp(-s));
        return e + s * e * (1 - e);
    }
}

/* A factor of 0 passes nothing, not even an infinity. */
static void curve_back(const ref_call *c)
{
    for (size_t i = 0; i < count_of(c->v); i++) {
        double f = slope(c->v->op, c->z[i]);
        c->y[i] = f == 0 ? 0 : c->x[i] * f;
    }
}

/* ---- pools -------------------------------------------------------------------------------------- */

/* To the first maximum of the window in row-major order; dropped when that is a zero of the border. */
static void window_back(const node *v, const double *x, int oy, int ox, double d, double *y)
{
    int h = v->out.h, w = v->out.w, at = -1;
    double most = -INFINITY;
    for (int ky = 0; ky < v->kernel; ky++)
        for (int kx = 0; kx < v->kernel; kx++) {
            int iy = oy * v->stride + ky - v->pad, ix = ox * v->stride + kx - v->pad;
            int outside = iy < 0 || iy >= h || ix < 0 || ix >= w;
            double in = outside ? 0 : x[iy * w + ix];
            if ((outside && !v->zero_pad) || !(in > most || in != in)) continue;
            most = in;
            at = outside ? -1 : iy * w + ix;
        }
    if (at >= 0) y[at] += d;
}

/* To all of the window's elements inside the map. */
static void mean_back(const node *v, int oy, int ox, double d, double *y)
{
    int y0 = oy * v->stride, x0 = ox * v->stride;
    int y1 = y0 + v->kernel < v->out.h ? y0 + v->kernel : v->out.h;
    int x1 = x0 + v->kernel < v->out.w ? x0 + v->kernel : v->out.w;
    for (int iy = y0; iy < y1; iy++)
        for (int ix = x0; ix < x1; ix++)
            y[iy * v->out.w + ix] += d / ((y1 - y0) * (x1 - x0));
}

static void pool_back(const ref_call *c)
{
    const node *v = c->v;
    const double *d = c->x;
    memset(c->y, 0, count_of(v) * sizeof *c->y);
    for (size_t k = 0; k < (size_t)v->out.c; k++)
        for (int oy = 0; oy < c->from->out.h; oy++)
            for (int ox = 0; ox < c->from->out.w; ox++, d++)
                if (v->op == OP_maxpool_back)
                    window_back(v, c->z + k * area_of(v), oy, ox, *d, c->y + k * area_of(v));
                else
                    mean_back(v, oy, ox, *d, c->y + k * area_of(v));
}

/* ---- places ------------------------------------------------------------------------------------- */

static void gap_back(const ref_call *c)
{
    size_t area = area_of(c->v);
    for (size_t i = 0; i < count_of(c->v); i++)
        c->y[i] = c->x[i / area] / (double)area;
}

static void slice_back(const ref_call *c)
{
    memset(c->y, 0, count_of(c->v) * sizeof *c->y);
    memcpy(c->y + (size_t)c->v->offset * area_of(c->v), c->x, count_of(c->from) * sizeof *c->y);
}

/* The gradient of the vector: sum over h, w of gradient times map. */
static void gate_back(const ref_call *c)
{
    size_t area = area_of(c->from);
    for (size_t k = 0; k < (size_t)c->v->out.c; k++) {
        c->y[k] = 0;
        for (size_t i = k * area; i < (k + 1) * area; i++)
            c->y[k] += c->x[i] * c->z[i];
    }
}

/* All but the class token. */
static void embed_back(const ref_call *c)
{
    size_t t = area_of(c->from), area = area_of(c->v);
    for (size_t i = 0; i < count_of(c->v); i++)
        c->y[i] = c->x[i / area * t + 1 + i % area];
}

static void token_back(const ref_call *c)
{
    size_t t = area_of(c->v);
    memset(c->y, 0, count_of(c->v) * sizeof *c->y);
    for (size_t k = 0; k < (size_t)c->v->out.c; k++)
        c->y[k * t + (size_t)c->v->offset] = c->x[k];
}

static void unfold_back(const ref_call *c)
{
    const node *v = c->v;
    const double *d = c->x;
    int k = v->kernel, h = v->out.h, w = v->out.w;
    memset(c->y, 0, count_of(v) * sizeof *c->y);
    for (int o = 0; o < c->from->out.c; o++)
        for (int oy = 0; oy < c->from->out.h; oy++)
            for (int ox = 0; ox < c->from->out.w; ox++, d++) {
                int iy = oy * v->stride + o / k % k - v->pad, ix = ox * v->stride + o % k - v->pad;
                if (iy >= 0 && iy < h && ix >= 0 && ix < w) c->y[(o / k / k * h + iy) * w + ix] += *d;
            }
}

static void merge_back(const ref_call *c)
{
    const node *v = c->v;
    const double *d = c->x;
    int h = v->out.h, w = v->out.w, channels = v->out.c;
    for (int o = 0; o < c->from->out.c; o++)
        for (int oy = 0; oy < c->from->out.h; oy++)
            for (int ox = 0; ox < c->from->out.w; ox++, d++) {
                int iy = 2 * oy + o / channels % 2, ix = 2 * ox + o / channels / 2;
                if (iy < h && ix < w) c->y[(o % channels * h + iy) * w + ix] = *d;
            }
}

static void shortcut_a_back(const ref_call *c)
{
    const node *v = c->v;
    int before = (c->from->out.c - v->out.c) / 2;
    memset(c->y, 0, count_of(v) * sizeof *c->y);
    for (int k = 0; k < v->out.c; k++)
        for (int oy = 0; oy < c->from->out.h; oy++)
            for (int ox = 0; ox < c->from->out.w; ox++)
                c->y[(k * v->out.h + 2 * oy) * v->out.w + 2 * ox] =
                    c->x[((k + before) * c->from->out.h + oy) * c->from->out.w + ox];
}

int ref_back(const ref_call *c)
{
    const node *v = c->v;
    const float *w = parameter(c, v->weight);
    switch (v->op) {
    case OP_conv_back: return conv_back(c);
    case OP_batchnorm_back: batchnorm_back(c); break;
    case OP_groupnorm_back: ref_groupnorm_back(v, w, c->x, c->z, c->y); break;
    case OP_layernorm_back: ref_layernorm_back(v, w, c->x, c->z, c->y); break;
    case OP_relu_back:
    case OP_relu6_back:
    case OP_gelu_back:
    case OP_silu_back:
    case OP_sigmoid_back: curve_back(c); break;
    case OP_maxpool_back:
    case OP_avgpool_back: pool_back(c); break;
    case OP_gap_back: gap_back(c); break;
    case OP_linear_back: linear_back(c); break;
    case OP_slice_back: slice_back(c); break;
    case OP_gate_back: gate_back(c); break;
    case OP_embed_back: embed_back(c); break;
    case OP_token_back: token_back(c); break;
    case OP_attention_back: return ref_attention_back(v, w, c->x, c->z, c->y);
    case OP_performer_back:
        return ref_performer_back(v, (int)graph_param(c->p->g, v->weight)->dim[0], w, c->x, c->z, c->y);
    case OP_unfold_back: unfold_back(c); break;
    case OP_merge_back: merge_back(c); break;
    case OP_shortcut_a_back: shortcut_a_back(c); break;
    default: break;
    }
    return 0;
}
