/* The passes of the plan on small graphs: what is folded, merged, fused and sliced, what is left alone
 * because somebody looks at it, and that the CPU backend computes what the plain reference, which runs
 * the graph itself, computes. */
#include "extract/backend.h"
#include "extract/model.h"
#include "extract/plan.h"
#include "extract/weights.h"
#include "common/err.h"
#include "common/mem.h"
#include "tests/lib/hash_golden.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { SIDE = 9, BATCH = 3, OUTPUTS = 6 };

/* Relative L2 between two f32 computations of a few layers that add in different orders. */
static const double TOLERANCE = 2e-6;

typedef struct fixture { /* a graph, weights made from its parameters' names, and a plan of both */
    model m;
    graph *g;
    weights *w;
    plan *p;
    plan_request requests[OUTPUTS];
    size_t n_requests;
    float *out[2][OUTPUTS]; /* of the reference, of the CPU */
} fixture;

typedef void (*builder)(graph *g, const model *m, int classes);

static void must(int rc)
{
    if (rc < 0) fail_msg("%s", err_text());
}

/* `gain`: of convolution weights; taps: up to five names, NULL-ended. */
static void set_up(fixture *f, builder build, double gain, const char *const *taps, int dense)
{
    char file[] = "/tmp/outpost-plan-XXXXXX";
    int fd = mkstemp(file);
    memset(f, 0, sizeof *f);
    f->m = (model){ .name = "test", .about = "", .paper = "", .layouts = "test", .build = build,
                    .classifier = "fc", .classes = 5, .prep = { .side = SIDE } };
    assert_true(fd >= 0);
    must(model_build(&f->g, &f->m, f->m.classes));
    must(hash_write_weights(file, f->g, NULL, gain));
    must(weights_open(&f->w, file));
    must(weights_bind(f->w, &f->m, f->g));
    f->requests[f->n_requests++] = (plan_request){ "logits", graph_logits(f->g), REDUCE_NONE };
    for (; taps != NULL && *taps != NULL; taps++) {
        int at = graph_find_tap(f->g, *taps);
        assert_true(at >= 0);
        f->requests[f->n_requests++] = (plan_request){ *taps, at, REDUCE_NONE };
    }
    must(plan_build(&f->p, f->g, f->w, f->requests, f->n_requests, dense));
    close(fd);
    unlink(file);
}

static void tear_down(fixture *f)
{
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < OUTPUTS; i++)
            free(f->out[k][i]);
    plan_free(&f->p);
    weights_close(&f->w);
    graph_free(&f->g);
}

static void run_on(fixture *f, const backend_def *be, float **out)
{
    const prep p = { .out_h = SIDE, .out_w = SIDE, .std = { 1, 1, 1 } };
    const backend_options o = { .threads = 2, .batch = BATCH, .prep = &p };
    float x[BATCH * 3 * SIDE * SIDE];
    plan *own = NULL;
    void *net = NULL;
    must(plan_build(&own, f->g, f->w, f->requests, f->n_requests, be->wants_dense(o.precision)));
    hash_input(x, BATCH, SIDE);
    for (size_t i = 0; i < own->n_outputs; i++)
        must(mem_new(&out[i], own->outputs[i].count * BATCH, sizeof **out, "outputs"));
    must(be->open(&net, own, &o));
    must(be->forward(net, &(batch_input){ .values = x }, BATCH, out));
    be->close(&net);
    plan_free(&own);
}

/* Both backends agree on all outputs. */
static void assert_same_values(fixture *f)
{
    run_on(f, &backend_ref, f->out[0]);
    run_on(f, &backend_cpu, f->out[1]);
    for (size_t i = 0; i < f->n_requests; i++) {
        const float *a = f->out[1][i], *b = f->out[0][i];
        double d = 0, s = 0;
        for (size_t k = 0; k < f->p->outputs[i].count * BATCH; k++) {
            d += pow((double)a[k] - (double)b[k], 2);
            s += pow((double)b[k], 2);
        }
        d = sqrt(d / s);
        assert_true(s > 0);
        if (!(d <= TOLERANCE)) fail_msg("%s: off by %.2e", f->requests[i].name, d);
        print_message("# %s: %.1e of %.0e\n", f->requests[i].name, d, TOLERANCE);
    }
}

static size_t steps_of(const fixture *f, graph_op op)
{
    size_t n = 0;
    for (size_t i = 0; i < f->p->n_steps; i++)
        n += f->p->steps[i].op == op;
    return n;
}

static const plan_step *step_named(const fixture *f, const char *name)
{
    for (size_t i = 0; i < f->p->n_steps; i++)
        if (strcmp(f->p->steps[i].name, name) == 0) return &f->p->steps[i];
    fail_msg("no step %s", name);
    return NULL;
}

static const float *values_of(const fixture *f, const char *name)
{
    for (size_t i = 0; i < graph_params(f->g); i++)
        if (strcmp(graph_param(f->g, (int)i)->name, name) == 0) return weights_at(f->w, (int)i);
    fail_msg("no parameter %s", name);
    return NULL;
}

static double value_of(const fixture *f, const char *layer, const char *part, size_t i)
{
    char name[128];
    snprintf(name, sizeof name, "%s.%s", layer, part);
    return (double)values_of(f, name)[i];
}

/* gamma / sqrt(var + 1e-5) and beta - mean times that (models.md 13.2). */
static void bn_of(const fixture *f, const char *bn, size_t c, double *s, double *t)
{
    *s = value_of(f, bn, "weight", c) / sqrt(value_of(f, bn, "running_var", c) + (double)1e-5f);
    *t = value_of(f, bn, "bias", c) - value_of(f, bn, "running_mean", c) * *s;
}

static void finish(graph *g, int x, int classes)
{
    g_logits(g, g_linear(g, g_gap(g, x), classes, "fc"));
}

/* ---- RepVGG (models.md 13.3) ------------------------------------------------------------------- */

static int conv_bn(graph *g, int x, int c, int kernel, int stride, const char *at)
{
    x = g_conv(g, x, c, kernel, stride, kernel / 2, g_name(g, "%s.conv", at));
    return g_batchnorm(g, x, g_name(g, "%s.bn", at));
}

static int rep_block(graph *g, int x, int c, int stride, const char *at)
{
    int small = g_tap(g, conv_bn(g, x, c, 1, stride, g_name(g, "%s.small", at)),
                      g_name(g, "%s.small", at));
    int y = g_add(g, small, conv_bn(g, x, c, 3, stride, g_name(g, "%s.large", at)));
    g_tap(g, y, g_name(g, "%s.sum", at));
    if (stride == 1 && g_channels(g, x) == c)
        y = g_add(g, y, g_batchnorm(g, x, g_name(g, "%s.identity", at)));
    return g_tap(g, g_relu(g, y), at);
}

static void build_repvgg(graph *g, const model *m, int classes)
{
    int x = rep_block(g, g_input(g, 3, m->prep.side, m->prep.side), 20, 2, "a"); /* no identity */
    x = rep_block(g, x, 20, 1, "b");                                             /* identity */
    x = rep_block(g, x, 20, 2, "c"); /* same width, strided: none */
    finish(g, x, classes);
}

static void repvgg_blocks_are_one_convolution(void **state)
{
    fixture f;
    const char *const taps[] = { "a", "b", "c", NULL };
    (void)state;
    set_up(&f, build_repvgg, 0.25, taps, 0);
    assert_int_equal(steps_of(&f, OP_conv), 3);
    assert_int_equal(steps_of(&f, OP_batchnorm) + steps_of(&f, OP_add) + steps_of(&f, OP_relu), 0);
    assert_same_values(&f);
    tear_down(&f);
}

/* K' = K3 t3 + pad(K1) t1 + delta t_id, b' = sum of beta - mean t: in double, rounded once. */
static void repvgg_weights_are_rounded_once(void **state)
{
    enum { C = 20 };
    fixture f;
    const plan_step *s = NULL;
    const float *large, *small;
    (void)state;
    set_up(&f, build_repvgg, 0.25, NULL, 0);
    for (size_t i = 0; i < f.p->n_steps; i++) /* the only one of width 20 on 20 without stride */
        if (f.p->steps[i].op == OP_conv && f.p->steps[i].stride == 1) s = &f.p->steps[i];
    assert_non_null(s);
    assert_int_equal(s->kernel, 3);
    assert_int_equal(s->pad, 1);
    assert_int_equal(s->w_count, C * C * 9);
    large = values_of(&f, "b.large.conv.weight");
    small = values_of(&f, "b.small.conv.weight");
    for (size_t o = 0; o < C; o++) {
        double s1, t1, s3, t3, si, ti;
        bn_of(&f, "b.small.bn", o, &s1, &t1);
        bn_of(&f, "b.large.bn", o, &s3, &t3);
        bn_of(&f, "b.identity", o, &si, &ti);
        assert_true(fabs((double)s->b[o] - (t1 + t3 + ti)) <= 1e-7 * (fabs(t1) + fabs(t3) + fabs(ti)));
        for (size_t k = 0; k < C * 9; k++) {
            double want = s3 * (double)large[o * C * 9 + k], got = (double)s->w[o * C * 9 + k];
            if (k % 9 == 4) want += s1 * (double)small[o * C + k / 9];
            if (k % 9 == 4 && k / 9 == o) want += si;
            assert_true(fabs(got - want) <= 0x1.01p-24 * fabs(want)); /* half a unit, once */
        }
    }
    tear_down(&f);
}

/* A branch or an inner sum that is dumped keeps its own value; other blocks stay merged. */
static void tapped_branches_are_not_merged(void **state)
{
    static const char *const taps[][2] = { { "b.small", NULL }, { "b.sum", NULL } };
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        fixture f;
        set_up(&f, build_repvgg, 0.25, taps[i], 0);
        /* b.small: two convolutions and an identity; b.sum: one for both, the identity apart */
        assert_int_equal(steps_of(&f, OP_conv), i == 0 ? 4 : 3);
        assert_int_equal(steps_of(&f, OP_batchnorm), 1);
        assert_same_values(&f);
        tear_down(&f);
    }
}

static void build_other_sums(graph *g, const model *m, int classes)
{
    int x = g_relu(g, conv_bn(g, g_input(g, 3, m->prep.side, m->prep.side), 8, 3, 1, "stem"));
    int other = g_relu(g, conv_bn(g, x, 8, 3, 1, "other")), y, sum;
    y = g_add(g, conv_bn(g, x, 8, 3, 1, "p"), conv_bn(g, other, 8, 1, 1, "q")); /* two sources */
    y = g_relu(g, y);
    y = g_add(g, g_batchnorm(g, y, "r"), g_batchnorm(g, y, "s")); /* nothing to convolve */
    y = g_relu(g, y);
    y = g_add(g, g_conv_groups(g, y, 8, 3, 1, 1, 2, "t"), g_conv(g, y, 8, 1, 1, 0, "u")); /* groups */
    y = g_relu(g, y);
    sum = g_conv_bias(g, y, 8, 1, 1, 0, "v0"); /* more branches than are merged at once */
    for (int i = 1; i < 6; i++)
        sum = g_add(g, sum, g_conv_bias(g, y, 8, i % 2 ? 3 : 1, 1, i % 2, g_name(g, "v%d", i)));
    y = g_relu(g, sum);
    y = g_add(g, g_conv_standardised(g, y, 8, 3, 1, 1, "w"), g_conv(g, y, 8, 3, 1, 1, "x"));
    finish(g, g_relu(g, y), classes);
}

static void sums_of_another_kind_keep_their_value(void **state)
{
    fixture f;
    (void)state;
    set_up(&f, build_other_sums, 0.3, NULL, 0);
    (void)step_named(&f, "t");
    (void)step_named(&f, "u");
    (void)step_named(&f, "w");
    (void)step_named(&f, "x");
    assert_same_values(&f);
    tear_down(&f);
}

/* ---- weights ----------------------------------------------------------------------------------- */

static void build_standardised(graph *g, const model *m, int classes)
{
    int x = g_input(g, 3, m->prep.side, m->prep.side);
    x = g_tap(g, g_conv_standardised(g, x, 12, 3, 2, 1, "plain"), "plain");
    x = g_conv_standardised(g, g_relu(g, x), 12, 1, 1, 0, "folded");
    x = g_tap(g, g_batchnorm(g, x, "bn"), "bn");
    finish(g, x, classes);
}

/* Biased variance, eps 1e-10 under the root.  A gain of 3e-10 makes weights so small (variance about
 * 3e-10 / fan_in) that eps is most of the sum, so another one could not hide. */
static void weights_are_standardised(void **state)
{
    static const double gains[] = { 1, 3e-10 };
    (void)state;
    for (size_t k = 0; k < 2; k++) {
        const char *const taps[] = { "plain", "bn", NULL };
        fixture f;
        const plan_step *s;
        const float *w;
        set_up(&f, build_standardised, gains[k], taps, 0);
        s = step_named(&f, "plain");
        w = values_of(&f, "plain.weight");
        for (size_t o = 0; o < 12; o++) {
            double mean = 0, var = 0;
            for (size_t i = 0; i < 27; i++)
                mean += (double)w[o * 27 + i] / 27;
            for (size_t i = 0; i < 27; i++)
                var += ((double)w[o * 27 + i] - mean) * ((double)w[o * 27 + i] - mean) / 27;
            for (size_t i = 0; i < 27; i++) {
                double want = ((double)w[o * 27 + i] - mean) / sqrt(var + 1e-10);
                assert_true(fabs((double)s->w[o * 27 + i] - want) <= 1e-7 * fabs(want));
            }
        }
        assert_int_equal(steps_of(&f, OP_batchnorm), 0);
        assert_same_values(&f);
        tear_down(&f);
    }
}

static void build_layer_scale(graph *g, const model *m, int classes)
{
    int x = g_conv_bias(g, g_input(g, 3, m->prep.side, m->prep.side), 16, 3, 1, 1, "stem");
    int y = g_scale(g, g_linear(g, x, 16, "fc2"), "layer_scale");
    x = g_tap(g, g_add(g, x, y), "block");
    y = g_scale(g, conv_bn(g, x, 16, 3, 1, "conv"), "conv_scale");
    finish(g, g_relu(g, g_add(g, y, x)), classes);
}

static void layer_scale_goes_into_the_weights(void **state)
{
    const char *const taps[] = { "block", NULL };
    fixture f;
    const plan_step *s;
    (void)state;
    set_up(&f, build_layer_scale, 1, taps, 0);
    assert_int_equal(steps_of(&f, OP_scale) + steps_of(&f, OP_add) + steps_of(&f, OP_batchnorm), 0);
    s = step_named(&f, "fc2");
    assert_true(s->residual >= 0);
    for (size_t o = 0; o < 16; o++) {
        double scale = (double)values_of(&f, "layer_scale")[o];
        assert_true(s->b[o] == (float)(value_of(&f, "fc2", "bias", o) * scale));
        for (size_t i = o * 16; i < (o + 1) * 16; i++)
            assert_true(s->w[i] == (float)(value_of(&f, "fc2", "weight", i) * scale));
    }
    assert_same_values(&f);
    tear_down(&f);
}

static void build_folding(graph *g, const model *m, int classes)
{
    int x = g_conv(g, g_input(g, 3, m->prep.side, m->prep.side), 16, 3, 1, 1, "conv1");
    x = g_tap(g, g_batchnorm(g, g_tap(g, x, "conv1"), "bn1"), "bn1");
    x = g_conv_groups(g, g_relu(g, x), 16, 3, 2, 1, 4, "grouped");
    x = g_relu6(g, g_batchnorm(g, x, "bn2"));
    x = g_conv_depthwise(g, x, 3, 1, 1, "depthwise");
    x = g_relu(g, g_batchnorm(g, x, "bn3"));
    finish(g, x, classes);
}

static void batch_norm_is_folded_unless_its_input_is_dumped(void **state)
{
    static const char *const taps[][3] = { { NULL }, { "bn1", NULL }, { "conv1", "bn1", NULL } };
    static const size_t norms[] = { 0, 0, 1 };
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        fixture f;
        set_up(&f, build_folding, 1, taps[i], 0);
        assert_int_equal(steps_of(&f, OP_batchnorm), norms[i]);
        assert_int_equal(steps_of(&f, OP_relu), i > 0); /* bn1 is kept */
        assert_same_values(&f);
        tear_down(&f);
    }
}

/* ---- slices ------------------------------------------------------------------------------------ */

static int dense_layer(graph *g, int z, const char *at)
{
    int parts[2] = { z, 0 };
    int y = g_relu(g, g_batchnorm(g, z, g_name(g, "%s.norm1", at)));
    y = g_conv(g, y, 16, 1, 1, 0, g_name(g, "%s.conv1", at));
    y = g_relu(g, g_batchnorm(g, y, g_name(g, "%s.norm2", at)));
    parts[1] = g_tap(g, g_conv(g, y, 4, 3, 1, 1, g_name(g, "%s.conv2", at)), g_name(g, "%s.new", at));
    return g_tap(g, g_concat(g, parts, 2), at);
}

/* As DenseNet-121: the pool behind the stem is the block's first slice. */
static void build_dense(graph *g, const model *m, int classes)
{
    int x = g_relu(g, conv_bn(g, g_input(g, 3, m->prep.side, m->prep.side), 8, 3, 1, "stem"));
    x = g_maxpool(g, x, 3, 2, 1, 0);
    for (int i = 0; i < 3; i++)
        x = dense_layer(g, x, g_name(g, "layer%d", i));
    x = g_relu(g, g_batchnorm(g, x, "transition.norm"));
    x = g_avgpool(g, g_conv(g, x, 10, 1, 1, 0, "transition.conv"), 2, 2);
    x = g_tap(g, g_batchnorm(g, dense_layer(g, x, "last"), "norm5"), "norm5");
    finish(g, g_relu(g, x), classes);
}

static int is_slice(const fixture *f, const char *conv, int channel)
{
    const plan_tensor *t = &f->p->tensors[step_named(f, conv)->y];
    return t->root != step_named(f, conv)->y && t->channel == channel;
}

static void concatenations_are_slices(void **state)
{
    const char *const taps[] = { "layer0", "layer1.new", "layer2", "last", "norm5", NULL };
    fixture f;
    (void)state;
    set_up(&f, build_dense, 1, taps, 0);
    assert_int_equal(steps_of(&f, OP_concat), 0);
    assert_true(is_slice(&f, "layer0.conv2", 8));
    assert_true(is_slice(&f, "layer1.conv2", 12));
    assert_true(is_slice(&f, "layer2.conv2", 16));
    assert_true(is_slice(&f, "last.conv2", 10));
    assert_same_values(&f);
    tear_down(&f);
    set_up(&f, build_dense, 1, taps, 1); /* dense: whole tensors, so they are copied */
    assert_int_equal(steps_of(&f, OP_concat), 4);
    for (size_t i = 0; i < f.p->n_tensors; i++) {
        assert_int_equal(f.p->tensors[i].root, i);
        assert_int_equal(f.p->tensors[i].halo, 0);
    }
    tear_down(&f);
}

static void build_twice(graph *g, const model *m, int classes)
{
    int x = g_relu(g, conv_bn(g, g_input(g, 3, m->prep.side, m->prep.side), 8, 3, 1, "stem")), y;
    const int same[3] = { x, g_conv(g, x, 8, 3, 1, 1, "side"), x };
    y = g_tap(g, g_concat(g, same, 3), "same");
    y = g_conv(g, y, 8, 3, 1, 1, "mix");
    y = g_concat(g, (const int[]){ y, x }, 2); /* x lies in the first one already, or nowhere */
    finish(g, g_tap(g, y, "again"), classes);
}

static void a_map_in_two_places_is_copied(void **state)
{
    const char *const taps[] = { "same", "again", NULL };
    fixture f;
    (void)state;
    set_up(&f, build_twice, 1, taps, 0);
    assert_true(steps_of(&f, OP_concat) > 0);
    assert_same_values(&f);
    tear_down(&f);
}

/* ---- fusion ------------------------------------------------------------------------------------ */

static void build_curves(graph *g, const model *m, int classes)
{
    int x = g_silu(g, conv_bn(g, g_input(g, 3, m->prep.side, m->prep.side), 8, 3, 1, "first"));
    int y = g_add(g, conv_bn(g, x, 8, 3, 1, "second"), x);
    x = g_tap(g, g_silu(g, y), "after");
    x = g_linear(g, g_gelu(g, g_linear(g, x, 12, "fc1")), 8, "fc2");
    finish(g, x, classes);
}

/* Squeeze and excitation: the gate's other operand is a vector; the convolution after it sums more than one
 * block of weights over rows of five pixels. */
static void build_gated(graph *g, const model *m, int classes)
{
    int x = g_relu(g, conv_bn(g, g_input(g, 3, m->prep.side, m->prep.side), 2100, 3, 2, "wide"));
    int v = g_silu(g, g_conv_bias(g, g_gap(g, x), 12, 1, 1, 0, "fc1"));
    v = g_sigmoid(g, g_conv_bias(g, v, 2100, 1, 1, 0, "fc2"));
    x = g_tap(g, g_gate(g, x, v), "gate");
    x = g_conv(g, x, 100, 1, 1, 0, "narrow");
    finish(g, g_tap(g, g_batchnorm(g, x, "bn"), "narrow"), classes);
}

static void gates_read_a_vector(void **state)
{
    const char *const taps[] = { "gate", "narrow", NULL };
    fixture f;
    (void)state;
    set_up(&f, build_gated, 1, taps, 0);
    assert_int_equal(step_named(&f, "fc1")->act, ACT_SILU);
    assert_int_equal(step_named(&f, "fc2")->act, ACT_SIGMOID);
    assert_same_values(&f);
    tear_down(&f);
}

/* A curve is fused behind a product, not behind a sum. */
static void curves_are_fused_where_nothing_is_added(void **state)
{
    fixture f;
    (void)state;
    set_up(&f, build_curves, 1, NULL, 0);
    assert_int_equal(step_named(&f, "first.conv")->act, ACT_SILU);
    assert_int_equal(step_named(&f, "fc1")->act, ACT_GELU);
    assert_int_equal(step_named(&f, "second.conv")->act, ACT_NONE);
    assert_true(step_named(&f, "second.conv")->residual >= 0);
    assert_int_equal(steps_of(&f, OP_silu), 1);
    assert_int_equal(steps_of(&f, OP_gelu), 0);
    assert_same_values(&f);
    tear_down(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(repvgg_blocks_are_one_convolution),
        cmocka_unit_test(repvgg_weights_are_rounded_once),
        cmocka_unit_test(tapped_branches_are_not_merged),
        cmocka_unit_test(sums_of_another_kind_keep_their_value),
        cmocka_unit_test(weights_are_standardised),
        cmocka_unit_test(layer_scale_goes_into_the_weights),
        cmocka_unit_test(batch_norm_is_folded_unless_its_input_is_dumped),
        cmocka_unit_test(concatenations_are_slices),
        cmocka_unit_test(a_map_in_two_places_is_copied),
        cmocka_unit_test(gates_read_a_vector),
        cmocka_unit_test(curves_are_fused_where_nothing_is_added),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
