/* What a run stores for each image: names of datasets, and the nodes of the graph behind them. */
#ifndef OUTPOST_OUTPUTS_H
#define OUTPOST_OUTPUTS_H

#include "common/feature_file.h"
#include "extract/plan.h"

#include <jansson.h>

typedef struct output {
    char *name;               /* "features", "taps/layer4:mean", "probes/nac/layer3" */
    int node;
    reduction reduce;
    feature_type type;        /* f32 or f16 */
    int rank;                 /* of a row; 0: as the plan has it */
    size_t dim[FEATURE_RANK_MAX];
    char *made;               /* JSON object: how it came about; NULL: by the forward pass alone */
} output;

typedef struct outputs {
    output *v;
    size_t n, room;
} outputs;

/* Appends; *added, which may be NULL, is valid until the next one.  ERR_USAGE: a name that is there. */
int outputs_add(outputs *o, const char *name, int at, reduction how, output **added);
void outputs_clear(outputs *o);
/* The text of the attribute `made`; NULL stays NULL.  The caller's to free. */
int outputs_made(char **text, const json_t *how);

/* A tap, "features" (the penultimate vector) or "image" (the input).  ERR_USAGE names `option` and the
 * nearest tap. */
int outputs_find(int *at, const graph *g, const char *network, const char *name, const char *option);

/* "features[:f16]", "logits[:f16]" or "gradients:TAP[:map|:mean|:sum|:max][:f16]", joined by commas, the gradients of
 * `scalar`, NULL for uniform: uniform, logsumexp, max, ce[:TEMPERATURE] or logit=CLASS (cotangent_kind). */
int outputs_add_dumps(outputs *o, graph *g, const char *network, const char *dumps, const char *scalar);
/* TAP[:map|:mean|:sum|:max][:f16] */
int outputs_add_tap(outputs *o, const graph *g, const char *network, const char *text);

#endif
