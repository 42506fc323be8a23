/* What /head promises: logits = W features + b, with the W and b that are stored, for a network of every
 * family, the group heads of MOS and the 1x1 convolution of BiT among them; and that RepVGG as
 * published in one convolution per block gives the bits of the form that it was trained in. */
#include "extract/session.h"
#include "common/err.h"
#include "common/mem.h"
#include "tests/lib/hash_golden.h"
#include "tests/lib/sparse_checkpoint.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BATCH = 2, LAYERS_MAX = 64, OUTPUTS = 4 };

/* Of the largest logit: f32 sums of up to 3024 products against double ones. */
static const double TOLERANCE = 5e-6;

static int test_number, failures;

static void check(int ok, const char *net, const char *what)
{
    test_number++;
    failures += !ok;
    printf("%s %d - %s: %s\n", ok ? "ok" : "not ok", test_number, net, what);
    fflush(stdout);
}

typedef struct result {
    session s;
    float *out[2]; /* features, logits */
} result;

static void clear(result *r)
{
    free(r->out[0]);
    free(r->out[1]);
    session_clear(&r->s);
}

/* The hash input through the weights of `file`, at side x side pixels. */
static int run(result *r, const char *net, const char *file, int side)
{
    int rc = 0;
    float *x = NULL;
    char size[32];
    session_options o = { .model = net, .checkpoint = file, .device = "cpu", .precision = "fp32",
                          .dump = "features,logits", .prep = size, .threads = 2, .batch = BATCH };
    memset(r, 0, sizeof *r);
    snprintf(size, sizeof size, ":size=%d", side);
    TRY(session_open(&r->s, &o));
    TRY(mem_new(&x, (size_t)(BATCH * 3 * side * side), sizeof *x, "input"));
    hash_input(x, BATCH, side);
    for (int i = 0; i < 2; i++)
        TRY(mem_new(&r->out[i], r->s.p->outputs[i].count * BATCH, sizeof(float), "outputs"));
    TRY(r->s.backend->forward(r->s.net, &(batch_input){ .values = x }, BATCH, r->out));
done:
    free(x);
    return rc;
}

/* ---- heads -------------------------------------------------------------------------------------- */

static const struct head {
    const char *net;
    double gain;
    int side, classes;
} heads[] = {
    { "resnet18", 1, 64, 1000 },        { "resnet26d", 1, 64, 1000 },
    { "bit_s_r101x1", 2, 96, 1000 },    { "bit_s_r101x1", 2, 64, 1008 }, /* MOS: 8 groups + "others" */
    { "repvgg_a0", 0.25, 64, 1000 },    { "densenet121", 2, 64, 1000 },
    { "densenet_bc_100_12", 2, 32, 10 }, { "wrn_40_2", 1, 32, 100 },
    { "regnet_y_400mf", 1, 64, 1000 },  { "efficientnet_b0", 2, 64, 1000 },
    { "mobilenet_v2", 2, 64, 1000 },    { "resnet18_32x32", 1, 32, 200 },
    { "resnet20", 1, 32, 10 },          { "vit_tiny_patch16_224", 2, 64, 1000 },
    { "vit_b_16", 2, 32, 7 },           { "deit_tiny_patch16_224", 2, 224, 1000 },
    { "swin_t", 2, 64, 1000 },          { "swin_tiny_patch4_window7_224", 2, 224, 10 },
    { "t2t_vit_t_14", 2, 64, 1000 },    { "t2t_vit_14", 2, 64, 1000 },
    { "convnext_tiny", 2, 64, 1000 },   { "demo", 1, 32, 10 },
};

/* The largest deviation, relative to the largest logit. */
static double off_by(const result *r)
{
    const float *w = session_head(&r->s, 0), *b = session_head(&r->s, 1);
    size_t d = r->s.p->outputs[0].count, c = r->s.p->outputs[1].count;
    double worst = 0, most = 0;
    for (size_t i = 0; i < BATCH; i++)
        for (size_t k = 0; k < c; k++) {
            double z = (double)b[k], is = (double)r->out[1][i * c + k];
            for (size_t j = 0; j < d; j++)
                z += (double)w[k * d + j] * (double)r->out[0][i * d + j];
            worst = fmax(worst, fabs(z - is));
            most = fmax(most, fabs(z));
        }
    return worst / most;
}

static void test_head(const struct head *h)
{
    char file[64] = "/tmp/outpost-heads-XXXXXX", what[160];
    const model *m = model_find(h->net);
    int fd = mkstemp(file), ok;
    graph *g = NULL;
    result r = { 0 };
    if (m == NULL || fd < 0 || model_build(&g, m, h->classes) < 0 ||
        hash_write_weights(file, g, m->key_layouts, h->gain) < 0 ||
        run(&r, h->net, file, h->side) < 0) {
        check(0, h->net, err_text());
    } else {
        double off = INFINITY;
        ok = session_head(&r.s, 0) != NULL && session_head(&r.s, 1) != NULL &&
             r.s.classes == h->classes && r.s.p->outputs[1].count == (size_t)h->classes;
        if (ok) off = off_by(&r);
        snprintf(what, sizeof what, "%d logits at %d are W features + b, %.1e of %.0e", r.s.classes,
                 h->side, off, TOLERANCE);
        check(ok && off <= TOLERANCE, h->net, what);
    }
    clear(&r);
    graph_free(&g);
    if (fd >= 0) {
        close(fd);
        unlink(file);
    }
    err_clear();
}

/* ---- RepVGG ------------------------------------------------------------------------------------- */

/* One tensor of the deployed form: step's weights under the layout's name of the graph's parameter. */
static int put(sparse_tensor *t, const layout *l, const param *p, const float *data)
{
    *t = (sparse_tensor){ .rank = p->rank, .data = data };
    memcpy(t->dim, p->dim, sizeof t->dim);
    return layout_key(l, p, t->key, sizeof t->key, 0) == 1 ? 0 : err_set(ERR_INTERNAL, "no key");
}

/* The plan's convolutions, in order, are those of the deployed graph. */
static int write_deployed(char *file, const result *r, const layout *l)
{
    int rc = 0;
    size_t n = 0, steps = 0;
    graph *g = NULL;
    plan *p = NULL;
    plan_request wanted[OUTPUTS];
    sparse_tensor t[2 * LAYERS_MAX];
    TRY(model_build_as(&g, r->s.m, r->s.classes, r->s.m->prep.side, l->variant));
    for (size_t i = 0; i < r->s.out.n && i < OUTPUTS; i++)
        wanted[i] = (plan_request){ r->s.out.v[i].name, r->s.out.v[i].node, r->s.out.v[i].reduce };
    TRY(plan_build(&p, r->s.g, r->s.w, wanted, r->s.out.n, 0));
    for (size_t i = 0; i < graph_nodes(g); i++) {
        const node *v = graph_node(g, (int)i);
        if (v->op != OP_conv && v->op != OP_linear) continue;
        while (steps < p->n_steps && p->steps[steps].op != v->op)
            steps++;
        CHECK(steps < p->n_steps && n < LAYERS_MAX, ERR_INTERNAL, "%s: no such step", v->name);
        TRY(put(&t[2 * n], l, graph_param(g, v->weight), p->steps[steps].w));
        TRY(put(&t[2 * n + 1], l, graph_param(g, v->bias), p->steps[steps].b));
        steps++;
        n++;
    }
    TRY(sparse_checkpoint(file, t, 2 * n));
done:
    plan_free(&p);
    graph_free(&g);
    return rc;
}

static void test_deployed(const char *net, const char *name)
{
    char file[64] = "/tmp/outpost-heads-XXXXXX", deployed[64] = "/tmp/outpost-heads-XXXXXX", what[160];
    const model *m = model_find(net);
    const layout *l = m->key_layouts;
    int fd = mkstemp(file), same = 0;
    graph *g = NULL;
    result a = { 0 }, b = { 0 };
    while (strcmp(l->name, name) != 0)
        l++;
    if (fd < 0 || model_build(&g, m, m->classes) < 0 ||
        hash_write_weights(file, g, m->key_layouts, 0.25) < 0 || run(&a, net, file, 64) < 0 ||
        write_deployed(deployed, &a, l) < 0 || run(&b, net, deployed, 64) < 0) {
        check(0, net, err_text());
    } else {
        same = strcmp(weights_layout_name(b.s.w), name) == 0;
        for (int i = 0; i < 2; i++)
            same &= memcmp(a.out[i], b.out[i], a.s.p->outputs[i].count * BATCH * sizeof(float)) == 0;
        snprintf(what, sizeof what, "'%s' gives the bits of '%s'", weights_layout_name(b.s.w),
                 weights_layout_name(a.s.w));
        check(same, net, what);
    }
    clear(&a);
    clear(&b);
    graph_free(&g);
    if (fd >= 0) close(fd);
    unlink(file);
    unlink(deployed);
    err_clear();
}

int main(void)
{
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        test_head(&heads[i]);
    test_deployed("repvgg_a0", "timm deploy");
    test_deployed("repvgg_a0", "RepVGG deploy");
    printf("1..%d\n", test_number);
    return failures > 0;
}
