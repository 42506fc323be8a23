#include "extract/cpu/attention_back.h"
#include "extract/cpu/attention_pack.h"
#include "extract/cpu/attention_parts.h"
#include "extract/cpu/lines.h"
#include "common/err.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

struct attention_back {
    attention *a;          /* of f32 maps: sizes, bias, masks, tiles */
    size_t *row, *column;  /* [windows, n] pixel of each token */
    size_t *line;          /* [n] bytes of row i of [n,d] floats */
    float *zeros;          /* [keys or width] */
    conv_segment *down;    /* [rows of a block] a column of scores: one element of each row */
    float scale;
};

/* One worker's memory, in floats; width: d in whole vectors. */
typedef struct desk {
    float *q, *k, *v, *g;         /* [n, d] of this head */
    float *keys, *values;         /* panels: k and v with tokens as columns */
    float *key_rows;              /* panels: k with elements as columns */
    float *s, *p;                 /* [block, step] probabilities; their gradient */
    float *sums;                  /* [rows of a block] */
    float *block;                 /* panels: rows of g or of q of the block */
    float *dq, *dk, *dv;          /* [block, width], [n, width], [n, width] */
    size_t bytes;
} desk;

static size_t block_rows(const attention *a)
{
    return a->block * (size_t)a->kernel->tile_rows;
}

static desk desk_at(const attention_back *b, float *at)
{
    const attention *a = b->a;
    const size_t lanes = (size_t)a->kernel->lanes, keys = a->key_vectors * lanes, width = a->value_vectors * lanes;
    const size_t rows = block_rows(a), nd = a->n * a->d, align = MEM_ALIGN / sizeof *at;
    const size_t size[] = { nd, nd, nd, nd, a->d * keys, a->d * keys, a->n * width, rows * a->soft.step,
                            rows * a->soft.step, rows, rows * width, rows * width, a->n * width, a->n * width };
    desk k;
    float **const to[] = { &k.q, &k.k, &k.v, &k.g, &k.keys, &k.values, &k.key_rows, &k.s, &k.p, &k.sums, &k.block,
                           &k.dq, &k.dk, &k.dv };
    size_t sum = 0;
    for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
        *to[i] = at != NULL ? at + sum : NULL;
        sum += (size[i] + align - 1) / align * align;
    }
    k.bytes = sum * sizeof *at;
    return k;
}

/* ---- preparation -------------------------------------------------------------------------------- */

/* As attention.c's, as coordinates. */
static int find_tokens(attention_back *b, const node *v, const view *y)
{
    int rc = 0, side = v->window > 0 ? v->window : y->h, wide = v->window > 0 ? v->window : y->w;
    int across = y->w / wide;
    size_t n = b->a->n, all = b->a->windows * n;
    TRY(mem_new(&b->row, all, sizeof *b->row, "attention"));
    TRY(mem_new(&b->column, all, sizeof *b->column, "attention"));
    for (size_t i = 0; i < all; i++) {
        int window = (int)(i / n), token = (int)(i % n);
        b->row[i] = (size_t)((window / across * side + token / wide + v->shift) % y->h);
        b->column[i] = (size_t)((window % across * wide + token % wide + v->shift) % y->w);
    }
done:
    return rc;
}

int attention_back_new(attention_back **out, const plan_step *s, const view *g, const view *y)
{
    int rc = 0;
    attention_back *b = NULL;
    view of_x = *y, of_g = *g; /* as if they were f32 */
    size_t widest, rows;
    of_x.is_bf16 = of_g.is_bf16 = 0;
    TRY(mem_new(&b, 1, sizeof *b, s->name));
    TRY(attention_new(&b->a, s, &of_x, &of_g));
    b->scale = s->v->scale;
    TRY(find_tokens(b, s->v, y));
    widest = b->a->key_vectors > b->a->value_vectors ? b->a->key_vectors : b->a->value_vectors;
    TRY(mem_new(&b->zeros, widest * (size_t)b->a->kernel->lanes, sizeof *b->zeros, s->name));
    TRY(mem_new(&b->line, b->a->n, sizeof *b->line, s->name));
    for (size_t i = 0; i < b->a->n; i++)
        b->line[i] = i * b->a->d * sizeof(float);
    rows = block_rows(b->a);
    TRY(mem_new(&b->down, rows, sizeof *b->down, s->name));
    for (size_t i = 0; i < rows; i++)
        b->down[i] = (conv_segment){ i * b->a->soft.step * sizeof(float), 1, 1 };
    *out = b;
    b = NULL;
done:
    attention_back_free(&b);
    return rc;
}

void attention_back_free(attention_back **b)
{
    if (*b == NULL) return;
    attention_free(&(*b)->a);
    free((*b)->row);
    free((*b)->column);
    free((*b)->line);
    free((*b)->zeros);
    free((*b)->down);
    free(*b);
    *b = NULL;
}

size_t attention_back_scratch(const attention_back *b)
{
    return desk_at(b, NULL).bytes;
}

/* ---- running ------------------------------------------------------------------------------------ */

typedef struct work { /* one head of one window */
    const size_t *row, *column;
    const float *bias, *mask;
    size_t image, channel; /* of the head's first one */
} work;

/* Channels from `first` on of the window's tokens -> [n, d] floats. */
static void read_tokens(const attention *a, const view *x, const work *w, size_t first, float *to)
{
    for (size_t i = 0; i < a->n; i++, to += a->d)
        LINE_OF(x, widen, view_pixel(x, w->image, w->row[i], w->column[i]) + first * view_bytes(x), to, a->d);
}

static void write_token(const attention *a, const view *y, const work *w, size_t token, size_t first,
                        const float *from)
{
    LINE_OF(y, narrow, from, view_pixel(y, w->image, w->row[token], w->column[token]) + first * view_bytes(y),
            a->d);
}

/* to [rows, width] = x [rows, deep] w, or the sum with what is there; x_step: bytes from row to row. */
static void product(const attention_back *b, const float *x, size_t x_step, size_t rows, const conv_segment *deep,
                    size_t n_deep, size_t depth, const float *w, float *to, int first)
{
    const attention *a = b->a;
    const size_t lanes = (size_t)a->kernel->lanes, most = (size_t)a->kernel->tile_rows;
    conv_tile_args args = { .segments = deep, .n_segments = n_deep, .first = first, .bias = b->zeros,
                            .x_step = x_step, .sum_step = a->value_vectors * lanes };
    for (size_t v = 0, vectors; v < a->value_vectors; v += vectors) {
        vectors = panel_vectors(a->value_vectors - v);
        args.w = w + v * lanes * depth;
        for (size_t i = 0; i < rows; i += most) {
            conv_tile t = { .x = (const char *)x + i * x_step, .pixels = (int)(rows - i < most ? rows - i : most),
                            .sums = to + i * args.sum_step + v * lanes };
            a->kernel->tile((int)vectors, &t, &args);
        }
    }
}

/* Probabilities of a block of rows in k->s, gradients of the scores in k->p. */
static void score_block(const attention_back *b, const desk *k, const work *w, size_t first, size_t end)
{
    const attention *a = b->a;
    const size_t start = attention_tile_start(a, first), rows = attention_tile_start(a, end) - start;
    attention_scores(a, (const char *)(k->q + start * a->d), (const char *)k->keys, a->start, k->s, first, end);
    attention_scores(a, (const char *)(k->g + start * a->d), (const char *)k->values, b->zeros, k->p, first, end);
    a->kernel->softmax(&a->soft, k->s, w->bias ? w->bias + start * a->soft.step : NULL,
                       w->mask ? w->mask + start * a->soft.step : NULL, rows, k->sums);
    for (size_t i = 0; i < rows; i++)
        line_softmax_back(k->s + i * a->soft.step, k->p + i * a->soft.step, a->n, 1.0f / k->sums[i], b->scale);
}

static void run_block(const attention_back *b, const desk *k, const view *y, const work *w, size_t first, size_t end)
{
    const attention *a = b->a;
    const size_t start = attention_tile_start(a, first), rows = attention_tile_start(a, end) - start;
    const size_t step = a->soft.step * sizeof(float), width = a->value_vectors * (size_t)a->kernel->lanes;
    const pack_shape block = { a->kernel, rows, a->d };
    const conv_segment along = { 0, a->n, a->n };
    score_block(b, k, w, first, end);
    product(b, k->p, step, rows, &along, 1, a->n, k->key_rows, k->dq, 1);
    for (size_t i = 0; i < rows; i++)
        write_token(a, y, w, start + i, w->channel, k->dq + i * width);
    pack_values(&block, (char *)k->block, (const char *)k->g, b->line + start);
    product(b, k->s, sizeof(float), a->n, b->down, rows, rows, k->block, k->dv, start == 0);
    pack_values(&block, (char *)k->block, (const char *)k->q, b->line + start);
    product(b, k->p, sizeof(float), a->n, b->down, rows, rows, k->block, k->dk, start == 0);
}

static void run_head(const attention_back *b, const desk *k, const view *g, const view *x, const view *y,
                     const work *w)
{
    const attention *a = b->a;
    const pack_shape all = { a->kernel, a->n, a->d };
    const size_t c = (size_t)g->c, width = a->value_vectors * (size_t)a->kernel->lanes;
    read_tokens(a, x, w, w->channel, k->q);
    read_tokens(a, x, w, c + w->channel, k->k);
    read_tokens(a, x, w, 2 * c + w->channel, k->v);
    read_tokens(a, g, w, w->channel, k->g);
    pack_keys(&all, (char *)k->keys, (const char *)k->k, b->line);
    pack_keys(&all, (char *)k->values, (const char *)k->v, b->line);
    pack_values(&all, (char *)k->key_rows, (const char *)k->k, b->line);
    for (size_t first = 0, end; first < a->tiles; first = end) {
        end = first + a->block < a->tiles ? first + a->block : a->tiles;
        run_block(b, k, y, w, first, end);
    }
    for (size_t i = 0; i < a->n; i++) {
        write_token(a, y, w, i, c + w->channel, k->dk + i * width);
        write_token(a, y, w, i, 2 * c + w->channel, k->dv + i * width);
    }
}

void attention_back_run(const attention_back *b, const view *g, const view *x, const view *y, void *scratch, int n)
{
    const attention *a = b->a;
    const desk k = desk_at(b, scratch);
    for (size_t i = 0; i < (size_t)n; i++)
        for (size_t m = 0; m < a->windows; m++)
            for (size_t h = 0; h < a->heads; h++) {
                const work w = { .row = b->row + m * a->n, .column = b->column + m * a->n, .image = i,
                                 .channel = h * a->d,
                                 .bias = a->bias ? a->bias + h * a->n * a->soft.step : NULL,
                                 .mask = a->mask[a->kind[m]] };
                run_head(b, &k, g, x, y, &w);
            }
}
