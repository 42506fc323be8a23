#include "extract/provenance.h"
#include "common/err.h"
#include "extract/images/views.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

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
    if (in->o->scalar != NULL && n < sizeof text)
        n += (size_t)snprintf(text + n, sizeof text - n, " --scalar %s", in->o->scalar);
    for (size_t i = 0; i < in->o->n_probes && n < sizeof text; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, " --probe %s", in->o->probes[i]);
    if (in->o->stats != NULL && n < sizeof text)
        n += (size_t)snprintf(text + n, sizeof text - n, " --stats %s", base_name(in->o->stats));
    if (in->views > 0 && n < sizeof text)
        n += (size_t)snprintf(text + n, sizeof text - n, " --views %zu --seed %d", in->views, in->seed);
    if (in->rows < in->images->n && n < sizeof text)
        snprintf(text + n, sizeof text - n, " --limit %zu", in->rows / (in->views > 0 ? in->views : 1));
    return json_string_nocheck(text);
}

static json_t *outputs_json(const session *s, int views)
{
    json_t *list_of = json_array();
    for (size_t i = 0; i < s->out.n; i++) {
        const output *o = &s->out.v[i];
        json_t *dims = json_array(), *entry;
        for (int k = 0; k < o->rank; k++)
            json_array_append_new(dims, json_integer((json_int_t)o->dim[k]));
        entry = json_pack("{s:s, s:o}", "name", o->name, "shape", dims);
        if (o->type != FEATURE_F32)
            json_object_set_new(entry, "type", json_string(feature_type_name(o->type)));
        if (o->made != NULL) json_object_set_new(entry, "made", json_loads(o->made, 0, NULL));
        json_array_append_new(list_of, entry);
    }
    if (views)
        json_array_append_new(list_of, json_pack("{s:s, s:[i], s:s}", "name", "views", "shape", VIEW_NUMBERS, "type",
                                                 feature_type_name(FEATURE_I64)));
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
    const size_t each = in->views > 0 ? in->views : 1;
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
                     in->images->sha256, "images", (json_int_t)(in->images->n / each), "rows",
                     (json_int_t)in->rows, "preprocess", prep_object, "precision",
                     precision_name(in->s->precision), "device", in->s->backend->name, "kernels",
                     in->s->about, "outputs", outputs_json(in->s, in->views > 0));
    CHECK(root != NULL, ERR_INPUT, "a name in this run is not UTF-8: '%s', '%s'",
          in->checkpoint_name, in->images->name);
    if (in->views > 0)
        json_object_set_new(root, "views", json_pack("{s:I, s:i}", "each", (json_int_t)in->views, "seed", in->seed));
    if (in->s->probes != NULL) json_object_set_new(root, "probes", probes_json(in->s->probes));
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
