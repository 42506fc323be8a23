/* score sweep: a grid of settings, chosen on validation sets, reported on test sets. */
#include "score/commands.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"
#include "score/linalg_backend.h"
#include "score/outfile.h"
#include "score/run.h"
#include "score/sweep.h"

typedef struct config {
    run_config run; /* first: its options are those of `run` */
    const char *name, *grid_csv, *preset;
    args_strings grids;
    int top;
} config;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int make_grid(grid *g, const config *c)
{
    int rc = 0;
    CHECK(c->grids.n > 0 || c->preset != NULL, ERR_USAGE,
          "--grid KEY=VALUES or --preset is needed");
    for (size_t i = 0; i < c->grids.n; i++)
        TRY(grid_add(g, c->grids.v[i]));
    if (c->preset != NULL) TRY(grid_add_preset(g, c->preset, c->name));
done:
    return rc;
}

static void point_name(char *buf, size_t room, const grid *g, size_t p)
{
    size_t at = 0;
    for (size_t k = 0; k < g->n && at < room; k++)
        at += (size_t)snprintf(buf + at, room - at, "%s%s=%s", k > 0 ? ":" : "", g->key[k].name,
                               grid_value(g, p, k));
}

static const sweep *sorted; /* of the comparison below */

static int by_validation(const void *a, const void *b)
{
    size_t p = *(const size_t *)a, q = *(const size_t *)b;
    double x = sorted->point[p].failed ? -1 : sorted->point[p].val.auroc;
    double y = sorted->point[q].failed ? -1 : sorted->point[q].val.auroc;
    if (x != y) return x > y ? -1 : 1;
    return (p > q) - (p < q);
}

enum { NAME_ROOM = 200 };

/* Mean of a metric over the test sets, NaN without any. */
static double test_mean(const sweep *s, const sweep_point *p, const metric_field *f)
{
    double sum = 0;
    if (p->test == NULL || s->in->ood.n == 0) return NAN;
    for (size_t i = 0; i < s->in->ood.n; i++)
        sum += metric_value(&p->test[i], f);
    return sum / (double)s->in->ood.n;
}

/* The best points as a table: validation means beside test means. */
static int print_best(const sweep *s, size_t top, const metric_field *fields, size_t n_fields)
{
    static const char *const groups[] = {"validation", "test mean"};
    int rc = 0;
    size_t n_groups = s->in->ood.n > 0 ? 2 : 1, n, *order = NULL;
    char(*name)[NAME_ROOM] = NULL;
    const char **row = NULL;
    double *value = NULL;
    table_column column[RUN_FIELDS_MAX];
    n = s->g.points - s->n_failed;
    if (top > 0 && n > top) n = top;
    TRY(mem_new(&order, s->g.points, sizeof *order, "table"));
    TRY(mem_new(&name, n, sizeof *name, "table"));
    TRY(mem_new(&row, n, sizeof *row, "table"));
    TRY(mem_new(&value, n * n_groups * n_fields, sizeof *value, "table"));
    for (size_t p = 0; p < s->g.points; p++)
        order[p] = p;
    sorted = s;
    qsort(order, s->g.points, sizeof *order, by_validation);
    for (size_t i = 0; i < n; i++) {
        const sweep_point *p = &s->point[order[i]];
        point_name(name[i], NAME_ROOM, &s->g, order[i]);
        row[i] = name[i];
        for (size_t f = 0; f < n_fields; f++) {
            value[i * n_groups * n_fields + f] = metric_value(&p->val, &fields[f]);
            if (n_groups == 2) value[(i * 2 + 1) * n_fields + f] = test_mean(s, p, &fields[f]);
        }
    }
    for (size_t f = 0; f < n_fields; f++)
        column[f] = (table_column){fields[f].title, fields[f].larger_is_better, 0};
    table_print_text(stdout,
                     &(table){.corner = "setting",
                              .n_rows = n,
                              .n_groups = n_groups,
                              .n_columns = n_fields,
                              .row = row,
                              .group = groups,
                              .column = column,
                              .value = value},
                     80, 0);
    if (n < s->g.points - s->n_failed)
        printf("... %zu more; --csv has all\n", s->g.points - s->n_failed - n);
done:
    free(value);
    free(row);
    free(name);
    free(order);
    return rc;
}

static void print_choice(const sweep *s, const char *name)
{
    char buf[NAME_ROOM];
    point_name(buf, sizeof buf, &s->g, s->best);
    printf("%s: %zu settings", name, s->g.points);
    if (s->n_failed > 0) printf(", %zu could not be run", s->n_failed);
    printf("\nchosen: %s  (validation AUROC %.2f)\n\n", buf, 100 * s->point[s->best].val.auroc);
}

static int write_grid(const sweep *s, const char *path)
{
    int rc = 0;
    outfile file = {0};
    TRY(outfile_open(&file, path));
    TRY(sweep_write_csv(file.f, s));
    TRY(outfile_commit(&file));
done:
    outfile_abandon(&file);
    return rc;
}

/* The table and files of the chosen setting on the test sets, as `score run` writes them. */
static int report_chosen(const sweep *s, const config *c, const engine_result *kept, double seconds,
                         const char *device, const metric_field *fields, size_t n_fields)
{
    int rc = 0;
    size_t failed;
    results r = {0}, full = {0};
    TRY(run_evaluate(&r, &failed, s->chosen, 1, kept, s->in, &c->run, 0));
    if (s->in->csid.n > 0) {
        TRY(run_evaluate(&full, &failed, s->chosen, 1, kept, s->in, &c->run, 1));
        r.full = &full;
        r.csid = s->in->csid_name;
        r.n_csid = s->in->csid.n;
    }
    r.seconds = seconds;
    r.device = device;
    TRY(run_write_outputs(&c->run, &r, fields, n_fields));
    if (c->run.scores != NULL)
        TRY(scores_file_write(c->run.scores, s->in, s->chosen, 1, &r, kept->predictions));
done:
    results_clear(&r);
    results_clear(&full);
    return rc;
}

static int is_stdout(const char *path)
{
    return path != NULL && strcmp(path, "-") == 0;
}

static int check_outputs(const config *c)
{
    int rc = 0;
    const char *const others[] = {c->run.json, c->run.scores};
    TRY(run_check_outputs(&c->run));
    for (int i = 0; i < 2; i++)
        CHECK(c->grid_csv == NULL || others[i] == NULL || strcmp(c->grid_csv, others[i]) != 0,
              ERR_USAGE, "--csv and --%s are the same file", i == 0 ? "json" : "scores");
    if (c->grid_csv != NULL) TRY(outfile_check(c->grid_csv));
done:
    return rc;
}

static int run(void *p)
{
    config *c = p;
    int rc = 0;
    double start = now();
    sweep s = {0};
    run_inputs in = {0};
    engine_result kept = {0};
    metric_field fields[RUN_FIELDS_MAX];
    size_t n_fields;
    const char *conventions = c->run.conventions;
    linalg *la = NULL;
    method_use *uses = NULL;
    char device[256] = "cpu";
    if (c->run.threads > 0) omp_set_num_threads(c->run.threads);
    c->run.optional_test = 1;
    TRY(make_grid(&s.g, c));
    TRY(grid_uses(&s.g, c->name, 0, s.g.points, c->run.sets.v, c->run.sets.n,
                  &uses)); /* all are allowed */
    engine_free_uses(&uses, s.g.points, 0);
    TRY(run_fields(fields, &n_fields, conventions != NULL ? conventions : "vim"));
    TRY(check_outputs(c));
    if (strcmp(c->run.device, "cpu") != 0) {
        TRY(linalg_cuda_open(&la, c->run.device, c->run.memory));
        la->ops->describe(la, device, sizeof device);
    }
    TRY(run_inputs_open(&in, &c->run));
    CHECK(in.val_id != NULL && in.val_ood.n > 0, ERR_USAGE,
          "--val-id and --val-ood are needed, or --bench with --features: a sweep chooses on "
          "validation sets");
    if (conventions == NULL && in.bench != NULL && in.bench->fpr95 != NULL)
        TRY(run_fields(fields, &n_fields, in.bench->fpr95));
    CHECK(in.id != NULL || (c->run.json == NULL && c->run.scores == NULL), ERR_USAGE,
          "--json and --scores are of the test sets: --id and --ood are needed");
    s.in = &in;
    log_info("%zu settings of %s", s.g.points, c->name);
    TRY(sweep_run(&s, c->name, &c->run, la, &kept));
    log_info("%zu settings in %.1f s", s.g.points, now() - start);
    if (c->grid_csv != NULL && !is_stdout(c->grid_csv)) TRY(write_grid(&s, c->grid_csv));
    if (is_stdout(c->grid_csv)) {
        TRY(write_grid(&s, c->grid_csv));
        goto done;
    }
    if (!is_stdout(c->run.json)) {
        print_choice(&s, c->name);
        TRY(print_best(&s, (size_t)c->top, fields, n_fields));
    }
    if (in.id != NULL) {
        if (!is_stdout(c->run.json)) fputs("\nchosen setting on the test sets:\n\n", stdout);
        TRY(report_chosen(&s, c, &kept, now() - start, device, fields, n_fields));
    }
done:
    engine_clear_result(&kept);
    sweep_clear(&s);
    run_inputs_close(&in);
    if (la != NULL) la->ops->close(&la);
    return rc;
}

#define AT(field) offsetof(config, field)
static const char *const colors[] = {"auto", "always", "never", NULL};
static const opt opts[] = {
    {"method", 'm', OPT_STRING, AT(name), "METHOD",
     "what is tuned, with options that stay: gen:m=10", NULL, NULL, 0, 0, 1},
    {"grid", 'g', OPT_REPEAT, AT(grids), "KEY=VALUES",
     "values of an option: V1,V2,... or A:B:STEP; the\nfirst --grid varies fastest", NULL, NULL, 0,
     0, 0},
    {"preset", 0, OPT_STRING, AT(preset), "NAME", "a published grid: openood, nac-resnet50, ...", NULL, NULL, 0, 0, 0},
    {"val-id", 0, OPT_STRING, AT(run.val_id), "FILE", "held-out ID features, to choose on", NULL,
     NULL, 0, 0, 0},
    {"val-labels", 0, OPT_STRING, AT(run.val_labels), "FILE", "their labels", NULL, NULL, 0, 0, 0},
    {"val-ood", 0, OPT_MANY, AT(run.val_ood), "[NAME=]FILE",
     "held-out OOD features; of several the mean counts", NULL, NULL, 0, 0, 0},
    {"id", 'i', OPT_STRING, AT(run.id), "FILE",
     "the test sets, reported beside and never chosen on", NULL, NULL, 0, 0, 0},
    {"ood", 'o', OPT_MANY, AT(run.ood), "[NAME=]FILE", "as in `score run`", NULL, NULL, 0, 0, 0},
    {"csid", 0, OPT_MANY, AT(run.csid), "[NAME=]FILE", "as in `score run`", NULL, NULL, 0, 0, 0},
    {"bench", 0, OPT_STRING, AT(run.bench), "FILE.yaml", "all of these sets from a benchmark", NULL,
     NULL, 0, 0, 0},
    {"features", 0, OPT_STRING, AT(run.features), "DIR", "the files of its sets", NULL, NULL, 0, 0,
     0},
    {"train", 't', OPT_STRING, AT(run.train), "FILE",
     "features of train images, for methods that fit", NULL, NULL, 0, 0, 0},
    {"head", 0, OPT_STRING, AT(run.head), "FILE",
     "the classifier, when it is not with the features", NULL, NULL, 0, 0, 0},
    {"labels", 'l', OPT_STRING, AT(run.labels), "FILE", "labels of the train images", NULL, NULL, 0,
     0, 0},
    {"id-labels", 0, OPT_STRING, AT(run.id_labels), "FILE", "labels of the test images", NULL, NULL,
     0, 0, 0},
    {"set", 's', OPT_REPEAT, AT(run.sets), "METHOD.KEY=VALUE", "an option that stays", NULL, NULL,
     0, 0, 0},
    {"near", 0, OPT_STRING, AT(run.near), "NAMES", "OOD sets that count as near", NULL, NULL, 0, 0,
     0},
    {"far", 0, OPT_STRING, AT(run.far), "NAMES", "OOD sets that count as far", NULL, NULL, 0, 0, 0},
    {"conventions", 0, OPT_STRING, AT(run.conventions), "LIST",
     "FPR95 columns: vim mos react openood\n[that of the benchmark, else vim]", NULL, NULL, 0, 0,
     0},
    {"top", 0, OPT_INT, AT(top), "N", "how many of the best are printed; 0: all", "10", NULL, 0,
     SWEEP_POINTS_MAX, 0},
    {"csv", 0, OPT_STRING, AT(grid_csv), "FILE", "the whole grid, validation and test side by side",
     NULL, NULL, 0, 0, 0},
    {"json", 0, OPT_STRING, AT(run.json), "FILE",
     "the chosen setting on the test sets, as `score run`", NULL, NULL, 0, 0, 0},
    {"scores", 0, OPT_STRING, AT(run.scores), "FILE.h5", "its score of each test image", NULL, NULL,
     0, 0, 0},
    {"ci", 0, OPT_FLAG, AT(run.ci), NULL, "half the width of its 95 % intervals", NULL, NULL, 0, 0,
     0},
    {"bootstrap", 0, OPT_INT, AT(run.bootstrap), "N", "intervals from N resamplings", "0", NULL, 0,
     BOOTSTRAP_MAX, 0},
    {"seed", 0, OPT_INT, AT(run.seed), "S", "of the resampling", "0", NULL, 0, 2147483647, 0},
    {"stored-logits", 0, OPT_FLAG, AT(run.stored_logits), NULL, "use the logits in the files", NULL,
     NULL, 0, 0, 0},
    {"device", 'd', OPT_STRING, AT(run.device), "DEVICE", "cpu, cuda or cuda:N", "cpu", NULL, 0, 0,
     0},
    {"memory", 0, OPT_SIZE, AT(run.memory), "SIZE",
     "working memory, and as much for scores: a larger\ngrid runs in rounds", "1G", NULL, 0, 0, 0},
    {"threads", 'j', OPT_INT, AT(run.threads), "N", "0: all cores", "0", NULL, 0, 4096, 0},
    {"color", 0, OPT_STRING, AT(run.color), "WHEN", "auto, always or never", "auto", colors, 0, 0,
     0},
    {"force", 'f', OPT_FLAG, AT(run.force), NULL,
     "combine files of different models or lists anyway", NULL, NULL, 0, 0, 0},
    {NULL, 0, OPT_FLAG, 0, NULL, NULL, NULL, NULL, 0, 0, 0},
};

const command cmd_sweep = {
    .name = "sweep",
    .summary = "Searches the options of a method on validation sets, reports on test sets.",
    .synopsis = "--method METHOD --grid KEY=VALUES... --val-id FILE --val-ood FILE... [--id FILE "
                "--ood FILE...]",
    .about =
        "example: score sweep -m gen -g gamma=0.1,0.5,1 -g m=10:100:10 --val-id val.h5 \\\n"
        "             --val-ood val_ood.h5 --id test.h5 --ood outputs/ood_*.h5 --csv grid.csv\n"
        "\n"
        "All settings are scored in one pass over the files. The one with the largest AUROC on "
        "the\n"
        "validation sets is chosen, of equal ones the first.",
    .opts = opts,
    .config_size = sizeof(config),
    .run = run,
};
