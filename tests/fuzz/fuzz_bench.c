/* Benchmark files: any bytes are read or refused. */
#include "common/bench.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char path[64];
    bench *b = NULL;
    FILE *f;
    snprintf(path, sizeof path, "/tmp/outpost-fuzz-bench-%d", (int)getpid());
    f = fopen(path, "wb");
    if (f == NULL || fwrite(data, 1, size, f) != size || fclose(f) != 0) abort();
    err_clear();
    if (bench_read(&b, path) == 0 && bench_find(b, BENCH_ID, NULL) == NULL) abort();
    bench_free(&b);
    unlink(path);
    return 0;
}
