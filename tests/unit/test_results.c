/* score/results*.c and outfile.c: means, CSV, JSON, and files that are there whole or not at all. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <jansson.h>

#include "common/err.h"
#include "score/outfile.h"
#include "score/results.h"

static const result_set sets[] = { { "ssb", "near", 7 }, { "a,\"b\"", "far", 8 }, { "c", "far", 9 } };
static const result_input inputs[] = { { "id", NULL, "id\xff.h5", "00ff", 5, 1 } };
static const method_opt gen_opts[] = { { .name = "gamma", .def = "0.1" }, { .name = "m", .def = "100" },
                                       { .name = NULL } };
static const method_params gen_params = { gen_opts, { "0.5", "100" } };

static void ok(int rc)
{
    if (rc != 0) print_message("# rc %d: %s\n", rc, err_text());
    assert_int_equal(rc, 0);
}

/* Metric k of set s of method i is 1/3 + (i + s + k) / 64: no short decimal. */
static void fill(results *r)
{
    static const char *const names[] = { "msp", "gen", "knn" };
    ok(results_init(r, 3, 3));
    r->n_id = 6;
    r->ood = sets;
    r->input = inputs;
    r->n_inputs = 1;
    r->correct = 2;
    r->counted = 3;
    for (size_t i = 0; i < 3; i++) {
        result_method *m = &r->method[i];
        m->name = names[i];
        m->label = strdup(names[i]);
        m->params = i == 1 ? &gen_params : NULL;
        m->score_seconds = 0.25;
        for (size_t s = 0; s < 3; s++) {
            double v[sizeof(metrics) / sizeof(double)];
            for (size_t k = 0; k < sizeof v / sizeof *v; k++)
                v[k] = 1.0 / 3 + (double)(i + s + k) / 64;
            memcpy(&m->m[s], v, sizeof v);
        }
    }
    r->method[2].skipped = strdup("needs train features (--train)");
}

static void means_by_group(void **state)
{
    results r;
    const metric_field *f = metric_field_find("auroc");
    (void)state;
    fill(&r);
    assert_true(results_mean(&r, &r.method[0], f, "near") == 1.0 / 3);
    assert_true(fabs(results_mean(&r, &r.method[0], f, "far") - (1.0 / 3 + 1.5 / 64)) < 1e-15);
    assert_true(fabs(results_mean(&r, &r.method[0], f, NULL) - (1.0 / 3 + 1.0 / 64)) < 1e-15);
    assert_true(isnan(results_mean(&r, &r.method[0], f, "other")));
    results_clear(&r);
}

static void table_has_sets_then_means(void **state)
{
    results r;
    result_table t;
    metric_field f[2];
    (void)state;
    fill(&r);
    f[0] = *metric_field_find("auroc");
    f[1] = *metric_field_find("fpr95_vim");
    ok(results_table(&t, &r, f, 2, 0));
    assert_int_equal(t.t.n_rows, 2); /* what was not run has no row */
    assert_int_equal(t.t.n_groups, 6);
    assert_string_equal(t.t.group[3], "near mean");
    assert_string_equal(t.t.group[4], "far mean");
    assert_string_equal(t.t.group[5], "mean");
    assert_true(t.t.value[0] == r.method[0].m[0].auroc);
    assert_true(t.t.value[1] == r.method[0].m[0].fpr95_vim);
    assert_true(t.t.value[3 * 2] == results_mean(&r, &r.method[0], &f[0], "near"));
    assert_true(t.t.value[12 + 5 * 2 + 1] == results_mean(&r, &r.method[1], &f[1], NULL));
    results_table_clear(&t);
    results_clear(&r);
}

static void csv_reads_back_equal(void **state)
{
    results r;
    char *out = NULL, *line, *p;
    size_t n;
    FILE *f = open_memstream(&out, &n);
    (void)state;
    fill(&r);
    ok(results_write_csv(f, &r));
    fclose(f);
    line = strtok(out, "\n");
    assert_string_equal(line, "method,ood,group,auroc,fpr95_vim,fpr95_mos,fpr95_react,fpr95_openood,"
                              "aupr_in,aupr_out,ap_in,ap_out,n_id,n_ood,spectrum,"
                              "auroc_lo,auroc_hi");
    line = strtok(NULL, "\n");
    assert_non_null(strstr(line, "msp,ssb,near,"));
    p = line + strlen("msp,ssb,near,");
    for (const metric_field *k = metric_fields; k->name != NULL; k++) {
        assert_true(strtod(p, &p) == metric_value(&r.method[0].m[0], k));
        assert_int_equal(*p++, ',');
    }
    assert_string_equal(p, "6,7,standard,,");
    line = strtok(NULL, "\n");
    assert_non_null(strstr(line, "msp,\"a,\"\"b\"\"\",far,"));
    for (n = 3; strtok(NULL, "\n") != NULL;)
        n++;
    assert_int_equal(n, 1 + 2 * 3); /* a header, two methods that ran, three sets */
    free(out);
    results_clear(&r);
}

static void json_has_the_promised_shape(void **state)
{
    results r;
    char *out = NULL;
    size_t n;
    json_t *o, *row, *mean;
    FILE *f = open_memstream(&out, &n);
    (void)state;
    fill(&r);
    ok(results_write_json(f, &r));
    fclose(f);
    o = json_loads(out, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(o);
    assert_string_equal(json_string_value(json_object_get(o, "format")), "outpost-results");
    assert_int_equal(json_integer_value(json_object_get(o, "version")), 1);
    assert_true(json_is_null(json_object_get(o, "model")));
    assert_true(json_real_value(json_object_get(o, "id_accuracy")) == 2.0 / 3);
    assert_int_equal(json_array_size(json_object_get(o, "rows")), 6);
    row = json_array_get(json_object_get(o, "rows"), 4);
    assert_string_equal(json_string_value(json_object_get(row, "method")), "gen");
    assert_string_equal(json_string_value(json_object_get(row, "ood")), "a,\"b\"");
    assert_string_equal(json_string_value(json_object_get(row, "group")), "far");
    assert_true(json_real_value(json_object_get(json_object_get(row, "params"), "gamma")) == 0.5);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(row, "params"), "m")), 100);
    assert_true(json_is_null(json_object_get(row, "auroc_ci")));
    for (const metric_field *k = metric_fields; k->name != NULL; k++)
        assert_true(json_real_value(json_object_get(row, k->name)) ==
                    metric_value(&r.method[1].m[1], k));
    assert_int_equal(json_integer_value(json_object_get(row, "n_ood")), 8);
    assert_true(json_real_value(json_object_get(row, "seconds")) == 0.25);
    /* two methods, each: all, near, far */
    assert_int_equal(json_array_size(json_object_get(o, "mean")), 6);
    mean = json_array_get(json_object_get(o, "mean"), 1);
    assert_string_equal(json_string_value(json_object_get(mean, "group")), "near");
    assert_true(json_real_value(json_object_get(mean, "auroc")) == 1.0 / 3);
    row = json_array_get(json_object_get(o, "skipped"), 0);
    assert_string_equal(json_string_value(json_object_get(row, "method")), "knn");
    row = json_array_get(json_object_get(o, "inputs"), 0);
    assert_string_equal(json_string_value(json_object_get(row, "path")), "id\\xff.h5");
    assert_int_equal(json_integer_value(json_object_get(row, "left_out")), 1);
    json_decref(o);
    free(out);
    results_clear(&r);
}

static int is(const char *path, const char *want)
{
    char buf[64] = "";
    FILE *f = fopen(path, "r");
    size_t n;
    if (f == NULL) return want == NULL;
    n = fread(buf, 1, sizeof buf - 1, f);
    buf[n] = '\0';
    fclose(f);
    return want != NULL && strcmp(buf, want) == 0;
}

static void a_file_is_whole_or_absent(void **state)
{
    char dir[] = "/tmp/outpost-results-XXXXXX", path[64], part[96], nowhere[64];
    outfile o = { 0 };
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/r.json", dir);
    snprintf(part, sizeof part, "%s.part.%ld", path, (long)getpid());
    snprintf(nowhere, sizeof nowhere, "%s/none/r.json", dir);
    ok(outfile_check(path));
    ok(outfile_open(&o, path));
    fputs("first", o.f);
    fflush(o.f);
    assert_true(is(path, NULL)); /* nothing there before the end */
    ok(outfile_commit(&o));
    assert_true(is(path, "first"));
    ok(outfile_open(&o, path));
    fputs("half", o.f);
    outfile_abandon(&o);
    assert_true(is(path, "first"));
    assert_int_equal(access(part, F_OK), -1);
    ok(outfile_open(&o, path));
    fputs("second", o.f);
    ok(outfile_commit(&o));
    assert_true(is(path, "second"));
    assert_int_equal(outfile_check(nowhere), ERR_ENV);
    err_clear();
    assert_int_equal(outfile_open(&o, nowhere), ERR_ENV);
    err_clear();
    assert_int_equal(outfile_check(dir), ERR_ENV);
    err_clear();
    unlink(path);
    assert_int_equal(rmdir(dir), 0); /* and nothing else is left */
}

/* /dev/full takes bytes and loses them: the error shows at the flush. */
static void a_full_disk_is_an_error(void **state)
{
    outfile o = { 0 };
    (void)state;
    if (access("/dev/full", W_OK) != 0) return;
    ok(outfile_open(&o, "/dev/full"));
    fputs("x", o.f);
    assert_int_equal(outfile_commit(&o), ERR_ENV);
    assert_non_null(strstr(err_text(), "cannot write /dev/full: No space left"));
    err_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(means_by_group),
        cmocka_unit_test(table_has_sets_then_means),
        cmocka_unit_test(csv_reads_back_equal),
        cmocka_unit_test(json_has_the_promised_shape),
        cmocka_unit_test(a_file_is_whole_or_absent),
        cmocka_unit_test(a_full_disk_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
