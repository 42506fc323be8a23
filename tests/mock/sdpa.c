/* Fused attention of the mock: the pattern of extract/cuda/sdpa.c is followed operation by operation, and
 * anything else refused; what is computed is what cuDNN's engines compute, exponentials rounded to the
 * maps' type before they multiply v. */
#include "tests/mock/cuda.h"
#include "tests/mock/graph.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBERS_MAX = 8192 };

static descriptor *op_of(const descriptor *operations, int64_t i)
{
    return mock_part(operations, DNN_ATTR_OPERATIONGRAPH_OPS, i);
}

int mock_is_sdpa(const descriptor *operations)
{
    const descriptor *first = operations != NULL ? op_of(operations, 0) : NULL;
    return first != NULL && first->type == DNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR;
}

static int64_t extent(const descriptor *tensor, int i)
{
    return mock_number(tensor, DNN_ATTR_TENSOR_DIMENSIONS, i);
}

static int type_of(const descriptor *tensor)
{
    return (int)mock_number(tensor, DNN_ATTR_TENSOR_DATA_TYPE, 0);
}

static mock_layout layout_of(const descriptor *tensor)
{
    return (mock_layout){mock_number(tensor, DNN_ATTR_TENSOR_STRIDES, 0),
                         mock_number(tensor, DNN_ATTR_TENSOR_STRIDES, 1),
                         mock_number(tensor, DNN_ATTR_TENSOR_STRIDES, 2),
                         mock_number(tensor, DNN_ATTR_TENSOR_STRIDES, 3)};
}

/* What cuDNN 9.19 was seen to take. */
int mock_sdpa_supported(const descriptor *operations)
{
    const descriptor *q = mock_part(op_of(operations, 0), DNN_ATTR_OPERATION_MATMUL_ADESC, 0);
    int type = type_of(q);
    return mock.major >= 8 && (type == DNN_DATA_HALF || type == DNN_DATA_BFLOAT16) &&
           extent(q, 3) % 8 == 0;
}

/* ---- reading ----------------------------------------------------------------------------------- */

/* The next operation must be of this type and mode and read `x`; its second operand and its result. */
typedef struct walk {
    const descriptor *operations;
    int64_t at;
    int good;
} walk;

static const descriptor *pointwise(walk *w, int mode, const descriptor *x, const descriptor **b)
{
    const descriptor *op = op_of(w->operations, w->at++), *how;
    if (op == NULL || op->type != DNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR) w->good = 0;
    if (!w->good) return NULL;
    how = mock_part(op, DNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, 0);
    if (mock_number(how, DNN_ATTR_POINTWISE_MODE, 0) != mode ||
        mock_part(op, DNN_ATTR_OPERATION_POINTWISE_XDESC, 0) != x)
        w->good = 0;
    *b = mock_part(op, DNN_ATTR_OPERATION_POINTWISE_BDESC, 0);
    return mock_part(op, DNN_ATTR_OPERATION_POINTWISE_YDESC, 0);
}

static const descriptor *reduce(walk *w, int mode, const descriptor *x)
{
    const descriptor *op = op_of(w->operations, w->at++), *how, *y;
    if (op == NULL || op->type != DNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR) w->good = 0;
    if (!w->good) return NULL;
    how = mock_part(op, DNN_ATTR_OPERATION_REDUCTION_DESC, 0);
    y = mock_part(op, DNN_ATTR_OPERATION_REDUCTION_YDESC, 0);
    if (mock_number(how, DNN_ATTR_REDUCTION_OPERATOR, 0) != mode ||
        mock_part(op, DNN_ATTR_OPERATION_REDUCTION_XDESC, 0) != x || extent(y, 3) != 1)
        w->good = 0;
    return y;
}

static const descriptor *product(walk *w, const descriptor **a, const descriptor **b)
{
    const descriptor *op = op_of(w->operations, w->at++);
    if (op == NULL || op->type != DNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR) w->good = 0;
    if (!w->good) return NULL;
    *a = mock_part(op, DNN_ATTR_OPERATION_MATMUL_ADESC, 0);
    *b = mock_part(op, DNN_ATTR_OPERATION_MATMUL_BDESC, 0);
    return mock_part(op, DNN_ATTR_OPERATION_MATMUL_CDESC, 0);
}

/* largest, difference, exponential, sum, statistics, quotient */
static const descriptor *softmax(walk *w, const descriptor *x)
{
    const descriptor *b = NULL, *most = reduce(w, DNN_REDUCE_TENSOR_MAX, x), *powers, *sum;
    const descriptor *y = pointwise(w, DNN_POINTWISE_SUB, x, &b);
    if (b != most) w->good = 0;
    powers = pointwise(w, DNN_POINTWISE_EXP, y, &b);
    sum = reduce(w, DNN_REDUCE_TENSOR_ADD, powers);
    y = pointwise(w, DNN_POINTWISE_LOG, sum, &b);
    (void)pointwise(w, DNN_POINTWISE_ADD, most, &b);
    if (b != y) w->good = 0;
    y = pointwise(w, DNN_POINTWISE_DIV, powers, &b);
    if (b != sum) w->good = 0;
    return y;
}

/* A bias is there when the operation after the scale is a sum. */
static int is_sum(const descriptor *op)
{
    return op != NULL && op->type == DNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR &&
           mock_number(mock_part(op, DNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, 0),
                       DNN_ATTR_POINTWISE_MODE, 0) == DNN_POINTWISE_ADD;
}

int mock_sdpa_read(const descriptor *operations, const descriptor *pack, mock_sdpa *s)
{
    walk w = {operations, 0, 1};
    const descriptor *q = NULL, *k = NULL, *v = NULL, *shares = NULL, *b = NULL, *bias = NULL, *y;
    const float *scale;
    y = product(&w, &q, &k);
    y = pointwise(&w, DNN_POINTWISE_MUL, y, &b);
    scale = w.good ? mock_pointer(pack, b) : NULL;
    if (scale == NULL || !mock_number(b, DNN_ATTR_TENSOR_IS_BY_VALUE, 0)) return 1;
    if (is_sum(op_of(operations, w.at))) y = pointwise(&w, DNN_POINTWISE_ADD, y, &bias);
    b = softmax(&w, y);
    y = product(&w, &shares, &v);
    if (!w.good || shares != b || op_of(operations, w.at) != NULL || mock_is_virtual(y)) return 1;
    *s = (mock_sdpa){.sequences = (int)extent(q, 0),
                     .heads = (int)extent(q, 1),
                     .t = (int)extent(q, 2),
                     .d = (int)extent(q, 3),
                     .type = type_of(q),
                     .q_at = layout_of(q),
                     .k_at = layout_of(k),
                     .v_at = layout_of(v),
                     .y_at = layout_of(y),
                     .q = mock_pointer(pack, q),
                     .k = mock_pointer(pack, k),
                     .v = mock_pointer(pack, v),
                     .y = mock_pointer(pack, y),
                     .scale = *scale};
    if (bias != NULL) {
        s->bias = mock_pointer(pack, bias);
        s->bias_at = layout_of(bias);
        if (s->bias == NULL || type_of(bias) != DNN_DATA_FLOAT || extent(bias, 0) != 1) return 1;
    }
    return s->t > NUMBERS_MAX || extent(k, 2) != s->d || extent(k, 3) != s->t ||
           type_of(shares) != s->type || s->q == NULL || s->k == NULL || s->v == NULL ||
           s->y == NULL;
}

/* ---- computing --------------------------------------------------------------------------------- */

static size_t place(const mock_layout *l, int64_t n, int64_t h)
{
    return (size_t)(n * l->sequence + h * l->head);
}

static float rounded(float v, element e)
{
    float bits = 0;
    mock_store(&bits, 0, e, (double)v);
    return mock_load(&bits, 0, e);
}

/* One head as floats [t,d]: rows and columns so far apart. */
static float *head_of(const mock_sdpa *s, const void *p, int64_t row, int64_t column, size_t first,
                      element e)
{
    float *v = malloc((size_t)s->t * (size_t)s->d * sizeof *v);
    if (v == NULL) abort(); /* a device does not run out of memory while it computes */
    for (int64_t i = 0; i < s->t; i++)
        for (int64_t k = 0; k < s->d; k++)
            v[i * s->d + k] = mock_load(p, first + (size_t)(i * row + k * column), e);
    return v;
}

static void run_row(const mock_sdpa *s, element e, const float *q, const float *k, const float *v,
                    const float *bias, size_t y_at)
{
    float p[NUMBERS_MAX], most = -INFINITY;
    double sum = 0;
    for (int j = 0; j < s->t; j++) {
        double score = 0;
        for (int c = 0; c < s->d; c++)
            score += (double)q[c] * (double)k[j * s->d + c];
        p[j] = (float)score * s->scale;
        if (bias != NULL) p[j] += bias[j * s->bias_at.column];
        if (p[j] > most || p[j] != p[j]) most = p[j];
    }
    for (int j = 0; j < s->t; j++) {
        p[j] = expf(p[j] - most);
        sum += (double)p[j];
        p[j] = rounded(p[j], e);
    }
    for (int c = 0; c < s->d; c++) {
        double y = 0;
        for (int j = 0; j < s->t; j++)
            y += (double)p[j] * (double)v[j * s->d + c];
        mock_store(s->y, y_at + (size_t)(c * s->y_at.column), e, y / sum);
    }
}

void mock_sdpa_run(const mock_sdpa *s)
{
    element e = s->type == DNN_DATA_HALF ? ELEMENT_F16 : ELEMENT_BF16;
    memset(s->workspace, 0x7f, PLAN_WORKSPACE); /* nobody keeps anything there */
    for (int n = 0; n < s->sequences; n++)
        for (int h = 0; h < s->heads; h++) {
            float *q = head_of(s, s->q, s->q_at.row, s->q_at.column, place(&s->q_at, n, h), e);
            float *k = head_of(s, s->k, s->k_at.column, s->k_at.row, place(&s->k_at, n, h), e);
            float *v = head_of(s, s->v, s->v_at.row, s->v_at.column, place(&s->v_at, n, h), e);
#pragma omp parallel for
            for (int i = 0; i < s->t; i++)
                run_row(s, e, q + i * s->d, k, v,
                        s->bias == NULL ? NULL
                                        : s->bias + place(&s->bias_at, 0, h) + i * s->bias_at.row,
                        place(&s->y_at, n, h) + (size_t)(i * s->y_at.row));
            free(q);
            free(k);
            free(v);
        }
}
