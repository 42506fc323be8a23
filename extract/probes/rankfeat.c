/* RankFeat.  Song, Sebe and Wang, NeurIPS 2022, arXiv:2209.08590 (methods-seeds.md 6.1): a block's map, as a matrix
 * [c, h w], without its largest singular component, A - A v v', and the rest of the network on it.
 * Stored: logits and penultimate vectors for the last and for the earlier block.  Offline part: their fusion
 * (z3 + z4) / 2, energy or MSP, ReAct on the vectors. */
#include "extract/probes/parts.h"
#include "extract/probes/rank.h"
#include "common/err.h"
#include "common/mem.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Steele, Lea and Flood 2014: splitmix64; then Box and Muller 1958. */
static double uniform(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return ((double)((z ^ z >> 31) >> 11) + 0.5) * 0x1p-53;
}

static int random_start(probe_build *b, int c, uint64_t seed)
{
    const char *name = g_name(b->g, "rankfeat.start.%d.%llu", c, (unsigned long long)seed);
    float *v = NULL;
    int p = -1;
    if (mem_new(&v, (size_t)c, sizeof *v, "start") < 0) return -1;
    for (int i = 0; i < c; i++) {
        double r = sqrt(-2 * log(uniform(&seed)));
        v[i] = (float)(r * cos(2 * 3.14159265358979323846 * uniform(&seed)));
    }
    p = probe_constant(b->g, name, 1, &c, v);
    free(v);
    return p;
}

int rank_deflated(probe_build *b, int x)
{
    int power = strcmp(probe_text(b, "svd"), "power") == 0;
    int steps = (int)probe_number(b, "iterations");
    uint64_t seed = (uint64_t)probe_number(b, "seed");
    return g_deflate(b->g, x, power ? DEFLATE_POWER : DEFLATE_EXACT, steps,
                     power ? random_start(b, g_channels(b->g, x), seed) : -1);
}

int rank_store(probe_build *b, int from, int x, int z, int f, const char *layer, const char *variant)
{
    int rc = 0, out[2], wanted[2] = { z, f }, n = f >= 0 ? 2 : 1;
    TRY(probe_again(b, from, x, wanted, n, out));
    TRY(probe_add(b, out[0], REDUCE_NONE, json_pack("{s:s}", "layer", layer), "%s/logits", variant));
    if (n == 2)
        TRY(probe_add(b, out[1], REDUCE_NONE, json_pack("{s:s}", "layer", layer), "%s/features", variant));
done:
    return rc;
}

/* The penultimate vector as the input of the last layer that computes z. */
int rank_features(const probe_build *b, int z)
{
    return z == graph_logits(b->g) ? graph_features(b->g) : graph_node(b->g, z)->in[0];
}

static int one(probe_build *b, const char *layer, int at, const char *variant)
{
    int rc = 0, z;
    if (at < 0) return 0;
    z = graph_through(b->g, graph_logits(b->g), &at, 1);
    TRY(graph_check(b->g));
    TRY(rank_store(b, at, rank_deflated(b, at), z, rank_features(b, z), layer, variant));
done:
    return rc;
}

static int build(probe_build *b)
{
    int rc = 0, last, earlier;
    const char *last_name, *earlier_name;
    const network_layers *l = layers_of(b->m);
    TRY(probe_take_layer(b, "last", l != NULL ? l->last : NULL, &last_name, &last));
    TRY(probe_take_layer(b, "earlier", l != NULL ? l->earlier : NULL, &earlier_name, &earlier));
    TRY(one(b, last_name, last, "last"));
    TRY(one(b, earlier_name, earlier, "earlier"));
done:
    return rc;
}

static const char *layers(const model *m)
{
    static _Thread_local char text[200];
    const network_layers *l = layers_of(m);
    if (l == NULL || l->last == NULL) return NULL;
    snprintf(text, sizeof text, "last=%s,earlier=%s", l->last, l->earlier != NULL ? l->earlier : "none");
    return text;
}

const probe_def probe_def_rankfeat = {
    .name = "rankfeat",
    .about = "logits and features after a block's map lost its largest singular component",
    .paper = "Song, Sebe and Wang, RankFeat: Rank-1 Feature Removal for Out-of-distribution Detection, NeurIPS 2022, "
             "arXiv:2209.08590",
    .methods = "rankfeat",
    .outputs = "last/logits [N,C], last/features [N,D], earlier/logits, earlier/features",
    .opts = (const probe_opt[]){
        { .name = "last", .def = "default", .help = "tap, or none" },
        { .name = "earlier", .def = "default", .help = "tap, or none" },
        RANK_OPTS, { 0 } },
    .build = build,
    .layers = layers,
};
