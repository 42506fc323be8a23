#include "tests/mock/libraries.h"


#include <stdlib.h>
#include <string.h>

enum { REFUSED = 7 };

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

float mock_load(const void *p, size_t i, element e)
{
    uint32_t bits;
    float v;
    if (e == ELEMENT_F32) return ((const float *)p)[i];
    if (e == ELEMENT_F16) return half_to_float(((const uint16_t *)p)[i]);
    bits = (uint32_t)((const uint16_t *)p)[i] << 16;
    memcpy(&v, &bits, sizeof v);
    return v;
}

void mock_store(void *p, size_t i, element e, double value)
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
                    sum += (double)mock_load(b->a[i],
                                        (size_t)(b->a_transposed ? k * b->lda + r : r * b->lda + k),
                                        b->in) *
                           (double)mock_load(b->b[i],
                                        (size_t)(b->b_transposed ? c * b->ldb + k : k * b->ldb + c),
                                        b->in);
                mock_store(b->c[i], (size_t)(r * b->ldc + c), b->out, (double)b->alpha * sum);
            }
}

float *mock_floats(const void *p, size_t n, element e)
{
    float *v = malloc(n * sizeof *v);
    if (v == NULL) abort(); /* a device does not run out of memory while it computes */
    for (size_t i = 0; i < n; i++)
        v[i] = mock_load(p, i, e);
    return v;
}

static void run_linear(const lt_shape *s, const lt_operands *o)
{
    size_t rows = (size_t)s->rows, n = (size_t)s->n, depth = (size_t)s->k;
    float *x = mock_floats(o->x, rows * depth, s->type), *w = mock_floats(o->w, n * depth, s->type);
#pragma omp parallel for
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < n; c++) {
            double sum = s->bias ? (double)mock_load(o->bias, c, s->type) : 0;
            if (s->residual) sum += (double)mock_load(o->residual, r * n + c, s->type);
            for (size_t k = 0; k < depth; k++)
                sum += (double)x[r * depth + k] * (double)w[c * depth + k];
            mock_store(o->y, r * n + c, s->type, s->relu && sum < 0 ? 0 : sum);
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
    if (s->type != ELEMENT_F32 && s->k % 8 != 0) return REFUSED; /* a GPU would, without tensor cores */
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
        mock_conv_run(&l->conv);
        break;
    case MOCK_SDPA:
        mock_sdpa_run(&l->sdpa);
        break;
    case MOCK_LINALG:
        mock_linalg_run(&l->linalg);
        break;
    }
}
