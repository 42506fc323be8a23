/* GELU, SiLU and sigmoid on every instruction set against libm in double, over the whole range of f32:
 * every 251st bit pattern, both signs, and the special ones. */
#include "extract/cpu/conv.h"
#include "extract/cpu/curves.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { RUN = 4096, STRIDE = 251 };

static const char *const sets[] = { "base", "avx2", "avx512" };

static double exact(activation act, double x)
{
    if (act == ACT_GELU) return x / 2 * erfc(-x * M_SQRT1_2);
    return act == ACT_SILU ? x / (1 + exp(-x)) : 1 / (1 + exp(-x));
}

static float from_bits(uint32_t b)
{
    float f;
    memcpy(&f, &b, sizeof f);
    return f;
}

typedef struct worst {
    double share, at, ulp, ulp_at;
} worst;

/* GELU: 2e-7 max(1,|x|); the others 3e-7 relative above 1e-37, where exponentials are cut to 0. */
static double tolerance(activation act, double x, double y)
{
    if (act == ACT_GELU) return 2e-7 * fmax(1, fabs(x));
    return 3e-7 * fabs(y) + (act == ACT_SILU ? 88 : 1) * 1.2e-37;
}

static double ulp_of(double y)
{
    int e;
    frexp(y, &e);
    return ldexp(1, (e < -125 ? -125 : e) - 24);
}

static void one_value(activation act, float x, float y, worst *w)
{
    double right = exact(act, (double)x), off = fabs((double)y - right), share;
    if (isnan(right)) {
        assert_true(isnan(y));
        return;
    }
    if (isinf(right)) {
        assert_true(right == (double)y);
        return;
    }
    share = off / tolerance(act, (double)x, right);
    if (!(share <= 1))
        fail_msg("curve %d of %.9g is %.9g, not %.9g", (int)act, (double)x, (double)y, right);
    if (share > w->share) {
        w->share = share;
        w->at = (double)x;
    }
    if ((fabs(right) > 1e-30 && (act != ACT_GELU || x > -1)) && off / ulp_of(right) > w->ulp) {
        w->ulp = off / ulp_of(right);
        w->ulp_at = (double)x;
    }
}

static void whole_range(activation act, const char *name)
{
    static float x[RUN], y[RUN];
    for (size_t s = 0; s < sizeof sets / sizeof *sets; s++) {
        worst w = { 0 };
        setenv("OUTPOST_CPU", sets[s], 1);
        for (uint64_t b = 0; b < UINT64_C(1) << 32;) {
            size_t n = 0;
            for (; n < RUN && b < UINT64_C(1) << 32; n++, b += STRIDE)
                y[n] = x[n] = from_bits((uint32_t)b);
            curve_apply(act, y, n);
            for (size_t i = 0; i < n; i++)
                one_value(act, x[i], y[i], &w);
        }
        print_message("# %s on %s: %.0f%% of the tolerance used (at %.9g), %.2f ulp (at %.9g)\n", name,
                      conv_kernel_f32()->name, 100 * w.share, w.at, w.ulp, w.ulp_at);
        assert_true(w.share > 0.01); /* something was compared */
    }
}

static void gelu_holds(void **state)
{
    (void)state;
    whole_range(ACT_GELU, "gelu");
}

static void silu_holds(void **state)
{
    (void)state;
    whole_range(ACT_SILU, "silu");
}

static void sigmoid_holds(void **state)
{
    (void)state;
    whole_range(ACT_SIGMOID, "sigmoid");
}

/* Infinities, NaN, zeros and the smallest numbers, in every lane and in the rest after whole vectors. */
static void special_values(void **state)
{
    static const float special[] = { INFINITY, -INFINITY, NAN, 0.0f, -0.0f, 1e-45f, -1e-45f, 3.4e38f,
                                     -3.4e38f, 88.8f, -88.8f, 13.0f, -13.0f, -12.9f };
    (void)state;
    for (size_t s = 0; s < sizeof sets / sizeof *sets; s++)
        for (activation act = ACT_GELU; act <= ACT_SIGMOID; act++)
            for (size_t n = 1; n < 40; n++) {
                float v[41], x[41];
                worst w = { 0 };
                setenv("OUTPOST_CPU", sets[s], 1);
                for (size_t i = 0; i < 41; i++)
                    v[i] = x[i] = special[(i + n) % (sizeof special / sizeof *special)];
                curve_apply(act, v, n);
                for (size_t i = 0; i < n; i++)
                    one_value(act, x[i], v[i], &w);
                assert_memory_equal(v + n, x + n, (41 - n) * sizeof *v);
            }
}

/* Bounds and none are not curves. */
static void others_are_left(void **state)
{
    float v[3] = { -1, 0, 7 };
    (void)state;
    for (activation act = ACT_NONE; act <= ACT_RELU6; act++)
        curve_apply(act, v, 3);
    assert_true(v[0] == -1 && v[1] == 0 && v[2] == 7);
}

/* The two vector sets fuse multiply-add alike: the same bits. */
static void same_bits(void **state)
{
    float a[1000], b[1000];
    (void)state;
    for (activation act = ACT_GELU; act <= ACT_SIGMOID; act++) {
        for (size_t i = 0; i < 1000; i++)
            a[i] = b[i] = ((float)i - 500) * 0.0317f;
        setenv("OUTPOST_CPU", "avx2", 1);
        curve_apply(act, a, 1000);
        setenv("OUTPOST_CPU", "avx512", 1);
        curve_apply(act, b, 1000);
        assert_memory_equal(a, b, sizeof a);
    }
}

/* A layer of ACROSS tokens, k -> out channels, as conv runs it. */
enum { ACROSS = 31 };

static void layer(activation act, int is_bf16, int depthwise_kernel, int k, int out, const float *w,
                  const float *b, const float *from, float *to)
{
    view x = { .c = k, .h = 1, .w = ACROSS, .ld = (size_t)k, .row = (size_t)(k * ACROSS),
               .image = (size_t)(k * ACROSS), .is_bf16 = is_bf16 };
    view y = { .c = out, .h = 1, .w = ACROSS, .ld = (size_t)out, .row = (size_t)(out * ACROSS),
               .image = (size_t)(out * ACROSS), .is_bf16 = is_bf16 };
    plan_step s = { .op = OP_conv, .name = "layer", .act = act, .kernel = 1, .stride = 1, .groups = 1 };
    conv *c = NULL;
    float *room = calloc(x.image + y.image + 2, sizeof *room);
    x.p = room;
    y.p = room + x.image + 1;
    for (size_t i = 0; i < x.image; i++)
        if (is_bf16) ((bf16 *)x.p)[i] = bf16_from_float(from[i]);
        else ((float *)x.p)[i] = from[i];
    s.w = malloc((size_t)(k * out) * sizeof *s.w);
    s.b = malloc((size_t)out * sizeof *s.b);
    memcpy(s.w, w, (size_t)(depthwise_kernel ? k : k * out) * sizeof *s.w);
    memcpy(s.b, b, (size_t)out * sizeof *s.b);
    if (depthwise_kernel) {
        size_t tap = 0;
        float weights_of[64] = { 0 }, bias_of[64] = { 0 };
        const conv_kernel *kernel = is_bf16 ? conv_kernel_bf16() : conv_kernel_f32();
        depthwise_args a = { .tap = &tap, .taps = 1, .channels = (size_t)k, .w = weights_of,
                             .bias = bias_of, .x_step = x.ld * view_bytes(&x),
                             .y_step = y.ld * view_bytes(&y), .low = -INFINITY, .high = INFINITY,
                             .curve = activation_curve(act) };
        memcpy(weights_of, s.w, (size_t)k * sizeof *s.w);
        memcpy(bias_of, s.b, (size_t)k * sizeof *s.b);
        kernel->depthwise(&a, x.p, y.p, ACROSS);
    } else {
        assert_int_equal(conv_new(&c, &s, &x, &y, NULL), 0);
        conv_run(c, &x, &y, NULL, 1);
        conv_free(&c);
    }
    for (size_t i = 0; i < y.image; i++)
        to[i] = is_bf16 ? bf16_to_float(((bf16 *)y.p)[i]) : ((float *)y.p)[i];
    free(s.w);
    free(s.b);
    free(room);
}

/* A curve behind a layer is the layer, then the curve: to the bit in f32, and in bf16, where the sum is not
 * rounded before the curve, to 2^-8 of the sum, times the largest
 * slope, and of the result. */
static void behind_a_layer(void **state)
{
    static float x[ACROSS * 48], w[48 * 64], b[64], plain[ACROSS * 64], bent[ACROSS * 64];
    static float sum[ACROSS * 64];
    static const int outs[] = { 1, 15, 16, 33, 48, 61, 64 };
    uint32_t draw = 7;
    double used = 0;
    (void)state;
    for (size_t i = 0; i < sizeof x / sizeof *x; i++)
        x[i] = (float)((draw = draw * 1664525 + 1013904223) >> 16) / 32768.0f - 1.0f;
    for (size_t i = 0; i < sizeof w / sizeof *w; i++)
        w[i] = (float)((draw = draw * 1664525 + 1013904223) >> 16) / 32768.0f - 1.0f;
    for (size_t i = 0; i < 64; i++)
        b[i] = (float)((draw = draw * 1664525 + 1013904223) >> 16) / 32768.0f - 1.0f;
    for (size_t s = 0; s <= sizeof sets / sizeof *sets; s++)
        for (size_t o = 0; o < 2 * sizeof outs / sizeof *outs; o++)
            for (activation act = ACT_GELU; act <= ACT_SIGMOID; act++) {
                int is_bf16 = s == 3, each = o % 2, out = outs[o / 2], k = each ? out : 48;
                setenv("OUTPOST_CPU", sets[is_bf16 ? 2 : s], 1);
                if ((is_bf16 && conv_kernel_bf16() == NULL) || (each && out > 48)) continue;
                layer(ACT_NONE, is_bf16, each, k, out, w, b, x, plain);
                layer(act, is_bf16, each, k, out, w, b, x, bent);
                memcpy(sum, plain, sizeof sum);
                curve_apply(act, plain, (size_t)(out * ACROSS));
                for (size_t i = 0; i < (size_t)(out * ACROSS); i++) {
                    double room = 1.13 * fabs((double)sum[i]) + fabs((double)bent[i]);
                    double off = fabs((double)plain[i] - (double)bent[i]);
                    room = is_bf16 ? room / 256 + 1e-6 : 0;
                    if (!(off <= room)) fail_msg("%g, not %g", (double)bent[i], (double)plain[i]);
                    if (is_bf16) used = fmax(used, off / room);
                }
            }
    print_message("# behind a layer: bf16 uses %.0f%% of the tolerance\n", 100 * used);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gelu_holds),   cmocka_unit_test(silu_holds), cmocka_unit_test(sigmoid_holds),
        cmocka_unit_test(special_values), cmocka_unit_test(others_are_left), cmocka_unit_test(same_bits),
        cmocka_unit_test(behind_a_layer),
    };
    return cmocka_run_group_tests_name("curves", tests, NULL, NULL);
}
