/* Files of the peers: one array in .npy or a numpy pickle (GEN, ViM), .npz by name (OpenOOD), and
 * heads from fc.pkl or a checkpoint. */
#include <stdio.h>
#include <string.h>

#include "common/err.h"
#include "score/input.h"

static const char *const feature_names[] = { "features", "feat_list", "feats", "feature", "feat",
                                             NULL };
static const char *const logit_names[] = { "logits", "logit_list", "logit", NULL };
static const char *const label_names[] = { "labels", "label_list", "label", NULL };
/* Last layers as GEN, ViM, torchvision, timm, mmclassification and BiT name them. */
static const char *const head_names[][2] = {
    { "w", "b" },
    { "weight", "bias" },
    { "head/weight", "head/bias" },
    { "fc.weight", "fc.bias" },
    { "head.weight", "head.bias" },
    { "classifier.weight", "classifier.bias" },
    { "head.fc.weight", "head.fc.bias" },
    { "heads.head.weight", "heads.head.bias" },
    { "head.layers.head.weight", "head.layers.head.bias" },
    { "classifier.1.weight", "classifier.1.bias" },
    { "linear.weight", "linear.bias" },
    { "head.conv.weight", "head.conv.bias" },
};

static void shape_text(const array *a, char *buf, size_t room)
{
    size_t n = (size_t)snprintf(buf, room, "[");
    for (int i = 0; i < a->rank && n < room; i++)
        n += (size_t)snprintf(buf + n, room - n, "%s%zu", i ? "," : "", a->dim[i]);
    if (n < room) snprintf(buf + n, room - n, "]");
}

/* Rank without the dimensions of 1 behind the first `least`. */
static int rank_of(const array *a, int least)
{
    int r = a->rank;
    while (r > least && a->dim[r - 1] == 1)
        r--;
    return r;
}

static int take(const input *in, const array *a, int rank, matrix *m)
{
    int rc = 0;
    char shape[200];
    if (a == NULL) goto done;
    shape_text(a, shape, sizeof shape);
    CHECK(rank_of(a, rank) == rank, ERR_INPUT, "%s: array '%s' is %s, not of rank %d", in->path,
          a->name, shape, rank);
    CHECK(a->count > 0, ERR_INPUT, "%s: array '%s' is %s: no values", in->path, a->name, shape);
    *m = (matrix){ .type = a->type, .rows = a->dim[0], .width = rank < 2 ? 1 : a->dim[1],
                   .data = a->data, .name = *a->name ? a->name : "array" };
done:
    return rc;
}

static const array *first_of(const arrays *f, const char *const *names)
{
    const array *a = NULL;
    while (*names != NULL && a == NULL)
        a = arrays_find(f, *names++);
    return a;
}

static int is_integer(const array *a)
{
    return a->type != ARRAY_F64 && a->type != ARRAY_F32 && a->type != ARRAY_F16 &&
           a->type != ARRAY_BF16;
}

/* One nameless array is what it looks like: integers in a row are labels, a table is features. */
static int take_single(input *in, const array *a)
{
    if (is_integer(a) && rank_of(a, 1) == 1) return take(in, a, 1, &in->labels);
    return take(in, a, 2, &in->features);
}

static int take_head(input *in)
{
    int rc = 0;
    for (size_t i = 0; i < sizeof head_names / sizeof *head_names; i++) {
        const array *w = arrays_find(in->arrays, head_names[i][0]);
        const array *b = arrays_find(in->arrays, head_names[i][1]);
        if (w == NULL || b == NULL || rank_of(w, 2) != 2) continue;
        TRY(take(in, w, 2, &in->weight));
        TRY(take(in, b, 1, &in->bias));
        break;
    }
done:
    return rc;
}

int input_take_arrays(input *in)
{
    int rc = 0;
    size_t n;
    const char *kind;
    TRY(arrays_open(&in->arrays, in->path));
    memcpy(in->sha256, arrays_sha256(in->arrays), sizeof in->sha256);
    n = arrays_count(in->arrays);
    kind = arrays_container(in->arrays);
    TRY(take(in, first_of(in->arrays, feature_names), 2, &in->features));
    TRY(take(in, first_of(in->arrays, logit_names), 2, &in->logits));
    TRY(take(in, first_of(in->arrays, label_names), 1, &in->labels));
    if (in->features.data != NULL || in->logits.data != NULL || in->labels.data != NULL) {
        TRY(take_head(in));
    } else if (n == 1) {
        TRY(take_single(in, arrays_at(in->arrays, 0)));
    } else if (n == 2 && strcmp(kind, "pickle") == 0) { /* fc.pkl: [w, b] */
        TRY(take(in, arrays_at(in->arrays, 0), 2, &in->weight));
        TRY(take(in, arrays_at(in->arrays, 1), 1, &in->bias));
    } else {
        TRY(take_head(in));
    }
done:
    return rc;
}
