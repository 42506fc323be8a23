/* The horizontal pass of Pillow's resize over the pixels of a window (models.md 10.2): integer weights in
 * units of 2^-22, rounded and clamped to bytes.
 *   x0 record_image [n]; u8 the batch's records; x2 = y scratch: the window's pixels, and where the rows go
 *   y_c tasks of the group
 * Both twins give the same bytes.
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/resample.h"
#include "kernels/table.h"

/* Output x of row y. */
OP_MATH void across(const record_image *d, const unsigned char *base, unsigned char *scratch, unsigned x,
                    unsigned y)
{
    const unsigned char *window = scratch + d->scratch + d->rgb + y * record_line(d);
    resample(&d->across, RECORD_AT(int32_t, d, base, d->across.taps), (int)x, window, 3,
             scratch + d->scratch + d->mid + ((size_t)y * (size_t)d->cw + x) * 3);
}
#ifndef __CUDACC__
int resize_across_fwd_cpu(const op_args *a)
{
    const record_image *d = a->x[0];
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < a->n; i++)
        for (int y = 0; d[i].kind == RECORD_JPEG && d[i].across.count > 0 && y < d[i].h; y++)
            for (int x = 0; x < d[i].cw; x++)
                across(d + i, a->u8, a->y, (unsigned)x, (unsigned)y);
    return 0;
}
#else
#include "kernels/launch.h"

static __global__ void fwd(const record_image *images, int n, unsigned tasks, const unsigned char *base,
                           unsigned char *scratch)
{
    for (unsigned task = blockIdx.x; task < tasks; task += gridDim.x) {
        const record_image *d = record_of(images, n, STAGE_ACROSS, task);
        unsigned i = (task - d->first[STAGE_ACROSS]) * RECORD_TASK + threadIdx.x;
        unsigned y = i / (unsigned)d->cw;
        if (y < (unsigned)d->h) across(d, base, scratch, i % (unsigned)d->cw, y);
    }
}

OP_API int resize_across_fwd_cuda(const op_args *a)
{
    launch(fwd, grid_of((size_t)a->y_c), a->stream, (const record_image *)a->x[0], a->n, (unsigned)a->y_c,
           a->u8, (unsigned char *)a->y);
    return launched("horizontal resize");
}
#endif
