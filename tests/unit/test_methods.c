/* The methods against golden vectors: those of the specification, and values of the same data worked out in f64
 * by numpy from the formulas (tests/score/oracle_head.py, oracle_distance.py). */
#include "common/err.h"
#include "common/log.h"
#include "score/engine.h"
#include "score/methods_print.h"
#include "tests/memory_source.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { D = 4, C = 3, N = 9 };

/* X[i][d] = ((5i + 7d + i d) mod 11) / 4, W[c][d] = (((5c + 3d^2 + 2cd) mod 9) - 4) / 5 */
static float x[N * D], w[C * D], b[C] = {1.6f, 0.8f, 0.0f};
static float test_row[D] = {0.5f, 1.75f, 0.25f, 2.0f};
static int64_t labels[N];
static int64_t val_labels[N] = {2, 1, 2, 0, 2, 1, 2, 0, 0}; /* of the train rows, as a validation set */

static void make_data(void)
{
    for (int i = 0; i < N; i++) {
        for (int d = 0; d < D; d++)
            x[i * D + d] = (float)((5 * i + 7 * d + i * d) % 11) / 4;
        labels[i] = i % 3;
    }
    for (int c = 0; c < C; c++)
        for (int d = 0; d < D; d++)
            w[c * D + d] = (float)((5 * c + 3 * d * d + 2 * c * d) % 9 - 4) / 5;
}

static const struct golden {
    const char *spec;
    double value;
} golden[] = {
    {"msp", 0.7776218655},
    {"maxlogit", 1.05},
    {"energy", 1.3015149070},
    {"entropy", -0.6829358710},
    {"gen:m=2", -1.6390068004},
    {"gen:m=3", -2.4250846546},
    {"gradnorm", 11.9957903690},
    {"kl-matching", -0.0436614831},
    {"energy-react:quantile=0.6", 1.3384247818},
    {"energy-react:clip=1.75", 1.3384247818},
    {"residual:dim=2", -1.3616576593},
    {"residual", -1.3616576593}, /* auto: half of four */
    {"vim:dim=2", 0.8517797490},
    {"gen-residual:m=3:dim=2", -3.3021350945},
    {"mahalanobis", -5.3966942149},
    {"odin", 0.3337668063},
    {"react:percentile=60", 1.338424782},
    {"react:clip=1.75", 1.338424782},
    {"react:clip=train:percentile=60", 1.338424782},
    {"dice:percentile=50", 2.439546204},
    {"dice-react:percentile=50:clip=1.5", 2.373300044},
    {"ash-p:percentile=50", 1.631165315},
    {"ash-b:percentile=50", 1.917843295},
    {"ash-s:percentile=50", 4.648282718},
    {"ash-s:percentile=50:clip=1.5", 4.188991182},
    {"scale:percentile=50", 3.486348239},
    {"lts:percentile=50", 1.627027348},
    {"himplos:percentile=50:lambda=1.6", 1.452620217},
    {"himplos:percentile=50:part=mask", 1.633549245},
    {"himplos:part=smooth", 1.18617168},
    {"line:weights=50:neurons=50:clip=2.0", 1.800917402},
    {"vra:high=80:low=20", 1.251514907},
    {"vra:high=80:low=40:below=zero", 1.631165315},
    {"temp-scale", 0.8481175059},
    {"temp-scale:temperature=2", 0.5696941345},
    {"klm", -0.04366148306},
    {"openmax:tail=2:score=probability", -0.3451210943},
    {"openmax:tail=2", 0.6405549883},
    {"otod", -0.3548640924},
    {"mcm:tau=0.5", 0.9603415418},
    {"she", 6.28125},
    {"she:metric=euclidean", -1.7765838},
    {"she:metric=cosine", 0.8007269122},
    {"nnguide:k=2", 1.457311368},
    {"fdbd", 1.68782416},
    {"fdbd:by=norm", 0.9799557244},
    {"nci", 0.6663806925},
    {"nci:alpha=0.1", 1.115930692},
    {"caref", -0.5555555556},
    {"cadref", -0.3733584925},
    {"cadref:score=msp", -0.6129485076},
    {"max-group:groups=1+2", 0.8777289414},
    {"mos:groups=2", -0.1222710586},
    {"knn:k=2", -0.2727348166},
    {"mds", -5.3966942149},
    {"rmds", -0.8791322314},
    {"mds++", -4.132027814},
    {"rmds++", 1.46974992},
    {"ssd", -5.601777734},
    {"wdiscood", -7.928867641},
    {"wdiscood:normalise=l2:discriminants=1:weight=1", -2.89066985},
    {"neco:dim=2", 0.4721378524},
    {"neco:dim=3:scale=none", 0.9925747041},
    {"nusa", 0.9892758293},
    {"pnml", -0.2519760012},
    {"relation", 3.021941436},
    {"relation:pow=2:part=0.5", 0.7330282231},
    {"cfood:part=1:k=0.5", -0.89},
    {"cfood:part=0.7:k=0.3", -0.67},
    {"grood:rows=4", -0.1231332238},
    {"gmm:clusters=1:dim=3", -2.254769768},
    {"residual-openood:dim=2", -1.361657654},
    {"nac:layers=features:build=all:m=50:o=2:alpha=10", 0.75},
};

enum { GOLDEN = sizeof golden / sizeof golden[0] };
static const double tolerance = 1e-6; /* relative; the engine returns f32 */

static void matches_golden_vectors(void **unused)
{
    (void)unused;
    memory_rows train_rows = {x, NULL, 0}, id_rows = {test_row, NULL, 1};
    source train = memory_source("train", &train_rows, N, D, C, labels);
    source id = memory_source("id", &id_rows, 1, D, C, NULL);
    head h = {C, D, w, b};
    memory_rows val_rows = {x, NULL, 0};
    source val = memory_source("val", &val_rows, N, D, C, val_labels);
    memory_rows ood_rows = {x, NULL, 1};
    source val_ood = memory_source("val-ood", &ood_rows, 5, D, C, NULL); /* the first train rows */
    const source *val_oods[1] = {&val_ood};
    engine_options o = {.head = &h, .train = &train, .id = &id, .val_id = &val, .val_ood = val_oods, .n_val_ood = 1};
    double worst = 0;
    for (int i = 0; i < GOLDEN; i++) {
        char spec[128];
        method_use *uses = NULL;
        size_t n = 0;
        engine_result result;
        snprintf(spec, sizeof spec, "%s", golden[i].spec);
        err_clear();
        assert_int_equal(engine_resolve(&uses, &n, spec, NULL, 0), 0);
        assert_int_equal(n, 1);
        if (engine_run(&o, uses, n, &result) != 0) fail_msg("%s: %s", spec, err_text());
        if (uses[0].skipped != NULL) fail_msg("%s is skipped: %s", spec, uses[0].skipped);
        double got = (double)uses[0].scores[0][0],
               used = fabs(got / golden[i].value - 1) / tolerance;
        if (!(used <= 1)) fail_msg("%s: %.10g, expected %.10g", spec, got, golden[i].value);
        worst = fmax(worst, used);
        assert_int_equal(result.predictions[0], 2);
        engine_clear_result(&result);
        engine_free_uses(&uses, n, 1);
    }
    print_message("# golden vectors: %d values, tolerance 1e-6 relative, %.0f %% of it used\n",
                  GOLDEN, 100 * worst);
}

/* The specification's vector of MOS: three groups of 2, 1 and 2 classes, each behind its "others". */
static void mos_matches_its_vector(void **unused)
{
    (void)unused;
    static const float logits[8] = {0.2f, 1.0f, -0.5f, 0.1f, 0.7f, -0.3f, 0.4f, 0.9f};
    static const char *const wrong[] = {"mos:groups=2+2", "mos:groups=5", "mos"};
    memory_rows rows = {NULL, logits, 0};
    source id = memory_source("id", &rows, 1, 0, 8, NULL);
    engine_options o = {.id = &id};
    method_use *uses = NULL;
    engine_result result;
    size_t n = 0;
    assert_int_equal(engine_resolve(&uses, &n, "mos:groups=2+1+2", NULL, 0), 0);
    assert_int_equal(engine_run(&o, uses, n, &result), 0);
    assert_null(uses[0].skipped);
    assert_true(fabs((double)uses[0].scores[0][0] + 0.1578813677) < 1e-7);
    engine_clear_result(&result);
    engine_free_uses(&uses, n, 1);
    for (int i = 0; i < 3; i++) { /* the published groups need 1008 outputs */
        assert_int_equal(engine_resolve(&uses, &n, wrong[i], NULL, 0), 0);
        assert_int_equal(engine_run(&o, uses, n, &result), 0);
        for (size_t k = 0; k < n; k++)
            if (strcmp(uses[k].m->name, "mos") == 0) assert_non_null(uses[k].skipped);
        engine_clear_result(&result);
        engine_free_uses(&uses, n, 1);
    }
}

static void table_is_complete(void **unused)
{
    (void)unused;
    static const char *order[] = {"msp",          "maxlogit",    "energy",          "energy-react",
                                  "vim",          "residual",    "entropy",         "gen",
                                  "gen-residual", "local-react", "gen-local-react", "gen-react",
                                  "gradnorm",     "mahalanobis", "kl-matching"};
    size_t n = 0, at = 0;
    for (; methods[n] != NULL; n++) {
        const method *m = methods[n];
        assert_non_null(m->title);
        assert_non_null(m->formula);
        assert_non_null(m->paper);
        assert_non_null(m->groups);
        assert_non_null(m->score);
        assert_true(m->needs != 0);
        assert_true(m->fit == NULL || m->free != NULL);
        assert_ptr_equal(method_find(m->name), m);
        if (at < 15 && strcmp(m->name, order[at]) == 0) at++;
    }
    assert_int_equal(at, 15); /* in the script's order, others may stand between */
    assert_null(method_find("no-such"));
}

static void groups_resolve(void **unused)
{
    (void)unused;
    method_use *uses = NULL;
    size_t n = 0, vim = 0;
    assert_int_equal(engine_resolve(&uses, &n, "gen", NULL, 0), 0);
    assert_int_equal(n, 15);
    assert_string_equal(uses[0].m->name, "msp");
    assert_string_equal(uses[14].m->name, "kl-matching");
    engine_free_uses(&uses, n, 0);
    assert_int_equal(engine_resolve(&uses, &vim, "vim", NULL, 0), 0);
    assert_int_equal(vim, 9);
    engine_free_uses(&uses, vim, 0);
    assert_int_equal(engine_resolve(&uses, &n, "gen,vim", NULL, 0), 0); /* the two methods */
    assert_int_equal(n, 2);
    engine_free_uses(&uses, n, 0);
    assert_int_equal(engine_resolve(&uses, &n, "mos", NULL, 0), 0); /* alone the group */
    assert_true(n > 5);
    engine_free_uses(&uses, n, 0);
    assert_int_equal(engine_resolve(&uses, &n, "mos:groups=3+4", NULL, 0), 0); /* the method */
    assert_int_equal(n, 1);
    engine_free_uses(&uses, n, 0);
    assert_int_equal(engine_resolve(&uses, &n, "msp,openood,msp", NULL, 0), 0);
    assert_true(n > 15);
    for (size_t i = 1; i < n; i++)
        assert_string_not_equal(uses[i].m->name, "msp");
    engine_free_uses(&uses, n, 0);
}

static int has(const method_use *uses, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(uses[i].m->name, name) == 0) return 1;
    return 0;
}

static void groups_hold_what_the_tables_say(void **unused)
{
    (void)unused;
    static const struct {
        const char *group, *names[48];
    } tables[] = {
        {"mos", {"msp", "odin", "energy", "kl-matching-mos", "mos", "gradnorm"}},
        {"openood",
         {"openmax", "msp", "temp-scale", "energy", "gradnorm", "react", "maxlogit", "klm", "dice", "ash-b",
          "scale", "she", "gen", "nnguide", "fdbd", "nci", "vra", "mcm", "otod", "mos", "weiper", "knn", "mds",
          "mds++", "rmds", "rmds++", "vim", "residual-openood", "relation", "cfood", "grood", "nac", "gmm", "ssd", "odin", "iodin",
          "rankfeat", "gram", "mdsens", "adascale-a", "adascale-l"}},
        {"seeds",
         {"msp", "maxlogit", "energy", "temp-scale", "entropy", "gen", "kl-matching", "kl-matching-mos",
          "klm", "odin", "openmax", "mos", "max-group", "energy-react", "react", "local-react", "dice",
          "dice-react", "ash-p", "ash-b", "ash-s", "scale", "line", "himplos", "residual", "vim",
          "gen-residual", "gen-react", "gen-local-react", "mahalanobis", "she", "gradnorm", "mds", "rmds", "ssd",
          "gmm", "nusa", "nac", "knn", "rankfeat", "rankweight", "gram", "mahalanobis-layers"}},
        {"pytorch-ood", {"neco", "pnml", "caref", "cadref"}},
    };
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++) {
        method_use *uses = NULL;
        size_t n = 0;
        assert_int_equal(engine_resolve(&uses, &n, tables[t].group, NULL, 0), 0);
        for (size_t i = 0; tables[t].names[i] != NULL; i++)
            if (!has(uses, n, tables[t].names[i]))
                fail_msg("group %s lacks %s", tables[t].group, tables[t].names[i]);
        engine_free_uses(&uses, n, 0);
    }
}

static void options_resolve(void **unused)
{
    (void)unused;
    static const char *const sets[] = {"gen.gamma=0.5", "vim.dim=7"};
    method_use *uses = NULL;
    size_t n = 0;
    assert_int_equal(engine_resolve(&uses, &n, "gen:m=10,vim,gen:m=20", sets, 2), 0);
    assert_int_equal(n, 3);
    assert_int_equal(param_int(&uses[0].params, "m"), 10);
    assert_int_equal(param_int(&uses[2].params, "m"), 20);
    assert_true(param_double(&uses[2].params, "gamma") == 0.5);
    assert_string_equal(param_text(&uses[1].params, "dim"), "7");
    engine_free_uses(&uses, n, 0);
    /* lists of values, in place, with the other options of the use */
    assert_int_equal(engine_resolve(&uses, &n, "msp,knn:normalise=none:k=7+1+30,vim,knn", sets + 1, 1), 0);
    assert_int_equal(n, 6);
    for (size_t i = 1; i < 4; i++) {
        static const char *const k[] = {"7", "1", "30"};
        assert_string_equal(uses[i].m->name, "knn");
        assert_string_equal(param_text(&uses[i].params, "k"), k[i - 1]);
        assert_string_equal(param_text(&uses[i].params, "normalise"), "none");
    }
    assert_string_equal(uses[4].m->name, "vim");
    assert_string_equal(param_text(&uses[4].params, "dim"), "7");
    assert_string_equal(param_text(&uses[5].params, "k"), "50");
    engine_free_uses(&uses, n, 0);
    assert_int_equal(engine_resolve(&uses, &n, "knn,msp", (const char *const[]){"knn.k=50+1000"}, 1), 0);
    assert_int_equal(n, 3);
    assert_int_equal(param_int(&uses[1].params, "k"), 1000);
    assert_string_equal(uses[2].m->name, "msp");
    engine_free_uses(&uses, n, 0);
}

static void wrong_words_are_refused(void **unused)
{
    (void)unused;
    static const struct {
        const char *spec, *set, *says;
    } wrong[] = {
        {"enrgy", NULL, "did you mean 'energy'"},
        {"msp,,vim", NULL, ""},
        {"", NULL, ""},
        {"msp", "gen.gamma=1", "not among the methods"},
        {"gen", "gen.gama=1", "did you mean 'gamma'"},
        {"gen", "gen.gamma=x", "gen.gamma"},
        {"gen", "gen.gamma=nan", "gen.gamma"},
        {"gen", "gen.m=1.5", "whole"},
        {"gen", "gen.m=0", "allowed"},
        {"gen", "msp.m=1", "no options"},
        {"vim", "vim.dim=half", "vim.dim"},
        {"vim", "vim.dim=0", "allowed"},
        {"vim", "dim=3", "METHOD.KEY=VALUE"},
        {"vim:dim", NULL, "KEY=VALUE"},
        {"energy-react:quantile=1.01", NULL, "allowed"},
        {"energy:temperature=0", NULL, "allowed"},
        {"he", NULL, "did you mean 'she'"},
        {"she:metric=manhattan", NULL, "inner|euclidean|cosine"},
        {"react:clip=rankfeat", NULL, "react.clip"},
        {"opnood", NULL, "did you mean 'openood'"},
        {"energy:temperature=1+2", NULL, "energy.temperature"}, /* no list */
        {"knn:k=0", NULL, "allowed"},
        {"knn:k=1.5", NULL, "whole"},
        {"knn:k=5+1.5", NULL, "whole"},
        {"knn:k=5+0", NULL, "allowed"},
        {"knn:k=5+5", NULL, "knn.k names 5 twice"},
        {"knn:k=5+", NULL, "empty item"},
        {"knn:k=+", NULL, "empty item"},
        {"knn:normalise=l1", NULL, "l2|none"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        method_use *uses = NULL;
        size_t n = 0;
        err_clear();
        int rc = engine_resolve(&uses, &n, wrong[i].spec, &wrong[i].set, wrong[i].set != NULL);
        if (rc != ERR_USAGE) fail_msg("'%s' '%s': %d", wrong[i].spec, wrong[i].set, rc);
        if (strstr(err_text(), wrong[i].says) == NULL)
            fail_msg("'%s': says \"%s\", not \"%s\"", wrong[i].spec, err_text(), wrong[i].says);
        assert_null(uses);
    }
    err_clear();
}

static void prints_methods(void **unused)
{
    (void)unused;
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    assert_int_equal(methods_print(f, NULL, 0), 0);
    fflush(f);
    assert_non_null(strstr(text, "kl-matching"));
    rewind(f);
    assert_int_equal(methods_print(f, "vim", 0), 0);
    fflush(f);
    assert_non_null(strstr(text, "arXiv:2203.10807"));
    assert_non_null(strstr(text, "--set vim.KEY=VALUE"));
    rewind(f);
    assert_int_equal(methods_print(f, NULL, 1), 0);
    fflush(f);
    assert_non_null(strstr(text, "{\"name\":\"msp\""));
    err_clear();
    assert_int_equal(methods_print(f, "vimm", 0), ERR_USAGE);
    assert_non_null(strstr(err_text(), "did you mean 'vim'"));
    err_clear();
    fclose(f);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_golden_vectors),  cmocka_unit_test(mos_matches_its_vector),
        cmocka_unit_test(table_is_complete),
        cmocka_unit_test(groups_resolve),          cmocka_unit_test(groups_hold_what_the_tables_say),
        cmocka_unit_test(options_resolve),
        cmocka_unit_test(wrong_words_are_refused), cmocka_unit_test(prints_methods),
    };
    log_open("test_methods", LOG_ERROR);
    make_data();
    return cmocka_run_group_tests_name("methods", tests, NULL, NULL);
}
