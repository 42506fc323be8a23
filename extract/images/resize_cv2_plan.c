/* cv2.resize for a window of the result: rows are summed horizontally when the first output row
 * needs them and kept in a ring of two or four, so that a row is read once and, when the image
 * shrinks, rows between the taps are never read. */
#include "extract/images/resize_cv2.h"
#include "common/err.h"
#include "common/mem.h"
#include "extract/images/resize_cv2_parts.h"

#include <stdlib.h>
#include <string.h>

typedef struct cv2_row { /* one wanted output row */
    int at;              /* source row of the first tap, may lie outside */
    int16_t b[CV2_TAPS];
} cv2_row;

struct cv2_plan {
    resize_shape s;
    int taps; /* 2 linear, 4 cubic, 1 copied, 0 halved */
    cv2_columns columns;
    cv2_row *rows; /* [ch] */
    int x0, x1, y0, y1;
    size_t floats; /* leading values of an output row of the window that are summed in float */
    void *ring;    /* [taps, ring_stride bytes] */
    size_t ring_stride;
    int held[CV2_TAPS]; /* which source row a place of the ring holds; -1: none */
};

/* ---- plans ----------------------------------------------------------------------------------- */

/* Three clamped weights at most meet in one place: below 2 * CV2_ONE. */
static void accumulate(int16_t *to, int16_t q)
{
    *to = (int16_t)(*to + q);
}

static int plan_columns(cv2_plan *p)
{
    int rc = 0, taps = p->taps;
    const resize_shape *s = &p->s;
    cv2_columns *c = &p->columns;
    size_t room = (size_t)s->cw + 3, size;
    c->count = s->cw;
    TRY(mem_product(&size, room, (size_t)taps, "resize"));
    TRY(mem_new(&c->lo, room, sizeof *c->lo, "resize"));
    TRY(mem_new(&c->q, size, sizeof *c->q, "resize"));
    p->x0 = s->w;
    p->x1 = 0;
    for (int i = 0; i < s->cw; i++) {
        int16_t q[CV2_TAPS], *to = c->q + (size_t)i * (size_t)taps;
        int first = cv2_weights(s->filter, s->w, s->ow, s->x + i, 1, q) - (taps == 4), end;
        c->lo[i] = cv2_inside(first, s->w);
        end = cv2_inside(first + taps - 1, s->w) + 1;
        for (int k = 0; k < taps; k++)
            accumulate(&to[cv2_inside(first + k, s->w) - c->lo[i]], q[k]);
        if (c->lo[i] < p->x0) p->x0 = c->lo[i];
        if (end > p->x1) p->x1 = end;
    }
done:
    return rc;
}

static int plan_rows(cv2_plan *p)
{
    int rc = 0;
    const resize_shape *s = &p->s;
    TRY(mem_new(&p->rows, (size_t)s->ch, sizeof *p->rows, "resize"));
    for (int i = 0; i < s->ch; i++) {
        cv2_row *r = &p->rows[i];
        r->at = cv2_weights(s->filter, s->h, s->oh, s->y + i, 0, r->b) - (p->taps == 4);
    }
    p->y0 = cv2_inside(p->rows[0].at, s->h);
    p->y1 = cv2_inside(p->rows[s->ch - 1].at + p->taps - 1, s->h) + 1;
done:
    return rc;
}

int cv2_plan_new(cv2_plan **out, const resize_shape *s)
{
    int rc = 0;
    cv2_plan *p = NULL;
    size_t whole = (size_t)s->ow * 3 / CV2_BLOCK * CV2_BLOCK, values = (size_t)s->cw * 3, step;
    TRY(mem_new(&p, 1, sizeof *p, "resize"));
    p->s = *s;
    if (s->w == s->ow && s->h == s->oh) p->taps = 1;
    else if (!cv2_is_half(s)) p->taps = s->filter == RESIZE_CV2_BILINEAR ? 2 : 4;
    if (p->taps < 2) {
        int by = 2 - p->taps;
        p->x0 = s->x * by;
        p->x1 = (s->x + s->cw) * by;
        p->y0 = s->y * by;
        p->y1 = (s->y + s->ch) * by;
    } else {
        TRY(plan_columns(p));
        TRY(plan_rows(p));
        step = p->taps == 2 ? sizeof(int16_t) : sizeof(int32_t);
        p->floats = whole <= 3 * (size_t)s->x ? 0 : whole - 3 * (size_t)s->x;
        if (p->floats > values) p->floats = values;
        p->ring_stride = ((values + 32) * step + 63) / 64 * 64;
        TRY(mem_new_aligned(&p->ring, p->ring_stride * (size_t)p->taps, 1, "resize"));
        memset(p->ring, 0, p->ring_stride * (size_t)p->taps);
    }
    *out = p;
    p = NULL;
done:
    cv2_plan_free(&p);
    return rc;
}

void cv2_plan_free(cv2_plan **p)
{
    if (*p == NULL) return;
    free((*p)->columns.lo);
    free((*p)->columns.q);
    free((*p)->rows);
    free((*p)->ring);
    free(*p);
    *p = NULL;
}

void cv2_plan_reach(const cv2_plan *p, int *x0, int *x1, int *y0, int *y1)
{
    *x0 = p->x0;
    *x1 = p->x1;
    *y0 = p->y0;
    *y1 = p->y1;
}

/* ---- portable rows --------------------------------------------------------------------------- */

static void across_linear(const cv2_columns *c, const uint8_t *src, int16_t *dst)
{
    const int16_t *q = c->q;
    for (int i = 0; i < c->count; i++, q += 2, dst += 3) {
        const uint8_t *p = src + 3 * (size_t)c->lo[i];
        for (int k = 0; k < 3; k++)
            dst[k] = (int16_t)((p[k] * q[0] + p[k + 3] * q[1]) >> 4);
    }
}

static void across_cubic(const cv2_columns *c, const uint8_t *src, int32_t *dst)
{
    const int16_t *q = c->q;
    for (int i = 0; i < c->count; i++, q += 4, dst += 3) {
        const uint8_t *p = src + 3 * (size_t)c->lo[i];
        for (int k = 0; k < 3; k++)
            dst[k] = p[k] * q[0] + p[k + 3] * q[1] + p[k + 6] * q[2] + p[k + 9] * q[3];
    }
}

static void down_linear(const cv2_rows *r, uint8_t *dst, size_t n)
{
    const int16_t *h0 = r->h[0], *h1 = r->h[1];
    for (size_t i = 0; i < n; i++) /* cv2_linear, whose >> 4 across_linear has done */
        dst[i] = (uint8_t)((((r->b[0] * h0[i]) >> 16) + ((r->b[1] * h1[i]) >> 16) + 2) >> 2);
}

static void down_cubic(const cv2_rows *r, uint8_t *dst, size_t from, size_t to,
                       uint8_t (*sum)(const int32_t *, const cv2_rows *))
{
    const int32_t *h0 = r->h[0], *h1 = r->h[1], *h2 = r->h[2], *h3 = r->h[3];
    for (size_t i = from; i < to; i++) {
        int32_t v[4] = {h0[i], h1[i], h2[i], h3[i]};
        dst[i] = sum(v, r);
    }
}

/* ---- running a plan -------------------------------------------------------------------------- */

/* The sums of source row y. */
static const void *row_of(cv2_plan *p, const uint8_t *src, int y)
{
    int place = y % p->taps; /* the rows of one output are neighbours: no two share a place */
    void *to = (uint8_t *)p->ring + (size_t)place * p->ring_stride;
    if (p->held[place] == y) return to;
    p->held[place] = y;
    src += (size_t)y * (size_t)p->s.w * 3;
#if defined(__x86_64__)
    if (p->s.path != RESIZE_PORTABLE) {
        if (p->taps == 2) cv2_across_linear_avx2(&p->columns, src, to);
        else cv2_across_cubic_avx2(&p->columns, src, to);
        return to;
    }
#endif
    if (p->taps == 2) across_linear(&p->columns, src, to);
    else across_cubic(&p->columns, src, to);
    return to;
}

static void put_row(const cv2_plan *p, const cv2_rows *r, uint8_t *dst)
{
    size_t n = (size_t)p->s.cw * 3;
#if defined(__x86_64__)
    if (p->s.path != RESIZE_PORTABLE) {
        if (p->taps == 2) {
            cv2_down_linear_avx2(r, dst, n);
        } else {
            cv2_down_cubic_avx2(r, dst, p->floats);
            down_cubic(r, dst, p->floats, n, cv2_cubic_whole);
        }
        return;
    }
#endif
    if (p->taps == 2) {
        down_linear(r, dst, n);
    } else {
        down_cubic(r, dst, 0, p->floats, cv2_cubic_float);
        down_cubic(r, dst, p->floats, n, cv2_cubic_whole);
    }
}

static void copy_window(const cv2_plan *p, const uint8_t *src, uint8_t *dst, size_t stride)
{
    size_t line = (size_t)p->s.w * 3;
    src += (size_t)p->y0 * line + (size_t)p->x0 * 3;
    for (int i = 0; i < p->s.ch; i++)
        memcpy(dst + (size_t)i * stride, src + (size_t)i * line, (size_t)p->s.cw * 3);
}

static void halve_window(const cv2_plan *p, const uint8_t *src, uint8_t *dst, size_t stride)
{
    size_t line = (size_t)p->s.w * 3;
    src += (size_t)p->y0 * line + (size_t)p->x0 * 3;
    for (int i = 0; i < p->s.ch; i++, src += 2 * line, dst += stride)
        for (int x = 0; x < p->s.cw; x++)
            for (int c = 0; c < 3; c++) {
                const uint8_t *a = src + 6 * (size_t)x + c, *b = a + line;
                dst[3 * (size_t)x + (size_t)c] = (uint8_t)((a[0] + a[3] + b[0] + b[3] + 2) >> 2);
            }
}

void cv2_plan_run(cv2_plan *p, const uint8_t *src, uint8_t *dst, size_t stride)
{
    if (p->taps == 1) {
        copy_window(p, src, dst, stride);
        return;
    }
    if (p->taps == 0) {
        halve_window(p, src, dst, stride);
        return;
    }
    for (int k = 0; k < CV2_TAPS; k++)
        p->held[k] = -1;
    for (int i = 0; i < p->s.ch; i++, dst += stride) {
        const cv2_row *w = &p->rows[i];
        cv2_rows r;
        for (int k = 0; k < CV2_TAPS; k++) {
            int y = cv2_inside(w->at + (k < p->taps ? k : 0), p->s.h);
            r.h[k] = row_of(p, src, y);
            r.b[k] = w->b[k];
            r.beta[k] = (float)w->b[k] * (1.0f / (1 << 22));
        }
        put_row(p, &r, dst);
    }
}
