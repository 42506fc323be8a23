/* Finding, opening and closing devices. */
#include "extract/cuda/device.h"

#include "common/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OLDEST_MAJOR = 7, OLDEST_MINOR = 5 }; /* Turing: the oldest that CUDA 13 compiles for */

/* CUDA writes its versions as 1000 * major + 10 * minor. */
static void version_text(char text[16], int version)
{
    snprintf(text, 16, "%d.%d", version / 1000, version % 1000 / 10);
}

/* Why cudaGetDeviceCount refused: 35 stands for an absent driver as well as for an old one. */
static void say_absent(char *text, size_t room, int status)
{
    int driver = 0, runtime = 0;
    char has[16], needs[16];
    int known = cuda.driver_version(&driver) == 0 && cuda.runtime_version(&runtime) == 0;
    (void)cuda.last_error();
    version_text(has, driver);
    version_text(needs, runtime);
    if (known && driver == 0)
        snprintf(text, room, "no NVIDIA driver on this machine");
    else if (known && driver < runtime)
        snprintf(text, room, "the NVIDIA driver serves CUDA %s, this build needs %s", has, needs);
    else
        snprintf(text, room, "%s (error %d)", cuda_words(LIB_CUDA, status), status);
}

int device_count(int *devices)
{
    int rc = 0, count = 0;
    int status = cuda.device_count(&count);
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    if (status != 0 || count < 1) {
        char why[256] = "the driver sees no GPU";
        cuda_fault kind = status != 0 ? cuda_fault_of(LIB_CUDA, status) : FAULT_ABSENT;
        if (status != 0) say_absent(why, sizeof why, status);
        cuda_fault_set(kind);
        CHECK(0, ERR_ENV, "no CUDA device: %s%s%s%s", why, visible != NULL ? " (CUDA_VISIBLE_DEVICES='" : "",
              visible != NULL ? visible : "", visible != NULL ? "')" : "");
    }
    *devices = count;
done:
    return rc;
}

/* Appends to text[*at..room); what does not fit is cut. */
static void put(char *text, size_t room, size_t *at, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static void put(char *text, size_t room, size_t *at, const char *format, ...)
{
    va_list ap;
    int n;
    if (*at >= room) return;
    va_start(ap, format);
    n = vsnprintf(text + *at, room - *at, format, ap);
    va_end(ap);
    if (n > 0) *at += (size_t)n;
}

void device_describe(char *text, size_t room)
{
    int devices = 0, driver = 0, runtime = 0;
    char has[16], with[16];
    size_t at = 0, dnn = cuda.dnn_version(), lt = cuda.lt_version();
    err_clear();
    if (room > 0) text[0] = '\0';
    version_text(with, cuda.runtime_version(&runtime) == 0 ? runtime : 0);
    version_text(has, cuda.driver_version(&driver) == 0 ? driver : 0);
    put(text, room, &at, "CUDA runtime %s, driver for CUDA %s, cuDNN %zu.%zu.%zu, cuBLAS %zu.%zu.%zu\n",
        with, driver > 0 ? has : "none", dnn / 10000, dnn / 100 % 100, dnn % 100, lt / 10000,
        lt / 100 % 100, lt % 100);
    if (device_count(&devices) < 0) {
        put(text, room, &at, "%s\n", err_text());
        err_clear();
        return;
    }
    for (int i = 0; i < devices; i++) {
        device_facts f = { .name = "" };
        int status = cuda.device_facts(&f, i);
        if (status != 0)
            put(text, room, &at, "cuda:%d  %s\n", i, cuda_words(LIB_CUDA, status));
        else
            put(text, room, &at, "cuda:%d  %s, compute capability %d.%d, %.1f GiB, %s%s\n", i, f.name,
                f.major, f.minor, (double)f.memory / (1 << 30), f.pci,
                f.major * 10 + f.minor < OLDEST_MAJOR * 10 + OLDEST_MINOR ? ", too old" : "");
    }
    (void)cuda.last_error();
}

int device_use(cuda_backend *be)
{
    return cuda_status(LIB_CUDA, cuda.set_device(be->device), "selecting the CUDA device");
}

static int open_libraries(cuda_backend *be)
{
    int rc = 0;
    CU(cuda.stream_create(&be->stream), "making a CUDA stream");
    BLAS(cuda.blas_create(&be->blas), "starting cuBLAS");
    BLAS(cuda.blas_set_stream(be->blas, be->stream), "giving cuBLAS its stream");
    BLAS(cuda.lt_create(&be->lt), "starting cuBLASLt");
    DNN_OK(cuda.dnn_create(&be->dnn), "starting cuDNN");
    DNN_OK(cuda.dnn_set_stream(be->dnn, be->stream), "giving cuDNN its stream");
done:
    return rc;
}

/* The libraries obey these variables behind our back; precision is asked for with -p. */
static int check_environment(void)
{
    static const char *const names[] = { "NVIDIA_TF32_OVERRIDE", "CUBLAS_EMULATE_SINGLE_PRECISION",
                                         "CUBLAS_EMULATION_STRATEGY" };
    int rc = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *v = getenv(names[i]);
        CHECK(v == NULL || v[0] == '\0', ERR_ENV, "%s=%s changes results unseen; unset it and choose with -p",
              names[i], v);
    }
done:
    return rc;
}

int device_open(cuda_backend **out, int device)
{
    int rc = 0, devices = 0;
    cuda_backend *be = NULL;
    TRY(check_environment());
    TRY(device_count(&devices));
    if (device < 0 || device >= devices) cuda_fault_set(FAULT_ABSENT);
    CHECK(device >= 0 && device < devices, ERR_ENV,
          "no CUDA device: %d asked for, this machine has %d, counted from 0", device, devices);
    TRY(mem_new(&be, 1, sizeof *be, "CUDA device"));
    be->device = device;
    CU(cuda.device_facts(&be->facts, device), "asking for the CUDA device's properties");
    if (be->facts.major * 10 + be->facts.minor < OLDEST_MAJOR * 10 + OLDEST_MINOR) {
        cuda_fault_set(FAULT_CODE);
        CHECK(0, ERR_ENV, "no CUDA device: %s has compute capability %d.%d, %d.%d is the least",
              be->facts.name, be->facts.major, be->facts.minor, OLDEST_MAJOR, OLDEST_MINOR);
    }
    TRY(device_use(be));
    TRY(open_libraries(be));
    TRY(device_selftest(be));
    *out = be;
    be = NULL;
done:
    device_close(&be);
    return rc;
}

/* Releases all it can; a lost device refuses every call, and none of them matters any more. */
void device_close(cuda_backend **out)
{
    cuda_backend *be = *out;
    if (be == NULL) return;
    (void)cuda.set_device(be->device);
    if (be->stream != NULL) (void)cuda.stream_sync(be->stream);
    memory_release_all(be);
    if (be->dnn != NULL) (void)cuda.dnn_destroy(be->dnn);
    if (be->lt != NULL) (void)cuda.lt_destroy(be->lt);
    if (be->blas != NULL) (void)cuda.blas_destroy(be->blas);
    if (be->stream != NULL) (void)cuda.stream_destroy(be->stream);
    (void)cuda.last_error();
    free(be->blocks);
    free(be);
    *out = NULL;
}

int device_run(cuda_backend *be, int kernel, const op_args *args)
{
    int rc = 0;
    op_args queued = *args;
    const char *problem = kernel_problem(kernel, args);
    if (problem != NULL) cuda_fault_set(FAULT_REFUSED);
    CHECK(problem == NULL, ERR_INTERNAL, "CUDA kernel %s: %s",
          kernel >= 0 && kernel < KERNEL_COUNT ? kernel_names[kernel] : "?", problem);
    TRY(device_use(be));
    queued.stream = be->stream;
    TRY(cuda.kernels[kernel](&queued));
done:
    return rc;
}

int device_sync(cuda_backend *be)
{
    int rc = 0;
    TRY(device_use(be));
    CU(cuda.stream_sync(be->stream), "waiting for the CUDA device");
done:
    return rc;
}
