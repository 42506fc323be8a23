/* The plain reference: the graph itself, node by node, nothing folded, fused or blocked, in double
 * on NCHW.  Slow; the truth that the fast backends are held to (`extract run -d ref`, tests). */
#include "extract/backend.h"
#include "extract/ref_parts.h"
#include "extract/record_run.h"
#include "common/err.h"
#include "common/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct reference {
    const plan *p;
    float table[3][256];
    double **value; /* [nodes] of one image */
    record_decoder *decoder; /* NULL: no batches of records */
} reference;

static size_t count_of(const node *v)
{
    return (size_t)v->out.c * (size_t)v->out.h * (size_t)v->out.w;
}

void ref_span(int offset, int stride, int in, int out, int *first, int *end)
{
    *first = offset < 0 ? (stride - 1 - offset) / stride : 0;
    *end = in > offset ? (in - 1 - offset) / stride + 1 : 0;
    if (*end > out) *end = out;
}

/* One output plane of a convolution. */
static void conv_plane(const node *v, const node *from, const double *x, const double *w, int o,
                       double *y)
{
    int per = from->out.c / v->groups, first = o / (v->out.c / v->groups) * per, s = v->stride;
    for (int ci = 0; ci < per; ci++)
        for (int ky = 0; ky < v->kernel; ky++)
            for (int kx = 0; kx < v->kernel; kx++) {
                double f = w[(ci * v->kernel + ky) * v->kernel + kx];
                const double *plane = x + (size_t)(first + ci) * (size_t)from->out.h *
                                              (size_t)from->out.w;
                int y0, y1, x0, x1;
                ref_span(ky - v->pad, s, from->out.h, v->out.h, &y0, &y1);
                ref_span(kx - v->pad, s, from->out.w, v->out.w, &x0, &x1);
                for (int oy = y0; oy < y1; oy++) {
                    const double *in = plane + (oy * s + ky - v->pad) * from->out.w + kx - v->pad;
                    double *row = y + oy * v->out.w;
#pragma omp simd
                    for (int ox = x0; ox < x1; ox++)
                        row[ox] += f * in[ox * s];
                }
            }
}

void ref_conv_weights(const node *v, const float *w, size_t cout, size_t n, double *out)
{
    for (size_t o = 0; o < cout; o++, w += n, out += n) {
        double mean = 0, squares = 0;
        for (size_t i = 0; i < n; i++)
            mean += (out[i] = (double)w[i]) / (double)n;
        if (!v->standardise) continue;
        for (size_t i = 0; i < n; i++)
            squares += (out[i] - mean) * (out[i] - mean);
        for (size_t i = 0; i < n; i++)
            out[i] = (out[i] - mean) / sqrt(squares / (double)n + 1e-10);
    }
}

static int conv(const reference *r, const node *v, const node *from, const double *x, double *y)
{
    const float *w = weights_at(r->p->w, v->weight);
    const float *b = v->bias >= 0 ? weights_at(r->p->w, v->bias) : NULL;
    size_t area = (size_t)v->out.h * (size_t)v->out.w;
    size_t each = (size_t)(from->out.c / v->groups * v->kernel * v->kernel);
    double *own = malloc((size_t)v->out.c * each * sizeof *own);
    if (own == NULL) return -1;
    ref_conv_weights(v, w, (size_t)v->out.c, each, own);
#pragma omp parallel for
    for (int o = 0; o < v->out.c; o++) {
        double *plane = y + (size_t)o * area, *mine = own + (size_t)o * each;
        for (size_t i = 0; i < area; i++)
            plane[i] = b ? (double)b[o] : 0;
        conv_plane(v, from, x, mine, o, plane);
    }
    free(own);
    return 0;
}

static void batchnorm(const reference *r, const node *v, const double *x, double *y)
{
    size_t area = (size_t)v->out.h * (size_t)v->out.w;
    for (size_t c = 0; c < (size_t)v->out.c; c++) {
        double gamma = (double)weights_at(r->p->w, v->weight)[c];
        double beta = (double)weights_at(r->p->w, v->bias)[c];
        double mean = (double)weights_at(r->p->w, v->mean)[c];
        double deviation = sqrt((double)weights_at(r->p->w, v->var)[c] + (double)v->eps);
        for (size_t i = c * area; i < (c + 1) * area; i++)
            y[i] = (x[i] - mean) / deviation * gamma + beta;
    }
}

static void pool(const node *v, const node *from, const double *x, double *y)
{
    int h = from->out.h, w = from->out.w;
    for (int c = 0; c < v->out.c; c++)
        for (int oy = 0; oy < v->out.h; oy++)
            for (int ox = 0; ox < v->out.w; ox++) {
                double most = -INFINITY, sum = 0, inside = 0;
                for (int ky = 0; ky < v->kernel; ky++)
                    for (int kx = 0; kx < v->kernel; kx++) {
                        int iy = oy * v->stride + ky - v->pad, ix = ox * v->stride + kx - v->pad;
                        int outside = iy < 0 || iy >= h || ix < 0 || ix >= w;
                        double in = 0;
                        if (outside && !v->zero_pad) continue;
                        if (!outside) in = x[(c * h + iy) * w + ix];
                        inside++;
                        sum += in;
                        if (in > most || in != in) most = in;
                    }
                y[(c * v->out.h + oy) * v->out.w + ox] =
                    v->op == OP_maxpool ? most : sum / inside;
            }
}

/* On every pixel. */
static void linear(const reference *r, const node *v, const node *from, const double *x, double *y)
{
    const float *w = weights_at(r->p->w, v->weight);
    const float *b = v->bias >= 0 ? weights_at(r->p->w, v->bias) : NULL;
    size_t area = (size_t)v->out.h * (size_t)v->out.w, c = (size_t)from->out.c;
#pragma omp parallel for
    for (int o = 0; o < v->out.c; o++) {
        double *plane = y + (size_t)o * area;
        for (size_t t = 0; t < area; t++)
            plane[t] = b ? (double)b[o] : 0;
        for (size_t i = 0; i < c; i++) {
            double f = (double)w[(size_t)o * c + i];
#pragma omp simd
            for (size_t t = 0; t < area; t++)
                plane[t] += f * x[i * area + t];
        }
    }
}

static void gap(const node *from, const double *x, double *y)
{
    size_t area = (size_t)from->out.h * (size_t)from->out.w;
    for (size_t c = 0; c < (size_t)from->out.c; c++) {
        double sum = 0;
        for (size_t i = 0; i < area; i++)
            sum += x[c * area + i];
        y[c] = sum / (double)area;
    }
}

static void concat(const reference *r, const node *v, double *y)
{
    for (int k = 0; k < v->n_in; k++) {
        size_t n = count_of(graph_node(r->p->g, v->in[k]));
        memcpy(y, r->value[v->in[k]], n * sizeof *y);
        y += n;
    }
}

static void shortcut_a(const node *v, const node *from, const double *x, double *y)
{
    int before = (v->out.c - from->out.c) / 2;
    memset(y, 0, count_of(v) * sizeof *y);
    for (int c = 0; c < from->out.c; c++)
        for (int oy = 0; oy < v->out.h; oy++)
            for (int ox = 0; ox < v->out.w; ox++)
                y[((c + before) * v->out.h + oy) * v->out.w + ox] =
                    x[(c * from->out.h + 2 * oy) * from->out.w + 2 * ox];
}

static double curve(graph_op op, double x)
{
    switch (op) {
    case OP_relu: return x < 0 ? 0 : x;
    case OP_relu6: return x < 0 ? 0 : x > 6 ? 6 : x;
    case OP_gelu: return x / 2 * erfc(-x * M_SQRT1_2);
    case OP_silu: return x / (1 + exp(-x));
    default: return 1 / (1 + exp(-x));
    }
}

static const float *parameter(const reference *r, int i)
{
    return i >= 0 ? weights_at(r->p->w, i) : NULL;
}

static int run_node(reference *r, const node *v, double *y, const batch_input *in, size_t at)
{
    const node *from = v->n_in > 0 ? graph_node(r->p->g, v->in[0]) : NULL;
    const double *x = v->n_in > 0 ? r->value[v->in[0]] : NULL;
    const double *z = v->n_in > 1 ? r->value[v->in[1]] : NULL;
    const float *w = parameter(r, v->weight), *b = parameter(r, v->bias);
    size_t n = count_of(v), area = (size_t)v->out.h * (size_t)v->out.w;
    switch (v->op) {
    case OP_input:
        for (size_t i = 0; i < n; i++)
            y[i] = in->rgb != NULL
                       ? (double)r->table[i / area][in->rgb[at * n + i % area * 3 + i / area]]
                       : (double)in->values[at * n + i];
        break;
    case OP_conv: return conv(r, v, from, x, y);
    case OP_batchnorm: batchnorm(r, v, x, y); break;
    case OP_groupnorm: ref_groupnorm(v, w, b, x, y); break;
    case OP_layernorm: ref_layernorm(v, w, b, x, y); break;
    case OP_relu:
    case OP_relu6:
    case OP_gelu:
    case OP_silu:
    case OP_sigmoid:
        for (size_t i = 0; i < n; i++)
            y[i] = curve(v->op, x[i]);
        break;
    case OP_maxpool:
    case OP_avgpool: pool(v, from, x, y); break;
    case OP_gap: gap(from, x, y); break;
    case OP_linear: linear(r, v, from, x, y); break;
    case OP_add:
        for (size_t i = 0; i < n; i++)
            y[i] = x[i] + z[i];
        break;
    case OP_scale:
        for (size_t i = 0; i < n; i++)
            y[i] = x[i] * (double)w[i / area];
        break;
    case OP_gate:
        for (size_t i = 0; i < n; i++)
            y[i] = x[i] * z[i / area];
        break;
    case OP_concat: concat(r, v, y); break;
    case OP_slice: memcpy(y, x + (size_t)v->offset * area, n * sizeof *y); break;
    case OP_pad:
    case OP_crop: ref_pad_crop(v, from, x, y); break;
    case OP_embed: ref_embed(v, w, b, x, y); break;
    case OP_token:
        for (size_t i = 0; i < n; i++)
            y[i] = x[i * (size_t)(from->out.h * from->out.w) + (size_t)v->offset];
        break;
    case OP_attention: return ref_attention(v, w, x, y);
    case OP_performer:
        return ref_performer(v, (int)graph_param(r->p->g, v->weight)->dim[0], w, x, y);
    case OP_unfold: ref_unfold(v, from, x, y); break;
    case OP_merge: ref_merge(v, from, x, y); break;
    case OP_shortcut_a: shortcut_a(v, from, x, y); break;
    default: {
        const ref_call c = { .p = r->p, .v = v, .from = from, .x = x, .z = z, .y = y };
        return v->op < OP_sum ? ref_back(&c) : ref_probe(&c);
    }
    }
    return 0;
}

static void ref_close(void **out)
{
    reference *r = *out;
    if (r == NULL) return;
    record_decoder_free(&r->decoder);
    for (size_t i = 0; r->value != NULL && i < graph_nodes(r->p->g); i++)
        free(r->value[i]);
    free(r->value);
    free(r);
    *out = NULL;
}

static int ref_open(void **out, plan *p, const backend_options *o)
{
    int rc = 0;
    void *made = NULL;
    reference *r;
    CHECK(o->precision == PRECISION_FP32, ERR_USAGE, "the reference computes in double: -p fp32");
    TRY(mem_new(&made, 1, sizeof *r, "reference"));
    r = made;
    r->p = p;
    backend_normalise_table(r->table, o->prep);
    if (o->records) TRY(record_decoder_new(&r->decoder, o->prep, o->batch));
    TRY(mem_new(&r->value, graph_nodes(p->g), sizeof *r->value, "reference"));
    for (size_t i = 0; i < graph_nodes(p->g); i++)
        TRY(mem_new(&r->value[i], count_of(graph_node(p->g, (int)i)), sizeof **r->value,
                    "reference"));
    *out = made;
    made = NULL;
done:
    ref_close(&made);
    return rc;
}

static void export_node(const node *v, const double *x, reduction how, float *out)
{
    size_t area = (size_t)v->out.h * (size_t)v->out.w, n = count_of(v);
    if (how == REDUCE_NONE) { /* channels last where the published module has them so */
        size_t c = (size_t)v->out.c;
        for (size_t i = 0; i < n; i++)
            out[i] = (float)(v->layout == TAP_CHW ? x[i] : x[i % c * area + i / c]);
        return;
    }
    for (size_t c = 0; c < (size_t)v->out.c; c++) {
        double sum = 0, most = -INFINITY;
        for (size_t i = c * area; i < (c + 1) * area; i++) {
            sum += x[i];
            if (x[i] > most || x[i] != x[i]) most = x[i];
        }
        out[c] = (float)(how == REDUCE_MAX ? most : how == REDUCE_MEAN ? sum / (double)area : sum);
    }
}

static int ref_forward(void *n, const batch_input *in, size_t images, float *const *out)
{
    reference *r = n;
    const graph *g = r->p->g;
    batch_input decoded = { .rgb = NULL };
    if (in->records != NULL) {
        int rc = record_decode(r->decoder, in->records, in->first, images, &decoded.rgb);
        if (rc < 0) return rc;
        in = &decoded;
    }
    for (size_t i = 0; i < images; i++) {
        for (size_t k = 0; k < graph_nodes(g); k++)
            if (run_node(r, graph_node(g, (int)k), r->value[k], in, i) < 0)
                return err_set(ERR_ENV, "no memory for the reference's '%s'",
                               graph_op_name(graph_node(g, (int)k)->op));
        for (size_t k = 0; k < r->p->n_outputs; k++) {
            const plan_output *o = &r->p->outputs[k];
            export_node(graph_node(g, o->node), r->value[o->node], o->reduce,
                        out[k] + i * o->count);
        }
    }
    return 0;
}

const double *ref_value(const void *net, int i)
{
    const reference *r = net;
    return r->value[i];
}

static void ref_describe(const void *n, char *text, size_t room)
{
    (void)n;
    snprintf(text, room, "ref f64");
}

static size_t ref_memory(const void *n)
{
    const reference *r = n;
    size_t sum = 0;
    for (size_t i = 0; i < graph_nodes(r->p->g); i++)
        sum += count_of(graph_node(r->p->g, (int)i)) * sizeof **r->value;
    return sum;
}

static int ref_wants_dense(precision p)
{
    (void)p;
    return 1;
}

const backend_def backend_ref = { "ref", ref_wants_dense, ref_open, ref_forward, ref_describe, ref_memory,
                                  ref_close, NULL, NULL, NULL, NULL, NULL };
