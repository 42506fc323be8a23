/* Every network's gradients against PyTorch in float64 on weights and inputs that any program can generate
 * (tests/golden/nets.tsv, models.md 14): of F = sum logsumexp with respect to the image and of
 * L = -sum mean log softmax with respect to every tap, in one graph and one plan.  Each backend of the
 * table below where it is quick, or all with OUTPOST_LONG=1.  What a plan with gradients keeps is printed. */
#include "tests/unit/hash_network.h"

#include <math.h>

enum { ROWS_MAX = HASH_OUTPUTS };

typedef struct golden {
    char tensor[64];
    double sum, l2, at[4]; /* sum and at[1], at[3]: of the input's gradient only */
    double f32_dev;        /* how far PyTorch's own f32 gradient is from its float64 one, relative L2 */
} golden;

/* Relative to the tensor's norm.  The reference computes in double and stores f32. */
static double tolerance_double(const golden *g, int has_masks)
{
    (void)g;
    (void)has_masks;
    return 2e-7;
}

/* Where rounding turns the sign of a ReLU's input over, its mask flips: in PyTorch's f32 run no less than in ours, but
 * elsewhere.  What lies behind a flip is off by thousandths of its norm, single values by more; test_gradient_images
 * counts how often.  Networks without masks: rounding only, of single values. */
static double tolerance_cpu(const golden *g, int has_masks)
{
    return has_masks ? 1e-1 : fmax(3e-5, 10 * g->f32_dev);
}

typedef struct device_row { /* a backend that has the adjoints, the reference first */
    const char *name;
    double (*tolerance)(const golden *g, int has_masks);
    double most_macs;      /* of the networks that run by default */
} device_row;

static const device_row devices[] = { { "ref", tolerance_double, 0.45e9 },
                                      { "cpu", tolerance_cpu, 5e9 } };

enum { DEVICES = sizeof devices / sizeof *devices };

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

/* ---- the table ---------------------------------------------------------------------------------- */

typedef struct network { /* the rows that have gradients; the input's is the last */
    char name[64];       /* "swin_t@200": another input side than the network's own */
    double gain;
    int side;
    golden rows[ROWS_MAX];
    size_t n;
} network;

/* 0 for a row without gradient. */
static int read_row(const char *line, char *name, double *gain, int *side, golden *g)
{
    char cell[8][64];
    double v[6];
    *g = (golden){ 0 };
    if (sscanf(line, "%63s %lf %d %*s %63s %*s %lf %lf %lf %lf %lf %lf %63s %63s %63s %*s %63s", name, gain,
               side, g->tensor, &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], cell[0], cell[1], cell[2],
               cell[3]) != 14)
        return 0;
    g->f32_dev = atof(cell[3]);
    if (strcmp(g->tensor, "input_grad") == 0) {
        g->sum = v[0];
        g->l2 = v[1];
        memcpy(g->at, v + 2, sizeof g->at);
        return 1;
    }
    g->l2 = atof(cell[0]);
    g->at[0] = atof(cell[1]);
    g->at[2] = atof(cell[2]);
    return strcmp(cell[0], "-") != 0;
}

/* The rows of one network; 0 at the end of the file. */
static size_t next_network(FILE *f, network *w)
{
    char line[1024], name[64];
    long start = ftell(f);
    w->n = 0;
    while (fgets(line, sizeof line, f) != NULL) {
        golden g;
        double gain;
        int side;
        if (read_row(line, name, &gain, &side, &g)) {
            if (w->n > 0 && strcmp(name, w->name) != 0) {
                fseek(f, start, SEEK_SET);
                return w->n;
            }
            snprintf(w->name, sizeof w->name, "%s", name);
            w->gain = gain;
            w->side = side;
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
    const size_t at[4] = { 0, n / 3, n / 2, n - 1 };
    int whole = strcmp(g->tensor, "input_grad") == 0;
    double sum = 0, squares = 0, absolute = 0, worst, rms = g->l2 / sqrt((double)n);
    for (size_t i = 0; i < n; i++) {
        sum += (double)v[i];
        absolute += fabs((double)v[i]);
        squares += (double)v[i] * (double)v[i];
    }
    worst = fabs(sqrt(squares) - g->l2) / g->l2;
    if (whole) worst = fmax(worst, fabs(sum - g->sum) / absolute);
    for (int i = 0; i < 4; i += whole ? 1 : 2)
        worst = fmax(worst, fabs((double)v[at[i]] - g->at[i]) / fmax(rms, fabs(g->at[i])));
    return worst;
}

/* ---- one network -------------------------------------------------------------------------------- */

typedef struct subject {
    hash_network n;
    int has_masks; /* ReLU, ReLU6 */
    float *out[DEVICES][ROWS_MAX];
} subject;

/* The network and both of its backward passes. */
static int build(subject *s, const network *w)
{
    int rc = 0, z, taps[ROWS_MAX], out[ROWS_MAX], n = (int)w->n - 1, input = 0;
    graph *g;
    memcpy(s->n.name, w->name, sizeof s->n.name);
    s->n.gain = w->gain;
    s->n.side = w->side;
    TRY(hash_network_build(&s->n));
    g = s->n.g;
    z = graph_logits(g);
    for (int i = 0; i < z; i++)
        s->has_masks |= graph_node(g, i)->op == OP_relu || graph_node(g, i)->op == OP_relu6;
    for (int i = 0; i < n; i++) {
        taps[i] = graph_find_tap(g, w->rows[i].tensor);
        CHECK(taps[i] >= 0, ERR_INTERNAL, "no tap %s", w->rows[i].tensor);
    }
    graph_backward(g, z, g_cotangent(g, z, COTANGENT_LOGSUMEXP, 1, 0), &input, 1, out + n);
    z = graph_through(g, z, taps, n);
    graph_backward(g, z, g_cotangent(g, z, COTANGENT_UNIFORM, 1, 0), taps, n, out);
    for (int i = 0; i <= n; i++)
        s->n.requests[i] = (plan_request){ w->rows[i].tensor, out[i], REDUCE_NONE };
    s->n.n_requests = w->n;
done:
    return rc;
}

static int run(subject *s, const network *w, int d)
{
    int rc = 0;
    TRY(hash_network_run(&s->n, devices[d].name, s->out[d]));
    for (size_t i = 0; i < w->n; i++) {
        const golden *g = &w->rows[i];
        char what[128];
        snprintf(what, sizeof what, "%s gradient of %.60s against float64 PyTorch", devices[d].name, g->tensor);
        check(deviation(g, s->out[d][i], s->n.count[i] * HASH_BATCH), devices[d].tolerance(g, s->has_masks), w->name, what);
    }
done:
    return rc;
}

/* A backend against the reference, tensor by tensor. */
static void compare(const subject *s, const network *w, int d)
{
    for (size_t i = 0; i < w->n; i++) {
        double off = 0, norm = 0;
        char what[128];
        for (size_t k = 0; k < s->n.count[i] * HASH_BATCH; k++) {
            double a = (double)s->out[d][i][k], b = (double)s->out[0][i][k];
            off += (a - b) * (a - b);
            norm += b * b;
        }
        snprintf(what, sizeof what, "%s gradient of %.60s against the reference, whole", devices[d].name,
                 w->rows[i].tensor);
        check(sqrt(off / norm), devices[d].tolerance(&w->rows[i], s->has_masks), w->name, what);
    }
}

static int arena_of(size_t *bytes, const subject *s, const plan_request *r, size_t n)
{
    plan *p = NULL;
    int rc = plan_build(&p, s->n.g, s->n.w, r, n, PLAN_GRADIENTS);
    if (rc == 0) *bytes = p->arena * sizeof(float);
    plan_free(&p);
    return rc;
}

/* What activations of one image take in f32: the logits alone; with the image's gradient; with all here. */
static int say_memory(const subject *s, const network *w)
{
    int rc = 0;
    size_t forward = 0, to_image = 0, all = 0;
    const plan_request logits = { "logits", graph_logits(s->n.g), REDUCE_NONE };
    TRY(arena_of(&forward, s, &logits, 1));
    TRY(arena_of(&to_image, s, s->n.requests + w->n - 1, 1));
    TRY(arena_of(&all, s, s->n.requests, w->n));
    printf("# %s: arena of one image %.1f MB forward, %.1f MB with the image's gradient, %.1f MB with all\n",
           w->name, (double)forward / 1e6, (double)to_image / 1e6, (double)all / 1e6);
done:
    return rc;
}

static int is_quick(const network *w, const graph *g, int d)
{
    return graph_macs(g) < devices[d].most_macs || strcmp(w->name, "vit_tiny_patch16_224") == 0 ||
           getenv("OUTPOST_LONG") != NULL;
}

static void test_network(const network *w, const char *only, int named)
{
    int rc = 0, ran[DEVICES] = { 0 }, any = 0;
    subject s = { 0 };
    TRY(build(&s, w));
    for (int d = 0; d < DEVICES; d++)
        any |= ran[d] = only != NULL ? strcmp(only, devices[d].name) == 0 : is_quick(w, s.n.g, d) || named;
    if (!any) goto done;
    TRY(hash_network_bind(&s.n));
    TRY(say_memory(&s, w));
    for (int d = 0; d < DEVICES; d++) {
        if (!ran[d]) continue;
        TRY(run(&s, w, d));
        if (d > 0 && ran[0]) compare(&s, w, d);
    }
done:
    if (rc < 0) check(1, 0, w->name, err_text());
    for (int d = 0; d < DEVICES; d++)
        for (size_t i = 0; i < ROWS_MAX; i++)
            free(s.out[d][i]);
    hash_network_clear(&s.n);
    err_clear();
}

static int asked_for(const char *name, char **words, int n)
{
    for (int i = 0; i < n; i++)
        if (strcmp(words[i], name) == 0) return 1;
    return n == 0;
}

/* [-d DEVICE] [NETWORK...] */
int main(int argc, char **argv)
{
    static network w;
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
    while (next_network(f, &w) > 0)
        if (asked_for(w.name, argv + 1, argc - 1)) test_network(&w, only, argc > 1);
    fclose(f);
    printf("1..%d\n", test_number);
    return failures > 0;
}
