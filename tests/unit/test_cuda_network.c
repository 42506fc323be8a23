/* Whole networks on the CUDA backend against the plain reference, which runs their graphs in double:
 * every operator, every precision, taps and reductions, short batches, two batches under way.
 * Without a device the plugin is the mock (tests/mock), in host memory: that proves the steps, their
 * layouts and lifetimes, the padding of batches and the order of the streams, not NVIDIA's libraries.
 * $OUTPOST_PLUGIN_DIR names another plugin: on a machine with a GPU, the real one (tests/gpu/run.sh). */
#include "common/err.h"
#include "common/mem.h"
#include "extract/adjoint.h"
#include "extract/backend.h"
#include "extract/model.h"
#include "extract/plan.h"
#include "extract/plugin.h"
#include "extract/weights.h"
#include "tests/lib/hash_golden.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { BATCH = 3, OUTPUTS = 8 };

static void must(int rc)
{
    if (rc < 0) fail_msg("%s", err_text());
}

/* ---- networks, small, that have every operator ------------------------------------------------- */

static void residual(graph *g, const model *m, int classes)
{
    int x = g_input(g, 3, m->prep.side, m->prep.side), y;
    x = g_tap(g, g_relu(g, g_batchnorm(g, g_conv(g, x, 16, 7, 2, 3, "stem"), "bn0")), "stem");
    x = g_maxpool(g, x, 3, 2, 1, 0);
    y = g_relu(g, g_batchnorm(g, g_conv(g, x, 16, 3, 1, 1, "a"), "bn1"));
    y = g_batchnorm(g, g_conv(g, y, 16, 3, 1, 1, "b"), "bn2");
    x = g_relu(g, g_add(g, y, x));
    y = g_shortcut_a(g, x, 32);
    x = g_add(g, g_batchnorm(g, g_conv(g, x, 32, 3, 2, 1, "c"), "bn3"), y); /* no activation */
    x = g_tap(g, x, "sum");
    x = g_relu(g, g_batchnorm(g, x, "bn4")); /* of a sum: cannot be folded */
    x = g_gap(g, x);
    g_features(g, x);
    g_logits(g, g_linear(g, x, classes, "fc"));
}

/* MobileNet, squeeze and excitation, groups, dense connections. */
static void mixed(graph *g, const model *m, int classes)
{
    int x = g_input(g, 3, m->prep.side, m->prep.side), y, v, parts[3];
    x = g_relu6(g, g_conv_bias(g, x, 8, 3, 2, 1, "stem"));
    y = g_relu6(g, g_conv_depthwise_bias(g, x, 3, 1, 1, "dw"));
    v = g_silu(g, g_linear(g, g_gap(g, y), 4, "se.down"));
    v = g_sigmoid(g, g_linear(g, v, 8, "se.up"));
    x = g_add(g, x, g_conv_bias(g, g_gate(g, y, v), 8, 1, 1, 0, "project"));
    parts[0] = x;
    parts[1] = g_silu(g, g_conv_bias(g, x, 4, 3, 1, 1, "grow"));
    parts[2] = g_relu(g, g_conv_groups(g, x, 8, 3, 1, 1, 2, "grouped"));
    x = g_tap(g, g_concat(g, parts, 3), "concat");
    x = g_avgpool(g, x, 2, 2);
    x = g_add(g, g_conv_depthwise_bias(g, x, 3, 1, 1, "dw2"), x);
    x = g_scale(g, g_gelu(g, x), "gamma");
    x = g_relu(g, g_slice(g, x, 4, 12));
    x = g_groupnorm(g, x, 3, "gn");
    x = g_maxpool_zero_pad(g, x, 3, 2, 1);
    x = g_tap(g, g_conv_standardised(g, x, 16, 1, 1, 0, "std"), "std");
    x = g_gap(g, x);
    g_features(g, x);
    g_logits(g, g_linear(g, x, classes, "fc"));
}

static int block(graph *g, int x, int heads, int window, int shift, const char *at)
{
    int d = g_channels(g, x), y = g_layernorm(g, x, 1e-6f, g_name(g, "%s.norm1", at));
    y = g_linear(g, y, 3 * d, g_name(g, "%s.qkv", at));
    if (window > 0) y = g_window_attention(g, y, heads, window, shift, g_name(g, "%s.table", at));
    else y = g_attention(g, y, heads, (float)(1 / sqrt((double)d / heads)));
    x = g_add(g, x, g_linear(g, y, d, g_name(g, "%s.proj", at)));
    y = g_layernorm(g, x, 1e-6f, g_name(g, "%s.norm2", at));
    y = g_gelu(g, g_linear(g, y, 2 * d, g_name(g, "%s.fc1", at)));
    return g_tap_as(g, g_add(g, x, g_linear(g, y, d, g_name(g, "%s.fc2", at))), at, TAP_TOKENS);
}

static void vit(graph *g, const model *m, int classes)
{
    int x = g_conv_bias(g, g_input(g, 3, m->prep.side, m->prep.side), 24, 8, 8, 0, "patch");
    x = g_tap_as(g, g_embed(g, x, "cls", "pos"), "embed", TAP_TOKENS);
    x = block(g, x, 3, 0, 0, "blocks.0");
    x = block(g, x, 3, 0, 0, "blocks.1");
    x = g_token(g, g_layernorm(g, x, 1e-6f, "norm"), 0);
    g_features(g, x);
    g_logits(g, g_linear(g, x, classes, "fc"));
}

static void swin(graph *g, const model *m, int classes)
{
    int x = g_conv_bias(g, g_input(g, 3, m->prep.side, m->prep.side), 16, 4, 4, 0, "patch"), side;
    x = g_layernorm(g, x, 1e-5f, "norm0");
    x = block(g, x, 2, 4, 0, "stage.0");
    x = block(g, x, 2, 4, 2, "stage.1");
    side = g_shape(g, x).h;
    x = g_crop(g, g_pad(g, x, side + 3, side + 1), side, side);
    x = g_linear_plain(g, g_layernorm(g, g_merge(g, x), 1e-5f, "down"), 32, "reduce");
    x = block(g, x, 4, 2, 1, "stage.2");
    x = g_gap(g, g_layernorm(g, x, 1e-5f, "norm"));
    g_features(g, x);
    g_logits(g, g_linear(g, x, classes, "fc"));
}

static void t2t(graph *g, const model *m, int classes)
{
    int x = g_unfold(g, g_input(g, 3, m->prep.side, m->prep.side), 7, 4, 2), y;
    x = g_linear(g, g_layernorm(g, x, 1e-5f, "n0"), 3 * 16, "kqv");
    y = g_performer(g, x, 8, "w");
    x = g_add(g, g_slice(g, x, 32, 16), g_linear(g, y, 16, "proj"));
    x = g_linear_plain(g, g_unfold(g, x, 3, 2, 1), 3 * 16, "qkv");
    x = g_tap_as(g, g_attention(g, x, 1, 0.1f), "attention", TAP_TOKENS);
    x = g_gap(g, x);
    g_features(g, x);
    g_logits(g, g_linear(g, x, classes, "fc"));
}

typedef struct recipe {
    const char *name;
    void (*build)(graph *g, const model *m, int classes);
    int side;
    const char *tap;   /* whole, and reduced by mean, sum and max */
    const char *model; /* or one of models[] */
    int attentions;
    double masked;     /* relative L2 that masks which rounding flips cost an image gradient in bf16; a third in fp16 and tf32 */
} recipe;

static const recipe recipes[] = {
    {"residual", residual, 37, "sum", NULL, 0, 0.3}, {"mixed", mixed, 22, "concat", NULL, 0, 0.3},
    {"vit", vit, 32, "blocks.0", NULL, 2, 0},        {"swin", swin, 32, "stage.1", NULL, 3, 0},
    {"t2t", t2t, 32, "attention", NULL, 1, 0},       {"demo", NULL, 0, NULL, "demo", 0, 0.3},
    {"resnet20", NULL, 0, NULL, "resnet20", 0, 0.5},
};

/* ---- running them ------------------------------------------------------------------------------ */

typedef struct fixture {
    model m;
    graph *g;
    weights *w;
    prep prep;
    plan_request requests[OUTPUTS];
    size_t n_requests, values; /* of an input */
    float *x, *truth[OUTPUTS];
    size_t count[OUTPUTS]; /* of an image's output */
} fixture;

static void add(fixture *f, const char *name, int at, reduction how)
{
    f->requests[f->n_requests++] = (plan_request){name, at, how};
}

static void run_on(const fixture *f, const backend_def *be, precision p, size_t batch, size_t n,
                   float **out, char about[192])
{
    const backend_options o = {.threads = 2, .batch = batch, .prep = &f->prep, .precision = p};
    plan *own = NULL;
    void *net = NULL;
    must(plan_build(&own, f->g, f->w, f->requests, f->n_requests, be->wants_dense(p)));
    must(be->open(&net, own, &o));
    if (about != NULL) be->describe(net, about, 192);
    for (size_t at = 0; at < n; at += batch) {
        size_t take = n - at < batch ? n - at : batch;
        float *part[OUTPUTS];
        for (size_t i = 0; i < f->n_requests; i++)
            part[i] = out[i] + at * f->count[i];
        must(be->forward(net, &(batch_input){.values = f->x + at * f->values}, take, part));
    }
    be->close(&net);
    plan_free(&own);
}

static float **new_outputs(const fixture *f)
{
    float **out = calloc(OUTPUTS, sizeof *out);
    for (size_t i = 0; i < f->n_requests; i++)
        must(mem_new(&out[i], f->count[i] * BATCH, sizeof **out, "outputs"));
    return out;
}

static void free_outputs(float **out)
{
    for (size_t i = 0; i < OUTPUTS; i++)
        free(out[i]);
    free(out);
}

static void set_up_with(fixture *f, const recipe *r, void (*change)(fixture *f))
{
    char file[] = "/tmp/outpost-cuda-XXXXXX";
    int fd = mkstemp(file);
    plan *own = NULL;
    const model *known = r->model != NULL ? model_find(r->model) : NULL;
    memset(f, 0, sizeof *f);
    f->m = known != NULL ? *known
                         : (model){.name = "test",
                                   .about = "",
                                   .paper = "",
                                   .layouts = "test",
                                   .build = r->build,
                                   .classifier = "fc",
                                   .classes = 5,
                                   .prep = {.side = r->side}};
    f->prep = (prep){.out_h = f->m.prep.side,
                     .out_w = f->m.prep.side,
                     .mean = {0.5f, 0.4f, 0.3f},
                     .std = {0.2f, 0.25f, 0.3f}};
    f->values = (size_t)(3 * f->m.prep.side * f->m.prep.side);
    assert_true(fd >= 0);
    must(model_build(&f->g, &f->m, f->m.classes));
    must(hash_write_weights(file, f->g, NULL, 1.0));
    must(weights_open(&f->w, file));
    must(weights_bind(f->w, &f->m, f->g));
    close(fd);
    unlink(file);
    add(f, "logits", graph_logits(f->g), REDUCE_NONE);
    add(f, "features", graph_features(f->g), REDUCE_NONE);
    if (change != NULL) change(f);
    if (r->tap != NULL && change == NULL) {
        int at = graph_find_tap(f->g, r->tap);
        assert_true(at >= 0);
        add(f, "map", at, REDUCE_NONE);
        add(f, "mean", at, REDUCE_MEAN);
        add(f, "sum", at, REDUCE_SUM);
        add(f, "max", at, REDUCE_MAX);
    }
    must(plan_build(&own, f->g, f->w, f->requests, f->n_requests, 1));
    for (size_t i = 0; i < own->n_outputs; i++)
        f->count[i] = own->outputs[i].count;
    plan_free(&own);
    must(mem_new(&f->x, f->values * BATCH, sizeof *f->x, "input"));
    hash_input(f->x, BATCH, f->m.prep.side);
    for (size_t i = 0; i < f->n_requests; i++)
        must(mem_new(&f->truth[i], f->count[i] * BATCH, sizeof **f->truth, "outputs"));
    run_on(f, &backend_ref, PRECISION_FP32, BATCH, BATCH, f->truth, NULL);
}

static void set_up(fixture *f, const recipe *r)
{
    set_up_with(f, r, NULL);
}

static void tear_down(fixture *f)
{
    for (size_t i = 0; i < OUTPUTS; i++)
        free(f->truth[i]);
    free(f->x);
    weights_close(&f->w);
    graph_free(&f->g);
}

static double relative_l2(const float *a, const float *b, size_t n)
{
    double d = 0, s = 0;
    for (size_t i = 0; i < n; i++) {
        d += pow((double)a[i] - (double)b[i], 2);
        s += pow((double)b[i], 2);
    }
    return sqrt(d / s);
}

/* Relative L2 to the reference.  f32: a few layers that add in other orders; bf16 and f16 round every
 * map to 8 and 11 bits, TF32 the factors of products to 11. */
static const double tolerance[] = {[PRECISION_FP32] = 1e-5,
                                   [PRECISION_TF32] = 5e-3,
                                   [PRECISION_BF16] = 4e-2,
                                   [PRECISION_FP16] = 5e-3};
static const char *const precisions[] = {"fp32", "tf32", "bf16", "fp16"};

/* Of 16-bit attention the description says how many steps cuDNN fused: all, where it can. */
static void check_fused(const recipe *r, precision p, const char *about, int fused)
{
    char text[32];
    if (r->attentions == 0 || p == PRECISION_FP32 || p == PRECISION_TF32) {
        assert_null(strstr(about, " sdpa "));
        return;
    }
    snprintf(text, sizeof text, " sdpa %d/%d", fused ? r->attentions : 0, r->attentions);
    if (strstr(about, "mock device") != NULL) assert_non_null(strstr(about, text));
    else print_message("# %s\n", about);
}

static void every_precision(void **state)
{
    const recipe *r = *state;
    fixture f;
    set_up(&f, r);
    for (int p = PRECISION_FP32; p <= PRECISION_FP16; p++) {
        float **out = new_outputs(&f);
        double worst = 0;
        char about[192];
        run_on(&f, &backend_cuda, (precision)p, BATCH, BATCH, out, about);
        for (size_t i = 0; i < f.n_requests; i++) {
            double off = relative_l2(out[i], f.truth[i], f.count[i] * BATCH);
            if (!(off <= tolerance[p]))
                fail_msg("%s %s: %s is off by %.2e", r->name, precisions[p], f.requests[i].name,
                         off);
            worst = fmax(worst, off);
        }
        if (p == PRECISION_FP32) print_message("# %s\n", about);
        check_fused(r, (precision)p, about, 1);
        print_message("# %s %s: %.1e of %.0e\n", r->name, precisions[p], worst, tolerance[p]);
        free_outputs(out);
    }
    tear_down(&f);
}

/* At the image and the features, and the logits of ODIN's second forward pass. */
static void add_gradients(fixture *f)
{
    int z = graph_logits(f->g), wanted[2] = {0, graph_features(f->g)}, out[2], changed, again;
    graph_backward(f->g, z, g_cotangent(f->g, z, COTANGENT_CE, 1, 0), wanted, 2, out);
    changed = g_perturb(f->g, 0, out[0], PERTURB_SIGN, 0.05f, 0, NULL);
    graph_replay(f->g, &(replay){.from = wanted, .to = &changed, .n = 1}, &z, 1, &again);
    must(graph_check(f->g));
    add(f, "image", out[0], REDUCE_NONE);
    add(f, "at features", out[1], REDUCE_NONE);
    add(f, "again", again, REDUCE_NONE);
}

static void gradients_in_every_precision(void **state)
{
    const recipe *r = *state;
    fixture f;
    set_up_with(&f, r, add_gradients);
    for (int p = PRECISION_FP32; p <= PRECISION_FP16; p++) {
        float **out = new_outputs(&f);
        double worst = 0, flips = p == PRECISION_FP32 ? 0 : p == PRECISION_BF16 ? r->masked : r->masked / 3;
        double allowed = fmax(4 * tolerance[p], flips);
        run_on(&f, &backend_cuda, (precision)p, BATCH, BATCH, out, NULL);
        for (size_t i = 0; i < f.n_requests; i++) {
            double off = relative_l2(out[i], f.truth[i], f.count[i] * BATCH);
            if (!(off <= allowed))
                fail_msg("%s %s: %s is off by %.2e", r->name, precisions[p], f.requests[i].name, off);
            worst = fmax(worst, off);
        }
        print_message("# %s %s: gradients %.1e of %.0e\n", r->name, precisions[p], worst, allowed);
        free_outputs(out);
    }
    tear_down(&f);
}

/* Attention in 16 bits as one plan of cuDNN, and as products around the softmax kernel: both are the
 * reference's within the tolerance, and differ by no more than the rounding of weights: once of the
 * exponential, once of the quotient (half a unit of 8 or 11 bits each, averaged by the sum over v). */
static void both_ways_of_attention(void **state)
{
    const recipe *r = *state;
    fixture f;
    set_up(&f, r);
    for (int p = PRECISION_BF16; p <= PRECISION_FP16; p++) {
        float **fused = new_outputs(&f), **plain = new_outputs(&f);
        char about[192];
        double worst = 0, allowed = p == PRECISION_BF16 ? 2e-2 : 2.5e-3;
        run_on(&f, &backend_cuda, (precision)p, BATCH, BATCH, fused, about);
        check_fused(r, (precision)p, about, 1);
        setenv("OUTPOST_CUDA_SDPA", "0", 1);
        run_on(&f, &backend_cuda, (precision)p, BATCH, BATCH, plain, about);
        unsetenv("OUTPOST_CUDA_SDPA");
        check_fused(r, (precision)p, about, 0);
        for (size_t i = 0; i < f.n_requests; i++) {
            double off = relative_l2(fused[i], plain[i], f.count[i] * BATCH);
            assert_true(relative_l2(plain[i], f.truth[i], f.count[i] * BATCH) <= tolerance[p]);
            if (!(off <= allowed))
                fail_msg("%s %s: %s differs by %.2e", r->name, precisions[p], f.requests[i].name,
                         off);
            worst = fmax(worst, off);
        }
        print_message("# %s %s: fused and not %.1e apart of %.1e\n", r->name, precisions[p], worst,
                      allowed);
        free_outputs(fused);
        free_outputs(plain);
    }
    tear_down(&f);
}

/* An image's bits do not depend on its place or on who is with it, short batches included. */
static void neighbours_in(const recipe *r, precision p)
{
    fixture f;
    float **all, **alone;
    backend_options with = {.threads = 2, .batch = BATCH, .precision = p};
    plan *own = NULL;
    void *net = NULL;
    set_up(&f, r);
    all = new_outputs(&f);
    alone = new_outputs(&f);
    with.prep = &f.prep;
    must(plan_build(&own, f.g, f.w, f.requests, f.n_requests, 1));
    must(backend_cuda.open(&net, own, &with));
    must(backend_cuda.forward(net, &(batch_input){.values = f.x}, BATCH, all));
    for (size_t at = 0; at < BATCH; at++) {
        must(backend_cuda.forward(net, &(batch_input){.values = f.x + at * f.values}, 1, alone));
        for (size_t i = 0; i < f.n_requests; i++)
            assert_memory_equal(alone[i], all[i] + at * f.count[i], f.count[i] * sizeof(float));
    }
    backend_cuda.close(&net);
    plan_free(&own);
    free_outputs(all);
    free_outputs(alone);
    tear_down(&f);
}

static void neighbours_do_not_matter(void **state)
{
    neighbours_in(*state, PRECISION_FP32);
    neighbours_in(*state, PRECISION_FP16);
}

/* Bytes through both slots, recorded: the same bits as values that were normalised here, one by one. */
static void batches_of_bytes_overlap(void **state)
{
    const recipe *r = *state;
    fixture f;
    size_t pixels, batches = 5;
    uint8_t *rgb;
    float **one, **other, table[3][256];
    backend_options o = {.threads = 2, .batch = BATCH};
    plan *own = NULL;
    void *net = NULL;
    set_up(&f, r);
    o.prep = &f.prep;
    pixels = f.values / 3;
    backend_normalise_table(table, &f.prep);
    must(mem_new(&rgb, batches * BATCH, f.values, "bytes"));
    for (size_t i = 0; i < batches * BATCH * f.values; i++)
        rgb[i] = (uint8_t)(i * 2654435761u >> 13);
    one = new_outputs(&f);
    other = new_outputs(&f);
    must(plan_build(&own, f.g, f.w, f.requests, f.n_requests, 1));
    must(backend_cuda.open(&net, own, &o));
    assert_int_equal(backend_cuda.depth(net), 2);
    must(backend_cuda.submit(net, &(batch_input){.rgb = rgb}, BATCH));
    for (size_t b = 0; b < batches; b++) {
        size_t next = b + 1 < batches ? b + 1 : 0;
        must(backend_cuda.submit(net, &(batch_input){.rgb = rgb + next * BATCH * f.values},
                                 next == 0 ? 2 : BATCH));
        must(backend_cuda.wait(net, one));
        for (size_t i = 0; i < BATCH; i++)
            for (size_t k = 0; k < f.values; k++)
                f.x[i * f.values + k] =
                    table[k / pixels]
                         [rgb[(b * BATCH + i) * f.values + k % pixels * 3 + k / pixels]];
        must(backend_cuda.wait(net, other));
        must(backend_cuda.forward(net, &(batch_input){.values = f.x}, BATCH, other));
        for (size_t i = 0; i < f.n_requests; i++)
            assert_memory_equal(one[i], other[i], f.count[i] * BATCH * sizeof(float));
        if (next > 0)
            must(backend_cuda.submit(net, &(batch_input){.rgb = rgb + next * BATCH * f.values},
                                     BATCH));
    }
    backend_cuda.close(&net);
    plan_free(&own);
    free(rgb);
    free_outputs(one);
    free_outputs(other);
    tear_down(&f);
}

/* Batches dealt to three devices come back in order, whole, with the bits of one device. */
static void several_devices_take_turns(void **state)
{
    enum { BATCHES = 11, DEVICES = 3 };
    static const int order[DEVICES] = {2, 0, 1};
    const recipe *r = *state;
    fixture f;
    uint8_t *rgb;
    float **one, **many;
    backend_options o = {.threads = 2, .batch = BATCH};
    plan *own = NULL, *shared = NULL;
    void *single = NULL, *net = NULL;
    size_t sent = 0;
    set_up(&f, r);
    o.prep = &f.prep;
    must(mem_new(&rgb, BATCHES * BATCH, f.values, "bytes"));
    for (size_t i = 0; i < BATCHES * BATCH * f.values; i++)
        rgb[i] = (uint8_t)(i * 2654435761u >> 13);
    one = new_outputs(&f);
    many = new_outputs(&f);
    must(plan_build(&own, f.g, f.w, f.requests, f.n_requests, 1));
    must(backend_cuda.open(&single, own, &o));
    o.devices = order;
    o.n_devices = DEVICES;
    must(plan_build(&shared, f.g, f.w, f.requests, f.n_requests, 1));
    must(backend_several.open(&net, shared, &o));
    assert_int_equal(backend_several.depth(net), 2 * DEVICES);
    assert_int_equal(backend_several.memory(net), DEVICES * backend_cuda.memory(single));
    assert_int_equal(backend_several.wait(net, many), ERR_INTERNAL); /* nothing is under way */
    err_clear();
    for (size_t b = 0; b < BATCHES; b++) {
        size_t n = b % 4 == 3 ? 2 : BATCH; /* short ones too */
        for (; sent < BATCHES && sent < b + 2 * DEVICES; sent++)
            must(backend_several.submit(net, &(batch_input){.rgb = rgb + sent * BATCH * f.values},
                                        sent % 4 == 3 ? 2 : BATCH));
        if (sent == b + 2 * DEVICES) {
            assert_int_equal(backend_several.submit(net, &(batch_input){.rgb = rgb}, 1), ERR_INTERNAL);
            err_clear();
        }
        must(backend_several.wait(net, many));
        must(backend_cuda.forward(single, &(batch_input){.rgb = rgb + b * BATCH * f.values}, n, one));
        for (size_t i = 0; i < f.n_requests; i++)
            assert_memory_equal(many[i], one[i], f.count[i] * n * sizeof(float));
    }
    must(backend_several.forward(net, &(batch_input){.rgb = rgb}, BATCH, many)); /* nothing is left over */
    must(backend_cuda.forward(single, &(batch_input){.rgb = rgb}, BATCH, one));
    for (size_t i = 0; i < f.n_requests; i++)
        assert_memory_equal(many[i], one[i], f.count[i] * BATCH * sizeof(float));
    backend_several.close(&net);
    backend_cuda.close(&single);
    plan_free(&own);
    plan_free(&shared);
    free(rgb);
    free_outputs(one);
    free_outputs(many);
    tear_down(&f);
}

static size_t lines_of(const char *path)
{
    FILE *f = fopen(path, "r");
    size_t n = 0;
    int c;
    assert_non_null(f);
    while ((c = fgetc(f)) != EOF)
        n += c == '\n';
    fclose(f);
    return n;
}

/* Engines chosen by time are written down, and taken from there the next time. */
static void chosen_engines_are_remembered(void **state)
{
    const recipe *r = *state;
    char file[] = "/tmp/outpost-tune-XXXXXX", about[192];
    int fd = mkstemp(file);
    size_t first;
    fixture f;
    float **one, **two;
    assert_true(fd >= 0);
    set_up(&f, r);
    one = new_outputs(&f);
    two = new_outputs(&f);
    setenv("OUTPOST_CUDNN_TUNE", file, 1);
    run_on(&f, &backend_cuda, PRECISION_FP32, BATCH, BATCH, one, about);
    assert_non_null(strstr(about, " tuned"));
    first = lines_of(file);
    assert_int_equal(first, 4); /* of the network's four convolutions */
    run_on(&f, &backend_cuda, PRECISION_FP32, BATCH, BATCH, two, NULL);
    assert_int_equal(lines_of(file), first);
    for (size_t i = 0; i < f.n_requests; i++) {
        assert_memory_equal(one[i], two[i], f.count[i] * BATCH * sizeof(float));
        assert_true(relative_l2(one[i], f.truth[i], f.count[i] * BATCH) <=
                    tolerance[PRECISION_FP32]);
    }
    unsetenv("OUTPOST_CUDNN_TUNE");
    close(fd);
    unlink(file);
    free_outputs(one);
    free_outputs(two);
    tear_down(&f);
}

static int devices(void)
{
    const cuda_plugin *plugin = NULL;
    int n = 0;
    if (plugin_load(&plugin) < 0 || plugin->count(&n) < 0) err_clear();
    return n;
}

/* build/unit/test_cuda_network: the mock beside it, unless another plugin is asked for. */
static int use_plugin(void)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 32);
    if (getenv("OUTPOST_PLUGIN_DIR") != NULL) return 0;
    if (n <= 0) return -1;
    path[n] = '\0';
    *strrchr(path, '/') = '\0';
    *strrchr(path, '/') = '\0';
    strcat(path, "/mock");
    setenv("OUTPOST_MOCK_DEVICES", "3", 1);
    return setenv("OUTPOST_PLUGIN_DIR", path, 1);
}

int main(void)
{
    enum { RECIPES = sizeof recipes / sizeof *recipes };
    struct CMUnitTest tests[3 * RECIPES + 6];
    static char names[RECIPES][64], both[RECIPES][64], back[RECIPES][64];
    size_t n = 0;
    if (use_plugin() != 0) return 1;
    for (size_t i = 0; i < RECIPES; i++) {
        snprintf(names[i], sizeof names[i], "%s in every precision", recipes[i].name);
        tests[n++] = (struct CMUnitTest){.name = names[i],
                                         .test_func = every_precision,
                                         .initial_state = (void *)(uintptr_t)&recipes[i]};
        snprintf(back[i], sizeof back[i], "%s: gradients in every precision", recipes[i].name);
        tests[n++] = (struct CMUnitTest){.name = back[i],
                                         .test_func = gradients_in_every_precision,
                                         .initial_state = (void *)(uintptr_t)&recipes[i]};
        if (recipes[i].attentions == 0) continue;
        snprintf(both[i], sizeof both[i], "%s: both ways of attention", recipes[i].name);
        tests[n++] = (struct CMUnitTest){.name = both[i],
                                         .test_func = both_ways_of_attention,
                                         .initial_state = (void *)(uintptr_t)&recipes[i]};
    }
    tests[n++] = (struct CMUnitTest){.name = "neighbours do not matter: residual",
                                     .test_func = neighbours_do_not_matter,
                                     .initial_state = (void *)(uintptr_t)&recipes[0]};
    tests[n++] = (struct CMUnitTest){.name = "neighbours do not matter: swin",
                                     .test_func = neighbours_do_not_matter,
                                     .initial_state = (void *)(uintptr_t)&recipes[3]};
    tests[n++] = (struct CMUnitTest){.name = "neighbours do not matter: vit",
                                     .test_func = neighbours_do_not_matter,
                                     .initial_state = (void *)(uintptr_t)&recipes[2]};
    tests[n++] = (struct CMUnitTest){.name = "batches of bytes overlap",
                                     .test_func = batches_of_bytes_overlap,
                                     .initial_state = (void *)(uintptr_t)&recipes[0]};
    tests[n++] = (struct CMUnitTest){.name = "chosen engines are remembered",
                                     .test_func = chosen_engines_are_remembered,
                                     .initial_state = (void *)(uintptr_t)&recipes[0]};
    if (devices() >= 3)
        tests[n++] = (struct CMUnitTest){.name = "several devices take turns",
                                         .test_func = several_devices_take_turns,
                                         .initial_state = (void *)(uintptr_t)&recipes[0]};
    return _cmocka_run_group_tests("cuda network", tests, n, NULL, NULL);
}
