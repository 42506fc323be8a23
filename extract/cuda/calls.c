/* The real table: thin adapters over the CUDA runtime, cuBLAS and cuDNN. */
#include "extract/cuda/calls.h"
#include "extract/cuda/calls_blas.h"

#include <cublasLt.h>
#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <cudnn.h>
#include <cusolver_common.h>

#include <stdio.h>

/* The numbers that errors.def states are the headers'. */
#define FAULT(library, symbol, number, kind, words)                                                \
    _Static_assert((int)symbol == (number), #symbol " has another number in these headers");
#include "extract/cuda/errors.def"
#undef FAULT
/* So are those of dnn.def. */
#define DNN(name, value)                                                                           \
    _Static_assert((int)CUDNN_##name == (value), #name " has another number in these headers");
#include "extract/cuda/dnn.def"
#undef DNN

static cudaError_t read_facts(device_facts *out, int device)
{
    struct cudaDeviceProp p;
    cudaError_t status = cudaGetDeviceProperties(&p, device);
    if (status != cudaSuccess) return status;
    snprintf(out->name, sizeof out->name, "%.*s", (int)sizeof out->name - 1, p.name);
    out->major = p.major;
    out->minor = p.minor;
    out->processors = p.multiProcessorCount;
    out->memory = p.totalGlobalMem;
    return cudaDeviceGetPCIBusId(out->pci, (int)sizeof out->pci, device);
}

/* Non-blocking: nothing of ours waits for the default stream of whoever shares the process. */
static cudaError_t new_stream(void **out)
{
    cudaStream_t stream = NULL;
    cudaError_t status = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    *out = stream;
    return status;
}

static cudaError_t new_event(void **out, int timed)
{
    cudaEvent_t event = NULL;
    cudaError_t status = cudaEventCreateWithFlags(&event, timed ? cudaEventDefault : cudaEventDisableTiming);
    *out = event;
    return status;
}

static cudaError_t end_capture(void *stream, void **out)
{
    cudaGraph_t graph = NULL;
    cudaError_t status = cudaStreamEndCapture(stream, &graph);
    *out = graph;
    return status;
}

static cudaError_t make_graph(void **out, void *graph)
{
    cudaGraphExec_t ready = NULL;
    cudaError_t status = cudaGraphInstantiate(&ready, graph, 0);
    *out = ready;
    return status;
}

static cublasStatus_t new_blas(void **out)
{
    cublasHandle_t handle = NULL;
    cublasStatus_t status = cublasCreate(&handle);
    *out = handle;
    return status;
}

static cublasStatus_t new_lt(void **out)
{
    cublasLtHandle_t handle = NULL;
    cublasStatus_t status = cublasLtCreate(&handle);
    *out = handle;
    return status;
}

static cudnnStatus_t new_dnn(void **out)
{
    cudnnHandle_t handle = NULL;
    cudnnStatus_t status = cudnnCreate(&handle);
    *out = handle;
    return status;
}

static cudnnStatus_t new_descriptor(void **out, int type)
{
    cudnnBackendDescriptor_t d = NULL;
    cudnnStatus_t status = cudnnBackendCreateDescriptor((cudnnBackendDescriptorType_t)type, &d);
    *out = d;
    return status;
}

#define CALL(library, name, parameters, arguments, real)                                           \
    static int real_##name parameters                                                              \
    {                                                                                              \
        return (int)real;                                                                          \
    }
#include "extract/cuda/calls.def"
#undef CALL

static const char *error_text(cuda_library library, int status)
{
    switch (library) {
    case LIB_CUBLAS: return cublasGetStatusString((cublasStatus_t)status);
    case LIB_CUDNN: return cudnnGetErrorString((cudnnStatus_t)status);
    case LIB_CUSOLVER: return "cuSOLVER failed"; /* it has no words of its own */
    default: return cudaGetErrorString((cudaError_t)status);
    }
}

/* The headers that this was compiled with; what runs may be newer. */
static void built(char *text, size_t room)
{
    snprintf(text, room, "CUDA %d.%d, cuDNN %d.%d.%d, cuBLAS %d.%d.%d", CUDART_VERSION / 1000,
             CUDART_VERSION % 1000 / 10, CUDNN_MAJOR, CUDNN_MINOR, CUDNN_PATCHLEVEL, CUBLAS_VER_MAJOR,
             CUBLAS_VER_MINOR, CUBLAS_VER_PATCH);
}

const cuda_calls cuda = {
#define CALL(library, name, parameters, arguments, real) .name = real_##name,
#include "extract/cuda/calls.def"
#undef CALL
    .error_text = error_text,
    .dnn_details = cudnnGetLastErrorString,
    .dnn_version = cudnnGetVersion,
    .lt_version = cublasLtGetVersion,
    .built = built,
    .kernels = kernels_cuda,
};
