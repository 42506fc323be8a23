/* score run: fit, score, metrics, tables. */
#include "score/commands.h"

#include <omp.h>
#include <string.h>
#include <time.h>

#include "common/err.h"
#include "common/log.h"
#include "score/linalg_backend.h"
#include "score/run.h"

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static size_t count_skipped(const method_use *uses, size_t n)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++)
        k += uses[i].skipped != NULL;
    return k;
}

/* Labels in another numbering than the rows of the head: ViM's and GEN's lists carry the ids of the
 * ILSVRC devkit less one, networks mostly the place of the sorted synset. */
static void doubt_labels(const engine_result *er, const run_inputs *in)
{
    size_t classes = in->head != NULL ? in->head->c : in->id->c;
    if (er->counted >= 200 && classes >= 100 && 50 * er->correct < er->counted)
        log_warn("%zu of %zu ID images are classified as labelled: are the labels numbered as the "
                 "outputs of the network?", er->correct, er->counted);
}

static int run(void *config)
{
    const run_config *c = config;
    int rc = 0;
    double start = now();
    method_use *uses = NULL;
    size_t n_uses = 0, n_fields, failed = 0, skipped;
    metric_field fields[RUN_FIELDS_MAX];
    const char *conventions = c->conventions;
    run_inputs in = { 0 };
    engine_result er = { 0 };
    results r = { 0 }, full = { 0 };
    linalg *la = NULL;
    char device[256] = "cpu";
    engine_options o;
    if (c->threads > 0) omp_set_num_threads(c->threads);
    TRY(engine_resolve(&uses, &n_uses, c->methods, c->sets.v, c->sets.n));
    TRY(run_fields(fields, &n_fields, conventions != NULL ? conventions : "vim"));
    TRY(run_check_outputs(c));
    if (strcmp(c->device, "cpu") != 0) {
        TRY(linalg_cuda_open(&la, c->device, c->memory));
        la->ops->describe(la, device, sizeof device);
        log_info("computing on %s", device);
    }
    TRY(run_inputs_open(&in, c));
    if (conventions == NULL && in.bench != NULL && in.bench->fpr95 != NULL)
        TRY(run_fields(fields, &n_fields, in.bench->fpr95));
    o = run_engine_options(&in, c, la);
    log_info("scoring %zu method%s on %zu OOD set%s", n_uses, n_uses == 1 ? "" : "s", in.ood.n,
             in.ood.n == 1 ? "" : "s");
    TRY(engine_run(&o, uses, n_uses, &er));
    doubt_labels(&er, &in);
    skipped = count_skipped(uses, n_uses);
    CHECK(skipped < n_uses, ERR_USAGE, "nothing could be run: %s: %s", uses[0].m->name,
          uses[0].skipped);
    TRY(run_evaluate(&r, &failed, uses, n_uses, &er, &in, c, 0));
    if (in.csid.n > 0) {
        size_t again;
        TRY(run_evaluate(&full, &again, uses, n_uses, &er, &in, c, 1));
        r.full = &full;
        r.csid = in.csid_name;
        r.n_csid = in.csid.n;
    }
    r.seconds = now() - start;
    r.device = device;
    TRY(run_write_outputs(c, &r, fields, n_fields));
    if (c->scores != NULL) TRY(scores_file_write(c->scores, &in, uses, n_uses, &r, er.predictions));
    log_info("%zu method%s in %.1f s%s", n_uses - skipped, n_uses - skipped == 1 ? "" : "s",
             now() - start, skipped > 0 ? "; some were not run, see the table" : "");
    CHECK(failed == 0, ERR_INTERNAL,
          "%zu method%s gave scores that are not finite; see the end of the table", failed,
          failed == 1 ? "" : "s");
done:
    results_clear(&r);
    results_clear(&full);
    engine_clear_result(&er);
    engine_free_uses(&uses, n_uses, run_test_sets(&in));
    run_inputs_close(&in);
    if (la != NULL) la->ops->close(&la);
    return rc;
}

#define AT(field) offsetof(run_config, field)
static const char *const colors[] = { "auto", "always", "never", NULL };
static const opt opts[] = {
    { "id", 'i', OPT_STRING, AT(id), "FILE", "features of the in-distribution test set", NULL, NULL,
      0, 0, 0 },
    { "ood", 'o', OPT_MANY, AT(ood), "[NAME=]FILE",
      "features of out-of-distribution sets; the name is\nthat of the file unless given; near: or far: in\nfront of it puts the set into that group", NULL, NULL,
      0, 0, 0 },
    { "train", 't', OPT_STRING, AT(train), "FILE",
      "features of train images, for methods that fit", NULL, NULL, 0, 0, 0 },
    { "head", 0, OPT_STRING, AT(head), "FILE",
      "the classifier, fc.pkl for instance; else the one\nstored with the features", NULL, NULL, 0,
      0, 0 },
    { "labels", 'l', OPT_STRING, AT(labels), "FILE",
      "labels of the train images: an image list, .npy,\n.npz or .h5; else those in the file", NULL,
      NULL, 0, 0, 0 },
    { "id-labels", 0, OPT_STRING, AT(id_labels), "FILE",
      "labels of the test images, for the accuracy", NULL, NULL, 0, 0, 0 },
    { "val-id", 0, OPT_STRING, AT(val_id), "FILE",
      "held-out ID features, for methods that fit on them", NULL, NULL, 0, 0, 0 },
    { "val-labels", 0, OPT_STRING, AT(val_labels), "FILE", "their labels", NULL, NULL, 0, 0, 0 },
    { "val-ood", 0, OPT_MANY, AT(val_ood), "[NAME=]FILE", "held-out OOD features, likewise", NULL,
      NULL, 0, 0, 0 },
    { "csid", 0, OPT_MANY, AT(csid), "[NAME=]FILE",
      "covariate-shifted ID sets: a second table with\nthem joined to the ID set", NULL, NULL, 0, 0, 0 },
    { "bench", 0, OPT_STRING, AT(bench), "FILE.yaml",
      "sets, groups and lists of a benchmark, those of\ndatalists/ for instance", NULL, NULL, 0, 0, 0 },
    { "features", 0, OPT_STRING, AT(features), "DIR",
      "the files of its sets: DIR/NAME.h5, .npz, .pkl, .npy", NULL, NULL, 0, 0, 0 },
    { "methods", 'm', OPT_STRING, AT(methods), "LIST",
      "names or groups, `score methods` lists them", "gen", NULL, 0, 0, 0 },
    { "set", 's', OPT_REPEAT, AT(sets), "METHOD.KEY=VALUE", "an option of a method", NULL, NULL, 0,
      0, 0 },
    { "near", 0, OPT_STRING, AT(near), "NAMES", "OOD sets that count as near: a mean of their own",
      NULL, NULL, 0, 0, 0 },
    { "far", 0, OPT_STRING, AT(far), "NAMES", "OOD sets that count as far", NULL, NULL, 0, 0, 0 },
    { "conventions", 0, OPT_STRING, AT(conventions), "LIST",
      "FPR95 columns of the tables: vim mos react openood\n[that of the benchmark, else vim]", NULL, NULL, 0, 0, 0 },
    { "ci", 0, OPT_FLAG, AT(ci), NULL, "half the width of the 95 % intervals in the tables", NULL,
      NULL, 0, 0, 0 },
    { "bootstrap", 0, OPT_INT, AT(bootstrap), "N",
      "intervals of all metrics from N resamplings;\n0: of AUROC alone, by DeLong's formula", "0", NULL, 0,
      BOOTSTRAP_MAX, 0 },
    { "seed", 0, OPT_INT, AT(seed), "S", "of the resampling", "0", NULL, 0, 2147483647, 0 },
    { "timing", 0, OPT_FLAG, AT(timing), NULL, "seconds and memory of each method below the table", NULL,
      NULL, 0, 0, 0 },
    { "stored-logits", 0, OPT_FLAG, AT(stored_logits), NULL,
      "use the logits in the files and not features times\nhead", NULL, NULL, 0, 0, 0 },
    { "json", 0, OPT_STRING, AT(json), "FILE", "all results, fractions at full precision", NULL,
      NULL, 0, 0, 0 },
    { "csv", 0, OPT_STRING, AT(csv), "FILE", "one line per method and set, all metrics", NULL, NULL,
      0, 0, 0 },
    { "markdown", 0, OPT_STRING, AT(markdown), "FILE", "the table; - is standard output", NULL,
      NULL, 0, 0, 0 },
    { "latex", 0, OPT_STRING, AT(latex), "FILE", "the table, for booktabs", NULL, NULL, 0, 0, 0 },
    { "scores", 0, OPT_STRING, AT(scores), "FILE.h5", "the score of each image by each method",
      NULL, NULL, 0, 0, 0 },
    { "device", 'd', OPT_STRING, AT(device), "DEVICE",
      "cpu, cuda or cuda:N: where products and\neigenvectors are computed", "cpu", NULL, 0, 0, 0 },
    { "memory", 0, OPT_SIZE, AT(memory), "SIZE", "working memory, here and on the device", "1G", NULL, 0, 0,
      0 },
    { "threads", 'j', OPT_INT, AT(threads), "N", "0: all cores", "0", NULL, 0, 4096, 0 },
    { "color", 0, OPT_STRING, AT(color), "WHEN", "auto, always or never", "auto", colors, 0, 0, 0 },
    { "force", 'f', OPT_FLAG, AT(force), NULL,
      "combine files of different models or lists anyway", NULL, NULL, 0, 0, 0 },
    { NULL, 0, OPT_FLAG, 0, NULL, NULL, NULL, NULL, 0, 0, 0 },
};

const command cmd_run = {
    .name = "run",
    .summary = "Scores cached features with every method and prints the table.",
    .synopsis = "--id FILE --ood [NAME=]FILE... [--train FILE] [options]\n"
                "   or: score run --bench FILE.yaml --features DIR [options]",
    .about =
        "example: score run --train train.h5 --id val.h5 --ood outputs/ood_*.h5 --json result.json\n"
        "\n"
        "FILE is HDF5 of `extract`, a .pkl of GEN or ViM, a .npz of OpenOOD, or .npy.\n"
        "AUROC and FPR95 are in percent, larger scores are more in-distribution; FPR95 as ViM and\n"
        "GEN count it unless --conventions says otherwise.",
    .opts = opts,
    .config_size = sizeof(run_config),
    .run = run,
};
