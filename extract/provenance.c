#include "extract/provenance.h"
#include "common/err.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The command that makes this file again, options in a fixed order, names without folders. */
static json_t *command_line(const provenance_input *in)
{
    char text[4096];
    size_t n = (size_t)snprintf(text, sizeof text,
                                "extract run -m %s -w %s -l %s --prep %s%s -d %s -p %s --dump %s",
                                in->s->m->name, in->checkpoint_name,
                                in->images->name[0] ? in->images->name : "(folder)",
                                in->o->prep ? in->o->prep : in->s->m->prep.preset,
                                in->s->positions == POSITIONS_ANTIALIAS ? " --positions antialias"
                                                                        : "",
                                in->s->backend->name, precision_name(in->s->precision),
                                in->o->dump);
    for (size_t i = 0; i < in->o->n_taps && n < sizeof text; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, " --tap %s", in->o->taps[i]);
    if (in->rows < in->images->n && n < sizeof text)
        snprintf(text + n, sizeof text - n, " --limit %zu", in->rows);
    return json_string_nocheck(text);
}

static json_t *outputs(const session *s)
{
    json_t *list_of = json_array();
    for (size_t i = 0; i < s->p->n_outputs; i++) {
        const plan_output *o = &s->p->outputs[i];
        json_t *dims = json_array();
        for (int k = 0; k < o->rank; k++)
            json_array_append_new(dims, json_integer((json_int_t)o->dim[k]));
        json_array_append_new(list_of, json_pack("{s:s, s:o}", "name", o->name, "shape", dims));
    }
    return list_of;
}

/* null where the checkpoint's positions are those of the input. */
static json_t *positions(const session *s)
{
    int from, to;
    if (!weights_resampled(s->w, &from, &to)) return json_null();
    return json_pack("{s:i, s:i, s:s}", "from", from, "to", to, "how", positions_name(s->positions));
}

int provenance_make(char **out, const provenance_input *in)
{
    int rc = 0;
    char *prep_text = NULL;
    json_t *root = NULL, *prep_object = NULL;
    TRY(prep_json(&in->s->prep, &prep_text));
    prep_object = json_loads(prep_text, 0, NULL);
    CHECK(prep_object != NULL, ERR_INTERNAL, "preprocessing is not JSON: %s", prep_text);
    root = json_pack("{s:s, s:o, s:s, s:i, s:{s:s, s:s, s:s, s:s, s:o}, "
                     "s:{s:s, s:s, s:I, s:I}, s:O, s:s, s:s, s:s, s:o}",
                     "program", "outpost extract " OUTPOST_VERSION, "command", command_line(in),
                     "model", in->s->m->name, "classes", in->s->classes, "checkpoint", "name",
                     in->checkpoint_name, "sha256", weights_sha256(in->s->w), "prefix",
                     weights_prefix(in->s->w), "layout", weights_layout_name(in->s->w),
                     "positions", positions(in->s), "list", "name", in->images->name, "sha256",
                     in->images->sha256, "images", (json_int_t)in->images->n, "rows",
                     (json_int_t)in->rows, "preprocess", prep_object, "precision",
                     precision_name(in->s->precision), "device", in->s->backend->name, "kernels",
                     in->s->about, "outputs", outputs(in->s));
    CHECK(root != NULL, ERR_INPUT, "a name in this run is not UTF-8: '%s', '%s'",
          in->checkpoint_name, in->images->name);
    if (in->part.count > 0)
        json_object_set_new(root, "shard", json_pack("{s:I, s:I}", "index", (json_int_t)in->part.index, "count",
                                                     (json_int_t)in->part.count));
    *out = json_dumps(root, JSON_INDENT(1) | JSON_SORT_KEYS);
    CHECK(*out != NULL, ERR_ENV, "no memory for the provenance");
done:
    json_decref(root);
    json_decref(prep_object);
    free(prep_text);
    return rc;
}
