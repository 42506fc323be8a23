/* Every kernel of kernels/table.def, CPU twin against CUDA twin, on a real device through the plugin:
 * one element, odd sizes, more work than threads, zeros, huge values, infinities and NaN.
 * Whatever IEEE 754 fixes must agree to the bit; softmax, whose twins sum in another order and use
 * another expf, within 2e-6 relative.
 * Without a device the CUDA twins are run by emulation on the CPU (tests/emu), which holds their
 * indices, bounds and barriers; without that too, the whole file is skipped. */
#include "common/err.h"
#include "extract/plugin.h"

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
    size_t x, y; /* floats of x[0] and of y */
} sizes;

/* Completes the arguments of one kernel for a shape. */
static sizes prepare(int kernel, op_args *a, int variant)
{
    sizes s = { .x = op_count(a), .y = op_count(a) };
    switch (kernel) {
    case KERNEL_normalise_fwd: a->flags = variant % 2 ? KF_NCHW : 0; break;
    case KERNEL_scale_shift_fwd:
    case KERNEL_add_fwd: a->flags = variant % 2 ? KF_RELU : 0; break;
    case KERNEL_maxpool_fwd:
    case KERNEL_avgpool_fwd:
        a->kernel = a->h < 3 || a->w < 3 ? 1 : 3;
        a->stride = 1 + variant % 2;
        a->pad = a->kernel / 2;
        a->flags = (variant & 2 ? KF_CEIL : 0) | (variant & 1 ? KF_COUNT_PAD : 0);
        a->oh = op_pooled(a->h, a->kernel, a->stride, a->pad, variant & 2);
        a->ow = op_pooled(a->w, a->kernel, a->stride, a->pad, variant & 2);
        s.y = (size_t)a->n * (size_t)a->oh * (size_t)a->ow * (size_t)a->c;
        break;
    case KERNEL_gap_fwd: s.y = (size_t)a->n * (size_t)a->c; break;
    case KERNEL_copy_fwd:
        a->x_c = a->c;
        a->x_at = a->c / 3;
        a->c -= a->x_at;
        a->y_at = variant;
        a->y_c = a->c + a->y_at + 2;
        s.y = op_rows(a) * (size_t)a->y_c;
        break;
    case KERNEL_shortcut_a_fwd:
        a->oh = (a->h + 1) / 2;
        a->ow = (a->w + 1) / 2;
        a->y_c = 2 * a->c + 1;
        a->y_at = a->c / 2;
        s.y = (size_t)a->n * (size_t)a->oh * (size_t)a->ow * (size_t)a->y_c;
        break;
    default: break;
    }
    return s;
}

static float *new_floats(size_t count, int odd)
{
    float *v = malloc(count * sizeof *v);
    assert_non_null(v);
    for (size_t i = 0; i < count; i++)
        v[i] = draw_float(odd);
    return v;
}

static void *on_device(const void *from, size_t bytes)
{
    void *mem = NULL;
    ok(plugin->alloc(be, bytes, &mem));
    ok(plugin->upload(be, mem, from, bytes));
    return mem;
}

/* The share of the tolerance that was used; fails where it is passed. */
static double compare(int kernel, const op_args *a, const float *cpu, const float *gpu, size_t count)
{
    double rtol = kernel == KERNEL_softmax_fwd ? 2e-6 : 0.0, atol = 1e-37, used = 0;
    for (size_t i = 0; i < count; i++) {
        double off = fabs((double)cpu[i] - (double)gpu[i]), room = rtol * fabs((double)cpu[i]) + atol;
        int right = isnan(cpu[i]) ? isnan(gpu[i]) : rtol > 0 ? off <= room : bits(cpu[i]) == bits(gpu[i]);
        if (!right)
            fail_msg("%s [%d,%d,%d,%d] flags %u: element %zu is %.9g on the CPU and %.9g on the GPU",
                     kernel_names[kernel], a->n, a->h, a->w, a->c, a->flags, i, (double)cpu[i],
                     (double)gpu[i]);
        if (rtol > 0 && off / room > used) used = off / room;
    }
    return used;
}

static double twins(int kernel, op_args a, int variant, int odd)
{
    sizes s = prepare(kernel, &a, variant);
    size_t operand = s.x > 4096 ? s.x : 4096; /* also x[1] and x[2], which may be per channel */
    size_t image = operand;
    float *x[3], *cpu = new_floats(s.y, 0), *gpu = new_floats(s.y, 0);
    unsigned char *u8 = malloc(image);
    void *d_x[3], *d_u8, *d_y;
    op_args d = a;
    double used;
    assert_non_null(u8);
    for (size_t i = 0; i < image; i++)
        u8[i] = (unsigned char)draw();
    memcpy(gpu, cpu, s.y * sizeof *gpu); /* what a copy leaves alone must be alike too */
    for (int k = 0; k < 3; k++) {
        x[k] = new_floats(operand, odd);
        d_x[k] = on_device(x[k], operand * sizeof(float));
        a.x[k] = x[k];
        d.x[k] = d_x[k];
    }
    d_u8 = on_device(u8, image);
    d_y = on_device(gpu, s.y * sizeof *gpu);
    a.u8 = u8;
    d.u8 = d_u8;
    a.y = cpu;
    d.y = d_y;
    assert_null(kernel_problem(kernel, &a));
    assert_int_equal(kernels_cpu[kernel](&a), 0);
    ok(plugin->run(be, kernel, &d));
    ok(plugin->download(be, gpu, d_y, s.y * sizeof *gpu));
    ok(plugin->sync(be));
    used = compare(kernel, &a, cpu, gpu, s.y);
    for (int k = 0; k < 3; k++) {
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

static void one_kernel(void **state)
{
    static const int shapes[][4] = { /* n, h, w, c */
        { 1, 1, 1, 1 },  { 1, 1, 1, 257 }, { 3, 7, 5, 3 },    { 2, 8, 8, 64 },
        { 1, 1, 2, 1 },  { 5, 2, 9, 31 },  { 1, 56, 57, 33 }, { 70, 1, 1, 1000 },
        { 3, 33, 31, 255 }, { 70000, 1, 1, 3 }, /* more rows than blocks */
    };
    int kernel = *(int *)*state, runs = 0;
    double used = 0;
    seed = (uint64_t)kernel + 1;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes - 2 * (size_t)emulated; i++)
        for (int variant = 0; variant < 4; variant++)
            for (int odd = 0; odd < 2; odd++) {
                if (emulated && kernel == KERNEL_softmax_fwd && (variant > 0 || shapes[i][1] > 50))
                    continue; /* each row is a block of 256 contexts */
                op_args a = { .n = shapes[i][0], .h = shapes[i][1], .w = shapes[i][2], .c = shapes[i][3] };
                double u = twins(kernel, a, variant, odd);
                used = u > used ? u : used;
                runs++;
            }
    if (kernel == KERNEL_relu_fwd && !emulated) /* more elements than threads */
        (void)twins(kernel, (op_args){ .n = 1, .h = 4100, .w = 4100, .c = 1 }, 0, 1);
    print_message("# %s: %d runs alike, %.0f%% of the tolerance used\n", kernel_names[kernel], runs,
                  100 * used);
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
    emulated = argc == 2 && strcmp(argv[1], "--emulated") == 0;
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
        execl("/proc/self/exe", "test_twins", "--emulated", (char *)NULL);
        return 1;
    }
    for (int i = 0; i < KERNEL_COUNT; i++) {
        numbers[i] = i;
        tests[i] = (struct CMUnitTest){ .name = kernel_names[i], .test_func = one_kernel,
                                        .initial_state = &numbers[i] };
    }
    failed = _cmocka_run_group_tests(emulated ? "twins, emulated" : "twins", tests, KERNEL_COUNT, NULL, NULL);
    plugin->close(&be);
    return failed;
}
