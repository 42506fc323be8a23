/* Every network against PyTorch in float64 on weights and inputs that any program can generate
 * (tests/golden/nets.tsv, models.md 14): logits, features and taps, by sum, norm and single values,
 * on the CPU backend and, where it is quick (or with OUTPOST_LONG=1), on the reference. */
#include "extract/session.h"
#include "common/err.h"
#include "common/mem.h"
#include "tests/lib/hash_golden.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BATCH = 2, ROWS_MAX = 64, QUICK_MACS = 700000000 };

/* Relative to the tensor's norm.  The reference computes in double and stores f32. */
static const double TOLERANCE_REF = 2e-7;

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

/* The rows of one network; 0 at the end of the file. */
static size_t next_network(FILE *f, char *name, double *gain, golden *rows)
{
    char line[1024], net[64], tensor[64], shape_text[64];
    size_t n = 0;
    long start = ftell(f);
    while (fgets(line, sizeof line, f) != NULL) {
        golden g;
        double v_gain;
        if (line[0] != '#' &&
            sscanf(line, "%63s %lf %*d %*d %63s %63s %lf %lf %lf %lf %lf %lf %*s %*s %*s %lf", net,
                   &v_gain, tensor, shape_text, &g.sum, &g.l2, &g.at[0], &g.at[1], &g.at[2],
                   &g.at[3], &g.f32_dev) == 11 &&
            strcmp(tensor, "input_grad") != 0) {
            if (n > 0 && strcmp(net, name) != 0) {
                fseek(f, start, SEEK_SET);
                return n;
            }
            snprintf(name, 64, "%s", net);
            snprintf(g.tensor, sizeof g.tensor, "%s", tensor);
            *gain = v_gain;
            if (n < ROWS_MAX) rows[n++] = g;
        }
        start = ftell(f);
    }
    return n;
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

static int run(float ***out, session *s, const char *net, const char *file, const char *device,
               const char *const *taps, size_t n_taps)
{
    int rc = 0;
    float *x = NULL;
    int side;
    session_options o = { .model = net, .checkpoint = file, .device = device, .precision = "fp32",
                          .dump = "logits,features", .taps = taps, .n_taps = n_taps, .threads = 2,
                          .batch = BATCH };
    TRY(session_open(s, &o));
    side = s->m->prep.side;
    TRY(mem_new(&x, (size_t)(BATCH * 3 * side * side), sizeof *x, "input"));
    hash_input(x, BATCH, side);
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

/* Rows of one network on one device. */
static void compare(const char *net, const char *device, const session *s, float **out,
                    const golden *rows, size_t n, int exact)
{
    for (size_t i = 0; i < n; i++) {
        char what[128];
        snprintf(what, sizeof what, "%s %.60s against float64 PyTorch", device, rows[i].tensor);
        check(deviation(&rows[i], out[i], s->p->outputs[i].count * BATCH),
              exact ? TOLERANCE_REF : tolerance_f32(&rows[i]), net, what);
    }
}

static int test_devices(const char *net, const char *file, const golden *rows, size_t n,
                        const char *const *devices, size_t n_devices)
{
    int rc = 0;
    const char *taps[ROWS_MAX];
    session s[2] = { 0 };
    float **out[2] = { NULL, NULL };
    for (size_t i = 2; i < n; i++)
        taps[i - 2] = rows[i].tensor;
    for (size_t d = 0; d < n_devices; d++) {
        TRY(run(&out[d], &s[d], net, file, devices[d], taps, n - 2));
        compare(net, devices[d], &s[d], out[d], rows, n, strcmp(devices[d], "ref") == 0);
    }
    for (size_t i = 0; i < n && n_devices == 2; i++) {
        char what[128];
        snprintf(what, sizeof what, "%s %.60s against the reference, whole", devices[0],
                 rows[i].tensor);
        check(relative_l2(out[0][i], out[1][i], s[0].p->outputs[i].count * BATCH),
              tolerance_f32(&rows[i]), net, what);
    }
done:
    for (size_t d = 0; d < 2; d++) {
        free_outputs(out[d], s[d].p != NULL ? s[d].p->n_outputs : 0);
        session_clear(&s[d]);
    }
    return rc;
}

/* only: the one device to test, or NULL. */
static void test_network(const char *net, double gain, const golden *rows, size_t n,
                         const char *only)
{
    int rc = 0, fd;
    char file[64] = "/tmp/outpost-nets-XXXXXX";
    const char *devices[2] = { only != NULL ? only : "cpu", "ref" };
    const model *m = model_find(net);
    graph *g = NULL;
    size_t n_devices = 1;
    fd = mkstemp(file);
    CHECK(fd >= 0, ERR_ENV, "%s: cannot be made", file);
    CHECK(m != NULL, ERR_INTERNAL, "no such network");
    TRY(model_build(&g, m, m->classes));
    TRY(hash_write_weights(file, g, m->key_layouts, gain));
    if (only == NULL && (graph_macs(g) < QUICK_MACS || getenv("OUTPOST_LONG") != NULL)) n_devices = 2;
    TRY(test_devices(net, file, rows, n, devices, n_devices));
done:
    if (rc < 0) check(1, 0, net, err_text());
    graph_free(&g);
    if (fd >= 0) {
        close(fd);
        unlink(file);
    }
    err_clear();
}

static int asked_for(const char *net, char **words, int n)
{
    for (int i = 0; i < n; i++)
        if (strcmp(words[i], net) == 0) return 1;
    return n == 0;
}

/* [-d DEVICE] [NETWORK...] */
int main(int argc, char **argv)
{
    static golden rows[ROWS_MAX];
    char net[64];
    double gain;
    size_t n;
    const char *path = "tests/golden/nets.tsv", *only = NULL;
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
    while ((n = next_network(f, net, &gain, rows)) > 0)
        if (asked_for(net, argv + 1, argc - 1)) test_network(net, gain, rows, n, only);
    fclose(f);
    printf("1..%d\n", test_number);
    return failures > 0;
}
