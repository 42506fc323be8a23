/* The CUDA backend over a device in host memory (tests/mock/cuda.h): what it does when all is well,
 * and what it says, returns and gives back when any call of CUDA, cuBLAS or cuDNN fails: over the life of
 * a device, and over that of a network on it. */
#include "common/err.h"
#include "extract/plugin.h"
#include "tests/mock/cuda.h"
#include "tests/lib/hash_golden.h"
#include "tests/lib/record_random.h"
#include "extract/backend.h"
#include "extract/cuda/errors.h"
#include "extract/model.h"

#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

cuda_plugin_entry outpost_cuda_plugin;

static const cuda_plugin *plugin;
static int said_code;
static char said[2048];
static unsigned said_count;

static int hear(int code, const char *text)
{
    said_code = code;
    said_count++;
    snprintf(said, sizeof said, "%s", text);
    return code;
}

static const cuda_host host = { .fail = hear };

static int setup(void **state)
{
    (void)state;
    mock_reset();
    said[0] = '\0';
    said_count = 0;
    unsetenv("CUDA_VISIBLE_DEVICES");
    unsetenv("NVIDIA_TF32_OVERRIDE");
    plugin = outpost_cuda_plugin(CUDA_PLUGIN_ABI, sizeof(op_args), KERNEL_COUNT, &host);
    return plugin == NULL;
}

enum { N = 37 };
typedef struct outcome {
    int rc;
    cuda_fault fault;
    float y[N];
} outcome;

/* A small whole run: every entry of the plugin that a real one uses. */
static outcome scenario(void)
{
    outcome o = { .rc = 0 };
    int rc = 0, devices = 0;
    cuda_backend *be = NULL;
    void *x = NULL, *y = NULL, *pinned = NULL;
    float *in;
    op_args args = { .n = 1, .c = N, .h = 1, .w = 1 };
    TRY(plugin->count(&devices));
    TRY(plugin->open(&be, 0));
    TRY(plugin->alloc_host(be, 2 * N * sizeof(float), &pinned));
    TRY(plugin->alloc(be, N * sizeof(float), &x));
    TRY(plugin->alloc(be, N * sizeof(float), &y));
    in = pinned;
    for (int i = 0; i < N; i++)
        in[i] = (float)(i - N / 2);
    TRY(plugin->clear(be, y, N * sizeof(float)));
    TRY(plugin->upload(be, x, in, N * sizeof(float)));
    args.x[0] = x;
    args.y = y;
    TRY(plugin->run(be, KERNEL_relu_fwd, &args));
    TRY(plugin->download(be, in + N, y, N * sizeof(float)));
    TRY(plugin->sync(be));
    memcpy(o.y, in + N, sizeof o.y);
done:
    o.rc = rc;
    o.fault = plugin->fault();
    if (be != NULL) {
        plugin->release(be, &x); /* pinned and y are left to close */
        plugin->close(&be);
    }
    plugin->close(&be);
    return o;
}

static void is_relu(const outcome *o)
{
    assert_int_equal(o->rc, 0);
    for (int i = 0; i < N; i++)
        assert_true(o->y[i] == (i < N / 2 ? 0.0f : (float)(i - N / 2)));
}

static void a_run_without_faults(void **state)
{
    outcome o = scenario();
    (void)state;
    is_relu(&o);
    assert_int_equal(o.fault, FAULT_NONE);
    assert_int_equal(said_count, 0);
    assert_int_equal(mock_live(), 0);
    assert_int_equal(mock_bytes(), 0);
}

/* Failures of these need not fail the run: they come on the way out, or only drain an old error. */
static int tolerated(int call)
{
    return call == MOCK_device_free || call == MOCK_host_free || call == MOCK_stream_destroy ||
           call == MOCK_blas_destroy || call == MOCK_lt_destroy || call == MOCK_dnn_destroy ||
           call == MOCK_event_destroy || call == MOCK_graph_free || call == MOCK_graph_free_ready ||
           call == MOCK_dnn_free || call == MOCK_lt_plan_free || call == MOCK_blas_set_workspace ||
           call == MOCK_last_error || call == MOCK_stream_sync || call == MOCK_set_device;
}

static const int statuses[3][18] = {
    [LIB_CUDA] = { 1, 2, 3, 9, 35, 46, 98, 100, 101, 209, 214, 226, 400, 600, 700, 702, 719, 999 },
    [LIB_CUBLAS] = { 1, 3, 7, 8, 11, 13, 14, 15, 16, 4, 99, 12345, 2 },
    [LIB_CUDNN] = { 1001, 1002, 1008, 2000, 2007, 3000, 3005, 3007, 4000, 4003, 4004, 5000, 5003, 77 },
};

static void check_failure(const outcome *o, int call, int status)
{
    cuda_fault kind = cuda_fault_of(mock_libraries[call], status);
    int internal = kind == FAULT_REFUSED && call != MOCK_device_count;
    if (o->rc == 0) {
        assert_true(tolerated(call));
        is_relu(o);
        return;
    }
    assert_int_equal(o->rc, internal ? ERR_INTERNAL : ERR_ENV);
    assert_int_equal(said_code, o->rc);
    assert_int_equal(o->fault, kind);
    assert_true(strlen(said) > 20);
    assert_null(strpbrk(said, "\n\r\t"));
}

/* ---- a network -------------------------------------------------------------------------------- */

enum { SIDE = 4, IMAGES = 2, CLASSES = 3, VALUES = (2 * IMAGES + 1) * CLASSES };

typedef struct tiny { /* a convolution, attention, a linear layer: every library */
    precision precision;
    model m;
    graph *g;
    weights *w;
    plan_request request;
    float truth[VALUES]; /* of the batches that the scenario runs */
    float plain[VALUES]; /* with attention as products */
    char about[256];
} tiny;

static tiny net;

static void tiny_build(graph *g, const model *m, int classes)
{
    int x = g_relu(g, g_conv_bias(g, g_input(g, 3, m->prep.side, m->prep.side), 4, 2, 2, 0, "conv"));
    x = g_attention(g, g_linear(g, x, 12, "qkv"), 2, 0.5f);
    x = g_gap(g, x);
    g_features(g, x);
    g_logits(g, g_linear(g, x, classes, "fc"));
}

/* Heads that cuDNN takes, in windows and over all tokens. */
static void tiny_fused_build(graph *g, const model *m, int classes)
{
    int x = g_relu(g, g_conv_bias(g, g_input(g, 3, m->prep.side, m->prep.side), 8, 2, 2, 0, "conv"));
    x = g_window_attention(g, g_linear(g, x, 48, "qkv"), 2, 2, 1, "table");
    x = g_attention(g, g_linear(g, x, 48, "qkv2"), 2, 0.5f);
    x = g_gap(g, x);
    g_features(g, x);
    g_logits(g, g_linear(g, x, classes, "fc"));
}

/* Opens, runs two batches that overlap, of bytes and of records, then part of the second; closes. */
static outcome network_scenario(void)
{
    static uint8_t rgb[2 * IMAGES * SIDE * SIDE * 3];
    outcome o = { .rc = 0 };
    int rc = 0;
    const prep p = { .out_h = SIDE, .out_w = SIDE, .mean = { 0.5f, 0.5f, 0.5f }, .std = { 0.25f, 0.25f, 0.25f } };
    const backend_options options = { .batch = IMAGES, .prep = &p, .precision = net.precision, .records = 1 };
    cuda_backend *be = NULL;
    cuda_network *n = NULL;
    plan *own = NULL;
    float got[VALUES], *one = got, *two = one + IMAGES * CLASSES, *three = two + IMAGES * CLASSES;
    size_t bytes = 0;
    record_image *drawn = random_batch(5, IMAGES, SIDE, SIDE, &bytes);
    record_batch b = { NULL, IMAGES, bytes };
    void *stays = NULL;
    assert_non_null(drawn);
    assert_true(drawn[0].kind == RECORD_JPEG && drawn[1].kind == RECORD_JPEG);
    for (size_t i = 0; i < sizeof rgb; i++)
        rgb[i] = (uint8_t)(37 * i);
    TRY(plan_build(&own, net.g, net.w, &net.request, 1, 1));
    TRY(plugin->open(&be, 0));
    TRY(plugin->network_open(&n, be, own, &options));
    plugin->network_describe(n, net.about, sizeof net.about);
    TRY(plugin->network_host_alloc(n, bytes, &stays));
    b.images = memcpy(stays, drawn, bytes);
    TRY(plugin->network_submit(n, &(batch_input){ .rgb = rgb }, IMAGES));
    TRY(plugin->network_submit(n, &(batch_input){ .records = &b }, IMAGES));
    TRY(plugin->network_wait(n, &one));
    TRY(plugin->network_wait(n, &two));
    TRY(plugin->network_submit(n, &(batch_input){ .records = &b, .first = 1 }, 1));
    TRY(plugin->network_wait(n, &three));
    memcpy(o.y, got, sizeof got);
done:
    o.rc = rc;
    o.fault = plugin->fault();
    if (stays != NULL) plugin->network_host_release(n, &stays);
    if (n != NULL) plugin->network_close(&n);
    if (be != NULL) plugin->close(&be);
    plan_free(&own);
    free(drawn);
    return o;
}

static int same_network(const outcome *o)
{
    return memcmp(o->y, net.truth, sizeof net.truth) == 0 ||
           memcmp(o->y, net.plain, sizeof net.plain) == 0;
}

/* What may go on after a failure: another engine, attention as products, or step by step instead of
 * recorded.  Its results are the same, or those of products. */
static int goes_on(int call, cuda_fault kind)
{
    if (call == MOCK_dnn_finalise) return kind != FAULT_LOST && kind != FAULT_ABSENT && kind != FAULT_MEMORY;
    return (call == MOCK_capture_begin || call == MOCK_capture_end || call == MOCK_graph_make ||
            mock_libraries[call] != LIB_CUDA) && (kind == FAULT_FAILED || kind == FAULT_REFUSED);
}

static void check_network_failure(const outcome *o, int call, int status)
{
    cuda_fault kind = cuda_fault_of(mock_libraries[call], status);
    if (o->rc == 0) {
        assert_true(tolerated(call) || goes_on(call, kind));
        assert_true(same_network(o));
        return;
    }
    if (call == MOCK_dnn_finalise && o->fault == FAULT_CODE) return; /* no engine was left */
    check_failure(o, call, status);
}

static void check_values(const outcome *o)
{
    assert_int_equal(o->rc, 0);
    for (int i = 0; i < VALUES; i++)
        assert_true(o->y[i] == o->y[i] && o->y[i] != 0);
}

static void open_tiny(void (*build)(graph *g, const model *m, int classes), precision p)
{
    char file[] = "/tmp/outpost-faults-XXXXXX";
    int fd = mkstemp(file);
    outcome o;
    net.m = (model){ .name = "tiny", .about = "", .paper = "", .layouts = "test", .build = build,
                     .classifier = "fc", .classes = CLASSES, .prep = { .side = SIDE } };
    assert_true(fd >= 0);
    net.precision = p;
    assert_int_equal(model_build(&net.g, &net.m, CLASSES), 0);
    assert_int_equal(hash_write_weights(file, net.g, NULL, 1.0), 0);
    assert_int_equal(weights_open(&net.w, file), 0);
    assert_int_equal(weights_bind(net.w, &net.m, net.g), 0);
    close(fd);
    unlink(file);
    net.request = (plan_request){ "logits", graph_logits(net.g), REDUCE_NONE };
    o = network_scenario();
    check_values(&o);
    memcpy(net.truth, o.y, sizeof net.truth);
    /* The image that went through alone is the second of its batch. */
    assert_memory_equal(o.y + 2 * IMAGES * CLASSES, o.y + (2 * IMAGES - 1) * CLASSES, CLASSES * sizeof(float));
    setenv("OUTPOST_CUDA_SDPA", "0", 1);
    o = network_scenario();
    check_values(&o);
    memcpy(net.plain, o.y, sizeof net.plain);
    unsetenv("OUTPOST_CUDA_SDPA");
}

static void close_tiny(void)
{
    weights_close(&net.w);
    graph_free(&net.g);
}

/* ---- every call fails ------------------------------------------------------------------------- */

typedef outcome scenario_function(void);
typedef void check_function(const outcome *o, int call, int status);

typedef int class_list[3][18];
/* One of each class: memory, lost, failed, refused. */
static const class_list classes = { [LIB_CUDA] = { 2, 719, 801, 1 },
                                    [LIB_CUBLAS] = { 3, 13, 15, 7 },
                                    [LIB_CUDNN] = { 4004, 5000, 3000, 2000 } };

/* Runs it with the nth use of each call failing, in every class, once and for good; at most about `most`
 * uses of a call. */
static void fail_everywhere(scenario_function *run, check_function *check, const class_list list, unsigned most)
{
    unsigned calls[MOCK_CALLS], runs = 0, failed = 0;
    setup(NULL);
    assert_int_equal(run().rc, 0);
    for (int c = 0; c < MOCK_CALLS; c++)
        calls[c] = mock_count(c);
    for (int c = 0; c < MOCK_CALLS; c++)
        for (unsigned nth = 1; nth <= calls[c]; nth += calls[c] > most && nth > 4 ? calls[c] / most : 1)
            for (int s = 0; s < 18 && list[mock_libraries[c]][s] != 0; s++)
                for (int lost = 0; lost < 2; lost++) {
                    outcome o;
                    setup(NULL);
                    mock.fail_call = c;
                    mock.fail_at = nth;
                    mock.fail_status = list[mock_libraries[c]][s];
                    mock.lost = lost;
                    o = run();
                    check(&o, c, mock.fail_status);
                    assert_int_equal(mock_live(), 0);
                    runs++;
                    failed += o.rc != 0;
                }
    print_message("# %u runs with one failing call, %u of them failed as they must\n", runs, failed);
    assert_true(runs > 1000 && failed > runs / 2);
}

static void every_call_failing_once_and_for_good(void **state)
{
    outcome clean;
    (void)state;
    fail_everywhere(scenario, check_failure, statuses, 1000);
    setup(NULL);
    clean = scenario();
    is_relu(&clean);
}

static void fail_network(void)
{
    outcome clean;
    if (getenv("OUTPOST_LONG") != NULL) fail_everywhere(network_scenario, check_network_failure, statuses, 1000);
    else fail_everywhere(network_scenario, check_network_failure, classes, 5);
    setup(NULL);
    clean = network_scenario();
    assert_int_equal(clean.rc, 0);
    assert_memory_equal(clean.y, net.truth, sizeof net.truth);
    close_tiny();
}

static void every_call_of_a_network_failing(void **state)
{
    (void)state;
    open_tiny(tiny_build, PRECISION_FP32);
    fail_network();
}

static void every_call_of_fused_attention_failing(void **state)
{
    (void)state;
    open_tiny(tiny_fused_build, PRECISION_BF16);
    assert_true(memcmp(net.truth, net.plain, sizeof net.truth) != 0); /* the two ways round apart */
    fail_network();
}

/* Where cuDNN has no plan (before compute capability 8.0, or heads of other widths) products take its
 * place, and the description says so. */
static void attention_without_a_plan_is_products(void **state)
{
    outcome o;
    (void)state;
    open_tiny(tiny_fused_build, PRECISION_FP16);
    o = network_scenario();
    assert_non_null(strstr(net.about, " sdpa 2/2"));
    assert_memory_equal(o.y, net.truth, sizeof net.truth);
    mock.major = 7;
    mock.minor = 5;
    o = network_scenario();
    assert_int_equal(o.rc, 0);
    assert_non_null(strstr(net.about, " sdpa 0/2"));
    assert_memory_equal(o.y, net.plain, sizeof net.plain);
    close_tiny();
    setup(NULL);
    open_tiny(tiny_build, PRECISION_BF16); /* two heads of two channels */
    o = network_scenario();
    assert_non_null(strstr(net.about, " sdpa 0/1"));
    net.precision = PRECISION_FP32;
    o = network_scenario();
    assert_null(strstr(net.about, "sdpa"));
    close_tiny();
}

/* The calls that the clean run does not make are made by its failures. */
static void calls_of_the_failure_paths_failing_too(void **state)
{
    static const int second[] = { MOCK_driver_version, MOCK_runtime_version, MOCK_memory_info };
    (void)state;
    for (size_t i = 0; i < sizeof second / sizeof *second; i++) {
        outcome o;
        setup(NULL);
        if (second[i] == MOCK_memory_info)
            mock.memory = 100; /* the first allocation finds none */
        else
            mock.driver = 12020;
        mock.fail_call = second[i];
        mock.fail_at = 1;
        mock.fail_status = 999;
        o = scenario();
        assert_int_equal(mock_count(second[i]), 1);
        assert_int_equal(o.rc, ERR_ENV);
        assert_int_equal(o.fault, second[i] == MOCK_memory_info ? FAULT_MEMORY : FAULT_ABSENT);
        assert_int_equal(mock_live(), 0);
        assert_non_null(strstr(said, second[i] == MOCK_memory_info ? "allocating GPU memory: out of"
                                                                  : "no CUDA device: "));
    }
}

static void refusals_say_what_is_wrong(void **state)
{
    static const struct {
        int devices, driver, major, minor, device;
        const char *visible, *tf32, *text;
    } cases[] = {
        { 1, 0, 9, 0, 0, NULL, NULL, "no CUDA device: no NVIDIA driver on this machine" },
        { 1, 12020, 9, 0, 0, NULL, NULL,
          "no CUDA device: the NVIDIA driver serves CUDA 12.2, this build needs 13.0" },
        { 0, 13000, 9, 0, 0, NULL, NULL, "no CUDA device: the driver sees no GPU (error 100)" },
        { 0, 13000, 9, 0, 0, "7\033[2J", NULL,
          "no CUDA device: the driver sees no GPU (error 100) (CUDA_VISIBLE_DEVICES='7\\x1b[2J')" },
        { 2, 13000, 9, 0, 2, NULL, NULL,
          "no CUDA device: 2 asked for, this machine has 2, counted from 0" },
        { 1, 13000, 9, 0, -1, NULL, NULL,
          "no CUDA device: -1 asked for, this machine has 1, counted from 0" },
        { 1, 13000, 7, 0, 0, NULL, NULL,
          "no CUDA device: mock device in host memory has compute capability 7.0, 7.5 is the least" },
        { 1, 13000, 7, 5, 0, NULL, NULL, NULL },
        { 1, 13020, 12, 0, 0, NULL, NULL, NULL },
        { 1, 13000, 9, 0, 0, NULL, "1",
          "NVIDIA_TF32_OVERRIDE=1 changes results unseen; unset it and choose with -p" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cuda_backend *be = NULL;
        int rc;
        setup(NULL);
        mock.devices = cases[i].devices;
        mock.driver = cases[i].driver;
        mock.major = cases[i].major;
        mock.minor = cases[i].minor;
        if (cases[i].visible != NULL) setenv("CUDA_VISIBLE_DEVICES", cases[i].visible, 1);
        if (cases[i].tf32 != NULL) setenv("NVIDIA_TF32_OVERRIDE", cases[i].tf32, 1);
        rc = plugin->open(&be, cases[i].device);
        assert_int_equal(rc, cases[i].text != NULL ? ERR_ENV : 0);
        assert_string_equal(said, cases[i].text != NULL ? cases[i].text : "");
        assert_true((be != NULL) == (cases[i].text == NULL));
        plugin->close(&be);
        assert_null(be);
        assert_int_equal(mock_live(), 0);
    }
}

static void out_of_memory_leaves_the_device_usable(void **state)
{
    cuda_backend *be = NULL;
    void *big = NULL, *x = NULL;
    float got[2] = { 0 };
    const float in[2] = { -1.0f, 2.0f };
    op_args args = { .n = 2, .c = 1, .h = 1, .w = 1 };
    (void)state;
    assert_int_equal(plugin->open(&be, 0), 0);
    assert_int_equal(plugin->alloc(be, (size_t)3 << 30, &big), ERR_ENV);
    assert_null(big);
    assert_string_equal(said, "out of GPU memory: 3072.0 MiB asked for, 1024.0 of 1024.0 MiB free");
    assert_int_equal(plugin->fault(), FAULT_MEMORY);
    /* The launch after it must not inherit the error that the runtime remembers. */
    assert_int_equal(plugin->alloc(be, sizeof in, &x), 0);
    assert_int_equal((uintptr_t)x % 256, 0);
    assert_int_equal(plugin->upload(be, x, in, sizeof in), 0);
    args.x[0] = args.y = x;
    assert_int_equal(plugin->run(be, KERNEL_relu_fwd, &args), 0);
    assert_int_equal(plugin->download(be, got, x, sizeof got), 0);
    assert_int_equal(plugin->sync(be), 0);
    assert_int_equal(plugin->fault(), FAULT_NONE);
    assert_true(got[0] == 0.0f && got[1] == 2.0f);
    plugin->release(be, &x);
    assert_null(x);
    plugin->release(be, &x);
    assert_int_equal(mock_bytes(), 0);
    plugin->close(&be);
    assert_int_equal(mock_live(), 0);
}

static void a_lost_device_stays_lost_and_closes(void **state)
{
    cuda_backend *be = NULL;
    void *x = NULL, *y = NULL;
    (void)state;
    assert_int_equal(plugin->open(&be, 0), 0);
    assert_int_equal(plugin->alloc(be, 64, &x), 0);
    mock.fail_call = MOCK_stream_sync;
    mock.fail_at = mock_count(MOCK_stream_sync) + 1;
    mock.fail_status = 700;
    mock.lost = 1;
    assert_int_equal(plugin->sync(be), ERR_ENV);
    assert_string_equal(said, "waiting for the CUDA device: a kernel touched an illegal address "
                              "(cudaErrorIllegalAddress, 700)");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(plugin->alloc(be, 64, &y), ERR_ENV);
        assert_int_equal(plugin->fault(), FAULT_LOST);
        assert_null(y);
    }
    plugin->release(be, &x);
    plugin->close(&be);
    assert_int_equal(mock_live(), 0);
}

static void a_wrong_bit_is_found_at_the_start(void **state)
{
    static const struct {
        int kernel;
        const char *stage;
    } cases[] = {
        { KERNEL_normalise_fwd, "'normalise'" }, { KERNEL_scale_shift_fwd, "'scale and shift'" },
        { KERNEL_add_fwd, "'add'" },             { KERNEL_maxpool_fwd, "'max pool'" },
        { KERNEL_avgpool_fwd, "'average pool'" }, { KERNEL_gap_fwd, "'global average pool'" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cuda_backend *be = NULL;
        setup(NULL);
        mock.wrong_kernel = cases[i].kernel;
        assert_int_equal(plugin->open(&be, 0), ERR_ENV);
        assert_null(be);
        assert_non_null(strstr(said, "computes wrongly: self-test"));
        assert_non_null(strstr(said, cases[i].stage));
        assert_int_equal(plugin->fault(), FAULT_LOST);
        assert_int_equal(mock_live(), 0);
    }
}

static void malformed_calls_are_refused(void **state)
{
    cuda_backend *be = NULL;
    void *x = NULL;
    op_args args = { .n = 1, .c = 1, .h = 1, .w = 1 };
    (void)state;
    assert_int_equal(plugin->open(&be, 0), 0);
    assert_int_equal(plugin->alloc(be, 0, &x), 0);
    assert_non_null(x);
    args.y = x;
    assert_int_equal(plugin->run(be, KERNEL_relu_fwd, &args), ERR_INTERNAL);
    assert_string_equal(said, "CUDA kernel relu_fwd: operand missing");
    assert_int_equal(plugin->fault(), FAULT_REFUSED);
    assert_int_equal(plugin->run(be, KERNEL_COUNT, &args), ERR_INTERNAL);
    assert_string_equal(said, "CUDA kernel ?: no such kernel");
    assert_int_equal(plugin->upload(be, x, "", 0), 0);
    plugin->close(&be);
    assert_int_equal(mock_live(), 0);
}

static void the_description_names_versions_and_devices(void **state)
{
    char text[1024], little[20];
    (void)state;
    mock.devices = 2;
    plugin->describe(text, sizeof text);
    assert_string_equal(text,
                        "CUDA runtime 13.0, driver for CUDA 13.0, cuDNN 9.19.0, cuBLAS 13.0.1\n"
                        "cuda:0  mock device in host memory, compute capability 9.0, 1.0 GiB, "
                        "0000:00:00.0\n"
                        "cuda:1  mock device in host memory, compute capability 9.0, 1.0 GiB, "
                        "0000:01:00.0\n");
    plugin->describe(little, sizeof little);
    assert_string_equal(little, "CUDA runtime 13.0, ");
    mock.driver = 0;
    plugin->describe(text, sizeof text);
    assert_string_equal(text, "CUDA runtime 13.0, driver for CUDA none, cuDNN 9.19.0, cuBLAS 13.0.1\n"
                              "no CUDA device: no NVIDIA driver on this machine\n");
    assert_int_equal(said_count, 0);
}

static void emulated_precision_is_refused(void **state)
{
    cuda_backend *be = NULL;
    (void)state;
    setenv("CUBLAS_EMULATE_SINGLE_PRECISION", "1", 1);
    assert_int_equal(plugin->open(&be, 0), ERR_ENV);
    assert_string_equal(said, "CUBLAS_EMULATE_SINGLE_PRECISION=1 changes results unseen; unset it and choose with -p");
    unsetenv("CUBLAS_EMULATE_SINGLE_PRECISION");
    assert_int_equal(plugin->open(&be, 0), 0);
    plugin->close(&be);
}

static void another_build_is_refused(void **state)
{
    (void)state;
    assert_null(outpost_cuda_plugin(CUDA_PLUGIN_ABI + 1, sizeof(op_args), KERNEL_COUNT, &host));
    assert_null(outpost_cuda_plugin(CUDA_PLUGIN_ABI, sizeof(op_args) + 8, KERNEL_COUNT, &host));
    assert_null(outpost_cuda_plugin(CUDA_PLUGIN_ABI, sizeof(op_args), KERNEL_COUNT - 1, &host));
    assert_string_equal(plugin->name, "cuda");
    assert_string_equal(plugin->version, OUTPOST_VERSION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_run_without_faults, setup),
        cmocka_unit_test_setup(every_call_failing_once_and_for_good, setup),
        cmocka_unit_test_setup(every_call_of_a_network_failing, setup),
        cmocka_unit_test_setup(every_call_of_fused_attention_failing, setup),
        cmocka_unit_test_setup(attention_without_a_plan_is_products, setup),
        cmocka_unit_test_setup(calls_of_the_failure_paths_failing_too, setup),
        cmocka_unit_test_setup(refusals_say_what_is_wrong, setup),
        cmocka_unit_test_setup(out_of_memory_leaves_the_device_usable, setup),
        cmocka_unit_test_setup(a_lost_device_stays_lost_and_closes, setup),
        cmocka_unit_test_setup(a_wrong_bit_is_found_at_the_start, setup),
        cmocka_unit_test_setup(malformed_calls_are_refused, setup),
        cmocka_unit_test_setup(the_description_names_versions_and_devices, setup),
        cmocka_unit_test_setup(emulated_precision_is_refused, setup),
        cmocka_unit_test_setup(another_build_is_refused, setup),
    };
    omp_set_num_threads(1); /* thousands of runs of a few operations */
    return cmocka_run_group_tests_name("cuda faults", tests, NULL, NULL);
}
