#include "score/results.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"
#include "score/csv.h"

const char *const result_groups[RESULT_MEANS] = { NULL, "near", "far" };

int results_init(results *r, size_t n_methods, size_t n_ood)
{
    int rc = 0;
    memset(r, 0, sizeof *r);
    r->n_ood = n_ood;
    TRY(mem_new(&r->method, n_methods, sizeof *r->method, "results"));
    r->n_methods = n_methods;
    for (size_t i = 0; i < n_methods; i++) {
        result_method *m = &r->method[i];
        TRY(mem_new(&m->m, n_ood, sizeof *m->m, "results"));
        TRY(mem_new(&m->ci, n_ood * METRIC_COUNT, sizeof *m->ci, "results"));
        for (size_t k = 0; k < n_ood * METRIC_COUNT; k++)
            m->ci[k] = (interval){ NAN, NAN };
        for (size_t k = 0; k < RESULT_MEANS; k++)
            m->mean_ci[k] = (interval){ NAN, NAN };
    }
done:
    if (rc < 0) results_clear(r);
    return rc;
}

void results_clear(results *r)
{
    for (size_t i = 0; i < r->n_methods; i++) {
        free(r->method[i].label);
        free(r->method[i].m);
        free(r->method[i].ci);
        free(r->method[i].skipped);
    }
    free(r->method);
    memset(r, 0, sizeof *r);
}

double results_mean(const results *r, const result_method *m, const metric_field *f,
                    const char *group)
{
    double sum = 0;
    size_t n = 0;
    for (size_t s = 0; s < r->n_ood; s++) {
        const char *g = r->ood[s].group;
        if (group != NULL && (g == NULL || strcmp(g, group) != 0)) continue;
        sum += metric_value(&m->m[s], f);
        n++;
    }
    return n > 0 ? sum / (double)n : NAN;
}

/* ---- the table -------------------------------------------------------------------------------- */

static int has_group(const results *r, const char *group)
{
    for (size_t s = 0; s < r->n_ood; s++)
        if (r->ood[s].group != NULL && strcmp(r->ood[s].group, group) == 0) return 1;
    return 0;
}

typedef struct columns { /* what a group of columns holds */
    size_t n;
    size_t field[2 * METRIC_COUNT]; /* place in metric_fields */
    int half[2 * METRIC_COUNT];     /* not the metric but half its interval */
} columns;

static int has_interval(const results *r, size_t field)
{
    return field == 0 || r->bootstrap > 0;
}

static void choose_columns(columns *c, const results *r, const metric_field *fields, size_t n_fields,
                           int with_ci)
{
    c->n = 0;
    for (size_t k = 0; k < n_fields; k++) {
        size_t at = (size_t)(metric_field_find(fields[k].name) - metric_fields);
        c->field[c->n] = at;
        c->half[c->n++] = 0;
        if (!with_ci || !has_interval(r, at)) continue;
        c->field[c->n] = at;
        c->half[c->n++] = 1;
    }
}

static double half_width(interval i)
{
    return (i.hi - i.lo) / 2;
}

/* `group`: a set, or behind the sets one of the means. */
static double cell(const results *r, const result_method *m, size_t group, size_t mean, size_t field,
                   int half)
{
    if (group < r->n_ood)
        return half ? half_width(m->ci[group * METRIC_COUNT + field])
                    : metric_value(&m->m[group], &metric_fields[field]);
    if (half) return field == 0 ? half_width(m->mean_ci[mean]) : (double)NAN;
    return results_mean(r, m, &metric_fields[field], result_groups[mean]);
}

int results_table(result_table *out, const results *r, const metric_field *fields, size_t n_fields,
                  int with_ci)
{
    static const struct { const char *title; size_t mean; } means[] = {
        { "near mean", 1 }, { "far mean", 2 }, { "mean", 0 }
    };
    int rc = 0;
    size_t rows = 0, k = 0, mean_of[RESULT_MEANS] = { 0 };
    columns c;
    result_table o = { .t = { .corner = "method" } };
    choose_columns(&c, r, fields, n_fields, with_ci);
    o.t.n_columns = c.n;
    for (size_t i = 0; i < r->n_methods; i++)
        rows += r->method[i].skipped == NULL;
    TRY(mem_new(&o.row, rows, sizeof *o.row, "table"));
    TRY(mem_new(&o.group, r->n_ood + RESULT_MEANS, sizeof *o.group, "table"));
    TRY(mem_new(&o.column, c.n, sizeof *o.column, "table"));
    for (size_t s = 0; s < r->n_ood; s++)
        o.group[s] = r->ood[s].name;
    o.t.n_groups = r->n_ood;
    for (size_t i = 0; i < RESULT_MEANS; i++) {
        const char *group = result_groups[means[i].mean];
        if (group == NULL ? r->n_ood < 2 : !has_group(r, group)) continue;
        mean_of[o.t.n_groups - r->n_ood] = means[i].mean;
        o.group[o.t.n_groups++] = means[i].title;
    }
    for (size_t i = 0, f = 0; i < c.n; i++) {
        o.column[i] = c.half[i] ? (table_column){ "\302\261", 0, 1 }
                                : (table_column){ fields[f].title, fields[f].larger_is_better, 0 };
        f += !c.half[i];
    }
    TRY(mem_new(&o.value, rows * o.t.n_groups * c.n, sizeof *o.value, "table"));
    for (size_t i = 0; i < r->n_methods; i++) {
        const result_method *m = &r->method[i];
        if (m->skipped != NULL) continue;
        o.row[o.t.n_rows++] = m->label;
        for (size_t g = 0; g < o.t.n_groups; g++)
            for (size_t j = 0; j < c.n; j++)
                o.value[k++] = cell(r, m, g, g < r->n_ood ? 0 : mean_of[g - r->n_ood], c.field[j],
                                    c.half[j]);
    }
    o.t.row = o.row;
    o.t.group = o.group;
    o.t.column = o.column;
    o.t.value = o.value;
    *out = o;
    return 0;
done:
    results_table_clear(&o);
    return rc;
}

void results_table_clear(result_table *t)
{
    free(t->row);
    free(t->group);
    free(t->column);
    free(t->value);
    memset(t, 0, sizeof *t);
}

/* ---- CSV -------------------------------------------------------------------------------------- */

static void csv_rows(FILE *f, const results *r, const char *spectrum)
{
    for (size_t i = 0; i < r->n_methods; i++) {
        const result_method *m = &r->method[i];
        if (m->skipped != NULL) continue;
        for (size_t s = 0; s < r->n_ood; s++) {
            csv_text(f, m->label);
            fputc(',', f);
            csv_text(f, r->ood[s].name);
            fprintf(f, ",%s", r->ood[s].group != NULL ? r->ood[s].group : "");
            for (const metric_field *k = metric_fields; k->name != NULL; k++)
                csv_value(f, metric_value(&m->m[s], k));
            fprintf(f, ",%zu,%zu,%s", r->n_id, r->ood[s].n, spectrum);
            for (size_t k = 0; k < METRIC_COUNT && has_interval(r, k); k++) {
                csv_value(f, m->ci[s * METRIC_COUNT + k].lo);
                csv_value(f, m->ci[s * METRIC_COUNT + k].hi);
            }
            fputc('\n', f);
        }
    }
}

int results_write_csv(FILE *f, const results *r)
{
    fputs("method,ood,group", f);
    for (const metric_field *m = metric_fields; m->name != NULL; m++)
        fprintf(f, ",%s", m->name);
    fputs(",n_id,n_ood,spectrum", f);
    for (size_t k = 0; k < METRIC_COUNT && has_interval(r, k); k++)
        fprintf(f, ",%s_lo,%s_hi", metric_fields[k].name, metric_fields[k].name);
    fputc('\n', f);
    csv_rows(f, r, "standard");
    if (r->full != NULL) csv_rows(f, r->full, "full");
    return ferror(f) ? err_set(ERR_ENV, "cannot write the CSV file") : 0;
}
