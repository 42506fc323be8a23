/* RankWeight.  Song, Wang and Sebe, IEEE TPAMI 2024 (methods-seeds.md 6.2): weight matrices of the last block without
 * their largest singular component, alone and with RankFeat's removal behind the last block.
 * The published code changes the weights in place and is called for the ID set first: ID images meet one removal, OOD
 * images two.  removals=1/2 stores both networks; which image is scored by which is the method's choice. */
#include "extract/probes/parts.h"
#include "extract/probes/rank.h"
#include "common/args.h"
#include "common/err.h"

#include <stdio.h>
#include <string.h>

typedef struct matrices {
    int param[PROBE_LIST_MAX], n;
} matrices;

static int find_matrices(const probe_build *b, matrices *out)
{
    int rc = 0;
    const network_layers *l = layers_of(b->m);
    const char *text = probe_text(b, "weights");
    args_list parts = { 0 };
    out->n = 0;
    if (strcmp(text, "default") == 0) text = l != NULL ? l->weights : NULL;
    CHECK(text != NULL, ERR_USAGE, "rankweight: no weights of %s are known for it; say rankweight:weights=NAME",
          b->m->name);
    TRY(args_split(&parts, text, '/'));
    probe_record_list(b, "weights", &parts);
    for (size_t k = 0; k < parts.n; k++) {
        size_t i = 0;
        while (i < graph_params(b->g) && strcmp(graph_param(b->g, (int)i)->name, parts.v[k]) != 0)
            i++;
        CHECK(i < graph_params(b->g) && graph_param(b->g, (int)i)->rank >= 2 && out->n < PROBE_LIST_MAX, ERR_USAGE,
              "rankweight: %s has no matrix '%s'", b->m->name, parts.v[k]);
        out->param[out->n++] = (int)i;
    }
done:
    args_list_clear(&parts);
    return rc;
}

/* wanted[i] with every matrix deflated. */
static int with_weights(probe_build *b, const matrices *m, int removals, const int *wanted, int n, int *out)
{
    int instead[PROBE_LIST_MAX];
    replay r = { .param = m->param, .instead = instead, .n_params = m->n };
    for (int i = 0; i < m->n; i++)
        instead[i] = g_deflated(b->g, m->param[i], removals);
    graph_replay(b->g, &r, wanted, n, out);
    return graph_check(b->g);
}

static int build(probe_build *b)
{
    int rc = 0, at, z;
    const char *layer, *feature = probe_text(b, "feature");
    const network_layers *l = layers_of(b->m);
    matrices m;
    probe_numbers removals;
    TRY(find_matrices(b, &m));
    TRY(probe_take_layer(b, "last", l != NULL ? l->last : NULL, &layer, &at));
    TRY(probe_list(b, "removals", &removals));
    z = graph_through(b->g, graph_logits(b->g), &at, at >= 0);
    TRY(graph_check(b->g));
    CHECK(at >= 0 || strcmp(feature, "no") == 0, ERR_USAGE,
          "rankweight: no block of %s is known for RankFeat; say last=TAP, or feature=no", b->m->name);
    for (size_t i = 0; i < removals.n; i++) {
        int k = (int)removals.v[i], wanted[3] = { z, rank_features(b, z), at }, out[3];
        char name[64];
        TRY(with_weights(b, &m, k, wanted, at >= 0 ? 3 : 2, out));
        snprintf(name, sizeof name, "removals=%d", k);
        if (strcmp(feature, "only") != 0) {
            json_t *own = json_pack("{s:i, s:s}", "removals", k, "feature", "no");
            TRY(probe_add(b, out[0], REDUCE_NONE, own, "%s/logits", name));
        }
        if (strcmp(feature, "no") == 0) continue;
        snprintf(name, sizeof name, "removals=%d,rankfeat", k);
        TRY(rank_store(b, out[2], rank_deflated(b, out[2]), out[0], -1, layer, name));
    }
done:
    return rc;
}

static const char *known_weights(const model *m)
{
    const network_layers *l = layers_of(m);
    return l != NULL ? l->weights : NULL;
}

const probe_def probe_def_rankweight = {
    .name = "rankweight",
    .about = "logits of the network whose last weight matrices lost singular components",
    .paper = "Song, Wang and Sebe, RankFeat and RankWeight: Rank-1 Feature/Weight Removal for Out-of-distribution "
             "Detection, IEEE TPAMI 2024",
    .methods = "rankweight",
    .note = "published: ID images by 1 removal, OOD images by 2, as the code changes the weights in place",
    .outputs = "removals=R/logits [N,C]; removals=R,rankfeat/logits [N,C]",
    .opts = (const probe_opt[]){
        { .name = "removals", .def = "1/2", .min = 1, .max = 16, .whole = 1, .list = 1,
          .help = "how many components; a network for each" },
        { .name = "feature", .def = "both", .words = "both|no|only",
          .help = "also, never or only with RankFeat behind the last block" },
        { .name = "weights", .def = "default", .list = 1, .help = "names of parameters" },
        { .name = "last", .def = "default", .help = "tap of RankFeat" },
        RANK_OPTS, { 0 } },
    .build = build,
    .layers = known_weights,
};
