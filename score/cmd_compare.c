/* score compare: results against results, against published tables, scores against scores. */
#include "score/commands.h"

#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "score/compare.h"
#include "score/outfile.h"

typedef struct config {
    args_strings words, scores;
    const char *published, *model, *metrics, *methods, *csv;
} config;

typedef struct files { /* what the words and --scores turned out to be */
    result_values results[2];
    scores score[2];
    size_t n_results, n_scores;
} files;

static int open_file(files *f, const char *path)
{
    int rc = 0, hdf5;
    TRY(hdf5 = result_file_is_hdf5(path));
    rc = 0;
    CHECK((hdf5 ? f->n_scores : f->n_results) < 2, ERR_USAGE, "'%s' is one %s file too many", path,
          hdf5 ? "score" : "result");
    if (hdf5) TRY(scores_read(&f->score[f->n_scores++], path));
    else TRY(result_values_read_json(&f->results[f->n_results++], path));
done:
    return rc;
}

static int with_published(comparison *out, const files *f, const config *c)
{
    int rc = 0;
    char *path = NULL;
    result_values published = {0};
    CHECK(f->n_results == 1 && f->n_scores == 0, ERR_USAGE, "--published takes one RESULT.json");
    TRY(published_find(&path, c->published));
    TRY(result_values_read_csv(&published, path));
    out->a = "ours";
    out->b = "published";
    TRY(compare_published(out, &f->results[0], &published, c->model));
    TRY(comparison_print(stdout, out));
    if (c->csv != NULL) {
        outfile file = {0};
        rc = outfile_open(&file, c->csv);
        if (rc == 0) rc = comparison_write_csv(file.f, out);
        if (rc == 0) rc = outfile_commit(&file);
        outfile_abandon(&file);
    }
done:
    free(path);
    comparison_clear(out); /* it borrows from the table */
    result_values_clear(&published);
    return rc;
}

/* Every method of the list, or of the file, against the first. */
static int methods_of_one(comparison *out, const scores *s, const config *c)
{
    int rc = 0;
    args_list l = {0};
    const char *first = s->method[0];
    if (c->methods != NULL) {
        TRY(args_split(&l, c->methods, ','));
        first = l.v[0];
    }
    CHECK((c->methods != NULL ? l.n : s->n_methods) > 1, ERR_USAGE,
          "one method alone cannot be compared; give --methods A,B or a second file");
    for (size_t i = 0; i < s->n_methods; i++) {
        int take = c->methods == NULL;
        for (size_t k = 1; k < l.n; k++)
            take |= strcmp(l.v[k], s->method[i]) == 0;
        if (take && strcmp(s->method[i], first) != 0)
            TRY(compare_methods(out, s, s->method[i], first));
    }
    for (size_t k = 0; k < l.n; k++) { /* names that are not there */
        comparison none = {0};
        rc = compare_methods(&none, s, l.v[k], l.v[k]);
        comparison_clear(&none);
        TRY(rc);
    }
    out->a = "method";
    out->b = first;
    for (size_t i = 0; c->methods != NULL && i < s->n_methods; i++)
        if (strcmp(s->method[i], first) == 0) out->b = s->method[i];
done:
    args_list_clear(&l);
    return rc;
}

static int compare_files(comparison *out, const files *f, const config *c)
{
    out->a = "A";
    out->b = "B";
    if (f->n_results == 2) {
        int rc = compare_results(out, &f->results[0], &f->results[1],
                                 c->metrics != NULL ? c->metrics : "auroc,fpr95_vim,accuracy");
        if (rc == 0 && f->n_scores == 2) rc = compare_add_tests(out, &f->score[0], &f->score[1]);
        else if (rc == 0 && f->n_scores == 1)
            rc = err_set(ERR_USAGE, "--scores takes the two files of the two results");
        return rc;
    }
    if (f->n_results == 0 && f->n_scores == 2)
        return compare_scores(out, &f->score[0], &f->score[1]);
    if (f->n_results == 0 && f->n_scores == 1) return methods_of_one(out, &f->score[0], c);
    return err_set(ERR_USAGE,
                   "give two results, one result and --published, or one or two score files");
}

static int run(void *p)
{
    const config *c = p;
    int rc = 0;
    files f = {0};
    comparison out = {0};
    outfile file = {0};
    if (c->csv != NULL) TRY(outfile_check(c->csv));
    for (size_t i = 0; i < c->words.n; i++)
        TRY(open_file(&f, c->words.v[i]));
    for (size_t i = 0; i < c->scores.n; i++)
        TRY(open_file(&f, c->scores.v[i]));
    if (c->published != NULL) {
        TRY(with_published(&out, &f, c));
        goto done;
    }
    TRY(compare_files(&out, &f, c));
    TRY(comparison_print(stdout, &out));
    if (c->csv != NULL) {
        TRY(outfile_open(&file, c->csv));
        TRY(comparison_write_csv(file.f, &out));
        TRY(outfile_commit(&file));
    }
done:
    outfile_abandon(&file);
    comparison_clear(&out);
    for (int i = 0; i < 2; i++) {
        result_values_clear(&f.results[i]);
        scores_clear(&f.score[i]);
    }
    return rc;
}

#define AT(field) offsetof(config, field)
static const opt opts[] = {
    {"published", 'p', OPT_STRING, AT(published), "NAME",
     "ours minus published: a table of docs/published, or\na file of that form (a name with '/')",
     NULL, NULL, 0, 0, 0},
    {"model", 0, OPT_STRING, AT(model), "NAME", "its model, when that of the result is not there",
     NULL, NULL, 0, 0, 0},
    {"metrics", 0, OPT_STRING, AT(metrics), "LIST", "of two results\n[auroc,fpr95_vim,accuracy]",
     NULL, NULL, 0, 0, 0},
    {"methods", 'm', OPT_STRING, AT(methods), "A,B,...",
     "of one score file: the others against the first", NULL, NULL, 0, 0, 0},
    {"scores", 0, OPT_MANY, AT(scores), "FILE.h5",
     "--scores of the two results: adds the paired test", NULL, NULL, 0, 0, 0},
    {"csv", 0, OPT_STRING, AT(csv), "FILE", "all digits, fractions", NULL, NULL, 0, 0, 0},
    {NULL, 0, OPT_FLAG, 0, NULL, NULL, NULL, NULL, 0, 0, 0},
};

const command cmd_compare = {
    .name = "compare",
    .summary = "Differences between results, to published tables, and tests of paired scores.",
    .synopsis = "A.json B.json | RESULT.json --published NAME | SCORES.h5 [SCORES.h5]",
    .about =
        "examples: score compare before.json after.json --scores before.h5 after.h5\n"
        "          score compare result.json --published vim\n"
        "          score compare scores.h5 --methods vim,energy\n"
        "\n"
        "Differences are first minus second, in points of percent. Interval and p are DeLong's for "
        "two\n"
        "AUROCs on the same images; p of several comparisons is not corrected for their number.",
    .opts = opts,
    .config_size = sizeof(config),
    .words_at = offsetof(config, words),
    .words_max = 2,
    .run = run,
};
