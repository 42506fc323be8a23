/* Plans: Pillow's two passes over the rows and columns that a window needs, with tables and vector
 * code; cv2's resize behind the same door. */
#include "extract/images/resize.h"
#include "common/err.h"
#include "common/mem.h"
#include "extract/images/resize_cv2.h"
#include "extract/images/resize_parts.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* ---- plans ----------------------------------------------------------------------------------- */

struct resize_plan {
    resize_shape s;
    resize_axis across, down; /* count 0 where the pass is skipped */
    int first_row, end_row;   /* of the source */
    int first_column, end_column;
    cv2_plan *cv2; /* instead of the two axes */
    uint8_t *mid;  /* [end_row - first_row, mid_stride] */
    size_t mid_stride;
};

const char *resize_filter_name(resize_filter f)
{
    static const char *const names[] = {"bilinear", "bicubic", "cv2-bilinear", "cv2-bicubic"};
    return f < RESIZE_FILTERS ? names[f] : NULL;
}

resize_path resize_path_best(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq"))
        return RESIZE_AVX512;
    if (__builtin_cpu_supports("avx2")) return RESIZE_AVX2;
#endif
    return RESIZE_PORTABLE;
}

static void axis_clear(resize_axis *a)
{
    free(a->lo);
    free(a->n);
    free(a->q);
    free(a->across);
    free(a->down);
    *a = (resize_axis){0};
}

/* Near the end of a line, taps begin earlier with zeros in front, so that reading `max` taps from
 * any output's first one stays on the line. */
static void hold_inside(resize_axis *a, int i, int in)
{
    int32_t *q = a->q + (size_t)i * (size_t)a->max;
    int by = a->lo[i] + a->max - in;
    if (by <= 0) return;
    memmove(q + by, q, (size_t)a->n[i] * sizeof *q);
    memset(q, 0, (size_t)by * sizeof *q);
    a->lo[i] -= by;
    a->n[i] += by;
}

static int axis_init(resize_axis *a, int in, int out, int first, int count, resize_filter f)
{
    int rc = 0;
    double *w = NULL;
    resize_ruler r = resize_ruler_of(in, out, f);
    size_t size;
    a->count = count;
    a->max = resize_taps_max(&r);
    TRY(mem_product(&size, (size_t)count, (size_t)a->max, "resize"));
    TRY(mem_new(&a->lo, (size_t)count, sizeof *a->lo, "resize"));
    TRY(mem_new(&a->n, (size_t)count, sizeof *a->n, "resize"));
    TRY(mem_new(&a->q, size, sizeof *a->q, "resize"));
    TRY(mem_new(&w, (size_t)a->max, sizeof *w, "resize"));
    for (int i = 0; i < count; i++)
        a->n[i] = resize_taps(&r, first + i, &a->lo[i], a->q + (size_t)i * (size_t)a->max, w);
    a->max = 0; /* of those in use; rows of q are moved together accordingly */
    for (int i = 0; i < count; i++)
        if (a->n[i] > a->max) a->max = a->n[i];
    for (int i = 1; i < count; i++)
        memmove(a->q + (size_t)i * (size_t)a->max, a->q + (size_t)i * (size_t)resize_taps_max(&r),
                (size_t)a->max * sizeof *a->q);
    for (int i = 0; i < count; i++)
        hold_inside(a, i, in);
done:
    free(w);
    return rc;
}

/* Tap k of output i, 0 outside. */
static int32_t tap(const resize_axis *a, int i, int k)
{
    return i < a->count && k < a->n[i] ? a->q[(size_t)i * (size_t)a->max + (size_t)k] : 0;
}

/* Arithmetic shift: high is floor(q / 256). */
static int16_t high(int32_t q)
{
    return (int16_t)(q >> 8);
}
static int16_t low(int32_t q)
{
    return (int16_t)(q & 255);
}

static int pack_across(resize_axis *a, int lanes)
{
    int rc = 0;
    size_t groups = ((size_t)a->count + (size_t)lanes - 1) / (size_t)lanes, size;
    int16_t *t;
    a->lanes = lanes;
    a->quads = (a->max + 3) / 4;
    TRY(mem_product(&size, groups * (size_t)a->quads, (size_t)lanes * 32, "resize"));
    TRY(mem_new_aligned(&a->across, size, sizeof *a->across, "resize"));
    t = a->across;
    for (size_t g = 0; g < groups; g++)
        for (int j = 0; j < a->quads; j++)
            for (int part = 0; part < 4; part++)
                for (int x = 0; x < lanes; x++)
                    for (int c = 0; c < 8; c++) {
                        int32_t q = tap(a, (int)g * lanes + x, 4 * j + 2 * (part & 1) + (c & 1));
                        *t++ = part < 2 ? high(q) : low(q);
                    }
done:
    return rc;
}

static int pack_down(resize_axis *a)
{
    int rc = 0;
    size_t pairs = ((size_t)a->max + 1) / 2;
    int16_t *t;
    TRY(mem_new_aligned(&a->down, (size_t)a->count * pairs, 4 * sizeof *a->down, "resize"));
    t = a->down;
    for (int i = 0; i < a->count; i++)
        for (int k = 0; k < (int)pairs * 2; k += 2) {
            *t++ = high(tap(a, i, k));
            *t++ = high(tap(a, i, k + 1));
            *t++ = low(tap(a, i, k));
            *t++ = low(tap(a, i, k + 1));
        }
done:
    return rc;
}

/* The range of inputs that the wanted outputs touch. */
static void reach(const resize_axis *a, int *first, int *end)
{
    *first = INT_MAX;
    *end = 0;
    for (int i = 0; i < a->count; i++) {
        if (a->lo[i] < *first) *first = a->lo[i];
        if (a->lo[i] + a->n[i] > *end) *end = a->lo[i] + a->n[i];
    }
}

static int plan_axes(resize_plan *p)
{
    int rc = 0;
    const resize_shape *s = &p->s;
    p->first_column = s->x;
    p->end_column = s->x + s->cw;
    p->first_row = s->y;
    p->end_row = s->y + s->ch;
    if (s->ow != s->w) {
        TRY(axis_init(&p->across, s->w, s->ow, s->x, s->cw, s->filter));
        reach(&p->across, &p->first_column, &p->end_column);
        if (s->path != RESIZE_PORTABLE)
            TRY(pack_across(&p->across, s->path == RESIZE_AVX512 ? 4 : 2));
    }
    if (s->oh != s->h) {
        TRY(axis_init(&p->down, s->h, s->oh, s->y, s->ch, s->filter));
        reach(&p->down, &p->first_row, &p->end_row);
        if (s->path != RESIZE_PORTABLE) TRY(pack_down(&p->down));
    }
done:
    return rc;
}

int resize_plan_new(resize_plan **out, const resize_shape *s)
{
    int rc = 0;
    resize_plan *p = NULL;
    CHECK(s->w > 0 && s->h > 0 && s->ow > 0 && s->oh > 0, ERR_INPUT, "resize: %d x %d to %d x %d",
          s->w, s->h, s->ow, s->oh);
    CHECK(s->x >= 0 && s->y >= 0 && s->cw > 0 && s->ch > 0 && s->x <= s->ow - s->cw &&
              s->y <= s->oh - s->ch,
          ERR_INPUT, "resize: window %d x %d at %d,%d outside %d x %d", s->cw, s->ch, s->x, s->y,
          s->ow, s->oh);
    TRY(mem_new(&p, 1, sizeof *p, "resize"));
    p->s = *s;
    if (resize_is_cv2(s->filter)) {
        TRY(cv2_plan_new(&p->cv2, s));
        cv2_plan_reach(p->cv2, &p->first_column, &p->end_column, &p->first_row, &p->end_row);
    } else {
        TRY(plan_axes(p));
    }
    if (p->across.count > 0) {
        p->mid_stride = ((size_t)s->cw * 3 + 16 + 63) / 64 * 64;
        TRY(mem_new_aligned(&p->mid,
                            (size_t)(p->end_row - p->first_row) * p->mid_stride + RESIZE_SLACK, 1,
                            "resize"));
    }
    *out = p;
    p = NULL;
done:
    resize_plan_free(&p);
    return rc;
}

void resize_plan_free(resize_plan **p)
{
    if (*p == NULL) return;
    axis_clear(&(*p)->across);
    axis_clear(&(*p)->down);
    cv2_plan_free(&(*p)->cv2);
    free((*p)->mid);
    free(*p);
    *p = NULL;
}

void resize_plan_rows(const resize_plan *p, int *first, int *end)
{
    *first = p->first_row;
    *end = p->end_row;
}

void resize_plan_columns(const resize_plan *p, int *first, int *end)
{
    *first = p->first_column;
    *end = p->end_column;
}

static resize_pass pass_of(const resize_axis *a)
{
    return (resize_pass){a->count, a->max, a->lo, a->n, a->q};
}

int resize_plan_passes(const resize_plan *p, resize_pass *across, resize_pass *down)
{
    *across = pass_of(&p->across);
    *down = pass_of(&p->down);
    return p->cv2 == NULL;
}

/* ---- running a plan -------------------------------------------------------------------------- */

static void across_portable(const resize_axis *a, const uint8_t *src, size_t sstride, uint8_t *dst,
                            size_t dstride, int rows)
{
    for (int y = 0; y < rows; y++) {
        for (int i = 0; i < a->count; i++) {
            const uint8_t *s = src + (size_t)y * sstride + (size_t)a->lo[i] * 3;
            const int32_t *q = a->q + (size_t)i * (size_t)a->max;
            int32_t r = 1 << (RESIZE_BITS - 1), g = r, b = r;
            for (int k = 0; k < a->n[i]; k++, s += 3) {
                r += s[0] * q[k];
                g += s[1] * q[k];
                b += s[2] * q[k];
            }
            dst[(size_t)y * dstride + (size_t)i * 3] = resize_clip(r);
            dst[(size_t)y * dstride + (size_t)i * 3 + 1] = resize_clip(g);
            dst[(size_t)y * dstride + (size_t)i * 3 + 2] = resize_clip(b);
        }
    }
}

static void down_portable(const int32_t *q, int n, const uint8_t *src, size_t sstride, uint8_t *dst,
                          size_t bytes)
{
    for (size_t x = 0; x < bytes; x++) {
        int32_t acc = 1 << (RESIZE_BITS - 1);
        for (int k = 0; k < n; k++)
            acc += src[(size_t)k * sstride + x] * q[k];
        dst[x] = resize_clip(acc);
    }
}

static void run_across(const resize_plan *p, const uint8_t *src)
{
    size_t stride = (size_t)p->s.w * 3;
    int rows = p->end_row - p->first_row;
    src += (size_t)p->first_row * stride;
#if defined(__x86_64__)
    if (p->s.path == RESIZE_AVX512) {
        resize_across_avx512(&p->across, src, stride, p->mid, p->mid_stride, rows);
        return;
    }
    if (p->s.path == RESIZE_AVX2) {
        resize_across_avx2(&p->across, src, stride, p->mid, p->mid_stride, rows);
        return;
    }
#endif
    across_portable(&p->across, src, stride, p->mid, p->mid_stride, rows);
}

static void run_down(const resize_plan *p, int i, const uint8_t *src, size_t stride, uint8_t *dst)
{
    const resize_axis *a = &p->down;
    size_t bytes = (size_t)p->s.cw * 3, pairs = ((size_t)a->max + 1) / 2;
#if defined(__x86_64__)
    if (p->s.path == RESIZE_AVX512) {
        resize_down_avx512(a->down + (size_t)i * pairs * 4, a->n[i], src, stride, dst, bytes);
        return;
    }
    if (p->s.path == RESIZE_AVX2) {
        resize_down_avx2(a->down + (size_t)i * pairs * 4, a->n[i], src, stride, dst, bytes);
        return;
    }
#endif
    (void)pairs;
    down_portable(a->q + (size_t)i * (size_t)a->max, a->n[i], src, stride, dst, bytes);
}

void resize_plan_run(resize_plan *p, const uint8_t *src, uint8_t *dst, size_t stride)
{
    const uint8_t *mid;
    size_t mid_stride;
    if (p->cv2 != NULL) {
        cv2_plan_run(p->cv2, src, dst, stride);
        return;
    }
    if (p->across.count > 0) {
        run_across(p, src);
        mid = p->mid;
        mid_stride = p->mid_stride;
    } else {
        mid_stride = (size_t)p->s.w * 3;
        mid = src + (size_t)p->first_row * mid_stride + (size_t)p->s.x * 3;
    }
    for (int i = 0; i < p->s.ch; i++, dst += stride) {
        if (p->down.count == 0) {
            memcpy(dst, mid + (size_t)i * mid_stride, (size_t)p->s.cw * 3);
        } else {
            const uint8_t *from = mid + (size_t)(p->down.lo[i] - p->first_row) * mid_stride;
            run_down(p, i, from, mid_stride, dst);
        }
    }
}
