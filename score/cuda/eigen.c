/* Symmetric eigenproblem: cuSOLVER's 64-bit Xsyevd in f64. */
#include "score/cuda/lanes.h"

#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

typedef struct solve {
    double *a, *w;
    int *info;
    void *work;
    size_t a_bytes, w_bytes, work_bytes;
} solve;

static int run(linalg_device *la, solve *s, size_t n, double *a, double *w, size_t first, size_t take)
{
    int rc = 0, info = 0;
    void *host = NULL;
    size_t host_bytes = 0;
    la_eigen e = { .n = n };
    s->a_bytes = n * n * sizeof *a;
    s->w_bytes = n * sizeof *w;
    TRY(device_new(la, s->a_bytes, (void **)&s->a));
    TRY(device_new(la, s->w_bytes, (void **)&s->w));
    TRY(device_new(la, sizeof info, (void **)&s->info));
    SOLVER(cuda_la.solver_eigen_room(la->solver, n, s->a, s->w, &s->work_bytes, &host_bytes),
           "asking for the eigensolver's memory");
    TRY(device_new(la, s->work_bytes, &s->work));
    TRY(mem_new_aligned(&host, host_bytes > 0 ? host_bytes : 1, 1, "eigensolver"));
    TRY(memory_upload(la->be, s->a, a, s->a_bytes));
    e = (la_eigen){ n, s->a, s->w, s->work, host, s->work_bytes, host_bytes, s->info };
    SOLVER(cuda_la.solver_eigen(la->solver, &e), "solving the eigenproblem");
    TRY(memory_download(la->be, &info, s->info, sizeof info));
    TRY(memory_download(la->be, w, s->w, s->w_bytes));
    TRY(device_sync(la->be));
    CHECK(info == 0, ERR_INTERNAL, "eigensolver: Xsyevd gave %d (no convergence)", info);
    TRY(memory_download(la->be, a, s->a + first * n, take * n * sizeof *a));
    TRY(device_sync(la->be));
done:
    if (rc < 0) { /* what is queued may still use this frame's memory */
        (void)cuda.stream_sync(la->be->stream);
        (void)cuda.last_error();
    }
    free(host);
    return rc;
}

int eigen_solve(linalg *base, size_t n, double *a, double *w, size_t first, size_t take)
{
    linalg_device *la = (linalg_device *)base;
    solve s = { 0 };
    int rc = n > 0 ? run(la, &s, n, a, w, first, take) : 0;
    device_drop(la, s.work_bytes, &s.work);
    device_drop(la, sizeof(int), (void **)&s.info);
    device_drop(la, s.w_bytes, (void **)&s.w);
    device_drop(la, s.a_bytes, (void **)&s.a);
    return rc;
}
