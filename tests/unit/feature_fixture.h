/* A feature file whose every value is a function of row and column, so that any part of it can be
 * recomputed by a test. */
#ifndef FEATURE_FIXTURE_H
#define FEATURE_FIXTURE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/err.h"
#include "common/feature_file.h"

typedef struct fixture {
    feature_spec spec;
    feature_dataset set[5];
    feature_constant constant[2];
    float *weight, *bias;
    char **paths;
    int64_t *labels;
    char dir[64], file[128];
} fixture;

static inline uint32_t fixture_hash(uint64_t x)
{
    x = (x + 0x9e3779b97f4a7c15u) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)(x >> 32);
}

static inline float fixture_value(size_t set, size_t row, size_t column)
{
    return (float)(fixture_hash(set * 1000003 + row * 10007 + column) % 20000) / 7.0f - 1000.0f;
}

static inline uint8_t fixture_status(size_t row)
{
    if (row % 97 == 13) return ROW_DECODE_ERROR;
    if (row % 131 == 7) return ROW_UNREADABLE;
    return row % 211 == 5 ? ROW_NONFINITE : ROW_OK;
}

/* d: width of /features. */
static inline void fixture_init(fixture *x, size_t rows, size_t d, const char *provenance)
{
    /* memory where there is: what is tested here is not the speed of a disk's sync */
    const char *tmp = getenv("TMPDIR") != NULL        ? getenv("TMPDIR")
                      : access("/dev/shm", W_OK) == 0 ? "/dev/shm"
                                                      : "/tmp";
    memset(x, 0, sizeof *x);
    snprintf(x->dir, sizeof x->dir, "%s/outpost-test-XXXXXX", tmp);
    if (mkdtemp(x->dir) == NULL) abort();
    snprintf(x->file, sizeof x->file, "%s/out.h5", x->dir);
    x->set[0] = (feature_dataset){"features", FEATURE_F32, 1, {d}, NULL};
    x->set[1] = (feature_dataset){"logits", FEATURE_F32, 1, {10}, NULL};
    x->set[2] = (feature_dataset){"taps/layer4", FEATURE_F16, 3, {3, 2, 2}, NULL};
    x->set[3] = (feature_dataset){"probes/odin/top", FEATURE_I64, 0, {0}, NULL};
    x->set[4] = (feature_dataset){"probes/odin/bits", FEATURE_U8, 1, {5}, NULL};
    x->weight = calloc(10 * d, sizeof *x->weight);
    x->bias = calloc(10, sizeof *x->bias);
    for (size_t i = 0; i < 10 * d; i++)
        x->weight[i] = fixture_value(90, i, 0);
    for (size_t i = 0; i < 10; i++)
        x->bias[i] = fixture_value(91, i, 0);
    x->constant[0] = (feature_constant){"head/weight", 2, {10, d}, x->weight};
    x->constant[1] = (feature_constant){"head/bias", 1, {10}, x->bias};
    x->paths = calloc(rows + 1, sizeof *x->paths);
    x->labels = calloc(rows + 1, sizeof *x->labels);
    for (size_t i = 0; i < rows; i++) {
        char text[64];
        x->labels[i] = (int64_t)(fixture_hash(i) % 1001) - 1;
        snprintf(text, sizeof text, "val/n%05u/image_%zu.JPEG", fixture_hash(i) % 1000, i);
        x->paths[i] = strdup(text);
    }
    x->spec = (feature_spec){.rows = rows,
                             .paths = (const char *const *)x->paths,
                             .path_width = 40,
                             .labels = x->labels,
                             .datasets = x->set,
                             .n_datasets = 5,
                             .constants = x->constant,
                             .n_constants = 2,
                             .provenance = provenance};
}

static inline void fixture_clear(fixture *x)
{
    char command[256];
    for (size_t i = 0; i < x->spec.rows; i++)
        free(x->paths[i]);
    free(x->paths);
    free(x->labels);
    free(x->weight);
    free(x->bias);
    snprintf(command, sizeof command, "rm -rf '%s'", x->dir);
    if (system(command) != 0) abort();
}

/* Puts the rows [row, row + n). */
static inline int fixture_put(const fixture *x, feature_writer *w, size_t row, size_t n)
{
    size_t d = x->set[0].dim[0];
    float *a = calloc(n * d, 4), *b = calloc(n * 10, 4);
    uint16_t *c = calloc(n * 12, 2);
    int64_t *e = calloc(n, 8);
    uint8_t *f = calloc(n * 5, 1), *status = calloc(n, 1);
    const char **reason = calloc(n, sizeof *reason);
    const void *data[5] = {a, b, c, e, f};
    int rc;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < d; k++)
            a[i * d + k] = fixture_value(0, row + i, k);
        for (size_t k = 0; k < 10; k++)
            b[i * 10 + k] = fixture_value(1, row + i, k);
        for (size_t k = 0; k < 12; k++)
            c[i * 12 + k] = (uint16_t)(fixture_hash((row + i) * 12 + k) % 0x7c00);
        for (size_t k = 0; k < 5; k++)
            f[i * 5 + k] = (uint8_t)fixture_hash((row + i) * 5 + k);
        e[i] = (int64_t)fixture_hash(row + i) - (1 << 30);
        status[i] = fixture_status(row + i);
        reason[i] = status[i] == ROW_DECODE_ERROR ? "truncated at byte 12" : NULL;
    }
    rc = feature_writer_put(w, row, n, data, status, reason);
    free(a), free(b), free(c), free(e), free(f), free(status), free((void *)reason);
    return rc;
}

/* Runs until `stop` rows are committed, in batches of `batch`, a commit after every `every` batches;
 * finishes when stop is the number of rows. */
static inline int fixture_run(const fixture *x, size_t stop, size_t batch, size_t every)
{
    feature_writer *w = NULL;
    enum feature_state state;
    size_t row = 0, batches = 0;
    int rc = feature_writer_open(&w, x->file, &x->spec, 0, &state, &row);
    if (rc < 0 || state == FEATURE_COMPLETE) return rc;
    while (rc == 0 && row < stop) {
        size_t n = stop - row < batch ? stop - row : batch;
        rc = fixture_put(x, w, row, n);
        row += n;
        if (rc == 0 && ++batches % every == 0) rc = feature_writer_commit(w);
    }
    if (rc == 0) rc = stop == x->spec.rows ? feature_writer_finish(w) : feature_writer_commit(w);
    feature_writer_close(&w);
    return rc;
}

static inline unsigned char *fixture_read(const char *file, size_t *bytes)
{
    FILE *f = fopen(file, "rb");
    unsigned char *p;
    struct stat st;
    if (f == NULL || fstat(fileno(f), &st) != 0) abort();
    *bytes = (size_t)st.st_size;
    p = malloc(*bytes + 1);
    if (fread(p, 1, *bytes, f) != *bytes) abort();
    fclose(f);
    return p;
}

static inline void fixture_save(const char *file, const void *data, size_t bytes)
{
    FILE *f = fopen(file, "wb");
    if (f == NULL || fwrite(data, 1, bytes, f) != bytes || fclose(f) != 0) abort();
}

#endif
