#include "extract/cpu/conv.h"
#include "common/err.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

enum {
    BLOCK_BYTES = 4096,       /* window bytes per block: 128 KiB of f32 weights a panel of 32 */
    TILES_MAX = 64,           /* tiles worked on between two walks over the weights */
    INPUT_BYTES = 256 * 1024  /* of input they may touch, so that it stays in the L2 cache */
};

typedef struct packed { /* weights, perhaps of several convolutions; made and freed by one thread */
    int users;
    char *bytes;             /* panel, block, step, channel of the panel, element of the step */
    size_t size;
} packed;

struct conv {
    const conv_kernel *kernel;
    int cout, kh, kw, stride, top, left;
    size_t element;          /* bytes */
    activation act;
    conv_segment *segments;
    conv_block *blocks;
    size_t n_segments, n_blocks, steps;
    packed *w;
    float *bias;
    int *panels;             /* vectors of each panel */
    int n_panels;
};

const conv_kernel *conv_kernel_f32(void)
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

const conv_kernel *conv_kernel_bf16(void)
{
    return conv_kernel_f32() == &conv_kernel_avx512 && __builtin_cpu_supports("avx512bf16")
               ? &conv_kernel_avx512bf16
               : NULL;
}

static int is_flat(const view *v)
{
    return v == NULL ||
           (v->row == (size_t)v->w * v->ld && v->image == (size_t)v->h * v->row);
}

/* One pixel for one pixel. */
static int is_point(const conv *c)
{
    return c->kh == 1 && c->kw == 1 && c->stride == 1 && c->top == 0 && c->left == 0;
}

/* ---- preparation -------------------------------------------------------------------------------- */

/* The window as contiguous pieces of at most BLOCK_BYTES, in the order ky, kx, ci. */
static int cut_window(conv *c, int cin, const view *x)
{
    int rc = 0, joined = x->ld == (size_t)cin;
    size_t k = (size_t)c->kw, pieces = (size_t)c->kh * (joined ? 1 : k), unit = (size_t)c->kernel->unit;
    size_t length = joined ? k * (size_t)cin : (size_t)cin, room = 0, most = BLOCK_BYTES / c->element;
    if (c->kh * c->kw == 0) { /* nothing but the bias */
        TRY(mem_new(&c->segments, 1, sizeof *c->segments, "conv"));
        c->n_segments = 1;
    }
    for (size_t i = 0; i < pieces; i++) {
        size_t at = joined ? i * x->row : i / k * x->row + i % k * x->ld;
        for (size_t from = 0; from < length; from += most) {
            size_t n = length - from < most ? length - from : most;
            TRY(mem_grow(&c->segments, &room, c->n_segments + 1, sizeof *c->segments, "conv"));
            c->segments[c->n_segments++] =
                (conv_segment){ (at + from) * c->element, n, (n + unit - 1) / unit };
        }
    }
done:
    return rc;
}

static int cut_blocks(conv *c)
{
    int rc = 0;
    size_t most = BLOCK_BYTES / c->element / (size_t)c->kernel->unit;
    TRY(mem_new(&c->blocks, c->n_segments, sizeof *c->blocks, "conv"));
    for (size_t i = 0; i < c->n_segments; i++) {
        conv_block *b = c->n_blocks > 0 ? &c->blocks[c->n_blocks - 1] : NULL;
        if (b == NULL || b->steps + c->segments[i].steps > most) {
            b = &c->blocks[c->n_blocks++];
            *b = (conv_block){ .first = i, .before = c->steps };
        }
        b->end = i + 1;
        b->steps += c->segments[i].steps;
        c->steps += c->segments[i].steps;
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

/* n weights `apart` floats apart, as elements. */
static char *put(const conv *c, char *to, const float *w, size_t apart, size_t n)
{
    if (c->kernel->is_bf16)
        for (size_t i = 0; i < n; i++)
            ((bf16 *)(void *)to)[i] = bf16_from_float(w[i * apart]);
    else if (apart == 1) memcpy(to, w, n * sizeof *w);
    else
        for (size_t i = 0; i < n; i++)
            ((float *)(void *)to)[i] = w[i * apart];
    return to + n * c->element;
}

/* The weights of one output in the order of the window, segments in whole steps. */
static void window_row(const conv *c, char *to, const float *w, const conv_shape *of)
{
    size_t ci = 0, tap = 0, cin = (size_t)of->cin;
    for (size_t s = 0; s < c->n_segments; s++) {
        size_t left = c->segments[s].length;
        size_t more = (c->segments[s].steps * (size_t)c->kernel->unit - left) * c->element;
        while (left > 0) {
            size_t n = left < cin - ci ? left : cin - ci;
            to = put(c, to, w + ci * of->in_apart + of->tap[tap], of->in_apart, n);
            left -= n;
            if ((ci += n) < cin) continue;
            ci = 0;
            tap++;
        }
        memset(to, 0, more);
        to += more;
    }
}

/* One panel: its rows one below the other in `rows`, then turned over, a step a word. */
static char *pack_panel(const conv *c, char *to, char *rows, const float *w, const conv_shape *s, int first,
                        int width)
{
    const size_t row = c->steps * CONV_WORD;
    const size_t side = (size_t)c->kernel->turn_side;
    for (size_t o = 0; o < (size_t)width; o += side) {
        const char *of[CONV_TURN_MAX];
        char *column = to + o * CONV_WORD;
        size_t k = 0;
        for (size_t i = 0; i < side; i++) {
            size_t output = (size_t)first + o + i;
            of[i] = rows + i * row;
            if (output < (size_t)c->cout) window_row(c, rows + i * row, w + output * s->out_apart, s);
            else memset(rows + i * row, 0, row);
        }
        for (; k + side <= c->steps; k += side)
            c->kernel->turn(of, k, column + k * (size_t)width * CONV_WORD, (size_t)width);
        for (; k < c->steps; k++)
            for (size_t i = 0; i < side; i++)
                memcpy(column + (k * (size_t)width + i) * CONV_WORD, of[i] + k * CONV_WORD, CONV_WORD);
    }
    return to + row * (size_t)width;
}

static int packs_alike(const conv *a, const conv *b)
{
    int same = a->kernel == b->kernel && a->cout == b->cout && a->n_panels == b->n_panels &&
               a->n_segments == b->n_segments;
    for (int i = 0; same && i < a->n_panels; i++)
        same = a->panels[i] == b->panels[i];
    for (size_t i = 0; same && i < a->n_segments; i++)
        same = a->segments[i].length == b->segments[i].length;
    return same;
}

static int pack(conv *c, const conv_shape *s, const float *w, size_t columns)
{
    int rc = 0;
    char *to, *rows = NULL;
    TRY(mem_new(&c->w, 1, sizeof *c->w, s->name));
    c->w->users = 1;
    c->w->size = c->steps * (size_t)c->kernel->unit * columns * c->element;
    TRY(mem_new_aligned(&c->w->bytes, c->w->size, 1, s->name));
    TRY(mem_new(&rows, c->steps * CONV_TURN_MAX, CONV_WORD, s->name));
    to = c->w->bytes;
    for (int i = 0, channel = 0; i < c->n_panels; i++) {
        int width = c->panels[i] * c->kernel->lanes;
        to = pack_panel(c, to, rows, w, s, channel, width);
        channel += width;
    }
done:
    free(rows);
    return rc;
}

int conv_make(conv **out, const conv_shape *s, const float *w, const float *b, const view *x, const view *y,
              const conv *like)
{
    int rc = 0, joined; /* rows of the map run on into each other, as tokens do */
    size_t columns = 0;
    conv *c = NULL;
    TRY(mem_new(&c, 1, sizeof *c, "conv"));
    c->kernel = x->is_bf16 ? conv_kernel_bf16() : conv_kernel_f32();
    CHECK(c->kernel != NULL, ERR_ENV, "this processor has no bf16 dot products (-p fp32)");
    c->element = view_bytes(x);
    c->cout = s->cout;
    c->kh = s->kh;
    c->kw = s->kw;
    c->stride = s->stride;
    c->top = s->top;
    c->left = s->left;
    c->act = s->act;
    TRY(cut_window(c, s->cin, x));
    TRY(cut_blocks(c));
    joined = is_point(c) && is_flat(x) && is_flat(y);
    TRY(cut_panels(c, !joined && y->w > 1 && 2 * y->w <= c->kernel->tile_rows + 1));
    for (int i = 0; i < c->n_panels; i++)
        columns += (size_t)(c->panels[i] * c->kernel->lanes);
    TRY(mem_new(&c->bias, columns, sizeof *c->bias, s->name));
    if (b != NULL) memcpy(c->bias, b, (size_t)c->cout * sizeof *c->bias);
    if (like != NULL && packs_alike(c, like)) {
        c->w = like->w;
        c->w->users++;
    } else {
        TRY(pack(c, s, w, columns));
    }
    *out = c;
    c = NULL;
done:
    conv_free(&c);
    return rc;
}

int conv_new(conv **out, const plan_step *step, const view *x, const view *y, const conv *like)
{
    int rc = 0, k = step->kernel > 0 ? step->kernel : 1;
    size_t area = (size_t)(k * k), *tap = NULL;
    conv_shape s = { .name = step->name, .cin = x->c, .cout = y->c, .kh = k, .kw = k,
                     .stride = step->stride > 0 ? step->stride : 1, .top = -step->pad, .left = -step->pad,
                     .out_apart = (size_t)x->c * area, .in_apart = area, .act = step->act };
    TRY(mem_new(&tap, area, sizeof *tap, step->name));
    for (size_t i = 0; i < area; i++)
        tap[i] = i;
    s.tap = tap;
    TRY(conv_make(out, &s, step->w, step->b, x, y, like));
done:
    free(tap);
    return rc;
}

size_t conv_bytes(const conv *c)
{
    return c->w->users == 1 ? c->w->size : 0;
}

void conv_free(conv **c)
{
    if (*c == NULL) return;
    free((*c)->segments);
    free((*c)->blocks);
    if ((*c)->w != NULL && --(*c)->w->users == 0) {
        free((*c)->w->bytes);
        free((*c)->w);
    }
    free((*c)->bias);
    free((*c)->panels);
    free(*c);
    *c = NULL;
}

/* ---- running ------------------------------------------------------------------------------------ */

typedef struct batch { /* tiles that wait for the next walk over the weights */
    conv_tile tiles[TILES_MAX];
    size_t n, most;
    conv_tile_args a;
    float sums[TILES_MAX * CONV_TILE_MAX]; /* of one panel, between blocks */
} batch;

/* A tile of more pixels than a panel of this width allows runs in parts. */
static void run_tile(const conv *c, const batch *b, conv_tile t, int vectors, size_t channel)
{
    int most = vectors == 4 ? c->kernel->tile_rows / 2 : c->kernel->tile_rows, left = t.pixels;
    t.y += channel * c->element;
    if (t.r != NULL) t.r += channel * c->element;
    if (t.g != NULL) t.g += channel * c->element;
    while (left > 0) {
        t.pixels = left < most ? left : most;
        c->kernel->tile(vectors, &t, &b->a);
        t.x += (size_t)t.pixels * b->a.x_step;
        t.y += (size_t)t.pixels * b->a.y_step;
        if (t.r != NULL) t.r += (size_t)t.pixels * b->a.r_step;
        if (t.g != NULL) t.g += (size_t)t.pixels * b->a.g_step;
        t.sums += t.pixels * vectors * c->kernel->lanes;
        left -= t.pixels;
    }
}

static void flush(const conv *c, batch *b)
{
    size_t channel = 0, unit = (size_t)c->kernel->unit;
    const char *w = c->w->bytes;
    for (int p = 0; p < c->n_panels && b->n > 0; p++) {
        size_t width = (size_t)(c->panels[p] * c->kernel->lanes);
        b->a.bias = c->bias + channel;
        b->a.sum_step = width;
        b->a.columns = c->cout - (int)channel < (int)width ? c->cout - (int)channel : (int)width;
        for (size_t k = 0; k < c->n_blocks; k++) {
            const conv_block *block = &c->blocks[k];
            b->a.segments = c->segments + block->first;
            b->a.n_segments = block->end - block->first;
            b->a.first = k == 0;
            b->a.last = k + 1 == c->n_blocks;
            b->a.w = w;
            for (size_t i = 0; i < b->n; i++)
                run_tile(c, b, b->tiles[i], c->panels[p], channel);
            w += block->steps * unit * width * c->element;
        }
        channel += width;
    }
    b->n = 0;
}

/* Cuts `count` equally spaced pixels into tiles of nearly equal height, whose sums of the widest panel
 * are CONV_TILE_MAX at most. */
static void add_row(const conv *c, batch *b, conv_tile t, size_t count)
{
    size_t rows = (size_t)c->kernel->tile_rows / (c->panels[0] == 4 ? 2 : 1);
    size_t n = (count + rows - 1) / rows;
    for (size_t i = 0; i < n; i++) {
        size_t pixels = count / n + (i < count % n);
        if (b->n == b->most) flush(c, b);
        t.pixels = (int)pixels;
        t.sums = b->sums + b->n * CONV_TILE_MAX;
        b->tiles[b->n++] = t;
        t.x += pixels * b->a.x_step;
        t.y += pixels * b->a.y_step;
        if (t.r != NULL) t.r += pixels * b->a.r_step;
        if (t.g != NULL) t.g += pixels * b->a.g_step;
    }
}

static size_t tiles_per_walk(const conv *c, const view *x)
{
    size_t pixel = x->ld * c->element * (size_t)c->stride * (c->kh > 1 ? 2 : 1);
    size_t n = INPUT_BYTES / (pixel * (size_t)c->kernel->tile_rows);
    return n < 4 ? 4 : n > TILES_MAX ? TILES_MAX : n;
}

static size_t image_step(const view *v)
{
    return v != NULL ? v->image * view_bytes(v) : 0;
}

static size_t pixel_step(const view *v)
{
    return v != NULL ? v->ld * view_bytes(v) : 0;
}

static char *row_of(const view *v, size_t i, size_t row)
{
    return v != NULL ? (char *)v->p + (i * v->image + row * v->row) * view_bytes(v) : NULL;
}

void conv_run_ending(const conv *c, const view *x, const view *y, const conv_ending *e, int n)
{
    const ptrdiff_t corner = (c->top * (ptrdiff_t)x->row + c->left * (ptrdiff_t)x->ld) * (ptrdiff_t)c->element;
    const view *r = e->residual, *g = e->gate != OP_COUNT ? e->at : NULL;
    size_t stride = (size_t)c->stride;
    conv_tile t = { .x = row_of(x, 0, 0) + corner, .r = row_of(r, 0, 0), .g = row_of(g, 0, 0), .y = y->p };
    batch b;
    b.n = 0;
    b.most = tiles_per_walk(c, x);
    b.a = (conv_tile_args){ .x_step = stride * pixel_step(x), .y_step = pixel_step(y), .r_step = pixel_step(r),
                            .g_step = pixel_step(g), .low = activation_low(c->act),
                            .high = activation_high(c->act), .curve = activation_curve(c->act),
                            .gate = e->gate, .after = e->after };
    if (y->h == 1 && y->w == 1) { /* vectors: the images are the pixels of one row */
        b.a.x_step = image_step(x);
        b.a.y_step = image_step(y);
        b.a.r_step = image_step(r);
        b.a.g_step = image_step(g);
        add_row(c, &b, t, (size_t)n);
    } else if (is_point(c) && is_flat(x) && is_flat(y) && is_flat(r) && is_flat(g)) {
        add_row(c, &b, t, (size_t)n * (size_t)y->h * (size_t)y->w);
    } else {
        for (size_t i = 0; i < (size_t)n; i++)
            for (size_t oy = 0; oy < (size_t)y->h; oy++) {
                t.x = row_of(x, i, oy * stride) + corner;
                t.y = row_of(y, i, oy);
                t.r = row_of(r, i, oy);
                t.g = row_of(g, i, oy);
                add_row(c, &b, t, (size_t)y->w);
            }
    }
    flush(c, &b);
}

void conv_run(const conv *c, const view *x, const view *y, const view *residual, int n)
{
    conv_run_ending(c, x, y, &(conv_ending){ .residual = residual, .gate = OP_COUNT }, n);
}
