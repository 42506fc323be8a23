/* feature_write OUT ROWS WIDTH [--batch N] [--every N] [--nap USEC] [--stop ROW] [--force] [--model M]
 * Writes the feature file of tests/unit/feature_fixture.h as extract would; for tests that kill it, fail its
 * system calls or measure it.  --plain writes the same bytes with write(2) only, as a yardstick.
 * stdout: "state rows_done seconds bytes".  Exit status as extract's. */
#include <fcntl.h>
#include <time.h>

#include "common/log.h"
#include "tests/unit/feature_fixture.h"

typedef struct config {
    size_t batch, every, stop;
    long nap;
    int force, plain;
    char provenance[128];
} config;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Rows as the fixture's, but drawn once: making them must not be what is measured. */
static int write_same(feature_writer *w, const fixture *x, size_t row, size_t n, float *v)
{
    static uint8_t status[65536], bits[5 * 65536];
    static uint16_t half[12 * 65536];
    static int64_t top[65536];
    static float logits[10 * 65536];
    const void *data[5] = { v, logits, half, top, bits };
    (void)x;
    memset(status, ROW_OK, n);
    return feature_writer_put(w, row, n, data, status, NULL);
}

static int plain(const fixture *x, const config *c, const float *v)
{
    int fd = open(x->file, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    size_t row_bytes = x->set[0].dim[0] * 4 + 40 + 24 + 8 + 5 + 1;
    double start = now();
    for (size_t row = 0; row < x->spec.rows; row += c->batch)
        if (write(fd, v, c->batch * row_bytes) != (ssize_t)(c->batch * row_bytes)) return 5;
    if (fsync(fd) < 0 || close(fd) < 0) return 5;
    printf("plain %zu %.3f %zu\n", x->spec.rows, now() - start, x->spec.rows * row_bytes);
    return 0;
}

static int run(const fixture *x, const config *c, int measure, float *v)
{
    feature_writer *w = NULL;
    enum feature_state state = FEATURE_NEW;
    size_t row = 0, batches = 0, done = 0;
    double start = now();
    int rc = feature_writer_open(&w, x->file, &x->spec, c->force, &state, &done);
    for (row = done; rc == 0 && state != FEATURE_COMPLETE && row < c->stop;) {
        size_t n = c->stop - row < c->batch ? c->stop - row : c->batch;
        rc = measure ? write_same(w, x, row, n, v) : fixture_put(x, w, row, n);
        row += n;
        if (c->nap > 0) nanosleep(&(struct timespec){ c->nap / 1000000, c->nap % 1000000 * 1000 }, NULL);
        if (rc == 0 && ++batches % c->every == 0) rc = feature_writer_commit(w);
    }
    if (rc == 0 && state != FEATURE_COMPLETE)
        rc = c->stop == x->spec.rows ? feature_writer_finish(w) : feature_writer_commit(w);
    feature_writer_close(&w);
    if (rc < 0) log_error("%s", err_text());
    if (rc == 0)
        printf("%s %zu %.3f %zu\n", state == FEATURE_NEW ? "new" : state == FEATURE_RESUMED ? "resumed" : "complete",
               done, now() - start, x->spec.rows * (x->set[0].dim[0] * 4 + 78));
    return err_exit_status(rc);
}

int main(int argc, char **argv)
{
    fixture x;
    config c = { .batch = 16, .every = 2, .stop = SIZE_MAX };
    int status, measure = 0;
    float *v;
    if (argc < 4) return 2;
    snprintf(c.provenance, sizeof c.provenance, "{\"model\":\"m\"}");
    for (int i = 4; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--batch") == 0) c.batch = strtoul(value, NULL, 10);
        if (strcmp(argv[i], "--every") == 0) c.every = strtoul(value, NULL, 10);
        if (strcmp(argv[i], "--stop") == 0) c.stop = strtoul(value, NULL, 10);
        if (strcmp(argv[i], "--nap") == 0) c.nap = strtol(value, NULL, 10);
        if (strcmp(argv[i], "--model") == 0) snprintf(c.provenance, sizeof c.provenance, "{\"model\":\"%s\"}", value);
        if (strcmp(argv[i], "--force") == 0) c.force = 1;
        if (strcmp(argv[i], "--plain") == 0) c.plain = 1;
        if (strcmp(argv[i], "--measure") == 0) measure = 1;
    }
    log_open("feature_write", LOG_WARN);
    fixture_init(&x, strtoul(argv[2], NULL, 10), strtoul(argv[3], NULL, 10), c.provenance);
    rmdir(x.dir);
    snprintf(x.file, sizeof x.file, "%s", argv[1]);
    if (c.stop > x.spec.rows) c.stop = x.spec.rows;
    v = calloc(c.batch, (x.set[0].dim[0] + 78) * 4);
    for (size_t i = 0; i < c.batch * x.set[0].dim[0]; i++)
        v[i] = fixture_value(0, 0, i);
    status = c.plain ? plain(&x, &c, v) : run(&x, &c, measure, v);
    free(v);
    fixture_clear(&x);
    return status;
}
