#include "extract/inspect_checkpoint.h"
#include "extract/weights.h"
#include "common/err.h"
#include "common/log.h"

#include <jansson.h>
#include <stdlib.h>

enum { NETWORKS_MAX = 16 }; /* that are listed */

typedef struct findings {
    recognised fit[NETWORKS_MAX];
    size_t n;
    recognised near; /* where none fits; near.m NULL: nothing is near */
    char wrong[120]; /* with it */
    size_t elements;
} findings;

static void look(findings *f, const weights *w)
{
    const arrays *a = weights_arrays(w);
    f->elements = 0;
    for (size_t i = 0; i < arrays_count(a); i++)
        f->elements += arrays_at(a, i)->count;
    f->n = weights_recognise(w, f->fit, NETWORKS_MAX);
    if (f->n > NETWORKS_MAX) f->n = NETWORKS_MAX;
    f->near.m = NULL;
    if (f->n == 0 && !weights_nearest(w, &f->near, f->wrong, sizeof f->wrong)) f->near.m = NULL;
}

static int is_resized(const recognised *r)
{
    return r->side != r->m->prep.side;
}

static void dims_text(char *text, size_t room, const array *a)
{
    size_t n = 0;
    text[0] = '\0';
    for (int i = 0; i < a->rank && n < room; i++)
        n += (size_t)snprintf(text + n, room - n, "%s%zu", i > 0 ? "," : "", a->dim[i]);
}

/* ---- JSON -------------------------------------------------------------------------------------- */

static json_t *networks_json(const findings *f)
{
    json_t *all = json_array();
    for (size_t i = 0; i < f->n; i++) {
        const recognised *r = &f->fit[i];
        json_array_append_new(all, json_pack("{s:s, s:s, s:i, s:i, s:b}", "model", r->m->name,
                                             "layout", r->layout, "classes", r->classes, "side",
                                             r->side, "resample_positions", is_resized(r)));
    }
    return all;
}

static json_t *nearest_json(const findings *f)
{
    if (f->near.m == NULL) return json_null();
    return json_pack("{s:s, s:s, s:s}", "model", f->near.m->name, "layout", f->near.layout, "wrong",
                     f->wrong);
}

static int print_json(FILE *f, const char *path, const weights *w, const findings *found)
{
    int rc = 0;
    const arrays *a = weights_arrays(w);
    char *text = NULL;
    json_t *tensors = json_array();
    json_t *root = json_pack(
        "{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:s, s:I, s:o}", "file", path, "container",
        arrays_container(a), "wrapper", arrays_wrapper(a), "prefix", weights_prefix(w), "model",
        found->n > 0 ? json_string(found->fit[0].m->name) : json_null(), "networks",
        networks_json(found), "nearest", nearest_json(found), "sha256", weights_sha256(w), "elements",
        (json_int_t)found->elements, "tensors", tensors);
    CHECK(root != NULL, ERR_INPUT, "%s: a name is not UTF-8", path);
    for (size_t i = 0; i < arrays_count(a); i++) {
        const array *t = arrays_at(a, i);
        json_t *dims = json_array();
        for (int k = 0; k < t->rank; k++)
            json_array_append_new(dims, json_integer((json_int_t)t->dim[k]));
        json_array_append_new(tensors, json_pack("{s:s, s:s, s:o}", "name", t->name, "dtype",
                                                 array_type_name(t->type), "shape", dims));
    }
    text = json_dumps(root, JSON_INDENT(1));
    CHECK(text != NULL, ERR_ENV, "no memory for JSON");
    fprintf(f, "%s\n", text);
done:
    free(text);
    json_decref(root);
    return rc;
}

/* ---- text -------------------------------------------------------------------------------------- */

/* "network     vit_base_patch16_224 (layout timm), 1000 classes; the same tensors: deit_..." */
static void print_networks(FILE *f, const findings *found)
{
    const recognised *r = &found->fit[0];
    const char *before = "; the same tensors: ";
    if (found->n == 0) {
        fprintf(f, "network     none of `extract models` fits");
        if (found->near.m != NULL)
            fprintf(f, "; nearest is %s (layout %s): %s", found->near.m->name, found->near.layout,
                    found->wrong);
        fprintf(f, "\n");
        return;
    }
    fprintf(f, "network     %s (layout %s), %d classes", r->m->name, r->layout, r->classes);
    if (is_resized(r)) fprintf(f, ", positions for %d x %d input", r->side, r->side);
    for (size_t i = 1; i < found->n; i++) {
        if (is_resized(&found->fit[i]) != is_resized(r)) continue; /* a better one is named */
        fprintf(f, "%s%s", before, found->fit[i].m->name);
        before = ", ";
    }
    fprintf(f, "\n");
}

static void print_text(FILE *f, const char *path, const weights *w, const findings *found)
{
    const arrays *a = weights_arrays(w);
    char dims[200], name[400];
    fprintf(f, "%s\ncontainer   %s%s%s\n", log_printable(name, sizeof name, path),
            arrays_container(a), arrays_wrapper(a)[0] ? ", wrapper " : "", arrays_wrapper(a));
    fprintf(f, "sha256      %s\n", weights_sha256(w));
    if (weights_prefix(w)[0]) fprintf(f, "prefix      %s\n", weights_prefix(w));
    print_networks(f, found);
    fprintf(f, "tensors     %zu, %zu elements\n", arrays_count(a), found->elements);
    for (size_t i = 0; i < arrays_count(a); i++) {
        const array *t = arrays_at(a, i);
        dims_text(dims, sizeof dims, t);
        fprintf(f, "  %-5s [%s]  %s\n", array_type_name(t->type), dims,
                log_printable(name, sizeof name, t->name));
    }
}

int inspect_checkpoint(FILE *f, const char *path, int json)
{
    int rc = 0;
    weights *w = NULL;
    findings found;
    TRY(weights_open(&w, path));
    look(&found, w);
    if (json) TRY(print_json(f, path, w, &found));
    else print_text(f, path, w, &found);
done:
    weights_close(&w);
    return rc;
}
