/* Images on their way to the decode kernels: a record each, one behind another in one buffer.
 * A record is an image as far as the CPU takes it: a JPEG's quantised coefficients, of the blocks that the
 * wanted pixels need, with its quantisers and the weights of its resize; or pixels that are done.  The
 * kernels make bytes [n,h,w,3] of them, those of the CPU's decoder and resize, image by image:
 *
 *   jpeg_samples  coefficients -> samples of each component    8x8 blocks, inverse DCT
 *   jpeg_rgb      samples -> pixels of the window              upsampling, colour
 *   resize_across window -> its rows at the new width          where the width changes
 *   resize_down   rows -> the output, centred, zeros around it
 *
 * Images differ in size, so the work of each kernel is cut into tasks of one CUDA block, numbered through
 * the images of a group; a block finds its image by halving.
 * Read by C11 and by nvcc's C++17; everything in a record is little-endian. */
#ifndef OUTPOST_KERNEL_RECORD_H
#define OUTPOST_KERNEL_RECORD_H

#include "kernels/op.h"

enum {
    RECORD_PLANES = 3,
    RECORD_ALIGN = 16,
    RECORD_BITS = 22,       /* weights of the resize are in units of 2^-22 */
    RECORD_TASK_BLOCKS = 32, /* 8x8 blocks of a task of jpeg_samples */
    RECORD_TASK = 256,       /* outputs of a task of the others; jpeg_rgb: groups of RECORD_RUN pixels */
    RECORD_RUN = 4
};
enum record_kind { RECORD_EMPTY, RECORD_PIXELS, RECORD_JPEG };
enum record_stage { STAGE_SAMPLES, STAGE_RGB, STAGE_ACROSS, STAGE_DOWN, RECORD_STAGES };

/* A block's coefficients in natural order: the DC coefficient and those others that are not 0. */
typedef struct record_block {
    uint64_t mask; /* bit k: coefficient k has a value; bit 0 is clear */
    uint32_t at;   /* byte of the first in the record's values */
    int16_t dc;
    uint16_t wide; /* bytes of a value, 1 or 2 */
} record_block;

typedef struct record_plane { /* the blocks of a component that lie in or near the window */
    uint32_t quant;           /* byte in the record: int16 [64], natural order */
    uint32_t blocks;          /* likewise: record_block [high][wide] */
    int32_t wide, high;
    int32_t x, y;          /* which sample of the component the first one here is */
    int32_t width, height; /* of the whole component: samples outside repeat its edge */
    uint32_t samples;      /* byte in the image's scratch: [high * 8][wide * 8] */
} record_plane;

typedef struct record_axis {
    int32_t count, most; /* outputs, taps of one; count 0: this axis keeps its size */
    uint32_t taps;       /* byte in the record: int32 [count][2], first pixel of the window and number;
                            behind them int32 [count][most], weights */
} record_axis;

typedef struct record_image {
    int32_t kind;             /* enum record_kind */
    uint32_t bytes;           /* of the record; PIXELS: [h,w,3] */
    uint64_t at;              /* of the record in the batch's buffer */
    int32_t planes;           /* 1: grey, 3: YCbCr */
    int32_t sx, sy;           /* pixels of a chroma sample, 1 or 2 */
    int32_t x, y, w, h;       /* the window of the picture */
    uint32_t values;          /* byte in the record where values begin */
    record_plane plane[RECORD_PLANES];
    record_axis across, down;
    int32_t to_x, to_y, cw, ch; /* where in the output the result is; zeros elsewhere */
    /* Set by record_layout(). */
    uint64_t from;                 /* as `at`, in the memory that the kernels see */
    uint64_t scratch;              /* byte of the group's scratch where the image's begins */
    uint32_t rgb, mid;             /* bytes in the image's scratch: [h][record_line], [h][cw,3] */
    uint32_t first[RECORD_STAGES]; /* tasks of the group before this image's */
    uint32_t group;                /* in a group's first image: its images, */
    uint32_t tasks[RECORD_STAGES]; /* its tasks, */
    uint64_t group_scratch;        /* its scratch */
} record_image;

/* A batch: images[n], then the records, in one piece of memory. */
typedef struct record_batch {
    record_image *images; /* [n] also where the memory begins */
    size_t n, bytes;      /* images; bytes in use, images included */
} record_batch;

typedef struct record_limits {
    size_t batch;    /* bytes of a batch, its record_images included */
    size_t one;      /* bytes of a record that is no plain pixels */
    size_t scratch;  /* bytes that an image may need */
    size_t together; /* bytes of scratch that there are: what decides how many images are a group */
} record_limits;

OP_MATH size_t record_aligned(size_t bytes)
{
    return (bytes + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
}

/* Bytes from one row of pixels in the scratch to the next. */
OP_MATH size_t record_line(const record_image *d)
{
    return (size_t)((d->w + RECORD_RUN - 1) / RECORD_RUN) * RECORD_RUN * 3;
}

#define RECORD_AT(type, d, base, offset) ((const type *)(const void *)((base) + (d)->from + (offset)))

#ifndef __CUDACC__
/* For batches of images that come out as h x w pixels.  Pixels of every image fit beside each other;
 * records of JPEGs mostly do, as an ImageNet picture's is 100 to 300 KB. */
static inline record_limits record_limits_of(size_t batch, size_t h, size_t w)
{
    record_limits l;
    size_t each = record_aligned(h * w * 3) + (256u << 10);
    l.batch = batch * (each + sizeof(record_image));
    l.one = each * (batch / 4 > 1 ? batch / 4 : 1);
    l.scratch = 16u << 20;
    l.together = batch * (1u << 20) < l.scratch ? l.scratch : batch * (1u << 20);
    if (l.together > 128u << 20) l.together = 128u << 20;
    return l;
}

static inline uint32_t record_tasks(size_t work, size_t each)
{
    return (uint32_t)((work + each - 1) / each);
}

/* Places what the kernels make of one image; its scratch in bytes.  tasks: of each stage. */
static inline size_t record_place(record_image *d, size_t h, size_t w, uint32_t tasks[RECORD_STAGES])
{
    size_t at = 0, blocks = 0;
    memset(tasks, 0, RECORD_STAGES * sizeof *tasks);
    tasks[STAGE_DOWN] = record_tasks(h * w, RECORD_TASK);
    if (d->kind != RECORD_JPEG) return 0;
    for (int i = 0; i < d->planes; i++) {
        size_t n = (size_t)d->plane[i].wide * (size_t)d->plane[i].high;
        d->plane[i].samples = (uint32_t)at;
        at += n * 64;
        blocks += n;
    }
    tasks[STAGE_SAMPLES] = record_tasks(blocks, RECORD_TASK_BLOCKS);
    d->rgb = (uint32_t)at;
    at += record_aligned(record_line(d) * (size_t)d->h);
    tasks[STAGE_RGB] = record_tasks(record_line(d) / (3 * RECORD_RUN) * (size_t)d->h, RECORD_TASK);
    d->mid = (uint32_t)at;
    if (d->across.count > 0) {
        at += record_aligned((size_t)d->cw * 3 * (size_t)d->h);
        tasks[STAGE_ACROSS] = record_tasks((size_t)d->cw * (size_t)d->h, RECORD_TASK);
    }
    return at;
}

/* Makes groups of images[0..n): each has as many as `together` bytes of scratch hold, and as `room` bytes
 * of records hold where they are moved together (room 0: they stay where they are). */
static inline void record_layout(record_image *images, size_t n, size_t h, size_t w, size_t together,
                                 size_t room)
{
    record_image *head = NULL;
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++) {
        record_image *d = &images[i];
        uint32_t tasks[RECORD_STAGES];
        size_t scratch = record_place(d, h, w, tasks);
        size_t own = record_aligned(d->bytes) + sizeof *d;
        if (head == NULL || head->group_scratch + scratch > together || (room > 0 && bytes + own > room)) {
            head = d;
            head->group = 0;
            head->group_scratch = bytes = 0;
            memset(head->tasks, 0, sizeof head->tasks);
        }
        d->from = d->at;
        d->scratch = head->group_scratch;
        head->group_scratch += scratch;
        head->group++;
        bytes += own;
        for (int s = 0; s < RECORD_STAGES; s++) {
            d->first[s] = head->tasks[s];
            head->tasks[s] += tasks[s];
        }
    }
}
#else
/* The image of a task: the last whose first task is not behind it. */
static __device__ __forceinline__ const record_image *record_of(const record_image *images, int n, int stage,
                                                                unsigned task)
{
    int lo = 0;
    while (n > 1) {
        int half = n / 2;
        if (images[lo + half].first[stage] <= task) {
            lo += half;
            n -= half;
        } else {
            n = half;
        }
    }
    return images + lo;
}
#endif

#endif
