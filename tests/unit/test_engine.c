/* The engine as a whole: what is skipped and refused, accuracy, memory, and a table of degenerate
 * statistics with the documented outcome of each. */
#include "common/err.h"
#include "common/log.h"
#include "score/engine.h"
#include "score/stats/fit.h"
#include "tests/memory_source.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { D = 12, C = 5, N = 200, TEST = 40, ALL = 15, VAL = 60 };

/* Methods over logits, and over features with the head. */
static const char others[] =
    "temp-scale,temp-scale:fit=lbfgs,kl-matching-mos,klm,odin,openmax,openmax:alpha=9,mos:groups=4,"
    "max-group:groups=2+3,mcm,otod,react,react:clip=train,react:clip=react,vra,dice,dice-react,"
    "ash-p,ash-b,ash-s,scale,lts,line,himplos,himplos:part=mask,she,she:metric=euclidean,"
    "she:metric=cosine,nnguide,fdbd,fdbd:by=norm,nci,caref,cadref,weiper:repeats=3";

/* Methods over distances, covariances, subspaces and banks. */
static const char distances[] =
    "mds,mds++,rmds,rmds++,ssd,wdiscood,wdiscood:normalise=l2:weight=1,neco:dim=4,neco:scale=none,nusa,pnml,"
    "relation,relation:part=0.3:pow=2,cfood:part=0.5,grood:rows=20,nac:layers=features:build=all,gmm:clusters=3:dim=5,"
    "residual-openood:dim=6,knn:k=1";

static uint64_t state;

static double uniform(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (double)(state >> 11) / 9007199254740992.0 - 0.5;
}

/* A small benchmark that each test bends. */
typedef struct bench {
    float train[N * D], id[TEST * D], ood[TEST * D], w[C * D], b[C], id_logits[TEST * C];
    int64_t train_labels[N], id_labels[TEST];
    memory_rows rows[4];
    source sets[4]; /* train, id, ood, and val: the first train rows */
    const source *oods[1];
    head h;
    engine_options o;
    method_use *uses;
    size_t n;
    engine_result result;
    const char *what;
} bench;

static void make_bench(bench *x)
{
    memset(x, 0, sizeof *x);
    x->what = "plain";
    state = 88172645463325252u;
    for (int i = 0; i < C * D; i++)
        x->w[i] = (float)uniform();
    for (int i = 0; i < C; i++)
        x->b[i] = (float)uniform();
    for (int i = 0; i < N; i++) {
        x->train_labels[i] = i % C;
        for (int j = 0; j < D; j++)
            x->train[i * D + j] = (float)(1 + uniform() + 2 * (double)x->w[(i % C) * D + j]);
    }
    for (int i = 0; i < TEST; i++)
        for (int j = 0; j < D; j++) {
            x->id[i * D + j] = (float)(1 + uniform() + 2 * (double)x->w[(i % C) * D + j]);
            x->ood[i * D + j] = (float)(1 + 3 * uniform());
        }
    x->rows[0] = (memory_rows){x->train, NULL, 0};
    x->rows[1] = (memory_rows){x->id, NULL, 0};
    x->rows[2] = (memory_rows){x->ood, NULL, 1};
    x->sets[0] = memory_source("train", &x->rows[0], N, D, C, x->train_labels);
    x->sets[1] = memory_source("id", &x->rows[1], TEST, D, C, NULL);
    x->sets[2] = memory_source("texture", &x->rows[2], TEST, D, C, NULL);
    x->rows[3] = (memory_rows){x->train, NULL, 0};
    x->sets[3] = memory_source("val", &x->rows[3], VAL, D, C, x->train_labels);
    x->oods[0] = &x->sets[2];
    x->h = (head){C, D, x->w, x->b};
    x->o = (engine_options){
        .head = &x->h, .train = &x->sets[0], .id = &x->sets[1], .ood = x->oods, .n_ood = 1};
}

static int run_bench(bench *x, const char *spec)
{
    err_clear();
    int rc = engine_resolve(&x->uses, &x->n, spec, NULL, 0);
    if (rc < 0) return rc;
    return engine_run(&x->o, x->uses, x->n, &x->result);
}

static void clear_bench(bench *x)
{
    engine_clear_result(&x->result);
    engine_free_uses(&x->uses, x->n, 2);
    err_clear();
}

static const method_use *use_of(const bench *x, const char *name)
{
    for (size_t i = 0; i < x->n; i++)
        if (strcmp(x->uses[i].m->name, name) == 0) return &x->uses[i];
    fail_msg("no use of %s", name);
    return NULL;
}

/* All scores of all methods that ran are finite; returns how many were skipped.  KL matching may be
 * minus infinite: a prediction that every template gives probability 0; so may Mahalanobis: test
 * rows of size 1 after train rows of 1e-40. */
static int count_skipped(const bench *x)
{
    int skipped = 0;
    for (size_t i = 0; i < x->n; i++) {
        const method_use *u = &x->uses[i];
        if (u->skipped != NULL) {
            assert_null(u->scores);
            assert_true(u->skipped[0] != '\0');
            skipped++;
            continue;
        }
        int far =
            strcmp(u->m->name, "kl-matching") == 0 || strcmp(u->m->name, "klm") == 0 ||
            strcmp(u->m->name, "kl-matching-mos") == 0 ||
            ((strcmp(u->m->name, "mahalanobis") == 0 || strcmp(u->m->name, "mds") == 0 ||
              strcmp(u->m->name, "rmds") == 0 || strcmp(u->m->name, "wdiscood") == 0) &&
             strcmp(x->what, "denormal features") == 0);
        for (int s = 0; s < 2; s++)
            for (int k = 0; k < TEST && (size_t)k < x->sets[1 + s].n; k++)
                if (!isfinite(u->scores[s][k]) && !(far && u->scores[s][k] < 0))
                    fail_msg("%s: %s: set %d row %d is %g", x->what, u->m->name, s, k,
                             (double)u->scores[s][k]);
    }
    return skipped;
}

static void all_methods_run(void **unused)
{
    (void)unused;
    static bench x;
    make_bench(&x);
    if (run_bench(&x, "gen") != 0) fail_msg("%s", err_text());
    assert_int_equal(x.n, ALL);
    assert_int_equal(count_skipped(&x), 0);
    assert_true(x.result.peak_bytes > 0);
    for (size_t i = 0; i < x.n; i++) { /* the sets are easy to tell apart for Mahalanobis */
        const method_use *u = &x.uses[i];
        double id = 0, ood = 0;
        for (int k = 0; k < TEST; k++) {
            id += (double)u->scores[0][k];
            ood += (double)u->scores[1][k];
        }
        if (strcmp(u->m->name, "mahalanobis") == 0) assert_true(id > ood);
    }
    clear_bench(&x);
}

/* All needs of the other methods are met, and each missing one is said in words. */
static void others_say_what_they_lack(void **unused)
{
    (void)unused;
    static const struct {
        const char *spec, *says;
        int without; /* 0 train, 1 its labels, 2 val, 3 its labels, 4 labels of id, 5 head */
    } lack[] = {
        {"dice", "--train", 0},      {"line", "true labels", 1},        {"himplos", "--train", 0},
        {"himplos:part=mask", NULL, 0}, {"she", "true labels", 1},      {"openmax", "true labels", 1},
        {"caref", NULL, 1},          {"temp-scale", "--val-id", 2},     {"temp-scale", "validation", 3},
        {"klm", NULL, 3},            {"klm", "--val-id", 2},            {"react", "--val-id", 2},
        {"react:clip=0.8", NULL, 2}, {"react:clip=train", NULL, 2},     {"react:clip=train", "--train", 0},
        {"vra", "--val-id", 2},      {"kl-matching-mos", "--id-labels", 4}, {"ash-b", "--head", 5},
        {"fdbd:by=norm", NULL, 0},   {"fdbd", "--train", 0},            {"max-group", "groups", 2},
        {"weighted-energy", "weights", 2}, {"mos:groups=3+3", "8", 2},  {"temp-scale:temperature=2", NULL, 2},
        {"ash-s:percentile=100", "keeps none", 2},
        {"mds", "true labels", 1},   {"ssd", NULL, 1},                  {"ssd", "--train", 0},
        {"relation", "--train", 0},  {"nac:layers=features", "true labels", 1},         {"nac:layers=features:build=all", NULL, 1},
        {"grood", "--val-ood", 2},   {"residual-openood:dim=4", "--val-id", 2}, {"residual-openood:dim=4", NULL, 0},
        {"nusa", NULL, 0},           {"nusa", "--head", 5},             {"pnml", "--head", 5},
        {"neco:scale=none", NULL, 5}, {"gmm:clusters=201", "201 components of 200", 2},
        {"cfood:part=0.005", "no neighbours", 2},
    };
    for (size_t i = 0; i < sizeof lack / sizeof lack[0]; i++) {
        static bench x;
        make_bench(&x);
        x.o.val_id = lack[i].without == 2 ? NULL : &x.sets[3];
        if (lack[i].without == 0) x.o.train = NULL;
        if (lack[i].without == 1) x.sets[0].labels = NULL;
        if (lack[i].without == 3) x.sets[3].labels = NULL;
        if (lack[i].without != 4) x.sets[1].labels = x.train_labels;
        if (lack[i].without == 5) x.o.head = NULL;
        if (run_bench(&x, lack[i].spec) != 0) fail_msg("%s: %s", lack[i].spec, err_text());
        if (lack[i].says == NULL ? x.uses[0].skipped != NULL
                                 : x.uses[0].skipped == NULL ||
                                       strstr(x.uses[0].skipped, lack[i].says) == NULL)
            fail_msg("%s without %d: says '%s'", lack[i].spec, lack[i].without,
                     x.uses[0].skipped != NULL ? x.uses[0].skipped : "nothing");
        clear_bench(&x);
    }
}

static void missing_inputs_are_said(void **unused)
{
    (void)unused;
    static bench x;
    make_bench(&x);
    x.o.train = NULL;
    assert_int_equal(run_bench(&x, "gen"), 0);
    assert_int_equal(count_skipped(&x),
                     7); /* energy-react vim residual gen-residual gen-react maha kl */
    assert_non_null(strstr(use_of(&x, "vim")->skipped, "--train"));
    assert_null(use_of(&x, "local-react")->skipped);
    clear_bench(&x);

    make_bench(&x);
    x.o.train = NULL; /* a clip that is given needs no train set */
    assert_int_equal(run_bench(&x, "energy-react:clip=1.0,gen-react:clip=1.0,gen-react"), 0);
    assert_null(x.uses[0].skipped);
    assert_null(x.uses[1].skipped);
    assert_non_null(x.uses[2].skipped);
    clear_bench(&x);

    make_bench(&x);
    x.sets[0].labels = NULL;
    assert_int_equal(run_bench(&x, "gen"), 0);
    assert_int_equal(count_skipped(&x), 1);
    assert_non_null(strstr(use_of(&x, "mahalanobis")->skipped, "true labels"));
    clear_bench(&x);

    make_bench(&x);
    x.o.head = NULL;
    assert_int_equal(run_bench(&x, "gen"), 0);
    assert_int_equal(count_skipped(&x),
                     ALL - 1); /* only Mahalanobis needs neither head nor logits */
    assert_null(use_of(&x, "mahalanobis")->skipped);
    assert_non_null(strstr(use_of(&x, "msp")->skipped, "no logits"));
    clear_bench(&x);
}

static void stored_logits_serve(void **unused)
{
    (void)unused;
    static bench x;
    static float logits[3][N * C];
    make_bench(&x);
    const float *features[] = {x.train, x.id, x.ood};
    for (int s = 0; s < 3; s++)
        for (size_t i = 0; i < x.sets[s].n; i++)
            for (int c = 0; c < C; c++) {
                double sum = (double)x.b[c];
                for (int j = 0; j < D; j++)
                    sum += (double)features[s][i * D + (size_t)j] * (double)x.w[c * D + j];
                logits[s][i * C + (size_t)c] = (float)sum;
            }
    assert_int_equal(run_bench(&x, "gen"), 0);
    static float before[ALL][TEST];
    for (int m = 0; m < ALL; m++)
        memcpy(before[m], x.uses[m].scores[1], sizeof before[m]);
    clear_bench(&x);
    for (int without = 0; without < 2; without++) { /* beside features; alone */
        make_bench(&x);
        for (int s = 0; s < 3; s++) {
            x.rows[s].logits = logits[s];
            x.sets[s].c = C;
            if (without) x.sets[s].d = 0;
        }
        x.o.stored_logits = 1;
        if (without) x.o.head = NULL;
        if (run_bench(&x, "gen") != 0) fail_msg("%s", err_text());
        assert_int_equal(count_skipped(&x), without ? 9 : 0);
        for (int m = 0; m < ALL; m++)
            for (int k = 0; x.uses[m].skipped == NULL && k < TEST; k++)
                assert_true(fabs((double)(x.uses[m].scores[1][k] - before[m][k])) <=
                            2e-5 * (1 + fabs((double)before[m][k])));
        clear_bench(&x);
    }
}

static void bad_rows_are_named(void **unused)
{
    (void)unused;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    static bench x;
    for (int s = 0; s < 3; s++)
        for (int k = 0; k < 3; k++) {
            make_bench(&x);
            float *rows[] = {x.train, x.id, x.ood};
            rows[s][17 * D + 3] = bad[k];
            assert_int_equal(run_bench(&x, "gen"), ERR_INPUT);
            assert_non_null(strstr(err_text(), x.sets[s].name));
            assert_non_null(strstr(err_text(), "row 17"));
            assert_null(x.result.predictions);
            clear_bench(&x);
        }
    make_bench(&x);
    for (int j = 0; j < D; j++)
        x.id[5 * D + j] = 3e38f; /* finite features, infinite logits */
    assert_int_equal(run_bench(&x, "msp"), ERR_INPUT);
    assert_non_null(strstr(err_text(), "logits"));
    assert_non_null(strstr(err_text(), "row 5"));
    clear_bench(&x);
    make_bench(&x);
    x.w[7] = NAN;
    assert_int_equal(run_bench(&x, "msp"), ERR_INPUT);
    assert_non_null(strstr(err_text(), "weight"));
    clear_bench(&x);
}

static void shapes_are_compared(void **unused)
{
    (void)unused;
    static bench x;
    make_bench(&x);
    x.sets[2].d = D - 1;
    assert_int_equal(run_bench(&x, "msp"), ERR_INPUT);
    assert_non_null(strstr(err_text(), "texture"));
    clear_bench(&x);
    make_bench(&x);
    x.sets[1].n = 0;
    assert_int_equal(run_bench(&x, "msp"), ERR_INPUT);
    assert_non_null(strstr(err_text(), "no usable rows"));
    clear_bench(&x);
}

static void accuracy_counts_known_labels(void **unused)
{
    (void)unused;
    static bench x;
    make_bench(&x);
    assert_int_equal(run_bench(&x, "msp"), 0);
    assert_int_equal(x.result.counted, 0);
    int64_t predicted[TEST];
    memcpy(predicted, x.result.predictions, sizeof predicted);
    clear_bench(&x);
    make_bench(&x);
    for (int i = 0; i < TEST; i++)
        x.id_labels[i] = i < 10 ? -1 : i < 14 ? predicted[i] + 1 : predicted[i];
    x.sets[1].labels = x.id_labels;
    assert_int_equal(run_bench(&x, "msp"), 0);
    assert_int_equal(x.result.counted, TEST - 10);
    assert_int_equal(x.result.correct, TEST - 14);
    clear_bench(&x);
}

static void too_little_memory_is_said(void **unused)
{
    (void)unused;
    static bench x;
    make_bench(&x);
    x.o.memory = 20000;
    assert_int_equal(run_bench(&x, "gen"), ERR_USAGE);
    assert_non_null(strstr(err_text(), "--memory"));
    clear_bench(&x);
}

/* ---- degenerate statistics ------------------------------------------------------------------- */

static void flat(bench *x) /* every train row the same */
{
    for (int i = D; i < N * D; i++)
        x->train[i] = x->train[i % D];
}

static void rank_one(bench *x)
{
    for (int i = 0; i < N; i++)
        for (int j = 0; j < D; j++)
            x->train[i * D + j] = (float)(i % 37) * 0.01f * (float)(j + 1);
}

static void few_rows(bench *x)
{
    x->sets[0].n = 7;
}
static void one_row(bench *x)
{
    x->sets[0].n = 1;
}

static void dead_channel(bench *x)
{
    for (int i = 0; i < N; i++)
        x->train[i * D + 4] = 0;
}

static void constant_channel(bench *x)
{
    for (int i = 0; i < N; i++)
        x->train[i * D + 4] = 0.3f;
}

static void all_dead(bench *x)
{
    memset(x->train, 0, sizeof x->train);
}

static void duplicate_channel(bench *x)
{
    for (int i = 0; i < N; i++)
        x->train[i * D + 4] = x->train[i * D + 5];
}

static void collapsed_classes(bench *x) /* no variance within a class */
{
    for (int i = C; i < N; i++)
        for (int j = 0; j < D; j++)
            x->train[i * D + j] = x->train[(i % C) * D + j];
}

static void class_gives_channel(bench *x) /* one channel is constant within every class */
{
    for (int i = 0; i < N; i++)
        x->train[i * D + 2] = (float)(i % C) + 0.1f;
}

static void one_class(bench *x)
{
    for (int i = 0; i < N; i++)
        x->train_labels[i] = 3;
}

static void class_per_row(bench *x)
{
    for (int i = 0; i < N; i++)
        x->train_labels[i] = i;
}

static void no_labels(bench *x)
{
    for (int i = 0; i < N; i++)
        x->train_labels[i] = -1;
}

static void some_unknown(bench *x)
{
    for (int i = 0; i < N; i += 3)
        x->train_labels[i] = -1;
}

static void sparse_labels(bench *x)
{
    for (int i = 0; i < N; i++)
        x->train_labels[i] = INT64_MAX - x->train_labels[i] * 1000;
}

static void huge(bench *x)
{
    for (int i = 0; i < N * D; i++)
        x->train[i] *= 1e15f;
}

static void tiny(bench *x)
{
    for (int i = 0; i < N * D; i++)
        x->train[i] *= 1e-15f;
}

static void denormal(bench *x)
{
    for (int i = 0; i < N * D; i++)
        x->train[i] *= 1e-40f;
}

static void scales_apart(bench *x) /* channels of variance 1e-16 to 1e16 */
{
    for (int i = 0; i < N; i++)
        for (int j = 0; j < D; j++)
            x->train[i * D + j] *= powf(10, (float)(j - 6));
}

static void zero_head(bench *x)
{
    memset(x->w, 0, sizeof x->w);
}

static void rows_of_head_equal(bench *x)
{
    for (int i = D; i < C * D; i++)
        x->w[i] = x->w[i % D];
}

static void head_sums_to_zero(bench *x)
{
    for (int j = 0; j < D; j++) {
        double sum = 0;
        for (int c = 0; c < C - 1; c++)
            sum += (double)x->w[c * D + j];
        x->w[(C - 1) * D + j] = (float)-sum;
    }
}

static void sharp_head(bench *x) /* softmax underflows, templates have zeros */
{
    for (int i = 0; i < C * D; i++)
        x->w[i] *= 300;
}

static void test_rows_equal(bench *x)
{
    for (int i = D; i < TEST * D; i++)
        x->id[i] = x->id[i % D];
}

static void test_row_is_class_mean(bench *x)
{
    one_class(x);
    for (int j = 0; j < D; j++) {
        double sum = 0;
        for (int i = 0; i < N; i++)
            sum += (double)x->train[i * D + j];
        x->id[j] = (float)(sum / N);
    }
}

static void minus_zero(bench *x)
{
    for (int i = 0; i < N * D; i += 2)
        x->train[i] = -0.0f;
}

static void heavy_tail(bench *x) /* the clip takes most of every test row */
{
    for (int i = 0; i < TEST * D; i++)
        x->id[i] *= 1e6f;
}

static const struct {
    const char *what;
    void (*bend)(bench *);
    const char *skipped; /* the methods that are, in order */
} degenerate[] = {
    {"every train row the same", flat, "mahalanobis"},
    {"covariance of rank one", rank_one, ""},
    {"fewer rows than features", few_rows, ""},
    {"one train row", one_row, "mahalanobis"},
    {"a dead channel", dead_channel, ""},
    {"a constant channel", constant_channel, ""},
    {"all channels dead", all_dead, "mahalanobis"},
    {"a duplicated channel", duplicate_channel, ""},
    {"no variance within classes", collapsed_classes, "mahalanobis"},
    {"a channel that tells the class", class_gives_channel, ""},
    {"one class", one_class, ""},
    {"a class per row", class_per_row, "mahalanobis"},
    {"no labels but -1", no_labels, "mahalanobis"},
    {"some labels unknown", some_unknown, ""},
    {"labels near the largest integer", sparse_labels, ""},
    {"features of 1e15", huge, ""},
    {"features of 1e-15", tiny, ""},
    {"denormal features", denormal, ""},
    {"variances from 1e-12 to 1e10", scales_apart, ""},
    {"a head of zeros", zero_head, ""},
    {"equal rows in the head", rows_of_head_equal, ""},
    {"a head that sums to zero", head_sums_to_zero, ""},
    {"a head so sharp that softmax underflows", sharp_head, ""},
    {"equal test rows", test_rows_equal, ""},
    {"a test row at the class mean", test_row_is_class_mean, ""},
    {"minus zeros", minus_zero, ""},
    {"test features of 1e6", heavy_tail, ""},
};

static void no_label_right(bench *x) /* no train row is predicted as labelled */
{
    for (int i = 0; i < N; i++) {
        int best = 0;
        double z[C];
        for (int c = 0; c < C; c++) {
            z[c] = (double)x->b[c];
            for (int j = 0; j < D; j++)
                z[c] += (double)x->train[i * D + j] * (double)x->w[c * D + j];
            best = z[c] > z[best] ? c : best;
        }
        x->train_labels[i] = (best + 1) % C;
    }
}

static void zero_rows(bench *x) /* features of 0 in half of the test rows */
{
    memset(x->id, 0, sizeof x->id / 2);
}

static void tied_features(bench *x)
{
    for (int i = 0; i < TEST * D; i++)
        x->id[i] = (float)(i % 2);
}

static void test_row_is_mean(bench *x)
{
    for (int j = 0; j < D; j++) {
        double sum = 0;
        for (int i = 0; i < N; i++)
            sum += (double)x->train[i * D + j];
        x->id[j] = (float)(sum / N);
    }
}

static void negative(bench *x) /* signed features whose sum is below 0 */
{
    for (int i = 0; i < TEST * D; i++)
        x->id[i] -= 1.5f;
}

/* The same data and more, for the other methods; what is skipped then. */
static const struct {
    const char *what;
    void (*bend)(bench *);
    const char *skipped;
    const char *distances; /* skipped of those */
} degenerate_others[] = {
    {"every train row the same", flat, "",
     "mds mds++ rmds rmds++ ssd wdiscood neco gmm"},
    {"covariance of rank one", rank_one, "", ""},
    {"fewer rows than features", few_rows, "", ""},
    {"one train row", one_row, "",
     "mds mds++ rmds rmds++ ssd wdiscood neco cfood gmm"},
    {"a dead channel", dead_channel, "", ""},
    {"all channels dead", all_dead, "",
     "mds mds++ rmds rmds++ ssd wdiscood neco pnml gmm"},
    {"no variance within classes", collapsed_classes, "",
     "mds mds++ rmds rmds++ wdiscood"},
    {"one class", one_class, "",
     "wdiscood"},
    {"a class per row", class_per_row, "",
     "mds mds++ rmds rmds++ wdiscood"},
    {"no labels but -1", no_labels, "temp-scale kl-matching-mos openmax line himplos she",
     "mds mds++ rmds rmds++ wdiscood grood"},
    {"some labels unknown", some_unknown, "", ""},
    {"labels beyond the head", sparse_labels, "temp-scale kl-matching-mos openmax line himplos she",
     "grood"},
    {"no label right", no_label_right, "openmax she",
     "grood"},
    {"features of 1e15", huge, "", ""},
    {"features of 1e-15", tiny, "", ""},
    {"denormal features", denormal, "", ""},
    {"a head of zeros", zero_head, "",
     "nusa"},
    {"equal rows in the head", rows_of_head_equal, "", ""},
    {"a head so sharp that softmax underflows", sharp_head, "", ""},
    {"equal test rows", test_rows_equal, "", ""},
    {"minus zeros", minus_zero, "", ""},
    {"test features of 1e6", heavy_tail, "", ""},
    {"test rows of zeros", zero_rows, "", ""},
    {"ties in test rows", tied_features, "", ""},
    {"a test row at the train mean", test_row_is_mean, "", ""},
    {"signed test features", negative, "", ""},
};

static size_t degenerate_case(int i, const char *spec, const char *expected)
{
    static bench x;
    char skipped[400] = "", last[40] = "";
    size_t n;
    make_bench(&x);
    x.what = degenerate_others[i].what;
    x.o.val_id = &x.sets[3];
    x.o.val_ood = x.oods;
    x.o.n_val_ood = 1;
    x.sets[1].labels = x.train_labels;
    degenerate_others[i].bend(&x);
    if (x.sets[0].n < VAL) x.sets[3].n = x.sets[0].n;
    if (run_bench(&x, spec) != 0) fail_msg("%s: %s", x.what, err_text());
    count_skipped(&x);
    for (size_t m = 0; m < x.n; m++) {
        if (x.uses[m].skipped == NULL || strcmp(last, x.uses[m].m->name) == 0) continue;
        snprintf(last, sizeof last, "%s", x.uses[m].m->name);
        strcat(skipped, skipped[0] != '\0' ? " " : "");
        strcat(skipped, last);
    }
    if (strcmp(skipped, expected) != 0)
        fail_msg("%s: skipped '%s', expected '%s'", x.what, skipped, expected);
    n = x.n;
    clear_bench(&x);
    return n;
}

static void degenerate_cases_of_others(void **unused)
{
    (void)unused;
    int n = (int)(sizeof degenerate_others / sizeof degenerate_others[0]);
    size_t uses = 0, more = 0;
    for (int i = 0; i < n; i++) {
        uses = degenerate_case(i, others, degenerate_others[i].skipped);
        more = degenerate_case(i, distances, degenerate_others[i].distances);
    }
    print_message("# %d degenerate cases, %zu and %zu uses of other methods each\n", n, uses, more);
}

static void degenerate_cases(void **unused)
{
    (void)unused;
    static bench x;
    int n = (int)(sizeof degenerate / sizeof degenerate[0]);
    for (int i = 0; i < n; i++) {
        char skipped[400] = "";
        make_bench(&x);
        x.what = degenerate[i].what;
        degenerate[i].bend(&x);
        if (run_bench(&x, "gen") != 0) fail_msg("%s: %s", degenerate[i].what, err_text());
        count_skipped(&x);
        for (size_t m = 0; m < x.n; m++)
            if (x.uses[m].skipped != NULL) {
                strcat(skipped, skipped[0] != '\0' ? " " : "");
                strcat(skipped, x.uses[m].m->name);
            }
        if (strcmp(skipped, degenerate[i].skipped) != 0)
            fail_msg("%s: skipped '%s', expected '%s'", degenerate[i].what, skipped,
                     degenerate[i].skipped);
        clear_bench(&x);
    }
    print_message("# %d degenerate cases, 15 methods each\n", n);
}

static void dims_that_leave_nothing(void **unused)
{
    (void)unused;
    static bench x;
    make_bench(&x);
    assert_int_equal(run_bench(&x, "vim:dim=gen,residual:dim=12,residual:dim=11,vim:dim=openood"), 0);
    assert_non_null(x.uses[0].skipped); /* 512 of 12 */
    assert_non_null(strstr(x.uses[0].skipped, "nothing is left"));
    assert_non_null(x.uses[1].skipped);
    assert_null(x.uses[2].skipped);
    assert_non_null(strstr(x.uses[3].skipped, "dim=openood"));
    clear_bench(&x);
}

/* Different options side by side share what they can and nothing else. */
static void uses_do_not_disturb_each_other(void **unused)
{
    (void)unused;
    static bench x, y;
    static const char *const alone[] = {"vim:dim=3",
                                        "vim:dim=9",
                                        "residual:dim=6",
                                        "energy-react:quantile=0.5",
                                        "energy-react:quantile=0.7",
                                        "energy-react:quantile=0.8",
                                        "energy-react:quantile=0.9",
                                        "gen-react:quantile=0.5",
                                        "residual:dim=3",
                                        "residual:dim=5",
                                        "residual:dim=7",
                                        "residual:dim=4"};
    char all[1000] = "";
    for (int i = 0; i < 12; i++)
        sprintf(all + strlen(all), "%s%s", i > 0 ? "," : "", alone[i]);
    make_bench(&x);
    if (run_bench(&x, all) != 0) fail_msg("%s", err_text());
    for (int i = 0; i < 12; i++) {
        make_bench(&y);
        assert_int_equal(run_bench(&y, alone[i]), 0);
        for (int s = 0; s < 2; s++)
            for (int k = 0; k < TEST; k++)
                if (fabs((double)(x.uses[i].scores[s][k] - y.uses[0].scores[s][k])) > 1e-5)
                    fail_msg("%s: %g beside others, %g alone", alone[i],
                             (double)x.uses[i].scores[s][k], (double)y.uses[0].scores[s][k]);
        clear_bench(&y);
    }
    clear_bench(&x);
}

/* Many settings in one run score to the bit as each alone: what is shared changes nothing. */
static void settings_together(void **unused)
{
    static const char *const one[] = {
        "gen:gamma=0.5:m=3", "gen:gamma=2", "gen:gamma=0.5", "gen:m=1",
        "gen-react:quantile=0.5:m=2", "gen-react:quantile=0.9", "gen-react:quantile=0.5:gamma=1",
        "gen-react:clip=0.7", "energy-react:quantile=0.5", "energy-react:quantile=0.9",
        "energy-react:quantile=0.99", "energy-react:clip=0.7", "local-react:quantile=0.8",
        "local-react:quantile=0.6", "gen-local-react:quantile=0.8:m=2", "residual:dim=9", "residual:dim=4",
        "residual:dim=2", "vim:dim=3", "vim:dim=8", "energy:temperature=2", "energy:temperature=3",
    };
    enum { USES = sizeof one / sizeof *one };
    static bench all, x;
    char spec[2000] = "";
    (void)unused;
    for (size_t i = 0; i < USES; i++) {
        strcat(spec, i > 0 ? "," : "");
        strcat(spec, one[i]);
    }
    make_bench(&all);
    if (run_bench(&all, spec) != 0) fail_msg("%s", err_text());
    assert_int_equal(all.n, USES);
    for (size_t i = 0; i < USES; i++) {
        make_bench(&x);
        if (run_bench(&x, one[i]) != 0) fail_msg("%s: %s", one[i], err_text());
        for (int s = 0; s < 2; s++)
            for (int k = 0; k < TEST; k++)
                if (x.uses[0].scores[s][k] != all.uses[i].scores[s][k])
                    fail_msg("%s: set %d row %d: %.9g alone, %.9g with the others", one[i], s, k,
                             (double)x.uses[0].scores[s][k], (double)all.uses[i].scores[s][k]);
        clear_bench(&x);
    }
    clear_bench(&all);
}

/* ---- methods that need held-out rows ----------------------------------------------------------- */

typedef struct sums {
    double h, p;
    size_t rows;
} sums;

static int add_block(void *arg, const score_block *b)
{
    sums *s = arg;
    assert_int_equal(b->row, s->rows);
    s->rows += b->n;
    for (size_t i = 0; i < b->n * b->d; i++)
        s->h += (double)b->h[i];
    for (size_t i = 0; i < b->n * b->c; i++)
        s->p += (double)b->p[i];
    return 0;
}

static sums seen;

static int val_fit(fit_context *f, const method_params *p, void **own)
{
    (void)p;
    (void)own;
    seen = (sums){ 0 };
    return fit_each_block(f, f->o->val_id, add_block, &seen);
}

static int val_score(void *own, const method_params *p, const score_block *b, float *out)
{
    (void)own;
    (void)p;
    for (size_t i = 0; i < b->n; i++)
        out[i] = b->zmax[i];
    return 0;
}

static void held_out_rows(void **unused)
{
    static const method_opt none = { 0 };
    static const method m = { .name = "held-out", .needs = NEEDS_VAL | NEEDS_VAL_LABELS | NEEDS_LOGITS,
                              .fit = val_fit, .score = val_score };
    static const method ood = { .name = "held-out-ood", .needs = NEEDS_VAL_OOD, .score = val_score };
    static bench x;
    source val;
    method_use u[2];
    (void)unused;
    for (int round = 0; round < 3; round++) {
        make_bench(&x);
        memset(u, 0, sizeof u);
        u[0].m = &m;
        u[1].m = &ood;
        u[0].params.opts = u[1].params.opts = &none;
        val = x.sets[0]; /* N rows: more than fit in one test set */
        if (round == 1) val.labels = NULL;
        if (round > 0) x.o.val_id = &val;
        if (round == 2) {
            x.o.val_ood = x.oods;
            x.o.n_val_ood = 1;
        }
        assert_int_equal(engine_run(&x.o, u, 2, &x.result), 0);
        if (round == 0) assert_non_null(strstr(u[0].skipped, "--val-id"));
        if (round == 1) assert_non_null(strstr(u[0].skipped, "--val-labels"));
        if (round < 2) assert_non_null(strstr(u[1].skipped, "--val-ood"));
        if (round == 2) {
            double h = 0;
            for (size_t i = 0; i < N * D; i++)
                h += (double)x.train[i];
            assert_null(u[0].skipped);
            assert_null(u[1].skipped);
            assert_int_equal(seen.rows, N);
            assert_true(fabs(seen.h - h) < 1e-9 && fabs(seen.p - N) < 1e-4);
        }
        for (int i = 0; i < 2; i++)
            for (int s = 0; u[i].scores != NULL && s < 2; s++)
                free(u[i].scores[s]);
        free(u[0].scores);
        free(u[1].scores);
        engine_clear_result(&x.result);
        err_clear();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_together),
        cmocka_unit_test(held_out_rows),
        cmocka_unit_test(all_methods_run),
        cmocka_unit_test(missing_inputs_are_said),
        cmocka_unit_test(others_say_what_they_lack),
        cmocka_unit_test(stored_logits_serve),
        cmocka_unit_test(bad_rows_are_named),
        cmocka_unit_test(shapes_are_compared),
        cmocka_unit_test(accuracy_counts_known_labels),
        cmocka_unit_test(too_little_memory_is_said),
        cmocka_unit_test(degenerate_cases),
        cmocka_unit_test(degenerate_cases_of_others),
        cmocka_unit_test(dims_that_leave_nothing),
        cmocka_unit_test(uses_do_not_disturb_each_other),
    };
    log_open("test_engine", LOG_ERROR);
    return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
