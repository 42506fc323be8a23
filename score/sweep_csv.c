/* The whole grid of a sweep as CSV: settings, validation and test side by side. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "score/csv.h"
#include "score/sweep.h"

static void columns(FILE *f, const char *of)
{
    for (const metric_field *m = metric_fields; m->name != NULL; m++) {
        char name[300];
        snprintf(name, sizeof name, "%s_%s", of, m->name);
        fputc(',', f);
        csv_text(f, name);
    }
}

static void values(FILE *f, const metrics *m)
{
    for (const metric_field *k = metric_fields; k->name != NULL; k++)
        csv_value(f, m != NULL ? metric_value(m, k) : (double)NAN);
}

static int has_group(const run_inputs *in, const char *group)
{
    for (size_t s = 0; s < in->ood.n; s++)
        if (group == NULL || (in->ood.v[s].group != NULL && strcmp(in->ood.v[s].group, group) == 0))
            return 1;
    return 0;
}

static void mean_values(FILE *f, const run_inputs *in, const sweep_point *p, const char *group)
{
    for (const metric_field *k = metric_fields; k->name != NULL; k++) {
        double sum = 0;
        size_t n = 0;
        for (size_t s = 0; s < in->ood.n && p->test != NULL; s++) {
            const char *g = in->ood.v[s].group;
            if (group != NULL && (g == NULL || strcmp(g, group) != 0)) continue;
            sum += metric_value(&p->test[s], k);
            n++;
        }
        csv_value(f, n > 0 ? sum / (double)n : (double)NAN);
    }
}

int sweep_write_csv(FILE *f, const sweep *s)
{
    static const struct {
        const char *name, *group;
    } means[] = {{"near", "near"}, {"far", "far"}, {"mean", NULL}};
    const run_inputs *in = s->in;
    for (size_t k = 0; k < s->g.n; k++)
        fprintf(f, "%s,", s->g.key[k].name);
    fputs("chosen,seconds", f);
    columns(f, "val");
    for (size_t i = 0; i < in->ood.n; i++)
        columns(f, in->ood.v[i].name);
    for (size_t g = 0; g < 3 && in->ood.n > 0; g++)
        if (has_group(in, means[g].group)) columns(f, means[g].name);
    fputc('\n', f);
    for (size_t p = 0; p < s->g.points; p++) {
        const sweep_point *now = &s->point[p];
        for (size_t k = 0; k < s->g.n; k++) {
            csv_text(f, grid_value(&s->g, p, k));
            fputc(',', f);
        }
        fprintf(f, "%d", now->failed == NULL && p == s->best);
        csv_value(f, now->seconds);
        values(f, now->failed == NULL ? &now->val : NULL);
        for (size_t i = 0; i < in->ood.n; i++)
            values(f, now->failed == NULL && now->test != NULL ? &now->test[i] : NULL);
        for (size_t g = 0; g < 3 && in->ood.n > 0; g++)
            if (has_group(in, means[g].group)) mean_values(f, in, now, means[g].group);
        fputc('\n', f);
    }
    return ferror(f) ? err_set(ERR_ENV, "cannot write the CSV file") : 0;
}
