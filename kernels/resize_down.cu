/* The vertical pass of Pillow's resize, and the whole output of every image: the window of the result that
 * is wanted in its place, zeros around it; pixels that come ready are copied.
 *   x0 record_image [n]; u8 the batch's records; x2 scratch: rows of the right width
 *   y  bytes [n,h,w,3]; y_c tasks of the group
 * Both twins give the same bytes.
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/resample.h"
#include "kernels/table.h"

/* Pixel x, y of image d; i its number. */
OP_MATH void down(const record_image *d, const unsigned char *base, const unsigned char *scratch, int x, int y,
                  unsigned i, unsigned char *to)
{
    const unsigned char *from = NULL;
    int cx = x - d->to_x, cy = y - d->to_y;
    if (d->kind == RECORD_PIXELS) {
        from = base + d->from + (size_t)i * 3;
    } else if (d->kind == RECORD_JPEG && cx >= 0 && cy >= 0 && cx < d->cw && cy < d->ch) {
        int same = d->across.count == 0;
        size_t step = same ? record_line(d) : (size_t)d->cw * 3;
        from = scratch + d->scratch + (same ? d->rgb : d->mid) + (size_t)cx * 3;
        if (d->down.count > 0) {
            resample(&d->down, RECORD_AT(int32_t, d, base, d->down.taps), cy, from, step, to);
            return;
        }
        from += (size_t)cy * step;
    }
    for (int k = 0; k < 3; k++)
        to[k] = from != NULL ? from[k] : 0;
}
#ifndef __CUDACC__
int resize_down_fwd_cpu(const op_args *a)
{
    const record_image *d = a->x[0];
    unsigned char *y = a->y;
    size_t area = (size_t)a->h * (size_t)a->w;
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < a->n; i++)
        for (size_t k = 0; k < area; k++)
            down(d + i, a->u8, a->x[2], (int)(k % (size_t)a->w), (int)(k / (size_t)a->w), (unsigned)k,
                 y + ((size_t)i * area + k) * 3);
    return 0;
}
#else
#include "kernels/launch.h"

static __global__ void fwd(const record_image *images, int n, unsigned tasks, const unsigned char *base,
                           const unsigned char *scratch, unsigned char *y, divisor width, unsigned area)
{
    for (unsigned task = blockIdx.x; task < tasks; task += gridDim.x) {
        const record_image *d = record_of(images, n, STAGE_DOWN, task);
        unsigned i = (task - d->first[STAGE_DOWN]) * RECORD_TASK + threadIdx.x;
        int column, row;
        if (i >= area) continue;
        row = (int)divide(i, width, &column);
        down(d, base, scratch, column, row, i, y + ((size_t)(d - images) * area + i) * 3);
    }
}

OP_API int resize_down_fwd_cuda(const op_args *a)
{
    launch(fwd, grid_of((size_t)a->y_c), a->stream, (const record_image *)a->x[0], a->n, (unsigned)a->y_c,
           a->u8, (const unsigned char *)a->x[2], (unsigned char *)a->y, divisor_of(a->w),
           (unsigned)a->h * (unsigned)a->w);
    return launched("vertical resize");
}
#endif
