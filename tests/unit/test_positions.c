/* Position grids resampled against PyTorch's F.interpolate in float64 (tests/golden/positions.tsv,
 * make_positions.py) and the two vectors of models.md 14.2. */
#include "extract/positions.h"
#include "common/err.h"
#include "common/mem.h"
#include "tests/lib/hash_golden.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PREFIX = 1, VALUES = 24 };

/* Absolute; the grid's values are in [-1,1) and sums of rounded ones.  PyTorch's own float32 is up to
 * 3e-6 from its float64. */
static const double TOLERANCE = 2e-7;

static int test_number, failures;

static void check(int ok, const char *what)
{
    test_number++;
    failures += !ok;
    printf("%s %d - %s\n", ok ? "ok" : "not ok", test_number, what);
}

/* A grid [from^2, d] of U("pe", i) behind one prefix row of 7, 8, ...; returns [1 + to^2, d]. */
static float *resized(int from, int to, size_t d, positions_how how)
{
    size_t n = (size_t)from * (size_t)from * d;
    float *src = NULL, *dst = NULL;
    if (mem_new(&src, n + d, sizeof *src, "grid") < 0 ||
        mem_new(&dst, ((size_t)to * (size_t)to + PREFIX) * d, sizeof *dst, "grid") < 0)
        abort();
    for (size_t i = 0; i < d; i++)
        src[i] = (float)(7 + i);
    for (size_t i = 0; i < n; i++)
        src[d + i] = (float)hash_uniform("pe", i);
    if (positions_resize(dst, to, src, from, PREFIX, d, how) < 0) abort();
    free(src);
    return dst;
}

static void spec_vector(int from, int to, double sum, double l2, const int *at, const double *value)
{
    char words[160];
    float *v = resized(from, to, 1, POSITIONS_PLAIN);
    double s = 0, q = 0, worst = 0;
    int n = to * to;
    for (int i = 0; i < n; i++) {
        s += (double)v[PREFIX + i];
        q += (double)v[PREFIX + i] * (double)v[PREFIX + i];
    }
    for (int k = 0; k < 4; k++)
        worst = fmax(worst, fabs((double)v[PREFIX + at[k]] - value[k]));
    worst = fmax(worst, fabs(sqrt(q) - l2) / l2);
    snprintf(words, sizeof words, "models.md 14.2, %d -> %d: %.1e of %.0e, sum %.1e of 1e-6", from, to,
             worst, TOLERANCE, fabs(s - sum));
    check(worst <= TOLERANCE && fabs(s - sum) <= 1e-6, words);
    free(v);
}

static void golden_row(const char *line)
{
    char how_name[16], words[160];
    int from, to, at, used = 0;
    double sum, l2, f32, worst = 0, s = 0, q = 0, value;
    positions_how how;
    size_t n;
    float *v;
    if (sscanf(line, "%15s %d %d %lf %lf %lf%n", how_name, &from, &to, &sum, &l2, &f32, &used) != 6)
        return;
    if (positions_find(&how, how_name) < 0) abort();
    v = resized(from, to, 2, how);
    n = (size_t)to * (size_t)to * 2;
    for (size_t i = 0; i < n; i++) {
        s += (double)v[2 * PREFIX + i];
        q += (double)v[2 * PREFIX + i] * (double)v[2 * PREFIX + i];
    }
    line += used;
    for (int k = 0; k < VALUES && sscanf(line, "%lf%n", &value, &used) == 1; k++) {
        at = (int)((n - 1) * (size_t)k / (VALUES - 1));
        worst = fmax(worst, fabs((double)v[2 * PREFIX + at] - value));
        line += used;
    }
    worst = fmax(worst, fabs(sqrt(q) - l2) / l2);
    worst = fmax(worst, fabs(s - sum) / (double)n);
    snprintf(words, sizeof words, "%s %d -> %d: %.1e of %.0e (PyTorch float32 %.1e)", how_name, from,
             to, worst, TOLERANCE, f32);
    check(worst <= TOLERANCE && v[0] == 7 && v[1] == 8, words);
    free(v);
}

static void same_size(positions_how how)
{
    char words[80];
    float *v = resized(14, 14, 3, how);
    double worst = 0;
    for (size_t i = 0; i < 14 * 14 * 3; i++)
        worst = fmax(worst, fabs((double)v[3 + i] - hash_uniform("pe", i)));
    snprintf(words, sizeof words, "%s 14 -> 14 is the identity: %.1e of 1e-6", positions_name(how), worst);
    check(worst <= 1e-6, words);
    free(v);
}

int main(void)
{
    static char line[4096];
    positions_how how;
    FILE *f = fopen("tests/golden/positions.tsv", "r");
    int rows = 0;
    if (f == NULL) {
        printf("1..0 # SKIP no tests/golden/positions.tsv: run from the project's root\n");
        return 0;
    }
    spec_vector(14, 24, -9.813547, 12.79375, (const int[]){ 0, 192, 288, 575 },
                (const double[]){ 0.4015538, -0.6456616, 1.0779849, -0.2790417 });
    spec_vector(24, 14, 1.387407, 6.983181, (const int[]){ 0, 65, 98, 195 },
                (const double[]){ -0.3805603, -0.6008349, 0.5675501, -0.4678642 });
    while (fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, "plain\t", 6) == 0 || strncmp(line, "antialias\t", 10) == 0) {
            golden_row(line);
            rows++;
        }
    fclose(f);
    check(rows == 28, "positions.tsv has 28 rows");
    same_size(POSITIONS_PLAIN);
    same_size(POSITIONS_ANTIALIAS);
    check(positions_find(&how, NULL) == 0 && how == POSITIONS_PLAIN, "no word is plain");
    check(positions_find(&how, "cubic") == ERR_USAGE, "other words are refused");
    printf("1..%d\n", test_number);
    return failures > 0;
}
