/* Every kernel of kernels/table.def in every type, CPU twin against CUDA twin, on a real device through
 * the plugin: one element, odd sizes, rows of every path, addresses that are not aligned, zeros, huge
 * values, denormals, infinities and NaN; then in place, and one image of the batch alone, which must
 * give the same bits.
 * Whatever IEEE 754 fixes must agree to the bit.  Twins that sum in another order or use another expf or
 * erff agree within what `tolerance_of` says, and one rounding where y has 16 bits.
 * Without a device the CUDA twins are run by emulation on the CPU (tests/emu), which holds their
 * indices, bounds, barriers and shuffles; without that too, the whole file is skipped. */
#include "common/err.h"
#include "extract/plugin.h"
#include "kernels/groupnorm.h"
#include "kernels/nearest.h"
#include "tests/lib/record_random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const cuda_plugin *plugin;
static int emulated; /* slow: the largest shapes are left to devices */
static cuda_backend *be;

static void ok(int rc)
{
    if (rc < 0) fail_msg("%s", err_text());
}

static uint32_t bits(float v)
{
    uint32_t b;
    memcpy(&b, &v, sizeof b);
    return b;
}

/* A fixed stream of numbers: mostly of order one, one in 16 unusual. */
static uint64_t seed;
static uint32_t draw(void)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(seed >> 32);
}

static float draw_float(int odd)
{
    static const float unusual[] = { 0.0f, -0.0f, 3e38f, -3e38f, 1e-42f, INFINITY, -INFINITY, NAN };
    uint32_t r = draw();
    if (odd && r % 16 == 0) return unusual[draw() % 8];
    return ((float)(draw() >> 8) / 16777216.0f - 0.5f) * 8.0f;
}

typedef struct sizes {
    size_t x[4], y; /* elements */
} sizes;

typedef struct types {
    int x, y;
} types;

/* ---- arguments --------------------------------------------------------------------------------- */

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* A map of whole windows: 2x2 in 4x6, 7x7 in 14x14, 7x7 alone, by variant 1, 2, 3; 0: no windows. */
static void set_windows(op_args *a, int variant, int *h, int *w)
{
    if (variant == 0) return;
    a->window = variant == 1 ? 2 : 7;
    a->shift = variant == 1 ? 1 : variant == 2 ? 3 : 0;
    *h = variant == 1 ? 4 : 7 * (4 - variant);
    *w = variant == 1 ? 6 : 7 * (4 - variant);
    a->n = least(a->n, 2);
}

static int heads_of(int c)
{
    return c % 32 == 0 ? c / 32 : c % 3 == 0 ? 3 : 1;
}

static void set_pool(op_args *a, int kernel, int stride)
{
    int ceil = (a->flags & KF_CEIL) != 0;
    a->kernel = kernel;
    a->stride = stride;
    a->pad = kernel / 2;
    a->oh = op_pooled(a->h, kernel, stride, a->pad, ceil);
    a->ow = op_pooled(a->w, kernel, stride, a->pad, ceil);
}

static void set_scores(op_args *a, int variant)
{
    a->scale = 0.37f;
    if (variant % 2 == 0) {
        if (variant == 2) {
            a->x_c = (a->c + 7) / 8 * 8 + 8;
            a->y_c = (a->c + 7) / 8 * 8;
        }
        return;
    }
    set_windows(a, variant == 1 ? 1 : 2, &a->oh, &a->ow);
    a->n = least(a->n, 2) * (a->oh / a->window) * (a->ow / a->window);
    a->h = 3;
    a->w = a->c = a->window * a->window;
    if (variant == 3) a->x_c = a->y_c = 56;
}

static size_t area(int n, int h, int w, int c)
{
    return (size_t)n * (size_t)h * (size_t)w * (size_t)c;
}

/* Floats of the moments of chunks. */
static size_t moments_of(const op_args *a)
{
    return 2 * (size_t)(a->n * a->groups) * (size_t)groupnorm_chunks(a->h * a->w, a->c);
}

/* Operands beside the first, and kernels on maps of their own. */
static void prepare_operands(int kernel, op_args *a, int variant, sizes *s)
{
    size_t c = (size_t)a->c;
    switch (kernel) {
    case KERNEL_normalise_fwd:
        s->x[0] = s->x[1] = c;
        if (variant == 1) a->flags = KF_NCHW;
        else a->y_c = variant == 2 && a->c <= 4 ? 4 : variant == 3 ? least(a->c, 7) + 1 : 0;
        if (a->y_c > 0 && a->y_c < a->c) a->y_c = a->c + 1;
        if (a->y_c > 0) s->y = op_rows(a) * (size_t)a->y_c;
        break;
    case KERNEL_scale_shift_fwd:
    case KERNEL_layernorm_fwd: s->x[1] = s->x[2] = c; break;
    case KERNEL_groupnorm_fwd:
        s->x[1] = s->x[2] = c;
        s->x[3] = 2 * (size_t)(a->n * a->groups);
        break;
    case KERNEL_groupnorm_sum_fwd: s->y = moments_of(a); break;
    case KERNEL_groupnorm_join_fwd:
        s->x[0] = moments_of(a);
        s->y = 2 * (size_t)(a->n * a->groups);
        break;
    case KERNEL_bias_act_fwd: s->x[1] = c; break;
    case KERNEL_gate_fwd: s->x[1] = (size_t)a->n * c; break;
    case KERNEL_add_fwd: s->x[1] = s->x[0]; break;
    case KERNEL_embed_fwd:
        s->x[1] = (1 + area(1, a->h, a->w, 1)) * c;
        s->x[2] = c;
        s->y = s->x[0] + (size_t)a->n * c;
        break;
    case KERNEL_softmax_fwd:
        s->x[0] = op_rows(a) * (size_t)op_x_stride(a);
        s->x[1] = (size_t)((2 * a->window - 1) * (2 * a->window - 1) * a->h);
        s->y = op_rows(a) * (size_t)op_y_stride(a);
        break;
    case KERNEL_performer_sum_fwd:
        s->x[0] = 3 * op_count(a);
        s->x[1] = (size_t)a->groups * c;
        s->y = (size_t)(a->n * ((a->h * a->w - 1) / 128 + 1) * a->groups) * (c + 1);
        break;
    case KERNEL_performer_out_fwd:
        s->x[0] = 3 * op_count(a);
        s->x[1] = (size_t)a->groups * c;
        s->x[2] = (size_t)(a->n * a->groups) * (c + 1);
        break;
    case KERNEL_widen_fwd: /* counted in floats; what is float64 has two each */
        a->groups = variant % 2;
        s->x[1] = 2 * c;
        s->y = 2 * s->x[0];
        break;
    case KERNEL_row_squares_fwd:
    case KERNEL_row_least_fwd:
        a->groups = variant % 2;
        a->scale = -2.0f;
        s->x[0] *= 2;
        s->x[1] = 2 * c;
        s->x[2] = s->y = 2 * op_rows(a);
        break;
    default: break;
    }
    if (kernel == KERNEL_layernorm_fwd) {
        s->x[0] = op_rows(a) * (size_t)op_x_stride(a);
        s->y = op_rows(a) * (size_t)op_y_stride(a);
    }
}

/* What changes the shape. */
static void prepare_shape(int kernel, op_args *a, int variant)
{
    switch (kernel) {
    case KERNEL_maxpool_fwd:
    case KERNEL_avgpool_fwd:
        a->flags = (variant & 2 ? KF_CEIL : 0) | (variant & 1 ? KF_COUNT_PAD : 0);
        if (kernel == KERNEL_maxpool_fwd && variant == 1) a->flags = KF_ZERO_PAD;
        set_pool(a, a->h < 3 || a->w < 3 ? 1 : 3, 1 + variant % 2);
        break;
    case KERNEL_dwconv_fwd:
        set_pool(a, variant == 3 ? 3 : 3 + 2 * variant, 1 + variant / 2);
        a->act = variant;
        break;
    case KERNEL_unfold_fwd:
        a->c = least(a->c, 64);
        set_pool(a, variant == 3 ? 7 : 3, variant == 3 ? 4 : 1 + variant % 2);
        if (variant == 1) a->y_c = (9 * a->c + 7) / 8 * 8;
        if (variant == 2) a->x_c = a->c + 3;
        break;
    case KERNEL_copy_fwd:
        a->x_c = a->c;
        a->x_at = variant == 0 ? 0 : a->c / 3;
        a->c -= a->x_at;
        a->y_at = 8 * (variant / 2) + variant % 2;
        a->y_c = a->c + a->y_at + 8;
        break;
    case KERNEL_shortcut_a_fwd:
    case KERNEL_merge_fwd:
        a->oh = (a->h + 1) / 2;
        a->ow = (a->w + 1) / 2;
        if (kernel == KERNEL_merge_fwd) break;
        a->y_c = 2 * a->c + variant % 2;
        a->y_at = a->c / 2;
        break;
    case KERNEL_pad_crop_fwd:
        a->oh = a->h + variant - 1 > 0 ? a->h + variant - 1 : 1;
        a->ow = a->w + 2 - variant > 0 ? a->w + 2 - variant : 1;
        break;
    case KERNEL_layernorm_fwd:
        a->eps = 1e-5f;
        if (variant == 1) a->x_c = a->y_c = (a->c + 7) / 8 * 8;
        if (variant == 2) a->x_c = a->c + 3;
        break;
    case KERNEL_groupnorm_sum_fwd:
    case KERNEL_groupnorm_join_fwd:
    case KERNEL_groupnorm_fwd:
        a->eps = 1e-5f;
        if (variant == 3 && a->c % 2 == 0) a->groups = a->c / 2; /* BiT's first */
        else a->groups = variant == 1 && a->c < 64 ? a->c : variant == 2 && a->c % 8 == 0 ? a->c / 8 : 1;
        break;
    case KERNEL_softmax_fwd: set_scores(a, variant); break;
    case KERNEL_split_heads_fwd:
    case KERNEL_join_heads_fwd:
        set_windows(a, variant, &a->h, &a->w);
        a->groups = heads_of(a->c);
        break;
    case KERNEL_performer_join_fwd: a->w = 1; break;
    case KERNEL_performer_sum_fwd:
    case KERNEL_performer_out_fwd:
        a->c = least(a->c, 64);
        a->groups = variant < 2 ? 32 : 64 - 31 * (variant - 2);
        break;
    default: break;
    }
}

/* Completes the arguments of one kernel for a shape. */
static sizes prepare(int kernel, op_args *a, int variant)
{
    sizes s = { .x = { 1, 1, 1, 1 } };
    size_t c;
    switch (kernel) {
    case KERNEL_scale_shift_fwd:
    case KERNEL_bias_act_fwd:
    case KERNEL_gate_fwd:
    case KERNEL_add_fwd:
    case KERNEL_groupnorm_fwd: a->act = variant == 3 ? KA_SILU : variant; break;
    case KERNEL_gap_fwd: a->reduce = variant; break;
    case KERNEL_token_fwd: a->x_at = (a->h * a->w - 1) * variant / 3; break;
    case KERNEL_export_fwd: a->flags = variant % 2 ? KF_NCHW : 0; break;
    default: break;
    }
    prepare_shape(kernel, a, variant);
    s.x[0] = s.y = op_count(a);
    c = (size_t)a->c;
    switch (kernel) {
    case KERNEL_maxpool_fwd:
    case KERNEL_avgpool_fwd:
    case KERNEL_dwconv_fwd:
    case KERNEL_pad_crop_fwd: s.y = area(a->n, a->oh, a->ow, a->c); break;
    case KERNEL_unfold_fwd:
        s.x[0] = op_rows(a) * (size_t)op_x_stride(a);
        s.y = area(a->n, a->oh, a->ow, a->y_c > 0 ? a->y_c : a->c * a->kernel * a->kernel);
        break;
    case KERNEL_gap_fwd:
    case KERNEL_token_fwd:
    case KERNEL_performer_join_fwd: s.y = (size_t)a->n * c; break;
    case KERNEL_copy_fwd:
        s.x[0] = op_rows(a) * (size_t)a->x_c;
        s.y = op_rows(a) * (size_t)a->y_c;
        break;
    case KERNEL_shortcut_a_fwd: s.y = area(a->n, a->oh, a->ow, a->y_c); break;
    case KERNEL_merge_fwd: s.y = area(a->n, a->oh, a->ow, 4 * a->c); break;
    case KERNEL_split_heads_fwd: s.x[0] = s.y = 3 * op_count(a); break;
    default: break;
    }
    if (kernel == KERNEL_dwconv_fwd) {
        s.x[1] = (size_t)(a->kernel * a->kernel) * c;
        s.x[2] = c;
    }
    prepare_operands(kernel, a, variant, &s);
    return s;
}

/* ---- values ------------------------------------------------------------------------------------ */

static int is_norm(int kernel)
{
    return kernel == KERNEL_layernorm_fwd || kernel == KERNEL_groupnorm_fwd;
}

/* Rows in float64, drawn as pairs of floats: any pair of ordinary ones is an ordinary double. */
static int is_wide(int kernel)
{
    return kernel == KERNEL_widen_fwd || kernel == KERNEL_row_squares_fwd || kernel == KERNEL_row_least_fwd;
}

static int is_performer(int kernel)
{
    return kernel == KERNEL_performer_sum_fwd || kernel == KERNEL_performer_out_fwd;
}

/* A value that the kernel is made for: the norms square theirs, the performer takes exponentials, and
 * squared deviations are not negative. */
static float value_for(int kernel, int operand, int odd)
{
    float v = draw_float(odd && !is_performer(kernel) && !is_wide(kernel) && !(is_norm(kernel) && operand > 0));
    if (kernel == KERNEL_groupnorm_sum_fwd && !(fabsf(v) < 1e15f)) return NAN;
    if (kernel == KERNEL_groupnorm_join_fwd) return fabsf(v) < 1e15f ? fabsf(v) : NAN;
    if (is_performer(kernel)) return operand == 2 ? fabsf(v) + 0.1f : v / 8;
    if (is_norm(kernel) && fabsf(v) > 1e15f && fabsf(v) < INFINITY) return v > 0 ? 1e15f : -1e15f;
    if (kernel == KERNEL_dwconv_fwd && operand == 1 && !(fabsf(v) < INFINITY)) return 1.0f;
    return v;
}

/* Elements of `type`, then room for one more. */
static void *new_values(int kernel, int operand, size_t count, int type, int odd)
{
    void *v = malloc((count + 1) * sizeof(float));
    assert_non_null(v);
    for (size_t i = 0; i < count; i++)
        type_put(v, type, i, value_for(kernel, operand, odd));
    return v;
}

static void *on_device(const void *from, size_t bytes)
{
    void *mem = NULL;
    ok(plugin->alloc(be, bytes + 16, &mem));
    ok(plugin->upload(be, mem, from, bytes));
    return mem;
}

/* ---- comparison -------------------------------------------------------------------------------- */

typedef struct tolerance {
    double relative, absolute; /* both 0: the bits */
} tolerance;

static tolerance tolerance_of(int kernel, const op_args *a)
{
    tolerance t = { 0, 0 };
    switch (kernel) {
    case KERNEL_gelu_fwd:
    case KERNEL_silu_fwd:
    case KERNEL_sigmoid_fwd: t = (tolerance){ 1e-6, 1e-6 }; break;
    case KERNEL_softmax_fwd: t = (tolerance){ 2e-6, 1e-37 }; break;
    case KERNEL_layernorm_fwd:
    case KERNEL_groupnorm_sum_fwd: t = (tolerance){ 1e-5, 2e-5 }; break;
    case KERNEL_performer_sum_fwd:
    case KERNEL_performer_out_fwd: t = (tolerance){ 1e-5, 1e-5 }; break;
    default:
        if (a->act >= KA_GELU) t = (tolerance){ 1e-6, 1e-6 };
        break;
    }
    if (t.relative > 0 && a->y_type != KT_F32) {
        t.relative += a->y_type == KT_F16 ? 0x1p-10 : 0x1p-7;
        t.absolute += a->y_type == KT_F16 ? 0x1p-24 : 0;
    }
    return t;
}

/* The share of the tolerance that was used; fails where it is passed. */
static double compare(int kernel, const op_args *a, tolerance t, const void *cpu, const void *gpu,
                      size_t count)
{
    double used = 0;
    for (size_t i = 0; i < count; i++) {
        float want = type_get(cpu, a->y_type, i), got = type_get(gpu, a->y_type, i);
        double off = fabs((double)want - (double)got);
        double room = t.relative * fabs((double)want) + t.absolute;
        int right = isnan(want)                     ? isnan(got)
                    : isinf(want) || room == 0      ? bits(want) == bits(got)
                                                    : off <= room;
        if (!right)
            fail_msg("%s [%d,%d,%d,%d] types %d %d flags %u act %d window %d: element %zu is %.9g on the "
                     "CPU and %.9g on the GPU",
                     kernel_names[kernel], a->n, a->h, a->w, a->c, a->x_type, a->y_type, a->flags,
                     a->act, a->window, i, (double)want, (double)got);
        if (room > 0 && isfinite(want) && off / room > used) used = off / room;
    }
    return used;
}

static int may_be_in_place(int kernel, const op_args *a)
{
    switch (kernel) {
    case KERNEL_relu_fwd:
    case KERNEL_gelu_fwd:
    case KERNEL_scale_shift_fwd:
    case KERNEL_bias_act_fwd:
    case KERNEL_gate_fwd:
    case KERNEL_add_fwd:
    case KERNEL_groupnorm_fwd: return a->x_type == a->y_type;
    case KERNEL_layernorm_fwd:
    case KERNEL_softmax_fwd: return a->x_type == a->y_type && op_x_stride(a) == op_y_stride(a);
    default: return 0;
    }
}

/* Do x[0] and y hold one image after the other, and nothing else of an image? */
static int image_by_image(int kernel, const op_args *a)
{
    return a->n > 1 && kernel != KERNEL_normalise_fwd && kernel != KERNEL_split_heads_fwd &&
           kernel != KERNEL_add_fwd && kernel != KERNEL_gate_fwd && kernel != KERNEL_performer_out_fwd &&
           kernel != KERNEL_groupnorm_fwd &&
           !(kernel == KERNEL_softmax_fwd && a->window > 0) &&
           !(kernel == KERNEL_join_heads_fwd && a->window > 0) &&
           !(kernel == KERNEL_row_least_fwd && a->groups > 0);
}

static void *advanced(const void *p, int type, size_t elements)
{
    return (char *)(uintptr_t)p + elements * type_bytes(type);
}

/* The last image of the batch by itself: its bits may not depend on its company. */
static void one_image(int kernel, op_args d, const sizes *s, const void *batch)
{
    size_t last = (size_t)d.n - 1, x = s->x[0] / (size_t)d.n, y = s->y / (size_t)d.n;
    size_t bytes = y * type_bytes(d.y_type);
    void *mine = malloc(bytes), *all = d.y;
    assert_non_null(mine);
    d.x[0] = advanced(d.x[0], d.x_type, last * x);
    d.y = advanced(all, d.y_type, last * y);
    d.n = 1;
    if (kernel != KERNEL_copy_fwd && kernel != KERNEL_shortcut_a_fwd) ok(plugin->clear(be, d.y, bytes));
    ok(plugin->run(be, kernel, &d));
    ok(plugin->download(be, mine, d.y, bytes));
    ok(plugin->sync(be));
    if (memcmp(mine, advanced(batch, d.y_type, last * y), bytes) != 0)
        fail_msg("%s: an image alone has other bits than in a batch of %zu", kernel_names[kernel],
                 last + 1);
    free(mine);
}

static double twins(int kernel, types t, op_args a, int variant, int odd)
{
    sizes s = prepare(kernel, &a, variant);
    size_t bytes = s.y * type_bytes(t.y), image = op_count(&a), skew;
    void *x[4], *d_x[4], *d_u8, *d_y, *cpu, *gpu;
    unsigned char *u8 = malloc(image);
    const char *problem;
    op_args d;
    double used;
    assert_non_null(u8);
    a.x_type = t.x;
    a.y_type = t.y;
    skew = variant == 3 && a.n % 2 == 1 && !is_wide(kernel) ? type_bytes(t.x) : 0; /* not aligned, then */
    cpu = new_values(kernel, 0, s.y, t.y, 0);
    gpu = malloc(bytes);
    assert_non_null(gpu);
    for (size_t i = 0; i < image; i++)
        u8[i] = (unsigned char)draw();
    memcpy(gpu, cpu, bytes); /* what a copy leaves alone must be alike too */
    d = a;
    for (int k = 0; k < 4; k++) {
        int type = k == 0 || kernel == KERNEL_add_fwd ? t.x : KT_F32;
        size_t room = k == 0 ? skew : 0;
        if (kernel == KERNEL_normalise_fwd) type = KT_F32, room = 0;
        x[k] = new_values(kernel, k, s.x[k], type, odd);
        memmove((char *)x[k] + room, x[k], s.x[k] * type_bytes(type));
        d_x[k] = on_device(x[k], s.x[k] * type_bytes(type) + room);
        a.x[k] = (char *)x[k] + room;
        d.x[k] = (char *)d_x[k] + room;
    }
    d_u8 = on_device(u8, image);
    d_y = on_device(gpu, bytes);
    a.u8 = u8;
    d.u8 = d_u8;
    a.y = cpu;
    d.y = d_y;
    problem = kernel_problem(kernel, &a);
    if (problem != NULL) fail_msg("%s: %s", kernel_names[kernel], problem);
    assert_int_equal(kernels_cpu[kernel](&a), 0);
    ok(plugin->run(be, kernel, &d));
    ok(plugin->download(be, gpu, d_y, bytes));
    ok(plugin->sync(be));
    used = compare(kernel, &a, tolerance_of(kernel, &a), cpu, gpu, s.y);
    if (image_by_image(kernel, &d) && skew == 0) one_image(kernel, d, &s, gpu);
    if (may_be_in_place(kernel, &a)) {
        d.y = advanced(d.x[0], t.x, 0);
        ok(plugin->run(be, kernel, &d));
        ok(plugin->download(be, cpu, d.y, bytes));
        ok(plugin->sync(be));
        if (memcmp(cpu, gpu, bytes) != 0) fail_msg("%s: in place it differs", kernel_names[kernel]);
    }
    for (int k = 0; k < 4; k++) {
        free(x[k]);
        plugin->release(be, &d_x[k]);
    }
    plugin->release(be, &d_u8);
    plugin->release(be, &d_y);
    free(u8);
    free(cpu);
    free(gpu);
    return used;
}

/* ---- records of images ------------------------------------------------------------------------- */

static int is_decode(int kernel)
{
    return kernel >= KERNEL_jpeg_samples_fwd && kernel <= KERNEL_resize_down_fwd;
}

/* All four decode kernels on a batch drawn at random, after each the bytes of `kernel` and those before. */
static void decode_twins(int kernel, uint64_t from, size_t n, int h, int w)
{
    static const int chain[RECORD_STAGES] = { KERNEL_jpeg_samples_fwd, KERNEL_jpeg_rgb_fwd,
                                              KERNEL_resize_across_fwd, KERNEL_resize_down_fwd };
    size_t bytes = 0, out = n * (size_t)h * (size_t)w * 3, scratch;
    record_image *batch = random_batch(from, n, h, w, &bytes);
    void *d_batch, *d_scratch, *d_y;
    uint8_t *cpu, *gpu, *y, *got;
    op_args a = { .u8 = (uint8_t *)batch, .n = (int)n, .c = 3, .h = h, .w = w }, d;
    assert_non_null(batch);
    record_layout(batch, n, (size_t)h, (size_t)w, SIZE_MAX, 0);
    scratch = batch->group_scratch + 1; /* of none when no image is a JPEG */
    cpu = calloc(1, scratch);
    gpu = malloc(scratch);
    y = malloc(out);
    got = malloc(out);
    assert_true(cpu != NULL && gpu != NULL && y != NULL && got != NULL);
    memset(y, 0xa5, out);
    d_batch = on_device(batch, bytes);
    d_scratch = on_device(cpu, scratch);
    d_y = on_device(y, out);
    for (int s = 0; s < RECORD_STAGES; s++) {
        const char *problem;
        if (batch->tasks[s] == 0) continue;
        a.x[0] = batch;
        a.x[2] = cpu;
        a.y_c = (int)batch->tasks[s];
        a.y = s == STAGE_DOWN ? y : cpu;
        d = a;
        d.x[0] = d_batch;
        d.u8 = d_batch;
        d.x[2] = d_scratch;
        d.y = s == STAGE_DOWN ? d_y : d_scratch;
        problem = kernel_problem(chain[s], &a);
        if (problem != NULL) fail_msg("%s: %s", kernel_names[chain[s]], problem);
        assert_int_equal(kernels_cpu[chain[s]](&a), 0);
        ok(plugin->run(be, chain[s], &d));
        if (chain[s] == kernel) break;
    }
    ok(plugin->download(be, gpu, d_scratch, scratch));
    ok(plugin->download(be, got, d_y, out));
    ok(plugin->sync(be));
    if (memcmp(gpu, cpu, scratch) != 0 || memcmp(got, y, out) != 0)
        fail_msg("%s: batch %u of %zu images of %d x %d differs", kernel_names[kernel], (unsigned)from, n, w, h);
    plugin->release(be, &d_batch);
    plugin->release(be, &d_scratch);
    plugin->release(be, &d_y);
    free(batch);
    free(cpu);
    free(gpu);
    free(y);
    free(got);
}

/* ---- the runs ---------------------------------------------------------------------------------- */

/* Emulated, each thread of these is a context. */
static int meets(int kernel)
{
    return kernel == KERNEL_layernorm_fwd || kernel == KERNEL_groupnorm_sum_fwd || is_performer(kernel) || kernel == KERNEL_softmax_fwd ||
           kernel == KERNEL_row_squares_fwd || kernel == KERNEL_row_least_fwd ||
           kernel == KERNEL_gap_fwd || kernel == KERNEL_export_fwd;
}

static int allowed(int kernel, types t)
{
    float v[2] = { 0 };
    op_args a = { .x = { v, v, v, v }, .u8 = (unsigned char *)v, .y = v, .n = 1, .c = 1, .h = 1, .w = 1,
                  .oh = 1, .ow = 1, .kernel = 1, .stride = 1, .x_c = 1, .y_c = 1, .groups = 1,
                  .scale = 1, .x_type = t.x, .y_type = t.y };
    return kernel_problem(kernel, &a) == NULL;
}

static int runs;
static double used_most;

static void every_variant(int kernel, types t, const int shape[4])
{
    size_t rows = area(shape[0], shape[1], shape[2], 1), count = rows * (size_t)shape[3];
    int heavy = emulated && (count > 20000 || (meets(kernel) && rows > 100));
    for (int variant = 0; variant < 4; variant++)
        for (int odd = 0; odd < 2; odd++) {
            op_args a = { .n = shape[0], .h = shape[1], .w = shape[2], .c = shape[3] };
            double u;
            if (heavy && (odd || variant != 1 || t.x != KT_F32 || t.y != KT_F32)) continue;
            u = twins(kernel, t, a, variant, odd);
            used_most = u > used_most ? u : used_most;
            runs++;
        }
}

static void one_kernel(void **state)
{
    static const int shapes[][4] = { /* n, h, w, c */
        { 1, 1, 1, 1 },  { 1, 1, 1, 257 }, { 3, 7, 5, 3 },    { 2, 8, 8, 64 },
        { 1, 1, 2, 1 },  { 5, 2, 9, 31 },  { 1, 13, 17, 40 }, { 3, 1, 3, 768 },
        { 2, 1, 2, 2048 }, { 1, 56, 57, 33 }, { 70, 1, 1, 1000 },
        { 3, 33, 31, 255 }, { 70000, 1, 1, 3 }, /* more rows than blocks */
    };
    static const types all[] = { { 0, 0 }, { 1, 1 }, { 2, 2 }, { 0, 1 }, { 0, 2 }, { 1, 0 }, { 2, 0 } };
    int kernel = *(int *)*state;
    if (is_decode(kernel)) {
        for (uint64_t i = 0; i < (emulated ? 12 : 60); i++)
            decode_twins(kernel, i, i == 0 ? 1 : 1 + i % 9, 1 + (int)(i * 7 % 40), 1 + (int)(i * 11 % 50));
        return;
    }
    seed = (uint64_t)kernel + 1;
    runs = 0;
    used_most = 0;
    for (size_t k = 0; k < sizeof all / sizeof *all; k++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes - 2 * (size_t)emulated; i++)
            if (allowed(kernel, all[k])) every_variant(kernel, all[k], shapes[i]);
    if (kernel == KERNEL_relu_fwd && !emulated) /* more elements than threads */
        (void)twins(kernel, all[0], (op_args){ .n = 1, .h = 4100, .w = 4100, .c = 1 }, 0, 1);
    if (kernel == KERNEL_groupnorm_sum_fwd) /* several chunks; vectors of four groups, and of one */
        for (int i = 0; i < 6; i++) {
            double u = twins(kernel, (types){ i / 2, KT_F32 }, (op_args){ .n = 2, .h = 24, .w = 24, .c = 64 }, i % 2 ? 3 : 0, 0);
            used_most = u > used_most ? u : used_most;
            runs++;
        }
    print_message("# %s: %d runs alike, %.0f%% of the tolerance used\n", kernel_names[kernel], runs,
                  100 * used_most);
}

/* ---- the search of rows: its output is its input, tile after tile ------------------------------- */

typedef struct rows_search {
    int rows, c, want, room, columns, grid; /* grid: values that tie */
} rows_search;

static double search_value(const rows_search *s)
{
    return s->grid ? (double)(draw() % 4) : (double)draw_float(0);
}

/* Both twins over all tiles, then the distances of what they found; all bytes alike. */
static void search_twins(const rows_search *s)
{
    size_t items = (size_t)s->rows * ((size_t)s->room + 1), pairs = (size_t)s->rows * ((size_t)s->want + 1);
    size_t values = (size_t)s->rows * (size_t)s->c, kept = (size_t)s->columns * (size_t)s->c;
    nearest_item *cpu = calloc(items, sizeof *cpu), *gpu = calloc(items, sizeof *gpu);
    double *tile = calloc(values, sizeof *tile), *bias = calloc((size_t)s->c, sizeof *bias);
    double *bank = calloc(kept, sizeof *bank);
    void *d_found, *d_tile, *d_bias, *d_bank;
    op_args a = { .n = s->rows, .h = 1, .w = 1, .kernel = s->want, .window = s->room, .scale = -2 }, d;
    assert_true(cpu != NULL && gpu != NULL && tile != NULL && bias != NULL && bank != NULL);
    d_found = on_device(cpu, items * sizeof *cpu);
    d_tile = on_device(tile, values * sizeof *tile);
    d_bias = on_device(bias, (size_t)s->c * sizeof *bias);
    for (int at = 0; at < s->columns; at += a.c) {
        a.c = s->columns - at < s->c ? s->columns - at : s->c;
        for (size_t i = 0; i < (size_t)s->rows * (size_t)a.c; i++)
            tile[i] = search_value(s);
        for (int i = 0; i < a.c; i++)
            bias[i] = search_value(s);
        a.shift = at;
        a.stride = at == 0;
        a.pad = at + a.c == s->columns;
        d = a;
        a.x[0] = tile;
        a.x[1] = bias;
        a.y = cpu;
        d.x[0] = d_tile;
        d.x[1] = d_bias;
        d.y = d_found;
        assert_null(kernel_problem(KERNEL_row_nearest_fwd, &a));
        ok(plugin->upload(be, d_tile, tile, (size_t)s->rows * (size_t)a.c * sizeof *tile));
        ok(plugin->upload(be, d_bias, bias, (size_t)a.c * sizeof *bias));
        ok(plugin->run(be, KERNEL_row_nearest_fwd, &d));
        ok(plugin->download(be, gpu, d_found, items * sizeof *gpu));
        ok(plugin->sync(be));
        assert_int_equal(kernels_cpu[KERNEL_row_nearest_fwd](&a), 0);
        for (int r = 0; r < s->rows; r++) { /* behind the candidates the twins may have moved what they like */
            size_t first = (size_t)r * ((size_t)s->room + 1);
            assert_int_equal(cpu[first].at, gpu[first].at);
            assert_memory_equal(cpu + first, gpu + first, ((size_t)cpu[first].at + 1) * sizeof *cpu);
        }
    }
    for (size_t i = 0; i < kept; i++)
        bank[i] = search_value(s);
    for (size_t i = 0; i < values; i++)
        tile[i] = search_value(s);
    d_bank = on_device(bank, kept * sizeof *bank);
    ok(plugin->upload(be, d_tile, tile, values * sizeof *tile));
    a = d = (op_args){ .n = s->rows, .h = 1, .w = 1, .c = s->c, .kernel = s->want, .window = s->room };
    a.x[0] = tile;
    a.x[1] = bank;
    a.x[2] = cpu;
    a.y = malloc(pairs * sizeof *cpu);
    d.x[0] = d_tile;
    d.x[1] = d_bank;
    d.x[2] = d_found;
    d.y = on_device(gpu, pairs * sizeof *gpu);
    assert_non_null(a.y);
    assert_null(kernel_problem(KERNEL_row_pairs_fwd, &a));
    assert_int_equal(kernels_cpu[KERNEL_row_pairs_fwd](&a), 0);
    ok(plugin->run(be, KERNEL_row_pairs_fwd, &d));
    ok(plugin->download(be, gpu, d.y, pairs * sizeof *gpu));
    ok(plugin->sync(be));
    assert_memory_equal(a.y, gpu, pairs * sizeof *gpu);
    free(a.y);
    plugin->release(be, &d.y);
    plugin->release(be, &d_found);
    plugin->release(be, &d_tile);
    plugin->release(be, &d_bias);
    plugin->release(be, &d_bank);
    free(cpu);
    free(gpu);
    free(tile);
    free(bias);
    free(bank);
    runs++;
}

static void searches(void **state)
{
    static const rows_search cases[] = {
        { 1, 1, 1, 2, 1, 0 },     { 3, 5, 2, 9, 31, 0 },      { 3, 5, 2, 9, 31, 1 },
        { 7, 300, 40, 700, 1000, 0 }, { 7, 300, 40, 700, 1000, 1 }, { 2, 256, 300, 600, 600, 0 },
        { 3, 64, 100, 200, 50, 0 }, /* fewer than are wanted */
        { 40, 250, 1, 251, 2500, 0 }, /* weeded whenever something came, by the one that came */
        { 300, 1500, 1000, 3600, 9000, 0 }, { 70000, 8, 4, 20, 40, 1 }, /* not emulated */
    };
    (void)state;
    seed = 5;
    runs = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases - 2 * (size_t)emulated; i++)
        search_twins(&cases[i]);
    print_message("# row_nearest_fwd, row_pairs_fwd: %d searches alike\n", runs);
}

/* build/unit/test_twins: build/, then `below`. */
static void use_plugin(const char *below)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 32);
    if (n <= 0) return;
    path[n] = '\0';
    *strrchr(path, '/') = '\0';
    *strrchr(path, '/') = '\0';
    strcat(path, below);
    setenv("OUTPOST_PLUGIN_DIR", path, 1);
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[KERNEL_COUNT];
    static int numbers[KERNEL_COUNT];
    int failed;
    char *only = argc > 1 && argv[argc - 1][0] != '-' ? argv[argc - 1] : NULL; /* "softmax_fwd" */
    emulated = argc > 1 && strcmp(argv[1], "--emulated") == 0;
    if (only != NULL) cmocka_set_test_filter(only);
    if (emulated) use_plugin("/emu");
    else if (getenv("OUTPOST_PLUGIN_DIR") == NULL) use_plugin("");
    if (plugin_load(&plugin) < 0 || plugin->open(&be, 0) < 0) {
        if (plugin != NULL && plugin->fault() != FAULT_ABSENT) {
            fprintf(stderr, "test_twins: %s\n", err_text());
            return 1;
        }
        printf(emulated ? "1..0 # SKIP %s\n" : "# %s\n", err_text());
        fflush(stdout);
        if (emulated) return 0;
        execl("/proc/self/exe", "test_twins", "--emulated", only, (char *)NULL);
        return 1;
    }
    for (int i = 0; i < KERNEL_COUNT; i++) {
        numbers[i] = i;
        tests[i] = (struct CMUnitTest){ .name = kernel_names[i], .test_func = one_kernel,
                                        .initial_state = &numbers[i] };
        if (i == KERNEL_row_nearest_fwd || i == KERNEL_row_pairs_fwd) tests[i].test_func = searches;
    }
    failed = _cmocka_run_group_tests(emulated ? "twins, emulated" : "twins", tests, KERNEL_COUNT, NULL, NULL);
    plugin->close(&be);
    return failed;
}
