/* The table of devices. */
#include "extract/backend.h"
#include "extract/plugin.h"
#include "common/err.h"

#include <stdlib.h>
#include <string.h>

void backend_normalise_table(float table[3][256], const prep *p)
{
    for (int c = 0; c < 3; c++)
        for (int v = 0; v < 256; v++) {
            float t = (float)v / 255.0f;
            float centred = t - p->mean[c];
            table[c][v] = centred / p->std[c];
        }
}

int backend_find(const backend_def **out, device_list *devices, const char *name)
{
    int rc = 0;
    *devices = (device_list){.n = 1};
    if (strcmp(name, "cpu") == 0) *out = &backend_cpu;
    else if (strcmp(name, "ref") == 0) *out = &backend_ref;
    else if (strncmp(name, "cuda", 4) == 0) {
        TRY(plugin_check(name, devices)); /* before a checkpoint is read in vain */
        *out = devices->n > 1 ? &backend_several : &backend_cuda;
    } else rc = err_set(ERR_USAGE, "no device '%s': cpu, cuda, cuda:N, cuda:N,M,...", name);
done:
    return rc;
}
