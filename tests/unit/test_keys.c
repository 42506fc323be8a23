/* Every key and shape of the published checkpoints (models_keys.tsv of the specification, and
 * tests/golden/layout_keys.tsv, make_layout_keys.py, for the layouts it lacks): a sparse file with exactly these
 * tensors is recognised as the right network in the right layout, with nothing missing and nothing
 * left over, and refused for another network with its name.
 * The specification's table is in $OUTPOST_SPEC or ../shared/spec. */
#include "extract/weights.h"
#include "common/err.h"
#include "tests/lib/sparse_checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const struct {
    const char *network; /* how its name begins in the table */
    const char *model;
    const char *layout;  /* NULL: any */
} expected[] = {
    { "torchvision/resnet18", "resnet18", "torchvision" },
    { "torchvision/resnet50", "resnet50", "torchvision" },
    { "torchvision/resnet101", "resnet101", "torchvision" },
    { "torchvision/mobilenet_v2", "mobilenet_v2", "torchvision" },
    { "torchvision/squeezenet1_0", "squeezenet1_0", "torchvision" },
    { "torchvision/squeezenet1_1", "squeezenet1_1", "torchvision" },
    { "torchvision/densenet121", "densenet121", "torchvision" },
    { "torchvision/swin_t", "swin_t", "torchvision" },
    { "torchvision/swin_b", "swin_b", "torchvision" },
    { "torchvision/vit_b_16", "vit_b_16", "torchvision" },
    { "timm/vit_base_patch16_224", "vit_base_patch16_224", "timm" },
    { "timm/vit_base_patch16_384", "vit_base_patch16_384", "timm" },
    { "timm/deit_base_patch16_224", "deit_base_patch16_224", "timm" },
    { "timm/repvgg_b3", "repvgg_b3", "timm" },
    { "timm/resnet50d", "resnet50d", NULL },
    { "timm0.6/swin_base_patch4_window7_224", "swin_base_patch4_window7_224", "timm 0.8" },
    { "mmcls/vit-base-p16-384", "vit_base_patch16_384", "mmcls" },
    { "bit/R101x1-torch", "bit_s_r101x1", "gen" },
    { "bit/R101x1-npz", "bit_s_r101x1", "big_transfer npz" },
    { "t2t/t2t_vit_t_24", "t2t_vit_t_24", NULL },
    { "t2t/t2t_vit_24-performer", "t2t_vit_24", NULL },
    { "cifar/densenet-bc-100-12", "densenet_bc_100_12", NULL },
    { "cifar/resnet18_32x32", "resnet18_32x32", "openood" },
    { "cifar/wrn-40-2", "wrn_40_2", "oe" },
    /* layout_keys.tsv */
    { "timm/swin_tiny_patch4_window7_224", "swin_tiny_patch4_window7_224", "timm 0.9" },
    { "timm/convnext_tiny", "convnext_tiny", "timm" },
    { "timm/repvgg_a0-deploy", "repvgg_a0", "timm deploy" },
    { "transformers/vit_tiny_patch16_224", "vit_tiny_patch16_224", "transformers" },
    { "transformers/swin_tiny_patch4_window7_224", "swin_tiny_patch4_window7_224", "transformers" },
};
enum { EXPECTED = sizeof expected / sizeof *expected, IN_LAYOUT_KEYS = 5, NETWORKS_MAX = 16 };
static const double SECONDS_ALLOWED = 0.3; /* to look through all networks; ten times that with sanitizers */

static int test_number, failures;
static double slowest;

static void check(int ok, const char *what, const char *detail)
{
    test_number++;
    failures += !ok;
    printf("%s %d - %s%s%s\n", ok ? "ok" : "not ok", test_number, what, detail[0] ? ": " : "", detail);
    fflush(stdout);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int find_expected(const char *network)
{
    for (int i = 0; i < EXPECTED; i++) {
        size_t n = strlen(expected[i].network);
        if (strncmp(network, expected[i].network, n) == 0 && (network[n] == '\0' || network[n] == ' '))
            return i;
    }
    return -1;
}

static void list_found(char *text, size_t room, const recognised *r, size_t n)
{
    size_t used = (size_t)snprintf(text, room, "%s", n == 0 ? "nothing fits" : "");
    for (size_t i = 0; i < n && used < room; i++)
        used += (size_t)snprintf(text + used, room - used, "%s%s (layout %s, %d classes, side %d)",
                                 i > 0 ? ", " : "", r[i].m->name, r[i].layout, r[i].classes, r[i].side);
}

/* Recognised, at the network's own input size, with all classes. */
static void test_recognised(const weights *w, int e, size_t keys)
{
    recognised r[NETWORKS_MAX];
    char what[200], found[1000];
    double began = now();
    size_t n = weights_recognise(w, r, NETWORKS_MAX), i = 0;
    if (now() - began > slowest) slowest = now() - began;
    if (n > NETWORKS_MAX) n = NETWORKS_MAX;
    while (i < n && strcmp(r[i].m->name, expected[e].model) != 0)
        i++;
    list_found(found, sizeof found, r, n);
    snprintf(what, sizeof what, "%s, %zu keys", expected[e].network, keys);
    check(i < n && (expected[e].layout == NULL || strcmp(r[i].layout, expected[e].layout) == 0) &&
              r[i].side == r[i].m->prep.side,
          what, found);
}

/* Asked for another network, the refusal says what it is. */
static void test_refused(weights *w, int e)
{
    const model *other = model_find("demo");
    char what[200], words[200];
    recognised r;
    graph *g = NULL;
    if (weights_recognise(w, &r, 1) == 0) return; /* counted already */
    snprintf(what, sizeof what, "%s for another network", expected[e].network);
    snprintf(words, sizeof words, "looks like %s (layout %s)", r.m->name, r.layout);
    err_clear();
    check(model_build(&g, other, 10) == 0 && weights_bind(w, other, g) == ERR_INPUT &&
              strstr(err_text(), words) != NULL,
          what, words);
    err_clear();
    graph_free(&g);
}

/* Without its first tensor and with one more, it is still the nearest. */
static void test_nearest(sparse_tensor *v, size_t n, int e)
{
    const sparse_tensor first = v[0];
    char path[] = "/tmp/outpost-keys-XXXXXX", what[200], wrong[100] = "";
    weights *w = NULL;
    recognised r;
    int found = 0;
    double began;
    v[0] = (sparse_tensor){ "no.such.tensor", 1, 0, { 5 }, NULL };
    if (sparse_checkpoint(path, v, n) == 0 && weights_open(&w, path) == 0 &&
        weights_recognise(w, &r, 1) == 0) {
        began = now();
        found = weights_nearest(w, &r, wrong, sizeof wrong);
        if (now() - began > slowest) slowest = now() - began;
    }
    snprintf(what, sizeof what, "%s with its first tensor renamed", expected[e].network);
    check(found && (strcmp(wrong, "1 tensor missing, 1 unexpected") == 0 ||
                    (expected[e].layout != NULL && strstr(expected[e].layout, "npz") != NULL)),
          what, wrong);
    err_clear();
    weights_close(&w);
    unlink(path);
    v[0] = first;
}

static void test_network(sparse_tensor *v, size_t n, const char *network)
{
    int e = find_expected(network);
    char path[] = "/tmp/outpost-keys-XXXXXX";
    weights *w = NULL;
    if (e < 0) {
        check(0, network, "is not in the table of this test");
        return;
    }
    if (model_find(expected[e].model) == NULL) {
        test_number++;
        printf("ok %d - %s # SKIP no model %s\n", test_number, network, expected[e].model);
        return;
    }
    if (sparse_checkpoint(path, v, n) < 0 || weights_open(&w, path) < 0) {
        check(0, network, err_text());
        err_clear();
    } else {
        test_recognised(w, e, n);
        test_refused(w, e);
        test_nearest(v, n, e);
    }
    weights_close(&w);
    unlink(path);
}

/* All networks of a table; 0 when there is no such file. */
static int test_table(const char *path, int networks)
{
    char network[128] = "";
    size_t n;
    sparse_tensor *v = NULL;
    FILE *f = fopen(path, "r");
    if (f == NULL) return 0;
    while ((n = sparse_read(f, network, sizeof network, &v)) > 0) {
        test_network(v, n, network);
        networks--;
    }
    fclose(f);
    free(v);
    check(networks == 0, path, "all networks are there");
    return 1;
}

/* ---- every layout of every network ------------------------------------------------------------- */

/* One array of the parameter as layout l stores it; returns how many there are. */
static int stored(sparse_tensor *t, const layout *l, const param *p, int part)
{
    key_how how;
    int parts = layout_key_of(l, p->name, part, t->key, sizeof t->key, &how);
    size_t d0 = p->dim[0] / (size_t)(parts > 0 ? parts : 1);
    t->rank = p->rank;
    memcpy(t->dim, p->dim, sizeof t->dim);
    if (how == KEY_HWIO && p->rank == 4) {
        for (int i = 0; i < 4; i++)
            t->dim[i] = p->dim[(const int[]){ 2, 3, 1, 0 }[i]];
    } else if ((how == KEY_TRANSPOSE || how == KEY_QKV) && p->rank == 2) {
        t->dim[0] = p->dim[1];
        t->dim[1] = d0;
    } else if (parts > 1) {
        t->dim[0] = d0;
    }
    return parts;
}

static void test_layout(const model *m, const layout *l)
{
    static sparse_tensor v[4096];
    char path[] = "/tmp/outpost-keys-XXXXXX", what[200], found[1000];
    recognised r[NETWORKS_MAX];
    graph *g = NULL;
    weights *w = NULL;
    size_t n = 0, i = 0, fits = 0;
    snprintf(what, sizeof what, "%s as %s", m->name, l->name);
    if (model_build_as(&g, m, m->classes, m->prep.side, l->variant) == 0) {
        for (size_t k = 0; k < graph_params(g) && n + KEY_PARTS < 4096; k++)
            for (int part = 0, parts = 1; part < parts; part++, n++) {
                v[n] = (sparse_tensor){ .rank = 0 };
                parts = stored(&v[n], l, graph_param(g, (int)k), part);
            }
        if (sparse_checkpoint(path, v, n) == 0 && weights_open(&w, path) == 0)
            fits = weights_recognise(w, r, NETWORKS_MAX);
        unlink(path);
    }
    while (i < fits && i < NETWORKS_MAX && (r[i].m != m || strcmp(r[i].layout, l->name) != 0))
        i++;
    list_found(found, sizeof found, r, fits < NETWORKS_MAX ? fits : NETWORKS_MAX);
    check(i < fits && i < NETWORKS_MAX && r[i].side == m->prep.side, what,
          w == NULL ? err_text() : found);
    err_clear();
    weights_close(&w);
    graph_free(&g);
}

int main(void)
{
    const char *folder = getenv("OUTPOST_SPEC");
    char path[512], detail[64];
    snprintf(path, sizeof path, "%s/models_keys.tsv", folder != NULL ? folder : "../shared/spec");
    if (!test_table("tests/golden/layout_keys.tsv", IN_LAYOUT_KEYS)) {
        printf("1..0 # SKIP no tests/golden/layout_keys.tsv: run from the project's root\n");
        return 0;
    }
    if (!test_table(path, EXPECTED - IN_LAYOUT_KEYS))
        printf("ok %d - # SKIP no %s\n", ++test_number, path);
    for (const model *const *m = models; *m != NULL; m++)
        for (const layout *l = (*m)->key_layouts; l != NULL && l->name != NULL; l++)
            test_layout(*m, l);
    snprintf(detail, sizeof detail, "%.3f s of %.1f s", slowest, SECONDS_ALLOWED);
#ifdef __SANITIZE_ADDRESS__
    check(slowest < 10 * SECONDS_ALLOWED, "looking through all networks", detail);
#else
    check(slowest < SECONDS_ALLOWED, "looking through all networks", detail);
#endif
    printf("1..%d\n", test_number);
    return failures > 0;
}
