/* Group norm, step 1: mean and squared deviations of each group over each chunk of pixels.
 *   x0 [n,h,w,c]      groups
 *   y  f32 [n, chunks, groups, 2]: the mean, the sum of squared deviations from it;
 *      chunks = groupnorm_chunks(h * w, c) (kernels/groupnorm.h)
 * The CPU twin makes two passes in double.  The CUDA twin reads x once: each thread keeps, for its channels,
 * sums of the differences from the first pixel it sees and of their squares, which loses no more than n
 * roundings of n terms wherever the mean lies (that pixel is one of the n); moments of threads and channels
 * are joined by Chan's rule (Chan, Golub and LeVeque 1979) in a tree of fixed shape.  They agree to 1e-5
 * for |x| up to 1e15.
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/groupnorm.h"
#include "kernels/table.h"

#ifndef __CUDACC__
int groupnorm_sum_fwd_cpu(const op_args *a)
{
    int plane = a->h * a->w, pixels = groupnorm_pixels(a->c);
    size_t chunks = (size_t)groupnorm_chunks(plane, a->c), groups = (size_t)a->groups;
    size_t c = (size_t)a->c, per = c / groups;
#pragma omp parallel for
    for (size_t b = 0; b < (size_t)a->n * chunks * groups; b++) {
        int p0 = (int)(b / groups % chunks) * pixels, here = plane - p0 < pixels ? plane - p0 : pixels;
        size_t row = b / groups / chunks * (size_t)plane + (size_t)p0, count = (size_t)here * per;
        size_t first = row * c + b % groups * per;
        double sum = 0.0, squares = 0.0, mean;
        for (size_t i = 0; i < count; i++)
            sum += (double)op_x(a, first + i / per * c + i % per);
        mean = sum / (double)count;
        for (size_t i = 0; i < count; i++) {
            double d = (double)op_x(a, first + i / per * c + i % per) - mean;
            squares += d * d;
        }
        groupnorm_put((float *)a->y + 2 * b, mean, squares);
    }
    return 0;
}
#else
#include "kernels/launch.h"

struct moments {
    float n, mean, squares; /* of deviations */
};

static __device__ __forceinline__ moments join(moments a, moments b)
{
    if (b.n == 0.0f) return a;
    if (a.n == 0.0f) return b;
    float n = a.n + b.n, d = b.mean - a.mean, share = b.n / n;
    return { n, a.mean + d * share, a.squares + b.squares + d * d * (a.n * share) };
}

/* A block has `vectors` neighbouring vectors of W channels, whole groups, of the pixels of a chunk; threads
 * lie in rows of `across`, a vector each (of several, one behind another, where a group is wider than a
 * block), and take every so many pixels. */
struct sharing {
    divisor columns, chunks; /* blocks of a chunk, chunks of an image */
    divisor across, each;    /* threads of a row; of a group in it */
    divisor per;             /* channels of a group */
    int c, plane, pixels, groups, vectors, rows;
};

/* Moments of W channels of the pixels p0, p0 + step, ... below p1, joined to those of groups: group i of
 * the vector at m[i per]. */
template <int T, int W>
static __device__ __forceinline__ void moments_of(const void *x, size_t image, const sharing &s,
                                                  int vector, int p0, int p1, moments *m)
{
    float v[W], from[W], sum[W], squares[W];
    int count = 0;
#pragma unroll
    for (int e = 0; e < W; e++)
        from[e] = sum[e] = squares[e] = 0.0f;
    for (int p = p0; p < p1; p += s.rows, count++) {
        load<T, W>(x, (image + p) * s.c + (size_t)vector * W, v);
#pragma unroll
        for (int e = 0; e < W; e++) {
            if (count == 0) from[e] = v[e];
            float d = v[e] - from[e];
            sum[e] += d;
            squares[e] += d * d;
        }
    }
#pragma unroll
    for (int e = 0; e < W; e++) {
        float n = (float)count, off = count > 0 ? sum[e] / n : 0.0f, q = squares[e] - sum[e] * off;
        m[e] = { n, from[e] + off, q < 0.0f ? 0.0f : q };
    }
#pragma unroll
    for (int width = 1; width < W; width *= 2)
        if (width < (int)s.per.by)
#pragma unroll
            for (int e = 0; e + width < W; e += 2 * width)
                m[e] = join(m[e], m[e + width]);
}

template <int T, int W>
static __global__ void fwd(const void *x, float *y, sharing s, size_t blocks)
{
    __shared__ float part[3][W][BLOCK];
    int me = (int)threadIdx.x, slot, in_group, per = (int)s.per.by;
    int row = (int)divide((size_t)me, s.across, &slot), all = s.rows * (int)s.each.by, top = 1;
    int group = (int)divide((size_t)slot, s.each, &in_group), mine = row * (int)s.each.by + in_group;
    int step = per < W ? per : W; /* from one group of a vector to the next */
    while (top * 2 < all)
        top *= 2;
    for (size_t b = blockIdx.x; b < blocks; b += gridDim.x) {
        int column, chunk;
        size_t n = divide(divide(b, s.columns, &column), s.chunks, &chunk);
        int v0 = column * s.vectors, left = s.c / W - v0, here = left < s.vectors ? left : s.vectors;
        int p0 = chunk * s.pixels, p1 = s.plane - p0 < s.pixels ? s.plane : p0 + s.pixels;
        bool active = row < s.rows && slot < here;
        moments m[W];
#pragma unroll
        for (int e = 0; e < W; e++)
            m[e] = { 0.0f, 0.0f, 0.0f };
        for (int i = slot; active && i < here; i += (int)s.across.by) {
            moments more[W];
            moments_of<T, W>(x, n * s.plane, s, v0 + i, p0 + row, p1, more);
#pragma unroll
            for (int e = 0; e < W; e++)
                m[e] = join(m[e], more[e]);
        }
        for (int half = top; half > 0; half /= 2) {
#pragma unroll
            for (int e = 0; e < W; e++) {
                part[0][e][me] = m[e].n;
                part[1][e][me] = m[e].mean;
                part[2][e][me] = m[e].squares;
            }
            __syncthreads();
            if (active && mine < half && mine + half < all) {
                int at, other = (int)divide((size_t)(mine + half), s.each, &at);
                at += other * (int)s.across.by + group * (int)s.each.by;
#pragma unroll
                for (int e = 0; e < W; e++)
                    if (e % step == 0)
                        m[e] = join(m[e], { part[0][e][at], part[1][e][at], part[2][e][at] });
            }
            __syncthreads();
        }
        if (active && mine == 0) {
            int k, first = (int)divide((size_t)(v0 + slot) * W, s.per, &k);
            float *to = y + 2 * ((n * s.chunks.by + chunk) * s.groups + first);
#pragma unroll
            for (int e = 0; e < W; e++)
                if (e % step == 0) groupnorm_put(to + 2 * (e / step), m[e].mean, m[e].squares);
        }
    }
}

OP_API int groupnorm_sum_fwd_cuda(const op_args *a)
{
    int per = a->c / a->groups, plane = a->h * a->w, chunks = groupnorm_chunks(plane, a->c);
    by_type(a->x_type, [&](auto t) {
        constexpr int T = t.value, W = wide(T);
        int fast = (per % W == 0 || (W % per == 0 && a->c % W == 0)) && aligned(a->x[0]);
        int width = fast ? W : 1, each = per > width ? per / width : 1, vectors = a->c / width;
        int across = each >= BLOCK ? BLOCK : BLOCK / each * each, in_block = each > BLOCK ? each : across;
        if (across > vectors) across = in_block = vectors;
        int columns = (vectors + in_block - 1) / in_block;
        size_t blocks = (size_t)a->n * (size_t)chunks * (size_t)columns;
        sharing s = { divisor_of(columns), divisor_of(chunks), divisor_of(across),
                      divisor_of(each < across ? each : across), divisor_of(per), a->c, plane,
                      groupnorm_pixels(a->c), a->groups, in_block, BLOCK / across };
        launch_joined(fast ? fwd<T, W> : fwd<T, 1>, grid_of(blocks), a->stream, a->x[0], (float *)a->y,
                      s, blocks);
    });
    return launched("group norm sums");
}
#endif
