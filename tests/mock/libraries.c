#include "tests/mock/libraries.h"
#include "extract/cuda/dnn.h"

#include <stdlib.h>
#include <string.h>

enum { BAD = 2002, REFUSED = 7, PLAN_WORKSPACE = 4096 };

/* ---- elements ------------------------------------------------------------------------------ */

static float half_to_float(uint16_t h)
{
    int e = h >> 10 & 31, m = h & 1023;
    float v = e == 0    ? (float)m / 16777216.0f
              : e == 31 ? (m ? (float)NAN : (float)INFINITY)
                        : ldexpf((float)(1024 + m), e - 25);
    return h >> 15 ? -v : v;
}

static uint16_t half_from_float(float f)
{
    uint16_t sign = signbit(f) ? 0x8000 : 0;
    float v = fabsf(f), scaled;
    int e;
    if (isnan(f)) return 0x7e00;
    if (v >= 65520.0f) return (uint16_t)(sign | 0x7c00);
    (void)frexpf(v, &e);
    if (e < -13) e = -13;              /* below 2^-14 the spacing stays */
    scaled = rintf(ldexpf(v, 11 - e)); /* 1024..2048, to even */
    if (scaled >= 2048.0f && e >= -13) {
        scaled /= 2;
        e++;
    }
    return (uint16_t)(sign |
                      (scaled < 1024.0f ? (int)scaled : ((e + 13 + 1) << 10) + (int)scaled - 1024));
}

static float load(const void *p, size_t i, element e)
{
    uint32_t bits;
    float v;
    if (e == ELEMENT_F32) return ((const float *)p)[i];
    if (e == ELEMENT_F16) return half_to_float(((const uint16_t *)p)[i]);
    bits = (uint32_t)((const uint16_t *)p)[i] << 16;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static void store(void *p, size_t i, element e, double value)
{
    float v = (float)value;
    uint32_t bits;
    if (e == ELEMENT_F32) ((float *)p)[i] = v;
    else if (e == ELEMENT_F16) ((uint16_t *)p)[i] = half_from_float(v);
    else {
        memcpy(&bits, &v, sizeof bits);
        if (v == v) bits += 0x7fff + (bits >> 16 & 1);
        ((uint16_t *)p)[i] = (uint16_t)(bits >> 16);
    }
}

/* ---- products ------------------------------------------------------------------------------ */

static void run_batch(const blas_batch *b)
{
#pragma omp parallel for
    for (int i = 0; i < b->count; i++)
        for (int r = 0; r < b->n; r++)
            for (int c = 0; c < b->m; c++) {
                double sum = 0;
                for (int k = 0; k < b->k; k++)
                    sum += (double)load(b->a[i],
                                        (size_t)(b->a_transposed ? k * b->lda + r : r * b->lda + k),
                                        b->in) *
                           (double)load(b->b[i],
                                        (size_t)(b->b_transposed ? c * b->ldb + k : k * b->ldb + c),
                                        b->in);
                store(b->c[i], (size_t)(r * b->ldc + c), b->out, (double)b->alpha * sum);
            }
}

static float *as_floats(const void *p, size_t n, element e)
{
    float *v = malloc(n * sizeof *v);
    if (v == NULL) abort(); /* a device does not run out of memory while it computes */
    for (size_t i = 0; i < n; i++)
        v[i] = load(p, i, e);
    return v;
}

static void run_linear(const lt_shape *s, const lt_operands *o)
{
    size_t rows = (size_t)s->rows, n = (size_t)s->n, depth = (size_t)s->k;
    float *x = as_floats(o->x, rows * depth, s->type), *w = as_floats(o->w, n * depth, s->type);
#pragma omp parallel for
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < n; c++) {
            double sum = s->bias ? (double)load(o->bias, c, s->type) : 0;
            if (s->residual) sum += (double)load(o->residual, r * n + c, s->type);
            for (size_t k = 0; k < depth; k++)
                sum += (double)x[r * depth + k] * (double)w[c * depth + k];
            store(o->y, r * n + c, s->type, s->relu && sum < 0 ? 0 : sum);
        }
    free(x);
    free(w);
}

int host_blas_create(void **handle)
{
    *handle = calloc(1, sizeof(void *)); /* its stream */
    mock_made(*handle != NULL);
    return *handle == NULL ? 3 : 0;
}

int host_blas_destroy(void *handle)
{
    free(handle);
    mock_made(-1);
    return 0;
}

int host_blas_set_stream(void *handle, void *stream)
{
    if (handle == NULL || stream == NULL) return REFUSED;
    *(void **)handle = stream;
    return 0;
}

int host_blas_set_workspace(void *handle, void *mem, size_t bytes)
{
    return handle == NULL || (mem == NULL && bytes > 0) ? REFUSED : 0;
}

int host_blas_batch(void *handle, const blas_batch *b)
{
    mock_library l = {.what = MOCK_BATCH, .batch = *b};
    if (b->n < 1 || b->m < 1 || b->k < 1 || b->count < 1 ||
        b->lda < (b->a_transposed ? b->n : b->k) || b->ldb < (b->b_transposed ? b->k : b->m) ||
        b->ldc < b->m)
        return REFUSED;
    return mock_push(*(void **)handle, &l) != 0 ? 3 : 0;
}

int host_lt_create(void **handle)
{
    return host_blas_create(handle);
}

int host_lt_destroy(void *handle)
{
    return host_blas_destroy(handle);
}

int host_lt_plan(void **out, void *handle, const lt_shape *s, size_t workspace)
{
    (void)workspace;
    *out = NULL;
    if (handle == NULL || s->rows < 1 || s->n < 1 || s->k < 1) return REFUSED;
    *out = malloc(sizeof *s);
    if (*out == NULL) return 3;
    memcpy(*out, s, sizeof *s);
    mock_made(1);
    return 0;
}

int host_lt_plan_free(void *made)
{
    free(made);
    mock_made(-1);
    return 0;
}

int host_lt_run(void *handle, void *made, const lt_operands *o, void *stream)
{
    mock_library l = {.what = MOCK_LINEAR, .shape = *(const lt_shape *)made, .operands = *o};
    if (handle == NULL || o->x == NULL || o->w == NULL || o->y == NULL || o->workspace == NULL ||
        (l.shape.bias && o->bias == NULL) || (l.shape.residual && o->residual == NULL))
        return REFUSED;
    return mock_push(stream, &l) != 0 ? 3 : 0;
}

/* ---- cuDNN --------------------------------------------------------------------------------- */

enum { ATTRIBUTES = 16 };
typedef struct attribute {
    int name, type;
    int64_t n;
    unsigned char *v;
} attribute;

typedef struct descriptor {
    int type, finalised, n;
    attribute of[ATTRIBUTES];
    struct descriptor *operations; /* of an engine's configuration and of an engine: the graph */
} descriptor;

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

static const attribute *find(const descriptor *d, int name)
{
    for (int i = 0; i < d->n; i++)
        if (d->of[i].name == name) return &d->of[i];
    return NULL;
}

static descriptor *part(const descriptor *d, int name, int64_t i)
{
    const attribute *a = d != NULL ? find(d, name) : NULL;
    return a == NULL || i >= a->n ? NULL : ((descriptor **)(void *)a->v)[i];
}

static int64_t number(const descriptor *d, int name, int64_t i)
{
    const attribute *a = d != NULL ? find(d, name) : NULL;
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
                if (!part(d, d->of[i].name, k)->finalised) return BAD;
    if (d->type == DNN_BACKEND_ENGINEHEUR_DESCRIPTOR)
        d->operations = part(d, DNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, 0);
    d->finalised = 1;
    return 0;
}

/* One engine for everything. */
int host_dnn_get(void *p, int name, int type, int64_t room, int64_t *n, void *v)
{
    descriptor *d = p, *out;
    (void)type;
    *n = 1;
    switch (name) {
    case DNN_ATTR_ENGINE_NUMERICAL_NOTE:
    case DNN_ATTR_ENGINE_BEHAVIOR_NOTE:
        *n = 0;
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
static void *pointer(const descriptor *pack, const descriptor *tensor)
{
    const attribute *ids = find(pack, DNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
    const attribute *to = find(pack, DNN_ATTR_VARIANT_PACK_DATA_POINTERS);
    int64_t id = number(tensor, DNN_ATTR_TENSOR_UNIQUE_ID, 0);
    for (int64_t i = 0; ids != NULL && to != NULL && i < ids->n; i++)
        if (((const int64_t *)(const void *)ids->v)[i] == id) return ((void **)(void *)to->v)[i];
    return NULL;
}

static int is_virtual(const descriptor *tensor)
{
    return number(tensor, DNN_ATTR_TENSOR_IS_VIRTUAL, 0) != 0;
}

/* conv -> + sums -> relu, each reading what the one before it wrote; anything else is not known here. */
static int read_graph(const descriptor *operations, const descriptor *pack, mock_conv *c)
{
    const descriptor *conv = part(operations, DNN_ATTR_OPERATIONGRAPH_OPS, 0), *x, *w, *how, *last;
    if (conv == NULL || conv->type != DNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR)
        return BAD;
    x = part(conv, DNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, 0);
    w = part(conv, DNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, 0);
    last = part(conv, DNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, 0);
    how = part(conv, DNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, 0);
    *c = (mock_conv){.x = pointer(pack, x),
                     .weights = pointer(pack, w),
                     .type = (int)number(x, DNN_ATTR_TENSOR_DATA_TYPE, 0),
                     .stride = (int)number(how, DNN_ATTR_CONVOLUTION_FILTER_STRIDES, 1),
                     .pad = (int)number(how, DNN_ATTR_CONVOLUTION_PRE_PADDINGS, 1),
                     .kernel = (int)number(w, DNN_ATTR_TENSOR_DIMENSIONS, 3)};
    c->n = (int)number(x, DNN_ATTR_TENSOR_DIMENSIONS, 0);
    c->c = (int)number(x, DNN_ATTR_TENSOR_DIMENSIONS, 1);
    c->h = (int)number(x, DNN_ATTR_TENSOR_DIMENSIONS, 2);
    c->w = (int)number(x, DNN_ATTR_TENSOR_DIMENSIONS, 3);
    c->groups = c->c / (int)number(w, DNN_ATTR_TENSOR_DIMENSIONS, 1);
    for (int64_t i = 1;; i++) {
        const descriptor *op = part(operations, DNN_ATTR_OPERATIONGRAPH_OPS, i), *b;
        if (op == NULL) break;
        if (part(op, DNN_ATTR_OPERATION_POINTWISE_XDESC, 0) != last || !is_virtual(last))
            return BAD;
        b = part(op, DNN_ATTR_OPERATION_POINTWISE_BDESC, 0);
        if (b == NULL) c->relu = 1;
        else if (number(b, DNN_ATTR_TENSOR_DIMENSIONS, 0) == 1 &&
                 number(b, DNN_ATTR_TENSOR_DIMENSIONS, 2) == 1 &&
                 number(b, DNN_ATTR_TENSOR_UNIQUE_ID, 0) == 4)
            c->bias = pointer(pack, b);
        else c->residual = pointer(pack, b);
        last = part(op, DNN_ATTR_OPERATION_POINTWISE_YDESC, 0);
    }
    c->k = (int)number(last, DNN_ATTR_TENSOR_DIMENSIONS, 1);
    c->oh = (int)number(last, DNN_ATTR_TENSOR_DIMENSIONS, 2);
    c->ow = (int)number(last, DNN_ATTR_TENSOR_DIMENSIONS, 3);
    c->y = pointer(pack, last);
    return is_virtual(last) || c->x == NULL || c->weights == NULL || c->y == NULL || c->bias == NULL
               ? BAD
               : 0;
}

int host_dnn_execute(void *handle, void *p, void *pack)
{
    const descriptor *ready = p, *config = part(ready, DNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, 0);
    const attribute *workspace = find(pack, DNN_ATTR_VARIANT_PACK_WORKSPACE);
    mock_library l = {.what = MOCK_CONV};
    if (!ready->finalised || !((descriptor *)pack)->finalised || config == NULL ||
        workspace == NULL || read_graph(config->operations, pack, &l.conv) != 0)
        return BAD;
    l.conv.workspace = *(void **)(void *)workspace->v;
    if (l.conv.workspace == NULL) return BAD;
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

static void run_conv(const mock_conv *c)
{
    element e = c->type == DNN_DATA_HALF       ? ELEMENT_F16
                : c->type == DNN_DATA_BFLOAT16 ? ELEMENT_BF16
                                               : ELEMENT_F32;
    size_t area = (size_t)(c->oh * c->ow), rows = (size_t)c->n * area;
    float *x = as_floats(c->x, (size_t)c->n * (size_t)(c->h * c->w) * (size_t)c->c, e);
    float *w = as_floats(
        c->weights, (size_t)c->k * (size_t)(c->kernel * c->kernel) * (size_t)(c->c / c->groups), e);
    memset(c->workspace, 0x7f, PLAN_WORKSPACE); /* nobody keeps anything there */
#pragma omp parallel for
    for (size_t r = 0; r < rows; r++)
        for (int o = 0; o < c->k; o++) {
            size_t at = r * (size_t)c->k + (size_t)o, pixel = r % area;
            double v =
                conv_at(c, x, w, (int)(r / area), o, (int)pixel / c->ow, (int)pixel % c->ow) +
                (double)load(c->bias, (size_t)o, e);
            if (c->residual != NULL) v += (double)load(c->residual, at, e);
            store(c->y, at, e, c->relu && v < 0 ? 0 : v);
        }
    free(x);
    free(w);
}

void mock_library_run(const mock_library *l)
{
    switch (l->what) {
    case MOCK_BATCH:
        run_batch(&l->batch);
        break;
    case MOCK_LINEAR:
        run_linear(&l->shape, &l->operands);
        break;
    case MOCK_CONV:
        run_conv(&l->conv);
        break;
    case MOCK_LINALG:
        mock_linalg_run(&l->linalg);
        break;
    }
}
