#include "extract/cpu/attention_parts.h"
#include "extract/cpu/attention_pack.h"
#include "common/err.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

/* One worker's memory. */
typedef struct desk {
    char *k, *v, *q;             /* panels of keys and of values; rows of queries */
    float *s, *o, *sums;         /* scores of a block, results of a tile, sums of its rows */
    size_t bytes;
} desk;

static desk desk_at(const attention *a, char *at)
{
    const size_t lanes = (size_t)a->kernel->lanes, unit = (size_t)a->kernel->unit;
    const size_t rows = (size_t)a->kernel->tile_rows, step = unit * a->element;
    const size_t keys = a->key_vectors * lanes, width = a->value_vectors * lanes;
    const size_t steps = (a->n + unit - 1) / unit;
    const size_t size[] = { a->steps * keys * step, steps * width * step,
                            a->block * rows * a->steps * step,
                            a->block * rows * a->soft.step * sizeof(float),
                            rows * width * sizeof(float), rows * sizeof(float) };
    size_t offset[sizeof size / sizeof *size], sum = 0;
    for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
        offset[i] = sum;
        sum += (size[i] + MEM_ALIGN - 1) / MEM_ALIGN * MEM_ALIGN;
    }
    if (at == NULL) return (desk){ .bytes = sum };
    return (desk){ .k = at + offset[0], .v = at + offset[1], .q = at + offset[2],
                   .s = (float *)(void *)(at + offset[3]), .o = (float *)(void *)(at + offset[4]),
                   .sums = (float *)(void *)(at + offset[5]), .bytes = sum };
}

/* ---- preparation -------------------------------------------------------------------------------- */

typedef struct place { /* of a token: its coordinates in the shifted map */
    int y, x;
} place;

static place place_of(const node *v, const view *x, size_t window, size_t token)
{
    int side = v->window > 0 ? v->window : x->h, wide = v->window > 0 ? v->window : x->w;
    int across = x->w / wide;
    return (place){ (int)window / across * side + (int)token / wide,
                    (int)window % across * wide + (int)token % wide };
}

/* Roll and partition are addresses, and nothing else. */
static int find_tokens(attention *a, const node *v, const view *x, const view *y)
{
    int rc = 0;
    TRY(mem_new(&a->from, a->windows * a->n, sizeof *a->from, "attention"));
    TRY(mem_new(&a->to, a->windows * a->n, sizeof *a->to, "attention"));
    for (size_t i = 0; i < a->windows * a->n; i++) {
        place p = place_of(v, x, i / a->n, i % a->n);
        size_t row = (size_t)((p.y + v->shift) % x->h), column = (size_t)((p.x + v->shift) % x->w);
        a->from[i] = (row * x->row + column * x->ld) * a->element;
        a->to[i] = (row * y->row + column * y->ld) * a->element;
    }
done:
    return rc;
}

/* Stripe of a shifted coordinate (models.md 4.3, step 5). */
static int stripe(int u, int length, const node *v)
{
    return u < length - v->window ? 0 : u < length - v->shift ? 1 : 2;
}

static const float LOG2_E = 1.44269504f;

/* Only the last row and the last column of windows hold tokens that the shift brought together. */
static int make_masks(attention *a, const node *v, const view *x)
{
    int rc = 0, down = x->h / v->window, across = x->w / v->window;
    for (size_t w = 0; w < a->windows && v->shift > 0; w++) {
        int kind = ((int)w % across == across - 1) + 2 * ((int)w / across == down - 1);
        a->kind[w] = (unsigned char)kind;
        if (kind == 0 || a->mask[kind] != NULL) continue;
        TRY(mem_new(&a->mask[kind], a->n * a->soft.step, sizeof(float), "attention"));
        for (size_t i = 0; i < a->n; i++)
            for (size_t j = 0; j < a->n; j++) {
                place p = place_of(v, x, w, i), q = place_of(v, x, w, j);
                if (stripe(p.y, x->h, v) != stripe(q.y, x->h, v) ||
                    stripe(p.x, x->w, v) != stripe(q.x, x->w, v))
                    a->mask[kind][i * a->soft.step + j] = -100.0f * LOG2_E;
            }
    }
done:
    return rc;
}

static int make_bias(attention *a, const node *v, const float *table)
{
    int rc = 0, w = v->window;
    TRY(mem_new(&a->bias, a->heads * a->n * a->soft.step, sizeof *a->bias, "attention"));
    for (size_t h = 0; h < a->heads; h++)
        for (size_t i = 0; i < a->n; i++)
            for (size_t j = 0; j < a->n; j++) {
                int iy = (int)i / w, ix = (int)i % w, jy = (int)j / w, jx = (int)j % w;
                size_t at = (size_t)((iy - jy + w - 1) * (2 * w - 1) + ix - jx + w - 1);
                a->bias[(h * a->n + i) * a->soft.step + j] = table[at * a->heads + h] * LOG2_E;
            }
done:
    return rc;
}

/* Rows of scores are padded to whole vectors, and off the lengths that share few cache sets. */
static size_t row_step(size_t n, size_t lanes)
{
    size_t step = (n + lanes - 1) / lanes * lanes;
    return step % 512 == 0 ? step + 16 : step;
}

static void set_sizes(attention *a)
{
    const size_t lanes = (size_t)a->kernel->lanes, unit = (size_t)a->kernel->unit;
    const size_t rows = (size_t)a->kernel->tile_rows;
    a->steps = (a->d + unit - 1) / unit;
    a->key_vectors = (a->n + lanes - 1) / lanes;
    a->value_vectors = (a->d + lanes - 1) / lanes;
    a->soft.vectors = a->key_vectors;
    a->soft.step = row_step(a->n, lanes);
    a->tiles = (a->n + rows - 1) / rows;
    a->block = SCORE_BYTES / (rows * a->soft.step * sizeof(float));
    if (a->block < 1) a->block = 1;
    if (a->block > a->tiles) a->block = a->tiles;
    a->query = (conv_segment){ 0, a->d, a->steps };
    a->chance = (conv_segment){ 0, a->n, (a->n + unit - 1) / unit };
}

int attention_new(attention **out, const plan_step *s, const view *x, const view *y)
{
    int rc = 0;
    const node *v = s->v;
    attention *a = NULL;
    size_t lanes;
    TRY(mem_new(&a, 1, sizeof *a, s->name));
    a->kernel = x->is_bf16 ? conv_kernel_bf16() : conv_kernel_f32();
    CHECK(a->kernel != NULL, ERR_ENV, "this processor has no bf16 dot products (-p fp32)");
    CHECK(x->c == 3 * y->c && x->h == y->h && x->w == y->w && y->c % v->heads == 0 &&
              x->is_bf16 == y->is_bf16 && v->scale > 0 &&
              (v->window == 0 || (x->h % v->window == 0 && x->w % v->window == 0)),
          ERR_INTERNAL, "attention of %d heads from %dx%dx%d to %dx%dx%d", v->heads, x->c, x->h, x->w,
          y->c, y->h, y->w);
    lanes = (size_t)a->kernel->lanes;
    a->heads = (size_t)v->heads;
    a->d = (size_t)(y->c / v->heads);
    a->n = (size_t)(v->window > 0 ? v->window * v->window : x->h * x->w);
    a->windows = (size_t)(x->h * x->w) / a->n;
    a->element = view_bytes(x);
    a->soft.factor = v->scale * LOG2_E;
    set_sizes(a);
    TRY(find_tokens(a, v, x, y));
    TRY(mem_new(&a->kind, a->windows, sizeof *a->kind, "attention"));
    TRY(mem_new(&a->zeros, a->value_vectors * lanes, sizeof *a->zeros, "attention"));
    TRY(mem_new(&a->start, a->key_vectors * lanes, sizeof *a->start, "attention"));
    for (size_t j = a->n; j < a->key_vectors * lanes; j++)
        a->start[j] = -INFINITY;
    if (s->w != NULL && v->window > 0) {
        TRY(make_bias(a, v, s->w));
        TRY(make_masks(a, v, x));
    }
    *out = a;
    a = NULL;
done:
    attention_free(&a);
    return rc;
}

void attention_free(attention **a)
{
    if (*a == NULL) return;
    free((*a)->from);
    free((*a)->to);
    free((*a)->kind);
    free((*a)->bias);
    for (int i = 0; i < MASKS; i++)
        free((*a)->mask[i]);
    free((*a)->start);
    free((*a)->zeros);
    free(*a);
    *a = NULL;
}

size_t attention_scratch(const attention *a)
{
    return desk_at(a, NULL).bytes;
}

/* ---- running ------------------------------------------------------------------------------------ */

typedef struct work { /* one head of one window */
    const char *x;        /* its queries: those of token i at x + from[i] */
    char *y;
    const size_t *from, *to;
    const float *bias, *mask;
} work;

size_t attention_tile_start(const attention *a, size_t tile)
{
    return tile * (a->n / a->tiles) + (tile < a->n % a->tiles ? tile : a->n % a->tiles);
}

void attention_scores(const attention *a, const char *x, const char *w, const float *start, float *s, size_t first,
                      size_t end)
{
    const size_t lanes = (size_t)a->kernel->lanes, row = a->steps * (size_t)a->kernel->unit * a->element;
    const size_t from = attention_tile_start(a, first);
    conv_tile_args args = { .segments = &a->query, .n_segments = 1, .first = 1, .x_step = row,
                            .sum_step = a->soft.step };
    for (size_t v = 0, vectors; v < a->key_vectors; v += vectors) {
        vectors = panel_vectors(a->key_vectors - v);
        args.w = w + v * lanes * row;
        args.bias = start + v * lanes;
        for (size_t t = first; t < end; t++) {
            size_t at = attention_tile_start(a, t) - from;
            conv_tile tile = { .x = x + at * row, .sums = s + at * a->soft.step + v * lanes,
                               .pixels = (int)(attention_tile_start(a, t + 1) - from - at) };
            a->kernel->tile((int)vectors, &tile, &args);
        }
    }
}

/* Probabilities . values of one tile, divided by the sums, to its tokens. */
static void results(const attention *a, const desk *d, const work *w, const float *s, size_t first,
                    size_t rows)
{
    const size_t lanes = (size_t)a->kernel->lanes, width = a->value_vectors * lanes;
    const size_t deep = a->chance.steps * (size_t)a->kernel->unit * a->element;
    conv_tile_args args = { .segments = &a->chance, .n_segments = 1, .first = 1, .bias = a->zeros,
                            .x_step = a->soft.step * sizeof(float), .sum_step = width };
    for (size_t v = 0, vectors; v < a->value_vectors; v += vectors) {
        conv_tile tile = { .x = (const char *)s, .pixels = (int)rows, .sums = d->o + v * lanes };
        vectors = panel_vectors(a->value_vectors - v);
        args.w = d->v + v * lanes * deep;
        a->kernel->tile((int)vectors, &tile, &args);
    }
    a->kernel->quotients(d->o, width, d->sums, rows, a->d, w->y, w->to + first);
}

static void attend(const attention *a, const desk *d, const work *w)
{
    const pack_shape pack = { a->kernel, a->n, a->d };
    for (size_t first = 0, end; first < a->tiles; first = end) {
        const size_t start = attention_tile_start(a, first);
        end = first + a->block < a->tiles ? first + a->block : a->tiles;
        pack_rows(&pack, d->q, w->x, w->from + start, attention_tile_start(a, end) - start);
        attention_scores(a, d->q, d->k, a->start, d->s, first, end);
        for (size_t t = first; t < end; t++) {
            size_t at = attention_tile_start(a, t), rows = attention_tile_start(a, t + 1) - at;
            float *s = d->s + (at - start) * a->soft.step;
            a->kernel->softmax(&a->soft, s, w->bias ? w->bias + at * a->soft.step : NULL,
                               w->mask ? w->mask + at * a->soft.step : NULL, rows, d->sums);
            results(a, d, w, s, at, rows);
        }
    }
}

void attention_run(const attention *a, const view *x, const view *y, void *scratch, int n)
{
    const desk d = desk_at(a, scratch);
    const pack_shape pack = { a->kernel, a->n, a->d };
    for (size_t i = 0; i < (size_t)n; i++)
        for (size_t m = 0; m < a->windows; m++)
            for (size_t h = 0; h < a->heads; h++) {
                const char *q = (const char *)x->p + (i * x->image + h * a->d) * a->element;
                const char *k = q + (size_t)y->c * a->element, *v = k + (size_t)y->c * a->element;
                work w = { .x = q, .y = (char *)y->p + (i * y->image + h * a->d) * a->element,
                           .from = a->from + m * a->n, .to = a->to + m * a->n,
                           .bias = a->bias ? a->bias + h * a->n * a->soft.step : NULL,
                           .mask = a->mask[a->kind[m]] };
                pack_keys(&pack, d.k, k, w.from);
                pack_values(&pack, d.v, v, w.from);
                attend(a, &d, &w);
            }
}
