/* Neuron activation coverage.  Liu, Tian, Li, Ma and Wang, ICLR 2024, arXiv:2306.02879 (methods-seeds.md 5.2, 5.3).
 * A layer's state: o g, o the sum of its map over all positions, g the sum of the gradient of the cross entropy to
 * the uniform distribution; sums before the product, no means.
 *   map [c,h,w] -> [c]; tokens [t,d] -> [d], all tokens; the norm behind the last layer: its class token alone
 * Offline part: sigmoid(alpha o g), its histograms and coverage. */
#include "extract/probes/parts.h"
#include "extract/reach.h"
#include "common/err.h"

static int build(probe_build *b)
{
    int rc = 0, z, gradient[PROBE_LIST_MAX], norm = graph_token_norm(b->g);
    probe_layers l;
    TRY(probe_take_layers(b, "layers", &l));
    z = graph_through(b->g, graph_logits(b->g), l.node, l.n);
    TRY(graph_check(b->g));
    graph_backward(b->g, z, g_cotangent(b->g, z, COTANGENT_UNIFORM, 1, 0), l.node, l.n, gradient);
    TRY(graph_check(b->g));
    for (int i = 0; i < l.n; i++) {
        int class_token = l.node[i] == norm; /* the others have no gradient there */
        int o = class_token ? g_token(b->g, norm, 0) : g_sum(b->g, l.node[i]), g = g_sum(b->g, gradient[i]);
        TRY(probe_add(b, g_gate(b->g, o, g), REDUCE_NONE, json_pack("{s:s}", "layer", l.name[i]), "%s", l.name[i]));
        if (!probe_flag(b, "pieces")) continue;
        TRY(probe_add(b, o, REDUCE_NONE, json_pack("{s:s, s:s}", "layer", l.name[i], "piece", "activation"),
                      "%s:activation", l.name[i]));
        TRY(probe_add(b, g, REDUCE_NONE, json_pack("{s:s, s:s}", "layer", l.name[i], "piece", "gradient"),
                      "%s:gradient", l.name[i]));
    }
done:
    return rc;
}

static const char *layers(const model *m)
{
    const network_layers *l = layers_of(m);
    return l != NULL ? l->nac : NULL;
}

const probe_def probe_def_nac = {
    .name = "nac",
    .about = "neuron states before the sigmoid: activation times gradient, both summed over the map",
    .paper = "Liu, Tian, Li, Ma and Wang, Neuron Activation Coverage, ICLR 2024, arXiv:2306.02879",
    .methods = "nac",
    .outputs = "LAYER [N,c]; with pieces=yes LAYER:activation and LAYER:gradient",
    .opts = (const probe_opt[]){ { .name = "layers", .def = "default", .list = 1,
                                   .help = "taps, or `features`, the penultimate vector" },
                                 { .name = "pieces", .def = "no", .words = "no|yes",
                                   .help = "store both factors, too" },
                                 { 0 } },
    .build = build,
    .layers = layers,
};
