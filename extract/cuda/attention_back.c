#include "extract/cuda/attention_back.h"
#include "extract/cuda/dnn.h"

#include "common/mem.h"

#include <stdlib.h>

enum { Q, K, V, G, DQ, DK, DV, SCORES, WEIGHTS, LISTS };

struct attention_back {
    attention_shape s;
    int sequences;             /* of a full part */
    size_t n_parts, per_part;  /* operands of a list: sequences of a part x heads */
    size_t scores, weights;    /* bytes */
    attention_part *parts;
    char *lists;               /* on the device: [parts][LISTS][per_part] addresses */
};

static size_t align(size_t bytes)
{
    return (bytes + 255) / 256 * 256;
}

int attention_back_row(const attention_back *a)
{
    return (a->s.t + 7) / 8 * 8;
}

static void divide(attention_back *a)
{
    const attention_shape *s = &a->s;
    size_t one = (size_t)s->heads * (size_t)attention_back_row(a) * (size_t)s->t, together = (size_t)s->together;
    size_t fit = s->limit / (one * sizeof(float)) / together * together;
    if (fit < together) fit = together;
    a->sequences = fit > (size_t)s->sequences ? s->sequences : (int)fit;
    a->per_part = (size_t)a->sequences * (size_t)s->heads;
    a->n_parts = (size_t)((s->sequences + a->sequences - 1) / a->sequences);
    a->scores = align((size_t)a->sequences * one * sizeof(float));
    a->weights = align((size_t)a->sequences * one * element_bytes(s->type));
}

int attention_back_new(attention_back **out, const attention_shape *s)
{
    int rc = 0;
    attention_back *a = NULL;
    TRY(mem_new(&a, 1, sizeof *a, "attention"));
    a->s = *s;
    divide(a);
    TRY(mem_new(&a->parts, a->n_parts, sizeof *a->parts, "attention"));
    for (size_t i = 0; i < a->n_parts; i++) {
        int first = (int)i * a->sequences, left = s->sequences - first;
        a->parts[i] = (attention_part){.first = first,
                                       .sequences = left < a->sequences ? left : a->sequences,
                                       .queries = s->t};
    }
    *out = a;
    a = NULL;
done:
    attention_back_free(&a);
    return rc;
}

void attention_back_free(attention_back **a)
{
    if (*a == NULL) return;
    free((*a)->parts);
    free(*a);
    *a = NULL;
}

size_t attention_back_scratch(const attention_back *a)
{
    return a->scores + a->weights;
}

/* The operands of one part, for each sequence and head. */
static void list(const attention_back *a, const attention_part *p, const char *qkv, const char *g, const char *dqkv,
                 const char **out)
{
    const attention_shape *s = &a->s;
    size_t bytes = element_bytes(s->type), n = a->per_part;
    size_t scores = (size_t)s->t * (size_t)attention_back_row(a);
    for (size_t at = 0; at < (size_t)p->sequences * (size_t)s->heads; at++) {
        size_t sequence = (size_t)p->first + at / (size_t)s->heads, h = at % (size_t)s->heads;
        size_t x = sequence * s->x.sequence + h * s->x.head, y = sequence * s->y.sequence + h * s->y.head;
        out[Q * n + at] = qkv + (s->q + x) * bytes;
        out[K * n + at] = qkv + (s->k + x) * bytes;
        out[V * n + at] = qkv + (s->v + x) * bytes;
        out[G * n + at] = g + y * bytes;
        out[DQ * n + at] = dqkv + (s->q + x) * bytes;
        out[DK * n + at] = dqkv + (s->k + x) * bytes;
        out[DV * n + at] = dqkv + (s->v + x) * bytes;
        out[SCORES * n + at] = (char *)p->scores + at * scores * sizeof(float);
        out[WEIGHTS * n + at] = (char *)p->weights + at * scores * bytes;
    }
}

int attention_back_bind(attention_back *a, cuda_backend *be, const void *qkv, const void *g, void *dqkv, void *scratch)
{
    int rc = 0;
    size_t n = LISTS * a->per_part, count;
    const char **lists = NULL;
    void *mem = NULL;
    TRY(mem_product(&count, n, a->n_parts, "attention"));
    TRY(mem_new(&lists, count, sizeof *lists, "attention"));
    for (size_t i = 0; i < a->n_parts; i++) {
        a->parts[i].scores = scratch;
        a->parts[i].weights = (char *)scratch + a->scores;
        list(a, &a->parts[i], qkv, g, dqkv, lists + i * n);
    }
    TRY(memory_alloc(be, count * sizeof *lists, 0, &mem));
    TRY(memory_upload(be, mem, lists, count * sizeof *lists));
    TRY(device_sync(be));
    a->lists = mem;
done:
    free(lists);
    return rc;
}

/* c = alpha (a or its transpose) (b or its transpose) of lists; of the three one is [t,t]. */
static int product(const attention_back *a, cuda_backend *be, size_t part, int left, int left_transposed, int right,
                   int right_transposed, int to, float alpha)
{
    const attention_shape *s = &a->s;
    void **l = (void **)(void *)a->lists + part * LISTS * a->per_part;
    const int rows[LISTS] = {[Q] = s->x.row, [K] = s->x.row, [V] = s->x.row, [G] = s->y.row,
                             [DQ] = s->x.row, [DK] = s->x.row, [DV] = s->x.row,
                             [SCORES] = attention_back_row(a), [WEIGHTS] = attention_back_row(a)};
    int square = to == SCORES;
    blas_batch b = {.a_transposed = left_transposed,
                    .b_transposed = right_transposed,
                    .n = s->t,
                    .m = square ? s->t : s->d,
                    .k = square ? s->d : s->t,
                    .lda = rows[left],
                    .ldb = rows[right],
                    .ldc = rows[to],
                    .alpha = alpha,
                    .in = s->type,
                    .out = square ? ELEMENT_F32 : s->type,
                    .tf32 = s->tf32,
                    .count = a->parts[part].sequences * s->heads};
    b.a = (const void *const *)(l + (size_t)left * a->per_part);
    b.b = (const void *const *)(l + (size_t)right * a->per_part);
    b.c = l + (size_t)to * a->per_part;
    return cuda_status(LIB_CUBLAS, cuda.blas_batch(be->blas, &b), "queueing attention's gradient");
}

int attention_back_run(const attention_back *a, cuda_backend *be, const attention_back_steps *steps)
{
    int rc = 0;
    for (size_t i = 0; i < a->n_parts; i++) {
        TRY(product(a, be, i, Q, 0, K, 1, SCORES, a->s.scale));
        TRY(steps->softmax(steps->context, &a->parts[i]));
        TRY(product(a, be, i, WEIGHTS, 1, G, 0, DV, 1));
        TRY(product(a, be, i, G, 0, V, 1, SCORES, 1));
        TRY(steps->back(steps->context, &a->parts[i]));
        TRY(product(a, be, i, WEIGHTS, 0, K, 0, DQ, a->s.scale));
        TRY(product(a, be, i, WEIGHTS, 1, Q, 0, DK, a->s.scale));
    }
done:
    return rc;
}
