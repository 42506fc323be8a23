#include "extract/cuda/conv.h"
#include "extract/cuda/errors.h"

#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>

enum { ID_X = 1, ID_W, ID_Y, ID_BIAS, ID_RESIDUAL, ID_VIRTUAL = 11 };

void conv_key_text(const conv_key *k, char *text, size_t room)
{
    static const char *const precisions[] = {"fp32", "tf32", "bf16", "fp16"};
    snprintf(text, room, "conv%s %dx%dx%dx%d %dx%d/%d p%d g%d -> %d%s%s %s", k->back ? "_back" : "", k->n, k->h, k->w, k->c,
             k->kernel, k->kernel, k->stride, k->pad, k->groups, k->k, k->residual ? " + sum" : "",
             k->act == ACT_RELU ? " relu" : "", precisions[k->precision]);
}

/* Windows and strides. */
static int add_geometry(conv_graph *g, void **out)
{
    int rc = 0;
    const conv_key *k = &g->key;
    int64_t two = 2, stride[2] = {k->stride, k->stride}, pad[2] = {k->pad, k->pad}, one[2] = {1, 1};
    void *how = NULL;
    TRY(dnn_add(&g->list, DNN_BACKEND_CONVOLUTION_DESCRIPTOR, &how));
    TRY(dnn_set_number(how, DNN_ATTR_CONVOLUTION_COMP_TYPE, DNN_TYPE_DATA_TYPE, DNN_DATA_FLOAT));
    TRY(dnn_set_number(how, DNN_ATTR_CONVOLUTION_CONV_MODE, DNN_TYPE_CONVOLUTION_MODE,
                       DNN_CROSS_CORRELATION));
    TRY(dnn_set_ints(how, DNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 1, &two));
    TRY(dnn_set_ints(how, DNN_ATTR_CONVOLUTION_FILTER_STRIDES, 2, stride));
    TRY(dnn_set_ints(how, DNN_ATTR_CONVOLUTION_PRE_PADDINGS, 2, pad));
    TRY(dnn_set_ints(how, DNN_ATTR_CONVOLUTION_POST_PADDINGS, 2, pad));
    TRY(dnn_set_ints(how, DNN_ATTR_CONVOLUTION_DILATIONS, 2, one));
    TRY(dnn_finish(how, "describing a convolution to cuDNN"));
    *out = how;
done:
    return rc;
}

static int add_conv(conv_graph *g, void *x, void *w, void *y, void **out)
{
    int rc = 0;
    void *how = NULL;
    TRY(add_geometry(g, &how));
    TRY(dnn_add(&g->list, DNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, out));
    TRY(dnn_set_parts(*out, DNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, 1, &how));
    TRY(dnn_set_parts(*out, DNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, 1, &x));
    TRY(dnn_set_parts(*out, DNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, 1, &w));
    TRY(dnn_set_parts(*out, DNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, 1, &y));
    TRY(dnn_set_float(*out, DNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, 1));
    TRY(dnn_set_float(*out, DNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, 0));
    TRY(dnn_finish(*out, "describing a convolution to cuDNN"));
done:
    return rc;
}

static int build_back(conv_graph *g, void **ops, int *n_ops)
{
    int rc = 0;
    const conv_key *k = &g->key;
    element e = element_of(k->precision);
    const int64_t x_dim[4] = {k->n, k->k, k->oh, k->ow}, y_dim[4] = {k->n, k->c, k->h, k->w};
    const int64_t w_dim[4] = {k->k, k->c / k->groups, k->kernel, k->kernel};
    void *x = NULL, *w = NULL, *y = NULL, *how = NULL, *op = NULL;
    TRY(dnn_tensor(&g->list, ID_X, e, x_dim, NULL, 0, &x));
    TRY(dnn_tensor(&g->list, ID_W, e, w_dim, NULL, 0, &w));
    TRY(dnn_tensor(&g->list, ID_Y, e, y_dim, NULL, 0, &y));
    TRY(add_geometry(g, &how));
    TRY(dnn_add(&g->list, DNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR, &op));
    TRY(dnn_set_parts(op, DNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, 1, &how));
    TRY(dnn_set_parts(op, DNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, 1, &x));
    TRY(dnn_set_parts(op, DNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, 1, &w));
    TRY(dnn_set_parts(op, DNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, 1, &y));
    TRY(dnn_set_float(op, DNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, 1));
    TRY(dnn_set_float(op, DNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA, 0));
    TRY(dnn_finish(op, "describing a convolution's adjoint to cuDNN"));
    ops[0] = op;
    *n_ops = 1;
done:
    return rc;
}

/* conv -> [+ residual] -> + bias -> [relu]; what lies between is f32 and never in memory. */
static int build(conv_graph *g, void **ops, int *n_ops)
{
    int rc = 0, n = 0, total = 2 + (g->key.residual != 0) + (g->key.act != ACT_NONE);
    const conv_key *k = &g->key;
    element e = element_of(k->precision);
    const int64_t x_dim[4] = {k->n, k->c, k->h, k->w}, y_dim[4] = {k->n, k->k, k->oh, k->ow};
    const int64_t w_dim[4] = {k->k, k->c / k->groups, k->kernel, k->kernel},
                  b_dim[4] = {1, k->k, 1, 1};
    void *x = NULL, *w = NULL, *y = NULL, *bias = NULL, *residual = NULL, *part[4] = {NULL};
    TRY(dnn_tensor(&g->list, ID_X, e, x_dim, NULL, 0, &x));
    TRY(dnn_tensor(&g->list, ID_W, e, w_dim, NULL, 0, &w));
    TRY(dnn_tensor(&g->list, ID_Y, e, y_dim, NULL, 0, &y));
    TRY(dnn_tensor(&g->list, ID_BIAS, e, b_dim, NULL, 0, &bias));
    if (k->residual) TRY(dnn_tensor(&g->list, ID_RESIDUAL, e, y_dim, NULL, 0, &residual));
    for (int i = 0; i + 1 < total; i++)
        TRY(dnn_tensor(&g->list, ID_VIRTUAL + i, ELEMENT_F32, y_dim, NULL, 1, &part[i]));
    part[total - 1] = y;
    TRY(add_conv(g, x, w, part[0], &ops[0]));
    if (k->residual) {
        n++;
        TRY(dnn_pointwise(&g->list, DNN_POINTWISE_ADD, part[n - 1], residual, part[n], &ops[n]));
    }
    n++;
    TRY(dnn_pointwise(&g->list, DNN_POINTWISE_ADD, part[n - 1], bias, part[n], &ops[n]));
    if (k->act == ACT_RELU) {
        n++;
        TRY(dnn_pointwise(&g->list, DNN_POINTWISE_RELU_FWD, part[n - 1], NULL, part[n], &ops[n]));
    }
    *n_ops = n + 1;
done:
    return rc;
}

/* Plans for exactly this key; none is no error. */
static int find(conv_graph **out, const dnn_target *t, const conv_key *key, size_t workspace,
                int room)
{
    int rc = 0, n_ops = 0;
    conv_graph *g = NULL;
    void *ops[4];
    const dnn_rule rule = {.precision = key->precision, .workspace = workspace};
    TRY(mem_new(&g, 1, sizeof *g, "convolution"));
    g->key = *key;
    TRY(mem_new(&g->plans, (size_t)room, sizeof *g->plans, "convolution"));
    TRY(key->back ? build_back(g, ops, &n_ops) : build(g, ops, &n_ops));
    TRY(dnn_plans(t, &rule, &g->list, ops, n_ops, g->plans, room, &g->n_plans));
    if (g->n_plans == 0) goto done;
    *out = g;
    g = NULL;
done:
    conv_graph_free(&g);
    return rc;
}

int conv_graph_new(conv_graph **out, const dnn_target *t, const conv_key *asked, size_t workspace,
                   int room)
{
    int rc = 0;
    conv_key key = *asked;
    char text[128];
    conv_graph *g = NULL;
    if (key.act != ACT_RELU)
        key.act = ACT_NONE; /* bounds above and curves have slow engines or none */
    TRY(find(&g, t, &key, workspace, room));
    if (g == NULL && key.residual) {
        key.residual = 0;
        key.act = ACT_NONE;
        TRY(find(&g, t, &key, workspace, room));
    }
    if (g == NULL && key.act != ACT_NONE) {
        key.act = ACT_NONE;
        TRY(find(&g, t, &key, workspace, room));
    }
    if (g == NULL) {
        conv_key_text(asked, text, sizeof text);
        cuda_fault_set(FAULT_CODE);
    }
    CHECK(g != NULL, ERR_ENV, "cuDNN has no engine for %s", text);
    g->asked = *asked;
    *out = g;
done:
    return rc;
}

void conv_graph_free(conv_graph **out)
{
    conv_graph *g = *out;
    if (g == NULL) return;
    for (int i = 0; i < g->n_plans; i++)
        dnn_plan_free(&g->plans[i]);
    dnn_list_free(&g->list);
    free(g->plans);
    free(g);
    *out = NULL;
}

size_t conv_graph_workspace(const conv_graph *g)
{
    size_t most = 0;
    for (int i = 0; i < g->n_plans; i++)
        if (g->plans[i].workspace > most) most = g->plans[i].workspace;
    return most;
}

int conv_graph_run(const conv_graph *g, void *handle, const void *x, const void *w,
                   const void *bias, const void *residual, void *y, void *workspace)
{
    static const int64_t ids[] = {ID_X, ID_W, ID_Y, ID_BIAS, ID_RESIDUAL};
    union {
        const void *in;
        void *out;
    } p[4] = {{x}, {w}, {bias}, {residual}};
    void *pointers[5] = {p[0].out, p[1].out, y, p[2].out, p[3].out}; /* cuDNN knows no const */
    return dnn_run(&g->plans[g->chosen], handle, g->key.back ? 3 : g->key.residual ? 5 : 4, ids, pointers, workspace);
}
