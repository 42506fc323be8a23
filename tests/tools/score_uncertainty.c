/* Intervals of small cases, for tests/score/uncertainty_oracle.py.
 * stdin, one case a line: "REPLICATES SEED | ID ID ... | OOD OOD ... [| ID of b ... | OOD of b ...]"
 * stdout, %.17g: the variance of AUROC and its interval, then lo and hi of every metric, then, when b is there,
 * the variance of a - b, z and p. */
#include "score/uncertainty.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"

enum { ROOM = 100000 };

static size_t numbers(char **p, float *v)
{
    size_t n = 0;
    for (;;) {
        char *end;
        float x = strtof(*p, &end);
        if (end == *p || n == ROOM) return n;
        v[n++] = x;
        *p = end;
    }
}

int main(void)
{
    static float v[4][ROOM];
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, stdin) > 0) {
        char *p;
        size_t n[4] = {0}, replicates = strtoull(line, &p, 10);
        uint64_t seed = strtoull(p, &p, 10);
        score_set id = {0}, ood = {0};
        interval ci[METRIC_COUNT], delong;
        metrics m;
        double variance;
        paired_test t;
        for (int i = 0; i < 4 && (p = strchr(p, '|')) != NULL; i++) {
            p++;
            n[i] = numbers(&p, v[i]);
        }
        err_clear();
        if (score_set_init(&id, v[0], n[0], "id") < 0 ||
            score_set_init(&ood, v[1], n[1], "ood") < 0 || metrics_compute(&m, &id, &ood) < 0 ||
            metrics_bootstrap(ci, &id, &ood, replicates, seed) < 0) {
            printf("error %s\n", err_text());
        } else {
            variance = auroc_variance(&id, &ood);
            delong = auroc_interval(m.auroc, variance);
            printf("%.17g %.17g %.17g", variance, delong.lo, delong.hi);
            for (int k = 0; k < METRIC_COUNT; k++)
                printf(" %.17g %.17g", ci[k].lo, ci[k].hi);
            if (n[2] > 0) {
                if (auroc_test_paired(&t, v[0], v[2], n[0], v[1], v[3], n[1]) < 0) return 1;
                printf(" %.17g %.17g %.17g", t.variance, t.z, t.p);
            }
            putchar('\n');
        }
        score_set_clear(&id);
        score_set_clear(&ood);
    }
    free(line);
    return 0;
}
