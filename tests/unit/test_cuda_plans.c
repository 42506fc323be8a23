/* Whether the real cuDNN has a plan for every convolution and every attention of every network, on devices
 * that need not be here: cuDNN plans for a device from its description (T4, A100, H200).  A convolution whose fused
 * form has no engine must have one without the residual or the activation, which kernels of ours add;
 * how many those are is printed.  Their adjoints must have one each.  The descriptions are a development aid: their keys are read off
 * cuDNN 9.19 and are no documented interface.
 * Engines for attention are compiled at run time, for which cuDNN wants a driver: tests/driver/libcuda.c,
 * which takes any code.
 * A sample by default; OUTPOST_LONG=1 takes every shape. */
#include "common/err.h"
#include "extract/cuda/conv.h"
#include "extract/cuda/errors.h"
#include "extract/cuda/steps.h"
#include "extract/model.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { KEYS_MAX = 4096, BATCH = 32 };
static const size_t WORKSPACE = (size_t)512 << 20;

static conv_key keys[KEYS_MAX];
static size_t n_keys, n_seen;
static conv_key backs[KEYS_MAX]; /* adjoints */
static size_t n_backs, n_backs_seen;
static sdpa_key attentions[KEYS_MAX]; /* in fp16 */
static size_t n_attentions, n_attentions_seen;

typedef struct device {
    const char *name;
    int version, processors, shared, l2, registers, threads, blocks;
    int has_bf16;
} device;

static const device devices[] = {
    {"T4", 750, 40, 65536, 4194304, 65536, 1024, 16, 0},
    {"A100", 800, 108, 166912, 41943040, 65536, 2048, 32, 1},
    {"H200", 900, 132, 232448, 62914560, 65536, 2048, 32, 1},
};

static void describe(const device *d, char *text, size_t room)
{
    snprintf(
        text, room,
        "{\"maxGridSize\":[2147483647,65535,65535],\"maxBlockSize\":[1024,1024,64],"
        "\"regsPerBlock\":%d,"
        "\"multiProcessorCount\":%d,\"warpSize\":32,\"maxSharedMemoryPerBlock\":49152,"
        "\"maxSharedMemoryPerBlockOptin\":%d,\"reservedSharedMemoryPerBlock\":%d,"
        "\"maxRegistersPerSM\":%d,"
        "\"maxCtasPerSM\":%d,\"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":%d,\"pciDeviceId\":0,"
        "\"isTccDriver\":0,\"supportCoopLaunch\":1,\"smClockRateKHz\":1500000,\"memClockRateKHz\":"
        "2000000,"
        "\"l2CacheSize\":%d,\"deviceName\":\"%s\",\"deviceVer\":%d,\"driverVer\":13000,"
        "\"cudaDeviceId\":0,"
        "\"totalGlobalMem\":16000000000}",
        d->registers, d->processors, d->shared, d->version == 750 ? 0 : 1024, d->registers,
        d->blocks, d->threads, d->l2, d->name, d->version);
}

/* The sole consumer of node i, -1: none or several. */
static int consumer(const graph *g, int i)
{
    int found = -1;
    for (size_t k = 0; k < graph_nodes(g); k++) {
        const node *v = graph_node(g, (int)k);
        for (int j = 0; j < v->n_in; j++)
            if (v->in[j] == i) {
                if (found >= 0) return -1;
                found = (int)k;
            }
    }
    return found;
}

/* What the planner fuses behind a convolution: a sum, then ReLU. */
static void follow(const graph *g, int at, conv_key *key)
{
    for (int next = consumer(g, at); next >= 0; next = consumer(g, next)) {
        graph_op op = graph_node(g, next)->op;
        if (op == OP_add && !key->residual) key->residual = 1;
        else if (op == OP_relu) key->act = ACT_RELU;
        else if (op != OP_batchnorm && op != OP_scale) return;
        if (op == OP_relu) return;
    }
}

static void add_key(const conv_key *key)
{
    n_seen++;
    for (size_t i = 0; i < n_keys; i++)
        if (memcmp(&keys[i], key, sizeof *key) == 0) return;
    assert_true(n_keys < KEYS_MAX);
    keys[n_keys++] = *key;
}

/* The gradient at the convolution's input. */
static void add_back(const conv_key *key)
{
    conv_key back = *key;
    back.back = 1;
    back.residual = 0;
    back.act = ACT_NONE;
    n_backs_seen++;
    for (size_t i = 0; i < n_backs; i++)
        if (memcmp(&backs[i], &back, sizeof back) == 0) return;
    assert_true(n_backs < KEYS_MAX);
    backs[n_backs++] = back;
}

static void add_attention(const node *v)
{
    const device_view y = {
        .n = BATCH, .c = v->out.c, .h = v->out.h, .w = v->out.w, .type = ELEMENT_F16};
    sdpa_key key;
    step_attention_key(v, &y, PRECISION_FP16, &key);
    assert_true(sdpa_wanted(&key));
    n_attentions_seen++;
    for (size_t i = 0; i < n_attentions; i++)
        if (memcmp(&attentions[i], &key, sizeof key) == 0) return;
    assert_true(n_attentions < KEYS_MAX);
    attentions[n_attentions++] = key;
}

static void collect(const model *m)
{
    graph *g = NULL;
    assert_int_equal(model_build(&g, m, m->classes), 0);
    for (size_t i = 0; i < graph_nodes(g); i++) {
        const node *v = graph_node(g, (int)i);
        conv_key key;
        shape x;
        if (v->op == OP_attention) add_attention(v);
        if (v->op != OP_conv) continue;
        x = graph_node(g, v->in[0])->out;
        if (x.h * x.w == 1) continue;                    /* of a vector: a product */
        if (v->groups == x.c && v->groups > 1) continue; /* depth-wise: a kernel of ours */
        memset(&key, 0, sizeof key);
        key.n = BATCH;
        key.c = x.c;
        key.h = x.h;
        key.w = x.w;
        key.k = v->out.c;
        key.oh = v->out.h;
        key.ow = v->out.w;
        key.kernel = v->kernel;
        key.stride = v->stride;
        key.pad = v->pad;
        key.groups = v->groups;
        follow(g, (int)i, &key);
        add_key(&key);
        add_back(&key);
    }
    graph_free(&g);
}

/* build/driver/libcuda.so.1 under the name that cuDNN asks for. */
static void load_driver(void)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 32);
    assert_true(n > 0);
    path[n] = '\0';
    *strrchr(path, '/') = '\0';
    *strrchr(path, '/') = '\0';
    strcat(path, "/driver/libcuda.so.1");
    if (dlopen(path, RTLD_NOW | RTLD_GLOBAL) == NULL) fail_msg("%s", dlerror());
}

static int setup(void **state)
{
    (void)state;
    load_driver();
    for (size_t i = 0; models[i] != NULL; i++)
        collect(models[i]);
    print_message("# %zu networks' convolutions, %zu different\n", n_seen, n_keys);
    print_message("# %zu adjoints, %zu different\n", n_backs_seen, n_backs);
    print_message("# %zu networks' attentions, %zu different\n", n_attentions_seen, n_attentions);
    return 0;
}

typedef struct tally {
    int runs, split, slow, none;
} tally;

/* One shape on one device: counts, and names what is not fused. */
static void one(const dnn_target *t, const device *d, conv_key key, precision p, tally *sum)
{
    conv_graph *g = NULL;
    char text[128];
    key.precision = p;
    if (element_of(p) != ELEMENT_F32 && key.c == 3) key.c = 8; /* as the backend pads it */
    conv_key_text(&key, text, sizeof text);
    err_clear();
    sum->runs++;
    if (conv_graph_new(&g, t, &key, WORKSPACE, 1) < 0) {
        print_message("# %s: none for %s: %s\n", d->name, text, err_text());
        sum->none++;
        return;
    }
    if (g->key.residual != key.residual || g->key.act != key.act) {
        sum->split++;
        if (sum->split <= 3) print_message("# %s: not fused whole: %s\n", d->name, text);
    }
    if (g->plans[0].engine == 0) { /* the engine of last resort */
        sum->slow++;
        if (sum->slow <= 3) print_message("# %s: generic engine only: %s\n", d->name, text);
    }
    conv_graph_free(&g);
}

static int plan_all(const conv_key *of, size_t n, size_t sample, const char *what)
{
    static const char *const names[] = {"fp32", "tf32", "bf16", "fp16"};
    size_t step = getenv("OUTPOST_LONG") != NULL ? 1 : n / sample + 1;
    int failures = 0;
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
        for (int p = PRECISION_FP32; p <= PRECISION_FP16; p++) {
            const device *d = &devices[i];
            dnn_list list = {.n = 0};
            dnn_target t = {.handle = NULL};
            char json[1024];
            tally sum = {0};
            if (!d->has_bf16 && (p == PRECISION_BF16 || p == PRECISION_TF32)) continue;
            describe(d, json, sizeof json);
            if (dnn_device(&list, json, &t.properties) < 0) fail_msg("%s", err_text());
            for (size_t k = 0; k < n; k += step)
                one(&t, d, of[k], (precision)p, &sum);
            print_message(
                "# %s %s: %d %s, %d split, %d by the generic engine, %d without a plan\n",
                d->name, names[p], sum.runs, what, sum.split, sum.slow, sum.none);
            failures += sum.none;
            dnn_list_free(&list);
        }
    return failures;
}

static void every_convolution_has_a_plan(void **state)
{
    (void)state;
    assert_int_equal(plan_all(keys, n_keys, 40, "shapes"), 0);
}

static void every_adjoint_has_a_plan(void **state)
{
    (void)state;
    assert_int_equal(plan_all(backs, n_backs, 40, "adjoints"), 0);
}

/* Attention as one plan: everything on A100 and H200; cuDNN 9.19 has nothing before compute capability
 * 8.0, where products take its place. */
static void every_attention_has_a_plan(void **state)
{
    static const char *const names[] = {[PRECISION_BF16] = "bf16", [PRECISION_FP16] = "fp16"};
    size_t step = getenv("OUTPOST_LONG") != NULL ? 1 : n_attentions / 6 + 1;
    int missing = 0;
    (void)state;
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
        for (int p = PRECISION_BF16; p <= PRECISION_FP16; p++) {
            const device *d = &devices[i];
            dnn_list list = {.n = 0};
            dnn_target t = {.handle = NULL};
            char json[1024], text[128];
            int runs = 0, plans = 0;
            if (!d->has_bf16 && p == PRECISION_BF16) continue;
            describe(d, json, sizeof json);
            if (dnn_device(&list, json, &t.properties) < 0) fail_msg("%s", err_text());
            for (size_t k = 0; k < n_attentions; k += step) {
                sdpa_key key = attentions[k];
                sdpa_graph *g = NULL;
                key.precision = (precision)p;
                sdpa_key_text(&key, text, sizeof text);
                if (sdpa_graph_new(&g, &t, &key, WORKSPACE) < 0) fail_msg("%s", err_text());
                if (!g->usable && d->version >= 800) print_message("# %s: no %s\n", d->name, text);
                runs++;
                plans += g->usable;
                sdpa_graph_free(&g);
            }
            print_message("# %s %s: %d kinds of attention, %d with a plan\n", d->name, names[p],
                          runs, plans);
            if (d->version >= 800) missing += runs - plans;
            dnn_list_free(&list);
        }
    assert_int_equal(missing, 0);
}

/* The filter matters: without it the first engine of an exact convolution on H200 uses tensor cores. */
static void exact_is_another_engine_than_tf32(void **state)
{
    const conv_key key = {.n = BATCH,
                          .c = 64,
                          .h = 56,
                          .w = 56,
                          .k = 64,
                          .oh = 56,
                          .ow = 56,
                          .kernel = 3,
                          .stride = 1,
                          .pad = 1,
                          .groups = 1,
                          .act = ACT_RELU};
    dnn_list list = {.n = 0};
    dnn_target t = {.handle = NULL};
    conv_graph *exact = NULL, *fast = NULL;
    conv_key tf32 = key;
    char json[1024];
    (void)state;
    tf32.precision = PRECISION_TF32;
    describe(&devices[2], json, sizeof json);
    assert_int_equal(dnn_device(&list, json, &t.properties), 0);
    assert_int_equal(conv_graph_new(&exact, &t, &key, WORKSPACE, 1), 0);
    assert_int_equal(conv_graph_new(&fast, &t, &tf32, WORKSPACE, 8), 0);
    assert_int_equal(fast->n_plans, 8);
    assert_true(exact->plans[0].engine != fast->plans[0].engine);
    conv_graph_free(&exact);
    conv_graph_free(&fast);
    dnn_list_free(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_convolution_has_a_plan),
        cmocka_unit_test(every_adjoint_has_a_plan),
        cmocka_unit_test(every_attention_has_a_plan),
        cmocka_unit_test(exact_is_another_engine_than_tf32),
    };
    return cmocka_run_group_tests_name("cuda plans", tests, setup, NULL);
}
