#include "extract/cpu/performer_parts.h"
#include "extract/cpu/attention_pack.h"
#include "common/err.h"
#include "common/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One worker's memory, in floats. */
typedef struct desk {
    float *z;    /* [PERFORMER_BLOCK, d] keys or queries */
    float *phi;  /* [PERFORMER_BLOCK, m_vectors] */
    float *turned; /* [m, PERFORMER_BLOCK] phi of keys */
    float *v;    /* panels [PERFORMER_BLOCK][d_vectors] of values */
    float *kv;   /* [m, d_vectors] sums */
    float *packed; /* the same as panels */
    float *sum;  /* [m] */
    float *o;    /* [PERFORMER_BLOCK, d_vectors] */
    size_t bytes;
} desk;

static desk desk_at(const performer *p, float *at)
{
    const size_t lanes = (size_t)p->kernel->lanes, m = p->m_vectors * lanes, d = p->d_vectors * lanes;
    const size_t size[] = { PERFORMER_BLOCK * p->d, PERFORMER_BLOCK * m, p->m * PERFORMER_BLOCK, PERFORMER_BLOCK * d, p->m * d, p->m * d,
                            p->m, PERFORMER_BLOCK * d };
    size_t offset[sizeof size / sizeof *size], sum = 0, align = MEM_ALIGN / sizeof *at;
    for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
        offset[i] = sum;
        sum += (size[i] + align - 1) / align * align;
    }
    if (at == NULL) return (desk){ .bytes = sum * sizeof *at };
    return (desk){ at + offset[0], at + offset[1], at + offset[2], at + offset[3], at + offset[4],
                   at + offset[5], at + offset[6], at + offset[7], sum * sizeof *at };
}

int performer_new(performer **out, const plan_step *s, const view *x, const view *y)
{
    int rc = 0;
    performer *p = NULL;
    size_t lanes, widest, *rows = NULL;
    TRY(mem_new(&p, 1, sizeof *p, s->name));
    p->kernel = conv_kernel_f32();
    lanes = (size_t)p->kernel->lanes;
    p->d = (size_t)y->c;
    p->m = s->w_count / p->d;
    p->t = (size_t)(x->h * x->w);
    CHECK(x->c == 3 * y->c && x->h == y->h && x->w == y->w && p->m > 0 && p->m * p->d == s->w_count,
          ERR_INTERNAL, "performer of %zu features from %dx%dx%d to %dx%dx%d", p->m, x->c, x->h, x->w,
          y->c, y->h, y->w);
    p->m_vectors = (p->m + lanes - 1) / lanes;
    p->d_vectors = (p->d + lanes - 1) / lanes;
    widest = p->m_vectors > p->d_vectors ? p->m_vectors : p->d_vectors;
    TRY(mem_new(&p->zeros, widest * lanes, sizeof *p->zeros, s->name));
    TRY(mem_new_aligned(&p->w, p->d * p->m_vectors * lanes, sizeof *p->w, s->name));
    TRY(mem_new(&rows, p->m, sizeof *rows, s->name));
    for (size_t f = 0; f < p->m; f++)
        rows[f] = f * p->d * sizeof *s->w;
    pack_keys(&(pack_shape){ p->kernel, p->m, p->d }, (char *)p->w, (const char *)s->w, rows);
    TRY(mem_new(&p->from, p->t, sizeof *p->from, s->name));
    TRY(mem_new(&p->to, p->t, sizeof *p->to, s->name));
    for (size_t i = 0; i < p->t; i++) {
        size_t row = i / (size_t)x->w, column = i % (size_t)x->w;
        p->from[i] = (row * x->row + column * x->ld) * view_bytes(x);
        p->to[i] = (row * y->row + column * y->ld) * view_bytes(y);
    }
    *out = p;
    p = NULL;
done:
    free(rows);
    performer_free(&p);
    return rc;
}

void performer_free(performer **p)
{
    if (*p == NULL) return;
    free((*p)->w);
    free((*p)->zeros);
    free((*p)->from);
    free((*p)->to);
    free(*p);
    *p = NULL;
}

size_t performer_scratch(const performer *p)
{
    return desk_at(p, NULL).bytes;
}

/* ---- running ------------------------------------------------------------------------------------ */

void performer_product(const performer *p, const float *x, size_t x_step, size_t rows, size_t deep, const float *w,
                       size_t vectors, float *sums, int first)
{
    const size_t lanes = (size_t)p->kernel->lanes, most = (size_t)p->kernel->tile_rows;
    const conv_segment run = { 0, deep, deep };
    conv_tile_args a = { .segments = &run, .n_segments = 1, .first = first, .bias = p->zeros,
                         .x_step = x_step * sizeof *x, .sum_step = vectors * lanes };
    for (size_t v = 0, panel; v < vectors; v += panel) {
        panel = vectors - v >= 2 ? 2 : 1;
        a.w = w + v * lanes * deep;
        for (size_t i = 0; i < rows; i += most) {
            conv_tile t = { .x = (const char *)(x + i * x_step),
                            .pixels = (int)(rows - i < most ? rows - i : most),
                            .sums = sums + i * a.sum_step + v * lanes };
            p->kernel->tile((int)panel, &t, &a);
        }
    }
}

float performer_sum(const float *a, const float *b, size_t n)
{
    float part[8] = { 0 }, rest = 0.0f;
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (size_t j = 0; j < 8; j++)
            part[j] += a[i + j] * b[i + j];
    for (; i < n; i++)
        rest += a[i] * b[i];
    for (size_t j = 0; j < 8; j++)
        rest += part[j];
    return rest;
}

static void read_floats(const view *x, const char *at, size_t n, float *to)
{
    if (!x->is_bf16) memcpy(to, at, n * sizeof *to);
    else
        for (size_t e = 0; e < n; e++)
            to[e] = bf16_to_float(((const bf16 *)(const void *)at)[e]);
}

void performer_phi(const performer *p, const float *z, size_t n, float *phi)
{
    const size_t width = p->m_vectors * (size_t)p->kernel->lanes;
    const float factor = 1.0f / sqrtf((float)p->m);
    performer_product(p, z, p->d, n, p->d, p->w, p->m_vectors, phi, 1);
    for (size_t i = 0; i < n; i++) {
        float squares = performer_sum(z + i * p->d, z + i * p->d, p->d), *row = phi + i * width;
        for (size_t f = 0; f < width; f++)
            row[f] -= 0.5f * squares;
        p->kernel->powers(row, factor, width);
    }
}

/* phi of tokens first .. first + n of the map at `at`. */
static void features(const performer *p, const desk *k, const view *x, const char *at, size_t first, size_t n)
{
    for (size_t i = 0; i < n; i++)
        read_floats(x, at + p->from[first + i], p->d, k->z + i * p->d);
    performer_phi(p, k->z, n, k->phi);
}

/* sum += phi of n keys, kv += phi v^T. */
static void add_keys(const performer *p, const desk *k, const view *x, const char *keys,
                     const char *values, size_t first, size_t n)
{
    const size_t lanes = (size_t)p->kernel->lanes, width = p->m_vectors * lanes;
    features(p, k, x, keys, first, n);
    for (size_t i = 0; i < n; i++)
        for (size_t f = 0; f < p->m; f++) {
            k->turned[f * PERFORMER_BLOCK + i] = k->phi[i * width + f];
            k->sum[f] += k->phi[i * width + f];
        }
    for (size_t v = 0, panel; v < p->d_vectors; v += panel) { /* as pack_values, from either type */
        panel = p->d_vectors - v >= 2 ? 2 : 1;
        for (size_t i = 0; i < n; i++) {
            float *to = k->v + v * lanes * n + i * panel * lanes;
            size_t left = p->d - v * lanes, columns = left < panel * lanes ? left : panel * lanes;
            read_floats(x, values + p->from[first + i] + v * lanes * view_bytes(x), columns, to);
            memset(to + columns, 0, (panel * lanes - columns) * sizeof *to);
        }
    }
    performer_product(p, k->turned, PERFORMER_BLOCK, p->m, n, k->v, p->d_vectors, k->kv, 0);
}

static void answer(const performer *p, const desk *k, const view *x, const char *queries,
                   const view *y, char *to, size_t first, size_t n)
{
    const size_t lanes = (size_t)p->kernel->lanes, width = p->m_vectors * lanes;
    const size_t wide = p->d_vectors * lanes;
    features(p, k, x, queries, first, n);
    performer_product(p, k->phi, width, n, p->m, k->packed, p->d_vectors, k->o, 1);
    for (size_t i = 0; i < n; i++) {
        float total = performer_sum(k->phi + i * width, k->sum, p->m), *o = k->o + i * wide;
        char *at = to + p->to[first + i];
        for (size_t e = 0; e < p->d; e++)
            o[e] /= total + 1e-8f;
        if (!y->is_bf16) memcpy(at, o, p->d * sizeof *o);
        else
            for (size_t e = 0; e < p->d; e++)
                ((bf16 *)(void *)at)[e] = bf16_from_float(o[e]);
    }
}

void performer_run(const performer *p, const view *x, const view *y, void *scratch, int n)
{
    const desk k = desk_at(p, scratch);
    const size_t lanes = (size_t)p->kernel->lanes, wide = p->d_vectors * lanes;
    for (size_t i = 0; i < (size_t)n; i++) {
        const char *keys = (const char *)x->p + i * x->image * view_bytes(x);
        const char *queries = keys + p->d * view_bytes(x), *values = queries + p->d * view_bytes(x);
        memset(k.sum, 0, p->m * sizeof *k.sum);
        memset(k.kv, 0, p->m * wide * sizeof *k.kv);
        for (size_t t = 0; t < p->t; t += PERFORMER_BLOCK)
            add_keys(p, &k, x, keys, values, t, p->t - t < PERFORMER_BLOCK ? p->t - t : PERFORMER_BLOCK);
        for (size_t v = 0, panel; v < p->d_vectors; v += panel) {
            panel = p->d_vectors - v >= 2 ? 2 : 1;
            for (size_t f = 0; f < p->m; f++)
                memcpy(k.packed + v * lanes * p->m + f * panel * lanes, k.kv + f * wide + v * lanes,
                       panel * lanes * sizeof *k.kv);
        }
        for (size_t t = 0; t < p->t; t += PERFORMER_BLOCK)
            answer(p, &k, x, queries, y, (char *)y->p + i * y->image * view_bytes(y), t,
                   p->t - t < PERFORMER_BLOCK ? p->t - t : PERFORMER_BLOCK);
    }
}
