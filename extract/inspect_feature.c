#include "extract/inspect_feature.h"
#include "common/err.h"
#include "common/feature_file.h"
#include "common/feature/feature_journal.h"
#include "common/feature/feature_reader.h"
#include "common/log.h"
#include "common/mem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <jansson.h>

enum { STATES = 5, JOURNAL_MAX = 1 << 30 };

static const char *const state_name[STATES] = {"pending", "ok", "unreadable", "decode_error",
                                               "nonfinite"};

typedef struct facts {
    const feature_file *file;
    const char *path;
    size_t status[STATES], rows, digests, datasets;
    int has_status;
    int64_t committed; /* of an unfinished file, by its journal; -1: no journal */
} facts;

static int on_commit(void *arg, const journal_commit *c)
{
    *(int64_t *)arg = (int64_t)c->end;
    return 0;
}

/* How far an unfinished file is: OUT.h5.part has its journal in OUT.h5.journal. */
static int read_journal(facts *x)
{
    static const char part[] = ".part", tail[] = ".journal";
    int rc = 0;
    size_t n = strlen(x->path), used;
    char *name = NULL;
    unsigned char *data = NULL;
    journal_header *h = NULL;
    struct stat st;
    FILE *f = NULL;
    if (n <= sizeof part || strcmp(x->path + n - (sizeof part - 1), part) != 0) goto done;
    TRY(mem_new(&name, n + sizeof tail, 1, x->path));
    memcpy(name, x->path, n - (sizeof part - 1));
    memcpy(name + n - (sizeof part - 1), tail, sizeof tail);
    f = fopen(name, "rbe");
    if (f == NULL || fstat(fileno(f), &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > JOURNAL_MAX)
        goto done;
    TRY(mem_new(&data, (size_t)st.st_size, 1, name));
    n = fread(data, 1, (size_t)st.st_size, f);
    TRY(journal_parse(data, n, name, &h, on_commit, &x->committed, &used));
    if (h != NULL && x->committed < 0) x->committed = 0;
done:
    if (f != NULL) fclose(f);
    journal_header_free(&h);
    free(data);
    free(name);
    return rc;
}

static void gather(facts *x)
{
    const h5_listing *l = x->file->list;
    const feature_table *s = feature_file_find(x->file, "status");
    for (size_t i = 0; i < l->n; i++) {
        if (strncmp(l->item[i].name, "digests/", 8) == 0) x->digests += l->item[i].dim[0];
        else x->datasets++;
    }
    x->rows = feature_file_paths(x->file);
    if (s == NULL || s->type != FEATURE_U8 || s->rank != 1) return;
    x->has_status = 1;
    x->rows = s->dim[0];
    for (size_t i = 0; i < s->dim[0]; i++) {
        uint8_t v = ((const uint8_t *)s->data)[i];
        if (v < STATES) x->status[v]++;
    }
}

static const char *type_of(const h5_item *it)
{
    static const char *const name[] = {"f32", "f64", "f16", "i64", "u8", "string"};
    return name[it->type];
}

/* --- words --------------------------------------------------------------------------------------- */

static void print_provenance(FILE *f, const feature_file *file)
{
    json_t *o = feature_file_provenance(file) != NULL
                    ? json_loads(feature_file_provenance(file), 0, NULL)
                    : NULL;
    const char *key;
    json_t *v;
    char clean[512];
    json_object_foreach(o, key, v)
    {
        char *text = json_is_string(v)
                         ? NULL
                         : json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);
        fprintf(f, "  %s", log_printable(clean, sizeof clean, key));
        fprintf(f, ": %s\n",
                log_printable(clean, sizeof clean, text != NULL ? text : json_string_value(v)));
        free(text);
    }
    json_decref(o);
}

static void print_state(FILE *f, const facts *x)
{
    const feature_file *file = x->file;
    char clean[256];
    if (!feature_file_is_ours(file))
        fprintf(f, "HDF5 file of another program%s%s\n",
                feature_file_format(file)[0] != '\0' ? ", format " : "",
                log_printable(clean, sizeof clean, feature_file_format(file)));
    else if (feature_file_is_complete(file))
        fprintf(f, "feature file, format_version %" PRId64 ", complete, %zu digests, digest %s\n",
                file->list->format_version, x->digests, feature_file_digest(file));
    else if (x->committed >= 0)
        fprintf(f, "unfinished feature file: %" PRId64 " of %zu rows committed\n", x->committed,
                x->rows);
    else fprintf(f, "unfinished feature file without a journal\n");
}

static void print_words(FILE *f, const facts *x)
{
    const h5_listing *l = x->file->list;
    char clean[2 * H5_NAME_ROOM];
    print_state(f, x);
    for (size_t i = 0; i < l->n; i++) {
        const h5_item *it = &l->item[i];
        if (strncmp(it->name, "digests/", 8) == 0) continue;
        fprintf(f, "  /%-28s %-6s [", log_printable(clean, sizeof clean, it->name), type_of(it));
        for (int d = 0; d < it->rank; d++)
            fprintf(f, "%s%zu", d > 0 ? "," : "", it->dim[d]);
        fprintf(f, "]\n");
    }
    if (x->has_status) {
        fprintf(f, "status");
        for (int s = 0; s < STATES; s++)
            if (x->status[s] > 0) fprintf(f, " %s %zu", state_name[s], x->status[s]);
        fprintf(f, "\n");
    }
    if (feature_file_provenance(x->file) != NULL) {
        fprintf(f, "provenance\n");
        print_provenance(f, x->file);
    }
}

/* --- JSON ---------------------------------------------------------------------------------------- */

static json_t *datasets_json(const facts *x)
{
    const h5_listing *l = x->file->list;
    json_t *sets = json_array();
    for (size_t i = 0; i < l->n; i++) {
        const h5_item *it = &l->item[i];
        json_t *o, *dims;
        if (strncmp(it->name, "digests/", 8) == 0) continue;
        o = json_object();
        dims = json_array();
        for (int d = 0; d < it->rank; d++)
            json_array_append_new(dims, json_integer((json_int_t)it->dim[d]));
        json_object_set_new(o, "name", json_string(it->name));
        json_object_set_new(o, "type", json_string(type_of(it)));
        json_object_set_new(o, "shape", dims);
        json_object_set_new(o, "bytes", json_integer((json_int_t)it->bytes));
        if (it->direct) json_object_set_new(o, "offset", json_integer((json_int_t)it->offset));
        json_array_append_new(sets, o);
    }
    return sets;
}

static int print_json(FILE *f, const facts *x)
{
    int rc = 0;
    const feature_file *file = x->file;
    json_t *o = json_object(), *p = NULL;
    json_object_set_new(o, "format", json_string(feature_file_format(file)));
    json_object_set_new(o, "format_version", json_integer(file->list->format_version));
    json_object_set_new(
        o, "complete",
        json_boolean(feature_file_is_ours(file) ? feature_file_is_complete(file) : 1));
    json_object_set_new(o, "rows", json_integer((json_int_t)x->rows));
    if (x->committed >= 0) json_object_set_new(o, "rows_committed", json_integer(x->committed));
    json_object_set_new(o, "digests", json_integer((json_int_t)x->digests));
    json_object_set_new(o, "digest", json_string(feature_file_digest(file)));
    json_object_set_new(o, "datasets", datasets_json(x));
    if (x->has_status) {
        json_t *s = json_object();
        for (int i = 0; i < STATES; i++)
            json_object_set_new(s, state_name[i], json_integer((json_int_t)x->status[i]));
        json_object_set_new(o, "status", s);
    }
    if (feature_file_provenance(file) != NULL)
        p = json_loads(feature_file_provenance(file), JSON_DECODE_ANY, NULL);
    json_object_set_new(o, "provenance", p != NULL ? p : json_null());
    CHECK(json_dumpf(o, f, JSON_INDENT(2)) == 0 && fputc('\n', f) != EOF, ERR_ENV,
          "cannot write the description");
done:
    json_decref(o);
    return rc;
}

int inspect_feature(FILE *f, const char *path, int json)
{
    int rc = 0;
    feature_file *file = NULL;
    facts x = {.path = path, .committed = -1};
    TRY(feature_file_open_partial(&file, path));
    x.file = file;
    gather(&x);
    if (!feature_file_is_complete(file)) TRY(read_journal(&x));
    if (json) TRY(print_json(f, &x));
    else print_words(f, &x);
done:
    feature_file_close(&file);
    return rc;
}

int check_feature(FILE *f, const char *path)
{
    int rc = 0;
    feature_file *file = NULL;
    facts x = {.path = path};
    char clean[4200];
    TRY(feature_file_verify(path));
    TRY(feature_file_open(&file, path));
    x.file = file;
    gather(&x);
    fprintf(f, "%s: ok, %zu rows, %zu datasets, %zu digests match, digest %s\n",
            log_printable(clean, sizeof clean, path), x.rows, x.datasets, x.digests,
            feature_file_digest(file));
done:
    feature_file_close(&file);
    return rc;
}
