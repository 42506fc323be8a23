/* The classifier's last layer, always as f32 in memory of its own: a few megabytes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/mem.h"
#include "score/input.h"

typedef struct owned {
    head h; /* first, so that a head * is an owned * */
    float *w, *b;
} owned;

static int head_of_input(head **out, const input *in)
{
    int rc = 0;
    owned *o = NULL;
    size_t c = in->weight.rows, d = in->weight.width, count;
    CHECK(in->bias.rows == c, ERR_INPUT, "%s: head weight is [%zu,%zu], bias is [%zu]", in->path, c,
          d, in->bias.rows);
    TRY(mem_product(&count, c, d, in->path));
    TRY(mem_new(&o, 1, sizeof *o, in->path));
    TRY(mem_new_aligned(&o->w, count, sizeof *o->w, in->path));
    TRY(mem_new_aligned(&o->b, c, sizeof *o->b, in->path));
    for (size_t k = 0; k < c; k++) {
        matrix_row(&in->weight, k, o->w + k * d);
        matrix_row(&in->bias, k, o->b + k);
    }
    for (size_t i = 0; i < count; i++)
        CHECK(isfinite(o->w[i]), ERR_INPUT, "%s: head weight [%zu,%zu] is NaN or infinite",
              in->path, i / d, i % d);
    for (size_t k = 0; k < c; k++)
        CHECK(isfinite(o->b[k]), ERR_INPUT, "%s: head bias [%zu] is NaN or infinite", in->path, k);
    o->h = (head){ .c = c, .d = d, .w = o->w, .b = o->b };
    *out = &o->h;
    o = NULL;
done:
    if (o != NULL) {
        free(o->w);
        free(o->b);
        free(o);
    }
    return rc;
}

int head_open(head **out, const char *path)
{
    int rc = 0;
    input *in = NULL;
    TRY(input_open(&in, path));
    CHECK(in->weight.data != NULL && in->bias.data != NULL, ERR_INPUT,
          "%s: no head in it (head/weight and head/bias, [w, b], or fc.weight and fc.bias)", path);
    TRY(head_of_input(out, in));
done:
    input_close(&in);
    return rc;
}

int head_of_source(head **out, const source *s)
{
    const input *in = ((const rows *)s->impl)->in;
    *out = NULL;
    return in->weight.data != NULL && in->bias.data != NULL ? head_of_input(out, in) : 0;
}

int head_check(const head *h, const char *path, const source *s)
{
    int rc = 0;
    CHECK(s->d == 0 || s->d == h->d, ERR_INPUT,
          "%s: the head is [%zu,%zu], but the features of %s are [%zu,%zu]", path, h->c, h->d,
          s->path, s->n, s->d);
    CHECK(s->c == 0 || s->c == h->c, ERR_INPUT,
          "%s: the head is [%zu,%zu], but the logits of %s are [%zu,%zu]", path, h->c, h->d,
          s->path, s->n, s->c);
done:
    return rc;
}

int head_check_equal(const head *a, const char *a_path, const head *b, const char *b_path)
{
    int rc = 0;
    CHECK(a->c == b->c && a->d == b->d, ERR_INPUT,
          "the heads differ: %s has [%zu,%zu], %s has [%zu,%zu]", a_path, a->c, a->d, b_path, b->c,
          b->d);
    CHECK(memcmp(a->w, b->w, a->c * a->d * sizeof *a->w) == 0 &&
              memcmp(a->b, b->b, a->c * sizeof *a->b) == 0, ERR_INPUT,
          "the heads in %s and %s differ: features of two models", a_path, b_path);
done:
    return rc;
}

void head_free(head **h)
{
    owned *o = (owned *)(void *)*h;
    if (o == NULL) return;
    free(o->w);
    free(o->b);
    free(o);
    *h = NULL;
}
