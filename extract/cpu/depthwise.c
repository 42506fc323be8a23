#include "extract/cpu/depthwise.h"
#include "extract/cpu/maps_back.h"
#include "extract/cpu/phase.h"
#include "common/err.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

typedef struct window { /* what one depth-wise walk sums over */
    size_t taps, stride;
    int top, left;
    size_t *tap;      /* [taps] bytes from the window's first element */
    float *w, *bias;
    int phase_y, phase_x;
} window;

struct depthwise {
    const conv_kernel *kernel;
    size_t channels;
    plan_step s;      /* stride, kernel, pad */
    window *windows;  /* one; of a gradient one for each phase */
    size_t n_windows;
};

/* ---- preparation -------------------------------------------------------------------------------- */

/* kh x kw taps, of which tap i is element at[i] of a channel's k x k weights. */
static int make_window(const depthwise *d, window *v, const plan_step *s, int kh, int kw, const size_t *at,
                       const view *x)
{
    int rc = 0;
    size_t lanes = (size_t)d->kernel->lanes, rounded = (d->channels + lanes - 1) / lanes * lanes;
    size_t area = (size_t)(s->kernel * s->kernel);
    v->taps = (size_t)(kh * kw);
    TRY(mem_new(&v->tap, v->taps, sizeof *v->tap, s->name));
    TRY(mem_new(&v->w, v->taps * rounded, sizeof *v->w, s->name));
    TRY(mem_new(&v->bias, rounded, sizeof *v->bias, s->name));
    for (size_t t = 0; t < v->taps; t++) {
        v->tap[t] = (t / (size_t)kw * x->row + t % (size_t)kw * x->ld) * view_bytes(x);
        for (size_t c = 0; c < d->channels; c++)
            v->w[(c / lanes * v->taps + t) * lanes + c % lanes] = s->w[c * area + at[t]];
    }
    if (s->b != NULL) memcpy(v->bias, s->b, d->channels * sizeof *v->bias);
done:
    return rc;
}

static int make_forward(depthwise *d, const plan_step *s, const view *x, size_t *at)
{
    window *v = &d->windows[0];
    for (size_t i = 0; i < (size_t)(s->kernel * s->kernel); i++)
        at[i] = i;
    v->stride = (size_t)s->stride;
    v->top = v->left = -s->pad;
    return make_window(d, v, s, s->kernel, s->kernel, at, x);
}

static int make_phase(depthwise *d, window *v, const plan_step *s, const phase *down, const phase *along,
                      const view *x, size_t *at)
{
    for (int i = 0; i < down->taps * along->taps; i++)
        at[i] = phase_tap(down, s->stride, i / along->taps) * (size_t)s->kernel +
                phase_tap(along, s->stride, i % along->taps);
    v->stride = 1;
    v->top = down->d - (down->taps - 1);
    v->left = along->d - (along->taps - 1);
    v->phase_y = down->q;
    v->phase_x = along->q;
    return make_window(d, v, s, down->taps, along->taps, at, x);
}

int depthwise_new(depthwise **out, const plan_step *step, const view *x, const view *y)
{
    int rc = 0, back = step->op == OP_conv_back, phases = back ? step->stride * step->stride : 1;
    size_t *at = NULL;
    depthwise *d = NULL;
    TRY(mem_new(&d, 1, sizeof *d, step->name));
    TRY(mem_new(&at, (size_t)(step->kernel * step->kernel), sizeof *at, step->name));
    d->kernel = x->is_bf16 ? conv_kernel_bf16() : conv_kernel_f32();
    d->channels = (size_t)x->c;
    d->s = (plan_step){ .stride = step->stride, .kernel = step->kernel, .pad = step->pad };
    TRY(mem_new(&d->windows, (size_t)phases, sizeof *d->windows, step->name));
    d->n_windows = (size_t)phases;
    if (!back) TRY(make_forward(d, step, x, at));
    for (int i = 0; back && i < phases; i++) {
        const phase down = phase_of(step, i / step->stride, y->h), along = phase_of(step, i % step->stride, y->w);
        TRY(make_phase(d, &d->windows[i], step, &down, &along, x, at));
    }
    *out = d;
    d = NULL;
done:
    free(at);
    depthwise_free(&d);
    return rc;
}

void depthwise_free(depthwise **d)
{
    if (*d == NULL) return;
    for (size_t i = 0; i < (*d)->n_windows; i++) {
        free((*d)->windows[i].tap);
        free((*d)->windows[i].w);
        free((*d)->windows[i].bias);
    }
    free((*d)->windows);
    free(*d);
    *d = NULL;
}

/* ---- running ------------------------------------------------------------------------------------ */

/* One row of y, which may be a phase's. */
static void run_row(const depthwise *d, const window *v, const view *x, const view *y, activation act, size_t i,
                    size_t oy)
{
    const size_t e = view_bytes(x);
    const ptrdiff_t corner = (v->top * (ptrdiff_t)x->row + v->left * (ptrdiff_t)x->ld) * (ptrdiff_t)e;
    const depthwise_args a = { .tap = v->tap, .taps = v->taps, .channels = d->channels, .w = v->w,
                               .bias = v->bias, .x_step = v->stride * x->ld * e, .y_step = y->ld * e,
                               .low = activation_low(act), .high = activation_high(act),
                               .curve = activation_curve(act) };
    d->kernel->depthwise(&a, (char *)x->p + (i * x->image + oy * v->stride * x->row) * e + corner,
                         (char *)y->p + (i * y->image + oy * y->row) * e, (size_t)y->w);
}

void depthwise_run(const depthwise *d, const view *x, const view *y, activation act, int n)
{
    for (size_t i = 0; i < (size_t)n; i++)
        for (size_t oy = 0; oy < (size_t)y->h; oy++)
            run_row(d, &d->windows[0], x, y, act, i, oy);
}

void depthwise_run_back(const depthwise *d, const view *x, const view *y, const conv_ending *e, int n)
{
    const size_t stride = (size_t)d->s.stride;
    for (size_t i = 0; i < (size_t)n; i++)
        for (size_t iy = 0; iy < (size_t)y->h; iy++) {
            for (size_t q = 0; q < stride && q < (size_t)y->w; q++) {
                const window *v = &d->windows[iy % stride * stride + q];
                const phase down = phase_of(&d->s, v->phase_y, y->h), along = phase_of(&d->s, v->phase_x, y->w);
                const view to = phase_view(y, d->s.stride, &down, &along);
                run_row(d, v, x, &to, ACT_NONE, i, iy / stride);
            }
            map_end_row(y, e, i, iy);
        }
}
