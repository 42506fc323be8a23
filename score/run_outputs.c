#include "score/run.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"
#include "score/outfile.h"

/* ---- columns ---------------------------------------------------------------------------------- */

int run_fields(metric_field fields[RUN_FIELDS_MAX], size_t *n, const char *conventions)
{
    static const char *const known[] = { "vim", "mos", "react", "openood" };
    int rc = 0;
    args_list l = { 0 };
    char name[32];
    TRY(args_split(&l, conventions, ','));
    fields[0] = *metric_field_find("auroc");
    for (*n = 1; *n <= l.n; ++*n) {
        const char *word = l.v[*n - 1], *near = args_nearest(word, known, 4);
        size_t k = 0;
        while (k < 4 && strcmp(known[k], word) != 0)
            k++;
        CHECK(k < 4, ERR_USAGE, "--conventions: '%s' is none of vim, mos, react, openood%s%s%s",
              word, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
        snprintf(name, sizeof name, "fpr95_%s", known[k]);
        for (size_t i = 1; i < *n; i++)
            CHECK(strcmp(fields[i].name, name) != 0, ERR_USAGE, "--conventions: '%s' twice", word);
        fields[*n] = *metric_field_find(name);
    }
    if (*n == 2 && strcmp(fields[1].name, "fpr95_vim") == 0) fields[1].title = "FPR95";
done:
    args_list_clear(&l);
    return rc;
}

/* ---- files ------------------------------------------------------------------------------------ */

typedef struct output {
    const char *option, *path;
} output;

enum { N_OUTPUTS = 5 };

static void outputs_of(const run_config *c, output o[N_OUTPUTS])
{
    o[0] = (output){ "json", c->json };
    o[1] = (output){ "csv", c->csv };
    o[2] = (output){ "markdown", c->markdown };
    o[3] = (output){ "latex", c->latex };
    o[4] = (output){ "scores", c->scores };
}

int run_check_outputs(const run_config *c)
{
    int rc = 0;
    output o[N_OUTPUTS];
    outputs_of(c, o);
    for (size_t i = 0; i < N_OUTPUTS; i++) {
        if (o[i].path == NULL) continue;
        for (size_t k = 0; k < i; k++)
            CHECK(o[k].path == NULL || strcmp(o[i].path, o[k].path) != 0, ERR_USAGE,
                  "--%s and --%s are the same file", o[k].option, o[i].option);
        CHECK(strcmp(o[i].option, "scores") != 0 || strcmp(o[i].path, "-") != 0, ERR_USAGE,
              "--scores needs the name of a file");
        TRY(outfile_check(o[i].path));
    }
done:
    return rc;
}

static void print_accuracy(FILE *f, const results *r, const char *words)
{
    if (r->counted > 0)
        fprintf(f, "%s  %.2f  (%zu of %zu)\n", words,
                100 * (double)r->correct / (double)r->counted, r->correct, r->counted);
}

/* What each method cost: fitting, scoring all sets, working memory of its own. */
static void print_timing(FILE *f, const results *r)
{
    size_t width = strlen("method");
    for (size_t i = 0; i < r->n_methods; i++)
        if (r->method[i].skipped == NULL && strlen(r->method[i].label) > width)
            width = strlen(r->method[i].label);
    fprintf(f, "\n%-*s   fit s  score s  peak MiB\n", (int)width, "method");
    for (size_t i = 0; i < r->n_methods; i++) {
        const result_method *m = &r->method[i];
        if (m->skipped != NULL) continue;
        fprintf(f, "%-*s  %6.3f  %7.3f  %8.1f\n", (int)width, m->label, m->fit_seconds,
                m->score_seconds, (double)m->peak_bytes / (1 << 20));
    }
}

static void print_text(FILE *f, const run_config *c, const results *r, const table *t, const table *full)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    int tty = isatty(fileno(f)), width = 80, bold;
    struct winsize w;
    char model[256];
    if (tty && ioctl(fileno(f), TIOCGWINSZ, &w) == 0 && w.ws_col >= 40) width = w.ws_col;
    bold = strcmp(c->color, "always") == 0 ||
           (strcmp(c->color, "auto") == 0 && tty && (no_color == NULL || *no_color == '\0') &&
            (term == NULL || strcmp(term, "dumb") != 0));
    if (r->model != NULL)
        fprintf(f, "model        %s\n", log_printable(model, sizeof model, r->model));
    print_accuracy(f, r, "ID accuracy");
    if (r->model != NULL || r->counted > 0) fputc('\n', f);
    table_print_text(f, t, width, bold);
    if (full != NULL) {
        fprintf(f, "\nfull spectrum: id");
        for (size_t i = 0; i < r->n_csid; i++)
            fprintf(f, " + %s", log_printable(model, sizeof model, r->csid[i]));
        fprintf(f, ", %zu images\n", r->full->n_id);
        print_accuracy(f, r->full, "accuracy");
        fputc('\n', f);
        table_print_text(f, full, width, bold);
    }
    if (c->timing) print_timing(f, r);
    for (size_t i = 0, n = 0; i < r->n_methods; i++) {
        if (r->method[i].skipped == NULL) continue;
        if (n++ == 0) fputs("\nnot in the table:\n", f);
        fprintf(f, "  %s: %s\n", r->method[i].label, r->method[i].skipped);
    }
}

/* Further tables follow the first behind an empty line. */
static int write_one(const char *option, FILE *f, const results *r, const table *t, const table *full)
{
    if (strcmp(option, "json") == 0) return results_write_json(f, r);
    if (strcmp(option, "csv") == 0) return results_write_csv(f, r);
    for (int i = 0; i < 2; i++) {
        const table *now = i == 0 ? t : full;
        if (now == NULL) break;
        if (i == 1) fputs(strcmp(option, "latex") == 0 ? "\n% full spectrum\n" : "\nFull spectrum:\n\n", f);
        if (strcmp(option, "markdown") == 0) table_print_markdown(f, now);
        else table_print_latex(f, now);
    }
    return 0;
}

int run_write_outputs(const run_config *c, const results *r, const metric_field *fields,
                      size_t n_fields)
{
    int rc = 0, taken = 0;
    output o[N_OUTPUTS];
    outfile file = { 0 };
    result_table rt = { 0 }, full = { 0 };
    const table *second = NULL;
    outputs_of(c, o);
    TRY(results_table(&rt, r, fields, n_fields, c->ci));
    if (r->full != NULL) {
        TRY(results_table(&full, r->full, fields, n_fields, c->ci));
        second = &full.t;
    }
    for (size_t i = 0; i < N_OUTPUTS; i++)
        taken |= o[i].path != NULL && strcmp(o[i].path, "-") == 0;
    if (!taken) print_text(stdout, c, r, &rt.t, second);
    for (size_t i = 0; i < N_OUTPUTS; i++) {
        if (o[i].path == NULL || strcmp(o[i].option, "scores") == 0) continue;
        TRY(outfile_open(&file, o[i].path));
        TRY(write_one(o[i].option, file.f, r, &rt.t, second));
        TRY(outfile_commit(&file));
        log_debug("%s: written", o[i].path);
    }
done:
    outfile_abandon(&file);
    results_table_clear(&rt);
    results_table_clear(&full);
    return rc;
}
