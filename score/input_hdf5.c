/* HDF5: our feature files and those of others with the same root datasets. */
#include <stdio.h>
#include <string.h>

#include "common/digest.h"
#include "common/err.h"
#include "common/mem.h"
#include "score/input.h"

static array_type type_of(feature_type t)
{
    switch (t) {
    case FEATURE_F16: return ARRAY_F16;
    case FEATURE_I64: return ARRAY_I64;
    case FEATURE_U8: return ARRAY_U8;
    case FEATURE_F64: return ARRAY_F64;
    default: return ARRAY_F32;
    }
}

static void shape_text(const feature_table *t, char *buf, size_t room)
{
    size_t n = (size_t)snprintf(buf, room, "[");
    for (int i = 0; i < t->rank && n < room; i++)
        n += (size_t)snprintf(buf + n, room - n, "%s%zu", i ? "," : "", t->dim[i]);
    if (n < room) snprintf(buf + n, room - n, "]");
}

/* A dataset as [rows,width]; dimensions of 1 behind are dropped ([C,D,1,1]).  rank 1: width 1. */
static int take(const input *in, const char *name, int rank, matrix *m)
{
    int rc = 0, r;
    char shape[120];
    const feature_table *t = feature_file_find(in->file, name);
    if (t == NULL) goto done;
    for (r = t->rank; r > rank && t->dim[r - 1] == 1; r--)
        continue;
    shape_text(t, shape, sizeof shape);
    CHECK(r == rank, ERR_INPUT, "%s: '%s' is %s, not of rank %d", in->path, name, shape, rank);
    CHECK(t->dim[0] > 0 && (rank < 2 || t->dim[1] > 0), ERR_INPUT, "%s: '%s' is %s: no values",
          in->path, name, shape);
    *m = (matrix){ .type = type_of(t->type), .rows = t->dim[0], .width = rank < 2 ? 1 : t->dim[1],
                   .data = t->data, .table = t, .name = t->name };
done:
    return rc;
}

/* The checksums a finished file carries stand for its bytes, so gigabytes need not be hashed again.
 * A file without them is hashed whole. */
static int identify(input *in)
{
    const char *known = feature_file_digest(in->file);
    if (*known == '\0') return digest_of_file(in->path, in->sha256);
    snprintf(in->sha256, sizeof in->sha256, "%s", known);
    return 0;
}

/* Everything of floats below /probes. */
static int take_tables(input *in)
{
    int rc = 0;
    size_t n = feature_file_count(in->file);
    TRY(mem_new(&in->tables, n, sizeof *in->tables, in->path));
    for (size_t i = 0; i < n; i++) {
        const feature_table *t = feature_file_at(in->file, i);
        source_table *to = &in->tables[in->n_tables];
        if (strncmp(t->name, "probes/", 7) != 0 || t->rank < 1 || t->data == NULL) continue;
        if (t->type != FEATURE_F32 && t->type != FEATURE_F16) continue;
        *to = (source_table){ .name = t->name + 7, .width = 1, .rank = t->rank - 1, .impl = t };
        for (int k = 0; k < to->rank; k++) {
            to->dim[k] = t->dim[k + 1];
            TRY(mem_product(&to->width, to->width, t->dim[k + 1], t->name));
        }
        in->n_tables++;
    }
done:
    return rc;
}

int input_take_hdf5(input *in)
{
    int rc = 0;
    matrix status = { 0 };
    TRY(feature_file_open(&in->file, in->path));
    TRY(take(in, "features", 2, &in->features));
    TRY(take(in, "logits", 2, &in->logits));
    TRY(take(in, "labels", 1, &in->labels));
    TRY(take(in, "head/weight", 2, &in->weight));
    TRY(take(in, "head/bias", 1, &in->bias));
    TRY(take(in, "status", 1, &status));
    TRY(take_tables(in));
    in->provenance = feature_file_provenance(in->file);
    if (status.data != NULL && status.type == ARRAY_U8) {
        const matrix *m = in->features.data ? &in->features : &in->logits;
        CHECK(m->data == NULL || status.rows == m->rows, ERR_INPUT,
              "%s: 'status' has %zu rows, '%s' has %zu", in->path, status.rows, m->name, m->rows);
        in->status = status.data;
    }
    TRY(identify(in));
done:
    return rc;
}
