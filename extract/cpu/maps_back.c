#include "extract/cpu/maps_back.h"
#include "extract/cpu/curves.h"
#include "extract/cpu/lines.h"
#include "extract/cpu/maps.h"

#include <math.h>
#include <string.h>

/* ---- endings ------------------------------------------------------------------------------------ */

static int is_mask(graph_op gate)
{
    return gate == OP_relu_back || gate == OP_relu6_back;
}

/* Channels of one pixel of bf16, through floats in the first cache. */
static void slope_elements(graph_op gate, bf16 *v, const bf16 *at, size_t count)
{
    float t[512], u[512];
    const size_t most = sizeof t / sizeof *t;
    for (size_t k = 0; k < count; k += most) {
        size_t part = count - k < most ? count - k : most;
        line_widen_bf16(v + k, t, part);
        line_widen_bf16(at + k, u, part);
        curve_slope(gate, t, u, part);
        line_narrow_bf16(t, v + k, part);
    }
}

/* In place, `pixels` of one row. */
static void slope_row(const view *y, char *p, graph_op gate, const char *at, size_t at_ld, size_t pixels)
{
    const size_t c = (size_t)y->c, e = view_bytes(y);
    if (is_mask(gate)) {
        LINE_OF(y, mask, p, y->ld, p, y->ld, pixels, c, at, at_ld, gate == OP_relu6_back ? 6.0f : INFINITY);
        return;
    }
    if (!y->is_bf16 && y->ld == c && at_ld == c) {
        curve_slope(gate, (float *)(void *)p, (const float *)(const void *)at, pixels * c);
        return;
    }
    for (size_t i = 0; i < pixels; i++, p += y->ld * e, at += at_ld * e) {
        if (y->is_bf16) slope_elements(gate, (bf16 *)(void *)p, (const bf16 *)(const void *)at, c);
        else curve_slope(gate, (float *)(void *)p, (const float *)(const void *)at, c);
    }
}

static void add_row(const view *y, const view *r, size_t i, size_t row)
{
    char *p = view_pixel(y, i, row, 0);
    LINE_OF(y, add, p, y->ld, p, y->ld, (size_t)y->w, (size_t)y->c, view_pixel(r, i, row, 0), r->ld, -INFINITY,
            INFINITY);
}

void map_end_row(const view *y, const conv_ending *e, size_t i, size_t row)
{
    if (e->residual != NULL && !e->after) add_row(y, e->residual, i, row);
    if (e->gate != OP_COUNT)
        slope_row(y, view_pixel(y, i, row, 0), e->gate, view_pixel(e->at, i, row, 0), e->at->ld, (size_t)y->w);
    if (e->residual != NULL && e->after) add_row(y, e->residual, i, row);
}

void map_end(const view *y, const conv_ending *e, int n)
{
    if (e->residual == NULL && e->gate == OP_COUNT) return;
    for (size_t i = 0; i < (size_t)n; i++)
        for (size_t row = 0; row < (size_t)y->h; row++)
            map_end_row(y, e, i, row);
}

void map_slope(const view *g, graph_op gate, const view *at, const view *y, int n)
{
    const size_t c = (size_t)y->c;
    for (size_t i = 0; i < (size_t)n; i++)
        for (size_t row = 0; row < (size_t)y->h; row++) {
            const char *from = view_pixel(g, i, row, 0), *place = view_pixel(at, i, row, 0);
            char *to = view_pixel(y, i, row, 0);
            if (is_mask(gate)) {
                LINE_OF(y, mask, from, g->ld, to, y->ld, (size_t)y->w, c, place, at->ld,
                        gate == OP_relu6_back ? 6.0f : INFINITY);
                continue;
            }
            if (g->p != y->p)
                LINE_OF(y, bound, from, g->ld, to, y->ld, (size_t)y->w, c, -INFINITY, INFINITY);
            slope_row(y, to, gate, place, at->ld, (size_t)y->w);
        }
}

/* ---- maxima ------------------------------------------------------------------------------------- */

/* Which tap of a window won, for as many rows of windows as one row of the map lies in. */
typedef struct winners {
    int32_t *tap;   /* [rows, g->w, c] a ring; -1: none inside */
    float *most;    /* [c] */
    float *sum;     /* [c] */
    size_t rows;
} winners;

static size_t rows_of(const pool_window *w)
{
    return (size_t)((w->kernel + w->stride - 1) / w->stride);
}

size_t map_maxpool_back_scratch(const view *g, const pool_window *w)
{
    return (rows_of(w) * (size_t)g->w + 2) * (size_t)g->c * sizeof(float);
}

static void find_winners(const view *x, const pool_window *w, size_t i, int oy, int ox, float *most,
                         int32_t *tap)
{
    const size_t c = (size_t)x->c;
    for (size_t k = 0; k < c; k++) {
        most[k] = -INFINITY;
        tap[k] = -1;
    }
    for (int t = 0; t < w->kernel * w->kernel; t++) {
        int iy = oy * w->stride - w->pad + t / w->kernel, ix = ox * w->stride - w->pad + t % w->kernel;
        if (iy >= 0 && iy < x->h && ix >= 0 && ix < x->w)
            LINE_OF(x, most, view_pixel(x, i, (size_t)iy, (size_t)ix), t, most, tap, c);
        else if (w->zero_pad)
            for (size_t k = 0; k < c; k++)
                if (0.0f > most[k]) {
                    most[k] = 0.0f;
                    tap[k] = -1;
                }
    }
}

/* The first and the last window along one axis that element `at` lies in. */
static void windows_over(const pool_window *w, int at, int windows, int *first, int *last)
{
    *last = (at + w->pad) / w->stride;
    *first = at + w->pad < w->kernel ? 0 : (at + w->pad - w->kernel) / w->stride + 1;
    if (*last >= windows) *last = windows - 1;
}

static void collect_row(const view *g, const pool_window *w, const winners *v, size_t i, int iy, const view *y)
{
    const size_t c = (size_t)y->c;
    int y0, y1, x0, x1;
    windows_over(w, iy, g->h, &y0, &y1);
    for (int ix = 0; ix < y->w; ix++) {
        memset(v->sum, 0, c * sizeof *v->sum);
        windows_over(w, ix, g->w, &x0, &x1);
        for (int oy = y0; oy <= y1; oy++)
            for (int ox = x0; ox <= x1; ox++) {
                int t = (iy - oy * w->stride + w->pad) * w->kernel + ix - ox * w->stride + w->pad;
                LINE_OF(g, pick, view_pixel(g, i, (size_t)oy, (size_t)ox), t,
                        v->tap + (((size_t)oy % v->rows) * (size_t)g->w + (size_t)ox) * c, v->sum, c);
            }
        LINE_OF(y, narrow, v->sum, view_pixel(y, i, (size_t)iy, (size_t)ix), c);
    }
}

void map_maxpool_back(const view *g, const view *x, const pool_window *w, void *scratch, const view *y,
                      const conv_ending *e, int n)
{
    const size_t c = (size_t)y->c;
    winners v = { .most = scratch, .rows = rows_of(w) };
    v.sum = v.most + c;
    v.tap = (int32_t *)(void *)(v.sum + c);
    for (size_t i = 0; i < (size_t)n; i++) {
        int known = 0; /* rows of windows */
        for (int iy = 0; iy < y->h; iy++) {
            int first, last;
            windows_over(w, iy, g->h, &first, &last);
            for (; known <= last; known++)
                for (int ox = 0; ox < g->w; ox++)
                    find_winners(x, w, i, known, ox, v.most,
                                 v.tap + (((size_t)known % v.rows) * (size_t)g->w + (size_t)ox) * c);
            collect_row(g, w, &v, i, iy, y);
            map_end_row(y, e, i, (size_t)iy);
        }
    }
}

/* ---- means and sums ------------------------------------------------------------------------------ */

static int inside(int first, int kernel, int size)
{
    return first + kernel < size ? kernel : size - first;
}

void map_avgpool_back(const view *g, int kernel, int stride, float *sum, const view *y, int n)
{
    const pool_window w = { .kernel = kernel, .stride = stride };
    const size_t c = (size_t)y->c;
    for (size_t i = 0; i < (size_t)n; i++)
        for (int iy = 0; iy < y->h; iy++)
            for (int ix = 0; ix < y->w; ix++) {
                int y0, y1, x0, x1;
                windows_over(&w, iy, g->h, &y0, &y1);
                windows_over(&w, ix, g->w, &x0, &x1);
                memset(sum, 0, c * sizeof *sum);
                for (int oy = y0; oy <= y1; oy++)
                    for (int ox = x0; ox <= x1; ox++) {
                        int count = inside(oy * stride, kernel, y->h) * inside(ox * stride, kernel, y->w);
                        LINE_OF(g, more, view_pixel(g, i, (size_t)oy, (size_t)ox), 1.0f / (float)count, sum, c);
                    }
                LINE_OF(y, narrow, sum, view_pixel(y, i, (size_t)iy, (size_t)ix), c);
            }
}

void map_gap_back(const view *g, float *t, const view *y, int n)
{
    const size_t c = (size_t)y->c;
    const float each = 1.0f / (float)(y->h * y->w);
    for (size_t i = 0; i < (size_t)n; i++) {
        LINE_OF(g, widen, view_pixel(g, i, 0, 0), t, c);
        for (size_t iy = 0; iy < (size_t)y->h; iy++)
            for (size_t ix = 0; ix < (size_t)y->w; ix++)
                LINE_OF(y, times, t, each, view_pixel(y, i, iy, ix), c);
    }
}

void map_sum(const view *x, float *t, const view *y, int n)
{
    const size_t c = (size_t)x->c;
    float *row = t + c;
    for (size_t i = 0; i < (size_t)n; i++) {
        memset(t, 0, c * sizeof *t);
        for (size_t ky = 0; ky < (size_t)x->h; ky++) {
            memset(row, 0, c * sizeof *row);
            LINE_OF(x, sum, view_pixel(x, i, ky, 0), x->ld, (size_t)x->w, c, row);
            line_sum_f32(row, 0, 1, c, t);
        }
        LINE_OF(y, narrow, t, view_pixel(y, i, 0, 0), c);
    }
}

void map_gate_back(const view *g, const view *x, float *t, const view *y, int n)
{
    const size_t c = (size_t)g->c;
    float *row = t + c;
    for (size_t i = 0; i < (size_t)n; i++) {
        memset(t, 0, c * sizeof *t);
        for (size_t ky = 0; ky < (size_t)g->h; ky++) {
            memset(row, 0, c * sizeof *row);
            LINE_OF(g, products, view_pixel(g, i, ky, 0), g->ld, view_pixel(x, i, ky, 0), x->ld, (size_t)g->w, c,
                    row);
            line_sum_f32(row, 0, 1, c, t);
        }
        LINE_OF(y, narrow, t, view_pixel(y, i, 0, 0), c);
    }
}

/* ---- places ------------------------------------------------------------------------------------- */

static void zero_pixel(const view *y, size_t i, size_t oy, size_t ox)
{
    memset(view_pixel(y, i, oy, ox), 0, (size_t)y->c * view_bytes(y));
}

void map_slice_back(const view *g, int first, const view *y, int n)
{
    view part = *y;
    for (size_t i = 0; i < (size_t)n; i++)
        for (size_t k = 0; k < (size_t)y->h * (size_t)y->w; k++)
            zero_pixel(y, i, k / (size_t)y->w, k % (size_t)y->w);
    part.c = g->c;
    part.p = (char *)y->p + (size_t)first * view_bytes(y);
    map_copy(g, &part, n);
}

void map_shortcut_a_back(const view *g, const view *y, int n)
{
    const size_t e = view_bytes(y), before = (size_t)(g->c - y->c) / 2 * e;
    for (size_t i = 0; i < (size_t)n; i++)
        for (size_t iy = 0; iy < (size_t)y->h; iy++)
            for (size_t ix = 0; ix < (size_t)y->w; ix++)
                if (iy % 2 != 0 || ix % 2 != 0 || iy / 2 >= (size_t)g->h || ix / 2 >= (size_t)g->w)
                    zero_pixel(y, i, iy, ix);
                else
                    memcpy(view_pixel(y, i, iy, ix), view_pixel(g, i, iy / 2, ix / 2) + before, (size_t)y->c * e);
}

/* ---- tokens ------------------------------------------------------------------------------------- */

void token_embed_back(const view *g, const view *y, int n)
{
    const size_t bytes = (size_t)y->c * view_bytes(y);
    for (size_t i = 0; i < (size_t)n; i++)
        for (size_t k = 0; k < (size_t)y->h * (size_t)y->w; k++)
            memcpy(view_pixel(y, i, k / (size_t)y->w, k % (size_t)y->w), view_pixel(g, i, 1 + k, 0), bytes);
}

void token_take_back(const view *g, int index, const view *y, int n)
{
    for (size_t i = 0; i < (size_t)n; i++)
        for (size_t k = 0; k < (size_t)y->h * (size_t)y->w; k++) {
            char *to = view_pixel(y, i, k / (size_t)y->w, k % (size_t)y->w);
            if (k != (size_t)index) memset(to, 0, (size_t)y->c * view_bytes(y));
            else if (g->is_bf16 == y->is_bf16)
                memcpy(to, view_pixel(g, i, 0, 0), (size_t)y->c * view_bytes(y));
            else LINE_OF(y, narrow, (const float *)(const void *)view_pixel(g, i, 0, 0), to, (size_t)y->c);
        }
}

void token_unfold_back(const view *g, int kernel, int stride, int pad, float *sum, const view *y, int n)
{
    const pool_window w = { .kernel = kernel, .stride = stride, .pad = pad };
    const size_t c = (size_t)y->c, area = (size_t)(kernel * kernel);
    for (size_t i = 0; i < (size_t)n; i++)
        for (int iy = 0; iy < y->h; iy++)
            for (int ix = 0; ix < y->w; ix++) {
                int y0, y1, x0, x1;
                windows_over(&w, iy, g->h, &y0, &y1);
                windows_over(&w, ix, g->w, &x0, &x1);
                memset(sum, 0, c * sizeof *sum);
                for (int oy = y0; oy <= y1; oy++)
                    for (int ox = x0; ox <= x1; ox++) {
                        int t = (iy - oy * stride + pad) * kernel + ix - ox * stride + pad;
                        LINE_OF(g, gather, view_pixel(g, i, (size_t)oy, (size_t)ox) + (size_t)t * view_bytes(g),
                                area, sum, c);
                    }
                LINE_OF(y, narrow, sum, view_pixel(y, i, (size_t)iy, (size_t)ix), c);
            }
}

void token_merge_back(const view *g, const view *y, int n)
{
    const size_t bytes = (size_t)y->c * view_bytes(y);
    for (size_t i = 0; i < (size_t)n; i++)
        for (size_t iy = 0; iy < (size_t)y->h; iy++)
            for (size_t ix = 0; ix < (size_t)y->w; ix++)
                memcpy(view_pixel(y, i, iy, ix),
                       view_pixel(g, i, iy / 2, ix / 2) + (iy % 2 + 2 * (ix % 2)) * bytes, bytes);
}
