/* The file of --stats: what was fitted on train features, for probes whose gradient needs it
 * (docs/format.md).  /layers/LAYER/means [classes,d] and /layers/LAYER/precision [d,d]. */
#include "extract/probes/parts.h"
#include "common/digest.h"
#include "common/err.h"
#include "common/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct probe_stats {
    feature_file *file;
    const char *path;
    char sha256[65];
};

int probe_stats_open(probe_stats **out, const char *path)
{
    int rc = 0;
    probe_stats *s = NULL;
    TRY(mem_new(&s, 1, sizeof *s, path));
    s->path = path;
    TRY(feature_file_open(&s->file, path));
    CHECK(strcmp(feature_file_format(s->file), "outpost-stats") == 0, ERR_INPUT,
          "%s: not a file of statistics: the root attribute format is not outpost-stats", path);
    TRY(digest_of_file(path, s->sha256));
    *out = s;
    s = NULL;
done:
    probe_stats_close(&s);
    return rc;
}

void probe_stats_close(probe_stats **s)
{
    if (*s == NULL) return;
    feature_file_close(&(*s)->file);
    free(*s);
    *s = NULL;
}

json_t *probe_stats_json(const probe_stats *s)
{
    const char *slash = strrchr(s->path, '/');
    return json_pack("{s:s, s:s}", "name", slash != NULL ? slash + 1 : s->path, "sha256", s->sha256);
}

/* A matrix [rows,d] as f32; rows 0: any number. */
static int take(const probe_stats *s, const char *layer, const char *part, size_t rows, size_t d, float **out,
                size_t *n)
{
    int rc = 0;
    char name[240];
    const feature_table *t;
    size_t count;
    snprintf(name, sizeof name, "layers/%s/%s", layer, part);
    t = feature_file_find(s->file, name);
    CHECK(t != NULL, ERR_INPUT, "%s: no /%s", s->path, name);
    CHECK(t->rank == 2 && (t->type == FEATURE_F32 || t->type == FEATURE_F64), ERR_INPUT,
          "%s: /%s: not a matrix of f32 or f64", s->path, name);
    CHECK(t->dim[1] == d && t->dim[0] > 0 && (rows == 0 || t->dim[0] == rows), ERR_INPUT,
          "%s: /%s is [%zu,%zu], the layer has %zu channels", s->path, name, t->dim[0], t->dim[1], d);
    TRY(mem_product(&count, t->dim[0], d, name));
    TRY(mem_new(out, count, sizeof **out, name));
    for (size_t i = 0; i < count; i++) {
        (*out)[i] = t->type == FEATURE_F64 ? (float)((const double *)t->data)[i] : ((const float *)t->data)[i];
        CHECK(isfinite((*out)[i]), ERR_INPUT, "%s: /%s: value %zu is not a finite f32", s->path, name, i);
    }
    *n = t->dim[0];
done:
    return rc;
}

int probe_stats_layer(const probe_stats *s, graph *g, const char *layer, int d, int *means, int *precision)
{
    int rc = 0;
    float *m = NULL, *p = NULL;
    size_t classes, same;
    TRY(take(s, layer, "means", 0, (size_t)d, &m, &classes));
    TRY(take(s, layer, "precision", (size_t)d, (size_t)d, &p, &same));
    *means = probe_constant(g, g_name(g, "stats.%s.means", layer), 2, (const int[]){ (int)classes, d }, m);
    *precision = probe_constant(g, g_name(g, "stats.%s.precision", layer), 2, (const int[]){ d, d }, p);
    TRY(graph_check(g));
done:
    free(m);
    free(p);
    return rc;
}
