/* cuBLAS is column-major: a row-major [n,m] is its [m,n], so every product is handed over with its
 * operands exchanged, and nothing is transposed in memory. */
#include "extract/cuda/calls_blas.h"

#include <cublasLt.h>
#include <cublas_v2.h>

#include <stdlib.h>

static cudaDataType_t type_of(element e)
{
    return e == ELEMENT_F16 ? CUDA_R_16F : e == ELEMENT_BF16 ? CUDA_R_16BF : CUDA_R_32F;
}

static cublasComputeType_t compute_of(int tf32)
{
    return tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
}

int adapter_batch(void *handle, const blas_batch *b)
{
    const float zero = 0;
    return (int)cublasGemmBatchedEx(handle, b->b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N,
                                    b->a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N, b->m, b->n, b->k,
                                    &b->alpha, b->b, type_of(b->in), b->ldb, b->a, type_of(b->in),
                                    b->lda, &zero, b->c, type_of(b->out), b->ldc, b->count,
                                    compute_of(b->tf32), CUBLAS_GEMM_DEFAULT);
}

typedef struct lt_plan {
    cublasLtMatmulDesc_t how;
    cublasLtMatrixLayout_t w, x, y;
    cublasLtMatmulAlgo_t algorithm;
    size_t workspace;
    int residual, bias;
} lt_plan;

int adapter_lt_plan_free(void *plan)
{
    lt_plan *p = plan;
    if (p->how != NULL) (void)cublasLtMatmulDescDestroy(p->how);
    if (p->w != NULL) (void)cublasLtMatrixLayoutDestroy(p->w);
    if (p->x != NULL) (void)cublasLtMatrixLayoutDestroy(p->x);
    if (p->y != NULL) (void)cublasLtMatrixLayoutDestroy(p->y);
    free(p);
    return 0;
}

#define LT(call)                                                                                   \
    do {                                                                                           \
        status = (call);                                                                           \
        if (status != CUBLAS_STATUS_SUCCESS) return status;                                        \
    } while (0)

static cublasStatus_t describe(lt_plan *p, const lt_shape *s)
{
    cublasStatus_t status;
    cublasOperation_t transposed = CUBLAS_OP_T;
    cudaDataType_t type = type_of(s->type);
    cublasLtEpilogue_t end = s->bias
                                 ? s->relu ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_BIAS
                             : s->relu ? CUBLASLT_EPILOGUE_RELU
                                       : CUBLASLT_EPILOGUE_DEFAULT;
    uint64_t rows = (uint64_t)s->rows, n = (uint64_t)s->n, k = (uint64_t)s->k;
    p->residual = s->residual;
    p->bias = s->bias;
    LT(cublasLtMatmulDescCreate(&p->how, compute_of(s->tf32), CUDA_R_32F));
    LT(cublasLtMatmulDescSetAttribute(p->how, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                                      sizeof transposed));
    LT(cublasLtMatmulDescSetAttribute(p->how, CUBLASLT_MATMUL_DESC_EPILOGUE, &end, sizeof end));
    LT(cublasLtMatrixLayoutCreate(&p->w, type, k, n, (int64_t)k));
    LT(cublasLtMatrixLayoutCreate(&p->x, type, k, rows, (int64_t)k));
    LT(cublasLtMatrixLayoutCreate(&p->y, type, n, rows, (int64_t)n));
    return CUBLAS_STATUS_SUCCESS;
}

/* The algorithm that cuBLASLt ranks first among those whose sums have a fixed order and type. */
static cublasStatus_t choose(lt_plan *p, void *handle, cublasLtMatmulPreference_t wish,
                             size_t workspace)
{
    cublasStatus_t status;
    uint32_t schemes = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    int found = 0;
    cublasLtMatmulHeuristicResult_t best;
    LT(cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                            &workspace, sizeof workspace));
    LT(cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                            &schemes, sizeof schemes));
    LT(cublasLtMatmulAlgoGetHeuristic(handle, p->how, p->w, p->x, p->y, p->y, wish, 1, &best,
                                      &found));
    if (found < 1) return CUBLAS_STATUS_NOT_SUPPORTED;
    p->algorithm = best.algo;
    p->workspace = best.workspaceSize;
    return best.state;
}

int adapter_lt_plan(void **out, void *handle, const lt_shape *s, size_t workspace)
{
    cublasStatus_t status;
    cublasLtMatmulPreference_t wish = NULL;
    lt_plan *p = calloc(1, sizeof *p);
    *out = NULL;
    if (p == NULL) return (int)CUBLAS_STATUS_ALLOC_FAILED;
    status = describe(p, s);
    if (status == CUBLAS_STATUS_SUCCESS) status = cublasLtMatmulPreferenceCreate(&wish);
    if (status == CUBLAS_STATUS_SUCCESS) status = choose(p, handle, wish, workspace);
    if (wish != NULL) (void)cublasLtMatmulPreferenceDestroy(wish);
    if (status == CUBLAS_STATUS_SUCCESS) *out = p;
    else (void)adapter_lt_plan_free(p);
    return (int)status;
}

static cublasStatus_t run(cublasLtHandle_t handle, const lt_plan *p, const lt_operands *o,
                          cudaStream_t stream)
{
    cublasStatus_t status;
    const float one = 1, beta = p->residual ? 1.0f : 0.0f;
    if (p->bias)
        LT(cublasLtMatmulDescSetAttribute(p->how, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &o->bias,
                                          sizeof o->bias));
    return cublasLtMatmul(handle, p->how, &one, o->w, p->w, o->x, p->x, &beta,
                          p->residual ? o->residual : o->y, p->y, o->y, p->y, &p->algorithm,
                          o->workspace, p->workspace, stream);
}

int adapter_lt_run(void *handle, void *plan, const lt_operands *o, void *stream)
{
    return (int)run(handle, plan, o, stream);
}
