/* Metrics of many small cases, for tests/score/metrics_oracle.py.
 * stdin, one case a line: "ID ID ... | OOD OOD ..."; stdout: the fields of metric_fields, %.17g. */
#include "score/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"

static size_t numbers(char **p, float *v, size_t room)
{
    size_t n = 0;
    for (;;) {
        char *end;
        float x = strtof(*p, &end);
        if (end == *p || n == room) return n;
        v[n++] = x;
        *p = end;
    }
}

int main(void)
{
    enum { ROOM = 100000 };
    static float id[ROOM], ood[ROOM];
    char *line = NULL;
    size_t size = 0;
    int rc = 0;
    while (getline(&line, &size, stdin) > 0) {
        char *p = line;
        size_t n_id = numbers(&p, id, ROOM), n_ood;
        score_set a = { 0 }, b = { 0 };
        metrics m;
        p = strchr(p, '|');
        if (p == NULL) return 2;
        p++;
        n_ood = numbers(&p, ood, ROOM);
        err_clear();
        rc = score_set_init(&a, id, n_id, "id");
        if (rc == 0) rc = score_set_init(&b, ood, n_ood, "ood");
        if (rc == 0) rc = metrics_compute(&m, &a, &b);
        if (rc < 0) {
            printf("error %s\n", err_text());
        } else {
            for (const metric_field *f = metric_fields; f->name != NULL; f++)
                printf("%.17g%c", metric_value(&m, f), f[1].name ? ' ' : '\n');
        }
        score_set_clear(&a);
        score_set_clear(&b);
    }
    free(line);
    return 0;
}
