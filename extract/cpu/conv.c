#include "extract/cpu/conv.h"
#include "common/err.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

enum {
    BLOCK_LENGTH = 1024,      /* window elements per block: 128 KiB of weights a panel of 32 */
    TILES_MAX = 64,           /* tiles worked on between two walks over the weights */
    INPUT_BYTES = 256 * 1024  /* of input they may touch, so that it stays in the L2 cache */
};

const conv_kernel *conv_kernel_best(void)
{
    const char *ask = getenv("OUTPOST_CPU");
    int most = 2;
    if (ask != NULL) most = strcmp(ask, "base") == 0 ? 0 : strcmp(ask, "avx2") == 0 ? 1 : 2;
    if (most >= 2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
        return &conv_kernel_avx512;
    if (most >= 1 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &conv_kernel_avx2;
    return &conv_kernel_base;
}

/* ---- preparation -------------------------------------------------------------------------------- */

/* The window as contiguous pieces of at most BLOCK_LENGTH, in the order ky, kx, ci. */
static int cut_window(conv *c, int cin, const view *x)
{
    int rc = 0, joined = x->ld == (size_t)cin;
    size_t k = (size_t)c->kernel_size, pieces = joined ? k : k * k;
    size_t length = joined ? k * (size_t)cin : (size_t)cin, room = 0;
    for (size_t i = 0; i < pieces; i++) {
        size_t at = joined ? i * x->row : i / k * x->row + i % k * x->ld;
        for (size_t from = 0; from < length; from += BLOCK_LENGTH) {
            size_t n = length - from < BLOCK_LENGTH ? length - from : BLOCK_LENGTH;
            TRY(mem_grow(&c->segments, &room, c->n_segments + 1, sizeof *c->segments, "conv"));
            c->segments[c->n_segments++] = (conv_segment){ at + from, n };
        }
    }
done:
    return rc;
}

static int cut_blocks(conv *c, size_t columns)
{
    int rc = 0;
    size_t at = 0;
    TRY(mem_new(&c->blocks, c->n_segments, sizeof *c->blocks, "conv"));
    for (size_t i = 0; i < c->n_segments; i++) {
        conv_block *b = c->n_blocks > 0 ? &c->blocks[c->n_blocks - 1] : NULL;
        if (b == NULL || b->length + c->segments[i].length > BLOCK_LENGTH) {
            b = &c->blocks[c->n_blocks++];
            *b = (conv_block){ .first = i, .packed = at };
        }
        b->end = i + 1;
        b->length += c->segments[i].length;
        at += c->segments[i].length * columns;
    }
done:
    return rc;
}

/* Panels of 4 vectors where a row of the output is too short for tall tiles, else of 2, then 1. */
static int cut_panels(conv *c, int short_rows)
{
    int rc = 0, lanes = c->kernel->lanes, left = (c->cout + lanes - 1) / lanes;
    TRY(mem_new(&c->panels, (size_t)left, sizeof *c->panels, "conv"));
    while (left > 0) {
        int n = left >= 4 && short_rows ? 4 : left >= 2 ? 2 : 1;
        c->panels[c->n_panels++] = n;
        left -= n;
    }
done:
    return rc;
}

/* w is OIHW; packed: block, panel, window element, channel of the panel. */
static void pack(conv *c, const float *w, int cin)
{
    int k = c->kernel_size, lanes = c->kernel->lanes;
    size_t done = 0, area = (size_t)k * (size_t)k, window = (size_t)cin * area;
    for (size_t b = 0; b < c->n_blocks; b++) {
        float *to = c->packed + c->blocks[b].packed;
        for (int p = 0, channel = 0; p < c->n_panels; channel += c->panels[p++] * lanes)
            for (size_t i = done; i < done + c->blocks[b].length; i++) {
                size_t ci = i % (size_t)cin, at = i / (size_t)cin;
                for (int o = channel; o < channel + c->panels[p] * lanes; o++)
                    *to++ = o < c->cout ? w[(size_t)o * window + ci * area + at] : 0.0f;
            }
        done += c->blocks[b].length;
    }
}

int conv_new(conv **out, const plan_step *step, const view *x, const view *y)
{
    int rc = 0;
    size_t columns = 0, window;
    conv *c = NULL;
    TRY(mem_new(&c, 1, sizeof *c, "conv"));
    c->kernel = conv_kernel_best();
    c->cout = y->c;
    c->kernel_size = step->kernel > 0 ? step->kernel : 1;
    c->stride = step->stride > 0 ? step->stride : 1;
    c->pad = step->pad;
    c->act = step->act;
    window = (size_t)x->c * (size_t)c->kernel_size * (size_t)c->kernel_size;
    TRY(cut_window(c, x->c, x));
    TRY(cut_panels(c, y->w > 1 && 2 * y->w <= c->kernel->tile_rows + 1));
    for (int i = 0; i < c->n_panels; i++)
        columns += (size_t)(c->panels[i] * c->kernel->lanes);
    TRY(cut_blocks(c, columns));
    TRY(mem_new_aligned(&c->packed, window * columns, sizeof *c->packed, step->name));
    TRY(mem_new(&c->bias, columns, sizeof *c->bias, step->name));
    pack(c, step->w, x->c);
    memcpy(c->bias, step->b, (size_t)c->cout * sizeof *c->bias);
    *out = c;
    c = NULL;
done:
    conv_free(&c);
    return rc;
}

void conv_free(conv **c)
{
    if (*c == NULL) return;
    free((*c)->segments);
    free((*c)->blocks);
    free((*c)->packed);
    free((*c)->bias);
    free((*c)->panels);
    free(*c);
    *c = NULL;
}

/* ---- running ------------------------------------------------------------------------------------ */

static void run_tiles(const conv *c, const conv_tile *tiles, size_t n, conv_tile_args *a)
{
    for (size_t b = 0; b < c->n_blocks; b++) {
        const conv_block *block = &c->blocks[b];
        int lanes = c->kernel->lanes, channel = 0;
        a->segments = c->segments + block->first;
        a->n_segments = block->end - block->first;
        a->last = b + 1 == c->n_blocks;
        a->w = c->packed + block->packed;
        for (int p = 0; p < c->n_panels; p++) {
            int vectors = c->panels[p], width = vectors * lanes;
            int rows = vectors == 4 ? c->kernel->tile_rows / 2 : c->kernel->tile_rows;
            a->bias = b == 0 ? c->bias + channel : NULL;
            a->columns = c->cout - channel < width ? c->cout - channel : width;
            for (size_t i = 0; i < n; i++) {
                conv_tile t = tiles[i];
                t.y += channel;
                if (t.r != NULL) t.r += channel;
                for (int left = tiles[i].pixels; left > 0; left -= t.pixels) {
                    t.pixels = left < rows ? left : rows;
                    c->kernel->tile(vectors, &t, a);
                    t.x += (size_t)t.pixels * a->x_step;
                    t.y += (size_t)t.pixels * a->y_step;
                    if (t.r != NULL) t.r += (size_t)t.pixels * a->r_step;
                }
            }
            a->w += block->length * (size_t)width;
            channel += width;
        }
    }
}

typedef struct batch { /* tiles that wait for the next walk over the weights */
    conv_tile tiles[TILES_MAX];
    size_t n;
    size_t most;
} batch;

static void flush(const conv *c, batch *b, conv_tile_args *a)
{
    if (b->n > 0) run_tiles(c, b->tiles, b->n, a);
    b->n = 0;
}

/* Cuts `count` equally spaced pixels into tiles of nearly equal height. */
static void add_row(const conv *c, batch *b, conv_tile_args *a, conv_tile t, size_t count)
{
    size_t rows = (size_t)c->kernel->tile_rows, n = (count + rows - 1) / rows;
    for (size_t i = 0; i < n; i++) {
        size_t pixels = count / n + (i < count % n);
        if (b->n == b->most) flush(c, b, a);
        t.pixels = (int)pixels;
        b->tiles[b->n++] = t;
        t.x += pixels * a->x_step;
        t.y += pixels * a->y_step;
        if (t.r != NULL) t.r += pixels * a->r_step;
    }
}

static int is_flat(const view *v)
{
    return v->row == (size_t)v->w * v->ld && v->image == (size_t)v->h * v->row;
}

void conv_run(const conv *c, const view *x, const view *y, const view *residual, int n)
{
    size_t stride = (size_t)c->stride, pad = (size_t)c->pad;
    size_t pixel_bytes = x->ld * sizeof(float) * stride * (c->kernel_size > 1 ? 2 : 1);
    const float *from = x->p - pad * x->row - pad * x->ld;
    conv_tile_args a = { .x_step = stride * x->ld, .y_step = y->ld,
                         .r_step = residual ? residual->ld : 0, .act = c->act };
    batch b;
    b.n = 0;
    b.most = (size_t)INPUT_BYTES / (pixel_bytes * (size_t)c->kernel->tile_rows);
    if (b.most < 4) b.most = 4;
    if (b.most > TILES_MAX) b.most = TILES_MAX;
    if (y->h == 1 && y->w == 1) { /* vectors: the images are the pixels of one row */
        a.x_step = x->image;
        a.y_step = y->image;
        if (residual) a.r_step = residual->image;
        add_row(c, &b, &a, (conv_tile){ from, residual ? residual->p : NULL, y->p, 0 }, (size_t)n);
    } else if (c->kernel_size == 1 && c->stride == 1 && is_flat(x) && is_flat(y) &&
        (residual == NULL || is_flat(residual))) {
        add_row(c, &b, &a, (conv_tile){ from, residual ? residual->p : NULL, y->p, 0 },
                (size_t)n * (size_t)y->h * (size_t)y->w);
    } else {
        for (size_t i = 0; i < (size_t)n; i++)
            for (size_t oy = 0; oy < (size_t)y->h; oy++)
                add_row(c, &b, &a,
                        (conv_tile){ from + i * x->image + oy * stride * x->row,
                                     residual ? residual->p + i * residual->image +
                                                    oy * residual->row
                                              : NULL,
                                     y->p + i * y->image + oy * y->row, 0 },
                        (size_t)y->w);
    }
    flush(c, &b, &a);
}
