#include "score/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/args.h"
#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"
#include "score/csv.h"

static int add(comparison *c, const comparison_line *line)
{
    int rc = mem_grow(&c->v, &c->room, c->n + 1, sizeof *c->v, "comparison");
    if (rc < 0) return rc;
    c->v[c->n++] = *line;
    return 0;
}

static comparison_line line_of(const char *name, const char *set, const char *metric, double a,
                               double b)
{
    return (comparison_line){.method = name,
                             .set = set,
                             .metric = metric,
                             .a = a,
                             .b = b,
                             .test = {.p = NAN, .difference = {NAN, NAN}}};
}

void comparison_clear(comparison *c)
{
    free(c->v);
    memset(c, 0, sizeof *c);
}

/* ---- results ----------------------------------------------------------------------------------- */

static int wanted(const args_list *l, const char *metric)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->v[i], metric) == 0) return 1;
    return l->n == 0;
}

static int check_metrics(const args_list *l)
{
    const char *names[METRIC_COUNT + 1], *near;
    for (size_t i = 0; i < METRIC_COUNT; i++)
        names[i] = metric_fields[i].name;
    names[METRIC_COUNT] = "accuracy";
    for (size_t i = 0; i < l->n; i++) {
        size_t k = 0;
        while (k <= METRIC_COUNT && strcmp(names[k], l->v[i]) != 0)
            k++;
        if (k <= METRIC_COUNT) continue;
        near = args_nearest(l->v[i], names, METRIC_COUNT + 1);
        return err_set(ERR_USAGE, "--metrics: no metric '%s'%s%s%s", l->v[i],
                       near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    }
    return 0;
}

static const result_value *find(const result_values *r, const result_value *v)
{
    for (size_t i = 0; i < r->n; i++)
        if (strcmp(r->v[i].method, v->method) == 0 && strcmp(r->v[i].set, v->set) == 0 &&
            strcmp(r->v[i].metric, v->metric) == 0)
            return &r->v[i];
    return NULL;
}

int compare_results(comparison *c, const result_values *a, const result_values *b,
                    const char *metrics_wanted)
{
    int rc = 0;
    args_list l = {0};
    if (metrics_wanted != NULL) TRY(args_split(&l, metrics_wanted, ','));
    TRY(check_metrics(&l));
    for (size_t i = 0; i < a->n; i++) {
        const result_value *v = &a->v[i], *w = find(b, v);
        comparison_line line;
        if (!wanted(&l, v->metric)) continue;
        if (w == NULL) {
            c->missing++;
            continue;
        }
        line = line_of(v->method, v->set, v->metric, v->value, w->value);
        TRY(add(c, &line));
    }
    for (size_t i = 0; i < b->n; i++)
        c->missing += wanted(&l, b->v[i].metric) && find(a, &b->v[i]) == NULL;
    CHECK(c->n > 0, ERR_USAGE, "%s and %s have no method, set and metric in common", a->path,
          b->path);
done:
    args_list_clear(&l);
    return rc;
}

/* ---- published ---------------------------------------------------------------------------------- */

static int has_model(const result_values *p, const char *model)
{
    for (size_t i = 0; i < p->n; i++)
        if (same_name(p->v[i].model, model)) return 1;
    return 0;
}

static int no_model(const result_values *p, const char *model)
{
    char all[1000] = "";
    size_t at = 0;
    for (size_t i = 0; i < p->n && at < sizeof all; i++) {
        size_t k = 0;
        while (k < i && strcmp(p->v[k].model, p->v[i].model) != 0)
            k++;
        if (k == i)
            at += (size_t)snprintf(all + at, sizeof all - at, "%s%s", at > 0 ? ", " : "",
                                   p->v[i].model);
    }
    if (model == NULL) return err_set(ERR_USAGE, "%s has %s; say which by --model", p->path, all);
    return err_set(ERR_USAGE, "%s has no model '%s'; it has %s", p->path, model, all);
}

/* Our value for a published one; accuracies have no method. */
static const result_value *ours_of(const result_values *ours, const result_value *p)
{
    int accuracy = strcmp(p->metric, "accuracy") == 0;
    for (size_t i = 0; i < ours->n; i++) {
        const result_value *v = &ours->v[i];
        if (strcmp(v->metric, p->metric) != 0 || !same_name(v->set, p->set)) continue;
        if (accuracy || same_method(p, v)) return v;
    }
    return NULL;
}

/* A published mean is of the sets of its table: ours must have them all. */
static int mean_is_ours(const result_values *ours, const result_values *published,
                        const result_value *p)
{
    if (strstr(p->set, "mean") == NULL) return 1;
    for (size_t i = 0; i < published->n; i++) {
        const result_value *q = &published->v[i];
        if (strcmp(q->table, p->table) == 0 && strcmp(q->model, p->model) == 0 &&
            strcmp(q->method, p->method) == 0 && strcmp(q->metric, p->metric) == 0 &&
            strstr(q->set, "mean") == NULL && ours_of(ours, q) == NULL)
            return 0;
    }
    return 1;
}

int compare_published(comparison *c, const result_values *ours, const result_values *published,
                      const char *model)
{
    int rc = 0;
    if (model == NULL) model = ours->model;
    if (model == NULL || !has_model(published, model)) return no_model(published, model);
    for (size_t i = 0; i < published->n; i++) {
        const result_value *p = &published->v[i], *v;
        comparison_line line;
        int known = 0;
        if (!same_name(p->model, model)) continue;
        v = ours_of(ours, p);
        if (v == NULL || !mean_is_ours(ours, published, p)) {
            c->missing++;
            continue;
        }
        for (size_t k = 0; k < c->n && *v->method == '\0'; k++) /* an accuracy stands there once */
            known |= *c->v[k].method == '\0' && strcmp(c->v[k].set, p->set) == 0;
        if (known) continue;
        line = line_of(v->method, p->set, p->metric, v->value, p->value);
        line.table = p->table;
        TRY(add(c, &line));
    }
    CHECK(c->n > 0, ERR_USAGE, "%s has no number that %s has for '%s'", ours->path, published->path,
          model);
done:
    return rc;
}

/* ---- tests -------------------------------------------------------------------------------------- */

static int method_at(const scores *s, const char *name, size_t *at)
{
    const char *near;
    for (*at = 0; *at < s->n_methods; ++*at)
        if (strcmp(s->method[*at], name) == 0) return 0;
    near = args_nearest(name, (const char *const *)s->method, s->n_methods);
    return err_set(ERR_USAGE, "%s has no method '%s'%s%s%s", s->path, name,
                   near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static int test_set(paired_test *t, const scores *a, const float *x, const float *y, size_t set)
{
    const scores_set *id = &a->set[0], *ood = &a->set[set];
    return auroc_test_paired(t, x + id->first, y + id->first, id->n, x + ood->first, y + ood->first,
                             ood->n);
}

static int add_test(comparison *c, const scores *s, const char *name, const float *x,
                    const float *y, size_t set)
{
    int rc = 0;
    comparison_line line = line_of(name, s->set[set].name, "auroc", 0, 0);
    TRY(test_set(&line.test, s, x, y, set));
    line.a = line.test.a;
    line.b = line.test.b;
    TRY(add(c, &line));
done:
    return rc;
}

int compare_methods(comparison *c, const scores *s, const char *a, const char *b)
{
    int rc = 0;
    size_t x, y;
    TRY(method_at(s, a, &x));
    TRY(method_at(s, b, &y));
    for (size_t i = 1; i < s->n_sets; i++)
        TRY(add_test(c, s, a, s->score[x], s->score[y], i));
done:
    return rc;
}

static int same_images(const scores *a, const scores *b)
{
    int rc = 0;
    CHECK(a->n == b->n && a->n_sets == b->n_sets, ERR_INPUT,
          "%s has %zu rows in %zu sets, %s has %zu in %zu: a paired test needs the same images",
          a->path, a->n, a->n_sets, b->path, b->n, b->n_sets);
    for (size_t i = 0; i < a->n_sets; i++)
        CHECK(strcmp(a->set[i].name, b->set[i].name) == 0 && a->set[i].n == b->set[i].n, ERR_INPUT,
              "%s has %zu rows of '%s' where %s has %zu of '%s'", a->path, a->set[i].n,
              a->set[i].name, b->path, b->set[i].n, b->set[i].name);
    for (size_t i = 0; i < a->n; i++) {
        const char *x = a->image + i * a->image_width, *y = b->image + i * b->image_width;
        size_t n = strnlen(x, a->image_width), m = strnlen(y, b->image_width);
        CHECK(n == 0 || m == 0 || (n == m && memcmp(x, y, n) == 0), ERR_INPUT,
              "row %zu is '%.*s' in %s and '%.*s' in %s", i, (int)n, x, a->path, (int)m, y,
              b->path);
    }
done:
    return rc;
}

int compare_scores(comparison *c, const scores *a, const scores *b)
{
    int rc = 0;
    TRY(same_images(a, b));
    for (size_t m = 0; m < a->n_methods; m++) {
        size_t k = 0;
        while (k < b->n_methods && strcmp(a->method[m], b->method[k]) != 0)
            k++;
        if (k == b->n_methods) {
            c->missing++;
            continue;
        }
        for (size_t i = 1; i < a->n_sets; i++)
            TRY(add_test(c, a, a->method[m], a->score[m], b->score[k], i));
    }
    CHECK(c->n > 0, ERR_USAGE, "%s and %s have no method in common", a->path, b->path);
done:
    return rc;
}

int compare_add_tests(comparison *c, const scores *a, const scores *b)
{
    int rc = 0;
    comparison t = {0};
    TRY(compare_scores(&t, a, b));
    for (size_t i = 0; i < c->n; i++) {
        comparison_line *line = &c->v[i];
        if (strcmp(line->metric, "auroc") != 0) continue;
        for (size_t k = 0; k < t.n; k++) {
            if (strcmp(line->method, t.v[k].method) != 0 || strcmp(line->set, t.v[k].set) != 0)
                continue;
            CHECK(fabs(line->a - t.v[k].a) < 1e-9 && fabs(line->b - t.v[k].b) < 1e-9, ERR_INPUT,
                  "%s of '%s' on '%s' is not that of %s and %s: scores of other runs", line->metric,
                  line->method, line->set, a->path, b->path);
            line->test = t.v[k].test;
        }
    }
done:
    comparison_clear(&t);
    return rc;
}

/* ---- output ------------------------------------------------------------------------------------- */

enum { COLUMNS = 9, ROOM = 200 };

static const char *title_of(const char *metric)
{
    const metric_field *f = metric_field_find(metric);
    return f != NULL ? f->title : metric;
}

static void number(char *buf, double v, int sign)
{
    if (isnan(v)) *buf = '\0';
    else snprintf(buf, ROOM, sign ? "%+.2f" : "%.2f", 100 * v);
}

static void cells(const comparison *c, size_t i, char cell[COLUMNS][ROOM])
{
    const comparison_line *l = &c->v[i];
    log_printable(cell[0], ROOM, l->table != NULL ? l->table : "");
    log_printable(cell[1], ROOM, *l->method != '\0' ? l->method : "-");
    log_printable(cell[2], ROOM, l->set);
    log_printable(cell[3], ROOM, title_of(l->metric));
    number(cell[4], l->a, 0);
    number(cell[5], l->b, 0);
    number(cell[6], l->a - l->b, 1);
    cell[7][0] = cell[8][0] = '\0';
    if (!isnan(l->test.difference.lo))
        snprintf(cell[7], ROOM, "%+.2f to %+.2f", 100 * l->test.difference.lo,
                 100 * l->test.difference.hi);
    if (!isnan(l->test.p))
        snprintf(cell[8], ROOM, l->test.p < 0.0001 ? "<0.0001" : "%.4f", l->test.p);
}

int comparison_print(FILE *f, const comparison *c)
{
    const char *title[COLUMNS] = {"table", "method",     "set",           "metric", c->a,
                                  c->b,    "difference", "95 % interval", "p"};
    char cell[COLUMNS][ROOM];
    size_t width[COLUMNS], worst = 0;
    int used[COLUMNS] = {0};
    for (size_t k = 0; k < COLUMNS; k++)
        width[k] = strlen(title[k]);
    for (size_t i = 0; i < c->n; i++) {
        cells(c, i, cell);
        for (size_t k = 0; k < COLUMNS; k++) {
            used[k] |= cell[k][0] != '\0';
            if (strlen(cell[k]) > width[k]) width[k] = strlen(cell[k]);
        }
        if (fabs(c->v[i].a - c->v[i].b) > fabs(c->v[worst].a - c->v[worst].b)) worst = i;
    }
    for (size_t i = 0; i <= c->n; i++) {
        const char *gap = "";
        if (i > 0) cells(c, i - 1, cell);
        for (size_t k = 0; k < COLUMNS; k++) {
            if (!used[k]) continue;
            fprintf(f, k < 4 ? "%s%-*s" : "%s%*s", gap, (int)width[k], i == 0 ? title[k] : cell[k]);
            gap = "  ";
        }
        fputc('\n', f);
    }
    if (c->n == 0) return 0;
    cells(c, worst, cell);
    fprintf(f, "\n%zu numbers, the largest difference %s (%s, %s, %s)", c->n, cell[6], cell[1],
            cell[2], cell[3]);
    if (c->missing > 0) fprintf(f, "; %zu only on one side", c->missing);
    fputc('\n', f);
    return ferror(f) ? err_set(ERR_ENV, "cannot write the comparison") : 0;
}

int comparison_write_csv(FILE *f, const comparison *c)
{
    fputs("table,method,set,metric,a,b,difference,difference_lo,difference_hi,z,p\n", f);
    for (size_t i = 0; i < c->n; i++) {
        const comparison_line *l = &c->v[i];
        int tested = !isnan(l->test.p);
        csv_text(f, l->table != NULL ? l->table : "");
        fputc(',', f);
        csv_text(f, l->method);
        fputc(',', f);
        csv_text(f, l->set);
        fprintf(f, ",%s", l->metric);
        csv_value(f, l->a);
        csv_value(f, l->b);
        csv_value(f, l->a - l->b);
        csv_value(f, l->test.difference.lo);
        csv_value(f, l->test.difference.hi);
        csv_value(f, tested ? l->test.z : (double)NAN);
        csv_value(f, l->test.p);
        fputc('\n', f);
    }
    return ferror(f) ? err_set(ERR_ENV, "cannot write the CSV file") : 0;
}
