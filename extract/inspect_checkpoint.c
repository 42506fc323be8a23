#include "extract/inspect_checkpoint.h"
#include "extract/weights.h"
#include "common/err.h"
#include "common/log.h"

#include <jansson.h>
#include <stdlib.h>

static void dims_text(char *text, size_t room, const array *a)
{
    size_t n = 0;
    text[0] = '\0';
    for (int i = 0; i < a->rank && n < room; i++)
        n += (size_t)snprintf(text + n, room - n, "%s%zu", i > 0 ? "," : "", a->dim[i]);
}

static int print_json(FILE *f, const char *path, const weights *w, const model *m, size_t total)
{
    int rc = 0;
    const arrays *a = weights_arrays(w);
    char *text = NULL;
    json_t *tensors = json_array();
    json_t *root = json_pack("{s:s, s:s, s:s, s:s, s:o, s:s, s:I, s:o}", "file", path, "container",
                             arrays_container(a), "wrapper", arrays_wrapper(a), "prefix",
                             weights_prefix(w), "model", m ? json_string(m->name) : json_null(),
                             "sha256", weights_sha256(w), "elements", (json_int_t)total, "tensors",
                             tensors);
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

static void print_text(FILE *f, const char *path, const weights *w, const model *m, size_t total)
{
    const arrays *a = weights_arrays(w);
    char dims[200], name[400];
    fprintf(f, "%s\ncontainer   %s%s%s\n", log_printable(name, sizeof name, path),
            arrays_container(a), arrays_wrapper(a)[0] ? ", wrapper " : "", arrays_wrapper(a));
    fprintf(f, "sha256      %s\n", weights_sha256(w));
    if (weights_prefix(w)[0]) fprintf(f, "prefix      %s\n", weights_prefix(w));
    if (m != NULL)
        fprintf(f, "network     %s, %d classes\n", m->name, weights_classes(w, m));
    else fprintf(f, "network     none of `extract models` fits\n");
    fprintf(f, "tensors     %zu, %zu elements\n", arrays_count(a), total);
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
    const model *m;
    size_t total = 0;
    TRY(weights_open(&w, path));
    m = weights_recognise(w);
    for (size_t i = 0; i < arrays_count(weights_arrays(w)); i++)
        total += arrays_at(weights_arrays(w), i)->count;
    if (json) TRY(print_json(f, path, w, m, total));
    else print_text(f, path, w, m, total);
done:
    weights_close(&w);
    return rc;
}
