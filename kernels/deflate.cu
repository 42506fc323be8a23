/* A map without its largest singular component, as [c, h w] of each image, in double.
 *   KD_EXACT: x - u (x' u)', u the largest left singular vector: power iteration on x x' until the residual of
 *     (lambda, u) is below 1e-10 lambda, at most DEFLATE_STEPS times, from a start of ones and a little more.
 *     A map of zeros stays; values that are not finite give NaN throughout.
 *   KD_POWER: the published iteration, `groups` times from x2
 *   x0, y [n,h,w,c] of one type; y may be x0      reduce: KD_*
 *   x1 f64 [n, 2c + h w]: scratch, which is written      x2 f32 [c] of KD_POWER, else not read
 * The twins sum in other orders.  They agree to 1e-5 of the map where the second singular value is a little smaller.
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/table.h"

enum { DEFLATE_STEPS = 4096 };

OP_MATH double deflate_start(const op_args *a, int k)
{
    double r = (double)k * 0.6180339887498949;
    return a->reduce == KD_POWER ? (double)op_f32(a, 2)[k] : 1.0 + 0.25 * (r - floor(r));
}

/* Element o without its share. */
OP_MATH void deflate_put(const op_args *a, size_t o, double v, double u)
{
    op_y(a, o, (float)((double)op_x(a, o) - v * u));
}
#ifndef __CUDACC__
typedef struct desk {
    const op_args *a;
    size_t first, c, plane;
    double *u, *w, *v; /* [c], [c], [plane] */
} desk;

static double squares_of(const double *v, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += v[i] * v[i];
    return sum;
}

static void scale(double *v, size_t n, double f)
{
    for (size_t i = 0; i < n; i++)
        v[i] *= f;
}

/* v = x' u */
static void to_pixels(const desk *d)
{
    for (size_t p = 0; p < d->plane; p++) {
        d->v[p] = 0.0;
        for (size_t k = 0; k < d->c; k++)
            d->v[p] += (double)op_x(d->a, d->first + p * d->c + k) * d->u[k];
    }
}

/* w = x v */
static void to_channels(const desk *d, double *w)
{
    for (size_t k = 0; k < d->c; k++) {
        w[k] = 0.0;
        for (size_t p = 0; p < d->plane; p++)
            w[k] += (double)op_x(d->a, d->first + p * d->c + k) * d->v[p];
    }
}

static void exact(const desk *d)
{
    scale(d->u, d->c, 1.0 / sqrt(squares_of(d->u, d->c)));
    for (int i = 0; i < DEFLATE_STEPS; i++) {
        double lambda = 0.0, off = 0.0;
        to_pixels(d);
        to_channels(d, d->w);
        for (size_t k = 0; k < d->c; k++)
            lambda += d->u[k] * d->w[k];
        for (size_t k = 0; k < d->c; k++) {
            double r = d->w[k] - lambda * d->u[k];
            off += r * r;
        }
        if (!(sqrt(off) > 1e-10 * lambda)) return; /* NaN too */
        lambda = 1.0 / sqrt(squares_of(d->w, d->c));
        for (size_t k = 0; k < d->c; k++)
            d->u[k] = d->w[k] * lambda;
    }
    to_pixels(d);
}

/* v becomes sigma v. */
static void power(const desk *d)
{
    double sigma = 0.0;
    for (int i = 0; i < d->a->groups; i++) {
        to_pixels(d);
        scale(d->v, d->plane, 1.0 / (sqrt(squares_of(d->v, d->plane)) + 1e-10));
        to_channels(d, d->u);
        scale(d->u, d->c, 1.0 / (sqrt(squares_of(d->u, d->c)) + 1e-10));
    }
    to_channels(d, d->w);
    for (size_t k = 0; k < d->c; k++)
        sigma += d->u[k] * d->w[k];
    scale(d->v, d->plane, sigma);
}

int deflate_fwd_cpu(const op_args *a)
{
    size_t c = (size_t)a->c, plane = (size_t)a->h * (size_t)a->w;
#pragma omp parallel for
    for (size_t n = 0; n < (size_t)a->n; n++) {
        union {
            const void *in;
            double *out;
        } scratch = { a->x[1] };
        desk d = { a, n * plane * c, c, plane, scratch.out + n * (2 * c + plane), NULL, NULL };
        d.w = d.u + c;
        d.v = d.w + c;
        for (int k = 0; k < a->c; k++)
            d.u[k] = deflate_start(a, k);
        memset(d.v, 0, plane * sizeof *d.v);
        if (a->reduce == KD_POWER) power(&d);
        else exact(&d);
        for (size_t p = 0; p < plane; p++)
            for (size_t k = 0; k < c; k++)
                deflate_put(a, d.first + p * c + k, d.v[p], d.u[k]);
    }
    return 0;
}
#else
#include "kernels/rows.h"

/* An image's block: its threads in warps for dots over channels, one by one for sums over pixels. */
struct desk {
    op_args a;
    size_t first;
    int c, plane;
    double *u, *w, *v, *part;
};

static __device__ double block_sum(const desk &d, double v)
{
    return team_join<BLOCK>(v, d.part, join_double());
}

static __device__ double squares_of(const desk &d, const double *v, int n)
{
    double sum = 0.0;
    for (int i = (int)threadIdx.x; i < n; i += BLOCK)
        sum += v[i] * v[i];
    return block_sum(d, sum);
}

static __device__ void scale(double *v, int n, double f)
{
    for (int i = (int)threadIdx.x; i < n; i += BLOCK)
        v[i] *= f;
    __syncthreads();
}

static __device__ void to_pixels(const desk &d)
{
    int lane = (int)threadIdx.x % WARP;
    for (int p = (int)threadIdx.x / WARP; p < d.plane; p += WARPS) {
        double sum = 0.0;
        for (int k = lane; k < d.c; k += WARP)
            sum += (double)op_x(&d.a, d.first + (size_t)p * d.c + k) * d.u[k];
        sum = team_join<WARP>(sum, d.part, join_double());
        if (lane == 0) d.v[p] = sum;
    }
    __syncthreads();
}

static __device__ void to_channels(const desk &d, double *w)
{
    for (int k = (int)threadIdx.x; k < d.c; k += BLOCK) {
        double sum = 0.0;
        for (int p = 0; p < d.plane; p++)
            sum += (double)op_x(&d.a, d.first + (size_t)p * d.c + k) * d.v[p];
        w[k] = sum;
    }
    __syncthreads();
}

static __device__ double along(const desk &d)
{
    double sum = 0.0;
    for (int k = (int)threadIdx.x; k < d.c; k += BLOCK)
        sum += d.u[k] * d.w[k];
    return block_sum(d, sum);
}

static __device__ void exact(const desk &d)
{
    scale(d.u, d.c, 1.0 / sqrt(squares_of(d, d.u, d.c)));
    for (int i = 0; i < DEFLATE_STEPS; i++) {
        double lambda, off = 0.0;
        to_pixels(d);
        to_channels(d, d.w);
        lambda = along(d);
        for (int k = (int)threadIdx.x; k < d.c; k += BLOCK) {
            double r = d.w[k] - lambda * d.u[k];
            off += r * r;
        }
        if (!(sqrt(block_sum(d, off)) > 1e-10 * lambda)) return; /* NaN too; alike in all threads */
        lambda = 1.0 / sqrt(squares_of(d, d.w, d.c));
        for (int k = (int)threadIdx.x; k < d.c; k += BLOCK)
            d.u[k] = d.w[k] * lambda;
        __syncthreads();
    }
    to_pixels(d);
}

static __device__ void power(const desk &d)
{
    for (int i = 0; i < d.a.groups; i++) {
        to_pixels(d);
        scale(d.v, d.plane, 1.0 / (sqrt(squares_of(d, d.v, d.plane)) + 1e-10));
        to_channels(d, d.u);
        scale(d.u, d.c, 1.0 / (sqrt(squares_of(d, d.u, d.c)) + 1e-10));
    }
    to_channels(d, d.w);
    scale(d.v, d.plane, along(d));
}

static __global__ void fwd(op_args a)
{
    __shared__ double part[WARPS];
    int c = a.c, plane = a.h * a.w;
    for (size_t n = blockIdx.x; n < (size_t)a.n; n += gridDim.x) {
        double *u = (double *)a.x[1] + n * (2 * (size_t)c + plane);
        desk d = { a, n * plane * (size_t)c, c, plane, u, u + c, u + 2 * (size_t)c, part };
        __syncthreads();
        for (int k = (int)threadIdx.x; k < c; k += BLOCK)
            u[k] = deflate_start(&a, k);
        for (int p = (int)threadIdx.x; p < plane; p += BLOCK)
            d.v[p] = 0.0;
        __syncthreads();
        if (a.reduce == KD_POWER) power(d);
        else exact(d);
        for (size_t i = threadIdx.x; i < (size_t)plane * c; i += BLOCK) {
            int k;
            size_t p = op_divide(i, c, &k);
            deflate_put(&a, d.first + i, d.v[p], u[k]);
        }
    }
}

OP_API int deflate_fwd_cuda(const op_args *a)
{
    launch_joined(fwd, grid_of((size_t)a->n), a->stream, *a);
    return launched("deflation");
}
#endif
