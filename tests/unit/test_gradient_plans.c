/* Plans of networks with gradients, a changed input and a second forward: a walk through the steps with only the
 * arena's addresses sees every tensor that a step reads whole in its place, in dense plans and in those with
 * slices; what is kept for the way back is counted. */
#include "tests/unit/hash_network.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { UNIT = 16 }; /* offsets and sizes are multiples of it */

static void must(int rc)
{
    if (rc < 0) fail_msg("%s", err_text());
}

/* ---- a walk ------------------------------------------------------------------------------------- */

typedef struct walk {
    const plan *p;
    int *owner;             /* [arena / UNIT] root that was written there last, -1: none */
    unsigned char *written; /* [tensors] */
    char wrong[160];        /* the first thing */
} walk;

static void wrong(walk *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void wrong(walk *w, const char *format, ...)
{
    va_list ap;
    if (w->wrong[0] != '\0') return;
    va_start(ap, format);
    vsnprintf(w->wrong, sizeof w->wrong, format, ap);
    va_end(ap);
}

static int first_channel(const plan *p, int tensor)
{
    return p->tensors[tensor].root == tensor ? 0 : p->tensors[tensor].channel;
}

/* A tensor without a step of its own is made of the tensors that lie in it, or is a slice of one. */
static int is_written(const walk *w, int tensor)
{
    int channels = 0, first = first_channel(w->p, tensor);
    if (w->written[tensor]) return 1;
    for (size_t i = 0; i < w->p->n_tensors; i++) {
        const plan_tensor *t = &w->p->tensors[i], *in = &w->p->tensors[tensor];
        int from = first_channel(w->p, (int)i);
        if (t->root == in->root && w->written[i] && from <= first && first + in->s.c <= from + t->s.c) return 1;
        if ((int)i != tensor && t->root == in->root && t->channel >= first &&
            t->channel + t->s.c <= first + in->s.c && w->written[i])
            channels += t->s.c;
    }
    return channels >= w->p->tensors[tensor].s.c;
}

static void see_there(walk *w, int tensor, size_t step)
{
    const plan_tensor *r = &w->p->tensors[w->p->tensors[tensor].root];
    if (!is_written(w, tensor)) wrong(w, "step %zu reads tensor %d too early", step, tensor);
    if ((int)step < r->first || (int)step > r->last)
        wrong(w, "step %zu reads tensor %d outside its life", step, tensor);
    for (size_t at = r->at / UNIT; at < (r->at + r->elements) / UNIT; at++)
        if (w->owner[at] != w->p->tensors[tensor].root)
            wrong(w, "step %zu reads tensor %d, overwritten by %d", step, tensor, w->owner[at]);
}

static void put_there(walk *w, int tensor, size_t step)
{
    int root = w->p->tensors[tensor].root, started = 0;
    const plan_tensor *r = &w->p->tensors[root];
    for (size_t i = 0; i < w->p->n_tensors; i++)
        started |= w->p->tensors[i].root == root && w->written[i];
    if (w->written[tensor]) wrong(w, "step %zu writes tensor %d again", step, tensor);
    if (r->at % UNIT != 0 || r->at + r->elements > w->p->arena) wrong(w, "tensor %d is outside", root);
    for (size_t at = r->at / UNIT; at < (r->at + r->elements) / UNIT; at++) {
        if (started && w->owner[at] != root) wrong(w, "step %zu: tensor %d is gone", step, root);
        w->owner[at] = root;
    }
    w->written[tensor] = 1;
}

/* 1 when every step finds what it reads; else w->wrong says what is not there. */
static int walk_through(walk *w, const plan *p)
{
    *w = (walk){ .p = p };
    must(mem_new(&w->owner, p->arena / UNIT, sizeof *w->owner, "walk"));
    must(mem_new(&w->written, p->n_tensors, 1, "walk"));
    for (size_t i = 0; i < p->arena / UNIT; i++)
        w->owner[i] = -1;
    for (size_t i = 0; i < p->n_steps; i++) {
        const plan_step *s = &p->steps[i];
        for (int k = 0; k < s->n_x; k++)
            see_there(w, s->x[k], i);
        if (s->residual >= 0) see_there(w, s->residual, i);
        if (s->gate_x >= 0) see_there(w, s->gate_x, i);
        put_there(w, s->y, i);
    }
    for (size_t i = 0; i < p->n_outputs; i++)
        see_there(w, p->outputs[i].tensor, p->n_steps);
    free(w->owner);
    free(w->written);
    return w->wrong[0] == '\0';
}

/* ---- networks ----------------------------------------------------------------------------------- */

/* The sum of all maps at the end of the forward pass: what a plan without any reuse takes. */
static size_t all_elements(const plan *p)
{
    size_t sum = 0;
    for (size_t i = 0; i < p->n_tensors; i++)
        if (p->tensors[i].root == (int)i && p->tensors[i].first >= 0) sum += p->tensors[i].elements;
    return sum;
}

static size_t arena_of(const hash_network *s, const plan_request *r, size_t n, int kind, size_t *all)
{
    plan *p = NULL;
    size_t arena;
    walk w;
    must(plan_build(&p, s->g, s->w, r, n, kind));
    if (!walk_through(&w, p)) fail_msg("%s: %s", s->name, w.wrong);
    arena = p->arena;
    *all = all_elements(p);
    plan_free(&p);
    return arena;
}

/* Its logits, their gradient to the image and to every tap, the changed image's logits and the deflated map's. */
static void build(hash_network *s)
{
    graph *g;
    int z, taps[HASH_OUTPUTS], out[HASH_OUTPUTS], n = 0, input = 0, gradient, to, again;
    must(hash_network_build(s));
    g = s->g;
    z = graph_logits(g);
    for (int i = 0; i < (int)graph_nodes(g) && n < HASH_OUTPUTS - 4; i++) {
        const char *tap = graph_node(g, i)->tap;
        /* SqueezeNet's feature vector is beside the way to its logits */
        if (tap != NULL && graph_find_tap(g, tap) == i && strcmp(tap, "features.12.mean") != 0) taps[n++] = i;
    }
    graph_backward(g, z, g_cotangent(g, z, COTANGENT_CE, 1000, 0), &input, 1, &gradient);
    to = g_perturb(g, input, gradient, PERTURB_SIGN, 0.0014f, 0, NULL);
    graph_replay(g, &(replay){ .from = &input, .to = &to, .n = 1 }, &z, 1, &again);
    z = graph_through(g, z, taps, n);
    graph_backward(g, z, g_cotangent(g, z, COTANGENT_UNIFORM, 1, 0), taps, n, out);
    s->requests[s->n_requests++] = (plan_request){ "logits", graph_logits(g), REDUCE_NONE };
    s->requests[s->n_requests++] = (plan_request){ "gradient", gradient, REDUCE_NONE };
    s->requests[s->n_requests++] = (plan_request){ "odin", again, REDUCE_NONE };
    for (int i = 0; i < n; i++)
        s->requests[s->n_requests++] = (plan_request){ "tap", out[i], REDUCE_SUM };
    must(hash_network_bind(s));
}

static void check_network(const char *name, double gain)
{
    hash_network s = { .gain = gain };
    snprintf(s.name, sizeof s.name, "%s", name);
    if (strchr(name, '@') != NULL) s.side = atoi(strchr(name, '@') + 1);
    build(&s);
    for (int kind = 0; kind < 4; kind++) {
        size_t all, forward = arena_of(&s, s.requests, 1, kind, &all);
        size_t gradient = arena_of(&s, s.requests, 2, kind, &all);
        size_t odin = arena_of(&s, s.requests, 3, kind, &all);
        size_t every = arena_of(&s, s.requests, s.n_requests, kind, &all);
        print_message("# %s%s%s: MB of one image: %.1f forward, %.1f with the gradient, %.1f with ODIN, %.1f with every "
                      "tap's (%.1f without reuse)\n", name, kind & PLAN_DENSE ? ", dense" : "",
                      kind & PLAN_GRADIENTS ? ", fused" : "", (double)forward * 4e-6,
                      (double)gradient * 4e-6, (double)odin * 4e-6, (double)every * 4e-6, (double)all * 4e-6);
        /* a second forward fits where the gradient was, but for the image, which waits for it */
        size_t image_elements = (size_t)(3 * s.side * s.side) + 2 * UNIT;
        if (odin > gradient + forward / 2 + image_elements) fail_msg("%s: ODIN takes %zu beside %zu", name, odin, gradient);
        if (every * 3 > all * 2) fail_msg("%s: %zu of %zu elements, little is reused", name, every, all);
    }
    hash_network_clear(&s);
}

static void families_keep_no_more_than_they_read(void **state)
{
    static const char *const names[] = { "resnet20", "resnet18", "wrn_40_2", "densenet_bc_100_12", "mobilenet_v2",
                                         "squeezenet1_1", "efficientnet_b0", "regnet_y_400mf", "repvgg_a0",
                                         "convnext_tiny", "vit_tiny_patch16_224", "swin_t@200", "t2t_vit_14" };
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        check_network(names[i], 1);
    if (getenv("OUTPOST_LONG") == NULL) return;
    check_network("bit_s_r101x1", 2);
    check_network("densenet121", 2);
    check_network("resnet50", 1);
    check_network("vit_b_16", 2);
}

/* The walk itself: it sees steps out of order and tensors on top of each other. */
static void a_broken_plan_is_seen(void **state)
{
    hash_network s = { .name = "resnet20", .gain = 1 };
    plan *p = NULL;
    plan_step kept;
    plan_tensor *t;
    walk w;
    size_t i;
    (void)state;
    build(&s);
    must(plan_build(&p, s.g, s.w, s.requests, s.n_requests, 0));
    i = p->n_steps / 2;
    assert_true(walk_through(&w, p));
    while (p->steps[i + 1].n_x == 0 || p->steps[i + 1].x[0] != p->steps[i].y)
        i++;
    kept = p->steps[i];
    p->steps[i] = p->steps[i + 1];
    p->steps[i + 1] = kept;
    assert_false(walk_through(&w, p));
    assert_non_null(strstr(w.wrong, "too early"));
    p->steps[i + 1] = p->steps[i];
    p->steps[i] = kept;
    assert_true(walk_through(&w, p));
    t = &p->tensors[p->tensors[p->steps[i].y].root];
    for (i = 0; i < p->n_tensors; i++) { /* a tensor that lives beside it comes to lie on it */
        plan_tensor *u = &p->tensors[i];
        if (u->root != (int)i || u->first <= t->first || u->first > t->last) continue;
        u->at = t->at;
        break;
    }
    p->arena *= 2;
    assert_false(walk_through(&w, p));
    plan_free(&p);
    hash_network_clear(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_broken_plan_is_seen),
                                        cmocka_unit_test(families_keep_no_more_than_they_read) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
