#include "score/results.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"

int results_init(results *r, size_t n_methods, size_t n_ood)
{
    int rc = 0;
    memset(r, 0, sizeof *r);
    r->n_ood = n_ood;
    TRY(mem_new(&r->method, n_methods, sizeof *r->method, "results"));
    r->n_methods = n_methods;
    for (size_t i = 0; i < n_methods; i++)
        TRY(mem_new(&r->method[i].m, n_ood, sizeof *r->method[i].m, "results"));
done:
    if (rc < 0) results_clear(r);
    return rc;
}

void results_clear(results *r)
{
    for (size_t i = 0; i < r->n_methods; i++) {
        free(r->method[i].label);
        free(r->method[i].m);
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

int results_table(result_table *out, const results *r, const metric_field *fields, size_t n_fields)
{
    static const struct { const char *title, *group; } means[] = {
        { "near mean", "near" }, { "far mean", "far" }, { "mean", NULL }
    };
    int rc = 0;
    size_t rows = 0, k = 0;
    result_table o = { .t = { .corner = "method", .n_columns = n_fields } };
    const char *mean_of[3];
    for (size_t i = 0; i < r->n_methods; i++)
        rows += r->method[i].skipped == NULL;
    TRY(mem_new(&o.row, rows, sizeof *o.row, "table"));
    TRY(mem_new(&o.group, r->n_ood + 3, sizeof *o.group, "table"));
    TRY(mem_new(&o.column, n_fields, sizeof *o.column, "table"));
    for (size_t s = 0; s < r->n_ood; s++)
        o.group[s] = r->ood[s].name;
    o.t.n_groups = r->n_ood;
    for (size_t i = 0; i < 3; i++)
        if (means[i].group == NULL ? r->n_ood > 1 : has_group(r, means[i].group)) {
            mean_of[o.t.n_groups - r->n_ood] = means[i].group;
            o.group[o.t.n_groups++] = means[i].title;
        }
    for (size_t c = 0; c < n_fields; c++)
        o.column[c] = (table_column){ fields[c].title, fields[c].larger_is_better };
    TRY(mem_new(&o.value, rows * o.t.n_groups * n_fields, sizeof *o.value, "table"));
    for (size_t i = 0; i < r->n_methods; i++) {
        const result_method *m = &r->method[i];
        if (m->skipped != NULL) continue;
        o.row[o.t.n_rows++] = m->label;
        for (size_t g = 0; g < o.t.n_groups; g++)
            for (size_t c = 0; c < n_fields; c++)
                o.value[k++] = g < r->n_ood ? metric_value(&m->m[g], &fields[c])
                                            : results_mean(r, m, &fields[c], mean_of[g - r->n_ood]);
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

/* A field, quoted when it has to be; control bytes of names are escaped first. */
static void csv_text(FILE *f, const char *text)
{
    char name[1024];
    log_printable(name, sizeof name, text);
    if (strpbrk(name, ",\"") == NULL) {
        fputs(name, f);
        return;
    }
    fputc('"', f);
    for (const char *p = name; *p != '\0'; p++) {
        if (*p == '"') fputc('"', f);
        fputc(*p, f);
    }
    fputc('"', f);
}

static void csv_number(FILE *f, double v)
{
    char buf[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(buf, sizeof buf, "%.*g", digits, v);
        if (strtod(buf, NULL) == v) break;
    }
    fputs(buf, f);
}

int results_write_csv(FILE *f, const results *r)
{
    fputs("method,ood,group", f);
    for (const metric_field *m = metric_fields; m->name != NULL; m++)
        fprintf(f, ",%s", m->name);
    fputs(",n_id,n_ood\n", f);
    for (size_t i = 0; i < r->n_methods; i++) {
        if (r->method[i].skipped != NULL) continue;
        for (size_t s = 0; s < r->n_ood; s++) {
            csv_text(f, r->method[i].label);
            fputc(',', f);
            csv_text(f, r->ood[s].name);
            fprintf(f, ",%s", r->ood[s].group != NULL ? r->ood[s].group : "");
            for (const metric_field *m = metric_fields; m->name != NULL; m++) {
                fputc(',', f);
                csv_number(f, metric_value(&r->method[i].m[s], m));
            }
            fprintf(f, ",%zu,%zu\n", r->n_id, r->ood[s].n);
        }
    }
    return ferror(f) ? err_set(ERR_ENV, "cannot write the CSV file") : 0;
}
