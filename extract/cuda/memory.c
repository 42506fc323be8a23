/* Device memory, pinned host memory, and copies on the backend's stream. */
#include "extract/cuda/device.h"

#include "common/mem.h"

#include <assert.h>

static void free_block(cuda_block b)
{
    if (b.host)
        (void)cuda.host_free(b.mem);
    else
        (void)cuda.device_free(b.mem);
}

/* Out of memory is said with both sizes: what was wanted and what is there. */
static int say_no_memory(size_t bytes, int status)
{
    size_t unused = 0, total = 0;
    int known = cuda.memory_info(&unused, &total) == 0;
    (void)cuda.last_error();
    cuda_fault_set(FAULT_MEMORY);
    if (!known) return cuda_status(LIB_CUDA, status, "allocating GPU memory");
    return err_set(ERR_ENV, "out of GPU memory: %.1f MiB asked for, %.1f of %.1f MiB free",
                   (double)bytes / (1 << 20), (double)unused / (1 << 20), (double)total / (1 << 20));
}

int memory_alloc(cuda_backend *be, size_t bytes, int host, void **mem)
{
    int rc = 0, status;
    cuda_block b = { .mem = NULL, .host = host };
    size_t size = bytes > 0 ? bytes : 1; /* an empty tensor still has an address */
    TRY(device_use(be));
    TRY(mem_grow(&be->blocks, &be->room, be->n_blocks + 1, sizeof *be->blocks, "CUDA memory list"));
    status = host ? cuda.host_alloc(&b.mem, size) : cuda.device_alloc(&b.mem, size);
    if (status != 0) b.mem = NULL;
    if (!host && cuda_fault_of(LIB_CUDA, status) == FAULT_MEMORY) TRY(say_no_memory(bytes, status));
    CU(status, host ? "allocating pinned host memory" : "allocating GPU memory");
    CHECK(b.mem != NULL && ((uintptr_t)b.mem % DEVICE_ALIGN == 0 || host), ERR_INTERNAL,
          "CUDA gave memory that is not %d-byte aligned", DEVICE_ALIGN);
    be->blocks[be->n_blocks++] = b;
    *mem = b.mem;
    b.mem = NULL;
done:
    if (b.mem != NULL) free_block(b);
    return rc;
}

void memory_release(cuda_backend *be, void **mem)
{
    size_t i = 0;
    if (*mem == NULL) return;
    while (i < be->n_blocks && be->blocks[i].mem != *mem)
        i++;
    assert(i < be->n_blocks); /* not ours, or released twice */
    if (i < be->n_blocks) {
        (void)cuda.set_device(be->device);
        (void)cuda.stream_sync(be->stream); /* queued work may still use it */
        free_block(be->blocks[i]);
        (void)cuda.last_error(); /* of a lost device; the next call that matters says so */
        be->blocks[i] = be->blocks[--be->n_blocks];
    }
    *mem = NULL;
}

void memory_release_all(cuda_backend *be)
{
    while (be->n_blocks > 0)
        free_block(be->blocks[--be->n_blocks]);
}

int memory_upload(cuda_backend *be, void *dst, const void *src, size_t bytes)
{
    int rc = 0;
    if (bytes == 0) return 0;
    TRY(device_use(be));
    CU(cuda.copy_in(dst, src, bytes, be->stream), "copying to the GPU");
done:
    return rc;
}

int memory_download(cuda_backend *be, void *dst, const void *src, size_t bytes)
{
    int rc = 0;
    if (bytes == 0) return 0;
    TRY(device_use(be));
    CU(cuda.copy_out(dst, src, bytes, be->stream), "copying from the GPU");
done:
    return rc;
}

int memory_clear(cuda_backend *be, void *dst, size_t bytes)
{
    int rc = 0;
    if (bytes == 0) return 0;
    TRY(device_use(be));
    CU(cuda.fill(dst, 0, bytes, be->stream), "clearing GPU memory");
done:
    return rc;
}
