#include "extract/cpu/performer_back.h"
#include "extract/cpu/attention_pack.h"
#include "extract/cpu/lines.h"
#include "extract/cpu/performer_parts.h"
#include "common/err.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK = PERFORMER_BLOCK };

struct performer_back {
    performer *p;      /* of f32 maps: sizes, features */
    int width;         /* of the map */
    float *rows;       /* w as panels [m][d]: features are summed */
};

/* One worker's memory, in floats; M and D: m and d in whole vectors. */
typedef struct desk {
    float *z, *phi, *other;       /* [BLOCK, d] keys or queries, [BLOCK, M], [BLOCK, d] values or gradients */
    float *turned;                /* [m, BLOCK] */
    float *panels;                /* [BLOCK][D] */
    float *kv, *dkv;              /* [m, D] */
    float *packed, *packed_turned; /* either as panels [m][D] and [d][M] */
    float *sum, *dsum;            /* [M] */
    float *dphi, *o;              /* [BLOCK, M], [BLOCK, D] */
    size_t bytes;
} desk;

static size_t wide_m(const performer_back *b)
{
    return b->p->m_vectors * (size_t)b->p->kernel->lanes;
}

static size_t wide_d(const performer_back *b)
{
    return b->p->d_vectors * (size_t)b->p->kernel->lanes;
}

static desk desk_at(const performer_back *b, float *at)
{
    const size_t m = b->p->m, d = b->p->d, big_m = wide_m(b), big_d = wide_d(b), align = MEM_ALIGN / sizeof *at;
    const size_t size[] = { BLOCK * d, BLOCK * big_m, BLOCK * d, m * BLOCK, BLOCK * big_d, m * big_d, m * big_d,
                            m * big_d, d * big_m, big_m, big_m, BLOCK * big_m, BLOCK * big_d };
    desk k;
    float **const to[] = { &k.z, &k.phi, &k.other, &k.turned, &k.panels, &k.kv, &k.dkv, &k.packed,
                           &k.packed_turned, &k.sum, &k.dsum, &k.dphi, &k.o };
    size_t sum = 0;
    for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
        *to[i] = at != NULL ? at + sum : NULL;
        sum += (size[i] + align - 1) / align * align;
    }
    k.bytes = sum * sizeof *at;
    return k;
}

/* Rows of d elements, `apart` floats apart, as panels: elements are columns, rows are summed; or the reverse. */
static void pack_sums(const performer_back *b, const float *x, size_t apart, size_t n, float *to)
{
    const size_t lanes = (size_t)b->p->kernel->lanes, d = b->p->d;
    for (size_t v = 0, panel; v < b->p->d_vectors; v += panel) {
        panel = panel_vectors(b->p->d_vectors - v);
        for (size_t i = 0; i < n; i++) {
            float *row = to + v * lanes * n + i * panel * lanes;
            size_t left = d - v * lanes, columns = left < panel * lanes ? left : panel * lanes;
            memcpy(row, x + i * apart + v * lanes, columns * sizeof *row);
            memset(row + columns, 0, (panel * lanes - columns) * sizeof *row);
        }
    }
}

static void pack_columns(const performer_back *b, const float *x, size_t apart, float *to)
{
    const size_t lanes = (size_t)b->p->kernel->lanes, d = b->p->d, m = b->p->m;
    for (size_t v = 0, panel; v < b->p->m_vectors; v += panel) {
        panel = panel_vectors(b->p->m_vectors - v);
        for (size_t e = 0; e < d; e++)
            for (size_t j = 0; j < panel * lanes; j++)
                to[v * lanes * d + e * panel * lanes + j] =
                    v * lanes + j < m ? x[(v * lanes + j) * apart + e] : 0.0f;
    }
}

int performer_back_new(performer_back **out, const plan_step *s, const view *g, const view *y)
{
    int rc = 0;
    performer_back *b = NULL;
    TRY(mem_new(&b, 1, sizeof *b, s->name));
    TRY(performer_new(&b->p, s, y, g));
    b->width = y->w;
    TRY(mem_new_aligned(&b->rows, b->p->m * wide_d(b), sizeof *b->rows, s->name));
    pack_sums(b, s->w, b->p->d, b->p->m, b->rows);
    *out = b;
    b = NULL;
done:
    performer_back_free(&b);
    return rc;
}

void performer_back_free(performer_back **b)
{
    if (*b == NULL) return;
    performer_free(&(*b)->p);
    free((*b)->rows);
    free(*b);
    *b = NULL;
}

size_t performer_back_scratch(const performer_back *b)
{
    return desk_at(b, NULL).bytes;
}

/* ---- running ------------------------------------------------------------------------------------ */

static void read_tokens(const performer_back *b, const view *x, size_t at, size_t channel, size_t first, size_t n,
                        float *to)
{
    const size_t w = (size_t)b->width;
    for (size_t i = first; i < first + n; i++, to += b->p->d)
        LINE_OF(x, widen, view_pixel(x, at, i / w, i % w) + channel * view_bytes(x), to, b->p->d);
}

static void write_tokens(const performer_back *b, const view *y, size_t at, size_t channel, size_t first,
                         size_t n, const float *from, size_t apart)
{
    const size_t w = (size_t)b->width;
    for (size_t i = first; i < first + n; i++, from += apart)
        LINE_OF(y, narrow, from, view_pixel(y, at, i / w, i % w) + channel * view_bytes(y), b->p->d);
}

/* to [m, D] += phi' of the block times its rows k->other. */
static void add_products(const performer_back *b, const desk *k, size_t n, float *to)
{
    const performer *p = b->p;
    const size_t big = wide_m(b);
    for (size_t i = 0; i < n; i++)
        for (size_t f = 0; f < p->m; f++)
            k->turned[f * BLOCK + i] = k->phi[i * big + f];
    pack_sums(b, k->other, p->d, n, k->panels);
    performer_product(p, k->turned, BLOCK, p->m, n, k->panels, p->d_vectors, to, 0);
}

/* dx of the block's tokens k->z from k->dphi, to y. */
static void write_gradient(const performer_back *b, const desk *k, const view *y, size_t at, size_t channel,
                           size_t first, size_t n)
{
    const performer *p = b->p;
    const size_t big = wide_m(b), wide = wide_d(b);
    for (size_t i = 0; i < n; i++)
        for (size_t f = 0; f < big; f++)
            k->dphi[i * big + f] *= k->phi[i * big + f];
    performer_product(p, k->dphi, big, n, p->m, b->rows, p->d_vectors, k->o, 1);
    for (size_t i = 0; i < n; i++) {
        float total = 0;
        for (size_t f = 0; f < p->m; f++)
            total += k->dphi[i * big + f];
        for (size_t e = 0; e < p->d; e++)
            k->o[i * wide + e] -= total * k->z[i * p->d + e];
    }
    write_tokens(b, y, at, channel, first, n, k->o, wide);
}

static void sum_keys(const performer_back *b, const desk *k, const view *x, size_t at, size_t first, size_t n)
{
    const performer *p = b->p;
    read_tokens(b, x, at, 0, first, n, k->z);
    performer_phi(p, k->z, n, k->phi);
    for (size_t i = 0; i < n; i++)
        for (size_t f = 0; f < p->m; f++)
            k->sum[f] += k->phi[i * wide_m(b) + f];
    read_tokens(b, x, at, 2 * p->d, first, n, k->other);
    add_products(b, k, n, k->kv);
}

/* With K as panels of both kinds. */
static void queries(const performer_back *b, const desk *k, const view *g, const view *x, const view *y, size_t at,
                    size_t first, size_t n)
{
    const performer *p = b->p;
    const size_t big = wide_m(b), wide = wide_d(b);
    read_tokens(b, x, at, p->d, first, n, k->z);
    performer_phi(p, k->z, n, k->phi);
    performer_product(p, k->phi, big, n, p->m, k->packed, p->d_vectors, k->o, 1);
    read_tokens(b, g, at, 0, first, n, k->other);
    for (size_t i = 0; i < n; i++) {
        float *phi = k->phi + i * big, *dphi = k->dphi + i * big, *row = k->other + i * p->d;
        float total = performer_sum(phi, k->sum, p->m) + 1e-8f;
        float pull = -performer_sum(row, k->o + i * wide, p->d) / total / total;
        for (size_t e = 0; e < p->d; e++)
            row[e] /= total;
        for (size_t f = 0; f < big; f++)
            dphi[f] = f < p->m ? pull * k->sum[f] : 0.0f;
        for (size_t f = 0; f < p->m; f++)
            k->dsum[f] += pull * phi[f];
    }
    add_products(b, k, n, k->dkv);
    performer_product(p, k->other, p->d, n, p->d, k->packed_turned, p->m_vectors, k->dphi, 0);
    write_gradient(b, k, y, at, p->d, first, n);
}

/* With dK as panels of both kinds. */
static void keys(const performer_back *b, const desk *k, const view *x, const view *y, size_t at, size_t first,
                 size_t n)
{
    const performer *p = b->p;
    const size_t big = wide_m(b);
    read_tokens(b, x, at, 0, first, n, k->z);
    performer_phi(p, k->z, n, k->phi);
    performer_product(p, k->phi, big, n, p->m, k->packed, p->d_vectors, k->o, 1);
    write_tokens(b, y, at, 2 * p->d, first, n, k->o, wide_d(b));
    read_tokens(b, x, at, 2 * p->d, first, n, k->other);
    for (size_t i = 0; i < n; i++)
        memcpy(k->dphi + i * big, k->dsum, big * sizeof *k->dsum);
    performer_product(p, k->other, p->d, n, p->d, k->packed_turned, p->m_vectors, k->dphi, 0);
    write_gradient(b, k, y, at, 0, first, n);
}

static void pack_both(const performer_back *b, const desk *k, const float *kv)
{
    pack_sums(b, kv, wide_d(b), b->p->m, k->packed);
    pack_columns(b, kv, wide_d(b), k->packed_turned);
}

static size_t block_at(const performer *p, size_t t)
{
    return p->t - t < BLOCK ? p->t - t : BLOCK;
}

void performer_back_run(const performer_back *b, const view *g, const view *x, const view *y, void *scratch, int n)
{
    const performer *p = b->p;
    const desk k = desk_at(b, scratch);
    for (size_t i = 0; i < (size_t)n; i++) {
        memset(k.sum, 0, wide_m(b) * sizeof *k.sum);
        memset(k.dsum, 0, wide_m(b) * sizeof *k.dsum);
        memset(k.kv, 0, p->m * wide_d(b) * sizeof *k.kv);
        memset(k.dkv, 0, p->m * wide_d(b) * sizeof *k.dkv);
        for (size_t t = 0; t < p->t; t += BLOCK)
            sum_keys(b, &k, x, i, t, block_at(p, t));
        pack_both(b, &k, k.kv);
        for (size_t t = 0; t < p->t; t += BLOCK)
            queries(b, &k, g, x, y, i, t, block_at(p, t));
        pack_both(b, &k, k.dkv);
        for (size_t t = 0; t < p->t; t += BLOCK)
            keys(b, &k, x, y, i, t, block_at(p, t));
    }
}
