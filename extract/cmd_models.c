/* extract models [NAME]: the networks; with a name its input, taps, layouts, parameters, cost. */
#include "extract/commands.h"
#include "extract/model.h"
#include "extract/probes/probe.h"
#include "common/args.h"
#include "common/err.h"

#include <stdlib.h>

typedef struct models_config {
    args_strings words;
} models_config;

static int print_list(void)
{
    int rc = 0;
    graph *g = NULL;
    printf("%-29s %6s %9s %8s %9s  %s\n", "model", "input", "params", "GMAC", "features", "");
    for (const model *const *m = models; *m != NULL; m++) {
        TRY(model_build(&g, *m, (*m)->classes));
        printf("%-29s %6d %8.2fM %8.3f %9d  %s\n", (*m)->name, (*m)->prep.side,
               (double)graph_parameter_count(g) * 1e-6, graph_macs(g) * 1e-9,
               graph_node(g, graph_features(g))->out.c, (*m)->about);
        graph_free(&g);
    }
done:
    graph_free(&g);
    return rc;
}

static void print_prep(const model *m)
{
    const char *preset;
    prep p;
    char *json;
    printf("preprocessing (default %s):\n", m->prep.preset);
    for (size_t i = 0; (preset = prep_preset_name(i)) != NULL; i++) {
        if (prep_resolve(&p, preset, &m->prep) < 0 || p.out_h != m->prep.side) {
            err_clear();
            continue;
        }
        if (prep_json(&p, &json) < 0) continue;
        printf("  %-12s %s\n", preset, json);
        free(json);
    }
}

/* The shape of a tap as it is stored. */
static void print_tap(const node *v)
{
    shape s = v->out;
    if (s.h * s.w == 1) printf("  %-40s [%d]\n", v->tap, s.c);
    else if (v->layout == TAP_TOKENS) printf("  %-40s [%d,%d]  tokens\n", v->tap, s.h * s.w, s.c);
    else if (v->layout == TAP_HWC)
        printf("  %-40s [%d,%d,%d]  channels last\n", v->tap, s.h, s.w, s.c);
    else printf("  %-40s [%d,%d,%d]\n", v->tap, s.c, s.h, s.w);
}

/* As `extract inspect` calls them. */
static void print_layouts(const model *m)
{
    if (m->key_layouts == NULL) return;
    printf("key layouts ");
    for (const layout *l = m->key_layouts; l->name != NULL; l++)
        printf("%s%s", l == m->key_layouts ? "" : ", ", l->name);
    printf("\n");
}

static int print_model(const model *m)
{
    int rc = 0;
    graph *g = NULL;
    TRY(model_build(&g, m, m->classes));
    printf("%s: %s\n%s\n", m->name, m->about, m->paper);
    printf("input       [3,%d,%d]\n", m->prep.side, m->prep.side);
    printf("parameters  %zu, %.4f GMAC an image (%.3f GFLOP)\n", graph_parameter_count(g),
           graph_macs(g) * 1e-9, 2e-9 * graph_macs(g));
    printf("features    [%d]%s\n", graph_node(g, graph_features(g))->out.c,
           graph_head(g) ? "" : "  (no linear layer turns them into logits: no /head is stored)");
    printf("logits      [%d] by default; the checkpoint's %s.weight decides\n", m->classes,
           m->classifier);
    printf("checkpoints %s\n", m->layouts);
    print_layouts(m);
    print_prep(m);
    printf("taps:\n");
    for (size_t i = 0; i < graph_nodes(g); i++)
        if (graph_node(g, (int)i)->tap != NULL) print_tap(graph_node(g, (int)i));
    probes_print_model(m);
done:
    graph_free(&g);
    return rc;
}

static int cmd_models(void *config)
{
    const models_config *c = config;
    const char *names[256], *near;
    const model *m;
    size_t n = 0;
    if (c->words.n == 0) return print_list();
    m = model_find(c->words.v[0]);
    if (m != NULL) return print_model(m);
    for (; models[n] != NULL && n < 256; n++)
        names[n] = models[n]->name;
    near = args_nearest(c->words.v[0], names, n);
    return err_set(ERR_USAGE, "no model '%s'%s%s%s", c->words.v[0], near ? "; did you mean " : "",
                   near ? near : "", near ? "?" : "");
}

const command command_models = {
    .name = "models",
    .summary = "Lists the networks, or describes one.",
    .synopsis = "[NAME]",
    .about = "example: extract models resnet50",
    .config_size = sizeof(models_config),
    .words_at = offsetof(models_config, words),
    .words_max = 1,
    .run = cmd_models,
};
