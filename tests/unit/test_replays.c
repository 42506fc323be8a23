/* A network run again with something exchanged, against float64 PyTorch with a hook, on weights and inputs that any
 * program can generate (tests/golden/replays.tsv); exchanged for itself it gives the same bits; what does not see the
 * exchange is not repeated.  On the reference, each backend of the table below; OUTPOST_LONG=1: large networks too. */
#include "tests/unit/hash_network.h"

#include <math.h>

/* Multiply-adds of the forward pass of networks that run on the reference by default. */
static const double QUICK_MACS = 1.5e9;

typedef struct device_row { /* a backend that has the ops */
    const char *name;
    double tolerance;       /* relative to the root mean square of the logits or the value itself */
} device_row;

/* The reference computes in double and stores f32. */
static const device_row devices[] = { { "ref", 2e-7 }, { "cpu", 1e-5 } };

enum { DEVICES = sizeof devices / sizeof *devices };

static int test_number, failures;

static void check(double used, double allowed, const char *net, const char *what)
{
    int ok = used <= allowed;
    test_number++;
    failures += !ok;
    printf("%s %d - %s: %s, %.1e of %.0e\n", ok ? "ok" : "not ok", test_number, net, what, used, allowed);
    fflush(stdout);
}

typedef struct golden {
    char net[64], what[100];
    double gain, n, sum, l2, projection, at[4];
} golden;

static int read_row(const char *line, golden *g)
{
    return line[0] != '#' &&
           sscanf(line, "%63[^\t]\t%lf\t%99[^\t]\t%lf %lf %lf %lf %lf %lf %lf %lf", g->net, &g->gain, g->what, &g->n,
                  &g->sum, &g->l2, &g->projection, &g->at[0], &g->at[1], &g->at[2], &g->at[3]) == 11;
}

static double deviation(const golden *g, const float *v, size_t n)
{
    const size_t at[4] = { 0, n / 3, n / 2, n - 1 };
    double sum = 0, squares = 0, projection = 0, worst, rms = g->l2 / sqrt((double)n);
    if (g->n != (double)n) return INFINITY;
    for (size_t i = 0; i < n; i++) {
        sum += (double)v[i];
        squares += (double)v[i] * (double)v[i];
        projection += (double)v[i] * hash_uniform("check", i);
    }
    worst = fabs(sqrt(squares) - g->l2) / g->l2;
    worst = fmax(worst, fabs(sum - g->sum) / (rms * (double)n));
    worst = fmax(worst, fabs(projection - g->projection) / g->l2);
    for (int i = 0; i < 4; i++)
        worst = fmax(worst, fabs((double)v[at[i]] - g->at[i]) / fmax(rms, fabs(g->at[i])));
    return worst;
}

/* ---- exchanges ---------------------------------------------------------------------------------- */

typedef struct exchange { /* "deflate layer3", "lighter layer.weight 2", "odin 1000 0.0014" */
    char kind[20], name[80];
    double number;
} exchange;

static int param_of(const graph *g, const char *name)
{
    for (size_t i = 0; i < graph_params(g); i++)
        if (strcmp(graph_param(g, (int)i)->name, name) == 0) return (int)i;
    return -1;
}

/* Nodes between `from` and y, y included: those that must run again. */
static size_t count_between(const graph *g, int from, int y)
{
    size_t n = 0;
    char *above = calloc((size_t)y + 1, 1), *below = calloc((size_t)y + 1, 1);
    if (above != NULL && below != NULL) {
        above[from] = below[y] = 1;
        for (int i = from + 1; i <= y; i++)
            for (int k = 0; k < graph_node(g, i)->n_in; k++)
                above[i] |= above[graph_node(g, i)->in[k]];
        for (int i = y; i > from; i--)
            for (int k = 0; below[i] && k < graph_node(g, i)->n_in; k++)
                below[graph_node(g, i)->in[k]] = 1;
        for (int i = from + 1; i <= y; i++)
            n += above[i] && below[i];
    }
    free(above);
    free(below);
    return n;
}

/* z again where node `from` is `to`; checks that nothing else is repeated. */
static int again(hash_network *s, int from, int to, int z, const char *what)
{
    int out;
    size_t before = graph_nodes(s->g);
    graph_replay(s->g, &(replay){ .from = &from, .to = &to, .n = 1 }, &z, 1, &out);
    check(fabs((double)(graph_nodes(s->g) - before) - (double)count_between(s->g, from, z)), 0, s->name, what);
    return out;
}

/* -> logits with the exchange; *same: those where a tap is exchanged for its own value, -1: no tap is. */
static int apply(hash_network *s, const exchange *e, int *same)
{
    graph *g = s->g;
    int z = graph_logits(g), input = 0, x, to, out = -1;
    *same = -1;
    if (strcmp(e->kind, "odin") == 0) {
        graph_backward(g, z, g_cotangent(g, z, COTANGENT_CE, strtof(e->name, NULL), 0), &input, 1, &to);
        return again(s, 0, g_perturb(g, 0, to, PERTURB_SIGN, (float)e->number, 0, NULL), z, "no more nodes than needed");
    }
    if (strcmp(e->kind, "lighter") == 0) {
        x = param_of(g, e->name);
        to = g_deflated(g, x, (int)e->number);
        graph_replay(g, &(replay){ .param = &x, .instead = &to, .n_params = 1 }, &z, 1, &out);
        return out;
    }
    x = graph_find_tap(g, e->name);
    if (x < 0) return -1;
    z = graph_through(g, z, &x, 1);
    to = strcmp(e->kind, "relu") == 0 ? g_relu(g, x) : g_deflate(g, x, DEFLATE_EXACT, 0, -1);
    *same = again(s, x, g_slice(g, x, 0, g_channels(g, x)), z, "no more nodes than needed, for itself");
    return again(s, x, to, z, "no more nodes than needed");
}

static int run(hash_network *s, const golden *w, const device_row *d)
{
    int rc = 0;
    float *out[3] = { NULL };
    char what[200];
    size_t n;
    TRY(hash_network_run(s, d->name, out));
    n = s->count[0] * HASH_BATCH;
    snprintf(what, sizeof what, "%s %s against float64 PyTorch", d->name, w->what);
    check(deviation(w, out[0], n), d->tolerance, s->name, what);
    snprintf(what, sizeof what, "%s %s, exchanged for itself, has the same bits", d->name, w->what);
    if (s->n_requests == 3)
        check(memcmp(out[1], out[2], n * sizeof(float)) != 0, 0, s->name, what);
done:
    for (int i = 0; i < 3; i++)
        free(out[i]);
    return rc;
}

static void test_row(const golden *w)
{
    int rc = 0, changed, same;
    hash_network s = { .gain = w->gain };
    exchange e = { .number = 0 };
    memcpy(s.name, w->net, sizeof s.name);
    TRY(hash_network_build(&s));
    if (graph_macs(s.g) > QUICK_MACS && getenv("OUTPOST_LONG") == NULL) goto done;
    CHECK(sscanf(w->what, "%19s %79s %lf", e.kind, e.name, &e.number) >= 2, ERR_INTERNAL, "not an exchange");
    changed = apply(&s, &e, &same);
    CHECK(changed >= 0, ERR_INTERNAL, "no '%s' there", e.name);
    s.requests[s.n_requests++] = (plan_request){ "changed", changed, REDUCE_NONE };
    if (same >= 0) {
        s.requests[s.n_requests++] = (plan_request){ "same", same, REDUCE_NONE };
        s.requests[s.n_requests++] = (plan_request){ "logits", graph_logits(s.g), REDUCE_NONE };
    }
    TRY(hash_network_bind(&s));
    for (int d = 0; d < DEVICES; d++)
        TRY(run(&s, w, &devices[d]));
done:
    if (rc < 0) check(1, 0, w->net, err_text());
    err_clear();
    hash_network_clear(&s);
}

/* [NETWORK] */
int main(int argc, char **argv)
{
    char line[1024];
    golden g;
    FILE *f = fopen("tests/golden/replays.tsv", "r");
    if (f == NULL) {
        printf("1..0 # SKIP tests/golden/replays.tsv is not here: run from the project's root\n");
        return 0;
    }
    while (fgets(line, sizeof line, f) != NULL)
        if (read_row(line, &g) && (argc < 2 || strcmp(argv[1], g.net) == 0)) test_row(&g);
    fclose(f);
    printf("1..%d\n", test_number);
    return failures > 0;
}
