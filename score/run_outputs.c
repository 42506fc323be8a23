#include "score/run.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"
#include "score/outfile.h"

/* ---- metrics ---------------------------------------------------------------------------------- */

static int copy_text(char **out, const char *text)
{
    free(*out);
    *out = NULL;
    return mem_strdup(out, text);
}

/* ERR_INPUT when scores are not finite, with set and row. */
static int evaluate(metrics *m, const method_use *u, const run_inputs *in)
{
    int rc = 0;
    char what[300];
    score_set id = { 0 }, ood = { 0 };
    snprintf(what, sizeof what, "on the ID set");
    TRY(score_set_init(&id, u->scores[0], in->id->n, what));
    for (size_t s = 0; s < in->n_ood; s++) {
        snprintf(what, sizeof what, "on %s", in->name[s]);
        score_set_clear(&ood);
        TRY(score_set_init(&ood, u->scores[1 + s], in->ood[s]->n, what));
        TRY(metrics_compute(&m[s], &id, &ood));
    }
done:
    score_set_clear(&id);
    score_set_clear(&ood);
    return rc;
}

/* "gen", or "gen:gamma=0.5" when the method is there more than once. */
static int label_of(char **label, const method_use *uses, size_t n_uses, size_t i)
{
    const method_params *p = &uses[i].params;
    size_t same = 0, room = strlen(uses[i].m->name) + 1, at;
    int rc = 0;
    for (size_t k = 0; k < n_uses; k++)
        same += uses[k].m == uses[i].m;
    for (size_t k = 0; p->opts != NULL && p->opts[k].name != NULL; k++)
        if (p->value[k] != NULL) room += strlen(p->opts[k].name) + strlen(p->value[k]) + 2;
    TRY(mem_new(label, room, 1, "name of a method"));
    at = (size_t)snprintf(*label, room, "%s", uses[i].m->name);
    for (size_t k = 0; same > 1 && p->opts != NULL && p->opts[k].name != NULL; k++)
        if (p->value[k] != NULL && strcmp(p->value[k], p->opts[k].def) != 0)
            at += (size_t)snprintf(*label + at, room - at, ":%s=%s", p->opts[k].name, p->value[k]);
done:
    return rc;
}

int run_evaluate(results *r, size_t *failed, const method_use *uses, size_t n_uses,
                 const engine_result *er, const run_inputs *in)
{
    int rc = 0;
    *failed = 0;
    TRY(results_init(r, n_uses, in->n_ood));
    r->model = *in->model != '\0' ? in->model : NULL;
    r->n_id = in->id->n;
    r->ood = in->set;
    r->input = in->input;
    r->n_inputs = in->n_input;
    r->correct = er->correct;
    r->counted = er->counted;
    for (size_t i = 0; i < n_uses; i++) {
        result_method *m = &r->method[i];
        m->name = uses[i].m->name;
        m->title = uses[i].m->title;
        m->params = &uses[i].params;
        m->fit_seconds = uses[i].fit_seconds;
        m->score_seconds = uses[i].score_seconds;
        TRY(label_of(&m->label, uses, n_uses, i));
        if (uses[i].skipped != NULL) {
            TRY(copy_text(&m->skipped, uses[i].skipped));
            continue;
        }
        rc = evaluate(m->m, &uses[i], in);
        if (rc == ERR_INPUT) {
            TRY(copy_text(&m->skipped, err_text()));
            err_clear();
            ++*failed;
        } else {
            TRY(rc);
        }
    }
    rc = 0;
done:
    return rc;
}

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

static int print_text(FILE *f, const run_config *c, const results *r, const table *t)
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
    if (r->counted > 0)
        fprintf(f, "ID accuracy  %.2f  (%zu of %zu)\n",
                100 * (double)r->correct / (double)r->counted, r->correct, r->counted);
    if (r->model != NULL || r->counted > 0) fputc('\n', f);
    table_print_text(f, t, width, bold);
    for (size_t i = 0, n = 0; i < r->n_methods; i++) {
        if (r->method[i].skipped == NULL) continue;
        if (n++ == 0) fputs("\nnot in the table:\n", f);
        fprintf(f, "  %s: %s\n", r->method[i].label, r->method[i].skipped);
    }
    return 0;
}

static int write_one(const char *option, FILE *f, const results *r, const table *t)
{
    if (strcmp(option, "json") == 0) return results_write_json(f, r);
    if (strcmp(option, "csv") == 0) return results_write_csv(f, r);
    if (strcmp(option, "markdown") == 0) table_print_markdown(f, t);
    else table_print_latex(f, t);
    return 0;
}

int run_write_outputs(const run_config *c, const results *r, const metric_field *fields,
                      size_t n_fields)
{
    int rc = 0, taken = 0;
    output o[N_OUTPUTS];
    outfile file = { 0 };
    result_table rt = { 0 };
    outputs_of(c, o);
    TRY(results_table(&rt, r, fields, n_fields));
    for (size_t i = 0; i < N_OUTPUTS; i++)
        taken |= o[i].path != NULL && strcmp(o[i].path, "-") == 0;
    if (!taken) TRY(print_text(stdout, c, r, &rt.t));
    for (size_t i = 0; i < N_OUTPUTS; i++) {
        if (o[i].path == NULL || strcmp(o[i].option, "scores") == 0) continue;
        TRY(outfile_open(&file, o[i].path));
        TRY(write_one(o[i].option, file.f, r, &rt.t));
        TRY(outfile_commit(&file));
        log_debug("%s: written", o[i].path);
    }
done:
    outfile_abandon(&file);
    results_table_clear(&rt);
    return rc;
}
