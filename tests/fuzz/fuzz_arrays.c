/* libFuzzer target (run.sh): any bytes as a checkpoint or cache.  Every array that is handed out is read
 * whole. */
#include "common/arrays.h"
#include "common/err.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(const array *v)
{
    const unsigned char *b = v->data;
    size_t bytes = v->count * array_type_size(v->type);
    volatile unsigned char sum = 0;
    for (size_t i = 0; i < bytes; i++)
        sum = (unsigned char)(sum + b[i]);
    if (v->count <= 65536) {
        float *f = malloc((v->count > 0 ? v->count : 1) * sizeof *f);
        if (f != NULL) array_to_f32(v, f);
        free(f);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    static char path[64];
    arrays *a = NULL;
    int rc;
    if (fd < 0) {
        fd = memfd_create("fuzz_arrays", MFD_CLOEXEC);
        if (fd < 0) abort();
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    if (ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != (ssize_t)size) abort();
    err_clear();
    rc = arrays_open(&a, path);
    if (rc != 0 && rc != ERR_INPUT) abort();
    if (rc != 0 && strncmp(err_text(), path, strlen(path)) != 0) abort(); /* every refusal names the file */
    for (size_t i = 0; rc == 0 && i < arrays_count(a); i++) {
        read_all(arrays_at(a, i));
        if (arrays_find(a, arrays_at(a, i)->name) != arrays_at(a, i)) abort();
    }
    arrays_close(&a);
    return 0;
}
