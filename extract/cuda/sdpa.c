#include "extract/cuda/sdpa.h"
#include "extract/cuda/errors.h"

#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ID_Q = 1, ID_K, ID_V, ID_Y, ID_SCALE, ID_BIAS, ID_VIRTUAL = 11, OPS = 11 };

int sdpa_bias_row(int t)
{
    return (t + 7) / 8 * 8;
}

void sdpa_key_text(const sdpa_key *k, char *text, size_t room)
{
    snprintf(text, room, "attention %dx%d of %dx%d%s %s", k->sequences, k->heads, k->t, k->d,
             k->bias ? " + bias" : "", k->precision == PRECISION_FP16 ? "fp16" : "bf16");
}

static int eighths(const attention_layout *l)
{
    return l->sequence % 8 == 0 && l->head % 8 == 0 && l->row % 8 == 0;
}

int sdpa_wanted(const sdpa_key *k)
{
    const char *ask = getenv("OUTPOST_CUDA_SDPA");
    return element_of(k->precision) != ELEMENT_F32 && k->d % 8 == 0 && eighths(&k->x) &&
           eighths(&k->y) && (ask == NULL || strcmp(ask, "0") != 0);
}

/* ---- the graph --------------------------------------------------------------------------------- */

typedef struct building {
    dnn_list *l;
    int64_t id; /* of the next tensor that exists inside the graph only */
    int64_t scores[4], scores_at[4], rows[4], rows_at[4];
    void **ops;
    int n;
} building;

/* One more tensor of the graph: scores [sequences,heads,t,t], or a number for each of their rows. */
static int inner(building *b, element e, int row, void **out)
{
    return dnn_tensor(b->l, b->id++, e, row ? b->rows : b->scores, row ? b->rows_at : b->scores_at,
                      1, out);
}

static int add_pointwise(building *b, int mode, void *x, void *with, element e, int row, void **out)
{
    int rc = 0;
    TRY(inner(b, e, row, out));
    TRY(dnn_pointwise(b->l, mode, x, with, *out, &b->ops[b->n++]));
done:
    return rc;
}

static int add_reduction(building *b, int mode, void *x, void **out)
{
    int rc = 0;
    TRY(inner(b, ELEMENT_F32, 1, out));
    TRY(dnn_reduction(b->l, mode, x, *out, &b->ops[b->n++]));
done:
    return rc;
}

/* exp(x - largest) / sum of these, and log sum + largest, without which cuDNN does not see attention. */
static int add_softmax(building *b, void *x, element e, void **out)
{
    int rc = 0;
    void *largest, *difference, *power, *sum, *logarithm, *statistics;
    TRY(add_reduction(b, DNN_REDUCE_TENSOR_MAX, x, &largest));
    TRY(add_pointwise(b, DNN_POINTWISE_SUB, x, largest, ELEMENT_F32, 0, &difference));
    TRY(add_pointwise(b, DNN_POINTWISE_EXP, difference, NULL, ELEMENT_F32, 0, &power));
    TRY(add_reduction(b, DNN_REDUCE_TENSOR_ADD, power, &sum));
    TRY(add_pointwise(b, DNN_POINTWISE_LOG, sum, NULL, ELEMENT_F32, 1, &logarithm));
    TRY(add_pointwise(b, DNN_POINTWISE_ADD, largest, logarithm, ELEMENT_F32, 1, &statistics));
    TRY(add_pointwise(b, DNN_POINTWISE_DIV, power, sum, e, 0, out));
done:
    return rc;
}

static building building_of(sdpa_graph *g, void **ops)
{
    int64_t n = g->key.sequences, h = g->key.heads, t = g->key.t;
    return (building){.l = &g->list,
                      .id = ID_VIRTUAL,
                      .ops = ops,
                      .scores = {n, h, t, t},
                      .scores_at = {h * t * t, t * t, t, 1},
                      .rows = {n, h, t, 1},
                      .rows_at = {h * t, t, 1, 1}};
}

/* q k^T -> scale -> [+ bias] -> softmax -> v; k is handed over as its transpose. */
static int build(sdpa_graph *g, void **ops, int *n_ops)
{
    int rc = 0;
    const sdpa_key *k = &g->key;
    building b = building_of(g, ops);
    element e = element_of(k->precision);
    int64_t n = k->sequences, h = k->heads, t = k->t, d = k->d, row = sdpa_bias_row(k->t);
    int64_t from = (int64_t)k->x.sequence, head = (int64_t)k->x.head, to = (int64_t)k->y.sequence;
    const int64_t dim[4] = {n, h, t, d}, turned[4] = {n, h, d, t}, bias_dim[4] = {1, h, t, t};
    const int64_t at[4] = {from, head, k->x.row, 1}, turned_at[4] = {from, head, 1, k->x.row},
                  y_at[4] = {to, (int64_t)k->y.head, k->y.row, 1},
                  bias_at[4] = {h * t * row, t * row, row, 1};
    void *q, *kt, *v, *y, *scale, *bias, *scores, *shares;
    TRY(dnn_tensor(b.l, ID_Q, e, dim, at, 0, &q));
    TRY(dnn_tensor(b.l, ID_K, e, turned, turned_at, 0, &kt));
    TRY(dnn_tensor(b.l, ID_V, e, dim, at, 0, &v));
    TRY(dnn_tensor(b.l, ID_Y, e, dim, y_at, 0, &y));
    TRY(dnn_scalar(b.l, ID_SCALE, &scale));
    TRY(inner(&b, ELEMENT_F32, 0, &scores));
    TRY(dnn_product(b.l, q, kt, scores, &b.ops[b.n++]));
    TRY(add_pointwise(&b, DNN_POINTWISE_MUL, scores, scale, ELEMENT_F32, 0, &scores));
    if (k->bias) {
        TRY(dnn_tensor(b.l, ID_BIAS, ELEMENT_F32, bias_dim, bias_at, 0, &bias));
        TRY(add_pointwise(&b, DNN_POINTWISE_ADD, scores, bias, ELEMENT_F32, 0, &scores));
    }
    TRY(add_softmax(&b, scores, e, &shares));
    TRY(dnn_product(b.l, shares, v, y, &b.ops[b.n++]));
    *n_ops = b.n;
done:
    return rc;
}

/* ---- plans ------------------------------------------------------------------------------------- */

int sdpa_graph_new(sdpa_graph **out, const dnn_target *t, const sdpa_key *key, size_t workspace)
{
    int rc = 0, n_ops = 0;
    sdpa_graph *g = NULL;
    void *ops[OPS];
    const dnn_rule rule = {.precision = key->precision, .workspace = workspace, .may_compile = 1};
    TRY(mem_new(&g, 1, sizeof *g, "attention"));
    g->key = *key;
    TRY(build(g, ops, &n_ops));
    TRY(dnn_plans(t, &rule, &g->list, ops, n_ops, &g->plan, 1, &g->usable));
    *out = g;
    g = NULL;
done:
    sdpa_graph_free(&g);
    return rc;
}

void sdpa_graph_free(sdpa_graph **out)
{
    sdpa_graph *g = *out;
    if (g == NULL) return;
    dnn_plan_free(&g->plan);
    dnn_list_free(&g->list);
    free(g);
    *out = NULL;
}

int sdpa_graph_run(const sdpa_graph *g, void *handle, const sdpa_operands *o)
{
    static const int64_t ids[] = {ID_Q, ID_K, ID_V, ID_Y, ID_SCALE, ID_BIAS};
    float scale = o->scale; /* read while the plan is queued */
    union {
        const void *in;
        void *out;
    } p[4] = {{o->q}, {o->k}, {o->v}, {o->bias}};
    void *pointers[6] = {p[0].out, p[1].out, p[2].out, o->y, &scale, p[3].out};
    return dnn_run(&g->plan, handle, g->key.bias ? 6 : 5, ids, pointers, o->workspace);
}
