/* Collects the `kernel` smallest v[r,k] = x1[k] + scale x0[r,k] of each row, float64, tile of columns by tile; of
 * equal ones those of the smaller index.  With products of rows and kept rows and the squares of the kept ones,
 * scale -2, these are squared distances less the row's own square.
 *   x0  f64 [n,h,w,c]  a tile      x1  f64 [c]
 *   y   nearest_item [n h w, window + 1]  header and candidates (kernels/nearest.h), read and written
 *   kernel  how many are wanted      window  room for candidates, at least kernel + c
 *   shift   index of the tile's first column      stride  1: the first tile, y is begun; else 0
 *   pad     1: the last tile, no more than `kernel` candidates stay; else 0
 * No tile is wider than the one before it.
 * Candidates are appended in order and weeded out when the next tile of c might not fit: the threshold is
 * found by halving the range of the values, read as integers, until it holds `kernel` of them.
 * No NaN.  Both twins give the same bits.
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/nearest.h"
#include "kernels/table.h"

OP_MATH int must_weed(const op_args *a, int64_t count)
{
    return count > a->kernel && (a->pad > 0 || count > a->window - a->c);
}
#ifndef __CUDACC__
static int64_t count_up_to(const nearest_item *s, int64_t n, int64_t key)
{
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++)
        count += nearest_key(s[i].value) <= key;
    return count;
}

/* The `want` smallest of n > want items stay, in order; returns the largest of them. */
static double weed(nearest_item *s, int64_t n, int64_t want)
{
    int64_t low = INT64_MAX, high = INT64_MIN, equal, kept = 0;
    double most = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        int64_t key = nearest_key(s[i].value);
        low = key < low ? key : low;
        high = key > high ? key : high;
    }
    while (low < high) {
        int64_t middle = nearest_middle(low, high), count = count_up_to(s, n, middle);
        if (count == want) low = high = middle;
        else if (count > want) high = middle;
        else low = middle + 1;
    }
    equal = want;
    for (int64_t i = 0; i < n; i++)
        equal -= nearest_key(s[i].value) < low;
    for (int64_t i = 0; i < n; i++) {
        int64_t key = nearest_key(s[i].value);
        if (key > low || (key == low && equal-- <= 0)) continue;
        s[kept++] = s[i];
        most = s[kept - 1].value > most ? s[kept - 1].value : most;
    }
    return most;
}

int row_nearest_fwd_cpu(const op_args *a)
{
    size_t rows = op_rows(a), c = (size_t)a->c;
    const double *x = a->x[0], *bias = a->x[1];
    double scale = (double)a->scale;
#pragma omp parallel for
    for (size_t r = 0; r < rows; r++) {
        nearest_item *head = (nearest_item *)a->y + r * ((size_t)a->window + 1), *s = head + 1;
        double limit = a->stride > 0 ? INFINITY : head->value;
        int64_t count = a->stride > 0 ? 0 : head->at;
        for (size_t k = 0; k < c; k++) {
            double v = bias[k] + scale * x[r * c + k];
            if (!(v < limit)) continue;
            s[count].value = v;
            s[count++].at = a->shift + (int64_t)k;
        }
        if (must_weed(a, count)) {
            limit = weed(s, count, a->kernel);
            count = a->kernel;
        }
        head->value = limit;
        head->at = count;
    }
    return 0;
}
#else
#include "kernels/rows.h"

struct join_most {
    __device__ double operator()(double a, double b) const { return b > a ? b : a; }
};
struct join_least {
    __device__ double operator()(double a, double b) const { return b < a ? b : a; }
};
struct join_count {
    __device__ int operator()(int a, int b) const { return a + b; }
};

/* v summed over the threads before this one; *all: over the block. */
static __device__ __forceinline__ int sum_before(int v, int *part, int *all)
{
    const int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP;
    int before = 0, sum = v;
    for (int d = 1; d < WARP; d *= 2) {
        int other = __shfl_xor_sync(0xffffffffu, sum, d);
        if (lane & d) before += other;
        sum += other;
    }
    __syncthreads(); /* part is still being read */
    if (lane == 0) part[warp] = sum;
    __syncthreads();
    sum = 0;
    for (int w = 0; w < WARPS; w++) {
        if (w == warp) before += sum;
        sum += part[w];
    }
    *all = sum;
    return before;
}

/* As on the CPU; every thread returns the same. */
static __device__ double weed(nearest_item *s, int n, int want, int *part, double *wide)
{
    double least = INFINITY, most = -INFINITY;
    for (int i = (int)threadIdx.x; i < n; i += BLOCK) {
        least = s[i].value < least ? s[i].value : least;
        most = s[i].value > most ? s[i].value : most;
    }
    int64_t low = nearest_key(team_join<BLOCK>(least, wide, join_least()));
    int64_t high = nearest_key(team_join<BLOCK>(most, wide, join_most()));
    while (low < high) {
        int64_t middle = nearest_middle(low, high);
        int count = 0;
        for (int i = (int)threadIdx.x; i < n; i += BLOCK)
            count += nearest_key(s[i].value) <= middle;
        count = team_join<BLOCK>(count, part, join_count());
        if (count == want) low = high = middle;
        else if (count > want) high = middle;
        else low = middle + 1;
    }
    int less = 0, equal = 0, kept = 0;
    for (int i = (int)threadIdx.x; i < n; i += BLOCK)
        less += nearest_key(s[i].value) < low;
    int quota = want - team_join<BLOCK>(less, part, join_count());
    most = -INFINITY;
    for (int first = 0; first < n; first += BLOCK) {
        int i = first + (int)threadIdx.x, equals, stays;
        nearest_item item = { 0.0, 0 };
        int64_t key = low;
        if (i < n) {
            item = s[i];
            key = nearest_key(item.value);
        }
        int is_equal = i < n && key == low;
        int place = equal + sum_before(is_equal, part, &equals);
        int stay = i < n && (key < low || (is_equal && place < quota));
        int to = kept + sum_before(stay, part, &stays); /* all have read by now: `to` is at most i */
        if (stay) {
            s[to] = item;
            most = item.value > most ? item.value : most;
        }
        equal += equals;
        kept += stays;
    }
    return team_join<BLOCK>(most, wide, join_most());
}

static __global__ void fwd(op_args a, size_t rows)
{
    __shared__ int part[WARPS];
    __shared__ double wide[WARPS];
    const double *x = (const double *)a.x[0], *bias = (const double *)a.x[1];
    double scale = (double)a.scale;
    for (size_t r = blockIdx.x; r < rows; r += gridDim.x) {
        nearest_item *head = (nearest_item *)a.y + r * ((size_t)a.window + 1), *s = head + 1;
        double limit = a.stride > 0 ? (double)INFINITY : head->value;
        int count = a.stride > 0 ? 0 : (int)head->at;
        for (int first = 0; first < a.c; first += BLOCK) {
            int k = first + (int)threadIdx.x, all;
            double v = k < a.c ? bias[k] + scale * x[r * (size_t)a.c + k] : (double)INFINITY;
            int in = v < limit;
            int to = count + sum_before(in, part, &all);
            if (in) {
                s[to].value = v;
                s[to].at = a.shift + (int64_t)k;
            }
            count += all;
        }
        __syncthreads(); /* the candidates are written */
        if (must_weed(&a, count)) {
            limit = weed(s, count, a.kernel, part, wide);
            count = a.kernel;
        }
        if (threadIdx.x == 0) {
            head->value = limit;
            head->at = count;
        }
    }
}

OP_API int row_nearest_fwd_cuda(const op_args *a)
{
    size_t rows = op_rows(a);
    launch_joined(fwd, grid_of(rows), a->stream, *a, rows);
    return launched("nearest of rows");
}
#endif
