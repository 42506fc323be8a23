/* Every network against PyTorch in float64 on weights and inputs that any program can generate
 * (tests/golden/nets.tsv, models.md 14): logits, features and taps, by sum, norm and single values,
 * on the CPU backend and, where it is quick (or with OUTPOST_LONG=1), on the reference.  Where the
 * processor has bf16, features in bf16 beside those in f32. */
#include "extract/session.h"
#include "common/err.h"
#include "common/mem.h"
#include "tests/lib/hash_golden.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BATCH = 2, ROWS_MAX = 64 };

/* Multiply-adds of networks that run on the reference by default; and, in builds with a sanitizer, that
 * run at all. */
static const double QUICK_MACS = 0.7e9, SANITIZED_MACS = 5e9;

#ifdef __SANITIZE_ADDRESS__
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

/* What -p bf16, fp16 and tf32 may add: maps rounded to 8 and 11 bits, or the factors of products to 11,
 * over many layers.  Wide: they bound how a network degrades, they do not find a wrong digit. */
static double tolerance_of(const char *kind)
{
    return strcmp(kind, "bf16") == 0 ? 0.15 : strcmp(kind, "fp32") == 0 ? 0 : 0.02;
}

/* Relative to the tensor's norm.  The reference computes in double and stores f32. */
static const double TOLERANCE_REF = 2e-7;

/* 1 - cosine of an image's features in bf16 with those in f32: what is promised of -p bf16. */
static const double TOLERANCE_BF16 = 1e-3;

typedef struct golden {
    char tensor[64];
    double sum, l2, at[4];
    double f32_dev; /* how far PyTorch's own f32 run is from its float64 one, relative L2 */
} golden;

/* PyTorch's f32 run is up to 1e-6 away in most networks, 2e-5 in the deep taps of mobilenet_v2 and
 * 7e-5 in those of BiT: three times that, and ten for the rest. */
static double tolerance_f32(const golden *g)
{
    return fmax(1e-5, 3 * g->f32_dev);
}

/* Hash weights of two networks amplify rounding: there the bound is what PyTorch's own bf16 run
 * (net.bfloat16(), 1.13 and 2.15) has on the same weights and input. */
static double tolerance_bf16(const char *net)
{
    if (strcmp(net, "mobilenet_v2") == 0) return 1.9e-3;
    if (strcmp(net, "bit_s_r101x1") == 0) return 3.2e-3;
    return TOLERANCE_BF16;
}

static int test_number, failures;

static void check(double used, double allowed, const char *net, const char *what)
{
    int ok = used <= allowed;
    test_number++;
    failures += !ok;
    printf("%s %d - %s: %s, %.1e of %.0e\n", ok ? "ok" : "not ok", test_number, net, what, used,
           allowed);
    fflush(stdout);
}

typedef struct network { /* what a group of rows is about */
    char name[64];       /* "swin_t@200": another input side than the network's own */
    char net[64];        /* "swin_t" */
    double gain;
    int side;
    golden rows[ROWS_MAX];
    size_t n;
} network;

static void take_name(network *w, const char *name)
{
    snprintf(w->name, sizeof w->name, "%s", name);
    snprintf(w->net, sizeof w->net, "%.*s", (int)strcspn(name, "@"), name);
}

/* The rows of one network; 0 at the end of the file. */
static size_t next_network(FILE *f, network *w)
{
    char line[1024], name[64], tensor[64], shape_text[64];
    long start = ftell(f);
    w->n = 0;
    while (fgets(line, sizeof line, f) != NULL) {
        golden g;
        double gain;
        int side;
        if (line[0] != '#' &&
            sscanf(line, "%63s %lf %d %*d %63s %63s %lf %lf %lf %lf %lf %lf %*s %*s %*s %lf", name,
                   &gain, &side, tensor, shape_text, &g.sum, &g.l2, &g.at[0], &g.at[1], &g.at[2],
                   &g.at[3], &g.f32_dev) == 12 &&
            strcmp(tensor, "input_grad") != 0) {
            if (w->n > 0 && strcmp(name, w->name) != 0) {
                fseek(f, start, SEEK_SET);
                return w->n;
            }
            take_name(w, name);
            w->gain = gain;
            w->side = side;
            snprintf(g.tensor, sizeof g.tensor, "%s", tensor);
            if (w->n < ROWS_MAX) w->rows[w->n++] = g;
        }
        start = ftell(f);
    }
    return w->n;
}

/* The largest deviation of the golden figures, relative to the tensor's norm (single values: to its
 * root mean square). */
static double deviation(const golden *g, const float *v, size_t n)
{
    double sum = 0, squares = 0, absolute = 0, worst, rms;
    const size_t at[4] = { 0, n / 3, n / 2, n - 1 };
    for (size_t i = 0; i < n; i++) {
        sum += (double)v[i];
        absolute += fabs((double)v[i]);
        squares += (double)v[i] * (double)v[i];
    }
    rms = g->l2 / sqrt((double)n);
    worst = fabs(sqrt(squares) - g->l2) / g->l2;
    worst = fmax(worst, fabs(sum - g->sum) / fmax(absolute, 1e-30));
    for (int i = 0; i < 4; i++)
        worst = fmax(worst, fabs((double)v[at[i]] - g->at[i]) / fmax(rms, fabs(g->at[i])));
    return worst;
}

static double relative_l2(const float *a, const float *b, size_t n)
{
    double d = 0, s = 0;
    for (size_t i = 0; i < n; i++) {
        d += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        s += (double)b[i] * (double)b[i];
    }
    return sqrt(d / s);
}

/* The least cosine of an image's vectors of length d. */
static double least_cosine(const float *a, const float *b, size_t d)
{
    double least = 1;
    for (size_t i = 0; i < BATCH; i++, a += d, b += d) {
        double ab = 0, aa = 0, bb = 0;
        for (size_t k = 0; k < d; k++) {
            ab += (double)a[k] * (double)b[k];
            aa += (double)a[k] * (double)a[k];
            bb += (double)b[k] * (double)b[k];
        }
        least = fmin(least, ab / sqrt(aa * bb));
    }
    return least;
}

static int run(float ***out, session *s, const network *w, const char *file, const char *device,
               const char *kind)
{
    int rc = 0;
    float *x = NULL;
    const char *taps[ROWS_MAX];
    char recipe[64];
    session_options o = { .model = w->net, .checkpoint = file, .device = device,
                          .precision = kind, .prep = recipe, .dump = "logits,features",
                          .taps = taps, .n_taps = w->n - 2, .threads = 2, .batch = BATCH };
    snprintf(recipe, sizeof recipe, "gen:size=%d", w->side);
    for (size_t i = 2; i < w->n; i++)
        taps[i - 2] = w->rows[i].tensor;
    TRY(session_open(s, &o));
    TRY(mem_new(&x, (size_t)(BATCH * 3 * w->side * w->side), sizeof *x, "input"));
    hash_input(x, BATCH, w->side);
    TRY(mem_new(out, s->p->n_outputs, sizeof **out, "outputs"));
    for (size_t i = 0; i < s->p->n_outputs; i++)
        TRY(mem_new(&(*out)[i], s->p->outputs[i].count * BATCH, sizeof ***out, "outputs"));
    TRY(s->backend->forward(s->net, &(batch_input){ .values = x }, BATCH, *out));
done:
    free(x);
    return rc;
}

static void free_outputs(float **out, size_t n)
{
    for (size_t i = 0; out != NULL && i < n; i++)
        free(out[i]);
    free(out);
}

static void compare(const network *w, const char *device, const char *kind, const session *s, float **out)
{
    for (size_t i = 0; i < w->n; i++) {
        const golden *g = &w->rows[i];
        char what[128];
        snprintf(what, sizeof what, "%s %s %.60s against float64 PyTorch", device, kind, g->tensor);
        check(deviation(g, out[i], s->p->outputs[i].count * BATCH),
              strcmp(device, "ref") == 0 ? TOLERANCE_REF : fmax(tolerance_f32(g), tolerance_of(kind)), w->name, what);
    }
}

/* Without taps, as most runs are: more is fused, and what only taps need is left out. */
static int test_plain(const network *w, const char *file)
{
    int rc = 0;
    session s[2] = { 0 };
    float **out[2] = { NULL, NULL };
    network plain = *w;
    plain.n = 2;
    TRY(run(&out[0], &s[0], &plain, file, "cpu", "fp32"));
    compare(&plain, "cpu without taps", "fp32", &s[0], out[0]);
    if (run(&out[1], &s[1], &plain, file, "cpu", "bf16") == 0)
        check(1 - least_cosine(out[1][1], out[0][1], s[0].p->outputs[1].count),
              tolerance_bf16(w->net), w->name,
              "1 - cosine of the features in bf16 with those in f32");
    else if (strstr(err_text(), "no bf16") != NULL) err_clear();
    else rc = ERR_INTERNAL;
done:
    for (int i = 0; i < 2; i++) {
        free_outputs(out[i], s[i].p != NULL ? s[i].p->n_outputs : 0);
        session_clear(&s[i]);
    }
    return rc;
}

static int test_devices(const network *w, const char *file, const char *const *devices, int n, const char *kind)
{
    int rc = 0;
    session s[2] = { 0 };
    float **out[2] = { NULL, NULL };
    for (int d = 0; d < n; d++) {
        TRY(run(&out[d], &s[d], w, file, devices[d], kind));
        compare(w, devices[d], kind, &s[d], out[d]);
    }
    for (size_t i = 0; i < w->n && n == 2; i++) {
        const golden *g = &w->rows[i];
        char what[128];
        snprintf(what, sizeof what, "%s %.60s against the reference, whole", devices[0], g->tensor);
        check(relative_l2(out[0][i], out[1][i], s[0].p->outputs[i].count * BATCH), tolerance_f32(g),
              w->name, what);
    }
done:
    for (int d = 0; d < 2; d++) {
        free_outputs(out[d], s[d].p != NULL ? s[d].p->n_outputs : 0);
        session_clear(&s[d]);
    }
    return rc;
}

/* only: the one device to test, or NULL. */
static void test_network(const network *w, const char *only, const char *kind, int named)
{
    int rc = 0, fd, n = 1, every = named || getenv("OUTPOST_LONG") != NULL;
    char file[64] = "/tmp/outpost-nets-XXXXXX";
    const char *devices[2] = { only != NULL ? only : "cpu", "ref" };
    const model *m = model_find(w->net);
    graph *g = NULL;
    fd = mkstemp(file);
    CHECK(fd >= 0, ERR_ENV, "%s: cannot be made", file);
    CHECK(m != NULL, ERR_INTERNAL, "no such network");
    TRY(model_build_as(&g, m, m->classes, w->side, 0));
    if (SANITIZED && !every && graph_macs(g) > SANITIZED_MACS) goto done;
    TRY(hash_write_weights(file, g, m->key_layouts, w->gain));
    if (only == NULL && (graph_macs(g) < QUICK_MACS || getenv("OUTPOST_LONG") != NULL)) n = 2;
    TRY(test_devices(w, file, devices, n, kind));
    if (strcmp(devices[0], "cpu") == 0) TRY(test_plain(w, file));
done:
    if (rc < 0) check(1, 0, w->name, err_text());
    graph_free(&g);
    if (fd >= 0) {
        close(fd);
        unlink(file);
    }
    err_clear();
}

static int asked_for(const char *name, char **words, int n)
{
    for (int i = 0; i < n; i++)
        if (strcmp(words[i], name) == 0) return 1;
    return n == 0;
}

/* [-d DEVICE] [-p PRECISION] [NETWORK...] */
int main(int argc, char **argv)
{
    static network w;
    const char *path = "tests/golden/nets.tsv", *only = NULL, *kind = "fp32";
    FILE *f = fopen(path, "r");
    if (f == NULL) {
        printf("1..0 # SKIP %s is not here: run from the project's root\n", path);
        return 0;
    }
    if (argc > 2 && strcmp(argv[1], "-d") == 0) {
        only = argv[2];
        argc -= 2;
        argv += 2;
    }
    if (argc > 2 && strcmp(argv[1], "-p") == 0) {
        kind = argv[2];
        argc -= 2;
        argv += 2;
    }
    while (next_network(f, &w) > 0)
        if (asked_for(w.name, argv + 1, argc - 1)) test_network(&w, only, kind, argc > 1);
    fclose(f);
    printf("1..%d\n", test_number);
    return failures > 0;
}
