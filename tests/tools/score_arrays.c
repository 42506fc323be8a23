/* Runs the scoring engine over raw arrays, for oracles and for timing; no feature files.
 *
 *   score_arrays DIR METHODS [KEY=VALUE options of the engine]... [METHOD.KEY=VALUE]...
 *     DIR/shape.txt     "d c n_train n_id n_ood1 n_ood2 ...", DIR/train.f32 id.f32 ood0.f32 ... head_w.f32
 *     head_b.f32, train_labels.i64 (may be absent), id_labels.i64 (likewise), val_shape.txt with val.f32 and
 *     val_labels.i64 (likewise), val_ood_shape.txt with val_ood.f32 (likewise); writes DIR/out_<i>_<set>.f32, i = the method's place in METHODS
 *   score_arrays bench N_TRAIN N_ID N_OOD SETS D C METHODS ...
 *     synthetic classes (seeded); prints seconds by method and peak RSS
 * Engine options: memory=BYTES threads=N stored=0|1 copied=0|1 */
#include "common/err.h"
#include "common/mem.h"
#include "score/engine.h"
#include "score/linalg.h"
#include "tests/memory_source.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

enum { SETS_MAX = 16 };

typedef struct job {
    size_t d, c, n_train, n_val, n_val_ood, n_sets, n[SETS_MAX]; /* sets: ID first */
    float *train, *val, *val_ood, *rows[SETS_MAX], *w, *b;
    int64_t *labels, *id_labels, *val_labels;
    int copied;
} job;

static double clock_now(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int read_array(void *out, size_t count, size_t size, const char *dir, const char *file)
{
    int rc = 0;
    char path[1024];
    void *v = NULL;
    FILE *f = NULL;
    snprintf(path, sizeof path, "%s/%s", dir, file);
    TRY(mem_new(&v, count, size, path));
    f = fopen(path, "rb");
    CHECK(f != NULL, ERR_INPUT, "%s: cannot open", path);
    CHECK(fread(v, size, count, f) == count, ERR_INPUT, "%s: shorter than %zu values", path, count);
    memcpy(out, &v, sizeof v);
    v = NULL;
done:
    if (f != NULL) fclose(f);
    free(v);
    return rc;
}

static int write_array(const float *v, size_t n, const char *path)
{
    FILE *f = fopen(path, "wb");
    int ok = f != NULL && fwrite(v, sizeof *v, n, f) == n;
    if (f != NULL && fclose(f) != 0) ok = 0;
    return ok ? 0 : err_set(ERR_ENV, "%s: cannot write", path);
}

/* The held-out OOD set, when there is one. */
static int read_val_ood(job *j, const char *dir)
{
    int rc = 0;
    char path[1024];
    FILE *f;
    snprintf(path, sizeof path, "%s/val_ood_shape.txt", dir);
    f = fopen(path, "r");
    if (f == NULL) return 0;
    CHECK(fscanf(f, "%zu", &j->n_val_ood) == 1, ERR_INPUT, "%s: no number", path);
    TRY(read_array(&j->val_ood, j->n_val_ood * j->d, sizeof(float), dir, "val_ood.f32"));
done:
    fclose(f);
    return rc;
}

/* The validation set, when there is one. */
static int read_val(job *j, const char *dir)
{
    int rc = 0;
    char path[1024];
    FILE *f;
    snprintf(path, sizeof path, "%s/val_shape.txt", dir);
    f = fopen(path, "r");
    if (f == NULL) return 0;
    CHECK(fscanf(f, "%zu", &j->n_val) == 1, ERR_INPUT, "%s: no number", path);
    TRY(read_array(&j->val, j->n_val * j->d, sizeof(float), dir, "val.f32"));
    TRY(read_array(&j->val_labels, j->n_val, sizeof(int64_t), dir, "val_labels.i64"));
done:
    fclose(f);
    return rc;
}

static int read_job(job *j, const char *dir)
{
    int rc = 0;
    char path[1024];
    FILE *f;
    snprintf(path, sizeof path, "%s/shape.txt", dir);
    f = fopen(path, "r");
    CHECK(f != NULL, ERR_INPUT, "%s: cannot open", path);
    CHECK(fscanf(f, "%zu %zu %zu", &j->d, &j->c, &j->n_train) == 3, ERR_INPUT, "%s: no shape",
          path);
    while (j->n_sets < SETS_MAX && fscanf(f, "%zu", &j->n[j->n_sets]) == 1)
        j->n_sets++;
    TRY(read_array(&j->train, j->n_train * j->d, sizeof(float), dir, "train.f32"));
    TRY(read_array(&j->w, j->c * j->d, sizeof(float), dir, "head_w.f32"));
    TRY(read_array(&j->b, j->c, sizeof(float), dir, "head_b.f32"));
    for (size_t s = 0; s < j->n_sets; s++) {
        if (s == 0) snprintf(path, sizeof path, "id.f32");
        else snprintf(path, sizeof path, "ood%zu.f32", s - 1);
        TRY(read_array(&j->rows[s], j->n[s] * j->d, sizeof(float), dir, path));
    }
    if (read_array(&j->labels, j->n_train, sizeof(int64_t), dir, "train_labels.i64") < 0)
        err_clear();
    if (read_array(&j->id_labels, j->n[0], sizeof(int64_t), dir, "id_labels.i64") < 0) err_clear();
    TRY(read_val(j, dir));
    TRY(read_val_ood(j, dir));
done:
    if (f != NULL) fclose(f);
    return rc;
}

/* ---- synthetic classes ----------------------------------------------------------------------- */

static uint64_t state = 88172645463325252u;

static float normal(void) /* sum of four uniforms: close enough, and fast */
{
    float sum = 0;
    for (int i = 0; i < 4; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        sum += (float)(state >> 40) / 16777216.0f - 0.5f;
    }
    return sum * 1.732f;
}

/* Rectified class mean plus noise whose size falls from feature to feature. */
static void make_rows(float *v, int64_t *labels, size_t n, const job *j, float pull)
{
    for (size_t i = 0; i < n; i++) {
        size_t k = (size_t)(state % j->c);
        if (labels != NULL) labels[i] = (int64_t)k;
        for (size_t t = 0; t < j->d; t++) {
            float noise = normal() * (0.2f + 0.8f / (1.0f + 0.02f * (float)t));
            float x = 0.4f + pull * 20 * j->w[k * j->d + t] + 0.6f * noise;
            v[i * j->d + t] = x > 0 ? x : 0.01f * x * x;
        }
    }
}

static int make_job(job *j)
{
    int rc = 0;
    TRY(mem_new(&j->w, j->c * j->d, sizeof(float), "head"));
    TRY(mem_new(&j->b, j->c, sizeof(float), "head"));
    TRY(mem_new(&j->train, j->n_train * j->d, sizeof(float), "train"));
    TRY(mem_new(&j->labels, j->n_train, sizeof(int64_t), "labels"));
    for (size_t i = 0; i < j->c * j->d; i++)
        j->w[i] = 0.03f * normal();
    for (size_t i = 0; i < j->c; i++)
        j->b[i] = 0.1f * normal();
    make_rows(j->train, j->labels, j->n_train, j, 0.6f);
    j->n_val = j->n_train < 5000 ? j->n_train : 5000; /* the first of train: enough for timing */
    TRY(mem_new(&j->val, j->n_val * j->d, sizeof(float), "val"));
    TRY(mem_new(&j->val_labels, j->n_val, sizeof(int64_t), "val"));
    TRY(mem_new(&j->id_labels, j->n[0], sizeof(int64_t), "labels"));
    memcpy(j->val, j->train, j->n_val * j->d * sizeof(float));
    memcpy(j->val_labels, j->labels, j->n_val * sizeof(int64_t));
    for (size_t s = 0; s < j->n_sets; s++) {
        TRY(mem_new(&j->rows[s], j->n[s] * j->d, sizeof(float), "test"));
        make_rows(j->rows[s], s == 0 ? j->id_labels : NULL, j->n[s], j,
                  s == 0 ? 0.6f : 0.1f * (float)s);
    }
done:
    return rc;
}

/* ---- run ------------------------------------------------------------------------------------- */

static int run_job(job *j, engine_options o, const char *spec, const char **sets, size_t n_sets,
                   const char *dir)
{
    int rc = 0;
    memory_rows rows[SETS_MAX + 3];
    source sources[SETS_MAX + 3];
    const source *ood[SETS_MAX], *val_ood = &sources[SETS_MAX + 2];
    char names[SETS_MAX][16], path[1024];
    head h = {j->c, j->d, j->w, j->b};
    method_use *uses = NULL;
    engine_result result = {0};
    size_t n = 0;
    double wall, cpu;
    struct rusage before, after;
    for (size_t s = 0; s < j->n_sets; s++) {
        snprintf(names[s], sizeof names[s], s == 0 ? "id" : "ood%zu", s - 1);
        rows[s] = (memory_rows){j->rows[s], NULL, j->copied};
        sources[s] = memory_source(names[s], &rows[s], j->n[s], j->d, j->c,
                                   s == 0 ? j->id_labels : NULL);
        if (s > 0) ood[s - 1] = &sources[s];
    }
    rows[SETS_MAX] = (memory_rows){j->train, NULL, j->copied};
    sources[SETS_MAX] = memory_source("train", &rows[SETS_MAX], j->n_train, j->d, j->c, j->labels);
    rows[SETS_MAX + 1] = (memory_rows){j->val, NULL, j->copied};
    sources[SETS_MAX + 1] =
        memory_source("val", &rows[SETS_MAX + 1], j->n_val, j->d, j->c, j->val_labels);
    o.val_id = j->n_val > 0 ? &sources[SETS_MAX + 1] : NULL;
    rows[SETS_MAX + 2] = (memory_rows){j->val_ood, NULL, j->copied};
    sources[SETS_MAX + 2] =
        memory_source("val-ood", &rows[SETS_MAX + 2], j->n_val_ood, j->d, j->c, NULL);
    o.val_ood = &val_ood;
    o.n_val_ood = j->n_val_ood > 0;
    o.head = &h;
    o.train = j->n_train > 0 ? &sources[SETS_MAX] : NULL;
    o.id = &sources[0];
    o.ood = ood;
    o.n_ood = j->n_sets - 1;
    TRY(engine_resolve(&uses, &n, spec, sets, n_sets));
    getrusage(RUSAGE_SELF, &before);
    wall = clock_now(CLOCK_MONOTONIC);
    cpu = clock_now(CLOCK_PROCESS_CPUTIME_ID);
    TRY(engine_run(&o, uses, n, &result));
    wall = clock_now(CLOCK_MONOTONIC) - wall;
    cpu = clock_now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    getrusage(RUSAGE_SELF, &after);
    printf("wall %.3f s  cpu %.3f s  engine peak %.1f MB  rss before %.1f MB, grown by %.1f MB\n",
           wall, cpu, (double)result.peak_bytes / 1e6, (double)before.ru_maxrss / 1e3,
           (double)(after.ru_maxrss - before.ru_maxrss) / 1e3);
    printf("kernels %s  train pass %.3f s  test logits and softmax %.3f s\n", linalg_kernels(),
           result.pass_seconds, result.logits_seconds);
    for (size_t i = 0; i < n; i++) {
        printf("%-16s fit %7.3f s  score %7.3f s%s%s\n", uses[i].m->name, uses[i].fit_seconds,
               uses[i].score_seconds, uses[i].skipped != NULL ? "  skipped: " : "",
               uses[i].skipped != NULL ? uses[i].skipped : "");
        for (size_t s = 0; dir != NULL && uses[i].skipped == NULL && s < j->n_sets; s++) {
            snprintf(path, sizeof path, "%s/out_%zu_%s.f32", dir, i, names[s]);
            TRY(write_array(uses[i].scores[s], j->n[s], path));
        }
    }
done:
    engine_clear_result(&result);
    engine_free_uses(&uses, n, j->n_sets);
    return rc;
}

int main(int argc, char **argv)
{
    int rc = 0, at, bench = argc > 1 && strcmp(argv[1], "bench") == 0;
    job j = {0};
    engine_options o = {0};
    const char *sets[64];
    size_t n_sets = 0;
    CHECK(argc >= (bench ? 9 : 3), ERR_USAGE,
          "usage: score_arrays DIR METHODS ... (see the source)");
    at = bench ? 8 : 2;
    for (int i = at + 1; i < argc; i++) {
        if (strncmp(argv[i], "memory=", 7) == 0) o.memory = strtoull(argv[i] + 7, NULL, 10);
        else if (strncmp(argv[i], "threads=", 8) == 0) o.threads = atoi(argv[i] + 8);
        else if (strncmp(argv[i], "copied=", 7) == 0) j.copied = atoi(argv[i] + 7);
        else if (n_sets < 64) sets[n_sets++] = argv[i];
    }
    if (bench) {
        j.n_train = strtoull(argv[2], NULL, 10);
        j.n[0] = strtoull(argv[3], NULL, 10);
        j.n_sets = 1 + strtoull(argv[5], NULL, 10);
        CHECK(j.n_sets <= SETS_MAX, ERR_USAGE, "at most %d sets", SETS_MAX);
        for (size_t s = 1; s < j.n_sets; s++)
            j.n[s] = strtoull(argv[4], NULL, 10);
        j.d = strtoull(argv[6], NULL, 10);
        j.c = strtoull(argv[7], NULL, 10);
        TRY(make_job(&j));
    } else TRY(read_job(&j, argv[1]));
    TRY(run_job(&j, o, argv[at], sets, n_sets, bench ? NULL : argv[1]));
done:
    if (rc < 0) fprintf(stderr, "score_arrays: %s\n", err_text());
    free(j.train);
    free(j.w);
    free(j.b);
    free(j.labels);
    free(j.id_labels);
    free(j.val);
    free(j.val_labels);
    free(j.val_ood);
    for (size_t s = 0; s < j.n_sets && s < SETS_MAX; s++)
        free(j.rows[s]);
    return err_exit_status(rc);
}
