/* Every adjoint and every op of probes (tests/unit/adjoint_cases.h): the reference, in double, against float64
 * PyTorch and numpy (tests/golden/adjoints.tsv) and against finite differences of its own forward pass; every
 * other backend of the table below against the reference. */
#include "common/err.h"
#include "common/mem.h"
#include "extract/backend.h"
#include "extract/ref_parts.h"
#include "tests/unit/adjoint_cases.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Relative to the root mean square of the tensor, or to the value itself where that is larger. */
static const double TOLERANCE_GOLDEN = 1e-11;

/* Five points: an error of h^4 / 30 times the fifth derivative and of 1e-16 / h times the scalar; relative to
 * the largest element of the gradient.  At kinks the step is shorter, and rounding more. */
static const double TOLERANCE_SMOOTH = 1e-8, TOLERANCE_KINKED = 1e-7;
static const double STEP_SMOOTH = 0x1p-10, STEP_KINKED = 0x1p-16;

typedef struct device_row { /* of the backends that have the ops, beside the reference */
    const char *name;
    double tolerance;       /* of f32 results, relative as above */
} device_row;

/* Some roundings of f32, of sums of some hundred terms. */
static const device_row devices[] = { { "cpu", 3e-6 }, { NULL, 0 } };

static int test_number, failures;

static void check(double used, double allowed, const char *name, const char *what)
{
    int ok = used <= allowed;
    test_number++;
    failures += !ok;
    printf("%s %d - %s: %s, %.1e of %.0e\n", ok ? "ok" : "not ok", test_number, name, what, used, allowed);
}

/* ---- one network -------------------------------------------------------------------------------- */

typedef struct subject {
    const adjoint_case *c;
    graph *g;
    weights *w;
    plan *p;
    void *net;
    const backend_def *b;
    int out;        /* node that is compared */
    float *x, *got; /* one image and its result */
    size_t n_x, n;
} subject;

static int open_weights(subject *s)
{
    static const model stub = { .name = "case", .layouts = "case", .classifier = "tail.fc" };
    int rc = 0, fd;
    char file[64] = "/tmp/outpost-adjoint-XXXXXX";
    fd = mkstemp(file);
    CHECK(fd >= 0, ERR_ENV, "%s: cannot be made", file);
    TRY(hash_write_weights(file, s->g, NULL, 1));
    TRY(weights_open(&s->w, file));
    TRY(weights_bind(s->w, &stub, s->g));
done:
    if (fd >= 0) {
        close(fd);
        unlink(file);
    }
    return rc;
}

static int open_case(subject *s, const adjoint_case *c, const char *device)
{
    int rc = 0, number;
    const prep plain = { .std = { 1, 1, 1 }, .out_h = 1, .out_w = 1 };
    const backend_options o = { .precision = PRECISION_FP32, .threads = 1, .batch = 1, .prep = &plain };
    plan_request r = { "y", -1, REDUCE_NONE };
    *s = (subject){ .c = c, .n_x = (size_t)(c->c * c->h * c->w) };
    TRY(graph_new(&s->g));
    s->out = r.node = case_result(s->g, g_input(s->g, c->c, c->h, c->w), c);
    TRY(graph_check(s->g));
    TRY(open_weights(s));
    TRY(backend_find(&s->b, &number, device));
    TRY(plan_build(&s->p, s->g, s->w, &r, 1, s->b->wants_dense(PRECISION_FP32)));
    TRY(s->b->open(&s->net, s->p, &o));
    s->n = s->p->outputs[0].count;
    TRY(mem_new(&s->x, s->n_x, sizeof *s->x, "input"));
    TRY(mem_new(&s->got, s->n, sizeof *s->got, "output"));
    for (size_t i = 0; i < s->n_x; i++)
        s->x[i] = case_input(c, i);
done:
    return rc;
}

static void close_case(subject *s)
{
    if (s->net != NULL) s->b->close(&s->net);
    plan_free(&s->p);
    weights_close(&s->w);
    graph_free(&s->g);
    free(s->x);
    free(s->got);
}

static int forward(subject *s)
{
    return s->b->forward(s->net, &(batch_input){ .values = s->x }, 1, &s->got);
}

/* ---- against PyTorch ---------------------------------------------------------------------------- */

typedef struct golden {
    double n, sum, l2, projection, at[4];
} golden;

static int find_golden(golden *g, const char *name)
{
    char line[600];
    FILE *f = fopen("tests/golden/adjoints.tsv", "r");
    int found = 0;
    while (f != NULL && !found && fgets(line, sizeof line, f) != NULL) {
        size_t n = strcspn(line, "\t");
        found = strlen(name) == n && strncmp(line, name, n) == 0 &&
                sscanf(line + n, "%lf %lf %lf %lf %lf %lf %lf %lf", &g->n, &g->sum, &g->l2, &g->projection,
                       &g->at[0], &g->at[1], &g->at[2], &g->at[3]) == 8;
    }
    if (f != NULL) fclose(f);
    return found;
}

static double golden_deviation(const golden *g, const double *v, size_t n)
{
    const size_t at[4] = { 0, n / 3, n / 2, n - 1 };
    double sum = 0, squares = 0, projection = 0, worst, rms = g->l2 / sqrt((double)n);
    if (g->n != (double)n) return INFINITY;
    for (size_t i = 0; i < n; i++) {
        sum += v[i];
        squares += v[i] * v[i];
        projection += v[i] * hash_uniform("check", i);
    }
    worst = fabs(sqrt(squares) - g->l2) / g->l2;
    worst = fmax(worst, fabs(sum - g->sum) / (rms * (double)n));
    worst = fmax(worst, fabs(projection - g->projection) / g->l2);
    for (int i = 0; i < 4; i++)
        worst = fmax(worst, fabs(v[at[i]] - g->at[i]) / fmax(rms, fabs(g->at[i])));
    return isnan(worst) ? INFINITY : worst;
}

/* ---- against differences ------------------------------------------------------------------------ */

/* logsumexp of the logits with x[i] as it is now */
static int scalar(double *out, subject *s)
{
    int rc = 0, z = graph_logits(s->g);
    size_t n = (size_t)graph_node(s->g, z)->out.c;
    const double *v;
    double most = -INFINITY, sum = 0;
    TRY(forward(s));
    v = ref_value(s->net, z);
    for (size_t i = 0; i < n; i++)
        most = fmax(most, v[i]);
    for (size_t i = 0; i < n; i++)
        sum += exp(v[i] - most);
    *out = most + log(sum);
done:
    return rc;
}

/* dL/dx[i] by five points */
static int difference(double *out, subject *s, size_t i, double h)
{
    static const double factor[5] = { 1, -8, 0, 8, -1 };
    int rc = 0;
    float x = s->x[i];
    *out = 0;
    for (int k = 0; k < 5; k++) {
        double value;
        s->x[i] = (float)((double)x + (k - 2) * h);
        CHECK((double)s->x[i] == (double)x + (k - 2) * h, ERR_INTERNAL, "the step is not exact");
        if (factor[k] == 0) continue;
        TRY(scalar(&value, s));
        *out += factor[k] * value / (12 * h);
    }
done:
    s->x[i] = x;
    return rc;
}

static int check_differences(subject *s)
{
    int rc = 0, kinked = s->c->kind == KINKED;
    double worst = 0, most = 0, *gradient = NULL;
    TRY(mem_new(&gradient, s->n_x, sizeof *gradient, "gradient"));
    TRY(forward(s));
    memcpy(gradient, ref_value(s->net, s->out), s->n_x * sizeof *gradient);
    for (size_t i = 0; i < s->n_x; i++) {
        double d;
        TRY(difference(&d, s, i, kinked ? STEP_KINKED : STEP_SMOOTH));
        worst = fmax(worst, fabs(d - gradient[i]));
        most = fmax(most, fabs(gradient[i]));
    }
    check(worst / most, kinked ? TOLERANCE_KINKED : TOLERANCE_SMOOTH, s->c->name, "finite differences");
done:
    free(gradient);
    return rc;
}

/* ---- all ---------------------------------------------------------------------------------------- */

static int check_device(const subject *ref, const device_row *d)
{
    int rc = 0;
    subject s = { 0 };
    const double *want = ref_value(ref->net, ref->out);
    double squares = 0, worst = 0, rms;
    char what[64];
    TRY(open_case(&s, ref->c, d->name));
    TRY(forward(&s));
    for (size_t i = 0; i < s.n; i++)
        squares += want[i] * want[i];
    rms = sqrt(squares / (double)s.n);
    for (size_t i = 0; i < s.n; i++)
        worst = fmax(worst, fabs((double)s.got[i] - want[i]) / (rms + fabs(want[i])));
    snprintf(what, sizeof what, "%s against the reference", d->name);
    check(worst, d->tolerance, ref->c->name, what);
done:
    close_case(&s);
    return rc;
}

static void test_case(const adjoint_case *c)
{
    int rc = 0;
    subject s = { 0 };
    golden g;
    TRY(open_case(&s, c, "ref"));
    TRY(forward(&s));
    CHECK(find_golden(&g, c->name), ERR_INTERNAL, "no golden row");
    check(golden_deviation(&g, ref_value(s.net, s.out), s.n), TOLERANCE_GOLDEN, c->name, "float64 PyTorch");
    if (c->kind == SMOOTH || c->kind == KINKED) TRY(check_differences(&s));
    TRY(forward(&s));
    for (const device_row *d = devices; d->name != NULL; d++)
        TRY(check_device(&s, d));
done:
    if (rc < 0) check(1, 0, c->name, err_text());
    err_clear();
    close_case(&s);
}

int main(void)
{
    if (access("tests/golden/adjoints.tsv", R_OK) != 0) {
        printf("1..0 # SKIP tests/golden/adjoints.tsv is not here: run from the project's root\n");
        return 0;
    }
    omp_set_num_threads(1); /* thousands of forward passes of a few hundred elements */
    for (size_t i = 0; i < ADJOINT_CASES; i++)
        test_case(&adjoint_cases[i]);
    printf("1..%d\n", test_number);
    return failures > 0;
}
