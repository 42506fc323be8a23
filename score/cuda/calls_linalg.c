/* The real table.  A row-major [r,c] is the libraries' column-major matrix of c rows, its transpose: a
 * product is asked for with its factors exchanged, and what is "lower" here is "upper" there. */
#include "score/cuda/calls_linalg.h"

#include <cublas_v2.h>
#include <cusolverDn.h>

static cublasStatus_t real_product(void *handle, const la_product *p)
{
    const float one = 1, zero = 0;
    return cublasSgemm_64(handle, CUBLAS_OP_T, CUBLAS_OP_N, (int64_t)p->n, (int64_t)p->m, (int64_t)p->k,
                          &one, p->b, (int64_t)p->k, p->a, (int64_t)p->k, &zero, p->c, (int64_t)p->n);
}

static cublasStatus_t real_dproduct(void *handle, const la_product *p)
{
    const double one = 1, zero = 0;
    return cublasDgemm_64(handle, CUBLAS_OP_T, CUBLAS_OP_N, (int64_t)p->n, (int64_t)p->m, (int64_t)p->k,
                          &one, p->b, (int64_t)p->k, p->a, (int64_t)p->k, &zero, p->c, (int64_t)p->n);
}

/* second[d,d] (lower) += x' x, x [n,d] */
static cublasStatus_t real_dmoments(void *handle, size_t n, size_t d, const double *x, double *second)
{
    const double one = 1;
    return cublasDsyrk_64(handle, CUBLAS_FILL_MODE_UPPER, CUBLAS_OP_N, (int64_t)d, (int64_t)n, &one, x,
                          (int64_t)d, &one, second, (int64_t)d);
}

static cusolverStatus_t new_solver(void **out)
{
    cusolverDnHandle_t handle = NULL;
    cusolverStatus_t status = cusolverDnCreate(&handle);
    *out = handle;
    return status;
}

static cusolverStatus_t real_eigen_room(void *handle, size_t n, double *a, double *w, size_t *device,
                                        size_t *host)
{
    cusolverDnParams_t params = NULL;
    cusolverStatus_t status = cusolverDnCreateParams(&params);
    if (status != CUSOLVER_STATUS_SUCCESS) return status;
    status = cusolverDnXsyevd_bufferSize(handle, params, CUSOLVER_EIG_MODE_VECTOR,
                                         CUBLAS_FILL_MODE_UPPER, (int64_t)n, CUDA_R_64F, a, (int64_t)n,
                                         CUDA_R_64F, w, CUDA_R_64F, device, host);
    (void)cusolverDnDestroyParams(params);
    return status;
}

static cusolverStatus_t real_eigen(void *handle, const la_eigen *e)
{
    cusolverDnParams_t params = NULL;
    cusolverStatus_t status = cusolverDnCreateParams(&params);
    if (status != CUSOLVER_STATUS_SUCCESS) return status;
    status = cusolverDnXsyevd(handle, params, CUSOLVER_EIG_MODE_VECTOR, CUBLAS_FILL_MODE_UPPER,
                              (int64_t)e->n, CUDA_R_64F, e->a, (int64_t)e->n, CUDA_R_64F, e->w, CUDA_R_64F,
                              e->device, e->device_bytes, e->host, e->host_bytes, e->info);
    (void)cusolverDnDestroyParams(params);
    return status;
}

#define CALL(library, name, parameters, arguments, real)                                           \
    static int real_##name parameters                                                              \
    {                                                                                              \
        return (int)real;                                                                          \
    }
#include "score/cuda/calls_linalg.def"
#undef CALL

const linalg_calls cuda_la = {
#define CALL(library, name, parameters, arguments, real) .name = real_##name,
#include "score/cuda/calls_linalg.def"
#undef CALL
};
