/* Results in JSON and published tables in CSV: any bytes are read or refused; values stay fractions. */
#include "score/result_file.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char path[64];
    FILE *f;
    snprintf(path, sizeof path, "/tmp/outpost-fuzz-results-%d", (int)getpid());
    f = fopen(path, "wb");
    if (f == NULL || fwrite(data, 1, size, f) != size || fclose(f) != 0) abort();
    for (int csv = 0; csv < 2; csv++) {
        result_values r = { 0 };
        err_clear();
        if ((csv ? result_values_read_csv(&r, path) : result_values_read_json(&r, path)) == 0)
            for (size_t i = 0; i < r.n; i++)
                if (!(r.v[i].value >= 0 && r.v[i].value <= 1) || !same_method(&r.v[i], &r.v[i])) abort();
        result_values_clear(&r);
    }
    unlink(path);
    return 0;
}
