/* Means of maps over their positions, of every block: what multi-layer Mahalanobis without perturbation, MDSEns and
 * GMM fit on (T5 of methods-seeds.md 1.3).
 *   space: [c,h,w] -> [c].  channels: [c,h,w] -> [h w], a number for each position or token: what RankFeat's scripts
 * for transformers do, whose tokens stand where a network of convolutions has channels. */
#include "extract/probes/parts.h"
#include "common/err.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

/* A linear layer of equal weights. */
static int channel_mean(probe_build *b, int x, const char *layer)
{
    int c = g_channels(b->g, x), dim[2] = { 1, c }, p;
    const char *name = g_name(b->g, "probe.mean.%s", layer);
    float *w = NULL;
    if (mem_new(&w, (size_t)c, sizeof *w, "mean") < 0) return -1;
    for (int i = 0; i < c; i++)
        w[i] = 1.0f / (float)c;
    p = probe_constant(b->g, g_name(b->g, "%s.weight", name), 2, dim, w);
    free(w);
    return p < 0 ? -1 : g_linear_plain(b->g, x, 1, name);
}

static int build(probe_build *b)
{
    int rc = 0, by_channel = strcmp(probe_text(b, "pool"), "channels") == 0;
    probe_layers l;
    TRY(probe_take_layers(b, "layers", &l));
    for (int i = 0; i < l.n; i++) {
        shape s = g_shape(b->g, l.node[i]);
        int x = by_channel ? channel_mean(b, l.node[i], l.name[i]) : l.node[i];
        TRY(graph_check(b->g));
        TRY(probe_add(b, x, by_channel ? REDUCE_NONE : REDUCE_MEAN, json_pack("{s:s}", "layer", l.name[i]),
                      "%s%s", l.name[i], by_channel ? ":channels" : ""));
        if (!by_channel) continue;
        b->to->v[b->to->n - 1].rank = 1;
        b->to->v[b->to->n - 1].dim[0] = (size_t)(s.h * s.w);
    }
done:
    return rc;
}

static const char *layers(const model *m)
{
    const network_layers *l = layers_of(m);
    return l != NULL ? l->blocks : NULL;
}

const probe_def probe_def_gap = {
    .name = "gap",
    .about = "mean of every block's map over its positions",
    .paper = "Lee, Lee, Lee and Shin, A Simple Unified Framework, NeurIPS 2018, arXiv:1807.03888",
    .methods = "mahalanobis-layers mdsens",
    .outputs = "LAYER [N,c]; with pool=channels LAYER:channels [N,h w]",
    .opts = (const probe_opt[]){ { .name = "layers", .def = "default", .list = 1, .help = "taps" },
                                 { .name = "pool", .def = "space", .words = "space|channels",
                                   .help = "over positions, or over channels as RankFeat's scripts for transformers" },
                                 { 0 } },
    .build = build,
    .layers = layers,
};
