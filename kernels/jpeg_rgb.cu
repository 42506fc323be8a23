/* Samples of a JPEG to the pixels of its window: chroma upsampled as libjpeg-turbo's "fancy" code does, then
 * YCbCr to RGB (models.md 11.1).
 *   x0 record_image [n]; u8 the batch's records; x2 = y scratch: samples, and where the pixels go
 *   y_c tasks of the group
 * Both twins give the same bytes.
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/record.h"
#include "kernels/table.h"

/* Sample x, y of a component, its edge outside. */
OP_MATH int sample(const record_plane *p, const unsigned char *s, int x, int y)
{
    if (x < 0) x = 0;
    if (x >= p->width) x = p->width - 1;
    if (y < 0) y = 0;
    if (y >= p->height) y = p->height - 1;
    return s[(size_t)(y - p->y) * (size_t)p->wide * 8 + (size_t)(x - p->x)];
}

/* Chroma of pixel x, y: three quarters of the nearest sample along each halved axis, a quarter of the next;
 * rounding takes turns. */
OP_MATH int chroma(const record_image *d, const record_plane *p, const unsigned char *s, int x, int y)
{
    int nx = x / d->sx, ny = y / d->sy, fx = x & 1 ? nx + 1 : nx - 1, fy = y & 1 ? ny + 1 : ny - 1, a, b;
    if (d->sx == 1 && d->sy == 1) return sample(p, s, x, y);
    if (d->sy == 1) return (3 * sample(p, s, nx, y) + sample(p, s, fx, y) + (x & 1 ? 2 : 1)) >> 2;
    a = 3 * sample(p, s, nx, ny) + sample(p, s, nx, fy);
    if (d->sx == 1) return (a + (y & 1 ? 2 : 1)) >> 2;
    b = 3 * sample(p, s, fx, ny) + sample(p, s, fx, fy);
    return (3 * a + b + (x & 1 ? 7 : 8)) >> 4;
}

OP_MATH unsigned clamped(int v)
{
    return (unsigned)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* Pixel x, y of the picture: red, green << 8, blue << 16. */
OP_MATH unsigned pixel(const record_image *d, const unsigned char *scratch, int x, int y)
{
    const unsigned char *s = scratch + d->scratch;
    unsigned l = (unsigned)sample(&d->plane[0], s + d->plane[0].samples, x, y);
    int cb, cr;
    if (d->planes == 1) return l | l << 8 | l << 16;
    cb = chroma(d, &d->plane[1], s + d->plane[1].samples, x, y) - 128;
    cr = chroma(d, &d->plane[2], s + d->plane[2].samples, x, y) - 128;
    return clamped((int)l + ((91881 * cr + 32768) >> 16)) |
           clamped((int)l + ((-22554 * cb - 46802 * cr + 32768) >> 16)) << 8 |
           clamped((int)l + ((116130 * cb + 32768) >> 16)) << 16;
}
#ifndef __CUDACC__
static void one_image(const record_image *d, unsigned char *scratch)
{
    for (int y = 0; d->kind == RECORD_JPEG && y < d->h; y++) {
        unsigned char *to = scratch + d->scratch + d->rgb + (size_t)y * record_line(d);
        for (int x = 0; x < d->w; x++, to += 3) {
            unsigned v = pixel(d, scratch, d->x + x, d->y + y);
            to[0] = (unsigned char)v;
            to[1] = (unsigned char)(v >> 8);
            to[2] = (unsigned char)(v >> 16);
        }
    }
}

int jpeg_rgb_fwd_cpu(const op_args *a)
{
    const record_image *d = a->x[0];
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < a->n; i++)
        one_image(d + i, a->y);
    return 0;
}
#else
#include "kernels/launch.h"

/* Four pixels a thread, twelve bytes in three stores; those right of the window are rubbish in their own place. */
static __global__ void fwd(const record_image *images, int n, unsigned tasks, unsigned char *scratch)
{
    for (unsigned task = blockIdx.x; task < tasks; task += gridDim.x) {
        const record_image *d = record_of(images, n, STAGE_RGB, task);
        unsigned i = (task - d->first[STAGE_RGB]) * RECORD_TASK + threadIdx.x;
        unsigned runs = (unsigned)(record_line(d) / (3 * RECORD_RUN));
        unsigned y = i / runs, x = i % runs * RECORD_RUN, v[RECORD_RUN];
        unsigned *to;
        if (y >= (unsigned)d->h) continue;
        for (unsigned k = 0; k < RECORD_RUN; k++)
            v[k] = x + k < (unsigned)d->w ? pixel(d, scratch, d->x + (int)(x + k), d->y + (int)y) : 0;
        to = (unsigned *)(scratch + d->scratch + d->rgb + y * record_line(d) + (size_t)x * 3);
        to[0] = v[0] | v[1] << 24;
        to[1] = v[1] >> 8 | v[2] << 16;
        to[2] = v[2] >> 16 | v[3] << 8;
    }
}

OP_API int jpeg_rgb_fwd_cuda(const op_args *a)
{
    launch(fwd, grid_of((size_t)a->y_c), a->stream, (const record_image *)a->x[0], a->n, (unsigned)a->y_c,
           (unsigned char *)a->y);
    return launched("JPEG pixels");
}
#endif
