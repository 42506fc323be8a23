#include "extract/cpu/depthwise.h"
#include "common/err.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

struct depthwise {
    const conv_kernel *kernel;
    size_t channels, taps;
    int stride, pad;
    size_t *tap;
    float *w, *bias;
};

int depthwise_new(depthwise **out, const plan_step *step, const view *x)
{
    int rc = 0;
    size_t k = (size_t)step->kernel, lanes, rounded;
    depthwise *d = NULL;
    TRY(mem_new(&d, 1, sizeof *d, step->name));
    d->kernel = x->is_bf16 ? conv_kernel_bf16() : conv_kernel_f32();
    lanes = (size_t)d->kernel->lanes;
    d->channels = (size_t)x->c;
    d->taps = k * k;
    rounded = (d->channels + lanes - 1) / lanes * lanes;
    d->stride = step->stride;
    d->pad = step->pad;
    TRY(mem_new(&d->tap, d->taps, sizeof *d->tap, step->name));
    TRY(mem_new(&d->w, d->taps * rounded, sizeof *d->w, step->name));
    TRY(mem_new(&d->bias, rounded, sizeof *d->bias, step->name));
    for (size_t t = 0; t < d->taps; t++) {
        d->tap[t] = (t / k * x->row + t % k * x->ld) * view_bytes(x);
        for (size_t c = 0; c < d->channels; c++)
            d->w[(c / lanes * d->taps + t) * lanes + c % lanes] = step->w[c * d->taps + t];
    }
    memcpy(d->bias, step->b, d->channels * sizeof *d->bias);
    *out = d;
    d = NULL;
done:
    depthwise_free(&d);
    return rc;
}

void depthwise_free(depthwise **d)
{
    if (*d == NULL) return;
    free((*d)->tap);
    free((*d)->w);
    free((*d)->bias);
    free(*d);
    *d = NULL;
}

void depthwise_run(const depthwise *d, const view *x, const view *y, activation act, int n)
{
    size_t e = view_bytes(x), stride = (size_t)d->stride;
    const char *from = (const char *)x->p - (size_t)d->pad * (x->row + x->ld) * e;
    depthwise_args a = { .tap = d->tap, .taps = d->taps, .channels = d->channels, .w = d->w,
                         .bias = d->bias, .x_step = stride * x->ld * e,
                         .y_step = y->ld * e, .low = activation_low(act),
                         .high = activation_high(act),
                         .curve = activation_curve(act) };
    for (size_t i = 0; i < (size_t)n; i++)
        for (size_t oy = 0; oy < (size_t)y->h; oy++)
            d->kernel->depthwise(&a, from + (i * x->image + oy * stride * x->row) * e,
                                 (char *)y->p + (i * y->image + oy * y->row) * e, (size_t)y->w);
}
