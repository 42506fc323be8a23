#include "extract/cpu/conv_back.h"
#include "extract/cpu/lines.h"
#include "extract/cpu/phase.h"
#include "common/err.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

struct conv_back {
    int stride, groups;
    conv **part;      /* [groups, phases]; one when stacked */
    size_t n_parts;
    int stacked;
    view grid;        /* stacked: what the convolution writes */
};

/* The channels of group g as a map of their own. */
static view slice_of(const view *v, int g, int groups)
{
    view s = *v;
    s.c = v->c / groups;
    s.p = (char *)v->p + (size_t)(g * s.c) * view_bytes(v);
    return s;
}

/* ---- phases ------------------------------------------------------------------------------------- */

static int make_phase(conv **out, const plan_step *s, int group, const phase *down, const phase *along,
                      const view *x, const view *y, const conv *like)
{
    int rc = 0, stride = s->stride > 0 ? s->stride : 1, kernel = s->kernel > 0 ? s->kernel : 1;
    const view xs = slice_of(x, group, s->groups), ys = slice_of(y, group, s->groups);
    const view to = phase_view(&ys, stride, down, along);
    size_t area = (size_t)(kernel * kernel), *tap = NULL;
    conv_shape c = { .name = s->name, .cin = xs.c, .cout = ys.c, .kh = down->taps, .kw = along->taps, .stride = 1,
                     .top = down->d - (down->taps - 1), .left = along->d - (along->taps - 1), .out_apart = area,
                     .in_apart = (size_t)ys.c * area };
    if (down->taps == 0 || along->taps == 0) c.kh = c.kw = c.top = c.left = 0;
    TRY(mem_new(&tap, (size_t)(c.kh * c.kw), sizeof *tap, s->name));
    for (int i = 0; i < c.kh * c.kw; i++)
        tap[i] = phase_tap(down, stride, i / c.kw) * (size_t)kernel + phase_tap(along, stride, i % c.kw);
    c.tap = tap;
    TRY(conv_make(out, &c, s->w + (size_t)(group * xs.c * ys.c) * area, NULL, &xs, &to, like));
done:
    free(tap);
    return rc;
}

static int make_phases(conv_back *c, const plan_step *s, const view *x, const view *y, const conv_back *like)
{
    int rc = 0, area = c->stride * c->stride;
    c->n_parts = (size_t)(c->groups * area);
    TRY(mem_new(&c->part, c->n_parts, sizeof(conv *), s->name));
    for (int i = 0; i < (int)c->n_parts; i++) {
        const phase down = phase_of(s, i % area / c->stride, y->h), along = phase_of(s, i % c->stride, y->w);
        if (down.pixels > 0 && along.pixels > 0)
            TRY(make_phase(&c->part[i], s, i / area, &down, &along, x, y, like != NULL ? like->part[i] : NULL));
    }
done:
    return rc;
}

/* ---- stacked ------------------------------------------------------------------------------------ */

/* The union of all phases' windows along one axis: gradient pixels a + low ... a + high. */
static void window_of(const plan_step *s, int *low, int *high)
{
    *low = *high = 0;
    for (int q = 0; q < s->stride; q++) {
        const phase p = phase_of(s, q, s->stride);
        if (p.taps > 0 && p.d - p.taps + 1 < *low) *low = p.d - p.taps + 1;
        if (p.taps > 0 && p.d > *high) *high = p.d;
    }
}

/* w [cout, cin, k, k] -> [q, r, cin, cout, side, side] */
static void stack_weights(const plan_step *s, size_t cin, size_t cout, int low, size_t side, float *to)
{
    const size_t stride = (size_t)s->stride, kernel = (size_t)s->kernel;
    for (size_t o = 0; o < stride * stride * cin; o++)
        for (size_t co = 0; co < cout; co++)
            for (size_t t = 0; t < side * side; t++, to++) {
                int q = (int)(o / cin / stride), r = (int)(o / cin % stride);
                int ky = q + s->pad - s->stride * (low + (int)(t / side));
                int kx = r + s->pad - s->stride * (low + (int)(t % side));
                int inside = ky >= 0 && ky < s->kernel && kx >= 0 && kx < s->kernel;
                *to = inside ? s->w[((co * cin + o % cin) * kernel + (size_t)ky) * kernel + (size_t)kx] : 0.0f;
            }
}

static int make_stacked(conv_back *c, const plan_step *s, const view *x, const view *y, const conv_back *like)
{
    int rc = 0, low, high;
    size_t side, area, channels = (size_t)(c->stride * c->stride * y->c), *tap = NULL;
    float *w = NULL;
    conv_shape by;
    window_of(s, &low, &high);
    side = (size_t)(high - low + 1);
    area = side * side;
    c->n_parts = 1;
    TRY(mem_new(&c->part, 1, sizeof(conv *), s->name));
    c->grid = (view){ .c = (int)channels, .h = (y->h + c->stride - 1) / c->stride,
                      .w = (y->w + c->stride - 1) / c->stride, .ld = channels, .is_bf16 = y->is_bf16 };
    c->grid.row = c->grid.ld * (size_t)c->grid.w;
    c->grid.image = c->grid.row * (size_t)c->grid.h;
    TRY(mem_new(&tap, area, sizeof *tap, s->name));
    for (size_t i = 0; i < area; i++)
        tap[i] = i;
    TRY(mem_new(&w, channels * (size_t)x->c * area, sizeof *w, s->name));
    stack_weights(s, (size_t)y->c, (size_t)x->c, low, side, w);
    by = (conv_shape){ .name = s->name, .cin = x->c, .cout = (int)channels, .kh = (int)side, .kw = (int)side,
                          .stride = 1, .top = low, .left = low, .tap = tap, .out_apart = (size_t)x->c * area,
                          .in_apart = area };
    TRY(conv_make(&c->part[0], &by, w, NULL, x, &c->grid, like != NULL ? like->part[0] : NULL));
done:
    free(w);
    free(tap);
    return rc;
}

/* Steps of the tile kernels for one gradient pixel and channel, as vectors. */
static int stacks(const plan_step *s, const view *y)
{
    const int lanes = (y->is_bf16 ? conv_kernel_bf16() : conv_kernel_f32())->lanes;
    int low, high, phases, stacked, vectors = (y->c + lanes - 1) / lanes;
    if (s->stride <= 1 || s->groups > 1 || s->stride * s->stride * y->c > 1024) return 0;
    window_of(s, &low, &high);
    phases = s->kernel * s->kernel * vectors;
    stacked = (high - low + 1) * (high - low + 1) * ((s->stride * s->stride * y->c + lanes - 1) / lanes);
    return 10 * stacked < 9 * phases;
}

/* Channels [q, r, c] of the grid to pixels (stride a + q, stride b + r): for one q they are neighbours in both. */
static void spread(const conv_back *c, const view *grid, const view *y, int n)
{
    const size_t stride = (size_t)c->stride, channels = (size_t)y->c, e = view_bytes(y);
    for (size_t i = 0; i < (size_t)n; i++)
        for (size_t iy = 0; iy < (size_t)y->h; iy++) {
            const char *from = view_pixel(grid, i, iy / stride, 0) + iy % stride * stride * channels * e;
            char *to = view_pixel(y, i, iy, 0);
            for (size_t ix = 0; ix < (size_t)y->w; ix += stride, from += grid->ld * e, to += stride * y->ld * e) {
                size_t pixels = (size_t)y->w - ix < stride ? (size_t)y->w - ix : stride;
                if (y->ld == channels) memcpy(to, from, pixels * channels * e);
                else
                    for (size_t r = 0; r < pixels; r++)
                        memcpy(to + r * y->ld * e, from + r * channels * e, channels * e);
            }
        }
}

/* ---- both --------------------------------------------------------------------------------------- */

int conv_back_new(conv_back **out, const plan_step *step, const view *x, const view *y, const conv_back *like)
{
    int rc = 0;
    conv_back *c = NULL;
    TRY(mem_new(&c, 1, sizeof *c, step->name));
    c->stride = step->stride > 0 ? step->stride : 1;
    c->groups = step->groups;
    c->stacked = stacks(step, y);
    if (c->stacked) TRY(make_stacked(c, step, x, y, like));
    else TRY(make_phases(c, step, x, y, like));
    *out = c;
    c = NULL;
done:
    conv_back_free(&c);
    return rc;
}

void conv_back_free(conv_back **c)
{
    if (*c == NULL) return;
    for (size_t i = 0; (*c)->part != NULL && i < (*c)->n_parts; i++)
        conv_free(&(*c)->part[i]);
    free((*c)->part);
    free(*c);
    *c = NULL;
}

size_t conv_back_scratch(const conv_back *c, int n)
{
    return c->stacked ? c->grid.image * (size_t)n * view_bytes(&c->grid) + MEM_ALIGN : 0;
}

int conv_back_ends(const conv_back *c)
{
    return !c->stacked;
}

static void run_phase(const conv_back *c, size_t part, const view *x, const view *y, const conv_ending *e, int n)
{
    const int area = c->stride * c->stride, group = (int)part / area;
    const plan_step at = { .stride = c->stride };
    const phase down = phase_of(&at, (int)part % area / c->stride, y->h);
    const phase along = phase_of(&at, (int)part % c->stride, y->w);
    const view xs = slice_of(x, group, c->groups), ys = slice_of(y, group, c->groups);
    const view to = phase_view(&ys, c->stride, &down, &along);
    conv_ending ending = *e;
    view r, g;
    if (e->residual != NULL) {
        r = slice_of(e->residual, group, c->groups);
        r = phase_view(&r, c->stride, &down, &along);
        ending.residual = &r;
    }
    if (e->gate != OP_COUNT) {
        g = slice_of(e->at, group, c->groups);
        g = phase_view(&g, c->stride, &down, &along);
        ending.at = &g;
    }
    conv_run_ending(c->part[part], &xs, &to, &ending, n);
}

void conv_back_run(const conv_back *c, const view *x, const view *y, const conv_ending *e, void *scratch, int n)
{
    if (c->stacked) {
        view grid = c->grid;
        grid.p = scratch;
        conv_run(c->part[0], x, &grid, NULL, n);
        spread(c, &grid, y, n);
        return;
    }
    for (size_t i = 0; i < c->n_parts; i++)
        if (c->part[i] != NULL) run_phase(c, i, x, y, e, n);
}
