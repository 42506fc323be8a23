/* The calls of score/cuda/calls_linalg.def in host memory: plain loops, sums in the type of the call, and
 * Jacobi's method.  Queued, like everything on the mock device. */
#include "tests/mock/cuda.h"
#include "tests/mock/libraries.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { REFUSED = 7, REFUSED_SOLVER = 3, WORK_BYTES = 4096 };

/* f32 sums in eight lanes: another order than OpenBLAS's, as on a device. */
static void product(const la_product *p)
{
    const float *a = p->a, *b = p->b;
    float *c = p->c;
#pragma omp parallel for
    for (size_t i = 0; i < p->m; i++)
        for (size_t j = 0; j < p->n; j++) {
            float lane[8] = { 0 }, sum = 0;
            for (size_t k = 0; k < p->k; k++)
                lane[k % 8] += a[i * p->k + k] * b[j * p->k + k];
            for (int l = 0; l < 8; l++)
                sum += lane[l];
            c[i * p->n + j] = sum;
        }
}

static void dproduct(const la_product *p)
{
    const double *a = p->a, *b = p->b;
    double *c = p->c;
#pragma omp parallel for
    for (size_t i = 0; i < p->m; i++)
        for (size_t j = 0; j < p->n; j++) {
            double lane[8] = { 0 }, sum = 0;
            for (size_t k = 0; k < p->k; k++)
                lane[k % 8] += a[i * p->k + k] * b[j * p->k + k];
            for (int l = 0; l < 8; l++)
                sum += lane[l];
            c[i * p->n + j] = sum;
        }
}

static void dmoments(const mock_linalg *l)
{
#pragma omp parallel for
    for (size_t i = 0; i < l->d; i++)
        for (size_t r = 0; r < l->n; r++)
            for (size_t j = 0; j <= i; j++)
                l->second[i * l->d + j] += l->x[r * l->d + i] * l->x[r * l->d + j];
}

/* One rotation that clears a[p,q]; rows of v turn with it. */
static void rotate(double *a, double *v, size_t n, size_t p, size_t q)
{
    double apq = a[p * n + q], theta, t, c, s;
    if (apq == 0) return;
    theta = (a[q * n + q] - a[p * n + p]) / (2 * apq);
    t = (theta >= 0 ? 1 : -1) / (fabs(theta) + sqrt(theta * theta + 1));
    c = 1 / sqrt(t * t + 1);
    s = t * c;
    for (size_t k = 0; k < n; k++) {
        double x = a[k * n + p], y = a[k * n + q];
        a[k * n + p] = c * x - s * y;
        a[k * n + q] = s * x + c * y;
    }
    for (size_t k = 0; k < n; k++) {
        double x = a[p * n + k], y = a[q * n + k], u = v[p * n + k], w = v[q * n + k];
        a[p * n + k] = c * x - s * y;
        a[q * n + k] = s * x + c * y;
        v[p * n + k] = c * u - s * w;
        v[q * n + k] = s * u + c * w;
    }
}

static double off_diagonal(const double *a, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            sum += a[i * n + j] * a[i * n + j];
    return sum;
}

static void eigen(const la_eigen *e)
{
    size_t n = e->n;
    double *a = malloc(n * n * sizeof *a), *v = calloc(n * n, sizeof *v), before = 0;
    *e->info = a == NULL || v == NULL;
    for (size_t i = 0; *e->info == 0 && i < n; i++)
        for (size_t j = 0; j <= i; j++)
            a[i * n + j] = a[j * n + i] = e->a[i * n + j];
    for (size_t i = 0; *e->info == 0 && i < n; i++)
        v[i * n + i] = 1;
    for (int sweep = 0; *e->info == 0 && sweep < 60; sweep++) {
        double left = off_diagonal(a, n);
        if (left == 0 || (sweep > 8 && left >= before)) break;
        before = left;
        for (size_t p = 0; p < n; p++)
            for (size_t q = p + 1; q < n; q++)
                rotate(a, v, n, p, q);
    }
    for (size_t i = 0; *e->info == 0 && i < n; i++) { /* ascending */
        size_t least = i, rank = 0;
        for (size_t j = 0; j < n; j++)
            rank += a[j * n + j] < a[i * n + i] || (a[j * n + j] == a[i * n + i] && j < least);
        e->w[rank] = a[i * n + i];
        memcpy(e->a + rank * n, v + i * n, n * sizeof *v);
    }
    free(a);
    free(v);
}

void mock_linalg_run(const mock_linalg *l)
{
    switch (l->what) {
    case MOCK_PRODUCT: product(&l->product); break;
    case MOCK_DPRODUCT: dproduct(&l->product); break;
    case MOCK_DMOMENTS: dmoments(l); break;
    case MOCK_EIGEN: eigen(&l->eigen); break;
    }
}

static int queue(void *handle, const mock_linalg *l, int none, int full)
{
    mock_library work = { .what = MOCK_LINALG, .linalg = *l };
    if (handle == NULL || *(void **)handle == NULL) return none;
    return mock_push(*(void **)handle, &work) != 0 ? full : 0;
}

static int host_blas_exact(void *handle)
{
    return handle == NULL ? REFUSED : 0;
}

static int host_blas_product(void *handle, const la_product *p)
{
    mock_linalg l = { .what = MOCK_PRODUCT, .product = *p };
    return queue(handle, &l, REFUSED, 3);
}

static int host_blas_dproduct(void *handle, const la_product *p)
{
    mock_linalg l = { .what = MOCK_DPRODUCT, .product = *p };
    return queue(handle, &l, REFUSED, 3);
}

static int host_blas_dmoments(void *handle, size_t n, size_t d, const double *x, double *second)
{
    mock_linalg l = { .what = MOCK_DMOMENTS, .n = n, .d = d, .x = x, .second = second };
    return queue(handle, &l, REFUSED, 3);
}

static int host_solver_create(void **handle)
{
    return host_blas_create(handle) == 0 ? 0 : 2;
}

static int host_solver_destroy(void *handle)
{
    return host_blas_destroy(handle);
}

static int host_solver_set_stream(void *handle, void *stream)
{
    return host_blas_set_stream(handle, stream) == 0 ? 0 : REFUSED_SOLVER;
}

static int host_solver_eigen_room(void *handle, size_t n, double *a, double *w, size_t *device, size_t *host)
{
    (void)n;
    *device = *host = WORK_BYTES;
    return handle == NULL || a == NULL || w == NULL ? REFUSED_SOLVER : 0;
}

static int host_solver_eigen(void *handle, const la_eigen *e)
{
    mock_linalg l = { .what = MOCK_EIGEN, .eigen = *e };
    if (e->device_bytes < WORK_BYTES || e->host_bytes < WORK_BYTES) return 31;
    return queue(handle, &l, REFUSED_SOLVER, 2);
}

#define CALL(library, name, parameters, arguments, real)                                           \
    static int mock_##name parameters                                                              \
    {                                                                                              \
        int failed = mock_enter(MOCK_##name), status;                                              \
        if (failed != 0 && MOCK_##name != MOCK_solver_destroy) return failed;                      \
        status = host_##name arguments;                                                            \
        return failed != 0 ? failed : status;                                                      \
    }
#include "score/cuda/calls_linalg.def"
#undef CALL

const linalg_calls cuda_la = {
#define CALL(library, name, parameters, arguments, real) .name = mock_##name,
#include "score/cuda/calls_linalg.def"
#undef CALL
};
