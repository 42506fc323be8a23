/* Memory, the two lanes, and what waits for them. */
#include "score/cuda/lanes.h"

#include "common/mem.h"

static int fits(linalg_device *la, size_t used, size_t bytes, const char *what)
{
    int rc = 0;
    if (bytes > la->memory || used > la->memory - bytes) cuda_fault_set(FAULT_MEMORY);
    CHECK(bytes <= la->memory && used <= la->memory - bytes, ERR_USAGE,
          "%s: %zu MiB are more than --memory allows; up to here %zuM would do", what,
          (used + bytes) >> 20, ((used + bytes) >> 20) + 1);
done:
    return rc;
}

int device_new(linalg_device *la, size_t bytes, void **mem)
{
    int rc = 0;
    TRY(fits(la, la->used, bytes, "GPU memory"));
    TRY(memory_alloc(la->be, bytes, 0, mem));
    la->used += bytes;
done:
    return rc;
}

void device_drop(linalg_device *la, size_t bytes, void **mem)
{
    if (*mem == NULL) return;
    memory_release(la->be, mem);
    la->used -= bytes;
}

/* Releasing waits, and cannot say when waiting fails: nothing may be under way on either lane then. */
static int finish_all(linalg_device *la, lane *l)
{
    int rc = 0, busy = l->busy;
    for (int i = 0; i < LANES_OPEN; i++)
        TRY(lane_finish(la, &la->lane[i]));
    l->busy = busy;
done:
    return rc;
}

int lane_need(linalg_device *la, lane *l, enum lane_buffer which, size_t bytes)
{
    int rc = 0;
    if (l->room[which] >= bytes) goto done;
    if (l->buffer[which] != NULL) TRY(finish_all(la, l));
    if (which < ROWS) {
        if (l->buffer[which] != NULL) memory_release(la->be, &l->buffer[which]);
        la->pinned -= l->room[which];
        l->room[which] = 0;
        TRY(fits(la, la->pinned, bytes, "pinned memory"));
        TRY(memory_alloc(la->be, bytes, 1, &l->buffer[which]));
        la->pinned += bytes;
    } else {
        device_drop(la, l->room[which], &l->buffer[which]);
        l->room[which] = 0;
        TRY(device_new(la, bytes, &l->buffer[which]));
    }
    l->room[which] = bytes;
done:
    return rc;
}

int lane_finish(linalg_device *la, lane *l)
{
    int rc = 0;
    if (!l->busy) goto done;
    l->busy = 0;
    TRY(device_use(la->be));
    CU(cuda.stream_sync(l->stream), "waiting for the CUDA device");
    if (l->take != NULL) l->take(l->buffer[PINNED_OUT], l->n, l->width, l->out);
done:
    return rc;
}

void lane_abandon(linalg_device *la, lane *l)
{
    if (l->stream == NULL) return;
    (void)cuda.set_device(la->be->device);
    (void)cuda.stream_sync(l->stream); /* queued copies may still use the pinned buffers */
    (void)cuda.last_error();
    l->busy = 0;
}

void lanes_wait(linalg_device *la)
{
    for (int i = 0; i < LANES_OPEN; i++)
        if (la->lane[i].busy) (void)cuda.stream_sync(la->lane[i].stream);
}

int lane_run(lane *l, int kernel, op_args *args)
{
    int rc = 0;
    const char *problem = kernel_problem(kernel, args);
    if (problem != NULL) cuda_fault_set(FAULT_REFUSED);
    CHECK(problem == NULL, ERR_INTERNAL, "CUDA kernel %s: %s", kernel_names[kernel], problem);
    args->stream = l->stream;
    TRY(cuda.kernels[kernel](args));
done:
    return rc;
}
