/* The pixels of an input that a convolution of some stride reads alike: those of one phase (conv_back.h). */
#ifndef OUTPOST_PHASE_H
#define OUTPOST_PHASE_H

#include "extract/cpu/view.h"
#include "extract/plan.h"

typedef struct phase { /* along one axis: pixels stride a + q */
    int q, first, taps, d;
    int pixels;
} phase;

static inline phase phase_of(const plan_step *s, int q, int input)
{
    int stride = s->stride > 0 ? s->stride : 1, kernel = s->kernel > 0 ? s->kernel : 1;
    phase p = { .q = q, .first = (q + s->pad) % stride, .d = (q + s->pad) / stride };
    p.taps = p.first < kernel ? (kernel - p.first - 1) / stride + 1 : 0;
    p.pixels = q < input ? (input - q - 1) / stride + 1 : 0;
    return p;
}

/* The kernel's row or column behind number t of the turned window. */
static inline size_t phase_tap(const phase *p, int stride, int t)
{
    return (size_t)(p->first + (p->taps - 1 - t) * stride);
}

static inline view phase_view(const view *v, int stride, const phase *down, const phase *along)
{
    view s = *v;
    s.h = down->pixels;
    s.w = along->pixels;
    s.p = (char *)v->p + ((size_t)down->q * v->row + (size_t)along->q * v->ld) * view_bytes(v);
    s.row = v->row * (size_t)stride;
    s.ld = v->ld * (size_t)stride;
    return s;
}

#endif
