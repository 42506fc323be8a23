#include "extract/cuda/attention.h"
#include "extract/cuda/dnn.h"

#include "common/mem.h"

#include <stdlib.h>

enum { LISTS = 6 }; /* q, k, v, y, scores, weights */

struct attention {
    attention_shape s;
    attention_part *parts;
    size_t n_parts, per_part; /* operands of a list: sequences of a part x heads */
    int sequences, queries;   /* of a full part */
    size_t scores, weights;   /* bytes; weights 0: they take the place of the scores */
    char *lists;              /* on the device: [parts][LISTS][per_part] addresses */
};

static size_t align(size_t bytes)
{
    return (bytes + 255) / 256 * 256;
}

/* 16 bytes of the smallest type: rows begin where wide loads can. */
int attention_row(const attention *a)
{
    return (a->s.t + 7) / 8 * 8;
}

/* As many whole images as fit; of one sequence that does not, as many queries. */
static void divide(attention *a)
{
    const attention_shape *s = &a->s;
    size_t row = (size_t)s->heads * (size_t)attention_row(a) * sizeof(float),
           one = row * (size_t)s->t;
    size_t fit = s->limit / one / (size_t)s->together * (size_t)s->together, rows = s->limit / row;
    if (fit < (size_t)s->together) fit = (size_t)s->together;
    a->sequences = fit > (size_t)s->sequences ? s->sequences : (int)fit;
    a->queries = s->together > 1 || rows >= (size_t)s->t ? s->t : rows < 1 ? 1 : (int)rows;
    a->per_part = (size_t)a->sequences * (size_t)s->heads;
    a->n_parts = (size_t)((s->sequences + a->sequences - 1) / a->sequences) *
                 (size_t)((s->t + a->queries - 1) / a->queries);
    a->scores = align((size_t)a->sequences * row * (size_t)a->queries);
    a->weights =
        s->type == ELEMENT_F32 ? 0 : align(a->scores / sizeof(float) * element_bytes(s->type));
}

int attention_new(attention **out, const attention_shape *s)
{
    int rc = 0;
    size_t at = 0;
    attention *a = NULL;
    TRY(mem_new(&a, 1, sizeof *a, "attention"));
    a->s = *s;
    divide(a);
    TRY(mem_new(&a->parts, a->n_parts, sizeof *a->parts, "attention"));
    for (int i = 0; i < s->sequences; i += a->sequences)
        for (int q = 0; q < s->t; q += a->queries)
            a->parts[at++] = (attention_part){
                .first = i,
                .sequences = i + a->sequences < s->sequences ? a->sequences : s->sequences - i,
                .query = q,
                .queries = q + a->queries < s->t ? a->queries : s->t - q};
    *out = a;
    a = NULL;
done:
    attention_free(&a);
    return rc;
}

void attention_free(attention **a)
{
    if (*a == NULL) return;
    free((*a)->parts);
    free(*a);
    *a = NULL;
}

size_t attention_scratch(const attention *a)
{
    return a->scores + a->weights;
}

/* The operands of one part: q, k, v, y, scores, weights of each sequence and head. */
static void list(const attention *a, const attention_part *p, const char *qkv, const char *y,
                 const char **out)
{
    const attention_shape *s = &a->s;
    size_t bytes = element_bytes(s->type), n = a->per_part,
           scores = (size_t)p->queries * (size_t)attention_row(a);
    size_t query = (size_t)p->query;
    for (size_t i = 0; i < (size_t)p->sequences; i++)
        for (size_t h = 0; h < (size_t)s->heads; h++) {
            size_t at = i * (size_t)s->heads + h, sequence = (size_t)p->first + i;
            size_t x = sequence * s->x.sequence + h * s->x.head,
                   to = sequence * s->y.sequence + h * s->y.head;
            out[at] = qkv + (s->q + x + query * (size_t)s->x.row) * bytes;
            out[n + at] = qkv + (s->k + x) * bytes;
            out[2 * n + at] = qkv + (s->v + x) * bytes;
            out[3 * n + at] = y + (to + query * (size_t)s->y.row) * bytes;
            out[4 * n + at] = (char *)p->scores + at * scores * sizeof(float);
            out[5 * n + at] = (char *)p->weights + at * scores * bytes;
        }
}

int attention_bind(attention *a, cuda_backend *be, const void *qkv, void *y, void *scratch)
{
    int rc = 0;
    size_t n = LISTS * a->per_part, count;
    const char **lists = NULL;
    void *mem = NULL;
    TRY(mem_product(&count, n, a->n_parts, "attention"));
    TRY(mem_new(&lists, count, sizeof *lists, "attention"));
    for (size_t i = 0; i < a->n_parts; i++) {
        a->parts[i].scores = scratch;
        a->parts[i].weights = a->weights > 0 ? (char *)scratch + a->scores : scratch;
        list(a, &a->parts[i], qkv, y, lists + i * n);
    }
    TRY(memory_alloc(be, count * sizeof *lists, 0, &mem));
    TRY(memory_upload(be, mem, lists, count * sizeof *lists));
    TRY(device_sync(be));
    a->lists = mem;
done:
    free(lists);
    return rc;
}

int attention_run(const attention *a, cuda_backend *be, attention_softmax *softmax, void *context)
{
    int rc = 0, row = attention_row(a);
    for (size_t i = 0; i < a->n_parts; i++) {
        const attention_part *p = &a->parts[i];
        void **l = (void **)(void *)a->lists + i * LISTS * a->per_part;
        blas_batch b = {.b_transposed = 1,
                        .n = p->queries,
                        .m = a->s.t,
                        .k = a->s.d,
                        .lda = a->s.x.row,
                        .ldb = a->s.x.row,
                        .ldc = row,
                        .alpha = a->s.scale,
                        .in = a->s.type,
                        .out = ELEMENT_F32,
                        .tf32 = a->s.tf32,
                        .count = p->sequences * a->s.heads};
        b.a = (const void *const *)l;
        b.b = (const void *const *)(l + a->per_part);
        b.c = l + 4 * a->per_part;
        BLAS(cuda.blas_batch(be->blas, &b), "queueing attention");
        TRY(softmax(context, p));
        b = (blas_batch){.n = p->queries,
                         .m = a->s.d,
                         .k = a->s.t,
                         .lda = row,
                         .ldb = a->s.x.row,
                         .ldc = a->s.y.row,
                         .alpha = 1,
                         .in = a->s.type,
                         .out = a->s.type,
                         .tf32 = a->s.tf32,
                         .count = p->sequences * a->s.heads};
        b.a = (const void *const *)(l + 5 * a->per_part);
        b.b = (const void *const *)(l + 2 * a->per_part);
        b.c = l + 3 * a->per_part;
        BLAS(cuda.blas_batch(be->blas, &b), "queueing attention");
    }
done:
    return rc;
}
