/* Coefficients of a JPEG to samples: dequantised, inverse DCT "islow", + 128, clamped (models.md 11.1).
 * Every sum is as wide as in libjpeg-turbo's vector code (16-bit sums that wrap, 32-bit products, saturating
 * packs), which is what its plain code gives for the coefficients that encoders write.
 *   x0 record_image [n]; u8 the batch's records; x2 = y scratch, where the samples go
 *   y_c tasks of the group
 * Both twins give the same bytes.
 * Compiled twice: as C11 (the CPU twin) and by nvcc (the CUDA twin). */
#include "kernels/record.h"
#include "kernels/table.h"

OP_MATH int add16(int a, int b)
{
    return (int16_t)(uint16_t)((unsigned)a + (unsigned)b);
}

OP_MATH int add32(int a, int b)
{
    return (int)((unsigned)a + (unsigned)b);
}

/* Half is added, `bits` are dropped, what 16 bits do not hold becomes the largest that they do. */
OP_MATH int descale(int a, int b, int bits)
{
    int v = add32(add32(a, b), 1 << (bits - 1)) >> bits;
    return v < -32768 ? -32768 : v > 32767 ? 32767 : v;
}

/* x[0], x[step], ...: one column or row. */
OP_MATH void idct_pass(int *x, int step, int bits)
{
    int x0 = x[0], x1 = x[step], x2 = x[2 * step], x3 = x[3 * step], x4 = x[4 * step], x5 = x[5 * step],
        x6 = x[6 * step], x7 = x[7 * step];
    int e3 = x2 * (4433 + 6270) + x6 * 4433, e2 = x2 * 4433 + x6 * (4433 - 15137);
    int e0 = add16(x0, x4) * 8192, e1 = add16(x0, -x4) * 8192;
    int u0 = add32(e0, e3), u3 = add32(e0, -e3), u1 = add32(e1, e2), u2 = add32(e1, -e2);
    int z3 = add16(x7, x3), z4 = add16(x5, x1);
    int w3 = z3 * (9633 - 16069) + z4 * 9633, w4 = z3 * 9633 + z4 * (9633 - 3196);
    int t0 = add32(x7 * (2446 - 7373) + x1 * -7373, w3);
    int t3 = add32(x7 * -7373 + x1 * (12299 - 7373), w4);
    int t1 = add32(x5 * (16819 - 20995) + x3 * -20995, w4);
    int t2 = add32(x5 * -20995 + x3 * (25172 - 20995), w3);
    x[0] = descale(u0, t3, bits);
    x[7 * step] = descale(u0, -t3, bits);
    x[step] = descale(u1, t2, bits);
    x[6 * step] = descale(u1, -t2, bits);
    x[2 * step] = descale(u2, t1, bits);
    x[5 * step] = descale(u2, -t1, bits);
    x[3 * step] = descale(u3, t0, bits);
    x[4 * step] = descale(u3, -t0, bits);
}

OP_MATH unsigned idct_byte(int v)
{
    return (unsigned)(v < -128 ? 0 : v > 127 ? 255 : v + 128);
}

OP_MATH int ones_of(uint64_t v)
{
#ifdef __CUDA_ARCH__
    return __popcll(v);
#else
    return __builtin_popcountll(v);
#endif
}

/* Row r of a block: its eight coefficients times their quantisers, in 16 bits. */
OP_MATH void row_of(const record_block *b, const unsigned char *values, const int16_t *quant, int r, int *x)
{
    unsigned in = (unsigned)(b->mask >> (8 * r)) & 255u;
    const unsigned char *v =
        values + b->at + (size_t)ones_of(b->mask & (((uint64_t)1 << (8 * r)) - 1)) * b->wide;
    for (int k = 0; k < 8; k++) {
        int c = r == 0 && k == 0 ? b->dc : 0;
        if (in >> k & 1) {
            c = b->wide == 1 ? (int8_t)v[0] : (int16_t)(uint16_t)(v[0] | (unsigned)v[1] << 8);
            v += b->wide;
        }
        x[k] = (int16_t)(uint16_t)((unsigned)c * (unsigned)(int)quant[8 * r + k]);
    }
}

/* Block i of an image: which plane's, and which of that plane's. */
OP_MATH const record_plane *plane_of(const record_image *d, unsigned *i)
{
    int k = 0;
    for (; k < d->planes; k++) {
        unsigned n = (unsigned)d->plane[k].wide * (unsigned)d->plane[k].high;
        if (*i < n) return &d->plane[k];
        *i -= n;
    }
    return NULL;
}

OP_MATH unsigned char *samples_at(const record_image *d, const record_plane *p, unsigned char *scratch,
                                  unsigned i)
{
    unsigned y = i / (unsigned)p->wide, x = i % (unsigned)p->wide;
    return scratch + d->scratch + p->samples + ((size_t)y * (size_t)p->wide * 8 + x) * 8;
}
#ifndef __CUDACC__
static void one_image(const record_image *d, const unsigned char *base, unsigned char *scratch)
{
    int x[64];
    unsigned i = 0, k = 0;
    const record_plane *p;
    for (; d->kind == RECORD_JPEG && (k = i, p = plane_of(d, &k)) != NULL; i++) {
        const record_block *b = RECORD_AT(record_block, d, base, p->blocks) + k;
        unsigned char *to = samples_at(d, p, scratch, k);
        for (int r = 0; r < 8; r++)
            row_of(b, base + d->from + d->values, RECORD_AT(int16_t, d, base, p->quant), r, x + 8 * r);
        for (int r = 0; r < 8; r++)
            idct_pass(x + r, 8, 11);
        for (int r = 0; r < 8; r++, to += (size_t)p->wide * 8) {
            idct_pass(x + 8 * r, 1, 18);
            for (int c = 0; c < 8; c++)
                to[c] = (unsigned char)idct_byte(x[8 * r + c]);
        }
    }
}

int jpeg_samples_fwd_cpu(const op_args *a)
{
    const record_image *d = a->x[0];
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < a->n; i++)
        one_image(d + i, a->u8, a->y);
    return 0;
}
#else
#include "kernels/launch.h"

/* Eight threads a block: each takes a row, then a column, then the row again. */
static __global__ void fwd(const record_image *images, int n, unsigned tasks, const unsigned char *base,
                           unsigned char *scratch)
{
    enum { LINE = 9, TILE = 8 * LINE }; /* one to spare: columns of all blocks lie in different banks */
    __shared__ int tile[RECORD_TASK_BLOCKS * TILE];
    int mine = (int)threadIdx.x / 8, r = (int)threadIdx.x % 8;
    int *x = tile + mine * TILE;
    for (unsigned task = blockIdx.x; task < tasks; task += gridDim.x) {
        const record_image *d = record_of(images, n, STAGE_SAMPLES, task);
        unsigned k = (task - d->first[STAGE_SAMPLES]) * RECORD_TASK_BLOCKS + (unsigned)mine;
        const record_plane *p = plane_of(d, &k);
        if (p != nullptr) {
            record_block b = RECORD_AT(record_block, d, base, p->blocks)[k];
            row_of(&b, base + d->from + d->values, RECORD_AT(int16_t, d, base, p->quant), r, x + LINE * r);
        }
        __syncthreads();
        if (p != nullptr) idct_pass(x + r, LINE, 11);
        __syncthreads();
        if (p != nullptr) {
            uint2 out = { 0, 0 };
            int *row = x + LINE * r;
            idct_pass(row, 1, 18);
            for (int c = 0; c < 4; c++) {
                out.x |= idct_byte(row[c]) << (8 * c);
                out.y |= idct_byte(row[4 + c]) << (8 * c);
            }
            *(uint2 *)(samples_at(d, p, scratch, k) + (size_t)r * (size_t)p->wide * 8) = out;
        } /* the next task begins with this thread's own row */
    }
}

OP_API int jpeg_samples_fwd_cuda(const op_args *a)
{
    launch_joined(fwd, grid_of((size_t)a->y_c), a->stream, (const record_image *)a->x[0], a->n,
                  (unsigned)a->y_c, a->u8, (unsigned char *)a->y);
    return launched("JPEG samples");
}
#endif
