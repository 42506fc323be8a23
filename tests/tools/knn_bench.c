/* knn_bench TRAIN TEST D K [THREADS]: seconds of one search of the K-th nearest of TRAIN rows for TEST rows of
 * D normalised values, for tests/bench/peers/faiss_knn.py beside it.  Last line as `extract bench`'s:
 *   outpost-bench cpu=SECONDS wall=SECONDS items=TEST */
#include "common/err.h"
#include "common/mem.h"
#include "score/linalg.h"
#include "score/neighbours.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint64_t seed = 88172645463325252u;

static double uniform(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (double)(seed >> 11) / 9007199254740992.0;
}

/* Rectified rows about one of 100 centres, of length 1. */
static void draw(float *x, size_t n, size_t d, const float *centre)
{
    for (size_t i = 0; i < n; i++) {
        const float *c = centre + (size_t)(uniform() * 100) * d;
        double sum = 0;
        for (size_t j = 0; j < d; j++) {
            double v = (double)c[j] + uniform() - 0.6;
            x[i * d + j] = v > 0 ? (float)v : 0;
            sum += (double)x[i * d + j] * (double)x[i * d + j];
        }
        for (size_t j = 0; j < d; j++)
            x[i * d + j] = (float)((double)x[i * d + j] / sqrt(sum));
    }
}

static double clock_of(clockid_t which)
{
    struct timespec t;
    clock_gettime(which, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
    int rc = 0;
    size_t train = argc > 1 ? strtoul(argv[1], NULL, 10) : 20000, test = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000;
    size_t d = argc > 3 ? strtoul(argv[3], NULL, 10) : 2048, k = argc > 4 ? strtoul(argv[4], NULL, 10) : 50, at;
    float *x = NULL, *y = NULL, *centre = NULL;
    double *kth = NULL, cpu, wall, sum = 0;
    near_bank *b = NULL;
    budget mem = {0};
    CHECK(train > 0 && test > 0 && d > 0 && k > 0 && k <= train, ERR_USAGE, "knn_bench TRAIN TEST D K [THREADS]");
    omp_set_num_threads(argc > 5 ? atoi(argv[5]) : 1);
    TRY(mem_new(&x, train * d, sizeof *x, "rows"));
    TRY(mem_new(&y, test * d, sizeof *y, "rows"));
    TRY(mem_new(&centre, 100 * d, sizeof *centre, "rows"));
    TRY(mem_new(&kth, test, sizeof *kth, "distances"));
    for (size_t j = 0; j < 100 * d; j++)
        centre[j] = (float)(0.5 * uniform());
    draw(x, train, d, centre);
    draw(y, test, d, centre);
    cpu = clock_of(CLOCK_PROCESS_CPUTIME_ID);
    wall = clock_of(CLOCK_MONOTONIC);
    TRY(near_bank_new(&b, &mem, train, d));
    TRY(near_bank_add(b, x, train));
    printf("kept after %.3f s\n", clock_of(CLOCK_MONOTONIC) - wall);
    at = k - 1;
    TRY(near_search(b, near_best(), &at, 1, y, test, kth, NULL));
    cpu = clock_of(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    wall = clock_of(CLOCK_MONOTONIC) - wall;
    for (size_t i = 0; i < test; i++)
        sum += kth[i];
    printf("%s: mean distance %.9g, %.1f GFLOP/s\n", near_best()->name, sum / (double)test,
           2e-9 * (double)train * (double)test * (double)d / wall);
    printf("outpost-bench cpu=%.6f wall=%.6f items=%zu\n", cpu, wall, test);
done:
    if (rc < 0) fprintf(stderr, "knn_bench: %s\n", err_text());
    near_bank_drop(&b);
    free(x);
    free(y);
    free(centre);
    free(kth);
    return err_exit_status(rc);
}
