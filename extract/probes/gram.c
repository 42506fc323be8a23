/* Row sums of Gram matrices.  Sastry and Oore, ICML 2020, arXiv:1912.12510, as OpenOOD has it (methods-seeds.md 4.15,
 * T12).  For powers q = 1..P: F = x^q as [c, h w], v = row sums of F F', G = sign(v) |v|^(1/q).
 * Offline part: bounds by class, streamed over the train file at fit, deviations at test: the leaderboard's form
 * over five layers, and the corrected one over every convolution (layers=convs) or every convolution and ReLU
 * (layers=modules).
 * Room on disk: 4 P bytes a channel and image; the five layers of ResNet-50 78 KB, every module 986 KB. */
#include "extract/probes/parts.h"
#include "extract/reach.h"
#include "common/err.h"

#include <stdlib.h>
#include <string.h>

static int add(probe_build *b, int x, const char *layer)
{
    int rc = 0, powers = (int)probe_number(b, "powers");
    output *o;
    TRY(probe_add(b, g_gram(b->g, x, powers), REDUCE_NONE, json_pack("{s:s}", "layer", layer), "%s", layer));
    o = &b->to->v[b->to->n - 1];
    o->rank = 2;
    o->dim[0] = (size_t)powers;
    o->dim[1] = (size_t)g_channels(b->g, x);
done:
    return rc;
}

/* Every convolution, and with relus every ReLU, of the forward pass, numbered in its order. */
static int modules(probe_build *b, int relus)
{
    int rc = 0, z = graph_logits(b->g), k = 0;
    unsigned char *seen = NULL;
    TRY(graph_ancestors(b->g, z, &seen));
    for (int i = 0; i <= z; i++) {
        const node *v = graph_node(b->g, i);
        if (!seen[i] || (v->op != OP_conv && !(relus && v->op == OP_relu))) continue;
        TRY(add(b, i, v->op == OP_conv ? g_name(b->g, "%03d:%s", k, v->name) : g_name(b->g, "%03d:relu", k)));
        k++;
    }
done:
    free(seen);
    return rc;
}

static int build(probe_build *b)
{
    int rc = 0;
    const char *text = probe_text(b, "layers");
    probe_layers l;
    if (strcmp(text, "convs") == 0 || strcmp(text, "modules") == 0) return modules(b, text[0] == 'm');
    TRY(probe_take_layers(b, "layers", &l));
    for (int i = 0; i < l.n; i++)
        TRY(add(b, l.node[i], l.name[i]));
done:
    return rc;
}

static const char *layers(const model *m)
{
    const network_layers *l = layers_of(m);
    return l != NULL ? l->gram : NULL;
}

const probe_def probe_def_gram = {
    .name = "gram",
    .about = "row sums of Gram matrices of five layers, or of every module, for powers 1 to 5",
    .paper = "Sastry and Oore, Detecting Out-of-Distribution Examples with Gram Matrices, ICML 2020, arXiv:1912.12510",
    .methods = "gram",
    .note = "large: 4 powers bytes a channel and image, 78 KB for ResNet-50's five layers; first powers exceed f16 on "
            "wide maps, such rows would be flagged",
    .outputs = "LAYER [N,powers,c]; with convs or modules NNN:NAME",
    .opts = (const probe_opt[]){
        { .name = "layers", .def = "default", .list = 1, .help = "taps; convs: every convolution; modules: every "
          "convolution and ReLU" },
        { .name = "powers", .def = "5", .min = 1, .max = 16, .whole = 1, .help = "from 1 to this" },
        { 0 } },
    .build = build,
    .layers = layers,
};
