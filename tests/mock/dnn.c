/* cuDNN of the mock: descriptors, and the convolutions that extract/cuda/conv.c describes with them. */
#include "tests/mock/graph.h"

#include <stdlib.h>
#include <string.h>

enum { BAD = 2002, UNSUPPORTED = 3000 };

static size_t size_of(int type)
{
    switch (type) {
    case DNN_TYPE_HANDLE:
    case DNN_TYPE_VOID_PTR:
    case DNN_TYPE_BACKEND_DESCRIPTOR:
        return sizeof(void *);
    case DNN_TYPE_INT64:
        return sizeof(int64_t);
    case DNN_TYPE_BOOLEAN:
    case DNN_TYPE_CHAR:
        return 1;
    default:
        return sizeof(int);
    }
}

int host_dnn_create(void **handle)
{
    return host_blas_create(handle) != 0 ? 1001 : 0;
}

int host_dnn_destroy(void *handle)
{
    return host_blas_destroy(handle);
}

int host_dnn_set_stream(void *handle, void *stream)
{
    return host_blas_set_stream(handle, stream) != 0 ? BAD : 0;
}

int host_dnn_new(void **out, int type)
{
    descriptor *d = calloc(1, sizeof *d);
    *out = d;
    if (d == NULL) return 4003;
    d->type = type;
    mock_made(1);
    return 0;
}

int host_dnn_free(void *p)
{
    descriptor *d = p;
    for (int i = 0; i < d->n; i++)
        free(d->of[i].v);
    free(d);
    mock_made(-1);
    return 0;
}

int host_dnn_set(void *p, int name, int type, int64_t n, const void *v)
{
    descriptor *d = p;
    attribute *a = &d->of[d->n];
    if (d->finalised || d->n == ATTRIBUTES || n < 1) return BAD;
    *a = (attribute){name, type, n, malloc((size_t)n * size_of(type))};
    if (a->v == NULL) return 4003;
    memcpy(a->v, v, (size_t)n * size_of(type));
    d->n++;
    return 0;
}

const attribute *mock_attribute(const descriptor *d, int name)
{
    for (int i = 0; i < d->n; i++)
        if (d->of[i].name == name) return &d->of[i];
    return NULL;
}

descriptor *mock_part(const descriptor *d, int name, int64_t i)
{
    const attribute *a = d != NULL ? mock_attribute(d, name) : NULL;
    return a == NULL || i >= a->n ? NULL : ((descriptor **)(void *)a->v)[i];
}

int64_t mock_number(const descriptor *d, int name, int64_t i)
{
    const attribute *a = d != NULL ? mock_attribute(d, name) : NULL;
    if (a == NULL || i >= a->n) return 0;
    if (a->type == DNN_TYPE_INT64) return ((const int64_t *)(const void *)a->v)[i];
    return size_of(a->type) == 1 ? a->v[i] : ((const int *)(const void *)a->v)[i];
}

int host_dnn_finalise(void *p)
{
    descriptor *d = p;
    if (d->finalised) return BAD;
    for (int i = 0; i < d->n; i++) /* all parts are finished, or were handed out by an engine */
        if (d->of[i].type == DNN_TYPE_BACKEND_DESCRIPTOR)
            for (int64_t k = 0; k < d->of[i].n; k++)
                if (!mock_part(d, d->of[i].name, k)->finalised) return BAD;
    if (d->type == DNN_BACKEND_ENGINEHEUR_DESCRIPTOR) {
        d->operations = mock_part(d, DNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, 0);
        if (mock_is_sdpa(d->operations) && !mock_sdpa_supported(d->operations)) return UNSUPPORTED;
    }
    d->finalised = 1;
    return 0;
}

/* One engine for everything; what is fused attention uses tensor cores and is compiled at run time. */
int host_dnn_get(void *p, int name, int type, int64_t room, int64_t *n, void *v)
{
    descriptor *d = p, *out;
    (void)type;
    *n = 1;
    switch (name) {
    case DNN_ATTR_ENGINE_NUMERICAL_NOTE:
    case DNN_ATTR_ENGINE_BEHAVIOR_NOTE:
        *n = mock_is_sdpa(d->operations);
        if (*n > 0) *(int *)v = 0; /* TENSOR_CORE, RUNTIME_COMPILATION */
        return 0;
    case DNN_ATTR_ENGINE_GLOBAL_INDEX:
        *(int64_t *)v = 1;
        return 0;
    case DNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE:
        *(int64_t *)v = PLAN_WORKSPACE;
        return 0;
    case DNN_ATTR_ENGINECFG_ENGINE:
    case DNN_ATTR_ENGINEHEUR_RESULTS:
        if (room == 0) return 0;
        out = *(descriptor **)v;
        out->operations = d->operations;
        out->finalised = 1;
        return 0;
    default:
        return BAD;
    }
}

/* The pointer that the pack has for a tensor's id. */
void *mock_pointer(const descriptor *pack, const descriptor *tensor)
{
    const attribute *ids = mock_attribute(pack, DNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
    const attribute *to = mock_attribute(pack, DNN_ATTR_VARIANT_PACK_DATA_POINTERS);
    int64_t id = mock_number(tensor, DNN_ATTR_TENSOR_UNIQUE_ID, 0);
    for (int64_t i = 0; ids != NULL && to != NULL && i < ids->n; i++)
        if (((const int64_t *)(const void *)ids->v)[i] == id) return ((void **)(void *)to->v)[i];
    return NULL;
}

int mock_is_virtual(const descriptor *tensor)
{
    return mock_number(tensor, DNN_ATTR_TENSOR_IS_VIRTUAL, 0) != 0;
}

/* The adjoint of a convolution, alone. */
static int read_back(const descriptor *conv, const descriptor *pack, mock_conv *c)
{
    const descriptor *x = mock_part(conv, DNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, 0);
    const descriptor *w = mock_part(conv, DNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, 0);
    const descriptor *y = mock_part(conv, DNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, 0);
    const descriptor *how = mock_part(conv, DNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, 0);
    *c = (mock_conv){.x = mock_pointer(pack, x),
                     .weights = mock_pointer(pack, w),
                     .y = mock_pointer(pack, y),
                     .back = 1,
                     .type = (int)mock_number(x, DNN_ATTR_TENSOR_DATA_TYPE, 0),
                     .stride = (int)mock_number(how, DNN_ATTR_CONVOLUTION_FILTER_STRIDES, 1),
                     .pad = (int)mock_number(how, DNN_ATTR_CONVOLUTION_PRE_PADDINGS, 1),
                     .kernel = (int)mock_number(w, DNN_ATTR_TENSOR_DIMENSIONS, 3),
                     .n = (int)mock_number(x, DNN_ATTR_TENSOR_DIMENSIONS, 0),
                     .k = (int)mock_number(x, DNN_ATTR_TENSOR_DIMENSIONS, 1),
                     .oh = (int)mock_number(x, DNN_ATTR_TENSOR_DIMENSIONS, 2),
                     .ow = (int)mock_number(x, DNN_ATTR_TENSOR_DIMENSIONS, 3),
                     .c = (int)mock_number(y, DNN_ATTR_TENSOR_DIMENSIONS, 1),
                     .h = (int)mock_number(y, DNN_ATTR_TENSOR_DIMENSIONS, 2),
                     .w = (int)mock_number(y, DNN_ATTR_TENSOR_DIMENSIONS, 3)};
    c->groups = c->c / (int)mock_number(w, DNN_ATTR_TENSOR_DIMENSIONS, 1);
    return c->x == NULL || c->weights == NULL || c->y == NULL ? BAD : 0;
}

/* conv -> + sums -> relu, each reading what the one before it wrote; anything else is not known here. */
static int read_graph(const descriptor *operations, const descriptor *pack, mock_conv *c)
{
    const descriptor *conv = mock_part(operations, DNN_ATTR_OPERATIONGRAPH_OPS, 0), *x, *w, *how, *last;
    if (conv != NULL && conv->type == DNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR)
        return read_back(conv, pack, c);
    if (conv == NULL || conv->type != DNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR)
        return BAD;
    x = mock_part(conv, DNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, 0);
    w = mock_part(conv, DNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, 0);
    last = mock_part(conv, DNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, 0);
    how = mock_part(conv, DNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, 0);
    *c = (mock_conv){.x = mock_pointer(pack, x),
                     .weights = mock_pointer(pack, w),
                     .type = (int)mock_number(x, DNN_ATTR_TENSOR_DATA_TYPE, 0),
                     .stride = (int)mock_number(how, DNN_ATTR_CONVOLUTION_FILTER_STRIDES, 1),
                     .pad = (int)mock_number(how, DNN_ATTR_CONVOLUTION_PRE_PADDINGS, 1),
                     .kernel = (int)mock_number(w, DNN_ATTR_TENSOR_DIMENSIONS, 3)};
    c->n = (int)mock_number(x, DNN_ATTR_TENSOR_DIMENSIONS, 0);
    c->c = (int)mock_number(x, DNN_ATTR_TENSOR_DIMENSIONS, 1);
    c->h = (int)mock_number(x, DNN_ATTR_TENSOR_DIMENSIONS, 2);
    c->w = (int)mock_number(x, DNN_ATTR_TENSOR_DIMENSIONS, 3);
    c->groups = c->c / (int)mock_number(w, DNN_ATTR_TENSOR_DIMENSIONS, 1);
    for (int64_t i = 1;; i++) {
        const descriptor *op = mock_part(operations, DNN_ATTR_OPERATIONGRAPH_OPS, i), *b;
        if (op == NULL) break;
        if (mock_part(op, DNN_ATTR_OPERATION_POINTWISE_XDESC, 0) != last || !mock_is_virtual(last))
            return BAD;
        b = mock_part(op, DNN_ATTR_OPERATION_POINTWISE_BDESC, 0);
        if (b == NULL) c->relu = 1;
        else if (mock_number(b, DNN_ATTR_TENSOR_DIMENSIONS, 0) == 1 &&
                 mock_number(b, DNN_ATTR_TENSOR_DIMENSIONS, 2) == 1 &&
                 mock_number(b, DNN_ATTR_TENSOR_UNIQUE_ID, 0) == 4)
            c->bias = mock_pointer(pack, b);
        else c->residual = mock_pointer(pack, b);
        last = mock_part(op, DNN_ATTR_OPERATION_POINTWISE_YDESC, 0);
    }
    c->k = (int)mock_number(last, DNN_ATTR_TENSOR_DIMENSIONS, 1);
    c->oh = (int)mock_number(last, DNN_ATTR_TENSOR_DIMENSIONS, 2);
    c->ow = (int)mock_number(last, DNN_ATTR_TENSOR_DIMENSIONS, 3);
    c->y = mock_pointer(pack, last);
    return mock_is_virtual(last) || c->x == NULL || c->weights == NULL || c->y == NULL || c->bias == NULL
               ? BAD
               : 0;
}

int host_dnn_execute(void *handle, void *p, void *pack)
{
    const descriptor *ready = p, *config = mock_part(ready, DNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, 0);
    const attribute *workspace = mock_attribute(pack, DNN_ATTR_VARIANT_PACK_WORKSPACE);
    mock_library l = {.what = MOCK_CONV};
    void *work;
    if (!ready->finalised || !((descriptor *)pack)->finalised || config == NULL ||
        workspace == NULL)
        return BAD;
    work = *(void **)(void *)workspace->v;
    if (work == NULL) return BAD;
    if (mock_is_sdpa(config->operations)) {
        l.what = MOCK_SDPA;
        if (mock_sdpa_read(config->operations, pack, &l.sdpa) != 0) return BAD;
        l.sdpa.workspace = work;
    } else {
        if (read_graph(config->operations, pack, &l.conv) != 0) return BAD;
        l.conv.workspace = work;
    }
    return mock_push(*(void **)handle, &l) != 0 ? 4003 : 0;
}

static double conv_at(const mock_conv *c, const float *x_all, const float *w_all, int n, int o,
                      int y, int x)
{
    int per = c->c / c->groups, first = o / (c->k / c->groups) * per;
    double sum = 0;
    for (int ky = 0; ky < c->kernel; ky++)
        for (int kx = 0; kx < c->kernel; kx++) {
            int iy = y * c->stride + ky - c->pad, ix = x * c->stride + kx - c->pad;
            const float *v, *w = w_all + ((o * c->kernel + ky) * c->kernel + kx) * per;
            if (iy < 0 || iy >= c->h || ix < 0 || ix >= c->w) continue;
            v = x_all +
                (((size_t)n * (size_t)c->h + (size_t)iy) * (size_t)c->w + (size_t)ix) *
                    (size_t)c->c +
                first;
            for (int i = 0; i < per; i++)
                sum += (double)v[i] * (double)w[i];
        }
    return sum;
}

/* Element i of pixel (y, x), from all outputs of its group. */
static double back_at(const mock_conv *c, const float *x_all, const float *w_all, int n, int i, int y, int x)
{
    int per = c->c / c->groups, each = c->k / c->groups, first = i / per * each;
    double sum = 0;
    for (int ky = 0; ky < c->kernel; ky++)
        for (int kx = 0; kx < c->kernel; kx++) {
            int dy = y + c->pad - ky, dx = x + c->pad - kx, oy = dy / c->stride, ox = dx / c->stride;
            const float *g;
            if (dy < 0 || dx < 0 || dy % c->stride != 0 || dx % c->stride != 0 || oy >= c->oh || ox >= c->ow)
                continue;
            g = x_all + (((size_t)n * (size_t)c->oh + (size_t)oy) * (size_t)c->ow + (size_t)ox) * (size_t)c->k;
            for (int o = first; o < first + each; o++)
                sum += (double)g[o] * (double)w_all[((o * c->kernel + ky) * c->kernel + kx) * per + i % per];
        }
    return sum;
}

static void back_run(const mock_conv *c, const float *x, const float *w, element e)
{
    size_t area = (size_t)(c->h * c->w), rows = (size_t)c->n * area;
#pragma omp parallel for
    for (size_t r = 0; r < rows; r++)
        for (int i = 0; i < c->c; i++) {
            size_t pixel = r % area;
            mock_store(c->y, r * (size_t)c->c + (size_t)i, e,
                       back_at(c, x, w, (int)(r / area), i, (int)pixel / c->w, (int)pixel % c->w));
        }
}

void mock_conv_run(const mock_conv *c)
{
    element e = c->type == DNN_DATA_HALF       ? ELEMENT_F16
                : c->type == DNN_DATA_BFLOAT16 ? ELEMENT_BF16
                                               : ELEMENT_F32;
    size_t area = (size_t)(c->oh * c->ow), rows = (size_t)c->n * area;
    size_t in = (size_t)c->n * (c->back ? area * (size_t)c->k : (size_t)(c->h * c->w) * (size_t)c->c);
    float *x = mock_floats(c->x, in, e);
    float *w = mock_floats(
        c->weights, (size_t)c->k * (size_t)(c->kernel * c->kernel) * (size_t)(c->c / c->groups), e);
    memset(c->workspace, 0x7f, PLAN_WORKSPACE); /* nobody keeps anything there */
    if (c->back) back_run(c, x, w, e);
    rows = c->back ? 0 : rows;
#pragma omp parallel for
    for (size_t r = 0; r < rows; r++)
        for (int o = 0; o < c->k; o++) {
            size_t at = r * (size_t)c->k + (size_t)o, pixel = r % area;
            double v =
                conv_at(c, x, w, (int)(r / area), o, (int)pixel / c->ow, (int)pixel % c->ow) +
                (double)mock_load(c->bias, (size_t)o, e);
            if (c->residual != NULL) v += (double)mock_load(c->residual, at, e);
            mock_store(c->y, at, e, c->relu && v < 0 ? 0 : v);
        }
    free(x);
    free(w);
}
