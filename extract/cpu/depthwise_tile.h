/* Depth-wise rows of one instruction set; included by conv_tile.h.  A vector of channels of up to
 * PIXELS neighbouring outputs is held in registers; every sum runs over the window's taps in order,
 * whatever the tile. */

enum { PIXELS = 8 };

ALWAYS void depthwise_start(const int pixels, const float *bias, vec *acc)
{
#pragma GCC unroll 8
    for (int i = 0; i < pixels; i++)
        acc[i] = LOAD(bias);
}

ALWAYS void depthwise_finish(const int pixels, const depthwise_args *a, const vec *acc, char *y,
                             int part)
{
    const vec low = SET1(a->low), high = SET1(a->high);
#pragma GCC unroll 8
    for (int i = 0; i < pixels; i++, y += a->y_step) {
        vec v = bounded(acc[i], low, high);
        if (a->curve == ACT_GELU) v = gelu(v);
        else if (a->curve != ACT_NONE) v = curved(v, a->curve);
        if (part == LANES) TO_ELEMENTS((void *)y, v);
        else store_part(y, v, part);
    }
}

/* Any window and stride. */
ALWAYS void depthwise_any(const int pixels, const depthwise_args *a, const char *x, char *y,
                          const float *w, const float *bias, int part)
{
    vec acc[PIXELS];
    depthwise_start(pixels, bias, acc);
    for (size_t t = 0; t < a->taps; t++, w += LANES) {
        const char *from = x + a->tap[t];
        const vec one = LOAD(w);
#pragma GCC unroll 8
        for (int i = 0; i < pixels; i++, from += a->x_step)
            acc[i] = MADD(part == LANES ? FROM_ELEMENTS((const void *)from) : load_part(from, part),
                          one, acc[i]);
    }
    depthwise_finish(pixels, a, acc, y, part);
}

/* Stride 1, k x k: an input pixel is loaded once for all outputs of the row that see it. */
ALWAYS void depthwise_slide(const int k, const int pixels, const depthwise_args *a, const char *x,
                            char *y, const float *w, const float *bias)
{
    vec acc[PIXELS];
    depthwise_start(pixels, bias, acc);
    for (int ky = 0; ky < k; ky++, w += k * LANES) {
        const char *from = x + a->tap[ky * k];
#pragma GCC unroll 16
        for (int j = 0; j < pixels + k - 1; j++, from += a->x_step) {
            const vec in = FROM_ELEMENTS((const void *)from);
#pragma GCC unroll 8
            for (int kx = 0; kx < k; kx++)
                if (j - kx >= 0 && j - kx < pixels)
                    acc[j - kx] = MADD(in, LOAD(w + kx * LANES), acc[j - kx]);
        }
    }
    depthwise_finish(pixels, a, acc, y, LANES);
}

#define EACH_COUNT(call) /* of pixels */                                                           \
    switch (pixels) {                                                                              \
    case 1: call(1); break;                                                                        \
    case 2: call(2); break;                                                                        \
    case 3: call(3); break;                                                                        \
    case 4: call(4); break;                                                                        \
    case 5: call(5); break;                                                                        \
    case 6: call(6); break;                                                                        \
    case 7: call(7); break;                                                                        \
    default: call(8); break;                                                                       \
    }
#define SLIDE(k)                                                                                   \
    static void depthwise_##k(int pixels, const depthwise_args *a, const char *x, char *y,         \
                              const float *w, const float *bias)                                   \
    {                                                                                              \
        EACH_COUNT(SLIDE_##k)                                                                      \
    }
#define SLIDE_3(n) depthwise_slide(3, n, a, x, y, w, bias)
#define SLIDE_5(n) depthwise_slide(5, n, a, x, y, w, bias)
#define SLIDE_7(n) depthwise_slide(7, n, a, x, y, w, bias)
SLIDE(3)
SLIDE(5)
SLIDE(7)

#define ANY(n) depthwise_any(n, a, x, y, w, bias, LANES)
static void depthwise_whole(int pixels, const depthwise_args *a, const char *x, char *y,
                            const float *w, const float *bias)
{
    EACH_COUNT(ANY)
}

static void depthwise(const depthwise_args *a, const char *x, char *y, size_t pixels)
{
    size_t tiles = (pixels + PIXELS - 1) / PIXELS;
    int slides = a->taps > 1 && a->x_step == a->tap[1] - a->tap[0];
    void (*whole)(int, const depthwise_args *, const char *, char *, const float *, const float *) =
        slides && a->taps == 9    ? depthwise_3
        : slides && a->taps == 25 ? depthwise_5
        : slides && a->taps == 49 ? depthwise_7
                                  : depthwise_whole;
    for (size_t c = 0; c < a->channels; c += LANES) {
        int part = a->channels - c < LANES ? (int)(a->channels - c) : LANES;
        const char *from = x + c * sizeof(ELEMENT);
        char *to = y + c * sizeof(ELEMENT);
        const float *w = a->w + c * a->taps, *bias = a->bias + c;
        if (part < LANES) {
            for (size_t i = 0; i < pixels; i++)
                depthwise_any(1, a, from + i * a->x_step, to + i * a->y_step, w, bias, part);
            continue;
        }
        for (size_t i = 0; i < tiles; i++) { /* of nearly equal length */
            size_t n = pixels / tiles + (i < pixels % tiles);
            whole((int)n, a, from, to, w, bias);
            from += n * a->x_step;
            to += n * a->y_step;
        }
    }
}
